"""What is known of the servers on this machine that llmc started or was pointed at: one folder a name, true after any crash.

    $LLMC_HOME/state/servers/NAME/server.json    who it is; written before the process is started, and again after
    $LLMC_HOME/state/servers/NAME/server.log     what it says

A process is known by its number *and* its creation time, on this boot: numbers are used again. Its children are found by their
session, not by their command line: vLLM rewrites the titles of its own, and they live on when the one that started them is
killed. A record without a process number is of an llmc that was killed just then; the server carries the record's mark in its
environment.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import psutil

from llmc import state
from llmc.errors import EngineError, UsageError

MARK = "LLMC_SERVER"  # in the environment of every server we start
SAME_SECONDS = 1.0  # creation times of one process, read at two moments, differ by less
LOG_BYTES = 64 << 20  # llama-server says 3 kB about each request
KEPT_BYTES = 1 << 20
LOGS_KEPT = 20  # of servers that did not start
POLITE_SECONDS = 10.0  # for a server to end by itself: llama-server takes 0.1 s, vLLM 0.4 s idle
ORPHAN_SECONDS = 2.0  # for what its main process has left behind: nobody waits for its answers any more
FORCED_SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(slots=True)
class Record:
    """One server. ``ours`` is what may be stopped; the others are only looked at."""

    name: str
    engine: str
    model: str
    model_digest: str
    backend: str
    url: str
    slots: int
    slot_context_tokens: int
    ours: bool
    key: str = ""
    mark: str = ""
    pid: int | None = None
    create_time: float | None = None
    boot: str = ""
    owner_pid: int | None = None
    """The llmc it must end with; None for one that stays until ``llmc stop``."""
    owner_create_time: float | None = None
    argv: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    """What was set for it, secrets left out."""
    started: str = ""
    proof: dict[str, Any] = field(default_factory=dict)
    """What its start showed; empty until it has answered."""

    @property
    def log(self) -> Path:
        return folder(self.name) / "server.log"


def folder(name: str) -> Path:
    """Where everything about a server is. UsageError for a name that is no plain word."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"name={name}: letters, digits, dots, dashes and underscores, at most 64")
    return state.state("servers") / name


def write(record: Record) -> None:
    """Keep a record, readable by its owner only: it holds the server's key."""
    place = folder(record.name)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = place / "server.json.part"
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(record), file, indent=2)
    partial.replace(place / "server.json")


def read(name: str) -> Record | None:
    """The record of a name, or None; what cannot be read as one counts as none."""
    known = {f.name for f in fields(Record)}
    try:
        found = json.loads((folder(name) / "server.json").read_text())
        return Record(**{k: v for k, v in found.items() if k in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def everything() -> list[Record]:
    """All records, by name."""
    place = state.state("servers")
    names = sorted(p.name for p in place.iterdir() if _NAME.fullmatch(p.name)) if place.is_dir() else []
    return [record for record in map(read, names) if record is not None]


def forget(record: Record, *, log: bool = False) -> None:
    """Remove the record and, unless ``log`` says to leave it, what the server said; a later server's of that name stays."""
    now = read(record.name)
    if now is not None and now.mark != record.mark:
        return
    if log:
        (folder(record.name) / "server.json").unlink(missing_ok=True)
    else:
        shutil.rmtree(folder(record.name), ignore_errors=True)


def prune() -> None:
    """Remove the oldest logs of servers that are not on record any more."""
    place = state.state("servers")
    logs = [p for p in place.glob("*/server.log") if not (p.parent / "server.json").exists()] if place.is_dir() else []
    for log in sorted(logs, key=lambda p: p.stat().st_mtime)[:-LOGS_KEPT]:
        shutil.rmtree(log.parent, ignore_errors=True)


def trim(record: Record) -> None:
    """Cut a log that has grown long to its end. The server appends to it and does not notice."""
    with contextlib.suppress(OSError):
        if record.ours and record.log.stat().st_size > LOG_BYTES:
            with record.log.open("r+b") as file:
                file.seek(-KEPT_BYTES, os.SEEK_END)
                end = file.read()
                file.truncate(0)
            with record.log.open("ab") as file:
                file.write(end[end.find(b"\n") + 1 :])


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Only one llmc at a time starts this name; another waits. To stop it nobody waits: a start can be ended too."""
    place = state.state("servers")
    place.mkdir(parents=True, exist_ok=True)
    folder(name)
    with (place / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def boot() -> str:
    """This boot of the machine; process numbers mean nothing beyond it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(round(psutil.boot_time()))


def alive(pid: int | None, create_time: float | None) -> psutil.Process | None:
    """That very process, if it runs."""
    if pid is None or create_time is None:
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(process.create_time() - create_time) < SAME_SECONDS and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def leader(record: Record) -> psutil.Process | None:
    """The process that was started, if it runs."""
    return alive(record.pid, record.create_time) if record.boot == boot() else None


def processes(record: Record) -> list[psutil.Process]:
    """All processes of a server that run, its leader first when it is there; none for a server that is not ours."""
    if not record.ours or record.boot != boot():
        return []
    first = leader(record)
    if record.pid is None:
        return [process for process in psutil.process_iter() if _marked(process, record.mark)]
    if first is None and _other(record):
        return []
    found = [first] if first else []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if process.pid != record.pid and os.getsid(process.pid) == record.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False


def _other(record: Record) -> bool:
    """Whether the leader's number is another process's now, and with it the session's."""
    try:
        process = psutil.Process(record.pid)
        return bool(abs(process.create_time() - (record.create_time or 0)) >= SAME_SECONDS)
    except psutil.Error:
        return False


def listens(record: Record) -> bool:
    """Whether a process of the server holds the port it was given, and not somebody else; True where nobody may look."""
    port = int(record.url.rpartition(":")[2])
    for process in processes(record):
        try:
            found = process.net_connections("tcp")
        except psutil.Error:
            return True
        if any(c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in found):
            return True
    return False


def abandoned(record: Record) -> bool:
    """Whether it should have ended with an llmc that is gone."""
    return record.owner_pid is not None and alive(record.owner_pid, record.owner_create_time) is None


def end(record: Record) -> int:
    """End all processes of a server: politely, then not; how many there were. EngineError when some do not go."""
    running = processes(record)
    if not running:
        return 0
    if first := leader(record):  # a server that is asked ends its own children in order
        _signal([first], signal.SIGTERM)
        _wait(lambda: leader(record) is None, POLITE_SECONDS)
    for sign, seconds in ((signal.SIGTERM, ORPHAN_SECONDS), (signal.SIGKILL, FORCED_SECONDS)):
        if left := processes(record):
            _signal(left, sign)
            _wait(lambda: not processes(record), seconds)
    if left := processes(record):
        numbers = " ".join(str(p.pid) for p in left)
        raise EngineError(f"{record.name} does not end: process {numbers}", hint=f"kill -9 {numbers}, or look at dmesg")
    return len(running)


def _signal(to: list[psutil.Process], sign: signal.Signals) -> None:
    for process in to:
        with contextlib.suppress(psutil.Error):
            process.send_signal(sign)


def _wait(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)


def resident_bytes(record: Record) -> int:
    """Memory that its processes hold, added up: what they share counts in each."""
    total = 0
    for process in processes(record):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total
