"""What a strategy may ask for beside its decision, and the one sentence that answers what no order can mean."""

from typing import Any

import numpy as np
import pytest

from papertape.engine import Engine, EngineSpec, Market, Settings
from papertape.engine.candles import CANDLE
from papertape.engine.jit import Rows

MINUTE_MS = 60_000


def candles(*closes: float) -> Rows:
    rows = np.zeros(len(closes), CANDLE)
    for number, close in enumerate(closes):
        rows[number]["open_ms"] = number * MINUTE_MS
        for name, value in zip(
            ("open", "high", "low", "close"), (close, close + 1, close - 1, close), strict=True
        ):
            rows[number][name] = value
        rows[number]["volume"] = 10.0
    return rows


class Says:
    """A strategy that runs one line at every close."""

    features = ()

    def __init__(self, line: str) -> None:
        self.line = line

    def decide(self, view: Any) -> None:
        exec(self.line, {"view": view, "nan": float("nan"), "inf": float("inf")})  # noqa: S102


def fault(line: str) -> str:
    """Return what is told of a line at the first close, empty when it is fine."""
    market = Market("AAA", is_perpetual=True, tick_size=0.5)
    engine = Engine(EngineSpec([market], Says(line), "1m", "1m", settings=Settings("all_in")))
    report = engine.step(candles(100.0, 100.0))
    return str(report.faults[0]) if report.faults else ""


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("view.buy(-1)", "view.buy: quantity -1 is not a finite number above 0"),
        ("view.buy(nan)", "view.buy: quantity nan is not a finite number above 0"),
        ("view.buy(inf)", "view.buy: quantity inf is not a finite number above 0"),
        ("view.buy(0)", "view.buy: quantity 0 is not a finite number above 0"),
        ("view.buy('2')", "view.buy: quantity '2' is not a finite number above 0"),
        ("view.sell(1, limit=-5)", "view.sell: limit -5 is not a finite number above 0"),
        ("view.sell(1, limit='high')", "view.sell: limit 'high' is not a finite number above 0"),
        ("view.buy(1, stop=nan)", "view.buy: stop nan is not a finite number above 0"),
        ("view.buy(1, stop_loss=nan)", "view.buy: stop_loss nan is not a finite number above 0"),
        ("view.buy(1, stop_distance=-1)", "view.buy: stop_distance -1 is not a finite number"),
        ("view.buy(1, limt=5)", "view.buy: limt is unknown: did you mean 'limit'?"),
        ("view.buy(1, fraction=0.5)", "view.buy: fraction and quantity are two sizes; give one"),
        ("view.buy(1, share=0.5)", "view.buy: quantity and share are two sizes; give one"),
        ("view.buy(share=1.5)", "view.buy: share 1.5 is not above 0 and at most 1"),
        ("view.buy(1, stop=101, touch=99)", "view.buy: stop and touch are different orders; place two"),
        ("view.buy(1, trail=3, limit=99)", "view.buy: a trailing stop trades at market; leave limit out"),
        ("view.buy(1, trail_percent=100)", "view.buy: trail_percent 100.0 is not below 100"),
        ("view.buy(1, activate=105)", "view.buy: activate is for trailing stops; add trail"),
        ("view.buy(1, stop=101, activate=105)", "view.buy: activate is for trailing stops, not for stop"),
        ("view.buy(1, time_in_force='day')", "view.buy: time_in_force 'day' is unknown"),
        ("view.buy(1, stop=101, time_in_force='ioc')", "time_in_force 'ioc' is for market and limit orders"),
        ("view.buy(1, post_only=True)", "view.buy: post_only is for limit orders that may rest"),
        (
            "view.buy(1, expires_bars=2, expires_ms=5)",
            "expires_bars and expires_ms are two ways to say one thing",
        ),
        ("view.buy(1, expires_bars=-2)", "view.buy: expires_bars -2 is not a finite number above 0"),
        ("view.buy(1, tag='much too long')", "tag 'much too long' is not a text of 1 to 8 ASCII characters"),
        ("view.buy(1, tag='ä')", "view.buy: tag 'ä' is not a text of 1 to 8 ASCII characters"),
        ("view.buy(1, oco=3)", "view.buy: oco 3 is not a text of 1 to 8 ASCII characters"),
        ("view.cancel(7)", "view.cancel: tag 7 is not a text of 1 to 8 ASCII characters"),
        ("view.stop = -1", "view.stop = -1 is not a price: finite and at least 0 (0 is none)"),
        ("view.stop = nan", "view.stop = nan is not a price"),
        ("view.target = 'high'", "view.target = 'high' is not a price"),
        ("view.exit()", "view.exit: there is no position; look at view.position first"),
        (
            "[view.buy(1) for _ in range(17)]",
            "view.buy: 16 instructions of one symbol at one close are the most",
        ),
    ],
)
def test_what_no_order_can_mean_is_one_sentence_with_strategy_symbol_and_candle(
    line: str, sentence: str
) -> None:
    told = fault(line)

    assert sentence in told
    assert "test_instructions:Says: AAA, candle closed 1970-01-01T00:01:00Z: " in told


@pytest.mark.parametrize(
    "line",
    [
        "view.buy(1)",
        "view.buy(1, limit=None, tag='')",
        "view.buy(np.float32(1)) if (np := __import__('numpy')) else None",
        "view.stop = None",
        "view.target = 0",
        "view.cancel()",
        "[view.buy(1) for _ in range(16)]",
    ],
)
def test_what_means_something_is_no_fault(line: str) -> None:
    assert fault(line) == ""


def test_a_fault_takes_back_what_was_asked_for_at_that_close() -> None:
    market = Market("AAA", is_perpetual=True)
    line = "view.buy(1); view.buy(nan)"
    engine = Engine(EngineSpec([market], Says(line), "1m", "1m", settings=Settings("all_in")))

    report = engine.step(candles(100.0, 100.0, 100.0))

    assert len(report.faults) == 3
    assert not len(report.fills)
    assert not len(report.orders)
