"""Vocabulary: the words that research knows something about, as data.

Kept small and general. `RELATED_GROUPS` brings a person's everyday words and the words of manuals
together; a group is worth having only where one is asked and the other is written again and again.
"""

from __future__ import annotations

# Beside the library's own.
_STOP_WORDS = """
being d doing don he her hers him his i if isn itself let myself ours shall she theirs those through
too very whats while yours may might nor well under work works up off over out
पर लिए द्वारा वाला वाली वाले इसके उसके इसका उसका इसकी उसकी
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

_NEGATIONS = """
no not never none nothing neither nor cannot cant dont doesnt didnt isnt arent wasnt werent wont
wouldnt shouldnt couldnt hasnt havent hadnt without unable unsupported impossible forbidden
prohibited नहीं न मत ना बिना कभी
"""
NEGATIONS = frozenset(_NEGATIONS.split())

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

_NUMBER_WORDS = """
one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred
thousand million billion once twice half एक दो तीन चार पाँच पांच छह
सात आठ नौ दस सौ हज़ार हजार लाख करोड़
"""
NUMBER_WORDS = frozenset(_NUMBER_WORDS.split())

# Words that say little about which document is meant; they count, but for little.
_WEAK_WORDS = """
lot lots well known set package packages module library tool project software thing things way
ways kind python use used
using uses want need needs like good own several different make much many often well known get put
turn give take say see look offer offers exist exists new moment myself else still already
चीज़ चीज तरीका प्रकार बहुत अच्छा
"""
WEAK_WORDS = frozenset(_WEAK_WORDS.split())

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
    "addition": "add",
    "removal": "remove",
    "choice": "choose",
    "failure": "fail",
    "loss": "lose",
    "growth": "grow",
    "quicker": "quick",
    "quickest": "quick",
    "faster": "fast",
    "fastest": "fast",
    "slower": "slow",
    "slowest": "slow",
    "larger": "large",
    "largest": "large",
    "smaller": "small",
    "smallest": "small",
    "longer": "long",
    "longest": "long",
    "higher": "high",
    "highest": "high",
    "lower": "low",
    "lowest": "low",
    "newer": "new",
    "latest": "late",
    "simpler": "simple",
    "simplest": "simple",
    "easier": "easy",
    "easiest": "easy",
    "safer": "safe",
    "cheaper": "cheap",
    "cheapest": "cheap",
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

# What people say in several words and manuals in one; the word is asked for too.
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
    "throw away": "discard",
    "give back": "return",
    "made by": "author",
    "stand for": "abbreviation",
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
    "old previous earlier former older prior classic legacy",
    "remove deprecate discontinue remain",
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
