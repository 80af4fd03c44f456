"""engine=embedded: llama.cpp from the xllamacpp wheel, no server to install.

It runs in a child process (``llmc.engine.embedded_server``) and is spoken to over HTTP on loopback, so that a crash in native
code, or a kill for want of memory, costs one request and not the run.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from llmc.engine import Placement
from llmc.engine._http import LlamaServer
from llmc.engine._local import LocalEngine
from llmc.engine._process import Child
from llmc.errors import EngineUnavailable, UsageError
from llmc.machine import advice
from llmc.schema import RunConfig, option_name


class Embedded(LocalEngine):
    """A model file served by a child process for as long as the object is entered."""

    name = "embedded"

    def __init__(
        self,
        weights: Path,
        *,
        model: str,
        model_digest: str,
        slots: int = 4,
        slot_context_tokens: int = 4096,
        threads: int | None = None,
        start_timeout_seconds: float = 120,
        request_timeout_seconds: float = 600,
        offline: bool = True,
    ) -> None:
        self.weights = weights
        self.model = model
        self.model_digest = model_digest
        self.slots = slots
        self.slot_context_tokens = slot_context_tokens
        self.threads = threads or idle_cores()
        self._start_timeout_seconds = start_timeout_seconds
        self._request_timeout_seconds = request_timeout_seconds
        self._offline = offline
        self._child: Child | None = None

    def command(self) -> list[str]:
        """What is started: the same line can be typed in a shell."""
        options = {
            "weights": str(self.weights),
            "model": self.model,
            "slots": self.slots,
            "slot_context_tokens": self.slot_context_tokens,
            "threads": self.threads,
        }
        # By its path: it needs nothing of llmc, so it starts however llmc itself was found.
        return [sys.executable, "-P", str(Path(__file__).with_name("embedded_server.py")), json.dumps(options)]

    def __enter__(self) -> Self:
        if importlib.util.find_spec("xllamacpp") is None:
            raise EngineUnavailable("the embedded engine needs the package xllamacpp", hint="pip install 'llmc-cli[embedded]'")
        if not self.weights.is_file():
            raise EngineUnavailable(
                f"the weights {self.weights} are not there",
                hint=f"llmc pull model={option_name('model', self.model) or self.model}",
            )
        self._child = Child("embedded", self.command(), start_timeout_seconds=self._start_timeout_seconds)
        self._server = LlamaServer(
            str(self._child.said["url"]),
            key=str(self._child.said["key"]),
            timeout_seconds=self._request_timeout_seconds,
            offline=self._offline,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if self._child is not None:
            self._child.stop()
        self._child = self._server = None

    @property
    def pid(self) -> int:
        """Of the child process."""
        assert self._child is not None
        return self._child.pid

    def _ended(self) -> tuple[str, str]:
        how = self._child.died() if self._child else ""
        return (f"the embedded engine {how}", f"its log: {self._child.log}") if self._child and how else ("", "")

    async def placement(self) -> Placement:
        return Placement(
            0.0, "the xllamacpp wheel computes on the CPU", {"process": psutil.Process(self.pid).memory_info().rss}
        )


def create(config: RunConfig, *, weights: Path | None, model_digest: str) -> Embedded:
    if weights is None:
        raise UsageError(
            "engine=embedded needs the model's weights as a GGUF file", hint=advice.command(config, {}, target="pull")
        )
    return Embedded(
        weights,
        model=config.model.name,
        model_digest=model_digest,
        slots=config.profile.concurrency,
        slot_context_tokens=min(config.profile.slot_context_tokens, config.model.context_tokens),
        threads=config.engine.threads,
        start_timeout_seconds=config.engine.start_timeout_seconds,
        request_timeout_seconds=config.engine.request_timeout_seconds,
        offline=config.profile.offline,
    )


def idle_cores() -> int:
    """Cores that nothing else uses just now, at least 1. llama.cpp's threads wait for each other by spinning: one that has to
    share its core makes all of them slow (2 threads beside one busy process took 1.8 to 2.7 times as long as 1)."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores - round(os.getloadavg()[0]))
