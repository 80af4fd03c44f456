"""A server as a child process: its own process group, its output in a log, gone when llmc is gone.

The child is told to end by closing its standard input, which the kernel does for us however llmc dies. A Ctrl-C in the
terminal does not reach it, because llmc first finishes what is in flight.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue

from llmc import state
from llmc.engine.causes import ended
from llmc.errors import EngineUnavailable

LOGS_KEPT = 20


class Child:
    """A running child that has said, in one JSON line on its standard output, that it is ready."""

    def __init__(self, name: str, argv: Sequence[str], *, start_timeout_seconds: float) -> None:
        logs = state.state("logs")
        logs.mkdir(parents=True, exist_ok=True)
        for old in sorted(logs.glob("*.log"), key=lambda p: p.stat().st_mtime)[:-LOGS_KEPT]:
            old.unlink(missing_ok=True)
        self.log = logs / f"{name}-{os.getpid()}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        said: Queue[bytes] = Queue()
        stdout = self._process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: said.put(stdout.readline()), daemon=True).start()
        try:
            line = said.get(timeout=start_timeout_seconds)
        except Empty:
            self.stop()
            raise EngineUnavailable(
                f"{name} was not ready after {start_timeout_seconds:g} s", hint=f"its log: {self.log}"
            ) from None
        except BaseException:
            self.stop()
            raise
        if not line:
            code = self._process.wait()
            self.stop()
            raise EngineUnavailable(f"{name} {ended(code)} while starting: {_reason(self.log)}", hint=f"its log: {self.log}")
        self.said: dict[str, object] = json.loads(line)

    @property
    def pid(self) -> int:
        return self._process.pid

    def died(self) -> str:
        """How the child ended, or ``""`` while it runs."""
        code = self._process.poll()
        return "" if code is None else ended(code)

    def stop(self) -> None:
        """End the whole process group: politely, then not; returns when it is gone."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
                return


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\bE \w|error|failed", line)] or lines
    return re.sub(r"^[\d.]+ E ", "", errors[0])[:300] if errors else "it said nothing"
