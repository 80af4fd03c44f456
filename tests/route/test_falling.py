"""The ladder really falls: for each thing that goes wrong at a server, what is done about it, and where a document ends up."""

import asyncio
import dataclasses
import json
import threading
import time

import httpx
import pytest

from llmc.archive import Archive
from llmc.errors import BudgetExceeded, EngineError, EngineUnavailable, LedgerError, UsageError
from llmc.meter import Unmetered
from llmc.route import Stopped
from llmc.route.history import History, length_class
from llmc.route.tier import Identity, Tier
from llmc.schema import ViewConfig
from tests.route.falling import QUICK, cloud, minutes, run, steps, views
from tests.test_pipeline import Scripted

KEPT_BY_SECOND = ["second kept"]


@pytest.mark.parametrize(
    ("fault", "flags", "options", "seen", "asked"),
    [
        ("none", [], {}, ["cloud kept"], 1),
        ("429 with Retry-After, once", ["--fault", "429", "--times", 1, "--retry-after", 0.2], {}, ["cloud kept"], 2),
        ("429 for longer than the deadline", ["--fault", "429", "--retry-after", 60], {}, ["cloud failed: busy"], 1),
        ("429 always", ["--fault", "429"], {}, ["cloud failed: busy"], 3),
        ("500 twice", ["--fault", "500", "--times", 2], {}, ["cloud kept"], 3),
        ("500 always", ["--fault", "500"], {}, ["cloud failed: server error"], 3),
        ("503 always", ["--fault", "503"], {}, ["cloud failed: unreachable"], 3),
        ("connection dropped", ["--fault", "drop"], {}, ["cloud failed: unreachable"], 3),
        ("hang", ["--fault", "hang", "--hang", 3], {"timeout_seconds": 0.3}, ["cloud failed: timeout"], 3),
        ("slow drip", ["--fault", "drip"], {"timeout_seconds": 0.4}, ["cloud failed: timeout"], 3),
        ("400", ["--fault", "400"], {}, ["cloud failed: error"], 1),
        ("body is not JSON", ["--fault", "not-json"], {}, ["cloud failed: error"], 1),
        ("JSON without choices", ["--fault", "no-choices"], {}, ["cloud failed: error"], 1),
        ("answer of another shape", ["--fault", "wrong-json"], {}, ["cloud refused: fidelity integrity"] * 2, 2),
        ("cut at the token limit", ["--fault", "truncated"], {}, ["cloud refused: fidelity integrity"] * 2, 2),
        ("filtered", ["--fault", "filtered"], {}, ["cloud refused: fidelity integrity"] * 2, 2),
        ("a lie", ["--fault", "lie"], {}, ["cloud refused: fidelity"] * 2, 2),
        ("a lie, once", ["--fault", "lie", "--times", 1], {}, ["cloud refused: fidelity", "cloud kept"], 2),
        ("key refused", ["--key", "right"], {}, ["cloud failed: denied"], 1),
        ("context overflow, once", ["--fault", "context", "--times", 1], {}, ["cloud kept"], 4),
        ("context overflow, always", ["--fault", "context"], {}, ["cloud failed: context"], 4),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_step_down_is_taken_for_its_real_reason(fake, tmp_path, fault, flags, options, seen, asked):
    first, second = fake("cloud", *flags), fake("cloud")
    made, summary = run(tmp_path, [cloud(first.url, **options), cloud(second.url, "second")])
    expected = seen if seen[-1] == "cloud kept" else seen + KEPT_BY_SECOND
    assert [step[: len(want)] for step, want in zip(steps(made["000.txt"]), expected, strict=True)] == expected
    assert made["000.txt"].kind == "gist"
    chats = [line for line in first.log if line["path"].endswith("/chat/completions")]
    assert len(chats) == asked, fault
    if expected[-1] == "second kept":
        assert summary.gists_by == {"fake-mini (second)": 1}
        assert sum(summary.steps_down["cloud"].values()) == 1


def test_a_server_that_is_not_there_is_tried_and_left(fake, tmp_path):
    gone, second = fake("cloud"), fake("cloud")
    gone.stop()
    made, _ = run(tmp_path, [cloud(gone.url), cloud(second.url, "second")])
    assert steps(made["000.txt"]) == ["cloud failed: no connection", "second kept"]


def test_when_no_rung_gives_a_good_gist_the_extract_stands_in(fake, tmp_path):
    made, summary = run(
        tmp_path, [cloud(fake("cloud", "--fault", "lie").url), cloud(fake("cloud", "--fault", "500").url, "second")]
    )
    said = steps(made["000.txt"])
    assert (said[2], said[-1]) == ("second failed: server error", "extract kept")
    assert summary.steps_down["second"] == {"server error": 1}
    assert made["000.txt"].kind == "extract"


def test_a_refused_key_closes_the_rung_for_the_run_with_a_hint_and_is_shown_nowhere(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_API_KEY", "sk-secret-0123456789")
    server, second = fake("cloud", "--key", "right"), fake("cloud")
    tier = cloud(server.url, provider={"key_env": "FAKE_API_KEY"}, concurrency=1)
    made, summary = run(tmp_path, [tier, cloud(second.url, "second")], [minutes(i) for i in range(6)])
    assert len(server.log) == 1
    assert {view.attempts[-1].by for view in made.values()} == {"second"}
    assert "is FAKE_API_KEY right, and is there credit left at fake?" in summary.warnings[0]
    everything = json.dumps([summary.warnings, summary.steps_down, server.log]) + repr(made) + tier.why_closed
    everything += "".join(p.read_bytes().decode("latin-1") for p in (tmp_path / "a.llmc").rglob("*") if p.is_file())
    assert "sk-secret" not in everything


def test_a_rung_that_fails_in_a_row_rests_and_is_found_again_when_it_is_well(fake, tmp_path):
    server, second = fake("cloud", "--fault", "500", "--times", 6), fake("cloud", "--service-seconds", 0.05)
    patience = dataclasses.replace(QUICK, rest_after_failures=4, rest_seconds=0.2)
    tier = cloud(server.url, patience=patience, concurrency=1, batch=2)
    other = cloud(second.url, "second", concurrency=1, batch=2)
    made, summary = run(tmp_path, [tier, other], [minutes(i) for i in range(60)])
    how = [" ".join(steps(view)) for view in made.values()]
    assert sum("cloud failed: resting second kept" in h for h in how) > 3
    assert sum(h == "cloud kept" for h in how) > 3
    assert tier.breaker.closed
    assert any("cloud rests for 0.2 s: it failed 4 times in a row" in w for w in summary.warnings)
    chats = [line for line in server.log if line["path"].endswith("/chat/completions")]
    assert len(chats) < 60 + 6


def test_with_nowhere_else_to_go_a_rest_is_waited_out(fake, tmp_path):
    server = fake("cloud", "--fault", "500", "--times", 5)
    patience = dataclasses.replace(QUICK, tries=8, rest_after_failures=3, rest_seconds=0.2, deadline_seconds=10)
    made, _ = run(tmp_path, [cloud(server.url, patience=patience, concurrency=2)], [minutes(i) for i in range(8)])
    assert {view.kind for view in made.values()} == {"gist"}


def test_one_poisoned_document_is_isolated_with_its_error_and_only_it_is_done_again(fake, tmp_path):
    server = fake("cloud", "--fault", "500", "--only", "number 3 of")
    texts = [minutes(i) for i in range(8)]
    made, summary = run(tmp_path, [cloud(server.url)], texts)
    assert [made[f"{i:03}.txt"].kind for i in range(8)] == ["gist"] * 3 + ["extract"] + ["gist"] * 4
    assert "answered 500: The server had an error" in made["003.txt"].attempts[0].reason
    before = len(server.log)
    again, summary = run(tmp_path, [cloud(fake("cloud").url)], texts)
    assert (summary.documents_viewed, again["003.txt"].kind) == (1, "gist")
    assert len(server.log) == before


def test_a_run_that_is_going_wrong_stops_and_keeps_what_is_done(fake, tmp_path):
    server = fake("cloud", "--fault", "400", "--only", "number 1")
    texts = [minutes(i) for i in range(100)]
    with pytest.raises(
        EngineError, match=r"4 documents got no answer from a model, profile.max_failures=3; the last: .* 400"
    ) as e:
        run(tmp_path, [cloud(server.url, concurrency=1, batch=4)], texts, max_failures=3)
    assert "llmc stats" in e.value.hint
    made, summary = run(tmp_path, [cloud(fake("cloud").url)], texts)
    assert len(made) == 100
    assert 80 < summary.documents_viewed < 100


def test_a_budget_that_is_spent_ends_the_run_before_anything_more_is_sent(fake, tmp_path):
    settled = []

    class Purse(Unmetered):
        calls = 0

        def reserve(self, call, *, prompt_tokens, max_output_tokens):
            self.calls += 1
            if self.calls > 5:
                raise BudgetExceeded("month: $1.00 of $1.00 spent")

        def settle(self, call, outcome):
            settled.append((call, outcome))

    server = fake("cloud", "--cost")
    texts = [minutes(i) for i in range(30)]
    with pytest.raises(BudgetExceeded, match="month"):
        run(tmp_path, [cloud(server.url, meter=Purse(), concurrency=2)], texts)
    assert len(server.log) == 5
    assert len(settled) == 5
    call, outcome = settled[0]
    assert (call.local, call.tier, call.provider, call.model, call.attempt) == (False, "cloud", "fake", "fake-mini", 1)
    assert outcome.status == "ok"
    assert outcome.cost_usd is not None
    assert outcome.request_id.startswith("req_")
    assert outcome.prompt_tokens
    made, summary = run(tmp_path, [cloud(server.url)], texts)
    assert (len(made), summary.documents_viewed) == (30, 25)


def test_a_ledger_that_cannot_be_kept_ends_the_run(fake, tmp_path):
    class Broken(Unmetered):
        def reserve(self, call, *, prompt_tokens, max_output_tokens):
            raise LedgerError("a budget cannot be kept: disk I/O error")

    server = fake("cloud")
    with pytest.raises(LedgerError, match="a budget cannot be kept"):
        run(tmp_path, [cloud(server.url, meter=Broken())], [minutes(i) for i in range(5)])
    assert server.log == []
    assert views(tmp_path / "a.llmc") == {}  # nothing is noted of documents that nobody was asked for


def test_what_is_set_aside_is_the_most_that_it_may_come_to(fake, tmp_path):
    reserved = []

    class Purse(Unmetered):
        def reserve(self, call, *, prompt_tokens, max_output_tokens):
            reserved.append((prompt_tokens, max_output_tokens))

    server = fake("cloud", "--lengths")
    run(tmp_path, [cloud(server.url, meter=Purse(), reasoning_tokens=1000)], [minutes(1)])
    asked = server.log[0]["body"]
    size = sum(len(message["content"].encode()) for message in asked["messages"])
    assert reserved == [(size, asked["max_completion_tokens"] + 1000)]  # nobody has counted: a token is a byte or more


def test_every_attempt_is_settled_with_how_it_ended(fake, tmp_path):
    settled = []

    class Record(Unmetered):
        def settle(self, call, outcome):
            settled.append((call.attempt, outcome.status, outcome.reason, outcome.seconds > 0))

    run(tmp_path, [cloud(fake("cloud", "--fault", "500", "--times", 2).url, meter=Record())])
    assert settled == [(1, "failed", "server error", True), (2, "failed", "server error", True), (3, "ok", "", True)]


def test_low_quality_asks_the_first_rung_once(fake, tmp_path):
    first = fake("cloud", "--fault", "lie")
    made, _ = run(tmp_path, [cloud(first.url)], quality="low")
    assert steps(made["000.txt"])[1:] == ["extract kept"]
    assert len(first.log) == 1


def test_a_long_document_holds_up_nobody_in_its_part_or_the_next(fake, tmp_path):
    """One text is not answered before all the others were, in this part and in the next one."""
    server = fake("cloud", "--fault", "hold", "--only", "number 5 of")
    others = []

    def release() -> None:
        deadline = time.monotonic() + 20
        while len(others) < 39 and time.monotonic() < deadline:
            others[:] = [line for line in server.log if "number 5 of" not in line["body"]["messages"][1]["content"]]
            time.sleep(0.05)
        httpx.post(f"{server.url}/control", json={"fault": None}, trust_env=False)

    run(tmp_path, [], [minutes(i) for i in range(10)], view=ViewConfig(name="none"))
    releasing = threading.Thread(target=release)
    releasing.start()
    made, _ = run(tmp_path, [cloud(server.url, concurrency=4, timeout_seconds=30)], [minutes(i) for i in range(40)])
    releasing.join()
    assert len(Archive.open(tmp_path / "a.llmc").manifest.parts) == 2
    assert {view.kind for view in made.values()} == {"gist"}
    assert len(others) == 39


def test_no_more_is_asked_at_once_than_the_rung_allows_while_more_is_prepared(fake, tmp_path):
    server = fake("cloud", "--slots", 8, "--service-seconds", 0.05)
    tier = cloud(server.url, concurrency=4, timeout_seconds=20)
    run(tmp_path, [tier], [minutes(i) for i in range(32)])
    assert max(line["in_flight"] for line in server.log) == 4


def test_of_a_batch_the_longest_text_is_asked_for_first(fake, tmp_path):
    server = fake("cloud", "--service-seconds", 0.02)
    texts = [minutes(i, repeats=1 + i % 5) for i in range(20)]
    run(tmp_path, [cloud(server.url, concurrency=1, batch=20, timeout_seconds=20)], texts)
    lengths = [len(line["body"]["messages"][1]["content"]) for line in server.log]
    # Documents reach the queue as they are prepared, so the first few are in the order they came.
    assert sum(lengths[:10]) > sum(lengths[10:])


def test_constant_instructions_come_first_so_that_a_prefix_cache_holds_them(fake, tmp_path):
    server = fake("cloud")
    run(tmp_path, [cloud(server.url)], [minutes(i, repeats=1 + i % 3) for i in range(6)])
    prompts = ["".join(m["content"] for m in line["body"]["messages"]) for line in server.log]
    beginning = prompts[0][: prompts[0].index("These are the minutes")]
    assert beginning.endswith("<text>\n")
    assert all(prompt.startswith(beginning) for prompt in prompts)
    assert len({prompt.removeprefix(beginning)[:40] for prompt in prompts}) == 6


def test_with_route_history_the_rung_that_keeps_more_comes_to_be_asked_first(fake, tmp_path):
    first, second = fake("cloud", "--fault", "lie"), fake("cloud")
    tiers = [cloud(first.url, attempts=1, concurrency=1, batch=1), cloud(second.url, "second", concurrency=1, batch=1)]
    for tier in tiers:
        tier.identity = Identity(f"model of {tier.name}", "openai")
    with History(tmp_path / "history.sqlite3") as history:
        run(tmp_path, tiers, [minutes(i) for i in range(60)], history=history, order=history.order)
        later = [history.order(tiers, f"later {i}", 500)[0].name for i in range(200)]
        records = [history.record(tier.identity, length_class(500)) for tier in tiers]
    assert later.count("second") > 140  # of 200; the seconds that a try takes differ from run to run
    asked = [sum(line["path"].endswith("/chat/completions") for line in server.log) for server in (first, second)]
    assert asked[0] < 50
    assert asked[1] == 60
    assert [record.pass_rate for record in records] == [0.0, 1.0]


def test_an_engine_whose_weights_are_gone_when_it_died_is_left_for_the_next_rung(fake, tmp_path):
    class Gone(Scripted):
        def __enter__(self):
            raise UsageError("scripted-1 has no weights here", hint="llmc pull")

    engine = Gone(lambda messages, n: EngineUnavailable("it was killed"))
    tier = Tier.of(engine, patience=QUICK)
    made, summary = run(tmp_path, [tier, cloud(fake("cloud").url, "second")], [minutes(i) for i in range(5)])
    assert {steps(view)[-1] for view in made.values()} == {"second kept"}
    assert any(
        "local (scripted-1) is not asked any more: scripted-1 has no weights here (llmc pull)" in w for w in summary.warnings
    )
    assert tier.why_closed


def test_when_the_run_ends_no_further_rung_is_started():
    started = []
    tier = Tier("other", Identity("m", "fake"), "", local=True, open=lambda: started.append(1))
    tier.limit.stop()
    with pytest.raises(Stopped):
        asyncio.run(tier.running())
    assert started == []
