"""The ledger: what is acknowledged is there, once, and cannot be changed."""

import os
import sqlite3
import stat
import threading
from dataclasses import replace

import pytest
from rows_to_record import NOON_US, UNKNOWN, document, event, run

from llmc import money
from llmc.errors import InputError, LedgerError
from llmc.ledger import Filter, Ledger, spool, tables
from llmc.period import Period


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "ledger.sqlite3"


@pytest.fixture
def ledger(path):
    with Ledger.open(path) as opened:
        opened.start(run())
        yield opened


def total(ledger, where=Filter()):  # noqa: B008
    (found,) = ledger.totals(where)
    return found


def test_what_was_recorded_is_read_as_it_was(ledger, path):
    made = [
        event(),
        event(status="failed", reason="timeout", prompt_tokens=None, output_tokens=None, cost_pico=None, price=UNKNOWN),
    ]
    for each in made:
        ledger.record(each)
    with Ledger.read(path) as again:
        assert list(again.events()) == made
        assert list(again.runs()) == [run()]


def test_sums_tell_what_is_known_and_count_what_is_not(ledger):
    ledger.record(event())
    ledger.record(event(cost_pico=None, price=UNKNOWN, model="my-model"))
    ledger.record(event(status="failed", reason="refused"))
    ledger.record(event(status="cached", cost_pico=0))
    found = total(ledger)
    assert (found.attempts, found.ok, found.failed, found.cached) == (4, 2, 1, 1)
    assert (found.cost_pico, found.failed_pico, found.unknown_cost) == (420_000_000, 210_000_000, 1)
    assert found.unknown_at_most_pico == 300_000_000
    (unknown,) = ledger.unknown_prices()
    assert (unknown.provider, unknown.model, unknown.why) == ("openai", "my-model", UNKNOWN.price_source)
    assert (unknown.attempts, unknown.prompt_tokens, unknown.output_tokens) == (1, 1000, 100)


def test_the_same_id_is_recorded_once(ledger):
    made = event()
    for each in (made, made, replace(made, cost_pico=9)):
        ledger.record(each)
    assert list(ledger.events()) == [made]


@pytest.mark.parametrize("table", tables.APPEND_ONLY)
def test_nothing_that_happened_can_be_changed_or_removed(ledger, path, table):
    ledger.record(event())
    ledger.record(document())
    ledger.end(run(ended_us=NOON_US + 5, status="done", original_bytes=10, archive_bytes=5))
    with sqlite3.connect(path) as other:
        key = other.execute("SELECT event, price, run FROM events").fetchone()
        other.execute("INSERT INTO repricings VALUES ('r', ?, 1, 2, ?)", key[:2])
        other.execute("INSERT INTO energy VALUES (NULL, 's', ?, 0, 1, 'none', 'none', '', 0, 0, 0, NULL, NULL, NULL)", key[2:])
        (column, *_) = (row[1] for row in other.execute(f"PRAGMA table_info({table})"))
        before = other.execute(f"SELECT * FROM {table}").fetchall()
        assert before
        for attempt in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(attempt)
        names = [row[1] for row in other.execute(f"PRAGMA table_info({table})")]
        other.execute(f"INSERT OR REPLACE INTO {table} SELECT {', '.join(names)} FROM {table}")
        assert other.execute(f"SELECT * FROM {table}").fetchall() == before
    other.close()


def test_replace_cannot_put_another_event_in_an_events_place(ledger, path):
    ledger.record(event(event_id="mine"))
    before = ledger.connection.execute("SELECT * FROM events").fetchall()
    for name, value in (("event_id", "'other'"), ("event", "99")):
        columns = [row[1] for row in ledger.connection.execute("PRAGMA table_info(events)")]
        changed = ", ".join(value if c == name else c for c in columns)
        ledger.connection.execute(f"INSERT OR REPLACE INTO events SELECT {changed} FROM events")
    assert ledger.connection.execute("SELECT * FROM events").fetchall() == before


def test_the_ledger_is_for_its_owner_only(ledger, path):
    ledger.record(event())
    assert {stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()} == {0o600}
    assert ledger.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger.connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_groups_add_up_to_the_whole(ledger):
    other = run("run-2", project="mail", tags=())
    ledger.start(other)
    for i in range(12):
        ledger.record(event("run-1" if i % 3 else "run-2", model=f"m{i % 4}", cost_pico=i * 1001, at_us=NOON_US + i))
    whole = total(ledger)
    days = (Period("day", "a", NOON_US, NOON_US + 5), Period("day", "b", NOON_US + 5, NOON_US + 100))
    for by in (("model",), ("project", "model"), ("run",), ("status",), ("cost_source",), ("period",)):
        groups = ledger.totals(Filter(periods=days if by == ("period",) else ()), by)
        assert sum(g.cost_pico for g in groups) == whole.cost_pico
        assert sum(g.attempts for g in groups) == 12
    assert [(g.key, g.attempts) for g in ledger.totals(Filter(periods=days), ("period",))] == [(("a",), 5), (("b",), 7)]
    assert [(g.key, g.attempts) for g in ledger.totals(Filter(project="mail"), ("project",))] == [(("mail",), 4)]
    assert [(g.key, g.attempts) for g in ledger.totals(Filter(tag="nightly"), ("tag",))] == [(("nightly",), 8)]


