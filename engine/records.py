"""
The records that leave the engine, named once and shared by kernels, sinks and files.

Money is int64 in the account's smallest unit, 1e-9 quote (`UNITS_PER_QUOTE`) unless it counts coarser ones
(`papertape.engine.broker.ledger`), so that the ledger balances exactly; prices, quantities
and scores are float64. `sequence` counts decisions, refusals, fills, payments, model swaps and changes of markets in the order
in which they happened, so the streams fix their interleaving.
"""

from typing import Final, NamedTuple

from papertape.engine.jit import record

UNITS_PER_QUOTE: Final = 1e9  # divide by it: 10^12 units × 1e-9 are 1000.0000000000001 quote

# Targets: what a strategy wants to hold. KEEP leaves the position and its bracket as they are.
SHORT: Final = -1
FLAT: Final = 0
LONG: Final = 1
KEEP: Final = 2

# What a candle does not tell about a trade.
AMBIGUOUS_EXIT: Final = 1  # stop and target both lay inside the exit candle
# entered inside a candle in which its stop lay, too, before or after: taken as not met
AMBIGUOUS_ENTRY: Final = 2

# liquidated at extremes of several symbols, which need not have been at one time
AMBIGUOUS_TOGETHER: Final = 4

# Why a fill happened or an order was refused.
REASON_ENTRY: Final = 1
REASON_SIGNAL: Final = 2  # the strategy no longer wants the position
REASON_STOP: Final = 3
REASON_TARGET: Final = 4
REASON_FLIP: Final = 5  # closed because the strategy wants the other side
REASON_COMMAND: Final = 6  # an operator flattened
REASON_END: Final = 7  # still open at the end of the tape; marked at the last close, not filled
REASON_LIQUIDATION: Final = 8
REASON_DELISTED: Final = 9  # the market is no more; closed at its last price
REASON_RUIN: Final = 10  # equity was not above 0 at a close
# By a working order: what it leaves by this and the order's kind, what it enters always by the last.
REASON_ORDER: Final = 10
REASON_ENTRY_BY_ORDER: Final = 18
# By a limit of the account that was met at a close.
REASON_DAILY_LOSS: Final = 19
REASON_DRAWDOWN: Final = 20
REASON_NAMES: Final = {
    REASON_ENTRY: "entry",
    REASON_SIGNAL: "signal",
    REASON_STOP: "stop",
    REASON_TARGET: "target",
    REASON_FLIP: "flip",
    REASON_COMMAND: "command",
    REASON_END: "end of tape",
    REASON_LIQUIDATION: "liquidation",
    REASON_DELISTED: "delisted",
    REASON_RUIN: "ruin",
    REASON_ORDER + 1: "market order",
    REASON_ORDER + 2: "limit order",
    REASON_ORDER + 3: "stop order",
    REASON_ORDER + 4: "stop-limit order",
    REASON_ORDER + 5: "market-if-touched order",
    REASON_ORDER + 6: "limit-if-touched order",
    REASON_ORDER + 7: "trailing stop",
    REASON_ENTRY_BY_ORDER: "entry",
    REASON_DAILY_LOSS: "daily loss",
    REASON_DRAWDOWN: "drawdown",
}

