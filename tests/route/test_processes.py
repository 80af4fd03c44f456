"""Whole runs of the command line: a real local model, a cloud that is a real process, and every connection watched."""

import json
import os
import signal
import time

import psutil
import pytest

from llmc.archive import Archive
from tests.route.falling import minutes, steps, views


def write(folder, count=3):
    folder.mkdir()
    for i in range(count):
        (folder / f"{i}.txt").write_text(minutes(i))


def watched(process) -> set[str]:
    """Addresses off this machine that a process or its children connected to while it ran."""
    found = set()
    while process.poll() is None:
        try:
            everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            for one in everyone:
                found |= {c.raddr.ip for c in one.net_connections("inet") if c.raddr}
        except psutil.Error:
            pass
        time.sleep(0.002)
    return found


def wait_until(true) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def cloud_words(url):
    return ["provider=gateway", f"provider.base_url={url}/v1", "provider.model=fake-mini", "provider.key_env=FAKE_API_KEY"]


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_hybrid_asks_the_local_model_then_the_cloud_and_the_summary_says_why(llmc, fake, tmp_path):
    write(llmc.cwd / "in")
    server = fake("cloud", "--key", "sk-secret-0123456789", "--cost")
    words = ["compress", "input=in", "output=a.llmc", "profile=hybrid", "view.target_ratio=3", *cloud_words(server.url)]
    env = {"FAKE_API_KEY": "sk-secret-0123456789", "LLMC_LEDGER": ""}
    words += ["cache.enabled=false", f"ledger={tmp_path}/ledger.sqlite3", "profile.patience.deadline_seconds=60"]
    done = llmc(*words, env=env, timeout=300).ok()
    run = done.json["run"]
    assert run["gists_by"].get("fake-mini (cloud)", 0) > 0
    made = views(llmc.cwd / "a.llmc")
    for view in made.values():
        assert steps(view)[0].startswith("local ")
        assert view.kind == "gist"
    assert sum(run["steps_down"]["local"].values()) == run["gists_by"]["fake-mini (cloud)"]
    everything = done.stdout + done.stderr + json.dumps(server.log)
    everything += "".join(p.read_bytes().decode("latin-1") for p in (llmc.cwd / "a.llmc").rglob("*") if p.is_file())
    everything += (tmp_path / "ledger.sqlite3").read_bytes().decode("latin-1")
    assert "sk-secret" not in everything


def test_profile_cloud_needs_no_local_model(llmc_inside, fake, tmp_path):
    llmc = llmc_inside
    write(llmc.cwd / "in")
    server = fake("cloud", "--lengths")
    words = ["compress", "input=in", "output=a.llmc", "profile=cloud", "view.target_ratio=3", *cloud_words(server.url)]
    env = {"FAKE_API_KEY": "x" * 12, "LLMC_HOME": str(tmp_path / "home")}
    done = llmc(*words, env=env).ok()
    assert done.json["run"]["gists_by"] == {"fake-mini (cloud)": 3}
    assert {v.kind for v in views(llmc.cwd / "a.llmc").values()} == {"gist"}
    again = llmc(*words, env=env).ok()
    assert again.json["run"]["documents_viewed"] == 0
    assert len([line for line in server.log if line["path"].endswith("/chat/completions")]) == 3


def test_a_missing_key_closes_the_cloud_and_every_document_still_has_a_view(llmc_inside, fake, tmp_path):
    llmc = llmc_inside
    write(llmc.cwd / "in")
    server = fake("cloud")
    words = ["compress", "input=in", "output=a.llmc", "profile=cloud", "view.target_ratio=3", *cloud_words(server.url)]
    done = llmc(*words, env={"LLMC_HOME": str(tmp_path / "home")}).ok()
    assert {v.kind for v in views(llmc.cwd / "a.llmc").values()} == {"extract"}
    assert any(
        "the environment variable FAKE_API_KEY is not set (export FAKE_API_KEY=…)" in w for w in done.json["run"]["warnings"]
    )
    assert server.log == []


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_profile_local_opens_no_connection_off_this_machine(llmc):
    write(llmc.cwd / "in", 1)
    short = ["view.max_tokens=24", "view.min_tokens=24", "view.attempts=1", "cache.enabled=false"]
    process = llmc.start("compress", "input=in", "output=a.llmc", "profile=local", "quiet=true", *short)
    seen = watched(process)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["run"]["prompt_tokens"] > 0
    assert seen <= {"127.0.0.1", "::1"}
    assert "127.0.0.1" in seen  # it was watched closely enough to see the requests to its own server
    assert len(Archive.open(llmc.cwd / "a.llmc")) == 1


