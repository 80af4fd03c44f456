"""The archive: a folder of Parquet parts that any tool can read, and one small manifest.

    NAME.llmc/
        manifest.json          which parts there are; written last, by rename
        docs-000001.parquet    a row per document: seq, id, where its bytes are, the first 8 bytes of its sha256
        blocks-000001.parquet  the exact layer: the documents' bytes as one stream, cut in compressed blocks
        views-000001-01.parquet   a row per document: view, facts, verdict, receipt (see ``llmc.viewstore``)

A document is a slice ``[start, start + size_bytes)`` of its part's stream, so a document may be one of hundreds in a block or
span many blocks, and two equal documents are the same slice. A row group of ``blocks`` is one block: reading one document
reads one block. Nothing is ever changed in place: a part is written to a temporary name, flushed to disk and renamed, then the
manifest is; what the manifest lists survives any crash. The format is specified in ``docs/archive.md``.

    >>> archive = Archive.open("notes.llmc")
    >>> archive.read(archive.find("board.md"))
"""

import fcntl
import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from llmc import codec as codecs
from llmc.codec import MAX_BLOCK_BYTES, Codec
from llmc.errors import ArchiveError, DamagedError, InputError, LlmcError, UsageError

FORMAT = "llmc-archive"
FORMAT_VERSION = 1
MAX_TABLE_BYTES = 512 << 20  # of one row group, decoded: a reader's memory is bounded before a hostile file is read
CACHE_BYTES = 32 << 20  # decoded blocks kept while reading: two shards, so lines read in file order decode each block once

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
MAX_PART_ROWS = 1 << 16  # documents of one part; a writer of ours stops at 8,192
TEMPORARY = "llmc-tmp-"
_PART_FILE = re.compile(r"(docs|blocks|views)-(\d{6,})(?:-\d+)?\.(?:parquet|journal)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored document: its row in ``docs``."""

    part: int
    seq: int
    id: str
    path: bytes | None
    source: str | None
    line: int | None
    start: int
    size_bytes: int
    sha256_prefix: bytes
    replaces: int | None

    @property
    def file_name(self) -> bytes:
        """Where ``restore`` puts it, relative to the output folder."""
        return self.path if self.path is not None else (self.source or self.id).encode()


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
            raise ArchiveError(f"{folder} is not an llmc archive: it has no manifest.json") from None
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


class Archive:
    """Reads an archive. Needs no engine, no network and nothing but the folder; ``codecs`` adds codecs that are objects."""

    def __init__(self, folder: Path, manifest: Manifest, codecs: Iterable[Codec] = ()) -> None:
        self.folder = folder
        self.manifest = manifest
        self.broken: dict[int, str] = {}
        """Parts that cannot be read, and why; the others are given back all the same."""
        self._codecs = {c.name: c for c in codecs}
        self._streams: OrderedDict[int, _Stream] = OrderedDict()

    @classmethod
    def open(cls, path: str | Path, codecs: Iterable[Codec] = ()) -> "Archive":
        """The archive in that folder; :class:`ArchiveError` when there is none or this llmc cannot read it."""
        folder = Path(path).expanduser()
        if not folder.exists():
            raise ArchiveError(f"archive {folder} does not exist", hint="llmc compress input=… output=" + str(folder))
        manifest = Manifest.load(folder)
        manifest.parts += unlisted(folder, manifest)[0]
        return cls(folder, manifest, codecs)

    def __len__(self) -> int:
        return sum(1 for _ in self.entries())

    @cached_property
    def _replaced(self) -> frozenset[int]:
        """Sequence numbers that a later version of the same document replaced."""
        seqs: set[int] = set()
        for part in self.manifest.parts:
            try:
                seqs.update(self._table(part, ["replaces"]).column("replaces").drop_null().to_pylist())
            except ArchiveError as error:
                self.broken[part.part] = error.message
        return frozenset(seqs)

    def entries(self, part: Part | None = None) -> Iterator[Entry]:
        """The live documents, in the order they were first stored; of one part, or of all."""
        lines = self.manifest.lines
        for entry in self.latest(part):
            if entry.source is None or entry.source not in lines or (entry.line or 0) <= lines[entry.source]:
                yield entry

    def latest(self, part: Part | None = None) -> Iterator[Entry]:
        """The latest version of each document, lines that a shortened source no longer has included."""
        replaced = self._replaced
        for each in [part] if part else self.manifest.parts:
            try:
                entries = [] if each.part in self.broken else list(self.all_entries(each))
            except ArchiveError as error:
                self.broken[each.part] = error.message
                continue
            yield from (entry for entry in entries if entry.seq not in replaced)

    def all_entries(self, part: Part) -> Iterator[Entry]:
        """Every document of a part, replaced ones too."""
        try:
            rows = self._table(part, DOCS.names).to_pylist()
        except UnicodeDecodeError as error:
            raise DamagedError(f"{part.file(self.folder, 'docs')} holds a name that is not UTF-8") from error
        for row in rows:
            if row["start"] < 0 or row["size_bytes"] < 0:
                raise DamagedError(f"{part.file(self.folder, 'docs')} has a negative offset")
            yield Entry(part=part.part, **row)

    def find(self, id: str) -> Entry:
        """The document with this id (the latest, if a JSON Lines field repeats it)."""
        found = None
        for part in self.manifest.parts:
            if part.part in self.broken:
                continue
            try:
                ids = self._table(part, ["id"]).column("id")
            except ArchiveError as error:
                self.broken[part.part] = error.message
                continue
            if pa.compute.index(ids, id).as_py() >= 0:
                found = next((e for e in reversed(list(self.entries(part))) if e.id == id), found)
        if found is None:
            broken = "".join(f"; {reason}" for reason in self.broken.values())
            raise InputError(f"no document {id!r} in {self.folder}{broken}", hint=self._similar(id))
        return found

    def select(self, pattern: str | None) -> Iterator[Entry]:
        """All documents (None), the ones a ``*`` pattern matches, or the one with that id."""
        if pattern is None:
            yield from self.entries()
        elif any(c in pattern for c in "*?["):
            everything = list(self.entries())
            matches = [e for e in everything if e.id == pattern] or [e for e in everything if fnmatchcase(e.id, pattern)]
            if not matches:
                raise InputError(f"no document matches {pattern!r} in {self.folder}", hint=self._similar(pattern))
            yield from matches
        else:
            yield self.find(pattern)

    def _similar(self, id: str) -> str:
        from difflib import get_close_matches
        from itertools import islice

        ids = [e.id for e in islice(self.entries(), 20_000)]
        close = get_close_matches(id, ids, n=1, cutoff=0.4)
        return f"did you mean id={close[0]}?" if close else f"llmc show archive={self.folder} lists them"

    def read(self, entry: Entry) -> bytes:
        """A document's bytes, checked against its sha256."""
        return b"".join(self.read_pieces(entry))

    def read_pieces(self, entry: Entry) -> Iterator[bytes]:
        """A document's bytes in pieces of at most one block; :class:`DamagedError` after the last if they are not its own."""
        digest = hashlib.sha256()
        for piece in self._stream(entry.part).slice(entry.start, entry.size_bytes):
            digest.update(piece)
            yield piece
        if digest.digest()[:8] != entry.sha256_prefix:
            raise DamagedError(f"{entry.id}: the stored bytes do not match their sha256")

    def verify(self) -> Iterator[tuple[Entry, str]]:
        """Every stored document with what is wrong with it (``""``: nothing); replaced versions too.

        Each document's sha256 is recomputed and compared with the 8 bytes kept of it; the digests of a part are hashed
        together and compared with the full sha256 that the part keeps of them all, which says that nothing was exchanged.
        """
        for part in self.manifest.parts:
            try:
                entries = list(self.all_entries(part))
                root = parquet_metadata(part.file(self.folder, "docs")).get("llmc.sha256", "")
            except (OSError, pa.ArrowException, LlmcError) as error:
                name = f"(all {part.documents} documents of part {part.part})"
                yield Entry(part.part, part.seq, name, None, None, None, 0, part.bytes, b"", None), str(error)
                continue
            digests = {}
            problems = 0
            for entry in sorted(entries, key=lambda e: e.start):  # stream order: each block is decoded once
                digest = hashlib.sha256()
                problem = ""
                try:
                    for piece in self.read_pieces(entry):
                        digest.update(piece)
                except (LlmcError, OSError, pa.ArrowException) as error:
                    problem = str(error)
                digests[entry.seq] = digest.digest()
                problems += bool(problem)
                yield entry, problem
            total = hashlib.sha256(b"".join(digests[e.seq] for e in entries)).hexdigest()
            if not problems and (total != root or len(entries) != part.documents):
                yield entries[0], f"part {part.part}: its documents are not the ones that were stored together"

    def codec(self, name: str) -> Codec:
        if name not in self._codecs:
            try:
                self._codecs[name] = codecs.load(name)
            except UsageError as error:
                raise ArchiveError(f"a block needs codec {name!r}: {error.message}", hint=error.hint) from error
        return self._codecs[name]

    def stored_bytes(self) -> dict[str, int]:
        """Bytes on disk: ``exact`` is all that restoring needs (blocks, docs, manifest), ``views`` what the views add."""
        parts = {part.part for part in self.manifest.parts}
        sizes = {"exact": (self.folder / "manifest.json").stat().st_size, "views": 0}
        for file in self.folder.iterdir():
            match = _PART_FILE.fullmatch(file.name)
            if match and int(match[2]) in parts:
                sizes["views" if match[1] == "views" else "exact"] += file.stat().st_size
        return sizes

    def _stream(self, part: int) -> "_Stream":
        if part not in self._streams:
            described = next(p for p in self.manifest.parts if p.part == part)
            self._streams[part] = _Stream(self, described)
            while len(self._streams) > 2:
                self._streams.popitem(last=False)
        self._streams.move_to_end(part)
        return self._streams[part]

    def _table(self, part: Part, columns: Sequence[str]) -> pa.Table:
        file = part.file(self.folder, "docs")
        try:
            parquet = open_parquet(file)
            table = parquet.read(columns=list(columns))
            return table.cast(pa.schema([DOCS.field(c) for c in columns]))
        except FileNotFoundError:
            raise ArchiveError(f"{file} is missing: the documents of part {part.part} cannot be read") from None
        except (OSError, pa.ArrowException, ValueError) as error:
            raise ArchiveError(f"{file} cannot be read: {error}") from error


class _Stream:
    """The bytes of one part, decoded block by block; recently used blocks are kept."""

    def __init__(self, archive: Archive, part: Part) -> None:
        self._archive = archive
        self.file = part.file(archive.folder, "blocks")
        try:
            self._parquet = pq.ParquetFile(self.file, page_checksum_verification=True)
            table = self._parquet.read(columns=["raw_bytes", "codec"])
        except FileNotFoundError:
            raise ArchiveError(f"{self.file} is missing: the documents of part {part.part} cannot be restored") from None
        except (OSError, pa.ArrowException) as error:
            raise DamagedError(f"{self.file} cannot be read: {error}") from error
        self._sizes: list[int] = table.column("raw_bytes").to_pylist()
        self._codecs: list[str] = table.column("codec").to_pylist()
        if any(not 0 <= size <= MAX_BLOCK_BYTES for size in self._sizes):
            raise DamagedError(f"{self.file} claims a block of more than {MAX_BLOCK_BYTES} bytes")
        if len(self._sizes) != self._parquet.num_row_groups:
            raise DamagedError(f"{self.file} does not have one block in each row group")
        self._fingerprint = parquet_metadata(self.file).get("llmc.fingerprint", "")
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached_bytes = 0

    def slice(self, start: int, length: int) -> Iterator[bytes]:
        end = start + length
        at = 0
        for i, size in enumerate(self._sizes):
            if at + size > start and at < end:
                yield self._block(i)[max(0, start - at) : end - at]
            at += size
            if at >= end:
                return
        if length:
            raise DamagedError(f"{self.file} ends before byte {end}")

    def _block(self, i: int) -> bytes:
        if i in self._cache:
            self._cache.move_to_end(i)
            return self._cache[i]
        codec = self._archive.codec(self._codecs[i])
        if codec.fingerprint != self._fingerprint and self._codecs[i] != "raw":
            raise ArchiveError(
                f"{self.file} was written with {codec.name} {self._fingerprint or '(plain)'}, "
                f"this one is {codec.fingerprint or '(plain)'}: decoding would give other bytes"
            )
        group = self._parquet.metadata.row_group(i)
        if group.total_byte_size > MAX_BLOCK_BYTES + (1 << 20):
            raise DamagedError(f"{self.file} claims a block of {group.total_byte_size} bytes")
        try:
            payload = self._parquet.read_row_group(i, columns=["payload"]).column("payload")[0].as_py()
        except (OSError, pa.ArrowException) as error:
            raise DamagedError(f"{self.file} cannot be read: {error}") from error
        data = codec.decode(payload, self._sizes[i])
        self._cache[i] = data
        self._cached_bytes += len(data)
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])
        return data


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
            size = pa.compute.sum(table["size_bytes"]).as_py()
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
