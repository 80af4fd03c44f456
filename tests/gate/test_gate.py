"""``llmc gate`` on real repositories, small ones, with real processes in pairs."""

import json
import subprocess
from pathlib import Path

import pytest

WORK = """
REQUESTS, OUTPUT = {requests}, "{output}"

def work():
    return sum(i * i for i in range({loops}))
"""
TESTS = """
import pytest
from product import OUTPUT, REQUESTS, work

def test_work(benchmark):
    benchmark(work)
    benchmark.extra_info["counters"] = {{"requests": REQUESTS, "output": OUTPUT}}

{more}
"""
FEW = ("gate.pairs_first=8", "gate.pairs_most=8", "gate.pairs_same=2", "gate.rounds=2", "gate.files=[bench]", "gate.lock=null")
QUIET_MACHINE = ("gate.unfit_sd=9", "gate.unfit_change=9")  # this is not about the machine that runs the tests


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path, *, loops: int = 20_000, requests: int = 3, output: str = "aa", more: str = "") -> None:
    (folder / "bench").mkdir(parents=True, exist_ok=True)
    (folder / "product.py").write_text(WORK.format(loops=loops, requests=requests, output=output))
    (folder / "bench/test_bench.py").write_text(TESTS.format(more=more))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write(folder, more="def test_old(benchmark):\n    benchmark(len, 'a')\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_a_change_that_is_slower_and_asks_more_and_drops_a_benchmark_fails(llmc, repository: Path):
    more = "from product import news\n\ndef test_new(benchmark):\n    benchmark(news)\n"
    write(repository, loops=60_000, requests=4, output="bb")
    (repository / "product.py").write_text((repository / "product.py").read_text() + "\ndef news():\n    return 1\n")
    (repository / "bench/test_news.py").write_text(more)
    done = llmc("gate", *FEW, *QUIET_MACHINE, cwd=repository, env={"GITHUB_STEP_SUMMARY": str(repository / "summary.md")})
    assert done.code == 3, done.stderr
    report = done.json
    assert report["verdict"] == "FAIL"
    (change,) = report["changes"]
    assert (change["benchmark"], change["status"]) == ("bench/test_bench.py::test_work", "slower")
    assert change["change"] > 1
    assert {(d["name"], d["base"], d["head"], d["status"]) for d in report["differences"]} == {
        ("requests", 3, 4, "worse"),
        ("output", "aa", "bb", "worse"),
    }
    assert report["new"] == ["bench/test_news.py::test_new"]
    assert report["removed"] == ["bench/test_bench.py::test_old"]
    assert len(json.loads(Path(report["record"]).read_text())["log_ratios"]["bench/test_bench.py::test_work"]) == 8
    summary = (repository / "summary.md").read_text()
    assert summary.startswith("## llmc gate: FAIL")
    assert "test_work" in summary


@pytest.mark.slow
def test_wanted_changes_are_acknowledged_and_faster_is_not_a_failure(llmc, repository: Path):
    write(repository, loops=7_000, requests=4, output="bb")
    (repository / "bench/acknowledged.toml").write_text(
        """
        [[change]]
        benchmark = "bench/test_bench.py::test_work"
        counter = "requests"
        from = 3
        to = 4
        why = "asks twice"

        [[change]]
        benchmark = "bench/test_bench.py::test_work"
        counter = "output"
        from = "aa"
        to = "bb"

        [[change]]
        removed = "bench/test_bench.py::test_old"
        """
    )
    done = llmc("gate", *FEW, *QUIET_MACHINE, cwd=repository)
    assert done.code == 0, done.stderr
    assert done.json["verdict"] == "PASS"
    assert done.json["changes"][0]["status"] == "faster"
    assert {d["status"] for d in done.json["differences"]} == {"acknowledged"}


@pytest.mark.slow
def test_a_machine_that_cannot_tell_says_so_and_does_not_fail(llmc, repository: Path):
    write(repository, loops=60_000, more="def test_old(benchmark):\n    benchmark(len, 'a')\n")
    done = llmc("gate", *FEW, "gate.unfit_sd=-1", cwd=repository)
    assert done.code == 4
    assert done.json["verdict"] == "INCONCLUSIVE"
    assert "too noisy" in done.json["reasons"][0]


def test_a_coroutine_function_is_refused(llmc, repository: Path):
    write(repository, more="async def later():\n    pass\n\ndef test_old(benchmark):\n    benchmark(later)\n")
    message, _ = llmc("gate", *FEW, cwd=repository).error(1)
    assert "coroutine" in message
    assert "test_old" in message


def test_a_file_that_does_not_import_is_named(llmc, repository: Path):
    write(repository, more="import nothing_of_that_name\n")
    message, _ = llmc("gate", *FEW, cwd=repository).error(1)
    assert "bench/test_bench.py" in message
    assert "nothing_of_that_name" in message


def test_what_it_would_compare(llmc, repository: Path):
    before = git(repository, "rev-parse", "HEAD")
    write(repository, requests=5)
    (step,) = llmc("gate", *FEW, "dry_run=true", cwd=repository).ok().json["steps"]
    assert before[:12] in step[1]  # main with changed files: against its last commit
    git(repository, "commit", "-qam", "second")
    (step,) = llmc("gate", *FEW, "dry_run=true", cwd=repository).ok().json["steps"]
    assert before[:12] in step[1]  # main as committed: against the commit before
    git(repository, "switch", "-qc", "work")
    main = git(repository, "rev-parse", "main")
    write(repository, requests=6)
    git(repository, "commit", "-qam", "third")
    (step,) = llmc("gate", *FEW, "dry_run=true", cwd=repository).ok().json["steps"]
    assert main[:12] in step[1]  # a branch: against where it left main


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gate.base=nothing"], "nothing"),
        (["gate.files=[benches]"], "benches"),
        (["gate.pairs_first=2"], "gate.pairs_first=2"),
        (["gate.fail_margin=0.2"], "gate.fail_margin=0.2"),
    ],
)
def test_a_wrong_setting_is_named(llmc, repository: Path, words: list[str], says: str):
    message, _ = llmc("gate", *FEW, *words, cwd=repository).error(2)
    assert says in message


def test_outside_a_repository(llmc):
    message, _ = llmc("gate").usage(2)
    assert "is in no git repository" in message


@pytest.mark.soak
def test_it_knows_what_it_is_worth(llmc, repository: Path):
    done = llmc(
        "gate",
        *FEW,
        *QUIET_MACHINE,
        "gate.self_test=true",
        "gate.self_test_runs=1",
        "gate.self_test_change=1.0",
        cwd=repository,
    )
    assert done.code == 0, done.stderr
    assert done.json["slower"] == {"FAIL": 1}
    assert sum(done.json["same"].values()) == 1
    assert "FAIL" not in done.json["same"]
