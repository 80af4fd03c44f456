"""Days, weeks and months as people live them: half-open stretches of time in a time zone, daylight saving included.

A period holds its first instant and not its last: ``start <= at < end``, so each instant is in exactly one. Days in a zone last
23 to 25 hours; weeks begin on Monday (ISO 8601). Instants are microseconds since 1970-01-01 UTC.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path

from llmc.errors import UsageError

KINDS = ("day", "week", "month", "all")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_TIME_US = 2**62


@dataclass(frozen=True, slots=True)
class Period:
    """``start_us <= at < end_us``."""

    kind: str
    label: str
    """``2026-11-23``, ``2026-W48``, ``2026-11``, ``all``."""
    start_us: int
    end_us: int


def microseconds(at: datetime) -> int:
    """An aware datetime as microseconds since 1970, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(us: int) -> datetime:
    """Microseconds since 1970 as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def zone(name: str | None) -> tzinfo:
    """A time zone by its IANA name; None: the one this machine is set to, else UTC. UsageError for an unknown name."""
    from zoneinfo import ZoneInfo

    here = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    for candidate in [name] if name else [os.environ.get("TZ", "").lstrip(":"), here]:
        try:
            if candidate:
                return ZoneInfo(candidate)
        except (ValueError, OSError, KeyError) as error:
            if name:
                raise UsageError(f"timezone={name} is not known", hint="an IANA name: timezone=Europe/Berlin") from error
    return UTC


def containing(kind: str, at: datetime, tz: tzinfo) -> Period:
    """The day, week or month that an instant falls into."""
    if kind == "all":
        return Period("all", "all", -END_OF_TIME_US, END_OF_TIME_US)
    if kind not in KINDS:
        raise UsageError(f"period {kind!r} is none of {', '.join(KINDS)}")
    day = at.astimezone(tz).date()
    if kind == "day":
        return _period(kind, day.isoformat(), day, day + timedelta(days=1), tz)
    if kind == "week":
        monday = day - timedelta(days=day.weekday())
        year, week, _ = day.isocalendar()
        return _period(kind, f"{year}-W{week:02}", monday, monday + timedelta(days=7), tz)
    first = day.replace(day=1)
    return _period(kind, f"{day:%Y-%m}", first, (first + timedelta(days=32)).replace(day=1), tz)


def between(kind: str, start: datetime, end: datetime, tz: tzinfo) -> Iterator[Period]:
    """The periods that ``start <= at < end`` touches, in order and without gaps."""
    while start < end:
        period = containing(kind, start, tz)
        yield period
        if kind == "all":
            return
        start = instant(period.end_us)


def _period(kind: str, label: str, first: date, after: date, tz: tzinfo) -> Period:
    start, end = (microseconds(datetime(d.year, d.month, d.day, tzinfo=tz).astimezone(UTC)) for d in (first, after))
    return Period(kind, label, start, end)
