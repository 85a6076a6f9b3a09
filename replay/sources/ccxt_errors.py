"""
What ccxt raises, told apart by what can be done about it.

    final    the venue does not list the symbol, or ccxt cannot do this there: asking again changes nothing
    passing  everything else: refusals of the moment, cut lines, and what its parsers raise on an answer that they do
             not know, which is any error of Python's own

Source: `ccxt/base/errors.py` and the parsers of 4.5.90, which index, convert and decompress without guards.
"""

import importlib
import zlib
from functools import cache
from typing import NamedTuple


class LibraryErrors(NamedTuple):
    """
    Classes for `except`.

    closed  what a pending watch raises when its own exchange object is closed
    keys    what a venue, or the library before it asks, says to whoever has no keys, or none for this
    """

    final: tuple[type[Exception], ...]
    passing: tuple[type[Exception], ...]
    timeout: tuple[type[Exception], ...]
    closed: type[Exception]
    keys: type[Exception]


@cache
def library_errors() -> LibraryErrors:
    """Return the classes; ccxt and aiohttp are imported when first needed."""
    ccxt = importlib.import_module("ccxt.base.errors")
    aiohttp = importlib.import_module("aiohttp")
    strange = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, zlib.error)
    broken = (aiohttp.ClientError, OSError, EOFError, RuntimeError)  # OSError holds TimeoutError
    return LibraryErrors(
        (ccxt.BadSymbol, ccxt.NotSupported),
        (ccxt.BaseError, *broken, *strange),
        (ccxt.RequestTimeout, TimeoutError),
        ccxt.ExchangeClosedByUser,
        ccxt.AuthenticationError,
    )


def one_line(error: BaseException) -> str:
    """Return an error as one line of at most 500 characters, with its cause: ccxt says the address alone."""
    name = type(error).__name__
    text = str(error) or name
    # "'data'" alone is no sentence.
    texts = [f"{name} {text}" if isinstance(error, LookupError) else text]
    if error.__cause__ is not None and str(error.__cause__) not in texts[0]:
        texts.append(str(error.__cause__))
    return " ".join(": ".join(texts).split())[:500].rstrip(".")
