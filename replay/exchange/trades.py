"""
Trades that a candle could have come from: few, seeded, and adding up to exactly that candle.

The price goes from the open to one extreme, to the other and to the close, with up to three steps between. Sizes are
shares of the volume; the last one is the volume minus the sum of the others, added in order. That difference is exact
(Sterbenz: the sum is at least half the volume), so adding all sizes in order gives the volume bit for bit.
"""

from itertools import pairwise
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np

# after the candle's start, so that a late frame of the one before has room
FIRST_TRADE_MS: Final = 250
LAST_TRADE_MS: Final = 50  # before its end
_TRADES_MAX: Final = 7
_DRAWS: Final = 3 * _TRADES_MAX
_BLOCK: Final = 512  # candles whose random numbers are drawn at once


class Trade(NamedTuple):
    """One match."""

    time_ms: int
    price: float
    size: float  # contracts
    is_buy: bool  # the buyer was the taker


class Candle(NamedTuple):
    """A candle as the venue knows it; prices are None where nothing was ever traded."""

    open_ms: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float


class TickPath:
    """
    The expansion of one market's candles; a candle's trades depend on the seed, the symbol and the candle alone.

    All symbols of a venue trade at the same instants, which costs nothing in faithfulness and saves a test in virtual
    time most of its waking up.
    """

    def __init__(self, seed: int, symbol: str, length_ms: int, decimals: int) -> None:
        self._keys = (seed, crc32(symbol.encode()))
        self._length_ms = length_ms
        self._decimals = decimals
        self._number = -1
        self._values: list[list[float]] = []
        self._moments: list[list[float]] = []

    def trades(self, candle: Candle) -> tuple[Trade, ...]:
        """Return the trades of a candle that has volume, in time order."""
        assert candle.volume > 0.0
        values, moments = self._draws(candle.open_ms // self._length_ms)
        prices = _prices(candle, values, self._decimals)
        sizes = split(candle.volume, values[_TRADES_MAX : _TRADES_MAX + len(prices)])
        times = self._times(candle.open_ms, moments, len(prices))
        takers = (values[2 * _TRADES_MAX + i] < 0.5 for i in range(len(prices)))
        return tuple(map(Trade, times, prices, sizes, takers))

    def _draws(self, number: int) -> tuple[list[float], list[float]]:
        block, row = divmod(number, _BLOCK)
        if block != self._number:
            seed, symbol = self._keys
            draw = np.random.Generator(np.random.PCG64([seed, symbol, block]))
            self._values = draw.random((_BLOCK, _DRAWS)).tolist()
            draw = np.random.Generator(np.random.PCG64([seed, block]))
            self._moments = np.sort(draw.random((_BLOCK, _TRADES_MAX))).tolist()
            self._number = block
        return self._values[row], self._moments[row]

    def _times(self, open_ms: int, moments: list[float], n: int) -> list[int]:
        """Return `n` rising times; the last moment is always one of them."""
        room = self._length_ms - FIRST_TRADE_MS - LAST_TRADE_MS - _TRADES_MAX
        chosen = [*moments[: n - 1], moments[-1]]
        start = open_ms + FIRST_TRADE_MS
        return [start + int(moment * room) + i for i, moment in enumerate(chosen)]


def _prices(candle: Candle, values: list[float], decimals: int) -> list[float]:
    """Return the path of prices: at least two, at most `_TRADES_MAX`."""
    start, high, low, end = candle.open, candle.high, candle.low, candle.close
    assert start is not None
    assert high is not None
    assert low is not None
    assert end is not None
    path = [start]
    for price in (high, low) if values[0] < 0.5 else (low, high):
        if price != path[-1]:
            path.append(price)
    if end != path[-1] or len(path) == 1:
        path.append(end)
    stepped = [start]
    for i, (here, there) in enumerate(pairwise(path)):
        if values[1 + i] < 0.4:
            between = round(here + (there - here) * values[4 + i], decimals)
            stepped.append(min(max(between, low), high))
        stepped.append(there)
    return stepped


def split(volume: float, shares: list[float]) -> list[float]:
    """Return sizes that, added in order, give exactly `volume`; the last is at most about 40 % of it."""
    weights = [0.15 + share for share in shares[:-1]]
    # The others take between 60 and 95 % of the volume.
    scale = volume * (0.6 + 0.35 * shares[-1]) / sum(weights)
    sizes = [weight * scale for weight in weights]
    partial = 0.0
    for size in sizes:
        partial += size
    return [*sizes, volume - partial]
