"""The meter that the ladder reports to: sets money aside before a call, puts on record what it took, divides the electricity.

    with open_meter(config, "compress") as meter:
        meter.reserve(call, prompt_tokens=900, max_output_tokens=300)   # BudgetExceeded before anything is sent
        ...
        meter.settle(call, outcome)

Two commits a call, each on the disk before it returns.
"""

import hashlib
import json
import os
import platform
import re
import shlex
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psutil

from llmc import energy, monitor, period
from llmc.errors import BudgetExceeded, LedgerError, LlmcError, UsageError
from llmc.ledger import Ledger, budget, default_path, storable
from llmc.ledger.budget import Budgets, Clock, Orphan, Wanted, Warned
from llmc.ledger.rows import Document, Event, Price, Run, Stretch
from llmc.meter import Call, Made, Outcome
from llmc.price import Prices, Tokens

if TYPE_CHECKING:
    from llmc.schema import RunConfig

UNSERVED = frozenset({"busy", "denied", "context", "resting", "given up", "no connection"})
"""Why a call failed, where that means it was turned away, or never sent, and nothing is charged. After a timeout or a broken
connection the provider may have answered, and charge for it: then the cost is unknown."""
LEASE_SECONDS = 6 * 3600  # after this a reservation of another machine, whose processes cannot be asked, counts as lost
STRETCH_SECONDS = 60.0  # how much of the idle energy a kill -9 may lose
MAX_REASON = 300
MAX_TOKENS = 10**12  # of one call; a server that says more has a bug
CACHED = Price("cached", "answered from our own cache")
TURNED_AWAY = Price("unserved", "turned away: not charged")
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)S?$")
_SECRET = re.compile(r"(sk-|gsk_|hf_|Bearer\s+)[\w.-]{6,}")


@dataclass(slots=True)
class _Open:
    """A call under way."""

    reserved_pico: int | None
    reserved_tokens: int
    joules: float | None


