"""The command line: ``llmc TARGET [group=option ...] [key=value ...] [hydra flags]``.

:func:`arrange` is the whole of what differs from plain Hydra: the first bare word is the target, a second one what it is to
do (``cost verify``), flags go first (Hydra 1.3 rejects overrides that a flag splits), and paths are quoted, so that a comma or
a bracket in a file name is a file name. What needs no configuration is answered before Hydra is imported.
"""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmc.state import CONF

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmc.make import Step
    from llmc.schema import RunConfig

INTERPOLATED_KEYS = ("output", "archive", "other", "html")  # in a sweep: output='${codec.name}.llmc'
LITERAL_KEYS = ("input", "output", "archive", "other", "html", "id", "field", "id_field", "by", "gate.base")
# fmt: off
_FLAGS_WITH_VALUE = {
    "-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir", "-p", "--package", "-c", "--cfg",
    "-i", "--info", "-sc",
}
# fmt: on
_TARGET_WORD = re.compile(r"[a-z][a-z_-]*")


class JobFailedError(Exception):
    """A job of a sweep that ran in another process ended with this exit code."""


def main(argv: list[str] | None = None) -> int:
    """Run one command line; its exit code."""
    words = sys.argv[1:] if argv is None else argv
    try:
        code = _main(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output has gone: nothing left to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _main(words: list[str]) -> int:
    targets = target_files()
    flags, others = _split(words)
    first = next((w for w in others if _TARGET_WORD.fullmatch(w)), next(iter(others), None))
    if words in (["--version"], ["version"]):
        from llmc import __version__

        print(f"llmc {__version__}")  # noqa: T201
        return 0
    if not words or (first is None and {"--help", "-h"} & set(words)) or words == ["help"]:
        print(help_text(targets))  # noqa: T201
        return 0 if words else 2
    if first and {"--help", "-h"} & set(words) and first in targets:
        print(target_help(first, targets[first]))  # noqa: T201
        return 0
    if first == "targets":
        from llmc.report import targets as listing

        if rest := [w for w in words if w not in ("targets", "format=auto", "format=json", "format=table")]:
            return usage_error(f"targets does not take {rest[0]}", "llmc targets format=table   (or json)")
        return listing(targets, words)
    if first and _TARGET_WORD.fullmatch(first) and first not in targets:
        from difflib import get_close_matches

        close = get_close_matches(first, targets, n=1)
        return usage_error(f"no target {first!r}", f"did you mean llmc {close[0]}?" if close else "llmc targets lists them")
    if not (first in targets or any(w.startswith("target=") for w in words) or _shows_only(flags)):
        return usage_error(
            "no target named", "llmc targets lists them; for example: llmc compress input=notes/ output=notes.llmc"
        )
    return _hydra(arrange(words), targets)


def _shows_only(flags: list[str]) -> bool:
    return any(w in ("-sc", "--shell-completion", "--hydra-help", "--version") or w.startswith("-sc") for w in flags)


def arrange(words: list[str]) -> list[str]:
    """Our command line as Hydra's: flags first, ``TARGET`` as ``target=TARGET``, the values of paths and ids quoted.

    >>> arrange(["compress", "-m", "input=my notes/a,b", "codec=zstd,ppmd"])
    ['-m', 'target=compress', "input='my notes/a,b'", 'codec=zstd,ppmd']
    >>> arrange(["cost", "verify"])
    ['target=cost', 'do=verify']
    """
    flags, others = _split(words)
    target = next((w for w in others if _TARGET_WORD.fullmatch(w)), None)
    if target is None:
        return flags + [_quoted(w) for w in others]
    others.remove(target)
    known = actions(CONF / "target" / f"{target}.yaml")
    others = [f"do={word}" if word in known else word for word in others]
    return [*flags, f"target={target}", *(_quoted(w) for w in others)]


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Flags with their values, and everything else."""
    flags: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if (word.startswith("-") and "=" not in word.split(" ")[0].removeprefix("--")) or word.startswith("--"):
            flags.append(word)
            if word in _FLAGS_WITH_VALUE:
                flags.extend(w for w in (next(rest, None),) if w is not None)
        else:
            others.append(word)
    return flags, others


def _quoted(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or key not in LITERAL_KEYS or value in ("", "null", "???") or _is_quoted(value):
        return override
    if key not in INTERPOLATED_KEYS:
        value = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)  # ${...} is an interpolation even inside quotes
    value = re.sub(
        r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value
    )  # a backslash counts only before a quote
    return f"{key}='{value}'"


def _is_quoted(value: str) -> bool:
    """Written for Hydra already: ``input="'a,b'"``."""
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def target_files() -> dict[str, Path]:
    """The targets, by name."""
    return {file.stem: file for file in sorted((CONF / "target").glob("*.yaml"))}


def summary(file: Path) -> str:
    """What a config file is for: its first line, a comment; before it may stand one that is Hydra's."""
    with file.open() as lines:
        return next(line for line in lines if not line.startswith("# @")).lstrip("# ").strip()


def actions(file: Path) -> list[str]:
    """The second words that a target knows: ``# do: verify reprice`` in its YAML."""
    found = re.search(r"^# do: (.*)$", file.read_text(), re.M) if file.is_file() else None
    return found[1].split() if found else []


def needs(file: Path) -> list[str]:
    """A target's direct prerequisites."""
    return re.findall(r"(\w+)@needs\.", file.read_text())


HELP = """\
llmc: compress text with a local language model: every byte restorable, every short view checked

  llmc compress input=notes/ output=notes.llmc
  llmc show archive=notes.llmc
  llmc restore archive=notes.llmc output=back/

Targets (llmc TARGET --help)
{targets}

Everything else is key=value; groups of settings are picked by name (yours go into --config-dir)
{groups}

  dry_run=true   only say what would be done       --cfg job          what a command would use
  -m             sweep: codec=zstd,ppmd            -sc install=bash   completion, with eval
  exit codes     0 done, 1 failed, 2 usage, 3 limit, 4 inconclusive, 130 interrupted"""


def help_text(targets: dict[str, Path]) -> str:
    """``llmc --help``."""
    lines = [f"  {name:<10} {summary(file)}" for name, file in targets.items()]
    groups = []
    for folder in sorted(p for p in CONF.iterdir() if p.is_dir() and p.name not in ("target", "hydra")):
        options = sorted(f.stem for f in folder.glob("*.yaml"))
        groups.append(f"  {folder.name:<10} {' '.join(options)}")
    return HELP.format(targets="\n".join(lines), groups="\n".join(groups))


def target_help(name: str, file: Path) -> str:
    """``llmc TARGET --help``: what it does, what it needs first, the keys it reads with their meaning from config.yaml."""
    meanings = {}
    comment = ""
    for line in (CONF / "config.yaml").read_text().splitlines():
        if line.startswith("# "):
            comment = line[2:]
        elif match := re.match(r"(?:  - )?(\w+): ([^#]*?)\s*(?:# (.*))?$", line):
            meanings[match[1]] = (match[2], match[3] or comment)
            comment = ""
    from textwrap import wrap

    lines = [f"llmc {name}: {summary(file)}", ""]
    if before := needs(file):
        lines += [f"  first: {', '.join(before)}", ""]
    if words := actions(file):
        lines += [f"  llmc {name} [{' | '.join(words)}]", ""]
    for key in file.read_text().splitlines()[1].removeprefix("# keys:").split():
        value, meaning = meanings.get(key, ("", ""))
        start = f"  {key + '=' + (value if value != 'null' else '…'):<22} "
        lines += wrap(meaning, 100, initial_indent=start, subsequent_indent=" " * 25) or [start.rstrip()]
    return "\n".join(lines)


def usage_error(message: str, hint: str) -> int:
    sys.stderr.write(f"error: {message}\n" + (f"hint:  {hint}\n" if hint else ""))
    return 2


def _hydra(arguments: list[str], targets: dict[str, Path]) -> int:
    """Hand over to Hydra; its exceptions come out whole (HYDRA_FULL_ERROR) and are turned into our one-line errors here."""
    import logging
    import warnings

    import hydra
    from hydra._internal.utils import get_args_parser

    from llmc import schema

    known = get_args_parser()._option_string_actions
    for word in _split(arguments)[0]:
        if word in ("--cfg", "-c") and (arguments[arguments.index(word) + 1 :] or [""])[0] not in ("job", "hydra", "all"):
            return usage_error(f"{word} takes job, hydra or all", f"llmc {_target_of(arguments)} --cfg job")
        if word.startswith("-") and word.split("=")[0] not in known and word[:2] not in known:
            return usage_error(f"no flag {word}", "settings are key=value; flags are Hydra's: llmc --hydra-help")
    schema.register()
    logging.raiseExceptions = False  # --info is printed by logging, which would report a closed pipe line by line
    if line := os.environ.get("COMP_LINE"):  # completing: the target's bare word as Hydra knows it
        command, *rest = line.split(" ")
        if rest and not any(w in targets or w.startswith("target=") for w in rest[:-1]):
            print(" ".join(t for t in targets if t.startswith(rest[-1])))  # noqa: T201
        os.environ["COMP_LINE"] = " ".join([command, *(f"target={w}" if w in targets else w for w in rest)])
    codes: list[int] = []
    cells: list[tuple[list[str], Any]] = []
    if (launcher := _launcher(arguments)) and _target_of(arguments) == "bench":
        return usage_error(
            f"hydra/launcher={launcher} runs cells side by side, where they measure each other",
            "without it llmc -m bench runs them one after the other",
        )

    gone: list[BrokenPipeError] = []

    def job(config: Any) -> None:  # noqa: ANN401 - a DictConfig; the import is for later
        try:
            if (overrides := _swept(config)) is not None:  # Hydra composes the cells; all else is ours
                cells.append((overrides, config))
                return
            codes.append(run(config))
            if codes[-1] and launcher:  # in a process of the launcher's, whose list of codes is not ours
                raise JobFailedError(codes[-1])
            if codes[-1] == 130:  # the rest of a sweep was not asked for any more
                raise KeyboardInterrupt
        except BrokenPipeError as error:  # past Hydra, which would report it
            gone.append(error)

    job.__module__ = "llmc.cli"
    wrapped = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)
    saved, sys.argv = sys.argv, ["llmc", *arguments]
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if _split(arguments)[0] or any(word.lstrip("+~").startswith(("hydra", "experiment")) for word in arguments):
                wrapped()  # it may be a sweep
            else:
                job(_composed(arguments))
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except JobFailedError as failed:  # it has said why
        return int(failed.args[0])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    except Exception as error:
        if "debug=true" in arguments:
            raise
        message, hint = explain(error)
        return usage_error(message, hint.replace("TARGET", _target_of(arguments)))
    finally:
        sys.argv = saved
        if before is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
    if gone:
        raise gone[0]
    if cells:
        return sweep(cells, [word for word in _split(arguments)[0] if word not in ("-m", "--multirun")])
    return max(codes, default=0)


