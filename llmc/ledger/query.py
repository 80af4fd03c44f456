"""Questions to the ledger, answered by SQLite: sums by any group, over any filter, in memory that stays flat."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from llmc import money
from llmc.errors import LedgerError, UsageError
from llmc.ledger.rows import Event, Price, Run
from llmc.period import Period

GROUPS = {
    "run": "r.run_id", "project": "r.project", "target": "r.target", "profile": "r.profile", "host": "r.host", "tag": "t.tag",
    "tier": "e.tier", "model": "e.model", "served_model": "e.served_model", "engine": "e.engine", "provider": "e.provider",
    "backend_kind": "e.backend_kind", "status": "e.status", "attempt": "e.attempt", "document": "e.document",
    "cost_source": "p.cost_source", "price_source": "p.price_source", "variant": "p.variant", "rates": "p.rates",
    "energy_method": "e.energy_method", "period": "w.label",
}  # fmt: skip
"""What events can be grouped by. ``period`` needs ``Filter.periods``; with ``tag`` an event counts once for each tag."""
DOCUMENT_GROUPS = {
    **{name: GROUPS[name] for name in ("run", "project", "target", "profile", "host", "tag", "tier", "document", "period")},
    "kind": "e.kind",
}
ENERGY_GROUPS = {
    **{name: GROUPS[name] for name in ("run", "project", "target", "profile", "host", "tag", "period")},
    "meter": "e.meter", "method": "e.method", "scope": "e.scope",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows. None: all. Times are half-open: ``start_us <= at < end_us``."""

    start_us: int | None = None
    end_us: int | None = None
    run_id: str | None = None
    project: str | None = None
    tag: str | None = None
    model: str | None = None
    tier: str | None = None
    periods: tuple[Period, ...] = ()
    """For grouping by ``period``; only what falls into one of them is counted."""
    repricing: str | None = None
    """Costs as this repricing has them, where it has."""


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a group of events."""

    key: tuple[Any, ...]
    """The values of what was grouped by, in that order."""
    attempts: int
    ok: int
    failed: int
    cached: int
    """Answered from our own cache: nothing was sent."""
    lost: int
    prompt_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    without_tokens: int
    """Attempts for which nobody said how many tokens they took; the sums leave them out."""
    seconds: float
    cost_pico: int
    """What is known. With ``unknown_cost`` above 0 the whole is at least this."""
    receipt_pico: int
    """Of that, what providers themselves said."""
    failed_pico: int
    """Of that, what failed and lost attempts cost."""
    cloud_pico: int
    """Of that, what is billed; the rest is electricity of local calls."""
    unknown_cost: int
    """Attempts whose cost is not known."""
    unknown_at_most_pico: int
    """What was set aside for those of them that had a price beforehand."""
    variant_unmatched: int
    """Attempts priced as standard though a variant (batch, flex) was asked for."""
    energy_joules: float
    energy_estimated_joules: float
    """Of that, what follows from configured watts instead of a sensor."""
    without_energy: int
    """Local attempts without a measured or estimated energy."""
    documents: int
    """Different documents that were attempted."""
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class UnknownPrice:
    """Attempts that could not be priced."""

    provider: str
    model: str
    why: str
    attempts: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class DocumentTotals:
    """Sums over a group of documents that went down the ladder."""

    key: tuple[Any, ...]
    documents: int
    gist: int
    extract: int
    none: int
    source_bytes: int
    source_tokens: int
    view_tokens: int
    """Of documents without a view: their own tokens."""
    refused: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EnergyTotals:
    """Sums over stretches of runs, per way of measuring: measured and estimated energy are never added up here."""

    key: tuple[Any, ...]
    meter: str
    method: str
    scope: str
    coverage: float
    """The share of the time that the readings cover, weighted by time."""
    busy_seconds: float
    idle_seconds: float
    busy_joules: float | None
    """None: no reading."""
    idle_joules: float | None
    idle_pico: int
    idle_unknown: int
    """Stretches whose idle cost is not known."""


_EVENT_SUMS = """
COUNT(*), SUM(e.status = 'ok'), SUM(e.status = 'failed'), SUM(e.status = 'cached'), SUM(e.status = 'lost'),
COALESCE(SUM(e.prompt_tokens), 0), SUM(e.cache_read_tokens), SUM(e.cache_write_tokens), COALESCE(SUM(e.output_tokens), 0),
SUM(e.reasoning_tokens), SUM(e.prompt_tokens IS NULL OR e.output_tokens IS NULL), SUM(e.seconds),
COALESCE(SUM({cost}), 0), COALESCE(SUM(CASE WHEN p.cost_source = 'receipt' THEN {cost} END), 0),
COALESCE(SUM(CASE WHEN e.status IN ('failed', 'lost') THEN {cost} END), 0),
COALESCE(SUM(CASE WHEN e.backend_kind = 'cloud' THEN {cost} END), 0),
SUM({cost} IS NULL), COALESCE(SUM(CASE WHEN {cost} IS NULL THEN e.reserved_pico END), 0),
COALESCE(SUM(p.variant_matched = 0), 0),
COALESCE(SUM(e.energy_joules), 0.0),
COALESCE(SUM(CASE WHEN e.energy_method = 'configured_watts' THEN e.energy_joules END), 0.0),
SUM(e.backend_kind = 'local' AND e.status <> 'cached' AND e.energy_joules IS NULL),
COUNT(DISTINCT e.document), MIN(e.at_us), MAX(e.at_us)
"""


def totals(connection: sqlite3.Connection, where: Filter, by: Sequence[str]) -> list[Totals]:
    source, condition, values = _from("events", where, by, "at_us", GROUPS)
    source, cost = _priced(source, values, where)
    rows = _grouped(connection, _EVENT_SUMS.format(cost=cost), source, condition, values, by, GROUPS)
    return [Totals(key, *rest) for key, rest in rows if rest[0]]


def _priced(source: str, values: dict[str, Any], where: Filter) -> tuple[str, str]:
    """The source joined with its prices ``p``, and what an event cost: as recorded, or by the repricing asked for."""
    if not where.repricing:
        return f"{source} JOIN prices p ON p.price = e.price", "e.cost_pico"
    values["repricing"] = where.repricing
    source += (
        " LEFT JOIN repricings x ON x.event = e.event AND x.repricing_id = :repricing"
        " JOIN prices p ON p.price = COALESCE(x.price, e.price)"
    )
    return source, "(CASE WHEN x.event IS NULL THEN e.cost_pico ELSE x.cost_pico END)"


def repricings(connection: sqlite3.Connection) -> list[str]:
    """The repricings that are on record, the oldest first."""
    return [row[0] for row in connection.execute("SELECT DISTINCT repricing_id FROM repricings ORDER BY 1")]


def unknown_prices(connection: sqlite3.Connection, where: Filter) -> list[UnknownPrice]:
    source, condition, values = _from("events", where, (), "at_us", GROUPS)
    source, cost = _priced(source, values, where)
    found = connection.execute(
        f"SELECT e.provider, e.model, p.price_source, COUNT(*), COALESCE(SUM(e.prompt_tokens), 0),"
        f" COALESCE(SUM(e.output_tokens), 0) FROM {source}"
        f" WHERE {condition} AND {cost} IS NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3",
        values,
    )
    return [UnknownPrice(*row) for row in found]


def documents(connection: sqlite3.Connection, where: Filter, by: Sequence[str]) -> list[DocumentTotals]:
    if where.model is not None:
        raise UsageError("documents have no model: it is their events that do")
    source, condition, values = _from("documents", where, by, "at_us", DOCUMENT_GROUPS)
    sums = (
        "COUNT(*), SUM(e.kind = 'gist'), SUM(e.kind = 'extract'), SUM(e.kind = 'none'), SUM(e.source_bytes),"
        " SUM(e.source_tokens), SUM(e.view_tokens), SUM(e.refused), SUM(e.seconds)"
    )
    rows = _grouped(connection, sums, source, condition, values, by, DOCUMENT_GROUPS)
    return [DocumentTotals(key, *rest) for key, rest in rows if rest[0]]


def energy(connection: sqlite3.Connection, where: Filter, by: Sequence[str]) -> list[EnergyTotals]:
    if where.model is not None or where.tier is not None:
        raise UsageError("energy is measured for a machine, not for a model or a tier: ask for totals, which divide it")
    by = (*by, *(name for name in ("meter", "method", "scope") if name not in by))
    source, condition, values = _from("energy", where, by, "start_us", ENERGY_GROUPS)
    sums = (
        "SUM(e.coverage * (e.busy_seconds + e.idle_seconds)) / MAX(SUM(e.busy_seconds + e.idle_seconds), 1e-9),"
        " SUM(e.busy_seconds), SUM(e.idle_seconds), SUM(e.busy_joules), SUM(e.idle_joules), COALESCE(SUM(e.idle_pico), 0),"
        " SUM(e.idle_pico IS NULL), COUNT(*)"
    )
    found = []
    for key, rest in _grouped(connection, sums, source, condition, values, by, ENERGY_GROUPS):
        if rest[-1]:
            named = dict(zip(by, key, strict=True))
            found.append(EnergyTotals(key, named["meter"], named["method"], named["scope"], *rest[:-1]))
    return found


def runs(connection: sqlite3.Connection, where: Filter) -> Iterator[Run]:
    if where.model is not None or where.tier is not None:
        raise UsageError("runs have no single model or tier: group the totals by run")
    source, condition, values = _from("runs", where, (), "started_us", GROUPS)
    found = connection.execute(
        "SELECT e.run, e.run_id, e.project, e.target, e.config_hash, e.host, e.started_us, e.profile, e.model,"
        " z.ended_us, COALESCE(z.status, ''), z.original_bytes, z.archive_bytes"
        f" FROM {source} LEFT JOIN run_ends z ON z.run = e.run WHERE {condition} ORDER BY e.started_us, e.run",
        values,
    )
    for row in found:
        tags = connection.execute("SELECT tag FROM tags WHERE run = ? ORDER BY tag", row[:1])
        columns: tuple[Any, ...] = (*row[1:9], tuple(tag for (tag,) in tags), *row[9:])
        yield Run(*columns)


def events(connection: sqlite3.Connection, where: Filter) -> Iterator[Event]:
    source, condition, values = _from("events", where, (), "at_us", GROUPS)
    names = [f.name for f in fields(Event)]
    columns = ", ".join("r.run_id" if n == "run_id" else f"e.{n}" for n in names)
    priced: dict[int, Price] = {}
    at = names.index("price")
    for row in connection.execute(f"SELECT {columns} FROM {source} WHERE {condition} ORDER BY e.event", values):
        if row[at] not in priced:
            priced[row[at]] = price(connection, row[at])
        values_of: tuple[Any, ...] = (*row[:at], priced[row[at]], *row[at + 1 :])
        yield Event(*values_of)


def price(connection: sqlite3.Connection, key: int) -> Price:
    """A price by its key."""
    names = ", ".join(f.name for f in fields(Price))
    row = connection.execute(f"SELECT {names} FROM prices WHERE price = ?", (key,)).fetchone()
    made = Price(*row)
    return made if made.variant_matched is None else replace(made, variant_matched=bool(made.variant_matched))


def _from(table: str, where: Filter, by: Sequence[str], time: str, groups: dict[str, str]) -> tuple[str, str, dict[str, Any]]:
    """The joined tables, the condition, and its values."""
    for name in by:
        if name not in groups:
            raise UsageError(f"cannot group by {name!r}", hint=f"by={','.join(sorted(groups))}")
    if ("period" in by) != bool(where.periods):
        raise ValueError("grouping by period and Filter.periods go together")
    values: dict[str, Any] = {}
    conditions = ["1"]
    source = "runs e" if table == "runs" else f"{table} e JOIN runs r ON r.run = e.run"
    run = "e" if table == "runs" else "r"
    if where.periods:
        rows = ", ".join(f"(:label{i}, :from{i}, :to{i})" for i in range(len(where.periods)))
        for i, period in enumerate(where.periods):
            values |= {f"label{i}": period.label, f"from{i}": period.start_us, f"to{i}": period.end_us}
        source = f"(SELECT column1 AS label, column2 AS a, column3 AS b FROM (VALUES {rows})) w CROSS JOIN {source}"
        conditions.append(f"e.{time} >= w.a AND e.{time} < w.b")
    if "tag" in by:
        source += " JOIN tags t ON t.run = e.run"
    for column, sign, value in (
        (f"e.{time}", ">=", where.start_us),
        (f"e.{time}", "<", where.end_us),
        (f"{run}.run_id", "=", where.run_id),
        (f"{run}.project", "=", where.project),
        ("e.model", "=", where.model),
        ("e.tier", "=", where.tier),
    ):
        if value is not None:
            name = f"v{len(values)}"
            values[name] = value
            conditions.append(f"{column} {sign} :{name}")
    if where.tag is not None:
        values["tag"] = where.tag
        conditions.append("EXISTS (SELECT 1 FROM tags y WHERE y.run = e.run AND y.tag = :tag)")
    return source, " AND ".join(conditions), values


def _grouped(
    connection: sqlite3.Connection,
    sums: str,
    source: str,
    condition: str,
    values: dict[str, Any],
    by: Sequence[str],
    groups: dict[str, str],
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    keys = [groups[name] for name in by]
    order = ", ".join(str(i + 1) for i in range(len(keys)))
    tail = f" GROUP BY {order} ORDER BY {order}" if keys else ""
    columns = ", ".join([*keys, sums])
    try:
        for row in connection.execute(f"SELECT {columns} FROM {source} WHERE {condition}{tail}", values):
            yield row[: len(keys)], row[len(keys) :]
    except sqlite3.OperationalError as error:
        if "integer overflow" not in str(error):
            raise
        most = money.text(money.MAX_PICO)
        raise LedgerError(f"a sum is more than can be counted ({most})", hint="ask for a shorter period") from error
