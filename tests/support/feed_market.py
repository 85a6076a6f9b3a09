"""
A small market for tests of live feeds: seeded trades, the candles they make, the frames a venue would send of them, and
a history that may lag. Written from delta-exchange.md 3.8, 7.3 and 11; it knows nothing of the code that it tests.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from papertape.daemon.feeds.finality.bars import Bar, FinalCandle
from papertape.daemon.feeds.finality.finality import Finality, HistoryRequest
from papertape.daemon.feeds.protocol import Notice
from papertape.engine.candles import CANDLE, FLAG_FILLED
from papertape.engine.jit import Rows

LENGTH_MS = 60_000
START_MS = 1_795_428_900_000  # 2026-11-23 10:15 UTC, delta-exchange.md 8
CONTRACT_VALUE = 0.001


class Trade(NamedTuple):
    time_ms: int
    price: float
    contracts: int


@dataclass(frozen=True)
class Switches:
    """How the venue behaves: delta-exchange.md 7.3."""

    has_start: bool = True
    final: Literal["before", "after", "late", "missing"] = "before"
    no_trade: Literal["silent", "null", "flat"] = "silent"
    publish: Literal["changed", "always", "trade"] = "changed"
    numbers: Literal["documented", "strings", "ints"] = "documented"
    gaps: Literal["padded", "sparse"] = "padded"
    lag_ms: int = 0
    lag: Literal["padded", "absent"] = "padded"
    is_legacy: bool = False


class Market:
    """The trades of one symbol; one before the start, so that there is always a last price."""

    def __init__(self, symbol: str, seed: int, trades_per_bar: float, n_bars: int) -> None:
        self.symbol = symbol
        self.n_bars = n_bars
        random = np.random.default_rng(seed)
        times = [START_MS - 30_000]
        for bar in range(n_bars + 1):
            begin = START_MS + bar * LENGTH_MS
            n = int(random.poisson(trades_per_bar))
            times += sorted((begin + random.integers(0, LENGTH_MS, n)).tolist())
            if n and random.random() < 0.5:  # what the last frame before the end misses
                times.append(begin + LENGTH_MS - 1 - int(random.integers(1, 400)))
                times.sort()
        prices = 86_000.0 + 0.5 * np.cumsum(random.integers(-3, 4, len(times)))
        sizes = random.integers(1, 50, len(times))
        self.trades = [
            Trade(time, float(price), int(size))
            for time, price, size in zip(times, prices, sizes, strict=True)
        ]

    def state(self, open_ms: int, until_ms: int) -> tuple[float, float, float, float, int] | None:
        """Return open, high, low, close and contracts of a candle's trades up to a time."""
        end_ms = min(open_ms + LENGTH_MS - 1, until_ms)
        trades = [trade for trade in self.trades if open_ms <= trade.time_ms <= end_ms]
        if not trades:
            return None
        prices = [trade.price for trade in trades]
        contracts = sum(trade.contracts for trade in trades)
        return prices[0], max(prices), min(prices), prices[-1], contracts

    def price_before(self, time_ms: int) -> float:
        """Return the price of the last trade before a time."""
        return [trade.price for trade in self.trades if trade.time_ms < time_ms][-1]

    def truth(self) -> list[Bar]:
        """Return the candles as they are."""
        bars = []
        for number in range(self.n_bars):
            open_ms = START_MS + number * LENGTH_MS
            state = self.state(open_ms, open_ms + LENGTH_MS)
            if state is None:
                bars.append(Bar.flat(open_ms, self.price_before(open_ms)))
            else:
                bars.append(Bar(open_ms, *state[:4], state[4] * CONTRACT_VALUE))
        return bars

    def history(
        self, switches: Switches, first_ms: int, last_ms: int, now_ms: int, scale: float = 1.0
    ) -> Rows:
        """Return what the venue's history says at a time, oldest first, in contracts times `scale`."""
        seen_ms = now_ms - switches.lag_ms
        newest_ms = now_ms if switches.lag == "padded" else seen_ms
        rows = []
        for open_ms in range(first_ms, min(last_ms, newest_ms) // LENGTH_MS * LENGTH_MS + 1, LENGTH_MS):
            state = self.state(open_ms, seen_ms)
            if state is not None:
                rows.append((open_ms, 0, *state[:4], state[4] * scale, 0))
            elif rows and switches.gaps == "padded":  # leading empty ones are not returned
                price = rows[-1][5]
                rows.append((open_ms, 0, price, price, price, price, 0.0, FLAG_FILLED))
        return np.array(rows, CANDLE)

    def frames(self, switches: Switches, first_bar: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (time, candle frame), not quite in order of time."""
        for number in range(first_bar, self.n_bars + 1):
            open_ms = START_MS + number * LENGTH_MS
            end_ms = open_ms + LENGTH_MS
            price = self.price_before(open_ms)
            empty: Any = {"null": (None, None, None, None, 0), "flat": (price,) * 4 + (0,)}
            if switches.no_trade != "silent":
                yield (open_ms + 20, self._frame(switches, open_ms, open_ms + 20, empty[switches.no_trade]))
            sent = None
            for time_ms in self._ticks(switches, open_ms):
                state = self.state(open_ms, time_ms)
                if state is not None and (state != sent or switches.publish == "always"):
                    yield time_ms, self._frame(switches, open_ms, time_ms, state)
                    sent = state
            state = self.state(open_ms, end_ms)
            delay_ms = {"before": -1, "after": 50, "late": 700, "missing": 0}[switches.final]
            if delay_ms and state is not None and state != sent:
                yield end_ms + delay_ms, self._frame(switches, open_ms, end_ms + delay_ms, state)
            if state is None and switches.no_trade != "silent":
                yield (end_ms - 10, self._frame(switches, open_ms, end_ms - 10, empty[switches.no_trade]))

    def _ticks(self, switches: Switches, open_ms: int) -> list[int]:
        if switches.publish != "trade":
            return list(range(open_ms + 500, open_ms + LENGTH_MS, 500))
        times = [t.time_ms for t in self.trades if open_ms <= t.time_ms < open_ms + LENGTH_MS]
        return times if switches.final == "before" else times[:-1]

    def _frame(
        self, switches: Switches, open_ms: int, time_ms: int, state: tuple[Any, ...]
    ) -> dict[str, Any]:
        numbers: dict[str, Callable[[float], Any]] = {
            "documented": float,
            "strings": str,
            "ints": lambda value: int(value) if value == int(value) else value,
        }
        values = [None if value is None else numbers[switches.numbers](value) for value in state]
        names = ("open", "high", "low", "close", "volume")
        if switches.is_legacy:
            frame = dict(zip(names, values, strict=True))
            frame |= {"symbol": self.symbol, "timestamp": time_ms * 1000, "resolution": "1m"}
            started = "candle_start_time"
        else:
            frame = dict(zip("ohlcv", values, strict=True))
            frame |= {"sy": self.symbol, "ts": time_ms * 1000, "res": "1m"}
            started = "cst"
        if switches.has_start:
            frame[started] = open_ms * 1000
        return {**frame, "type": "candlestick_1m"}


class Simulation:
    """
    One symbol's stream and history against a finality table, event by event.

    answers   what the history says to a request at a time; None: it fails
    """

    def __init__(self, table: Finality, answers: Callable[[HistoryRequest], Rows | None]) -> None:
        self.table = table
        self.answers = answers
        self.finals: list[FinalCandle] = []
        self.final_at: list[int] = []
        self.notices: list[Notice] = []
        self.now_ms = START_MS
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._n_events = 0

    def at(self, time_ms: int, action: Callable[[int], None]) -> None:
        """Do something at a time."""
        self._n_events += 1
        heapq.heappush(self._events, (time_ms, self._n_events, action))

    def run(self, until_ms: int) -> None:
        """Go on until a time."""
        self._advance()
        while True:
            times = [self._events[0][0]] if self._events else []
            if (due_ms := self.table.next_deadline_ms()) is not None:
                times.append(due_ms)
            if not times or min(times) > until_ms:
                return
            self.now_ms = max(self.now_ms, min(times))
            while self._events and self._events[0][0] <= self.now_ms:
                heapq.heappop(self._events)[2](self.now_ms)
            self._advance()

    def _advance(self) -> None:
        step = self.table.advance(self.now_ms)
        self.finals += step.finals
        self.final_at += [self.now_ms] * len(step.finals)
        self.notices += step.notices
        for request in step.wanted:
            self.at(request.asked_ms + 100, lambda now_ms, r=request: self._answer(r, now_ms))

    def _answer(self, request: HistoryRequest, now_ms: int) -> None:
        rows = self.answers(request)
        if rows is None:
            self.table.fail(request)
        else:
            self.table.answer(request, rows, now_ms)
