"""
What can go wrong between us and a venue's history, as one small tree under DataError.

    RestError            any answer that cannot be used
    ├── RestRefused      the venue said no; asking again would change nothing
    │   └── SymbolRefused    because of the symbol
    └── RestUnavailable  no usable answer after every retry; later may be better
"""

from collections.abc import Iterable

from papertape.engine.errors import DataError, did_you_mean


class RestError(DataError):
    """An answer that cannot be used; `status` is 0 when there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class RestRefused(RestError):
    """The request is wrong in the venue's eyes: an unknown symbol, a parameter, a missing path."""


class SymbolRefused(RestRefused):
    """The venue does not list a symbol, or has no candles of it."""


class RestUnavailable(RestError):
    """The venue cannot be reached, is overloaded or answers nonsense."""


def nearest(symbol: str, known: Iterable[str]) -> str:
    """Return a hint when one name is near; a list of thousands helps nobody."""
    told = did_you_mean(symbol, known)
    return told if "did you mean" in told else ""
