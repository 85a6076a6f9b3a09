"""
One market of the venue: its candles, the trades behind them, and what both were at any instant.

Everything here is a function of the tape, the seed and the time asked about, so that the stream, the history and the
ticker cannot disagree. Candles without volume are candles without trades: flat at the last price, whatever they said.
"""

from typing import Any, Final

import numpy as np

from papertape.engine.candles import WEEK_ANCHOR_MS, WEEK_MS, empty_candles
from papertape.engine.jit import Rows
from papertape.replay.exchange.products import Listing
from papertape.replay.exchange.trades import Candle, TickPath, Trade
from papertape.replay.tapes.tape import Tape

_REMEMBERED: Final = 512  # candles whose trades are kept


class TapeMarket:
    """
    A tape as a venue sees it; its volumes are contracts here, while `truth` stays in the tape's base units.

    week_anchor_ms  first millisecond of some week
    """

    def __init__(self, tape: Tape, listing: Listing, seed: int, week_anchor_ms: int = WEEK_ANCHOR_MS) -> None:
        self.symbol = listing.symbol
        self.listing = listing
        self.base_ms = tape.length_ms
        self._week_anchor_ms = week_anchor_ms
        self._truth = own_candles(tape.candles)
        self.first_ms = int(self._truth["open_ms"][0])
        self.end_ms = int(self._truth["open_ms"][-1]) + self.base_ms
        self._path = TickPath(seed, self.symbol, self.base_ms, listing.decimals)
        self._trades: dict[int, tuple[Trade, ...]] = {}
        self._read_columns()

    def _read_columns(self) -> None:
        """Keep the candles that traded, one contiguous array per column."""
        traded = self._truth[self._truth["volume"] > 0.0]
        columns = {name: np.ascontiguousarray(traded[name]) for name in Candle._fields}
        columns["volume"] /= float(self.listing.contract_value)
        self.columns: dict[str, Any] = columns
        self.stamps = columns["open_ms"]

    def truth(self, start_ms: int) -> Rows:
        """Return the venue's own candles from `start_ms` on."""
        return self._truth[self._truth["open_ms"] >= start_ms].copy()

    def drop(self, start_ms: int, end_ms: int) -> None:
        """Let no trade have happened in the candles that open in this span."""
        stamps = self._truth["open_ms"]
        is_kept = (stamps < start_ms) | (stamps >= end_ms)
        self._truth = own_candles(self._truth[is_kept]) if is_kept.any() else self._truth[:0]
        self._trades.clear()
        self._read_columns()

    def correct(self, before_ms: int, factor: float) -> int:
        """
        Raise high and volume of the last candle that ended by `before_ms`, in the history only; return its open time.

        Its close stays, because flat candles without trades after it repeat the close.
        """
        k = int(np.searchsorted(self.stamps, before_ms - self.base_ms, "right")) - 1
        if k < 0:
            return 0
        self.trades(int(self.stamps[k]))  # the stream keeps what it said
        high = round(float(self.columns["high"][k]) * factor, self.listing.decimals)
        self.columns["high"][k] = max(high, self.columns["high"][k])
        self.columns["volume"][k] *= factor
        return int(self.stamps[k])

    def bucket(self, time_ms: int, length_ms: int) -> int:
        """Return the start of the candle of `length_ms` that holds an instant."""
        anchor = 0
        if length_ms == WEEK_MS:  # a weekly tape has its own grid
            anchor = WEEK_ANCHOR_MS if self.base_ms == WEEK_MS else self._week_anchor_ms
        return (time_ms - anchor) // length_ms * length_ms + anchor

    def index(self, time_ms: int) -> int:
        """Return how many candles with trades open before `time_ms`."""
        return int(np.searchsorted(self.stamps, time_ms))

    def row(self, k: int) -> Candle:
        """Return the k-th candle that has trades."""
        columns = self.columns
        return Candle(*(columns[name][k].item() for name in Candle._fields))

    def trades(self, open_ms: int) -> tuple[Trade, ...]:
        """Return the trades of the candle that opens then; none when it had none."""
        found = self._trades.get(open_ms)
        if found is None:
            k = self.index(open_ms)
            is_there = k < len(self.stamps) and self.stamps[k] == open_ms
            found = self._path.trades(self.row(k)) if is_there else ()
            if len(self._trades) >= _REMEMBERED:
                self._trades.clear()
            self._trades[open_ms] = found
        return found

    def between(self, start_ms: int, end_ms: int) -> list[Trade]:
        """Return the trades of a span, its end excluded."""
        first = self.index(self.bucket(start_ms, self.base_ms))
        found: list[Trade] = []
        for stamp in self.stamps[first : self.index(end_ms)].tolist():
            found += self.trades(stamp)
        if found and (found[0].time_ms < start_ms or found[-1].time_ms >= end_ms):
            return [trade for trade in found if start_ms <= trade.time_ms < end_ms]
        return found

    def last_trades(self, time_ms: int, n: int) -> list[Trade]:
        """Return the newest `n` trades up to `time_ms`, newest first."""
        k = self.index(time_ms + 1)
        found: list[Trade] = []
        while k > 0 and len(found) < n:
            k -= 1
            stamp = int(self.stamps[k])
            found += [t for t in reversed(self.trades(stamp)) if t.time_ms <= time_ms]
        return found[:n]

    def last_price(self, time_ms: int) -> float | None:
        """Return the price of the last trade up to `time_ms`."""
        found = self.last_trades(time_ms, 1)
        return found[0].price if found else None

    def candle(self, open_ms: int, length_ms: int, until_ms: int) -> Candle | None:
        """
        Return the state of a candle at `until_ms`, or None before its first trade.

        Whole base candles are added up first, then the trades of the last one: everywhere the same order, so that
        volumes are the same bits in the stream and in the history.
        """
        end_ms = min(open_ms + length_ms, until_ms + 1)
        whole_ms = max(self.bucket(end_ms, self.base_ms), open_ms)
        state: Candle | None = None
        if length_ms % self.base_ms == 0:
            for k in range(self.index(open_ms), self.index(whole_ms)):
                state = joined(state, self.row(k), open_ms)
        else:
            whole_ms = open_ms
        for trade in self.between(whole_ms, end_ms):
            state = traded(state, trade, open_ms)
        return state


def traded(state: Candle | None, trade: Trade, open_ms: int) -> Candle:
    """Return a candle after one more trade."""
    price = trade.price
    return joined(state, Candle(open_ms, price, price, price, price, trade.size), open_ms)


def joined(state: Candle | None, more: Candle, open_ms: int) -> Candle:
    """Return a candle with what happened next."""
    if state is None:
        return more._replace(open_ms=open_ms)
    _, start, high, low, _, volume = state
    assert high is not None
    assert low is not None
    assert more.high is not None
    assert more.low is not None
    return Candle(open_ms, start, max(high, more.high), min(low, more.low), more.close, volume + more.volume)


def own_candles(candles: Rows) -> Rows:
    """Return the candles that the venue can have had: none before the first trade, flat ones without volume."""
    has_volume = candles["volume"] > 0.0
    own = empty_candles(len(candles))
    own[:] = candles
    own["symbol"] = 0
    number = np.maximum.accumulate(np.where(has_volume, np.arange(len(own)), -1))
    is_flat = ~has_volume & (number >= 0)
    close = own["close"][number[is_flat]]
    for name in ("open", "high", "low", "close"):
        own[name][is_flat] = close
    return own[number >= 0]
