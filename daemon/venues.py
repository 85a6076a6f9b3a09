"""
Which venue is followed: what its markets are, and how its feed is opened.

    sim    the local exchange, started in this process over tapes, spoken to through real sockets
    delta  Delta Exchange's REST and websocket
    …      any other name is a ccxt id

A journal that has begun knows its markets, so a restart needs nothing of the venue before the feed itself. Clients of
venues are imported where they are used: none is needed for another's feed, and some take a second to load.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from papertape.daemon.app import OpenFeed
from papertape.daemon.feeds.backoff import Backoff
from papertape.daemon.feeds.protocol import FeedSource, FeedStart
from papertape.daemon.feeds.series import FRESH_MS, LiveSeries, WithSeries
from papertape.daemon.feeds.settlements import Perpetual, WithSettlements
from papertape.daemon.feeds.told_markets import ToldMarkets, delta_figures
from papertape.daemon.journal import NAME, Journal
from papertape.daemon.journal.export import identity_of
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.daemon import wall_ms
from papertape.daemon.runtime.lock import only_one
from papertape.daemon.runtime.tape_time import first_live_ms
from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError
from papertape.engine.events import Cause, Event, Feed
from papertape.engine.spec import Market
from papertape.replay.config import Config
from papertape.replay.config.live import Live
from papertape.replay.config.markets import (
    market_for,
    market_of,
    own_figures,
    refuse_other_money,
    says_margins,
)
from papertape.replay.feed import common_span
from papertape.replay.runtime.clock import Clock, WallClock
from papertape.replay.sources.delta_products import Product
from papertape.replay.sources.errors import RestUnavailable
from papertape.replay.tapes.store import Tape

if TYPE_CHECKING:
    from papertape.daemon.feeds.delta.feed import DeltaFeed

SIM = "sim"
DELTA = "delta"


def sim_identity(config: Config, tapes: Sequence[Tape]) -> Identity:
    """Return the account on the local exchange: symbols and timeframe are the tapes'."""
    frames = {tape.timeframe for tape in tapes}
    if len(frames) != 1:
        raise ConfigError(f"--tape: timeframes {sorted(frames)} differ; resample the finer ones")
    base = frames.pop()
    symbols = tuple(sorted(tape.symbol for tape in tapes))
    config = config.changed(live={"venue": SIM, "symbols": symbols, "timeframe": base})
    markets = tuple(market_for(tape, config) for tape in tapes)
    refuse_other_money(markets, {tape.symbol: tape.kind for tape in tapes})
    return Identity(config, tapes[0].venue, base, markets)


def unlike_tapes(live: Live, tapes: Sequence[Tape]) -> Iterator[str]:
    """Yield what `[live]` asks of the local exchange that its tapes do not have: they say what is followed."""
    symbols, base = sorted(tape.symbol for tape in tapes), tapes[0].timeframe
    if live.symbols and sorted(live.symbols) != symbols:
        asked = ", ".join(live.symbols)
        yield f"live.symbols: the local exchange streams the tapes, {', '.join(symbols)}, and not {asked}"
    if "timeframe" in live.model_fields_set and live.timeframe != base:
        yield f"live.timeframe: the tapes' candles are of {base}, which is followed, and not {live.timeframe}"


async def live_identity(config: Config, on_trouble: Callable[[str], None] = lambda _: None) -> Identity:
    """
    Return the account on a real venue: as its journal has it, or with what the venue says of its markets.

    A venue that cannot be reached is waited for, as it is while the daemon runs; `on_trouble` is told of it.
    """
    live = config.live
    if not live.symbols:
        raise ConfigError("live.symbols: name at least one, as the venue does, for example BTCUSD")
    kept = _kept_identity(config)
    if kept is not None:
        return kept
    ask, pauses = _delta_identity if live.venue == DELTA else _ccxt_identity, Backoff(Random())  # noqa: S311
    while True:
        await asyncio.sleep(pauses.pause_s(wall_ms()))
        try:
            return await ask(config)
        except RestUnavailable as error:
            on_trouble(f"{live.venue} cannot be reached and is waited for: {error}")


def _kept_identity(config: Config) -> Identity | None:
    """Return the account that a journal is about, whichever version wrote it; None before its first start."""
    state = config.daemon.state
    if not (state / NAME).is_file():
        return None
    with only_one(state), Journal.open(state, wall_ms()) as journal:
        return None if journal.meta("identity") is None else identity_of(journal)._replace(config=config)


def opener(identity: Identity, tapes: Sequence[Tape] = ()) -> OpenFeed:
    """Return how the feed of an account is opened; `tapes` are what the local exchange streams."""
    live = identity.config.live

    def open_feed(start: FeedStart) -> Any:
        if live.venue == SIM:
            return _open_sim(identity, tapes, start)
        if live.venue == DELTA:
            return _open_delta(identity, WallClock(), start)
        return _open_ccxt(identity, start)

    return open_feed


