"""Writes the exact layer: documents in, parts out, each committed whole.

Documents are gathered into shards (a bounded number of bytes, so memory does not grow with the corpus), similar ones are put
side by side, blocks are encoded on all cores, decoded again and compared, and the part gets its name. A document that is
already stored with the same bytes is skipped: that one rule is resume, append and "up to date".
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa

from llmc import similar
from llmc.archive import Archive
from llmc.codec import Codec
from llmc.documents import MEMORY_BYTES, Document
from llmc.errors import ArchiveError, InputError, LlmcError
from llmc.parts import BLOCKS, DOCS, Manifest, Part, lock, part_number, unlisted, write_parquet

SHARD_BYTES = 64 << 20  # what is gathered before it is put in order: similar documents meet only within it (bench/README.md)
SHARD_DOCUMENTS = 16_384  # and no more than this, so that the rows of a part are held easily
ALIKE = 0.3  # least similarity of documents that are put side by side: a low bar costs nothing, the codec sees for itself
P = ParamSpec("P")
R = TypeVar("R")
MANIFEST_EVERY_PARTS = 16  # parts are found again without it; a 100 GB run must not rewrite the list 6,000 times in full


class Pool(Protocol):
    """What encodes blocks: threads of this process, or anything else that takes work like a :mod:`concurrent.futures` pool."""

    def submit(self, function: Callable[P, R], /, *args: P.args, **named: P.kwargs) -> "Future[R]": ...

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...


@dataclass(slots=True)
class _Pending:
    document: Document
    data: bytes
    digest: bytes
    replaces: int | None


class Writer:
    """Opens or creates an archive for writing; one at a time (a second one is refused)."""

    def __init__(
        self,
        folder: Path,
        codec: Codec,
        *,
        force: bool = False,
        grouping: bool = True,
        workers: int | None = None,
        pool: Pool | None = None,
        on_read: Callable[[int], None] = lambda raw_bytes: None,
        on_stored: Callable[[int, int], None] = lambda documents, raw_bytes: None,
        on_warning: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.folder = folder
        self.codec = codec
        self.force = force
        self.grouping = grouping
        self.stored = self.unchanged = self.replaced = 0
        self._workers = workers or len(os.sched_getaffinity(0))
        self._pool = pool
        self._on_read, self._on_stored = on_read, on_stored
        self._on_warning = on_warning
        self._pending: list[_Pending] = []
        self._pending_bytes = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.folder)
        try:
            self.manifest = Manifest.load(self.folder) if (self.folder / "manifest.json").exists() else Manifest()
            parts, unreadable = unlisted(self.folder, self.manifest)
        except ArchiveError:
            self._lock.close()
            raise
        self.manifest.parts += parts
        for name in unreadable:
            self._on_warning(f"{name} cannot be read: its documents are stored again if they are in the input")
        self._delete({0})  # half-written files of a killed run
        self._index = _Index(Archive(self.folder, self.manifest))
        self._pool = self._pool or ThreadPoolExecutor(self._workers, thread_name_prefix="codec")
        self.manifest.save(self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self.flush()
                if self.force:
                    self._drop_dead_parts()
            if kind is None or issubclass(kind, KeyboardInterrupt):  # what was gathered and not written is read again next time
                self.manifest.save(self.folder)
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
            self._lock.close()

    def add(self, document: Document) -> bool:
        """Store a document unless it is there already; whether it was new. InputError when it cannot be read."""
        pieces = _read(document, MEMORY_BYTES + 1)
        data = next(pieces, b"")
        digest = hashlib.sha256(data)
        large = len(data) > MEMORY_BYTES
        size = len(data)
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
        self._on_read(size)
        if document.source is not None:  # how many lines it has now is known when it was read to its end
            self.manifest.lines.pop(document.source, None)
        known = self._index.get(document)
        if known and known[0] == digest.digest()[:8] and not self.force:
            self.unchanged += 1
            return False
        replaces = known[1] if known else None
        if large:
            self.flush()
            self._store_large(document, replaces)
            return True
        self._pending.append(_Pending(document, data, digest.digest(), replaces))
        self._pending_bytes += len(data)
        if self._pending_bytes >= SHARD_BYTES or len(self._pending) >= SHARD_DOCUMENTS:
            self.flush()
        return True

    def flush(self) -> None:
        """Commit what has been gathered as one part."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if not pending:
            return
        starts: dict[bytes, int] = {}
        stream: list[bytes] = []
        at = 0
        for i in similar.order([p.data for p in pending], ALIKE) if self.grouping else range(len(pending)):
            if pending[i].digest not in starts:
                starts[pending[i].digest] = at
                stream.append(pending[i].data)
                at += len(pending[i].data)

        def rows() -> list[dict[str, Any]]:
            return [_row(p.document, starts[p.digest], len(p.data), p.digest, p.replaces) for p in pending]

        self._write_part(_cut(stream, self.codec.block_bytes), rows)

    def _store_large(self, document: Document, replaces: int | None) -> None:
        digest = hashlib.sha256()
        length = 0

        def blocks() -> Iterator[list[bytes]]:
            nonlocal length
            for piece in _read(document, self.codec.block_bytes):
                digest.update(piece)
                length += len(piece)
                yield [piece]

        self._write_part(blocks(), lambda: [_row(document, 0, length, digest.digest(), replaces)])

    def _write_part(self, blocks: Iterable[list[bytes]], make_rows: Callable[[], list[dict[str, Any]]]) -> None:
        last = self.manifest.parts[-1] if self.manifest.parts else Part(0, 0, 0, 0)
        used = max((part_number(file.name) or 0 for file in self.folder.iterdir()), default=0)
        number, seq = max(last.part, used) + 1, last.seq + last.documents
        part = Part(number, seq, 0, 0)
        write_parquet(
            part.file(self.folder, "blocks"),
            BLOCKS,
            (pa.table([[payload], [size], [name]], schema=BLOCKS) for payload, size, name in self._encoded(blocks)),
            {"llmc.fingerprint": self.codec.fingerprint} if self.codec.fingerprint else {},
            compression="none",
            use_dictionary=False,
            write_statistics=False,
        )
        rows = [{**row, "seq": seq + i} for i, row in enumerate(make_rows())]
        root = hashlib.sha256(b"".join(row["sha256"] for row in rows)).hexdigest()
        for row in rows:
            row["sha256_prefix"] = row.pop("sha256")[:8]
        write_parquet(
            part.file(self.folder, "docs"),
            DOCS,
            [pa.Table.from_pylist(rows, DOCS)],
            {"llmc.sha256": root},
            compression={name: "none" if name == "sha256_prefix" else "zstd" for name in DOCS.names},
            use_dictionary=["source"],
            column_encoding={
                "id": "DELTA_BYTE_ARRAY",
                "path": "DELTA_BYTE_ARRAY",
                **dict.fromkeys(("seq", "line", "start", "size_bytes", "replaces"), "DELTA_BINARY_PACKED"),
                "sha256_prefix": "PLAIN",
            },
            write_statistics=["id", "seq"],
        )
        self.manifest.parts.append(Part(number, seq, len(rows), sum(row["size_bytes"] for row in rows)))
        if number % MANIFEST_EVERY_PARTS == 1:
            self.manifest.save(self.folder)
        self.stored += len(rows)
        self.replaced += sum(row["replaces"] is not None for row in rows)
        self._on_stored(len(rows), self.manifest.parts[-1].bytes)

    def _encoded(self, blocks: Iterable[list[bytes]]) -> Iterator[tuple[bytes, int, str]]:
        """Encode blocks on all cores, in order, never more of them in memory than there are cores plus one."""
        assert self._pool is not None
        running: deque[Future[_Block]] = deque()
        for block in blocks:
            running.append(self._pool.submit(encode, self.codec, block))
            if len(running) > self._workers:
                yield self._sound(running.popleft().result())
        while running:
            yield self._sound(running.popleft().result())

    def _sound(self, block: "_Block") -> tuple[bytes, int, str]:
        if block.wrong:
            self._on_warning(f"codec {self.codec.name} did not give a block back as it was: stored raw (please report this)")
        return block.payload, block.raw_bytes, block.codec

    def _drop_dead_parts(self) -> None:
        """After ``force``, delete parts of which every document was replaced, unless they say so of one that is still there."""
        archive = Archive(self.folder, self.manifest)
        rows = {p.part: [(e.seq, e.replaces) for e in archive.all_entries(p)] for p in self.manifest.parts}
        replaced = {old for entries in rows.values() for _, old in entries if old is not None}
        kept = dict(rows)
        for part in sorted(rows):  # oldest first: a part that only replaced what is gone can go too
            there = {seq for number, entries in kept.items() if number != part for seq, _ in entries}
            if all(seq in replaced and old not in there for seq, old in rows[part]):
                del kept[part]
        if len(kept) < len(rows):
            self.manifest.parts = [p for p in self.manifest.parts if p.part in kept]
            self.manifest.save(self.folder)  # first no longer listed, then gone
            self._delete(set(rows) - set(kept))

    def _delete(self, parts: set[int]) -> None:
        for file in list(self.folder.iterdir()):
            if part_number(file.name) in parts:
                file.unlink()


