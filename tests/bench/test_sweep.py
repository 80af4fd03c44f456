"""Sweeps: the plan is fair and complete, a killed one goes on, and what failed or cannot work is kept with its reason."""

import re
import signal
import time
from collections import Counter
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc import make
from llmc.bench import sweep
from llmc.errors import UsageError
from llmc.report import bench_files
from llmc.target import sweep as target
from llmc.target.sweep import Composed

CODECS = ("bench=codec", "view=none", "codec=zstd,raw", "bench.rounds=1", "bench.budget_seconds=1")
plans = st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**31))


@given(plans)
def test_each_block_runs_every_cell_once_and_the_reference_first(asked):
    cells, blocks, seed = asked
    slots = sweep.order(cells, blocks, seed)
    for block in range(1, blocks + 1):
        runs = [s for s in slots if s.block == block]
        assert sorted(s.cell for s in runs if s.role == sweep.CELL) == list(range(cells))
        assert (runs[0].role == sweep.REFERENCE) == (cells > 1)
    assert (slots[-1].role == sweep.REFERENCE) == (cells > 1)
    assert sum(s.role == sweep.REFERENCE for s in slots) == (blocks + 1 if cells > 1 else 0)


@given(plans)
def test_the_same_seed_gives_the_same_order(asked):
    assert sweep.order(*asked) == sweep.order(*asked)


@given(plans)
def test_no_two_runs_are_kept_in_one_place(asked):
    cells, _, _ = asked
    names = [sweep.run_name("m", s, f"{s.cell:064x}"[::-1]) for s in sweep.order(*asked)]
    assert max(Counter(names).values()) == 1
    assert len({sweep.refused_name("m", f"{c:064x}"[::-1]) for c in range(cells)} | set(names)) == len(names) + cells


def test_another_seed_gives_another_order_and_blocks_differ():
    orders = {tuple(s.cell for s in sweep.order(8, 1, seed)) for seed in range(20)}
    assert len(orders) == 20
    cells = [s.cell for s in sweep.order(8, 2, 1) if s.role == sweep.CELL]
    assert cells[:8] != cells[8:]


@given(st.lists(st.sampled_from("abcdef")))
def test_of_the_same_cell_asked_for_twice_the_first_is_kept(hashes):
    kept = sweep.distinct(hashes)
    assert [hashes[at] for at in kept] == list(dict.fromkeys(hashes))


def test_the_time_left_is_said_only_where_something_is_known():
    assert sweep.remaining(["a", "b"], {}) == ""
    assert sweep.remaining(["a", "b"], {"a": [10.0, 14.0]}) == "  about 24 s left"
    assert sweep.remaining(["a", "b"], {"a": [10.0], "b": [20.0]}) == "  about 30 s left"


def test_the_launcher_that_runs_cells_side_by_side_is_refused(llmc_inside):
    message, hint = llmc_inside("-m", "bench", "hydra/launcher=joblib", "codec=zstd,raw").usage()
    assert message == "hydra/launcher=joblib runs cells side by side, where they measure each other"
    assert "one after the other" in hint


@pytest.mark.parametrize(("first", "second", "message"), [
    ({"blocks": 0}, {"blocks": 0}, "sweep.blocks=0"),
    ({"reference": 9}, {"reference": 9}, "sweep.reference=9: the cells that can run are 0 to 1"),
    ({"seed": 1}, {"seed": 2}, "sweep is for the sweep as a whole: it takes one value"),
])  # fmt: skip
def test_what_is_wrong_with_a_sweep_is_said_before_anything_runs(run_config, tmp_path, first, second, message):
    jobs = []
    for codec, settings in (("zstd", first), ("raw", second)):
        config = run_config("target=bench", "bench=codec", "view=none", f"codec={codec}")
        config = replace(config, sweep=replace(config.sweep, **settings), output=str(tmp_path / "found"))
        jobs.append(Composed([f"codec={codec}"], config, make.plan("bench", asdict(config.target))))
    with pytest.raises(UsageError, match=re.escape(message)):
        target.run(jobs, [])
    with pytest.raises(UsageError, match="there is nothing to sweep"):
        target.run([replace(jobs[0], config=replace(jobs[0].config, do="report"))], [])
    assert not (tmp_path / "found").exists()


