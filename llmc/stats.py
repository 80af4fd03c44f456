"""What an archive holds, counted from the archive alone."""

from collections import Counter
from dataclasses import dataclass, field

from llmc import calibrations, viewstore
from llmc.archive import Archive


@dataclass(slots=True)
class Stats:
    """Sizes in bytes as they are on disk; tokens as ``tokens_by`` counted them."""

    archive: str
    documents: int = 0
    replaced: int = 0
    """Earlier versions that are still stored."""
    original_bytes: int = 0
    exact_bytes: int = 0
    """All that restoring needs: blocks, docs and manifest."""
    view_bytes: int = 0
    """What the views, verdicts and receipts add; restoring does not need them."""
    byte_ratio: float | None = None
    """``original_bytes / exact_bytes``."""
    views: dict[str, int] = field(default_factory=dict)
    """Documents by kind of view; ``pending``: not made yet."""
    source_tokens: int = 0
    """Of the documents that have a view."""
    view_tokens: int = 0
    token_ratio: float | None = None
    tokens_by: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    """Documents whose gist was refused, by the first check that failed."""
    without_view: dict[str, int] = field(default_factory=dict)
    """Why documents have none."""
    engine_failures: dict[str, int] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    calibration: calibrations.Holds | None = None
    """What was measured of the check with the settings of these views; None: not calibrated."""


def collect(archive: Archive) -> Stats:
    """Counts everything once, part by part."""
    stats = Stats(str(archive.folder))
    views: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    without: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    tokens_by: Counter[str] = Counter()
    models: Counter[str] = Counter()
    configs: Counter[str] = Counter()
    for part in archive.manifest.parts:
        live = {entry.seq: entry.size_bytes for entry in archive.entries(part)}
        stats.documents += len(live)
        stats.replaced += part.documents - len(live)
        stats.original_bytes += sum(live.values())
        seen = 0
        columns = ["kind", "source_tokens", "tokens", "tokens_by", "model", "attempts", "config"]
        for row in viewstore.rows(archive, part, columns):
            if row["seq"] not in live:
                continue
            seen += 1
            views[row["kind"]] += 1
            last = row["attempts"][-1]
            gists = [a for a in row["attempts"] if a["tier"] == "gist"]
            if row["kind"] == "none":
                without[_group(last["reason"])] += 1
            else:
                stats.source_tokens += row["source_tokens"]
                stats.view_tokens += row["tokens"]
                tokens_by[row["tokens_by"]] += 1
                configs[row["config"] or ""] += 1
            if row["kind"] != "gist" and any(a["outcome"] == "refused" for a in gists):
                refused[next(a["reason"] for a in gists if a["outcome"] == "refused").split(":")[0]] += 1
            for attempt in gists:
                if attempt["outcome"] == "failed":
                    failures[attempt["reason"]] += 1
            if row["model"]:
                models[row["model"]] += 1
        views["pending"] += len(live) - seen
    sizes = archive.stored_bytes()
    stats.exact_bytes, stats.view_bytes = sizes["exact"], sizes["views"]
    stats.byte_ratio = stats.original_bytes / stats.exact_bytes if stats.exact_bytes else None
    stats.token_ratio = stats.source_tokens / stats.view_tokens if stats.view_tokens else None
    stats.views = {kind: views[kind] for kind in ("gist", "extract", "none", "pending") if views[kind]}
    stats.tokens_by = list(tokens_by)
    stats.refused, stats.without_view = dict(refused.most_common()), dict(without.most_common())
    stats.engine_failures, stats.models = dict(failures.most_common(5)), list(models)
    stats.calibration = calibrations.holding(configs)
    return stats


def _group(reason: str) -> str:
    """Reasons that differ only in their numbers, as one."""
    if "max_source_bytes" in reason:
        return "large"
    return reason.split(":")[0].split(" at ")[0]
