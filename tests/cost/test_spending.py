"""What was spent: the parts are the whole, each instant is in one period, what is unknown stays so."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spent_rows import CACHED, LIST, NOW, NOW_US, UNKNOWN, cloud, local, measured, run

from llmc import period, spending
from llmc.errors import UsageError
from llmc.ledger import Filter, Ledger
from llmc.spending import Amount, buckets, window

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)


def read(ledger, kind="month", by=(), now=NOW, tz=UTC, where=Filter()):  # noqa: B008
    return spending.read(ledger, window(kind, now, tz), where, now=now, tz=tz, by=by)


events = st.builds(
    cloud,
    at_us=st.integers(NOW_US - 22 * 86_400_000_000, NOW_US),
    tier=st.sampled_from(["cloud", "local", "qwen"]),
    model=st.sampled_from(["a", "b", ""]),
    status=st.sampled_from(["ok", "failed", "cached"]),
    attempt=st.integers(1, 3),
    cost_pico=st.integers(0, 10**12),
    prompt_tokens=st.one_of(st.none(), st.integers(0, 10**6)),
    price=st.just(LIST),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(events, min_size=1, max_size=12))
def test_the_parts_of_any_division_are_the_whole(tmp_path_factory, made):
    with Ledger.open(tmp_path_factory.mktemp("ledger") / "l.sqlite3") as ledger:
        ledger.start(run())
        for i, event in enumerate(made):
            ledger.record(cloud(**{f: getattr(event, f) for f in event.__slots__} | {"event_id": f"e{i}"}))
        found = read(ledger, by=("document",))
        whole = found.whole()
        assert whole.cost.pico == sum(event.cost_pico for event in made)
        for names in (("tier",), ("model", "status"), ("period",), ("period", "tier"), ("attempt",), ("document",)):
            parts = found.by(*names)
            assert sum(g.cost.pico for g in parts) == whole.cost.pico
            assert sum(g.sums.attempts for g in parts) == len(made)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-10-25", 25), ("2026-03-29", 23), ("2026-11-23", 24)],
    ids=["clocks back", "clocks forward", "plain"],
)
def test_a_day_has_as_many_hours_as_the_clock_shows(day, hours):
    asked = window(day, NOW, BERLIN)
    found = buckets(asked.start_us, asked.end_us, BERLIN)
    assert len(found) == hours
    assert len({b.label for b in found}) == hours
    assert found[0].start_us == asked.start_us
    assert found[-1].end_us == asked.end_us


@given(st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)), st.sampled_from(["day", "week", "month"]))
def test_each_instant_is_in_one_part_of_its_period(at, kind):
    at = at.replace(tzinfo=UTC)
    asked = window(kind, at, BERLIN)
    us = period.microseconds(at)
    assert asked.start_us <= us < asked.end_us
    assert sum(b.start_us <= us < b.end_us for b in buckets(asked.start_us, asked.end_us, BERLIN)) == 1


def test_the_end_of_a_period_is_the_beginning_of_the_next(ledger):
    midnight = period.microseconds(datetime(2026, 11, 23, tzinfo=UTC))
    for us in (midnight - 1, midnight):
        ledger.record(cloud(at_us=us))
    assert read(ledger, "2026-11-22").whole().sums.attempts == 1
    assert read(ledger, "2026-11-23").whole().sums.attempts == 1
    assert read(ledger, "2026-W47").whole().sums.attempts == 1  # the 22nd is its Sunday
    assert read(ledger, "2026-W48").whole().sums.attempts == 1
    assert read(ledger, "2026-11").whole().sums.attempts == 2
    assert read(ledger, "all").whole().sums.attempts == 2


@pytest.mark.parametrize(
    ("name", "label", "kind"),
    [
        ("2026-11-23", "2026-11-23", "day"), ("2026-W01", "2026-W01", "week"), ("2024-02", "2024-02", "month"),
        ("week", "2026-W48", "week"),
    ],
)  # fmt: skip
def test_a_period_is_found_by_its_name(name, label, kind):
    found = window(name, NOW, UTC)
    assert (found.label, found.kind) == (label, kind)


@pytest.mark.parametrize("name", ["fortnight", "2026-13", "2026-02-30", "2026-W60", "11-2026", ""])
def test_a_period_that_is_none_is_refused(name):
    with pytest.raises(UsageError):
        window(name, NOW, UTC)


def test_what_is_unknown_is_no_zero(ledger):
    ledger.record(cloud())
    ledger.record(cloud(cost_pico=None, price=UNKNOWN, model="my-model"))
    found = {g.key[0]: g.cost for g in read(ledger).by("model")}
    assert found == {"gpt-4o-mini": Amount(210_000_000, "list price"), "my-model": Amount(0, "unknown", 1)}
    assert read(ledger).whole().cost == Amount(210_000_000, "list price", 1)


def test_a_sum_is_as_good_as_the_worst_of_its_parts(ledger):
    ledger.record(measured())
    assert read(ledger).whole().cost.basis == "measured"
    ledger.record(cloud())
    assert read(ledger).whole().cost.basis == "list price"
    ledger.record(measured(method="configured_watts"))
    assert read(ledger).whole().cost.basis == "estimated"


def test_an_attempt_counts_for_each_of_its_tags(ledger):
    ledger.start(run("run-2", tags=("a", "b")))
    ledger.start(run("run-3", tags=()))
    for run_id in ("run-2", "run-3"):
        ledger.record(cloud(run_id=run_id))
    found = read(ledger, by=("tag",))
    assert [g.key for g in found.by("tag")] == [("a",), ("b",)]
    assert found.whole().sums.attempts == 2


def test_what_was_answered_from_the_cache_was_not_sent(ledger):
    ledger.record(cloud(status="cached", cost_pico=0, price=CACHED))
    ledger.record(local())
    assert [g.key for g in read(ledger).by("tier", where=spending.sent)] == [("local",)]


def test_what_events_cannot_be_divided_by_is_refused(ledger):
    with pytest.raises(UsageError, match="colour"):
        read(ledger, by=("colour",))
