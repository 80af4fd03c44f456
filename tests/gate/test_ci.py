"""``scripts/gate``: what CI makes of the gate's answer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT

BENCHMARK = "def test_work(benchmark):\n    benchmark(sum, range({loops}))\n"
FEW = ("gate.pairs_first=8", "gate.pairs_most=8", "gate.pairs_same=2", "gate.rounds=2", "gate.files=[bench]")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with this script, and an environment that is there already."""
    folder = tmp_path / "project"
    (folder / "scripts").mkdir(parents=True)
    (folder / "bench").mkdir()
    shutil.copy(ROOT / "scripts" / "gate", folder / "scripts" / "gate")
    (folder / "scripts" / "env").write_text(f"#!/bin/sh\necho {sys.executable}\n")
    (folder / "scripts" / "env").chmod(0o755)
    (folder / "bench" / "test_bench.py").write_text(BENCHMARK.format(loops=20_000))
    return folder


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "work", "--allow-empty")


def gate(folder: Path, *words: str) -> tuple[int, str]:
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = subprocess.run(
        [folder / "scripts" / "gate", *words], cwd=folder.parent, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_without_an_earlier_commit_it_is_skipped(tree: Path):
    assert gate(tree) == (0, "gate: skipped, there is no earlier commit here to compare with\n")
    git(tree, "init", "-q", "-b", "main")
    commit(tree)
    assert gate(tree) == (0, "gate: skipped, there is no earlier commit here to compare with\n")


@pytest.mark.slow
def test_worse_fails_and_cannot_tell_is_a_warning(tree: Path):
    git(tree, "init", "-q", "-b", "work")  # no main: the commit before
    commit(tree)
    (tree / "bench" / "test_bench.py").write_text(BENCHMARK.format(loops=20_000))
    commit(tree)
    code, said = gate(tree, *FEW, "gate.pass_margin=0.030001", "gate.unfit_sd=-1")
    assert code == 0, said
    assert "INCONCLUSIVE" in said
    assert "gate: warning" in said
    code, said = gate(tree, *FEW, "gate.files=[nothing]")
    assert code == 2, said
