"""The trades behind a candle add up to it exactly, in order, whatever the candle."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from papertape.replay.exchange.trades import FIRST_TRADE_MS, LAST_TRADE_MS, Candle, TickPath, split

MINUTE_MS = 60_000
prices = st.floats(1e-6, 1e7)
volumes = st.floats(1e-9, 1e12)


@st.composite
def traded_candles(draw: st.DrawFn) -> Candle:
    """Return any candle that could have come from trades, flat and one-sided ones often."""
    low, high = sorted((draw(prices), draw(prices)))
    if draw(st.booleans()):
        high = low
    inside = st.one_of(st.just(low), st.just(high), st.floats(low, high))
    minute = draw(st.integers(0, 40_000_000))
    return Candle(minute * MINUTE_MS, draw(inside), high, low, draw(inside), draw(volumes))


@given(traded_candles(), st.integers(0, 2**32 - 1), st.integers(0, 8))
def test_trades_aggregate_to_exactly_their_candle(candle: Candle, seed: int, decimals: int) -> None:
    trades = TickPath(seed, "BTCUSDT", MINUTE_MS, decimals).trades(candle)

    total = 0.0
    for trade in trades:
        total += trade.size
    assert trades[0].price == candle.open
    assert trades[-1].price == candle.close
    assert max(trade.price for trade in trades) == candle.high
    assert min(trade.price for trade in trades) == candle.low
    assert total == candle.volume
    assert all(trade.size > 0.0 for trade in trades)


@given(traded_candles(), st.integers(0, 2**32 - 1))
def test_trades_lie_inside_their_candle_and_rise_in_time(candle: Candle, seed: int) -> None:
    times = [trade.time_ms for trade in TickPath(seed, "X", MINUTE_MS, 2).trades(candle)]

    assert len(times) >= 2
    assert all(a < b for a, b in pairwise(times))
    assert times[0] >= candle.open_ms + FIRST_TRADE_MS
    assert times[-1] <= candle.open_ms + MINUTE_MS - LAST_TRADE_MS


@given(volumes, st.lists(st.floats(0.0, 1.0), min_size=2, max_size=7))
def test_the_last_size_leaves_room_for_an_exact_difference(volume: float, shares: list[float]) -> None:
    sizes = split(volume, shares)

    # Sterbenz' condition, a little inside it: volume/2 <= partial sum <= volume.
    assert volume * 0.5 < np.add.accumulate(sizes)[-2] < volume


def test_a_candles_trades_depend_on_seed_symbol_and_candle_alone() -> None:
    candles = [Candle(k * MINUTE_MS, 10.0, 12.0, 9.0, 11.0, 5.0) for k in (3, 600, 4, 1201)]
    path, other = (TickPath(7, "BTCUSDT", MINUTE_MS, 2) for _ in range(2))

    forward = [path.trades(candle) for candle in candles]
    backward = [other.trades(candle) for candle in reversed(candles)]

    assert forward == backward[::-1]
    assert forward[0] != TickPath(8, "BTCUSDT", MINUTE_MS, 2).trades(candles[0])
    assert forward[0] != TickPath(7, "ETHUSDT", MINUTE_MS, 2).trades(candles[0])
