"""Electricity: read from sensors where there are some, computed from configured watts where those are given, else unknown.

Every value says how it was come by (``measured_counter``, ``measured_power_integral``, ``configured_watts``, ``none``) and what
it covers: a processor's package or a graphics board with all that runs on it, seldom the whole machine. None is never a zero.

    RAPL     /sys/class/powercap/intel-rapl:N    microjoules, wraps; Intel and AMD; often for root only
    NVML     nvidia-ml-py, if it is installed    millijoules since the driver was loaded (Volta and newer), else power
    amdsmi   amdsmi, if it is installed          power; its energy counter stands still on some boards
    hwmon    /sys/class/hwmon/hwmonN             microwatts: amdgpu boards; ACPI power meters, which see the whole machine
"""

import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from llmc import money
from llmc.errors import UsageError
from llmc.ledger.rows import Price

if TYPE_CHECKING:
    from llmc.schema import PowerConfig

JOULES_PER_KWH = 3_600_000
SAMPLE_SECONDS = 0.5  # how often power is read to be integrated
GAP_SECONDS = 5.0  # between two readings further apart nothing is known of the power
NAMES = ("rapl", "nvml", "amdsmi", "hwmon")
SYSFS = Path("/sys/class")


class Sensor(Protocol):
    """Something that tells joules or watts."""

    scope: str
    counts: bool
    """It counts joules by itself; else it tells watts, which are integrated."""

    def read(self) -> float | None:
        """Joules so far if it counts, watts now if it does not; None when it gives no reading."""
        ...


@dataclass(slots=True)
class Counter:
    """A counter that begins anew when it is full."""

    value: Callable[[], int | None]
    joules_per_unit: float
    range_units: int
    scope: str
    counts: bool = True
    _last: int | None = None
    _total_units: int = 0

    def read(self) -> float | None:
        now = self.value()
        if now is None:
            return None
        if self._last is not None:
            step = now - self._last
            # Fallen, and nothing to wrap at: it was set back (a driver was loaded anew), so what lies between is not known.
            self._total_units += step if step >= 0 else step + self.range_units if self.range_units else 0
        self._last = now
        return self._total_units * self.joules_per_unit


@dataclass(slots=True)
class Watts:
    """A sensor of power."""

    value: Callable[[], float | None]
    scope: str
    counts: bool = False

    def read(self) -> float | None:
        return self.value()


class EnergyMeter(Protocol):
    """Joules of this machine, as far as they are seen, since it was opened."""

    name: str
    method: str
    scope: str

    @property
    def coverage(self) -> float:
        """The share of the time since it was opened that the readings cover."""
        ...

    def joules(self, busy: bool, seconds: float) -> float | None:
        """Since it was last asked, ``seconds`` ago; ``busy`` says whether a model worked meanwhile. None: nothing was read."""
        ...

    def close(self) -> None: ...


class Measured:
    """What sensors say, added up."""

    def __init__(
        self, name: str, sensors: list[Sensor], clock: Callable[[], float] = time.monotonic, sampling: bool = True
    ) -> None:
        self.name = name
        self.method = "measured_counter" if all(s.counts for s in sensors) else "measured_power_integral"
        self.scope = " + ".join(dict.fromkeys(s.scope for s in sensors))
        self._sensors, self._clock = sensors, clock
        self._lock = threading.Lock()
        self._last: list[tuple[float, float] | None] = [None] * len(sensors)
        self._pending: float | None = None  # until a sensor says something, which may be 0
        self._opened = clock()
        self._missed = [0.0] * len(sensors)
        self._stop = threading.Event()
        self.sample()
        if sampling:  # counters too: one that wraps twice between two readings has lost a turn
            interval = GAP_SECONDS if all(s.counts for s in sensors) else SAMPLE_SECONDS
            threading.Thread(target=self._run, args=(interval,), name="llmc-energy", daemon=True).start()

    def _run(self, interval: float) -> None:
        while not self._stop.wait(interval):
            self.sample()

    def sample(self) -> None:
        """Read all sensors once."""
        with self._lock:
            now = self._clock()
            for i, sensor in enumerate(self._sensors):
                reading, last = sensor.read(), self._last[i]
                if reading is None:
                    continue
                if last is not None:
                    seconds = now - last[0]
                    if sensor.counts:
                        self._pending = (self._pending or 0.0) + reading - last[1]
                    elif seconds <= GAP_SECONDS:
                        self._pending = (self._pending or 0.0) + (reading + last[1]) / 2 * seconds
                    else:
                        self._missed[i] += seconds
                self._last[i] = (now, reading)

    @property
    def coverage(self) -> float:
        with self._lock:
            now = self._clock()
            whole = now - self._opened
            if whole <= 0:
                return 1.0
            silent = [whole if last is None else now - last[0] for last in self._last]
            blind = [m + (s if s > GAP_SECONDS else 0.0) for m, s in zip(self._missed, silent, strict=True)]
            return max(0.0, 1 - max(blind) / whole)

    def joules(self, busy: bool, seconds: float) -> float | None:
        self.sample()
        with self._lock:
            pending, self._pending = self._pending, None
            return pending

    def close(self) -> None:
        self._stop.set()