@asynccontextmanager
async def _open_sim(identity: Identity, tapes: Sequence[Tape], start: FeedStart) -> AsyncIterator[FeedSource]:
    """
    Start the local exchange where the journal ends, as if time had stood still, and follow it to the end.

    Its clock is the loop's: a faster exchange takes a faster loop (`papertape.replay.runtime.loops`).
    """
    from papertape.replay.exchange import Venue

    live, base_ms = identity.config.live, tapes[0].length_ms
    _, last_ms = common_span([tape.candles for tape in tapes])
    begin_ms, history = first_live_ms(tapes, live.history_bars)
    if start.after_ms is not None:
        begin_ms = start.after_ms + base_ms
    # A tape of this very hour is followed by this very clock: what was missed meanwhile is a real outage.
    is_now = live.speed == 1.0 and begin_ms <= wall_ms() <= last_ms
    clock = WallClock() if is_now else Clock(begin_ms)
    venue = Venue(tapes, clock, start_ms=begin_ms)
    await venue.start()
    try:
        urls = {name: getattr(venue, name) for name in ("rest_url", "compact_url", "legacy_url")}
        here = identity._replace(config=identity.config.changed(live={**urls, "history_bars": history}))
        async with _open_delta(here, clock, start) as source:
            yield FeedSource(_until(source.feed, last_ms), source.now_ms)
    finally:
        await venue.stop()


@asynccontextmanager
async def _open_delta(identity: Identity, clock: Clock, start: FeedStart) -> AsyncIterator[FeedSource]:
    """Open Delta's stream and history; settlements come between its candles."""
    from papertape.daemon.feeds.delta.feed import DeltaFeed
    from papertape.daemon.feeds.halts import WithHalts
    from papertape.replay.sources.delta_profiles import find_profile
    from papertape.replay.sources.delta_rest import DeltaRest

    live = identity.config.live
    url = live.rest_url or find_profile(live.profile).rest_url
    markets = ToldMarkets(identity, start.on_notice, start.told, is_relative=live.venue == SIM)
    async with DeltaRest(url, clock, stats=start.stats.rest_requests) as rest:
        series = _live_series(start, live)
        feed = DeltaFeed(live, start, clock, rest, series=series)
        markets.begin(feed.halts, _reached_ms(start, live))
        events = WithHalts(feed, feed.halts, partial(hear_products, feed, markets))
        settled = WithSettlements(
            events,
            feed.settlements,
            _perpetuals(identity, start),
            rest,
            timeframe_ms(live.timeframe),
            feed.funding_interval_s,
            start.on_notice,
            clock.now_ms,
        )
        yield FeedSource(_with_series(settled, series, live, clock), clock.now_ms)


def _reached_ms(start: FeedStart, live: Live) -> int:
    """Return when the newest candle of the journal closed; 0: there is none yet."""
    return 0 if start.after_ms is None else start.after_ms + timeframe_ms(live.timeframe)


def _live_series(start: FeedStart, live: Live, fresh_ms: int = FRESH_MS) -> LiveSeries | None:
    """Return what takes the series that an account's features ask for, None where they ask for none."""
    asked = {key: ms for key, ms in start.series_ms.items() if key[0] not in start.dropped}
    if not asked:
        return None
    base_ms = timeframe_ms(live.timeframe)
    return LiveSeries(start.symbols, asked, base_ms, start.on_notice, fresh_ms=fresh_ms)


def _with_series(feed: Any, series: LiveSeries | None, live: Live, clock: Clock, beside: Any = None) -> Feed:
    """Return a feed with series before its candles, where any are asked for."""
    if series is None:
        return feed  # type: ignore[no-any-return] # it is a feed
    return WithSeries(feed, series, timeframe_ms(live.timeframe), clock.now_ms, beside)


def hear_products(feed: "DeltaFeed", markets: ToldMarkets) -> None:
    """Let what Delta says of its contracts come between the candles of its feed."""
    now_ms = feed.venue.now_ms()
    for symbol, product in feed.history.products.items():
        assert isinstance(product, Product)
        markets.hear(feed.halts, symbol, product, delta_figures, now_ms)


def _perpetuals(identity: Identity, start: FeedStart) -> dict[str, Perpetual]:
    """Return the symbols of an account that settle."""
    return {
        market.symbol: Perpetual(start.symbols.index(market.symbol), start.settled_ms.get(market.symbol))
        for market in identity.markets
        if market.is_perpetual and market.symbol in start.symbols and market.symbol not in start.dropped
    }


