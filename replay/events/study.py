"""
The event study: what followed events of each kind, beside what follows any candle.

Every event is entered honestly, from the open of the candle after the one that made it known, in the direction that it
expects. "At random times" is the average over every candle of the tape with the same share of long and short, so it
carries the tape's drift but no chance. The test is whether the mean return differs from that, with an error from a
stationary bootstrap over time; false discoveries are held down over everything that was tested, all horizons included.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from papertape.engine.candles import timeframe_name
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.features.smc.events import EQUAL_HIGHS, EQUAL_LOWS, KIND_NAMES, SCALE_NAMES, SWING
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.replay.events.inference import Cells, cut_cells, false_discovery, stationary_weights, two_sided
from papertape.replay.events.outcomes import EventOutcomes, outcomes

HORIZONS: Final = (1, 4, 16, 48)  # bars
EVENTS_LEAST: Final = 30  # fewer are shown and not tested
BLOCKS_LEAST: Final = 10  # … and so are events that lie in fewer stretches of time
# Side +1 of these is a high, after which lower prices are expected.
_HIGH_IS_PLUS: Final = (SWING, EQUAL_HIGHS, EQUAL_LOWS)
_BPS: Final = 1e4
_WIDTH: Final = (2.5, 97.5)  # percentiles of the intervals


class StudySeries(NamedTuple):
    """Candles of one symbol and timeframe with the EVENT rows said about them."""

    symbol: str
    candles: Rows
    events: Rows


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """
    What a study asks.

    horizons_bars  after how many candles the outcome is read
    cost_bps       of a round trip, taken off the mean for `net_bps`
    rate           of false discoveries that is accepted
    """

    horizons_bars: tuple[int, ...] = HORIZONS
    resamples: int = 1_000
    seed: int = 1
    cost_bps: float = 10.0
    rate: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be studied."""
        if not self.horizons_bars or min(self.horizons_bars) < 1:
            raise ConfigError(f"study: horizons {self.horizons_bars} must be 1 bar or more")
        if self.resamples < 100:
            raise ConfigError(f"study: {self.resamples} resamples are fewer than 100")
        if not 0.0 < self.rate < 1.0:
            raise ConfigError(f"study: rate {self.rate:g} is not between 0 and 1")


class Group(NamedTuple):
    """The events of one kind and scale: the candles that made them known, and the expected directions."""

    kind: int
    scale: int
    bars: IntArray
    sides: FloatArray


