"""How busy a GPU is while something runs: what AMD's kernel driver and NVIDIA's library tell, sampled once a second."""

import importlib
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SAMPLE_SECONDS = 1.0
SYSFS = Path("/sys/class/drm")


def readers(sysfs: Path = SYSFS, library: Any = None) -> list[Callable[[], float]]:  # noqa: ANN401 - the module pynvml
    """One for each GPU that tells: its busy share, 0 to 1."""
    found = [partial(_percent, file) for file in sorted(sysfs.glob("card*/device/gpu_busy_percent"))]
    with suppress(Exception):  # not installed, no driver, no board: in its own hundred error classes
        nvml = library or importlib.import_module("pynvml")
        nvml.nvmlInit()
        found += [partial(_nvidia, nvml, nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(nvml.nvmlDeviceGetCount())]
    return list(found)


def _percent(file: Path) -> float:
    return int(file.read_text()) / 100


def _nvidia(nvml: Any, handle: Any) -> float:  # noqa: ANN401
    return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100


class Gpu:
    """Samples while it is entered; may be entered again. ``shares`` is of the busiest GPU at each moment."""

    def __init__(self, sources: list[Callable[[], float]] | None = None, every_seconds: float = SAMPLE_SECONDS) -> None:
        self.shares: list[float] = []
        self._sources = readers() if sources is None else sources
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def why_not(self, backend: str) -> str:
        """Why there are no shares."""
        if backend == "cpu":
            return "no GPU, the model computed on the processor"
        return f"no GPU here tells how busy it is (backend={backend})"

    def __enter__(self) -> Self:
        if self._sources:
            self._stop.clear()
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._thread:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def _sample(self) -> None:
        while not self._stop.wait(self._every_seconds):
            told = []
            for source in self._sources:
                with suppress(Exception):  # a board that went gives no reading
                    told.append(source())
            if told:
                self.shares.append(max(told))
