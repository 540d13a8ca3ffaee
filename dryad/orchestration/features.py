"""What the scorer sees of a request: named features of its text, each for one dimension.

All are counts or shares a person can check by hand. What stands in quotation marks is material,
not work, and is left out of them.
"""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Dimension = Literal["scope", "expertise", "uncertainty", "interdependence", "risk"]

MOST_CHARACTERS = 20_000
"""More of a request is not looked at: what it asks for stands in its first pages."""

_QUOTED = re.compile(
    r"\"[^\"]{0,5000}\"|“[^”]{0,5000}”|`[^`]{0,5000}`|(?<!\w)'[^'\n]{0,2000}'(?!\w)"
)
_PARENTHESES = re.compile(r"\([^()]{0,500}\)")
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_SENTENCE = re.compile(r"[.!?](?:\s|$)|\n+")
_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+\S", re.MULTILINE)
_MATERIAL = re.compile(r"\b[\w-]{1,60}\.\w{2,4}\b|https?://\S+", re.IGNORECASE)

_WORK = (
    "add adjust align analy[sz]e answer apply arrange ask assess attend book borrow build buy "
    "calculate call categori[sz]e change check choose classify clean collect colori[sz]e combine "
    "compare compose compute convert correct count create crop cut decide define deliver deploy "
    "describe design detect determine download draft edit email enhance enrol+ estimate evaluate "
    "examine expand explain explore export extend extract fetch file fill filter find fix format "
    "generate get give grade group help highlight identify illustrate implement improve include "
    "inform insert install investigate join label learn list locate look make manipulate match "
    "measure merge message migrate modify monitor move narrate note notify obtain open optimi[sz]e "
    "order organi[sz]e outline paraphrase pay perform plan play plot post predict prepare present "
    "print process produce provide publish purchase rank read recogni[sz]e recommend record reduce "
    "refine register remind remove render replace report request research reserve reset restore "
    "retrieve return reverse review revise rewrite run save schedule search see segment select "
    "sell send set share show simplify sort split spin stabili[sz]e start stitch store stream "
    "stylize submit subscribe suggest summari[sz]e synchroni[sz]e synthesi[sz]e tag take tell test "
    "transcribe transform translate turn update upload use validate verify view visit visuali[sz]e "
    "voice watch write"
)
_DOING = re.compile(
    rf"\b(?:{'|'.join(re.sub(r'e$', 'e?', word) for word in _WORK.split())})(?:ing|ed|d)?\b",
    re.IGNORECASE,
)
_JOINED_DOING = re.compile(
    r"(?:,|;|\band\b|\bthen\b|\balso\b|\bto\b|[.]\s|^\s*(?:\d+[.)]|[-*•]))\s*"
    r"(?:then |also |finally |please |to |i(?: would|'d)? (?:like|want|need) to )*"
    rf"(?:{'|'.join(_WORK.split())})\b",
    re.IGNORECASE | re.MULTILINE,
)
_LATER = re.compile(
    r"\b(?:then|after(?:wards?)?|next|finally|lastly|once|before|subsequently|later|followed by|"
    r"first(?:ly)?|second(?:ly)?|third(?:ly)?)\b",
    re.IGNORECASE,
)
_BACK = re.compile(
    r"\b(?:(?:the|this|that|these|those)\s+(?:\w+ed|result\w*|output|new|final|same|resulting|"
    r"updated|above)|based on|according to|from (?:it|them|that|this)|using (?:it|them|that|this)|"
    r"it|them|both|each)\b",
    re.IGNORECASE,
)
_ALSO = re.compile(
    r"\b(?:also|additionally|in addition|as well|moreover|besides|along with|plus)\b", re.IGNORECASE
)
_AND = re.compile(r"\band\b|&", re.IGNORECASE)
_QUESTION = re.compile(r"\?|^\W*(?:how|what|which|when|where|why|who)\b", re.IGNORECASE)
_CONDITION = re.compile(
    r"\b(?:if|unless|otherwise|depending|in case|whether|until)\b", re.IGNORECASE
)
HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|somehow|roughly|unclear|unknown|not sure|if possible|"
    r"depending|should we|might|some kind of|something like|or something|whatever|etc|"
    r"as you see fit|i guess)\b",
    re.IGNORECASE,
)
"""Words that leave open what is wanted."""

