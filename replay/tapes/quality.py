"""
What is wrong with candles, counted and placed; nothing is changed here.

The conventions. A hole is a step between consecutive stamps longer than the timeframe; candles missing in it are
the whole steps that fit, less one, so that candles off the grid do not make holes by themselves. A duplicate is a
stamp that came before. A jump is the log move from a close to the open of the very next candle. A newest-first
file is read backwards before anything is counted; stamps that still go backward then are counted, and everything
else is measured in time order.

An extreme move is one of more than 20 % (log), from close to close or within the candle, or one of more than 5 %
that is also beyond 30 robust deviations (1.4826 × the median size of moves that are not zero). Extreme moves are
shown, never dropped: markets crash and list.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from papertape.engine.candles import FLAG_NAMES, timeframe_ms
from papertape.engine.jit import FloatArray, IntArray, Rows, kernel, locked_rows
from papertape.replay.tapes.raw import PRICES
from papertape.replay.tapes.timestamps import floor_to, utc_text

EXTREME_MOVE = 0.20
EXTREME_DEVIATIONS = 30.0
EXTREME_DEVIATIONS_MOVE = 0.05
SHOWN = 5
assert tuple(FLAG_NAMES) == tuple(1 << place for place in range(len(FLAG_NAMES)))


class Place(NamedTuple):
    """Something at a candle: its open time, and how large."""

    time_ms: int
    size: float


@dataclass(frozen=True, slots=True)
class Quality:
    """The counts of one tape or file; lengths in bars, moves as log returns."""

    timeframe: str
    rows: int
    first_ms: int
    last_ms: int
    order: str  # oldest first or newest first
    backward: int  # against that order
    gaps: int
    missing: int
    longest_gap_bars: int
    longest_gap_after_ms: int | None
    duplicates: int
    conflicts: int  # duplicates whose candles differ
    off_grid: int
    zero_volume: int
    flat: int
    not_finite: int
    not_positive: int
    inconsistent: int  # high below low, or open or close outside them
    negative_volume: int
    largest_move: float
    largest_jump: float
    extreme_moves: int
    extremes: tuple[Place, ...]  # the largest few
    flags: Mapping[str, int]

    @property
    def bad_rows(self) -> int:
        """Return how many rows break a rule that a candle must keep, counting a row once per rule."""
        return self.not_finite + self.not_positive + self.inconsistent + self.negative_volume

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        values["extremes"] = [place._asdict() for place in self.extremes]
        values["flags"] = dict(self.flags)
        return values


class FaultCounts(NamedTuple):
    """Where rows break the rules of a candle; the rules exclude each other, the first one counts."""

    not_finite: Any
    not_positive: Any
    inconsistent: Any
    negative_volume: Any

    @property
    def any_fault(self) -> Any:
        """Return where a row breaks any rule."""
        return self.not_finite | self.not_positive | self.inconsistent | self.negative_volume


FAULT_WORDS = FaultCounts(
    "a price or the volume is not a finite number",
    "a price is not above zero",
    "open or close is not between low and high",
    "the volume is negative",
)


def find_faults(candles: Rows) -> FaultCounts:
    """Return which rows break which rule."""
    opens, high, low, close = (candles[name] for name in PRICES)
    volume = candles["volume"]
    finite = np.isfinite(volume)
    for column in (opens, high, low, close):
        finite &= np.isfinite(column)
    positive = np.minimum(np.minimum(low, high), np.minimum(opens, close)) > 0.0
    inside = (high >= np.maximum(opens, close)) & (low <= np.minimum(opens, close))
    return FaultCounts(
        ~finite, finite & ~positive, finite & positive & ~inside, finite & positive & inside & (volume < 0.0)
    )


class Ordered(NamedTuple):
    """Candles in time order, equal stamps in file order, and how far the file was from it."""

    rows: Rows
    places: IntArray  # of each row in the file
    is_reversed: bool  # newest first, all but a few
    backward: int  # stamps before the one before, after turning a newest-first file round


def in_time_order(candles: Rows) -> Ordered:
    """Return the candles in time order."""
    steps = np.diff(candles["open_ms"])
    forward, backward = int((steps > 0).sum()), int((steps < 0).sum())
    if not backward:
        return Ordered(candles, np.arange(len(candles)), False, 0)
    places = np.argsort(candles["open_ms"], kind="stable")
    is_reversed = backward > forward
    return Ordered(candles[places], places, is_reversed, forward if is_reversed else backward)


def measure(candles: Rows, timeframe: str) -> Quality:
    """Return the quality of at least one candle, as it stands."""
    assert len(candles)
    rows, _, is_reversed, backward = in_time_order(candles)
    stamps = rows["open_ms"]
    length_ms = timeframe_ms(timeframe)
    steps = np.diff(stamps)
    holes = steps // length_ms - 1
    is_hole = steps > length_ms
    longest = int(np.argmax(np.where(is_hole, holes, -1))) if is_hole.any() else None
    same = same_candles(rows)
    faults = find_faults(rows)
    moves, jumps = _moves(rows, steps == length_ms)
    extremes = _extremes(rows, moves)
    return Quality(
        timeframe=timeframe,
        rows=len(rows),
        first_ms=int(stamps[0]),
        last_ms=int(stamps[-1]),
        order="newest first" if is_reversed else "oldest first",
        backward=backward,
        gaps=int(is_hole.sum()),
        missing=int(holes[is_hole].sum()),
        longest_gap_bars=0 if longest is None else int(holes[longest]),
        longest_gap_after_ms=None if longest is None else int(stamps[longest]),
        duplicates=int((steps == 0).sum()),
        conflicts=int(((steps == 0) & ~same).sum()),
        off_grid=int((floor_to(stamps, length_ms) != stamps).sum()),
        zero_volume=int((rows["volume"] == 0.0).sum()),
        flat=int((rows["high"] == rows["low"]).sum()),
        **{name: int(rule.sum()) for name, rule in zip(FaultCounts._fields, faults, strict=True)},
        largest_move=_largest(moves),
        largest_jump=_largest(jumps),
        extreme_moves=len(extremes),
        extremes=tuple(sorted(extremes, key=lambda place: -place.size)[:SHOWN]),
        flags={name: int((rows["flag_bits"] & bit != 0).sum()) for bit, name in FLAG_NAMES.items()},
    )


class Brief(NamedTuple):
    """Of a tape's quality what every report shows."""

    gaps: int
    missing: int
    zero_volume: int
    extreme_moves: int
    flags: Mapping[str, int]  # those that some candle carries


