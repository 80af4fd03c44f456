"""kill -9 at any moment: nothing that was reported done is lost, and the same command finishes the rest."""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import llmc
from llmc import viewstore
from llmc.archive import Archive

ROOT = Path(__file__).parent.parent


def write_documents(folder: Path, count: int) -> dict[str, bytes]:
    rng = random.Random(5)
    words = re.findall(r"[a-z]+", ROOT.joinpath("README.md").read_text().lower())
    folder.mkdir()
    made = {}
    for i in range(count):
        sentences = [
            " ".join(rng.choices(words, k=12)).capitalize() + f" on {rng.randrange(1, 28)} March 2026." for _ in range(14)
        ]
        made[f"{i:04}.txt"] = " ".join(sentences).encode()
        (folder / f"{i:04}.txt").write_bytes(made[f"{i:04}.txt"])
    return made


def start(folder: Path, archive: Path, home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "llmc", "compress", f"input={folder}", f"output={archive}"]
    # Small parts and no waiting for a model: many moments to be killed at in little time.
    return subprocess.Popen(
        [*command, "view=extract", "codec.options.level=3", "quiet=true"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LLMC_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def done(archive: Path) -> tuple[set[str], set[str]]:
    """Documents stored and views made, as a reader sees them now; everything stored is intact."""
    try:
        opened = Archive.open(archive)
    except llmc.LlmcError:
        return set(), set()
    assert not [problem for _, problem in opened.verify() if problem]
    stored = {entry.id for entry in opened.entries()}
    views = {row["id"] for part in opened.manifest.parts for row in viewstore.rows(opened, part)}
    return stored, views


@pytest.mark.slow
def test_five_kills_lose_nothing(tmp_path: Path):
    documents = write_documents(tmp_path / "in", 300)
    rng = random.Random(1)
    stored: set[str] = set()
    views: set[str] = set()
    interrupted = 0
    for kill in range(5):
        process = start(tmp_path / "in", tmp_path / "a.llmc", tmp_path / "home")
        time.sleep(0.3 + 0.4 * kill + rng.random() * 0.4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        interrupted += process.returncode == -signal.SIGKILL
        now_stored, now_views = done(tmp_path / "a.llmc")
        assert stored <= now_stored
        assert views <= now_views
        stored, views = now_stored, now_views
    assert interrupted >= 3
    last = start(tmp_path / "in", tmp_path / "a.llmc", tmp_path / "home")
    _, said = last.communicate(timeout=60)
    assert last.returncode == 0, said
    stored, views = done(tmp_path / "a.llmc")
    assert stored == views == set(documents)
    assert not list((tmp_path / "a.llmc").glob("tmp-*"))
    llmc.restore(tmp_path / "a.llmc", tmp_path / "out")
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == documents


def test_a_torn_line_in_the_journal_costs_that_view_only(tmp_path: Path):
    documents = write_documents(tmp_path / "in", 5)
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc")
    archive = Archive.open(tmp_path / "a.llmc")
    part = archive.manifest.parts[0]
    rows = list(viewstore.rows(archive, part))
    for file in viewstore.files(archive.folder, part):
        file.unlink()
    torn = b"".join(json.dumps(row).encode() + b"\n" for row in rows[:3])[:-40]
    (tmp_path / "a.llmc" / "views-000001.journal").write_bytes(torn)
    assert done(tmp_path / "a.llmc") == (set(documents), {"0000.txt", "0001.txt"})
    assert llmc.compress(tmp_path / "in", tmp_path / "a.llmc").views_made == 3


def test_a_disk_that_takes_no_more_is_one_line_and_what_was_stored_stays(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "first").write_bytes(random.Random(6).randbytes(50_000))
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    (tmp_path / "in" / "second").write_bytes(random.Random(7).randbytes(600_000))
    process = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "llmc",
            "compress",
            f"input={tmp_path / 'in'}",
            f"output={tmp_path / 'a.llmc'}",
            "view=none",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LLMC_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (300_000, 300_000)
        ),  # as a full disk, but for this process
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert "cannot be written: File too large" in process.stderr
    assert "hint:  what the archive holds is intact" in process.stderr
    assert "Traceback" not in process.stderr
    assert done(tmp_path / "a.llmc")[0] == {"first"}


def test_a_line_that_did_not_fit_on_the_disk_is_taken_back_and_the_next_one_counts(tmp_path: Path):
    write_documents(tmp_path / "in", 3)
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc")
    archive = Archive.open(tmp_path / "a.llmc")
    part = archive.manifest.parts[0]
    first, second, third = viewstore.rows(archive, part)
    for file in viewstore.files(archive.folder, part):
        file.unlink()
    journal = viewstore.Journal(archive.folder, part)
    journal.append(first)
    size = (archive.folder / "views-000001.journal").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
    try:
        with pytest.raises(OSError, match=r"No space left|File too large"):
            journal.append(second)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    journal.append(third)
    assert list(viewstore.rows(archive, part)) == [first, third]
    journal.seal()
    assert [row["id"] for row in viewstore.rows(archive, part)] == [first["id"], third["id"]]
