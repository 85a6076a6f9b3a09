"""
Why jesse 3.5.3 answers otherwise.

Read in its `modes/backtest_mode.py`, `strategies/Strategy.py`, `services/broker.py` and `services/order_service.py`.
"""

from typing import Final

from tests.bench.conformance.differences import Difference

DIFFERENCES: Final = (
    Difference(
        "at the close",
        "a market order is executed at the close that asked for it (`_simulate_market_order_execution`); here it gets the next open",
        (
            "a market order fills at the next open",
            "a market order to sell opens a short",
            "an order adds to a position at the average",
            "a part of a position is sold, the rest keeps its entry",
            "a part of a position is sold by quantity",
            "more than the position is only the position",
            "the stop of a position covers what was added",
            "the whole of a position is sold at a limit, whatever is added before",
            "profit taken on the way to the high, then nothing for certain",
        ),
    ),
    Difference(
        "touch",
        "an order fills when its price lies between low and high, both included (`_get_executing_orders`); here a limit has to be traded "
        "through (`account.limit_fill`)",
        (
            "a limit order that is only touched does not fill",
            "a limit order to sell that is only touched does not fill",
            "without a tick a touch is none",
        ),
    ),
    Difference(
        "size of its own",
        "a stop or target keeps the size it was placed with (`reduce_position_at`); here stop and whole exit cover the position",
        (
            "the stop of a position covers what was added",
            "the whole of a position is sold at a limit, whatever is added before",
            "an order that adds above the stop is stopped with the rest",
        ),
    ),
    Difference(
        "kind by the side of the price",
        "a stop moved above the price becomes a limit order there, a target moved below it a stop (`reduce_position_at`); here both are "
        "refused, the old level stays",
        (
            "a stop on the wrong side of the close is refused, the old one stays",
            "a target on the wrong side of the close is refused",
        ),
    ),
    Difference(
        "path taken as known",
        "a candle that does not fall goes down first, one that falls goes up first (`_sort_execution_orders`), and that counts as what "
        "happened; here what cannot be known goes against the position",
        ("a short meets its stop above first",),
    ),
    Difference(
        "close cancels entries",
        "when a position closes, every order that waits is cancelled, entries too (`_on_close_position`)",
        ("an entry after an exit in one candle, both on the way",),
    ),
    Difference("no tick", "it knows no tick in a backtest", ("a limit price is put on the tick",)),
)
