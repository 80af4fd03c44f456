"""Words for comparing sentences: tokens, stop words, and a light stemmer.

The stemmer only has to make a summary's word meet the source's word (``renews``/``renewing``, ``bought``/``buy``); it
cuts suffixes, then keeps six letters. Two different words that meet cost a little precision in the alignment, never a
fact: facts are compared by their own normal form.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from llmc.fidelity.patterns import compiled

_TOKEN = compiled(r"[^\W\d_]++(?:['’][^\W\d_]{1,3}\b)?|\d++(?:[.,:]\d++)*+")
_STEM_LETTERS = 6  # longer keeps "subletting" and "sublet" apart, shorter joins "contract" and "contrast"

_STOPWORDS = """
a an the this that these those it its he she they them their theirs his her hers him we us our ours you your yours i me
my mine who whom whose which what there here and or but nor so yet as at by for from in into of off on onto out over to
up with within about above after again against all also am any are be because been before being below between both can
could did do does doing down during each few further had has have having how if is just more most must no not now only
other ought own same shall should some such than then through too under until unless upon very was were when where while
why will would may might one ones s t re ve ll d m still already once however therefore thus hence moreover instead
nobody none nothing never without nowhere nicht niemand mr mrs ms dr prof herr
frau yes ok okay per since whereas although though via vs etc eg ie e.g
i.e let lets got get gets it's that's don't doesn't didn't can't won't isn't aren't wasn't weren't i'm i'll i've you're
we're they're he's she's there's der die das den dem des ein eine einen einem einer eines und oder aber kein keine
keinen ist sind war waren wird werden wurde wurden hat haben hatte mit von vom zu zum zur im auf aus bei für durch über
unter nach vor bis seit als wie wenn falls dass daß ich du er sie es wir ihr sich auch noch nur schon sehr dann da hier
dort kann können muss müssen soll sollen darf dürfen ihre ihren ihrer unser unsere unserem le la les un une de et ou
mais ne pas est sont était ont avec pour par dans sur sous ce cette ces il elle ils elles nous vous que qui dont où au
aux se sa ses leur leurs plus el los las una unos unas y o pero era con por para en sobre este esta estos estas su
sus lo al del más
"""  # English, German, French, Spanish: words that say how, not what
STOPWORDS = frozenset(_STOPWORDS.split())

_IRREGULAR = {
    "bought": "buy", "paid": "pay", "fell": "fall", "fallen": "fall", "rose": "rise", "risen": "rise", "wrote": "write",
    "written": "write", "ran": "run", "left": "leave", "met": "meet", "told": "tell", "said": "say", "says": "say",
    "went": "go", "goes": "go", "gone": "go", "took": "take", "taken": "take", "gave": "give", "given": "give",
    "held": "hold", "kept": "keep", "lost": "lose", "made": "make", "sent": "send", "spoke": "speak", "spoken": "speak",
    "stood": "stand", "thought": "think", "found": "find", "built": "build", "began": "begin", "begun": "begin",
    "grew": "grow", "grown": "grow", "knew": "know", "known": "know", "saw": "see", "seen": "see", "sold": "sell",
    "spent": "spend", "won": "win", "chose": "choose", "chosen": "choose", "broke": "break", "broken": "break",
    "came": "come", "drove": "drive", "driven": "drive", "felt": "feel", "heard": "hear", "led": "lead", "meant": "mean",
    "read": "read", "withdrew": "withdraw", "withdrawn": "withdraw", "children": "child", "women": "woman", "men": "man",
    "people": "person", "persons": "person", "feet": "foot", "due": "due", "showed": "show", "shown": "show", "bore": "bear",
    "borne": "bear", "underwent": "undergo", "caught": "catch", "cut": "cut", "bent": "bend", "analyses": "analysis",
    "data": "data", "news": "news", "bus": "bus", "gas": "gas", "does": "do", "using": "use", "used": "use",
    "applied": "apply", "applies": "apply", "supplied": "supply", "supplies": "supply", "replied": "reply",
    "replies": "reply", "denied": "deny", "denies": "deny", "moved": "move", "postponed": "postpone", "prior": "before",
    "responsible": "responsible",
}  # fmt: skip
_SUFFIXES = (
    "izations", "ization", "ations", "ation", "ingly", "ments", "ment", "ings", "ions", "edly", "ness", "ing", "ion",
    "ies", "ers", "est", "ed", "er", "es", "ly", "al", "s", "e", "y",
)  # fmt: skip


class Token(NamedTuple):
    """A word or a number; ``stem`` is empty for stop words."""

    start: int
    end: int
    lower: str
    stem: str


def tokens(text: str, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """Words and numbers of ``text[start:end]`` with their offsets in ``text``."""
    for match in _TOKEN.finditer(text, start, len(text) if end is None else end):
        lower = match[0].lower()
        yield Token(match.start(), match.end(), lower, stem(lower))


def stems(text: str) -> frozenset[str]:
    """The stems of the words of a short text."""
    return frozenset(token.stem for token in tokens(text)) - {""}


def _cut(word: str) -> tuple[str, str]:
    """A word without its longest known ending, and that ending."""
    if len(word) > 3:
        for suffix in _SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not (suffix == "s" and word.endswith("ss")):
                return word[: -len(suffix)], suffix
    return word, ""


@lru_cache(maxsize=65536)
def stem(lower: str) -> str:
    """The part of a lower-case word that inflection leaves alone; empty for a stop word."""
    word = lower.replace("’", "'")
    if word in STOPWORDS:
        return ""
    if len(word) > 2 and "'" in word[-3:]:
        word = word[: word.rindex("'")]
        if word in STOPWORDS:
            return ""
    if word[0].isdigit():
        return word
    word = _IRREGULAR.get(word, word)
    word, suffix = _cut(word)
    if suffix in ("s", "ly"):  # "kidneys", "normally": what is left has an ending of its own
        word, _ = _cut(word)
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiousl":
        word = word[:-1]
    if len(word) > 3 and word[-1] in "ei":
        word = word[:-1]
    return word[:_STEM_LETTERS]
