"""Vocabulary: the words that research knows something about, as data.

Kept small and general. `RELATED_GROUPS` brings a person's everyday words and the words of manuals
together; a group is worth having only where one is asked and the other is written again and again.
"""

from __future__ import annotations

STOP_WORDS = frozenset(
    """
    a an and are as at be been being but by can could d did do does doing don for from had has have
    having he her hers him his how i if in into is isn it its itself let me my myself of on or our
    ours s shall she should so such t than that the their theirs them then there these they this
    those through to too us very was we were what whats when where which while who whom whose why
    will with would you your yours just about any some also itself am may might must no not nor
    please tell explain well mean get got out up off over under work works
    का के की को से में पर ने और या है हैं था थे थी थीं हो होता होती होते हूँ हूं एक यह ये वह वे इस उस इन उन
    इसके उसके इसका उसका इसकी उसकी क्या कौन कौनसा कौनसी कब कहाँ कहां क्यों कैसे कितना कितने कितनी किस किसने
    किसका किसके किसकी किन जो तो ही भी तक लिए साथ कर करता करते करती किया गया गई गए जाता जाती जाते मैं हम आप तुम
    मुझे हमें आपको मेरा मेरी मेरे अपना अपनी अपने बताओ बताइए सकता सकते सकती नहीं न मत कि द्वारा वाला वाली वाले
    """.split()
)

NEGATIONS = frozenset(
    """
    no not never none nothing neither nor cannot cant dont doesnt didnt isnt arent wasnt werent wont
    wouldnt shouldnt couldnt hasnt havent hadnt without unable unsupported impossible forbidden
    prohibited नहीं न मत ना बिना कभी
    """.split()
)

# Words that turn a statement round when one stands in for the other.
OPPOSITES = (
    ("enable", "disable"),
    ("always", "never"),
    ("before", "after"),
    ("minimum", "maximum"),
    ("more", "less"),
    ("true", "false"),
    ("allow", "forbid"),
    ("required", "optional"),
    ("faster", "slower"),
    ("first", "last"),
    ("increase", "decrease"),
    ("include", "exclude"),
    ("safe", "unsafe"),
    ("public", "private"),
    ("compatible", "incompatible"),
    ("supported", "unsupported"),
    ("older", "newer"),
    ("all", "some"),
    ("synchronous", "asynchronous"),
    ("above", "below"),
    ("start", "stop"),
    ("accept", "reject"),
    ("success", "failure"),
    ("hot", "cold"),
    ("open", "closed"),
    ("only", "also"),
)

NUMBER_WORDS = frozenset(
    """
    one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred
    thousand million billion once twice half एक दो तीन चार पाँच पांच छह सात आठ नौ दस सौ हज़ार हजार लाख करोड़
    """.split()
)

SPELLINGS = {
    "licence": "license",
    "licences": "license",
    "licenced": "license",
    "colour": "color",
    "colours": "color",
    "coloured": "color",
    "behaviour": "behavior",
    "favourite": "favorite",
    "centre": "center",
    "catalogue": "catalog",
    "programme": "program",
    "programmes": "program",
    "analyse": "analyze",
    "grey": "gray",
    "cheque": "check",
    "defence": "defense",
    "quicker": "quick",
    "biggest": "big",
    "bigger": "big",
    "older": "old",
    "newest": "new",
    "dependencies": "depend",
    "dependency": "depend",
    "written": "write",
    "wrote": "write",
    "ran": "run",
    "running": "run",
    "built": "build",
    "kept": "keep",
    "made": "make",
    "making": "make",
    "using": "use",
    "used": "use",
    "uses": "use",
    "chosen": "choose",
    "sent": "send",
    "given": "give",
    "taken": "take",
    "found": "find",
    "known": "know",
    "shown": "show",
    "led": "lead",
    "left": "leave",
    "paid": "pay",
    "bought": "buy",
    "sold": "sell",
    "thought": "think",
    "threads": "thread",
    "threaded": "thread",
    "threading": "thread",
    "multithreaded": "thread",
    "multithreading": "thread",
}

RELATED_GROUPS = (
    "license licensing copyright terms licensed",
    "fast quick speed rapid performance efficient accelerate optimize",
    "large big huge great largest biggest",
    "maximum max limit most largest upper cap bound longest highest",
    "minimum min least smallest lowest",
    "default standard",
    "disable deactivate off stop prevent avoid suppress",
    "prevent stop avoid skip without exclude keep",
    "enable activate allow permit",
    "install setup pip installation",
    "delete remove strip drop erase discard removal",
    "clean clear trim remove",
    "create make build generate produce",
    "error exception raise fail failure crash traceback",
    "folder directory path location",
    "function method call routine",
    "argument parameter option keyword",
    "setting option configuration config preference variable flag",
    "purpose use aim goal designed intended",
    "developer author maintainer creator written developed contributor",
    "lead leader maintainer head chief",
    "version release",
    "last latest newest final recent",
    "current moment now today currently present",
    "support compatible require work run understand handle",
    "need require depend prerequisite necessary",
    "company organization team enterprise corporation firm",
    "several multiple many numerous",
    "update refresh sync upgrade renew",
    "show display print output render",
    "start begin first initial launch",
    "end finish complete terminate",
    "name call term title",
    "week weekly",
    "month monthly",
    "year yearly annual",
    "cost price fee charge subscription",
    "example sample demo",
    "advise recommend wise advisable suggest",
    "duplicate same equal share identical",
    "reject refuse prohibit forbid disallow deny",
    "memory size bytes",
    "often frequently every per",
    "keep preserve retain stay hold",
    "empty none null missing absent",
    "response reply answer",
    "page site website web",
    "url link address",
    "import load read open parse",
    "save write store dump",
    "change modify edit alter manipulate",
    "old previous earlier former older prior",
    "new modern recent newer",
    "safe secure safety security",
    "person people user human employee",
    "machine computer system platform",
    "kind type sort category method algorithm",
    "convert transform turn translate",
    "choose select pick",
    "database sqlite db",
    "program application app software",
    "number count amount",
    "plugin extension addon",
    "external third outside",
    "test check verify validate",
    "date day time",
    "simple easy minimal",
    "production live",
    "parallel concurrent simultaneous thread",
    "meaning etymology stand definition",
    "publish release distribute issue offer",
    "लाइसेंस अनुज्ञा",
    "संस्करण वर्शन",
    "तेज़ तेज गति रफ़्तार",
    "स्थापित इंस्टॉल",
)
