"""Stems: what is left of a word when its inflection is cut off.

A question rarely has the very form of the word that the document uses, so both sides are reduced
to stems before they meet. English follows Porter's rules (M. F. Porter, “An algorithm for suffix
stripping”, Program 14(3), 1980). Indian languages lose their commonest case, number and person
endings, longest first, and only while enough of the word remains; that is a light touch on
purpose, since a wrong cut joins words that have nothing in common.

Pure and deterministic: the index stores stems, so a change here is a new `words.ANALYSIS`.
"""

from __future__ import annotations

import re

_SHORTEST_STEM = 2  # letters that an Indian word keeps at least; vowel signs do not count

_VC = re.compile("v+c+")
_SHAPES = {point: "v" if chr(point) in "aeiou" else "c" for point in range(128)}
_STEP_2 = {
    "ational": "ate",
    "ization": "ize",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "tional": "tion",
    "biliti": "ble",
    "entli": "ent",
    "ousli": "ous",
    "ation": "ate",
    "alism": "al",
    "aliti": "al",
    "iviti": "ive",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "abli": "able",
    "alli": "al",
    "ator": "ate",
    "logi": "log",
    "eli": "e",
    "bli": "ble",
}
_STEP_3 = {
    "icate": "ic",
    "ative": "",
    "alize": "al",
    "iciti": "ic",
    "ical": "ic",
    "ness": "",
    "ful": "",
}
_STEP_4 = (
    *("ement", "ance", "ence", "able", "ible", "ment", "sion", "tion", "ant", "ent"),
    *("ism", "ate", "iti", "ous", "ive", "ize", "al", "er", "ic", "ou"),
)


def english_stem(word: str) -> str:
    """Return the Porter stem of a lower-case ASCII word; words of up to two letters stay whole."""
    if len(word) <= 2 or not word.isalpha():
        return word
    word = _without_plural(word)
    word = _without_past(word)
    if word.endswith("y") and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    word = _replaced(word, _STEP_2)
    word = _replaced(word, _STEP_3)
    word = _without_derivation(word)
    return _without_final_e(word)


def _shape(word: str) -> str:
    """Return `c` and `v` for the consonants and vowels; y is a vowel after a consonant."""
    if "y" not in word:
        return word.translate(_SHAPES)
    shape = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and shape.endswith("c"))
        shape += "v" if vowel else "c"
    return shape


def _measure(word: str) -> int:
    """Return how many vowel-consonant groups a word has: Porter's m."""
    return len(_VC.findall(_shape(word)))


def _ends_short(word: str) -> bool:
    """Tell whether a word ends consonant-vowel-consonant with a last letter other than w, x, y."""
    return _shape(word).endswith("cvc") and word[-1] not in "wxy"


def _without_plural(word: str) -> str:
    if word.endswith("sses") or word.endswith("ies"):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _without_past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        stem = word.removesuffix(suffix)
        if stem != word and "v" in _shape(stem):
            return _restored(stem)
    return word


def _restored(stem: str) -> str:
    """Give a stem back the letter that -ed or -ing had swallowed or doubled."""
    if stem.endswith(("at", "bl", "iz")):
        return stem + "e"
    doubled = len(stem) > 1 and stem[-1] == stem[-2] and _shape(stem)[-1] == "c"
    if doubled and stem[-1] not in "lsz":
        return stem[:-1]
    return stem + "e" if _measure(stem) == 1 and _ends_short(stem) else stem


def _replaced(word: str, endings: dict[str, str]) -> str:
    if not word.endswith(tuple(endings)):
        return word
    for suffix, replacement in endings.items():
        if word.endswith(suffix):
            stem = word.removesuffix(suffix)
            return stem + replacement if _measure(stem) > 0 else word
    return word


def _without_derivation(word: str) -> str:
    if not word.endswith(_STEP_4):
        return word
    for suffix in _STEP_4:
        if word.endswith(suffix):
            kept = 1 if suffix in ("sion", "tion") else 0
            stem = word[: len(word) - len(suffix) + kept]
            return stem if _measure(stem) > 1 else word
    return word


def _without_final_e(word: str) -> str:
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _ends_short(word[:-1])):
            word = word[:-1]
    if word.endswith("ll") and _measure(word) > 1:
        word = word[:-1]
    return word


