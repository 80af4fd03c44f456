"""Three short benchmarks of the standard library alone, a run of the gate in seconds: what is the gate worth on this machine?

llmc gate gate.self_test=true gate.files=[bench/short] gate.self_test_runs=30
"""

import json
import random
import re
import zlib

PHRASES = ("the board met", "on 12 March 2026", "and voted 7-2", "to extend the lease", "at 4,850 EUR")
TEXT = " ".join(random.Random(1).choices(PHRASES, k=8_000))
PLACES = {str(i): {"word": word, "at": [i, len(word)]} for i, word in enumerate(TEXT.split()[:5_000])}


def test_numbers(benchmark):
    """A pattern over 120 kB."""
    benchmark(re.compile(r"\b\d[\d,]*\b").findall, TEXT)


def test_deflate(benchmark):
    benchmark(zlib.compress, TEXT.encode(), 6)


def test_json(benchmark):
    """Written and read again."""
    benchmark(lambda: json.loads(json.dumps(PLACES)))
