"""Labels by hand: a trade each way, entered at the next open, followed as the broker would; and how much of each is its own."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.errors import DataError
from papertape.engine.model import TrainingOptions
from papertape.engine.model.training.labels import (
    LabelPrices,
    Labels,
    bracket_labels,
    direction_labels,
    labels_for,
    signal_labels,
    uniqueness,
    variance_labels,
    with_neither,
)

NOBODY = np.nan


def bracket(candles: list[tuple[float, float, float, float]], horizon_bars: int = 3, **change: Any) -> Labels:
    """Return labels of (open, high, low, close) rows with an ATR of 1, a stop of 2 and a target of 3."""
    open, high, low, close = (np.array(column) for column in zip(*candles, strict=True))
    atr = change.pop("atr", np.ones(len(candles)))
    return bracket_labels(open, high, low, close, atr, 2.0, 3.0, horizon_bars)


FLAT = (100.0, 100.0, 100.0, 100.0)


def test_target_above_pays_the_long_and_the_stop_costs_the_short() -> None:
    # entry 100: long 98 … 103, short 102 … 97. Candle 2 lifts the short out at 102, candle 3 the long at 103.
    labels = bracket([FLAT, (100, 101, 99, 101), (101, 102, 100, 102), (102, 104, 102, 104)])

    assert labels.y[0] == 1.0
    assert labels.long_return[0] == pytest.approx(0.03, rel=1e-12)
    assert labels.short_return[0] == pytest.approx(-0.02, rel=1e-12)
    assert labels.known[0] == 3


def test_stop_below_pays_the_short() -> None:
    labels = bracket([FLAT, (100, 100.5, 97.5, 98), (98, 98, 96, 96), FLAT])

    assert labels.y[0] == 0.0
    assert labels.long_return[0] == pytest.approx(-0.02, rel=1e-12)
    assert labels.short_return[0] == pytest.approx(0.03, rel=1e-12)
    assert labels.known[0] == 2  # known with the later of both ends, before the horizon


def test_stop_and_target_in_one_candle_is_the_stop_for_both() -> None:
    labels = bracket([FLAT, (100, 104, 96, 100), FLAT, FLAT])

    assert labels.long_return[0] == pytest.approx(-0.02, rel=1e-12)
    assert labels.short_return[0] == pytest.approx(-0.02, rel=1e-12)
    assert np.isnan(labels.y[0])  # neither paid more
    assert labels.known[0] == 1


def test_without_stop_or_target_the_horizon_closes_at_the_close() -> None:
    labels = bracket([FLAT, (100, 101, 99, 100.5), (100.5, 101, 99, 100), (100, 101.5, 99.5, 101)])

    assert labels.long_return[0] == pytest.approx(0.01, rel=1e-12)
    assert labels.short_return[0] == pytest.approx(-0.01, rel=1e-12)
    assert (labels.y[0], labels.known[0]) == (1.0, 3)


def test_candle_that_opens_beyond_a_stop_ends_the_trade_at_its_open() -> None:
    # The open at 95 is beyond the long's stop at 98 and the short's target at 97.
    labels = bracket([FLAT, (100, 101, 99, 100), (95, 104, 94, 100), FLAT])

    assert labels.long_return[0] == pytest.approx(-0.05, rel=1e-12)
    assert labels.short_return[0] == pytest.approx(0.05, rel=1e-12)
    assert labels.known[0] == 2


def test_candle_that_opens_beyond_a_target_pays_its_open_whatever_its_low_is() -> None:
    labels = bracket([FLAT, (100, 101, 99, 100), (105, 106, 90, 100), FLAT])

    assert labels.long_return[0] == pytest.approx(0.05, rel=1e-12)
    assert labels.short_return[0] == pytest.approx(-0.05, rel=1e-12)


def test_bracket_is_measured_in_the_atr_of_the_deciding_close() -> None:
    atr = np.array([2.0, 9.0, 9.0, 9.0])

    # long 96 … 106: 97 does not stop it, so the close decides
    labels = bracket([FLAT, (100, 100, 97, 99), (99, 99, 97, 99), (99, 99, 97, 98)], atr=atr)

    assert labels.long_return[0] == pytest.approx(-0.02, rel=1e-12)


def test_what_nobody_knows_yet_has_no_label() -> None:
    labels = bracket([FLAT, FLAT, FLAT, (100, 104, 100, 104), FLAT])

    # Row 0 ends at its horizon, row 3, whose candle takes the short out at 102 and the long at 103. Row 2 enters in that
    # candle and ends in it too. Row 3 enters at 100 in row 4 and would end beyond the last row.
    assert labels.known.tolist() == [3, 3, 3, 5, 5]
    assert np.array_equal(labels.y, [1.0, 1.0, 1.0, NOBODY, NOBODY], equal_nan=True)
    assert np.isnan(labels.long_return[3:]).all()


def test_nothing_is_entered_in_an_absent_candle_and_nothing_ends_in_one() -> None:
    absent = (np.nan,) * 4
    labels = bracket([FLAT, absent, (101, 101, 101, 101), absent, FLAT], horizon_bars=2)

    assert np.isnan(labels.y[0])
    assert np.isnan(labels.y[2])
    # row 1 enters at 101 in row 2; its horizon is the absent row 3, so the newest close, 101, is its end
    assert labels.long_return[1] == 0.0
    assert labels.known[1] == 3


def test_without_an_atr_there_is_no_bracket() -> None:
    labels = bracket([FLAT] * 5, atr=np.array([np.nan, 0.0, 1.0, 1.0, 1.0]), horizon_bars=1)

    assert labels.known.tolist() == [5, 5, 3, 4, 5]


def test_direction_by_hand() -> None:
    open = np.array([1.0, 10.0, 11.0, 12.0, 13.0])
    close = np.array([9.0, 11.0, 9.0, 12.0, 11.0])

    labels = direction_labels(close, open, 2)

    # row 0: 10 → 9; row 1: 11 → 12; row 2: 12 → 11; the last two leave beyond the rows
    assert labels.long_return[:3] == pytest.approx([-0.1, 1.0 / 11.0, -1.0 / 12.0], rel=1e-12)
    assert np.array_equal(labels.short_return, -labels.long_return, equal_nan=True)
    assert np.array_equal(labels.y, [0.0, 1.0, 0.0, NOBODY, NOBODY], equal_nan=True)
    assert labels.known.tolist() == [2, 3, 4, 5, 5]


def test_a_variance_horizon_by_hand() -> None:
    # half of the variance of 4 candles of ATR 2: squared ranges of 8 in all
    absent = (np.nan,) * 4
    candles = [
        FLAT,
        (110, 111, 109, 110),  # entry of row 0; its gap from 100 is none of the trade's: 2² = 4
        (110, 111, 110, 111),  # 1² = 1, together 5
        (113, 113, 113, 113),  # opens 2 above the close before: 2² = 4, together 9: row 0 ends here
        absent,
        (113, 114, 113, 113),  # 1² = 1
        (113, 113, 108, 109),  # 5² = 25
    ]
    columns = [np.array(column, np.float64) for column in zip(*candles, strict=True)]
    prices = LabelPrices(*columns, np.array([2.0, 2.0, 2.0, 2.0, 9.0, 2.0, 2.0]))

    labels = variance_labels(prices, 0.5, 4)

    # Row 1 enters at 110: 1 + 4, nothing, then 1: 6 by its maximum, 4 candles on. Row 2 enters at 113 in a flat candle: 0, 0, 1, 26.
    # Row 3 would enter in the absent candle; row 4 has 162 to spend and no candles to do so; row 5 spends 25 in the last one.
    assert labels.known.tolist() == [3, 5, 6, 7, 7, 6, 7]
    paid = [113 / 110 - 1, 113 / 110 - 1, 109 / 113 - 1, NOBODY, NOBODY, 109 / 113 - 1, NOBODY]
    np.testing.assert_allclose(labels.long_return, paid, rtol=1e-12)
    assert np.array_equal(labels.y, [1, 1, 0, NOBODY, NOBODY, 0, NOBODY], equal_nan=True)
    assert np.array_equal(labels.short_return, -labels.long_return, equal_nan=True)


def walk(seed: int, n: int) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    close = np.round(100.0 + np.cumsum(random.normal(0.0, 1.0, n)), 1)
    open = np.round(np.concatenate([[100.0], close[:-1]]) + random.normal(0.0, 0.5, n), 1)
    high = np.maximum(open, close) + np.round(np.abs(random.normal(0.0, 0.7, n)), 1)
    low = np.minimum(open, close) - np.round(np.abs(random.normal(0.0, 0.7, n)), 1)
    return open, high, low, close


def followed(prices: tuple[np.ndarray, ...], t: int, horizon: int, side: int) -> tuple[float, int]:
    """Return how one trade ended, told as the broker's rules are: gap, stop, target, horizon."""
    open, high, low, close = prices
    if t + 1 >= len(open):
        return np.nan, len(open)
    entry = open[t + 1]
    stop, target = entry - side * 2.0 * 1.3, entry + side * 3.0 * 1.3
    for j in range(t + 1, min(t + horizon, len(open) - 1) + 1):
        adverse, favourable = (low[j], high[j]) if side > 0 else (high[j], low[j])
        if side * (open[j] - stop) <= 0 or side * (open[j] - target) >= 0:
            price = open[j]
        elif side * (adverse - stop) <= 0:
            price = stop
        elif side * (favourable - target) >= 0:
            price = target
        elif j == t + horizon:
            price = close[j]
        else:
            continue
        return side * (price / entry - 1.0), j
    return np.nan, len(open)


