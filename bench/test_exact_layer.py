"""The exact layer: bytes on disk, everything counted, and speed, beside zstd -19 per file and one solid tar | zstd -19."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

import llmc
from bench import texts
from llmc.archive import Archive


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("paragraphs")
    for i, data in enumerate(texts.paragraphs()):
        (path / f"{i:04}.txt").write_bytes(data)
    return path


@pytest.fixture(scope="module")
def baselines(folder: Path) -> dict[str, int]:
    """Bytes of the alternatives: each file alone (no names, no container), a solid stream without names, and a tar."""
    documents = [p.read_bytes() for p in sorted(folder.iterdir())]
    compressor = zstandard.ZstdCompressor(level=19)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return {
        "original": sum(map(len, documents)),
        "zstd_each": sum(len(compressor.compress(d)) for d in documents),
        "zstd_solid": len(compressor.compress(b"".join(documents))),
        "tar_zstd": len(compressor.compress(tar.getvalue())),
    }


@pytest.mark.parametrize("codec", ["zstd", "ppmd", "raw"])
def test_write(benchmark, folder: Path, baselines: dict[str, int], tmp_path: Path, codec: str):
    runs = iter(range(1000))

    def write() -> Path:
        archive = tmp_path / f"{next(runs)}.llmc"
        llmc.compress(folder, archive, codec=codec, view="none")
        return archive

    archive = benchmark.pedantic(write, rounds=5, warmup_rounds=1)
    stored = Archive.open(archive).stored_bytes()["exact"]
    benchmark.extra_info |= {
        "bytes": stored,
        "mb_per_s": round(baselines["original"] / benchmark.stats.stats.median / 1e6, 2) if benchmark.stats else None,
        **{f"of_{name}": round(stored / size, 3) for name, size in baselines.items()},
    }
    if codec == "zstd":
        assert stored <= 1.1 * baselines["zstd_solid"]
    if codec == "ppmd":
        assert stored <= 0.95 * baselines["zstd_solid"]


@pytest.mark.parametrize("codec", ["zstd", "ppmd", "raw"])
def test_read_one(benchmark, folder: Path, tmp_path: Path, codec: str):
    """Open the archive, find a document by its id, decode its block, check its sha256."""
    llmc.compress(folder, tmp_path / "a.llmc", codec=codec, view="none")

    def read() -> bytes:
        archive = Archive.open(tmp_path / "a.llmc")
        return archive.read(archive.find("0500.txt"))

    assert benchmark(read) == (folder / "0500.txt").read_bytes()


@pytest.mark.parametrize("codec", ["zstd", "ppmd", "raw"])
def test_read_all(benchmark, folder: Path, baselines: dict[str, int], tmp_path: Path, codec: str):
    llmc.compress(folder, tmp_path / "a.llmc", codec=codec, view="none")
    assert not any(problem for _, problem in benchmark(lambda: list(Archive.open(tmp_path / "a.llmc").verify())))
    if benchmark.stats:
        benchmark.extra_info["mb_per_s"] = round(baselines["original"] / benchmark.stats.stats.median / 1e6, 1)


def test_zstd_each_file(benchmark, folder: Path):
    """What `zstd -19` on every file takes: the same work without a container, in this process."""
    documents = [p.read_bytes() for p in sorted(folder.iterdir())]
    compressor = zstandard.ZstdCompressor(level=19)
    benchmark.pedantic(lambda: [compressor.compress(d) for d in documents], rounds=5, warmup_rounds=1)


def test_tar_zstd(benchmark, folder: Path, tmp_path: Path):
    """`tar | zstd -19` as people run it: one stream, nothing can be read without reading all before it."""
    command = ["tar", "-C", str(folder), "-cf", str(tmp_path / "a.tar"), "."]

    def pack() -> int:
        subprocess.run(command, check=True)
        return len(zstandard.ZstdCompressor(level=19).compress((tmp_path / "a.tar").read_bytes()))

    benchmark.pedantic(pack, rounds=5, warmup_rounds=1)