class Configured:
    """Configured watts times time: an estimate, and marked as one."""

    name, method, scope = "watts", "configured_watts", "as configured in power"
    coverage = 1.0

    def __init__(self, busy_watts: float | None, idle_watts: float | None) -> None:
        self._watts = {True: busy_watts, False: idle_watts}

    def joules(self, busy: bool, seconds: float) -> float | None:
        watts = self._watts[busy]
        return None if watts is None else watts * seconds

    def close(self) -> None: ...


class Blind:
    """Nothing to read and nothing configured."""

    name = method = "none"
    scope = ""
    coverage = 0.0

    def joules(self, busy: bool, seconds: float) -> float | None:
        return None

    def close(self) -> None: ...


def open_meter(config: "PowerConfig", root: Path = SYSFS) -> EnergyMeter:
    """The sensors that ``power.meters`` names and that give a reading; else configured watts; else none."""
    for name in config.meters:
        if name not in NAMES:
            raise UsageError(f"power.meters: {name!r} is none of {', '.join(NAMES)}")
    sensors: list[tuple[str, Sensor]] = []
    for name in config.meters:
        sensors += [(name, s) for s in _find(name, root) if s.read() is not None]
    if whole := [(name, s) for name, s in sensors if s.scope == "machine"]:
        sensors = whole[:1]  # it has seen what the others see
    seen: set[str] = set()
    kept = []
    for name, sensor in sensors:  # amdsmi and hwmon see the same boards: the first to see an AMD board has it
        if sensor.scope == "AMD board" and seen & {"amdsmi", "hwmon"} - {name}:
            continue
        seen.add(name)
        kept.append((name, sensor))
    if kept:
        return Measured("+".join(dict.fromkeys(name for name, _ in kept)), [s for _, s in kept])
    if config.busy_watts is not None or config.idle_watts is not None:
        return Configured(config.busy_watts, config.idle_watts)
    return Blind()


def _find(name: str, root: Path) -> list[Sensor]:
    if name == "rapl":
        return rapl(root)
    return hwmon(root) if name == "hwmon" else nvml() if name == "nvml" else amdsmi()


def rapl(root: Path = SYSFS) -> list[Sensor]:
    """Processor packages. Their parts (cores, memory) are in them; psys and the mmio twin show the same again."""
    found: list[Sensor] = []
    for zone in sorted((root / "powercap").glob("intel-rapl:*")):
        if zone.name.count(":") == 1 and (_text(zone / "name") or "").startswith("package"):
            wraps_at = _number(zone / "max_energy_range_uj") or 0
            found.append(Counter(_reader(zone / "energy_uj"), 1e-6, wraps_at, "processor package"))
    return found


def hwmon(root: Path = SYSFS) -> list[Sensor]:
    """AMD graphics boards, and power meters of the whole machine."""
    scopes = {"amdgpu": "AMD board", "power_meter": "machine", "acpi_power_meter": "machine"}
    found: list[Sensor] = []
    for folder in sorted((root / "hwmon").glob("hwmon*")):
        scope = scopes.get(_text(folder / "name") or "")
        for file in (folder / "power1_average", folder / "power1_input"):
            if scope and _number(file) is not None:
                found.append(Watts(_scaled(file, 1e-6), scope))
                break
    return found


def nvml(library: Any = None) -> list[Sensor]:  # noqa: ANN401 - the module pynvml, or what stands for it
    """NVIDIA boards, whole: all that runs on them."""
    try:
        if library is None:
            library = importlib.import_module("pynvml")
        library.nvmlInit()
        devices = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - not installed, no driver, no board: in its own hundred error classes
        return []
    found: list[Sensor] = []
    for device in devices:
        counter = Counter(_called(library.nvmlDeviceGetTotalEnergyConsumption, device), 1e-3, 0, "NVIDIA board")
        power = _called(library.nvmlDeviceGetPowerUsage, device)
        found.append(counter if counter.value() is not None else Watts(_times(power, 1e-3), "NVIDIA board"))
    return found


