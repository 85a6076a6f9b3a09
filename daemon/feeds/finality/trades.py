"""Candles from single trades: states for the finality table, as a stream of candle frames would show them."""

from dataclasses import dataclass

from papertape.daemon.feeds.finality.bars import Bar

# Trades of a candle may arrive after the first of the next one; older than that they are the history's affair.
KEPT_CANDLES = 3


@dataclass(slots=True)
class _Total:
    """One candle in the making."""

    bar: Bar
    contracts: float
    first_us: int
    last_us: int


class TradeCandles:
    """
    The newest candles of one symbol.

    contract_value   base units per contract; contracts are added first and multiplied once, as the venue's own candles
                     are, so that the volume has the same bits
    """

    def __init__(self, length_ms: int, contract_value: float) -> None:
        self.contract_value = contract_value
        self._length_us = length_ms * 1000
        self._totals: dict[int, _Total] = {}

    def add(self, price: float, contracts: float, matched_us: int) -> Bar:
        """Add a trade and return the state of its candle; the open is the earliest match, the close the latest."""
        open_ms = matched_us // self._length_us * self._length_us // 1000
        total = self._totals.get(open_ms)
        if total is None:
            volume = contracts * self.contract_value
            bar = Bar(open_ms, price, price, price, price, volume)
            self._totals[open_ms] = _Total(bar, contracts, matched_us, matched_us)
            if len(self._totals) > KEPT_CANDLES:
                del self._totals[min(self._totals)]
            return bar
        total.contracts += contracts
        bar = total.bar
        total.bar = Bar(
            open_ms,
            price if matched_us < total.first_us else bar.open,
            max(bar.high, price),
            min(bar.low, price),
            price if matched_us >= total.last_us else bar.close,
            total.contracts * self.contract_value,
        )
        total.first_us = min(total.first_us, matched_us)
        total.last_us = max(total.last_us, matched_us)
        return total.bar
