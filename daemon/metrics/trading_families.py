"""The families of account, positions, trades, decisions, execution and risk."""

from typing import Final

from papertape.daemon.metrics.definitions import Label, Scoped, counter, gauge, histogram, measured
from papertape.engine.broker.working import orders as working
from papertape.engine.broker.working.orders import KIND_NAMES
from papertape.engine.performance.attribution import COMPONENTS
from papertape.engine.records import (
    LIMIT_NAMES,
    REASON_COMMAND,
    REASON_DAILY_LOSS,
    REASON_DELISTED,
    REASON_DRAWDOWN,
    REASON_ENTRY,
    REASON_ENTRY_BY_ORDER,
    REASON_FLIP,
    REASON_LIQUIDATION,
    REASON_ORDER,
    REASON_RUIN,
    REASON_SIGNAL,
    REASON_STOP,
    REASON_TARGET,
    REFUSED_ALLOCATION,
    REFUSED_CLOCK,
    REFUSED_EXPOSURE,
    REFUSED_FAULT,
    REFUSED_GONE,
    REFUSED_GROUP,
    REFUSED_HELD,
    REFUSED_MARKET,
    REFUSED_ORDERS,
    REFUSED_PAUSED,
    REFUSED_POSITIONS,
    REFUSED_PRICE,
    REFUSED_RUIN,
    REFUSED_SHORT,
    REFUSED_SIZE,
    REFUSED_STOP,
    REFUSED_VOLATILITY,
)

# Of working orders: the kind that filled.
_KINDS: Final = {
    REASON_ORDER + kind: name.replace("-", "_").replace(" ", "_") for kind, name in KIND_NAMES.items()
}
ENTRIES: Final = (REASON_ENTRY, REASON_ENTRY_BY_ORDER)
# The engine's codes as label values. The end of a tape is no exit: nothing live ends.
EXIT_REASONS: Final = {
    REASON_SIGNAL: "signal",
    REASON_STOP: "stop",
    REASON_TARGET: "target",
    REASON_FLIP: "reverse",
    REASON_COMMAND: "manual",
    REASON_DELISTED: "delisted",
    REASON_RUIN: "ruin",
    REASON_LIQUIDATION: "liquidation",
    REASON_DAILY_LOSS: "daily_loss",
    REASON_DRAWDOWN: "drawdown",
    **{reason: f"order_{name}" for reason, name in _KINDS.items()},
}
ORDER_TYPES: Final = {
    REASON_ENTRY: "market",
    REASON_SIGNAL: "market",
    REASON_STOP: "stop",
    REASON_TARGET: "target",
    REASON_FLIP: "market",
    REASON_COMMAND: "market",
    REASON_DELISTED: "delisting",
    REASON_RUIN: "market",
    REASON_LIQUIDATION: "liquidation",
    REASON_DAILY_LOSS: "market",
    REASON_DRAWDOWN: "market",
    REASON_ENTRY_BY_ORDER: "working",
    # By how they trade: a type for each kind would be beyond a family's budget of series.
    REASON_ORDER + working.AT_MARKET: "market",
    REASON_ORDER + working.LIMIT: "limit",
    REASON_ORDER + working.STOP: "stop",
    REASON_ORDER + working.STOP_LIMIT: "limit",
    REASON_ORDER + working.TOUCH: "market",
    REASON_ORDER + working.TOUCH_LIMIT: "limit",
    REASON_ORDER + working.TRAIL: "stop",
}
# What locks an account, by the refusal that a lock gives.
LOCKS: Final = {code: name.replace(" ", "_") for code, name in LIMIT_NAMES.items()}
REJECTIONS: Final = {
    REFUSED_SHORT: "short_not_allowed",
    REFUSED_SIZE: "below_minimum_size",
    REFUSED_STOP: "no_stop",
    REFUSED_PAUSED: "halted",
    REFUSED_PRICE: "wrong_side_of_price",
    REFUSED_RUIN: "ruined",
    REFUSED_CLOCK: "clock_skew",
    REFUSED_MARKET: "market_halted",
    REFUSED_GONE: "symbol_gone",
    REFUSED_FAULT: "strategy_fault",
    REFUSED_HELD: "held_already",
    **{limit: f"{name}_limit" for limit, name in LOCKS.items()},
    REFUSED_EXPOSURE: "exposure_limit",
    REFUSED_VOLATILITY: "volatility_unknown",
    REFUSED_POSITIONS: "positions_limit",
    REFUSED_ORDERS: "orders_limit",
    REFUSED_GROUP: "group_limit",
    REFUSED_ALLOCATION: "no_share",
}
ORDER_EVENTS: Final = {
    working.PLACED: "placed",
    working.WORKING: "partly_filled",
    working.TRIGGERED: "triggered",
    working.FILLED: "filled",
    working.CANCELLED: "cancelled",
    working.EXPIRED: "expired",
    working.REFUSED: "refused",
    working.MOVED: "moved",
}
ORDER_ENDS: Final = {
    working.BY_STRATEGY: "strategy",
    working.BY_OTHER: "group",
    working.BY_FLAT: "flat",
    working.BY_COMMAND: "command",
    working.BY_TIME_IN_FORCE: "time_in_force",
    working.BY_POST_ONLY: "post_only",
    working.BY_FUNDS: "funds",
    working.BY_RUIN: "ruin",
    working.BY_DELISTING: "delisting",
    working.BY_LIMIT: "limit",
    working.BY_LIQUIDATION: "liquidation",
    working.BY_CHAPTER: "chapter",
    working.WRONG_SIDE: "wrong_side",
    working.TABLE_FULL: "table_full",
    working.NO_POSITION: "no_position",
    working.NO_SUCH_ORDER: "no_such_order",
    working.MOVES_FULL: "moves_full",
    0: "expired",  # what ends by its own time has no other cause
    **REJECTIONS,
}
ACTIONS: Final = ("enter_long", "enter_short", "exit", "hold", "skip")
OUTCOMES: Final = ("win", "loss", "flat")
SIDES: Final = ("long", "short")
ORDER_SIDES: Final = ("buy", "sell")
ORDER_STATUSES: Final = ("filled", "rejected")
LEVELS: Final = ("entry", "stop", "target")
FILL_ACTIONS: Final = ("entry", "exit")
HALTS: Final = ("manual", "divergence", "drift", "errors", "ruin", "clock", "market", "gone", *LOCKS.values())
STAGES: Final = ("journal", "engine", "total")
MAX_EXPOSURE: Final = "max_exposure"

