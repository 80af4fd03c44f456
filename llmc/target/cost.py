"""llmc cost: what was spent, on what, and whether it was worth it."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from llmc import period, spending, worth
from llmc.errors import UsageError
from llmc.ledger import Filter, Ledger, budget
from llmc.period import Period
from llmc.report import cost_files, cost_focus, cost_text
from llmc.report.cost_text import Report
from llmc.schema import RunConfig
from llmc.target import ledger as upkeep


@dataclass(slots=True)
class Costs:
    """What was spent and what follows from it, and the files that say so."""

    said: Report
    ledger: str
    written: list[str] = field(default_factory=list)

    @property
    def report(self) -> dict[str, Any]:
        """As JSON values; money as text, in dollars."""
        return {**cost_files.as_json(self.said), "ledger": self.ledger, "written": self.written}


def cost(config: RunConfig) -> Any:  # noqa: ANN401 - each action has a result of its own
    """The report; with a second word (``llmc cost verify``) the ledger's upkeep."""
    if config.do is not None:
        if config.do not in upkeep.ACTIONS:
            raise UsageError(
                f"do={config.do} is none of {', '.join(upkeep.ACTIONS)}", hint="llmc cost without it is the report"
            )
        return upkeep.ACTIONS[config.do](config)
    if config.dry_run:
        return f"read {upkeep.path(config)}" + (f" and write {config.output}" if config.output else "")
    output = cost_files.Output.of(config.output, force=config.force) if config.output else None
    with Ledger.read(upkeep.path(config)) as ledger:
        said = made(ledger, config)
        said.more.extend(f"Not counted: {warning}." for warning in ledger.warnings)
        result = Costs(said, str(upkeep.path(config)))
        if output is not None:
            files = output.write(said, lambda: cost_focus.rows(ledger, said.spending, said.worth.comparison))
            result.written = [str(file) for file in files]
    return result


def made(ledger: Ledger, config: RunConfig, now: datetime | None = None) -> Report:
    """The report of a period, as configured."""
    tz, now = period.zone(config.timezone), now or budget.now()
    only = config.cost
    if config.repricing and config.repricing not in (known := ledger.repricings()):
        last = f"repricing={known[-1]}" if known else "llmc cost reprice makes one"
        raise UsageError(f"repricing={config.repricing} is not on record", hint=last)
    where = Filter(project=_project(config), tag=only.tag, model=only.model, run_id=only.run, repricing=config.repricing)
    by = [name.strip() for name in config.by.split(",") if name.strip()]
    if len(set(by)) < len(by):
        raise UsageError(f"by={config.by} names something twice")
    if config.period == "run":
        run_id = only.run or spending.last_run(ledger, where)
        asked = Period("run", run_id or "none", -period.END_OF_TIME_US, period.END_OF_TIME_US)
        where = replace(where, run_id=run_id or "")
    else:
        asked = spending.window(config.period, now, tz)
    found = spending.read(ledger, asked, where, now=now, tz=tz, by=by)
    return cost_text.report(found, worth.worth(ledger, found, config, now, tz), by)


def _project(config: RunConfig) -> str | None:
    """The one that is asked about: ``cost.project``, or the one that is worked for, unless none was named."""
    return config.cost.project or (config.project if config.project != RunConfig.project else None)
