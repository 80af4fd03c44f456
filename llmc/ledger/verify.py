"""Is the ledger sound? Parts against totals, stored costs against a second calculation, and what must hold of every table.

Everything is computed anew from the rows; nothing is taken from what was computed before.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from llmc import money, period, price
from llmc.ledger import Ledger, tables
from llmc.ledger.query import EVERYTHING, GROUPS
from llmc.ledger.rows import Event
from llmc.price import Tokens

MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    passed: bool
    checked: int
    """How many things were looked at."""
    detail: str = ""
    """What is wrong, with examples; for a check that passed, what was left out and why."""


RULES: tuple[tuple[str, str], ...] = (
    ("a cost is unknown exactly when its source is", "SELECT event_id FROM events e JOIN prices p ON p.price = e.price"
     " WHERE (e.cost_pico IS NULL) <> (p.cost_source = 'unknown')"),
    ("what was cached or turned away cost nothing", "SELECT event_id FROM events e JOIN prices p ON p.price = e.price"
     " WHERE p.cost_source IN ('cached', 'unserved') AND e.cost_pico <> 0"),
    ("no cost is below nothing", "SELECT event_id FROM events WHERE cost_pico < 0"),
    ("cached tokens are part of the prompt, reasoning is part of the output", "SELECT event_id FROM events e"
     " JOIN prices p ON p.price = e.price WHERE p.cost_source <> 'unknown' AND"
     " (cache_read_tokens + cache_write_tokens > prompt_tokens OR reasoning_tokens > output_tokens)"),
    ("energy is priced where it is local, bills where it is not", "SELECT event_id FROM events e JOIN prices p"
     " ON p.price = e.price WHERE (e.backend_kind = 'local' AND p.cost_source IN ('list', 'override'))"
     " OR (e.backend_kind = 'cloud' AND p.cost_source = 'energy')"),
    ("no call is both settled and under way", "SELECT event_id FROM reservations NATURAL JOIN (SELECT event_id FROM events)"),
    ("no event is older than its run", "SELECT event_id FROM events e JOIN runs r ON r.run = e.run"
     " WHERE e.at_us < r.started_us - 60000000"),
    ("a run ends after it began", "SELECT run_id FROM runs r JOIN run_ends z ON z.run = r.run"
     " WHERE z.ended_us < r.started_us - 60000000"),
)  # fmt: skip
"""What must hold, each as a question for what breaks it. A minute is allowed for a clock that is set."""


def verify(ledger: Ledger) -> list[Check]:
    """All checks, each with what it found."""
    connection = ledger.connection
    return [_intact(connection), _guarded(connection), *_rules(connection), *_sums(ledger), *_again(ledger), _apart(connection)]


def _intact(connection: sqlite3.Connection) -> Check:
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
    found += [f"{row[0]} names a {row[2]} that is not there" for row in connection.execute("PRAGMA foreign_key_check")]
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    return Check("the file is whole", not found, pages, "; ".join(found[:MAX_EXAMPLES]))


def _guarded(connection: sqlite3.Connection) -> Check:
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    wanted = {f"{table}_{kind}" for table in tables.APPEND_ONLY for kind in ("no_update", "no_delete", "once")}
    gone = sorted(wanted - there)
    return Check("what happened cannot be changed", not gone, len(wanted), f"missing: {', '.join(gone)}" if gone else "")


def _rules(connection: sqlite3.Connection) -> Iterator[Check]:
    for name, question in RULES:
        table = "runs" if question.startswith("SELECT run_id") else "events"
        checked = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        found = [row[0] for row in connection.execute(f"{question} LIMIT {MAX_EXAMPLES}")]
        yield Check(name, not found, checked, f"for example {', '.join(found)}" if found else "")


def _sums(ledger: Ledger) -> Iterator[Check]:
    """Each way of dividing the events gives the same whole."""
    whole = next(iter(ledger.totals()), None)
    wrong = []
    ways = [name for name in GROUPS if name not in ("period", "tag")]
    for name in ways if whole else ():
        groups = ledger.totals(EVERYTHING, (name,))
        for what in ("cost_pico", "attempts", "unknown_cost", "prompt_tokens", "output_tokens"):
            parts, total = sum(getattr(g, what) for g in groups), getattr(whole, what)
            if parts != total:
                wrong.append(f"{what} by {name}: {parts} instead of {total}")
    yield Check("the parts are the whole", not wrong, len(ways) if whole else 0, "; ".join(wrong[:MAX_EXAMPLES]))


def _again(ledger: Ledger) -> Iterator[Check]:
    """Costs from tokens and the prices they were computed with."""
    compared = skipped = 0
    wrong: list[str] = []
    for event in ledger.events():
        expected = _expected(event)
        if expected is None:
            skipped += event.price.cost_source == "list"
            continue
        compared += 1
        try:
            again: int | str = expected()
        except ValueError as error:
            again = str(error)
        if again != event.cost_pico and len(wrong) < MAX_EXAMPLES:
            wrong.append(f"{event.event_id}: {event.cost_pico} pico-dollars, by its tokens {again}")
    note = f"{skipped} were priced by another version of the list than {price.list_source()}" if skipped else ""
    yield Check("tokens times prices are the costs", not wrong, compared, "; ".join(wrong) or note)


def _expected(event: Event) -> Callable[[], int] | None:
    """How to compute an event's cost again; None where there is nothing to compute it from."""
    source = event.price.cost_source
    if source == "energy" and event.energy_joules is not None:
        rates = json.loads(event.price.rates)
        per_joule = Decimal(money.pico(rates["usd_per_kwh"])) * Decimal(rates["pue"]) / 3_600_000
        joules = event.energy_joules
        return lambda: round(Decimal(repr(joules)) * per_joule)
    if event.prompt_tokens is None or event.output_tokens is None:
        return None
    tokens = Tokens(event.prompt_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens)
    if source == "override":
        return lambda: price.linear(json.loads(event.price.rates), tokens)
    if source == "list" and event.price.price_source == price.list_source():
        at, which = period.instant(event.at_us), event.price
        return lambda: money.pico(price.list_usd(which.provider, which.model, tokens, at, which.variant))
    return None


def _apart(connection: sqlite3.Connection) -> Check:
    """Two runs that measured the same machine at the same time have both counted its energy."""
    count = connection.execute("SELECT COUNT(*) FROM energy WHERE method LIKE 'measured%'").fetchone()[0]
    found = connection.execute(
        "SELECT DISTINCT ra.run_id, rb.run_id FROM energy a JOIN runs ra ON ra.run = a.run"
        " JOIN energy b ON b.start_us < a.end_us AND b.end_us > a.start_us AND b.run > a.run"
        " JOIN runs rb ON rb.run = b.run AND rb.host = ra.host"
        " WHERE a.method LIKE 'measured%' AND b.method LIKE 'measured%' LIMIT ?",
        (MAX_EXAMPLES,),
    ).fetchall()
    pairs = ", ".join(" and ".join(pair) for pair in found)
    return Check("no energy was measured twice", not found, count, f"at the same time on one machine: {pairs}" if found else "")
