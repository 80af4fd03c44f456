"""Where records wait that could not go into the database: a folder beside it, one fsynced JSON file each.

A file is written under another name and renamed, so one that is there is whole. Taking the same file in twice is harmless: the
ids in it are the ones the database already has.
"""

import dataclasses
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from llmc.errors import LedgerError
from llmc.ledger.rows import Document, Event, Price, Run, Stretch

FORMAT = 1
BATCH = 500  # files taken in per transaction
REMOTE = {
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb2", "smb3", "smbfs", "virtiofs", "vboxsf", "webdav",
}  # fmt: skip
"""File systems on which SQLite's WAL does not work: its shared memory is not shared between machines."""
_ROWS = {"event": Event, "document": Document, "stretch": Stretch}
_counter = itertools.count()

Spooled = tuple[Path, Run, Event | Document | Stretch | None]


def is_remote(folder: Path) -> bool:
    """Whether a folder is on a network file system (or one that behaves like it)."""
    path = folder.absolute()
    while not path.exists():
        path = path.parent
    path = path.resolve()
    best, kind = "", ""
    for each in psutil.disk_partitions(all=True):
        if path.is_relative_to(each.mountpoint) and len(each.mountpoint) >= len(best):
            best, kind = each.mountpoint, each.fstype
    return kind.lower() in REMOTE


def folder(ledger: Path) -> Path:
    return ledger.with_suffix(".spool")


def waiting(ledger: Path) -> int:
    """How many records wait."""
    return sum(1 for _ in folder(ledger).glob("*.json"))


def put(ledger: Path, run: Run, row: Event | Document | Stretch | None) -> None:
    """One record, on the disk when this returns; None: the run itself, with how it ended."""
    into = folder(ledger)
    kind = "end" if row is None else next(name for name, made in _ROWS.items() if isinstance(row, made))
    record = {"format": FORMAT, "kind": kind, "run": dataclasses.asdict(run), "row": row and dataclasses.asdict(row)}
    name = f"{time.time_ns():020}-{os.getpid()}-{next(_counter)}"
    try:
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = into / f"{name}.tmp"
        with os.fdopen(os.open(written, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        written.rename(into / f"{name}.json")
        if sys.platform != "win32":
            opened = os.open(into, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
    except OSError as error:
        raise LedgerError(f"nothing can be put on record, neither in {ledger} nor in {into}: {error}") from error


def batches(ledger: Path, warn: Callable[[str], None]) -> Iterator[list[Spooled]]:
    """What waits, oldest first. A file that cannot be read is told of and left out, one that is no record is set aside."""
    files = sorted(folder(ledger).glob("*.json"))
    for i in range(0, len(files), BATCH):
        yield [found for file in files[i : i + BATCH] if (found := _load(file, warn))]


def set_aside(file: Path, why: object, warn: Callable[[str], None]) -> None:
    """Out of the way of what waits, under a name that is not looked at again."""
    aside = file.with_suffix(".json.no-record")
    try:
        file.rename(aside)
    except OSError as error:
        warn(f"{file} is not a record of llmc and cannot be set aside: {error}")
        return
    warn(f"{file} is not a record of llmc ({why!r}): set aside as {aside.name}")


def _load(file: Path, warn: Callable[[str], None]) -> Spooled | None:
    try:
        record: dict[str, Any] = json.loads(file.read_bytes())
        if record["format"] != FORMAT:
            warn(f"{file} has format {record['format']}, this llmc knows {FORMAT}: it waits for the llmc that wrote it")
            return None
        run = Run(**{**record["run"], "tags": tuple(record["run"]["tags"])})
        if record["kind"] == "end":
            return file, run, None
        row = dict(record["row"])
        if record["kind"] == "event":
            row["price"] = Price(**row["price"])
        return file, run, _ROWS[record["kind"]](**row)
    except FileNotFoundError:  # another process took it in
        return None
    except OSError as error:
        warn(f"{file} cannot be read: {error}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        set_aside(file, error, warn)
    return None