def _composed(overrides: list[str]) -> Any:  # noqa: ANN401 - a DictConfig
    """What Hydra makes of them, and no more: ``hydra.main`` composes everything twice, the first time to learn its mode."""
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    with initialize_config_dir(str(CONF), version_base="1.3", job_name="llmc"):
        config = compose("config", overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def _launcher(arguments: list[str]) -> str:
    """A launcher that was named and is not the one that runs one job after the other."""
    named = [w.partition("=")[2] for w in arguments if w.lstrip("+").startswith("hydra/launcher=")]
    return named[-1] if named and named[-1] != "basic" else ""


def _swept(config: Any) -> list[str] | None:  # noqa: ANN401 - a DictConfig
    """The overrides of a job that is a cell of ``llmc -m bench``; None for every other job."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    job = HydraConfig.get()
    return list(job.overrides.task) if job.mode == RunMode.MULTIRUN and target_name(config) == "bench" else None


def _target_of(arguments: list[str]) -> str:
    """The target in Hydra's words, to be named in a hint."""
    return next((w.partition("=")[2] for w in arguments if w.startswith("target=")), "compress")


def explain(error: BaseException) -> tuple[str, str]:
    """A composition error of Hydra or OmegaConf as one line and a hint, where TARGET stands for the one asked for."""
    from difflib import get_close_matches

    text = str(error.__cause__ or error) if "Error merging override" in str(error) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if (word := getattr(error, "override", None)) is not None:
        quoting = "a value with a comma, bracket or space is quoted twice: key=\"'a, b'\""
        archive = word.rstrip("/").endswith(".llmc")
        example = f"archive={word}" if archive else f"input={word}"
        if not archive and _TARGET_WORD.fullmatch(word):
            example = f"input={word}, name={word}; what there is: llmc TARGET --help"
        return f"{word!r} cannot be read as key=value", quoting if "=" in word else f"for example {example}"
    if match := re.search(r"Ambiguous value for argument '(\w+)=([^']*)'", text):
        return f"{match[1]} takes one value", f"-m tries each of several: llmc TARGET -m {match[1]}={match[2]} …"
    if match := re.search(r"Could not find '(\w+)/([^']*)'", text):
        group, option = match[1], match[2]
        options = sorted(f.stem for f in (CONF / group).glob("*.yaml"))
        close = get_close_matches(option, options, n=1)
        return (
            f"{group}={option}: there is no such {group}; there are: {', '.join(options)}",
            f"did you mean {group}={close[0]}?"
            if close
            else f"{group}={options[0]}"
            if len(options) == 1
            else f"your own goes into a folder: --config-dir DIR, DIR/{group}/{option}.yaml",
        )
    if match := re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' (?:is )?not in ", text):
        key = match[1].lstrip("+")
        return f"no setting is called {key!r}", _nearest_setting(key)
    if (match := re.search(r"Value '(.*?)' (?:of type '\w+' )?could not be converted to (\w+)", text)) or (
        match := re.search(r"Value '(.*?)' is not a valid (bool)", text)
    ):
        where = re.search(r"full_key: (\S+)", text)
        return (
            f"{where[1] if where else 'a setting'}={match[1]}: not {_article(match[2])}",
            "llmc TARGET --cfg job prints the present values",
        )
    return lines[0].rstrip(".") if lines else type(error).__name__, "debug=true shows where it comes from"


def _nearest_setting(key: str) -> str:
    """The setting that is spelled nearly so, at the depth where the spelling leaves what there is."""
    from dataclasses import fields, is_dataclass
    from difflib import get_close_matches
    from typing import get_type_hints

    from llmc.schema import RunConfig

    kind: Any = RunConfig
    right: list[str] = []
    for word in key.split("."):
        if not is_dataclass(kind):
            break
        names = [f.name for f in fields(kind)]
        if word not in names:
            groups = [(name, inner) for name, inner in get_type_hints(kind).items() if is_dataclass(inner)]
            deeper = [".".join([*right, name, word]) for name, inner in groups if word in {f.name for f in fields(inner)}]
            if deeper:
                return f"did you mean {' or '.join(f'{key}=' for key in deeper)}?"
            if close := get_close_matches(word, names, n=1):
                return f"did you mean {'.'.join([*right, close[0]])}=?"
            break
        kind = get_type_hints(kind)[word]
        right.append(word)
    return f"llmc TARGET --cfg job{f' -p {right[0]}' if right else ''} prints them all"


def _article(kind: str) -> str:
    return {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}.get(kind, f"a {kind.lower()}")


def run(config: Any) -> int:  # noqa: ANN401 - a DictConfig
    """One composed config to its end: the result on stdout, an error as one line on stderr; the exit code."""

    def do() -> int:
        from llmc import make, report

        typed, step = _understood(config, target_name(config))
        return report.show(make.run(step, typed), typed)

    return _ended(do, debug=bool(config.get("debug")))


def sweep(cells: list[tuple[list[str], Any]], flags: list[str]) -> int:
    """``llmc -m bench``: the cells that Hydra composed, by their overrides; the exit code."""

    def do() -> int:
        from llmc import report
        from llmc.target import sweep

        jobs = [sweep.Composed(overrides, *_understood(config, "bench")) for overrides, config in cells]
        return report.show(sweep.run(jobs, flags), jobs[0].config)

    return _ended(do, debug=bool(cells[0][1].get("debug")))


def _understood(config: Any, name: str) -> "tuple[RunConfig, Step]":  # noqa: ANN401
    """A composed config as typed, and its target with what that needs; UsageError for what is wrong in it."""
    from omegaconf import OmegaConf

    from llmc import make, report, schema
    from llmc.errors import UsageError

    try:
        typed = schema.typed(config)
    except Exception as error:
        if config.get("debug"):
            raise
        message, hint = explain(error)
        raise UsageError(message, hint=hint.replace("TARGET", name)) from error
    if typed.format not in report.FORMATS:
        raise UsageError(f"format={typed.format} is none of {', '.join(report.FORMATS)}")
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UsageError(f"{missing[0]} has no value", hint=f"add {missing[0]}=…")
    return typed, make.plan(name, OmegaConf.to_container(config.target, resolve=True))  # type: ignore[arg-type]


def _ended(do: "Callable[[], int]", *, debug: bool) -> int:
    """What it gives, or its error as one line on stderr and the exit code that this stands for."""
    from llmc import report
    from llmc.errors import LlmcError

    try:
        return do()
    except LlmcError as error:
        if debug:
            raise
        report.error(error)
        return error.exit_code
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:
        if debug:
            raise
        report.error(LlmcError(f"unexpected {type(error).__name__}: {error}", hint="a bug of llmc: debug=true shows where"))
        return 1


def target_name(config: Any) -> str:  # noqa: ANN401
    from hydra.core.hydra_config import HydraConfig

    return str(HydraConfig.get().runtime.choices["target"])
