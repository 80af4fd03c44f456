"""The meter: what a call cost and whose word that is, and budgets that hold."""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from calls import OK, budget, cloud, config, local, spend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmc import money, schema
from llmc.errors import BudgetExceeded, UsageError
from llmc.ledger import Filter, Ledger, spool
from llmc.ledger.meter import open_meter
from llmc.meter import Call, Made, Outcome
from llmc.schema import LimitConfig, PowerConfig


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "ledger.sqlite3"


ROOT = Path(__file__).parent.parent.parent
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock:
    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def one(path: Path, call: Call, outcome: Outcome, **changes):
    with open_meter(config(path, **changes)) as meter:
        meter.reserve(call, prompt_tokens=1000, max_output_tokens=300)
        meter.settle(call, outcome)
    with Ledger.read(path) as ledger:
        (event,) = ledger.events()
    return event


def test_a_call_is_priced_by_the_list_and_says_so(path):
    event = one(path, cloud(), OK)
    assert event.cost_pico == money.pico("0.00021")  # 1,000 x $0.15 + 100 x $0.60 per million
    assert event.reserved_pico == money.pico("0.00033")
    assert (event.price.cost_source, event.price.matched_model) == ("list", "gpt-4o-mini")
    assert event.price.price_source.startswith("genai-prices==0.2.")


def test_the_providers_own_word_goes_before_any_list(path):
    event = one(path, cloud(), replace(OK, cost_usd=Decimal("0.000000000123"), served_model="gpt-4o-mini-2024-07-18"))
    assert (event.cost_pico, event.price.cost_source, event.served_model) == (123, "receipt", "gpt-4o-mini-2024-07-18")


def test_an_unknown_price_is_not_nothing(path):
    event = one(path, cloud(model="my-model"), OK)
    assert (event.cost_pico, event.price.cost_source) == (None, "unknown")
    assert "no price for openai/my-model" in event.price.price_source
    with Ledger.read(path) as ledger:
        assert [(u.model, u.attempts) for u in ledger.unknown_prices()] == [("my-model", 1)]


@pytest.mark.parametrize(
    ("outcome", "cost", "source"),
    [
        (Outcome("cached"), 0, "cached"),
        (Outcome("failed", "busy"), 0, "unserved"),
        (Outcome("failed", "denied"), 0, "unserved"),
        (Outcome("failed", "no connection"), 0, "unserved"),
        (Outcome("failed", "timeout"), None, "unknown"),
        (Outcome("failed", "server error", prompt_tokens=1000, output_tokens=0), 150_000_000, "list"),
        (Outcome("ok", prompt_tokens=10, output_tokens=1, cache_read_tokens=11), None, "unknown"),
    ],
)
def test_what_failed_and_what_was_cached_is_on_record_too(path, outcome, cost, source):
    event = one(path, cloud(), outcome)
    assert (event.status, event.reason, event.cost_pico, event.price.cost_source) == (
        outcome.status,
        outcome.reason,
        cost,
        source,
    )


def test_local_work_without_a_sensor_has_no_energy_and_no_cost(path):
    event = one(path, local(), OK)
    assert (event.energy_joules, event.energy_method, event.cost_pico) == (None, "none", None)
    assert event.price == replace(
        event.price, cost_source="unknown", price_source="local: no sensor for its energy, and no power.busy_watts"
    )
    with Ledger.read(path) as ledger:
        (stretch,) = ledger.energy()
        assert (stretch.method, stretch.busy_joules, stretch.idle_joules, stretch.coverage) == ("none", None, None, 0.0)
        assert ledger.totals()[0].without_energy == 1


def test_configured_watts_are_an_estimate_and_marked(path):
    power = PowerConfig("own", busy_watts=100.0, idle_watts=10.0, tariff_usd_per_kwh="0.30", pue="1.5", source="a bill")
    event = one(path, local(), OK, power=power)
    assert event.energy_method == "configured_watts"
    assert event.energy_joules is not None
    assert event.cost_pico == round(Decimal(repr(event.energy_joules)) * Decimal("0.45") * 10**12 / 3_600_000)
    assert (event.price.cost_source, event.price.price_source) == ("energy", "a bill")
    with Ledger.read(path) as ledger:
        (stretch,) = ledger.energy()
        assert stretch.busy_joules == pytest.approx(event.energy_joules)
        assert stretch.idle_joules == pytest.approx(10 * stretch.idle_seconds)
        assert stretch.busy_joules == pytest.approx(100 * stretch.busy_seconds)
        assert ledger.totals()[0].energy_estimated_joules == event.energy_joules


