"""
Finality: which candle is final, when, and with which values. A table without I/O and without a clock of its own.

Every candle of every symbol goes forming → closed → final, in order, exactly once:

    forming   its time is not over; the newest state that the stream showed is kept
    closed    its time is over by the venue's clock (`close_ms`) or a later candle was seen; the history is asked
    final     the history proved it; or, when no other symbol of its instant is waited for, it is the best that is
              known: unproven at the history's last look, unconfirmed at the deadline when the history did not answer
              and the stream was heard around the end, or absent after the grace period because nothing gave it

What is not proven is decided for all symbols of an instant together. The engine steps instants with all symbols at
once, because they share one account, so a guess that goes out early helps nobody; and as long as the instant waits for
anyone, a right candle that comes is used.

The venue's history is the arbiter, and it may lag behind the stream: a lagging candle is missing, flat, or an older
state of itself. What an answer proves is in `rules.py`. Delays count from the candle's end. Deadline and grace stand
still while the stream is down: nothing is decided about a candle that nobody could have delivered, so a cut line
ends in a backfill, not in absences.

Whoever owns sockets and time does this, in any order and as often as it likes:

    table = Finality(symbols, Rules.of(live), source="stream")
    table.start(symbol, after_ms, last_close, traded_ms)  # the first candle wanted is the one after `after_ms`
    table.connect(now_ms); table.disconnect()       # whether the stream is up
    table.see(symbol, bar, published_us, now_ms)    # one state of a candle, from the stream
    table.answer(request, rows, now_ms)             # the history's answer to a request; or
    table.fail(request)                             # that there was none
    step = table.advance(now_ms)                    # → final candles, requests to make, notices
    table.next_deadline_ms()                        # call advance no later than this

`now_ms` is the venue's time as well as the caller knows it. Trades are turned into states by `trades.py`. With
`source="poll"` there is no stream: never call connect.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from papertape.daemon.feeds.finality.bars import Bar, FinalCandle, HistoryRequest, bars_of
from papertape.daemon.feeds.finality.rules import Rules
from papertape.daemon.feeds.finality.symbol_state import SymbolState
from papertape.daemon.feeds.protocol import Notice, NoticeKind
from papertape.engine.jit import Rows

__all__ = ["Bar", "FinalCandle", "Finality", "HistoryRequest", "Rules", "Step"]

JUMP_MS = 30_000  # `advance` so long after the time that was asked for: a clock was set, or a machine slept


class Step(NamedTuple):
    """What `advance` has to say, in the order of each symbol's candles."""

    finals: list[FinalCandle]
    wanted: list[HistoryRequest]
    notices: list[Notice]


