"""One benchmark run as a file: what was asked, of which code, on which machine, and every number with the values it rests on.

A metric's unit, better direction and meaning stand once, in ``METRICS``. A name may carry what it holds for in brackets,
``ttft_p50_seconds[4 users]``; without brackets it is the figure to compare by. ``read_all(folder())`` reads what there is.
"""

import dataclasses
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from llmc import __version__, state
from llmc.errors import InputError
from llmc.machine.fingerprint import Fingerprint, fingerprint
from llmc.schema import RunConfig

FORMAT = 1
LEAST_SAMPLES = 6  # fewer values have no distribution-free 95% interval of their median: 1 - 2 * 0.5**6 = 0.97, 0.94 with 5
CONFIDENCE = 0.95
MOST_KEPT = 2_000  # values of one metric; more are kept where they came from, in the benchmark's extra_info
Better = Literal["higher", "lower", "none"]
Status = Literal["done", "failed", "refused"]


class Meaning(NamedTuple):
    unit: str
    better: Better
    what: str


METRICS: dict[str, Meaning] = {
    # the main job
    "byte_ratio": Meaning("x", "higher", "original bytes by all bytes on disk that restoring needs"),
    "archive_bytes": Meaning("B", "lower", "all bytes on disk that restoring needs"),
    "token_ratio": Meaning("x", "higher", "source tokens by view tokens, of the documents that have a view"),
    "pass_rate": Meaning("share", "higher", "gists that passed the check, of the documents the model was asked about"),
    "view_rate": Meaning("share", "higher", "documents that have a view, gist or extract, of all"),
    "documents_per_minute": Meaning("1/min", "higher", "documents stored and given a view, start and stop of the engine apart"),
    "seconds_per_document": Meaning("s", "lower", "from taking a document up to its view on disk, the check included"),
    "inference_seconds": Meaning("s", "lower", "one answer of the model, from asking to the last token"),
    "cost_usd_per_1k_documents": Meaning("USD", "lower", "money for a thousand such documents"),
    "requests": Meaning("requests", "lower", "answers that the model was asked for"),
    "prompt_tokens": Meaning("tokens", "lower", "tokens of all prompts, as the server counted them"),
    "output_tokens": Meaning("tokens", "lower", "tokens of all answers, as the server counted them"),
    "joules_per_document": Meaning("J", "lower", "read from sensors while the model worked, for one document"),
    # the caches
    "cache_hit_rate": Meaning("share", "higher", "lookups of views made before that found one"),
    "cache_best_hit_rate": Meaning("share", "none", "hit rate of the best cache of this size, the future known"),
    "cache_of_best": Meaning("share", "higher", "hits by the hits of the best cache there could be"),
    "cached_documents_per_minute": Meaning("1/min", "higher", "documents a minute when every view was made before"),
    "cached_seconds_per_document": Meaning("s", "lower", "a document whose view was made before"),
    "average_seconds_with_cache": Meaning("s", "lower", "a request of the trace on average: the hits' time and the misses'"),
    "calls_saved": Meaning("requests", "higher", "answers that the model was not asked for because a view was there"),
    "cache_hit_seconds": Meaning("s", "lower", "to find a view made before"),
    "cache_miss_seconds": Meaning("s", "lower", "to find that there is none: what every miss pays"),
    "cache_put_seconds": Meaning("s", "lower", "to keep a view"),
    "prefix_cache_share": Meaning("share", "none", "prompt tokens the server had from before; above 0.01 the load was not new"),
    # starting
    "engine_cold_start_seconds": Meaning("s", "lower", "from starting the engine to its first token"),
    "engine_load_seconds": Meaning("s", "lower", "from starting the engine until it says that it is ready"),
    "help_seconds": Meaning("s", "lower", "llmc --help"),
    "targets_seconds": Meaning("s", "lower", "llmc targets"),
    "compose_seconds": Meaning("s", "lower", "llmc compress --cfg job: the configuration read and composed"),
    "python_seconds": Meaning("s", "none", "an empty Python, of which the other starts consist in part"),
    # serving
    "ttft_p50_seconds": Meaning("s", "lower", "time to first token, median"),
    "ttft_p90_seconds": Meaning("s", "lower", "time to first token, 90th percentile"),
    "ttft_p95_seconds": Meaning("s", "lower", "time to first token, 95th percentile"),
    "ttft_p99_seconds": Meaning("s", "lower", "time to first token, 99th percentile"),
    "tpot_p50_seconds": Meaning("s", "lower", "time per output token after the first, median"),
    "tpot_p90_seconds": Meaning("s", "lower", "time per output token after the first, 90th percentile"),
    "tpot_p95_seconds": Meaning("s", "lower", "time per output token after the first, 95th percentile"),
    "tpot_p99_seconds": Meaning("s", "lower", "time per output token after the first, 99th percentile"),
    "itl_p50_seconds": Meaning("s", "lower", "gap between two pieces of text, median"),
    "itl_p90_seconds": Meaning("s", "lower", "gap between two pieces of text, 90th percentile"),
    "itl_p95_seconds": Meaning("s", "lower", "gap between two pieces of text, 95th percentile"),
    "itl_p99_seconds": Meaning("s", "lower", "gap between two pieces of text, 99th percentile"),
    "e2e_p50_seconds": Meaning("s", "lower", "from asking to the last piece of text, median"),
    "e2e_p90_seconds": Meaning("s", "lower", "from asking to the last piece of text, 90th percentile"),
    "e2e_p95_seconds": Meaning("s", "lower", "from asking to the last piece of text, 95th percentile"),
    "e2e_p99_seconds": Meaning("s", "lower", "from asking to the last piece of text, 99th percentile"),
    "prompt_tokens_per_second": Meaning("1/s", "higher", "prompt tokens of answered requests, of all users together"),
    "output_tokens_per_second": Meaning("1/s", "higher", "tokens of answers, of all users together"),
    "requests_per_second": Meaning("1/s", "higher", "answered requests, of all users together"),
    "goodput_per_second": Meaning("1/s", "higher", "requests that kept every promise (SLO); a failed one kept none"),
    "failed_requests": Meaning("requests", "lower", "requests without an answer"),
    "send_lag_p99_seconds": Meaning("s", "lower", "how late the load generator was; late, the figures are its own"),
    "ttft_fresh_p50_seconds": Meaning("s", "lower", "time to first token of a prompt that is new to the server, one user"),
    "ttft_cached_p50_seconds": Meaning("s", "lower", "the same prompt again straight after: what the prefix cache is worth"),
    # exact layer and check
    "write_megabytes_per_second": Meaning("MB/s", "higher", "into an archive, decoded again and compared"),
    "read_megabytes_per_second": Meaning("MB/s", "higher", "all documents read and their checksums compared"),
    "read_one_seconds": Meaning("s", "lower", "open the archive, find one document, decode its block, compare its checksum"),
    "of_solid_zstd": Meaning("x", "lower", "bytes on disk by one zstd -19 stream of the same documents without names"),
    "of_tar_zstd": Meaning("x", "lower", "bytes on disk by tar | zstd -19 of the same documents"),
    "check_kilobytes_per_second": Meaning("kB/s", "higher", "source text that the check compares with a view, one core"),
    "facts_kilobytes_per_second": Meaning("kB/s", "higher", "source text whose hard facts are found, one core"),
    "planted_errors": Meaning("errors", "none", "errors planted in verbatim extracts"),
    "planted_errors_missed": Meaning("errors", "lower", "of these, those that the check let pass"),
    "missed_rate": Meaning("share", "lower", "planted errors that the check let pass, of all"),
    "extracts_refused_rate": Meaning("share", "lower", "verbatim extracts that the check refused: false alarms"),
    # the machine
    "gpu_utilisation": Meaning("share", "higher", "time in which the GPU computed"),
}  # fmt: skip


