"""``llmc bench``: one run, one record, whatever becomes of it."""

import dataclasses
import io
import os
import re
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmc.bench import record
from llmc.schema import RunConfig

LITTLE = {
    "codec": ["bench.rounds=1"],
    "fidelity": ["bench.rounds=1", "bench.planted_each=2"],
    "cache": ["bench.zipf=[0.8,1.2]", "bench.cache_requests=600", "bench.cache_texts=100", "bench.cache_entries=[40]"],
    "startup": ["bench.rounds=1", "bench.engine_starts=0"],
}
SHOWS = {
    "codec": {"byte_ratio", "archive_bytes[raw]", "write_megabytes_per_second", "read_one_seconds", "of_tar_zstd"},
    "fidelity": {"check_kilobytes_per_second", "planted_errors", "planted_errors_missed", "missed_rate"},
    "cache": {"cache_hit_rate", "cache_of_best", "cache_best_hit_rate[s=0.8, 40 entries]", "cache_miss_seconds"},
    "startup": {"help_seconds", "compose_seconds"},
}
NOTE = (
    "The board of {town} met on {day} March 2026. The lease of the hall was extended for {n} years. Anna Novak must pay "
    "{n},850 EUR by the end of May. The roof was not repaired. Tomasz will probably ask for two offers. The survey of the "
    "cellar is planned for June. Nobody spoke against it. The next meeting is on {day} April 2026, unless the hall is closed. "
    "The minutes were read and approved. The treasurer reported a surplus of {n}12 EUR. It was moved to the reserve. "
    "The caretaker of {town} has asked for a new boiler, which would cost {n}9,400 EUR. The board did not decide about it. "
    "Carla Weiss will compare three offers before the summer. The youth group may use the small hall on Fridays until 21:00. "
)


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record of another test is seen."""
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for n, town in enumerate(("Brno", "Lund", "Gent", "Turku"), 2):
        (folder / f"{town}.txt").write_text(NOTE.format(town=town, day=n + 9, n=n))
    (folder / "picture.bin").write_bytes(bytes(range(256)))
    return folder


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n != "codec" else ()) for n in LITTLE])
def test_a_run_is_one_record_with_its_raw_rounds(llmc, notes: Path, name: str):
    said = llmc("bench", f"bench={name}", f"input={notes}", *LITTLE[name]).ok().json
    (kept,) = record.read_all(record.folder()).records
    assert said["record"] == dataclasses.asdict(kept)
    assert Path(said["path"]).parent == record.folder()
    assert (kept.status, kept.bench, kept.error) == ("done", name, "")
    assert SHOWS[name] <= kept.metrics.keys()
    assert all(each["stats"]["data"] for each in kept.benchmarks)
    assert kept.cell["codec"] == "zstd"
    for metric, value in kept.metrics.items():
        assert (value.unit, value.better) == record.meaning(metric)[:2]
    assert list(llmc.cwd.iterdir()) == []


@pytest.mark.slow
def test_sizes_are_exact_and_times_are_not(llmc, notes: Path):
    first, second = (llmc("bench", "bench=codec", f"input={notes}", "bench.rounds=1").ok().json["record"] for _ in range(2))
    exact = {name for name, m in first["metrics"].items() if m["exact"]}
    assert {"byte_ratio", "archive_bytes", "of_solid_zstd"} <= exact
    assert "write_megabytes_per_second" not in exact
    assert {name: first["metrics"][name]["value"] for name in exact} == {n: second["metrics"][n]["value"] for n in exact}
    assert first["config_hash"] == second["config_hash"]
    assert "n too small: 1 of at least 6" in first["metrics"]["write_megabytes_per_second"]["note"]


def serving(fake, *flags: object) -> list[str]:
    server = fake("stream_server", "--tokens", 4, *flags)
    return [
        "engine=openai",
        "provider=gateway",
        f"provider.base_url={server.url}/v1",
        "provider.model=m",
        "provider.key_env=null",
    ]


SERVE = ["bench=serve", "bench.users=[2]", "bench.rates_per_second=[100]", "bench.requests=50", "bench.cached_pairs=6"]


def test_serving_figures_of_a_server_whose_pace_is_known(llmc, fake):
    made = (
        llmc("bench", *SERVE, *serving(fake, "--first-seconds", 0.03, "--gap-seconds", 0.01, "--slots", 2)).ok().json["record"]
    )
    metrics = made["metrics"]
    assert metrics["ttft_p50_seconds"]["value"] >= 0.03
    assert metrics["tpot_p50_seconds"]["value"] >= 0.01
    assert metrics["e2e_p50_seconds"]["value"] >= 0.06
    assert metrics["ttft_p50_seconds"]["low"] <= metrics["ttft_p50_seconds"]["value"] <= metrics["ttft_p50_seconds"]["high"]
    assert "ttft_p90_seconds" in metrics
    assert "ttft_p95_seconds" not in metrics
    assert any("p95, p99: n too small (50 requests" in note for note in made["notes"])
    # 100 a second ask two places that take 60 ms each, 33 a second: who waits, waits from when he should have been sent
    assert metrics["ttft_p50_seconds[100/s]"]["value"] > 5 * metrics["ttft_p50_seconds"]["value"]
    assert metrics["prefix_cache_share"]["value"] == 0
    assert metrics["failed_requests"]["value"] == 0
    assert "100% of the prompt was cached" in metrics["ttft_cached_p50_seconds"]["note"]
    rows = made["benchmarks"][0]["extra_info"]["requests"]["2 users"]
    assert len(rows) == 50
    assert len(rows[0]["piece_seconds"]) == 4


@pytest.mark.slow
def test_failed_requests_are_counted_and_keep_no_promise(llmc, fake):
    made = llmc("bench", *SERVE, "bench.rates_per_second=[]", *serving(fake, "--fail-every", 5)).ok().json["record"]
    metrics = made["metrics"]
    assert metrics["failed_requests"]["value"] == 10
    assert metrics["goodput_per_second"]["value"] <= metrics["requests_per_second"]["value"]


def test_the_main_job_against_a_cloud(llmc, fake, notes: Path):
    cloud = fake("cloud", "--lengths", "--service-seconds", 0.02)
    made = llmc(
        "bench",
        f"input={notes}",
        "engine=openai",
        "provider=gateway",
        f"provider.base_url={cloud.url}/v1",
        "provider.model=fake-mini",
        "provider.key_env=null",
        "budget=none",
        "bench.rounds=6",
    ).ok()
    metrics = made.json["record"]["metrics"]

    assert len(metrics["pass_rate"]["samples"]) == 4  # the same documents again are no new case
    assert len(metrics["inference_seconds"]["samples"]) >= 6 * 4  # but every round asks anew: no cache flatters
    assert len(metrics["documents_per_minute"]["samples"]) == 6
    assert metrics["documents_per_minute"]["low"] is not None
    assert metrics["requests"]["value"] >= 4
    assert metrics["inference_seconds"]["value"] >= 0.02
    assert metrics["token_ratio"]["value"] > 1
    assert metrics["cached_documents_per_minute"]["value"] > metrics["documents_per_minute"]["value"]
    assert "joules_per_document" not in metrics
    assert any("energy is not known" in note for note in made.json["record"]["notes"])
    assert not (Path(os.environ["LLMC_HOME"]) / "state" / "ledger.sqlite3").exists()  # what it cost to measure is no spending


def own(tmp_path: Path, body: str) -> str:
    path = tmp_path / "test_own.py"
    path.write_text(body)
    return f"bench.files=['{path}']"


def test_a_coroutine_function_is_refused(llmc, tmp_path: Path):
    body = "async def later():\n    pass\n\ndef test_async(benchmark):\n    benchmark(later)\n\n"
    body += "def test_hidden(benchmark):\n    benchmark.pedantic(lambda: later())\n"
    message, _ = llmc("bench", own(tmp_path, body), "bench.needs_engine=false").error(1)
    assert "test_async: Failed: later is a coroutine function" in message
    assert "test_hidden: Failed: <lambda> gives a coroutine" in message
    (kept,) = record.read_all(record.folder()).records
    assert kept.status == "failed"


def test_a_benchmark_that_fails_leaves_a_record_of_why(llmc, tmp_path: Path):
    body = "def test_good(benchmark, job):\n    benchmark(len, 'a')\n    job.measured.exact('requests', 3)\n\n"
    body += "def test_bad(benchmark):\n    assert benchmark(len, 'a') == 2\n"
    done = llmc("bench", own(tmp_path, body), "bench.needs_engine=false")
    message, hint = done.error(1)
    assert "test_bad: AssertionError" in message
    (kept,) = record.read_all(record.folder()).records
    assert kept.status == "failed"
    assert kept.error == message
    assert kept.metrics["requests"].value == 3
    assert done.json["record"]["id"] == kept.id
    assert Path(hint.split(": ")[1]).exists()


def test_a_file_that_does_not_import_is_named(llmc, tmp_path: Path):
    message, _ = llmc("bench", own(tmp_path, "import nothing_of_that_name\n"), "bench.needs_engine=false").error(1)
    assert "test_own.py" in message
    assert "nothing_of_that_name" in message


def test_an_engine_that_is_not_there_is_a_record_too(llmc):
    _, hint = llmc("bench", *SERVE, "engine=llama_server", "backend=cpu", "model.path=/no/such.gguf").error(1)
    (kept,) = record.read_all(record.folder()).records
    assert kept.status == "failed"
    assert kept.cell["engine"] == "llama_server"
    assert kept.hint == hint


def test_a_plan_says_how_long_it_took_before_or_that_it_does_not_know(llmc_inside, run_config):
    words = ("bench=cache", "bench.rounds=3")
    (step,) = llmc_inside("bench", *words, "dry_run=true").ok().json["steps"]
    assert "how long is not known" in step[1]
    config = run_config("target=bench", *words)
    for seconds, status in ((60.0, "done"), (70.0, "done"), (2.0, "failed")):
        made = record.new(config, started=datetime.now(UTC), seconds=seconds, bench="cache", status=status)
        record.write(made, record.folder())
    (step,) = llmc_inside("bench", *words, "dry_run=true").ok().json["steps"]
    assert "65 s, as 2 earlier runs on this machine took" in step[1]


def test_an_interrupted_run_leaves_nothing(llmc):
    process = llmc.start("bench", "bench=startup", "bench.rounds=10000", "bench.engine_starts=0")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert b"test_start" in line
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not record.folder().exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bench.files=[bench/nothing.py]"], "bench/nothing.py"),
        (["bench.rounds=0"], "bench.rounds=0"),
        (["bench.users=[0]", "bench=serve"], "bench.users=0"),
        (["input=-"], "input=-"),
        (["input=/no/such/folder"], "/no/such/folder"),
        (["bench=quack"], "quick"),
    ],
)
def test_a_wrong_setting_is_named(llmc_inside, words: list[str], says: str):
    done = llmc_inside("bench", *words)
    assert done.code in (1, 2)
    assert says in done.stderr


def test_the_table():
    """Of a record as it is kept."""
    from rich.console import Console

    import llmc.report.tables.bench  # noqa: F401 - registers how it is drawn
    from llmc.bench.shown import number
    from llmc.report.tables.screen import draw
    from llmc.target.bench import BenchReport

    config = RunConfig()
    for group in ("model", "engine", "backend", "quant", "profile", "codec", "view", "bench"):
        getattr(config, group).name = group
    metrics = {
        "byte_ratio": record.exact("byte_ratio", 3.2519),
        "cache_hit_seconds": record.median("cache_hit_seconds", [16e-6, 17e-6, 18e-6, 16e-6, 17e-6, 18e-6]),
        "documents_per_minute": record.median("documents_per_minute", [18.0, 19.0]),
    }
    made = record.new(
        config,
        started=datetime.now(UTC),
        seconds=3,
        bench="quick",
        status="done",
        metrics=metrics,
        notes=["energy is not known"],
    )
    console = Console(width=100, record=True, file=io.StringIO())
    draw(BenchReport(made, "record.json"), console)
    text = console.export_text()
    assert re.search(r"^byte_ratio +3\.252 +x +exact +higher", text, re.M)
    assert re.search(r"^cache_hit_seconds +17 +µs +16 \.\. 18 +6 +lower", text, re.M)
    assert re.search(r"^documents_per_minute +18\.5 +1/min +n too small \(2\) +2 +higher", text, re.M)
    assert "note: energy is not known" in text
    assert number(2_499_430.6) == "2,499,431"


def test_the_phase_table_beside_the_claims():
    from llmc.bench import phase

    metrics = {
        "documents_per_minute[baseline]": record.median("documents_per_minute", [8.0, 9.0, 10.0, 8.0, 9.0, 10.0]),
        "documents_per_minute[local]": record.median("documents_per_minute", [18.0, 19.0]),
        "cache_hit_rate[baseline]": record.exact("cache_hit_rate", 0.0),
        "cache_hit_rate[local]": record.exact("cache_hit_rate", 0.5),
    }
    config = RunConfig()
    for group in ("model", "engine", "backend", "quant", "profile", "codec", "view", "bench"):
        getattr(config, group).name = group
    made = record.new(
        config, started=datetime.now(UTC), seconds=3, bench="phase_table", status="done", metrics=metrics, notes=["no GPU"]
    )
    text = phase.markdown(made)
    assert "| throughput | > 100 1/min | 9 1/min (8 .. 10) | 18.5 1/min (n 2) |" in text
    assert "| cache hit rate | - | 0% (exact) | 50% (exact) |" in text
    assert "| cost per 1,000 documents | 90% below cloud | not known | not known |" in text
    assert "| GPU utilisation | - | not known | not known |" in text
    assert "were not measured by us" in text
    assert "- no GPU" in text
    on_cpu = dataclasses.replace(made, cell=made.cell | {"backend": "cpu"})
    assert "| GPU utilisation | - | no GPU | no GPU |" in phase.markdown(on_cpu)


def test_a_gpu_tells_how_busy_it_is(tmp_path: Path):
    from llmc.bench.gpu import Gpu, readers

    for number, busy in (("card0", "25"), ("card1", "75")):
        (tmp_path / number / "device").mkdir(parents=True)
        (tmp_path / number / "device" / "gpu_busy_percent").write_text(f"{busy}\n")
    gpu = Gpu(readers(tmp_path), every_seconds=0.01)
    with gpu:
        deadline = time.monotonic() + 10
        while not gpu.shares and time.monotonic() < deadline:
            time.sleep(0.01)
    assert set(gpu.shares) == {0.75}
    assert Gpu(readers(tmp_path / "none")).why_not("cpu") == "no GPU, the model computed on the processor"


@pytest.mark.slow
def test_the_phase_table_with_a_model(llmc, weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LLMC_HOME", str(weights.parents[2]))
    words = ["bench.documents=2", "bench.rounds=1", "bench.cache_requests=3", "bench.cache_texts=1", "output=table.md"]
    metrics = llmc("bench", "experiment=phase_table", *words, timeout=300).ok().json["record"]["metrics"]
    assert metrics["cache_hit_rate[baseline]"]["value"] == 0
    assert metrics["cache_hit_rate[local]"]["value"] == pytest.approx(2 / 3)
    assert metrics["documents_per_minute[baseline]"]["value"] > 0
    assert "| throughput | > 100 1/min |" in (llmc.cwd / "table.md").read_text()
