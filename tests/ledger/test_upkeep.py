"""verify finds what is wrong, reprice adds, reconcile compares with a provider's own export, import takes in a spool."""

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rows_to_record import NOON_US, event, run

from llmc import money, price
from llmc.errors import InputError, LedgerError, UsageError
from llmc.ledger import Filter, Ledger, Stretch, spool
from llmc.ledger.meter import CACHED
from llmc.ledger.reconcile import reconcile
from llmc.ledger.reprice import reprice
from llmc.ledger.verify import verify
from llmc.price import Prices, Tokens
from llmc.schema import PowerConfig, PriceConfig, PriceOverride


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "ledger.sqlite3"


@pytest.fixture
def ledger(path):
    with Ledger.open(path) as opened:
        opened.start(run())
        yield opened


LATER = datetime(2026, 12, 1, tzinfo=UTC)
CONTRACT = PriceOverride(
    "openai", "my-model", input_usd_per_million="1.00", output_usd_per_million="2.00", source="contract 7", checked="2026-11-23"
)


def priced(model: str = "gpt-4o-mini", config: PriceConfig | None = None, **changes):
    """An event with the cost that its tokens have."""
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    cost = Prices(config or PriceConfig("x")).cost("openai", (model,), Tokens(1000, 100), at)
    return event(model=model, served_model="", cost_pico=cost.pico, price=cost.price, **changes)


def failed(ledger) -> dict[str, str]:
    return {check.name: check.detail for check in verify(ledger) if not check.passed}


def test_a_sound_ledger_passes_every_check(ledger):
    ledger.record(priced())
    ledger.record(priced("my-model", PriceConfig("x", overrides=[CONTRACT])))
    ledger.record(priced("nobody-knows"))
    checks = verify(ledger)
    assert all(check.passed for check in checks), checks
    assert {c.name: c.checked for c in checks}["tokens times prices are the costs"] == 2
    assert {c.name: c.checked for c in checks}["the parts are the whole"] > 15


def test_a_cost_that_its_tokens_do_not_have_is_found(ledger):
    ledger.record(replace(priced(event_id="wrong"), cost_pico=1))
    assert "wrong: 1 pico-dollars, by its tokens 210000000" in failed(ledger)["tokens times prices are the costs"]


def test_rows_that_contradict_themselves_are_found(ledger):
    ledger.record(replace(priced(event_id="a"), cost_pico=None))
    ledger.record(replace(priced(event_id="b"), cache_read_tokens=1001))
    ledger.record(replace(priced(event_id="c"), backend_kind="local"))
    ledger.record(replace(priced(event_id="d"), at_us=5))
    found = failed(ledger)
    assert found["a cost is unknown exactly when its source is"] == "for example a"
    assert "b" in found["cached tokens are part of the prompt, reasoning is part of the output"]
    assert found["energy is priced where it is local, bills where it is not"] == "for example c"
    assert found["no event is older than its run"] == "for example d"


def test_a_guard_that_was_taken_away_is_missed(ledger):
    ledger.connection.execute("DROP TRIGGER events_no_delete")
    assert failed(ledger) == {"what happened cannot be changed": "missing: events_no_delete"}


def test_energy_that_two_runs_measured_at_once_is_found(ledger):
    ledger.start(run("run-2"))
    stretch = Stretch("s1", "run-1", NOON_US, NOON_US + 100, "rapl", "measured_counter", "", 1, 1, 1, 5, 5, None)
    ledger.record(stretch)
    ledger.record(replace(stretch, stretch_id="s2", run_id="run-2", start_us=NOON_US + 100, end_us=NOON_US + 200))
    assert not failed(ledger)
    ledger.record(replace(stretch, stretch_id="s3", run_id="run-2", start_us=NOON_US + 99))
    assert failed(ledger) == {"no energy was measured twice": "at the same time on one machine: run-1 and run-2"}