def study(
    lanes: Sequence[StudySeries],
    options: StudyOptions | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> pd.DataFrame:
    """
    Return one row per symbol, timeframe, kind, scale and horizon, the surest first.

    Returns are mean log returns in bps, excursions in ATR(14); the intervals hold 95 %. `p_value` and `q_value` are of an
    excess that is not 0, `net_p_value` and `net_q_value` of one above the costs. A row with fewer than EVENTS_LEAST events,
    or all of them in fewer than BLOCKS_LEAST stretches, has none of them.
    """
    chosen = options or StudyOptions()
    rows: list[dict[str, Any]] = []
    for number, lane in enumerate(lanes):
        rows.extend(_study_lane(lane, chosen))
        if on_progress is not None:
            on_progress("studying", number + 1, len(lanes))
    if not rows:
        raise DataError("study: no event was said about these candles, so there is nothing to study")
    return ranked(rows, chosen)


def ranked(rows: Sequence[Mapping[str, Any]], options: StudyOptions) -> pd.DataFrame:
    """Return the rows of a study as its table, the surest first, with false discoveries held down over all of them."""
    table = pd.DataFrame(rows)
    for name in ("", "net_"):
        table[f"{name}q_value"] = false_discovery(table[f"{name}p_value"].to_numpy(np.float64))
    table["is_discovery"] = table["q_value"] <= options.rate
    keys = ["q_value", "p_value", "symbol", "timeframe", "kind", "scale", "horizon_bars"]
    return table.sort_values(keys, na_position="last", ignore_index=True)


def group_events(events: Rows) -> list[Group]:
    """Return the events by kind and scale; events without a side count as expecting a rise."""
    groups = []
    for kind, scale in np.unique(np.stack([events["kind"], events["scale"]]), axis=1).T.tolist():
        rows = events[(events["kind"] == kind) & (events["scale"] == scale)]
        sides = np.where(rows["side"] < 0, -1.0, 1.0)
        if kind in _HIGH_IS_PLUS:
            sides = -sides
        groups.append(Group(kind, scale, rows["known_bar"].astype(np.int64), sides))
    return groups


def _study_lane(lane: StudySeries, options: StudyOptions) -> list[dict[str, Any]]:
    n = len(lane.candles)
    if not len(lane.events):
        return []
    cells = cut_cells(n, max(options.horizons_bars))
    random = np.random.default_rng(options.seed)
    weights = stationary_weights(cells.n_cells, cells.block_cells, options.resamples, random)
    groups = group_events(lane.events)
    timeframe = timeframe_name(int(lane.events["timeframe_ms"][0]))
    rows = []
    for horizon in options.horizons_bars:
        followed = outcomes(lane.candles, horizon)
        figures = measure_groups(groups, followed, cells, weights, options.cost_bps)
        for group, found in zip(groups, figures, strict=True):
            about = {
                "symbol": lane.symbol,
                "timeframe": timeframe,
                "kind": KIND_NAMES.get(group.kind, str(group.kind)),
                "scale": SCALE_NAMES.get(group.scale, str(group.scale)),
                "horizon_bars": horizon,
            }
            rows.append({**about, **found})
    return rows


class _Entered(NamedTuple):
    """The events of a group that have an outcome: where, in which direction, and what they had."""

    bars: IntArray
    sides: FloatArray
    returns: FloatArray
    hits: FloatArray
    favourable: FloatArray
    adverse: FloatArray

    def totals(self, cells: Cells) -> list[FloatArray]:
        """Return the number of events and every field but the first, summed in every cell."""
        return [cells.totals(self.bars), *(cells.totals(self.bars, field) for field in self[1:])]


def _enter(group: Group, followed: EventOutcomes) -> _Entered:
    is_known = followed.is_known[group.bars]
    bars, sides = group.bars[is_known], group.sides[is_known]
    returns = sides * followed.log_return[bars]
    up, down, is_long = followed.up_atr[bars], followed.down_atr[bars], sides > 0.0
    return _Entered(
        bars,
        sides,
        returns,
        (returns > 0.0).astype(np.float64),
        np.where(is_long, up, down),
        np.where(is_long, down, up),
    )


class _Anywhere(NamedTuple):
    """What a long position had on average after any candle."""

    mean: float
    rises: float
    falls: float
    up: float
    down: float


def _anywhere(followed: EventOutcomes, bars: IntArray) -> _Anywhere:
    returns, up, down = (column[bars] for column in followed)
    columns = (returns, returns > 0.0, returns < 0.0, up, down)
    return _Anywhere(*(float(column.mean()) if len(bars) else np.nan for column in columns))


_TOTALS: Final = len(_Entered._fields)  # columns of `totals`


def measure_groups(
    groups: Sequence[Group], followed: EventOutcomes, cells: Cells, weights: FloatArray, cost_bps: float
) -> list[dict[str, Any]]:
    """
    Return the figures of every group at one horizon; all are summed over the histories in one product.

    weights  as `stationary_weights` draws them; cost_bps: of a round trip
    """
    anywhere = np.flatnonzero(followed.is_known)
    average = _anywhere(followed, anywhere)
    entered = [_enter(group, followed) for group in groups]
    totals = [cells.totals(anywhere), cells.totals(anywhere, followed.log_return[anywhere])]
    for one in entered:
        totals += one.totals(cells)
    drawn = weights @ np.stack(totals, axis=1)
    means = drawn[:, 1] / np.where(drawn[:, 0] > 0.0, drawn[:, 0], np.nan)
    found = []
    for number, one in enumerate(entered):
        if not len(one.bars):
            found.append({"count": 0, **dict.fromkeys(_FIGURES, np.nan)})
            continue
        first = 2 + number * _TOTALS
        counts, *sums = drawn[:, first : first + _TOTALS].T
        counts = np.where(counts > 0.0, counts, np.nan)  # some histories may have none of these
        directions, returns, hits, favourable, adverse = (values / counts for values in sums)
        histories = (returns - directions * means, hits, favourable, adverse)
        found.append(_measure(one, average, cells, histories, cost_bps))
    return found


def _measure(
    one: _Entered, anywhere: _Anywhere, cells: Cells, histories: Sequence[FloatArray], cost_bps: float
) -> dict[str, Any]:
    """
    Return the figures of one group: what it had, what any candle had, and how sure the difference is.

    histories  excess, hit rate, favourable and adverse excursion in every resampled history
    """
    long_share = float((one.sides > 0.0).mean())
    short_share = 1.0 - long_share
    mean = float(one.returns.mean())
    random_mean = (long_share - short_share) * anywhere.mean
    excess, hit, favourable, adverse = (np.nanpercentile(h, _WIDTH) for h in histories)
    blocks = len(np.unique(cells.of(one.bars) // cells.block_cells))
    is_tested = len(one.bars) >= EVENTS_LEAST and blocks >= BLOCKS_LEAST
    error = float(np.nanstd(histories[0]))
    over_costs = mean - random_mean - cost_bps / _BPS
    figures = (
        long_share,
        _BPS * mean,
        _BPS * random_mean,
        _BPS * (mean - random_mean),
        *(_BPS * excess),
        one.hits.mean(),
        *hit,
        long_share * anywhere.rises + short_share * anywhere.falls,
        one.favourable.mean(),
        *favourable,
        long_share * anywhere.up + short_share * anywhere.down,
        one.adverse.mean(),
        *adverse,
        long_share * anywhere.down + short_share * anywhere.up,
        two_sided(mean - random_mean, error, blocks) if is_tested else np.nan,
        two_sided(max(over_costs, 0.0), error, blocks) if is_tested else np.nan,
        _BPS * mean - cost_bps,
    )
    return {"count": len(one.bars), **dict(zip(_FIGURES, map(float, figures), strict=True))}


_FIGURES: Final = (
    "long_share",
    "mean_bps", "random_bps", "excess_bps", "excess_low_bps", "excess_high_bps",
    "hit_rate", "hit_low", "hit_high", "random_hit_rate",
    "favourable_atr", "favourable_low_atr", "favourable_high_atr", "random_favourable_atr",
    "adverse_atr", "adverse_low_atr", "adverse_high_atr", "random_adverse_atr",
    "p_value", "net_p_value", "net_bps",
)  # fmt: skip
