"""What is known of servers: real processes that are killed, outlived, mistaken for others."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from llmc.engine import records
from llmc.engine.records import Record
from llmc.errors import UsageError

SLEEP = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE)\n"
    "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)"
)


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))


@pytest.fixture
def running():
    """Starts processes as servers are started, and leaves none."""
    started = []

    def start(code, *arguments, **environment):
        argv = [sys.executable, "-c", code, *arguments]
        env = {**os.environ, **environment}
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True, env=env)
        started.append(process)
        return process

    yield start
    for process in started:
        for left in psutil.process_iter():
            try:
                if os.getsid(left.pid) == process.pid:
                    left.kill()
            except (psutil.Error, ProcessLookupError):
                continue
        process.wait()
        process.stdout.close()


def record(process=None, name="one", **changes):
    made = Record(name, "llama_server", "m", "", "cpu", "http://127.0.0.1:1", 1, 512, ours=True, boot=records.boot())
    if process is not None:
        made.pid, made.create_time = process.pid, psutil.Process(process.pid).create_time()
    return replace(made, **changes)


def test_a_record_is_read_as_it_was_written_and_is_its_owners_alone():
    made = record(key="secret", argv=["a", "b"], proof={"gpu_share": 1.0})
    records.write(made)
    assert records.read("one") == made
    assert records.everything() == [made]
    assert (records.folder("one") / "server.json").stat().st_mode & 0o077 == 0
    records.forget(made)
    assert records.everything() == []


def test_a_record_of_another_version_is_read_and_one_that_is_none_is_no_record():
    records.write(record())
    file = records.folder("one") / "server.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "colour": "red"}))
    assert records.read("one") == record()
    for text in ("", "[]", "{}", "\0"):
        file.write_text(text)
        assert records.read("one") is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a b", "x" * 65])
def test_a_name_is_a_plain_word(name):
    with pytest.raises(UsageError):
        records.folder(name)


def test_a_server_ends_when_it_is_asked_and_is_then_gone(running):
    made = record(running(SLEEP))
    assert records.leader(made).pid == made.pid
    assert records.end(made) == 1
    assert records.processes(made) == []
    assert records.end(made) == 0


def test_a_child_that_does_not_hear_ends_too_also_when_the_main_process_was_killed(running, monkeypatch):
    monkeypatch.setattr(records, "ORPHAN_SECONDS", 0.3)
    process = running(PARENT, DEAF)
    child = int(process.stdout.readline())
    made = record(process)
    assert {p.pid for p in records.processes(made)} == {process.pid, child}
    process.kill()
    process.wait()
    assert records.leader(made) is None
    assert [p.pid for p in records.processes(made)] == [child]
    assert records.end(made) == 1
    assert records.processes(made) == []


def test_a_process_that_only_has_the_same_number_is_another(running):
    process = running(SLEEP)
    for other in (record(process, create_time=12345.0), record(process, boot="an earlier one")):
        assert records.leader(other) is None
        assert records.processes(other) == []
        assert records.end(other) == 0
    assert process.poll() is None


def test_what_llmc_did_not_start_it_does_not_end(running):
    process = running(SLEEP)
    assert records.end(record(process, ours=False)) == 0
    assert process.poll() is None


def test_a_server_whose_llmc_was_killed_before_it_noted_the_process_is_found_by_its_mark(running):
    process = running(SLEEP, **{records.MARK: "4f2a"})
    deadline = time.monotonic() + 5
    made = record(mark="4f2a")
    while not records.processes(made) and time.monotonic() < deadline:
        time.sleep(0.01)  # until the environment of the new process can be read
    assert [p.pid for p in records.processes(made)] == [process.pid]
    assert records.processes(record(mark="another")) == []
    assert records.end(made) == 1


def test_a_server_is_abandoned_when_its_llmc_is_gone(running):
    process = running(SLEEP)
    made = record(owner_pid=process.pid, owner_create_time=psutil.Process(process.pid).create_time())
    assert not records.abandoned(made)
    process.kill()
    process.wait()
    assert records.abandoned(made)
    assert not records.abandoned(record())


def test_logs_of_servers_that_did_not_start_are_kept_but_not_for_ever():
    for n in range(records.LOGS_KEPT + 5):
        made = record(name=f"failed-{n}")
        records.write(made)
        made.log.write_text("no")
        os.utime(made.log, (n, n))
        records.forget(made, log=True)
    stays = record(name="stays")
    records.write(stays)
    stays.log.write_text("yes")
    os.utime(stays.log, (0, 0))
    records.prune()
    left = sorted(p.parent.name for p in records.folder("x").parent.glob("*/server.log"))
    assert len(left) == records.LOGS_KEPT + 1
    assert "stays" in left
    assert "failed-4" not in left


def test_a_long_log_is_cut_to_its_end_while_the_server_writes_on(running, monkeypatch):
    monkeypatch.setattr(records, "LOG_BYTES", 1000)
    monkeypatch.setattr(records, "KEPT_BYTES", 100)
    made = record()
    records.write(made)
    with made.log.open("ab", buffering=0) as server:
        server.write(b"old line\n" * 200)
        records.trim(made)
        server.write(b"new line\n")
    lines = made.log.read_bytes().split(b"\n")
    assert lines == [b"old line"] * 11 + [b"new line", b""]
    records.trim(made)
    assert len(made.log.read_bytes()) < 200


def test_who_gave_up_a_server_does_not_forget_the_next_one_of_its_name():
    records.write(record(mark="later"))
    records.forget(record(mark="earlier"))
    records.forget(record(mark="earlier"), log=True)
    assert records.read("one") == record(mark="later")