def amdsmi(library: Any = None) -> list[Sensor]:  # noqa: ANN401 - the module amdsmi, or what stands for it
    """AMD boards, by power: their energy counters stand still or read 0 on several (MI200's second die among them)."""
    try:
        if library is None:
            library = importlib.import_module("amdsmi")
        library.amdsmi_init()
        devices = list(library.amdsmi_get_processor_handles())
    except Exception:  # noqa: BLE001 - as for nvml
        return []

    def watts(device: Any) -> float | None:  # noqa: ANN401
        told = library.amdsmi_get_power_info(device)
        for key in ("current_socket_power", "average_socket_power"):  # MI300 has the one, MI200 and older the other
            if isinstance(told.get(key), int | float):
                return float(told[key])
        return None

    return [Watts(_called(watts, device), "AMD board") for device in devices]


def _called(function: Callable[[Any], Any], device: Any) -> Callable[[], Any]:  # noqa: ANN401
    def value() -> Any:  # noqa: ANN401
        try:
            return function(device)
        except Exception:  # noqa: BLE001 - a board that does not tell gives no reading
            return None

    return value


def _times(value: Callable[[], float | None], factor: float) -> Callable[[], float | None]:
    def scaled() -> float | None:
        found = value()
        return None if found is None else found * factor

    return scaled


def _reader(file: Path) -> Callable[[], int | None]:
    return lambda: _number(file)


def _scaled(file: Path, factor: float) -> Callable[[], float | None]:
    return _times(_reader(file), factor)


def _text(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


@dataclass(slots=True)
class Share:
    """Of a stretch of time, or of a call."""

    seconds: float = 0.0
    joules: float = 0.0
    seen: bool = False
    """Something was read in it."""
    unseen: bool = False
    """In a part of it nothing was."""

    def add(self, seconds: float, joules: float | None, parts: int = 1) -> None:
        """One of equal parts of what the meter saw, None where it saw nothing."""
        self.seconds += seconds
        self.joules += (joules or 0.0) / parts
        self.seen |= joules is not None
        self.unseen |= joules is None

    @property
    def known(self) -> float | None:
        """Its joules; None when the meter saw nothing of it."""
        return None if self.unseen and not self.seen else self.joules


class Divided:
    """Divides what the meter reads: equally over the calls under way at each moment, or to nobody when none is."""

    def __init__(self, meter: EnergyMeter, clock: Callable[[], float] = time.monotonic) -> None:
        self._meter, self._clock, self._last = meter, clock, clock()
        self._calls: dict[str, Share] = {}
        self._busy, self._idle = Share(), Share()

    def begin(self, call: str) -> None:
        self._advance()
        self._calls[call] = Share()

    def end(self, call: str) -> float | None:
        """The call's joules; None when nothing is measured or estimated."""
        self._advance()
        share = self._calls.pop(call, None)
        return share.known if share else None

    def take(self) -> tuple[Share, Share]:
        """Busy and idle since the last time this was asked."""
        self._advance()
        busy, idle = self._busy, self._idle
        self._busy, self._idle = Share(), Share()
        return busy, idle

    def _advance(self) -> None:
        now = self._clock()
        seconds = now - self._last
        joules = self._meter.joules(bool(self._calls), seconds)
        (self._busy if self._calls else self._idle).add(seconds, joules)
        for share in self._calls.values():
            share.add(seconds, joules, len(self._calls))
        self._last = now


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a joule costs: dollars per kWh, times what a data centre adds to it (PUE)."""

    pico_per_joule: Decimal | None
    source: Price
    """For what has a price."""
    why_unknown: str

    @classmethod
    def of(cls, config: "PowerConfig") -> Self:
        if config.tariff_usd_per_kwh is None:
            return cls(None, Price("unknown", ""), "no tariff: power.tariff_usd_per_kwh is not set")
        try:
            tariff, pue = money.pico(config.tariff_usd_per_kwh), Decimal(config.pue)
            if tariff < 0 or not pue >= 1:
                raise ValueError("below what is possible")
        except (ValueError, ArithmeticError) as error:
            raise UsageError(
                f"power.tariff_usd_per_kwh={config.tariff_usd_per_kwh} and power.pue={config.pue}: {error}",
                hint="power.tariff_usd_per_kwh=0.30 power.pue=1",
            ) from error
        rates = f'{{"usd_per_kwh": "{config.tariff_usd_per_kwh}", "pue": "{config.pue}"}}'
        price = Price("energy", config.source or "as configured", rates=rates, checked=config.checked)
        return cls(Decimal(tariff) * pue / JOULES_PER_KWH, price, "")

    def cost(self, joules: float | None) -> tuple[int | None, Price]:
        """In pico-dollars; None when the energy or the tariff is not known."""
        if joules is None:
            return None, Price("unknown", "local: no sensor for its energy, and no power.busy_watts")
        if self.pico_per_joule is None:
            return None, Price("unknown", f"local: {self.why_unknown}")
        return round(Decimal(repr(joules)) * self.pico_per_joule), self.source
