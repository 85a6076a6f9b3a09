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
)


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


HONEST = (trailing_mean, expanding_z_score, confirmed_swings, yesterday)


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
