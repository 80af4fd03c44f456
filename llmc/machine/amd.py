"""AMD GPUs and ROCm. The kernel's own files say most and need neither root nor ROCm; the tools only add names.

/sys/class/kfd/kfd/topology/nodes/N/properties   gfx_target_version 90006 is gfx906: decimal major, hex minor and step
/sys/class/drm/renderDN/device/mem_info_*        memory, total and used now
/opt/rocm/lib/rocblas/library/*gfx906*           whether the installed ROCm has kernels for the card
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmc.machine.found import Gpu, Rocm
from llmc.machine.host import Host, Ran

VENDOR = "0x1002"
HEAPS_OF_VRAM = (1, 2)  # HSA_HEAPTYPE_FRAME_BUFFER_PUBLIC, _PRIVATE
INTEGRATED = frozenset(
    f"gfx{n}" for n in ["902", "909", "90c", "1013", "1033", "1035", "1036", "1037", "1103", "1150", "1151", "1152", "1153"]
)  # llvm.org/docs/AMDGPUUsage.html, architecture "APU"
UMA_BYTES = 3 << 30  # an APU's carved-out share is 64 MiB to 2 GiB by default; no discrete card with KFD has less than 4 GiB


def gfx_name(version: int) -> str:
    """``gfx_target_version`` as AMD's compilers write it.

    >>> gfx_name(90006), gfx_name(90010), gfx_name(110000)
    ('gfx906', 'gfx90a', 'gfx1100')
    """
    major, minor, step = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{step:x}"


def gpus(host: Host) -> list[Gpu]:
    """From sysfs alone: the KFD topology where ROCm's driver runs, and every AMD render node."""
    by_node: dict[str, Gpu] = {}
    for file in host.glob("/sys/class/kfd/kfd/topology/nodes/*/properties"):
        said = _properties(host.read(file))
        if not said.get("gfx_target_version"):
            continue  # the processor's own node
        node = f"/dev/dri/renderD{said.get('drm_render_minor', 0)}"
        banks = (_properties(host.read(bank)) for bank in file.parent.glob("mem_banks/*/properties"))
        memory = sum(bank.get("size_in_bytes", 0) for bank in banks if bank.get("heap_type") in HEAPS_OF_VRAM)
        pci = f"{said.get('vendor_id', 0x1002):04x}:{said.get('device_id', 0):04x}"
        gfx = gfx_name(said["gfx_target_version"])
        by_node[node] = Gpu(
            "amd",
            gfx=gfx,
            integrated=gfx in INTEGRATED or said.get("cpu_cores_count", 0) > 0,
            memory_bytes=memory,
            pci_id=pci,
            render_node=node,
            sources=("kfd",),
        )
    for device in _drm_devices(host):
        node = f"/dev/dri/{device.parent.name}"
        total, used = (host.number(device / f"mem_info_vram_{what}") for what in ("total", "used"))
        seen = by_node.get(node) or Gpu(
            "amd", pci_id=f"1002:{host.read(device / 'device').removeprefix('0x')}", render_node=node
        )
        memory = total or seen.memory_bytes
        by_node[node] = replace(
            seen,
            name=host.read(device / "product_name"),
            integrated=seen.integrated or 0 < memory < UMA_BYTES,
            memory_bytes=memory,
            free_bytes=None if total is None or used is None else total - used,
            sources=(*seen.sources, "drm"),
        )
    return [with_shared_memory(host, gpu) for gpu in by_node.values()]


def with_shared_memory(host: Host, gpu: Gpu) -> Gpu:
    """An integrated GPU computes in GTT: memory of the machine that the driver lets it map."""
    device = host.path(f"/sys/class/drm/{Path(gpu.render_node).name}/device")
    total, used = (host.number(device / f"mem_info_gtt_{what}") for what in ("total", "used"))
    if not gpu.integrated or total is None:
        return gpu
    free = None if used is None else total - used + (gpu.free_bytes or 0)
    return replace(gpu, memory_bytes=gpu.memory_bytes + total, free_bytes=free)


def _drm_devices(host: Host) -> list[Path]:
    nodes = (node / "device" for node in host.glob("/sys/class/drm/renderD*"))
    return [device for device in nodes if host.read(device / "vendor") == VENDOR]


