"""Errors planted in verbatim extracts of any text: passages of some sentences, a view of every other one, one error each."""

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from llmc.fidelity import check, declare, sentences
from llmc.fidelity.corrupt import corrupt

PASSAGE_SENTENCES = 8
SEED = 20261123


def passages(texts: Iterable[str], seed: int = SEED) -> list[tuple[str, str]]:
    """Source passages and their extracts, shuffled by the seed so that the tries are spread over all texts."""
    found = []
    for text in texts:
        spans = sentences(text)
        for first in range(0, len(spans) - PASSAGE_SENTENCES, PASSAGE_SENTENCES):
            part = spans[first : first + PASSAGE_SENTENCES]
            source = text[part[0].start : part[-1].end]
            view = "\n".join(text[s.start : s.end] for s in part[::2])
            if 300 < len(source) < 6000:
                found.append((source, view))
    random.Random(seed).shuffle(found)
    return found


def refused(source: str, view: str) -> tuple[str, ...]:
    """Failed checks but the length: every other sentence of a passage is no great saving."""
    return tuple(name for name in check(source, view).failed if name != "worth_it")


@dataclass(slots=True)
class Planted:
    """What became of the errors of each kind, and of the extracts as they were."""

    tries: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    extracts: int = 0
    extracts_refused: int = 0
    misses: list[dict[str, str]] = field(default_factory=list)
    """Every miss with what is needed to look at it."""
    in_time: bool = True


def plant(
    pairs: Sequence[tuple[str, str]], kinds: Iterable[str], wanted: int, seconds: float = float("inf"), *, seed: int = SEED
) -> Planted:
    """At most ``wanted`` errors of each kind while there is time. Extracts that the check refuses as they are get none."""
    found = Planted()
    accepted: dict[int, bool] = {}
    until = time.monotonic() + seconds
    for kind in kinds:
        found.tries[kind] = found.missed[kind] = 0
        for number, (source, extract) in enumerate(pairs):
            if found.tries[kind] == wanted:
                break
            if time.monotonic() > until:
                found.in_time = False
                break
            if corrupt(kind, source, extract, seed=seed + number) is None:
                continue
            view = declare(source, extract)
            wrong = corrupt(kind, source, view, seed=seed + number)
            if wrong is None:
                continue
            if number not in accepted:
                accepted[number] = not refused(source, view)
                found.extracts += 1
                found.extracts_refused += not accepted[number]
            if accepted[number]:
                found.tries[kind] += 1
                if not refused(source, wrong):
                    found.missed[kind] += 1
                    found.misses.append({"kind": kind, "source": source, "view": view, "wrong": wrong})
    return found
