"""Qualifiers: the words that limit, undo or merely report what a sentence says, as data.

“Sales nearly reached three million” has every word of “Sales reached three million”. A sentence of
a document bears out one of a model only where the two have the same of these words, each as often.
A list of closed classes can be complete enough for that; a list of all that may mislead cannot,
which is why `support` lets nothing else be left out either.
"""

from __future__ import annotations

from collections import Counter

from regend.agents.evidence.vocabulary import NEGATIONS
from regend.agents.evidence.words import stem, words
from regend.library.words import fold

_EXACT = """
almost nearly about around approximately roughly circa partly partially mostly mainly largely
usually normally generally typically often frequently sometimes occasionally merely only solely
just even once formerly previously former ex originally initially soon later eventually temporarily
may might can could should would must shall will ought likely unlikely probably possibly perhaps
maybe potentially supposedly allegedly reportedly apparently seemingly presumably hopefully ideally
some few several many most more less fewer least half majority minority all every
everyone everybody everything each any both either another always ever whole entire entirely fully
completely up over under above below beyond within between minimum maximum max min
before after until till since when whenever while during if whether otherwise provided providing
assuming case or but though although instead rather than too as non minus negative plus nowhere
theory principle paper default so like similar mock fake
केवल सिर्फ़ सिर्फ ही मात्र लगभग करीब तकरीबन शायद संभवतः कथित कुछ कई अधिकांश ज़्यादातर ज्यादातर आधा आधे आधी सब
सभी हर प्रत्येक कोई अगर यदि जब तब तक तो पहले बाद या अथवा लेकिन परंतु मगर किंतु बशर्ते वरना अन्यथा सिवाय छोड़कर
अक्सर प्रायः आमतौर कम अधिक ज़्यादा ज्यादा न्यूनतम अधिकतम ऊपर नीचे सकता सकती सकते सके चाहिए माइनस बजाय हमेशा
மட்டும் சுமார் கிட்டத்தட்ட ஏறக்குறைய சில பல பெரும்பாலான எல்லா அனைத்து ஒவ்வொரு ஆனால் அல்லது இல்லை அல்ல இல்லாமல்
தவிர வரை முன் பின் முன்பு பிறகு மேல் கீழ் குறைந்தது அதிகபட்சம் ஒருவேளை முடியும் கூடும் என்று எப்போதும்
শুধু কেবল প্রায় কিছু অনেক অধিকাংশ সব প্রতি কিন্তু অথবা বা না নয় নেই ছাড়া পর্যন্ত আগে পরে যদি হয়তো সম্ভবত কম
বেশি অন্তত পারে সর্বোচ্চ সর্বনিম্ন
"""
_IN_ANY_FORM = """
fail refuse forget avoid stop cease try attempt plan intend want hope expect promise threaten
decline neglect deny doubt dispute believe think claim say suggest argue report allege assume
suppose rumour rumor propose consider pretend seem appear tend guess suspect estimate forecast
predict wish imagine dream joke
"""
_VERDICTS = """
wrong false untrue incorrect mistaken inaccurate myth hoax rumour rumor nonsense lie retracted
गलत ग़लत झूठ झूठा झूठी अफवाह अफ़वाह தவறு பொய் ভুল মিথ্যা
"""

_WORDS = frozenset(map(fold, _EXACT.split())) | NEGATIONS
_STEMS = frozenset(map(stem, _IN_ANY_FORM.split()))
_VERDICT_STEMS = frozenset(map(stem, _VERDICTS.split()))


def qualifiers(text: str) -> Counter[str]:
    """Return how often a text has each qualifier; of a verb, in any form."""
    return Counter(
        form
        for plain, form in ((fold(word.text), stem(word.text)) for word in words(text))
        if plain in _WORDS or form in _STEMS
    )


def verdicts(text: str) -> Counter[str]:
    """Return how often a text has each word that calls something said wrong."""
    forms = [stem(word.text) for word in words(text)]
    return Counter(form for form in forms if form in _VERDICT_STEMS)
