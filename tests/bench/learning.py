"""
What models are worth on real tapes: every retraining of a walk forward, beside the baselines, on rows that no model had seen.

    python -m tests.bench.learning [--kind cnn_lstm …] [--only NAME]

Whatever the numbers are, they are printed as they are: log-loss in nats on the candles between one retraining and the next,
the gate's decisions, and what the whole strategy made of it after costs. The tapes are those of ../shared/data/candles.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from papertape.engine.candles import CANDLE
from papertape.replay.backtesting.run import run_backtest
from papertape.replay.config import make_config
from papertape.replay.tapes.store import Tape

CANDLES: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "candles"


class Case(NamedTuple):
    """One tape at one timeframe, and how much of it a model learns from and is judged on."""

    tape: str
    timeframe: str
    start: str | None = None
    window_days: int = 90
    gate_days: int = 30

    @property
    def name(self) -> str:
        """Return what the table calls it."""
        market = self.tape.split("_")
        return f"{market[1]} {self.timeframe} ({market[2]} {market[0]})"


CASES: Final = (
    Case("binance-spot_BTCUSDT_1m_20220101_20221231", "15m"),
    Case("binance-spot_ETHUSDT_1m_20220401_20220630", "15m", None, 30, 10),
    Case("binance-spot_BTCUSDT_1h_20170817_20240421", "1h", "2020-01-01"),
    Case("binance-spot_BTCUSDT_1h_20170817_20240421", "4h", None, 365, 90),
    Case("bitfinex-spot_ETHUSD_30m_20171001_20191001", "1h"),
    Case("bitfinex-spot_ETHUSD_30m_20171001_20191001", "4h", None, 365, 90),
)


def tape_of(case: Case) -> Tape:
    """Return the recorded candles of a case."""
    venue, symbol, timeframe, *_ = case.tape.split("_")
    frame = pd.read_parquet(CANDLES / f"{case.tape}.parquet")
    rows = np.zeros(len(frame), CANDLE)
    rows["open_ms"] = frame["open_time"]
    for column in ("open", "high", "low", "close", "volume"):
        rows[column] = frame[column]
    return Tape(rows, venue, symbol, timeframe, source="recorded")


def measure(case: Case, kind: str) -> dict[str, Any]:
    """Return one line of the table."""
    values = {
        "data": {"timeframe": case.timeframe, "start": case.start},
        "signals": {"model": kind, "retrain_every": "monthly"},
        "learning": {"window_days": case.window_days, "gate_days": case.gate_days},
        "report": {"sensitivity": False},
    }
    started = time.perf_counter()
    found = run_backtest(make_config(values), [tape_of(case)])
    model = found.summary["model"]
    outcomes = [attempt["outcome"] for attempt in model["attempts"]]
    return {
        "case": case.name,
        "kind": kind,
        "outcomes": {name: outcomes.count(name) for name in dict.fromkeys(outcomes)},
        "contenders": model["out_of_sample"].get("contenders", {}),
        "total_return": found.metrics["total_return"],
        "buy_and_hold": found.metrics["buy_and_hold_return"],
        "seconds": time.perf_counter() - started,
    }


def row(line: dict[str, Any]) -> list[str]:
    """Return the cells of one line."""
    contenders = line["contenders"]
    scores = [
        f"{contenders[name][measure]:.4f}" if name in contenders else "–"
        for measure in ("log_loss", "accuracy", "auc")
        for name in ("challenger", "logistic", "majority")
    ]
    rows = contenders.get("challenger", {}).get("rows", 0)
    told = ", ".join(f"{n} {name}" for name, n in line["outcomes"].items())
    worth = [f"{line[name]:+.1%}" for name in ("total_return", "buy_and_hold")]
    return [
        line["case"],
        line["kind"],
        told,
        f"{rows:,}",
        *scores,
        *worth,
        f"{line['seconds']:.0f}",
    ]


def main() -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", nargs="+", default=["cnn_lstm"])
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    asked = parser.parse_args()
    if not CANDLES.is_dir():
        sys.exit(f"{CANDLES}: the recorded candles are not here")
    console = Console(width=220)
    table = Table(box=None)
    for title in (
        "tape", "kind", "retrainings", "rows", "log-loss", "logistic", "majority", "accuracy", "logistic", "majority",
        "AUC", "logistic", "majority", "strategy", "buy and hold", "s",
    ):  # fmt: skip
        table.add_column(
            title, justify="left" if title in ("tape", "kind", "retrainings") else "right"
        )
    for case in CASES:
        for kind in asked.kind if asked.only in case.name else ():
            console.print(f"… {case.name} {kind}", style="dim", highlight=False)
            table.add_row(*row(measure(case, kind)))
    console.print(table)


if __name__ == "__main__":
    main()
