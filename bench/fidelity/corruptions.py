"""Seeded errors planted in verbatim extracts of real text: how many of each kind the check misses.

    python -m bench.fidelity.corruptions 300 FILE_OR_FOLDER ...

Texts are cut into passages of some sentences; a view is every other sentence of a passage, copied, with missing
must-keep facts declared ("Also: ..."). Views that the check refuses as they are count as false refusals
and get no error planted.
A table goes to stderr, one JSON document to stdout. ``.gz`` files are read too (changelogs in /usr/share/doc).
"""

import gzip
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from llmc.fidelity import check, declare, sentences
from llmc.fidelity.calibrate import interval
from llmc.fidelity.corrupt import CORRUPTIONS, corrupt

PASSAGE_SENTENCES = 8
SEED = 20261123


def texts(paths: list[str]) -> Iterator[str]:
    for path in map(Path, paths):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            if file.suffix in (".txt", ".md", "") or "changelog" in file.name.lower() or "news" in file.name.lower():
                data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
                yield data.decode("utf-8", "replace")[:300_000]


def passages(paths: list[str]) -> list[tuple[str, str]]:
    """Source passages and their extracts."""
    found = []
    for text in texts(paths):
        spans = sentences(text)
        for first in range(0, len(spans) - PASSAGE_SENTENCES, PASSAGE_SENTENCES):
            part = spans[first : first + PASSAGE_SENTENCES]
            source = text[part[0].start : part[-1].end]
            view = "\n".join(text[s.start : s.end] for s in part[::2])
            if 300 < len(source) < 6000:
                found.append((source, view))
    random.Random(SEED).shuffle(found)
    return found


def refused(source: str, view: str) -> tuple[str, ...]:
    """Failed checks but the length: every other sentence of a passage is no great saving."""
    return tuple(name for name in check(source, view).failed if name != "worth_it")


def measure(wanted: int, paths: list[str]) -> dict[str, object]:
    pairs = passages(paths)
    false_refusals = {"tries": 0, "refused": 0}
    kinds: dict[str, dict[str, object]] = {}
    accepted: dict[int, bool] = {}
    for kind in CORRUPTIONS:
        tries = misses = 0
        examples: list[str] = []
        for number, (source, extract) in enumerate(pairs):
            if tries == wanted:
                break
            if corrupt(kind, source, extract, seed=SEED + number) is None:
                continue
            view = declare(source, extract)
            wrong = corrupt(kind, source, view, seed=SEED + number)
            if wrong is None:
                continue
            if number not in accepted:
                accepted[number] = not refused(source, view)
                false_refusals["tries"] += 1
                false_refusals["refused"] += not accepted[number]
            if accepted[number]:
                tries += 1
                if not refused(source, wrong):
                    misses += 1
                    examples.append(wrong[:400])
        kinds[kind] = {"tries": tries, "missed": misses, "missed_95": interval(misses, tries), "examples": examples[:3]}
        low, high = interval(misses, tries)
        print(f"{kind:10} {misses:4} missed of {tries:4}   95%: {low:.3f}-{high:.3f}", file=sys.stderr)
    print(f"verbatim extracts refused: {false_refusals['refused']} of {false_refusals['tries']}", file=sys.stderr)
    return {"passages": len(pairs), "verbatim_extracts": false_refusals, "kinds": kinds}


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or not arguments[0].isdigit():
        print("usage: python -m bench.fidelity.corruptions TRIES FILE_OR_FOLDER ...", file=sys.stderr)
        return 2
    print(json.dumps(measure(int(arguments[0]), arguments[1:])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
