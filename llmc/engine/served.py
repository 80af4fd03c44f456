"""Engines that are a server process of their own: one the user runs, one llmc started before, or one it starts now.

Looked for in this order: ``engine.url``; a server on record that has this model; one on the engine's usual port that lists it;
else a new one, on loopback, on a free port, with a key made for it, its output in a log. A start is given up when the server
ends, or when for ``start_stall_seconds`` nothing moves: no line in its log, no byte read, no memory taken. How long a model
takes to load says nothing.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import psutil

from llmc import state
from llmc.engine import Activity, Placement, causes, records
from llmc.engine._http import ModelServer
from llmc.engine._local import LocalEngine
from llmc.engine.records import Record
from llmc.errors import EngineUnavailable, LlmcError, UsageError
from llmc.machine import advice, ports
from llmc.schema import RunConfig

FOUND_SECONDS = 1.0  # for a server on its usual port to say what it has
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES")
_LEFT_RUNNING: list[subprocess.Popen[bytes]] = []  # servers that stay; a Popen that is dropped complains
_SECRETS = ("_API_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_SECRET_ACCESS_KEY")
_MENDING: dict[str, tuple[str, dict[str, str]]] = {  # by the kind of cause: the target, and what is to be changed
    "port": ("deploy", {"engine.port": ""}),
    "missing": ("pull", {}),
    "damaged": ("pull", {"force": "true"}),
    "memory": ("doctor", {}),
    "kernels": ("deploy", {"backend": "vulkan"}),
    "driver": ("doctor", {}),
    "option": ("deploy", {"dry_run": "true"}),
}
S = TypeVar("S", bound=ModelServer)
T = TypeVar("T")


class Served(LocalEngine):
    """A model behind a server process; what differs from engine to engine is below ``# each engine``."""

    program: ClassVar[str]
    """The executable, as it is called on PATH."""
    usual_port: ClassVar[int]
    key_variable: ClassVar[str]
    """The environment variable in which the server looks for its key; ``""``: it knows none."""
    image_words: ClassVar[int]
    """Of the command line, the words that the engine's container image says itself."""
    container_options: ClassVar[dict[str, Any]] = {}
    """What its container needs beside that, in the words of a compose file."""
    passes: ClassVar[tuple[str, ...]] = ()
    """Secrets of our environment that the server needs."""

    def __init__(self, config: RunConfig, *, weights: Path | None, model_digest: str) -> None:
        self.config = config
        self.weights = weights.absolute() if weights else None
        self.model = config.model.name
        self.model_digest = self._pulled_digest = model_digest
        self.slots = config.profile.concurrency
        self.slot_context_tokens = min(config.profile.slot_context_tokens, config.model.context_tokens)
        self.keep = False
        """Whether a server that is started stays when the engine is left."""
        self.record: Record | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._started = False

    # each engine

    def arguments(self, program: str, port: int, inside: str = "") -> list[str]:
        """The command line, without secrets; ``inside`` is the model's place in a container, when it is to run in one."""
        raise NotImplementedError

    def environment(self, port: int) -> dict[str, str]:
        """What is set for the server beside our own environment; without secrets."""
        return {}

    def find_program(self) -> str:
        """The executable's path. EngineUnavailable when it is not installed."""
        given = self.config.engine.binary
        found = shutil.which(str(Path(given).expanduser()) if given else self.program)
        if found is None:
            where = f"engine.binary={given} is not an executable file" if given else f"{self.program} is not on PATH"
            raise EngineUnavailable(where, hint=self.install_hint())
        return found

    def install_hint(self) -> str:
        raise NotImplementedError

    def client(self, url: str, key: str) -> ModelServer:
        raise NotImplementedError

    def placed(self, log: str) -> Placement:
        """Where the log says that the model is."""
        raise NotImplementedError

    def in_container(self) -> tuple[str, list[str]]:
        """Where the model is in a container, and the volumes that bring it there."""
        raise NotImplementedError

    async def measure(self, server: ModelServer) -> str:
        """Take over slots and context from a server somebody else has configured; the digest of its weights, if it is known."""
        raise NotImplementedError

    async def ready(self, server: ModelServer) -> None:
        """Asked of every server once it answers. EngineUnavailable when it does not have our model."""
        listed = await server.models()
        if (ours := next((m for m in listed if self._is_ours(m)), None)) is None:
            hint = "" if self.record and self.record.ours else "engine.url=null starts one"
            raise EngineUnavailable(f"{server.url} serves {', '.join(listed) or 'no model'}, not {self.model}", hint=hint)
        server.model_id = ours

    @property
    def usual_url(self) -> str:
        """Where a server of the user's own would be."""
        return f"http://127.0.0.1:{self.usual_port}"

    # the same for all

    def command(self) -> list[str]:
        if self.config.engine.url:
            return []
        port = self.config.engine.port or free_port()
        assigned = [f"{k}={v}" for k, v in self.environment(port).items()]
        argv = self.arguments(self.find_program(), port)
        return ["env", *assigned, *argv] if assigned else argv

    @property
    def server_name(self) -> str:
        return self.config.name or self.config.model.name

    def __enter__(self) -> Self:
        self._started = False
        for left in records.everything():
            if left.ours and records.abandoned(left):
                records.end(left)
                records.forget(left)
        if self.config.engine.url:
            self._adopt(self.config.engine.url)
        elif self.keep:
            with records.exclusive(self.server_name):
                self._keep()
        elif running := self._running():
            self._use(running)
        elif not self._found():
            self._start(f"{self.config.model.name[:40]}-{secrets.token_hex(3)}")
        try:
            self._require_backend(asyncio.run(self._where()))
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    async def _where(self) -> Placement:
        try:
            return await self.placement()
        finally:
            await self.aclose()

    def _require_backend(self, placement: Placement) -> None:
        """EngineUnavailable when the model is not on the GPU asked for, or a server of ours does not show that it is."""
        backend = self.config.backend.name
        if backend == "cpu" or self.config.allow_cpu:
            return
        if placement.gpu_share == 0:
            raise EngineUnavailable(
                f"backend={backend} was asked for, but {self.model} is on the CPU: {placement.evidence}",
                hint=f"{self._doctor()}; or accept it: {advice.command(self.config, {'allow_cpu': 'true'})}",
            )
        if placement.gpu_share is None and self.record is not None and self.record.ours:
            raise EngineUnavailable(
                f"backend={backend} was asked for, and nothing shows that {self.model} is on it: {placement.evidence}",
                hint=f"to take it as it is: {advice.command(self.config, {'allow_cpu': 'true'})}",
            )

    def _keep(self) -> None:
        """The server of this name: there already, or started to stay."""
        if (record := records.read(self.server_name)) is not None:
            here = records.leader(record) is not None
            if here and not self.config.force:
                if not (self._fits(record) and self._same_size(record)):
                    raise UsageError(
                        f"{record.name} runs already: {record.model} on {record.engine} ({record.backend}), {record.slots} "
                        f"slots of {record.slot_context_tokens} tokens",
                        hint=f"llmc stop name={record.name}, or deploy beside it under another name=",
                    )
                self._use(record)
                return
            records.end(record)
            records.forget(record)
        if not self._found():
            self._start(self.server_name)

    def _running(self) -> Record | None:
        return next(
            (
                r
                for r in records.everything()
                if r.owner_pid is None
                and r.proof
                and self._fits(r)
                and r.slot_context_tokens >= self.slot_context_tokens
                and (records.leader(r) is not None or (not r.ours and self._answers(r)))
            ),
            None,
        )

    def _fits(self, record: Record) -> bool:
        return (
            record.engine == self.name
            and self._is_ours(record.model)
            and (record.backend == self.config.backend.name or not record.ours)
            and (record.model_digest == self._pulled_digest or not record.model_digest or not self._pulled_digest)
        )

    def _same_size(self, record: Record) -> bool:
        return (record.slots, record.slot_context_tokens) == (self.slots, self.slot_context_tokens)

    def _answers(self, record: Record) -> bool:
        return asyncio.run(once(self.client(record.url, record.key), ModelServer.health)).ok

    def _use(self, record: Record) -> None:
        records.trim(record)
        self.record, self.model_digest = record, record.model_digest
        self._server = self.client(record.url, record.key)
        self.slots, self.slot_context_tokens = record.slots, record.slot_context_tokens
        if record.proof:
            asyncio.run(once(self._server, self.ready))
        else:  # an llmc that was killed while it waited has left it
            self._await(record)

    def _found(self) -> bool:
        """Whether a server that nobody told us of, on the engine's usual port, has this model."""
        with contextlib.suppress(LlmcError, TimeoutError):
            self._adopt(self.usual_url, seconds=FOUND_SECONDS)
            return True
        self._server = None
        return False

    def _adopt(self, url: str, seconds: float | None = None) -> None:
        """Work with a server that somebody else runs, and stops."""
        server = self.client(url, os.environ.get(self.config.engine.key_env or self.key_variable, "") or self._key())

        async def look(server: ModelServer) -> None:
            async with asyncio.timeout(seconds):
                await self.ready(server)
                self.model_digest = await self.measure(server)

        asyncio.run(once(server, look))
        self._server = server
        self.record = Record(
            self.server_name, self.name, self.model, self.model_digest, self.config.backend.name, url, self.slots,
            self.slot_context_tokens, ours=False, started=_now(),
        )  # fmt: skip

    def _key(self) -> str:
        """What ``export=`` made for a server of this name; empty when it made none."""
        with contextlib.suppress(OSError):
            return key_file(self.server_name).read_text().strip().removeprefix(f"{self.key_variable}=")
        return ""

    def _is_ours(self, listed: str) -> bool:
        return super()._is_ours(listed) or (self.weights is not None and Path(listed).name == self.weights.name)

    def _start(self, name: str) -> None:
        program = self.find_program()
        if self.weights is not None and not self.weights.exists():
            raise EngineUnavailable(
                f"the weights {self.weights} are not there", hint=advice.command(self.config, {}, target="pull")
            )
        if (port := self.config.engine.port) and (who := ports.holder(port)):
            free = advice.command(self.config, {"engine.port": ""}, target="deploy")
            raise EngineUnavailable(f"engine.port={port} is held by {who}", hint=f"to take a free one: {free}")
        port = port or free_port()
        argv, environment = self.arguments(program, port), self.environment(port)
        self.model_digest = self._pulled_digest
        key, mark = secrets.token_hex(16) if self.key_variable else "", secrets.token_hex(8)
        kept = {k: os.environ[k] for k in VISIBLE if k in os.environ}
        self.record = record = Record(
            name, self.name, self.model, self.model_digest, self.config.backend.name, f"http://127.0.0.1:{port}",
            self.slots, self.slot_context_tokens, ours=True, key=key, mark=mark, boot=records.boot(), argv=argv,
            environment={**kept, **environment}, started=_now(),
        )  # fmt: skip
        if not self.keep:
            record.owner_pid, record.owner_create_time = os.getpid(), psutil.Process().create_time()
            argv = [sys.executable, "-P", str(Path(__file__).with_name("_guard.py")), *argv]
        records.prune()
        records.write(record)
        inherited = {k: v for k, v in os.environ.items() if not k.endswith(_SECRETS) or k in self.passes}
        secret = {records.MARK: mark, **({self.key_variable: key} if key else {})}
        record.log.unlink(missing_ok=True)
        with record.log.open("ab") as log:  # so that it can be cut while the server writes
            os.fchmod(log.fileno(), 0o600)
            try:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL if self.keep else subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd=record.log.parent,
                    env={**inherited, **environment, **secret},
                )
            except OSError as error:
                records.forget(record)
                raise EngineUnavailable(f"{program} cannot be run: {error.strerror}", hint=self.install_hint()) from error
        self._started = True
        try:
            record.pid = self._process.pid
            with contextlib.suppress(psutil.Error):
                record.create_time = psutil.Process(record.pid).create_time()
            records.write(record)
            self._server = self.client(record.url, key)
            self._await(record)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def _await(self, record: Record) -> None:
        """Until the server answers and lists the model."""

        async def answer(server: ModelServer) -> None:
            seen, since = _moved(record), time.monotonic()
            while True:
                if how := self._how_ended():
                    raise self._failed(record, how)
                if (await server.health()).ok and records.listens(record):
                    await self.ready(server)
                    return
                if (now := _moved(record)) != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > self.config.engine.start_stall_seconds:
                    stalled = f"has done nothing for {self.config.engine.start_stall_seconds:g} s"
                    raise self._failed(record, stalled)
                await asyncio.sleep(0.1)

        asyncio.run(once(self.client(record.url, record.key), answer))

    def _ended(self) -> tuple[str, str]:
        record = self.record
        how = self._how_ended()
        return (f"{record.name} ({self.name}) {how}", f"llmc logs name={record.name}") if record and how else ("", "")

    def _how_ended(self) -> str:
        """``""`` while it runs."""
        if self._process is not None:
            code = self._process.poll()
            return "" if code is None else causes.ended(code)
        if self.record is not None and self.record.ours and records.leader(self.record) is None:
            return "is gone"
        return ""

    def _failed(self, record: Record, how: str) -> EngineUnavailable:
        text = causes.text_of(record.log)
        cause = causes.cause(text, self._process.returncode if self._process else None)
        hint = "; ".join(filter(None, [self._mending(cause), f"its log: llmc logs name={record.name}"]))
        return EngineUnavailable(f"{self.program} {how} while starting: {cause.line}", hint=hint, details=causes.tail(text))

    def _mending(self, cause: causes.Cause) -> str:
        """What to do about it: where it can be, as the command that this configuration came from."""
        own = self.weights is not None and not self.weights.is_relative_to(state.cache("models").absolute())
        if cause.kind == "damaged" and own:
            return f"{self.weights} is no GGUF file, or a damaged one"
        target, changes = _MENDING.get(cause.kind, ("", {}))
        if not target:
            return cause.hint
        if cause.kind == "kernels" and self.name == "vllm":
            changes = {**changes, "engine": "llama_server"}
        return f"{cause.hint}: {advice.command(self.config, changes, target=target)}"

    def _doctor(self) -> str:
        return advice.command(self.config, {}, target="doctor")

    def proven(self, proof: dict[str, Any]) -> None:
        """Remember what the start showed, so that other commands may use the server."""
        if self.record is not None and (self.keep or self._started):
            self.record.proof = proof
            records.write(self.record)

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        record, failed = self.record, error is not None
        if record is not None and self._started and (failed or not self.keep):
            records.end(record)
            records.forget(record, log=failed)
        if self._process is not None:
            if self._process.stdin:
                self._process.stdin.close()
            if self._started and (failed or not self.keep):
                self._process.wait()
            else:
                _LEFT_RUNNING.append(self._process)
            self._process = None
        self.record = self._server = None
        self._started = False

    async def placement(self) -> Placement:
        assert self.record is not None
        if not self.record.ours:
            return Placement(None, "somebody else started it, and it does not say")
        proof = self.record.proof
        if proof:  # its log may have been cut since it started
            said = Placement(proof.get("gpu_share"), str(proof.get("evidence")), proof.get("memory_bytes") or {})
        else:
            said = self.placed(causes.text_of(self.record.log))
        memory = {**said.memory_bytes, "process": records.resident_bytes(self.record)}
        return Placement(said.gpu_share, said.evidence, memory)

    async def activity(self) -> Activity:
        return await self.server.activity()


async def once(server: S, call: Callable[[S], Awaitable[T]]) -> T:
    """One conversation with a server, its connections closed after it."""
    try:
        return await call(server)
    finally:
        await server.aclose()


def _moved(record: Record) -> tuple[int, int, int]:
    """What grows while a model is loaded: the log, the bytes read from disk, the memory."""
    read = held = 0
    for process in records.processes(record):
        with contextlib.suppress(psutil.Error, AttributeError):  # not every system counts input and output
            held += process.memory_info().rss >> 20
            read += process.io_counters().read_bytes
    with contextlib.suppress(OSError):
        return record.log.stat().st_size, read, held
    return 0, read, held


def key_file(name: str) -> Path:
    """Where the key of an exported server is, in the form of an environment file."""
    return state.state("keys") / f"{name}.env"


def free_port() -> int:
    """A port on loopback that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