def test_no_key_and_no_text_is_kept(path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-very-secret-word")
    with open_meter(config(path)) as meter:
        meter.settle(cloud(), Outcome("failed", "Incorrect API key provided: sk-abcdefghijkl or a-very-secret-word"))
    text = b"".join(p.read_bytes() for p in path.parent.iterdir())
    assert b"Incorrect API key provided: [key] or [key]" in text
    assert b"abcdefghijkl" not in text
    assert b"very-secret" not in text


def test_a_run_is_on_record_with_its_documents_and_its_end(path):
    clock = Clock()
    with open_meter(config(path, project="notes", tags=["b", "a"]), clock=clock) as meter:
        meter.made(Made("a.md", "gist", "cloud", 5000, 1200, 200, 1, 2.5))
        meter.archived(original_bytes=5000, archive_bytes=1500)
        clock.at += timedelta(seconds=9)
    with Ledger.read(path) as ledger:
        (run,) = ledger.runs()
        assert (run.project, run.tags, run.status, run.original_bytes, run.archive_bytes) == (
            "notes",
            ("a", "b"),
            "done",
            5000,
            1500,
        )
        assert (run.run_id[:16], run.ended_us - run.started_us) == ("20261123T120000Z", 9_000_000)
        assert [(d.key, d.documents, d.source_tokens) for d in ledger.documents(by=("kind",))] == [(("gist",), 1, 1200)]


def test_settling_twice_records_once(path):
    with open_meter(config(path)) as meter:
        meter.reserve(cloud(), prompt_tokens=1, max_output_tokens=1)
        meter.settle(cloud(), OK)
        meter.settle(cloud(), Outcome("failed", "timeout"))
    with Ledger.read(path) as ledger:
        assert [e.status for e in ledger.events()] == ["ok"]


@pytest.mark.parametrize(
    "nonsense",
    [
        {"prompt_tokens": -1}, {"output_tokens": 2**70}, {"cost_usd": Decimal("NaN")}, {"cost_usd": Decimal("-1")},
        {"cost_usd": Decimal(10) ** 9}, {"cache_read_tokens": 5000},
    ],
)  # fmt: skip
def test_a_server_that_talks_nonsense_is_on_record_without_a_cost(path, nonsense):
    event = one(path, cloud(), replace(OK, **nonsense))
    assert (event.status, event.cost_pico, event.price.cost_source) == ("ok", None, "unknown")


def test_a_name_that_is_no_utf_8_is_kept_spelled_out(path):
    broken = os.fsdecode(b"caf\xe9.md")
    limited = budget(project=LimitConfig(requests=9), model=LimitConfig(requests=9), warn_at=[0.1])
    with open_meter(config(path, project=broken, tags=[broken], budget=limited)) as meter:
        meter.reserve(local("1", document=broken, model=broken), prompt_tokens=1, max_output_tokens=1)
        meter.settle(local("1", document=broken, model=broken), replace(OK, served_model="\ud83d", request_id="\udc00"))
        meter.made(Made(broken, "gist", "local", 1, 1, 1, 0, 1.0))
    with Ledger.read(path) as ledger:
        (event,) = ledger.events()
        assert (event.document, event.model, event.served_model) == ("caf\\udce9.md", "caf\\udce9.md", "\\ud83d")
        assert next(ledger.runs()).project == "caf\\udce9.md"


# Budgets


@pytest.mark.parametrize("scope", ["run", "day", "week", "month", "project", "model"])
def test_a_budget_stops_at_its_limit_and_says_which_it_was(path, scope):
    with open_meter(config(path, budget=budget(**{scope: LimitConfig(requests=3)})), clock=Clock()) as meter:
        assert spend(meter, 9) == 3
        with pytest.raises(BudgetExceeded, match=rf"budget\.{scope}\.requests=3 .*is reached: 3 used") as caught:
            meter.reserve(cloud("more"), prompt_tokens=1, max_output_tokens=1)
    assert caught.value.exit_code == 3
    assert f"budget.{scope}.requests" in caught.value.hint


def test_money_is_set_aside_at_its_most_and_given_back(path):
    # At most $0.00033 a call, $0.00021 in the end: the sixth would need 5 x 0.00021 + 0.00033 = 0.00138.
    with open_meter(config(path, budget=budget(run=LimitConfig(usd="0.00137")))) as meter:
        assert spend(meter, 9) == 5
    with Ledger.read(path) as ledger:
        assert ledger.totals()[0].cost_pico == money.pico("0.00105")
        assert ledger.connection.execute("SELECT COUNT(*) FROM reservations").fetchone() == (0,)


def test_calls_under_way_count(path):
    with open_meter(config(path, budget=budget(run=LimitConfig(usd="0.001")))) as meter:
        for i in range(3):
            meter.reserve(cloud(str(i)), prompt_tokens=1000, max_output_tokens=300)
        with pytest.raises(BudgetExceeded, match=r"\$0\.00 used, \$0\.00099 set aside for calls under way, .* \$0\.00033"):
            meter.reserve(cloud("3"), prompt_tokens=1000, max_output_tokens=300)
        meter.settle(cloud("0"), Outcome("failed", "busy"))
        meter.reserve(cloud("3"), prompt_tokens=1000, max_output_tokens=300)


def test_tokens_can_be_limited(path):
    with open_meter(config(path, budget=budget(run=LimitConfig(tokens=3700)))) as meter:
        assert spend(meter, 9) == 3  # 1,100 each, at most 1,300


def test_a_limit_of_nothing_lets_nothing_through_but_local_work_when_that_is_free(path):
    limited = budget(run=LimitConfig(usd="0", requests=0), calls="cloud")
    with open_meter(config(path, budget=limited)) as meter:
        assert spend(meter, 1) == 0
        meter.reserve(local("l"), prompt_tokens=1, max_output_tokens=1)


def test_a_dollar_limit_does_not_let_an_unknown_price_through_unless_told_to(path):
    limited = budget(run=LimitConfig(usd="5"))
    with (
        open_meter(config(path, budget=limited)) as meter,
        pytest.raises(BudgetExceeded, match="no price is known for my-model"),
    ):
        meter.reserve(cloud(model="my-model"), prompt_tokens=1, max_output_tokens=1)
    with open_meter(config(path, budget=replace(limited, unknown_price="allow"))) as meter:
        meter.reserve(cloud(model="my-model"), prompt_tokens=1, max_output_tokens=1)


def test_another_project_and_another_model_have_their_own_budgets(path):
    limited = budget(project=LimitConfig(requests=2), model=LimitConfig(requests=3, period="all"))
    with open_meter(config(path, budget=limited, project="a")) as meter:
        assert spend(meter, 9) == 2
    with open_meter(config(path, budget=limited, project="b")) as meter:
        assert spend(meter, 9) == 1  # the model's third
        assert spend(meter, 9, model="gpt-5-mini") == 1  # the project's second
    with open_meter(config(path, budget=limited, project="c")) as meter:
        assert spend(meter, 9, model="gpt-5-mini") == 2


def test_a_day_begins_anew_at_midnight_of_the_zone(path):
    clock = Clock(datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC))  # 23:59:59 in Berlin, on the day that has 23 hours
    berlin = config(path, budget=budget(day=LimitConfig(requests=2)), timezone="Europe/Berlin")
    with open_meter(berlin, clock=clock) as meter:
        assert spend(meter, 9) == 2
        clock.at = datetime(2026, 3, 29, 22, tzinfo=UTC)
        assert spend(meter, 1) == 1
    clock.at = datetime(2026, 3, 30, 21, 59, 59, 999_999, tzinfo=UTC)
    with open_meter(berlin, clock=clock) as meter:
        assert spend(meter, 9) == 1
        clock.at += timedelta(microseconds=1)
        assert spend(meter, 9) == 2


