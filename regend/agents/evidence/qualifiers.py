"""Qualifiers: the words that make what a text says less, more, other or not so, as data.

They are a closed class, so that a table can hold them. A quote says them of all that stands in the
same sentence, and a sentence that leaves one out says something else. `UNIVERSAL` may be left out,
for that only says less; `VERDICTS` speak of the sentences around them too. `FILLERS` are the
opposite: the few words that may come and go. The tables are kept by language; where forms of a word
meet is by its stem in English, and by the form itself elsewhere.
"""

from __future__ import annotations

from regend.agents.evidence.words import stem
from regend.library.words import fold


def _folded(text: str) -> frozenset[str]:
    return frozenset(fold(text).split())


NEGATIONS = _folded("""
no not never none nothing neither nor cannot cant dont doesnt didnt isnt arent wasnt werent wont
wouldnt shouldnt couldnt hasnt havent hadnt without unable unsupported impossible forbidden
prohibited nobody nowhere hardly scarcely barely seldom rarely unless except
नहीं न मत ना बिना कभी இல்லை அல்ல இல்லாமல் இல்லாத கிடையாது கூடாது முடியாது மாட்டாது
மாட்டார் மாட்டார்கள் வேண்டாம் না নয় নেই নি নাই ছাড়া
""")

UNIVERSAL = _folded("""
all every each always any both everyone everybody everything
सभी सब हर हमेशा सदा प्रत्येक எல்லா எல்லாம் எல்லோரும் அனைத்து அனைவரும் ஒவ்வொரு எப்போதும்
সব সকল সবাই প্রতিটি সর্বদা
""")

