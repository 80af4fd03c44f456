"""Results for people: one screen, the verdict first, the next command within reach. Fits 100 columns, reads without colour.

Everything that comes from documents or archives is printed as plain characters: never as markup, never as terminal control.
A module for each family of targets registers how its results are drawn; what has no table of its own is printed as JSON.
"""

import sys
from collections.abc import Iterable
from typing import Any

from rich.live import Live

from llmc.report.tables import archive, compress, cost, diff, engines, gate  # noqa: F401 - each registers with draw
from llmc.report.tables.screen import Screen, draw
from llmc.target.status import Status


def render(result: Any) -> None:  # noqa: ANN401
    """A target's result on standard output."""
    width = None if sys.stdout.isatty() else 100
    draw(result, Screen(highlight=False, markup=False, width=width))


def live(samples: Iterable[Status]) -> None:
    """Servers on one screen, renewed with each sample."""
    with Live(console=Screen(highlight=False, markup=False), auto_refresh=False) as screen:
        for each in samples:
            screen.update(engines.servers(each), refresh=True)