def test_a_week_begins_anew_on_monday(path):
    clock = Clock(datetime(2026, 11, 29, 23, 59, 59, tzinfo=UTC))  # Sunday
    with open_meter(config(path, budget=budget(week=LimitConfig(requests=1))), clock=clock) as meter:
        assert spend(meter, 9) == 1
    clock.at += timedelta(seconds=1)
    with open_meter(config(path, budget=budget(week=LimitConfig(requests=1))), clock=clock) as meter:
        assert spend(meter, 9) == 1


def test_thresholds_warn_once_and_may_change_the_exit_code(path, tmp_path):
    told = tmp_path / "told"
    command = [
        sys.executable,
        "-c",
        "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + chr(10))",
        str(told),
        "{budget}: {message}",
    ]
    limited = budget(month=LimitConfig(requests=10), warn_at=[0.8, 0.5], warn_command=command, warn_exit=True)
    said: list[str] = []
    with open_meter(config(path, budget=limited), on_warning=said.append, clock=Clock()) as meter:
        spend(meter, 4)
        assert (said, meter.exit_code) == ([], 0)
        spend(meter, 1, document="b")
    with open_meter(config(path, budget=limited), on_warning=said.append, clock=Clock()) as meter:
        spend(meter, 4)
        assert meter.exit_code == 3
    assert said == [
        "budget.month.requests 2026-11: 5 of 10 used (50% is where a warning was asked for)",
        "budget.month.requests 2026-11: 8 of 10 used (80% is where a warning was asked for)",
    ]
    assert told.read_text().splitlines() == [f"budget.month.requests: {line}" for line in said]


