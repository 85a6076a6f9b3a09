"""The history's candles: the reference's algorithm in cases written by hand, and against a reading of it trade by trade."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.engine.candles import CANDLE
from papertape.replay.exchange.history import RESOLUTIONS, candle_history
from papertape.replay.exchange.market import TapeMarket
from papertape.replay.exchange.products import list_tapes
from papertape.replay.exchange.quirks import Switches
from papertape.replay.exchange.trades import Candle
from papertape.replay.tapes.store import Tape
from tests.support.venue_client import MINUTE_MS, T0, make_market

FOREVER = T0 + 10**10


def ask(
    market: TapeMarket, start: int, end: int, now_ms: int, length_ms: int = MINUTE_MS, **switches: Any
) -> list[Candle]:
    """Ask for minutes `start` … `end` after T0."""
    return candle_history(
        market, length_ms, T0 + start * MINUTE_MS, T0 + end * MINUTE_MS, now_ms, Switches(**switches)
    )


def minutes(candles: list[Candle]) -> list[int]:
    return [(candle.open_ms - T0) // MINUTE_MS for candle in candles]


def flat(minute: int, price: float) -> Candle:
    return Candle(T0 + minute * MINUTE_MS, price, price, price, price, 0.0)


def test_bounds_are_inclusive_on_the_open_time() -> None:
    market = make_market([1.0] * 10)

    assert minutes(ask(market, 2, 5, FOREVER)) == [2, 3, 4, 5]
    inside = candle_history(market, MINUTE_MS, T0 + 61_000, T0 + 4 * MINUTE_MS + 59_000, FOREVER, Switches())
    assert minutes(inside) == [2, 3, 4]


def test_an_empty_minute_is_flat_at_the_last_trade() -> None:
    market = make_market([1.0, 1.0, 1.0], [0, 1, 4])

    assert ask(market, 1, 4, FOREVER)[1:3] == [flat(2, 101.0), flat(3, 101.0)]
    assert minutes(ask(market, 1, 4, FOREVER, has_padding=False)) == [1, 4]


def test_output_starts_at_the_first_trade_of_the_window() -> None:
    market = make_market([1.0, 1.0], [0, 5])

    assert minutes(ask(market, 2, 6, FOREVER)) == [5, 6]


@pytest.mark.parametrize(("start", "end"), [(1, 4), (6, 9), (-9, -1), (5, 2)])
def test_a_window_without_a_trade_is_empty(start: int, end: int) -> None:
    market = make_market([1.0, 1.0], [0, 5])

    assert ask(market, start, end, FOREVER) == []


def test_future_candles_are_invented_at_the_last_price() -> None:
    market = make_market([1.0] * 3)
    now_ms = T0 + 2 * MINUTE_MS - 1

    assert ask(market, 0, 4, now_ms)[2:] == [flat(2, 101.0), flat(3, 101.0), flat(4, 101.0)]


def test_the_forming_candle_holds_the_trades_up_to_now() -> None:
    market = make_market([1.0, 1.0, 3.0])
    trades = market.trades(T0 + 2 * MINUTE_MS)

    forming = ask(market, 2, 2, trades[0].time_ms)
    nothing_yet = ask(market, 1, 2, trades[0].time_ms - 1)

    assert forming == [Candle(T0 + 2 * MINUTE_MS, 102.5, 102.5, 102.5, 102.5, trades[0].size)]
    assert nothing_yet[1] == flat(2, 101.0)


def test_the_cap_is_anchored_at_the_end_and_counts_one_more_on_the_grid() -> None:
    market = make_market([1.0] * 30)

    on_grid = ask(market, 0, 29, FOREVER, rest_cap=10)
    between = candle_history(
        market, MINUTE_MS, T0, T0 + 29 * MINUTE_MS + 1000, FOREVER, Switches(rest_cap=10)
    )

    assert minutes(on_grid) == list(range(19, 30))
    assert minutes(between) == list(range(20, 30))


def test_a_lagging_history_shows_nothing_a_flat_candle_or_an_older_state() -> None:
    market = make_market([1.0] * 4)
    now_ms = T0 + 3 * MINUTE_MS + 2000  # candle 2 has just closed, and five seconds ago it had not
    lag = {"rest_lag_s": 5.0}

    absent = ask(market, 0, 3, now_ms, rest_lag="absent", **lag)
    padded = ask(market, 0, 3, now_ms, rest_lag="flat", **lag)
    partial = ask(market, 0, 3, now_ms, rest_lag="partial", **lag)

    assert minutes(absent) == [0, 1]
    assert padded[2:] == [flat(2, 101.0), flat(3, 101.0)]
    known = [t for t in market.trades(T0 + 2 * MINUTE_MS) if t.time_ms <= now_ms - 5000]
    assert minutes(partial) == [0, 1, 2, 3]
    assert partial[2].close == known[-1].price
    assert partial[2].volume == sum(t.size for t in known)


def test_longer_candles_begin_on_their_grid_and_weeks_on_the_day_of_the_switch() -> None:
    rows = np.zeros(20, CANDLE)
    rows["open_ms"] = T0 + 86_400_000 * np.arange(20)
    for name in ("open", "high", "low", "close", "volume"):
        rows[name] = 5.0
    tape = Tape(rows, "test", "BTCUSD", "1d")
    listing = list_tapes([tape])["BTCUSD"]
    week_ms = RESOLUTIONS["1w"]

    def opens(anchor_ms: int) -> list[int]:
        market = TapeMarket(tape, listing, 1, anchor_ms)
        found = candle_history(market, week_ms, T0 - week_ms, T0 + 2 * week_ms, FOREVER, Switches())
        return [(candle.open_ms - T0) // 86_400_000 for candle in found]

    assert opens(4 * 86_400_000) == [0, 7, 14]
    assert opens(0) == [-4, 3, 10]  # T0 is a Monday, the Thursday before it is four days earlier


def literal_reading(
    market: TapeMarket, length_ms: int, start_ms: int, end_ms: int, now_ms: int, cap: int
) -> list[Candle]:
    """Do what section 7.1 says, step by step, from single trades."""
    low = max(start_ms, end_ms - cap * length_ms)
    buckets = [b for b in range(low // length_ms * length_ms, end_ms + 1, length_ms) if low <= b <= end_ms]
    trades = [t for stamp in market.stamps.tolist() for t in market.trades(stamp)]
    output: list[Candle] = []
    for bucket in buckets:
        inside = [t for t in trades if bucket <= t.time_ms < bucket + length_ms]
        inside = [t for t in inside if t.time_ms <= now_ms]
        if inside:
            path = [t.price for t in inside]
            volume = sum(t.size for t in inside)
            output.append(Candle(bucket, path[0], max(path), min(path), path[-1], volume))
        elif output:
            close = output[-1].close
            output.append(Candle(bucket, close, close, close, close, 0.0))
    return output


@given(
    st.lists(st.sampled_from([0.0, 1.0, 0.1, 7.3]), min_size=1, max_size=40),
    st.sampled_from(["5s", "1m", "3m", "5m", "15m"]),
    st.integers(-600, 3600),
    st.integers(-600, 3600),
    st.integers(0, 3600_000),
    st.sampled_from([3, 4000]),
)
def test_history_is_the_literal_reading_of_the_reference(
    volumes: list[float], resolution: str, start_s: int, end_s: int, now_ms: int, cap: int
) -> None:
    market = make_market([1.0, *volumes])
    length_ms = RESOLUTIONS[resolution]
    span = (T0 + start_s * 1000, T0 + end_s * 1000, T0 + now_ms)

    found = candle_history(market, length_ms, *span, Switches(rest_cap=cap))
    expected = literal_reading(market, length_ms, *span, cap)

    assert [c[:5] for c in found] == [c[:5] for c in expected]
    # Sums of sums: the same trades, added in another order.
    assert np.allclose([c.volume for c in found], [c.volume for c in expected], rtol=1e-14)
    if length_ms <= market.base_ms:
        assert [c.volume for c in found] == [c.volume for c in expected]
