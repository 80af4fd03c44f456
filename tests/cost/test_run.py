"""A run of the command line, from the requests to what is said of them: a cloud that is a real process and sends receipts."""

import signal
import time

import pytest

from llmc.ledger import Ledger
from tests.route.falling import minutes


@pytest.fixture
def words(llmc, tmp_path, fake):
    """A run of 12 documents through a cloud that answers one at a time; and the cloud."""
    (llmc.cwd / "in").mkdir()
    for i in range(12):
        (llmc.cwd / "in" / f"{i}.txt").write_text(minutes(i))
    server = fake("cloud", "--cost", "--slots", "1", "--service-seconds", "0.15")
    return server, [
        "compress", "input=in", "output=a.llmc", "profile=cloud", "view.target_ratio=3", "cache.enabled=false",
        "provider=gateway", f"provider.base_url={server.url}/v1", "provider.model=fake-mini", "provider.key_env=FAKE_API_KEY",
        f"ledger={tmp_path}/ledger.sqlite3",
    ]  # fmt: skip


def test_a_run_that_was_interrupted_says_so_and_what_it_paid_for_counts(llmc, words, tmp_path):
    server, command = words
    env = {"FAKE_API_KEY": "x" * 12, "LLMC_HOME": str(tmp_path / "home")}
    process = llmc.start(*command, env=env)
    while process.poll() is None and sum(line["path"].endswith("/chat/completions") for line in server.log) < 4:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    with Ledger.read(tmp_path / "ledger.sqlite3") as ledger:
        assert [run.status for run in ledger.runs()] == ["interrupted"]
        answered = [event for event in ledger.events() if event.status == "ok"]
        assert 3 <= len(answered) < 12
        assert all(event.price.cost_source == "receipt" and event.cost_pico for event in answered)
    llmc(*command, env=env).ok()
    with Ledger.read(tmp_path / "ledger.sqlite3") as ledger:
        assert [run.status for run in ledger.runs()] == ["interrupted", "done"]
