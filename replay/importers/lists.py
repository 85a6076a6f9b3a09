"""
JSON lists of candles and the two orders of their columns.

freqtrade and most venues write [time, open, high, low, close, volume]; Bitfinex writes [time, open, close, high,
low, volume]. Which one a file has is told by the candles: high is never below low, open and close lie between them.
"""

import json
from typing import Any, Final

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray
from papertape.replay.importers.source import HEAD_BYTES, FileSource

USUAL: Final = (1, 2, 3, 4)  # positions of open, high, low, close
BITFINEX: Final = (1, 3, 4, 2)
WIDTH: Final = 6


def parse_json(source: FileSource) -> Any:
    """Return the document, or raise DataError where it breaks off."""
    try:
        return json.loads(source.text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{source.name} row {error.lineno}: not whole JSON: {error.msg.lower()} at character {error.pos}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source.name}: not whole JSON in UTF-8") from error


def head_rows(source: FileSource) -> FloatArray | None:
    """Return the first rows of a JSON list of six numbers each, shape (n, 6), or None if it is none."""
    head = source.head
    if head is None or not head.lstrip().startswith("["):
        return None
    if len(source.data) > HEAD_BYTES:
        head = head[: head.rfind("]", 0, len(head) - 1) + 1] + "]"
    try:
        return as_rows(json.loads(head)[:1000])
    except (ValueError, RecursionError, TypeError):
        return None


def as_rows(values: Any) -> FloatArray | None:
    """Return lists of six numbers as an array, or None when they are something else."""
    if not isinstance(values, list) or not values:
        return None
    if not all(isinstance(row, list) and len(row) == WIDTH for row in values):
        return None
    try:
        rows = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return rows if rows.shape == (len(values), WIDTH) else None


def read_rows(source: FileSource) -> FloatArray:
    """Return all rows of a JSON list, or raise DataError at the first that is no candle."""
    values = parse_json(source)
    rows = as_rows(values)
    if rows is not None:
        return rows
    if not isinstance(values, list) or not values:
        raise DataError(f"{source.name}: no list of candles")
    for index, row in enumerate(values):
        if as_rows([row]) is None:
            raise DataError(
                f"{source.name} row {index + 1}: {str(row)[:60]} is not a list of {WIDTH} numbers"
            )
    raise DataError(f"{source.name}: no list of candles")


def column_order(rows: FloatArray) -> tuple[int, int, int, int]:
    """Return the positions of open, high, low, close that fewer rows contradict; the usual ones in doubt."""
    return BITFINEX if _contradictions(rows, BITFINEX) < _contradictions(rows, USUAL) else USUAL


def _contradictions(rows: FloatArray, order: tuple[int, int, int, int]) -> int:
    opens, high, low, close = (rows[:, i] for i in order)
    fits = (high >= np.maximum(opens, close)) & (low <= np.minimum(opens, close))
    return int((~fits).sum())