def brief(candles: Rows, timeframe: str) -> Brief:
    """Return what `measure` says of a tape's candles, from one reading when no move in them is extreme."""
    counts = np.zeros(4 + len(FLAG_NAMES), np.int64)
    count_quality(locked_rows(candles), timeframe_ms(timeframe), EXTREME_DEVIATIONS_MOVE, counts)
    gaps, missing, zero_volume, large, *flags = counts.tolist()
    names = {name: n for name, n in zip(FLAG_NAMES.values(), flags, strict=True) if n}
    return Brief(gaps, missing, zero_volume, measure(candles, timeframe).extreme_moves if large else 0, names)


@kernel
def count_quality(candles: Rows, length_ms: int, least_move: float, counts: IntArray) -> None:
    """
    Count gaps, candles missing in them, candles without volume, those that may be extreme, and each flag.

    least_move  log; below it no move is extreme. The ratio 1 + x is below exp(x), so nothing is overlooked.
    """
    for row in range(len(candles)):
        candle = candles[row]
        counts[2] += candle.volume == 0.0
        is_large = candle.high > candle.low * (1.0 + least_move)
        if row > 0:
            before = candles[row - 1]
            step = candle.open_ms - before.open_ms
            if step > length_ms:
                counts[0] += 1
                counts[1] += step // length_ms - 1
            is_large |= candle.close > before.close * (1.0 + least_move)
            is_large |= before.close > candle.close * (1.0 + least_move)
        counts[3] += is_large
        for flag in range(len(counts) - 4):
            counts[4 + flag] += (candle.flag_bits >> flag) & 1


def same_candles(rows: Rows) -> Any:
    """Return where a row has the prices and volume of the one before."""
    same = np.ones(max(len(rows) - 1, 0), dtype=np.bool_)
    for name in (*PRICES, "volume"):
        same &= rows[name][1:] == rows[name][:-1]
    return same


def _moves(rows: Rows, adjacent: Any) -> tuple[FloatArray, FloatArray]:
    """Return log moves close to close, and close to open of the very next candle; NaN where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_close = np.log(rows["close"])
        moves = np.diff(log_close)
        jumps = np.where(adjacent, np.log(rows["open"][1:]) - log_close[:-1], np.nan)
    return np.abs(moves), np.abs(jumps)


def _largest(sizes: FloatArray) -> float:
    sizes = sizes[np.isfinite(sizes)]
    return float(sizes.max()) if len(sizes) else 0.0


def _extremes(rows: Rows, moves: FloatArray) -> list[Place]:
    """Return the candles whose move or range is extreme by the rule at the top."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = np.log(rows["high"]) - np.log(rows["low"])
    sizes = np.fmax(ranges, np.concatenate([[0.0], moves]))
    sizes[~np.isfinite(sizes)] = 0.0
    real = moves[np.isfinite(moves) & (moves > 0.0)]
    deviation = 1.4826 * float(np.median(real)) if len(real) else 0.0
    limit = min(EXTREME_MOVE, max(EXTREME_DEVIATIONS_MOVE, EXTREME_DEVIATIONS * deviation))
    return [Place(int(rows["open_ms"][i]), float(sizes[i])) for i in np.flatnonzero(sizes > limit)]


def counted(n: int, noun: str) -> str:
    """Return `1 gap` or `1,234 gaps`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def sentences(quality: Quality) -> list[str]:
    """Return what a reader should know about these candles, worst first; nothing for clean ones."""
    q = quality
    largest = q.extremes[0] if q.extremes else Place(0, 0.0)
    same = q.duplicates - q.conflicts
    told = [
        *(
            (getattr(q, name), f"{counted(getattr(q, name), 'row')} where {rule}")
            for name, rule in zip(FaultCounts._fields, FAULT_WORDS, strict=True)
        ),
        (q.conflicts, f"{counted(q.conflicts, 'stamp')} twice with different candles"),
        (same, f"{counted(same, 'stamp')} twice with the same candle"),
        (q.order == "newest first", "newest candle first"),
        (q.backward, f"{counted(q.backward, 'backward stamp')}"),
        (q.off_grid, f"{counted(q.off_grid, 'stamp')} off the {q.timeframe} grid"),
        (
            q.gaps,
            f"{counted(q.gaps, 'gap')} with {counted(q.missing, 'candle')} missing, the longest "
            f"of {q.longest_gap_bars:,} after {utc_text(q.longest_gap_after_ms or 0)}",
        ),
        (q.zero_volume, f"{counted(q.zero_volume, 'candle')} without volume"),
        (
            q.extreme_moves,
            f"{counted(q.extreme_moves, 'extreme move')}, the largest of {largest.size:.1%} (log) "
            f"at {utc_text(largest.time_ms)}",
        ),
    ]
    return [text for count, text in told if count]
