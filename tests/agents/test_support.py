"""Which sentences of a model a quote bears out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.agents.evidence.support import supported

QUOTE = "By default the parser accepts files of up to 40 megabytes on Linux, macOS and Windows."


@pytest.mark.parametrize(
    "sentence",
    [
        QUOTE,
        "By default, the parser accepts files up to 40 megabytes on Linux, macOS and Windows.",
    ],
)
def test_what_the_quote_says_is_supported(sentence: str) -> None:
    assert supported(sentence, QUOTE)


@pytest.mark.parametrize(
    "sentence",
    [
        "The parser accepts files of up to 50 megabytes.",  # another number
        "The parser accepts files of up to forty megabytes.",  # not the quote's word for it
        "The parser does not accept files of up to 40 megabytes.",  # denied
        "The parser doesn't accept files of up to 40 megabytes.",
        "By default the parser accepts files of up to 40 megabytes on FreeBSD.",  # another name
        "Google says the parser accepts files of up to 40 megabytes on Linux.",
        "The parser accepts files of up to 40 megabytes.",  # not only by default, and where
        "By default the parser accepts files of up to 40 megabytes.",
        "By default the parser accepts files of up to 40 megabytes on Windows.",
        "The parser rejects files of up to 40 megabytes.",  # the opposite word
        "The parser accepts files and encrypts them on Linux, macOS and Windows.",  # added
        "The files accept parsers of up to 40 megabytes.",  # turned round
        "Yes.",
        "",
        "40",
    ],
)
def test_what_the_quote_does_not_say_is_not(sentence: str) -> None:
    assert not supported(sentence, QUOTE)


def test_an_opening_may_stand_at_the_end_and_the_other_way_round() -> None:
    opened, ended = "By default a file has 40 bytes.", "A file has 40 bytes by default."
    assert supported(opened, ended) and supported(ended, opened)
    assert not supported("On the fifth Asha pays Ravi.", "Ravi pays Asha on the fifth.")


def test_a_denial_is_supported_by_a_denial_only() -> None:
    quote = "The parser does not support XML files."
    assert supported("The parser doesn't support XML files.", quote)
    assert not supported("The parser does support XML files.", quote)


def test_each_sentence_of_a_quote_is_held_by_itself() -> None:
    quote = "The parser reads JSON files. It does not read XML files."
    assert supported("The parser reads JSON files.", quote)
    assert not supported("It does read XML files.", quote)


def test_comparisons_keep_their_direction() -> None:
    assert supported("Alpha is faster than Beta.", "Alpha is much faster than Beta.")
    assert not supported("Beta is faster than Alpha.", "Alpha is much faster than Beta.")
    assert not supported("Alpha is slower than Beta.", "Alpha is much faster than Beta.")


def test_what_a_pronoun_stands_for_is_not_guessed() -> None:
    quote = "The dealer sells the car. It costs 5 lakh."
    assert not supported("The dealer costs 5 lakh.", quote)
    assert supported("It costs 5 lakh.", quote)


def test_hindi_is_held_to_the_same_rules() -> None:
    quote = "यह बैटरी आठ घंटे चलती है।"
    assert supported("बैटरी आठ घंटे चलती है।", quote)
    assert not supported("बैटरी नौ घंटे चलती है।", quote)
    assert not supported("बैटरी आठ घंटे नहीं चलती है।", quote)


@given(st.text(), st.text())
def test_any_two_texts_can_be_compared(sentence: str, quote: str) -> None:
    assert supported(sentence, quote) in (True, False)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_number_is_supported_only_by_itself(one: int, other: int) -> None:
    sentence = f"The parser accepts files of {one} bytes."
    assert supported(sentence, f"The parser accepts files of {other} bytes.") == (one == other)


@pytest.mark.parametrize(
    ("sentence", "quote"),
    [
        # names changed places
        (
            "On the fifth day of each month Asha pays Ravi 500 rupees rent.",
            "On the fifth day of each month Ravi pays Asha 500 rupees rent.",
        ),
        # only asked
        ("The permit is free of charge.", "Is the permit free of charge?"),
        ("The permit is free.", "Is the permit free? It costs 40 rupees."),
        # denied in other words
        ("Members enter free.", "Nobody said members enter free."),
        ("The bridge is safe for trucks.", "The bridge is hardly safe for trucks."),
        ("The museum is free on Sunday.", "The museum is free except on Sunday."),
        ("You get a refund.", "You get a refund unless you cancel late."),
        # more than was said, by words that are passed over elsewhere
        ("All shops open on Sunday.", "Some shops open on Sunday."),
        ("Everyone must wear helmets.", "Everyone may wear helmets."),
    ],
)
def test_a_document_does_not_bear_out_what_it_leaves_open(sentence: str, quote: str) -> None:
    assert not supported(sentence, quote)


def test_an_answer_behind_a_question_counts_by_itself() -> None:
    quote = "Is the permit free? The permit is free of charge."
    assert supported("The permit is free of charge.", quote)
    assert not supported("The permit is free.", "Is the permit free? It costs 40 rupees.")


@pytest.mark.parametrize(
    ("sentence", "quote", "whole"),
    [
        ("The car's number is MH 12 AB 4321.", "The car's number is MH 12 AB 4321.", True),
        ("The car's number is mh 12 ab 4321.", "The car's number is MH 12 AB 4321.", True),
        ("The car's number is 12 AB 4321.", "The car's number is MH 12 AB 4321.", False),
        ("The car's number is MH 12.", "The car's number is MH 12 AB 4321.", False),
        ("The policy number is NI-55-90817.", "The policy number is NI-55-90817.", True),
        ("The policy number is 55-90817.", "The policy number is NI-55-90817.", False),
        ("Call the clinic on 98450 12345.", "Call the clinic on 98450 12345; ask for Rao.", True),
        ("Call the clinic on 98450.", "Call the clinic on 98450 12345, or come.", False),
        ("The monthly rent is Rs. 24,500.", "The monthly rent is Rs. 24,500.", True),
        ("The monthly rent is $24,500.", "The monthly rent is ₹24,500.", False),
        ("The monthly rent is $24,500.", "The monthly rent is Rs. 24,500.", False),
        ("The night is cold, 5 degrees.", "The night is cold, -5 degrees.", False),
    ],
)
def test_a_figure_is_supported_as_a_whole_only(sentence: str, quote: str, whole: bool) -> None:
    assert supported(sentence, quote) is whole


SHOP = "The ration shop opens at 9 am and closes at 1 pm; it is shut on Mondays."
SHOP_HINDI = "राशन की दुकान सुबह नौ बजे खुलती है; सोमवार को बंद रहती है।"
RENT = "The rent of the flat is ₹9,000. It is due on the 5th and is paid to Mrs. Rao by cheque."


REWORDED = [
    (
        "The rent is due on Monday.",
        "The rent is due on Monday, unless the landlord agrees otherwise.",
    ),
    ("Aspirin cures cancer.", "Some people believe aspirin cures cancer."),
    ("The vault was opened by Alice.", "It is rumoured that the vault was opened by Alice."),
    ("Alice hired Bob.", "Alice hired nobody; Bob applied."),
    ("Dose is 50 mg daily.", "If the patient weighs over 90 kg, the dose is 50 mg daily."),
    ("The bridge is safe for trucks.", "Engineers doubt the bridge is safe for trucks."),
    ("The bridge is safe for trucks.", "The claim that the bridge is safe for trucks is wrong."),
    ("The bridge is safe for trucks.", "The bridge is safe for trucks. That is a myth."),
    ("The bridge is safe for trucks.", "The bridge was once safe for trucks."),
    ("The bridge is safe for trucks.", "The bridge is safe for trucks only after repair."),
    ("The bridge is safe for trucks.", "The bridge will be safe for trucks."),
    ("The bridge is safe for trucks.", "The bridge is less safe for trucks."),
    ("The bridge is safe for trucks.", "The bridge may be safe for trucks."),
    ("Tenants pay 500 euros.", "Tenants pay at least 500 euros."),
    ("Tenants pay 500 euros.", "Tenants pay up to 500 euros."),
    ("Tenants pay 500 euros.", "Tenants pay 500 euros a week."),
    ("The vaccine causes fever.", "The vaccine causes fever in mice."),
    ("Children pay nothing.", "Children pay nothing with an adult."),
    ("Tenants paid 500 euros.", "Tenants should have paid 500 euros."),
    ("The contract was not signed by Bob.", "The contract was not only signed by Bob but sealed."),
    ("The contract ends in 2020.", "The contract ends before 2020."),
    ("Profit rose to 5 million.", "Profit fell to 5 million."),
    ("The company failed to pay the tax.", "The company failed, to pay the tax it sold the house."),
    ("The company paid the tax.", "The company failed to pay the tax."),
    ("The company paid the tax.", "The company stopped paying the tax."),
    ("John pays Mary rent.", "John pays Mary's brother rent."),
    ("Mary pays rent.", "Mary's brother is away. He pays rent."),
    ("The door is locked.", "The back door is locked."),
    ("Take two tablets daily.", "Do not take more than two tablets daily, never fewer."),
    ("All members voted.", "Some members voted."),
    ("Every member voted yesterday.", "Half the members voted yesterday."),
    ("All windows are closed at night.", "Most windows are closed at night."),
    ("The temperature was 5 degrees.", "The temperature was minus 5 degrees."),
    ("The temperature was 5 degrees.", "The temperature was −5 degrees."),
    ("The temperature was 5 degrees.", "The temperature was below 5 degrees."),
    ("Sales reached 3 million.", "Sales nearly reached 3 million."),
    ("The door is locked.", "The door is locked? No, open."),
    ("The door is locked.", "No, I lied. The door is locked."),
    ("He killed the dog.", "He almost killed the dog."),
    ("The gate opens at noon.", "The gate opens at noon or midnight."),
    ("The seller bears the cost.", "The seller or the buyer bears the cost."),
    ("The lamp costs 5 dollars.", "The lamp costs 5 thousand dollars."),
    ("The lamp costs 5 dollars.", "The lamp costs 5½ dollars."),
    ("The lamp costs 10 dollars.", "The lamp costs 10 percent fewer dollars."),
    ("The museum is open.", "The museum is open on Sundays."),
    ("Ann is the mother of Tom.", "Ann is the grandmother, mother-in-law of Tom."),
    ("दुकान खुली रहती है।", "दुकान केवल रविवार को खुली रहती है।"),
    ("किराया 500 रुपये है।", "किराया लगभग 500 रुपये है।"),
    ("राम घर पर है।", "राम का भाई बीमार है; वह घर पर है।"),
    ("கடை திறந்திருக்கும்.", "கடை ஞாயிறு மட்டும் திறந்திருக்கும்."),
]


@pytest.mark.parametrize(("sentence", "quote"), REWORDED)
def test_what_limits_undoes_or_reports_may_not_be_lost(sentence: str, quote: str) -> None:
    assert not supported(sentence, quote)


@pytest.mark.parametrize("quote", sorted({quote for _, quote in REWORDED if "?" not in quote}))
def test_a_sentence_with_all_its_limits_is_supported(quote: str) -> None:
    """The same quotes, word for word: nothing is refused for having a limit."""
    whole = quote if quote.count(". ") == 0 else quote.split(". ")[-1]
    if "myth" in whole or "lied" in quote:
        return
    assert supported(whole, quote)


@pytest.mark.parametrize(
    ("sentence", "quote"),
    [
        ("The ration shop is open on Mondays.", SHOP),
        ("The ration shop opens on Mondays.", SHOP),
        ("On Mondays the ration shop opens at 9 am.", SHOP),
        ("The ration shop closes at 9 am.", SHOP),
        ("राशन की दुकान सोमवार को खुलती है।", SHOP_HINDI),
        ("राशन की दुकान सोमवार को खुली रहती है।", SHOP_HINDI),
        ("राशन की दुकान सोमवार को बंद नहीं रहती है।", SHOP_HINDI),
        ("दुकान रविवार को खुली है।", "दुकान शनिवार को खुली है, रविवार को नहीं।"),
        ("The library is open on Fridays.", "The library is open on Thursdays, not on Fridays."),
        ("Cats are allowed in the flat.", "Dogs are allowed in the flat but cats are not."),
        ("Ravi pays Kiran 500.", "Ravi pays Asha; Asha pays Kiran 500."),
        ("The car opens at 9.", "The car is grey. The school opens at 9."),
        ("Tea is served in the garden.", "Tea is served at four, and coffee in the garden."),
    ],
)
def test_what_stands_in_several_clauses_is_not_put_together(sentence: str, quote: str) -> None:
    assert not supported(sentence, quote)


@pytest.mark.parametrize(
    ("sentence", "quote"),
    [
        ("The ration shop closes at 1 pm.", SHOP),
        ("The ration shop opens at 9 am and closes at 1 pm.", SHOP),
        ("राशन की दुकान सुबह नौ बजे खुलती है।", SHOP_HINDI),
        ("राशन की दुकान सोमवार को बंद रहती है।", SHOP_HINDI),
        ("It is paid to Mrs. Rao by cheque.", RENT),
    ],
)
def test_a_clause_may_have_its_subject_from_the_one_before(sentence: str, quote: str) -> None:
    assert supported(sentence, quote)
