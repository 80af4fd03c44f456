"""Writes documents back into files, byte for byte, and nowhere but into the folder that was named.

An archive may come from anybody: an id that would leave the folder (``../x``, ``/etc/x``), or reach through a symbolic link in
it, is refused and the rest is restored. A file that is there with other bytes is left alone unless ``force``.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from llmc.archive import Archive, Entry
from llmc.errors import ArchiveError, LlmcError, UsageError


@dataclass(slots=True)
class Restored:
    """What ``restore`` did; ``failed`` lists documents that were not written, with the reason."""

    output: str
    written: int = 0
    unchanged: int = 0
    bytes: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0


def restore_files(archive: Archive, output: Path, *, pattern: str | None = None, force: bool = False) -> Restored:
    """Every selected document into its file; the lines of a JSON Lines source into one file, in their order."""
    if output.exists() and not output.is_dir():
        raise UsageError(f"output {output} is a file, restore writes into a folder", hint="output=back/")
    if output.resolve().is_relative_to(archive.folder.resolve()):
        raise UsageError(f"output {output} is the archive itself, or inside it", hint="output=back/")
    result = Restored(str(output))
    lines: dict[str, list[Entry]] = {}
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"output {output} cannot be made: {error.strerror}", hint="output=back/") from error
    root = output.resolve()

    def write(name: bytes, label: str, entries: Iterable[Entry], documents: int) -> None:
        try:
            path = safe_path(root, name)
            size, changed = _write(path, _pieces(archive, entries), force)
        except (LlmcError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            result.failed.append((label, reason))
            return
        result.bytes += size
        if changed:
            result.written += documents
        else:
            result.unchanged += documents

    for entry in archive.select(pattern):
        if entry.source is None:
            write(entry.file_name, entry.id, [entry], 1)
        else:
            lines.setdefault(entry.source, []).append(entry)
    if pattern is None:
        for source, count in archive.manifest.lines.items():
            if count == 0:
                write(source.encode(), source, [], 0)
    for source, entries in lines.items():
        if pattern is not None:
            result.failed.append((source, f"{len(entries)} lines of it, not all of it: output=- writes them"))
            continue
        entries.sort(key=lambda e: e.line or 0)
        write(entries[0].file_name, source, entries, len(entries))
        if source not in archive.manifest.lines:
            result.failed.append(
                (source, f"written up to line {entries[-1].line}, where its reading was cut short: compress it again")
            )
    result.failed += [(f"part {part}", reason) for part, reason in archive.broken.items()]
    return result


def _pieces(archive: Archive, entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        yield from archive.read_pieces(entry)


def safe_path(root: Path, name: bytes) -> Path:
    """Where a document of that name goes; ArchiveError for one that would leave ``root``."""
    shown = os.fsdecode(name)
    parts = name.split(b"/")
    if not name or name.startswith(b"/") or b"\0" in name or any(part in (b"", b".", b"..") for part in parts):
        raise ArchiveError(f"the name {shown!r} does not stay inside the output folder")
    path = root / shown
    if not path.parent.resolve().is_relative_to(root):
        raise ArchiveError(f"the name {shown!r} leads through a link out of the output folder")
    return path


def _write(path: Path, pieces: Iterator[bytes], force: bool) -> tuple[int, bool]:
    """Write a file whole or not at all; its size, and whether anything changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".llmc-", dir=path.parent)
    temporary = Path(name)
    try:
        size = 0
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
                size += len(piece)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise ArchiveError("something that is not a file is in its place")
        if path.exists():
            if _same(path, temporary):
                return size, False
            if not force:
                raise ArchiveError("a file with other bytes is in its place (force=true overwrites it)")
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        return size, True
    finally:
        temporary.unlink(missing_ok=True)


def _same(a: Path, b: Path) -> bool:
    if a.stat().st_size != b.stat().st_size:
        return False
    with a.open("rb") as one, b.open("rb") as two:
        while piece := one.read(1 << 20):
            if piece != two.read(1 << 20):
                return False
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