@asynccontextmanager
async def _open_ccxt(identity: Identity, start: FeedStart) -> AsyncIterator[FeedSource]:
    """Open the stream of a venue that ccxt knows; settlements are asked for."""
    from papertape.daemon.feeds.ccxt.feed import CcxtFeed
    from papertape.daemon.feeds.ccxt.figures import ccxt_figures
    from papertape.daemon.feeds.ccxt.funding import CcxtFunding
    from papertape.daemon.feeds.ccxt.series import ASKED_FRESH_MS, CcxtSeries
    from papertape.daemon.feeds.halts import WithHalts
    from papertape.daemon.feeds.venue_clock import SKEW_MS

    clock, config = WallClock(), identity.config
    live = config.live
    untiered = [s for s in start.symbols if says_margins(own_figures(config, s))]
    feed = CcxtFeed(live, start, clock, untiered=untiered)
    told = ToldMarkets(identity, start.on_notice, start.told)
    told.begin(feed.halts, _reached_ms(start, live))

    def look() -> None:
        is_skewed = abs(start.stats.clock_offset_ms) > SKEW_MS
        feed.halts.tell(Cause.CLOCK, "", clock.now_ms(), is_on=is_skewed)
        for symbol, said in feed.markets.said.items():
            told.hear(feed.halts, symbol, said, ccxt_figures, clock.now_ms())

    funding = CcxtFunding(lambda: feed.history, feed.markets, clock, start.on_notice)
    settled = WithSettlements(
        WithHalts(feed, feed.halts, look),
        deque(),
        _perpetuals(identity, start),
        funding,
        timeframe_ms(live.timeframe),
        funding.interval_s,
        start.on_notice,
        clock.now_ms,
    )
    series, asking = _live_series(start, live, ASKED_FRESH_MS), None
    if series is not None:
        asking = CcxtSeries(lambda: feed.history, feed.markets, series, clock, start.on_notice).run
    yield FeedSource(_with_series(settled, series, live, clock, asking), clock.now_ms)


class _Events:
    """A feed over an iterator of events."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events


def _until(feed: Feed, last_ms: int) -> Feed:
    """Return a feed that ends with the candles that open at `last_ms`."""

    async def events() -> AsyncIterator[Event]:
        async for event in feed:
            yield event
            if not isinstance(event, tuple) and event["open_ms"][-1] >= last_ms:
                return

    return _Events(events())


async def _delta_identity(config: Config) -> Identity:
    """Ask Delta what the contracts are."""
    from papertape.replay.sources.delta_profiles import find_profile
    from papertape.replay.sources.delta_rest import DeltaRest

    live = config.live
    profile = find_profile(live.profile, rest_url=live.rest_url)
    markets: list[Market] = []
    async with DeltaRest(profile.rest_url, WallClock()) as rest:
        for symbol in live.symbols:
            product = await rest.product(symbol)
            refuse_contract(config, symbol, product)
            told = delta_figures(product)
            markets.append(market_of(profile.venue, symbol, "linear", config, told))
    refuse_other_money(markets)
    return Identity(config, profile.venue, live.timeframe, tuple(markets))


def refuse_contract(config: Config, symbol: str, product: Product) -> None:
    """Raise ConfigError for a contract of Delta that no account can trade: inverse, or without what its prices need."""
    if product.is_inverse:
        raise ConfigError(f"live.symbols: {symbol} is an inverse contract; only linear ones are traded")
    for name, value in (("tick_size", product.tick_size), ("contract_value", product.contract_value)):
        if not value > 0.0 and name not in own_figures(config, symbol):
            raise ConfigError(
                f"live.symbols: {symbol}: the venue says that its {name} is {value:g}, which is none; "
                f"markets.{symbol}.{name} sets another"
            )


async def _ccxt_identity(config: Config) -> Identity:
    """Ask a venue, through ccxt, what its markets are: spot or perpetual, with which steps, fees and leverage."""
    from papertape.daemon.feeds.ccxt.figures import ccxt_figures, leverage_tiers, said_of
    from papertape.replay.sources.ccxt_history import CcxtHistory
    from papertape.replay.sources.ccxt_markets import find_market, make_exchange

    live = config.live
    exchange = make_exchange(live.venue, base_url=live.rest_url)
    try:
        history = CcxtHistory(exchange, WallClock(), retries=1)
        await history.call("load_markets")
        found = [(symbol, find_market(exchange, symbol)) for symbol in live.symbols]
        swaps = [
            market.unified
            for symbol, market in found
            if market.kind == "linear" and not says_margins(own_figures(config, symbol))
        ]
        try:
            answers = leverage_tiers(exchange, history.call, swaps)
            tiers = {symbol: rows async for symbol, rows in answers}
        except RestUnavailable as error:
            raise RestUnavailable(
                f"{error}; markets.SYMBOL.brackets or maintenance_rate would say margins in place of its table"
            ) from error
    finally:
        await exchange.close()
    markets = []
    for symbol, m in found:
        said = said_of(exchange, exchange.markets[m.unified], tiers.get(m.unified, ()))
        markets.append(market_of(m.venue, symbol, m.kind, config, ccxt_figures(said)))
    refuse_other_money(markets, {symbol: m.kind for symbol, m in found})
    return Identity(config, found[0][1].venue, live.timeframe, tuple(markets))
