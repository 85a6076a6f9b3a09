"""The higher timeframe: its events are those of its own closed candles, known when the small ones close them."""

import itertools

import numpy as np

from papertape.engine.candles import CANDLE
from papertape.engine.features.smc import SmartMoney
from papertape.engine.features.smc.events import HTF_BIAS
from papertape.engine.jit import Rows
from tests.support.helpers import random_candles

FOUR_HOURS = 4 * 3_600_000


def big_candles(candles: Rows) -> tuple[Rows, list[int]]:
    """Return the candles of four hours, and which small candle made each known; the last bucket may be open."""
    buckets = candles["open_ms"] // FOUR_HOURS
    starts = [0, *(np.flatnonzero(np.diff(buckets)) + 1).tolist(), len(candles)]
    big, known = [], []
    for first, end in itertools.pairwise(starts):
        part = candles[first:end]
        row = np.zeros(1, CANDLE)
        row["open_ms"] = buckets[first] * FOUR_HOURS
        row["open"], row["close"] = part["open"][0], part["close"][-1]
        row["high"], row["low"] = part["high"].max(), part["low"].min()
        reaches_end = part["open_ms"][-1] + 900_000 >= (buckets[first] + 1) * FOUR_HOURS
        if reaches_end or end < len(candles):
            big.append(row)
            known.append(end - 1 if reaches_end else end)
    return np.concatenate(big), known


def test_higher_events_are_those_of_the_big_candles_when_they_close() -> None:
    candles = random_candles(6_000, 61, "15m")
    keep = np.random.default_rng(6).random(len(candles)) > 0.1
    tape = candles[keep].copy()
    big, known = big_candles(tape)

    events = SmartMoney("15m").update(tape)
    alone = SmartMoney("4h", swing_bars=5, internal_bars=3).update(big)

    found = events[(events["scale"] == 3) & (events["kind"] != HTF_BIAS)]
    plain_gaps = [15, 16, 17, 18, 19, 20]
    want = alone[(alone["scale"] == 2) | (np.isin(alone["kind"], plain_gaps) & (alone["scale"] == 0))]
    names = ("bar", "formed_ms", "kind", "side", "top", "bottom", "level", "strength", "reference", "tag")
    assert len(found) > 200
    assert found["known_bar"].tolist() == [known[bar] for bar in want["known_bar"]]
    for name in names:
        np.testing.assert_array_equal(found[name], want[name], err_msg=name)


def test_bias_is_said_when_the_swing_trend_of_the_big_candles_turns() -> None:
    tape = random_candles(12_000, 62, "15m")
    big, known = big_candles(tape)
    market = SmartMoney("4h", swing_bars=5, internal_bars=3)
    want, trend = [], 0
    for number in range(len(big)):
        market.update(big[number : number + 1])
        if int(market.state.main.swing.trend) != trend:
            trend = int(market.state.main.swing.trend)
            want.append((known[number], trend))

    events = SmartMoney("15m").update(tape)

    bias = events[events["kind"] == HTF_BIAS]
    assert len(want) > 5
    assert list(zip(bias["known_bar"].tolist(), bias["side"].tolist(), strict=True)) == want
