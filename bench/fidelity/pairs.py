"""The fidelity check against hand-written pairs: what share of wrong views is refused, what becomes of the faithful ones.

    python -m bench.fidelity.pairs tuning tuning_b        the pairs that rules and thresholds were set on
    python -m bench.fidelity.pairs sealed sealed_b        pairs of which nobody who did so has read one

All are synthetic: invented texts and views, written by hand; in the ``_b`` files the wrong words of a wrong view are marked,
so that it can be said how often they are still in what would be kept. Each view is asked about as the ladder asks, with its
must-keep facts appended. A refused one is mended as the ladder does it (``llmc.view.repair``): what is kept then has lost
some of its own words. A table goes to stderr, one JSON document to stdout.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from llmc.fidelity import Policy, check, declare
from llmc.fidelity.calibrate import interval
from llmc.view import repair

PAIRS = Path(__file__).parent / "pairs"
POLICY = Policy()


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (PAIRS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def judge(source: str, view: str) -> tuple[str, tuple[str, ...], str]:
    """``kept``, ``mended`` or ``refused``, the checks that the view failed as it was, and what would be kept."""
    verdict = check(source, declare(source, view, POLICY), POLICY)
    if verdict.passed:
        return "kept", (), view
    mended = repair.mended(source, view, verdict)
    if mended and check(source, declare(source, mended, POLICY), POLICY).passed:
        return "mended", verdict.failed, mended
    return "refused", verdict.failed, ""


def measure(name: str) -> dict[str, object]:
    """Per kind of error: how many views there are, how many pass as they are, and which checks refused the others."""
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    checks: dict[str, Counter[str]] = defaultdict(Counter)
    marked = still = 0
    for pair in read(name):
        outcome, failed, kept = judge(pair["source"], pair["view"])
        if "wrong" in pair:
            marked += 1
            still += any(words in kept for words in pair["wrong"])
        outcomes[pair["kind"]][outcome] += 1
        checks[pair["kind"]].update(failed)
    wrong = sum((counts for kind, counts in outcomes.items() if kind != "faithful"), Counter())
    good = outcomes["faithful"]
    refused, lost = wrong.total() - wrong["kept"], good.total() - good["kept"]
    return {
        "pairs": name,
        "synthetic": True,
        "wrong": wrong.total(),
        "wrong_refused": refused,
        "wrong_refused_95": interval(refused, wrong.total()),
        "wrong_marked": marked,
        "wrong_words_kept": still,
        "wrong_words_kept_95": interval(still, marked) if marked else None,
        "faithful": good.total(),
        "faithful_refused": lost,
        "faithful_refused_95": interval(lost, good.total()),
        "faithful_mended": good["mended"],
        "faithful_without_a_gist": good["refused"],
        "faithful_without_a_gist_95": interval(good["refused"], good.total()),
        "kinds": {kind: {"views": c.total(), **c, "by_check": dict(checks[kind])} for kind, c in sorted(outcomes.items())},
    }


def main(arguments: list[str]) -> int:
    known = sorted(path.stem for path in PAIRS.glob("*.jsonl"))
    if not arguments or set(arguments) - set(known):
        print(f"usage: python -m bench.fidelity.pairs {'|'.join(known)} ...", file=sys.stderr)
        return 2
    results = [measure(name) for name in arguments]
    for result in results:
        for kind, row in result["kinds"].items():
            passed = f"{row.get('kept', 0):4} of {row['views']:4} pass"
            print(f"{result['pairs']:10} {kind:12} {passed}   {row['by_check']}", file=sys.stderr)
        print(
            f"{result['pairs']:10} wrong views refused {result['wrong_refused']} of {result['wrong']}, faithful ones "
            f"{result['faithful_refused']} of {result['faithful']}: {result['faithful_mended']} kept mended, "
            f"{result['faithful_without_a_gist']} not at all; marked wrong words still there after mending "
            f"{result['wrong_words_kept']} of {result['wrong_marked']}",
            file=sys.stderr,
        )
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