class LedgerMeter:
    """Puts the calls of one run on record and holds its budgets. ``warnings`` are the thresholds that were crossed."""

    def __init__(
        self,
        ledger: Ledger,
        run: Run,
        config: "RunConfig",
        *,
        clock: Clock = budget.now,
        on_warning: Callable[[str], None] = lambda message: None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.ledger, self.run = ledger, run
        self.warnings: list[Warned] = []
        self._config, self._clock, self._on_warning, self._on_event = config, clock, on_warning, on_event
        self._budgets = Budgets(config.budget, run, period.zone(config.timezone), clock)
        self._prices = Prices(config.price)
        self._power = energy.open_meter(config.power)
        self._tariff = energy.Tariff.of(config.power)
        self._open: dict[str, _Open] = {}
        self._lock = threading.RLock()
        self._owner = _owner()
        self._divided = energy.Divided(self._power)
        self._stretch_started = (period.microseconds(clock()), time.monotonic())
        self._unrecorded = self._interrupted = False
        if self._budgets.limits and ledger.spooling:
            raise UsageError(
                f"a budget cannot be kept in {ledger.path.parent}: it is on a network file system, where calls side by side"
                " are not seen",
                hint="ledger=/a/local/disk/ledger.sqlite3",
            )
        self._monitors = monitor.monitors(config, run, on_warning)

    @property
    def exit_code(self) -> int:
        """3 when ``budget.warn_exit`` asks for it and a warning was given."""
        return 3 if self.warnings and self._config.budget.warn_exit else 0

    def reserve(self, call: Call, *, prompt_tokens: int, max_output_tokens: int) -> None:
        """See :class:`llmc.meter.Meter`."""
        with self._lock:
            at = self._clock()
            most = None if call.local else self._prices.at_most(call.provider, call.model, prompt_tokens, max_output_tokens, at)
            tokens = prompt_tokens + max_output_tokens
            wanted = Wanted(storable(call.event_id), storable(call.model), call.local, most, tokens, json.dumps(asdict(call)))
            if not self.ledger.spooling:
                self._set_aside(wanted, at)
            if call.local:
                self._divided.begin(call.event_id)
            self._open[call.event_id] = _Open(most, tokens, None)

    def _set_aside(self, wanted: Wanted, at: datetime) -> None:
        try:
            try:
                self._check_and_hold(wanted, at)
            except BudgetExceeded:
                if not self.reclaim():
                    raise
                self._check_and_hold(wanted, at)  # with what dead processes held given back
        except (sqlite3.DatabaseError, OSError) as error:
            if self._budgets.limits:  # what cannot be counted cannot be limited
                raise LedgerError(f"a budget cannot be kept: {self.ledger.path}: {error}") from error
            if not self._unrecorded:
                self._on_warning(
                    f"the ledger cannot be written now ({error}): what is spent waits in {self.ledger.path.stem}.spool"
                )
            self._unrecorded = True

    def _check_and_hold(self, wanted: Wanted, at: datetime) -> None:
        with self.ledger.transaction() as connection:
            key = self.ledger.run_key(connection, self.run)
            self._budgets.check(connection, key, wanted)
            budget.reserve(connection, key, wanted, period.microseconds(at), self._owner)

    def settle(self, call: Call, outcome: Outcome) -> None:
        """See :class:`llmc.meter.Meter`."""
        with self._lock:
            held = self._open.pop(call.event_id, None) or _Open(None, 0, None)
            joules = self._divided.end(call.event_id) if call.local else None
            event = self._event(call, outcome, held, joules, period.microseconds(self._clock()))
            self.ledger.record(event)
            self._on_event(event)
            for each in self._monitors:
                each.event(event)
            self._warn(storable(call.model))
            if time.monotonic() - self._stretch_started[1] > STRETCH_SECONDS:
                self._record_stretch()

    def made(self, made: Made) -> None:
        """See :class:`llmc.meter.Meter`."""
        with self._lock:
            at_us = period.microseconds(self._clock())
            document = Document(uuid.uuid4().hex, self.run.run_id, at_us, **asdict(made))
            self.ledger.record(document)
            for each in self._monitors:
                each.document(document)

    def _event(self, call: Call, outcome: Outcome, held: _Open, joules: float | None, at_us: int) -> Event:
        cost, price = self._cost(call, outcome, joules)
        measured = joules is not None
        return Event(
            event_id=call.event_id,
            run_id=self.run.run_id,
            at_us=at_us,
            document=call.document,
            tier=call.tier,
            backend_kind="local" if call.local else "cloud",
            engine=call.engine,
            provider=call.provider,
            model=call.model,
            served_model=outcome.served_model,
            attempt=call.attempt,
            status=outcome.status,
            reason=without_secrets(outcome.reason)[:MAX_REASON],
            prompt_tokens=_count(outcome.prompt_tokens),
            cache_read_tokens=_count(outcome.cache_read_tokens) or 0,
            cache_write_tokens=_count(outcome.cache_write_tokens) or 0,
            output_tokens=_count(outcome.output_tokens),
            reasoning_tokens=_count(outcome.reasoning_tokens) or 0,
            seconds=outcome.seconds,
            request_id=outcome.request_id,
            cost_pico=cost,
            price=price,
            energy_joules=joules,
            energy_method=self._power.method if measured else "none",
            energy_scope=self._power.scope if measured else "",
            energy_coverage=self._power.coverage if measured else 0.0,
            reserved_pico=held.reserved_pico,
            reserved_tokens=held.reserved_tokens or None,
        )

    def _cost(self, call: Call, outcome: Outcome, joules: float | None) -> tuple[int | None, Price]:
        if outcome.cost_usd is not None:
            try:
                found = self._prices.receipt(outcome.cost_usd, call.provider, outcome.served_model or call.model)
            except ValueError as error:
                return None, Price("unknown", f"{call.provider}'s receipt makes no sense: {error}", call.provider, call.model)
            return found.pico, found.price
        if outcome.status == "cached":
            return 0, CACHED
        if call.local:
            return self._tariff.cost(joules)
        if outcome.status == "failed" and outcome.reason in UNSERVED:
            return 0, TURNED_AWAY
        if _count(outcome.prompt_tokens) is None or _count(outcome.output_tokens) is None:
            why = f"{call.provider} did not say how many tokens it took" + (f" ({outcome.reason})" if outcome.reason else "")
            return None, Price("unknown", without_secrets(why)[:MAX_REASON], call.provider, call.model)
        names = (outcome.served_model, call.model) if outcome.served_model else (call.model,)
        assert outcome.prompt_tokens is not None
        assert outcome.output_tokens is not None
        tokens = Tokens(outcome.prompt_tokens, outcome.output_tokens, outcome.cache_read_tokens, outcome.cache_write_tokens)
        try:
            cost = self._prices.cost(call.provider, names, tokens, self._clock())
        except ValueError as error:  # counts that contradict each other: more read from the cache than there was
            return None, Price("unknown", f"the token counts make no sense: {error}", call.provider, call.model)
        return cost.pico, cost.price

    def _warn(self, model: str) -> None:
        if self.ledger.spooling or not (self._budgets.limits and self._config.budget.warn_at):
            return
        found: list[Warned] = []
        with suppress(sqlite3.Error), self.ledger.transaction() as connection:  # busy: said after the next call
            found = self._budgets.warnings(connection, self.ledger.run_key(connection, self.run), model)
        for each in found:
            self.warnings.append(each)
            self._on_warning(each.message)
            _tell(self._config.budget.warn_command, each, self._on_warning)

    def reclaim(self) -> int:
        """Calls whose process died become ``lost`` events; how many.

        In a transaction of its own: the budgets' sums are kept up from what is recorded for good.
        """
        if self.ledger.spooling:
            return 0
        now_us = period.microseconds(self._clock())
        found = 0
        self._drain()  # a call that was settled into the spool is not lost
        with self.ledger.transaction() as connection:
            for orphan, at_us, owner in budget.reservations(connection):
                if owner != self._owner and _is_gone(owner, (now_us - at_us) / 1e6):
                    self._lost(connection, orphan, at_us, "its process died before the answer")
                    found += 1
        return found

    def _drain(self) -> None:
        self.ledger.drain()
        while self.ledger.warnings:
            self._on_warning(self.ledger.warnings.pop(0))

    def _lose_what_is_open(self) -> None:
        """Calls of this run that were never settled become ``lost`` events; one that is settled in the spool does not."""
        self._drain()
        with self.ledger.transaction() as connection:
            for orphan, at_us, owner in budget.reservations(connection):
                if owner == self._owner and orphan.run_id == self.run.run_id:
                    self._lost(connection, orphan, at_us, "the run ended before the answer")

    def _lost(self, connection: sqlite3.Connection, orphan: Orphan, at_us: int, reason: str) -> None:
        call = Call(**orphan.call)
        held = _Open(orphan.cost_pico, orphan.tokens, None)
        event = self._event(call, Outcome("failed", reason), held, None, at_us)
        run = replace(self.run, run_id=orphan.run_id)
        self.ledger.insert(connection, run, replace(event, run_id=orphan.run_id, status="lost"))

    def _record_stretch(self) -> None:
        start_us = self._stretch_started[0]
        end_us = period.microseconds(self._clock())
        busy, idle = self._divided.take()
        busy_joules, idle_joules = (None if self._power.method == "none" else share.known for share in (busy, idle))
        stretch = Stretch(
            stretch_id=uuid.uuid4().hex,
            run_id=self.run.run_id,
            start_us=min(start_us, end_us),
            end_us=end_us,
            meter=self._power.name,
            method=self._power.method,
            scope=self._power.scope,
            coverage=self._power.coverage,
            busy_seconds=busy.seconds,
            idle_seconds=idle.seconds,
            busy_joules=busy_joules,
            idle_joules=idle_joules,
            idle_pico=self._tariff.cost(idle_joules)[0],
        )
        self.ledger.record(stretch)
        self._stretch_started = (end_us, time.monotonic())

    def archived(self, *, original_bytes: int, archive_bytes: int) -> None:
        """What the run's archive holds, to be recorded with its end."""
        self.run = replace(self.run, original_bytes=original_bytes, archive_bytes=archive_bytes)

    def interrupted(self) -> None:
        """The run was told to stop, and did so in good order: it is not recorded as done."""
        self._interrupted = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            try:
                stopped = self._interrupted or kind in (KeyboardInterrupt, GeneratorExit)
                status = "interrupted" if stopped else "done" if kind is None else "failed"
                self._record_stretch()
                if not self.ledger.spooling:
                    with suppress(sqlite3.Error, LedgerError):  # busy: the next run sees that this process is gone
                        self._lose_what_is_open()
                self.run = replace(self.run, ended_us=period.microseconds(self._clock()), status=status)
                self.ledger.end(self.run)
            finally:
                for each in self._monitors:
                    each.close()
                self._power.close()
                self.ledger.close()


def open_meter(
    config: "RunConfig",
    target: str = "compress",
    *,
    clock: Clock = budget.now,
    on_warning: Callable[[str], None] = lambda message: None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> LedgerMeter:
    """A meter for one run of a target. UsageError for a budget, price or zone that makes no sense."""
    budget.limits(config.budget)
    path = Path(config.ledger).expanduser() if config.ledger else default_path()
    for message in Prices(config.price).warnings():
        on_warning(message)
    at = clock()
    run = Run(
        run_id=f"{at:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}",
        project=storable(config.project),
        target=target,
        config_hash=hashlib.sha256(json.dumps(asdict(config), sort_keys=True, default=str).encode()).hexdigest()[:16],
        host=host(),
        started_us=period.microseconds(at),
        profile=config.profile.name,
        model=config.model.name,
        tags=tuple(config.tags),
    )
    ledger = Ledger.open(path)
    try:
        meter = LedgerMeter(ledger, run, config, clock=clock, on_warning=on_warning, on_event=on_event)
        ledger.start(run)
        with suppress(sqlite3.Error):  # busy: the next one does it
            meter.reclaim()
    except LlmcError:
        ledger.close()
        raise
    return meter


def _count(tokens: int | None) -> int | None:
    """What a server says it counted; None when it cannot be."""
    return tokens if tokens is not None and 0 <= tokens <= MAX_TOKENS else None


def without_secrets(text: str) -> str:
    """A message as it may be kept: what looks like a key, or is one in the environment, is blotted out."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, "[key]")
    return _SECRET.sub("[key]", text)


@cache
def host() -> str:
    """A fingerprint of this machine: the same from run to run, and no name."""
    try:
        identity = Path("/etc/machine-id").read_text().strip()
    except OSError:
        identity = f"{uuid.getnode():x}"
    return hashlib.sha256(f"llmc {identity} {platform.machine()}".encode()).hexdigest()[:12]


def _owner() -> tuple[str, int, float]:
    """This process, so that another one can tell whether it still lives: machine, boot and process namespace; pid; birth."""
    where = []
    for file in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            path = Path(file)
            where.append(os.readlink(path) if path.is_symlink() else path.read_text().strip()[:8])
        except OSError:
            where.append("")
    return f"{host()} {' '.join(where)}", os.getpid(), psutil.Process().create_time()


def _is_gone(owner: tuple[str, int, float], age_seconds: float) -> bool:
    where, pid, started = owner
    ours = _owner()[0]
    if where != ours:
        here, boot, *_ = where.split(" ")
        if here == ours.split(" ")[0] and boot and boot != ours.split(" ")[1]:
            return True  # before this machine was started again
        return age_seconds > LEASE_SECONDS
    try:
        # A clock that is set moves the birth of all a little.
        return abs(float(psutil.Process(pid).create_time()) - started) > 2.0
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _tell(command: list[str], warned: Warned, on_warning: Callable[[str], None]) -> None:
    """Run the user's command, without a shell; that it fails is a warning of its own."""
    if not command:
        return
    values = {"message": warned.message, "budget": warned.budget, "period": warned.period, "used": warned.used}
    words = [re.sub(r"\{(\w+)\}", lambda m: values.get(m[1], m[0]), word) for word in command]
    try:
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        on_warning(f"budget.warn_command {shlex.join(command)} failed: {error}")
