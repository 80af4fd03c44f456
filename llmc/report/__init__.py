"""What is printed: a result as a table on a terminal, as one JSON document when it is not. The only package that prints."""

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmc.errors import LlmcError

if TYPE_CHECKING:
    from llmc.schema import RunConfig


FORMATS = ("auto", "table", "json")


def show(result: Any, config: "RunConfig") -> int:  # noqa: ANN401 - any target's result
    """Print a result as ``format=`` says; the exit code it stands for."""
    code = int(getattr(result, "exit_code", 0))
    if getattr(result, "output", None) == "-":  # the documents themselves went to standard output
        return code
    if config.format == "json" or (config.format == "auto" and not sys.stdout.isatty()):
        print(json.dumps(plain(result), ensure_ascii=False, indent=2))  # noqa: T201
    else:
        from llmc.report import tables

        tables.render(result)
    return code


def live(samples: Iterable[Any], config: "RunConfig") -> None:
    """Results as they come: one screen that changes on a terminal, one JSON document a line when it is not."""
    if config.format == "json" or (config.format == "auto" and not sys.stdout.isatty()):
        for sample in samples:
            print(json.dumps(plain(sample), ensure_ascii=False), flush=True)  # noqa: T201
        return
    from llmc.report import tables

    tables.live(samples)


def plain(value: Any) -> Any:  # noqa: ANN401
    """A result as JSON values: dataclasses and named tuples become objects."""
    if hasattr(value, "report") and isinstance(value.report, dict):
        return value.report
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    return value


def error(failure: LlmcError) -> None:
    """What shows it, then one line, and where there is one the next step on a line of its own; on stderr."""
    for line in failure.details:
        sys.stderr.write(f"  | {one_line(line)}\n")
    sys.stderr.write(f"error: {one_line(failure.message)}\n")
    if failure.hint:
        sys.stderr.write(f"hint:  {one_line(failure.hint)}\n")


def one_line(text: str) -> str:
    """Control characters shown, not sent to the terminal: messages hold file names and servers' words."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def targets(files: dict[str, Path], options: list[str]) -> int:
    """``llmc targets``: what there is to do, and what each does first."""
    from llmc import cli

    rows = [{"target": n, "summary": cli.summary(f), "needs": cli.needs(f)} for n, f in files.items()]
    if "format=json" in options or (not sys.stdout.isatty() and "format=table" not in options):
        print(json.dumps(rows, indent=2))  # noqa: T201
        return 0
    for row in rows:
        first = f"  (first: {', '.join(row['needs'])})" if row["needs"] else ""
        print(f"{row['target']:<10} {row['summary']}{first}")  # noqa: T201
    return 0
