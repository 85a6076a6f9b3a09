"""Ten planted leaks, as they are found in the wild, and honest functions that look like them."""

import numpy as np
import pandas as pd

from papertape.engine.records import LONG
from papertape.engine.strategies import Decision


def next_return(candles: pd.DataFrame) -> pd.Series:
    """1. shift(-1): tomorrow's return as today's feature."""
    return candles["close"].shift(-1) / candles["close"] - 1


def centred_mean(candles: pd.DataFrame) -> pd.Series:
    """2. A rolling window that is centred."""
    return candles["close"].rolling(9, center=True).mean()


def whole_z_score(candles: pd.DataFrame) -> pd.Series:
    """3. Standardised with mean and deviation of the whole series."""
    return (candles["close"] - candles["close"].mean()) / candles["close"].std()


def min_max(candles: pd.DataFrame) -> pd.Series:
    """4. Scaled to the whole series' range."""
    low, high = candles["low"].min(), candles["high"].max()
    return (candles["close"] - low) / (high - low)


def back_filled(candles: pd.DataFrame) -> pd.Series:
    """5. Gaps filled from behind."""
    return candles["close"].where(candles["close"] > candles["open"]).bfill()


def fractal_swings(candles: pd.DataFrame) -> pd.Series:
    """6. Swing highs stamped where they are, not where they are known."""
    high = candles["high"]
    return (high == high.rolling(11, center=True).max()).astype(float)


def forming_day(candles: pd.DataFrame) -> pd.Series:
    """7. The day's close joined to all of its hours."""
    return candles["close"].resample("1D").transform("last")


def detrended(candles: pd.DataFrame) -> np.ndarray:
    """8. A trend fitted to everything and taken away."""
    x = np.arange(len(candles))
    return candles["close"].to_numpy() - np.polyval(np.polyfit(x, candles["close"], 2), x)


def smoothed_both_ways(candles: pd.DataFrame) -> np.ndarray:
    """9. A filter run forwards and backwards, so that it has no lag."""
    forward = candles["close"].ewm(span=10).mean()
    return forward[::-1].ewm(span=10).mean()[::-1].to_numpy()


def quantile_rank(candles: pd.DataFrame) -> pd.Series:
    """10. The rank of the volume among all volumes, later ones included."""
    return candles["volume"].rank(pct=True)


_mean: float | None = None
_later: pd.Series | None = None


def cached_mean(candles: pd.DataFrame) -> pd.Series:
    """11. The mean of the first tape that it is ever shown, kept in the module."""
    global _mean
    if _mean is None:
        _mean = candles["close"].mean()
    return candles["close"] / _mean


def cached_shift(candles: pd.DataFrame) -> pd.Series:
    """12. The same, one candle ahead."""
    global _later
    if _later is None:
        _later = candles["close"].shift(-1)
    return _later.reindex(candles.index)


def rare_volume(candles: pd.DataFrame) -> pd.Series:
    """13. Tomorrow's return, but only at the two candles with by far the most volume so far."""
    change = candles["close"].pct_change()
    spike = candles["volume"] > 0.999 * candles["volume"].expanding().max().clip(lower=150.0)
    return change.where(~spike, change.shift(-1))


def rare_hour(candles: pd.DataFrame) -> pd.Series:
    """14. Tomorrow's return, but only at one hour of the month, at which nothing else happens."""
    change = candles["close"].pct_change()
    is_then = (candles.index.day == 13) & (candles.index.hour == 4)
    return change.where(~is_then, change.shift(-1))


LEAKS = (
    next_return,
    centred_mean,
    whole_z_score,
    min_max,
    back_filled,
    fractal_swings,
    forming_day,
    detrended,
    smoothed_both_ways,
    quantile_rank,
    cached_mean,
    cached_shift,
    rare_volume,
    rare_hour,
)

FUTURE = "future.csv"  # in the folder where it runs


def from_file(candles: pd.DataFrame) -> pd.Series:
    """What somebody has written to a file about every candle, later ones included."""
    kept = pd.read_csv(FUTURE, index_col=0, parse_dates=True)["close"].shift(-1)
    return kept.reindex(candles.index)


def trailing_mean(candles: pd.DataFrame) -> pd.Series:
    return candles["close"].rolling(9).mean()


def expanding_z_score(candles: pd.DataFrame) -> pd.Series:
    close = candles["close"]
    return (close - close.expanding().mean()) / close.expanding().std()


def confirmed_swings(candles: pd.DataFrame) -> pd.DataFrame:
    high = candles["high"]
    is_swing = high.shift(5) == high.rolling(11).max()
    return pd.DataFrame({"swing": is_swing.astype(float), "level": high.shift(5).where(is_swing)})


def yesterday(candles: pd.DataFrame) -> np.ndarray:
    """The close of the last complete day, for every hour of the next."""
    daily = candles["close"].resample("1D").last().shift(1)
    return daily.reindex(candles.index.floor("1D")).to_numpy()