REFUSED_NO: Final = 0
REFUSED_SHORT: Final = 1
REFUSED_SIZE: Final = 2
REFUSED_STOP: Final = 3
REFUSED_PAUSED: Final = 4
REFUSED_PRICE: Final = 5
REFUSED_RUIN: Final = 6
REFUSED_CLOCK: Final = 8
REFUSED_MARKET: Final = 9
REFUSED_GONE: Final = 10
REFUSED_FAULT: Final = 7
# counted, no record: nothing is refused that would have changed a position
REFUSED_HELD: Final = 12
# By a limit of the account: it is locked, or there is no room for what would be opened.
REFUSED_DAILY_LOSS: Final = 13
REFUSED_DRAWDOWN: Final = 14
REFUSED_LOSSES: Final = 15
REFUSED_EXPOSURE: Final = 16
REFUSED_VOLATILITY: Final = 17
REFUSED_POSITIONS: Final = 18
REFUSED_ORDERS: Final = 19
REFUSED_GROUP: Final = 20
REFUSED_ALLOCATION: Final = 21
REFUSED_NAMES: Final = {
    REFUSED_NO: "",
    REFUSED_SHORT: "short positions are not possible on this market or not allowed",
    REFUSED_SIZE: "the size is below the market's minimum",
    REFUSED_STOP: "sizing by risk needs a stop; account.sizing takes fraction or all_in, too",
    REFUSED_PAUSED: "trading is paused",
    REFUSED_PRICE: "the stop or the target is on the wrong side of the fill price",
    REFUSED_RUIN: "the account is ruined",
    REFUSED_CLOCK: "the venue's clock and ours are too far apart",
    REFUSED_MARKET: "the venue says that this market does not trade",
    REFUSED_GONE: "this symbol is no longer listed or followed",
    REFUSED_FAULT: "the strategy failed, or asked for what no order can mean",
    REFUSED_HELD: "the side is held or ordered already; its stop, target and size stay as they were",
    REFUSED_DAILY_LOSS: "locked until the day ends: limits.daily_loss was met",
    REFUSED_DRAWDOWN: "locked: limits.drawdown was met",
    REFUSED_LOSSES: "locked for a while: as many losses in a row as limits.losses",
    REFUSED_EXPOSURE: "limits.gross or limits.net leaves no room",
    REFUSED_VOLATILITY: "sizing by volatility knows too few candles of this market yet; see account.volatility_days",
    REFUSED_POSITIONS: "as many positions are open as limits.open_positions allows",
    REFUSED_ORDERS: "this symbol has sent as many orders as limits.orders allows for a while",
    REFUSED_GROUP: "limits.groups leaves no room in the group of this symbol",
    REFUSED_ALLOCATION: "portfolio.allocation gives this symbol no part of the account, or knows too few candles of it yet",
}

# One row when a strategy asks for something else than it asked last, or is refused.
DECISION: Final = record(
    ("sequence", "i8"),
    ("time_ms", "i8"),  # close of the candle that decided
    ("symbol", "i8"),
    ("target", "i8"),  # SHORT, FLAT, LONG or KEEP
    ("stop_distance", "f8"),  # quote per base from the fill price; 0 = none
    ("target_distance", "f8"),
    ("stop_price", "f8"),  # absolute, in place of the distance; 0 = use the distance
    ("target_price", "f8"),
    ("confidence", "f8"),  # 0 … 1
    ("size_scale", "f8"),  # factor on the size that risk allows, 0 … 1
    ("score_model", "f8"),  # signed contributions; they add up to the score that decided
    ("score_smc", "f8"),
    ("score_technical", "f8"),
    ("model_version", "i8"),  # model in force when it was taken; 0 = none
    ("refused", "i8"),  # 0, or why no order was made
)

FILL: Final = record(
    ("sequence", "i8"),
    ("candle_ms", "i8"),  # open time of the base candle in which it filled
    ("symbol", "i8"),
    ("trade", "i8"),  # number of the trade that it opened or closed
    ("side", "i8"),  # +1 buy, -1 sell
    ("reason", "i8"),
    ("price", "f8"),
    ("quantity", "f8"),  # base units (contracts × contract value), above zero
    ("notional", "i8"),  # money units from here on
    ("fee", "i8"),
    ("slippage", "i8"),  # paid in the price, against the price without it; rounding to the tick included
    ("spread", "i8"),
    ("realised", "i8"),  # before the fee
    ("cash", "i8"),  # after this fill
    ("position", "f8"),  # signed, after this fill
)

TRADE: Final = record(
    ("number", "i8"),
    ("symbol", "i8"),
    ("side", "i8"),
    ("decided_ms", "i8"),  # close of the candle that decided the entry
    ("entry_ms", "i8"),  # open time of the base candle of the fill
    ("exit_ms", "i8"),
    ("entry_price", "f8"),
    ("exit_price", "f8"),
    ("quantity", "f8"),
    ("stop_price", "f8"),  # of its entry, wherever it moved; 0 = none
    ("target_price", "f8"),
    ("exit_reason", "i8"),
    ("bars", "i8"),  # base candles held, entry and exit candle included
    ("pnl", "i8"),  # money units, net of fees, spread, slippage and funding
    ("fees", "i8"),
    ("slippage", "i8"),
    ("spread", "i8"),
    ("funding", "i8"),
    ("risk", "i8"),  # loss at the stop without costs; 0 when there was no stop
    ("equity_before", "i8"),
    ("notional", "i8"),  # at entry
    ("mae_price", "f8"),  # worst excursion against the entry price, quote per base, <= 0
    ("mfe_price", "f8"),  # best excursion, >= 0
    ("is_ambiguous", "i8"),  # 0, or AMBIGUOUS_… added up
    ("pnl_optimistic", "i8"),  # had the target come first; equals pnl when not ambiguous
    ("confidence", "f8"),
    ("score_model", "f8"),
    ("score_smc", "f8"),
    ("score_technical", "f8"),
    ("model_version", "i8"),  # of the decision that opened it; 0 = no model
)