def test_a_filters_end_is_not_in_it(ledger):
    for at in (9, 10, 19, 20):
        ledger.record(event(at_us=at))
    assert [e.at_us for e in ledger.events(Filter(start_us=10, end_us=20))] == [10, 19]


def test_documents_and_runs_have_their_sums(ledger):
    ledger.record(document())
    ledger.record(document(kind="none", view_tokens=1200))
    ledger.end(run(ended_us=NOON_US + 9, status="done", original_bytes=10_000, archive_bytes=2_500))
    (found,) = ledger.documents()
    assert (found.documents, found.gist, found.none, found.source_bytes, found.view_tokens) == (2, 1, 1, 10_000, 1400)
    (ended,) = ledger.runs()
    assert (ended.status, ended.original_bytes, ended.archive_bytes) == ("done", 10_000, 2_500)


def test_a_sum_that_cannot_be_counted_is_an_error_and_not_another_number(ledger):
    for _ in range(2):
        ledger.record(event(cost_pico=money.MAX_PICO))
    with pytest.raises(LedgerError, match=r"more than can be counted \(\$9,223,372\.04\)"):
        ledger.totals()


def test_no_ledger_is_an_error_that_says_what_makes_one(path):
    with pytest.raises(InputError, match="no ledger") as caught:
        Ledger.read(path)
    assert "llmc compress" in caught.value.hint
    assert not path.exists()


def test_a_ledger_of_a_newer_llmc_is_left_alone(ledger, path):
    ledger.connection.execute("PRAGMA user_version = 99")
    for opening in (Ledger.open, Ledger.read):
        with pytest.raises(LedgerError, match="format 99"):
            opening(path)


def test_a_file_that_is_no_database_is_left_alone(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something of mine" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger.open(path)
    assert path.read_bytes() == b"something of mine" * 100


def test_what_cannot_be_written_now_waits_in_the_spool(ledger, path):
    made = [event() for _ in range(3)]
    blocker = sqlite3.connect(path, isolation_level=None)
    ledger.connection.execute("PRAGMA busy_timeout = 10")
    blocker.execute("BEGIN IMMEDIATE")
    for each in made:
        ledger.record(each)
    assert spool.waiting(path) == 3
    blocker.execute("ROLLBACK")
    blocker.close()
    with Ledger.read(path) as again:
        assert list(again.events()) == made
    assert spool.waiting(path) == 0


def test_on_a_network_file_system_everything_is_spooled_and_can_be_read(path, monkeypatch):
    monkeypatch.setattr(spool, "is_remote", lambda folder: True)
    made = [event(), event()]
    with Ledger.open(path) as there:
        there.start(run())
        for each in (*made, made[0], document()):
            there.record(each)
        there.end(run(ended_us=NOON_US, status="done"))
    assert not path.exists()
    assert {stat.S_IMODE(p.stat().st_mode) for p in spool.folder(path).iterdir()} == {0o600}
    with Ledger.read(path) as again:
        assert list(again.events()) == made
        assert [r.status for r in again.runs()] == ["done"]
    monkeypatch.undo()
    with Ledger.open(path) as here:
        assert list(here.events()) == made
        assert spool.waiting(path) == 0


def test_a_spooled_file_that_is_no_record_is_set_aside_and_stops_nothing(ledger, path):
    waiting = spool.folder(path)
    made = [event(), event(), event(status="no such status")]
    spool.put(path, run(), made[0])
    (waiting / "1.json").write_text('{"format": 1, "ki')
    (waiting / "2.tmp").write_text("torn before it was renamed")
    (waiting / "3.json").write_text('{"format": 2}')
    (waiting / "4.json").write_text("[" * 100_000)
    spool.put(path, run(), made[2])
    spool.put(path, run(), made[1])
    with Ledger.open(path) as again:
        assert list(again.events()) == made[:2]
        assert [("set aside" in said, "waits for the llmc" in said) for said in again.warnings] == [
            (True, False), (False, True), (True, False), (True, False),
        ]  # fmt: skip
    assert [file.name for file in sorted(waiting.glob("*.json"))] == ["3.json"]
    assert (waiting / "1.json.no-record").read_text() == '{"format": 1, "ki'
    with Ledger.open(path) as once_more:
        assert len(once_more.warnings) == 1  # of the one that waits


def test_threads_may_share_a_ledger(ledger):
    threads = [threading.Thread(target=lambda: [ledger.record(event()) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total(ledger).attempts == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_a_connection_of_its_own(ledger):
    ledger.record(event())
    child = os.fork()
    if not child:
        ledger.record(event(event_id="the child's"))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ledger.record(event())
    assert total(ledger).attempts == 3


def test_names_are_data(ledger):
    names = ["=cmd()", "<script>alert(1)</script>", "'; DROP TABLE events; --", "a\x00b", "\u202e", "💥" * 50]
    for name in names:
        ledger.record(event(document=name, model=name, tier=name))
    assert [e.model for e in ledger.events()] == names
    assert {g.key[0] for g in ledger.totals(by=("model",))} == set(names)
    assert [e.document for e in ledger.events(Filter(model=names[2]))] == [names[2]]
