"""Calls to meter, and a configuration to do it with; imported by the processes of a test too, so without pytest."""

import uuid
from dataclasses import replace
from pathlib import Path

from llmc.errors import BudgetExceeded
from llmc.ledger.meter import LedgerMeter
from llmc.meter import Call, Outcome
from llmc.schema import BudgetConfig, PowerConfig, PriceConfig, RunConfig

OK = Outcome("ok", prompt_tokens=1000, output_tokens=100, seconds=1.5)


def config(path: Path, **changes) -> RunConfig:
    made = RunConfig(price=PriceConfig("list"), power=PowerConfig("auto"), budget=BudgetConfig("none"), ledger=str(path))
    made.timezone = "UTC"
    made.profile.name = made.model.name = "test"
    return replace(made, **changes)


def budget(**limits) -> BudgetConfig:
    return BudgetConfig("test", **limits)


def cloud(event_id: str = "e1", **changes) -> Call:
    return replace(Call(event_id, "a.md", "cloud", False, "openai", "openai", "gpt-4o-mini", 1), **changes)


def local(event_id: str = "e1", **changes) -> Call:
    return replace(Call(event_id, "a.md", "local", True, "embedded", "", "smollm2-135m-instruct", 1), **changes)


def spend(meter: LedgerMeter, calls: int, **changes) -> int:
    """How many of so many calls the budget let through."""
    for i in range(calls):
        call = cloud(uuid.uuid4().hex, **changes)
        try:
            meter.reserve(call, prompt_tokens=1000, max_output_tokens=300)
        except BudgetExceeded:
            return i
        meter.settle(call, OK)
    return calls