_FIELDS: Mapping[str, str] = {
    "sound": r"audio|music|sound|song|speech|voice|podcast|wav|mp3",
    "picture": r"images?|photos?|pictures?|jpe?g|png|drawing|colou?rs?|visual\w*",
    "film": r"videos?|movies?|films?|mp4|clips?|footage",
    "language": r"text|article|translat\w*|summar\w*|paragraph|grammar|essay|sentences?|documents?",
    "numbers": r"calculat\w*|average|mean|sum|percent\w*|statistic\w*|number|total|\d\s*[-+*/]",
    "data": r"data(?:set|base)?|sql|tables?|csv|spreadsheets?|quer(?:y|ies)|schema",
    "software": r"code|software|api|app|deploy\w*|server|bug|test\w*|install\w*|website|program",
    "travel": r"flights?|hotels?|trip|travel\w*|taxi|uber|tickets?|vacation",
    "money": r"pay\w*|tax\w*|stocks?|invoices?|bank|insurance|cards?|budget|price\w*|buy|sell",
    "message": r"e-?mails?|messages?|sms|call|notif\w*|inform|contact",
    "time": r"calendar|schedul\w*|meeting|appointment|alarm|remind\w*|agenda",
    "health": r"doctor|dr|health|medic\w*|patient|symptoms?",
    "law": r"legal|law|contracts?|complian\w*|polic(?:y|ies)|gdpr|licen[cs]e",
    "security": r"security|vulnerab\w*|passwords?|encrypt\w*|breach|threat\w*|access",
    "learning": r"course|learn\w*|tutorial|university|study|teach\w*|school",
    "news": r"news|weather|trends?|market",
}  # fmt: skip
_FIELD_PATTERNS = {
    name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in _FIELDS.items()
}

DIMENSION_OF: Mapping[str, Dimension] = MappingProxyType({
    "words": "scope",
    "separators": "scope",
    "conjunctions": "scope",
    "things_to_do": "scope",
    "joined_things_to_do": "scope",
    "additions": "scope",
    "further_fields": "expertise",
    "kinds_of_material": "expertise",
    "quoted_share": "scope",
    "words_a_sentence": "scope",
    "questions": "uncertainty",
    "hedges": "uncertainty",
    "conditions": "uncertainty",
    "words_of_order": "interdependence",
    "references_back": "interdependence",
})  # fmt: skip
"""Feature → the dimension it speaks for. Risk has none: it comes from tools, never from words."""

NAMES: tuple[str, ...] = tuple(DIMENSION_OF)


def features(text: str) -> dict[str, float]:
    """Return the features of a request, in the order of `NAMES`; each is at least 0.

    Counts are damped, `log2(1 + n)`: the tenth comma says less than the first. Shares are in
    [0, 1]. At most `MOST_CHARACTERS` are looked at.
    """
    text = text[:MOST_CHARACTERS]
    own = _PARENTHESES.sub(" ", _QUOTED.sub(" ", text))
    words = len(_WORD.findall(own))
    sentences = max(1, sum(1 for part in _SENTENCE.split(own) if part.strip()))
    materials = {found.rsplit(".", 1)[-1].lower() for found in _MATERIAL.findall(text)}
    counts: dict[str, float] = {
        "words": words,
        "separators": own.count(",") + own.count(";") + len(_ITEM.findall(own)),
        "conjunctions": len(_AND.findall(own)),
        "things_to_do": len(_DOING.findall(own)),
        "joined_things_to_do": len(_JOINED_DOING.findall(own)),
        "additions": len(_ALSO.findall(own)),
        "further_fields": max(0, len(named_fields(own)) - 1),
        "kinds_of_material": len(materials),
        "words_a_sentence": words / sentences,
        "questions": len(_QUESTION.findall(own)),
        "hedges": len(HEDGE.findall(own)),
        "conditions": len(_CONDITION.findall(own)),
        "words_of_order": len(_LATER.findall(own)),
        "references_back": len(_BACK.findall(own)),
    }
    seen = {name: math.log2(1 + number) for name, number in counts.items()}
    seen["quoted_share"] = 1 - len(own.strip()) / max(1, len(text.strip()))
    return {name: max(0.0, seen[name]) for name in NAMES}


def named_fields(text: str) -> tuple[str, ...]:
    """Return the fields of knowledge a text touches, by its words."""
    return tuple(name for name, pattern in _FIELD_PATTERNS.items() if pattern.search(text))