def _properties(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def rocm(host: Host) -> Rocm:
    """What is installed of ROCm, and the driver below it."""
    version = ""
    for file in [*host.glob("/opt/rocm/.info/version"), *reversed(host.glob("/opt/rocm-*/.info/version"))]:
        version = version or host.read(file).split("-")[0]
    libraries = ("/opt/rocm/lib/rocblas/library/*gfx*", "/opt/rocm-*/lib/rocblas/library/*gfx*")
    kernels = {m[0] for pattern in libraries for p in host.glob(pattern) for m in re.finditer(r"gfx[0-9a-f]+", p.name)}
    return Rocm(
        version=version,
        kernels=tuple(sorted(kernels)),
        driver=host.read("/sys/module/amdgpu/version"),
        loaded=host.path("/dev/kfd").exists(),
    )


def names(answers: list[Ran | None]) -> dict[str, str]:
    """Names of cards by PCI id or gfx, from whichever of :func:`asked` answered."""
    found: dict[str, str] = {}
    for answer, parse in zip(answers, (_rocm_smi, _amd_smi, _rocminfo), strict=True):
        if answer is not None and answer.code == 0:
            found = {**parse(answer.out), **found}
    return found


def named(gpus: Iterable[Gpu], names: Mapping[str, str]) -> list[Gpu]:
    """The AMD cards with the names that the tools gave them."""
    return [
        replace(gpu, name=gpu.name or names.get(gpu.pci_id) or names.get(gpu.gfx, "")) for gpu in gpus if gpu.vendor == "amd"
    ]


ASKED = (
    ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--json"),
    ("amd-smi", "static", "--asic", "--vram", "--driver", "--json"),
    ("rocminfo",),
)
"""Programs that know the cards' names, in the order in which they are believed."""


def _json(text: str) -> Any:  # noqa: ANN401 - whatever a tool says
    """The JSON in an answer; the tools print warnings before and after it."""
    for opening in re.finditer(r"[{\[]", text):
        try:
            return json.JSONDecoder().raw_decode(text[opening.start() :])[0]
        except ValueError:
            continue
    return None


def _rocm_smi(text: str) -> dict[str, str]:
    """Keys changed with 6.2: Card series to Card Series, Card model (a name, then an id) to Card Model; GFX Version came."""
    found = {}
    cards = _json(text)
    for card in cards.values() if isinstance(cards, dict) else ():
        said = {str(key).lower(): str(value) for key, value in card.items()} if isinstance(card, dict) else {}
        name = said.get("card series") or said.get("card model", "")
        for key in (said.get("gfx version"), f"1002:{said.get('card model', '').removeprefix('0x')}"):
            if key and name and not name.startswith("0x"):
                found[key] = _marketing(name)
    return found


def _amd_smi(text: str) -> dict[str, str]:
    """A list of GPUs; since 7.0 an object that holds it as ``gpu_data``."""
    said = _json(text)
    found = {}
    for gpu in (said.get("gpu_data", []) if isinstance(said, dict) else said) or ():
        asic = gpu.get("asic", {})
        name = str(asic.get("market_name", ""))
        for key in (asic.get("target_graphics_version"), f"1002:{str(asic.get('device_id', '')).removeprefix('0x').lower()}"):
            if key and name and name != "N/A":
                found[str(key)] = _marketing(name)
    return found


def _rocminfo(text: str) -> dict[str, str]:
    found = {}
    for agent in re.split(r"^\*+\s*\nAgent \d+", text, flags=re.M)[1:]:
        gfx = re.search(r"^ {2}Name:\s+(gfx\w+)", agent, re.M)
        name = re.search(r"^ {2}Marketing Name:[ \t]+(\S.*)$", agent, re.M)
        if gfx and name:
            found[gfx[1]] = _marketing(name[1])
    return found


def _marketing(name: str) -> str:
    """``Navi 21 [Radeon RX 6800/6800 XT]`` is known to its owner by what stands in brackets."""
    inner = re.search(r"\[(.+)\]", name)
    return (inner[1] if inner else name).strip()
