"""What ``llmc gate`` compares: short, on the processor alone, with exact counters; through the public interface, so that an
older llmc can run it too."""

import asyncio
import hashlib
import itertools
import json
import tempfile
from pathlib import Path

import pytest

import llmc
from bench import texts
from llmc import viewstore
from llmc.engine import Generation, Health

DOCUMENTS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("paragraphs")
    for i, data in enumerate(texts.paragraphs()[:DOCUMENTS]):
        (path / f"{i:04}.txt").write_bytes(data)
    return path


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("passages")
    for i, text in enumerate(texts.passages(6, 2000)):
        (path / f"{i:04}.txt").write_text(text)
    return path


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def views(archive: Path) -> str:
    opened = llmc.Archive.open(archive)
    rows = [row for part in opened.manifest.parts for row in viewstore.rows(opened, part, ["seq", "kind", "text"])]
    return json.dumps(rows, sort_keys=True)


def test_check(benchmark):
    """The fidelity check of a near-verbatim view of a 12 KB text."""
    source = texts.passages(1, 12_000)[0]
    view = " ".join(source.split(". ")[::6])
    verdict = benchmark(llmc.check, source, view)
    benchmark.extra_info["counters"] = {"failed": ",".join(verdict.failed)}


def test_store(benchmark, folder: Path):
    """60 short documents into a new archive, decoded again and compared."""
    with tempfile.TemporaryDirectory() as out:
        numbers = itertools.count()
        benchmark.pedantic(lambda: llmc.compress(folder, f"{out}/{next(numbers)}.llmc", view="none"), rounds=5)
        stored = llmc.Archive.open(f"{out}/0.llmc").stored_bytes()["exact"]
    original = sum(p.stat().st_size for p in folder.iterdir())
    benchmark.extra_info["counters"] = {"bytes": stored}
    benchmark.extra_info["metrics"] = {"byte_ratio": original / stored}


def test_read(benchmark, folder: Path, tmp_path: Path):
    """Every document of an archive read and checked."""
    llmc.compress(folder, tmp_path / "a.llmc", view="none")
    benchmark(lambda: [problem for _, problem in llmc.Archive.open(tmp_path / "a.llmc").verify()])


def test_extract(benchmark, passages: Path):
    """Six passages of 2,000 characters, each with its extract."""
    with tempfile.TemporaryDirectory() as out:
        numbers = itertools.count()
        benchmark.pedantic(lambda: llmc.compress(passages, f"{out}/{next(numbers)}.llmc", view="extract"), rounds=5)
        benchmark.extra_info["counters"] = {"views": sha(views(Path(out, "0.llmc")))}


class Canned:
    """An engine that always says the same of the same prompt, and counts what it is asked."""

    name, model, model_digest, local, slots, slot_context_tokens = "canned", "canned", "0" * 64, True, 4, 4096

    def __init__(self) -> None:
        self.requests = self.prompt_tokens = self.output_tokens = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    async def aclose(self):
        pass

    async def health(self):
        return Health(True, 0.0)

    async def models(self):
        return [self.model]

    async def count_tokens(self, text):
        return len(text) // 4

    async def count_prompt_tokens(self, messages):
        return sum(len(m.content) for m in messages) // 4

    async def generate(self, messages, **_):
        await asyncio.sleep(0)
        text = messages[-1].content
        answer = json.dumps({"summary": ". ".join(text.split(". ")[1:4]) + ".", "facts": []})
        self.requests += 1
        seen = await self.count_prompt_tokens(messages)
        self.prompt_tokens += seen
        self.output_tokens += len(answer) // 4
        return Generation(answer, "stop", seen, 0, len(answer) // 4, 0.0)


def test_gist(benchmark, passages: Path):
    """Six passages through the ladder with an engine that answers at once: everything that is not the model's time."""
    engines: list[Canned] = []
    with tempfile.TemporaryDirectory() as out:

        def run() -> None:
            engines.append(Canned())
            llmc.compress(passages, f"{out}/{len(engines)}.llmc", view="gist", engine=engines[-1])

        benchmark.pedantic(run, rounds=5)
        first = engines[0]
        benchmark.extra_info["counters"] = {
            "requests": first.requests,
            "prompt_tokens": first.prompt_tokens,
            "output_tokens": first.output_tokens,
            "views": sha(views(Path(out, "1.llmc"))),
        }
