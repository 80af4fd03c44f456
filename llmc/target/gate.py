"""llmc gate: this tree against the revision it came from. Exit 0: nothing got worse; 3: something did; 4: cannot tell here."""

import dataclasses
import importlib.util
import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmc import state, units
from llmc.errors import LlmcError, UsageError
from llmc.gate import exact, pairs, verdict
from llmc.gate.exact import Difference
from llmc.gate.pairs import Pair, Side
from llmc.gate.verdict import Change, Fitness
from llmc.machine.fingerprint import Fingerprint, fingerprint
from llmc.schema import GateConfig, RunConfig

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"
EXIT_CODES = {PASS: 0, FAIL: 3, INCONCLUSIVE: 4}


@dataclass(slots=True)
class GateReport:
    """The verdict and all it rests on."""

    verdict: str
    reasons: list[str]
    base: str
    changes: list[Change]
    counters: int
    """Exact counters that were compared."""
    differences: list[Difference]
    new: list[str]
    removed: list[str]
    fitness: Fitness | None
    """None: every benchmark had excluded a slowdown before it was asked for."""
    pairs: int
    seconds: float
    machine: Fingerprint
    record: str = ""
    """The file that holds this report with every pair's ratios."""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]


@dataclass(slots=True)
class SelfTest:
    """How often the gate says what, on this machine, when the truth is known."""

    runs: int
    change: float
    same: dict[str, int]
    """Verdicts with the same code on both sides: FAIL is a false alarm."""
    slower: dict[str, int]
    """With ``change`` added to head: FAIL is right."""
    faster: dict[str, int]
    """With ``change`` added to base: ``faster`` counts the runs that said so of every benchmark."""
    seconds: float
    machine: Fingerprint
    record: str = ""

    @property
    def exit_code(self) -> int:
        return 3 if self.same.get(FAIL) else 0


def check(config: RunConfig) -> None:
    settings = config.gate
    for package, extra in (("pytest", "bench"), ("scipy", "bench")):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"the gate needs {package}", hint=f"pip install 'llmc-cli[{extra}]'")
    if not 6 <= settings.pairs_first <= settings.pairs_most:
        raise UsageError(f"gate.pairs_first={settings.pairs_first} gate.pairs_most={settings.pairs_most}: from 6 to the most")
    if not 0 <= settings.fail_margin < settings.pass_margin:
        raise UsageError(f"gate.fail_margin={settings.fail_margin} is not below gate.pass_margin={settings.pass_margin}")
    if settings.rounds < 1 or not 0 < settings.error_rate < 0.5:
        raise UsageError(f"gate.rounds={settings.rounds} gate.error_rate={settings.error_rate}: at least 1, between 0 and 0.5")


def gate(config: RunConfig) -> GateReport | SelfTest | str:
    """Compare, or with ``gate.self_test=true`` find out what a comparison is worth here."""
    settings = config.gate
    top = pairs.git("rev-parse", "--show-toplevel", cwd=Path.cwd(), check=False)
    if not top:
        raise UsageError(f"{Path.cwd()} is in no git repository", hint="the gate compares two revisions: call it inside one")
    root = Path(top)
    for file in settings.files:
        if not (root / file.partition("::")[0]).exists():
            raise UsageError(
                f"gate.files: {root / file} is not there",
                hint="pytest-benchmark files, from the root: gate.files=[tests/bench.py]",
            )
    if len(tops := {Path(file).parts[0] for file in settings.files}) != 1:
        raise UsageError(f"gate.files must lie in one folder of the repository, not in {', '.join(sorted(tops)) or 'none'}")
    base = "HEAD" if settings.self_test else base_revision(root, settings.base)
    if config.dry_run:
        what = "itself" if settings.self_test else f"{base[:12]} {pairs.git('log', '-1', '--format=%s', base, cwd=root)}"
        return f"{settings.pairs_first} to {settings.pairs_most} pairs of {' '.join(settings.files)} beside {what}"

    def say(text: str) -> None:
        if not config.quiet:
            sys.stderr.write(f"{text}\n")

    with sides(root, base, settings) as (old, new, before):
        if settings.self_test:
            report: GateReport | SelfTest = self_test(old, new, settings, say)
        else:
            report = compare(root, base, old, new, settings, say, had=pairs.names(before, settings.files))
    if isinstance(report, GateReport):
        write_summary(report, settings.summary)
    return report


def base_revision(root: Path, named: str | None) -> str:
    """The commit to compare with: as named, else where this branch left main; on main itself the commit before, unless files
    have changed since the last commit."""
    if named:
        return pairs.git("rev-parse", "--verify", f"{named}^{{commit}}", cwd=root)
    head = pairs.git("rev-parse", "HEAD", cwd=root)
    for main in ("origin/HEAD", "origin/main", "main", "origin/master", "master"):
        if base := pairs.git("merge-base", "HEAD", main, cwd=root, check=False):
            break
    else:
        raise UsageError("there is no main branch to compare with", hint="gate.base=REVISION")
    if base != head or pairs.git("status", "--porcelain", "--untracked-files=no", cwd=root):
        return base
    before = pairs.git("rev-parse", "--verify", "HEAD~1", cwd=root, check=False)
    if not before:
        raise UsageError("there is no earlier commit to compare with", hint="gate.base=REVISION (CI: fetch the history too)")
    return before


