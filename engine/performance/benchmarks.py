"""What one could have had without the strategy: buy-and-hold, nothing at all, and the same positions at random times."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from papertape.engine.jit import FloatArray, IntArray, Rows, kernel
from papertape.engine.performance.curve import CurveColumns, Marks, units_of
from papertape.engine.performance.lanes import Busy, busy_candles, lane_products
from papertape.engine.performance.measure import measure
from papertape.engine.performance.metrics import Performance
from papertape.engine.performance.relative import hold_worth
from papertape.engine.records import TRADE

_FEWEST_MARKS: Final = 3  # two shifts that differ from the run itself


class RandomEntry(NamedTuple):
    """Total returns of the strategy's own positions at random times."""

    draws: int
    average: float
    low: float  # 5 % quantile
    high: float  # 95 % quantile
    share_below: float  # of draws whose total return is below the strategy's


def buy_and_hold(
    marks: Marks, close: npt.ArrayLike, capital: float, *, entry_cost_rate: float = 0.0, rf: float = 0.0
) -> Performance:
    """
    Return the metrics of buying at the first close, in equal parts, and holding to the end.

    close            at every mark, shape (n_marks,) or (n_marks, n_symbols)
    entry_cost_rate  fee, half spread and slippage of the one purchase, as a fraction of its notional

    Nothing is sold, so there is no closed trade and the trade metrics are undefined.
    """
    units = hold_worth(close, len(marks), slice(None), entry_cost_rate)
    # In place: of a million candles each working copy is 8 MB. What grew by itself may be beyond int64.
    units *= capital
    units *= units_of(marks)
    held = CurveColumns(
        units_per_quote=units_of(marks),
        time_ms=np.ascontiguousarray(marks["time_ms"]),
        equity=units,
        exposure=units,
        open_positions=np.broadcast_to(np.int64(1), len(units)),
    )
    return measure(np.zeros(0, TRADE), held, capital, rf=rf)


def always_flat(marks: Marks, capital: float) -> Performance:
    """Return the metrics of never trading: zeros, and everything that divides by risk undefined."""
    nothing = np.broadcast_to(np.int64(0), len(marks))
    units = np.full(len(marks), np.rint(capital * units_of(marks)), np.int64)
    time_ms = np.ascontiguousarray(marks["time_ms"])
    flat = CurveColumns(
        units_per_quote=units_of(marks),
        time_ms=time_ms,
        equity=units,
        exposure=nothing,
        open_positions=nothing,
    )
    return measure(np.zeros(0, TRADE), flat, capital)


def random_entry(
    trades: Rows, marks: Marks, close: npt.ArrayLike, capital: float, *, draws: int = 200, seed: int = 0
) -> RandomEntry | None:
    """
    Return what the strategy's positions would have earned at random times, None without trades.

    Each draw moves all positions by the same random number of candles, around the end of the tape to its start:
    direction, size relative to equity, holding times, their order and the cost of every entry and exit stay as
    they were, only the timing against the market is lost. Candle i earns close ÷ close before − 1, so a position
    opened at an open is taken to be opened at the close before it; a candle inside which a trade ended earns nothing,
    and funding is left out.

    close  at every mark, shape (n_marks,) or (n_marks, n_symbols), in the order of the symbols' numbers
    """
    n = len(marks)
    if n < _FEWEST_MARKS or not len(trades) or bool((marks["equity"] <= 0).any()):
        return None
    prices = np.asarray(close, dtype=np.float64).reshape(n, -1)  # (n_marks, n_symbols)
    symbols = np.unique(trades["symbol"])
    # One after the other and in place: of a million candles each working copy is 8 MB.
    lanes = _lanes(trades, symbols, marks, prices, capital)
    moves = np.empty((len(symbols), 2 * n))
    for row, symbol in enumerate(symbols):
        np.divide(prices[1:, symbol], prices[:-1, symbol], out=moves[row, 1:n])
        moves[row, 0] = 1.0
        moves[row, :n] -= 1.0
        # Twice in a row, so that no shift has to turn round at the end.
        moves[row, n:] = moves[row, :n]
    shifts = np.random.default_rng(seed).integers(1, n, size=draws)
    totals = lane_products(lanes, moves, shifts) - 1.0
    low, high = np.quantile(totals, [0.05, 0.95])
    own = float(marks["equity"][-1]) / (capital * units_of(marks)) - 1.0
    share = float(np.mean(totals < own))
    return RandomEntry(draws, float(totals.mean()), float(low), float(high), share)


def _lanes(trades: Rows, symbols: IntArray, marks: Marks, prices: FloatArray, capital: float) -> Busy:
    """Return what the strategy held and paid, as shares of its equity at the close before."""
    n = len(marks)
    time_ms = np.ascontiguousarray(marks["time_ms"])
    starts = np.searchsorted(time_ms, trades["entry_ms"], side="right")
    ends = np.searchsorted(time_ms, trades["exit_ms"], side="right")
    costs = _costs(trades, starts, ends, n, units_of(marks))
    held = np.zeros((len(symbols), n))
    for row, symbol in zip(held, symbols, strict=True):
        chosen = trades["symbol"] == symbol
        _put_units(row, trades[chosen], starts[chosen], ends[chosen])
    equity = np.ascontiguousarray(marks["equity"])
    write_shares(held, costs, symbols, prices, equity, capital, units_of(marks))
    return busy_candles(held, costs)


@kernel
def write_shares(
    held: FloatArray,
    costs: FloatArray,
    symbols: IntArray,
    prices: FloatArray,
    equity: IntArray,
    capital: float,
    units_per_quote: float,
) -> None:
    """
    Turn quantities and costs into shares of the equity at the close before, where they are.

    held     base units through each candle, shape (n_symbols_held, n); symbols: their columns of `prices`
    costs    quote, shape (n,); equity: money units
    """
    before = capital
    for row in range(len(costs)):
        costs[row] /= before
        for place in range(len(symbols)):
            price = prices[max(row - 1, 0), symbols[place]]
            held[place, row] = held[place, row] * price / before
        before = equity[row] / units_per_quote


def _put_units(held: FloatArray, trades: Rows, starts: IntArray, ends: IntArray) -> None:
    """Turn zeros into the signed quantity held through each candle, base units; what ends with the last has no end."""
    quantity = trades["side"] * trades["quantity"]
    for rows, change in ((starts, quantity), (ends, -quantity)):
        is_within = rows < len(held)
        np.add.at(held, rows[is_within], change[is_within])
    np.cumsum(held, out=held)


def _costs(trades: Rows, starts: IntArray, ends: IntArray, n: int, units_per_quote: float) -> FloatArray:
    """Return fees, half spread and slippage by candle in quote, half of a trade's at its entry and half at its exit."""
    half = (trades["fees"] + trades["spread"] + trades["slippage"]) * (0.5 / units_per_quote)
    costs = np.zeros(n)
    for rows in (starts, ends):
        np.add.at(costs, np.minimum(rows, n - 1), half)
    return costs
