"""Documents per minute of the gist path, beside the same server driven flat out with the same prompts and nothing else done.

The two are measured in one process: one server, llmc and a plain client in turn. Each prompt carries a number at its start, so
that neither profits from what the server cached for the other. Needs the weights: ``llmc pull model=smollm``.
"""

import asyncio
import itertools
import time
from pathlib import Path

import pytest

import llmc
from bench import texts
from llmc import state
from llmc.engine.embedded import Embedded
from llmc.schema import ViewConfig
from llmc.view import gist, prompt

WEIGHTS = state.cache("models") / "smollm2-135m-instruct-q4_1.gguf"
DOCUMENTS = 8
BUDGET_TOKENS = 60
numbers = itertools.count()


@pytest.fixture(scope="module")
def engine():
    with Embedded(WEIGHTS, model="smollm2-135m-instruct", model_digest="", slots=4) as running:
        yield running


def write_passages(folder: Path) -> None:
    folder.mkdir()
    for text in texts.passages(DOCUMENTS, 1500):
        (folder / f"{next(numbers):05}.txt").write_text(f"Passage {next(numbers)}.\n{text}")


async def flat_out(engine: Embedded, folder: Path) -> None:
    """The same prompts, and nothing else done: as many at once as the server has slots."""
    slots = asyncio.Semaphore(engine.slots)

    async def one(path: Path) -> None:
        async with slots:
            await engine.generate(
                prompt.messages(path.read_text(), int(BUDGET_TOKENS * gist.WORDS_PER_TOKEN)),
                max_tokens=gist.answer_tokens(BUDGET_TOKENS),
                schema=prompt.schema(BUDGET_TOKENS * gist.CHARS_PER_TOKEN),
                seed=1,
            )

    await asyncio.gather(*(one(path) for path in sorted(folder.iterdir())))
    await engine.aclose()


def test_gist_path_against_the_raw_server(benchmark, engine: Embedded, tmp_path: Path):
    view = ViewConfig(name="gist", target_ratio=5, max_tokens=BUDGET_TOKENS, min_tokens=BUDGET_TOKENS, attempts=1)
    took: dict[str, list[float]] = {"llmc": [], "raw": []}

    def one_round() -> None:
        n = next(numbers)
        for name in ("llmc", "raw") if n % 2 else ("raw", "llmc"):
            folder = tmp_path / f"{n}-{name}"
            write_passages(folder)
            started = time.perf_counter()
            if name == "llmc":
                llmc.compress(folder, tmp_path / f"{n}.llmc", view=view, engine=engine)
            else:
                asyncio.run(flat_out(engine, folder))
            took[name].append(time.perf_counter() - started)

    benchmark.pedantic(one_round, rounds=4, warmup_rounds=1)
    ratios = sorted(raw / ours for raw, ours in zip(took["raw"], took["llmc"], strict=True))
    benchmark.extra_info |= {
        "docs_per_min_llmc": [round(DOCUMENTS / s * 60, 1) for s in took["llmc"]],
        "docs_per_min_raw": [round(DOCUMENTS / s * 60, 1) for s in took["raw"]],
        "llmc_share_of_raw": [round(r, 3) for r in ratios],
        "threads": engine.threads,
    }
