"""The ledger: an append-only record, in SQLite, of everything that cost something. What it acknowledged is on the disk.

One writer at a time (``BEGIN IMMEDIATE``), readers are never in the way (WAL), a commit is on the disk before it returns
(``synchronous=FULL``). What cannot be written to the database now (its folder is on a network file system, where WAL does not
work; the disk is full; somebody holds the lock) goes into a spool folder beside it, a file each, and from there into the
database by the next one who opens it. Writing the same thing twice records it once.

    with Ledger.read() as ledger:
        for group in ledger.totals(Filter(project="notes"), by=("month", "model")):
            print(group.key, money.text(group.cost_pico), group.unknown_cost)
"""

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from llmc import state
from llmc.errors import InputError, LedgerError
from llmc.ledger import query, spool, tables
from llmc.ledger.query import EVERYTHING, DocumentTotals, EnergyTotals, Filter, Totals, UnknownPrice
from llmc.ledger.rows import Document, Event, Price, Run, Stretch

__all__ = [
    "Document", "DocumentTotals", "EnergyTotals", "Event", "Filter", "Ledger", "Price", "Run", "Stretch", "Totals",
    "UnknownPrice", "default_path",
]  # fmt: skip

BUSY_SECONDS = 30.0  # eight writers at once wait milliseconds for each other; more than this is a hung one
_BUSY_OR_BROKEN = (sqlite3.OperationalError, sqlite3.DatabaseError, OSError)
Recorded = Event | Document | Stretch


def default_path() -> Path:
    """The ledger of this user: in llmc's state folder, so that all runs share it."""
    return state.state("ledger.sqlite3")