class _Block(NamedTuple):
    payload: bytes
    raw_bytes: int
    codec: str
    wrong: bool = False
    """The codec did not give back what it was given; the payload is as it was."""


def encode(codec: Codec, pieces: Sequence[bytes]) -> _Block:
    """A block, encoded, decoded again and compared; raw where the codec gains nothing."""
    raw = b"".join(pieces)
    payload = codec.encode(pieces)
    if len(payload) >= len(raw):
        return _Block(raw, len(raw), "raw")
    try:
        same = codec.decode(payload, len(raw)) == raw
    except LlmcError:
        same = False
    return _Block(payload, len(raw), codec.name) if same else _Block(raw, len(raw), "raw", wrong=True)


def _read(document: Document, piece_bytes: int) -> Iterator[bytes]:
    try:
        with document.open() as file:
            while piece := file.read(piece_bytes):
                yield piece
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error


def _row(document: Document, start: int, length: int, digest: bytes, replaces: int | None) -> dict[str, Any]:
    return {
        "id": document.id,
        "path": document.path,
        "source": document.source,
        "line": document.line,
        "start": start,
        "size_bytes": length,
        "sha256": digest,
        "replaces": replaces,
    }


def _cut(stream: Iterable[bytes], block_bytes: int) -> Iterator[list[bytes]]:
    """Blocks of whole documents up to ``block_bytes``; a document that is larger alone is cut."""
    block: list[bytes] = []
    size = 0
    for data in stream:
        if block and size + len(data) > block_bytes:
            yield block
            block, size = [], 0
        for i in range(0, len(data), block_bytes):
            piece = data[i : i + block_bytes]
            if size + len(piece) > block_bytes:
                yield block
                block, size = [], 0
            block.append(piece)
            size += len(piece)
    if block:
        yield block


