"""
The study of series beside candles: what followed a reading that was unusual for its time, beside what follows any candle.

A reading is what strategies and models see of a series at a close. It is high where it comes above nine tenths of those of
the thirty days before, low where it comes below nine tenths of them, and each time that it comes there is one event, of the
same form as the events of market structure: entered at the next open, left at the horizon, tested beside all candles.

No direction is expected beforehand. Each row takes the side that had more than any candle, long or short, and its p is
two-sided, so the look at both sides is paid for. What is more than the costs is tested by itself: that is what may be traded.

Where settlements are given, every outcome pays them, those of any candle too, and where one is not known there is none.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from papertape.engine.candles import DAY_MS, timeframe_name
from papertape.engine.errors import ConfigError, DataError, did_you_mean
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.records import (
    FUNDING_RATE,
    INDEX_PRICE,
    LONG_SHORT_RATIO,
    MARK_PRICE,
    OPEN_INTEREST,
    SERIES,
    SERIES_NAMES,
)
from papertape.replay.config import Config
from papertape.replay.events.inference import cut_cells, stationary_weights
from papertape.replay.events.outcomes import EventOutcomes, outcomes
from papertape.replay.events.series import SeriesUse, series_use
from papertape.replay.events.study import Group, StudyOptions, measure_groups, ranked
from papertape.replay.importers.series import SeriesFile, read_series
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.tapes.tape import Tape

# What is looked at of each series: a price and an amount grow with the market, so of these it is a ratio.
READINGS: Final = {
    FUNDING_RATE: "funding",
    MARK_PRICE: "mark_premium",
    INDEX_PRICE: "index_premium",
    OPEN_INTEREST: "open_interest_change_24",
    LONG_SHORT_RATIO: "long_short_ratio",
}
HIGH, LOW = 1, -1
_SIDES: Final = {HIGH: "high", LOW: "low"}
TAIL: Final = 0.1  # of the readings before
BEFORE_DAYS: Final = 30
BEFORE_BARS_LEAST: Final = 200  # of daily candles thirty days are too few to have a tenth


class SeriesLane(NamedTuple):
    """
    Candles of one symbol and timeframe, and the files of its series.

    length_ms  of a candle
    """

    symbol: str
    candles: Rows
    length_ms: int
    files: tuple[SeriesFile, ...]


def series_lanes(config: Config, sources: Sequence[Tape], labels: Sequence[str]) -> list[SeriesLane]:
    """
    Return the lanes that a configuration's `data.funding`, `data.mark` … give these tapes; none where it names no file.

    labels  what each tape is called in the study

    Raises ConfigError for a series of a symbol that no tape has, DataError for a file that is none.
    """
    files: dict[str, list[SeriesFile]] = {}
    symbols = [source.symbol for source in sources]
    for kind, name in enumerate(SERIES_NAMES):
        for symbol, path in sorted(getattr(config.data, name).items()):
            if symbol not in symbols:
                raise ConfigError(
                    f"data.{name}.{symbol}: no tape has that symbol{did_you_mean(symbol, symbols)}"
                )
            files.setdefault(symbol, []).append(read_series(path, symbol, kind))
    return [
        SeriesLane(label, source.candles, source.length_ms, tuple(files[source.symbol]))
        for label, source in zip(labels, sources, strict=True)
        if source.symbol in files
    ]


def study_series(
    lanes: Sequence[SeriesLane],
    options: StudyOptions | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> pd.DataFrame:
    """
    Return one row per symbol, timeframe, reading, high or low, and horizon, the surest first.

    Columns are those of `papertape.replay.events.study.study`, with the reading as `kind` and high or low as `scale`;
    `long_share` is 1 where the row is of longs, 0 where it is of shorts. Raises DataError where no reading was ever unusual.
    """
    chosen = options or StudyOptions()
    rows: list[dict[str, Any]] = []
    for number, lane in enumerate(lanes):
        rows.extend(_study_lane(lane, chosen))
        if on_progress is not None:
            on_progress("studying series", number + 1, len(lanes))
    if not any(row["count"] for row in rows):
        raise DataError(
            "study: no reading of these series was unusual within the candles; a file may be of another time, or have "
            f"fewer values than {BEFORE_DAYS} days of candles need"
        )
    return ranked(rows, chosen)


def arrivals(readings: FloatArray, length_ms: int) -> dict[int, IntArray]:
    """
    Return the candles at which a reading becomes high and low, by what was known at each.

    readings  at every close, NaN where it is not known; length_ms: of a candle

    A reading that is not known ends a high or a low, and at most half of the readings before may be missing.
    """
    before = max(BEFORE_DAYS * DAY_MS // length_ms, BEFORE_BARS_LEAST)
    past = pd.Series(readings).shift(1).rolling(before, min_periods=before // 2)
    is_high = readings > past.quantile(1.0 - TAIL).to_numpy()
    is_low = readings < past.quantile(TAIL).to_numpy()
    return {side: _beginnings(is_in) for side, is_in in ((HIGH, is_high), (LOW, is_low))}


def _beginnings(is_in: Any) -> IntArray:
    return np.flatnonzero(is_in & ~np.append(False, is_in[:-1])).astype(np.int64)


def _study_lane(lane: SeriesLane, options: StudyOptions) -> list[dict[str, Any]]:
    uses = [series_use(f, lane.symbol, 0, lane.candles, lane.length_ms) for f in lane.files]
    groups = _groups(lane, uses)
    cells = cut_cells(len(lane.candles), max(options.horizons_bars))
    random = np.random.default_rng(options.seed)
    weights = stationary_weights(cells.n_cells, cells.block_cells, options.resamples, random)
    rates = next((file for file in lane.files if file.kind == FUNDING_RATE), None)
    rows = []
    for horizon in options.horizons_bars:
        followed = outcomes(lane.candles, horizon)
        if rates is not None:
            followed = less_funding(followed, lane, rates, horizon)
        sided = [_on_its_side(group, followed) for group in groups]
        figures = measure_groups(sided, followed, cells, weights, options.cost_bps)
        for group, found in zip(sided, figures, strict=True):
            about = {
                "symbol": lane.symbol,
                "timeframe": timeframe_name(lane.length_ms),
                "kind": READINGS[group.kind],
                "scale": _SIDES[group.scale],
                "horizon_bars": horizon,
            }
            rows.append({**about, **found})
    return rows


def _groups(lane: SeriesLane, uses: Sequence[SeriesUse]) -> list[Group]:
    """Return the events of every series of a lane, all as longs."""
    names = [READINGS[use.file.kind] for use in uses]
    frame = timeframe_name(lane.length_ms)
    told = np.concatenate([np.zeros(0, SERIES), *(use.rows for use in uses)])
    read = dataset_of([lane.symbol], [lane.candles], frame, frame, names, "skip", series=told)
    assert read.x.shape[1] == len(lane.candles)
    groups = []
    for place, use in enumerate(uses):
        for side, bars in arrivals(read.x[0, :, place], lane.length_ms).items():
            groups.append(Group(use.file.kind, side, bars, np.ones(len(bars))))
    return groups


def _on_its_side(group: Group, followed: EventOutcomes) -> Group:
    """Return a group's events on the side that had more than any candle."""
    bars = group.bars[followed.is_known[group.bars]]
    if not len(bars):
        return group
    excess = followed.log_return[bars].mean() - np.nanmean(followed.log_return)
    return group._replace(sides=np.full(len(group.bars), 1.0 if excess >= 0.0 else -1.0))


def less_funding(
    followed: EventOutcomes, lane: SeriesLane, rates: SeriesFile, horizon_bars: int
) -> EventOutcomes:
    """
    Return outcomes whose long has paid the settlements after its entry up to its exit, NaN where one is not known.

    Of the entry's notional, as small as returns are beside it. A settlement at the very time of the entry is not its own.
    """
    closes = lane.candles["open_ms"] + lane.length_ms
    entered, left = closes.copy(), closes.copy()
    entered[:-1] = lane.candles["open_ms"][1:]
    left[:-horizon_bars] = closes[horizon_bars:]
    paid = np.append(0.0, np.cumsum(rates.values))
    before, after = (np.searchsorted(rates.time_ms, at, "right") for at in (entered, left))
    first, last = int(rates.time_ms[0]), int(rates.time_ms[-1])
    is_told = (entered >= first - rates.step_ms) & (left < last + max(rates.step_ms, 1))
    for hole_begins, hole_ends, _ in rates.holes:
        is_told &= (left <= hole_begins) | (entered >= hole_ends)
    returns = followed.log_return - (paid[after] - paid[before])
    return followed._replace(log_return=np.where(is_told, returns, np.nan))
