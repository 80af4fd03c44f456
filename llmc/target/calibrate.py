"""llmc calibrate: how often the check misses a planted error, and how often it refuses a faithful view, on your own texts.

``input=`` makes extracts of texts: whole sentences, faithful as they stand, so each refusal of one is false. ``archive=`` takes
the views that an archive keeps, a model's own words among them. Errors are planted in the accepted ones. What neither shows is
how often a model's faithful words are refused: they are not kept; ``llmc stats`` counts what was refused.

Kept gists are checked with the policy alone. What a small model's own settings add to it (``compact_share``) is left out, so
the share of missed errors is rather too high than too low.
"""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from llmc import __version__, calibrations, text, units
from llmc.archive import Entry
from llmc.documents import Document
from llmc.errors import InputError, UsageError
from llmc.fidelity import Policy
from llmc.fidelity.calibrate import CERTIFIED_TRIES, CERTIFIED_VIEWS, Calibration, Rate, rate
from llmc.fidelity.calibrate import calibrate as measure
from llmc.fidelity.corrupt import CORRUPTIONS
from llmc.pipeline import config_hash
from llmc.schema import RunConfig
from llmc.target.compress import selection
from llmc.target.read import open_archive, with_views
from llmc.view import ladder

SAMPLE_DOCUMENTS = 600  # drawn by the seed when there are more; half of them is reported, which gives 300 errors of most kinds
SAMPLE_CHARS = 6_000_000  # of them together: minutes, not hours
MOST_BYTES = 200_000  # of one document; the check is linear, so longer ones show nothing new
MOST_ROUNDS = 10  # errors of one kind in one view: more would repeat themselves


@dataclass(frozen=True, slots=True)
class Missed:
    """One kind of planted error."""

    kind: str
    missed: Rate
    certified: bool


@dataclass(slots=True)
class Calibrated:
    """Rates with their exact 95% intervals, and all that is needed to have them again."""

    version: str
    seed: int
    policy_hash: str
    policy: Policy
    """As measured: ``grounded_share`` may be lower than what was asked for."""
    documents: int
    views: int
    """Extracts that were made of the drawn documents, or views that were kept: half of them sets, half is reported."""
    views_by_kind: dict[str, int]
    skipped: dict[str, int]
    """Of the drawn documents, why there was nothing to measure on."""
    false_refusals: Rate
    """Of the reported half. Kept views have passed the check before, so of them none should be refused."""
    kinds: list[Missed]
    verdict: str
    """Which kinds are certified, or that there is too little text to certify anything."""
    certified_tries: int = CERTIFIED_TRIES
    certified_views: int = CERTIFIED_VIEWS
    seconds: float = 0.0
    basis: str = "extracts"
    """What errors were planted in: ``extracts``, ``kept views``, or both."""
    date: str = ""
    """When, in UTC."""
    configs: list[str] = field(default_factory=list)
    """The settings of views, as receipts name them, that this holds for."""
    file: str = ""


def check(config: RunConfig) -> None:
    """UsageError or InputError for what can be seen to be wrong before anything is read."""
    if config.input is None and not config.archive:
        raise UsageError(
            "calibrate needs an input, or an archive", hint="llmc calibrate input=notes/   (or archive=notes.llmc)"
        )
    if config.input_format not in ("auto", "text", "jsonl"):
        raise UsageError(f"input_format={config.input_format} is none of auto, text, jsonl")
    if config.view.target_ratio < 1 or config.view.max_tokens < 1:
        raise UsageError("view.target_ratio and view.max_tokens must be at least 1")
    Policy.of(config.policy)
    if config.archive:
        open_archive(config)
    if config.input not in (None, "-") and next(iter(selection(config)), None) is None:
        raise InputError(f"no document in {config.input}", hint="include=, exclude= and hidden= choose what is read")


def calibrate(config: RunConfig) -> Calibrated | str:
    """Draw texts, take or make their views, plant errors, count; the result is kept in llmc's own folder."""
    policy = Policy.of(config.policy)
    basis = " and ".join(
        what for what, wanted in (("kept views", config.archive), ("extracts", config.input is not None)) if wanted
    )
    if config.dry_run:
        of = " and ".join(name for name in (config.archive, config.input) if name)
        return f"plant errors in {basis} of {of}, policy {policy_hash(policy)}, seed {config.seed}"
    started = time.perf_counter()
    pairs: list[tuple[str, str]] = []
    kinds: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    documents = 0
    configs: set[str] = set()
    if config.archive:
        kept, documents, skipped = _kept(config)
        for source, view, kind, settings in kept:
            pairs.append((source, view))
            kinds[kind] += 1
            configs.add(settings)
    if config.input is not None:
        texts, read, unread = _sample(config)
        documents += read
        skipped += unread
        made = list(_extracts(texts, config, policy, skipped))
        pairs += made
        kinds["extract"] += len(made)
        configs.add(config_hash(config.view, policy, config.seed, config.field))
    measured = _measured(pairs, policy, config.seed)
    result = Calibrated(
        version=__version__,
        seed=config.seed,
        policy_hash=policy_hash(policy),
        policy=measured.policy,
        documents=documents,
        views=len(pairs),
        views_by_kind={kind: n for kind, n in kinds.items() if n},
        skipped=dict(skipped),
        false_refusals=measured.refused,
        kinds=[Missed(kind, missed, measured.certified(kind)) for kind, missed in measured.missed.items()],
        verdict=_verdict(measured),
        seconds=time.perf_counter() - started,
        basis=basis,
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        configs=sorted(configs),
    )
    name = result.policy_hash
    if config.archive:
        name += "-" + hashlib.sha256("\0".join(result.configs).encode()).hexdigest()[:8]
    result.file = str(calibrations.keep(asdict(result), name))
    return result


