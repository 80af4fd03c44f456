"""The exact layer: bytes on disk, everything counted, and speed, beside zstd -19 per file and one solid tar | zstd -19."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

import llmc
from bench import texts
from llmc import codec as codecs
from llmc.archive import Archive
from llmc.bench.job import Job
from llmc.errors import LlmcError


@pytest.fixture(scope="module")
def folder(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("paragraphs")
    for i, data in enumerate(job.documents(texts.alice)):
        (path / f"{i:06}.txt").write_bytes(data)
    return path


@pytest.fixture(scope="module")
def documents(folder: Path) -> list[bytes]:
    return [p.read_bytes() for p in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def baselines(folder: Path, documents: list[bytes]) -> dict[str, int]:
    """Bytes of the alternatives: each file alone (no names, no container), a solid stream without names, and a tar."""
    compressor = zstandard.ZstdCompressor(level=19)
    return {
        "original": sum(map(len, documents)),
        "zstd_each": sum(len(compressor.compress(d)) for d in documents),
        "zstd_solid": len(compressor.compress(b"".join(documents))),
        "tar_zstd": len(compressor.compress(tar(folder))),
    }


def tar(folder: Path) -> bytes:
    """Of the same bytes for the same documents: without the times at which they were written here."""

    def timeless(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = 0
        return member

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name, filter=timeless)
    return packed.getvalue()


@pytest.fixture(params=["configured", *codecs.NAMES])
def codec(request: pytest.FixtureRequest, job: Job) -> tuple[codecs.Codec, str]:
    """The configuration's codec, whose numbers have no brackets, and each of the others as it comes."""
    ours = job.config.codec
    if request.param == "configured":
        return codecs.load(ours.name, **ours.options), ""
    if request.param == ours.name:
        pytest.skip("it is the configured one")
    try:
        return codecs.load(request.param), f"[{request.param}]"
    except LlmcError as error:
        job.note(f"codec={request.param} is not compared: {error.message}")
        pytest.skip(error.message)


def timed(benchmark, job: Job, function: Callable[[], object]) -> list[float]:
    """Rounds of it; their seconds, none when benchmarks are disabled."""
    benchmark.pedantic(function, rounds=job.settings.rounds, warmup_rounds=1)
    return list(benchmark.stats.stats.data) if benchmark.stats else []


def test_write(benchmark, job: Job, folder: Path, baselines: dict[str, int], tmp_path: Path, codec):
    made, where = codec
    runs = iter(range(1000))

    def write() -> None:
        llmc.compress(folder, tmp_path / f"{next(runs)}.llmc", codec=made, view="none")

    seconds = timed(benchmark, job, write)
    stored = Archive.open(tmp_path / "0.llmc").stored_bytes()["exact"]
    benchmark.extra_info |= {"bytes": stored, "original_bytes": baselines["original"]}
    job.measured.exact(f"archive_bytes{where}", stored)
    job.measured.exact(f"byte_ratio{where}", baselines["original"] / stored)
    job.measured.exact(f"of_solid_zstd{where}", stored / baselines["zstd_solid"])
    job.measured.exact(f"of_tar_zstd{where}", stored / baselines["tar_zstd"])
    if seconds:
        job.measured.median(f"write_megabytes_per_second{where}", [baselines["original"] / s / 1e6 for s in seconds])
    if baselines["original"] == 628_542:  # both texts: what the README of the benchmarks says of them
        assert stored <= {"zstd": 1.1, "ppmd": 0.95, "raw": 3.1}[made.name] * baselines["zstd_solid"]


def test_read_one(benchmark, job: Job, folder: Path, documents: list[bytes], tmp_path: Path, codec):
    """Open the archive, find a document by its id, decode its block, check its sha256."""
    made, where = codec
    llmc.compress(folder, tmp_path / "a.llmc", codec=made, view="none")
    middle = len(documents) // 2

    def read() -> None:
        archive = Archive.open(tmp_path / "a.llmc")
        assert archive.read(archive.find(f"{middle:06}.txt")) == documents[middle]

    if seconds := timed(benchmark, job, read):
        job.measured.median(f"read_one_seconds{where}", seconds)


def test_read_all(benchmark, job: Job, folder: Path, baselines: dict[str, int], tmp_path: Path, codec):
    made, where = codec
    llmc.compress(folder, tmp_path / "a.llmc", codec=made, view="none")

    def read() -> None:
        assert not any(problem for _, problem in Archive.open(tmp_path / "a.llmc").verify())

    if seconds := timed(benchmark, job, read):
        job.measured.median(f"read_megabytes_per_second{where}", [baselines["original"] / s / 1e6 for s in seconds])


def test_zstd_each_file(benchmark, job: Job, documents: list[bytes], baselines: dict[str, int]):
    """What `zstd -19` on every file takes: the same work without a container, in this process."""
    compressor = zstandard.ZstdCompressor(level=19)
    timed(benchmark, job, lambda: [compressor.compress(d) for d in documents])
    benchmark.extra_info |= {"bytes": baselines["zstd_each"]}


def test_tar_zstd(benchmark, job: Job, folder: Path, baselines: dict[str, int]):
    """`tar | zstd -19` as people run it: one stream, nothing can be read without reading all before it."""
    compressor = zstandard.ZstdCompressor(level=19)
    timed(benchmark, job, lambda: compressor.compress(tar(folder)))
    benchmark.extra_info |= {"bytes": baselines["tar_zstd"]}
