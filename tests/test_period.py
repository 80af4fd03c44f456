"""Periods: half-open, without gaps, through daylight saving, over week and year edges."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc import period
from llmc.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Sao_Paulo", "Atlantic/Azores", "Asia/Beirut"]
instants = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))


def hours(found: period.Period) -> float:
    return (found.end_us - found.start_us) / 3.6e9


@given(instants, st.sampled_from(ZONES), st.sampled_from(["day", "week", "month"]))
def test_each_instant_is_in_exactly_one_period(at, name, kind):
    zone = ZoneInfo(name)
    found = period.containing(kind, at, zone)
    assert found.start_us <= period.microseconds(at) < found.end_us
    after = period.containing(kind, period.instant(found.end_us), zone)
    before = period.containing(kind, period.instant(found.start_us - 1), zone)
    assert (before.end_us, after.start_us) == (found.start_us, found.end_us)
    assert len({before.label, found.label, after.label}) == 3


@pytest.mark.parametrize(("day", "length"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_is_as_long_as_it_is(day, length):
    found = period.containing("day", datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=BERLIN), BERLIN)
    assert (found.label, hours(found)) == (day, length)


def test_a_midnight_that_does_not_exist_begins_the_day_when_the_clock_jumps():
    zone = ZoneInfo("America/Sao_Paulo")  # 2018-11-04 began at 01:00
    found = period.containing("day", datetime(2018, 11, 4, 12, tzinfo=zone), zone)
    assert (found.label, hours(found)) == ("2018-11-04", 23)
    assert period.instant(found.start_us) == datetime(2018, 11, 4, 3, tzinfo=UTC)


def test_the_last_microsecond_belongs_to_the_old_month_and_the_next_to_the_new():
    end = datetime(2026, 12, 1, tzinfo=BERLIN)
    assert period.containing("month", end - timedelta(microseconds=1), BERLIN).label == "2026-11"
    assert period.containing("month", end, BERLIN).label == "2026-12"


@pytest.mark.parametrize(
    ("day", "label"),
    [("2026-01-04", "2026-W01"), ("2026-01-05", "2026-W02"), ("2027-01-03", "2026-W53"), ("2024-12-30", "2025-W01")],
)
def test_weeks_begin_on_monday_and_belong_to_the_year_of_their_thursday(day, label):
    assert period.containing("week", datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=BERLIN), BERLIN).label == label


def test_the_periods_between_two_instants_leave_no_gap():
    start, end = datetime(2026, 3, 28, 22, 30, tzinfo=UTC), datetime(2026, 3, 30, 22, tzinfo=UTC)
    days = list(period.between("day", start, end, BERLIN))
    assert [(d.label, hours(d)) for d in days] == [("2026-03-28", 24), ("2026-03-29", 23), ("2026-03-30", 24)]
    assert [a.end_us for a in days[:-1]] == [b.start_us for b in days[1:]]
    assert [p.label for p in period.between("all", start, end, BERLIN)] == ["all"]


def test_an_unknown_zone_or_period_is_refused():
    with pytest.raises(UsageError, match="Europe/Atlantis"):
        period.zone("Europe/Atlantis")
    with pytest.raises(UsageError, match="fortnight"):
        period.containing("fortnight", datetime.now(UTC), UTC)


def test_without_a_name_the_machines_zone_is_taken(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert str(period.zone(None)) == "Asia/Kathmandu"
    monkeypatch.setenv("TZ", "not a zone")
    assert period.zone(None) is not None
