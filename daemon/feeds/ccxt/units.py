"""
Whether a stream counts volume as the history of the same venue does.

ccxt passes on what each endpoint sends: on some venues one says base and the other quote, contracts or lots (4.5.90:
gate spot, whose stream's `v` is quote; bitrue's contracts). A table of venues would be out of date with the next
release, so each stream is compared with its history: a candle of which both say the same prices must have the same
volume, but for the last trades that one of the two may still lack.
"""

from collections import OrderedDict
from typing import Final

from papertape.daemon.feeds.finality.bars import Bar

CANDLES: Final = 3  # in a row that agree in prices and not in volume
_KEPT: Final = 8
_LACKING: Final = 2.0  # a factor that late trades at unchanged prices do not reach


class VolumeUnits:
    """The stream of one symbol against its history."""

    def __init__(self) -> None:
        self._shown: OrderedDict[int, Bar] = OrderedDict()
        self._odd = 0

    def see(self, bar: Bar) -> None:
        """Take a state of a candle from the stream."""
        self._shown[bar.open_ms] = bar
        while len(self._shown) > _KEPT:
            self._shown.popitem(last=False)

    def compare(self, bars: list[Bar]) -> str:
        """Take the history's candles, oldest first; return what is wrong with the stream's volume, or nothing."""
        if not self._shown:
            return ""
        newest_ms = max(self._shown)
        traded_ms = max((bar.open_ms for bar in bars if bar.has_traded), default=0)
        for bar in bars:
            # Of a candle that both have left behind the last states are compared, each once.
            if bar.open_ms >= min(newest_ms, traded_ms) or bar.open_ms not in self._shown:
                continue
            shown = self._shown.pop(bar.open_ms)
            if shown[1:5] != bar[1:5] or bar.volume <= 0.0 or shown.volume <= 0.0:
                continue
            ratio = shown.volume / bar.volume
            self._odd = self._odd + 1 if _is_odd(ratio, bar) else 0
            if self._odd >= CANDLES:
                return f"it counts volume otherwise than its history, {ratio:.6g} to 1"
        return ""


def _is_odd(ratio: float, bar: Bar) -> bool:
    """Return whether two volumes of one candle cannot be of one unit: far apart, or a price apart."""
    is_far = not 1.0 / _LACKING < ratio < _LACKING
    # Quote for base is the average price; near a price of one the two are hardly different.
    is_price = abs(ratio - 1.0) > 1e-3 and bar.low <= ratio <= bar.high and bar.low > 1.0
    return is_far or is_price