def _longest_first(endings: str) -> tuple[str, ...]:
    return tuple(sorted(endings.split(), key=len, reverse=True))


# Hindi and Marathi share a script and so a list; vowel signs at the end are case and number.
_DEVANAGARI = _longest_first(
    "ाओं ियों ाइयों ियां ाइयां ाएं ाएगा ाएगी ाएंगे ेगा ेगी ेंगे ूंगा ूंगी ाना ाने ानी ता ते ती ना ने नी "
    "कर ाओ िए ाई ाए ों ें ीं ां ो े ू ु ी ि ा "
    "ांनी ांना ांचा ांची ांचे ांच्या ाच्या ाचा ाची ाचे ेच्या ेचा ेची ेचे ामध्ये ांमध्ये ेमध्ये ातील "
    "ाला ेला ाने ात ेत ावर ांवर ेवर ासाठी ांसाठी"
)
_ENDINGS: dict[int, tuple[str, ...]] = {
    0x09: _DEVANAGARI,
    0x0980: _longest_first(
        "গুলির গুলোর গুলিকে গুলোকে গুলিতে গুলোতে গুলি গুলো দেরকে দের েরা টির টিকে টিতে টি টার টাকে টা "
        "য়ের ের েতে তে কে রা র ে"
    ),
    0x0A00: _longest_first("ਾਂ ੀਆਂ ਿਆਂ ੀਆ ਿਓ ੋ ੇ ਾ ੀ ਿ ੁ ੂ"),
    0x0A80: _longest_first("ોમાં ાઓ ીઓ ઓને ઓની ઓનો ઓમાં ઓ માં થી ને ની નો નું ના ો ા ી ે ું"),
    0x0B00: _longest_first("ମାନଙ୍କର ମାନଙ୍କୁ ମାନେ ଗୁଡ଼ିକ ରେ ରୁ ର କୁ ଟି"),
    0x0B80: _longest_first(
        "ுகளின் ுகளில் ுகளை ுகளுக்கு ுகள் ங்களின் ங்களில் ங்களை ங்களுக்கு ங்களால் ங்கள் ங்களுடன் "
        "களின் களில் களை களுக்கு களால் களுடன் கள் "
        "த்தின் த்தில் த்தை த்திற்கு த்தால் த்துடன் ம் யின் யில் யை யால் யுடன் வின் வில் வை வால் ிற்கு "
        "ுக்கு க்கு ின் ில் ால் ுடன் ை ு"
    ),
    0x0C00: _longest_first(
        "ాలను ాలకు ాలలో ాలతో ాలు లను లకు లలో లతో లు ములు మును మునకు ము ను ని కు కి లో తో ంలో ం"
    ),
    0x0C80: _longest_first(
        "ಗಳನ್ನು ಗಳಿಗೆ ಗಳಲ್ಲಿ ಗಳಿಂದ ಗಳ ಗಳು ವನ್ನು ವನ್ನ ಯನ್ನು ನ್ನು ದಲ್ಲಿ ಯಲ್ಲಿ ಲ್ಲಿ ಕ್ಕೆ ಿಂದ ಯಿಂದ ದಿಂದ ಿಗೆ ಗೆ ದ ಯ ವು ು"
    ),
    0x0D00: _longest_first(
        "ങ്ങളുടെ ങ്ങളിൽ ങ്ങളെ ങ്ങൾക്ക് ങ്ങൾ കളുടെ കളിൽ കളെ കൾക്ക് കൾ ത്തിന്റെ ത്തിൽ ത്തെ ത്തിന് ത്തിലെ "
        "ിന്റെ യുടെ ുടെ ിൽ യിൽ ിലെ യിലെ ിന് യ്ക്ക് ക്ക് െ യെ ാൽ യാൽ ം"
    ),
}


def indian_stem(word: str) -> str:
    """Return a word of an Indian script without its ending; other words come back as they are.

    The word must be folded (`words.fold`).
    """
    point = ord(word[0])
    block = 0x09 if 0x0900 <= point < 0x0980 else point & ~0x7F
    for ending in _ENDINGS.get(block, ()):
        if word.endswith(ending):
            stem = word[: -len(ending)]
            if sum(map(str.isalpha, stem)) >= _SHORTEST_STEM:
                return stem
    return word
