"""A user's strategy in Python: microseconds a candle, beside the same rule in backtesting.py's `next`, if that is installed."""

import importlib.util
import time
from typing import Any, Final

import numpy as np

from papertape.engine.features import evaluate
from papertape.engine.jit import Rows
from papertape.engine.records import FLAT, LONG
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.replay.tapes.tables import candle_frame
from tests.bench.candles import make
from tests.bench.work import Batches, drive

MUST_US: Final = 8.0
AIM_US: Final = 4.0
_NAMES: Final = ("ema_12", "ema_26")


class Cross:
    """Long while the fast average is above the slow one."""

    features = _NAMES

    def decide(self, view: Any) -> Decision | None:
        """Ask for a change only."""
        is_above = view["ema_12"] > view["ema_26"]
        if view.position == 0.0:
            return Decision(LONG, score_technical=1.0) if is_above else None
        return None if is_above else Decision(FLAT)


def per_candle(n: int, runs: int) -> dict[str, Any]:
    """Return the line of the table: the median run of ours and of theirs, in turn."""
    candles = make(n)
    spec = EngineSpec([Market("X")], Cross(), "1m", "1m", 1e6, Settings("all_in"))
    tape, other = Batches(candles, 2048), _backtesting(candles)
    drive(spec, tape)
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(_seconds(lambda: drive(spec, tape)))
        if other is not None:
            theirs.append(_seconds(other))
    ours_us = float(np.median(ours)) / n * 1e6
    line: dict[str, Any] = {"work": "a strategy in Python", "candles": n, "us_per_candle": ours_us}
    if theirs:
        line["backtesting_py_us"] = float(np.median(theirs)) / n * 1e6
    return {**line, "must": MUST_US, "aim": AIM_US, "is_met": ours_us <= MUST_US}


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _backtesting(candles: Rows) -> Any:
    """Return a run of the same rule in backtesting.py, the averages handed to it; None when it is not installed."""
    if importlib.util.find_spec("backtesting") is None:
        return None
    from backtesting import Backtest, Strategy

    fast, slow = (evaluate(name, candles, 60_000)[0] for name in _NAMES)

    class Theirs(Strategy):  # type: ignore[misc] # it ships no types
        """The same, as it is written there."""

        def init(self) -> None:
            """Take the averages."""
            self.fast, self.slow = self.I(lambda: fast), self.I(lambda: slow)

        def next(self) -> None:
            """Decide at one candle."""
            is_above = self.fast[-1] > self.slow[-1]
            if not self.position and is_above:
                self.buy()
            elif self.position and not is_above:
                self.position.close()

    frame = candle_frame(candles).rename(columns=str.capitalize)
    frame.index = frame.index.tz_localize(None) if frame.index.tz is not None else frame.index
    test = Backtest(frame, Theirs, cash=1e9, commission=0.0006, finalize_trades=True)
    return test.run
