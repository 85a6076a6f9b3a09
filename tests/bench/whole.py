"""
What users wait for: `backtest()` with everything on beside backtesting.py's call, the report of a year of minutes, and
the whole command's time and memory.

Both calls run the same rule (long while EMA(12) > EMA(26), all-in at the next open, 0.06 % a side) on the same candles.
Ours has measured the run twice more (costs doubled, one candle later), 200 random entries, buy and hold and regimes.
"""

import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from papertape.engine.jit import Rows
from papertape.replay import backtest
from papertape.replay.backtesting.result import Result
from papertape.replay.tapes.store import Tape, write_tape
from tests.bench.candles import make
from tests.bench.processes import run_program

MUST_S, AIM_S = 0.5, 0.15  # backtest() on a million candles
REPORT_MUST_S = 5.0
MEMORY_MUST_MB = 400.0
YEAR_MINUTES = 525_600
_COST = 0.0006

_COMMAND = """
import json, os, sys, time
started = time.perf_counter()
from papertape.daemon.cli import main
sys.argv = ["papertape", "replay", "--tape", os.environ["TAPE"], "--out", os.environ["OUT"],
            *(part for change in os.environ["CHANGES"].split() for part in ("--set", change))]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
lines = open("/proc/self/status").read().splitlines()
peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
print(json.dumps([time.perf_counter() - started, peak]))
"""


def _tape(candles: Rows) -> Tape:
    return Tape(candles, "binance-spot", "BENCH", "1m", source="the benchmark's own")


def _ours(tape: Tape, **more: Any) -> Result:
    return backtest(
        tapes=[tape],
        strategy="ema_cross",
        account={"sizing": "all_in"},
        market={"taker_fee_rate": 0.0005, "half_spread_rate": 0.0, "slippage_rate": 0.0001},
        retrain_every="never",
        **more,
    )


def run_backtesting_py(frame: pd.DataFrame) -> Any:
    """Run backtesting.py on a table of candles and return its statistics."""
    from backtesting import Backtest, Strategy

    def average(close: Any, span: int) -> Any:
        return pd.Series(close).ewm(span=span, adjust=False).mean().to_numpy()

    class Cross(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.fast = self.I(average, self.data.Close, 12)
            self.slow = self.I(average, self.data.Close, 26)

        def next(self) -> None:
            wants = self.fast[-1] > self.slow[-1]
            if wants and not self.position:
                self.buy()
            elif not wants and self.position:
                self.position.close()

    # It holds whole coins only, so it has enough cash for many.
    return Backtest(frame, Cross, cash=1e9, commission=_COST, finalize_trades=True).run()


def frame_of(candles: Rows) -> pd.DataFrame:
    """Return candles as backtesting.py takes them."""
    return pd.DataFrame(
        {name.title(): candles[name] for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(candles["open_ms"], unit="ms"),
    )


def beside_backtesting(n: int, runs: int) -> dict[str, Any]:
    """Return the seconds of both calls on the same candles, and how many trades each made."""
    candles = make(n)
    ours_s, trades = [], 0.0
    for _ in range(runs + 1):
        tape = _tape(candles)  # a new one each time: its hash is a part of the call
        started = time.perf_counter()
        trades = _ours(tape).metrics["trades"] or 0.0
        ours_s.append(time.perf_counter() - started)
    seconds = float(np.median(ours_s[1:]))
    found = {
        "work": f"backtest() on {n:,} candles",
        "seconds": seconds,
        "trades": trades,
        "must": MUST_S,
        "aim": AIM_S,
        "is_met": seconds <= MUST_S * n / 1e6,
    }
    if find_spec("backtesting") is None:  # an extra, which `make bench` installs
        return found
    frame = frame_of(candles)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        theirs = run_backtesting_py(frame)
        theirs_s = time.perf_counter() - started
    return found | {
        "backtesting_py_s": theirs_s,
        "backtesting_py_trades": float(theirs["# Trades"]),
        "times_faster": theirs_s / seconds,
    }


def report_of_a_year() -> dict[str, Any]:
    """Return the seconds and the size of the report of a year of minutes with trades and market structure."""
    result = backtest(tapes=[_tape(make(YEAR_MINUTES))], retrain_every="never", use_ml=False)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        path = result.plot(Path(folder) / "report.html")
        seconds = time.perf_counter() - started
        size = path.stat().st_size / 1e6
    return {
        "work": "report of a year of minutes",
        "seconds": seconds,
        "size_mb": size,
        "trades": float(len(result.trades)),
        "events": float(len(result.events)),
        "must": REPORT_MUST_S,
        "is_met": seconds <= REPORT_MUST_S,
    }


def command(n: int) -> dict[str, Any]:
    """Return seconds and peak memory of `papertape replay` on a tape of minutes, imports and report included."""
    with tempfile.TemporaryDirectory() as folder:
        write_tape(_tape(make(n)), Path(folder) / "tape.parquet")
        changes = "strategy.name=ema_cross account.sizing=all_in signals.retrain_every=never"
        said = run_program(_COMMAND, TAPE=f"{folder}/tape.parquet", OUT=f"{folder}/out", CHANGES=changes)
    seconds, peak_mb = (float(part) for part in said.splitlines()[-1].strip("[]").split(","))
    return {"seconds": seconds, "peak_mb": peak_mb, "must_mb": MEMORY_MUST_MB}