def test_a_warning_command_that_fails_is_said_and_harms_nothing(path):
    limited = budget(run=LimitConfig(requests=1), warn_at=[1.0], warn_command=["/nonexistent", "{message}"])
    said: list[str] = []
    with open_meter(config(path, budget=limited), on_warning=said.append) as meter:
        spend(meter, 1)
    assert "budget.warn_command /nonexistent '{message}' failed" in said[1]


DYING = """
import os, sys
from calls import cloud, config, budget
from llmc.ledger.meter import open_meter
from pathlib import Path
meter = open_meter(config(Path(sys.argv[1]), budget=budget()))
for i in range(3):
    meter.reserve(cloud(f"dying {i}"), prompt_tokens=1000, max_output_tokens=300)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("lost_calls", "left"), [("count", 7), ("free", 10)])
def test_calls_of_a_dead_process_are_on_record_as_lost(path, lost_calls, left):
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()
    with Ledger.open(path) as ledger:
        assert ledger.connection.execute("SELECT COUNT(*) FROM reservations").fetchone() == (3,)
    limited = budget(day=LimitConfig(requests=10), lost_calls=lost_calls)
    with open_meter(config(path, budget=limited)) as meter:
        assert spend(meter, 20) == left
    with Ledger.read(path) as ledger:
        lost = [e for e in ledger.events() if e.status == "lost"]
        assert [(e.event_id, e.cost_pico, e.reserved_pico) for e in lost] == [
            (f"dying {i}", None, money.pico("0.00033")) for i in range(3)
        ]
        assert ledger.totals(Filter())[0].unknown_at_most_pico == 3 * money.pico("0.00033")


def test_a_call_that_was_never_settled_is_lost_when_its_run_ends(path):
    with open_meter(config(path)) as meter:
        meter.reserve(cloud(), prompt_tokens=1, max_output_tokens=1)
    with Ledger.read(path) as ledger:
        assert [(e.status, e.reason) for e in ledger.events()] == [("lost", "the run ended before the answer")]


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": budget(day=LimitConfig(usd="a lot"))},
        {"budget": budget(day=LimitConfig(requests=-1))},
        {"budget": budget(project=LimitConfig(requests=1, period="decade"))},
        {"budget": budget(warn_at=[80])},
        {"budget": budget(calls="some")},
        {"timezone": "Europe/Atlantis"},
        {"power": PowerConfig("x", meters=["thermometer"])},
        {"power": PowerConfig("x", tariff_usd_per_kwh="-1")},
        {"power": PowerConfig("x", tariff_usd_per_kwh="0.3", pue="0.5")},
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_recorded(path, changes):
    with pytest.raises(UsageError):
        open_meter(config(path, **changes))


def test_on_a_network_file_system_calls_are_recorded_and_budgets_refused(path, monkeypatch):
    monkeypatch.setattr(spool, "is_remote", lambda folder: True)
    with pytest.raises(UsageError, match="network file system"):
        open_meter(config(path, budget=budget(run=LimitConfig(requests=1))))
    with open_meter(config(path)) as meter:
        spend(meter, 2)
    with Ledger.read(path) as ledger:
        assert ledger.totals()[0].attempts == 2


def test_without_a_budget_a_ledger_that_cannot_be_written_stops_nothing_and_loses_nothing(path):
    said: list[str] = []
    with open_meter(config(path), on_warning=said.append) as meter:
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        meter.ledger.connection.execute("PRAGMA busy_timeout = 1")
        assert spend(meter, 3) == 3
        blocker.execute("ROLLBACK")
        blocker.close()
    assert len(said) == 1
    with Ledger.read(path) as ledger:
        assert ledger.totals()[0].attempts == 3
        assert [r.status for r in ledger.runs()] == ["done"]


def test_a_call_settled_while_the_ledger_was_held_is_not_lost(path):
    limited = budget(run=LimitConfig(requests=9))
    with open_meter(config(path, budget=limited)) as meter:
        meter.reserve(cloud(), prompt_tokens=1000, max_output_tokens=300)
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        meter.ledger.connection.execute("PRAGMA busy_timeout = 1")
        meter.settle(cloud(), OK)
        blocker.execute("ROLLBACK")
        blocker.close()
    with Ledger.read(path) as ledger:
        assert [(e.status, e.cost_pico) for e in ledger.events()] == [("ok", money.pico("0.00021"))]


outcomes = st.builds(
    Outcome,
    st.sampled_from(["ok", "failed", "cached"]),
    st.sampled_from(["", "busy", "timeout"]),
    st.none() | st.integers(0, 1000),
    st.integers(0, 500),
    st.integers(0, 500),
    st.none() | st.integers(0, 300),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(outcomes, st.sampled_from(["gpt-4o-mini", "gpt-5-mini", "nobody-knows"]), st.booleans()), max_size=12)
)
def test_whatever_happens_the_parts_are_the_whole_and_no_call_costs_more_than_was_set_aside(tmp_path_factory, calls):
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite3"
    with open_meter(config(path)) as meter:
        for i, (outcome, model, at_home) in enumerate(calls):
            call = (local if at_home else cloud)(str(i), model=model)
            meter.reserve(call, prompt_tokens=1000, max_output_tokens=300)
            meter.settle(call, outcome)
            meter.settle(call, outcome)
    with Ledger.read(path) as ledger:
        events = list(ledger.events())
        assert [e.event_id for e in events] == [str(i) for i in range(len(calls))]
        for by in (("model",), ("status",), ("backend_kind", "tier"), ("cost_source", "price_source")):
            groups = ledger.totals(by=by)
            assert sum(g.cost_pico for g in groups) == sum(e.cost_pico or 0 for e in events)
            assert sum(g.unknown_cost for g in groups) == sum(e.cost_pico is None for e in events)
            assert sum(g.attempts for g in groups) == len(calls)
        for event in events:
            if event.cost_pico is not None and event.reserved_pico is not None:
                assert event.cost_pico <= event.reserved_pico


RACING = """
import os, sys
from pathlib import Path
from calls import budget, config, spend
from llmc.ledger.meter import open_meter
from llmc.schema import LimitConfig