_LENGTHS = {"short": 9}


def with_constants(candles: pd.DataFrame) -> pd.Series:
    """A module's own constants are no memory."""
    return candles["close"].rolling(_LENGTHS["short"]).max()


def hour_of_day(candles: pd.DataFrame) -> np.ndarray:
    return candles.index.hour.to_numpy()


HONEST = (trailing_mean, expanding_z_score, confirmed_swings, yesterday, with_constants, hour_of_day)


class Honest:
    """A strategy that sees what it is shown."""

    features = ("sma_20",)

    def decide(self, view):  # type: ignore[no-untyped-def]
        return Decision(LONG if view.close > view["sma_20"] else 0, stop_distance=view.close * 0.02)


class Remembers:
    """A strategy that keeps what an earlier run told it, and so knows the future in the next."""

    features = ("sma_20",)
    seen: dict[int, float] = {}  # noqa: RUF012 # shared between runs: that is the fault

    def decide(self, view):  # type: ignore[no-untyped-def]
        self.seen[view.time_ms] = view.close
        tomorrow = self.seen.get(view.time_ms + 4 * 3_600_000)
        rises = tomorrow is not None and tomorrow > view.close
        return Decision(LONG if rises else 0, stop_distance=view.close * 0.02)


class ReadsAhead:
    """A strategy that looks where no strategy is shown anything: at the next row of its own feature."""

    features = ("sma_20",)

    def decide(self, view):  # type: ignore[no-untyped-def]
        rows = view._columns["sma_20"]
        later = rows[view._row + 1] if view._row + 1 < len(rows) else np.nan
        return Decision(LONG if later > view.close else 0, stop_distance=view.close * 0.02)


class ReadsFile:
    """A strategy that is told by a file."""

    features = ("sma_20",)

    def decide(self, view):  # type: ignore[no-untyped-def]
        with open(FUTURE) as file:
            rises = len(file.readline()) > 3
        return Decision(LONG if rises else 0, stop_distance=view.close * 0.02)


def tomorrow(view, column):  # type: ignore[no-untyped-def]
    """Return the next value of a column where the engine has read ahead, else this one: what no strategy is shown."""
    rows = view._columns[column]
    return rows[min(view._row + 1, len(rows) - 1)]


class LimitFromTomorrow:
    """A limit order that never fills, at a price that the next candle makes."""

    features = ("low",)

    def decide(self, view):  # type: ignore[no-untyped-def]
        view.cancel()
        view.buy(limit=0.5 * tomorrow(view, "low"))


class BracketFromTomorrow:
    """A limit order that never fills, whose stop is as wide as the next candle."""

    features = ("high", "low")

    def decide(self, view):  # type: ignore[no-untyped-def]
        view.cancel()
        width = tomorrow(view, "high") - tomorrow(view, "low")
        view.buy(limit=0.5 * view.close, stop_distance=max(width, 0.01))


class TrailsOnTomorrow:
    """A stop, too far to be hit, that hangs below the high of the very candle from which on it holds."""

    features = ("high",)

    def decide(self, view):  # type: ignore[no-untyped-def]
        if view.position == 0.0:
            return Decision(LONG, stop_distance=0.7 * view.close)
        view.stop = max(view.stop, 0.4 * tomorrow(view, "high"))
        return None


class HistoryAhead:
    """Orders by a history that goes on to the next candle."""

    features = ("sma_20",)
    history_bars = 4

    def decide(self, view):  # type: ignore[no-untyped-def]
        columns = view._columns
        last = len(columns["sma_20"]) - 1
        closes = columns.past.up_to("close", min(view._row + 1, last), 2)
        view.cancel()
        view.buy(limit=0.4 * closes[-1])


class OtherAhead:
    """Orders by another symbol's next candle."""

    features = ("BBB:close",)

    def decide(self, view):  # type: ignore[no-untyped-def]
        view.cancel()
        view.sell(limit=2.0 * view.close * (1.0 + (tomorrow(view, "BBB:close") > 100.0)))


ORDERS = (LimitFromTomorrow, BracketFromTomorrow, TrailsOnTomorrow, HistoryAhead)


class HonestOrders:
    """Every kind of order and a moved stop, by what it is shown."""

    features = ("atr_14", "BBB:close")
    history_bars = 8

    def decide(self, view):  # type: ignore[no-untyped-def]
        atr, high = view["atr_14"], view.history("high", 8).max()
        if view.position == 0.0 and not view.orders and atr > 0.0:
            view.buy(limit=view.close - atr, stop_distance=2 * atr, expires_bars=4, oco="in")
            view.buy(stop=high + 0.1 * atr, stop_distance=2 * atr, target_distance=atr, oco="in")
        elif view.position > 0.0:
            view.stop = max(view.stop, high - 3 * atr)
            if len(view.orders) < 2 and view["BBB:close"] > 0.0:
                view.exit(0.5, trail=atr)
