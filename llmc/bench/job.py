"""What a benchmark file is given: the configuration, documents, a running engine, and a place for its numbers.

The files of ``llmc bench`` lie in ``bench/`` (inside the package when installed); they ask for the fixture ``job``.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmc import engine as engines
from llmc import state, text
from llmc.bench import record
from llmc.bench.record import Metric
from llmc.documents import Document, Selection
from llmc.engine import Engine
from llmc.errors import EngineUnavailable, InputError, LlmcError
from llmc.model import weights
from llmc.model.sources import here
from llmc.schema import BenchConfig, RunConfig

PACKAGE = Path(__file__).parent.parent
ROOT = next(p for p in (PACKAGE / "benchmarks", PACKAGE.parent) if (p / "bench").is_dir())
"""The folder that holds ``bench/``: inside the package when installed, the checkout's own otherwise."""
MOST_DOCUMENT_BYTES = 4 << 20  # a larger one is no document to measure a model with


class Measured(dict[str, Metric]):
    """The numbers of a run by name; each of these makes one as :mod:`llmc.bench.record` does, for a name of its table."""

    def exact(self, name: str, value: float, note: str = "") -> None:
        self[name] = record.exact(name, value, note)

    def median(self, name: str, samples: Sequence[float], note: str = "") -> None:
        self[name] = record.median(name, samples, note)

    def share(self, name: str, successes: int, of: int, note: str = "") -> None:
        self[name] = record.share(name, successes, of, note)

    def ratio(self, name: str, above: Sequence[float], below: Sequence[float], note: str = "") -> None:
        self[name] = record.ratio(name, above, below, note)

    def single(self, name: str, value: float, note: str = "") -> None:
        self[name] = record.single(name, value, note=note)


@dataclass(slots=True)
class Job:
    """One run of ``llmc bench``."""

    config: RunConfig
    scratch: Path
    """A folder of this run's own, gone afterwards."""
    engine: Engine | None = None
    """Runs already; see :meth:`running`."""
    proof: dict[str, Any] = field(default_factory=dict)
    """What its start showed; empty when it was not started for this run."""
    why_no_engine: LlmcError | None = None
    own_documents: Sequence[bytes] | None = None
    """In place of the configuration's."""
    measured: Measured = field(default_factory=Measured)
    notes: list[str] = field(default_factory=list)
    opened: ExitStack = field(default_factory=ExitStack)
    """What is to be closed when the run ends."""

    @property
    def settings(self) -> BenchConfig:
        return self.config.bench

    def note(self, text: str) -> None:
        """What could not be measured, and why; once."""
        if text not in self.notes:
            self.notes.append(text)

    def documents(self, built_in: Callable[[], Sequence[bytes]]) -> list[bytes]:
        """The texts of ``input=``, else ``built_in``; at most ``bench.documents`` of them, evenly taken."""
        if self.own_documents is not None:
            found = list(self.own_documents)
        elif self.config.input:
            found = list(texts(self.config))
            if not found:
                raise InputError(f"input {self.config.input} holds no text to measure with", hint="llmc bench input=notes/")
        else:
            found = list(built_in())
        most = self.settings.documents or len(found)
        return [found[i * len(found) // most] for i in range(most)] if len(found) > most else found

    def running(self) -> Engine:
        """The engine of the configuration; started now if it was not, and stopped when the run ends."""
        if self.engine is None:
            if self.why_no_engine:
                raise self.why_no_engine
            self.engine = self.opened.enter_context(start(self.config))
        return self.engine

    @contextmanager
    def own_home(self) -> Iterator[Path]:
        """Cache, ledger and history of llmc begin empty and are gone afterwards; the weights are those that are here."""
        home = self.scratch / f"home-{time.monotonic_ns()}"
        (home / "cache").mkdir(parents=True)
        if (models := state.cache("models")).exists():
            (home / "cache" / "models").symlink_to(models.resolve())
        before = os.environ.get("LLMC_HOME")
        os.environ["LLMC_HOME"] = str(home)
        try:
            yield home
        finally:
            if before is None:
                del os.environ["LLMC_HOME"]
            else:
                os.environ["LLMC_HOME"] = before


def start(config: RunConfig) -> Engine:
    """The configuration's engine, not started yet. Raises EngineUnavailable when its weights are not here."""
    file, digest = None, ""
    if config.engine.needs_file and not config.engine.cloud:
        wanted = weights(config)
        if not (pulled := here(wanted)):
            raise EngineUnavailable(f"the weights of {config.model.name} are not here", hint="llmc pull")
        file, digest = wanted.path, pulled.sha256
    return engines.load(config, weights=file, model_digest=digest)


def started_now(engine: Engine) -> bool:
    """Whether this run started the engine: an embedded one always, a server unless it was found running."""
    record = getattr(engine, "record", None)
    return record is None or (record.ours and record.owner_pid is not None)


def nonce() -> str:
    """A line that no cache has seen: of no language model's, nor of ours."""
    return f"[{random.SystemRandom().getrandbits(48):012x}]\n"


def texts(config: RunConfig) -> Iterator[bytes]:
    """The texts of ``input=`` as UTF-8; what is no text, or too large to measure with, is left out."""
    assert config.input is not None
    chosen = Selection(config.input, config.include, config.exclude, config.hidden, config.input_format, config.id_field)
    for document in chosen:
        try:
            found = _text(document, config.field)
        except (InputError, OSError):
            continue
        if found:
            yield found


def _text(document: Document, json_field: str) -> bytes:
    with document.open() as file:
        data = file.read(MOST_DOCUMENT_BYTES + 1)
    if len(data) > MOST_DOCUMENT_BYTES:
        raise InputError("too large")
    return (text.json_field(data, json_field) if document.source else text.decode(data)).encode()
