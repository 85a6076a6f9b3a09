"""
Why nautilus_trader 1.221 answers otherwise.

Read in its `backtest/engine.pyx` (class `OrderMatchingEngine`), `execution/matching_core.pyx`, `execution/trailing.pyx` and
`risk/engine.pyx`, and seen in the events of the rows.
"""

from typing import Final

from tests.bench.conformance.differences import Difference

DIFFERENCES: Final = (
    Difference(
        "at the close",
        "what is asked at a close is worked off at that close's price, before the next open is known (`SimulatedExchange.process` "
        "after each bar); here it gets the next open",
        (
            "a market order fills at the next open",
            "a market order to sell opens a short",
            "a new limit order above the market takes the open",
            "an order adds to a position at the average",
            "a part of a position is sold, the rest keeps its entry",
            "a part of a position is sold by quantity",
            "parts are rounded down to lots, the last takes what is left",
            "more than the position is only the position",
            "a plain order larger than the position turns it round, in two fills",
            "a quantity is rounded down to lots",
            "the stop of a position covers what was added",
            "what is added may bring another stop",
            "the whole of a position is sold at a limit, whatever is added before",
            "immediate or cancel: filled at once",
            "fill or kill: all at once",
            "latency of one candle",
            "a stop on the wrong side of the fill: no position",
            "profit taken on the way to the high, then nothing for certain",
        ),
    ),
    Difference(
        "trigger in a gap",
        "a stop, touch or trailing order that the open of a bar has passed fills at its trigger, where nothing traded "
        "(`set_triggered_price_c`); here at the open",
        (
            "the open gaps through a stop order: the open",
            "the open gaps through a stop order to sell: the open",
            "the open gaps through a stop-limit order inside its limit: the open",
            "the open gaps through a touch order: the open",
            "a trailing stop that the open has passed gets the open",
            "a stop that moved above the open is passed by it",
            "the open passes the stop: the open, and what reduces ends",
            "a stop on the wrong side of the fill: no position",
        ),
    ),
    Difference(
        "limit in a gap",
        "a limit order that rested fills at its limit where the open is better (`determine_limit_price_and_volume`); here at the open",
        (
            "a resting limit order gets the better open",
            "a resting limit order to sell gets the better open",
            "a limit order that rested pays as a maker at a better open, too",
            "the open passes the target: the open",
            "the open passes a limit order to take profit: the open",
            "a post-only order that rested gets the better open",
            "a limit entry that gaps fills at the open and meets the whole candle",
        ),
    ),
    Difference(
        "fill hides the extreme",
        "once a resting limit has filled, its price stands for the market until the next of a bar's four prices (`_has_targets`), so "
        "an order deeper in the bar is passed over",
        (
            "two limit orders fill in the order in which the price meets them",
            "three targets take a third each",
            "groups are told apart",
            "one order that reduces leaves less for the next",
        ),
    ),
    Difference(
        "stop refused at birth",
        "the stop of an entry that fills at a bar's extreme is put to the market there, is beyond it, and is refused "
        "(`reject_stop_orders`): the position has no stop; here it is stopped on the way",
        (
            "a position opened inside a candle meets its stop on the same way down",
            "stop and target could both have come after the entry: the stop",
            "a short opened inside a candle meets its stop on the same way up",
            "an order that adds below the stop of a position opens anew",
        ),
    ),
    Difference(
        "path taken as known",
        "of high and low the one nearer to the open comes first (`bar_adaptive_high_low_ordering`) and counts as what happened; here what "
        "cannot be known goes against the position",
        (
            "a short meets its stop above first",
            "a high before the entry is not its target",
            "a high before a short entry is not its stop",
        ),
    ),
    Difference(
        "no buying power",
        "the orders of a margin account are not checked against its money (`_check_orders_risk`: a to-do of theirs)",
        (
            "more than buying power is cut to it, and the rest is told",
            "without buying power an order ends",
            "two orders at one open share buying power",
            "fill or kill: less buying power than all is nothing",
        ),
    ),
    Difference(
        "digits, not steps",
        "prices and sizes are rounded to the digits of tick and lot, not to their multiples (`make_price`, `make_qty`)",
        (
            "a quantity is rounded down to lots",
            "less than a lot is refused",
            "a limit price is put on the tick",
            "parts are rounded down to lots, the last takes what is left",
        ),
    ),
    Difference(
        "size of its own",
        "a stop or limit that reduces keeps the size it was placed with; here stop and whole exit cover the position",
        (
            "the stop of a position covers what was added",
            "what is added may bring another stop",
            "the whole of a position is sold at a limit, whatever is added before",
            "an order that adds above the stop is stopped with the rest",
        ),
    ),
    Difference(
        "trigger, not limit",
        "a stop-limit order that rests after its stop fills at the stop's price, better than the limit at which it rested",
        ("a stop-limit order that rests fills later at its limit",),
    ),
    Difference(
        "trails one price late",
        "a trailing stop goes by the last price, which is noted only after the orders have been looked at (`_process_trade_bar_high`): "
        "the highest price has not moved it when the next comes",
        ("a trailing stop is put on the tick",),
    ),
    Difference(
        "limit moved across trades",
        "a target moved across the price is a limit order that takes at once; here it is refused, the old one stays",
        ("a target on the wrong side of the close is refused",),
    ),
    Difference(
        "by price within a bar's price",
        "orders that one price of a bar meets are walked buys first, then sells from the lowest price up (`sort_ask_orders`): the "
        "farther of two stops comes first",
        ("the nearer of two stops is met first",),
    ),
    Difference(
        "target is a limit",
        "a target has to be traded through like any limit order; here a touch is enough for the target of a position",
        ("a stop and a target that are moved at one close move together",),
    ),
    Difference(
        "target at the extreme",
        "the target of an entry that fills at a bar's extreme takes the extreme at once, better than its own price",
        ("a target beyond a stop entry lies on its way",),
    ),
    Difference(
        "expires with its bar",
        "all four prices of a bar carry the time of its close, and an order ends with the first of them",
        ("an order fills in the last candle before it expires",),
    ),
    Difference(
        "oversold spot ends the run",
        "a market order for more than is held is not checked while only bars are known, and its fill ends the backtest "
        "(`AccountBalanceNegative`); here it sells what there is",
        ("spot sells no more than it holds",),
    ),
)
