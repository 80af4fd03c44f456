"""llmc logs: what a server says, also one that did not start. Written as it is, to standard output."""

import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from llmc import state
from llmc.engine import records
from llmc.errors import InputError, UsageError
from llmc.schema import RunConfig

POLL_SECONDS = 0.2


@dataclass(slots=True)
class Logged:
    output: str = "-"


def logs(config: RunConfig) -> Logged:
    """The last ``lines=`` of them; with ``follow=true`` also what comes, until the server has ended."""
    path = _path(config.name)
    if config.lines < 0:
        raise UsageError(f"lines={config.lines}: at least 0")
    with path.open(errors="replace") as file:
        for line in deque(file, maxlen=config.lines):
            sys.stdout.write(line)
        sys.stdout.flush()
        while config.follow:
            record = records.read(path.parent.name)
            running = record is not None and bool(records.processes(record))
            while text := file.read():  # after the look at the process: its last words are not missed
                sys.stdout.write(text)
            sys.stdout.flush()
            if not running:
                break
            time.sleep(POLL_SECONDS)
    return Logged()


def _path(name: str | None) -> Path:
    place = state.state("servers")
    there = sorted(place.glob("*/server.log"), key=lambda p: p.stat().st_mtime)
    if name is None and there:
        running = [p for p in there if (p.parent / "server.json").exists()]
        if len(running) > 1:
            raise UsageError(
                f"there are logs of {', '.join(p.parent.name for p in running)}",
                hint=f"llmc logs name={running[-1].parent.name}",
            )
        return (running or there)[-1]
    if name is not None and (path := records.folder(name) / "server.log").is_file():
        return path
    others = ", ".join(p.parent.name for p in there)
    raise InputError(
        f"there is no log of {name}" if name else "there are no logs", hint=f"there is {others}" if others else "llmc deploy"
    )
