"""llmc cost: what was spent."""

from dataclasses import dataclass
from typing import Any

from llmc.ledger import Ledger, Totals, UnknownPrice
from llmc.schema import RunConfig
from llmc.target import ledger as upkeep


@dataclass(slots=True)
class Spending:
    """What is on record, by model."""

    ledger: str
    models: list[Totals]
    unknown: list[UnknownPrice]


def cost(config: RunConfig) -> Any:  # noqa: ANN401 - each action has a result of its own
    if config.do is not None:
        return upkeep.ACTIONS[config.do](config)
    with Ledger.read(upkeep.path(config)) as ledger:
        return Spending(str(ledger.path), ledger.totals(by=("provider", "model")), ledger.unknown_prices())
