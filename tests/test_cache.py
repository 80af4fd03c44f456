"""The cache: what was put comes back, exactly so many and so long; nothing done to its files does more than cost a hit."""

import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmc import cache
from llmc.cache import CachedView, ViewCache

KEPT = {"tier": "gist", "outcome": "kept", "reason": "", "by": "local", "model": "qwen", "model_digest": "ab12", "cause": ""}
VIEW = CachedView("gist", "Rent is 4,850 EUR.", ("4,850 EUR",), 200, 8, (KEPT,), 230, 31)


class Clock:
    """The wall clock of this process, to be set by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", made)
    return made


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., ViewCache]]:
    """``opened(entries=5)`` enters a cache in the test's own folder; its warnings are in ``said``."""
    entered: list[ViewCache] = []

    def open_one(**options: float) -> ViewCache:
        made = ViewCache(tmp_path / "cache", on_warning=opened.said.append, **options)
        entered.append(made.__enter__())
        return made

    opened.said = open_one.said = []
    yield open_one
    for each in entered:
        each.__exit__(None, None, None)


def rows(folder: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(folder / "cache" / "cache.db") as database:
        database.execute(statement, values)
    database.close()


def test_what_was_put_is_found_by_the_same_text_and_settings_only(opened: Callable[..., ViewCache]):
    views = opened()
    views.put(cache.key("text", "model", "policy"), VIEW)
    assert views.get(cache.key("text", "model", "policy")) == VIEW
    for other in (("text.", "model", "policy"), ("text", "modelp", "olicy"), ("text", "model"), ("text", "policy", "model")):
        assert views.get(cache.key(*other)) is None
    assert (views.use.lookups, views.use.hits, views.use.stored) == (5, 0, 1)
    views.hit(VIEW)
    assert (views.use.hit_rate, views.use.saved_prompt_tokens, views.use.saved_output_tokens) == (1 / 5, 230, 31)


@given(text=st.text(), quote=st.text(), tokens=st.integers(0, 2**40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_any_text_comes_back_as_it_was(opened: Callable[..., ViewCache], text: str, quote: str, tokens: int):
    view = replace(VIEW, text=text, keys=(quote,), tokens=tokens)
    opened().put(cache.key(text), view)
    assert opened().get(cache.key(text)) == view


def test_another_process_finds_it(opened: Callable[..., ViewCache], tmp_path: Path):
    opened().put(cache.key("text"), VIEW)
    code = """
import sys
from pathlib import Path
from llmc import cache
with cache.ViewCache(Path(sys.argv[1])) as views:
    print(views.get(cache.key("text")).text)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "cache"], capture_output=True, text=True, check=True)
    assert done.stdout == "Rent is 4,850 EUR.\n"


def test_it_holds_exactly_as_many_as_it_was_told_and_the_newest(opened: Callable[..., ViewCache]):
    views = opened(entries=50)
    for i in range(120):
        views.put(cache.key(str(i)), VIEW)
        assert views.count() == min(i + 1, 50)
    assert [i for i in range(120) if views.get(cache.key(str(i)))] == list(range(70, 120))


def test_a_smaller_limit_acts_with_the_next_entry(opened: Callable[..., ViewCache]):
    for i in range(20):
        opened().put(cache.key(str(i)), VIEW)
    fewer = opened(entries=5)
    fewer.put(cache.key("new"), VIEW)
    assert fewer.count() == 5


def test_an_entry_is_found_for_its_time_and_no_longer_and_a_hit_does_not_renew_it(
    opened: Callable[..., ViewCache], clock: Clock
):
    views = opened(ttl_seconds=7200)
    views.put(cache.key("text"), VIEW)
    clock.now += 7199
    assert views.get(cache.key("text")) == VIEW
    clock.now += 1
    assert views.get(cache.key("text")) is None
    views.put(cache.key("other"), VIEW)
    assert views.count() == 1


def test_a_shorter_time_holds_for_entries_that_are_there(opened: Callable[..., ViewCache], clock: Clock):
    opened(ttl_seconds=7200).put(cache.key("text"), VIEW)
    clock.now += 100
    assert opened(ttl_seconds=60).get(cache.key("text")) is None


def test_a_clock_set_back_makes_no_entry_live_longer_and_new_ones_are_kept(opened: Callable[..., ViewCache], clock: Clock):
    views = opened(entries=5, ttl_seconds=7200)
    for i in range(5):
        views.put(cache.key(f"of the future {i}"), VIEW)
    clock.now -= 30 * 86400
    assert views.get(cache.key("of the future 0")) is None
    for i in range(5):
        views.put(cache.key(f"now {i}"), VIEW)
    assert all(views.get(cache.key(f"now {i}")) for i in range(5))
    assert views.count() == 5
    clock.now -= 10  # a clock set right by seconds costs nothing
    assert views.get(cache.key("now 4")) == VIEW


def test_a_clock_set_forward_costs_hits_and_nothing_else(opened: Callable[..., ViewCache], clock: Clock):
    views = opened()
    views.put(cache.key("text"), VIEW)
    clock.now += 10**9
    assert views.get(cache.key("text")) is None
    views.put(cache.key("text"), VIEW)
    assert views.get(cache.key("text")) == VIEW
    assert opened.said == []


class Bomb:
    """What, unpickled, makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("mode", [2, 3, 4])
def test_a_row_that_says_it_is_a_pickle_or_a_file_is_a_miss(opened: Callable[..., ViewCache], tmp_path: Path, mode: int):
    views = opened()
    key = cache.key("text")
    views.put(key, VIEW)
    (tmp_path / "secret").write_text("secret")
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    rows(tmp_path, "UPDATE Cache SET mode = ?, value = ?, filename = ?", mode, bomb, "../secret" if mode < 4 else None)
    assert views.get(key) is None
    assert views.get(key) is None
    assert len(opened.said) == 1
    assert "a row that is not plain bytes" in opened.said[0]
    assert "llmc clean what=cache" in opened.said[0]
    views.put(key, VIEW)
    assert views.get(key) == VIEW
    assert (tmp_path / "secret").read_text() == "secret"
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "value",
    [b"", b"\xff\xfe", b"[]", b"null", b"[" * 100_000, b'{"stored": 1e999}', b'{"stored": "x"}', b"{" + b" " * (2 << 20)],
)
def test_a_row_that_is_no_view_is_a_miss(opened: Callable[..., ViewCache], tmp_path: Path, value: bytes):
    views = opened()
    views.put(cache.key("text"), VIEW)
    rows(tmp_path, "UPDATE Cache SET value = ?", value)
    assert views.get(cache.key("text")) is None
    assert len(opened.said) <= 1


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"tokens": 8', b'"tokens": 1'), (b'"prompt_tokens": 230', b'"prompt_tokens": 999999'), (b"qwen", b"gpt4")],
)
def test_a_view_that_somebody_changed_is_a_miss(opened: Callable[..., ViewCache], tmp_path: Path, old: bytes, new: bytes):
    views = opened()
    views.put(cache.key("text"), VIEW)
    with sqlite3.connect(tmp_path / "cache" / "cache.db") as database:
        ((value,),) = database.execute("SELECT value FROM Cache").fetchall()
    database.close()
    assert old in value
    rows(tmp_path, "UPDATE Cache SET value = ?", value.replace(old, new))
    assert views.get(cache.key("text")) is None
    assert "a view that llmc did not put there" in opened.said[0]


def test_a_view_moved_to_the_row_of_another_text_is_a_miss(opened: Callable[..., ViewCache], tmp_path: Path):
    views = opened()
    views.put(cache.key("text"), VIEW)
    rows(tmp_path, "UPDATE Cache SET key = ?", cache.key("another text"))
    assert views.get(cache.key("another text")) is None
    assert "a view that llmc did not put there" in opened.said[0]


def test_a_cache_brought_from_elsewhere_is_a_miss_and_its_key_is_for_this_user_alone(
    opened: Callable[..., ViewCache], tmp_path: Path
):
    opened(key_file=tmp_path / "theirs").put(cache.key("text"), VIEW)
    assert opened(key_file=tmp_path / "ours").get(cache.key("text")) is None
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == 0o600
    (tmp_path / "ours").write_bytes(b"short")
    opened(key_file=tmp_path / "ours").put(cache.key("text"), VIEW)
    assert "has 5 bytes instead of 32: delete it" in opened.said[-1]


@pytest.mark.parametrize("damage", ["garbage", "zeros", "settings", "no table", "folder"])
def test_a_damaged_database_is_one_warning_and_a_miss(opened: Callable[..., ViewCache], tmp_path: Path, damage: str):
    with ViewCache(tmp_path / "cache") as views:
        views.put(cache.key("text"), VIEW)
    file = tmp_path / "cache" / "cache.db"
    if damage == "garbage":
        file.write_bytes(os.urandom(50_000))
    elif damage == "zeros":
        file.write_bytes(file.read_bytes()[:4096] + bytes(20_000))
    elif damage == "settings":
        rows(tmp_path, "INSERT INTO Settings VALUES ('disk_nonsense', 1)")
    elif damage == "no table":
        rows(tmp_path, "ALTER TABLE Cache RENAME COLUMN value TO other")
    else:
        for each in (tmp_path / "cache").iterdir():
            each.unlink()
        (tmp_path / "cache").rmdir()
        (tmp_path / "cache").write_text("a file")
    views = opened()
    for i in range(5):
        assert views.get(cache.key("text")) is None
        views.put(cache.key(str(i)), VIEW)
    assert len(opened.said) == 1


def test_a_counter_that_was_tampered_with_does_not_undo_the_limit(opened: Callable[..., ViewCache], tmp_path: Path):
    opened().put(cache.key("text"), VIEW)
    rows(tmp_path, "UPDATE Settings SET value = -1000000 WHERE key = 'count'")
    views = opened(entries=3)
    for i in range(10):
        views.put(cache.key(str(i)), VIEW)
    assert views.count() == 3


def test_the_folder_is_the_users_alone(opened: Callable[..., ViewCache], tmp_path: Path):
    (tmp_path / "cache").mkdir(mode=0o755)
    opened()
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


def test_a_disk_shared_between_machines_is_told_by_the_nearest_mount():
    mounts = [SimpleNamespace(mountpoint=m, fstype=t) for m, t in [("/", "ext4"), ("/home", "nfs4"), ("/home/me", "btrfs")]]
    assert cache.network_file_system(Path("/home/you/.cache"), mounts) == "nfs4"
    assert cache.network_file_system(Path("/home/me/.cache"), mounts) == ""
    assert cache.network_file_system(Path("/homes"), mounts) == ""


def test_four_processes_share_it_and_the_limit_holds(opened: Callable[..., ViewCache], tmp_path: Path):
    opened(entries=100)
    code = f"""
import sys
from pathlib import Path
from llmc import cache
view = cache.CachedView(*{tuple(getattr(VIEW, f) for f in CachedView.__slots__)!r})
with cache.ViewCache(Path(sys.argv[1]), entries=100, on_warning=sys.exit) as views:
    for i in range(200):
        views.put(cache.key(sys.argv[2], str(i)), view)
        assert views.get(cache.key(sys.argv[2], str(i))) in (view, None)
"""
    argv = [sys.executable, "-c", code, str(tmp_path / "cache")]
    running = [subprocess.Popen([*argv, str(n)], stderr=subprocess.PIPE) for n in range(4)]
    said = [process.communicate(timeout=60)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0] * 4, said
    assert opened(entries=100).count() == 100