class _Index:
    """What is stored already: document -> (sha256 prefix, seq), in 24 bytes a document."""

    def __init__(self, archive: Archive) -> None:
        record = np.dtype([("key", np.uint64), ("prefix", "S8"), ("seq", np.int64)])
        stored = [
            np.array([(_key(e.source, e.line, e.file_name), e.sha256_prefix, e.seq) for e in archive.latest(part)], record)
            for part in archive.manifest.parts
        ]
        table = np.concatenate([np.empty(0, record), *stored])
        table.sort(order=["key", "seq"])
        self._keys, self._prefixes, self._seqs = table["key"].copy(), table["prefix"].copy(), table["seq"].copy()

    def get(self, document: Document) -> tuple[bytes, int] | None:
        if not len(self._keys):
            return None
        name = document.path if document.path is not None else (document.source or document.id).encode()
        key = np.uint64(_key(document.source, document.line, name))
        i = int(np.searchsorted(self._keys, key, side="right")) - 1
        if i < 0 or self._keys[i] != key:
            return None
        return self._prefixes[i].ljust(8, b"\0"), int(self._seqs[i])


def _key(source: str | None, line: int | None, name: bytes) -> int:
    """64 bits that tell one place in the input from every other: a file's name, or a file's name and a line."""
    text = b"%s\0%d" % (name, line) if source is not None and line is not None else name
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
