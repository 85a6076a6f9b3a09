"""
The tree of exceptions, and the exit code that a command ends with for each.

    PapertapeError            1   anything refused, with one sentence that says what and why
    ├── DataError             1   a bad candle, file or answer of a venue
    ├── ConfigError           1   a configuration that cannot be run; all faults at once
    ├── StrategyError         1   a user's strategy failed, or asked for what no order can mean
    └── InvariantError        3   a broken promise of our own: the ledger does not balance, …
"""

import difflib
from collections.abc import Iterable


class PapertapeError(Exception):
    """Base class; the message is one sentence a user can act on."""

    exit_code = 1


class DataError(PapertapeError):
    """Data that must not be traded on: the message names the thing, the rule and the value."""


class ConfigError(PapertapeError):
    """A configuration that cannot be run; raised before anything starts."""


class StrategyError(PapertapeError):
    """A user's strategy failed, or asked for what no order can mean; the message names strategy, symbol and candle."""


class InvariantError(PapertapeError):
    """A broken invariant of the engine; it stops rather than trading on."""

    exit_code = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `: did you mean 'x'?` for the nearest known name, or the list of names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f": did you mean {close[0]!r}?" if close else f": choose one of {', '.join(names)}"
