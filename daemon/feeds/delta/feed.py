"""
DeltaFeed: Delta Exchange's stream and history as a feed of final candles.

Its parts know nothing of each other: a connection that comes back, frames that become states of candles, a table that
decides what is final, a history that is asked, a merge that makes instants. This file only moves things between them:

    connection ─ frame_reader ─┐
                               ├─ finality ─ merge ─ outbox ─ reader
    history (REST) ────────────┘

At the start, and only then, candles come in windows of the history (`backfill`), while the stream is already read. A gap
that opens later is closed by finality itself, which asks the history for whatever is not final.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from papertape.daemon.feeds.delta.alarms import Alarms
from papertape.daemon.feeds.delta.connection import Connection
from papertape.daemon.feeds.delta.freshness import Remedy
from papertape.daemon.feeds.delta.funding import Fundings
from papertape.daemon.feeds.delta.messages import Frame, ProductUpdate, SystemStatus
from papertape.daemon.feeds.delta.reader import MAX_MEASURED, FrameReader
from papertape.daemon.feeds.delta.recorder import FrameRecorder
from papertape.daemon.feeds.delta.subscriptions import Protocol, Subscriptions
from papertape.daemon.feeds.finality.backfill import (
    Backfill,
    KnownBefore,
    count_backfilled,
    look_back,
    restart_gap,
)
from papertape.daemon.feeds.finality.bars import FinalCandle, HistoryRequest
from papertape.daemon.feeds.finality.finality import Finality, Rules, Step
from papertape.daemon.feeds.finality.merge import Merge
from papertape.daemon.feeds.halts import Halts
from papertape.daemon.feeds.history import History, HistoryClient
from papertape.daemon.feeds.outbox import Outbox
from papertape.daemon.feeds.protocol import FeedStart, Notice, NoticeKind
from papertape.daemon.feeds.series import LiveSeries
from papertape.daemon.feeds.settlements import ChargedFunding
from papertape.daemon.feeds.venue_clock import VenueClock
from papertape.engine.candles import CANDLE
from papertape.engine.events import Cause
from papertape.engine.jit import Rows
from papertape.replay.config.live import Live
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_products import FUNDING_INTERVAL_S
from papertape.replay.sources.delta_profiles import find_profile

PRODUCTS_EVERY_S = 21_600.0
DOUBT_EVERY_S = 60.0  # the same while a symbol is silent or halted: news of it may have been missed
TURN_S = 1.0  # how long the pump rests when nothing is due
KEPT_SETTLEMENTS = 256


class DeltaFeed:
    """
    Complete instants of final candles, one row per symbol, in symbol order.

    live        the venue and the rules
    start       symbols as the venue names them; without `after_ms` it begins `live.history_bars` before now
    rest        the history; open, and closed by whoever opened it
    seed        of the pauses between attempts; series: takes marks and tickers

    Read it once, with `async for`; leave the loop, or cancel it, to close everything. `settlements` has the newest that
    were charged, for whoever takes them; `fundings` the newest estimates and mark prices, `halted` and `in_maintenance` what the venue says about itself, `halts` what the engine
    should know of that between candles. A symbol that is gone, or dropped, is absent from then on; the others go on.

    Raises ConfigError when a symbol of a new account is not listed.
    """

    def __init__(
        self,
        live: Live,
        start: FeedStart,
        clock: Clock,
        rest: HistoryClient,
        *,
        seed: int | None = None,
        series: LiveSeries | None = None,
    ) -> None:
        self.stats = start.stats
        self.settlements: deque[ChargedFunding] = deque(maxlen=KEPT_SETTLEMENTS)
        self.venue = VenueClock(clock)
        self._live, self._symbols, self._clock = live, start.symbols, clock
        self._after_ms, self._closes = start.after_ms, start.closes
        self._known = start.known
        self._dropped = frozenset(start.dropped)
        self._is_silent = False  # some symbol did not trade, which may mean that it is gone
        self._on_notice = start.on_notice
        chance = random.Random(seed)  # noqa: S311 # jitter is no secret
        rules = Rules.of(live)
        self._table = Finality(self._symbols, rules, live.candles)
        self._length_ms, self._grace_ms = rules.length_ms, rules.grace_ms
        self._merge = Merge(self._symbols, self.stats.waited_ms)
        self.halts = Halts(self._symbols, rules.length_ms)
        self.history = History(rest, live.timeframe, clock, self.venue, chance, on_trouble=self._on_trouble)
        self._reader = FrameReader(
            live.timeframe, live.candles, self._table, self.venue, self.stats, self._tell, series
        )
        self._subscriptions = Subscriptions(self._symbols, live.timeframe, live.candles, series)
        self._connection = Connection(
            find_profile(
                live.profile, rest_url=live.rest_url, compact_url=live.compact_url, legacy_url=live.legacy_url
            ),
            live.protocol,
            self._subscriptions,
            clock,
            chance,
            on_frame=self._take_frame,
            on_up=self._on_up,
            on_down=self._on_down,
            on_fail=self._on_fail,
            on_refused=self._on_refused,
        )
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._refused: set[str] = set()
        self._up_since_ms = 0
        self._is_started = False  # history is over
        self._alarms = Alarms(self.stats, self.venue, start.on_notice)

    async def __aiter__(self) -> AsyncIterator[Rows]:
        """Yield what has arrived, until cancelled."""
        runner = asyncio.create_task(self._run())
        try:
            while (rows := await self._outbox.take()) is not None:
                yield rows
            await runner  # it ended by itself: with an error
        finally:
            runner.cancel()
            await asyncio.gather(runner, return_exceptions=True)

    @property
    def fundings(self) -> Fundings:
        """Return the newest funding estimates and mark prices."""
        return self._reader.fundings

    def funding_interval_s(self, symbol: str) -> int:
        """Return from one settlement of a symbol to the next, as the stream says it, or else its product."""
        frame, product = self.fundings.rates.get(symbol), self.history.products.get(symbol)
        if frame is not None and frame.interval_s:
            return frame.interval_s
        return product.funding_interval_s if product is not None else FUNDING_INTERVAL_S

    @property
    def halted(self) -> dict[str, str]:
        """Return the symbols that are not trading now, with the venue's word for it."""
        return self._reader.halted

    @property
    def in_maintenance(self) -> bool:
        """Return whether the venue says that it is down."""
        return self._reader.in_maintenance

    def record(self, path: Path | None) -> None:
        """Write raw frames to a JSONL file from now on; None stops it."""
        if self._connection.recorder is not None:
            self._connection.recorder.close()
        self._connection.recorder = None if path is None else FrameRecorder(path)

    async def _run(self) -> None:
        """Own every task of the feed; the reader ends when this does."""
        try:
            await self._load_products()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._connection.run())
                tasks.create_task(self._keep_products())
                after_ms, found = await self._backfill()
                for symbol, known in zip(self._symbols, found, strict=True):
                    self._table.start(symbol, after_ms, *known)
                self._is_started = True
                await self._pump(tasks)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            self.record(None)
            self.stats.is_connected = False
            await self._outbox.close()

    async def _pump(self, tasks: asyncio.TaskGroup) -> None:
        """Move the table through time: candles out, questions to the history."""
        while True:
            self._wake.clear()
            step = self._table.advance(self.venue.now_ms())
            for request in step.wanted:
                tasks.create_task(self._ask(request))
            await self._emit(step)
            now_ms = self.venue.now_ms()
            self._settle(now_ms)
            self.stats.waiting_ms = self._table.waiting(now_ms)
            self._alarms.look(now_ms)
            self._tell_halt(Cause.CLOCK, "", is_on=self.venue.is_skewed)
            due_ms = self._table.next_deadline_ms()
            rest_s = TURN_S if due_ms is None else (due_ms - now_ms) / 1000.0
            try:
                async with self._clock.timeout(min(max(rest_s, 0.001), TURN_S)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _settle(self, now_ms: int) -> None:
        """Tell of funding that was charged."""
        for settlement in self.fundings.settle(now_ms):
            self.settlements.append(settlement)
            if settlement.rate_fraction is None:
                self._tell(NoticeKind.GAP, settlement.symbol, "funding rate unknown")

    async def _ask(self, request: HistoryRequest) -> None:
        await self.history.ask(request, self._table)
        self._wake.set()

    async def _keep_products(self) -> None:
        """Load the products again every few hours, and soon after the venue has told of a change."""
        waited_s = 0.0
        while True:
            await self._clock.sleep(TURN_S)
            waited_s += TURN_S
            is_doubtful = self._is_silent or bool(self._reader.halted)
            every_s = DOUBT_EVERY_S if is_doubtful else PRODUCTS_EVERY_S
            if self._reader.has_news or waited_s >= every_s:
                self._reader.has_news = self._is_silent = False
                waited_s = 0.0
                await self._load_products()

    async def _load_products(self) -> None:
        """Learn contract values, and tell what has changed about them."""
        changes = await self.history.load_products(self._symbols, self._known)
        for symbol, change in changes.items():
            self._tell(NoticeKind.VENUE, symbol, change)
        products = self.history.products
        self._reader.expect({symbol: self.history.scale(symbol) for symbol in products})
        for symbol, product in products.items():
            # What the stream has said on this connection is newer than any answer, which a cache may have kept.
            if self._reader.halt_told_ms.get(symbol, -1) < self._up_since_ms:
                self._reader.set_trading(symbol, product.trading_status)
        self._follow_markets()

    def _follow_markets(self) -> None:
        """Tell the engine, before the next candles, which symbols are gone and which ones do not trade."""
        for symbol in self._symbols:
            is_listed, was_gone = symbol in self.history.listed, self._is_gone(symbol)
            is_gone = symbol in self._dropped or not is_listed
            why = "no longer followed" if symbol in self._dropped else "no longer listed"
            if self._tell_halt(Cause.GONE, symbol, is_on=is_gone) and is_gone is not was_gone:
                detail = f"{why}: absent from now on, a position is closed at its last price"
                self._tell(NoticeKind.VENUE, symbol, detail if is_gone else "listed again")
                now_ms, length_ms = self.venue.now_ms(), self._length_ms
                # Without a contract there is nothing to ask, not even for the candles until now.
                from_ms = -(-now_ms // length_ms) * length_ms if self._is_started else 0
                self._table.lose(symbol, from_ms if is_gone else None)
                self._reader.freshness.forget(symbol)
            is_halted = self._reader.in_maintenance or symbol in self._reader.halted
            self._tell_halt(Cause.MARKET, symbol, is_on=is_halted)
        self._wake.set()

    def _is_gone(self, symbol: str) -> bool:
        return self.halts.is_on(Cause.GONE, symbol)

    def _tell_halt(self, cause: Cause, symbol: str, *, is_on: bool) -> bool:
        """Let a halt come before the next candles; return whether it is news."""
        is_news = self.halts.tell(cause, symbol, self.venue.now_ms(), is_on=is_on)
        if is_news and cause is Cause.CLOCK:
            self._tell(NoticeKind.CLOCK, "", f"entries {'halt' if is_on else 'go on'}")
        return is_news

    async def _backfill(self) -> tuple[int, list[KnownBefore]]:
        """Yield history up to the candles that have just ended; return the last one's open time, and what is known."""
        now_ms, length_ms = self.venue.now_ms(), self._length_ms
        first_ms = now_ms // length_ms * length_ms - self._live.history_bars * length_ms
        if self._after_ms is not None:
            first_ms = self._after_ms + length_ms
            if (gap := restart_gap(self._after_ms, now_ms, length_ms)) is not None:
                self._on_notice(gap)
        closes = self._closes or [0.0] * len(self._symbols)
        fetch = self._fetch_one
        known = await asyncio.gather(
            *(look_back(s, first_ms, length_ms, fetch, c) for s, c in zip(self._symbols, closes, strict=True))
        )
        backfill = Backfill(self._symbols, length_ms, first_ms, known)
        while (window := backfill.window(self.venue.now_ms() - self._grace_ms)) is not None:
            rows = backfill.fill(window, await self._fetch(window.ask_ms, window.last_ms))
            if len(rows):
                count_backfilled(self.stats, self._symbols, rows, length_ms)
                await self._outbox.put(rows)
        return backfill.next_ms - length_ms, backfill.known

    async def _fetch(self, first_ms: int, last_ms: int) -> dict[str, Rows]:
        there = [symbol for symbol in self._symbols if self._has_history(symbol)]
        pages = (self._fetch_one(symbol, first_ms, last_ms) for symbol in there)
        return dict(zip(there, await asyncio.gather(*pages), strict=True))

    async def _fetch_one(self, symbol: str, first_ms: int, last_ms: int) -> Rows:
        """Return a page of history; of a symbol that is dropped or unknown there is none."""
        if not self._has_history(symbol):
            return np.zeros(0, CANDLE)
        return await self.history.fetch(symbol, first_ms, last_ms)

    def _has_history(self, symbol: str) -> bool:
        return symbol not in self._dropped and symbol in self.history.products

    async def _emit(self, step: Step) -> None:
        """Tell what the table tells; hand on the instants that are complete."""
        for notice in step.notices:
            self._on_notice(notice)
        for final in step.finals:
            self._merge.put(final)
            await self._judge_silence(final)
        for symbol in self._symbols:
            self._merge.passed(symbol, self._table.next_open_ms(symbol))
        finals = self._merge.take()
        if not finals:
            return
        now_ms = self.venue.now_ms()
        for final in finals:
            close_ms = final.bar.open_ms + self._length_ms
            self.stats.candles[final.symbol, final.source] += 1
            self.stats.last_close_ms[final.symbol] = close_ms
            if final.source != "absent" and len(self.stats.arrival_delay_ms) < MAX_MEASURED:
                self.stats.arrival_delay_ms.append(now_ms - close_ms)
        await self._outbox.put(self._merge.rows(finals))

    async def _judge_silence(self, final: FinalCandle) -> None:
        """Notice a subscription that is acknowledged and silent."""
        symbol, open_ms = final.symbol, final.bar.open_ms
        if not final.bar.has_traded and not self._is_gone(symbol):
            self._is_silent = True
        could_show = self._table.is_connected and self._up_since_ms <= open_ms
        is_lost = final.is_confirmed and final.bar.has_traded and could_show
        if not is_lost or self._reader.was_shown(symbol, open_ms):
            return
        match self._reader.freshness.missed(symbol):
            case Remedy.RENEW:
                self._connection.renew([symbol])
            case Remedy.RECONNECT:
                await self._connection.restart()
            case Remedy.DEGRADE:
                self._table.disconnect(symbol)
                self._tell(NoticeKind.DEGRADED, symbol, "silent subscription")

    def _take_frame(self, frame: Frame) -> None:
        self._reader.take(frame)
        self._connection.in_maintenance = self._reader.in_maintenance
        if isinstance(frame, SystemStatus | ProductUpdate):
            self._follow_markets()

    def _on_up(self, protocol: Protocol) -> None:
        self.stats.is_connected = True
        self._up_since_ms = self.venue.now_ms()
        self._tell(NoticeKind.CONNECTED, "", protocol)
        if not self._reader.has_status:  # it lets us in: what it said before it cut us is over
            self._reader.in_maintenance = self._connection.in_maintenance = False
        self._reader.has_news = True  # what happened meanwhile, nobody has told
        channel = self._subscriptions.candle_channel(protocol)
        if channel in self._subscriptions.refused:
            self._tell(NoticeKind.DEGRADED, "", f"{channel} refused")
        elif channel is not None:
            self._table.connect(self._up_since_ms)
        self._wake.set()

    def _on_down(self, reason: str) -> None:
        self.stats.is_connected = False
        self._table.disconnect()
        self._reader.has_status = False
        self._tell(NoticeKind.DISCONNECTED, "", reason)

    def _on_fail(self, reason: str) -> None:
        self.stats.reconnects[reason] += 1

    def _on_trouble(self, error: str) -> None:
        self._tell(NoticeKind.VENUE, "", f"history: {error}")

    def _on_refused(self, channel: str, words: str) -> None:
        """Tell once of a channel that the venue does not give; candles then come from the history alone."""
        if channel not in self._refused:
            self._refused.add(channel)
            self._tell(NoticeKind.VENUE, "", f"{channel or 'subscription'} refused: {words}")

    def _tell(self, kind: NoticeKind, symbol: str, detail: str) -> None:
        self._on_notice(Notice(kind, self.venue.now_ms(), symbol, detail=detail))
