"""Every failure llmc names, and the exit code it ends with.

    LlmcError                 1  it did not work
    ├── UsageError            2  the command or a config value is wrong
    ├── InputError            1  something to be read cannot be read
    ├── ArchiveError          1  an archive cannot be read, or cannot be written
    │   └── DamagedError      1  bytes do not match their checksum: nothing is given back instead of something wrong
    ├── EngineError           1  a language model engine cannot do what was asked
    │   ├── EngineUnavailable 1  not installed, not started, died, still loading, bad gateway, broke off
    │   │   └── EngineUnreachable 1  no connection: nothing was asked of it
    │   ├── EngineTimeout     1  no answer before the deadline
    │   ├── EngineBusy        1  too many requests (429); ``retry_after_seconds`` when the server says
    │   ├── EngineFault       1  it broke while answering (500): another try may do
    │   ├── EngineDenied      1  key missing or wrong, not allowed, or nothing left to spend (401, 402, 403)
    │   └── ContextOverflow   1  the prompt does not fit this model: another try is of no use, a larger context is
    ├── PullError             1  weights could not be downloaded or do not match their digest
    ├── LedgerError           1  the record of what was spent cannot be kept or read
    ├── BudgetExceeded        3  a hard limit was reached
    └── Inconclusive          4  nothing can be said either way

An error is one line: the wrong value, the right one; ``hint`` is the next command or the next thing to try.
"""

from collections.abc import Sequence


class LlmcError(Exception):
    """An expected failure; printed as one line, never as a traceback (unless ``debug=true``)."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)
        """Lines that show it, such as the last ones of a log; printed before the error."""

    def __reduce__(self) -> tuple[object, ...]:  # keyword-only arguments do not survive the default pickling
        return _rebuild, (type(self), self.message, self.__dict__)


def _rebuild(cls: type[LlmcError], message: str, state: dict[str, object]) -> LlmcError:
    error = cls(message)
    error.__dict__.update(state)
    return error


class UsageError(LlmcError):
    """The command line or a config value is wrong; nothing was started."""

    exit_code = 2


class InputError(LlmcError):
    """A document cannot be read."""


class ArchiveError(LlmcError):
    """An archive cannot be read or written."""


class DamagedError(ArchiveError):
    """Stored bytes do not match their checksum."""


class EngineError(LlmcError):
    """An engine answered with an error."""


class EngineUnavailable(EngineError):
    """The engine cannot be reached or cannot be started."""


class EngineUnreachable(EngineUnavailable):
    """No connection could be made, so nothing was asked, and nothing can be charged for it."""


class EngineTimeout(EngineError):
    """The engine did not answer in time."""


class EngineBusy(EngineError):
    """The engine takes no more requests just now."""

    def __init__(self, message: str, *, hint: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds
        """How long the server asks to be left alone; None when it did not say."""


class EngineFault(EngineError):
    """The engine broke while it answered; the same request may do the next time."""


class EngineDenied(EngineError):
    """The engine does not serve us: the key, the account or its credit."""


class ContextOverflow(EngineError):
    """Prompt and answer are longer than the model's context."""


class PullError(LlmcError):
    """Weights could not be fetched, or are not the ones that were asked for."""


class LedgerError(LlmcError):
    """The ledger cannot be opened, written or understood."""


class BudgetExceeded(LlmcError):
    """A hard limit on money, time or tokens was reached."""

    exit_code = 3


class Inconclusive(LlmcError):
    """Nothing can be said either way."""

    exit_code = 4
