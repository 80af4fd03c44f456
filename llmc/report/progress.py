"""What is shown while something runs: on stderr, only on a terminal, never in the way of a pipe."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from threading import Event, Thread
from typing import TYPE_CHECKING

from llmc import units
from llmc.report import one_line

if TYPE_CHECKING:
    from llmc.pipeline import Progress
    from llmc.route.tier import Tally

REFRESH_SECONDS = 0.2


def _wanted(quiet: bool) -> bool:
    return not quiet and sys.stderr.isatty()


def say(text: str, *, quiet: bool) -> None:
    """One line on stderr."""
    if not quiet:
        sys.stderr.write(one_line(text) + "\n")


@contextmanager
def download(name: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and remaining time; without a terminal one line that says what is being fetched."""
    if not _wanted(quiet):
        if not quiet:
            sys.stderr.write(f"downloading {name}\n")
        yield lambda have, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("downloading {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda have, total: bar.update(task, completed=have, total=total)


def _tier(name: str, tally: "Tally", seconds: float) -> str:
    """One rung: what is with it, how fast it is, the share of its views that passed the check."""
    speed = f" {tally.tokens / seconds:.0f} tokens/s" if seconds else ""
    tried = tally.kept + tally.refused
    passed = f" {tally.kept / tried:.0%} pass" if tried else ""
    cached = f" {tally.cached} from the cache" if tally.cached else ""
    return f"| {name} {tally.in_flight} in flight{speed}{passed}{cached}"


def _money(progress: "Progress") -> str:
    if progress.spent_usd is None:
        return ""
    spent = _cents(progress.spent_usd) + (f" of ${progress.budget_usd:.2f}" if progress.budget_usd is not None else "")
    return spent + (f" + {_cents(progress.electricity_usd)} electricity" if progress.electricity_usd else "")


def _cents(usd: Decimal) -> str:
    return f"${usd:.2f}" if usd >= Decimal("0.01") or not usd else "<$0.01"


@contextmanager
def starting(what: str, *, quiet: bool) -> Iterator[None]:
    """That a model is being loaded, and for how long."""
    if not _wanted(quiet):
        if not quiet:
            sys.stderr.write(f"starting {one_line(what)}\n")
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("starting {task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(one_line(what), total=None)
        yield


@contextmanager
def compress(progress: "Progress", heading: str, *, quiet: bool) -> Iterator[None]:
    """The run's one line of what it works with, and a bar for each stage."""
    if not _wanted(quiet):
        if not quiet:
            sys.stderr.write(one_line(heading) + "\n")
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Facts(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(str(task.fields.get("facts", "")))

    console = Console(stderr=True, highlight=False)
    console.print(Text(one_line(heading)))
    columns = (TextColumn("{task.description:<12}"), BarColumn(bar_width=24), Facts(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        exact = bar.add_task("exact layer", total=None)
        views = bar.add_task("views", total=None, visible=False)
        done = Event()

        def refresh() -> None:
            while not done.wait(REFRESH_SECONDS):
                update()

        def update() -> None:
            if progress.stage == "exact":
                facts = f"{units.count(progress.documents)} docs  {units.size(progress.read_bytes)}"
                bar.update(exact, completed=progress.documents, facts=facts)
                return
            exact_facts = f"{units.count(progress.stored)} docs  {units.size(progress.bytes)}"
            bar.update(exact, total=1, completed=1, facts=exact_facts)
            task = bar.tasks[1]
            minutes = (task.elapsed or 0) / 60
            rate = f"{progress.documents / minutes:.0f} docs/min" if minutes > 0.05 else ""
            seconds = minutes * 60 if minutes > 0.05 else 0.0
            tiers = [_tier(name, tally, seconds) for name, tally in progress.tiers.items() if tally.tokens or tally.in_flight]
            kinds = "  ".join(f"{kind} {n}" for kind, n in sorted(progress.kinds.items()))
            working = f"{progress.in_flight} in work" if progress.in_flight else ""
            if progress.interrupted:
                working = f"finishing {progress.in_flight}; Ctrl-C again stops at once"
            documents = f"{progress.documents}/{progress.total} docs"
            facts = "  ".join(x for x in (documents, working, rate, kinds, _money(progress), *tiers) if x)
            if not task.visible:
                bar.reset(views, visible=True, total=progress.total)
            bar.update(views, completed=progress.documents, facts=facts)

        thread = Thread(target=refresh, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