# Funding that an open position paid or received.
PAYMENT: Final = record(
    ("sequence", "i8"),
    ("time_ms", "i8"),  # when the venue settled
    ("symbol", "i8"),
    ("trade", "i8"),  # number of the open trade
    ("rate", "f8"),  # fraction of notional; above zero longs pay
    ("price", "f8"),  # mark or index at settlement
    ("quantity", "f8"),  # signed position, base units
    ("amount", "i8"),  # money units paid; received: below zero
    ("cash", "i8"),  # after this payment
)

# A model that took over.
SWAP: Final = record(
    ("sequence", "i8"),
    ("time_ms", "i8"),  # close of the newest instant; 0 before the first
    ("version", "i8"),
    ("sha256", "i8", (4,)),  # of the artefact
)

# What the model in force said at a close of the strategy's timeframe that was not absent.
PREDICTION: Final = record(
    ("time_ms", "i8"),  # close of the candle
    ("symbol", "i8"),
    ("version", "i8"),
    ("probability", "f8"),  # of a rise; NaN where an input was missing
    ("open", "f8"),
    ("high", "f8"),
    ("low", "f8"),
    ("close", "f8"),
    ("atr", "f8"),  # atr_14, quote per base; NaN while it warms up
)


class Unmet(NamedTuple):
    """The first condition that a strategy found unmet at a close, with what it compared; no decision depends on it."""

    symbol: str
    time_ms: int
    condition: str
    value: float
    threshold: float


class Note(NamedTuple):
    """What a strategy noted at a close, in its own words; no decision depends on it."""

    symbol: str
    time_ms: int
    text: str


# A limit of the account that was met at a close; nothing is opened until the lock ends.
LIMIT_EVENT: Final = record(
    ("sequence", "i8"),
    ("time_ms", "i8"),  # close of the base candle
    ("limit", "i8"),  # REFUSED_DAILY_LOSS, REFUSED_DRAWDOWN or REFUSED_LOSSES
    ("value", "f8"),  # share of equity that was lost, or losses in a row
    ("threshold", "f8"),
    ("until_ms", "i8"),  # end of the lock; UNTIL_RESUMED: an operator's word
)
UNTIL_RESUMED: Final = 9_223_372_036_854_775_807
LIMIT_NAMES: Final = {
    REFUSED_DAILY_LOSS: "daily loss",
    REFUSED_DRAWDOWN: "drawdown",
    REFUSED_LOSSES: "losses in a row",
}

# The account at the close of every base candle.
MARK: Final = record(
    ("time_ms", "i8"),  # close of the instant
    ("equity", "i8"),  # money units, marked to the last close
    ("cash", "i8"),
    ("exposure", "i8"),  # gross notional of open positions
    ("open_positions", "i8"),
)

# Series beside the candles, by number: what a row of SERIES is of.
FUNDING_RATE: Final = 0  # fraction of notional that longs paid at the newest settlement
MARK_PRICE: Final = 1  # quote per base
INDEX_PRICE: Final = 2
OPEN_INTEREST: Final = 3  # base units or contracts, as its source has it
LONG_SHORT_RATIO: Final = 4  # accounts or positions that are long ÷ short
SERIES_NAMES: Final = ("funding", "mark", "index", "open_interest", "long_short_ratio")

# What became known of a series; NaN: from then on it is not known.
SERIES: Final = record(
    ("known_ms", "i8"),  # it is seen at closes from this time on, never before
    ("symbol", "i8"),
    ("kind", "i8"),
    ("value", "f8"),
    ("open", "f8"),  # of a candle that closed at `known_ms`; of a single value the value
    ("high", "f8"),
    ("low", "f8"),
)

