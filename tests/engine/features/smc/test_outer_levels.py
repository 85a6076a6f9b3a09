"""Equal highs and lows, the day and week before, kill zones as levels: a slow search over the events says the same."""

from collections import Counter

import numpy as np
import pytest

from papertape.engine.features.smc import SmartMoney
from papertape.engine.features.smc import events as e
from papertape.engine.jit import Rows
from tests.support.helpers import make_candles, random_candles

RETURN_BARS = 3
Verdict = tuple[int, int, int, int, float, int]  # known_bar, kind, scale, direction, level, tag


def sources(events: Rows) -> list[tuple[int, int, int, float]]:
    """Return (known_bar, scale, side, level) of every level that is no pivot."""
    found = []
    for row in events:
        kind, known, tag = int(row["kind"]), int(row["known_bar"]), int(row["tag"])
        if kind in (e.EQUAL_HIGHS, e.EQUAL_LOWS):
            side = 1 if kind == e.EQUAL_HIGHS else -1
            found.append((known, e.SCALE_EQUAL, side, float(row["level"])))
        elif kind == e.KILL_ZONE_CLOSE:
            found += [(known, e.SCALE_SESSION, 1, float(row["top"]))]
            found += [(known, e.SCALE_SESSION, -1, float(row["bottom"]))]
        elif kind == e.PERIOD and tag in (e.PERIOD_DAY, e.PERIOD_WEEK):
            scale = e.SCALE_DAY if tag == e.PERIOD_DAY else e.SCALE_WEEK
            found += [(known, scale, 1, float(row["top"])), (known, scale, -1, float(row["bottom"]))]
    return found


def verdict(candles: Rows, known: int, scale: int, side: int, level: float) -> Verdict | None:
    """Return what became of one level, by the definition of 4.2, candle by candle."""
    for t in range(known + 1, len(candles)):
        reach = candles["high"][t] if side > 0 else candles["low"][t]
        if not side * reach > side * level:
            continue
        for later in range(t, min(t + RETURN_BARS + 1, len(candles))):
            if side * candles["close"][later] < side * level:
                tag = e.BY_WICK if later == t else e.BY_RETURN
                return later, e.LEVEL_SWEEP, scale, -side, level, tag
        if t + RETURN_BARS < len(candles):
            return t + RETURN_BARS, e.LEVEL_RUN, scale, side, level, 0
        return None
    return None


@pytest.mark.parametrize("seed", [5, 6])
def test_verdicts_are_those_of_a_slow_search(seed: int) -> None:
    candles = random_candles(1_500, seed, "1h")
    market = SmartMoney("1h")
    events = market.update(candles)

    told = [
        (
            int(r["known_bar"]),
            int(r["kind"]),
            int(r["scale"]),
            int(r["side"]),
            float(r["level"]),
            int(r["tag"]),
        )
        for r in events[np.isin(events["kind"], (e.LEVEL_SWEEP, e.LEVEL_RUN))]
    ]

    want = [verdict(candles, *source) for source in sources(events)]
    assert market.n_dropped == 0, "no shelf was full, so none is missing"
    assert Counter(told) == Counter(found for found in want if found is not None)
    assert {row[2] for row in told} == {e.SCALE_EQUAL, e.SCALE_DAY, e.SCALE_WEEK, e.SCALE_SESSION}
    assert {row[5] for row in told} == {e.BY_WICK, e.BY_RETURN, 0}


def test_the_high_of_yesterday_is_swept_by_a_wick() -> None:
    """A flat day with a high of 105 at noon; the next day a wick to 106 closes back at 100."""
    rows = [(100.0, 100.5, 99.5, 100.0)] * 48
    rows[12] = (100.0, 105.0, 99.5, 100.0)
    rows[30] = (100.0, 106.0, 99.5, 100.0)

    events = SmartMoney("1h").update(make_candles(rows))

    day = events[(events["kind"] == e.LEVEL_SWEEP) & (events["scale"] == e.SCALE_DAY)]
    (high,) = day[day["level"] == 105.0]
    assert (int(high["known_bar"]), int(high["side"]), int(high["tag"])) == (30, -1, e.BY_WICK)
    assert int(high["bar"]) == 0  # the day's first candle
    assert int(high["reference"]) == 30
