"""The processor and the machine's memory: always there, for every engine."""

import os
import platform
import re

import psutil

from llmc.machine.host import Host


def name(host: Host) -> str:
    """The processor as its maker calls it."""
    said = re.search(r"^model name\s*: (.+)$", host.read("/proc/cpuinfo"), re.M)
    return said[1].strip() if said else platform.processor() or platform.machine()


def flags(host: Host) -> frozenset[str]:
    """Instruction set extensions, as Linux names them; empty where it does not say."""
    said = re.search(r"^flags\s*: (.+)$", host.read("/proc/cpuinfo"), re.M)
    return frozenset(said[1].split()) if said else frozenset()


def cores(host: Host) -> int:
    """Cores that this process may use."""
    if host.root.samefile("/"):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return len(re.findall(r"^processor\s*:", host.read("/proc/cpuinfo"), re.M)) or 1


def memory(host: Host) -> tuple[int, int]:
    """Bytes of main memory: all of it, and what programs could have now without swapping."""
    said = {key: int(kib) << 10 for key, kib in re.findall(r"^(\w+):\s+(\d+) kB$", host.read("/proc/meminfo"), re.M)}
    if "MemAvailable" in said:
        return said["MemTotal"], said["MemAvailable"]
    found = psutil.virtual_memory()
    return found.total, found.available
