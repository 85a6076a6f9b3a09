"""Attribution adds up, regimes never look ahead and are what their definitions say, tables hold every trade once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.candles import HOUR_MS
from papertape.engine.jit import IntArray, Rows
from papertape.engine.performance import (
    REGIME_NAMES,
    attribution,
    by_component,
    by_confidence,
    by_exit_reason,
    by_side,
    regimes,
    regimes_when,
)
from papertape.engine.performance.regimes import WARM_UP, write_is_above
from papertape.engine.records import REASON_STOP, REASON_TARGET, TRADE
from tests.support.helpers import random_candles

scores = st.floats(-1, 1) | st.just(0.0)


def trades_with(pnl: list[int]) -> Rows:
    trades = np.zeros(len(pnl), TRADE)
    trades["pnl"] = pnl
    trades["side"] = 1
    return trades


@given(st.lists(st.tuples(st.integers(-(10**15), 10**15), scores, scores, scores), max_size=20))
def test_parts_add_up_to_the_profit_exactly(rows: list[tuple[int, float, float, float]]) -> None:
    trades = trades_with([row[0] for row in rows])
    for index, name in enumerate(("model", "smc", "technical")):
        trades[f"score_{name}"] = [row[index + 1] for row in rows]

    parts = attribution(trades)

    np.testing.assert_array_equal(sum(parts.values()), trades["pnl"])


def test_profit_is_split_by_signed_scores() -> None:
    trades = trades_with([900, 900, 900])
    trades["score_model"] = [0.2, -0.1, 0.0]
    trades["score_smc"] = [0.1, 0.0, 0.0]
    trades["score_technical"] = [0.0, 0.4, 0.0]

    parts = attribution(trades)

    assert parts["model"].tolist() == [600, -300, 0]
    assert parts["smc"].tolist() == [300, 0, 0]
    assert parts["technical"].tolist() == [0, 1200, 0]
    assert parts["unattributed"].tolist() == [0, 0, 900]
    assert sum(row["pnl_quote"] for row in by_component(trades)) == pytest.approx(2700e-9)


def test_tables_hold_every_trade_once() -> None:
    trades = trades_with([5, -3, 2])
    trades["side"] = [1, -1, 1]
    trades["confidence"] = [0.5, 0.49, 1.0]
    trades["exit_reason"] = [REASON_TARGET, REASON_STOP, REASON_TARGET]

    assert [(r["name"], r["trades"]) for r in by_side(trades)] == [("long", 2), ("short", 1)]
    assert [(r["name"], r["trades"]) for r in by_exit_reason(trades)] == [("stop", 1), ("target", 2)]
    filled = {r["name"]: r["trades"] for r in by_confidence(trades) if r["trades"]}
    assert filled == {"0 to 0.5": 1, "0.5 to 0.6": 1, "0.9 to 1": 1}


def labels_of(candles: Rows) -> IntArray:
    return regimes(candles["open_ms"], candles["high"], candles["low"], candles["close"])


def test_a_straight_line_is_a_trend_and_a_zigzag_a_range() -> None:
    candles = random_candles(200)
    for name in ("open", "high", "low", "close"):
        candles[name] = 100.0 + np.arange(200)
    line = labels_of(candles)
    for name in ("open", "high", "low", "close"):
        candles[name] = 100.0 + np.arange(200) % 2
    zigzag = labels_of(candles)

    assert {REGIME_NAMES[int(code)].split(",")[0] for code in line[24:]} == {"trend"}
    assert {REGIME_NAMES[int(code)].split(",")[0] for code in zigzag[24:]} == {"range"}
    assert {REGIME_NAMES[int(code)] for code in line[:24]} == {"warm-up"}


def test_regimes_never_change_afterwards() -> None:
    candles = random_candles(1_500, seed=8)
    whole = labels_of(candles)

    for cut in (1, 24, 25, 100, 744, 745, 1_200):
        np.testing.assert_array_equal(labels_of(candles[:cut]), whole[:cut])


def test_a_time_gets_the_label_of_the_last_closed_candle() -> None:
    candles = random_candles(1_500, seed=8)
    opens = candles["open_ms"]
    labels = labels_of(candles)
    times = np.array([opens[0], opens[30] - 1, opens[30], opens[31] - 1, opens[-1] + 9 * HOUR_MS])

    found = regimes_when(opens, candles["high"], candles["low"], candles["close"], HOUR_MS, times)

    # The candle that opens at opens[30] closes at opens[31]; before it the one that closed was the 29th.
    assert found.tolist() == [WARM_UP, *labels[[28, 29, 29, 1_499]]]


def test_some_rows_have_the_labels_of_all_rows() -> None:
    candles = random_candles(2_000, seed=9)
    rows = np.array([0, 23, 24, 700, 744, 745, 1_999, 1_999])
    columns = [candles[name] for name in ("open_ms", "high", "low", "close")]

    assert regimes(*columns, rows).tolist() == regimes(*columns)[rows].tolist()
    assert len(set(regimes(*columns).tolist())) == 5


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.integers(1, 12))
def test_a_value_is_above_the_median_of_its_window(values: list[int], bars: int) -> None:
    array = np.array(values, dtype=np.float64)
    found = np.empty(len(array), np.bool_)

    write_is_above(array, np.arange(len(array)), bars, found)

    want = [array[i] > np.median(array[max(0, i + 1 - bars) : i + 1]) for i in range(len(array))]
    assert found.tolist() == want
