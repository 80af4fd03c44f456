"""llmc doctor: whether the engine, the backend and the model that a configuration names can work on this machine.

Asked for itself it tells about the whole machine; before another target it looks only at what the configuration uses, so that
a model on the processor starts at once. What can never work is refused before, as a usage error.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from llmc import engine as engines
from llmc import state, units
from llmc.engine import Health, records
from llmc.errors import EngineUnavailable, LlmcError, UsageError
from llmc.machine import Fit, Host, Probed, advice, choose, matrix, ports, probe
from llmc.machine.advice import Finding
from llmc.model import hub, sources, weights
from llmc.schema import RunConfig
from llmc.target import status

PROBE_SECONDS = 5  # how long a probe stands: one serves the choice and the diagnosis of a run, a sweep's next job looks again
PATIENCE_SECONDS = 5  # for each program before a start, where a wrong "no" would stop it; the default is for who looks on
_looking_once: list[bool] = []
_probes: dict[tuple[bool, str, str, str], tuple[float, Probed]] = {}


@dataclass(slots=True)
class Diagnosis:
    findings: list[Finding] = field(default_factory=list)
    exit_code: int = 0
    fit: Fit | None = None
    """What was predicted, to be recorded beside what is measured after the start."""
    machine: Probed | None = None
    next: str = ""
    """The command that goes on from here."""

    def add(self, finding: Finding) -> None:
        self.findings.append(finding)
        if finding.level == "problem":
            self.exit_code = 1

    def require(self) -> None:
        """EngineUnavailable with the first problem, if there is one."""
        for finding in self.findings:
            if finding.level == "problem":
                said = finding.text if finding.subject in ("engine", "server") else f"{finding.subject}: {finding.text}"
                raise EngineUnavailable(said, hint=finding.fix)


def doctor(config: RunConfig) -> Diagnosis:
    """Changes nothing."""
    whole = _whole(config)
    found = probed(config, tools=whole or not _quick(config))
    if whole:
        ours = {record.url: record.name for record in records.everything() if record.ours}
        found = replace(found, servers=tuple(replace(each, record=ours.get(each.url, "")) for each in found.servers))
    diagnosis = diagnose(config, found, whole=whole)
    for finding in (*_on_record(config, found), *_own_server(config), *_ports(config, found)) if whole else ():
        diagnosis.add(finding)
    return diagnosis


def _on_record(config: RunConfig, found: Probed) -> Iterator[Finding]:
    """The servers that llmc started or was pointed at; those that were found without the record are told about already."""
    told = {server.url for server in found.servers}
    for server in status.sample(replace(config, name=None), None).servers:
        if server.url not in told:
            well = server.state in ("ready", "starting")
            why = f": {server.reason}" if server.reason else ""
            text = f"{server.name}: {server.model} on {server.engine} ({server.backend}) at {server.url}, {server.state}{why}"
            yield Finding("ok" if well else "warning", "server", text, "" if well else server.next)


def _ports(config: RunConfig, found: Probed) -> Iterator[Finding]:
    """Ports that an engine would have, and a program that is none of them holds."""
    known = {urlsplit(url).port for url in (*(s.url for s in found.servers), *(r.url for r in records.everything()))}
    asked = config.engine.port if not config.engine.url else None
    if asked and asked not in known and (who := ports.holder(asked)):
        fix = advice.command(config, {"engine.port": ""}, target="deploy")
        yield Finding("problem", "port", f"engine.port={asked} is held by {who}", fix)
    for engine, port in Host().ports.items():
        if port not in known and port != asked and (who := ports.holder(port)):
            yield Finding("ok", "port", f"{port}, where {engine} usually is, is held by {who}: llmc takes a free one")


def _own_server(config: RunConfig) -> Iterator[Finding]:
    """Whether the server that ``engine.url`` names answers."""
    engine = config.engine
    if not engine.url:
        return

    async def ask() -> Health:
        offline = config.profile.offline
        client = engines.client(engine.name, str(engine.url), "", timeout_seconds=PATIENCE_SECONDS, offline=offline)
        try:
            return await client.health()
        finally:
            await client.aclose()

    try:
        health = asyncio.run(ask())
    except LlmcError as error:
        yield Finding("problem", "server", error.message, error.hint)
        return
    if not health.ok:
        yield Finding("problem", "server", health.reason, advice.command(config, {"engine.url": ""}, target="deploy"))


def diagnose(config: RunConfig, found: Probed, *, whole: bool) -> Diagnosis:
    """The verdict about any machine."""
    diagnosis = Diagnosis(machine=found if whole else None, next=advice.command(config, {}, target="deploy"))
    for finding in advice.machine(config, found) if whole else ():
        diagnosis.add(finding)
    if config.engine.name in matrix.ENGINES:
        for finding in advice.chosen(config, found) if config.export is None else ():
            diagnosis.add(finding)
        if not config.engine.url and (config.engine.name == "vllm" or config.model.files):
            diagnosis.fit, finding = advice.memory(config, found)
            diagnosis.add(finding)
        for finding in (*_weights(config), *_gated(config, found)):
            diagnosis.add(finding)
    for finding in advice.environment(config, found):
        diagnosis.add(finding)
    if not config.model.instruct:
        text = f"{config.model.name} is a base model: it does not follow instructions"
        diagnosis.add(Finding("warning", "model", text, advice.mending(config, "model=smollm")))
    return diagnosis


def _quick(config: RunConfig) -> bool:
    """Whether no program needs to be asked: nothing but the processor and this Python is used."""
    served = config.engine.name in ("llama_server", "ollama", "vllm") and not config.engine.url
    return not served and config.backend.name == "cpu"


def _whole(config: RunConfig) -> bool:
    return str(config.target._target_).endswith(".doctor")


@contextmanager
def one_look() -> Iterator[None]:
    """While it is open a probe stands however long ago it was: for many configurations that are asked about at once."""
    _looking_once.append(True)
    try:
        yield
    finally:
        _looking_once.pop()


def probed(config: RunConfig, *, tools: bool) -> Probed:
    """This machine, as it was at most a few seconds ago."""
    now, binary = time.monotonic(), config.engine.binary or ""
    asked = os.environ.get("OLLAMA_ENDPOINT", "") or os.environ.get("OLLAMA_HOST", "")
    key = (tools, config.engine.name if binary else "", binary, asked)
    taken, found = _probes.get(key, (-PROBE_SECONDS, Probed()))
    if now - taken >= PROBE_SECONDS and not (_looking_once and key in _probes):
        own = {config.engine.name: binary} if binary else {}
        host = Host(binaries=own) if _whole(config) else Host(binaries=own, timeout_seconds=PATIENCE_SECONDS)
        found = probe(host, tools=tools)
        _probes[key] = time.monotonic(), found
    return found


def _weights(config: RunConfig) -> Iterator[Finding]:
    """Whether the weights are here, else what there is to download and whether the disk has room for it."""
    if not config.engine.needs_file or config.engine.url:
        return
    wanted = weights(config)
    if sources.here(wanted):
        yield Finding("ok", "weights", f"{wanted.path}")
        return
    if wanted.file.path:
        if wanted.path.is_file():
            yield Finding("ok", "weights", f"{wanted.path}, a file of your own")
        else:
            published = advice.command(config, {"model.path": ""}, target="deploy" if _whole(config) else "")
            yield Finding("problem", "weights", f"{wanted.path} is not there", published)
        return
    folder = state.cache("models")
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    part = wanted.path.with_name(wanted.path.name + ".part")
    begun = part.stat().st_blocks * 512 if part.is_file() else 0  # its segments have holes between them
    needed = max(0, (2 * wanted.file.bytes if wanted.file.packages else wanted.file.bytes) - begun)
    text = f"{units.size(wanted.file.bytes)} to download to {folder}, {units.size(free)} free there"
    if free > needed:
        yield Finding("ok", "disk", text)
    else:
        yield Finding("problem", "disk", text, "LLMC_HOME=/a/larger/disk " + advice.command(config, {}, target="pull"))


def _gated(config: RunConfig, found: Probed) -> Iterator[Finding]:
    """Whether vLLM would be refused the weights that it fetches."""
    repository = config.model.vllm.get(config.quant.name if config.quant.name != "auto" else next(iter(config.model.vllm), ""))
    if (
        config.engine.name == "vllm"
        and repository in config.model.vllm_gated
        and not ("HF_TOKEN" in found.environ or hub.token())
    ):
        text = f"{repository} wants its licence accepted at https://huggingface.co/{repository}, and the token of that account"
        yield Finding("warning", "weights", text, "export HF_TOKEN=hf_…")


def resolve(config: RunConfig) -> RunConfig:
    """What the configuration leaves to ``auto``, chosen for this machine; a cloud does not run on it."""
    if config.engine.cloud:
        return config
    found = probed(config, tools=False)
    searching = "auto" in (config.engine.name, config.backend.name)
    if not choose.needs_no_search(config, found) and (searching or not _quick(config)):
        found = probed(config, tools=True)
    return choose.resolve(config, found)[0]


def check(config: RunConfig) -> None:
    """UsageError for what cannot work whatever is installed; the kernel's files say which GPU that is about."""
    profile = config.profile
    if profile.concurrency < 1 or profile.slot_context_tokens < 512:
        raise UsageError(
            f"profile.concurrency={profile.concurrency} profile.slot_context_tokens={profile.slot_context_tokens}: "
            "at least 1 and 512 are needed"
        )
    if urlsplit(config.engine.url or "").username:
        raise UsageError(
            "engine.url has a name or a password in it, which would be shown and kept on record",
            hint="engine.key_env=VARIABLE names the variable that holds its key",
        )
    if refused := advice.refusal(config, probed(config, tools=False)):
        message, hint = refused
        raise UsageError(message, hint=hint)