def test_repricing_adds_a_second_opinion_and_leaves_the_first(ledger):
    ledger.record(priced())
    ledger.record(priced("my-model"))
    ledger.record(event(status="cached", cost_pico=0, price=CACHED))
    before = list(ledger.events())
    config = PriceConfig("x", overrides=[CONTRACT])
    assert reprice(ledger, config, PowerConfig("x"), LATER, dry_run=True).changed == 1
    assert ledger.connection.execute("SELECT COUNT(*) FROM repricings").fetchone() == (0,)
    found = reprice(ledger, config, PowerConfig("x"), LATER)
    assert (found.events, found.changed, found.unknown_before, found.unknown_after) == (3, 1, 1, 0)
    assert (found.before_pico, found.after_pico) == (money.pico("0.00021"), money.pico("0.00141"))
    assert list(ledger.events()) == before
    assert [t.cost_pico for t in ledger.totals()] == [found.before_pico]
    (again,) = ledger.totals(Filter(repricing=found.repricing_id))
    assert (again.cost_pico, again.unknown_cost) == (found.after_pico, 0)
    sources = ledger.totals(Filter(repricing=found.repricing_id), ("price_source",))
    assert {t.key[0] for t in sources} == {"contract 7", price.list_source(), CACHED.price_source}
    assert len(ledger.unknown_prices()) == 1
    assert ledger.unknown_prices(Filter(repricing=found.repricing_id)) == []
    assert ledger.repricings() == [found.repricing_id]
    assert not failed(ledger)


def test_repricing_knows_electricity_that_had_no_tariff(ledger):
    at_home = event(backend_kind="local", provider="", energy_joules=3_600_000.0, energy_method="measured_counter")
    ledger.record(replace(at_home, cost_pico=None, price=replace(at_home.price, cost_source="unknown")))
    found = reprice(ledger, PriceConfig("x"), PowerConfig("x", tariff_usd_per_kwh="0.25"), LATER)
    assert found.after_pico == money.pico("0.25")


ACTIVITY = """\
date,model,provider_name,usage,requests,prompt_tokens,completion_tokens
2026-11-23,gpt-4o-mini,OpenAI,0.0004,2,2000,200
2026-11-23,never-asked,OpenAI,1.5,1,1,1
"""


@pytest.fixture
def two_calls(ledger):
    for _ in range(2):
        ledger.record(priced())
    ledger.record(priced("gpt-5-mini"))
    ledger.record(priced(at_us=NOON_US + 86_400_000_000))  # the day after, which the export does not hold
    return ledger


def test_an_export_is_compared_model_by_model(two_calls, tmp_path):
    (tmp_path / "activity.csv").write_text(ACTIVITY)
    found = reconcile(two_calls, tmp_path / "activity.csv", "openai", {})
    assert (found.first_day, found.last_day) == ("2026-11-23", "2026-11-23")
    assert (found.only_theirs, found.only_ours) == (["never-asked"], ["gpt-5-mini"])
    line = next(x for x in found.models if x.model == "gpt-4o-mini")
    assert line.drift_percent("usd_pico") == pytest.approx(5.0)  # 0.00042 on record, 0.00040 on the bill
    assert (line.drift_percent("requests"), line.drift_percent("input_tokens")) == (0, 0)
    assert found.total.theirs.usd_pico == money.pico("1.5004")


def test_calls_of_unknown_cost_are_not_held_to_have_been_free(two_calls, tmp_path):
    two_calls.record(priced("my-model"))
    (tmp_path / "usage.csv").write_text("date,model,usage\n2026-11-23,my-model,0.5\n")
    line = next(x for x in reconcile(two_calls, tmp_path / "usage.csv", "openai", {}).models if x.model == "my-model")
    assert (line.ours.usd_pico, line.unknown_cost, line.drift_percent("usd_pico")) == (None, 1, None)


