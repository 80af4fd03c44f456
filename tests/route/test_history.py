"""The history: what it remembers, what order it speaks for, and that it notices a recovery."""

import json
import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmc.route.history import EXPLORE, FORGOTTEN_SECONDS, HALF_LIFE_SECONDS, REMEMBERED, History, Record, length_class
from llmc.route.tier import Identity, Tier


def tier(name: str) -> Tier:
    return Tier(name, Identity(f"{name}-7b", "fake", "cpu", "q4_k_m"), f"{name}-digest", local=True)


LOCAL, CLOUD, OTHER = tier("local"), tier("cloud"), tier("other")


def learn(history: History, which: Tier, kept: int, refused: int, seconds: float = 1.0, tokens: int = 500) -> None:
    for i in range(kept + refused):
        history.learn(which, f"{i}", tokens, kept=i < kept, reason="", seconds=seconds)


def first(history: History, tiers=(LOCAL, CLOUD), tokens: int = 500, documents: int = 300) -> Counter:
    return Counter(history.order(tiers, f"document {i}", tokens)[0].name for i in range(documents))


def test_without_a_history_every_rung_is_asked_first_about_as_often(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as history:
        counts = first(history)
    assert 100 < counts["local"] < 200


def test_the_rung_that_passes_more_for_the_same_is_asked_first(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as history:
        learn(history, LOCAL, 5, 45)
        learn(history, CLOUD, 45, 5)
        assert first(history)["cloud"] > 280


def test_the_faster_of_two_that_pass_alike_is_asked_first(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as history:
        learn(history, LOCAL, 40, 10, seconds=20)
        learn(history, CLOUD, 40, 10, seconds=1)
        assert first(history)["cloud"] > 280


def test_money_counts_beside_time(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as history:
        learn(history, LOCAL, 40, 10, seconds=1)
        for i in range(50):
            history.paid(f"{i}", "cloud", 50_000_000_000)  # 5 cents, as much as three minutes of waiting
            history.learn(CLOUD, f"{i}", 500, kept=i < 40, reason="", seconds=1)
        assert first(history)["local"] > 280
        assert history.record(CLOUD.identity, length_class(500)).mean_cost_usd == pytest.approx(0.05)


def test_long_documents_have_a_history_of_their_own(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as history:
        learn(history, LOCAL, 45, 5, tokens=200)
        learn(history, CLOUD, 5, 45, tokens=200)
        learn(history, LOCAL, 5, 45, tokens=5000)
        learn(history, CLOUD, 45, 5, tokens=5000)
        assert first(history, tokens=100)["local"] > 280
        assert first(history, tokens=9000)["cloud"] > 280


def test_a_rung_that_was_bad_and_is_well_again_is_found(tmp_path: Path):
    """After a hundred refusals it is asked now and then only; when its answers are good, it comes first again."""
    with History(tmp_path / "h.sqlite3") as history:
        learn(history, LOCAL, 0, 100)
        learn(history, CLOUD, 30, 20)
        asked = 0
        for i in range(1500):
            order = history.order((LOCAL, CLOUD), f"later {i}", 500)
            asked += order[0] is LOCAL
            history.learn(order[0], f"later {i}", 500, kept=order[0] is LOCAL or i % 5 < 3, reason="", seconds=1.0)
        assert asked > 300
        assert sum(history.order((LOCAL, CLOUD), f"now {i}", 500)[0] is LOCAL for i in range(300)) > 250


def test_while_it_is_bad_it_costs_few_documents(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as history:
        learn(history, LOCAL, 0, 50)
        learn(history, CLOUD, 45, 5)
        assert first(history, documents=2000)["local"] < 2000 * EXPLORE


def test_the_same_seed_and_history_give_the_same_order(tmp_path: Path):
    with History(tmp_path / "h.sqlite3", seed=3) as a:
        learn(a, LOCAL, 3, 2)
        orders = [[t.name for t in a.order((LOCAL, CLOUD, OTHER), f"{i}", 500)] for i in range(50)]
    with History(tmp_path / "h.sqlite3", seed=3) as b:
        again = [[t.name for t in b.order((LOCAL, CLOUD, OTHER), f"{i}", 500)] for i in range(50)]
    assert sum(x == y for x, y in zip(orders, again, strict=True)) >= 49  # its age has changed by milliseconds
    assert len({tuple(o) for o in orders}) > 1


def test_what_is_older_counts_less_and_is_forgotten(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as history:
        learn(history, LOCAL, 8, 0)
    at = sqlite3.connect(tmp_path / "h.sqlite3").execute("SELECT max(at) FROM outcome").fetchone()[0]
    with History(tmp_path / "h.sqlite3", now=at + HALF_LIFE_SECONDS) as later:
        assert later.record(LOCAL.identity, 1).tries == pytest.approx(4, rel=0.01)
        assert later.record(LOCAL.identity, 1).pass_rate == pytest.approx(1)
    with History(tmp_path / "h.sqlite3", now=at + FORGOTTEN_SECONDS + 1) as much_later:
        assert much_later.record(LOCAL.identity, 1).tries == 0
    assert sqlite3.connect(tmp_path / "h.sqlite3").execute("SELECT count(*) FROM outcome").fetchone() == (0,)


def test_two_runs_write_to_one_history(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as a, History(tmp_path / "h.sqlite3") as b:
        learn(a, LOCAL, 5, 0)
        learn(b, LOCAL, 0, 5)
    with History(tmp_path / "h.sqlite3") as both:
        assert both.record(LOCAL.identity, 1).tries == pytest.approx(10, rel=0.01)


def test_a_broken_file_is_a_warning_and_no_history(tmp_path: Path):
    (tmp_path / "h.sqlite3").write_bytes(b"this is not a database" * 100)
    with History(tmp_path / "h.sqlite3") as history:
        assert "cannot be used" in history.warning
        learn(history, LOCAL, 3, 0)
        assert len(history.order((LOCAL, CLOUD), "x", 500)) == 2


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1e4), st.none() | st.integers(0, 10**12)), max_size=200), st.integers(0, 9)
)
def test_a_record_stays_within_its_bounds_and_can_be_drawn_from(tries, seed):
    record = Record()
    for kept, seconds, cost in tries:
        record.add(kept, seconds, cost)
    assert 0 <= record.kept <= record.tries + 1e-9
    assert record.tries <= REMEMBERED + 1e-9
    assert 0 <= record.draw(random.Random(seed)) <= 1


def test_the_order_of_the_rungs_is_a_permutation_of_what_the_profile_allows(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as history:
        learn(history, OTHER, 9, 1)
        for i in range(100):
            assert sorted(t.name for t in history.order((LOCAL, CLOUD, OTHER), f"{i}", 500)) == ["cloud", "local", "other"]


def test_why_route_explains_the_present_order_with_numbers(llmc_inside, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))
    cloud = Tier("cloud", Identity("fake-mini", "openai"), "", local=False)
    with History() as history:
        for i in range(40):
            history.paid(f"{i}", "cloud", 120_000_000)
            history.learn(cloud, f"{i}", 500, kept=i < 30, reason="", seconds=0.5)
    words = [
        "why",
        "route",
        "profile=cloud",
        "provider=gateway",
        "provider.base_url=http://127.0.0.1:9/v1",
        "provider.model=fake-mini",
    ]
    found = llmc_inside(*words, "route=history", "format=json").ok().json
    rung = next(r for length in found["lengths"] if length["source_tokens"] == "257 to 1024" for r in length["rungs"])
    assert (rung["rung"], rung["what"], rung["asked_first"]) == ("cloud", "fake-mini (openai)", 1.0)
    assert rung["pass_rate"] == pytest.approx(0.75)
    assert rung["seconds"] == pytest.approx(0.5)
    assert rung["cost_usd"] == pytest.approx(0.00012)
    assert "cannot be reached" in found["health"]["cloud"]
    assert "llmc pull model=qwen" in found["left_out"]["qwen"]
    table = llmc_inside(*words, "route=history", "format=table").ok().stdout
    assert "$0.000120" in table
    assert "75%" in table
    assert json.dumps(found)


def test_what_was_paid_for_a_document_that_teaches_nothing_is_forgotten(tmp_path: Path):
    with History(tmp_path / "h.sqlite3") as history:
        history.paid("a", "cloud", 50_000_000_000)
        history.forget("a", "cloud")
        history.learn(CLOUD, "a", 500, kept=True, reason="", seconds=1)
        assert history.record(CLOUD.identity, length_class(500)).mean_cost_usd is None