def race():
    with open_meter(config(Path(sys.argv[1]), budget=budget(project=LimitConfig(requests=100)))) as meter:
        return spend(meter, 1000, local=True, provider="")

runners = []
for _ in range(8):
    reader, told = os.pipe()
    if not os.fork():
        os.write(told, str(race()).encode())
        os._exit(0)
    os.close(told)
    runners.append(reader)
print(*(os.read(reader, 99).decode() for reader in runners))
"""


def test_eight_processes_and_a_budget_of_a_hundred_requests_make_a_hundred(path):
    done = subprocess.run(
        [sys.executable, "-c", RACING, str(path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"},
        stdout=subprocess.PIPE,
        check=True,
    )
    made = [int(count) for count in done.stdout.split()]
    assert len(made) == 8
    assert sum(made) == 100
    with Ledger.read(path) as ledger:
        assert ledger.totals()[0].attempts == 100
        assert ledger.connection.execute("SELECT COUNT(*) FROM reservations").fetchone() == (0,)


def test_the_configuration_of_every_option_gives_a_meter(path, composed):
    for override in ("price=list", "price=contract", "power=auto", "power=mi50", "budget=careful"):
        made = schema.typed(composed("target=doctor", override))
        made.ledger = str(path)
        with open_meter(made) as meter:
            assert spend(meter, 1) == 1
    with Ledger.read(path) as ledger:
        assert len({r.config_hash for r in ledger.runs()}) == 4  # list and auto are what is taken when nothing is said
        assert json.loads(next(ledger.events()).price.rates)["input_mtok"] == "0.15"
