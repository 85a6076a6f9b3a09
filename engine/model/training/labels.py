"""
What a model is to learn: whether a trade entered at the next open would have paid more long or short.

Something known at the close of row t can be acted on at the open of t + 1. Both ways of acting are followed to their
end, as the broker would follow them, and the label is 1 where the long one paid more, 0 where the short one did. Returns
are fractions of the entry price before costs. An outcome is known at a later row than its own: `known` says at which,
and everything that keeps the future out of the past (`papertape.engine.model.training.parts`) goes by it.

A model may be asked about a strategy's own signal instead (`asks = "signal"`): one way of acting is followed, that of the signal,
and the label is 1 where it paid after costs. The other way is to leave it, which pays nothing; its return stands as the cost,
so that either answer is worth its return less the cost. Rows without a signal have no label.

With `no_trade` a row at which neither way earns what a round trip costs is a class of its own, neither up nor down: its label is
one half. What a model then learns to say is P(long pays) + ½ P(neither pays), whose distance from one half is half of
P(long pays) − P(short pays): a market in which nothing pays is one half, and so is one in which either side pays alike. For
outcomes between 0 and 1 the log-loss is smallest at their mean, as it is for 0 and 1, so every kind learns it as it is.
Source: L. Papke, J. Wooldridge, Econometric Methods for Fractional Response Variables (1996), equations 4 and 5.

A candle whose prices are NaN is absent: nothing fills in it. A trade that would have been entered in one, or whose end
lies beyond the last row, has no outcome; its label is NaN and its `known` is the number of rows.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.scores import NEITHER

BoolArray = npt.NDArray[np.bool_]

LABELS: Final = ("bracket", "direction", "variance")
SIDE: Final = "side"  # which side of a trade pays more
SIGNAL: Final = "signal"  # whether the strategy's own signal pays
QUESTIONS: Final = (SIDE, SIGNAL)
ANSWERS: Final = {SIDE: "which side of a trade pays more", SIGNAL: "whether the strategy's own signal pays"}


class Question(NamedTuple):
    """What a model is asked, of QUESTIONS, and whose signals it is asked about: nothing where it is asked about none."""

    asks: str = SIDE
    signals_of: str = ""


class Labels(NamedTuple):
    """
    What followed each of n closes of one symbol.

    y                           1 the long paid more, 0 the short did, NaN where they paid the same or nobody knows; NEITHER
                                where neither paid its costs and a class of its own was asked for
    known                       row at whose close both ends are known, at least t + 1
    long_return, short_return   of the trades, NaN where not known; of a signal: of its trade, and the cost
    """

    y: FloatArray
    known: IntArray
    long_return: FloatArray
    short_return: FloatArray


class LabelRule(Protocol):
    """
    What a model is to foresee: one of LABELS, when a trade ends at the latest, and its bracket in ATR.

    variance_share  of `variance`: how much of the horizon's variance may be spent until a trade ends
    asks            `side`, or `signal`: whether a strategy's own pays more than `cost`, of a round trip as a fraction
    no_trade        rows at which neither side pays more than `cost` are a class of their own
    """

    @property
    def asks(self) -> str: ...
    @property
    def cost(self) -> float: ...
    @property
    def no_trade(self) -> bool: ...
    @property
    def label(self) -> str: ...
    @property
    def horizon_bars(self) -> int: ...
    @property
    def variance_share(self) -> float: ...
    @property
    def stop_atr(self) -> float: ...
    @property
    def target_atr(self) -> float: ...


class LabelPrices(NamedTuple):
    """
    What labels of one symbol are made from, each of shape (n,), NaN in absent candles.

    atr   of the close; side: the strategy's own signal there, +1, −1 or 0, None where nobody knows it
    """

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    atr: FloatArray
    side: FloatArray | None = None


def labels_for(rule: LabelRule, prices: LabelPrices) -> Labels:
    """Return what followed each close of one symbol, as a rule asks for it."""
    if rule.asks == SIGNAL:
        return signal_labels(prices, rule.stop_atr, rule.target_atr, rule.horizon_bars, rule.cost)
    if rule.label == "direction":
        found = direction_labels(prices.close, prices.open, rule.horizon_bars)
    elif rule.label == "variance":
        found = variance_labels(prices, rule.variance_share, rule.horizon_bars)
    else:
        found = bracket_labels(*prices[:5], rule.stop_atr, rule.target_atr, rule.horizon_bars)
    return with_neither(found, rule.cost) if rule.no_trade else found


def reads_cost(rule: LabelRule) -> bool:
    """Return whether what a trade costs is a part of what is learnt."""
    return rule.asks == SIGNAL or rule.no_trade


def with_neither(labels: Labels, cost: float) -> Labels:
    """Return labels of sides with NEITHER where the better one did not earn more than `cost`."""
    _check_cost(cost)
    pays = np.maximum(labels.long_return, labels.short_return)
    return labels._replace(y=np.where(pays <= cost, NEITHER, labels.y))


def bracket_labels(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    atr: FloatArray,
    stop_atr: float,
    target_atr: float,
    horizon_bars: int,
) -> Labels:
    """
    Return the outcomes of a bracket each way, closed at the close of row t + `horizon_bars` at the latest.

    atr  shape (n,), of the deciding close; stop and target lie `stop_atr` and `target_atr` times it from the entry

    A candle that opens beyond stop or target ends the trade at its open. Otherwise the stop is looked at before the
    target, which is the broker's order and the pessimistic one.
    Source: M. López de Prado, Advances in Financial Machine Learning (2018), section 3.4, with the broker's fills.
    """
    prices = LabelPrices(open, high, low, close, atr)
    long, short = (_followed(prices, side, stop_atr, target_atr, horizon_bars) for side in (1.0, -1.0))
    return _labels(long.gain, short.gain, np.maximum(long.end, short.end), _is_entered(prices))


def signal_labels(
    prices: LabelPrices, stop_atr: float, target_atr: float, horizon_bars: int, cost: float
) -> Labels:
    """
    Return whether each signal's trade, in the same bracket, paid more than it cost; none where nobody knows the signals.

    Source: as of `bracket_labels`, section 3.6 (meta-labels), with costs.
    """
    _check_cost(cost)
    long, short = (_followed(prices, side, stop_atr, target_atr, horizon_bars) for side in (1.0, -1.0))
    n = len(prices.open)
    side = np.zeros(n) if prices.side is None else prices.side
    _check(horizon_bars, prices.open, side)
    gain = np.where(side > 0.0, long.gain, short.gain)
    end = np.where(side > 0.0, long.end, short.end)
    return _labels(gain, np.full(n, cost), end, _is_entered(prices) & (side != 0.0))


class _Followed(NamedTuple):
    """Trades one way from the open after each row: the return of each, and the row at whose close it is known."""

    gain: FloatArray
    end: IntArray


def _followed(
    prices: LabelPrices, side: float, stop_atr: float, target_atr: float, horizon_bars: int
) -> _Followed:
    """Return trades on one side to their end, whether there was an entry or not."""
    if not (stop_atr > 0.0 and target_atr > 0.0):
        raise DataError(f"labels: a bracket of {stop_atr} and {target_atr} ATR is not above 0; give both")
    open, high, low, close, atr = prices[:5]
    n = _check(horizon_bars, open, high, low, close, atr)
    rows = np.arange(n)
    entry = _ahead(open, 1)
    stop, target = entry - side * stop_atr * atr, entry + side * target_atr * atr
    leave, end = np.full(n, np.nan), np.full(n, n)
    for ahead in range(1, horizon_bars + 1):
        first = _ahead(open, ahead)
        worst, best = _ahead(low, ahead), _ahead(high, ahead)
        if side < 0.0:
            worst, best = best, worst
        gapped = (side * first <= side * stop) | (side * first >= side * target)
        price = np.where(side * best >= side * target, target, np.nan)
        price = np.where(side * worst <= side * stop, stop, price)
        price = np.where(gapped, first, price)
        ends = np.isnan(leave) & ~np.isnan(price)
        leave[ends], end[ends] = price[ends], rows[ends] + ahead
    is_vertical = np.isnan(leave) & _is_entered(prices) & (rows + horizon_bars < n)
    leave[is_vertical] = _ahead(_newest(close), horizon_bars)[is_vertical]
    end[is_vertical] = rows[is_vertical] + horizon_bars
    return _Followed(side * (leave / entry - 1.0), end)


def _is_entered(prices: LabelPrices) -> BoolArray:
    """Return whether a trade with a bracket can be entered at the open after each row."""
    entered: BoolArray = (_ahead(prices.open, 1) > 0.0) & (prices.atr > 0.0)
    return entered


def direction_labels(close: FloatArray, open: FloatArray, horizon_bars: int) -> Labels:
    """Return the outcomes of a trade each way that is left at the close of row t + `horizon_bars`, without a bracket."""
    n = _check(horizon_bars, close, open)
    entry = _ahead(open, 1)
    long_return = _ahead(_newest(close), horizon_bars) / entry - 1.0
    known = np.minimum(np.arange(n) + horizon_bars, n)
    return _labels(long_return, -long_return, known, entry > 0.0)


def variance_labels(prices: LabelPrices, variance_share: float, horizon_bars: int) -> Labels:
    """
    Return the outcomes of a trade each way that is left when the market has moved so much, not when so much time has passed.

    It ends at the first close at which the squared true ranges since the entry come to `variance_share` of what `horizon_bars`
    candles as wide as the ATR of row t would have, and at the close of row t + `horizon_bars` at the latest. In a busy
    market horizons are short, in a calm one long, and moves of about the same size are asked for in both. Each sum begins at
    its own entry, so it is the same to the last bit whatever rows stand before.

    Sources: P. Clark, A Subordinated Stochastic Process Model with Finite Variance for Speculative Prices (1973), and
    T. Andersen, T. Bollerslev, D. Dobrev, No-Arbitrage Semi-Martingale Restrictions (2007), for time that runs with the
    realised variance; K. Christensen, M. Podolskij, Realized Range-Based Estimation of Integrated Variance (2007), for ranges.
    """
    if not 0.0 < variance_share <= 1.0:
        raise DataError(f"labels: variance_share {variance_share} is not above 0 and at most 1")
    open, high, low, close, atr = prices[:5]
    n = _check(horizon_bars, open, high, low, close, atr)
    rows, newest = np.arange(n), _newest(close)
    before = np.concatenate([[np.nan], newest[:-1]])[:n]
    ranges = np.fmax(high, before) - np.fmin(low, before)
    budget = variance_share * horizon_bars * atr * atr
    # A gap before the entry is none of the trade's.
    spent = _squared(_ahead(high - low, 1))
    end = np.where(spent >= budget, rows + 1, n)
    for ahead in range(2, horizon_bars + 1):
        spent = spent + _squared(_ahead(ranges, ahead))
        end = np.where((end == n) & (spent >= budget), rows + ahead, end)
    end = np.minimum(np.where(end == n, rows + horizon_bars, end), n)
    leave = np.append(newest, np.nan)[end]
    long_return = leave / _ahead(open, 1) - 1.0
    return _labels(long_return, -long_return, end, _is_entered(prices))


def _squared(ranges: FloatArray) -> FloatArray:
    """Return the square of each range, 0 in an absent candle, in which nothing moved that anybody saw."""
    return np.where(np.isnan(ranges), 0.0, ranges * ranges)


def uniqueness(known: IntArray, is_usable: BoolArray) -> FloatArray:
    """
    Return how much of each label is its own, in (0, 1], and 0 where a row is not usable.

    A label lives through the candles t + 1 … known[t]. With c labels alive in a candle each owns 1/c of it, and a label's
    uniqueness is the mean over its candles. Usable rows must have `known` within the rows.
    Source: M. López de Prado, Advances in Financial Machine Learning (2018), section 4.4.
    """
    n = len(known)
    rows = np.flatnonzero(is_usable)
    begin, end = rows + 1, known[rows] + 1  # half open
    assert (end <= n).all()
    assert (end > begin).all()
    changes = np.zeros(n + 1, np.int64)
    np.add.at(changes, begin, 1)
    np.add.at(changes, end, -1)
    alive = np.cumsum(changes[:-1])
    owned = np.concatenate([[0.0], np.cumsum(np.where(alive > 0, 1.0 / np.maximum(alive, 1), 0.0))])
    weights = np.zeros(n)
    weights[rows] = (owned[end] - owned[begin]) / (end - begin)
    return weights


def _check(horizon_bars: int, *columns: FloatArray) -> int:
    """Return the number of rows, or raise DataError for columns or a horizon that make no sense."""
    n = len(columns[0])
    if any(column.shape != (n,) for column in columns):
        shapes = ", ".join(str(column.shape) for column in columns)
        raise DataError(f"labels: prices of shapes {shapes} do not fit each other")
    if horizon_bars < 1:
        raise DataError(f"labels: horizon_bars {horizon_bars} is not at least 1")
    return n


def _check_cost(cost: float) -> None:
    """Raise DataError for what no round trip can cost."""
    if not 0.0 <= cost < np.inf:
        raise DataError(f"labels: cost {cost} is not a number of at least 0")


def _labels(
    long_return: FloatArray, short_return: FloatArray, known: IntArray, is_entered: BoolArray
) -> Labels:
    """Return both outcomes as labels; only what was entered and has ended twice is known."""
    n = len(known)
    is_known = is_entered & (known < n) & ~np.isnan(long_return) & ~np.isnan(short_return)
    long_return = np.where(is_known, long_return, np.nan)
    short_return = np.where(is_known, short_return, np.nan)
    y = np.where(long_return > short_return, 1.0, 0.0)
    y[~(long_return != short_return) | ~is_known] = np.nan
    return Labels(y, np.where(is_known, known, n), long_return, short_return)


def _ahead(values: FloatArray, bars: int) -> FloatArray:
    """Return the value `bars` rows later at every row, NaN where there is none."""
    moved = np.full(len(values), np.nan)
    moved[: max(len(values) - bars, 0)] = values[bars:]
    return moved


def _newest(close: FloatArray) -> FloatArray:
    """Return the newest close at every row, which in an absent candle is an earlier one."""
    rows = np.maximum.accumulate(np.where(np.isnan(close), 0, np.arange(len(close))))
    return close[rows]
