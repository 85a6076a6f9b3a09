"""
The live feed of every venue but Delta: ccxt.pro's streams, with the venue's own history deciding what is final.

The library tells neither when a candle is closed nor that a stream has died, and keeps holes after an outage. So its
rows are only states of candles for the finality table; every candle is confirmed by `fetch_ohlcv`, with `until` given,
and what the stream missed comes from there. A venue that has no `watchOHLCV` is polled. See delta-exchange.md 9.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import suppress
from typing import Any, Final

import numpy as np

from papertape.daemon.feeds.backoff import Backoff
from papertape.daemon.feeds.ccxt.markets import CcxtMarkets
from papertape.daemon.feeds.ccxt.streams import REST_SLOTS, CcxtStreams
from papertape.daemon.feeds.finality.backfill import Backfill, count_backfilled, look_back, restart_gap
from papertape.daemon.feeds.finality.bars import Bar, FinalCandle, bars_of
from papertape.daemon.feeds.finality.finality import Finality, HistoryRequest, Rules
from papertape.daemon.feeds.finality.merge import Merge
from papertape.daemon.feeds.halts import Halts
from papertape.daemon.feeds.outbox import Outbox
from papertape.daemon.feeds.protocol import FeedStart, Notice, NoticeKind
from papertape.engine.candles import CANDLE
from papertape.engine.errors import ConfigError
from papertape.engine.events import Cause
from papertape.engine.jit import Rows
from papertape.replay.config.live import Live
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_history import CcxtHistory
from papertape.replay.sources.ccxt_markets import make_exchange
from papertape.replay.sources.errors import RestError, RestUnavailable, SymbolRefused

ASK_RETRIES: Final = 1  # the table asks again by its own schedule
IDLE_S: Final = 15.0  # the table is looked at so often, whatever the clock does
MEASURE_S: Final = 600.0  # between measurements of the venue's clock
DELAYS_KEPT: Final = 10_000
PROBED_BARS: Final = 2  # before the forming candle, when a silence is looked into


class CcxtFeed:
    """
    Final candles of a venue known to ccxt.

    live       `venue` is the ccxt id; `rest_url` is asked in place of every host of the venue
    start      symbols by ccxt's names (BTC/USDT:USDT), the venue's (BTCUSDT) or plain ones; without `after_ms` it begins
               `live.history_bars` before now
    seed       of the pauses between attempts
    exchange   in place of the one made here; it is closed at the end either way
    untiered   symbols whose tiers of leverage are not asked for

    Read it with `async for`; leave the loop, or cancel it, to close everything. `halts` has what the engine should know
    of the venue's markets between candles. A symbol that is gone, or dropped, is absent from then on; the others go on.

    Raises ConfigError before anything is asked, RestRefused for an unknown symbol of a new account.
    """

    def __init__(
        self,
        live: Live,
        start: FeedStart,
        clock: Clock,
        *,
        seed: int | None = None,
        exchange: Any = None,
        untiered: Collection[str] = (),
    ) -> None:
        if live.candles == "trades":
            raise ConfigError(f"live.candles: trades is not offered for {live.venue}; write stream or poll")
        self.stats = start.stats
        self._live = live
        self._symbols, self._clock = start.symbols, clock
        self._after_ms, self._closes = start.after_ms, start.closes
        self._on_notice = start.on_notice
        self._chance = random.Random(seed)  # noqa: S311 # jitter is no secret
        self._given = exchange
        self._rules = Rules.of(live)
        self._merge = Merge(self._symbols, self.stats.waited_ms)
        self.halts = Halts(self._symbols, self._rules.length_ms)
        self.markets = CcxtMarkets(self._symbols, start.known, start.dropped, start.on_notice, untiered)
        self._streams: CcxtStreams | None = None
        self._is_started = False  # history is over
        self._is_silent = False  # some symbol did not trade, which may mean that it is gone
        self._measured_ms = 0

    async def __aiter__(self) -> AsyncGenerator[Rows, None]:
        """Yield batches of complete instants for as long as somebody reads."""
        self._exchange = self._given
        if self._exchange is None:
            self._exchange = make_exchange(self._live.venue, is_streaming=True, base_url=self._live.rest_url)
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._rest = asyncio.Semaphore(REST_SLOTS)
        owner = asyncio.create_task(self._run_and_close())
        try:
            while (rows := await self._outbox.take()) is not None:
                yield rows
            await owner
        finally:
            owner.cancel()
            await asyncio.wait([owner])
            await self._exchange.close()

    async def _run_and_close(self) -> None:
        """Let the reader end when the feed does."""
        try:
            await self._run()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            await self._outbox.close()

    async def _run(self) -> None:
        """Own every task of the feed."""
        self.history = CcxtHistory(
            self._exchange,
            self._clock,
            stats=self.stats.rest_requests,
            retries=ASK_RETRIES,
            jitter=self._chance.random,
        )
        await self._patiently(self.history.start)
        await self.markets.ask_tiers(self.history)
        self.markets.read(self._exchange, self.history.venue_now_ms())
        self._note_offset()
        is_polled = self._live.candles == "poll" or not self._exchange.has.get("watchOHLCV")
        self._table = Finality(self._symbols, self._rules, source="poll" if is_polled else "stream")
        self._follow_markets()
        await self._backfill()
        self._is_started = True
        async with asyncio.TaskGroup() as tasks:
            self._streams = None if is_polled else self._make_streams()
            self._note_history(is_up=True)
            tasks.create_task(self._decide(tasks))
            tasks.create_task(self._keep_markets())
            if self._streams is not None:
                tasks.create_task(self._streams.run())

    def _make_streams(self) -> CcxtStreams:
        return CcxtStreams(
            self._exchange,
            {s: name for s, name in self.markets.unified.items() if not self._is_gone(s)},
            self._live.timeframe,
            self._clock,
            self._table,
            now_ms=self.history.venue_now_ms,
            rest=self._rest,
            probe=self._probe,
            chance=self._chance,
            on_notice=self._on_notice,
            stats=self.stats,
        )

    async def _patiently(self, ask: Callable[[], Any]) -> Any:
        """Return an answer of the venue, however long that takes; only a refusal ends it."""
        pauses = Backoff(self._chance)
        while True:
            await self._clock.sleep(pauses.pause_s(self._clock.now_ms()))
            try:
                return await ask()
            except RestUnavailable as error:
                self._tell(NoticeKind.DISCONNECTED, detail=f"error: {error}")

    async def _backfill(self) -> None:
        """Yield what has happened up to the candles that have only just ended; those are the table's."""
        length_ms = self._rules.length_ms
        if self._after_ms is None:
            newest_ms = self.history.venue_now_ms() // length_ms * length_ms
            first_ms = newest_ms - self._live.history_bars * length_ms
        else:
            first_ms = self._after_ms + length_ms
            now_ms = self.history.venue_now_ms()
            if (gap := restart_gap(self._after_ms, now_ms, length_ms)) is not None:
                self._on_notice(gap)
        closes = self._closes or [0.0] * len(self._symbols)
        known = [
            await look_back(symbol, first_ms, length_ms, self._fetch_page, close)
            for symbol, close in zip(self._symbols, closes, strict=True)
        ]
        backfill = Backfill(self._symbols, length_ms, first_ms, known)
        while True:
            settled_ms = self.history.venue_now_ms() - self._rules.grace_ms
            window = backfill.window(settled_ms)
            if window is None:
                break
            tapes = await self._fetch(window.ask_ms, window.last_ms)
            await self._yield_filled(backfill.fill(window, tapes))
        after_ms = backfill.next_ms - length_ms
        for symbol, found in zip(self._symbols, backfill.known, strict=True):
            self._table.start(symbol, after_ms, *found)
            self.markets.traded(symbol, found.traded_ms)
        self._follow_markets()  # the history tells for how long what is not active has been so

    async def _fetch(self, first_ms: int, last_ms: int) -> dict[str, Rows]:
        """Return the candles of a span of every symbol that is there, however long it takes."""
        pages = {s: await self._fetch_page(s, first_ms, last_ms) for s in self._symbols}
        return {symbol: rows for symbol, rows in pages.items() if not self._is_gone(symbol)}

    async def _fetch_page(self, symbol: str, first_ms: int, last_ms: int) -> Rows:
        """Return one symbol's candles of a span, however long it takes; of one that is gone there are none."""
        if self._is_gone(symbol):
            return np.zeros(0, CANDLE)
        market, timeframe = self.markets.unified[symbol], self._live.timeframe
        try:
            rows: Rows = await self._patiently(
                lambda: self.history.candles(market, timeframe, first_ms, last_ms)
            )
        except SymbolRefused as error:
            if not self.markets.is_known(symbol):
                raise
            self.markets.refused[symbol] = str(error)
            self._follow_markets()
            return np.zeros(0, CANDLE)
        return rows

    async def _yield_filled(self, rows: Rows) -> None:
        """Count and yield backfilled candles."""
        if not len(rows):
            return
        count_backfilled(self.stats, self._symbols, rows, self._rules.length_ms)
        await self._outbox.put(rows)

    # Markets

    def _is_gone(self, symbol: str) -> bool:
        return self.halts.is_on(Cause.GONE, symbol)

    def _follow_markets(self) -> None:
        """Tell the engine, before the next candles, which symbols are gone and which ones do not trade."""
        now_ms = self.history.venue_now_ms()
        for symbol in self._symbols:
            why = self.markets.why_gone(symbol, now_ms)
            if self.halts.tell(Cause.GONE, symbol, now_ms, is_on=bool(why)):
                self._lose(symbol, why, now_ms)
            is_halted = symbol in self.markets.halted
            if self.halts.tell(Cause.MARKET, symbol, now_ms, is_on=is_halted):
                detail = "does not trade" if is_halted else "trades again"
                self._tell(NoticeKind.VENUE, symbol, detail=detail)

    def _lose(self, symbol: str, why: str, now_ms: int) -> None:
        """Let a symbol be absent from now on, or followed again."""
        length_ms = self._rules.length_ms
        detail = f"{why}: absent from now on, a position is closed at its last price"
        self._tell(NoticeKind.VENUE, symbol, detail=detail if why else "listed again")
        from_ms = -(-now_ms // length_ms) * length_ms if self._is_started else 0
        self._table.lose(symbol, from_ms if why else None)
        if why:
            # What its candles until now were, the history may refuse to say: they wait for the grace period at most.
            self._table.connect(now_ms, symbol)
        if why and self._streams is not None:
            self._streams.give_up(symbol, why)
        self._wake.set()

    async def _keep_markets(self) -> None:
        """Load the catalogue again every few hours, and soon where something speaks for a change."""
        while True:
            await self._clock.sleep(IDLE_S)
            is_off = any(map(self._is_gone, self._symbols)) or self._is_silent
            ask = self.markets.due(self._clock.now_ms(), is_off=is_off)
            if ask is None:
                continue
            self._is_silent = self._is_silent and ask != self.markets.load
            try:
                async with self._rest:
                    await ask(self.history)
            except RestError as error:
                self._tell(NoticeKind.VENUE, detail=f"catalogue: {error}")
                continue
            if not self.markets.read(self._exchange, self.history.venue_now_ms()):
                self._tell(NoticeKind.VENUE, detail="catalogue: it is empty, which is no news")
            for symbol in list(self.markets.refused):
                if await self._probe(symbol) is not None:
                    del self.markets.refused[symbol]
            self._follow_markets()

    # While live

    async def _decide(self, tasks: asyncio.TaskGroup) -> None:
        """Move the table on whenever it has something to do, for ever."""
        while True:
            self._wake.clear()
            step = self._table.advance(self.history.venue_now_ms())
            for notice in step.notices:
                self._on_notice(notice)
            for request in step.wanted:
                tasks.create_task(self._ask(request))
            await self._yield_final(step.finals)
            self.stats.waiting_ms = self._table.waiting(self.history.venue_now_ms())
            due_ms = self._table.next_deadline_ms()
            wait_s = IDLE_S
            if due_ms is not None:
                wait_s = min(max(due_ms - self.history.venue_now_ms(), 1) / 1000.0, IDLE_S)
            with suppress(TimeoutError):
                async with self._clock.timeout(wait_s):
                    await self._wake.wait()

    async def _ask(self, request: HistoryRequest) -> None:
        """Ask the history, and the venue's clock now and then."""
        async with self._rest:
            try:
                with self.history.departures() as left:
                    rows = await self.history.candles(
                        self.markets.unified[request.symbol],
                        self._live.timeframe,
                        request.first_ms,
                        request.last_ms,
                        include_forming=True,
                    )
                if self._clock.now_ms() - self._measured_ms >= MEASURE_S * 1000.0:
                    await self.history.measure_clock()
                    self._note_offset()
            except RestError as error:
                self._table.fail(request)
                if isinstance(error, SymbolRefused) and not self._is_gone(request.symbol):
                    self.markets.refused[request.symbol] = str(error)
                    self._follow_markets()
                if isinstance(error, RestUnavailable):
                    self._note_history(is_up=False, detail=f"error: {error}")
            else:
                left_ms = left[0] if left else None
                self._table.answer(request, rows, self.history.venue_now_ms(), left_ms)
                if self._streams is not None:
                    self._streams.compare(request.symbol, bars_of(rows))
                self._note_history(is_up=True)
        self._wake.set()

    async def _probe(self, symbol: str) -> list[Bar] | None:
        """Return the newest candles of a symbol, the forming one included; None when the history does not answer."""
        now_ms, length_ms = self.history.venue_now_ms(), self._rules.length_ms
        async with self._rest:
            try:
                rows = await self.history.candles(
                    self.markets.unified[symbol],
                    self._live.timeframe,
                    now_ms - PROBED_BARS * length_ms,
                    now_ms,
                    include_forming=True,
                )
            except RestError:
                return None
        return bars_of(rows)

    def _note_history(self, *, is_up: bool, detail: str = "") -> None:
        """Without any stream the feed is connected as long as its history answers."""
        has_stream = self._streams is not None and self._streams.is_watching
        if has_stream or is_up == self.stats.is_connected:
            return
        self.stats.is_connected = is_up
        if not is_up:
            self.stats.reconnects["error"] += 1
        self._tell(NoticeKind.CONNECTED if is_up else NoticeKind.DISCONNECTED, detail=detail)

    def _note_offset(self) -> None:
        self._measured_ms = self._clock.now_ms()
        self.stats.clock_offset_ms = self.history.clock_offset_ms or 0.0

    async def _yield_final(self, finals: list[FinalCandle]) -> None:
        """Yield the instants that these candles complete."""
        for final in finals:
            self._merge.put(final)
            if final.bar.has_traded:
                self.markets.traded(final.symbol, final.bar.open_ms)
            self._is_silent |= not final.bar.has_traded and not self._is_gone(final.symbol)
            # A candle that traded and that the stream did not show at all speaks against the stream.
            if final.source == "backfill" and final.bar.has_traded and self._streams is not None:
                self._streams.suspect(final.symbol, final.bar.open_ms)
        for symbol in self._symbols:
            self._merge.passed(symbol, self._table.next_open_ms(symbol))
        complete = self._merge.take()
        now_ms = self.history.venue_now_ms()
        for final in complete:
            close_ms = final.bar.open_ms + self._rules.length_ms
            self.stats.candles[final.symbol, final.source] += 1
            self.stats.last_close_ms[final.symbol] = close_ms
            if len(self.stats.arrival_delay_ms) < DELAYS_KEPT:
                self.stats.arrival_delay_ms.append(float(now_ms - close_ms))
        if complete:
            await self._outbox.put(self._merge.rows(complete))

    def _tell(self, kind: NoticeKind, symbol: str = "", *, detail: str = "") -> None:
        self._on_notice(Notice(kind, self._clock.now_ms(), symbol, detail=detail))