class Finality:
    """
    The table of all symbols.

    source   where states come from: stream, trades or poll; it labels final candles
    counts   states that were ignored, by reason: late, out_of_order, future
    """

    def __init__(self, symbols: Iterable[str], rules: Rules, source: str = "stream") -> None:
        self.rules = rules
        self.counts: Counter[str] = Counter()
        self.is_connected = False
        self._now_ms = 0
        self._promised_ms = 0
        self._notices: list[Notice] = []
        self._states = {
            name: SymbolState(name, rules, source, self.counts, self._notices) for name in symbols
        }

    def start(self, symbol: str, after_ms: int, last_close: float = 0.0, traded_ms: int = 0) -> None:
        """
        Want the candles of a symbol that open after `after_ms`, an open time on the grid.

        last_close   of that candle; 0.0 when not known: then missing candles are skipped until one is there
        traded_ms    open time of the last candle up to it that traded; 0 when that is longer ago than we look back
        """
        self._states[symbol].start(after_ms, last_close, traded_ms)

    def connect(self, now_ms: int, symbol: str | None = None) -> None:
        """Take the stream, or one symbol of it, as up: deadlines and grace count, at the earliest from now."""
        self._be_patient(now_ms, symbol)
        self.is_connected = True

    def disconnect(self, symbol: str | None = None) -> None:
        """Take the stream, or one symbol of it, as down: deadlines and grace stand still."""
        self._be_patient(None, symbol)
        self.is_connected = self.is_connected and symbol is not None

    def _be_patient(self, since_ms: int | None, symbol: str | None) -> None:
        for state in self._states.values() if symbol is None else [self._states[symbol]]:
            state.be_patient(since_ms)

    def lose(self, symbol: str, from_ms: int | None) -> None:
        """Let candles of a symbol that open at `from_ms` or later be absent without asking; None: it is back."""
        self._states[symbol].lose(from_ms)

    def see(self, symbol: str, bar: Bar, published_us: int, now_ms: int) -> None:
        """
        Take one state of a candle from the stream.

        bar            `open_ms` 0 derives the candle from `published_us` (delta-exchange.md 3.8 and 11)
        published_us   the venue's stamp, which orders the states of a candle; 0: order of arrival
        """
        self._states[symbol].see(bar, published_us, now_ms)

    def answer(self, request: HistoryRequest, rows: Rows, now_ms: int, left_ms: int | None = None) -> None:
        """
        Take the history's candles for a request, the forming one included when it is within the span.

        left_ms  when the question really left, which a rate limit may have delayed; None: when it was made
        """
        self._states[request.symbol].answer(request, bars_of(rows), now_ms, left_ms)

    def fail(self, request: HistoryRequest) -> None:
        """Note that a request was not answered; it is repeated by schedule."""
        self._states[request.symbol].fail(request)

    def advance(self, now_ms: int) -> Step:
        """Move to a time; return what became final and what to ask the history."""
        self._notice_jump(now_ms)
        self._decide(now_ms)
        finals: list[FinalCandle] = []
        wanted: list[HistoryRequest] = []
        for state in self._states.values():
            request = state.ask(now_ms) if state.next_ms else None
            if request is not None:
                wanted.append(request)
            finals += state.take()
        notices, self._notices[:] = list(self._notices), []
        self._promised_ms = max(now_ms, self.next_deadline_ms() or 0)
        return Step(finals, wanted, notices)

    def next_deadline_ms(self) -> int | None:
        """Return the time of the next thing that `advance` would do if nothing else happens; None: nothing."""
        times = [state.next_ask_ms for state in self._states.values() if state.next_ms]
        decisions = [state.decide_at_ms for state in self._behind()]
        if None not in decisions:
            times.append(max((ms for ms in decisions if ms is not None), default=None))
        return min((ms for ms in times if ms is not None), default=None)

    def waiting(self, now_ms: int) -> dict[str, int]:
        """Return the symbols that the oldest open instant waits for, and for how long, in ms since its end."""
        behind = [state for state in self._behind() if not state.can_decide(now_ms)]
        waited = {s.symbol: now_ms - s.next_ms - self.rules.length_ms for s in behind}
        return {symbol: ms for symbol, ms in waited.items() if ms > 0}

    def _behind(self) -> list[SymbolState]:
        """Return the symbols whose next candle is of the oldest instant that is not complete."""
        started = [state for state in self._states.values() if state.next_ms]
        oldest_ms = min((state.next_ms for state in started), default=0)
        return [state for state in started if state.next_ms == oldest_ms]

    def _decide(self, now_ms: int) -> None:
        """Decide what is not proven, instant by instant, as soon as nothing else is waited for."""
        while behind := self._behind():
            # Each is asked, because each takes note of since when it is ready.
            ready = [state for state in behind if state.can_decide(now_ms)]
            if len(ready) < len(behind):
                return
            for state in behind:
                state.decide(now_ms)

    def next_open_ms(self, symbol: str) -> int:
        """Return the open time of the first candle that is not final."""
        return self._states[symbol].next_ms

    def last_close(self, symbol: str) -> float:
        """Return the close of the last final candle, 0.0 when there was none."""
        return self._states[symbol].last_close

    def _notice_jump(self, now_ms: int) -> None:
        is_back = now_ms < self._now_ms - 1_000
        if self._now_ms and (is_back or now_ms > self._promised_ms + JUMP_MS):
            moved_ms = now_ms - (self._now_ms if is_back else self._promised_ms)
            self._notices.append(Notice(NoticeKind.CLOCK, now_ms, value=moved_ms, detail="jump"))
            for state in self._states.values():
                if state.patient_since_ms is not None:
                    state.be_patient(now_ms)  # what was due meanwhile gets its full time
        self._now_ms = now_ms