class Ledger:
    """One ledger file. Give each process its own; threads may share one."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.spooling = spool.is_remote(path.parent)
        """Records go to the spool only: the folder is on a network file system."""
        self.warnings: list[str] = []
        """What was found in the spool and could not be taken in."""
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened_by = 0
        self._runs: dict[str, Run] = {}
        self._run_keys: dict[str, int] = {}
        self._prices: dict[Price, int] = {}

    @classmethod
    def open(cls, path: Path | None = None) -> Self:
        """For writing; made when it is not there, and what waits in its spool is taken in. A LedgerError if it is unusable."""
        ledger = cls(path or default_path())
        ledger.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not ledger.spooling:
            ledger._migrate()
            ledger.drain()
        return ledger

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """For reading. An InputError when nothing was ever recorded."""
        path = path or default_path()
        if not path.is_file() and not spool.folder(path).is_dir():
            raise InputError(f"no ledger at {path}", hint="it is made by the first llmc compress that asks a model")
        ledger = cls(path, read_only=True)
        if ledger.spooling or not path.is_file():
            return ledger._from_spool()
        try:
            version = ledger.connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"cannot use the ledger {path}: {error}", hint="ledger=PATH names another one") from error
        if version != len(tables.MIGRATIONS) or spool.waiting(path):
            with suppress(LedgerError), cls.open(path) as opened:  # or a ledger of somebody else, readable all the same
                ledger.warnings += opened.warnings
        ledger._check_version()
        return ledger

    def _from_spool(self) -> Self:
        """A database of what was spooled, in a temporary file that goes when it is closed."""
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._opened_by = os.getpid()
        self._connection.executescript("".join(tables.MIGRATIONS))
        self.drain(keep=True)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and self._opened_by == os.getpid():
                self._connection.close()
            self._connection = None

    @property
    def connection(self) -> sqlite3.Connection:
        """This process's connection; SQLite's do not survive a fork."""
        with self._lock:
            if self._connection is None or self._opened_by != os.getpid():
                self._connection = self._connect()
                self._opened_by = os.getpid()
            return self._connection

    def _connect(self) -> sqlite3.Connection:
        try:
            if not self.read_only:
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))  # before SQLite makes it, and with its own mode
            made = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={'ro' if self.read_only else 'rw'}",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            if not self.read_only:
                made.execute("PRAGMA journal_mode = WAL")
                made.execute("PRAGMA synchronous = FULL")
            made.execute("PRAGMA foreign_keys = ON")
            return made
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"cannot open the ledger {self.path}: {error}", hint="ledger=PATH names another one") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and nobody else writes meanwhile; on the disk when it is left."""
        with self._lock:
            connection = self.connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._run_keys.clear()  # those that were made in it are gone with it
                self._prices.clear()
                raise

    def _migrate(self) -> None:
        try:
            with self.transaction() as connection:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                for script in tables.MIGRATIONS[version:]:
                    for statement in _statements(script):
                        connection.execute(statement)
                if version < len(tables.MIGRATIONS):
                    connection.execute(f"PRAGMA user_version = {len(tables.MIGRATIONS)}")
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"cannot use the ledger {self.path}: {error}", hint="ledger=PATH names another one") from error
        self._check_version()

    def _check_version(self) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(tables.MIGRATIONS):
            raise LedgerError(
                f"the ledger {self.path} has format {version}, this llmc knows up to {len(tables.MIGRATIONS)}",
                hint="a newer llmc wrote it: upgrade this one, or ledger=PATH names another",
            )

    # Writing

    def start(self, run: Run) -> None:
        """Make a run known; what it records names it."""
        self._runs[run.run_id] = run
        if not self.spooling:
            with suppress(*_BUSY_OR_BROKEN), self.transaction() as connection:
                self.run_key(connection, run)

    def record(self, row: Recorded) -> None:
        """Put one thing on record; it is on the disk when this returns. The same id again changes nothing."""
        run = self._runs[row.run_id]
        if not self.spooling:
            try:
                with self.transaction() as connection:
                    self.insert(connection, run, row)
            except _BUSY_OR_BROKEN as error:
                if isinstance(error, sqlite3.IntegrityError):
                    raise LedgerError(f"not a valid record: {error}") from error
            else:
                return
        spool.put(self.path, run, row)

    def end(self, run: Run) -> None:
        """Record how a run ended: ``ended_us``, ``status``, and the bytes where it made an archive."""
        if self.spooling:
            spool.put(self.path, run, None)
            return
        try:
            with self.transaction() as connection:
                self._run_end(connection, run)
        except _BUSY_OR_BROKEN:
            spool.put(self.path, run, None)

    def _run_end(self, connection: sqlite3.Connection, run: Run) -> None:
        _insert(
            connection,
            "run_ends",
            run=self.run_key(connection, run),
            ended_us=run.ended_us,
            status=run.status,
            original_bytes=run.original_bytes,
            archive_bytes=run.archive_bytes,
        )

    def insert(self, connection: sqlite3.Connection, run: Run, row: Recorded) -> None:
        """Inside a transaction; an event's reservation is given back with it."""
        values = {f.name: getattr(row, f.name) for f in fields(row)}
        del values["run_id"]
        values["run"] = self.run_key(connection, run)
        if isinstance(row, Event):
            values["price"] = self.price_key(connection, row.price)
            _insert(connection, "events", **values)
            connection.execute("DELETE FROM reservations WHERE event_id = ?", (row.event_id,))
        else:
            _insert(connection, "documents" if isinstance(row, Document) else "energy", **values)

    def run_key(self, connection: sqlite3.Connection, run: Run) -> int:
        """The row of a run, made when there is none; inside a transaction."""
        if key := self._run_keys.get(run.run_id):
            return key
        found = connection.execute("SELECT run FROM runs WHERE run_id = ?", (run.run_id,)).fetchone()
        if found is None:
            names = ("run_id", "project", "target", "config_hash", "host", "started_us", "profile", "model")
            _insert(connection, "runs", **{name: getattr(run, name) for name in names})
            found = connection.execute("SELECT run FROM runs WHERE run_id = ?", (run.run_id,)).fetchone()
            for tag in dict.fromkeys(run.tags):
                _insert(connection, "tags", run=found[0], tag=tag)
        self._run_keys[run.run_id] = int(found[0])
        return int(found[0])

    def price_key(self, connection: sqlite3.Connection, price: Price) -> int:
        """The row of a price, made when there is none; inside a transaction."""
        if price not in self._prices:
            values = asdict(price)
            price_id = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]
            _insert(connection, "prices", price_id=price_id, **values)
            found = connection.execute("SELECT price FROM prices WHERE price_id = ?", (price_id,)).fetchone()
            self._prices[price] = int(found[0])
        return self._prices[price]

    def drain(self, of: Path | None = None, *, keep: bool = False) -> int:
        """Take in what waits in the spool (``of`` another ledger); how many files. Each leaves it once it is in.

        What is no valid record is set aside, and said in ``warnings``.
        """
        taken = 0
        for batch in spool.batches(of or self.path, self.warnings.append):
            try:
                self._take_in(batch)
            except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError):
                batch = [each for each in batch if self._is_taken_in(each)]  # one by one: the others are sound
            for file, _, _ in batch:
                if not keep:
                    file.unlink(missing_ok=True)
            taken += len(batch)
        return taken

    def _take_in(self, batch: list[spool.Spooled]) -> None:
        with self.transaction() as connection:
            for _, run, row in batch:
                if row is None:
                    self._run_end(connection, run)
                else:
                    self.insert(connection, run, row)

    def _is_taken_in(self, one: spool.Spooled) -> bool:
        try:
            self._take_in([one])
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError) as error:
            spool.set_aside(one[0], error, self.warnings.append)
            return False
        return True

    # Reading

    def totals(self, where: Filter = EVERYTHING, by: Sequence[str] = ()) -> list[Totals]:
        """Sums over events, one per group (:data:`llmc.ledger.query.GROUPS`), in the order of their keys."""
        return query.totals(self.connection, where, by)

    def unknown_prices(self, where: Filter = EVERYTHING) -> list[UnknownPrice]:
        """What could not be priced, and why."""
        return query.unknown_prices(self.connection, where)

    def repricings(self) -> list[str]:
        """The repricings that :class:`Filter` can ask for, the oldest first."""
        return query.repricings(self.connection)

    def documents(self, where: Filter = EVERYTHING, by: Sequence[str] = ()) -> list[DocumentTotals]:
        """Sums over documents, one per group."""
        return query.documents(self.connection, where, by)

    def energy(self, where: Filter = EVERYTHING, by: Sequence[str] = ()) -> list[EnergyTotals]:
        """Sums over what the meters read, busy and idle apart, one per group and method."""
        return query.energy(self.connection, where, by)

    def runs(self, where: Filter = EVERYTHING) -> Iterator[Run]:
        """Runs that started in the filter's time, in that order."""
        return query.runs(self.connection, where)

    def events(self, where: Filter = EVERYTHING) -> Iterator[Event]:
        """Every single attempt in the order it was recorded; memory does not grow with their number."""
        return query.events(self.connection, where)


def _insert(connection: sqlite3.Connection, table: str, **values: object) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    values = {name: storable(value) if isinstance(value, str) else value for name, value in values.items()}
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)


def storable(text: str) -> str:
    """Half a surrogate pair (of a file name that is no UTF-8, of a server with a bug) cannot be stored: it is spelled out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _statements(script: str) -> Iterator[str]:
    """One by one: ``executescript`` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