def test_openais_costs_and_usage_are_known(two_calls, tmp_path):
    start = NOON_US // 1_000_000 - 12 * 3600
    bucket = {"object": "bucket", "start_time": start, "end_time": start + 86400}
    usage = {"model": "gpt-4o-mini", "input_tokens": 2000, "output_tokens": 200, "num_model_requests": 3}
    (tmp_path / "usage.json").write_text(json.dumps({"data": [{**bucket, "results": [usage]}]}))
    (line, *_) = reconcile(two_calls, tmp_path / "usage.json", "openai", {}).models
    assert (line.theirs.requests, line.theirs.usd_pico, line.drift_percent("usd_pico")) == (3, None, None)
    assert line.drift_percent("requests") == pytest.approx(-100 / 3)
    costs = {"amount": {"value": 0.00042, "currency": "usd"}, "line_item": "gpt-4o-mini"}
    (tmp_path / "costs.json").write_text(json.dumps({"data": [{**bucket, "results": [costs]}]}))
    assert reconcile(two_calls, tmp_path / "costs.json", "openai", {}).models[0].drift_percent("usd_pico") == 0


def test_columns_may_be_named_by_hand(two_calls, tmp_path):
    (tmp_path / "rechnung.csv").write_text("Tag;Modell;Betrag\n2026-11-23;gpt-4o-mini;0.00042\n")
    names = {"date": "Tag", "model": "Modell", "usd": "Betrag"}
    assert reconcile(two_calls, tmp_path / "rechnung.csv", "openai", names).models[0].drift_percent("usd_pico") == 0
    with pytest.raises(InputError, match="Tag, Modell, Betrag"):
        reconcile(two_calls, tmp_path / "rechnung.csv", "openai", {})
    with pytest.raises(UsageError, match=r"columns\.usd=Summe"):
        reconcile(two_calls, tmp_path / "rechnung.csv", "openai", {"usd": "Summe"})
    (tmp_path / "rechnung.csv").write_text("date,usd\n2026-11-23,viel\n")
    with pytest.raises(InputError, match=r"row 1: 'viel' is no amount"):
        reconcile(two_calls, tmp_path / "rechnung.csv", "openai", {})


def test_the_commands(llmc_inside, ledger, path, tmp_path):
    ledger.record(priced())
    there = f"ledger={path}"
    assert {c["passed"] for c in llmc_inside("cost", "verify", there).ok().json["checks"]} == {True}
    table = llmc_inside("cost", "verify", there, "format=table").ok().stdout
    assert "ok" in table
    assert "tokens times prices are the costs" in table
    found = llmc_inside("cost", "reprice", there, "price=contract").ok().json
    assert (found["events"], found["changed"]) == (1, 0)
    (tmp_path / "activity.csv").write_text(ACTIVITY)
    table = (
        llmc_inside("cost", "reconcile", there, f"input={tmp_path / 'activity.csv'}", "provider=openai", "format=table")
        .ok()
        .stdout
    )
    assert "openai, 2026-11-23 to 2026-11-23 (UTC): -100.0%" in table
    assert llmc_inside("cost", "reconcile", there).usage()[0] == "reconcile needs the provider's export"
    other = tmp_path / "other.sqlite3"
    spool.put(other, run("run-9"), event("run-9", event_id="spooled elsewhere"))
    assert llmc_inside("cost", "import", there, f"input={other}").ok().json["records"] == 1
    with Ledger.read(path) as again:
        assert [e.event_id for e in again.events()][-1] == "spooled elsewhere"
    assert "verify | reprice" in llmc_inside("cost", "--help").ok().stdout
    assert llmc_inside("cost", "verify", f"ledger={tmp_path / 'none'}").error(1)[0].startswith("no ledger at")


def test_a_file_that_is_no_ledger_is_said_to_be_none(tmp_path):
    (tmp_path / "notes.md").write_text("# Mine\n" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger.read(tmp_path / "notes.md")


def test_a_damaged_ledger_fails_verify(llmc_inside, ledger, path):
    for _ in range(200):
        ledger.record(priced())
    ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 4096 * 3)
        file.write(b"\xff" * 4096)
    result = llmc_inside("cost", "verify", f"ledger={path}")
    assert result.code == 1
    sqlite3.connect(path).close()
