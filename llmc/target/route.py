"""llmc why route: the ladder as it would be asked now, and the numbers behind it.

    llmc why route profile=hybrid route=history

Nothing is started and no document is sent. A cloud rung is probed over HTTP where the profile may leave this machine; a model
of this machine is not, since it is started when it is first needed.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from llmc.errors import UsageError
from llmc.route import rungs
from llmc.route.history import EXPLORE, LENGTHS, WAITING_USD_PER_HOUR, History, Record, length_class
from llmc.route.rungs import Rung
from llmc.route.tier import Tier
from llmc.schema import RunConfig
from llmc.target import doctor

DRAWS = 400  # orders drawn for each length class: a share is right to within 0.05


@dataclass(slots=True)
class RungReport:
    """One rung for documents of one length class; None for what is not known yet."""

    rung: str
    what: str
    tries: float
    """Remembered, each weighted by its age."""
    pass_rate: float | None
    seconds: float | None
    cost_usd: float | None
    asked_first: float
    """Share of documents of this length that would ask it before the others."""


@dataclass(slots=True)
class LengthReport:
    source_tokens: str
    rungs: list[RungReport]
    """In the order that most documents of this length would follow."""


@dataclass(slots=True)
class RouteReport:
    """What ``llmc why route`` found."""

    profile: str
    route: str
    quality: str
    rule: str
    """What decides the order, in a sentence."""
    lengths: list[LengthReport] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Rungs of ``profile.ladder`` that are not there, and why."""
    health: dict[str, str] = field(default_factory=dict)


def route(config: RunConfig) -> RouteReport:
    """The present order of the ladder, for each length class."""
    config = doctor.resolve(config)
    found = rungs.rungs(config)
    tiers = rungs.tiers(config)
    there = {tier.name for tier in tiers}
    report = RouteReport(config.profile.name, config.route, config.view.quality, _rule(config))
    report.left_out = {r.name: r.absent or "its weights are not here (llmc pull)" for r in found if r.name not in there}
    if not tiers:
        raise UsageError(
            f"profile={config.profile.name}: no rung of the ladder is here: {_because(found)}", hint="llmc pull model=smollm"
        )
    with History(seed=config.seed) as history:
        for length, limit in enumerate([*LENGTHS, 2 * LENGTHS[-1]]):
            report.lengths.append(_length(config, history, tiers, length, limit))
    if not config.profile.offline and not config.dry_run:
        report.health = asyncio.run(_health([tier for tier in tiers if not tier.local]))
    return report


def _rule(config: RunConfig) -> str:
    if config.route == "rules":
        return "as profile.ladder says" + (", the cloud before the others" if config.view.quality == "high" else "")
    return (
        f"the chance of a view that passes, per cost; an hour of waiting counts as ${WAITING_USD_PER_HOUR:.2f}; "
        f"{EXPLORE:.0%} of the documents ask in random order"
    )


def _because(found: list[Rung]) -> str:
    return "; ".join(f"{rung.name}: {rung.absent or 'its weights are not here'}" for rung in found)


def _length(config: RunConfig, history: History, tiers: list[Tier], length: int, limit: int) -> LengthReport:
    assert length_class(limit) == length
    drawn = [history.order(tiers, f"draw {i}", limit) if config.route == "history" else tiers for i in range(DRAWS)]
    first = Counter(order[0].name for order in drawn)
    place = Counter[str]()
    for order in drawn:
        for i, tier in enumerate(order):
            place[tier.name] += i
    reports = []
    for tier in sorted(tiers, key=lambda t: place[t.name]):
        record: Record = history.record(tier.identity, length)
        reports.append(
            RungReport(
                tier.name,
                str(tier.identity),
                round(record.tries, 1),
                record.pass_rate,
                record.mean_seconds,
                record.mean_cost_usd,
                first[tier.name] / DRAWS,
            )
        )
    below = 0 if length == 0 else LENGTHS[length - 1]
    return LengthReport(f"{below + 1} to {limit}" if length < len(LENGTHS) else f"more than {LENGTHS[-1]}", reports)


async def _health(tiers: list[Tier]) -> dict[str, str]:
    found = {}
    for tier in tiers:
        health = await tier.health()
        found[tier.name] = f"answers after {health.latency_seconds * 1000:.0f} ms" if health.ok else health.reason
        await tier.aclose()
    return found
