"""From reports to the families of account, trades and decisions."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from papertape.daemon.metrics.registry import Series
from papertape.daemon.metrics.trading_families import (
    ENTRIES,
    EXIT_REASONS,
    LEVELS,
    LOCKS,
    MAX_EXPOSURE,
    ORDER_ENDS,
    ORDER_EVENTS,
    ORDER_TYPES,
    REJECTIONS,
)
from papertape.engine.broker.account import PAUSED_BY_COMMAND, PAUSED_BY_FAULT, equity
from papertape.engine.broker.working.orders import CANCELLED, EXPIRED, REFUSED
from papertape.engine.candles import DAY_MS, WEEK_ANCHOR_MS, WEEK_MS
from papertape.engine.jit import Row, Rows
from papertape.engine.performance.attribution import COMPONENTS, UNATTRIBUTED, attribution
from papertape.engine.records import FLAT, LONG, REFUSED_HELD, REFUSED_NO, REFUSED_PRICE, REFUSED_SIZE, SHORT
from papertape.engine.report import Report

if TYPE_CHECKING:
    from papertape.engine.core import Engine

_SCORES = ("model", "smc", "technical")
_SIDE = {LONG: "long", SHORT: "short"}
_ORDER_SIDE = {LONG: "buy", SHORT: "sell"}
# A refusal that comes with the fill, not with the decision: the order existed.
_REFUSED_AT_FILL = (REFUSED_SIZE, REFUSED_PRICE)


def primary_cause(scores: Mapping[str, float], side: int) -> str:
    """Return the component that argued most for a side, `unattributed` when none did or one is no number."""
    strengths = {name: side * scores[name] for name in _SCORES}
    if not all(math.isfinite(value) for value in strengths.values()):
        return UNATTRIBUTED
    best = max(strengths, key=lambda name: strengths[name])
    return best if strengths[best] > 0.0 else UNATTRIBUTED


def net_realised(account: Row) -> int:
    """Return what was earned since the journal began, in money units: profit less fees and funding, as the ledger has it."""
    # Debits are positive in the ledger.
    return -(int(account["realised"]) + int(account["fees"]) + int(account["funding"]))


class AccountDay(NamedTuple):
    """
    A day of the account, by the time of its marks in UTC; amounts in quote.

    number  days since 1970-01-01
    start   equity at the last mark before it; none: there is none, it began with the capital
    newest  equity at the newest mark
    """

    number: int
    start: float | None
    newest: float


def day_of(marks: Rows, known: AccountDay | None, units_per_quote: float) -> AccountDay:
    """Return the day of the newest of some marks, at least one, after what was known; a mark at 00:00 ends its day."""
    days, worth = (marks["time_ms"] - 1) // DAY_MS, marks["equity"] / units_per_quote
    newest, first = int(days[-1]), int(np.searchsorted(days, days[-1]))
    start = float(worth[first - 1]) if first else None
    if start is None and known is not None:
        start = known.start if newest == known.number else known.newest
    return AccountDay(newest, start, float(worth[-1]))


class Trading:
    """Reads reports and the engine's account; sets nothing there."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._currency = series.scope.currency
        self._account = (series.scope.account, self._currency)
        self._peak = 0.0
        self._day: AccountDay | None = None  # none: it was never marked
        self._signals = series.counters("signals_total")
        self._rejected = series.counters("signals_rejected_total")
        self._decisions = series.counters("decisions_total")
        self._orders = series.counters("orders_total")
        self._latency = series.histograms("decision_latency_seconds")
        self._halted = series.gauges("trading_halted")
        self._newest_ms = 0  # open time of the newest base candle

    def on_report(
        self, report: Report, engine: "Engine", latencies_s: Mapping[str, float] | None = None
    ) -> None:
        """
        Take in what a step reported, and the account as it stands after it.

        latencies_s  by stage (journal, engine, total), from receipt of the candle; none for what was not live
        """
        self._on_decisions(report, engine)
        if len(report.marks):
            self._series.forget("fill_price")  # their candle is not the newest any more
            self._newest_ms = int(report.marks["time_ms"][-1]) - engine.base_ms
        for fill in self._rows(report.fills, engine.symbols):
            self._on_fill(fill, engine.symbols[fill["symbol"]], engine.spec.units_per_quote)
        self._on_trades(report.trades, engine.symbols, engine.spec.units_per_quote)
        self._on_orders(report.orders, engine.symbols)
        if len(report.marks):
            highest = int(report.marks["equity"].max()) / engine.spec.units_per_quote
            self._peak = max(self._peak, highest)
            self._day = day_of(report.marks, self._day, engine.spec.units_per_quote)
        self.on_account(engine)
        for stage, seconds in (latencies_s or {}).items():
            newest = report.decisions["sequence"][-1:].tolist()
            exemplar = {"decision_id": str(newest[0])} if newest else None
            self._latency[(stage,)].observe(seconds, exemplar)

    def on_account(self, engine: "Engine") -> None:
        """Set every gauge that the engine's state decides; at the start, this restores them."""
        series, account = self._series, engine.account[0]
        units = engine.spec.units_per_quote
        worth = int(equity(account, engine.positions, engine.markets)) / units
        self._peak = max(self._peak, worth, engine.spec.capital)
        start = None if self._day is None else self._day.start
        values = {
            "equity": worth,
            "equity_peak": self._peak,
            "equity_day_start": engine.spec.capital if start is None else start,
            "cash": int(account["cash"]) / units,
            "realized_pnl": net_realised(account) / units,
            "funding_paid": int(account["funding"]) / units,
        }
        for name, value in values.items():
            series.gauges(name)[self._account].set(value)
        gross = sum(self._on_position(engine, index) for index in range(len(engine.symbols)))
        leverage = gross / worth if worth > 0.0 else math.inf if gross else 0.0
        key = (series.scope.account,)
        series.gauges("leverage_ratio")[key].set(leverage)
        series.gauges("drawdown_ratio")[key].set(1.0 - worth / self._peak)
        usage = leverage / engine.spec.settings.leverage_cap
        series.gauges("risk_limit_usage_ratio")[(MAX_EXPOSURE,)].set(usage)
        for reason, bit in (("manual", PAUSED_BY_COMMAND), ("errors", PAUSED_BY_FAULT)):
            self._halted[(reason,)].set(float(account["is_paused"] & bit != 0))
        self._halted[("ruin",)].set(float(account["ruined_ms"] != 0))
        for limit, reason in LOCKS.items():
            self._halted[(reason,)].set(float(account["locked_by"] == limit))
        self._halted[("clock",)].set(float(account["is_skewed"]))
        for reason, name in (("market", "is_halted"), ("gone", "is_gone")):
            self._halted[(reason,)].set(float(engine.positions[name].any()))
        if int(account["instants"]):
            close_ms = int(engine.last_open_ms[0]) + engine.base_ms
            decided_ms = close_ms - (close_ms - _anchor_ms(engine.length_ms)) % engine.length_ms
            decided = series.gauges("decision_last_timestamp_seconds")
            decided[(series.scope.timeframe,)].set(decided_ms / 1000.0)

    def on_halt(self, reason: str, is_halted: bool) -> None:
        """
        Say that trading stopped, or goes on, for a reason that the engine does not know.

        A pause by command shows as `manual` whoever asked for it; `divergence` beside it says why, until it is taken back here.
        """
        self._halted[(reason,)].set(float(is_halted))

    def restore(self, peak: float, day: AccountDay | None) -> None:
        """Take over the highest equity of the journal, and the day of its newest mark."""
        self._peak, self._day = max(self._peak, peak), day

    def _rows(self, rows: Rows, symbols: tuple[str, ...]) -> list[dict[str, Any]]:
        """Return records as dictionaries of plain values, without those of removed symbols; there are few."""
        names = rows.dtype.names or ()
        found = [dict(zip(names, values, strict=True)) for values in rows.tolist()]
        return [row for row in found if symbols[row["symbol"]] in self._series.symbols]

    def _on_position(self, engine: "Engine", index: int) -> float:
        """Set the gauges of one symbol and return its notional."""
        position, market = engine.positions[index], engine.markets[index]
        symbol, quantity = engine.symbols[index], float(position["quantity"])
        notional = abs(quantity) * float(position["last_price"])
        open_pnl = 0.0
        if quantity:
            gain = notional - int(position["cost"]) / float(market["units_per_quote"])
            open_pnl = (gain if quantity > 0.0 else -gain) - notional * float(market["taker_fee_rate"])
        if symbol in self._series.symbols:
            self._set_prices(symbol, position)
            self._series.gauges("orders_working")[(symbol,)].set(float(position["working"]))
            opened, exposure = (self._series.gauges("positions_open"), self._series.gauges("exposure"))
            self._series.gauges("unrealized_pnl")[(*self._account, symbol)].set(open_pnl)
            for side, is_held in (("long", quantity > 0.0), ("short", quantity < 0.0)):
                opened[(symbol, side)].set(float(is_held))
                exposure[(symbol, side, self._currency)].set(notional if is_held else 0.0)
        return notional

    def _set_prices(self, symbol: str, position: Row) -> None:
        """Set what a price panel and a table of positions show."""
        series, last = self._series, float(position["last_price"])
        series.measure("market_price", last or None, symbol, self._currency)
        series.gauges("position_quantity")[(symbol,)].set(float(position["quantity"]))
        for level in LEVELS:
            price = float(position[f"{level}_price"]) if position["quantity"] else 0.0
            series.measure("position_price", price or None, symbol, level, self._currency)

    def _on_decisions(self, report: Report, engine: "Engine") -> None:
        """Count one decision per symbol and closed strategy candle, and what was refused."""
        n_closed = _closed(report.marks, engine.length_ms)
        if report.unheeded:
            self._rejected[(UNATTRIBUTED, REJECTIONS[REFUSED_HELD])].inc(report.unheeded)
        holds = {s: n_closed for s in engine.spec.traded if s in self._series.symbols}
        for row in self._rows(report.decisions, engine.symbols):
            symbol, target, refused = engine.symbols[row["symbol"]], row["target"], row["refused"]
            signal = primary_cause({n: row[f"score_{n}"] for n in _SCORES}, target)
            if refused != REFUSED_NO:
                self._rejected[(signal, REJECTIONS[refused])].inc()
            if refused in _REFUSED_AT_FILL:
                self._orders[(symbol, _ORDER_SIDE[target], "market", "rejected")].inc()
                continue
            holds[symbol] -= 1
            if refused != REFUSED_NO:
                action = "skip"
            elif target == FLAT:
                action = "exit"
            else:
                action = f"enter_{_SIDE[target]}"
                timeframe = self._series.scope.timeframe
                self._signals[(symbol, timeframe, signal, _SIDE[target])].inc()
            self._decisions[(symbol, action)].inc()
        for symbol, n in holds.items():
            # Where a replay skips gaps, a candle may close off the grid: more decisions than closes.
            if n > 0:
                self._decisions[(symbol, "hold")].inc(n)

    def _on_fill(self, fill: Mapping[str, Any], symbol: str, units_per_quote: float) -> None:
        """Count an order that filled, its fee and what its price cost."""
        series, reason = self._series, int(fill["reason"])
        side = _ORDER_SIDE[int(fill["side"])]
        self._orders[(symbol, side, ORDER_TYPES[reason], "filled")].inc()
        series.counters("fees_total")[(symbol, self._currency)].inc(fill["fee"] / units_per_quote)
        if fill["candle_ms"] >= self._newest_ms:
            action = "entry" if reason in ENTRIES else "exit"
            series.measure("fill_price", fill["price"], symbol, side, action, self._currency)
        cost = (fill["slippage"] + fill["spread"]) / fill["notional"]
        series.histograms("fill_slippage_ratio")[(symbol,)].observe(cost)
        if reason in EXIT_REASONS:
            series.counters("exits_total")[(symbol, EXIT_REASONS[reason])].inc()

    def _on_orders(self, orders: Rows, symbols: tuple[str, ...]) -> None:
        """Count what happened to working orders, and why those ended that did not fill."""
        if not len(orders):
            return
        events = self._series.counters("order_events_total")
        ends = self._series.counters("order_ends_total")
        for row in self._rows(orders, symbols):
            events[(symbols[row["symbol"]], ORDER_EVENTS[row["status"]])].inc()
            if row["status"] in (CANCELLED, EXPIRED, REFUSED):
                ends[(ORDER_ENDS[row["cause"]],)].inc()

    def _on_trades(self, trades: Rows, symbols: tuple[str, ...], units_per_quote: float) -> None:
        """Count closed trades, their results, and the parts that each component earned."""
        if not len(trades):
            return
        series, currency = self._series, self._currency
        for trade in self._rows(trades, symbols):
            symbol, side, pnl = (symbols[trade["symbol"]], trade["side"], trade["pnl"] / units_per_quote)
            signal = primary_cause({n: trade[f"score_{n}"] for n in _SCORES}, side)
            outcome = "win" if pnl > 0.0 else "loss" if pnl < 0.0 else "flat"
            series.counters("trades_closed_total")[(symbol, signal, _SIDE[side], outcome)].inc()
            name = "gross_profit_total" if pnl > 0.0 else "gross_loss_total"
            series.counters(name)[(symbol, signal, currency)].inc(abs(pnl))
            held_s = (trade["exit_ms"] - trade["entry_ms"]) / 1000.0
            series.histograms("trade_duration_seconds")[(signal,)].observe(held_s)
            net_return = trade["pnl"] / trade["notional"]
            series.histograms("trade_return_ratio")[(signal,)].observe(net_return)
        parts = attribution(trades)
        for component in COMPONENTS:
            units, key = parts[component], (component, currency)
            gained, lost = int(units[units > 0].sum()), -int(units[units < 0].sum())
            series.counters("attributed_profit_total")[key].inc(gained / units_per_quote)
            series.counters("attributed_loss_total")[key].inc(lost / units_per_quote)


def _anchor_ms(length_ms: int) -> int:
    """Return a time at which a candle of this length begins: weeks begin on Monday."""
    return WEEK_ANCHOR_MS if length_ms == WEEK_MS else 0


def _closed(marks: Rows, length_ms: int) -> int:
    """Return how many of these instants closed a candle of the strategy's timeframe."""
    since_ms = marks["time_ms"] - _anchor_ms(length_ms)
    return int(np.count_nonzero(since_ms % length_ms == 0))
