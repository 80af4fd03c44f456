"""Rows to put on record."""

import itertools
from dataclasses import replace
from typing import Any

from llmc.ledger import Document, Event, Price, Run

NOON_US = 1_795_435_200_000_000  # 2026-11-23 12:00 UTC
LIST = Price("list", "genai-prices==0.2.3", "openai", "gpt-4o-mini", "gpt-4o-mini", '{"input": "0.15"}')
UNKNOWN = Price("unknown", "no price for openai/my-model", "openai", "my-model")
_ids = itertools.count()


def run(run_id: str = "run-1", **changes: Any) -> Run:
    made = Run(run_id, "notes", "compress", "c0ffee", "host-1", NOON_US, "hybrid", "smollm2-135m-instruct", ("nightly",))
    return replace(made, **changes)


def event(run_id: str = "run-1", **changes: Any) -> Event:
    made = Event(
        event_id=f"event-{next(_ids)}", run_id=run_id, at_us=NOON_US, document="a.md", tier="cloud", backend_kind="cloud",
        engine="openai", provider="openai", model="gpt-4o-mini", served_model="gpt-4o-mini-2024-07-18", attempt=1, status="ok",
        reason="", prompt_tokens=1000, cache_read_tokens=0, cache_write_tokens=0, output_tokens=100, reasoning_tokens=0,
        seconds=1.5, request_id="req_1", cost_pico=210_000_000, price=LIST, reserved_pico=300_000_000, reserved_tokens=1300,
    )  # fmt: skip
    return replace(made, **changes)


def document(run_id: str = "run-1", **changes: Any) -> Document:
    made = Document(f"made-{next(_ids)}", run_id, NOON_US, "a.md", "gist", "cloud", 5000, 1200, 200, 1, 2.5)
    return replace(made, **changes)