@contextmanager
def sides(root: Path, base: str, settings: GateConfig) -> Iterator[tuple[Side, Side, Side]]:
    """Base and head with head's benchmarks, and base with its own; each with an interpreter that has what it needs."""
    top = Path(settings.files[0]).parts[0]
    with ExitStack() as opened:
        old = root if settings.self_test else opened.enter_context(pairs.checkout(root, base))
        python = dict.fromkeys((old, root), sys.executable)
        if settings.lock and settings.environment and old != root:
            lock = [tree / settings.lock for tree in (old, root)]
            if all(file.exists() for file in lock) and lock[0].read_bytes() != lock[1].read_bytes():
                python[old] = _environment(old, settings.environment)

        def side(tree: Path, benchmarks_of: Path) -> Side:
            return Side(opened.enter_context(pairs.farm(tree, benchmarks_of, top)), python[tree])

        yield side(old, root), side(root, root), side(old, old)


def _environment(tree: Path, command: str) -> str:
    words = shlex.split(command)
    done = subprocess.run([str(tree / words[0]), *words[1:]], cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        said = done.stderr.strip().splitlines()
        raise LlmcError(
            f"{command} failed for the base: {said[-1] if said else done.returncode}", hint="gate.lock=null shares ours"
        )
    return done.stdout.strip().splitlines()[-1]


def compare(
    root: Path,
    base: str,
    old: Side,
    new: Side,
    settings: GateConfig,
    say: Callable[[str], None],
    *,
    had: Iterable[str] = (),
    seed: int | None = None,
) -> GateReport:
    """Counters first, then pairs until each benchmark is decided or the most are done; ``had``: the base's own benchmarks."""
    started = time.perf_counter()
    draw = random.Random(settings.seed if seed is None else seed)
    measured: list[Pair] = []

    def more(left: Side, right: Side, count: int, files: Sequence[str]) -> list[Pair]:
        made = []
        for i in range(count):
            made.append(pairs.measure(left, right, files, settings, hash_seed=draw.randrange(2**32), swap=bool(i % 2)))
            _broken(made[-1])
        return made

    say(f"comparing with {base[:12]}: {settings.pairs_first} pairs of processes")
    measured += more(old, new, settings.pairs_first, settings.files)
    first = measured[0]
    acknowledged = exact.read_acknowledged(root / settings.acknowledged)
    differences = exact.differences(_extras(first, "base"), _extras(first, "head"), settings.metrics, acknowledged)
    reasons = [f"{d.benchmark}: {d.name} {_plain(d.base)} -> {_plain(d.head)}" for d in differences if d.status == exact.WORSE]
    reasons += _unsteady(measured)
    removed = sorted(set(had) - first.head.keys() - set(first.new))
    unsaid = set(removed) - {e.get("removed") for e in acknowledged}
    reasons += [f"{b}: is gone (acknowledge it in {settings.acknowledged})" for b in sorted(unsaid)]

    x: dict[str, list[float]] = {name: [] for name in first.log_ratios}
    _gather(x, measured)
    changes = _judge(x, measured, settings)
    fitness = None
    if any(c.status != verdict.SAME for c in changes):
        say(f"{_undecided(changes)}; {settings.pairs_same} pairs of the base with itself")
        same: dict[str, list[float]] = {name: [] for name in x}
        _gather(same, more(old, old, settings.pairs_same, sorted(x)))
        fitness = verdict.fitness(same, settings)
        open_ = [c.benchmark for c in changes if c.status == verdict.UNDECIDED]
        if fitness.fit and open_:
            say(f"{len(open_)} undecided after {len(measured)} pairs: {settings.pairs_most - len(measured)} more")
            later = more(old, new, settings.pairs_most - len(measured), open_)
            measured += later
            _gather(x, later)
            changes = _judge(x, measured, settings)
    word = FAIL if reasons else PASS
    if fitness and not fitness.fit and word == PASS:
        word, reasons = INCONCLUSIVE, [f"this machine is too noisy right now: {fitness.reason}"]
    elif slower := [c for c in changes if c.status == verdict.SLOWER]:
        word = FAIL
        reasons += [f"{c.benchmark}: {c.change:+.1%} time (98% CI {c.low:+.1%}..{c.high:+.1%})" for c in slower]
    elif word == PASS and (undecided := [c for c in changes if c.status == verdict.UNDECIDED]):
        word = INCONCLUSIVE
        reasons = [
            f"{c.benchmark}: {c.change:+.1%} time (98% CI {c.low:+.1%}..{c.high:+.1%}) decides nothing" for c in undecided
        ]
    counters = sum(len(e.get("counters") or {}) + len(e.get("metrics") or {}) for e in _extras(first, "head").values())
    report = GateReport(
        word, reasons, base, changes, counters, differences, first.new, removed, fitness,
        len(measured), round(time.perf_counter() - started, 1), fingerprint(),
    )  # fmt: skip
    report.record = _save("gate", dataclasses.asdict(report) | {"log_ratios": x, "settings": dataclasses.asdict(settings)})
    return report


def _broken(pair: Pair) -> None:
    for name, end in pair.head.items():
        if end.outcome == "failed":
            raise LlmcError(f"{name} does not run: {end.reason}", hint="python -m pytest --benchmark-only shows all of it")


def _extras(pair: Pair, side: str) -> dict[str, dict[str, Any]]:
    return {name: end.extra for name, end in getattr(pair, side).items() if end.outcome == "passed"}


def _unsteady(measured: list[Pair]) -> list[str]:
    """Counters that are not the same each time on the same side cannot be compared, and say so."""
    found = []
    for side in ("base", "head"):
        first = _extras(measured[0], side)
        for pair in measured[1:]:
            for name, extra in _extras(pair, side).items():
                if extra.get("counters") != first.get(name, {}).get("counters"):
                    found.append(f"{name}: its counters differ from run to run on the same code, so they are not exact")
    return sorted(set(found))


def _gather(x: dict[str, list[float]], measured: list[Pair]) -> None:
    for pair in measured:
        for name in pair.log_ratios:
            x.setdefault(name, []).append(pair.value(name))


def _judge(x: dict[str, list[float]], measured: list[Pair], settings: GateConfig) -> list[Change]:
    return [
        verdict.judge(name, values, [p.seconds[name] for p in measured if name in p.seconds], settings, len(x))
        for name, values in sorted(x.items())
    ]


def _undecided(changes: list[Change]) -> str:
    return ", ".join(f"{c.benchmark.split('::')[-1]} {c.status} ({c.change:+.1%})" for c in changes if c.status != verdict.SAME)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def self_test(old: Side, new: Side, settings: GateConfig, say: Callable[[str], None]) -> SelfTest:
    """Runs of the gate where the truth is known: no change, head slower, head faster."""
    started = time.perf_counter()
    counts: dict[str, dict[str, int]] = {"same": {}, "slower": {}, "faster": {}}
    records = []
    slow = settings.self_test_change
    for run in range(settings.self_test_runs):
        for name, base, head in (
            ("same", old, new),
            ("slower", old, dataclasses.replace(new, slowdown=slow)),
            ("faster", dataclasses.replace(old, slowdown=slow), new),
        ):
            report = compare(Path(), "the same code", base, head, settings, lambda text: None, seed=settings.seed + run)
            word = report.verdict
            if name == "faster" and all(c.status == verdict.FASTER for c in report.changes):
                word = "faster"
            counts[name][word] = counts[name].get(word, 0) + 1
            records.append(report.record)
            estimates = " ".join(f"{c.change:+.1%}" for c in report.changes)
            say(f"run {run + 1} of {settings.self_test_runs}, {name}: {word}, {estimates}, {units.seconds(report.seconds)}")
    result = SelfTest(
        settings.self_test_runs, slow, counts["same"], counts["slower"], counts["faster"],
        round(time.perf_counter() - started, 1), fingerprint(),
    )  # fmt: skip
    result.record = _save("self-test", dataclasses.asdict(result) | {"runs_recorded": records})
    return result


def _save(name: str, content: dict[str, Any]) -> str:
    folder = state.state("gate")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.json"
    path.write_text(json.dumps(content, indent=1))
    return str(path)


def write_summary(report: GateReport, named: str | None) -> None:
    """Append the verdict as Markdown where CI looks for it."""
    if path := named or os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a") as file:
            file.write(markdown(report))


def markdown(report: GateReport) -> str:
    """The report for a pull request."""
    lines = [f"## llmc gate: {report.verdict}", "", *(f"- {_cell(reason)}" for reason in report.reasons), ""]
    if report.changes:
        lines += ["| benchmark | time | 98% CI | verdict |", "|---|---|---|---|"]
        lines += [
            f"| {_cell(c.benchmark)} | {c.change:+.1%} | {c.low:+.1%} .. {c.high:+.1%} | {c.status} |" for c in report.changes
        ]
    lines += [
        f"| {_cell(d.benchmark)} {d.name} | {_cell(_plain(d.base))} | {_cell(_plain(d.head))} | {d.status} |"
        for d in report.differences
    ]
    lines += [f"\nNew: {', '.join(map(_cell, report.new))}"] if report.new else []
    lines += [f"\nRemoved: {', '.join(map(_cell, report.removed))}"] if report.removed else []
    lines += [
        "",
        f"{report.counters} exact counters, {report.pairs} pairs, {units.seconds(report.seconds)}, base `{report.base[:12]}`",
        "",
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
