"""Electricity: what sensors say, what is computed, and what is not known; each says which."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from llmc import energy
from llmc.schema import PowerConfig


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def write(root: Path, files: dict[str, object]) -> Path:
    for name, value in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{value}\n")
    return root


def package(n: int, microjoules: int, name: str = "package") -> dict[str, object]:
    zone = f"powercap/intel-rapl:{n}"
    return {f"{zone}/name": f"{name}-{n}", f"{zone}/energy_uj": microjoules, f"{zone}/max_energy_range_uj": 1_000_000_000}


def measured(sensors, clock) -> energy.Measured:
    return energy.Measured("test", sensors, clock, sampling=False)


def test_processor_packages_are_counted_once_each(tmp_path):
    inside = {
        "powercap/intel-rapl:0:0/name": "core",
        "powercap/intel-rapl:0:0/energy_uj": 5,
        "powercap/intel-rapl-mmio:0/name": "package-0",
    }
    write(tmp_path, {**package(0, 10), **package(1, 20), **package(2, 30, "psys"), **inside})
    assert len(energy.rapl(tmp_path)) == 2


def test_a_counter_that_wraps_goes_on(tmp_path, clock):
    write(tmp_path, package(0, 999_000_000))
    meter = measured(energy.rapl(tmp_path), clock)
    write(tmp_path, package(0, 1_000_000))
    assert meter.joules(True, 1) == pytest.approx(2)
    write(tmp_path, package(0, 4_000_000))
    assert meter.joules(True, 1) == pytest.approx(3)
    assert (meter.method, meter.scope) == ("measured_counter", "processor package")


def test_a_counter_that_was_set_back_adds_nothing(clock):
    readings = iter([5_000, 6_000, 100, 400])
    meter = measured([energy.Counter(lambda: next(readings), 1e-3, 0, "NVIDIA board")], clock)
    assert [meter.joules(True, 1) for _ in range(3)] == pytest.approx([1.0, 0.0, 0.3])


def test_power_is_integrated_and_a_gap_is_not_filled(clock):
    watts = iter([100.0, 200.0, 200.0, 100.0])
    meter = measured([energy.Watts(lambda: next(watts), "AMD board")], clock)
    clock.now = 2
    assert meter.joules(True, 2) == 300
    clock.now = 102
    assert meter.joules(True, 100) is None
    assert meter.coverage == pytest.approx(2 / 102)
    clock.now = 104
    assert meter.joules(False, 2) == 300
    assert meter.method == "measured_power_integral"


def test_a_sensor_that_falls_silent_is_covered_no_longer(clock):
    alive: list[float | None] = [100.0]
    meter = measured([energy.Watts(lambda: alive[0], "AMD board")], clock)
    clock.now = 4
    meter.sample()
    assert meter.coverage == 1
    alive[0] = None
    clock.now = 10
    meter.sample()
    assert meter.coverage == pytest.approx(0.4)


def test_boards_are_found_in_hwmon_by_what_they_are(tmp_path):
    write(
        tmp_path,
        {
            "hwmon/hwmon0/name": "coretemp", "hwmon/hwmon0/power1_input": 1,
            "hwmon/hwmon1/name": "amdgpu", "hwmon/hwmon1/power1_average": 150_000_000, "hwmon/hwmon1/power1_input": 1,
            "hwmon/hwmon2/name": "amdgpu", "hwmon/hwmon2/power1_input": 42_000_000,
        },
    )  # fmt: skip
    assert [(s.scope, s.read()) for s in energy.hwmon(tmp_path)] == [("AMD board", 150), ("AMD board", 42)]


def test_a_meter_of_the_whole_machine_makes_the_others_superfluous(tmp_path):
    write(tmp_path, {**package(0, 10), "hwmon/hwmon0/name": "power_meter", "hwmon/hwmon0/power1_average": 300_000_000})
    meter = energy.open_meter(PowerConfig("x", meters=["rapl", "hwmon"]), tmp_path)
    assert (meter.name, meter.scope, meter.method) == ("hwmon", "machine", "measured_power_integral")
    meter.close()


def test_sensors_of_different_parts_are_added(tmp_path):
    write(tmp_path, {**package(0, 10), "hwmon/hwmon0/name": "amdgpu", "hwmon/hwmon0/power1_average": 300_000_000})
    meter = energy.open_meter(PowerConfig("x", meters=["rapl", "hwmon"]), tmp_path)
    assert (meter.name, meter.scope) == ("rapl+hwmon", "processor package + AMD board")
    assert meter.method == "measured_power_integral"
    meter.close()


def nvidia(**changes):
    def unsupported(device):
        raise RuntimeError("Not Supported")

    functions = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda i: i,
        "nvmlDeviceGetTotalEnergyConsumption": lambda device: 2_000,
        "nvmlDeviceGetPowerUsage": lambda device: 250_000,
    }
    return SimpleNamespace(**functions | {name: unsupported if value is None else value for name, value in changes.items()})


def test_an_nvidia_board_is_read_by_its_counter_or_else_by_its_power():
    assert [(s.counts, s.read()) for s in energy.nvml(nvidia())] == [(True, 0)]
    (old,) = energy.nvml(nvidia(nvmlDeviceGetTotalEnergyConsumption=None))
    assert (old.counts, old.read()) == (False, 250)
    assert energy.nvml(nvidia(nvmlInit=lambda: 1 / 0)) == []


@pytest.mark.parametrize(
    ("told", "watts"),
    [
        ({"average_socket_power": 120, "current_socket_power": "N/A"}, 120),
        ({"average_socket_power": "N/A", "current_socket_power": 300}, 300),
        ({"average_socket_power": "N/A", "current_socket_power": "N/A"}, None),
    ],
)
def test_an_amd_board_tells_its_power_under_one_of_two_names(told, watts):
    library = SimpleNamespace(
        amdsmi_init=lambda: None, amdsmi_get_processor_handles=lambda: [1], amdsmi_get_power_info=lambda device: told
    )
    assert [s.read() for s in energy.amdsmi(library)] == [watts]


def test_without_a_sensor_nothing_is_made_up(tmp_path):
    write(tmp_path, {"powercap/intel-rapl:0/name": "package-0"})  # its counter may be read by root only
    meter = energy.open_meter(PowerConfig("x", meters=["rapl", "nvml", "amdsmi", "hwmon"]), tmp_path)
    assert (meter.name, meter.method, meter.scope, meter.coverage) == ("none", "none", "", 0.0)
    divided = energy.Divided(meter)
    divided.begin("a")
    assert divided.end("a") is None


@pytest.mark.parametrize("sensor", [energy.Watts, lambda value, scope: energy.Counter(value, 1.0, 0, scope)])
def test_a_sensor_that_dies_in_a_run_measures_nothing_any_more(clock, sensor):
    readings: list[int | None] = [100]
    divided = energy.Divided(measured([sensor(lambda: readings[0], "AMD board")], clock), clock)
    divided.begin("seen")
    readings[0], clock.now = 140, 2
    assert divided.end("seen") > 0
    divided.begin("half")
    readings[0], clock.now = 200, 4
    divided.begin("unseen")
    readings[0], clock.now = None, 6
    assert divided.end("half") > 0
    assert divided.end("unseen") is None
    clock.now = 60
    busy, idle = divided.take()
    assert busy.known > 0
    assert idle.known == 0  # read in the instant in which the first call began, and not again
    clock.now = 120
    assert divided.take()[1].known is None


def test_joules_are_divided_over_the_calls_under_way(clock):
    divided = energy.Divided(energy.Configured(100, 10), clock)
    clock.now = 5
    divided.begin("a")
    clock.now = 6
    divided.begin("b")
    clock.now = 8
    a = divided.end("a")
    clock.now = 9
    b = divided.end("b")
    clock.now = 10
    assert (a, b) == (100 + 100, 100 + 100)
    busy, idle = divided.take()
    assert (busy, idle) == (energy.Share(4, 400, seen=True), energy.Share(6, 60, seen=True))
    assert divided.take() == (energy.Share(), energy.Share(0, 0, seen=True))


def test_a_kilowatt_hour_costs_the_tariff_times_the_overhead():
    tariff = energy.Tariff.of(
        PowerConfig("x", tariff_usd_per_kwh="0.30", pue="1.2", source="bill of March", checked="2026-11-23")
    )
    pico, price = tariff.cost(3_600_000.0)
    assert pico == 360_000_000_000
    assert (price.cost_source, price.price_source, price.rates) == (
        "energy", "bill of March", '{"usd_per_kwh": "0.30", "pue": "1.2"}',
    )  # fmt: skip
    assert tariff.cost(None)[0] is None
    assert (
        energy.Tariff.of(PowerConfig("x")).cost(1.0)[1].price_source == "local: no tariff: power.tariff_usd_per_kwh is not set"
    )
