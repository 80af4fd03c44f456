"""kill -9 at any moment: what was acknowledged is on record, once and whole. And a million events: seconds, and flat memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rows_to_record import event, run

from llmc.ledger import Filter, Ledger, spool
from llmc.ledger.verify import verify
from llmc.period import Period

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent

KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
from calls import OK, config, local
from llmc.ledger.meter import open_meter

def write(path, name, told):
    meter = open_meter(config(path))
    os.write(told, b"ready\\n")
    for i in range(100_000):
        call = local(f"{name} {i}")
        meter.reserve(call, prompt_tokens=1000, max_output_tokens=300)
        os.write(told, f"sent {call.event_id}\\n".encode())
        meter.settle(call, OK)
        os.write(told, f"done {call.event_id}\\n".encode())

path, kills = Path(sys.argv[1]), int(sys.argv[2])
rng = random.Random(7)
said = []
for pair in range(kills // 2):
    running = []
    for side in range(2):
        reader, told = os.pipe()
        pid = os.fork()
        if not pid:
            write(path, f"{pair}-{side}", told)
        os.close(told)
        running.append((pid, os.fdopen(reader)))
    for pid, out in running:
        assert out.readline() == "ready\\n"
    for pid, out in running:
        time.sleep(rng.uniform(0.001, 0.06))
        os.kill(pid, signal.SIGKILL)
    for pid, out in running:
        said += [line[:-1] for line in out if line.endswith("\\n")]
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
print(json.dumps(said))
"""


def kill_again_and_again(path: Path, kills: int) -> None:
    """Two writers at a time, each killed at a moment of its own; then everything that was said is looked for."""
    killer = subprocess.run(
        [sys.executable, "-c", KILLER, str(path), str(kills)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"},
        stdout=subprocess.PIPE,
        check=True,
    )
    said = [line.split(" ", 1) for line in json.loads(killer.stdout)]
    sent = {name for what, name in said if what == "sent"}
    acknowledged = {name for what, name in said if what == "done"}
    with Ledger.open(path) as ledger:
        assert all(check.passed for check in verify(ledger)), verify(ledger)
        settled = [e.event_id for e in ledger.events()]
        waiting = {row[0] for row in ledger.connection.execute("SELECT event_id FROM reservations")}
    assert len(acknowledged) > kills
    assert acknowledged <= set(settled)
    assert len(settled) == len(set(settled))
    assert sent <= set(settled) | waiting  # what was sent is known of, though its end is not
    assert not spool.waiting(path)


def test_ten_kills_lose_no_acknowledged_event(tmp_path):
    kill_again_and_again(tmp_path / "ledger.sqlite3", 10)


@pytest.mark.soak
def test_fifty_kills_lose_no_acknowledged_event(tmp_path):
    kill_again_and_again(tmp_path / "ledger.sqlite3", 50)


ASK = """
import json, resource, sys, time
from pathlib import Path
from llmc.ledger import Filter, Ledger
from llmc.period import Period
DAY = 86_400_000_000
START = int(sys.argv[2])
days = tuple(Period("day", f"{d:02}", START + d * DAY, START + (d + 1) * DAY) for d in range(30))
took = {}
def timed(name, ask):
    began = time.perf_counter()
    found = ask()
    took[name] = round(time.perf_counter() - began, 2)
    return found
with Ledger.read(Path(sys.argv[1])) as ledger:
    whole = timed("total", lambda: ledger.totals())
    timed("by model", lambda: ledger.totals(by=("model",)))
    timed("by tier, model, status", lambda: ledger.totals(by=("tier", "model", "status")))
    timed("by project", lambda: ledger.totals(by=("project",)))
    timed("by day", lambda: ledger.totals(Filter(periods=days), ("period", "tier")))
    timed("one day", lambda: ledger.totals(Filter(start_us=START, end_us=START + DAY), ("model",)))
    timed("one run", lambda: ledger.totals(Filter(run_id="run-3"), ("model",)))
    count = timed("every event", lambda: sum(1 for _ in ledger.events()))
print(json.dumps({"took": took, "events": count, "attempts": whole[0].attempts, "cost": whole[0].cost_pico,
                  "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def filled(path: Path, count: int, start_us: int) -> None:
    """``count`` events of 40 runs over 30 days, made by SQLite itself from the first one."""
    with Ledger.open(path) as ledger:
        for i in range(40):
            ledger.start(run(f"run-{i}", project=f"project-{i % 5}", started_us=start_us))
        ledger.record(event("run-0", at_us=start_us, cost_pico=0))
        special = {
            "event": "NULL", "event_id": "printf('%032x', i)", "run": "1 + i % 40", "cost_pico": "i",
            "at_us": f"{start_us} + i * {30 * 86_400_000_000 // count}", "document": "(i % 1000) || '.md'",
            "model": "'model-' || (i % 7)", "tier": "CASE i % 2 WHEN 0 THEN 'local' ELSE 'cloud' END",
            "status": "CASE i % 4 WHEN 3 THEN 'failed' ELSE 'ok' END",
        }  # fmt: skip
        names = [row[1] for row in ledger.connection.execute("PRAGMA table_info(events)")]
        ledger.connection.execute("PRAGMA synchronous = OFF")  # only while it is made
        ledger.connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            f" INSERT INTO events SELECT {', '.join(special.get(n, n) for n in names)} FROM n, (SELECT * FROM events LIMIT 1)",
            (count - 1,),
        )


def ask(path: Path, start_us: int) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(path), str(start_us)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.soak
def test_a_million_events_are_summed_in_flat_memory(tmp_path, capsys):
    start_us = 1_793_000_000_000_000
    small, large = tmp_path / "small.sqlite3", tmp_path / "large.sqlite3"
    filled(small, 10_000, start_us)
    filled(large, 1_000_000, start_us)
    few, many = ask(small, start_us), ask(large, start_us)
    with capsys.disabled():
        size = large.stat().st_size / 1e6
        sys.stdout.write(f"\n{many['took']}\n{few['mib']:.0f} MiB -> {many['mib']:.0f} MiB, {size:.0f} MB on disk\n")
    assert (many["events"], many["attempts"], many["cost"]) == (1_000_000, 1_000_000, 999_999 * 500_000)
    assert many["mib"] < few["mib"] + 20


def test_a_query_by_time_or_run_uses_an_index(tmp_path):
    """What keeps a day or a run of a large ledger quick; not a matter of this machine's speed."""
    path = tmp_path / "ledger.sqlite3"
    filled(path, 2000, 0)
    with Ledger.read(path) as ledger:
        asked: list[str] = []
        ledger.connection.set_trace_callback(asked.append)
        ledger.totals(Filter(start_us=0, end_us=10))
        ledger.totals(Filter(run_id="run-3"), ("model",))
        ledger.totals(Filter(periods=(Period("day", "a", 0, 10),)), ("period",))
        ledger.connection.set_trace_callback(None)
        plans = [" ".join(row[3] for row in ledger.connection.execute(f"EXPLAIN QUERY PLAN {sql}")) for sql in asked]
    assert ["events_by_time" in plans[0], "events_by_run" in plans[1], "events_by_time" in plans[2]] == [True] * 3, plans
