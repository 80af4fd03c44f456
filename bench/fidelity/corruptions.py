"""Seeded errors planted in verbatim extracts of real text: how many of each kind the check misses.

    python -m bench.fidelity.corruptions 300 FILE_OR_FOLDER ... [--kinds digit,unit] [--seed 1] [--misses misses.jsonl]

Texts are cut into passages of some sentences; a view is every other sentence of a passage, copied, with missing
must-keep facts declared ("Also: ..."). Views that the check refuses as they are count as false refusals
and get no error planted. Passages are shuffled by the seed, so that the tries are spread over all files.
A table goes to stderr, one JSON document to stdout, every miss with its source to ``--misses``. ``.gz`` files are read too
(changelogs in /usr/share/doc); manual pages (``NAME.1.gz``) are rendered with ``man``, a seeded choice of them.
"""

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.planted import SEED, passages, plant
from llmc.fidelity.calibrate import interval
from llmc.fidelity.corrupt import CORRUPTIONS

MANUAL_PAGES = 400  # of a folder: rendering one takes a tenth of a second
MOST_CHARS = 300_000  # of one file, so that no single one fills the tries
_MANUAL = re.compile(r".+\.[1-8][a-z]*\.gz")


def texts(paths: list[str], seed: int) -> Iterator[str]:
    for path in map(Path, paths):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        manual = [file for file in files if _MANUAL.fullmatch(file.name) and "/man/" in str(file)]
        for file in random.Random(seed).sample(manual, min(MANUAL_PAGES, len(manual))):
            yield rendered(file)[:MOST_CHARS]
        for file in files:
            if file.suffix in (".txt", ".md", "") or "changelog" in file.name.lower() or "news" in file.name.lower():
                data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
                yield data.decode("utf-8", "replace")[:MOST_CHARS]


def rendered(page: Path) -> str:
    """A manual page as it is read, without bold and underline."""
    environment = {**os.environ, "MANWIDTH": "100", "MAN_KEEP_FORMATTING": ""}
    command = ["man", "--no-hyphenation", "--no-justification", "-l", str(page)]
    return subprocess.run(command, env=environment, capture_output=True, check=False).stdout.decode("utf-8", "replace")


def measure(
    wanted: int, paths: list[str], kinds: list[str], seed: int = SEED
) -> tuple[dict[str, object], list[dict[str, str]]]:
    """Counts with intervals, and every miss with what is needed to look at it."""
    pairs = passages(texts(paths, seed), seed)
    planted = plant(pairs, kinds, wanted, seed=seed)
    found: dict[str, dict[str, object]] = {}
    for kind, tries in planted.tries.items():
        low, high = interval(planted.missed[kind], tries)
        found[kind] = {"tries": tries, "missed": planted.missed[kind], "missed_95": (low, high)}
        print(f"{kind:10} {planted.missed[kind]:4} missed of {tries:4}   95%: {low:.3f}-{high:.3f}", file=sys.stderr)
    extracts = {"tries": planted.extracts, "refused": planted.extracts_refused}
    print(f"verbatim extracts refused: {extracts['refused']} of {extracts['tries']}", file=sys.stderr)
    return {"passages": len(pairs), "seed": seed, "verbatim_extracts": extracts, "kinds": found}, planted.misses


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fidelity.corruptions")
    parser.add_argument("tries", type=int)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--kinds", default=",".join(CORRUPTIONS), help="comma-separated")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--misses", type=Path, help="a JSONL file for every miss")
    chosen = parser.parse_args(arguments)
    result, missed = measure(chosen.tries, chosen.paths, chosen.kinds.split(","), chosen.seed)
    if chosen.misses:
        chosen.misses.write_text("".join(json.dumps(miss, ensure_ascii=False) + "\n" for miss in missed), encoding="utf-8")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
