"""llmc cost verify, reprice, reconcile, import: the ledger's upkeep. None of them changes what was recorded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmc.errors import InputError, UsageError
from llmc.ledger import Ledger, budget, default_path, spool
from llmc.ledger import reconcile as reconciling
from llmc.ledger import reprice as repricing
from llmc.ledger import verify as verifying
from llmc.ledger.reconcile import Reconciled
from llmc.ledger.reprice import Repriced
from llmc.ledger.verify import Check
from llmc.report import cost_example
from llmc.schema import RunConfig


def path(config: RunConfig) -> Path:
    """The ledger that a configuration means."""
    return Path(config.ledger).expanduser() if config.ledger else default_path()


@dataclass(slots=True)
class LedgerVerified:
    """Every check of the ledger, passed or not."""

    ledger: str
    checks: list[Check]

    @property
    def exit_code(self) -> int:
        return 0 if all(check.passed for check in self.checks) else 1


@dataclass(slots=True)
class Imported:
    """Records that were taken in from the spool of another ledger, or of this one."""

    ledger: str
    spool: str
    records: int
    warnings: list[str]
    """What was found there and is no record."""


def verify(config: RunConfig) -> LedgerVerified:
    """The ledger, where anything was ever recorded, and the examples of the documentation."""
    file, examples = path(config), cost_example.check()
    try:
        with Ledger.read(file) as ledger:
            return LedgerVerified(str(file), [*verifying.verify(ledger), examples])
    except InputError:
        if config.ledger:
            raise
        return LedgerVerified(str(file), [Check("the ledger", True, 0, "there is none yet: nothing was recorded"), examples])


def reprice(config: RunConfig) -> Repriced:
    file = path(config)
    Ledger.read(file).close()  # one that is not there is an error, and is not made
    with Ledger.open(file) as ledger:
        return repricing.reprice(ledger, config.price, config.power, budget.now(), dry_run=config.dry_run)


def reconcile(config: RunConfig) -> Reconciled:
    if not config.input:
        raise UsageError("reconcile needs the provider's export", hint="llmc cost reconcile input=usage.csv provider=openai")
    with Ledger.read(path(config)) as ledger:
        return reconciling.reconcile(ledger, Path(config.input).expanduser(), config.provider.name, config.columns)


def take_in(config: RunConfig) -> Imported:
    """``import``: what waits in the spool of the ledger ``input`` (this one when not given) comes into this ledger."""
    file = path(config)
    source = Path(config.input).expanduser() if config.input else file
    waiting = spool.waiting(source)
    warnings: list[str] = []
    if not config.dry_run:
        with Ledger.open(file) as ledger:
            if source != file:
                ledger.drain(source)
            warnings += ledger.warnings
    return Imported(str(file), str(spool.folder(source)), waiting - len(warnings), warnings)


ACTIONS: dict[str, Callable[[RunConfig], Any]] = {
    "verify": verify,
    "reprice": reprice,
    "reconcile": reconcile,
    "import": take_in,
}
"""The second word of ``llmc cost WORD``."""
