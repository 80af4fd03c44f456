"""What the tests of the ladder share: texts, patience that is short, and one run of the second stage over given rungs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmc import codec, pipeline, viewstore
from llmc.archive import Archive
from llmc.documents import Selection
from llmc.engine.openai import OpenAI
from llmc.fidelity import Policy
from llmc.pipeline import Summary
from llmc.route.history import History
from llmc.route.tier import Tier
from llmc.schema import PatienceConfig, ProviderConfig, ViewConfig
from llmc.view import View
from llmc.view.ladder import Ladder, Order, as_written

QUICK = PatienceConfig(
    tries=3, first_wait_seconds=0.01, longest_wait_seconds=0.05, deadline_seconds=3, rest_after_failures=50, rest_seconds=0.3
)
SENTENCES = (
    "The board of the Harbour Street housing association met on 12 March 2026 in the old library.",
    "Nine of the eleven members were present and Ana Duarte took the chair for the evening.",
    "The board voted 7-2 to extend the Harbour Street lease until the end of 2029.",
    "The rent falls to 4,850 EUR per month and will be reviewed once a year by both sides.",
    "The roof repair is not covered by the insurance and has to be paid from the reserve fund.",
    "Tom Berger asked for a second estimate before any money is spent on the roof.",
    "The treasurer reported that the reserve fund holds 61,200 EUR at the end of February.",
    "The next meeting is planned for 9 April 2026 at seven in the evening in the same room.",
)


def minutes(number: int, repeats: int = 3) -> str:
    """A text that is long enough to be worth a view, and like no other."""
    return " ".join([f"These are the minutes number {number} of the year.", *(SENTENCES * repeats)])


def cloud(url: str, name: str = "cloud", **options: Any) -> Tier:
    """A rung that asks a server at this address; ``provider=`` and ``timeout_seconds=`` are the engine's."""
    settings = {"model": "fake-mini", **options.pop("provider", {})}
    provider = ProviderConfig(
        name="fake", base_url=f"{url}/v1", answer_format="loose_schema", source="-", checked="-", **settings
    )
    timeout = options.pop("timeout_seconds", 1.0)
    engine = OpenAI(provider, slots=4, timeout_seconds=timeout, offline=True)
    engine.__enter__()
    engine.model_digest = f"{name}:fake-mini"
    options = {"patience": QUICK, "counts_tokens": False, "request_timeout_seconds": timeout, **options}
    return Tier.of(engine, name, provider="fake", **options)


def run(
    tmp_path: Path,
    tiers: Sequence[Tier],
    texts: Sequence[str] = (minutes(1),),
    *,
    view: ViewConfig | None = None,
    max_failures: int | None = None,
    policy: Policy | None = None,
    history: History | None = None,
    order: Order = as_written,
    **options: Any,
) -> tuple[dict[str, View], Summary]:
    """Compress the texts over these rungs; their views and the summary."""
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True, parents=True)
    for i, text in enumerate(texts):
        (folder / f"{i:03}.txt").write_text(text)
    view = dataclasses.replace(view or ViewConfig(name="gist", needs_engine=True, target_ratio=3), **options)
    summary = pipeline.compress(
        Selection(str(folder)),
        tmp_path / "a.llmc",
        codec.load("zstd"),
        Ladder(view, policy or Policy(), tiers, history=history, order=order),
        max_failures=max_failures,
    )
    return views(tmp_path / "a.llmc"), summary


def views(path: Path) -> dict[str, View]:
    archive = Archive.open(path)
    return {row["id"]: viewstore.from_row(row) for part in archive.manifest.parts for row in viewstore.rows(archive, part)}


def steps(view: View) -> list[str]:
    """The way down, as words: ``cloud failed: timeout``, ``second kept``, ``extract kept``."""
    return [f"{a.by or a.tier} {a.outcome}" + (f": {a.cause}" if a.cause else "") for a in view.attempts]
