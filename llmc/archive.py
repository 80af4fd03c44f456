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

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llmc import codec as codecs
from llmc.codec import MAX_BLOCK_BYTES, Codec
from llmc.errors import ArchiveError, DamagedError, InputError, LlmcError, UsageError
from llmc.parts import DOCS, Manifest, Part, open_parquet, parquet_metadata, part_number, unlisted

CACHE_BYTES = 68 << 20  # decoded blocks kept while reading: a whole part, so lines read in file order decode each block once


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
            if pc.index(ids, id).as_py() >= 0:
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
            if part_number(file.name) in parts:
                sizes["views" if file.name.startswith("views-") else "exact"] += file.stat().st_size
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
