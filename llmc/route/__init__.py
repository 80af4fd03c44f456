"""Routing: which model is asked for a document, how many are asked at once, and what is done when one does not answer.

A :class:`~llmc.route.tier.Tier` is one rung of the ladder; :mod:`llmc.route.rungs` makes them from the profile, and
:mod:`llmc.route.history` orders them by what became of earlier documents. What is done with the answers is the ladder's
business (:mod:`llmc.view.ladder`).
"""

from llmc.errors import (
    ContextOverflow,
    EngineBusy,
    EngineDenied,
    EngineError,
    EngineFault,
    EngineTimeout,
    EngineUnavailable,
    EngineUnreachable,
)


class Resting(EngineUnavailable):
    """A rung that is not asked now: it failed several times in a row and is left alone for a while."""


class Closed(EngineUnavailable):
    """A rung that is not asked again in this run."""


class Stopped(Exception):
    """The run ends: what has not been asked yet is not asked any more."""


AGAIN = (EngineBusy, EngineTimeout, EngineFault, EngineUnavailable)
"""What may pass by itself, so that asking again is of use; :class:`Resting` and :class:`Closed` are not among them."""

_CAUSES: tuple[tuple[type[EngineError], str], ...] = (
    (Closed, "given up"),
    (Resting, "resting"),
    (EngineBusy, "busy"),
    (EngineTimeout, "timeout"),
    (EngineDenied, "denied"),
    (ContextOverflow, "context"),
    (EngineFault, "server error"),
    (EngineUnreachable, "no connection"),
    (EngineUnavailable, "unreachable"),
)


NOT_ASKED = ("given up", "resting", "too long", "no model")
"""Causes that say nothing about how good a rung is."""


def cause(error: EngineError) -> str:
    """Why a step down the ladder was taken, in a word or two that can be counted."""
    return next((word for kind, word in _CAUSES if isinstance(error, kind)), "error")


def deserves_another_try(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later."""
    return isinstance(error, AGAIN) and not isinstance(error, Resting | Closed)
