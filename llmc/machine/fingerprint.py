"""What a measurement was made on: figures of two machines are never compared as if they were one."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from llmc.machine import Host, cpu


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``load`` and ``steal_percent`` are of the moment; the rest says which machine it is."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    governor: str
    """Of the first core's clock; ``""`` where the system does not say."""
    load: float
    """Average of the last minute."""
    steal_percent: float
    """Processor time since boot that the host gave to other guests."""

    @property
    def machine(self) -> str:
        """The same text for the same machine with the same Python."""
        return f"{self.cpu} x {self.cores}, {self.memory_bytes // 2**30} GiB, {self.system}, Python {self.python}"


def fingerprint() -> Fingerprint:
    times = psutil.cpu_times()
    total = sum(times)
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return Fingerprint(
        cpu.name(Host()),
        len(os.sched_getaffinity(0)),
        psutil.virtual_memory().total,
        f"{platform.system()} {platform.machine()}",
        platform.python_version(),
        governor.read_text().strip() if governor.exists() else "",
        round(os.getloadavg()[0], 2),
        round(100 * getattr(times, "steal", 0.0) / total, 2) if total else 0.0,
    )