MOST_BRACKETS: Final = 40  # of a market's table of leverage
MOST_TIERS: Final = 20  # of its fees, that without volume included

# What is known of a market. Zero sizes mean "any".
MARKET: Final = record(
    ("is_perpetual", "i8"),  # 0 spot, 1 linear perpetual
    # The account's smallest unit (`papertape.engine.broker.ledger`), the same of every market that it trades.
    ("units_per_quote", "f8"),
    ("quote_per_unit", "f8"),
    ("quote_per_volume", "f8"),  # of what fee tiers count
    ("contract_value", "f8"),  # base units of one contract; 1 on spot
    ("tick_size", "f8"),  # quote
    ("lot_size", "f8"),  # base units
    ("minimum_size", "f8"),  # base units
    ("minimum_notional", "f8"),  # quote
    ("taker_fee_rate", "f8"),
    ("maker_fee_rate", "f8"),
    # Fees beyond the rate (`papertape.engine.broker.risk.fees`), and rates by volume; those above are in force.
    ("has_fees", "i8"),
    ("fee_fixed", "f8"),  # quote, of every fill
    ("fee_minimum", "f8"),  # quote
    ("fee_surcharge_rate", "f8"),  # of the fee
    ("fee_reserve", "f8"),  # quote that buying power leaves for what is no rate
    ("fee_markets", "i8"),  # that may each pay a fee at one open
    ("fee_address", "i8"),  # of a user's function in this process, in no snapshot; 0 = none
    ("n_tiers", "i8"),
    ("tier_volume", "f8", (MOST_TIERS,)),  # of thirty days, quote
    ("tier_taker_fee_rate", "f8", (MOST_TIERS,)),
    ("tier_maker_fee_rate", "f8", (MOST_TIERS,)),
    ("half_spread_rate", "f8"),
    ("slippage_rate", "f8"),
    ("maximum_leverage", "f8"),
    # Isolated margin: notional ÷ leverage is what a position may lose. 0 = none, nothing is liquidated.
    ("leverage", "f8"),
    ("maintenance_rate", "f8"),  # of notional, which the margin must still be worth
    ("maintenance_slope", "f8"),  # that it grows by per quote of notional beyond the next
    ("maintenance_from", "f8"),  # quote
    ("liquidation_fee_rate", "f8"),
    # Leverage by size (`papertape.engine.broker.risk.brackets`): the rates above do not count where there is a table.
    ("largest_notional", "f8"),  # of a position at its leverage, quote; 0 = any
    ("n_brackets", "i8"),
    ("bracket_from", "f8", (MOST_BRACKETS,)),  # notional, quote
    ("bracket_rate", "f8", (MOST_BRACKETS,)),  # of the notional within it that must be maintained
    ("bracket_amount", "f8", (MOST_BRACKETS,)),  # what lower ones are cheaper by, quote
    ("is_cross", "i8"),  # it stands on the account's margin, not on its own
    # Symbols that move together (`papertape.engine.broker.risk.groups`).
    ("group", "i8"),  # 0 = none
    ("group_gross", "f8"),  # notional of all of it ÷ equity
    # Its part of the account (`papertape.engine.broker.risk.allocation`).
    ("is_allotted", "i8"),  # whether it may have one
    ("share", "f8"),  # of equity, as it was written down; 0 = by rule
)

# What of a market can change while it is traded, by number; what comes to be known later stands at the end.
MARKET_FIGURES: Final = (
    "tick_size", "lot_size", "minimum_size", "minimum_notional", "taker_fee_rate", "maker_fee_rate", "fee_fixed",
    "fee_minimum", "fee_surcharge_rate", "half_spread_rate", "slippage_rate", "maximum_leverage", "leverage",
    "maintenance_rate", "maintenance_slope", "maintenance_from", "liquidation_fee_rate", "largest_notional",
    "tier_volume", "tier_taker_fee_rate", "tier_maker_fee_rate", "bracket_from", "bracket_rate", "bracket_amount",
)  # fmt: skip

# One figure of a market that changed, between two instants.
CHANGE: Final = record(
    ("sequence", "i8"),
    ("time_ms", "i8"),  # when it was known
    ("symbol", "i8"),
    ("figure", "i8"),  # index into MARKET_FIGURES
    ("place", "i8"),  # row of a table, 0 where it is none
    ("before", "f8"),
    ("after", "f8"),
)