@pytest.mark.parametrize("horizon", [1, 4, 20])
def test_every_trade_ends_as_when_it_is_followed_candle_by_candle(horizon: int) -> None:
    prices = walk(3, 400)

    labels = bracket_labels(*prices, np.full(400, 1.3), 2.0, 3.0, horizon)

    for t in range(400):
        ends = [followed(prices, t, horizon, side) for side in (1, -1)]
        known = max(at for _, at in ends)
        assert labels.known[t] == known
        if known < 400:
            assert [labels.long_return[t], labels.short_return[t]] == [paid for paid, _ in ends]


def test_a_signal_pays_by_hand_where_its_own_trade_earns_more_than_it_costs() -> None:
    # entry 100: the long reaches 103 in candle 3, the short is stopped at 102 in candle 2
    candles = [FLAT, (100, 101, 99, 101), (101, 102, 100, 102), (102, 104, 102, 104)]
    columns = [np.array(column, np.float64) for column in zip(*candles, strict=True)]

    def label(side: float, cost: float) -> Labels:
        sides = np.array([side, 0.0, 0.0, 0.0])
        return signal_labels(LabelPrices(*columns, np.ones(4), sides), 2.0, 3.0, 3, cost)

    long, dear, short = label(1.0, 0.01), label(1.0, 0.031), label(-1.0, 0.01)
    assert (long.y[0], long.known[0]) == (1.0, 3)
    assert long.long_return[0] == pytest.approx(0.03, rel=1e-12)
    assert long.short_return[0] == 0.01  # leaving it is worth its return less the cost, which is nothing
    assert (dear.y[0], dear.known[0]) == (0.0, 3)
    assert (short.y[0], short.known[0]) == (0.0, 2)  # its own end, not that of the other side
    assert short.long_return[0] == pytest.approx(-0.02, rel=1e-12)
    for labels in (long, dear, short):
        assert np.isnan(labels.y[1:]).all()
        assert labels.known[1:].tolist() == [4, 4, 4]
    nobody = signal_labels(LabelPrices(*columns, np.ones(4)), 2.0, 3.0, 3, 0.01)
    assert np.isnan(nobody.y).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.integers(3, 80), horizon=st.integers(1, 12))