def test_a_dry_run_says_what_would_run_and_what_is_refused_and_runs_nothing(llmc_inside, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))
    cells = ["bench=quick", "engine=embedded", "backend=cpu,cuda", "model=smollm"]
    plan = llmc_inside("-m", "bench", *cells, "dry_run=true").ok().json
    (cell,) = plan["cells"]
    assert cell["cell"] == "backend=cpu"
    assert cell["seconds"] is None
    assert cell["download_bytes"] == 98_362_432
    assert cell["cost"].startswith("nothing is paid")
    (refused,) = plan["refused"]
    assert refused["cell"] == "backend=cuda"
    assert "built for the processor only" in refused["reason"]
    assert (plan["runs"], plan["runs_left"], plan["unknown_runs"]) == (2, 2, 2)
    assert not (tmp_path / "home" / "state" / "bench").exists()


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was_and_the_report_accounts_for_every_cell(llmc, llmc_inside, tmp_path):
    env = {"LLMC_HOME": str(tmp_path / "home")}
    (llmc.cwd / "notes").mkdir()
    (llmc.cwd / "notes" / "a.txt").write_text("The lease ends on 31 December 2027. Rent is 4,850 EUR a month.\n")
    words = ["-m", "bench", *CODECS, "input=notes", "output=found", "sweep.blocks=1"]
    runs = llmc.cwd / "found" / "runs"

    first = llmc.start(*words, env=env)
    _until(lambda: list(runs.glob("*/bench-*.json")), first)
    first.kill()
    first.communicate(timeout=20)
    kept = {file.name: file.stat().st_mtime_ns for file in runs.glob("*-reference-1-*/bench-*.json")}
    assert kept

    second = llmc.start(*words, env=env)
    _until(lambda: len(list(runs.glob("*/bench-*.json"))) > 1, second)
    second.send_signal(signal.SIGINT)
    _, said = second.communicate(timeout=30)
    assert second.returncode == 130
    assert b"the same command again goes on from here" in said

    third = llmc(*words, env=env).ok()
    assert third.json["runs"] == third.json["done"] == 4
    assert third.json["before"] >= 2
    assert {file.name: file.stat().st_mtime_ns for file in runs.glob("*-reference-1-*/bench-*.json")} == kept
    (group,) = third.json["groups"]
    assert sorted(cell["cell"] for cell in group["cells"]) == ["raw", "zstd"]
    assert [pick["purpose"] for pick in group["picks"]] == ["smallest", "fastest"]
    assert group["picks"][0]["command"] == "llmc compress input=… output=….llmc view=none codec=zstd"
    assert {file.name for file in (llmc.cwd / "found").glob("report.*")} == set(bench_files.NAMES.values())

    again = llmc_inside(*words, env=env).ok()
    assert again.json["before"] == 4
    assert llmc_inside("bench", "report", "input=found", env=env).ok().json["groups"] == again.json["groups"]
    assert llmc_inside("bench", "trend", "input=found", env=env).ok().json["series"]


def test_a_cell_that_fails_is_kept_with_its_reason_and_the_sweep_goes_on(llmc_inside, tmp_path):
    words = ["-m", "bench", *CODECS, "output=found", "sweep.blocks=1", "sweep.cell_timeout_seconds=0.05"]
    ended = llmc_inside(*words, env={"LLMC_HOME": str(tmp_path / "home")})
    assert ended.code == 1
    assert (ended.json["runs"], ended.json["done"]) == (4, 0)
    assert {each["cell"] for each in ended.json["failed"]} == {"codec=zstd", "codec=raw"}
    assert all("was not done after" in each["error"] for each in ended.json["failed"])
    assert "failed: it was not done" in ended.stderr
    (group,) = ended.json["groups"]
    assert len(group["failed"]) == 4 - 2  # the reference's runs are no cells


def _until(happened, process, seconds=40):
    """Waits for it while the process runs."""
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
