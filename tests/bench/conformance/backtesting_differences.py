"""Why backtesting.py 0.6.6 answers otherwise; read in its `backtesting.py`, class `_Broker`."""

from typing import Final

from tests.bench.conformance.differences import Difference

DIFFERENCES: Final = (
    Difference(
        "touch",
        "a touch of the limit is a fill; here the price has to trade through it (`account.limit_fill`)",
        (
            "a limit order that is only touched does not fill",
            "a limit order to sell that is only touched does not fill",
        ),
    ),
    Difference("no tick", "it knows no tick", ("a limit price is put on the tick",)),
    Difference(
        "passed stop",
        "a stop order that the price has passed already trades at the next open; a venue refuses it",
        (
            "a stop order at the price is refused",
            "a stop order below the price is refused",
            "a stop order to sell above the price is refused",
        ),
    ),
    Difference(
        "limit of a stop waits",
        "the limit that a stop has made waits for the next candle",
        ("a stop-limit order meets its limit in the same candle only on the way that is certain",),
    ),
    Difference(
        "outside the candle",
        "it fills at 103 in a candle that trades between 105 and 107",
        ("the open gaps through a stop-limit order inside its limit: the open",),
    ),
    Difference(
        "stop of a trade",
        "a stop belongs to a single trade; what is added has none, here it covers the position",
        (
            "the stop of a position covers what was added",
            "what is added may bring another stop",
            "an order that adds above the stop is stopped with the rest",
        ),
    ),
    Difference(
        "level beyond the price",
        "a level that is moved beyond the price closes at the next open; a venue refuses it, the old one stays",
        (
            "a stop on the wrong side of the close is refused, the old one stays",
            "a target on the wrong side of the close is refused",
        ),
    ),
    Difference(
        "bracket one candle late",
        "stop and target of an entry by limit or stop begin in the next candle, even where this one proves them",
        (
            "a position opened inside a candle meets its stop on the same way down",
            "a close below the stop came after the entry for certain",
            "a close above the target came after the entry for certain",
            "stop and target could both have come after the entry: the stop",
            "a short opened inside a candle meets its stop on the same way up",
            "a close below a short's target came after the entry for certain",
            "a limit entry that gaps fills at the open and meets the whole candle",
            "an order that adds below the stop of a position opens anew",
        ),
    ),
    Difference(
        "born beyond its stop",
        "the fill is not looked at again; the position begins beyond its stop",
        ("a stop on the wrong side of the fill: no position",),
    ),
)
