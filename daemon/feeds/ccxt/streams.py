"""
Streams of ccxt.pro: one watcher per symbol, kept alive from outside, because the library notices only some troubles.

What is known of `watch_ohlcv` (delta-exchange.md 9.2 and 9.3, measured): it returns rows that it goes on changing in
place, so they are copied at once; it has no closed flag and no history; after a lost connection the next call connects
again by itself; a stream that falls silent while its pongs come raises nothing, ever. So:

    any trouble        watch again after a jittered pause; the library reconnects
    silence of all     the history is asked: if it shows trades that the streams did not, or does not answer, close the
                       exchange object, open it again, start every watcher anew; thin markets may be silent
    silence of one     told as degraded; when the history shows that it has traded meanwhile, like silence of all
    no such symbol     that symbol's stream stops and is told; its candles come from the history alone; likewise when
                       the venue has no such stream, or it counts volume otherwise than the history (`ccxt_units.py`)
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from papertape.daemon.feeds.backoff import Backoff
from papertape.daemon.feeds.ccxt.units import VolumeUnits
from papertape.daemon.feeds.finality.bars import Bar
from papertape.daemon.feeds.finality.finality import Finality
from papertape.daemon.feeds.protocol import FeedStats, Notice, NoticeKind, OnNotice
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_errors import library_errors, one_line

SILENCE_S: Final = 30.0  # of all symbols, then the exchange object is restarted
# doubled with every restart that brought nothing: thin markets are silent too
SILENCE_MAX_S: Final = 480.0
DEGRADED_S: Final = 90.0  # of one symbol while others speak
LOOK_S: Final = 5.0
CLOSE_S: Final = 15.0
GOOD_AFTER_S: Final = 60.0  # of data, then the pauses begin anew
REST_SLOTS: Final = 4
PROBED: Final = 8  # symbols asked about when all are silent, those that were heard last

# The newest candles of a symbol as the history has them, oldest first; None: it does not answer.
Probe = Callable[[str], Awaitable[list[Bar] | None]]


class _SilentError(Exception):
    """The session must be restarted; never leaves this module."""


class CcxtStreams:
    """
    The watchers of one exchange object.

    markets   ccxt's unified name of each symbol
    table     is shown every state of a candle, and told which streams are up
    now_ms    the venue's time
    rest      slots of calls to the same object; a restart waits until none is under way
    probe     asks the history about a symbol
    """

    def __init__(
        self,
        exchange: Any,
        markets: Mapping[str, str],
        timeframe: str,
        clock: Clock,
        table: Finality,
        *,
        now_ms: Callable[[], int],
        rest: asyncio.Semaphore,
        probe: Probe,
        chance: random.Random,
        on_notice: OnNotice,
        stats: FeedStats,
    ) -> None:
        self._exchange = exchange
        self._markets = dict(markets)
        self._timeframe = timeframe
        self._clock = clock
        self._table = table
        self._venue_now_ms = now_ms
        self._rest = rest
        self._probe = probe
        self._on_notice = on_notice
        self._stats = stats
        self._errors = library_errors()
        self._chance = chance
        self._restarts = Backoff(chance)
        self._silence_s = SILENCE_S
        self._healthy: set[str] = set()
        self._degraded: set[str] = set()
        self._suspects: set[str] = set()
        self._last_ms: dict[str, int] = {}
        self._lost_ms: dict[str, int] = {}
        self._newest: dict[str, Bar] = {}  # what was shown last, by the stream or else by a probe
        self._units = {symbol: VolumeUnits() for symbol in markets}
        self._session_ms = 0
        self._quiet_ms = 0  # until then the history has vouched for the silence
        self._up_ms = 0

    @property
    def is_watching(self) -> bool:
        """Return whether any stream is left."""
        return bool(self._markets)

    async def run(self) -> None:
        """Watch until every symbol has been refused."""
        while self._markets:
            reason = await self._session()
            if reason is None:
                return
            self._go_down(reason)
            await self._reopen()
            await self._clock.sleep(self._restarts.pause_s(self._clock.now_ms()))

    def suspect(self, symbol: str, open_ms: int) -> None:
        """Take note that a candle has traded of which the stream should have shown something and did not."""
        silent_since_ms = max(self._last_ms.get(symbol, 0), self._session_ms)
        if symbol in self._markets and silent_since_ms < open_ms:
            self._suspects.add(symbol)

    def compare(self, symbol: str, bars: list[Bar]) -> None:
        """Take the history's candles of a symbol: a stream that counts volume otherwise is given up."""
        if symbol not in self._markets:
            return
        told = self._units[symbol].compare(bars)
        if told:
            self.give_up(symbol, told)

    def give_up(self, symbol: str, reason: str) -> None:
        """Watch a symbol no longer; what the history does not have of it is absent from now on."""
        if symbol not in self._markets:
            return
        is_last = self._healthy == {symbol}
        self._healthy.discard(symbol)
        del self._markets[symbol]
        if is_last:
            self._go_down("error", reason)
        self._table.connect(self._venue_now_ms(), symbol)
        self._tell(NoticeKind.DEGRADED, symbol, detail=f"stopped: {reason}")

    async def _session(self) -> str | None:
        """Watch every symbol until the watchdog barks; return why, None when there is nothing left to watch."""
        self._session_ms = self._clock.now_ms()
        self._suspects.clear()
        reason = None
        try:
            async with asyncio.TaskGroup() as tasks:
                watchers = [tasks.create_task(self._watch(symbol)) for symbol in self._markets]
                tasks.create_task(self._watchdog(watchers))
        except* _SilentError:
            reason = "timeout"
        return reason

    async def _watch(self, symbol: str) -> None:
        """Hand on what one stream shows; its deadline is the watchdog's, which cancels it."""
        pauses = Backoff(self._chance)
        pauses.pause_s(self._clock.now_ms())  # the attempt that follows
        while symbol in self._markets:
            try:
                rows = await self._exchange.watch_ohlcv(self._markets[symbol], self._timeframe)
            except self._errors.closed as error:
                raise _SilentError from error
            except self._errors.final as error:
                self.give_up(symbol, one_line(error))
                return
            except asyncio.CancelledError as error:
                if _is_ours():
                    raise
                lost: BaseException = error  # the library has dropped what the watch waited for
            except self._errors.passing as error:
                lost = error
            else:
                if symbol not in self._markets:  # given up meanwhile
                    return
                self._take(symbol, rows)
                if self._clock.now_ms() - self._lost_ms.get(symbol, 0) >= GOOD_AFTER_S * 1000.0:
                    pauses.reset()
                continue
            if symbol not in self._markets:
                return
            self._lose(symbol, lost)
            await self._clock.sleep(pauses.pause_s(self._clock.now_ms()))

    async def _watchdog(self, watchers: list[asyncio.Task[None]]) -> None:
        """Tell silent streams; raise when all are silent, or one that should not be."""
        while not all(watcher.done() for watcher in watchers):
            await self._clock.sleep(LOOK_S)
            now_ms = self._clock.now_ms()
            newest_ms = max((self._session_ms, self._quiet_ms, *self._last_ms.values()))
            if now_ms - newest_ms >= self._silence_s * 1000.0:
                self._silence_s = min(self._silence_s * 2.0, SILENCE_MAX_S)
                if not await self._is_quiet():
                    raise _SilentError
                self._quiet_ms = self._clock.now_ms()
            if self._healthy and self._suspects:
                raise _SilentError
            if self._up_ms and now_ms - self._up_ms >= GOOD_AFTER_S * 1000.0:
                self._restarts.reset()
            for symbol in self._markets.keys() - self._degraded if self._healthy else ():
                silent_ms = now_ms - max(self._last_ms.get(symbol, 0), self._session_ms)
                if silent_ms >= DEGRADED_S * 1000.0:
                    self._degraded.add(symbol)
                    self._tell(NoticeKind.DEGRADED, symbol, silent_ms)

    async def _is_quiet(self) -> bool:
        """Return whether the history says that the silent streams had nothing to show."""
        by_age = sorted(self._markets, key=lambda symbol: -self._last_ms.get(symbol, 0))
        for symbol in by_age[:PROBED]:
            bars = await self._probe(symbol)
            if bars is None or any(self._is_news(symbol, bar) for bar in bars):
                return False
            # What traded before the streams began is no reproach; what comes on top of it will be.
            traded = [bar for bar in bars if bar.has_traded]
            if traded:
                self._newest[symbol] = traded[-1]
        return True

    def _is_news(self, symbol: str, bar: Bar) -> bool:
        """Return whether a candle of the history holds trades that the stream should have shown."""
        if not bar.has_traded:
            return False
        newest = self._newest.get(symbol)
        if newest is None:
            return bar.open_ms >= self._session_ms
        is_later = bar.open_ms == newest.open_ms and newest.may_become(bar) and bar != newest
        return bar.open_ms > newest.open_ms or is_later

    def _take(self, symbol: str, rows: Any) -> None:
        """Copy rows at once and hand them on."""
        now_ms = self._clock.now_ms()
        bars = [bar for bar in map(_bar, [tuple(row) for row in rows]) if bar is not None]
        self._stats.messages["ohlcv"] += len(rows)
        if len(bars) < len(rows):
            self._stats.bad_messages["bad_ohlc"] += len(rows) - len(bars)
        if not bars:
            return
        self._stats.last_message_ms[symbol] = self._last_ms[symbol] = now_ms
        self._silence_s = SILENCE_S
        if symbol in self._degraded:
            self._degraded.discard(symbol)
            self._tell(NoticeKind.RESTORED, symbol)
        if not self._healthy:
            self._up_ms = now_ms
            self._stats.is_connected = True
            self._tell(NoticeKind.CONNECTED)
        venue_ms = self._venue_now_ms()
        if symbol not in self._healthy:
            self._healthy.add(symbol)
            self._table.connect(venue_ms, symbol)
        for bar in bars:
            self._units[symbol].see(bar)
            self._table.see(symbol, bar, 0, venue_ms)
        self._newest[symbol] = bars[-1]

    def _lose(self, symbol: str, error: BaseException) -> None:
        """Take a stream as down until it speaks again."""
        is_last = symbol in self._healthy and len(self._healthy) == 1
        self._lost_ms[symbol] = self._clock.now_ms()
        self._healthy.discard(symbol)
        self._table.disconnect(symbol)
        if is_last:
            self._go_down(self._reason(error), one_line(error))

    def _go_down(self, reason: str, told: str = "") -> None:
        for symbol in self._healthy:
            self._table.disconnect(symbol)
        self._healthy.clear()
        self._up_ms = 0
        self._stats.is_connected = False
        self._stats.reconnects[reason] += 1
        self._tell(NoticeKind.DISCONNECTED, detail=f"{reason}: {told}" if told else reason)

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, self._errors.timeout):
            return "timeout"
        return "closed" if "clos" in str(error) else "error"

    async def _reopen(self) -> None:
        """Drop every connection of the exchange object; it connects anew when it is asked."""
        for _ in range(REST_SLOTS):
            await self._rest.acquire()
        try:
            # What cannot be closed in order is forgotten.
            with suppress(*self._errors.passing):
                async with asyncio.timeout(CLOSE_S):
                    await self._exchange.close()
        finally:
            self._exchange.open()
            for _ in range(REST_SLOTS):
                self._rest.release()

    def _tell(self, kind: NoticeKind, symbol: str = "", value: float = 0.0, detail: str = "") -> None:
        self._on_notice(Notice(kind, self._clock.now_ms(), symbol=symbol, value=value, detail=detail))


def _is_ours() -> bool:
    """Return whether a cancellation is this task's own, and not that of something it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _bar(row: tuple[Any, ...]) -> Bar | None:
    """Return a copied row as a state of a candle, None when it breaks a candle's rules."""
    try:
        bar = Bar(int(row[0]), *(float(value) for value in row[1:6]))
    except (TypeError, ValueError, IndexError):
        return None
    is_good = (
        all(map(math.isfinite, bar[1:]))
        and 0.0 < bar.low <= min(bar.open, bar.close)
        and bar.high >= max(bar.open, bar.close)
        and bar.volume >= 0.0
    )
    return bar if is_good else None
