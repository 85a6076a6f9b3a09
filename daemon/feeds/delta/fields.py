"""
Single fields of a venue's messages: tolerant of how they are written, strict about what they mean.

A number may be a JSON number or a string; null, an empty string, a missing key and anything that is not finite are
absent. A time is classified by its magnitude (delta-exchange.md 2).
"""

import math
from typing import Any

MAX_NAME_LENGTH = 64


def number(value: Any) -> float | None:
    """Return a finite number, or None when it is absent."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is int:
        return float(value)
    if kind is str and "_" not in value:  # Python would read 1_000
        try:
            found = float(value)
        except ValueError:
            return None
        return found if math.isfinite(found) else None
    return None


def time_us(value: Any) -> int:
    """Return a time in µs since the epoch, or 0 when it is absent; s, ms, µs and ns are told by magnitude."""
    if type(value) is not int:
        found = number(value)
        if found is None or not 0.0 < found < 1e19:
            return 0
        value = int(found)
    if 100_000_000_000_000 <= value < 100_000_000_000_000_000:
        return int(value)  # nearly always
    if value <= 0:
        return 0
    if value < 100_000_000_000:
        return int(value) * 1_000_000
    if value < 100_000_000_000_000:
        return int(value) * 1_000
    return int(value) // 1_000


def name(value: Any) -> str:
    """Return a short non-empty name, or "" when it is absent."""
    return value if type(value) is str and len(value) <= MAX_NAME_LENGTH else ""
