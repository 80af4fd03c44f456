"""How fast is the check? KB of source per second on one core, in ``extra_info`` of pytest-benchmark.

    python -m pytest bench/fidelity/test_speed.py --benchmark-enable --benchmark-only

The text is generated (seeded), so that the figure can be had on any machine: prose with a number, a date and a name in
every sentence, which is denser in facts than mail or minutes are.
"""

import random

import pytest

from llmc.fidelity import check, facts, sentences

NAMES = ["Irena Novak", "Tomasz", "Priya Raman", "Deniz", "Carla", "Ngozi Adeyemi", "Felix", "Mrs Quill"]
THINGS = ["the lease", "the billing service", "the roof repair", "the second pump", "the load test", "the survey"]
DEEDS = [
    "must be checked before",
    "will probably be finished by",
    "was not approved on",
    "may be moved to",
    "has been measured on",
]


def text(kilobytes):
    rng = random.Random(7)
    months = ["January", "March", "May", "June", "October", "December"]
    parts = []
    size = 0
    while size < kilobytes * 1000:
        sentence = (
            f"{rng.choice(NAMES)} said that {rng.choice(THINGS)} {rng.choice(DEEDS)} {rng.randint(1, 28)} {rng.choice(months)} "
            f"2026, unless the offer of {rng.randint(100, 9000):,} EUR for {rng.randint(2, 90)} units is "
            "withdrawn by the other side. "
        )
        parts.append(sentence)
        size += len(sentence)
    return "".join(parts)


SOURCE = text(100)
SPANS = sentences(SOURCE)
EXTRACT = " ".join(SOURCE[s.start : s.end] for s in SPANS[::6])
GIST = " ".join(
    SOURCE[s.start : s.end].replace("said that ", "reported: ").replace(" by the other side", "") for s in SPANS[::6]
)


@pytest.mark.parametrize("view", [EXTRACT, GIST], ids=["extract", "gist"])
def test_check(benchmark, view):
    benchmark(check, SOURCE, view)
    if benchmark.stats:
        benchmark.extra_info["kilobytes_per_second"] = round(len(SOURCE) / 1000 / benchmark.stats.stats.median)


def test_facts(benchmark):
    benchmark(facts, SOURCE)
    if benchmark.stats:
        benchmark.extra_info["kilobytes_per_second"] = round(len(SOURCE) / 1000 / benchmark.stats.stats.median)
