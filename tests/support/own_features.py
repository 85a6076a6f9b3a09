"""A feature of each of the three forms, the same by hand, and a strategy that trades on them."""

from typing import Any

import numpy as np

from papertape.engine import Decision, EngineSpec, Market, Settings
from papertape.engine.features.history import CLOSE
from papertape.engine.features.own.kernels import kernel_feature
from papertape.engine.jit import FloatArray, Rows, kernel
from papertape.engine.records import FLAT, LONG
from papertape.replay.tapes.own_features import table_feature


@kernel
def gain_of(now: float, before: float) -> float:
    """Return a rise, 0 for a fall."""
    return max(now - before, 0.0)


@kernel_feature(look_back=2, state=[("gain", "f8"), ("loss", "f8")], parameters=(14,))
def wilder(
    history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any
) -> None:  # Wilder's relative strength index, as in a book
    period = int(p[0])
    for i in range(first, last):
        t = count + i - first
        out[i - first] = np.nan
        if t == 0:
            continue
        gain = gain_of(history[CLOSE, i], history[CLOSE, i - 1])
        loss = gain_of(history[CLOSE, i - 1], history[CLOSE, i])
        if t <= period:
            state.gain += gain / period
            state.loss += loss / period
        else:
            state.gain += (gain - state.gain) / period
            state.loss += (loss - state.loss) / period
        if t >= period:
            total = state.gain + state.loss
            out[i - first] = 100.0 * state.gain / total if total > 0.0 else 50.0


class Efficiency:
    """Kaufman's ratio: the way that a price has come ÷ the way that it has gone, over `bars` candles."""

    name = "efficiency"
    state_fields = ("seen", ("closes", 11))

    def __init__(self, bars: int = 10) -> None:
        self.bars = bars

    def update(self, candle: Any) -> float:
        self.closes = [*self.closes[1:], candle.close]
        self.seen += 1
        if self.seen <= self.bars:
            return float("nan")
        used = self.closes[-self.bars - 1 :]
        path = float(np.abs(np.diff(used)).sum())
        return abs(float(used[-1] - used[0])) / path if path else 0.0


@table_feature(look_back=15)
def stretch(candles: Any) -> Any:
    """Return how many deviations the close is from its mean of fifteen candles."""
    close = candles["close"]
    return (close - close.rolling(15).mean()) / close.rolling(15).std()


FEATURES = (wilder, Efficiency(), stretch)


def by_hand(close: FloatArray) -> dict[str, FloatArray]:
    """Return the same three from closes, each from its definition."""
    n = len(close)
    found = {name: np.full(n, np.nan) for name in ("wilder", "efficiency", "stretch")}
    moves = np.diff(close)
    gains, losses = np.maximum(moves, 0.0), np.maximum(-moves, 0.0)
    gain, loss = gains[:14].mean(), losses[:14].mean()
    for t in range(14, n):
        if t > 14:
            gain, loss = (13 * gain + gains[t - 1]) / 14, (13 * loss + losses[t - 1]) / 14
        found["wilder"][t] = 100 - 100 / (1 + gain / loss)
    for t in range(10, n):
        path = np.abs(moves[t - 10 : t]).sum()
        found["efficiency"][t] = abs(close[t] - close[t - 10]) / path if path else 0.0
    for t in range(14, n):
        window = close[t - 14 : t + 1]
        found["stretch"][t] = (close[t] - window.mean()) / window.std(ddof=1)
    return found


class Trader:
    """Trades on all three, on two timeframes, and keeps what it has seen."""

    features: Any = ()  # of an instance: those that it is made with
    history_bars = 5

    def __init__(
        self, features: Any = FEATURES, others: Any = ("wilder@4h", "efficiency@4h", "stretch@4h")
    ) -> None:
        self.features = ("ema_5", *features, *others)

    def decide(self, view: Any) -> Decision | None:
        names = [name if isinstance(name, str) else name.name for name in self.features]
        values = [view[name] for name in names]
        votes = sum(1.0 for value in values[1:] if value > 0.5)
        if view.position == 0 and votes > 3 and view.close > view["ema_5"]:
            share = 0.1 + 0.5 / (1.0 + abs(float(np.nansum(values))))
            return Decision(LONG, stop_distance=0.05 * view.close, size_scale=share)
        return Decision(FLAT) if view.close < view["ema_5"] else None


def spec_of(
    strategy: Any, symbols: tuple[str, ...] = ("AAA",), timeframe: str = "1h", base: str = "1h", **more: Any
) -> EngineSpec:
    """Return a specification for a strategy."""
    markets = [Market(name, is_perpetual=True, tick_size=0.01, lot_size=0.001) for name in symbols]
    return EngineSpec(
        markets, strategy, timeframe, base, settings=Settings("fraction", leverage_cap=3.0), **more
    )


def values_of(engine: Any, symbol: int = 0) -> dict[str, FloatArray]:
    """Return the features of the newest batch by name."""
    lane = engine.frames.main[symbol]
    n = lane.n_closed
    matrix = engine.frames.matrix(symbol, n, lane.closed_at)
    return {name: matrix[row, :n].copy() for row, name in enumerate(engine.frames.columns)}


def joined(candles: Rows, hours: int) -> Rows:
    """Return candles of several hours from hours that begin at midnight, by hand."""
    whole = candles[: len(candles) // hours * hours].reshape(-1, hours)
    made = whole[:, 0].copy()
    made["high"], made["low"] = whole["high"].max(axis=1), whole["low"].min(axis=1)
    made["close"], made["volume"] = whole["close"][:, -1], whole["volume"].sum(axis=1)
    return made


class Mixed(Trader):
    """The same with an object of its own, and the others by the names that a configuration brings."""

    features = (Efficiency(), "ema_5", "wilder", "stretch@4h", "efficiency@4h", "BBB:efficiency@15m")

    def __init__(self) -> None:
        """Keep the class's features."""

    def decide(self, view: Any) -> Decision | None:
        others = [view["stretch@4h"], view["efficiency@4h"], view["BBB:efficiency@15m"]]
        if view.position == 0 and view["wilder"] < 60 and view["efficiency"] > 0.2:
            share = 0.1 + 0.5 / (1.0 + abs(float(np.nansum(others))))
            return Decision(LONG, stop_distance=0.02 * view.close, size_scale=share)
        return Decision(FLAT) if view["wilder"] > 60 else None


class Holder:
    """Buys once and holds, with a stop far below."""

    features = ("level",)

    def decide(self, view: Any) -> Decision | None:
        return Decision(LONG, stop_price=0.5 * view.close) if view.position == 0 else None
