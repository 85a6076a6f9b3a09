"""Small cases worked out by hand: pools, sweeps, the filters and options that the recorded files leave at their defaults."""

import numpy as np
import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.features.smc import KIND_NAMES, TAG_NAMES, SmartMoney
from papertape.engine.jit import Rows
from tests.support.helpers import make_candles, random_candles

Told = list[tuple[int, str, int, float]]
SMALL = {"swing_bars": 2, "internal_bars": 2, "equal_bars": 2, "long_atr_bars": 2, "short_atr_bars": 2}


def at_peaks(peaks: dict[int, float], n: int, base: float = 100.0) -> Rows:
    """
    Return candles of range 1 that drift up a little, with wicks up to a price at some of them.

    Every low is below the later ones, so a pivot low comes before every high, and the legs alternate.
    """
    rows = []
    for number in range(n):
        price = base + 0.01 * number
        rows.append((price, max(peaks.get(number, 0.0), price + 0.5), price - 0.5, price))
    return make_candles(rows, "15m")


def told(candles: Rows, kinds: set[str], **parameters: float) -> Told:
    """Return (known_bar, kind, side, level) of some kinds above the drift, which has levels of its own."""
    events = SmartMoney("15m", **{**SMALL, **parameters}).update(candles)
    return [
        (int(e["known_bar"]), KIND_NAMES[int(e["kind"])], int(e["side"]), float(e["level"]))
        for e in events
        if KIND_NAMES[int(e["kind"])] in kinds and e["level"] > 102.0
    ]


def test_two_highs_at_one_price_are_a_pool_that_a_third_makes_grow() -> None:
    candles = at_peaks({5: 103.0, 15: 103.2, 25: 102.9, 40: 104.5}, 50)

    found = told(candles, {"POOL", "POOL_GROWN", "POOL_SWEEP"}, pool_atr=0.3)

    # Known two candles after their pivots; levels are means. At 40 the wick passes it and closes back inside.
    kinds = [(bar, kind, side) for bar, kind, side, _ in found]
    assert kinds == [(17, "POOL", 1), (27, "POOL_GROWN", 1), (40, "POOL_SWEEP", -1)]
    levels = [level for *_, level in found]
    assert levels[:2] == pytest.approx([(103.0 + 103.2) / 2, (103.0 + 103.2 + 102.9) / 3])


def test_a_high_outside_the_tolerance_joins_no_pool() -> None:
    candles = at_peaks({5: 103.0, 15: 104.9, 25: 109.0}, 40)

    assert told(candles, {"POOL", "POOL_GROWN"}, pool_atr=0.3) == []


def passed_level(closes: list[float]) -> Rows:
    """Return candles with one high at 103 (candle 5), then from candle 12 on closes as given, wicks just around them."""
    candles = at_peaks({5: 103.0}, 12 + len(closes))
    for number, close in enumerate(closes, 12):
        before = candles["close"][number - 1]
        candles["open"][number], candles["close"][number] = before, close
        candles["high"][number] = max(before, close) + 0.4
        candles["low"][number] = min(before, close) - 0.4
    return candles


@pytest.mark.parametrize(
    ("closes", "verdict", "bar", "tag"),
    [
        ([102.8], "SWEEP", 12, "wick"),  # high 103.2, closes inside
        ([103.5, 102.9], "SWEEP", 13, "return"),
        ([103.5, 103.6, 103.0, 102.9], "SWEEP", 15, "return"),  # a close at the level is not inside
        ([103.5, 103.6, 103.7, 103.8], "RUN", 15, ""),
        ([103.5, 103.6, 103.7, 102.0], "SWEEP", 15, "return"),  # the third candle after decides last
    ],
)
def test_a_passed_level_gets_one_verdict(closes: list[float], verdict: str, bar: int, tag: str) -> None:
    events = SmartMoney("15m", **SMALL).update(passed_level([*closes, closes[-1], closes[-1]]))

    said = [e for e in events if e["kind"] in (22, 23) and e["bar"] == 5]

    assert len(said) == 1
    event = said[0]
    assert (KIND_NAMES[int(event["kind"])], int(event["known_bar"])) == (verdict, bar)
    assert TAG_NAMES[int(event["tag"])] == tag
    assert event["reference"] == 12
    assert event["side"] == (-1 if verdict == "SWEEP" else 1)
    assert event["level"] == 103.0


