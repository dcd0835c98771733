"""Cues: by which words a question tells what kind of answer it wants, and that it asks at all.

Patterns of Indian words are without `\\b`, which does not see the end of a word with a vowel sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from regend.agents.evidence.words import stem

_CUES = {
    "time": r"\bwhen\b|\bwhat time\b|\b(?:what|which) (?:day|dates?|month)\b"
    r"|कब|किस (?:दिन|तारीख|महीने)|எப்போது|எத்தனை மணி",
    "license": r"\blicen[cs]\w*|लाइसेंस",
    "way": r"\bhow (?:do|can|could|should|would|to|might)\b|\bcommand\b|\bsteps?\b"
    r"|\bwhat (?:must|should|can) (?:i|we|you)\b|कैसे|எப்படி",
    "reason": r"\bwhy\b|\bwhat for\b|क्यों|ஏன்",
    "person": r"\bwho(?:m|se)?\b|कौन|किसने|किसका|किसके|யார",
    "place": r"\bwhere\b|\bat which\b|\bin which (?:folder|directory|file)\b"
    r"|कहाँ|कहां|எங்கே|எங்கு",
    "address": r"\bwhich (?:flat|house|room|floor|street|town|city|building|wing)\b",
    "definition": r"\bwhat (?:does|do|is meant by) .{1,60}\b(?:mean|stand for)\b"
    r"|^what (?:is|are) (?:a |an |the )?\S+\s*\??$",
    "superlative": r"\b(?:fast|quick|slow|larg|bigg|small|high|low|long|cheap|simpl|easi|saf)est\b"
    r"|\b(?:best|worst|most|least)\b",
    "group": r"\b(?:compan(?:y|ies)|organi[sz]ations?|universit(?:y|ies)|agenc(?:y|ies)|firms?"
    r"|institutes?|projects|teams)\b",
    "yes": r"^(?:can|could|does|do|is|are|will|would|should|may|must|has|have|did|was)\b",
}
_CUE_PATTERNS = {cue: re.compile(pattern, re.IGNORECASE) for cue, pattern in _CUES.items()}
_KIND_WORDS = {
    cue: frozenset(map(stem, said.split()))
    for cue, said in {
        "license": "licence",
        "group": "company organization university agency firm institute project team",
    }.items()
}
_ASKING = (
    r"(?:who|whom|whose|what|when|where|which|why|how|is|are|was|were|do|does|did|can|could|should"
    r"|will|would|may|must|has|have)\b"
)
_INDIAN_ASKING = (
    r"(?:क्या|कौन|कब|कहाँ|कहां|क्यों|कैसे|कितन|किस|எப்போது|எங்கே|எங்கு|எவ்வளவு|எத்தனை|யார|என்ன|ஏன்|எப்படி)"
)
_SECOND = re.compile(
    rf"[,;]?\s+(?:and|but)\s+(?=(?:(?:in|at|on|from|until|by|for|since|to|with)\s+)?{_ASKING})"
    rf"|\?\s+(?={_ASKING})|[,;]?\s+(?:और|மற்றும்)\s+(?=.*{_INDIAN_ASKING})",
    re.IGNORECASE,
)
_OPENS_ASKING = re.compile(rf"\W*{_ASKING}", re.IGNORECASE)
_INDIAN_ASKS = re.compile(
    r"(?<!\S)(?:क्या|कौन|कब|कहाँ|कहां|क्यों|कैसे|कितना|कितनी|कितने|किस|किसे|किसने|किसका|किसकी|किसके"
    r"|எப்போது|எங்கே|எங்கு|எவ்வளவு|எத்தனை|யார்|என்ன|ஏன்|எப்படி)(?=[\s?।,]|$)"
)
_ASKS = re.compile(rf"\b{_ASKING}|{_INDIAN_ASKING}", re.IGNORECASE)


def asked_kinds(question: str) -> frozenset[str]:
    """Return the kinds of answer that a question wants."""
    return frozenset(kind for kind, pattern in _CUE_PATTERNS.items() if pattern.search(question))


def kind_words(cues: Iterable[str]) -> frozenset[str]:
    """Return the stems of words that only name a kind of answer, which need not repeat them."""
    return frozenset[str]().union(*(_KIND_WORDS.get(cue, frozenset()) for cue in cues))


def second_askings(question: str) -> list[tuple[int, int]]:
    """Return the spans of what stands between two things that a question asks ("…, and …")."""
    joints = _SECOND.finditer(question)
    return [joint.span() for joint in joints if _ASKS.search(question, 0, joint.start())]


def asks(sentence: str) -> bool:
    """Tell whether a sentence asks, with or without a question mark."""
    ends = sentence.rstrip("\"'”’» )*_").endswith(("?", "؟"))
    return ends or bool(_OPENS_ASKING.match(sentence) or _INDIAN_ASKS.search(sentence))
