"""
`python -m tests.pictures --out swings.svg`: the one-picture argument, on the embedded hours of BTCUSDT.

Above, the swings of the batch package as a finished chart shows them, each on the candle it is about. Below, the same
swings as a stream says them: at the candle that made each known, five candles later, with those that were withdrawn.
Between the two lies the profit factor of one rule (reverse at every swing, at the close, without costs), recomputed
from the whole series: traded where the swings are stamped, and traded when they are known.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")  # files only; before anything else of it is imported
import matplotlib.pyplot as plt
import numpy as np

from papertape.engine.jit import IntArray, Rows
from papertape.replay.importers.sample import sample_tape
from tests.oracles.smc_batch import SmcBatch
from tests.oracles.smc_batch.events import SWING_MOVE, SWING_NEW
from tests.oracles.smc_batch.swings import Swing
from tests.oracles.smc_package import STEP_MS

LENGTH = 5
WINDOW = (1_200, 1_290)  # candles drawn: a short stretch is a picture, not a data set
_HIGH, _LOW, _GONE = "#b2182b", "#2166ac", "#999999"


class ProfitFactors(NamedTuple):
    """Gross profit over gross loss of reversing at every swing."""

    stamped: float  # at the close of the candle that the package stamps
    confirmed: float  # the same swings, at the close of the candle that decided each
    live: float  # every swing when it was first said, those included that were withdrawn later


def profit_factor(close: Any, rows: IntArray, sides: IntArray) -> float:
    """Return the profit factor of being long from lows to highs and short from highs to lows, at the close of rows."""
    gains = -sides[:-1] * np.diff(close[rows])
    return float(gains[gains > 0.0].sum() / -gains[gains < 0.0].sum())


def profit_factors(candles: Rows, length: int = LENGTH) -> ProfitFactors:
    """Return the three profit factors over a whole series; bookends are decoration and not traded."""
    batch = SmcBatch(STEP_MS, length)
    said = np.concatenate([batch.step(candle) for candle in candles])
    swings = batch.swings.folded()[1:-1]
    rows = np.array([swing.row for swing in swings])
    sides = np.array([swing.side for swing in swings])
    new = said[said["kind"] == SWING_NEW]
    close = candles["close"]
    return ProfitFactors(
        profit_factor(close, rows, sides),
        profit_factor(close, rows + length, sides),
        profit_factor(close, new["known_bar"], new["side"]),
    )


def draw(candles: Rows, path: Path, about: str, window: tuple[int, int] = WINDOW) -> ProfitFactors:
    """Write the picture (PNG or SVG, by the name) and return the figures in it."""
    factors = profit_factors(candles)
    batch = SmcBatch(STEP_MS, LENGTH)
    said = np.concatenate([batch.step(candle) for candle in candles[: window[1] + 60]])
    figure, (above, below) = plt.subplots(2, 1, figsize=(11, 8), sharex=True, layout="constrained")
    for axes in (above, below):
        _draw_candles(axes, candles, window)
    _draw_stamps(above, batch.swings.folded(), window)
    _draw_known(below, said, window)
    above.set_title(
        f"what the batch library's chart shows afterwards: profit factor {factors.stamped:.1f}", loc="left"
    )
    below.set_title(
        f"what was known, and when: profit factor {factors.confirmed:.2f} "
        f"({factors.live:.2f} with the swings that were withdrawn)",
        loc="left",
    )
    below.set_xlabel(f"candle of {about}; reverse at every swing, no costs, {len(candles):,} candles")
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
    return factors


def _draw_candles(axes: Any, candles: Rows, window: tuple[int, int]) -> None:
    bars = np.arange(*window)
    rows = candles[window[0] : window[1]]
    is_up = rows["close"] >= rows["open"]
    axes.vlines(bars, rows["low"], rows["high"], color="#555555", linewidth=0.8)
    axes.bar(
        bars,
        np.abs(rows["close"] - rows["open"]),
        bottom=np.minimum(rows["open"], rows["close"]),
        color=np.where(is_up, "#ffffff", "#555555"),
        edgecolor="#555555",
        linewidth=0.8,
        width=0.7,
    )
    axes.margins(x=0.01, y=0.12)
    axes.set_ylabel("price")
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)


def _draw_stamps(axes: Any, swings: list[Swing], window: tuple[int, int]) -> None:
    """Mark every swing on its own candle, as the columns of the package do."""
    for swing in swings:
        if window[0] <= swing.row < window[1]:
            axes.plot(swing.row, swing.level, **_mark(swing.side))


def _draw_known(axes: Any, said: Rows, window: tuple[int, int]) -> None:
    """Mark every swing at the candle that made it known, tied to the one it is about; grey if withdrawn later."""
    shown = said[np.isin(said["kind"], (SWING_NEW, SWING_MOVE))]
    withdrawn = set(said["reference"][said["kind"] == SWING_MOVE].tolist())
    for event in shown:
        if window[0] <= event["bar"] and event["known_bar"] < window[1]:
            mark = _mark(int(event["side"]))
            if int(event["bar"]) in withdrawn:
                mark |= {"color": _GONE}
            span = (event["bar"], event["known_bar"])
            axes.plot(span, (event["level"],) * 2, color=mark["color"], linewidth=1, linestyle=":")
            axes.plot(event["known_bar"], event["level"], **mark)


def _mark(side: int) -> dict[str, Any]:
    is_high = side > 0
    return {
        "marker": "v" if is_high else "^",
        "color": _HIGH if is_high else _LOW,
        "markersize": 8,
        "linestyle": "",
    }


def main() -> None:
    """Draw the picture and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("swings.svg"), help="PNG or SVG")
    options = parser.parse_args()
    factors = draw(sample_tape().candles, options.out, "BTCUSDT, hours, 2020 to 2023")
    print(f"{options.out}: {factors}")  # noqa: T201


if __name__ == "__main__":
    main()