def blocks_of(candles: Rows, **parameters: float) -> Rows:
    events = SmartMoney("15m", swing_bars=10, **parameters).update(candles)
    return events[(events["kind"] == 5) & (events["scale"] == 1)]


@pytest.mark.parametrize("is_mean_range", [0, 1])
def test_a_block_is_the_lowest_candle_since_the_pivot_that_is_not_wild(is_mean_range: int) -> None:
    candles = random_candles(2_000, 71, "15m")
    high, low, close = (candles[name] for name in ("high", "low", "close"))
    reach = np.maximum(high[1:] - low[1:], np.maximum(abs(high[1:] - close[:-1]), abs(low[1:] - close[:-1])))
    ranges = np.concatenate([[high[0] - low[0]], reach])
    if is_mean_range:
        usual = np.concatenate([[np.inf], np.cumsum(ranges[1:]) / np.arange(1, len(ranges))])
    else:
        usual = np.full(len(ranges), np.inf)
        usual[199] = ranges[:200].mean()
        for t in range(200, len(ranges)):
            usual[t] = usual[t - 1] + (ranges[t] - usual[t - 1]) / 200
    is_wild = high - low >= 2.0 * usual
    top, bottom = np.where(is_wild, low, high), np.where(is_wild, high, low)

    blocks = blocks_of(candles, is_mean_range=is_mean_range)

    assert len(blocks) > 50
    for block in blocks:
        span = slice(int(block["reference"]), int(block["known_bar"]))
        best = np.argmin(bottom[span]) if block["side"] > 0 else np.argmax(top[span])
        assert block["bar"] == span.start + best
        assert (block["top"], block["bottom"]) == (top[block["bar"]], bottom[block["bar"]])


def test_mitigation_by_close_waits_for_a_close_beyond_the_far_edge() -> None:
    candles = random_candles(2_000, 72, "15m")
    events = SmartMoney("15m", is_close_mitigation=1).update(candles)

    made = {int(e["bar"]): e for e in events if e["kind"] == 5 and e["scale"] == 1}
    ended = [e for e in events if e["kind"] == 7 and e["scale"] == 1]

    assert len(ended) > 20
    for event in ended:
        closes = candles["close"][int(made[int(event["bar"])]["known_bar"]) : int(event["known_bar"]) + 1]
        beyond = closes < event["bottom"] if event["side"] > 0 else closes > event["top"]
        assert beyond[-1]
        assert not beyond[:-1].any() or event["top"] < event["bottom"]


def test_confluence_filter_only_takes_breaks_away_or_delays_them() -> None:
    candles = random_candles(2_000, 73, "15m")
    plain = SmartMoney("15m").update(candles)
    strict = SmartMoney("15m", is_confluence=1).update(candles)

    internal = [e[(np.isin(e["kind"], (2, 3))) & (e["scale"] == 1)] for e in (plain, strict)]
    swing = [
        e[(np.isin(e["kind"], (2, 3))) & (e["scale"] == 2)]["known_bar"].tolist() for e in (plain, strict)
    ]

    assert swing[0] == swing[1]
    assert 0 < len(internal[1]) < len(internal[0])
    for event in internal[1]:
        candle = candles[int(event["known_bar"])]
        upper = candle["high"] - max(candle["close"], candle["open"])
        lower = min(candle["close"], candle["open"] - candle["low"])
        assert (upper > lower) if event["side"] > 0 else (upper < lower)


def test_without_the_threshold_every_gap_beyond_a_close_is_a_strong_one() -> None:
    candles = random_candles(1_000, 74, "15m")
    events = SmartMoney("15m", is_auto_threshold=0).update(candles)

    strong = events[events["kind"] == 13]["bar"].tolist()

    o, h, lo, c = (candles[name] for name in ("open", "high", "low", "close"))
    up = (lo[2:] > h[:-2]) & (c[1:-1] > h[:-2]) & (c[1:-1] > o[1:-1])
    down = (h[2:] < lo[:-2]) & (c[1:-1] < lo[:-2]) & (c[1:-1] < o[1:-1])
    assert strong == (np.flatnonzero(up | down) + 1).tolist()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"swing_bar": 50}, "unknown parameter 'swing_bar'"), ({"swing_bars": 251}, "not between 1 and 250")],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SmartMoney("15m", **parameters)
