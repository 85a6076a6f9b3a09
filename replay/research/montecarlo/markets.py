"""
Whole markets drawn again: all symbols together in blocks of time, so that what moved together still does.

A candle is four logarithms against the close before it, its volume, and whether it is there; a block is the same stretch of
time for all symbols. Where a day is a whole number of candles, a block begins at the time of day at which it was recorded, so
hours keep their hours and settlements of funding their times. Candles of longer timeframes are built from these ones.

Source: D. N. Politis and J. P. Romano, The Stationary Bootstrap (1994), of all series by the same places.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from papertape.engine.candles import DAY_MS, FLAG_SYNTHETIC, empty_candles
from papertape.engine.errors import DataError
from papertape.engine.events import Funding
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.resampling import block_length
from papertape.replay.config.series import RecordedSeries
from papertape.replay.events.series import FundingUse
from papertape.replay.feed import common_span
from papertape.replay.tapes.tape import Tape

LEAST_DAYS: Final = 10
BoolArray = npt.NDArray[np.bool_]
_PRICES: Final = ("open", "high", "low", "close")


class JointMarket(NamedTuple):
    """
    Several markets on one grid: row i of all is the same stretch of time.

    tapes    what it was made of
    open_ms  shape (n,)
    moves    logarithm of open, high, low and close over the close before, shape (n_symbols, n, 4); 0 where a candle is missing
    volume   shape (n_symbols, n); is_there: the same, whether the tape holds the candle
    first    what every symbol's prices begin with
    period   candles of a day, 1 where that is no whole number
    """

    tapes: Sequence[Tape]
    open_ms: IntArray
    moves: FloatArray
    volume: FloatArray
    is_there: BoolArray
    first: FloatArray
    period: int


def joint_market(tapes: Sequence[Tape]) -> JointMarket:
    """Return tapes of one timeframe over the span that all of them cover; DataError for less than ten days, or candles."""
    length_ms = tapes[0].length_ms
    first_ms, last_ms = common_span([tape.candles for tape in tapes])
    open_ms = np.arange(first_ms, last_ms + 1, length_ms, dtype=np.int64)
    n, period = len(open_ms), max(DAY_MS // length_ms, 1) if DAY_MS % length_ms == 0 else 1
    if n < LEAST_DAYS * period:
        raise DataError(
            f"montecarlo: {n:,} candles that all tapes cover are too few to draw markets from; it takes {LEAST_DAYS * period:,}"
        )
    moves, volume = np.zeros((len(tapes), n, 4)), np.zeros((len(tapes), n))
    is_there, first = np.zeros((len(tapes), n), np.bool_), np.zeros(len(tapes))
    for index, tape in enumerate(tapes):
        stamps = tape.candles["open_ms"]
        rows = tape.candles[(stamps >= first_ms) & (stamps <= last_ms)]
        if not len(rows):
            raise DataError(f"{tape.name}: it has no candle in the span that all tapes cover; leave it out")
        places = (rows["open_ms"] - first_ms) // length_ms
        first[index] = rows["open"][0]
        before = np.append(first[index], rows["close"][:-1])
        for column, name in enumerate(_PRICES):
            moves[index, places, column] = np.log(rows[name] / before)
        volume[index, places] = rows["volume"]
        is_there[index, places] = True
    return JointMarket(tapes, open_ms, moves, volume, is_there, first, period)


def automatic_block(market: JointMarket) -> float:
    """
    Return how many candles a block has on average: what the returns of any symbol ask for, or their size where that is more.

    Volatility lasts longer than direction, so the length is mostly that of absolute returns; whole days at least.
    """
    asked = [block_length(series) for moves in market.moves for series in (moves[:, 3], np.abs(moves[:, 3]))]
    return max(float(market.period), *asked)


def block_places(market: JointMarket, block: float, generator: np.random.Generator) -> IntArray:
    """Return which candle of the source stands at each place: blocks of geometric lengths, each at its own time of day."""
    n, period = len(market.open_ms), market.period
    begins = generator.random(n) < 1.0 / block
    begins[0] = True
    begun = np.flatnonzero(begins)
    phase = begun % period
    choices = (n - phase + period - 1) // period  # places of this time of day
    first = phase + period * (generator.random(len(begun)) * choices).astype(np.int64)
    lengths = np.diff(np.append(begun, n))
    places = np.repeat(first - begun, lengths) + np.arange(n)
    # Around the end by whole days, so that the time of day goes on.
    result: IntArray = np.where(places < n, places, places % (n // period * period))
    return result


def drawn_market(market: JointMarket, places: IntArray) -> list[Tape]:
    """Return tapes of the same span whose candles are those of these places; never traded, and flagged so."""
    return [
        _tape(market, index, market.moves[index, places], market.is_there[index, places], places)
        for index in range(len(market.tapes))
    ]


def noisy_market(market: JointMarket, share: float, generator: np.random.Generator) -> list[Tape]:
    """
    Return the tapes with every close moved by a normal of `share` of its candle's own range, and the next open with it.

    Levels are moved, not returns: a price that was too high is not so in the candle after.
    """
    places = np.arange(len(market.open_ms))
    drawn = []
    for index, moves in enumerate(market.moves):
        is_there = market.is_there[index]
        ranges = moves[:, 1] - moves[:, 2]
        shift = share * ranges * generator.standard_normal(len(ranges))
        # A missing candle has no price of its own: the shift of the close before it stays.
        last = np.maximum.accumulate(np.where(is_there, places, 0))
        before = np.append(0.0, shift[last][:-1])
        moved = moves.copy()
        moved[:, 3] += shift - before
        moved[:, 1:3] += (0.5 * (shift + before) - before)[:, None]
        moved[~is_there] = 0.0
        drawn.append(_tape(market, index, moved, is_there, places))
    return drawn


def _tape(market: JointMarket, index: int, moves: FloatArray, is_there: BoolArray, places: IntArray) -> Tape:
    """Return one market from the moves of its candles; the first and the last one are always there, flat at worst."""
    tape, n = market.tapes[index], len(moves)
    closes = market.first[index] * np.exp(np.cumsum(moves[:, 3]))
    before = np.append(market.first[index], closes[:-1])
    candles = empty_candles(n)
    candles["open_ms"] = market.open_ms
    candles["close"] = closes
    for column, name in enumerate(_PRICES[:3]):
        candles[name] = before * np.exp(moves[:, column])
    candles["high"] = np.maximum(candles["high"], np.maximum(candles["open"], closes))
    candles["low"] = np.minimum(candles["low"], np.minimum(candles["open"], closes))
    candles["volume"] = np.where(is_there, market.volume[index, places], 0.0)
    candles["flag_bits"] = FLAG_SYNTHETIC
    kept = is_there.copy()
    kept[[0, -1]] = True
    return replace(
        tape,
        candles=candles[kept],
        source=f"synthetic: drawn again from {tape.source or tape.name}",
        notes=("synthetic: candles of a recorded market drawn again; never traded",),
        quality={},
    )


def drawn_funding(
    market: JointMarket, recorded: RecordedSeries, drawn: Sequence[Tape], places: IntArray
) -> RecordedSeries:
    """
    Return the settlements of a drawn market: each stretch brings those that it had, at the drawn price.

    Where a settlement had a mark price, its distance to the last close is kept. Series beside funding are left out.
    """
    uses = {use.symbol: use for use in recorded.funding}
    found = [
        _funding(market, uses[tape.symbol], index, tape, places)
        for index, tape in enumerate(drawn)
        if tape.symbol in uses
    ]
    return RecordedSeries(tuple(found))


def _funding(market: JointMarket, use: FundingUse, index: int, drawn: Tape, places: IntArray) -> FundingUse:
    length_ms = drawn.length_ms
    closes_ms = market.open_ms + length_ms
    source_close = market.first[index] * np.exp(np.cumsum(market.moves[index, :, 3]))
    told = [event for _, event in use.events if event.time_ms >= closes_ms[0]]
    times = np.array([event.time_ms for event in told], np.int64)
    rows = np.searchsorted(closes_ms, times, "right") - 1
    first, last = np.searchsorted(rows, places, "left"), np.searchsorted(rows, places, "right")
    stamps = drawn.candles["open_ms"] + length_ms
    events = []
    for place in np.flatnonzero(last > first).tolist():
        known = max(int(np.searchsorted(stamps, closes_ms[place], "right")) - 1, 0)
        close = float(drawn.candles["close"][known])
        for number in range(first[place], last[place]):
            event, row = told[number], rows[number]
            time_ms = int(event.time_ms - closes_ms[row] + closes_ms[place])
            price = event.price / float(source_close[row]) * close
            events.append((time_ms, Funding(time_ms, event.symbol, event.rate, price)))
    return replace(use, events=tuple(events), holes=())
