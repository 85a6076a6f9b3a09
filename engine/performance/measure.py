"""All metrics of one run, from its trades and the marks of its equity."""

from typing import Final

import numpy as np
import numpy.typing as npt

from papertape.engine.jit import IntArray, Rows
from papertape.engine.performance.activity import Activity, activity_of
from papertape.engine.performance.curve import Marks, has_column, times_of, units_of
from papertape.engine.performance.daily import daily_returns
from papertape.engine.performance.drawdown import Falls
from papertape.engine.performance.metrics import (
    CURVE_METRICS,
    DAILY_METRICS,
    RELATIVE_METRICS,
    Performance,
    Sheet,
)
from papertape.engine.performance.ratios import (
    put_distribution,
    put_growth,
    put_pain,
    put_ratios,
    put_significance,
)
from papertape.engine.performance.relative import hold_worth, put_relative
from papertape.engine.performance.times import MarkTimes
from papertape.engine.performance.trade_figures import TradeFigures
from papertape.engine.performance.trading import put_costs, put_trades

_NO_EXPOSURE: Final[IntArray] = np.zeros(0, np.int64)
_NO_CANDLES: Final = "no candle was processed"
_NOT_KEPT: Final = "the exposure of this run was not kept"
_RUIN: Final = "equity was zero or below, so returns have no meaning"


def measure(
    trades: Rows,
    marks: Marks,
    capital: float,
    benchmark_close: npt.ArrayLike | None = None,
    rf: float = 0.0,
    trials: int = 1,
    *,
    trials_deviation: float | None = None,
    entry_cost_rate: float = 0.0,
) -> Performance:
    """
    Return every metric of METRIC_NAMES, the reasons for those that are undefined, and notes.

    trades            TRADE records, open ones included at their mark
    marks             MARK records in time order, one per base candle, or their columns; without those of exposure
                      what is made of them is undefined
    capital           starting cash in quote, above zero
    benchmark_close   closes at every mark, shape (n_marks,) or (n_marks, n_symbols); None: nothing to compare with
    rf                risk-free rate, annual
    trials            how many configurations were tried for this one, discarded ones included
    trials_deviation  spread of their daily Sharpe ratios; None: this one's standard error
    entry_cost_rate   what buy-and-hold pays for its one purchase, a fraction of notional
    """
    assert capital > 0.0
    assert rf > -1.0
    assert trials >= 1
    sheet = Sheet()
    units, figures = units_of(marks), TradeFigures(trades)
    put_trades(sheet, figures, units)
    put_costs(sheet, figures, units)
    if not len(marks):
        names = (*CURVE_METRICS, *DAILY_METRICS, "buy_and_hold_return", *RELATIVE_METRICS)
        sheet.refuse(names, _NO_CANDLES)
        return sheet.finish()
    times = times_of(marks)
    final = float(marks["equity"][-1] / units)
    exposure = marks["exposure"] if has_column(marks, "exposure") else _NO_EXPOSURE
    activity = activity_of(marks["equity"], exposure, capital, units)
    sheet.put("total_return", final / capital - 1.0)
    sheet.put("final_equity", final)
    elapsed_ms = _put_falls(sheet, times, activity.falls)
    daily = daily_returns(marks, capital)
    sheet.put("days", len(daily.returns))
    if has_column(marks, "open_positions"):
        sheet.put("exposure", float(np.count_nonzero(marks["open_positions"])) / len(marks))
    else:
        sheet.put("exposure", None, _NOT_KEPT)
    if benchmark_close is None:
        sheet.refuse(("buy_and_hold_return", *RELATIVE_METRICS), "no benchmark was given")
    else:
        rows = times.day_ends.mark_index
        worth = hold_worth(benchmark_close, len(marks), rows, entry_cost_rate)
        put_relative(sheet, daily.returns, worth, rf)
    if activity.falls.lowest <= 0.0:
        _put_ruin(sheet, times.time_ms, marks["equity"])
    else:
        put_growth(sheet, capital, final, elapsed_ms)
        put_ratios(sheet, daily.returns, rf)
        put_distribution(sheet, daily.returns)
        put_significance(sheet, daily.returns, rf, trials, trials_deviation)
        put_pain(sheet, daily, capital, rf)
        if len(exposure):
            _put_activity(sheet, figures, activity, units)
        else:
            sheet.refuse(("mean_leverage", "turnover"), _NOT_KEPT)
    return sheet.finish()


def _put_ruin(sheet: Sheet, time_ms: IntArray, equity: IntArray) -> None:
    """Say since when there is nothing left, and refuse every metric of returns."""
    first = np.datetime64(int(time_ms[int(np.argmax(equity <= 0.0))]), "ms")
    sheet.notes.append(f"ruined: equity was zero or below at {np.datetime_as_string(first)}Z")
    sheet.refuse((*DAILY_METRICS, *RELATIVE_METRICS), _RUIN)


def _put_falls(sheet: Sheet, times: MarkTimes, falls: Falls) -> int:
    """
    Write drawdown on bar equity, and return the elapsed time in ms.

    The first candle's open is not recorded, so a candle is taken to last as long as the shortest step between two
    marks; the curve starts one candle before the first mark.
    """
    time_ms, step_ms = times.time_ms, times.shortest_step_ms
    assert step_ms > 0 or len(time_ms) == 1
    start_ms = int(time_ms[0]) - step_ms
    elapsed_ms = int(time_ms[-1]) - start_ms
    sheet.put("max_drawdown_quote", falls.depth_quote)
    if not len(falls.deepest):
        sheet.put("max_drawdown", 0.0)
        names = ("max_drawdown_duration_s", "time_to_recover_s")
        sheet.refuse(names, "equity never fell below a peak")
        return elapsed_ms
    depth, peak, trough, recovery = falls.deepest[0].tolist()
    sheet.put("max_drawdown", depth)
    peak_ms = int(time_ms[peak - 1]) if peak else start_ms
    is_over = recovery >= 0
    end_ms = int(time_ms[recovery - 1 if is_over else -1])
    sheet.put("max_drawdown_duration_s", (end_ms - peak_ms) / 1000.0)
    recovered_s = (end_ms - int(time_ms[trough - 1])) / 1000.0 if is_over else None
    sheet.put("time_to_recover_s", recovered_s, "the deepest drawdown was not recovered")
    if not is_over:
        sheet.notes.append("max drawdown not recovered")
    return elapsed_ms


def _put_activity(sheet: Sheet, trades: TradeFigures, activity: Activity, units_per_quote: float) -> None:
    """
    Write mean gross leverage and turnover, for an equity above zero.

    Turnover is the notional of all fills ÷ average equity; a trade still open has only its entry.
    """
    sheet.put("mean_leverage", activity.leverage)
    sold = float(np.dot(trades.columns["quantity"], trades.columns["exit_price"]))
    traded = trades.sums["notional"] / units_per_quote + sold
    sheet.put("turnover", traded / activity.worth)
