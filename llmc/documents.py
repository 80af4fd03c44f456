"""Documents in: a file, a folder, a glob, JSON Lines or standard input becomes a stream of :class:`Document`.

Nothing is held but the document at hand. A JSON Lines document is the *whole raw line*, so that the file is restored byte for
byte with its other fields, its escapes and its broken lines; which field is the text is only asked when a view is made.
"""

import errno
import glob
import io
import json
import os
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import BinaryIO

from llmc.errors import InputError, UsageError
from llmc.parts import part_number

MEMORY_BYTES = 4 << 20
"""A document up to this size is handled in memory; a larger one is read in pieces of this size."""
JSONL_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Document:
    """One input item as bytes. ``open`` may be called more than once."""

    id: str
    open: Callable[[], BinaryIO]
    source: str | None = None
    """The JSON Lines file this is a line of; None for a whole file."""
    line: int | None = None
    """1-based line number in ``source``."""
    path: bytes | None = None
    """The file's name as the file system has it, where that is not UTF-8 and ``id`` only shows it."""


@dataclass(slots=True)
class Selection:
    """What to read and, while it is being read, what was left out and why."""

    input: str
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    hidden: bool = False
    input_format: str = "auto"  # auto | text | jsonl
    id_field: str = "id"
    output: Path | None = None
    """The archive being written: never part of its own input."""
    skipped: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Documents that could not be read: id and reason."""
    lines: dict[str, int] = field(default_factory=dict)
    """Lines seen in each JSON Lines source that was read to its end."""

    def __iter__(self) -> Iterator[Document]:
        if self.input == "-":
            yield from self._stdin()
            return
        path = Path(self.input).expanduser()
        if path.is_dir():
            yield from self._walk(path, "")
        elif path.exists():
            if not path.is_file():
                raise InputError(f"{self.input} is neither a file nor a folder", hint="pipe it: … | llmc compress input=-")
            yield from self._file(path, path.name, jsonl=self._is_jsonl(path.name, alone=True))
        elif glob.has_magic(self.input):
            yield from self._glob(str(path))
        else:
            raise InputError(f"input {self.input} does not exist", hint=_nearest(path))

    def _glob(self, pattern: str) -> Iterator[Document]:
        parts = Path(pattern).parts
        fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        root = Path(*parts[:fixed])
        matches = []
        for match in root.glob(str(Path(*parts[fixed:]))):  # does not follow links to folders, so a loop ends
            relative = match.relative_to(root)
            if any(self._is_archive(parent) for parent in match.parents if parent != root and root in parent.parents):
                continue
            if match.is_file() and (self.hidden or not any(part.startswith(".") for part in relative.parts)):
                matches.append((os.fsencode(relative), match))
        if not matches:
            raise InputError(f"input {self.input} matches no file", hint="quote the pattern, and use ** for any depth")
        for name, match in sorted(matches):
            yield from self._entry(match, os.fsdecode(name))

    def _walk(self, folder: Path, prefix: str) -> Iterator[Document]:
        try:
            entries = sorted(os.scandir(folder), key=lambda e: os.fsencode(e.name))
        except OSError as error:
            self.failed.append((prefix or str(folder), error.strerror or str(error)))
            return
        for entry in entries:
            relative = prefix + entry.name
            if entry.name.startswith(".") and not self.hidden:
                self.skipped["hidden"] += 1
            elif entry.is_symlink() and os.path.isdir(entry.path):
                self.skipped["link to a folder"] += 1  # what it points at is either inside already or not asked for
            elif entry.is_dir(follow_symlinks=False):
                if self._is_archive(Path(entry.path)):
                    self.skipped["llmc archive"] += 1
                elif any(fnmatch(relative, glob_) or fnmatch(relative + "/", glob_) for glob_ in self.exclude):
                    self.skipped["excluded"] += 1
                else:
                    yield from self._walk(Path(entry.path), relative + "/")
            else:
                yield from self._entry(Path(entry.path), relative)

    def _is_archive(self, folder: Path) -> bool:
        if self.output is not None and self.output.exists() and folder.samefile(self.output):
            return True
        return folder.suffix == ".llmc" and (folder / "manifest.json").exists()

    def _entry(self, path: Path, relative: str) -> Iterator[Document]:
        name = path.name
        if (self.include and not any(fnmatch(relative, p) or fnmatch(name, p) for p in self.include)) or any(
            fnmatch(relative, p) or fnmatch(name, p) for p in self.exclude
        ):
            self.skipped["excluded"] += 1
            return
        try:
            mode = path.stat().st_mode
        except OSError as error:
            # A dangling or circular link holds no text that could be lost.
            if error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink():
                self.skipped["broken link"] += 1
            else:
                self.failed.append((relative, error.strerror or str(error)))
            return
        if not stat.S_ISREG(mode):
            self.skipped["pipe, socket or device"] += 1
            return
        yield from self._file(path, relative, jsonl=self._is_jsonl(name, alone=False))

    def _is_jsonl(self, name: str, *, alone: bool) -> bool:
        if self.input_format == "auto":
            return alone and name.endswith(JSONL_SUFFIXES)
        return self.input_format == "jsonl"

    def _file(self, path: Path, relative: str, *, jsonl: bool) -> Iterator[Document]:
        raw = os.fsencode(relative)
        try:
            name, exact = raw.decode(), None
        except UnicodeDecodeError:
            name, exact = raw.decode(errors="backslashreplace"), raw
        if not jsonl:
            yield Document(name, lambda: path.open("rb"), path=exact)
            return
        try:
            with path.open("rb") as file:
                yield from self._jsonl(file, name, exact)
        except OSError as error:
            self.failed.append((name, error.strerror or str(error)))

    def _stdin(self) -> Iterator[Document]:
        stream = sys.stdin.buffer
        if self.input_format == "jsonl":
            yield from self._jsonl(stream, "stdin.jsonl")
            return
        with tempfile.TemporaryFile() as spool:
            while piece := stream.read(MEMORY_BYTES):
                spool.write(piece)
            yield Document("stdin", partial(_Reopened, spool))

    def _jsonl(self, file: BinaryIO, source: str, path: bytes | None = None) -> Iterator[Document]:
        number = 0
        while line := file.readline(MEMORY_BYTES):
            number += 1
            if len(line) < MEMORY_BYTES or line.endswith(b"\n"):
                yield Document(self._line_id(line, source, number), partial(io.BytesIO, line), source, number, path)
                continue
            with tempfile.TemporaryFile() as spool:  # a line too large for memory
                spool.write(line)
                while not line.endswith(b"\n") and (line := file.readline(MEMORY_BYTES)):
                    spool.write(line)
                yield Document(f"{source}:{number}", partial(_Reopened, spool), source, number, path)
        self.lines[source] = number

    def _line_id(self, line: bytes, source: str, number: int) -> str:
        if b'"' + self.id_field.encode() + b'"' in line:
            try:
                value = json.loads(line)[self.id_field]
            except (ValueError, KeyError, TypeError, RecursionError):
                value = None
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value).isprintable() and value != "":
                return str(value)
        return f"{source}:{number}"


class _Reopened(io.RawIOBase, BinaryIO):
    """A view on a temporary file from its start; closing it leaves the file open for the next reader."""

    def __init__(self, file: BinaryIO) -> None:
        file.flush()
        file.seek(0)
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def _nearest(path: Path) -> str:
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    from difflib import get_close_matches

    try:
        close = get_close_matches(path.name, os.listdir(parent), n=1)
    except OSError:
        close = []
    return f"did you mean {parent / close[0]}?" if close else f"the nearest folder that exists is {parent}"


def check_output(output: Path) -> None:
    """Refuse to turn something else into an archive: the path must be free, empty, or an archive already."""
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError(f"output {output} is a file, an archive is a folder", hint=f"output={output}.llmc")
    # Without a manifest it may be a first run that was killed: then it holds our files and nothing else.
    if not (output / "manifest.json").exists() and any(
        part_number(p.name) is None for p in output.iterdir() if p.name != ".lock"
    ):
        raise UsageError(
            f"output {output} is a folder with other things in it, not an llmc archive",
            hint=f"output={output.with_suffix('.llmc')}",
        )
