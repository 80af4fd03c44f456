"""A ledger with what a test needs on record, and the report of it at a fixed time."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime

from llmc.ledger import Document, Event, Price, Run, Stretch
from llmc.period import microseconds

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW_US = microseconds(NOW)
LIST = Price(
    "list", "genai-prices==0.2.3", "openai", "gpt-4o-mini", "gpt-4o-mini", '{"input_mtok": "0.15", "output_mtok": "0.6"}'
)
ENERGY = Price("energy", "the bill", rates='{"usd_per_kwh": "0.30", "pue": "1"}')
UNKNOWN = Price("unknown", "no price for acme/my-model", "acme", "my-model")
CACHED = Price("cached", "")
ACME = (
    "price.overrides=[{provider: acme, model: cloud, input_usd_per_million: '1.00', output_usd_per_million: '0',"
    " source: the table, checked: '2026-11-23'}]"
)
_ids = itertools.count()


def run(run_id="run-1", **changes):
    made = Run(run_id, "notes", "compress", "c0ffee", "host-1", NOW_US - 60_000_000, "hybrid", "smollm", ("nightly",))
    return replace(made, **changes)


def cloud(**changes):
    """1,000 tokens in and 100 out at gpt-4o-mini's list price: $0.00021."""
    made = Event(
        event_id=f"event-{next(_ids)}", run_id="run-1", at_us=NOW_US, document="a.md", tier="cloud", backend_kind="cloud",
        engine="openai", provider="openai", model="gpt-4o-mini", served_model="gpt-4o-mini", attempt=1, status="ok", reason="",
        prompt_tokens=1000, cache_read_tokens=0, cache_write_tokens=0, output_tokens=100, reasoning_tokens=0, seconds=1.5,
        request_id="", cost_pico=210_000_000, price=LIST,
    )  # fmt: skip
    return replace(made, **changes)


def local(**changes):
    """1,000 tokens in and 100 out on this machine, without a sensor."""
    values = {
        "tier": "local", "backend_kind": "local", "engine": "embedded", "provider": "", "model": "smollm",
        "served_model": "smollm", "cost_pico": None, "price": Price("unknown", "no energy reading", "", "smollm"),
    }  # fmt: skip
    return cloud(**{**values, **changes})


def measured(joules=36_000.0, cost_pico=3_000_000_000, method="measured_counter", **changes):
    """The same with a sensor: 10 Wh at $0.30 per kWh are $0.003."""
    energy = {"energy_joules": joules, "energy_method": method, "energy_scope": "board", "energy_coverage": 1.0}
    return local(**{"cost_pico": cost_pico, "price": ENERGY, **energy, **changes})


def document(**changes):
    made = Document(f"made-{next(_ids)}", "run-1", NOW_US, "a.md", "gist", "cloud", 5000, 1200, 200, 1, 2.5)
    return replace(made, **changes)


def stretch(**changes):
    made = Stretch(
        f"stretch-{next(_ids)}", "run-1", NOW_US - 3_600_000_000, NOW_US, "rapl", "measured_counter", "processor package", 1.0,
        3000.0, 600.0, 36_000.0, 1200.0, 100_000_000,
    )  # fmt: skip
    return replace(made, **changes)