def test_every_signal_is_followed_as_one_trade_candle_by_candle(seed: int, n: int, horizon: int) -> None:
    prices, cost = walk(seed, n), 0.004
    sides = np.random.default_rng(seed).integers(-1, 2, n).astype(np.float64)

    labels = signal_labels(LabelPrices(*prices, np.full(n, 1.3), sides), 2.0, 3.0, horizon, cost)

    for t, side in enumerate(sides.tolist()):
        paid, end = followed(prices, t, horizon, int(side)) if side else (np.nan, n)
        assert labels.known[t] == end
        y = np.nan if end == n or paid == cost else float(paid > cost)
        assert np.array_equal([labels.long_return[t], labels.y[t]], [paid, y], equal_nan=True)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    n=st.integers(3, 60),
    horizon=st.integers(1, 12),
    share=st.sampled_from([0.2, 0.5, 1.0]),
)
def test_every_variance_horizon_ends_as_when_it_is_followed_candle_by_candle(
    seed: int, n: int, horizon: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    prices = np.stack(walk(seed, n))
    prices[:, random.random(n) < 0.1] = np.nan
    open, high, low, close = prices
    atr = random.choice([0.8, 1.6, 3.0], n)

    labels = variance_labels(LabelPrices(*prices, atr), share, horizon)

    for t in range(n):
        spent, last, end = 0.0, np.nan, n
        for j in range(t + 1, min(t + horizon, n - 1) + 1):
            if not np.isnan(open[j]):
                own = [high[j], low[j]] if j == t + 1 else [high[j], low[j], last]
                spent, last = spent + (max(own) - min(own)) ** 2, close[j]
            if spent >= share * horizon * atr[t] ** 2 or j == t + horizon:
                end = j
                break
        if t + 1 == n or np.isnan(open[t + 1]):
            end = n
        assert labels.known[t] == end
        expected = last / open[t + 1] - 1.0 if end < n else np.nan
        assert np.array_equal(labels.long_return[t], expected, equal_nan=True)


@given(seed=st.integers(0, 1_000), cut=st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_a_variance_horizon_is_the_same_to_the_last_bit_whatever_rows_stand_before(
    seed: int, cut: int
) -> None:
    random = np.random.default_rng(seed)
    prices = [price * 1.1 for price in (*walk(seed, 80), 1.0 + random.random(80))]

    whole = variance_labels(LabelPrices(*prices), 0.5, 9)
    part = variance_labels(LabelPrices(*(price[cut:] for price in prices)), 0.5, 9)

    assert np.array_equal(whole.known[cut:], part.known + cut)
    for name in ("y", "long_return", "short_return"):
        assert np.array_equal(getattr(whole, name)[cut:], getattr(part, name), equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.integers(3, 60), horizon=st.integers(1, 12))
def test_label_depends_on_nothing_after_it_was_known(seed: int, n: int, horizon: int) -> None:
    prices = walk(seed, n)
    atr = np.full(n, 1.0)
    cut = n // 2
    changed = tuple(np.where(np.arange(n) < cut, price, price * 1.5) for price in prices)

    for whole, other in (
        (bracket_labels(*p, atr, 2.0, 3.0, horizon) for p in (prices, changed)),
        (direction_labels(p[3], p[0], horizon) for p in (prices, changed)),
        (variance_labels(LabelPrices(*p, atr), 0.5, horizon) for p in (prices, changed)),
    ):
        was_known = whole.known < cut
        assert np.array_equal(was_known, other.known < cut)
        for name in ("y", "known", "long_return", "short_return"):
            first, second = getattr(whole, name), getattr(other, name)
            assert np.array_equal(first[was_known], second[was_known], equal_nan=True)


def test_uniqueness_by_hand() -> None:
    # label 0 lives in candles 1, 2; label 1 in 2, 3; label 2 in 3 … 5; label 3 is not used
    known = np.array([2, 3, 5, 4, 6, 6])
    is_usable = np.array([True, True, True, False, False, False])

    weights = uniqueness(known, is_usable)

    # alive: candle 1 one label, 2 two, 3 two, 4 one, 5 one
    by_hand = [(1 + 1 / 2) / 2, (1 / 2 + 1 / 2) / 2, (1 / 2 + 1 + 1) / 3, 0, 0, 0]
    assert weights == pytest.approx(by_hand, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.integers(2, 60))
def test_uniqueness_is_that_of_a_slow_count(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    known = np.minimum(np.arange(n) + random.integers(1, 9, n), n)
    is_usable = (random.random(n) < 0.7) & (known < n)
    spans = {t: range(t + 1, known[t] + 1) for t in np.flatnonzero(is_usable)}

    weights = uniqueness(known, is_usable)

    for t in range(n):
        slow = 0.0
        if t in spans:
            shares = [1.0 / sum(j in span for span in spans.values()) for j in spans[t]]
            slow = sum(shares) / len(shares)
        assert weights[t] == pytest.approx(slow, abs=1e-12)


def test_labels_that_never_overlap_are_all_their_own() -> None:
    known = np.arange(6) + 1
    is_usable = known < 6

    assert uniqueness(known, is_usable)[:5] == pytest.approx(1.0)


def test_a_row_at_which_neither_side_pays_by_hand() -> None:
    long = np.array([0.02, 0.01, -0.005, -0.02, 0.0, 0.03, NOBODY])
    short = np.array([-0.02, -0.01, 0.005, 0.02, 0.0, 0.03, NOBODY])
    y = np.array([1.0, 1.0, 0.0, 0.0, NOBODY, NOBODY, NOBODY])
    labels = Labels(y, np.arange(7) + 1, long, short)

    found = with_neither(labels, 0.01)

    # 2 % pay; 1 % are the costs themselves; both earn nothing; both earn 3 %, of which neither earned more; nobody knows
    assert np.array_equal(found.y, [1.0, 0.5, 0.5, 0.0, 0.5, NOBODY, NOBODY], equal_nan=True)
    for kept, before in zip(found[1:], labels[1:], strict=True):
        assert kept is before


@pytest.mark.parametrize("label", ["bracket", "direction", "variance"])
def test_the_class_of_no_trade_is_that_of_both_trades_followed(label: str) -> None:
    prices = walk(5, 300)
    open, close = prices[0], prices[3]
    rule = TrainingOptions(label=label, horizon_bars=4, no_trade=True, cost=0.012)

    labels = labels_for(rule, LabelPrices(*prices, np.full(300, 1.3)))

    if label == "bracket":
        paid = [[followed(prices, t, 4, side)[0] for side in (1, -1)] for t in range(300)]
    else:
        ends = [t + 4 for t in range(300)] if label == "direction" else labels.known.tolist()
        moves = [close[j] / open[t + 1] - 1.0 if j < 300 else np.nan for t, j in enumerate(ends)]
        paid = [[move, -move] for move in moves]
    told = [
        np.nan
        if np.isnan(long + short) or (long == short > 0.012)
        else 0.5
        if max(long, short) <= 0.012
        else float(long > short)
        for long, short in paid
    ]
    assert np.array_equal(labels.y, told, equal_nan=True)
    assert {0.0, 0.5, 1.0} <= set(told)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda p: bracket_labels(*p, np.ones(9), 0.0, 3.0, 2), "0.0 and 3.0 ATR is not above 0"),
        (lambda p: bracket_labels(*p, np.ones(9), 2.0, 3.0, 0), "horizon_bars 0 is not at least 1"),
        (lambda p: bracket_labels(*p, np.ones(8), 2.0, 3.0, 2), "do not fit each other"),
        (
            lambda p: signal_labels(LabelPrices(*p, np.ones(9), np.ones(9)), 2.0, 3.0, 2, np.nan),
            "cost nan is not a number of at least 0",
        ),
        (
            lambda p: signal_labels(LabelPrices(*p, np.ones(9), np.ones(8)), 2.0, 3.0, 2, 0.0),
            "do not fit each other",
        ),
        (
            lambda p: variance_labels(LabelPrices(*p, np.ones(9)), 1.1, 2),
            "variance_share 1.1 is not above 0 and at most 1",
        ),
        (
            lambda p: with_neither(direction_labels(p[3], p[0], 2), -0.1),
            "cost -0.1 is not a number of at least 0",
        ),
        (lambda p: direction_labels(p[3], p[0], -1), "horizon_bars -1 is not at least 1"),
        (lambda p: direction_labels(p[3][:-1], p[0], 1), "do not fit each other"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        call(walk(1, 9))