HOLD: Final = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0, 172800.0, 604800.0)
RETURN: Final = (
    -0.1, -0.05, -0.03, -0.02, -0.01, -0.005, -0.0025, 0.0,
    0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1,
)  # fmt: skip
SLIPPAGE: Final = (-0.001, -0.0005, -0.0002, -0.0001, 0.0, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005)
# A bound lies exactly at the objective of 0.25 s, otherwise it could not be computed.
LATENCY: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_ACCOUNT: Final = Label("account", Scoped.ACCOUNT)
_CURRENCY: Final = Label("currency", Scoped.CURRENCY)
_SYMBOL: Final = Label("symbol", Scoped.SYMBOL)
_SIGNAL: Final = Label("signal", COMPONENTS)
_SIDE: Final = Label("side", SIDES)

ACCOUNT_FAMILIES: Final = (
    gauge("equity", "Mark-to-market account equity: cash plus open positions at the last mark.", _ACCOUNT,
        _CURRENCY),
    gauge("equity_peak", "Highest equity seen since the journal began (high-water mark).", _ACCOUNT,
        _CURRENCY),
    gauge("equity_day_start",
        "Equity that the day's result is measured from: at the last mark up to 00:00 UTC, the capital on the first day.",
        _ACCOUNT, _CURRENCY),
    gauge("cash", "Settled cash of the paper account.", _ACCOUNT, _CURRENCY),
    gauge("unrealized_pnl", "Open profit or loss at the last mark, fees to close included.", _ACCOUNT,
        _CURRENCY, _SYMBOL),
    gauge("realized_pnl",
        "Net realised profit or loss since the journal began, fees and funding of open positions included.",
        _ACCOUNT, _CURRENCY),
    gauge("funding_paid", "Net funding paid since the journal began, below zero when more was received.",
        _ACCOUNT, _CURRENCY),
    counter("gross_profit_total", "Sum of net results of winning trades, by the primary cause of entry.",
        _SYMBOL, _SIGNAL, _CURRENCY),
    counter("gross_loss_total",
        "Sum of absolute net results of losing trades, by the primary cause of entry.", _SYMBOL, _SIGNAL,
        _CURRENCY),
    counter("attributed_profit_total",
        "Sum of the positive parts of trade results, split among the components of the score.",
        Label("component", COMPONENTS), _CURRENCY),
    counter("attributed_loss_total",
        "Sum of the absolute negative parts of trade results, split among the components of the score.",
        Label("component", COMPONENTS), _CURRENCY),
    counter("fees_total", "Fees charged by the simulator.", _SYMBOL, _CURRENCY),
    gauge("drawdown_ratio", "Current fall from the equity peak, 0 to 1.", _ACCOUNT),
    gauge("exposure", "Notional of open positions at the last mark, always positive.", _SYMBOL, _SIDE,
        _CURRENCY),
    gauge("leverage_ratio", "Gross notional divided by equity.", _ACCOUNT),
    gauge("positions_open", "Open positions.", _SYMBOL, _SIDE),
    measured("market_price", "Close of the newest base candle, absent before the first.", _SYMBOL, _CURRENCY),
    gauge("position_quantity", "Size of the open position in base units, short below zero.", _SYMBOL),
    measured("position_price", "Prices of the open position, absent while there is none.", _SYMBOL,
        Label("level", LEVELS), _CURRENCY),
    measured("fill_price",
        "Price of a fill in the newest base candle, absent when there was none: a point in a chart.",
        _SYMBOL, Label("side", ORDER_SIDES), Label("action", FILL_ACTIONS), _CURRENCY),
    counter("trades_closed_total", "Closed trades; signal is the primary cause of entry.", _SYMBOL, _SIGNAL,
        _SIDE, Label("outcome", OUTCOMES)),
    histogram("trade_return_ratio", "Net return of a closed trade on its entry notional.", RETURN, _SIGNAL),
    histogram("trade_duration_seconds",
        "Holding time of closed trades, between the base candles of entry and exit.", HOLD, _SIGNAL),
    counter("exits_total", "Position exits by reason.", _SYMBOL,
        Label("reason", tuple(EXIT_REASONS.values()))),
)  # fmt: skip

