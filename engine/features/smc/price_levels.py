"""
Shelves: zones and levels in the order in which price can reach them, so that a candle touches only what it reached.

What lies below price is approached by lows (`approach` +1), what lies above by highs (-1). The key of a row is
approach × the price that fires it, rows are in ascending order, and the next one to fire is the last. A candle fires
rows from the end while its own approach × extreme is below the key (or at it, where equality counts). Adding shifts
what is nearer, which is little, because new zones form near the price: O(log m) comparisons and short moves.

A shelf that is full drops its oldest row (least `made`), which the caller counts.
"""

from typing import Final

from papertape.engine.jit import Row, Rows, kernel, record

ZONE: Final = record(
    ("key", "f8"),
    ("top", "f8"),
    ("bottom", "f8"),
    ("level", "f8"),
    ("bar", "i8"),  # the candle it is about
    ("formed_ms", "i8"),  # its open time
    ("made", "i8"),  # the candle that made it known
    ("side", "i8"),
    ("stage", "i8"),
    ("reference", "i8"),
)


@kernel
def add_row(rows: Rows, n: int, zone: Row, key: float) -> int:
    """Put a zone in its place under a key; return the new number of rows. The shelf must have room."""
    place = n
    while place > 0 and rows[place - 1].key > key:
        rows[place] = rows[place - 1]
        place -= 1
    rows[place] = zone
    rows[place].key = key
    return n + 1


@kernel
def remove_row(rows: Rows, n: int, place: int) -> int:
    """Take one row out; return the new number of rows."""
    for number in range(place, n - 1):
        rows[number] = rows[number + 1]
    return n - 1


@kernel
def oldest_row(rows: Rows, n: int) -> int:
    """Return the place of the row that was made first; of several, the one farthest from the price."""
    best = 0
    for number in range(1, n):
        if rows[number].made < rows[best].made:
            best = number
    return best


@kernel
def fill_zone(zone: Row, top: float, bottom: float, bar: int, formed_ms: int, made: int, side: int) -> None:
    """Write a zone without level, stage and reference."""
    zone.key = 0.0
    zone.top = top
    zone.bottom = bottom
    zone.level = 0.0
    zone.bar = bar
    zone.formed_ms = formed_ms
    zone.made = made
    zone.side = side
    zone.stage = 0
    zone.reference = -1
