"""What many at once is worth: :mod:`bench.throughput` on a server with 16 slots that takes 200 ms, few documents, one round.

The numbers that count are those of ``python -m bench.throughput``, which takes longer.
"""

from bench.throughput import fake

DOCUMENTS = 24


def test_many_at_once_beside_one_by_one(benchmark):
    documents = DOCUMENTS if benchmark.enabled else 4
    found = benchmark.pedantic(lambda: fake(documents, rounds=1), rounds=1)
    benchmark.extra_info |= found
    assert found["times_one_by_one"]["local"] > 1
