"""Documents a minute through the whole of ``compress``, one by one and many at once, beside a plain client that drives the same
server flat out with the same prompts and does nothing else.

    python -m bench.throughput fake                        # a server process with 16 slots that takes 200 ms; about a minute
    python -m bench.throughput smollm --documents 200      # SmolLM2-135M on this machine's CPU; about an hour on two cores
    python -m bench.throughput smollm --documents 200 --threads 2 --rounds 1 > throughput.json

The last line of standard output is one JSON document. Everybody is given the same texts, and a model server that was just
started and has read none of them; modes take turns in each round, so that a machine that slows down slows all of them.
``share_of_raw`` compares a mode with the raw client at the same number of requests in flight, in the same round. A model that
has several slots does not write the same answer twice (what is computed together differs), so the two sides' answers differ in
length by some per cent: ``share_of_raw_per_token`` compares written tokens a second instead of documents.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import texts
from llmc import codec, pipeline, state
from llmc.documents import Selection
from llmc.engine import Engine
from llmc.engine.embedded import Embedded, idle_cores
from llmc.engine.openai import OpenAI
from llmc.fidelity import Policy
from llmc.route.tier import Tier
from llmc.schema import ProviderConfig, ViewConfig
from llmc.view import gist, prompt
from llmc.view.ladder import Ladder

ROOT = Path(__file__).parent.parent
WEIGHTS = state.cache("models") / "smollm2-135m-instruct-q4_1.gguf"
CHARACTERS = 1500  # of a document: about 350 tokens
BUDGET_TOKENS = 60
VIEW = ViewConfig(name="gist", needs_engine=True, max_tokens=BUDGET_TOKENS, min_tokens=BUDGET_TOKENS, attempts=1)


@dataclass(frozen=True, slots=True)
class Mode:
    """A way of asking: documents in work, requests in flight. ``one_by_one`` has the numbers of profile=baseline."""

    name: str
    batch: int
    concurrency: int


FIGURES = ("documents_per_minute", "output_tokens", "share_of_raw", "share_of_raw_per_token", "cpu_seconds_per_document")
MODES = {
    "fake": [Mode("one_by_one", 1, 1), Mode("local", 32, 4), Mode("tuned", 64, 16)],
    "smollm": [Mode("one_by_one", 1, 1), Mode("local", 32, 4)],
}


def write_documents(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    for number, text in enumerate(texts.passages(count, CHARACTERS, texts.BOTH)):
        (folder / f"{number:06}.txt").write_text(text)
    return sorted(folder.iterdir())


async def flat_out(engine: Engine, files: list[Path], concurrency: int) -> int:
    """The same prompts, and nothing else done; how many tokens were written."""
    places = asyncio.Semaphore(concurrency)

    async def one(path: Path) -> int:
        async with places:
            answer = await engine.generate(
                prompt.messages(path.read_text(), int(BUDGET_TOKENS * gist.WORDS_PER_TOKEN)),
                max_tokens=gist.answer_tokens(BUDGET_TOKENS),
                schema=prompt.schema(BUDGET_TOKENS * gist.CHARS_PER_TOKEN),
                seed=1,
            )
        return answer.output_tokens

    try:
        return sum(await asyncio.gather(*(one(path) for path in files)))
    finally:
        await engine.aclose()


def whole(engine: Engine, folder: Path, archive: Path, mode: Mode) -> int:
    """What ``llmc compress`` does with the folder once the engine runs; how many tokens were written."""
    tier = Tier.of(
        engine, concurrency=mode.concurrency, batch=mode.batch, attempts=1, counts_tokens=not isinstance(engine, OpenAI)
    )
    return pipeline.compress(Selection(str(folder)), archive, codec.load("zstd"), Ladder(VIEW, Policy(), [tier])).output_tokens


def measure(
    engine_for: Callable[[Mode], AbstractContextManager[Engine]], modes: list[Mode], documents: int, rounds: int
) -> dict[str, object]:
    """Documents a minute of every mode and of the raw client at the same concurrency, round by round."""
    found: dict[str, dict[str, list[float]]] = {
        name: defaultdict(list)
        for name in (
            "documents_per_minute",
            "output_tokens",
            "share_of_raw",
            "share_of_raw_per_token",
            "cpu_seconds_per_document",
        )
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "documents"
        files = write_documents(folder, documents)
        for number in range(rounds):
            for mode in modes if number % 2 == 0 else modes[::-1]:
                seconds, tokens = {}, {}
                for who in ("llmc", "raw") if number % 2 else ("raw", "llmc"):
                    with engine_for(mode) as engine:
                        started, worked = time.perf_counter(), time.process_time()
                        if who == "llmc":
                            tokens[who] = whole(engine, folder, Path(scratch) / f"{number}-{mode.name}.llmc", mode)
                            found["cpu_seconds_per_document"][mode.name].append((time.process_time() - worked) / documents)
                        else:
                            tokens[who] = asyncio.run(flat_out(engine, files, mode.concurrency))
                        seconds[who] = time.perf_counter() - started
                    name = mode.name if who == "llmc" else f"raw_{mode.name}"
                    found["documents_per_minute"][name].append(documents / seconds[who] * 60)
                    found["output_tokens"][name].append(tokens[who])
                    print(f"round {number} {name}: {documents / seconds[who] * 60:.1f} documents/min", file=sys.stderr)
                share = seconds["raw"] / seconds["llmc"]
                found["share_of_raw"][mode.name].append(share)
                found["share_of_raw_per_token"][mode.name].append(share * tokens["llmc"] / tokens["raw"])
    medians = {name: statistics.median(each) for name, each in found["documents_per_minute"].items()}
    return {
        "modes": [asdict(mode) for mode in modes],
        "documents": documents,
        **{
            what: {name: [float(f"{value:.4g}") for value in each] for name, each in by_mode.items()}
            for what, by_mode in found.items()
        },
        "times_one_by_one": {name: round(rate / medians[modes[0].name], 2) for name, rate in medians.items()},
    }


@contextmanager
def fake_server(slots: int, service_seconds: float) -> Iterator[str]:
    """``tests/fakes/cloud.py``; its address."""
    with tempfile.NamedTemporaryFile() as log:
        flags = ["--log", log.name, "--slots", str(slots), "--service-seconds", str(service_seconds), "--lengths"]
        argv = [sys.executable, str(ROOT / "tests" / "fakes" / "cloud.py"), *flags]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield json.loads(process.stdout.readline())["url"]
            finally:
                process.stdin.close()


def fake(documents: int, rounds: int, service_seconds: float = 0.2, slots: int = 16) -> dict[str, object]:
    with fake_server(slots, service_seconds) as url:
        provider = ProviderConfig(name="fake", base_url=f"{url}/v1", model="fake-mini", source="-", checked="-")
        engine = OpenAI(provider, slots=slots, timeout_seconds=60, offline=True)
        found = measure(lambda mode: nullcontext(engine), MODES["fake"], documents, rounds)
    return {"engine": f"fake server, {slots} slots, {service_seconds * 1000:g} ms", **found}


def smollm(documents: int, rounds: int, threads: int | None, modes: list[str]) -> dict[str, object]:
    """A server of its own for each run, so that none finds what another has read; one runs at a time."""
    threads = threads or idle_cores()

    def engine_for(mode: Mode) -> Embedded:
        return Embedded(WEIGHTS, model="smollm2-135m-instruct", model_digest="", slots=mode.concurrency, threads=threads)

    found = measure(engine_for, [mode for mode in MODES["smollm"] if mode.name in modes], documents, rounds)
    return {"engine": "embedded SmolLM2-135M Q4_1", "threads": threads, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("fake", "smollm"))
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of the embedded engine; the idle cores when not given")
    parser.add_argument("--modes", nargs="+", default=["one_by_one", "local"], help="of smollm: one takes half the time")
    chosen = parser.parse_args()
    if chosen.engine == "fake":
        found = fake(chosen.documents, chosen.rounds)
    else:
        found = smollm(chosen.documents, chosen.rounds, chosen.threads, chosen.modes)
    machine = {"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0], "python": platform.python_version()}
    print(json.dumps({"machine": machine, **found}))


if __name__ == "__main__":
    main()
