"""llmc calibrate: how often the check misses a planted error, and how often it refuses a faithful view, on your own texts.

The views are extracts: whole sentences of the text, faithful as they stand, so each refusal of one is false. What they do not
show is how often a model's own words are refused; ``llmc stats`` counts that. Errors are planted in the accepted ones.
"""

import hashlib
import json
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from llmc import __version__, state, text, units
from llmc.documents import Document
from llmc.errors import InputError, UsageError
from llmc.fidelity import Policy
from llmc.fidelity.calibrate import CERTIFIED_TRIES, CERTIFIED_VIEWS, Calibration, Rate, rate
from llmc.fidelity.calibrate import calibrate as measure
from llmc.fidelity.corrupt import CORRUPTIONS
from llmc.parts import write_atomically
from llmc.schema import RunConfig
from llmc.target.compress import selection
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
    """Extracts that were made of the drawn documents: half of them sets, half is reported."""
    skipped: dict[str, int]
    """Of the drawn documents, why there was nothing to measure on."""
    false_refusals: Rate
    kinds: list[Missed]
    verdict: str
    """Which kinds are certified, or that there is too little text to certify anything."""
    certified_tries: int = CERTIFIED_TRIES
    certified_views: int = CERTIFIED_VIEWS
    seconds: float = 0.0
    file: str = ""


def check(config: RunConfig) -> None:
    """UsageError or InputError for what can be seen to be wrong before anything is read."""
    if config.input is None:
        raise UsageError("calibrate needs an input", hint="llmc calibrate input=notes/")
    if config.input_format not in ("auto", "text", "jsonl"):
        raise UsageError(f"input_format={config.input_format} is none of auto, text, jsonl")
    if config.view.target_ratio < 1 or config.view.max_tokens < 1:
        raise UsageError("view.target_ratio and view.max_tokens must be at least 1")
    Policy.of(config.policy)
    if config.input != "-" and next(iter(selection(config)), None) is None:
        raise InputError(f"no document in {config.input}", hint="include=, exclude= and hidden= choose what is read")


def calibrate(config: RunConfig) -> Calibrated | str:
    """Draw texts, make their extracts, plant errors, count; the result is kept in llmc's own folder."""
    policy = Policy.of(config.policy)
    if config.dry_run:
        return f"plant errors in extracts of {config.input}, policy {policy_hash(policy)}, seed {config.seed}"
    started = time.perf_counter()
    texts, documents, skipped = _sample(config)
    pairs: list[tuple[str, str]] = []
    for source in texts:
        made = ladder.extract_of(source, config.view, policy)
        if made is None:
            skipped["shorter than view.min_source_tokens"] += 1
        elif not made[0]:
            skipped["no sentence fits the view"] += 1
        else:
            pairs.append((source, made[0]))
    measured = _measured(pairs, policy, config.seed)
    result = Calibrated(
        version=__version__,
        seed=config.seed,
        policy_hash=policy_hash(policy),
        policy=measured.policy,
        documents=documents,
        views=len(pairs),
        skipped=dict(skipped),
        false_refusals=measured.refused,
        kinds=[Missed(kind, missed, measured.certified(kind)) for kind, missed in measured.missed.items()],
        verdict=_verdict(measured),
        seconds=time.perf_counter() - started,
    )
    result.file = str(_keep(result))
    return result


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
            f"too few to certify: {accepted} accepted views and at most {most} errors of a kind, "
            f"{CERTIFIED_VIEWS} and {CERTIFIED_TRIES} are needed"
        )
    return "certified: none, errors of every kind that was tried often enough were missed"


def _keep(result: Calibrated) -> Path:
    folder = state.state("calibration")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{result.policy_hash}.json"
        write_atomically(file, json.dumps(asdict(result), indent=1).encode())
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}", hint="LLMC_HOME=/another/folder") from error
    return file
