"""Views on disk: ``views-PART-NN.parquet`` beside the documents they stand for, joined by ``seq``.

A finished view is first appended to a journal and flushed to disk, so a kill loses none that was reported done; when a part
is finished (or the next run finds the journal) the journal becomes a Parquet file. Later files win, row by row.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import pyarrow as pa

from llmc.archive import Archive
from llmc.errors import ArchiveError
from llmc.fidelity import Check, Evidence, Fact, Span, Verdict
from llmc.parts import Part, open_parquet, write_parquet
from llmc.view import Attempt, BoundFact, View

_FACT = [pa.field("kind", pa.string()), pa.field("text", pa.string())]
_SPAN = [pa.field("start", pa.int64()), pa.field("end", pa.int64())]
SCHEMA = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("source_tokens", pa.int64()),
        pa.field("tokens", pa.int64()),
        pa.field(
            "facts",
            pa.list_(pa.struct([*_FACT, *_SPAN, pa.field("view_start", pa.int64()), pa.field("view_end", pa.int64())])),
        ),
        pa.field("left_out", pa.list_(pa.struct([*_FACT, *_SPAN]))),
        pa.field(
            "verdict",
            pa.list_(
                pa.struct(
                    [
                        pa.field("check", pa.string()),
                        pa.field("passed", pa.bool_()),
                        pa.field(
                            "evidence",
                            pa.list_(
                                pa.struct(
                                    [
                                        pa.field("message", pa.string()),
                                        pa.field("source", pa.struct(_SPAN)),
                                        pa.field("view", pa.struct(_SPAN)),
                                    ]
                                )
                            ),
                        ),
                    ]
                )
            ),
        ),
        pa.field(
            "attempts",
            pa.list_(
                pa.struct(
                    [
                        pa.field("tier", pa.string()),
                        pa.field("outcome", pa.string()),
                        pa.field("reason", pa.string()),
                        pa.field("prompt_tokens", pa.int64()),
                        pa.field("output_tokens", pa.int64()),
                        pa.field("seconds", pa.float64()),
                        pa.field("by", pa.string()),
                        pa.field("model", pa.string()),
                        pa.field("model_digest", pa.string()),
                        pa.field("cause", pa.string()),
                    ]
                )
            ),
        ),
        pa.field("seconds", pa.float64()),
        pa.field("sha256", pa.string()),
        pa.field("model", pa.string()),
        pa.field("model_digest", pa.string()),
        pa.field("prompt_hash", pa.string()),
        pa.field("seed", pa.int64()),
        pa.field("tokens_by", pa.string()),
        pa.field("config", pa.string()),
        pa.field("retry", pa.bool_()),
    ]
)
_CONSTANT = ["kind", "model", "model_digest", "prompt_hash", "tokens_by", "config"]


def to_row(view: View) -> dict[str, Any]:
    """A view as the row that is stored (the receipt's columns are added by the pipeline)."""
    return {
        "kind": view.kind,
        "text": view.text,
        "source_tokens": view.source_tokens,
        "tokens": view.tokens,
        "facts": [
            {
                "kind": f.kind,
                "text": f.text,
                "start": f.source.start,
                "end": f.source.end,
                "view_start": f.view and f.view.start,
                "view_end": f.view and f.view.end,
            }
            for f in view.facts
        ],
        "left_out": [{"kind": f.kind, "text": f.text, "start": f.start, "end": f.end} for f in view.left_out],
        "verdict": [
            {
                "check": c.name,
                "passed": c.passed,
                "evidence": [
                    {"message": e.message, "source": _span_row(e.source), "view": _span_row(e.view)} for e in c.evidence
                ],
            }
            for c in (view.verdict.checks if view.verdict else ())
        ],
        "attempts": [{name: getattr(a, name) for name in Attempt.__slots__} for a in view.attempts],
        "seconds": view.seconds,
    }


def from_row(row: dict[str, Any]) -> View:
    """The view a row holds."""
    checks = tuple(
        Check(
            c["check"], c["passed"], tuple(Evidence(e["message"], _span(e["source"]), _span(e["view"])) for e in c["evidence"])
        )
        for c in row["verdict"] or ()
    )
    return View(
        kind=row["kind"],
        text=row["text"],
        source_tokens=row["source_tokens"],
        tokens=row["tokens"],
        facts=tuple(
            BoundFact(
                f["kind"],
                f["text"],
                None if f["view_start"] is None else Span(f["view_start"], f["view_end"]),
                Span(f["start"], f["end"]),
            )
            for f in row["facts"] or ()
        ),
        left_out=tuple(Fact(f["kind"], f["text"], f["start"], f["end"], f["text"]) for f in row["left_out"] or ()),
        verdict=Verdict(checks) if checks else None,
        attempts=tuple(Attempt(**a) for a in row["attempts"] or ()),
        seconds=row["seconds"],
    )


def _span_row(span: Span | None) -> dict[str, int] | None:
    return None if span is None else {"start": span.start, "end": span.end}


def _span(row: dict[str, int] | None) -> Span | None:
    return None if row is None else Span(row["start"], row["end"])


def files(folder: Path, part: Part) -> list[Path]:
    return sorted(folder.glob(f"views-{part.part:06d}-*.parquet"), key=lambda file: int(file.stem.rsplit("-", 1)[1]))


def rows(archive: Archive, part: Part, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The latest row of each document of a part, the journal's included, ordered by ``seq``."""
    latest: dict[int, dict[str, Any]] = {}
    for file in files(archive.folder, part):
        try:
            table = open_parquet(file).read(columns=columns and ["seq", *columns])
            latest.update((row["seq"], row) for row in table.to_pylist())
        except FileNotFoundError:
            continue  # sealed or dropped since it was listed
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ArchiveError(f"{file} cannot be read: {error}", hint="delete it: views can be made again") from error
    latest.update((row["seq"], row) for row in _journal_rows(_journal(archive.folder, part)))
    yield from (latest[seq] for seq in sorted(latest))


def _journal(folder: Path, part: Part) -> Path:
    return folder / f"views-{part.part:06d}.journal"


def _journal_rows(journal: Path) -> Iterator[dict[str, Any]]:
    if not journal.exists():
        return
    with journal.open("rb") as file:
        for line in file:
            with suppress(ValueError):  # one that was torn by a kill or a full disk costs its own view
                yield json.loads(line)


class Journal:
    """Appends finished views of one part; on leaving, or when found again, they become a Parquet file."""

    def __init__(self, folder: Path, part: Part) -> None:
        self._folder, self._part = folder, part
        self._path = _journal(folder, part)
        self._file: FileIO | None = None
        self.seal()  # what a killed run left

    def append(self, row: dict[str, Any]) -> None:
        """Durable when this returns; when it cannot be (OSError), the journal is as it was."""
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(end)
            raise

    def seal(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        table = pa.Table.from_pylist(sorted(_journal_rows(self._path), key=lambda row: row["seq"]), SCHEMA)
        if len(table):
            number = 1 + max((int(f.stem.rsplit("-", 1)[1]) for f in files(self._folder, self._part)), default=0)
            write_parquet(
                self._folder / f"views-{self._part.part:06d}-{number:02d}.parquet",
                SCHEMA,
                [table],
                {},
                compression="zstd",
                use_dictionary=_CONSTANT,
                write_statistics=["seq"],
            )
        self._path.unlink(missing_ok=True)
