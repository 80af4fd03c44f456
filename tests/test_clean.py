"""clean: deletes what llmc keeps for itself when it is named, and nothing that anybody else put there."""

from pathlib import Path

import pytest

from llmc import cache


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a cached view, weights, a log, and in each folder something that is not llmc's."""
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))
    views, models, logs = (tmp_path / "home" / name for name in ("cache/views", "cache/models", "state/logs"))
    with cache.ViewCache(views) as opened:
        opened.put(cache.key("text"), cache.CachedView("none", "", (), 9, 3, (), 9, 3))
    for folder in (models, logs):
        folder.mkdir(parents=True)
    for name in ("smollm.gguf", "smollm.gguf.json", "smollm.gguf.lock", "qwen.gguf.part", "own.gguf", "notes.txt"):
        (models / name).write_bytes(b"12345")
    (models / "link.gguf").symlink_to(tmp_path / "elsewhere.gguf")
    (models / "link.gguf.json").write_bytes(b"")
    (tmp_path / "elsewhere.gguf").write_bytes(b"weights of somebody")
    (logs / "embedded-1.log").write_bytes(b"log")
    (views / "thesis.txt").write_bytes(b"mine")
    (tmp_path / "home" / "state" / "ledger.sqlite3").write_bytes(b"record")
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def test_without_a_name_it_says_what_there_is_and_deletes_nothing(llmc_inside, mine: Path):
    before = files(mine)
    said = llmc_inside("clean").ok().json
    kept = {row["what"]: (row["files"], row["foreign"]) for row in said["kept"]}
    assert kept == {"cache": (1, 1), "models": (5, 3), "logs": (1, 0), "sweeps": (0, 0), "calibration": (0, 0)}
    assert said["deleted"] == []
    assert files(mine) == before


def test_a_dry_run_says_how_much_and_deletes_nothing(llmc_inside, mine: Path):
    before = files(mine)
    assert "delete 5 files, 20 B: models" in llmc_inside("clean", "what=models", "dry_run=true").ok().stdout
    assert files(mine) == before


def test_what_is_named_is_deleted_and_what_others_put_there_stays(llmc_inside, mine: Path):
    said = llmc_inside("clean", "what=models").ok().json
    assert (said["deleted"], said["freed_bytes"]) == (["models"], 20)
    assert {name for name in files(mine) if "models" in name} == {
        "home/cache/models/own.gguf",
        "home/cache/models/notes.txt",
        "home/cache/models/link.gguf",
    }
    assert (mine / "elsewhere.gguf").read_bytes() == b"weights of somebody"


def test_all_leaves_the_ledger_the_key_and_what_others_wrote(llmc_inside, mine: Path):
    llmc_inside("clean", "what=all").ok()
    assert files(mine) == {
        "elsewhere.gguf",
        "home/state/cache/key",
        "home/cache/models/own.gguf",
        "home/cache/models/notes.txt",
        "home/cache/models/link.gguf",
        "home/cache/views/thesis.txt",
        "home/state/ledger.sqlite3",
    }


def test_a_folder_that_is_a_link_is_not_ours(llmc_inside, mine: Path):
    logs = mine / "home" / "state" / "logs"
    logs.rename(mine / "logs of a server")
    logs.symlink_to(mine / "logs of a server")
    llmc_inside("clean", "what=logs").ok()
    assert files(mine / "logs of a server") == {"embedded-1.log"}


def test_another_word_is_refused_with_the_ones_there_are(llmc_inside, mine: Path):
    message, hint = llmc_inside("clean", "what=ledger").usage()
    assert message == "what=ledger cannot be cleaned"
    assert hint == "llmc clean what=cache   (or models, logs, sweeps, calibration, all)"


def test_it_is_one_screen(llmc_inside, mine: Path):
    said = llmc_inside("clean", "format=table").ok().stdout
    assert "3 other files left alone" in said
    assert "next: llmc clean what=cache" in said
    assert max(map(len, said.splitlines())) <= 100
