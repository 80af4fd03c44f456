"""The files an archive is made of: which there are, what limits they keep to, how they come to be on disk whole.

A part is never changed. Its files get their names when they are complete and flushed, and count when the manifest lists them
or, after a kill, when they are complete and newer than all it lists.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llmc.errors import ArchiveError, DamagedError

FORMAT = "llmc-archive"
FORMAT_VERSION = 1
MAX_TABLE_BYTES = 512 << 20  # of one row group, decoded: a reader's memory is bounded before a hostile file is read
DOCS = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("path", pa.binary()),
        pa.field("source", pa.string()),
        pa.field("line", pa.int64()),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("sha256_prefix", pa.binary(8), nullable=False),
        pa.field("replaces", pa.int64()),
    ]
)
BLOCKS = pa.schema(
    [
        pa.field("payload", pa.binary(), nullable=False),
        pa.field("raw_bytes", pa.int64(), nullable=False),
        pa.field("codec", pa.string(), nullable=False),
    ]
)
MAX_PART_ROWS = 1 << 16  # documents of one part; a writer of ours stops at 16,384
TEMPORARY = "llmc-tmp-"
_PART_FILE = re.compile(r"(docs|blocks|views)-(\d{6,})(?:-\d+)?\.(?:parquet|journal)")


@dataclass(frozen=True, slots=True)
class Part:
    """What the manifest says of one part."""

    part: int
    seq: int
    """The first document's sequence number."""
    documents: int
    bytes: int
    """Of all its documents, duplicates counted each time."""

    def file(self, folder: Path, kind: str) -> Path:
        return folder / f"{kind}-{self.part:06d}.parquet"


@dataclass(slots=True)
class Manifest:
    """The parts, and how many lines each JSON Lines source had when it was last read to its end."""

    parts: list[Part] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        try:
            text = (folder / "manifest.json").read_text()
        except FileNotFoundError:
            hint = f"llmc compress input={folder} output={folder.name}.llmc makes one of it" if folder.name else ""
            raise ArchiveError(f"{folder} is not an llmc archive: it has no manifest.json", hint=hint) from None
        except NotADirectoryError:
            raise ArchiveError(f"{folder} is a file, an archive is a folder") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ArchiveError(f"the manifest of {folder} cannot be read: {error}") from error
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise ArchiveError(f"{folder} is not an llmc archive: its manifest says {data['format']!r}")
            if data["version"] > FORMAT_VERSION:
                raise ArchiveError(
                    f"{folder} has format version {data['version']}, this llmc reads up to {FORMAT_VERSION}",
                    hint="upgrade llmc",
                )
            numbers = ("part", "seq", "documents", "bytes")
            parts = [Part(*(int(p[k]) for k in numbers)) for p in data["parts"]]
            return cls(parts, {str(source): int(count) for source, count in data["lines"].items()})
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ArchiveError(
                f"the manifest of {folder} is damaged ({type(error).__name__})",
                hint="delete manifest.json: it is rebuilt from the parts by the next llmc compress",
            ) from error

    def save(self, folder: Path) -> None:
        data = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "parts": [{k: getattr(p, k) for k in Part.__slots__} for p in self.parts],
            "lines": self.lines,
        }
        write_atomically(folder / "manifest.json", json.dumps(data, separators=(",", ":")).encode())


def open_parquet(file: Path) -> pq.ParquetFile:
    """A table of documents or views, checked against the limits before anything of it is decoded."""
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    meta = parquet.metadata
    if meta.num_rows > MAX_PART_ROWS:
        raise DamagedError(f"{file} claims {meta.num_rows} rows, more than the {MAX_PART_ROWS} a part may have")
    if sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)) > MAX_TABLE_BYTES:
        raise DamagedError(f"{file} claims a table of more than {MAX_TABLE_BYTES} bytes")
    return parquet


def unlisted(folder: Path, manifest: Manifest) -> tuple[list[Part], list[str]]:
    """Complete parts that a killed run did not come to list, and the names of files that cannot be read.

    Parts are numbered as they are written, so what comes after the last one that is listed is newer; what comes before and is
    not listed was dropped.
    """
    last = max((part.part for part in manifest.parts), default=0)
    parts, unreadable = [], []
    for file in sorted(folder.glob("docs-*.parquet")):
        match = _PART_FILE.fullmatch(file.name)
        if not match or int(match[2]) <= last or not (folder / f"blocks-{match[2]}.parquet").exists():
            continue
        try:
            table = open_parquet(file).read(columns=["seq", "size_bytes"])
            size = pc.sum(table["size_bytes"]).as_py()
            parts.append(Part(int(match[2]), table["seq"][0].as_py(), len(table), size))
        except (OSError, pa.ArrowException, IndexError, ArchiveError):
            unreadable.append(file.name)
    return parts, unreadable


def part_number(name: str) -> int | None:
    """Of which part a file is, by its name; None for one that is not ours. Temporary files count as part 0."""
    if name.startswith(TEMPORARY):
        return 0
    match = _PART_FILE.fullmatch(name)
    return int(match[2]) if match else None


def lock(folder: Path) -> IO[str]:
    """Hold the archive for writing; released when the file is closed or the process dies."""
    file = (folder / ".lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ArchiveError(f"{folder} is being written by another llmc", hint="wait for it, or stop it") from None
    return file


def write_parquet(
    file: Path,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    metadata: dict[str, str],
    **options: Any,  # noqa: ANN401 - passed on to pyarrow
) -> None:
    """A whole Parquet file, a row group per table, on disk before it has its name."""
    temporary = file.with_name(TEMPORARY + file.name)
    try:
        with pq.ParquetWriter(temporary, schema, store_schema=False, write_page_checksum=True, **options) as writer:
            for table in tables:
                writer.write_table(table)
            writer.add_key_value_metadata(metadata)
        settle(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def parquet_metadata(file: Path) -> dict[str, str]:
    """What :func:`write_parquet` was given."""
    found = pq.read_metadata(file).metadata or {}
    return {key.decode(): value.decode() for key, value in found.items()}


def write_atomically(file: Path, data: bytes) -> None:
    temporary = file.with_name(TEMPORARY + file.name)
    temporary.write_bytes(data)
    settle(temporary, file)


def settle(temporary: Path, file: Path) -> None:
    """Flush a finished file to disk, then give it its name: after a crash it is there whole or not at all."""
    _flush(temporary)
    os.replace(temporary, file)
    _flush(file.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
