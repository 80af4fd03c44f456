"""What a doctor says about a probed machine: findings with a level, each with the command that mends it.

The level is that of the configuration that was asked for: a GPU that cannot be used is a problem for the backend that needs it,
a warning when one has it and does not use it, and nothing to a configuration that computes on the processor.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from llmc import schema, units
from llmc.machine import choose, matrix, opencl
from llmc.machine.fit import Fit
from llmc.machine.found import Gpu, Probed
from llmc.machine.servers import ollama_address
from llmc.schema import RunConfig

SEEN_SHARE = 0.9  # Vulkan's heap is a little less than the card's memory; much less is a matter of the firmware
OVERRIDES = re.compile(r"[\w.+]+=\S+( [\w.+]+=\S+)*")
ORDER = ("input", "output", "archive", "model", "engine", "backend", "quant", "profile")


@dataclass(frozen=True, slots=True)
class Finding:
    """``level`` is ok, warning or problem; ``fix`` the command that mends it."""

    level: str
    subject: str
    text: str
    fix: str = ""


def command(config: RunConfig, changes: Mapping[str, str], *, target: str = "") -> str:
    """The command that this configuration came from, with some settings changed (``""``: left out): to be copied as it is."""
    from shlex import quote

    name = target or str(config.target._target_).rpartition(".")[2]
    said: dict[str, str] = {}
    for key in ("input", "output", "archive"):
        if value := getattr(config, key):
            said[key] = value
    defaults = {k: v for each in schema.data("config")["defaults"] if isinstance(each, dict) for k, v in each.items()}
    for group in ("model", "engine", "backend", "quant", "profile"):
        option = schema.option_name(group, getattr(config, group).name)
        if option and option != defaults.get(group) and not getattr(getattr(config, group), "why", ""):
            said[group] = option
    if profile := schema.option_name("profile", config.profile.name):
        usual = schema.option("profile", profile)
        for key in ("concurrency", "slot_context_tokens"):
            if (value := getattr(config.profile, key)) != getattr(usual, key):
                said[f"profile.{key}"] = str(value)
    said |= _own_settings(config)
    if config.allow_cpu:
        said["allow_cpu"] = "true"
    said = {key: value for key, value in (said | dict(changes)).items() if value and value != defaults.get(key)}
    ordered = sorted(said, key=lambda key: (*ORDER, key).index(key))
    return " ".join(["llmc", name, *(f"{key}={quote(said[key])}" for key in ordered)])


def _own_settings(config: RunConfig) -> dict[str, str]:
    """What was set beside the engine's and the model's own files."""
    said = {f"model.{key}": str(value) for key in ("path", "url", "sha256") if (value := getattr(config.model, key))}
    if (name := schema.option_name("engine", config.engine.name)) is None:
        return said
    usual = schema.option("engine", name)
    for key in ("url", "binary", "port", "threads", "gpu_memory_fraction", "kv_cache_type", "flash_attention", "cpu_kv_gib"):
        if (value := getattr(config.engine, key)) != getattr(usual, key):
            said[f"engine.{key}"] = str(value)
    return said


def mending(config: RunConfig, fix: str) -> str:
    """A fix as a command: settings become a whole llmc command, what is one already stays."""
    if not OVERRIDES.fullmatch(fix):
        return fix
    target = str(config.target._target_).rpartition(".")[2]
    changes = dict(word.split("=", 1) for word in fix.split(" "))
    return command(config, changes, target="deploy" if target in ("doctor", "") else "")


def refusal(config: RunConfig, found: Probed) -> tuple[str, str] | None:
    """Why a combination cannot work whatever is installed, and the nearest one that can; None when it can."""
    engine, backend, quant = config.engine.name, config.backend.name, config.quant.name
    if engine not in matrix.ENGINES or backend not in matrix.BACKENDS:
        return None
    gpu = choose.gpu_for(found, backend) or (found.gpu if backend != "cpu" else None)
    where = config.model, gpu, found.rocm.kernels
    model = config.model
    asked = quant if quant in matrix.QUANTS or quant == "auto" else "auto"
    cell = matrix.cell(engine, backend, asked, *where)
    if cell.works or (not matrix.offers(engine, model) and engine not in ("ollama", "vllm")):
        return None
    about = (
        f" with this GPU, {gpu.label}"
        if gpu and not matrix.backend_cell(engine, backend, gpu, found.rocm.kernels).works
        else ""
    )
    message = f"engine={engine} backend={backend} quant={quant} cannot serve {model.name}{about}: {cell.reason}"
    near = matrix.nearest(engine, backend, asked, *where)
    changes = {k: v for k, v in zip(("engine", "backend", "quant"), near or (), strict=False) if v != getattr(config, k).name}
    return message, command(config, changes) if near else "model=smollm"


def machine(config: RunConfig, found: Probed) -> Iterator[Finding]:
    """The whole machine, for whoever asks."""
    cores = f"{found.cores} core{'s' * (found.cores != 1)}"
    yield Finding("ok", "processor", f"{found.processor}, {cores} for this process")
    free = f"{units.memory(found.available_bytes)} of {units.memory(found.memory_bytes)} free"
    yield Finding("ok", "memory", free)
    for gpu in found.gpus:
        yield from _gpu(config, found, gpu)
    if not found.gpus:
        yield Finding("ok", "GPU", "none found: the processor does the work")
    yield from _backends(config, found)
    for engine in matrix.ENGINES:
        if program := found.programs.get(engine):
            where = f" ({program.path})" if "/" in program.path else ""
            yield Finding("ok", "engine", f"{engine} {program.version or 'of unknown version'}{where}")
    for server in found.servers:
        user = f", user {server.user}" if server.user else ""
        owner = f"{user}, started by llmc as {server.record}" if server.record else f"{user}, not started by llmc"
        serves = f": {', '.join(server.models[:4])}" if server.models else ""
        yield Finding("ok", "server", f"{server.engine} {server.version} runs at {server.url}{owner}{serves}")
    for name in found.silent:
        yield Finding("warning", "tool", f"{name} did not answer in time; the kernel's own files were read instead")


def _gpu(config: RunConfig, found: Probed, gpu: Gpu) -> Iterator[Finding]:
    free = f", {units.memory(gpu.free_bytes)} free" if gpu.free_bytes is not None else ""
    shared = ", shared with the processor" if gpu.integrated else ""
    memory = f", {units.memory(gpu.memory_bytes)}{free}{shared}" if gpu.memory_bytes else ", memory not known"
    text = gpu.label + memory
    seen = choose.vulkan_bytes(found, gpu)
    if seen and gpu.memory_bytes and not gpu.integrated and seen < SEEN_SHARE * gpu.memory_bytes:
        stock = matrix.gfx_facts(gpu.gfx).get("stock_vulkan_bytes", 0)
        why = " (its stock vBIOS)" if stock and seen <= stock else ""
        level = "warning" if config.backend.name == "vulkan" else "ok"
        yield Finding(level, "GPU", f"{text}; Vulkan sees {units.memory(seen)} of it{why}")
    else:
        yield Finding("ok", "GPU", text)


def _backends(config: RunConfig, found: Probed) -> Iterator[Finding]:
    """What each backend would find here; problems of the chosen one are told apart, by :func:`chosen`."""
    amd = [gpu for gpu in found.gpus if gpu.vendor == "amd"]
    if amd or found.rocm.version:
        yield from _rocm(config, found, amd)
    if found.vulkan:
        real = [device for device in found.vulkan if device.kind != "software"]
        soft = [device for device in found.vulkan if device.kind == "software"]
        for device in real:
            yield Finding("ok", "Vulkan", f"{device.name}, {units.memory(device.memory_bytes)}, {device.driver}")
        if soft and not real:
            text = f"software only: {', '.join(d.name for d in soft)} is the processor, and is left out"
            mine = [each for each in found.closed if not each.service]
            fix = choose.opening(mine[0]) if mine else "sudo apt install mesa-vulkan-drivers" if amd else ""
            yield Finding("warning" if found.gpus else "ok", "Vulkan", text, fix)
    elif found.gpus:
        text = "no device" if found.vulkan is not None else "not known: vulkaninfo is not installed"
        fix = "sudo apt install " + ("mesa-vulkan-drivers" if found.vulkan is not None else "vulkan-tools")
        yield Finding("warning", "Vulkan", text, fix)
    for opened in found.opencl or ():
        if opened.kind != "gpu":
            yield Finding("ok", "OpenCL", f"no usable GPU: {opened.name} is the processor")
        elif not opencl.usable(opened):
            yield Finding("ok", "OpenCL", f"{opened.name} is there, but llama.cpp takes only Adreno and Intel")
        else:
            yield Finding("ok", "OpenCL", f"{opened.name}, {units.memory(opened.memory_bytes)}")
    if any(gpu.vendor == "nvidia" for gpu in found.gpus):
        if found.cuda_driver:
            yield Finding("ok", "CUDA", f"driver {found.cuda_driver}")
        else:
            yield Finding("warning", "CUDA", "the NVIDIA driver does not answer (after an update: reboot)", "nvidia-smi")


def _rocm(config: RunConfig, found: Probed, gpus: list[Gpu]) -> Iterator[Finding]:
    version = found.rocm.version
    driver = f"driver {found.rocm.driver}" if found.rocm.driver else "the kernel's own driver"
    if not found.rocm.loaded:
        yield Finding("warning", "ROCm", "the driver has no /dev/kfd: ROCm sees no GPU", "sudo modprobe amdgpu")
        return
    for gpu in gpus:
        said = matrix.gfx_facts(gpu.gfx)
        last = said.get("last_rocm", "")
        without = gpu.gfx not in found.rocm.kernels if found.rocm.kernels else bool(last) and _newer(version, last)
        if version and gpu.gfx and without:
            text = f"{version} has no kernels for {gpu.gfx}" + (
                f" (last: {last}); Vulkan is the way for this card" if last else ""
            )
            change = (
                "backend=vulkan" if config.engine.name in ("llama_server", "ollama") else "engine=llama_server backend=vulkan"
            )
            yield Finding("warning", "ROCm", text, mending(config, change) if config.backend.name == "rocm" else "")
            return
    text = f"{version or 'no libraries of its own installed'}, {driver}"
    yield Finding("ok", "ROCm", text)


def _newer(version: str, last: str) -> bool:
    return [int(n) for n in version.split(".")[:2] if n.isdigit()] > [int(n) for n in last.split(".")]


def chosen(config: RunConfig, found: Probed) -> Iterator[Finding]:
    """Whether the engine can compute on the backend, here and now."""
    engine, backend = config.engine.name, config.backend.name
    if config.engine.url:
        yield Finding("ok", "choice", f"{engine} at {config.engine.url}: a server of your own, used as it is")
        return
    ability = choose.able(found, engine, backend)
    program = found.programs.get(engine)
    if ability.able:
        version = f" {program.version}" if program and program.version else ""
        gpu = choose.gpu_for(found, backend)
        where = f"{backend} ({gpu.label})" if gpu else backend
        why = config.engine.why or config.backend.why
        yield Finding("ok", "choice", f"{engine}{version} on {where}" + (f"; auto: {why}" if why else ""))
        if ability.reason:
            fix = ability.fix or ("backend=cpu" if gpu is None else "")
            yield Finding("warning", backend, ability.reason, mending(config, fix) if fix else "")
        if backend == "cpu" and config.backend.why and (idle := found.gpu) and not choose.is_small(config):
            text = f"{idle.label} is idle: no engine here can use it"
            yield Finding("warning", "choice", text, choose.install(found, "llama_server", "vulkan"))
        note = matrix.cell(engine, backend, _quant(config), config.model, gpu, found.rocm.kernels)
        if note.works and note.reason:
            yield Finding("warning", "choice", note.reason)
    else:
        others = [b for b in choose.alternatives(found, engine) if b != backend]
        fix = ability.fix or (f"backend={others[0]}" if others else "engine=auto backend=auto")
        subject = (
            "permission" if "cannot open" in ability.reason else "engine" if "not installed" in ability.reason else backend
        )
        subject = "environment" if "hides every GPU" in ability.reason else subject
        subject = "server" if ability.reason.startswith("no Ollama server") else subject
        # A program that was named may know more than is seen here; where its model really is, deploy proves after the start.
        level = "warning" if config.allow_cpu or config.engine.binary else "problem"
        yield Finding(level, subject, ability.reason, mending(config, fix))


def _quant(config: RunConfig) -> str:
    return config.quant.name if config.quant.name in matrix.QUANTS else "auto"


def environment(config: RunConfig, found: Probed) -> Iterator[Finding]:
    """Variables that people have set: which take effect, and which cannot."""
    said = found.environ
    engine = config.engine.name
    for name in ("OLLAMA_ENDPOINT", "OLLAMA_HOST"):
        if not (host := said.get(name)):
            continue
        if name == "OLLAMA_HOST" and said.get("OLLAMA_ENDPOINT"):
            yield Finding("ok", "environment", f"OLLAMA_HOST={host} has no effect beside OLLAMA_ENDPOINT")
        elif ollama_address(said) is None and config.profile.offline:
            text = f"{name}={host} is another machine, to which profile=local opens no connection"
            yield Finding("problem" if engine == "ollama" else "warning", "environment", text, f"unset {name}")
        else:
            itself = " (Ollama itself does not read it)" if name == "OLLAMA_ENDPOINT" else ""
            yield Finding("ok", "environment", f"{name}={host}: engine=ollama asks there{itself}")
    if "MODEL_PREFER_LOCAL" in said:
        text = "MODEL_PREFER_LOCAL has no effect: profile=local, hybrid or cloud says what is preferred"
        yield Finding("warning", "environment", text, "unset MODEL_PREFER_LOCAL")
    if "HF_TOKEN" in said:
        yield Finding("ok", "environment", "HF_TOKEN is set (not shown): for gated repositories of Hugging Face")
    if home := said.get("HF_HOME"):
        text = f"HF_HOME={home}: a token there is used, and vLLM keeps its weights there; GGUF files are in LLMC_HOME"
        yield Finding("ok", "environment", text)
    yield from _visibility(config, found)
    if value := said.get("HSA_OVERRIDE_GFX_VERSION"):
        for gpu in found.gpus:
            if matrix.gfx_facts(gpu.gfx).get("override") is False:
                text = f"HSA_OVERRIDE_GFX_VERSION={value} cannot help {gpu.gfx}: other cards' code uses instructions it lacks"
                yield Finding("warning", "environment", text, "unset HSA_OVERRIDE_GFX_VERSION")


def _visibility(config: RunConfig, found: Probed) -> Iterator[Finding]:
    """Variables that hide GPUs from a process: ours reach what llmc starts, never a server that runs already."""
    running = next((server for server in found.servers if server.engine == "ollama"), None)
    for name in sorted({each for names in choose.HIDES.values() for each in names} & found.environ.keys()):
        value = found.environ[name]
        if config.engine.name == "ollama" and (running or found.ollama_user):
            owner = "systemd" if running is None or running.by_systemd else "somebody else"
            text = f"{name}={value} cannot take effect: the Ollama server is started by {owner}, with an environment of its own"
            yield Finding(
                "warning", "environment", text, choose.DROP_IN.format(name=name, value=value) if owner == "systemd" else ""
            )
        elif not choose.hides(name, value, config.backend.name):  # else it is told as why the engine cannot
            yield Finding("ok", "environment", f"{name}={value} is passed on to servers that llmc starts")


def memory(config: RunConfig, found: Probed) -> tuple[Fit, Finding]:
    """Whether the model fits, in numbers that say how they are known; if not, what would make it fit."""
    offered = matrix.offers(config.engine.name, config.model)
    quant = config.quant.name if config.quant.name != "auto" else next(iter(offered), "auto")
    made = choose.fitted(config, found, config.engine.name, config.backend.name, quant)
    if not choose.room(found, config.backend.name).total_bytes:
        needed = units.memory(made.needed_bytes)
        return made, Finding("warning", "fit", f"it needs {needed} (modelled); how much {made.memory} has is not known")
    how = "exact, exact" if made.weights_exact else "modelled, exact"
    text = (
        f"weights {units.memory(made.weights_bytes)} + KV {units.memory(made.kv_bytes)} + compute "
        f"{units.memory(made.compute_bytes)} + reserve {units.memory(made.reserve_bytes)} = {units.memory(made.needed_bytes)} "
        f"of {units.memory(made.free_bytes)} free in {made.memory} ({how}, modelled, modelled)"
    )
    if made.fits:
        return made, Finding("ok", "fit", text)
    steps = choose.smaller(config, found)
    fix = " ".join(f"{key}={value}" for key, value in steps[0].items()) if steps else "model=smollm quant=auto"
    level = "problem" if made.needed_bytes - made.reserve_bytes > made.free_bytes else "warning"
    return made, Finding(level, "fit", text, mending(config, fix))
