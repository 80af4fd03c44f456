"""``llmc cost output=``: the same report as one HTML page, Markdown, CSV, JSON and FOCUS CSV.

Names of models, tags and projects are data that others chose: :mod:`llmc.report.text_files` makes them harmless.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from llmc import money, period
from llmc.breakeven import MILLION
from llmc.errors import UsageError
from llmc.parts import write_atomically
from llmc.report import cost_focus, html, text_files
from llmc.report.cost_text import Report
from llmc.report.text_files import table_csv
from llmc.spending import Amount, Group
from llmc.worth import loaded

SCHEMA = "llmc.cost/1"
NAMES = {".html": "cost.html", ".md": "cost.md", ".csv": "cost.csv", ".json": "cost.json", ".focus.csv": "focus.csv"}
MARKED = "<!-- made by llmc cost -->\n\n"
_MARKS = {
    ".html": html.GENERATOR, ".md": MARKED, ".csv": ",currency,cost,cost_basis,attempts_of_unknown_cost,",
    ".json": f'"schema": "{SCHEMA}"', ".focus.csv": ",".join(cost_focus.COLUMNS),
}  # fmt: skip
"""What a file of ours has within its first bytes."""
_MARKED_WITHIN = 2048
Rows = Callable[[], Iterable[Sequence[object]]]


@dataclass(frozen=True, slots=True)
class Output:
    """Where to: a folder for all files, or one file, its kind by its ending."""

    path: Path
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, text: str, *, force: bool) -> Self:
        """UsageError, before anything is read, for an ending that is none of ours or a file that is not ours."""
        path = Path(text).expanduser()
        kind = next((k for k in sorted(NAMES, key=len, reverse=True) if path.name.endswith(k)), "")
        if kind:
            if not force and not _is_free(path, kind):
                raise UsageError(f"{path} is there already", hint="another name, or force=true to overwrite it")
            return cls(path, (kind,))
        if path.suffix and not path.is_dir() and not text.endswith("/"):
            raise UsageError(f"output={text} is none of {', '.join(NAMES)}", hint="output=cost/ writes all of them")
        there = next((path / name for kind, name in NAMES.items() if not _is_free(path / name, kind)), None)
        if there is not None and not force:
            raise UsageError(f"{there} is there already", hint="another folder, or force=true to overwrite it")
        return cls(path, tuple(NAMES))

    def write(self, report: Report, focus: Rows) -> list[Path]:
        """Write them, each whole or not at all; their paths."""
        from llmc.report import cost_page

        made: dict[str, Callable[[], str]] = {
            ".html": lambda: cost_page.page(report),
            ".md": lambda: markdown(report),
            ".csv": lambda: table_csv(groups_csv(report)),
            ".json": lambda: json.dumps(as_json(report), ensure_ascii=False, indent=2) + "\n",
            ".focus.csv": lambda: table_csv(focus()),
        }
        written = []
        try:
            for kind in self.kinds:
                file = self.path if len(self.kinds) == 1 else self.path / NAMES[kind]
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file, made[kind]().encode("utf-8", "backslashreplace"))
                written.append(file)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}") from error
        return written


def _is_free(path: Path, kind: str) -> bool:
    """Nothing is there, or a file of this kind that llmc wrote."""
    if not path.exists():
        return True
    if not path.is_file():
        return False
    try:
        with path.open("rb") as opened:
            return _MARKS[kind].encode() in opened.read(_MARKED_WITHIN)
    except OSError as error:
        raise UsageError(f"{path} is there and cannot be read: {error.strerror}") from error


def groups_csv(report: Report) -> Iterable[Sequence[object]]:
    """A row per group: plain numbers, one currency, an empty cell for what is not known."""
    names = report.by or ("total",)
    yield [
        *names, "currency", "cost", "cost_basis", "attempts_of_unknown_cost", "attempts", "failed", "lost", "cached",
        "prompt_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "seconds", "energy_kwh",
        "energy_estimated_kwh", "cost_of_failed",
    ]  # fmt: skip
    for group in report.spending.by(*report.by):
        s = group.sums
        yield [
            *(str(key) for key in (group.key or ("total",))), "USD", money.usd(group.cost.pico) if group.cost.known else None,
            group.cost.basis, group.cost.unknown, s.attempts, s.failed, s.lost, s.cached, s.prompt_tokens, s.cache_read_tokens,
            s.cache_write_tokens, s.output_tokens, round(s.seconds, 3), round(s.energy_joules / 3.6e6, 9),
            round(s.energy_estimated_joules / 3.6e6, 9), money.usd(s.failed_pico),
        ]  # fmt: skip


def markdown(report: Report) -> str:
    return MARKED + text_files.markdown(report.title, report.verdict, report.more, report.tiles, report.sections)


def as_json(report: Report) -> dict[str, Any]:
    """The facts for programs: money as text in dollars, exact; null for what is not known."""
    spending, worth, c = report.spending, report.worth, report.worth.comparison
    whole = spending.whole()
    v = worth.value
    return {
        "schema": SCHEMA,
        "currency": "USD",
        "period": {
            "kind": spending.window.kind,
            "label": spending.window.label,
            "start": None if spending.window.kind in ("all", "run") else period.instant(spending.window.start_us).isoformat(),
            "end": None if spending.window.kind in ("all", "run") else period.instant(spending.window.end_us).isoformat(),
        },
        "verdict": report.verdict,
        "more": report.more,
        "cheaper": c.verdict if whole else "nothing",
        "spent": _amount(spending.paid) if whole else None,
        "idle_electricity": _amount(spending.idle) if spending.idle else None,
        "requests": _group(whole) if whole else None,
        "by": [{"key": dict(zip(report.by, g.key, strict=True)), **_group(g)} for g in spending.by(*report.by)],
        "unknown": [{"provider": u.provider, "model": u.model, "why": u.why, "attempts": u.attempts} for u in spending.unknown],
        "saved_by_cache": _amount(worth.saved_by_cache),
        "saved_by_prompt_cache": _amount(worth.saved_by_prompt_cache),
        "break_even": {
            "month": c.month.label,
            "tokens": round(c.month.tokens),
            "output_share": _plain(c.month.output_share),
            "fallback_share": _plain(c.month.fallback_share),
            "utilisation": _plain(c.month.utilisation),
            "cloud": c.cloud.name if c.cloud else None,
            "cloud_usd": _usd(c.cloud_usd),
            "local_usd": _usd(c.local_usd),
            "local_is_at_least": c.local_usd is not None and not c.local.complete,
            "hybrid_usd": _usd(c.hybrid_usd),
            "batch_usd": _usd(c.batch_usd),
            "local_marginal_usd_per_million": _usd(c.local.usd_per_million),
            "local_loaded_usd_per_million": _usd(loaded(c)),
            "idle_usd": _usd(c.local.idle_usd),
            "electricity_basis": c.local.basis,
            "missing": c.local.missing,
            "tokens_needed": _whole(c.break_even) if c.local.complete else None,
            "range": [_whole(c.low), _whole(c.high)] if c.local.complete and c.drivers else None,
            "hybrid_tokens_needed": _whole(c.hybrid_break_even) if c.local.complete else None,
            "batch_tokens_needed": _whole(c.batch_break_even) if c.local.complete else None,
            "capacity_tokens": _whole(c.capacity),
            "depends_on": [{"what": s.driver, "lower": _whole(s.when_lower), "higher": _whole(s.when_higher)} for s in c.swings]
            if c.local.complete
            else [],
        },
        "elsewhere": [
            {
                "model": f.name,
                "processing": f.variant or "standard",
                "usd": None if f.pico is None else _decimal(f.pico),
                "difference_usd": None if f.difference_pico is None else _decimal(f.difference_pico),
                "approximate": f.approximate,
                "why_unknown": f.why_unknown,
            }
            for f in worth.counterfactuals
        ],
        "value": v
        and {
            "reader": v.reader,
            "source_tokens": v.source_tokens,
            "view_tokens": v.view_tokens,
            "uses": v.uses,
            "net_usd": None if v.why_unknown else _usd(v.made.net_usd(v.uses)),
            "uses_needed": None if v.why_unknown else v.made.uses_needed(),
            "compressing": _amount(v.paid),
            "why_unknown": v.why_unknown,
        },
        "assumptions": [{"what": a.what, "value": a.value, "source": a.source, "as_of": a.checked} for a in worth.assumptions],
    }


def _group(group: Group) -> dict[str, Any]:
    s = group.sums
    return {
        "cost": _amount(group.cost),
        "cost_of_failed_usd": _decimal(s.failed_pico),
        **{n: getattr(s, n) for n in ("attempts", "ok", "failed", "lost", "cached", "prompt_tokens", "output_tokens")},
        "energy_kwh": round(s.energy_joules / 3.6e6, 9),
        "energy_estimated_kwh": round(s.energy_estimated_joules / 3.6e6, 9),
        "local_attempts_without_energy": s.without_energy,
    }


def _amount(amount: Amount) -> dict[str, Any]:
    return {
        "usd": _decimal(amount.pico) if amount.known else None,
        "at_least": amount.known and amount.unknown > 0,
        "basis": amount.basis,
        "attempts_of_unknown_cost": amount.unknown,
    }


def _decimal(pico: int) -> str:
    return f"{money.usd(pico):f}"


def _usd(usd: Fraction | None) -> str | None:
    return None if usd is None else _decimal(round(usd * money.PICO_PER_USD))


def _whole(value: Fraction | None) -> int | None:
    return None if value is None else round(value)


def _plain(share: Fraction) -> str:
    return f"{float(round(share * MILLION) / MILLION):g}"
