"""
The conformance table beside backtesting.py: the same candles, the same instructions, and whose fills differ.

    python -m tests.bench.conformance

What that engine cannot be told (a trailing stop, an order that only reduces, half a unit) is counted as such. Every row
that it answers otherwise has its reason in `REASONS`; one without a reason fails the command.
"""

import sys
import warnings
from collections import Counter
from typing import Any, Final

import numpy as np
import pandas as pd

from tests.engine.broker.working.test_conformance import (
    SITUATIONS,
    Situation,
    candles_of,
    engine_of,
)

MINUTE_MS: Final = 60_000
CASH: Final = 10_000.0
LEVERAGE: Final = 10.0
_SAID: Final = {
    "limit": "limit",
    "stop": "stop",
    "stop_loss": "sl",
    "take_profit": "tp",
    "tag": "tag",
}
Fills = list[tuple[int, float, float]]  # candle, signed quantity, price


class NotSaid(Exception):
    """That engine has no words for it."""


class TheirView:
    """What a row writes, said to backtesting.py."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    @property
    def position(self) -> float:
        return float(self._strategy.position.size)

    @property
    def entry_price(self) -> float:
        return float(self._strategy.trades[-1].entry_price)

    def buy(self, quantity: float | None = None, **options: Any) -> None:
        self._place(self._strategy.buy, quantity, options)

    def sell(self, quantity: float | None = None, **options: Any) -> None:
        self._place(self._strategy.sell, quantity, options)

    def exit(self, share: float = 1.0, **options: Any) -> None:
        if options:
            raise NotSaid("an order that only reduces")
        self._strategy.position.close(share)

    def cancel(self, tag: str = "") -> None:
        for order in self._strategy.orders:
            if not tag or order.tag == tag:
                order.cancel()

    def _place(self, how: Any, quantity: float | None, options: dict[str, Any]) -> None:
        if quantity is None or quantity != int(quantity):
            raise NotSaid("a size that is no whole number of units")
        unknown = options.keys() - _SAID.keys()
        if unknown:
            raise NotSaid(f"the option {min(unknown)}")
        how(size=int(quantity), **{_SAID[name]: value for name, value in options.items()})

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("stop", "target"):
            for trade in self._strategy.trades:
                setattr(trade, "sl" if name == "stop" else "tp", value)
        else:
            super().__setattr__(name, value)


def ours(situation: Situation) -> Fills:
    report = engine_of(situation).step(candles_of(situation))
    return sorted(
        (
            int(row["candle_ms"]) // MINUTE_MS + 1,
            float(row["side"] * row["quantity"]),
            float(row["price"]),
        )
        for row in report.fills
    )


def theirs(situation: Situation) -> Fills:
    """Return their fills; raises NotSaid for what they have no words for."""
    from backtesting import Backtest, Strategy

    if situation.options:
        raise NotSaid(f"the setting {min(situation.options)}")
    if any(line.startswith("return ") for lines in situation.asked.values() for line in lines):
        raise NotSaid("a decision")

    class Told(Strategy):  # type: ignore[misc] # it ships no types
        def init(self) -> None:
            pass

        def next(self) -> None:
            # One candle stands before the first: it is never asked about its first.
            for line in situation.asked.get(len(self.data) - 1, ()):
                exec(line, {"view": TheirView(self)})  # noqa: S102

    rows = candles_of(situation)
    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name.title(): rows[name] for name in names})
    frame = pd.concat([frame.iloc[:1], frame], ignore_index=True)
    frame.index = pd.to_datetime(np.arange(len(frame)) * MINUTE_MS, unit="ms")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = Backtest(frame, Told, cash=CASH, margin=1.0 / LEVERAGE, trade_on_close=False)
        broker = test.run()["_strategy"]._broker
    fills = []
    for trade in (*broker.closed_trades, *broker.trades):
        fills.append((int(trade.entry_bar), float(trade.size), float(trade.entry_price)))
        if trade.exit_price is not None:
            fills.append((int(trade.exit_bar), -float(trade.size), float(trade.exit_price)))
    return sorted(fills)


def together(fills: Fills) -> Fills:
    """Return fills of one candle and price as one: two engines split them in their own ways."""
    sums: dict[tuple[int, float], float] = {}
    for candle, quantity, price in fills:
        sums[candle, price] = sums.get((candle, price), 0.0) + quantity
    return sorted(
        (candle, quantity, price) for (candle, price), quantity in sums.items() if quantity
    )


_TOUCH: Final = "a touch of the limit is a fill there; here the price has to trade through it (`account.limit_fill`)"
_PASSED: Final = "a stop order that the price has passed already trades at the next open there; a venue refuses it"
_OWN_STOP: Final = (
    "a stop belongs to a single trade there; what is added has none, here it covers the position"
)
_LATE: Final = "stop and target of an entry by limit or stop begin in the next candle there, even where this one proves them"
_BEYOND: Final = (
    "a level beyond the price closes at the next open there; a venue refuses it, the old one stays"
)
REASONS: Final = {
    "a limit order that is only touched does not fill": _TOUCH,
    "a limit order to sell that is only touched does not fill": _TOUCH,
    "a limit price is put on the tick": "it knows no tick",
    "a stop order at the price is refused": _PASSED,
    "a stop order below the price is refused": _PASSED,
    "a stop order to sell above the price is refused": _PASSED,
    "a stop-limit order meets its limit in the same candle only on the way that is certain":
        "the limit that a stop has made waits for the next candle there",
    "the open gaps through a stop-limit order inside its limit: the open":
        "it fills at 103 in a candle that trades between 105 and 107",
    "the stop of a position covers what was added": _OWN_STOP,
    "what is added may bring another stop": _OWN_STOP,
    "an order that adds above the stop is stopped with the rest": _OWN_STOP,
    "a stop on the wrong side of the close is refused, the old one stays": _BEYOND,
    "a target on the wrong side of the close is refused": _BEYOND,
    "a position opened inside a candle meets its stop on the same way down": _LATE,
    "a close below the stop came after the entry for certain": _LATE,
    "a close above the target came after the entry for certain": _LATE,
    "stop and target could both have come after the entry: the stop": _LATE,
    "a short opened inside a candle meets its stop on the same way up": _LATE,
    "a close below a short's target came after the entry for certain": _LATE,
    "a limit entry that gaps fills at the open and meets the whole candle": _LATE,
    "an order that adds below the stop of a position opens anew": _LATE,
    "a stop on the wrong side of the fill: no position": "the fill is not looked at again there; the position begins beyond its stop",
}  # fmt: skip


def written(fills: Fills) -> str:
    """Return fills as a cell of the table."""
    cells = [f"{candle}: {quantity:+g} @ {price:g}" for candle, quantity, price in fills]
    return ", ".join(cells) or "none"


def compared() -> tuple[Counter[str], list[tuple[str, Fills, Fills]]]:
    """Return how many rows are answered alike, otherwise or not at all, and those that are answered otherwise."""
    counts: Counter[str] = Counter()
    different = []
    for situation in SITUATIONS:
        try:
            there = together(theirs(situation))
        except NotSaid as reason:
            counts[f"cannot be said: {reason}"] += 1
            continue
        here = together(ours(situation))
        counts["alike" if there == here else "otherwise"] += 1
        if there != here:
            different.append((situation.title, here, there))
    return counts, different


def page() -> str:
    """Return the page of the documents."""
    counts, different = compared()
    silent = {what: n for what, n in counts.items() if what.startswith("cannot")}
    lines = [
        "# Conformance",
        "",
        "Made by `make conformance`: each situation of `tests/engine/broker/working/conformance` in papertape and in backtesting.py "
        "0.6.6, by fills.",
        "",
        f"Of {len(SITUATIONS)} situations that engine has no words for {sum(silent.values())}. Of the rest {counts['alike']} are "
        f"answered alike and {counts['otherwise']} otherwise; fills are `candle: signed quantity @ price`.",
        "",
        "| Situation | papertape | backtesting.py | Why |",
        "|---|---|---|---|",
    ]
    for title, here, there in different:
        lines.append(
            f"| {title} | {written(here)} | {written(there)} | {REASONS.get(title, '?')} |"
        )
    lines += ["", "| What it has no words for | Situations |", "|---|---|"]
    for what, n in sorted(silent.items(), key=lambda pair: (-pair[1], pair[0])):
        lines.append(f"| {what.removeprefix('cannot be said: ')} | {n} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page; fail when a difference has no reason, or a reason no difference."""
    print(page(), end="")  # noqa: T201
    titles = {title for title, _, _ in compared()[1]}
    if titles != set(REASONS):
        sys.exit(f"without a reason or without a difference: {sorted(titles ^ set(REASONS))}")


if __name__ == "__main__":
    main()