def meaning(name: str) -> Meaning:
    """Of a metric's name, with or without brackets; KeyError for a name that is not in the table."""
    return METRICS[name.partition("[")[0]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number, and what it rests on."""

    value: float
    unit: str
    better: Better
    samples: list[float] = field(default_factory=list)
    """The raw values; empty for an exact one."""
    low: float | None = None
    high: float | None = None
    """95% interval; None when nothing can be said."""
    exact: bool = False
    """Counted, not timed: the same configuration gives the same number."""
    note: str = ""

    @property
    def n(self) -> int:
        return len(self.samples)


def exact(name: str, value: float, note: str = "") -> Metric:
    """A counter or a size."""
    unit, better, _ = meaning(name)
    return Metric(value, unit, better, exact=True, note=note)


def median(name: str, samples: Sequence[float], note: str = "") -> Metric:
    """The median of independent values; its interval is distribution-free (order statistics, ``scipy.stats.quantile_test``)."""
    import numpy as np

    unit, better, _ = meaning(name)
    values = [float(x) for x in samples]
    low, high = _between(values, 0.5)
    return Metric(float(np.median(values)), unit, better, values, low, high, note=_notes(note, too_small(len(values))))


def quantile(name: str, samples: Sequence[float], p: float, *, requests: int) -> Metric:
    """A percentile of values that came from ``requests`` independent requests: where one gave several, there is no interval."""
    import numpy as np

    unit, better, _ = meaning(name)
    values = [float(x) for x in samples]
    low, high = _between(values, p) if len(values) == requests else (None, None)
    kept = values if len(values) <= MOST_KEPT else []
    note = f"{len(values):,} values" if not kept else ""
    return Metric(float(np.percentile(values, 100 * p)), unit, better, kept, low, high, note=note)


def _between(values: list[float], p: float) -> tuple[float | None, float | None]:
    """Order statistics that hold the p-quantile with 95% confidence; None where the values are too few for one side."""
    if too_small(len(values)):
        return None, None
    import numpy as np
    from scipy.stats import quantile_test

    found = quantile_test(values, q=float(np.quantile(values, p)), p=p).confidence_interval(CONFIDENCE)
    both = float(found.low), float(found.high)
    return both if np.isfinite(both).all() else (None, None)


def share(name: str, successes: int, of: int, note: str = "") -> Metric:
    """A share of counted things, with Wilson's interval; the samples are ones and zeros."""
    from scipy.stats import binomtest

    unit, better, _ = meaning(name)
    found = binomtest(successes, of).proportion_ci(CONFIDENCE, method="wilson")
    samples = [1.0] * successes + [0.0] * (of - successes)
    return Metric(
        successes / of, unit, better, samples, float(found.low), float(found.high), note=_notes(f"{successes} of {of}", note)
    )


def ratio(name: str, above: Sequence[float], below: Sequence[float], note: str = "") -> Metric:
    """Sum by sum over the same things; the interval says how it depends on which things they were (bootstrap, seeded)."""
    import numpy as np

    unit, better, _ = meaning(name)
    a, b = np.asarray(above, float), np.asarray(below, float)
    low, high, said = None, None, too_small(len(a))
    if not said:
        from scipy.stats import bootstrap

        def statistic(x: Any, y: Any, axis: int = -1) -> Any:  # noqa: ANN401 - numpy's arrays
            return x.sum(axis=axis) / y.sum(axis=axis)

        found = bootstrap(
            (a, b), statistic, paired=True, vectorized=True, method="percentile", confidence_level=CONFIDENCE,
            rng=np.random.default_rng(1),
        ).confidence_interval  # fmt: skip
        low, high = float(found.low), float(found.high)
    return Metric(float(a.sum() / b.sum()), unit, better, [float(x) for x in a / b], low, high, note=_notes(note, said))


def single(name: str, value: float, *, samples: Sequence[float] = (), note: str = "") -> Metric:
    """A number that was measured once, or whose interval nobody can say."""
    unit, better, _ = meaning(name)
    return Metric(float(value), unit, better, [float(x) for x in samples] or [float(value)], note=note)


def too_small(n: int) -> str:
    """Why there is no interval; empty when there is one."""
    return "" if n >= LEAST_SAMPLES else f"n too small: {n} of at least {LEAST_SAMPLES}"


def _notes(*said: str) -> str:
    return "; ".join(each for each in said if each)


@dataclass(frozen=True, slots=True)
class Record:
    """One run of ``llmc bench``, or why there is none."""

    id: str
    started: str
    """ISO 8601, UTC."""
    seconds: float
    bench: str
    cell: dict[str, str]
    """model, engine, backend, quant, profile, codec, view: what ``auto`` came to, by name."""
    config_hash: str
    commit: str
    """Of the checkout that llmc runs from, ``+dirty`` when files differ; empty for an installed llmc."""
    version: str
    machine: dict[str, Any]
    """:class:`llmc.machine.fingerprint.Fingerprint`."""
    status: Status
    error: str = ""
    hint: str = ""
    metrics: dict[str, Metric] = field(default_factory=dict)
    benchmarks: list[dict[str, Any]] = field(default_factory=list)
    """As pytest-benchmark wrote them: ``fullname``, ``stats.data`` (every round), ``extra_info``."""
    notes: list[str] = field(default_factory=list)
    """What could not be measured here, and why."""

    @property
    def machine_name(self) -> str:
        """The same text for the same machine: figures are compared only where it is the same."""
        return Fingerprint(**self.machine).machine

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Raises ValueError for what is no record of this format."""
        said = json.loads(text)
        if not isinstance(said, dict) or said.pop("format", None) != FORMAT:
            raise ValueError(f"not a benchmark record of format {FORMAT}")
        try:
            metrics = {str(name): Metric(**each) for name, each in said.pop("metrics").items()}
            made = cls(**said, metrics=metrics)
            _ = made.machine_name
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error
        return made


def new(
    config: RunConfig,
    *,
    started: datetime,
    seconds: float,
    bench: str,
    status: Status,
    error: str = "",
    hint: str = "",
    metrics: Mapping[str, Metric] | None = None,
    benchmarks: Sequence[dict[str, Any]] = (),
    notes: Sequence[str] = (),
    machine: Fingerprint | None = None,
) -> Record:
    """The record of a run of this (resolved) configuration, here and with this code."""
    asked = config_hash(config)
    return Record(
        id=f"{started.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{asked[:8]}",
        started=started.astimezone(UTC).isoformat(),
        seconds=round(seconds, 3),
        bench=bench,
        cell=cell(config),
        config_hash=asked,
        commit=commit(),
        version=__version__,
        machine=dataclasses.asdict(machine or fingerprint()),
        status=status,
        error=error,
        hint=hint,
        metrics=dict(metrics or {}),
        benchmarks=list(benchmarks),
        notes=list(notes),
    )


def cell(config: RunConfig) -> dict[str, str]:
    """What a sweep varies, as the names that ``auto`` came to."""
    return {
        group: str(getattr(config, group).name) for group in ("model", "engine", "backend", "quant", "profile", "codec", "view")
    }


# What a run writes, prints or looks at, and why something was chosen: the same question has the same answer whatever these say.
UNASKED = {
    "target",
    "output",
    "archive",
    "other",
    "html",
    "id",
    "format",
    "quiet",
    "debug",
    "dry_run",
    "force",
    "ledger",
    "timezone",
    "do",
    "columns",
    "repricing",
    "period",
    "by",
    "what",
    "refused",
    "original",
    "name",
    "allow_cpu",
    "export",
    "watch",
    "follow",
    "lines",
    "monitor",
    "project",
    "tags",
    "budget",
    "gate",
    "sweep",
    "cost",
}
UNASKED_OF = {"engine": {"why", "binary", "port", "images", "key_env"}, "backend": {"why"}, "quant": {"why"}}


def config_hash(config: RunConfig) -> str:
    """sha256 of the resolved configuration without paths that are written to and words about output: the same question, the
    same hash. ``input`` counts: other documents are another question."""
    said = dataclasses.asdict(config)
    kept = {name: value for name, value in said.items() if name not in UNASKED}
    for group, names in UNASKED_OF.items():
        kept[group] = {key: value for key, value in kept[group].items() if key not in names}
    if kept["input"] not in (None, "-"):
        kept["input"] = str(Path(kept["input"]).expanduser().resolve())
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def commit() -> str:
    """Of the checkout that this code lies in."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""

    def git(*words: str) -> str:
        try:
            done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return ""
        return done.stdout.strip() if not done.returncode else ""

    head = git("rev-parse", "HEAD")
    return f"{head}+dirty" if head and git("status", "--porcelain") else head


def folder() -> Path:
    """Where records are kept."""
    return state.state("bench")


def write(record: Record, folder: Path) -> Path:
    """The record as a file of its own, whole or not at all."""
    text = record.to_json()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bench-{record.id}.json"
    handle, name = tempfile.mkstemp(prefix=".bench-", dir=folder)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


@dataclass(slots=True)
class Read:
    """Records, oldest first, and the files that are none."""

    records: list[Record] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    """Path and reason."""


def read_all(folder: Path) -> Read:
    """Every record of a folder; a file that cannot be read is named and skipped."""
    found = Read()
    for path in sorted(folder.glob("bench-*.json")):
        try:
            found.records.append(read(path))
        except InputError as error:
            found.damaged.append((str(path), error.message))
    found.records.sort(key=lambda record: record.started)
    return found


def read(path: Path) -> Record:
    """One record; InputError for a file that is none."""
    try:
        return Record.from_json(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no benchmark record: {error}") from error
