"""llmc doctor: whether the engine, the backend and the model that a configuration names can work on this machine."""

import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass, field

from llmc import machine, state, units
from llmc.errors import EngineUnavailable, UsageError
from llmc.model import sources, weights
from llmc.schema import RunConfig


@dataclass(frozen=True, slots=True)
class Finding:
    """``level`` is ok, warning or problem; ``fix`` the command that mends it."""

    level: str
    subject: str
    text: str
    fix: str = ""


@dataclass(slots=True)
class Diagnosis:
    findings: list[Finding] = field(default_factory=list)
    exit_code: int = 0

    def add(self, level: str, subject: str, text: str, fix: str = "") -> None:
        self.findings.append(Finding(level, subject, text, fix))
        if level == "problem":
            self.exit_code = 1

    def require(self) -> None:
        """EngineUnavailable with the first problem, if there is one."""
        for finding in self.findings:
            if finding.level == "problem":
                raise EngineUnavailable(f"{finding.subject}: {finding.text}", hint=finding.fix)


def doctor(config: RunConfig) -> Diagnosis:
    """Probes only what the configuration uses; changes nothing."""
    diagnosis = Diagnosis()
    found = machine.probe(tools=False)
    diagnosis.add("ok", "processor", f"{found.processor}, {found.cores} cores for this process")
    flags = found.flags
    if flags and "avx2" not in flags:
        diagnosis.add(
            "problem", "processor", "it has no AVX2, which the embedded engine is built for", "llmc compress view=extract …"
        )
    package = config.engine.package
    if package and importlib.util.find_spec(package) is None:
        diagnosis.add(
            "problem", "engine", f"{config.engine.name} needs the package {package}", "pip install 'llmc-cli[embedded]'"
        )
    elif package:
        diagnosis.add("ok", "engine", f"{config.engine.name} ({package} {importlib.metadata.version(package)})")
    if not config.engine.needs_file:
        return diagnosis
    wanted = weights(config)
    memory = machine.fit(
        config.model,
        (wanted.file.bytes, True),
        slots=config.profile.concurrency,
        slot_context_tokens=config.profile.slot_context_tokens,
        free_bytes=found.available_bytes,
    )
    text = (
        f"{wanted.name}: weights {units.size(memory.weights_bytes)} + KV {units.size(memory.kv_bytes)} + compute "
        f"{units.size(memory.compute_bytes + memory.reserve_bytes)} (modelled) = {units.size(memory.needed_bytes)} "
        f"of {units.size(memory.free_bytes)} free"
    )
    if memory.fits:
        diagnosis.add("ok", "memory", text)
    else:
        smaller = "profile.slot_context_tokens=2048 profile.concurrency=1" if config.profile.concurrency > 1 else "model=smollm"
        diagnosis.add("problem", "memory", text, f"llmc deploy {smaller}")
    if not config.model.instruct:
        diagnosis.add(
            "warning", "model", f"{config.model.name} is a base model: it does not follow instructions", "model=smollm"
        )
    if sources.here(wanted):
        diagnosis.add("ok", "weights", f"{wanted.path}")
    else:
        folder = state.cache("models")
        free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
        needed = 2 * wanted.file.bytes if wanted.file.packages else wanted.file.bytes
        level, fix = ("ok", "") if free > needed else ("problem", "LLMC_HOME=/a/larger/disk llmc pull")
        text = f"{units.size(wanted.file.bytes)} to download to {folder}, {units.size(free)} free there"
        diagnosis.add(level, "weights", text, fix)
    return diagnosis


def check(config: RunConfig) -> None:
    """UsageError for what cannot work whatever the machine is."""
    engine, backend, profile = config.engine.name, config.backend.name, config.profile
    if backend not in config.engine.backends:
        able = " ".join(f"backend={b}" for b in config.engine.backends)
        raise UsageError(f"engine={engine} does not compute on {backend}", hint=f"it takes {able}")
    if profile.concurrency < 1 or profile.slot_context_tokens < 512:
        raise UsageError(
            f"profile.concurrency={profile.concurrency} profile.slot_context_tokens={profile.slot_context_tokens}: "
            "at least 1 and 512 are needed"
        )
