"""Targets with prerequisites, as in Make: each is reached depth first, runs once, and hands its result on by name.

The Makefile is ``conf/target/*.yaml``. A target is a function ``f(config, PREREQUISITE, ...)``; a prerequisite listed as
``soft`` that fails is handed on as the error that stopped it, one that ``skip`` says is not wanted as None. A result that is a
context manager (a running engine) is entered when it is made and left, in reverse order, when all is done. A function
``check(config)`` in a target's module is asked of every target before the first one does anything; before that, a function
``resolve(config)`` gives the configuration back with what it says ``auto`` chosen, so that every target sees the same.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmc.errors import LlmcError, UsageError
from llmc.schema import RunConfig


@dataclass(frozen=True, slots=True)
class Step:
    """One target as configured, with its prerequisites resolved."""

    name: str
    function: Callable[..., Any]
    needs: tuple["Step", ...]
    soft: frozenset[str]
    skipped: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``dry_run=true`` gives instead of doing: for each target, in order, what it would do."""

    steps: tuple[tuple[str, str], ...]


def plan(name: str, node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Step:
    """The target ``name`` from its config node; a cycle or a function that does not fit its YAML is a UsageError."""
    if name in path:
        raise UsageError(f"targets need each other in a circle: {' -> '.join([*path, name])}")
    from hydra.utils import instantiate

    # Through instantiate, not get_method: it refuses _target_ values that could do harm.
    function = instantiate({"_target_": node["_target_"], "_partial_": True}).func
    needs = node.get("needs") or {}
    step = Step(
        name,
        function,
        tuple(plan(need, child, (*path, name)) for need, child in needs.items()),
        frozenset(node.get("soft") or ()),
        frozenset(need for need, unwanted in (node.get("skip") or {}).items() if unwanted),
    )
    parameters = list(inspect.signature(function).parameters)[1:]
    if sorted(parameters) != sorted(needs):
        raise UsageError(f"target {name}: {node['_target_']} takes {parameters}, its YAML needs {sorted(needs)}")
    for word in step.soft | step.skipped:
        if word not in needs:
            raise UsageError(f"target {name}: {word!r} is soft or skipped but not among its needs")
    return step


def walk(step: Step) -> Iterator[Step]:
    """Each target once, prerequisites first."""
    seen: set[str] = set()

    def visit(each: Step) -> Iterator[Step]:
        for need in each.needs:
            if need.name not in each.skipped:
                yield from visit(need)
        if each.name not in seen:
            seen.add(each.name)
            yield each

    yield from visit(step)


def prepare(step: Step, config: RunConfig) -> RunConfig:
    """The configuration with what it says ``auto`` chosen, and asked of every target before the first one does anything."""
    for each in walk(step):
        resolve = getattr(inspect.getmodule(each.function), "resolve", None)
        if resolve is not None:
            config = resolve(config)
    for each in walk(step):
        check = getattr(inspect.getmodule(each.function), "check", None)
        if check is not None:
            check(config)
    return config


def run(step: Step, config: RunConfig) -> Any:  # noqa: ANN401 - the target's own result
    """Do a target and what it needs; its result. With ``config.dry_run`` each target returns what it would do, as text."""
    results: dict[str, Any] = {}
    failed: dict[str, LlmcError] = {}

    def visit(each: Step) -> Any:  # noqa: ANN401
        if each.name in results:
            return results[each.name]
        if each.name in failed:
            raise failed[each.name]
        given: dict[str, Any] = {}
        for need in each.needs:
            if need.name in each.skipped:
                given[need.name] = None
                continue
            try:
                given[need.name] = visit(need)
            except LlmcError as error:
                if need.name not in each.soft or isinstance(error, UsageError):
                    raise
                given[need.name] = failed[need.name] = error
        result = each.function(config, **given)
        if not config.dry_run and hasattr(result, "__exit__"):
            result = opened.enter_context(result)
        results[each.name] = result
        return result

    config = prepare(step, config)
    with contextlib.ExitStack() as opened:
        result = visit(step)
        if config.dry_run:
            return Plan(tuple((name, str(text)) for name, text in results.items() if isinstance(text, str)))
        return result
