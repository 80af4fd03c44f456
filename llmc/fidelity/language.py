"""The view is in the language and the script of its source; and which languages the other checks can be trusted in.

Scripts are counted, languages told apart by their most frequent function words: enough to notice an English summary
of a German letter, which is all that is asked.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from llmc.fidelity.policy import Policy
from llmc.fidelity.verdict import Check, Evidence, failed_check

SAMPLE_CHARS = 4_000  # of each end; function words show after some dozens of words
LEAST_WORDS = 3  # function words below which a language is not named
LEAST_FOREIGN = 3  # different words; one or two are a name or a quotation
LEAST_WORDS_ELSEWHERE = 5  # logs and code hold "as", "de", "er", "in" of half a dozen languages

_FUNCTION_WORDS = """
en: the of and to in is that for it was on are with as be by this from at or not have an but they which will has had
  were been would their
de: der die und den das von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass
  sie nach wird bei einer um am sind noch wie einem über
fr: le la les des et est une du dans que qui pour pas sur au plus par avec ce il sont aux ne se cette mais ont vous
  nous leur être
es: el la los las de que y en un una por con no para es se del al lo como más pero sus le ya este fue ha son está
it: il di che la e un una per non sono con del della le si da gli nel alla anche come più ma dei ha questo delle
nl: de het een van en in is dat op te zijn met voor niet aan er om ook als dan maar bij naar uit door over heeft wordt
  deze
pt: o a os as de que e do da em um uma para com não por mais dos como mas foi ao ele das tem seu sua ou são
sv: och i att det som en på är av för med den till inte har de ett om var jag men från vi så kan när
da: og i at det som en på er af for med den til ikke har de et om var jeg men fra vi så kan når
pl: w i na z do się nie to jest że o za po jak ale od przez dla był tego oraz są czy
"""
_ENTRIES = _FUNCTION_WORDS.strip().replace("\n  ", " ").splitlines()
_SETS = {entry[:2]: frozenset(entry[3:].split()) for entry in _ENTRIES}
_WORD = re.compile(r"[^\W\d_]+")


def language(source: str, view: str, policy: Policy) -> Check:
    """Same script, same language; a note when the language is one the polarity and role checks are not trusted in."""
    problems, notes = [], []
    source_script, view_script = script(source), script(view)
    if source_script and view_script and source_script != view_script:
        problems.append(Evidence(f"the source is written in {source_script}, the view in {view_script}"))
    of_source, of_view = language_of(source), language_of(view)
    if of_source and of_view and of_source != of_view:
        problems.append(Evidence(f"the source is in {of_source!r}, the view in {of_view!r}"))
    if of_source and (foreign := _foreign(source, view, of_source)):
        problems.append(Evidence(f"the view mixes in words of {foreign[0]!r}: {', '.join(foreign[1])}"))
    if of_source and of_source not in policy.languages:
        notes.append(Evidence(f"roles are only noted, polarity is not vouched for in {of_source!r}"))
    return failed_check("language", problems, notes)


def _foreign(source: str, view: str, of_source: str) -> tuple[str, list[str]] | None:
    """Function words of another language that the source nowhere has, if the view has enough of them to be no accident."""
    words = {word.lower() for word in _WORD.findall(_sample(view))}
    for name, known in _SETS.items():
        strange = words & known - _SETS[of_source] if name != of_source else set()
        if len(strange) >= LEAST_FOREIGN:
            strange -= {word.lower() for word in _WORD.findall(source)}
            if len(strange) >= LEAST_FOREIGN:
                return name, sorted(strange)
    return None


def language_of(text: str) -> str:
    """ISO 639-1 code of the language whose function words are most frequent; empty when too few are seen."""
    words = Counter(map(str.lower, _WORD.findall(_sample(text))))
    counts = {name: sum(words[word] for word in words.keys() & known) for name, known in _SETS.items()}
    best = max(counts, key=lambda name: counts[name])
    second = max(count for name, count in counts.items() if name != best)
    least = LEAST_WORDS if best == "en" else LEAST_WORDS_ELSEWHERE
    different = len(words.keys() & _SETS[best])
    enough = different >= least and counts[best] >= max(least, 0.1 * words.total()) and counts[best] >= 1.25 * second
    return best if enough else ""


def script(text: str) -> str:
    """Unicode name of the script of most letters: LATIN, CYRILLIC, CJK, ARABIC, ...; empty without letters."""
    counts: dict[str, int] = {}
    for letter, times in Counter(_sample(text)).items():
        if letter.isalpha():
            name = _script_of(letter)
            counts[name] = counts.get(name, 0) + times
    return max(counts, key=lambda name: counts[name]) if counts else ""


@lru_cache(maxsize=8192)
def _script_of(letter: str) -> str:
    name = unicodedata.name(letter, "").split(" ", 1)[0]
    return "CJK" if name in ("HIRAGANA", "KATAKANA") else name


def _sample(text: str) -> str:
    return text if len(text) <= 2 * SAMPLE_CHARS else text[:SAMPLE_CHARS] + " " + text[-SAMPLE_CHARS:]
