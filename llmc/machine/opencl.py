"""OpenCL, for llama.cpp's backend, which takes Qualcomm Adreno and (built for it) Intel GPUs and drops every other device."""

import re

from llmc.machine.found import OpenClDevice
from llmc.machine.host import Ran

ASKED = ("clinfo", "--raw")  # --json came with clinfo 3
USABLE = ("qualcomm", "adreno", "intel")


def devices(answer: Ran | None) -> tuple[OpenClDevice, ...] | None:
    """From ``clinfo --raw``: lines ``[PLATFORM/N]  KEY  VALUE``; None when it did not say."""
    if answer is None or answer.code != 0:
        return None
    by_device: dict[str, dict[str, str]] = {}
    for line in answer.out.splitlines():
        if match := re.match(r"\[(\S+/\d+)\]\s+(CL_DEVICE_\w+)\s+(.+)", line):
            by_device.setdefault(match[1], {})[match[2]] = match[3].strip()
    return tuple(
        OpenClDevice(
            name=said.get("CL_DEVICE_BOARD_NAME_AMD") or said.get("CL_DEVICE_NAME", ""),
            vendor=said.get("CL_DEVICE_VENDOR", ""),
            kind=_kind(said.get("CL_DEVICE_TYPE", "")),
            memory_bytes=int(said.get("CL_DEVICE_GLOBAL_MEM_SIZE", "0").split()[0]),
        )
        for said in by_device.values()
    )


def _kind(kind: str) -> str:
    return "gpu" if "GPU" in kind else "cpu" if "CPU" in kind else "other"


def usable(device: OpenClDevice) -> bool:
    """Whether llama.cpp would take it."""
    return device.kind == "gpu" and any(word in f"{device.vendor} {device.name}".lower() for word in USABLE)