_ENGLISH = _folded("""
can could may might must shall should will would ought perhaps maybe possible possibly probably
probable likely unlikely potential potentially apparently seemingly supposedly allegedly reportedly
purportedly presumably theoretically theory ideally hopefully conditionally unconfirmed
almost nearly about around approximately roughly circa virtually practically partly partially mostly
mainly largely sometimes often usually generally normally typically occasionally least most minimum
maximum more less fewer below above before after minus plus under over beyond only merely solely
once formerly previously former ex late future fake mock toy alleged supposed called till until since
within except excluding barring save besides otherwise instead rather than yet soon
some several many few half quarter third majority minority percent hundred thousand lakh lac crore
million billion trillion dozen couple
if unless whether when whenever provided providing assuming suppose supposing case lest
or either nor was were had did
""")
_ENGLISH_STEMS = frozenset(
    map(
        stem,
        """
fail failure refuse refusal forget avoid stop cease quit deny denial doubt claim believe belief
rumour rumor allege allegation pretend pretence think thought suppose assume assumption hope want
wish plan intend expect try attempt promise propose proposal suggest seem appear say tell argue
assert suspect guess imagine dream predict prediction forecast estimate fear decline neglect omit
prevent prohibit forbid ban lack cancel revoke withdraw reject dispute contest disprove refute
dismiss oppose resist hesitate postpone delay threaten offer aim seek recommend advise encourage
invite joke opinion according consider hearsay gossip legend miss lose
""".split(),
    )
)
_VERDICT_STEMS = frozenset(
    map(
        stem,
        """
wrong false untrue myth rumour rumor hoax lie incorrect mistaken nonsense fiction legend disproved
refuted debunked inaccurate invalid void superseded revoked withdrawn cancelled outdated obsolete
""".split(),
    )
)
_HINDI = _folded("""
शायद संभवतः संभव मुमकिन लगभग करीब क़रीब तकरीबन सिर्फ केवल मात्र ही अगर यदि बशर्ते जब तब तक छोड़कर
सिवाय अलावा या अथवा पहले बाद पूर्व कम अधिक ज़्यादा न्यूनतम अधिकतम कुछ कई आधा आधे आधी पौन पौने सवा साढ़े
अधिकांश अधिकतर थोड़ा थोड़े थोड़ी कि सकता सकती सकते सके सकें चाहिए चाहता चाहती चाहते होगा होगी होंगे मना
इनकार इन्कार भूल भूला भूली भूले टाल टाला टाली रोक रोका रोकी छोड़ छोड़ा छोड़ी बंद दावा शक संदेह मानना मानते
मानता सोचता सोचते कहा कहना कहते कहता बताया बताते लगता कथित भूतपूर्व था थी थे सौ हज़ार लाख करोड़ अरब
प्रतिशत फ़ीसदी ऋण माइनस ऊपर नीचे वरना अन्यथा असफल विफल कोशिश इरादा वादा
""")
_TAMIL = _folded("""
ஒருவேளை சுமார் ஏறக்குறைய கிட்டத்தட்ட மட்டும் மட்டுமே குறைந்தது குறைந்தபட்சம் அதிகபட்சம் வரை முன்
முன்பு முன்னர் பின் பின்பு பின்னர் பிறகு குறைவாக குறைவான அதிகமாக அதிகமான மேல் கீழ் சில பல பாதி அரை
பெரும்பாலான பெரும்பாலும் அல்லது அல்லாமல் முடியும் வேண்டும் வேண்டியது கூடும் என்று என என்பது எனவும்
என்றால் தவிர முன்னாள் இருந்தது இருந்தார் மறுத்தார் மறுத்தது மறந்தார் மறந்தது தவறியது தவறினார்
நிறுத்தினார் நிறுத்தியது நம்புகிறார்கள் சந்தேகம் நூறு ஆயிரம் லட்சம் இலட்சம் கோடி சதவீதம் விழுக்காடு
மைனஸ் இல்லாவிட்டால் இல்லையென்றால் ஆனால்தான்
""")
_TAMIL_ENDINGS = ("லாம்", "வில்லை", "ாமல்", "ாவிட்டால்", "ந்தால்", "த்தால்", "ட்டால்", "ினால்")
_BENGALI = _folded("""
হয়তো সম্ভবত প্রায় কেবল শুধু মাত্র যদি যখন বা অথবা কিংবা আগে পরে কম বেশি কিছু কয়েক অনেক অর্ধেক অধিকাংশ
অন্তত সর্বোচ্চ সর্বনিম্ন পারে পারেন উচিত শত হাজার লক্ষ লাখ কোটি শতাংশ দাবি অস্বীকার সন্দেহ যে বলে বলেন
ছিল ছিলেন পর্যন্ত ভুলে বন্ধ চেষ্টা
""")
_VERDICTS = _folded("""
गलत ग़लत झूठ झूठा झूठी अफ़वाह अफवाह असत्य रद्द தவறு தவறான பொய் பொய்யான வதந்தி ভুল মিথ্যা গুজব বাতিল
""")

FILLERS = _folded("""
a an the this these those is are am be being been do does has have it its he she they of and also
there s है हैं यह वह ये वे இந்த அந்த இது அது ஆகும் এই সেই এটি হয়
""")
"""Articles, plain forms of “be”, “do” and “have”, and words that only point back."""

LIGHT = _folded("much very quite own well really still already just now too बहुत भी மிகவும் খুব")
"""Words that only stress: a sentence may leave them out, and not add them."""

NOUN_MARKS = _folded("a an the this these those its")
"""What a noun with its adjectives begins with."""

PRONOUNS = _folded("it he she they this these यह वह ये वे இது அது அவர் அவன் அவள் এটি সে তিনি")
"""What points back to a subject before."""

OPENERS = _folded("by in on at during")
"""What tells of place, time or manner before a statement or behind it."""

_EVERY = NEGATIONS | _ENGLISH | _HINDI | _TAMIL | _BENGALI | _VERDICTS


def is_verdict(word: str) -> bool:
    """Tell whether a word says of something said that it does not hold."""
    return fold(word) in _VERDICTS or (word.isascii() and stem(word) in _VERDICT_STEMS)


def is_qualifier(word: str) -> bool:
    """Tell whether a word limits, undoes or merely reports what is said around it."""
    plain = fold(word)
    if plain in _EVERY or plain.endswith(_TAMIL_ENDINGS) or is_verdict(word):
        return True
    return plain.isascii() and stem(word) in _ENGLISH_STEMS