def test_profile_local_refuses_a_cloud_off_this_machine_before_anything_starts(llmc_inside):
    llmc = llmc_inside
    write(llmc.cwd / "in", 1)
    message, hint = llmc("compress", "input=in", "output=a.llmc", "engine=openai").usage()
    assert message == "profile=local opens no connection to api.openai.com"
    assert "profile=hybrid" in hint
    assert not os.path.exists(llmc.cwd / "a.llmc")


def test_keys_are_in_no_config_dump(llmc_inside):
    env = {"OPENAI_API_KEY": "sk-secret-0123456789"}
    dump = llmc_inside("compress", "engine=openai", "profile=cloud", "--cfg", "job", "--resolve", env=env).ok()
    assert "OPENAI_API_KEY" in dump.stdout
    assert "sk-secret" not in dump.stdout


@pytest.mark.parametrize("stopped_by", ["a budget", "Ctrl-C"])
def test_a_run_that_ends_waits_for_no_other_try(llmc, fake, tmp_path, stopped_by):
    """The server asks to be left alone for an hour, and patience would last two."""
    write(llmc.cwd / "in", 2)
    server = fake("cloud", "--fault", "429", "--retry-after", 3600, "--only", "number 0", "--service-seconds", 0.2)
    patience = ["profile.patience.deadline_seconds=7200", "profile.ladder=[cloud]", "cache.enabled=false"]
    words = ["compress", "input=in", "output=a.llmc", "profile=cloud", *cloud_words(server.url), *patience]
    words += [f"ledger={tmp_path}/ledger.sqlite3", "profile.rungs.cloud.concurrency=2"]
    if stopped_by == "a budget":
        words.append("budget.run.requests=2")
        (llmc.cwd / "in/2.txt").write_text(minutes(2))
    process = llmc.start(*words, env={"FAKE_API_KEY": "x" * 12})
    if stopped_by == "Ctrl-C":
        wait_until(lambda: any("number 0" in str(line["body"]) for line in server.log))
        wait_until(lambda: views(llmc.cwd / "a.llmc").get("1.txt"))
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if stopped_by == "Ctrl-C" else 3), said
    assert "0.txt" not in views(llmc.cwd / "a.llmc")


@pytest.mark.parametrize(("adaptive", "least", "most"), [("true", 3, 6), ("false", 1, 1)])
def test_an_adaptive_rung_asks_more_at_once_as_far_as_its_batch_and_a_fixed_one_never(
    llmc_inside, fake, tmp_path, adaptive, least, most
):
    llmc = llmc_inside
    write(llmc.cwd / "in", 40)
    server = fake("cloud", "--lengths", "--service-seconds", 0.1)
    words = ["compress", "input=in", "output=a.llmc", "profile=cloud", *cloud_words(server.url), f"profile.adaptive={adaptive}"]
    words += ["profile.ladder=[cloud]", "profile.rungs.cloud.concurrency=1", "profile.rungs.cloud.batch=6", "similarity=null"]
    llmc(*words, env={"FAKE_API_KEY": "x" * 12, "LLMC_HOME": str(tmp_path / "home")}).ok()
    together = [line["in_flight"] for line in server.log]
    assert least <= max(together) <= most


def test_an_adaptive_rung_gives_way_to_a_server_that_says_it_has_too_much(llmc_inside, fake, tmp_path):
    """Two slots and room for one more: beyond three at once it answers 429. A fixed rung asks in vain again and again."""
    llmc = llmc_inside
    write(llmc.cwd / "in", 20)
    asked = {}
    for adaptive in ("true", "false"):
        server = fake("cloud", "--lengths", "--service-seconds", 0.3, "--slots", 2, "--queue", 1, "--retry-after", 0.03)
        words = ["compress", "input=in", f"output={adaptive}.llmc", "profile=cloud", *cloud_words(server.url)]
        words += ["profile.ladder=[cloud]", f"profile.adaptive={adaptive}", "similarity=null", "profile.patience.tries=200"]
        words += ["profile.rungs.cloud.concurrency=12", "profile.rungs.cloud.batch=24"]
        llmc(*words, env={"FAKE_API_KEY": "x" * 12, "LLMC_HOME": str(tmp_path / adaptive)}).ok()
        assert {view.kind for view in views(llmc.cwd / f"{adaptive}.llmc").values()} == {"gist"}
        asked[adaptive] = len(server.log)
    assert asked["true"] < asked["false"]
