"""The fidelity check against hand-written pairs: what share of wrong views is refused, what share of faithful ones.

    python -m bench.fidelity.pairs tuning        the half the thresholds were set on
    python -m bench.fidelity.pairs sealed        the half nobody tuned on

Both files are synthetic: invented texts and views, written by hand. A table goes to stderr, one JSON document to stdout.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from llmc.fidelity import check
from llmc.fidelity.calibrate import interval

PAIRS = Path(__file__).parent / "pairs"


def read(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (PAIRS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def measure(name: str) -> dict[str, object]:
    """Per kind of error: how many views there are, how many are refused, and by which checks."""
    kinds: dict[str, dict[str, object]] = {}
    counts: dict[str, list[bool]] = defaultdict(list)
    checks: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for pair in read(name):
        failed = check(pair["source"], pair["view"]).failed
        counts[pair["kind"]].append(bool(failed))
        for check_name in failed:
            checks[pair["kind"]][check_name] += 1
    for kind, refused in sorted(counts.items()):
        kinds[kind] = {"views": len(refused), "refused": sum(refused), "by_check": dict(checks[kind])}
    bad = [refused for kind, values in counts.items() if kind != "faithful" for refused in values]
    good = counts["faithful"]
    return {
        "pairs": name,
        "synthetic": True,
        "corrupted": len(bad),
        "corrupted_refused_share": sum(bad) / len(bad),
        "corrupted_refused_95": interval(sum(bad), len(bad)),
        "faithful": len(good),
        "faithful_refused_share": sum(good) / len(good),
        "faithful_refused_95": interval(sum(good), len(good)),
        "kinds": kinds,
    }


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in ("tuning", "sealed"):
        print("usage: python -m bench.fidelity.pairs tuning|sealed", file=sys.stderr)
        return 2
    result = measure(arguments[0])
    for kind, row in result["kinds"].items():
        print(f"{kind:12} {row['refused']:4} of {row['views']:4} refused   {row['by_check']}", file=sys.stderr)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
