"""Results for people: one screen, the verdict first, the next command within reach. Fits 100 columns, reads without colour.

Everything that comes from documents or archives is printed as plain characters: never as markup, never as terminal control.
A module for each family of targets registers how its results are drawn; what has no table of its own is printed as JSON.
"""

import importlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmc.report.tables import screen
from llmc.report.tables.screen import Screen

if TYPE_CHECKING:
    from rich.console import Console

    from llmc.target.status import Status

FAMILIES = {
    "archive": ("llmc.files", "llmc.target.read"),
    "bench": ("llmc.target.bench",),
    "compress": (
        "llmc.make", "llmc.stats", "llmc.target.calibrate", "llmc.target.clean", "llmc.target.compress", "llmc.target.route",
    ),
    "cost": ("llmc.ledger.reconcile", "llmc.ledger.reprice", "llmc.target.cost", "llmc.target.ledger"),
    "diff": ("llmc.diff",),
    "engines": (
        "llmc.model.sources", "llmc.target.deploy", "llmc.target.doctor", "llmc.target.export", "llmc.target.status",
        "llmc.target.stop",
    ),
    "gate": ("llmc.target.gate",),
    "records": ("llmc.target.records",),
    "sweep": ("llmc.target.sweep",),
}  # fmt: skip
"""Which module draws what: the modules that results' types are of. Only one is imported, since each brings its targets."""


def render(result: Any) -> None:  # noqa: ANN401
    """A target's result on standard output."""
    draw(result, Screen(highlight=False, markup=False, width=None if sys.stdout.isatty() else 100))


def draw(result: Any, console: "Console") -> None:  # noqa: ANN401
    """A target's result on a console."""
    for family, modules in FAMILIES.items():
        if type(result).__module__ in modules:
            importlib.import_module(f"{__name__}.{family}")
    screen.draw(result, console)


def live(samples: Iterable["Status"]) -> None:
    """Servers on one screen, renewed with each sample."""
    from rich.live import Live

    from llmc.report.tables import engines

    with Live(console=Screen(highlight=False, markup=False), auto_refresh=False) as shown:
        for each in samples:
            shown.update(engines.servers(each), refresh=True)