DECISION_FAMILIES: Final = (
    counter("signals_total",
        "Entries that the strategy asked for and the limits accepted, by the primary cause.", _SYMBOL,
        Label("timeframe", Scoped.STRATEGY), _SIGNAL, _SIDE),
    counter("signals_rejected_total",
        "Entries that the strategy asked for and the limits or the market's rules refused.", _SIGNAL,
        Label("reason", tuple(REJECTIONS.values()))),
    counter("decisions_total",
        "Decisions, one per symbol and closed strategy candle; skip is a refused one.", _SYMBOL,
        Label("action", ACTIONS)),
    gauge("decision_last_timestamp_seconds",
        "Close time of the latest strategy candle that was decided on; start of the daemon before the first.",
        Label("timeframe", Scoped.STRATEGY)),
    histogram("decision_latency_seconds",
        "Time from receipt of a final candle to the end of a stage; total ends with the report.", LATENCY,
        Label("stage", STAGES)),
    counter("orders_total",
        "Simulated orders by final status; a reversal is two orders, one that closes and one that opens.",
        _SYMBOL, Label("side", ORDER_SIDES), Label("type", tuple(dict.fromkeys(ORDER_TYPES.values()))),
        Label("status", ORDER_STATUSES)),
    counter("order_events_total",
        "What happened to orders that a strategy placed beside its decisions; a part that fills is an event too.",
        _SYMBOL, Label("status", tuple(ORDER_EVENTS.values()))),
    counter("order_ends_total",
        "Orders of a strategy that were refused, cancelled or expired, and moves of stop and target that were refused.",
        Label("cause", tuple(dict.fromkeys(ORDER_ENDS.values())))),
    gauge("orders_working", "Orders of a strategy that rest.", _SYMBOL),
    histogram("fill_slippage_ratio",
        "Half spread and slippage paid in the price of a fill, on its notional; positive is worse.",
        SLIPPAGE, _SYMBOL),
    gauge("risk_limit_usage_ratio", "Use of each risk limit, 1 is at the limit.",
        Label("limit", (MAX_EXPOSURE,))),
    gauge("trading_halted", "1 while no new position is entered for this reason, else 0.",
        Label("reason", HALTS)),
)  # fmt: skip
