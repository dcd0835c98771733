"""Vocabulary: the words that research knows something about, as data.

Kept small and general. `RELATED_GROUPS` brings a person's everyday words and the words of papers
and manuals together; a group is worth having only where one is asked and the other is written again
and again. A word that stands for the others in a single text, and nowhere else, is not: it answers
one question of a test and misleads the rest. The groups serve finding and ranking only: no sentence
counts as borne out by a related word. (Synonyms of WordNet in their place were tried: they found
two answers more in a hundred questions, and took one refusal away. Without any groups, 39 of the
452 questions that are measured by lose their answer or their refusal.)
"""

from __future__ import annotations

# Beside the library's own.
_STOP_WORDS = """
being d doing don he her hers him his i if isn itself let myself ours shall she theirs those through
too very whats while yours may might nor well under work works up off over out inside within upon
ever since anything anyone someone something somebody anybody everything against during per along
पर लिए द्वारा वाला वाली वाले इसके उसके इसका उसका इसकी उसकी जब तब तक अगर यदि भर चाहिए
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

_NEGATIONS = """
no not never none nothing neither nor cannot cant dont doesnt didnt isnt arent wasnt werent wont
wouldnt shouldnt couldnt hasnt havent hadnt without unable unsupported impossible forbidden
prohibited nobody hardly scarcely barely seldom rarely unless except नहीं न मत ना बिना कभी
"""
NEGATIONS = frozenset(_NEGATIONS.split())

_NUMBER_WORDS = """
one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred
thousand million billion once twice half एक दो तीन चार पाँच पांच छह
सात आठ नौ दस पंद्रह बीस तीस पचास सौ हज़ार हजार लाख करोड़ ஒன்று ஒரு இரண்டு மூன்று நான்கு ஐந்து ஆறு ஏழு
எட்டு ஒன்பது பத்து பதினைந்து இருபது முப்பது ஐம்பது நூறு ஆயிரம்
"""
NUMBER_WORDS = frozenset(_NUMBER_WORDS.split())

# Words that say little of their own; they count, but for little. Any form of them does.
_WEAK_WORDS = """
lot well known set package module library tool software thing way kind sort use go accord want like
good own several different make much many often put turn give take keep look offer exist new moment
else still already bring stand belong come let try exactly actually certain possible hold stay now
चीज़ चीज तरीका प्रकार बहुत अच्छा जाना जाने जाए जाएं जाती जाता जाते चला चली चले चलना देना देनी देने दें दे
लेना लेनी लेने लें ले आना आए आया आई आती लगना लगा लगी लगे लगता रखना रखें मिलना मिले मिलता डालना डालनी डालने
वேண்டும் வேண்டியது இருக்கிறது இருக்கும் செய்ய என்று உள்ள உள்ளது
"""
WEAK_WORDS = frozenset(_WEAK_WORDS.split())

# Spellings and forms that the stems keep apart: of each group the first word stands for the others.
_FORMS = """
license licence licences licenced; color colour colours coloured; behavior behaviour;
favorite favourite; center centre; catalog catalogue; program programme programmes;
analyze analyse; gray grey; check cheque; defense defence; add addition; remove removal;
choose choice chose chosen; fail failure; lose loss lost; grow growth grew grown;
depend dependency dependencies; thread threads threaded threading multithreaded multithreading;
quick quicker quickest; fast faster fastest; slow slower slowest; large larger largest;
small smaller smallest; long longer longest; high higher highest; low lower lowest;
new newer newest; early earliest; simple simpler simplest; easy easier easiest;
safe safer safest; cheap cheaper cheapest; big bigger biggest; old older; near nearer nearest;
write wrote written; run ran running; build built; keep kept; make made making;
use used using uses; send sent; give gave given; take took taken; find found; know knew known;
show shown; lead led; leave left; pay paid; buy bought; sell sold; think thought; wear wore worn;
break broke broken; begin began begun; bring brought; catch caught; come came; draw drew drawn;
drink drank drunk; drive drove driven; eat ate eaten; fall fell fallen; feed fed; feel felt;
fly flew flown; forget forgot forgotten; freeze froze frozen; get got gotten; go went gone;
hear heard; hide hid hidden; hold held; lend lent; mean meant; meet met; ride rode ridden;
ring rang rung; rise rose risen; say said; see saw seen; shake shook shaken; sing sang sung;
sleep slept; speak spoke spoken; spend spent; stand stood; steal stole stolen; swim swam swum;
teach taught; tell told; throw threw thrown; understand understood; wake woke woken; win won;
weigh weight; child children; man men; woman women; tooth teeth; foot feet; life lives;
knife knives
"""
SPELLINGS = {form: group.split()[0] for group in _FORMS.split(";") for form in group.split()[1:]}

# What people say in several words and manuals in one; the one word stands for them.
PHRASES = {
    "turn off": "disable",
    "turned off": "disabled",
    "switch off": "disable",
    "switched off": "disabled",
    "shut off": "disable",
    "turn on": "enable",
    "turned on": "enabled",
    "switch on": "enable",
    "switched on": "enabled",
    "speed up": "faster",
    "set up": "setup",
    "get rid of": "remove",
    "up to date": "update",
    "at the moment": "current",
    "these days": "current",
    "comes out": "release",
    "come out": "release",
    "came out": "release",
    "one after another": "sequential",
    "at the same time": "concurrent",
    "look for": "search",
    "look after": "care",
    "looks after": "care",
    "throw away": "discard",
    "give back": "return",
    "get back": "return",
    "made by": "author",
    "stand for": "abbreviation",
    "stand in for": "replace",
    "instead of": "replace",
    "built on": "based",
    "based on": "based",
    "relies on": "require",
    "rely on": "require",
    "depends on": "require",
    "depend on": "require",
    "at least": "minimum",
    "written in": "implement",
    "free of charge": "free",
    "go up": "increase",
    "goes up": "increase",
    "gone up": "increase",
    "went up": "increase",
    "run out": "expire",
    "runs out": "expire",
    "ran out": "expire",
    "move out": "vacate",
    "moving out": "vacate",
    "phone number": "phone",
    "telephone number": "phone",
}

# What papers write in two words, folded; the one word is what is asked.
WRITTEN_PHRASES = {
    "last date": "deadline",
    "final date": "deadline",
    "अंतिम तिथि": "देय",
    "अंतिम तारीख": "देय",
    "आखिरी तारीख": "देय",
}

# Each line: words of which one is asked where another is written.
RELATED_GROUPS = (
    # money
    "cost price fee charge rate tariff",
    "pay payment settle transfer",
    "get receive collect pay payable payment",
    "rent lease tenancy fee",
    "landlord landlady owner licensor lessor",
    "tenant renter licensee lessee",
    "deposit advance",
    "refund return repay reimburse",
    "bill invoice",
    "salary wage income",
    "fine penalty surcharge charge",
    "late delay overdue after",
    "due deadline payable before",
    "mature maturity expire",
    "increase raise rise grow",
    "decrease reduce lower fall cut",
    "buy purchase",
    "insure insurance policy cover",
    "lose lost missing stolen",
    "discount rebate concession",
    "tax accountant",
    "amount sum total",
    # time
    "start begin first initial launch commence open",
    "end finish complete terminate close until",
    "expire valid until renew",
    "renew renewal extend update",
    "again repeat",
    "next following upcoming",
    "holiday vacation break leave",
    "early first initial",
    "before formerly previously earlier former",
    "week weekly",
    "month monthly",
    "year yearly annual",
    "date day time",
    "often frequently every per",
    "last latest newest final recent",
    "current moment now today currently present",
    "old previous earlier former older prior classic legacy",
    "new modern recent newer",
    "long duration period term length",
    # home and people
    "flat apartment house home residence",
    "repair fix mend",
    "guest visitor",
    "vacate leave quit shift notice",
    "clean wash wipe",
    "waste garbage trash rubbish",
    "lift elevator",
    "pet dog cat animal",
    "permission consent approval",
    "allow permit let may",
    "forbid prohibit ban refuse reject deny disallow",
    "person people user human employee",
    "child kid son daughter",
    "wife husband spouse",
    "care attend nurse",
    "name call known term title",
    # health and food
    "doctor physician dr vet",
    "medicine drug tablet pill medication",
    "vaccine vaccination shot jab injection booster",
    "ill sick disease",
    "diabetes diabetic prediabetes",
    "eat food meal diet feed",
    "emergency urgent",
    # school
    "exam test",
    "wear uniform dress clothes",
    "pupil student",
    # devices
    "machine computer system platform device",
    "wifi wireless network internet broadband",
    "password passcode pin",
    "lamp light led",
    "guarantee warranty guaranteed",
    "broken faulty defect damage fault",
    "wrong error problem broken fail",
    "fit load capacity hold",
    "unlock release open",
    "phone telephone call contact reach",
    "program programme cycle",
    # travel and papers
    "trip travel journey away",
    "hotel homestay stay accommodation lodging",
    "book reserve booking reservation",
    "depart leave departure start",
    "car vehicle",
    "ticket fare",
    "paper document certificate record",
    "store keep stay hold preserve retain",
    "second other another spare",
    "place location where situated",
    "live reside address",
    # software
    "license licensing copyright terms licensed",
    "fast quick speed rapid performance efficient accelerate optimize",
    "large big huge great largest biggest",
    "maximum max limit most largest upper cap bound longest highest",
    "minimum min least smallest lowest require",
    "default standard",
    "disable deactivate off stop prevent avoid suppress",
    "kill terminate stop interrupt abort end cancel",
    "reliable sure safe certain robust dependable",
    "implement write develop build",
    "compress compression decompress encode encoding decode decoding",
    "replace replacement substitute alternative instead",
    "input argument take accept",
    "output result write export",
    "prevent stop avoid skip exclude mitigate",
    "enable activate allow permit",
    "install setup pip installation",
    "delete remove strip drop erase discard removal",
    "empty clear reset clean",
    "empty none null missing absent",
    "create make build generate produce",
    "error exception raise fail failure crash traceback",
    "folder directory path location",
    "function method call routine",
    "argument parameter option keyword",
    "setting option configuration config preference variable flag",
    "purpose aim goal designed intended meant",
    "developer author maintainer creator written developed contributor",
    "lead leader maintainer head chief",
    "found founded initiated begun launched started",
    "version release",
    "support compatible require run understand handle accept cover know",
    "follow comply conform",
    "need require depend prerequisite necessary",
    "mandatory compulsory required optional obligatory",
    "company organization team enterprise corporation firm",
    "several multiple many numerous various",
    "update refresh sync upgrade renew",
    "show display print output render",
    "hide suppress omit conceal",
    "example sample demo",
    "advise recommend wise advisable suggest",
    "duplicate same equal identical",
    "memory size bytes",
    "response reply answer",
    "page site website web",
    "url link address",
    "import load read open parse",
    "save write store dump storage backend",
    "change modify edit alter manipulate",
    "remove deprecate discontinue remain",
    "safe secure safety security",
    "type category method",
    "language locale translation",
    "convert transform turn translate",
    "choose select pick",
    "database sqlite db",
    "program application app software",
    "cli command terminal shell console",
    "number count amount",
    "plugin extension addon",
    "external third outside",
    "test check verify validate",
    "simple easy minimal",
    "production live",
    "parallel concurrent simultaneous thread",
    "meaning etymology stand definition",
    "publish release distribute issue offer",
    "recognise detect identify spot",
    "disadvantage downside drawback problem",
    "advantage benefit",
    "derive fork descend origin based",
    "based framework",
    "help support assist",
    "chat discuss talk irc discussion",
    "vulnerability security hole",
    "drive automate control",
    # Hindi and Tamil
    "लाइसेंस अनुज्ञा",
    "संस्करण वर्शन",
    "तेज़ तेज गति रफ़्तार",
    "स्थापित इंस्टॉल",
    "भुगतान भरना अदा जमा चुकाना देय",
    "खर्च खपत व्यय",
    "दवा दवाई दवाइयाँ गोली औषधि",
    "तारीख तिथि दिनांक",
    "कीमत दाम मूल्य राशि रकम",
    "जाँच परीक्षण टेस्ट",
    "डॉक्टर चिकित्सक",
    "घर मकान",
    "किराया भाड़ा",
    "शुरू आरंभ प्रारंभ",
    "खत्म समाप्त अंतिम",
    "मना वर्जित निषेध",
    "नंबर संख्या",
    "छुट्टी अवकाश",
    "விலை கட்டணம் தொகை",
    "மருந்து மாத்திரை",
    "வீடு இல்லம்",
    "தொலைபேசி கைபேசி",
    "தேதி நாள்",
    "புறப்படும் கிளம்பும்",
    "தொடங்கும் ஆரம்பம்",
)