def _extracts(texts: list[str], config: RunConfig, policy: Policy, skipped: Counter[str]) -> Iterator[tuple[str, str]]:
    for source in texts:
        made = ladder.extract_of(source, config.view, policy)
        if made is None:
            skipped["shorter than view.min_source_tokens"] += 1
        elif not made[0]:
            skipped["no sentence fits the view"] += 1
        else:
            yield source, made[0]


def _kept(config: RunConfig) -> tuple[list[tuple[str, str, str, str]], int, Counter[str]]:
    """(source, view, kind, settings) of documents drawn by the seed, how many there are, and why some of them gave none."""
    archive = open_archive(config)
    rng = random.Random(config.seed)
    drawn: list[tuple[Entry, dict[str, Any]]] = []
    skipped: Counter[str] = Counter()
    documents = count = 0
    for entry, row in with_views(archive, config.id):
        documents += 1
        if row is None or row["kind"] == "none" or not row["text"]:
            skipped["without a view"] += 1
            continue
        count += 1
        place = len(drawn) if len(drawn) < SAMPLE_DOCUMENTS else rng.randrange(count)
        if place < SAMPLE_DOCUMENTS:
            drawn[place : place + 1] = [(entry, {key: row[key] for key in ("text", "kind", "config")})]
    rng.shuffle(drawn)
    found: list[tuple[str, str, str, str]] = []
    used = 0
    for entry, row in drawn:
        try:
            if entry.size_bytes > MOST_BYTES:
                raise InputError(f"larger than {units.size(MOST_BYTES)}")
            data = archive.read(entry)
            source = text.decode(data) if entry.source is None else text.json_field(data, config.field)
        except InputError as error:
            skipped[error.message.split(":")[0]] += 1
            continue
        if used < SAMPLE_CHARS:
            found.append((source, row["text"], row["kind"], row["config"] or ""))
            used += len(source)
    return found, documents, skipped


def policy_hash(policy: Policy) -> str:
    """16 hex digits that change when a number of the policy does."""
    return hashlib.sha256(json.dumps(asdict(policy), sort_keys=True).encode()).hexdigest()[:16]


def _sample(config: RunConfig) -> tuple[list[str], int, Counter[str]]:
    """Texts of documents drawn by the seed, how many documents there are, and why some of the drawn ones gave no text."""
    rng = random.Random(config.seed)
    chosen = selection(config)
    drawn: list[str | Exception] = []  # a reservoir: every document has the same chance, however many come
    count = 0
    for document in chosen:
        count += 1
        place = len(drawn) if len(drawn) < SAMPLE_DOCUMENTS else rng.randrange(count)
        if place < SAMPLE_DOCUMENTS:
            drawn[place : place + 1] = [_text(document, config.field)]
    rng.shuffle(drawn)
    texts: list[str] = []
    skipped = Counter({"could not be read": len(chosen.failed)} if chosen.failed else {})
    used = 0
    for each in drawn:
        if isinstance(each, Exception):
            skipped[str(each)] += 1
        elif used < SAMPLE_CHARS:
            texts.append(each)
            used += len(each)
    return texts, count + len(chosen.failed), skipped


def _text(document: Document, json_field: str) -> str | Exception:
    try:
        with document.open() as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            return InputError(f"larger than {units.size(MOST_BYTES)}")
        return text.decode(data) if document.source is None else text.json_field(data, json_field)
    except InputError as error:
        return InputError(error.message.split(":")[0])
    except OSError:
        return InputError("could not be read")


def _measured(pairs: list[tuple[str, str]], policy: Policy, seed: int) -> Calibration:
    if len(pairs) < 2:  # no half to set on and half to report
        return Calibration(seed, len(pairs), policy, {kind: rate(0, 0) for kind in CORRUPTIONS}, rate(0, 0))
    rounds = min(MOST_ROUNDS, -(-2 * CERTIFIED_TRIES // len(pairs)) + 1)
    return measure(pairs, seed=seed, policy=policy, rounds=rounds)


def _verdict(measured: Calibration) -> str:
    certified = [kind for kind in measured.missed if measured.certified(kind)]
    if certified:
        return f"certified, no miss in {CERTIFIED_TRIES} or more: {', '.join(certified)}"
    accepted = measured.refused.tries - measured.refused.count
    if accepted < CERTIFIED_VIEWS or all(each.tries < CERTIFIED_TRIES for each in measured.missed.values()):
        most = max(each.tries for each in measured.missed.values())
        return (
            f"too few to certify: {units.many(accepted, 'accepted view')} and at most {most} errors of a kind, "
            f"{CERTIFIED_VIEWS} and {CERTIFIED_TRIES} are needed"
        )
    return "certified: none, errors of every kind that was tried often enough were missed"
