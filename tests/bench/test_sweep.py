"""Sweeps: the plan is fair and complete, a killed one goes on, and what failed or cannot work is kept with its reason."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from llmc.bench import sweep

plans = st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**31))


@given(plans)
def test_each_block_runs_every_cell_once_and_the_reference_first(asked):
    cells, blocks, seed = asked
    slots = sweep.order(cells, blocks, seed)
    for block in range(1, blocks + 1):
        runs = [s for s in slots if s.block == block]
        assert sorted(s.cell for s in runs if s.role == sweep.CELL) == list(range(cells))
        assert (runs[0].role == sweep.REFERENCE) == (cells > 1)
    assert (slots[-1].role == sweep.REFERENCE) == (cells > 1)
    assert sum(s.role == sweep.REFERENCE for s in slots) == (blocks + 1 if cells > 1 else 0)


@given(plans)
def test_the_same_seed_gives_the_same_order(asked):
    assert sweep.order(*asked) == sweep.order(*asked)


@given(plans)
def test_no_two_runs_are_kept_in_one_place(asked):
    cells, _, _ = asked
    names = [sweep.run_name("m", s, f"{s.cell:064x}"[::-1]) for s in sweep.order(*asked)]
    assert max(Counter(names).values()) == 1
    assert len({sweep.refused_name("m", f"{c:064x}"[::-1]) for c in range(cells)} | set(names)) == len(names) + cells


def test_another_seed_gives_another_order_and_blocks_differ():
    orders = {tuple(s.cell for s in sweep.order(8, 1, seed)) for seed in range(20)}
    assert len(orders) == 20
    cells = [s.cell for s in sweep.order(8, 2, 1) if s.role == sweep.CELL]
    assert cells[:8] != cells[8:]


@given(st.lists(st.sampled_from("abcdef")))
def test_of_the_same_cell_asked_for_twice_the_first_is_kept(hashes):
    kept = sweep.distinct(hashes)
    assert [hashes[at] for at in kept] == list(dict.fromkeys(hashes))


def test_the_time_left_is_said_only_where_something_is_known():
    assert sweep.remaining(["a", "b"], {}) == ""
    assert sweep.remaining(["a", "b"], {"a": [10.0, 14.0]}) == "  about 24 s left"
    assert sweep.remaining(["a", "b"], {"a": [10.0], "b": [20.0]}) == "  about 30 s left"
