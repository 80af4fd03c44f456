"""llmc clean: delete what llmc keeps for itself. What holds a record (the ledger) or runs (a server) is not among it."""

from dataclasses import dataclass, field
from pathlib import Path

from llmc import state, units
from llmc.cache import CACHED_VIEWS
from llmc.errors import UsageError
from llmc.schema import RunConfig


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that can be cleaned: a folder of llmc's own, and the names that llmc gives to the files in it."""

    folder: Path
    patterns: tuple[str, ...]
    meaning: str


@dataclass(slots=True)
class Kept:
    """What there is of one kind."""

    what: str
    folder: str
    files: int
    bytes: int
    meaning: str
    foreign: int
    """Other things in the folder: llmc did not write them, and leaves them."""


@dataclass(slots=True)
class Cleaned:
    """What there was, and what of it was deleted."""

    kept: list[Kept]
    deleted: list[str] = field(default_factory=list)
    """Kinds that were deleted; without ``what=`` none."""
    freed_bytes: int = 0


def kinds() -> dict[str, Kind]:
    """By the word users write after ``what=``."""
    return {
        "cache": Kind(state.cache(CACHED_VIEWS), ("cache.db", "cache.db-wal", "cache.db-shm"), "views made before"),
        "models": Kind(
            state.cache("models"),
            ("*.gguf", "*.gguf.json", "*.gguf.lock", "*.part", "*.part.state", "own-*.json", "own-*.lock"),
            "weights; llmc pull fetches them again",
        ),
        "logs": Kind(state.state("logs"), ("*.log",), "what engines said"),
        "sweeps": Kind(state.state("sweeps"), ("multirun.yaml",), "how sweeps were configured"),
        "calibration": Kind(state.state("calibration"), ("*.json",), "what llmc calibrate measured"),
    }


def clean(config: RunConfig) -> Cleaned | str:
    """Without ``what=``, say what there is; with it, delete that."""
    known = kinds()
    chosen = [] if config.what is None else list(known) if config.what == "all" else [config.what]
    if unknown := [what for what in chosen if what not in known]:
        raise UsageError(
            f"what={unknown[0]} cannot be cleaned", hint=f"llmc clean what=cache   (or {', '.join([*known, 'all'][1:])})"
        )
    files = {what: _files(kind) for what, kind in known.items()}
    if config.dry_run:
        doomed = [file for what in chosen for file in files[what]]
        kinds_chosen = ", ".join(chosen) or "nothing without what="
        return f"delete {units.many(len(doomed), 'file')}, {units.size(_size(doomed))}: {kinds_chosen}"
    result = Cleaned([_kept(what, kind, files[what]) for what, kind in known.items()])
    for what in chosen:
        result.freed_bytes += _size(files[what])
        for file in files[what]:
            file.unlink(missing_ok=True)
        result.deleted.append(what)
    return result


def _files(kind: Kind) -> list[Path]:
    """Ours in that folder. Links are never followed: what they lead to is somebody else's."""
    if kind.folder.is_symlink() or not kind.folder.is_dir():
        return []
    found = {path for pattern in kind.patterns for path in kind.folder.glob(pattern)}
    return sorted(path for path in found if path.is_file() and not path.is_symlink() and _written_by_llmc(path))


def _written_by_llmc(path: Path) -> bool:
    """Weights that were downloaded have their digest beside them; a file that somebody put there has not."""
    return path.suffix != ".gguf" or path.with_name(path.name + ".json").exists()


def _kept(what: str, kind: Kind, files: list[Path]) -> Kept:
    everything = sum(path.is_symlink() or not path.is_dir() for path in kind.folder.rglob("*")) if kind.folder.is_dir() else 0
    return Kept(what, str(kind.folder), len(files), _size(files), kind.meaning, everything - len(files))


def _size(files: list[Path]) -> int:
    return sum(file.lstat().st_size for file in files if file.exists())
