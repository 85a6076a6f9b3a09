"""What several test modules share: hand-made candles, a scripted strategy, the folder of recorded data."""

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.risk.limits import Limits
from papertape.engine.broker.working.orders import ORDER_EVENT
from papertape.engine.candles import CANDLE, timeframe_ms
from papertape.engine.core import Engine
from papertape.engine.jit import Rows, join_rows
from papertape.engine.records import DECISION, FILL, LIMIT_EVENT, MARK, PREDICTION, TRADE
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
START_MS = 1_577_836_800_000  # 2020-01-01 00:00 UTC

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the folder of recorded data (../shared) is not beside the checkout"
)

needs_torch = pytest.mark.skipif(
    find_spec("torch") is None,
    reason="networks are trained with torch (extra `train`), which is not installed",
)

needs_lightgbm = pytest.mark.skipif(
    find_spec("lightgbm") is None,
    reason="boosted trees are trained with lightgbm (extra `trees`), which is not installed",
)

NO_LIMITS = Limits()
FREE = {"taker_fee_rate": 0.0, "half_spread_rate": 0.0, "slippage_rate": 0.0}


def make_candles(
    rows: Sequence[tuple[float, float, float, float]], timeframe: str = "1h", symbol: int = 0
) -> Rows:
    """Return candles from (open, high, low, close), volume 1, from 2020 on without gaps."""
    candles = np.zeros(len(rows), CANDLE)
    candles["open_ms"] = START_MS + timeframe_ms(timeframe) * np.arange(len(rows))
    candles["symbol"] = symbol
    for name, column in zip(("open", "high", "low", "close"), zip(*rows, strict=True), strict=True):
        candles[name] = column
    candles["volume"] = 1.0
    return candles


def random_candles(n: int, seed: int = 1, timeframe: str = "1h", tick: float = 0.01) -> Rows:
    """Return a seeded random walk on a tick grid, so that ties occur."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, n)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(random.normal(0.0, 0.001, n))
    high = np.maximum(opens, close) * np.exp(np.abs(random.normal(0.0, 0.004, n)))
    low = np.minimum(opens, close) * np.exp(-np.abs(random.normal(0.0, 0.004, n)))
    candles = make_candles([(1.0, 1.0, 1.0, 1.0)] * n, timeframe)
    candles["open"], candles["close"] = np.round(opens / tick) * tick, np.round(close / tick) * tick
    candles["high"] = np.maximum(np.round(high / tick) * tick, np.maximum(candles["open"], candles["close"]))
    candles["low"] = np.minimum(np.round(low / tick) * tick, np.minimum(candles["open"], candles["close"]))
    candles["volume"] = np.round(np.exp(random.normal(3.0, 1.0, n)), 3)
    return candles


def interleave(tapes: Sequence[Rows]) -> Rows:
    """Return the candles of several symbols in (open_ms, symbol) order."""
    joined = np.zeros((len(tapes[0]), len(tapes)), CANDLE)
    for symbol, tape in enumerate(tapes):
        joined[:, symbol] = tape
        joined["symbol"][:, symbol] = symbol
    return joined.reshape(-1)


class Scripted:
    """Decide what a table says: candle number (by close) → decision."""

    features: tuple[str, ...] = ()

    def __init__(self, script: Mapping[int, Decision], timeframe: str = "1h") -> None:
        self.script = script
        self.length_ms = timeframe_ms(timeframe)

    def decide(self, view: Any) -> Decision | None:
        number = (view.time_ms - START_MS) // self.length_ms - 1
        return self.script.get(number)


class Outcome:
    """Everything a run reported."""

    def __init__(self, engine: Engine, reports: Sequence[Any]) -> None:
        self.engine = engine
        for name, dtype in (
            ("decisions", DECISION),
            ("fills", FILL),
            ("trades", TRADE),
            ("marks", MARK),
            ("predictions", PREDICTION),
            ("orders", ORDER_EVENT),
            ("limits", LIMIT_EVENT),
        ):
            parts = [getattr(report, name) for report in reports]
            setattr(self, name, join_rows(parts) if parts else np.zeros(0, dtype))

    decisions: Rows
    fills: Rows
    trades: Rows
    marks: Rows
    predictions: Rows
    orders: Rows
    limits: Rows


def run_all(engine: Engine, candles: Rows, batch: int | None = None) -> Outcome:
    """Step an engine through candles in batches."""
    size = batch or max(len(candles), 1)
    reports = [engine.step(candles[i : i + size]) for i in range(0, len(candles), size)]
    return Outcome(engine, reports)


def run_script(
    candles: Rows,
    script: Mapping[int, Decision],
    *,
    market: Mapping[str, Any] = FREE,
    capital: float = 10_000.0,
    limits: Limits = NO_LIMITS,
    **settings: Any,
) -> Outcome:
    """Run a scripted strategy on one symbol; by default without costs and all-in."""
    options = {"sizing": "all_in", "cash_share": 1.0, **settings}
    spec = EngineSpec(
        markets=[Market("X", **market)],
        strategy=Scripted(script),
        timeframe="1h",
        base_timeframe="1h",
        capital=capital,
        settings=Settings(**options),
        limits=limits,
    )
    return run_all(Engine(spec), candles)


def write_module(folder: Path, name: str, text: str) -> None:
    """Write a module of a user's, in place of an earlier one of that name, as a new process would find it."""
    sys.modules.pop(name, None)
    for file in folder.glob(f"__pycache__/{name}*"):
        file.unlink()
    (folder / f"{name}.py").write_text(text)
