"""What it saves to put similar documents side by side: the exact layer's bytes with and without, on real archives.

``python -m bench.test_grouping docs licences mail plain`` compresses each corpus with ``grouping`` off and on, gathered in 16
MiB and in 64 MiB (what llmc does), and prints everything the archive takes on disk.

docs      what Debian packages install in /usr/share/doc, in the order of their paths: changelogs, copyright files, READMEs
licences  LICENSE, COPYING, NOTICE, copyright files of this machine, in the order of their paths
mail      synthetic threads, 4,000 under way at once: each reply quotes the whole of the one before
plain     synthetic texts that have nothing in common but their words
"""

import gzip
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from llmc import similar, writer
from llmc.archive import Archive
from llmc.codec.zstd import Zstd
from llmc.documents import Document

DOC = Path("/usr/share/doc")
PLACES = (DOC, Path("/usr/lib"), Path(sys.prefix) / "lib")
LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|AUTHORS|copyright)")
LARGEST_BYTES = 1 << 20
LEVEL = 9  # ten times as fast as 19; what grouping saves is within a point of what it saves there


def docs() -> Iterator[bytes]:
    for path in sorted(p for p in DOC.rglob("*") if p.is_file() and not p.is_symlink()):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if 100 <= len(data) <= LARGEST_BYTES and b"\0" not in data:
            yield data


def licences() -> Iterator[bytes]:
    files = {p for place in PLACES for p in place.rglob("*") if LICENCE.match(p.name) and p.is_file() and not p.is_symlink()}
    yield from (path.read_bytes() for path in sorted(files))


def _vocabulary(count: int = 20_000) -> list[str]:
    rng = random.Random(1)
    return ["".join(rng.choices("etaoinshrdlcumwfgypbvk", k=rng.randint(3, 10))) for _ in range(count)]


def _sentence(rng: random.Random, words: list[str]) -> str:
    return " ".join(words[int(len(words) * rng.random() ** 3)] for _ in range(rng.randint(6, 17))).capitalize() + "."


def mail(total_bytes: int = 96 << 20, threads: int = 4000) -> Iterator[bytes]:
    rng, words = random.Random(2), _vocabulary()
    last: dict[int, str] = {}
    size = 0
    while size < total_bytes:
        thread = rng.randrange(threads)
        body = " ".join(_sentence(rng, words) for _ in range(rng.randint(3, 11)))
        head = f"From: user{rng.randrange(50)}@example.org\nDate: {rng.randint(1, 28)} March 2026\nSubject: Re: {thread}\n\n"
        text = f"{head}{body}\n"
        if thread in last:
            text += "\n" + "\n".join("> " + line for line in last[thread].split("\n"))
        last[thread] = text
        if len(text) > 12_000:
            del last[thread]
        size += len(text)
        yield text.encode()


def plain(total_bytes: int = 32 << 20) -> Iterator[bytes]:
    rng, words = random.Random(3), _vocabulary()
    size = 0
    while size < total_bytes:
        text = " ".join(_sentence(rng, words) for _ in range(rng.randint(5, 60))).encode()
        size += len(text)
        yield text


CORPORA: dict[str, Callable[[], Iterator[bytes]]] = {"docs": docs, "licences": licences, "mail": mail, "plain": plain}


def stored(documents: Iterable[bytes], folder: Path, *, grouping: bool) -> int:
    """Bytes on disk, everything counted."""
    with writer.Writer(folder, Zstd(level=LEVEL), grouping=grouping) as archive:
        for i, data in enumerate(documents):
            archive.add(Document(f"{i:07}", lambda data=data: BytesIO(data)))
    return Archive.open(folder).stored_bytes()["exact"]


@pytest.mark.parametrize("grouping", [True, False])
def test_grouping_mail(benchmark, grouping: bool, tmp_path: Path):
    """12 MiB of threads in shards of 4 MiB; the bytes are in extra_info."""
    documents = list(mail(12 << 20, threads=500))
    folders = iter(tmp_path / f"{i}.llmc" for i in range(100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "SHARD_BYTES", 4 << 20)
        size = benchmark.pedantic(lambda: stored(documents, next(folders), grouping=grouping), rounds=2)
    benchmark.extra_info["bytes"] = size


def test_signatures(benchmark):
    """Telling what is similar, alone: MB/s are in extra_info."""
    documents = list(mail(8 << 20, threads=500))
    order = benchmark.pedantic(lambda: similar.order(documents, writer.ALIKE), rounds=3)
    assert sorted(order) == list(range(len(documents)))
    if benchmark.stats:
        benchmark.extra_info["mb_per_s"] = round(sum(map(len, documents)) / benchmark.stats.stats.median / 1e6, 1)


def main() -> None:
    for name in sys.argv[1:] or CORPORA:
        documents = list(CORPORA[name]())
        total = sum(map(len, documents))
        print(f"{name}: {len(documents):,} documents, {total / 1e6:.1f} MB, {len(set(documents)):,} different")
        for mebibytes in (16, 64):
            writer.SHARD_BYTES = mebibytes << 20
            sizes = {}
            for grouping in (False, True):
                started = time.perf_counter()
                with tempfile.TemporaryDirectory() as folder:
                    sizes[grouping] = stored(documents, Path(folder) / "a.llmc", grouping=grouping)
                seconds = time.perf_counter() - started
                change = f" ({sizes[True] / sizes[False] - 1:+.1%})" if grouping else ""
                word = "grouped" if grouping else "as read"
                size = sizes[grouping]
                print(f"  {mebibytes} MiB {word} {size:>11,} bytes {size / total:.4f}{change}  {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
