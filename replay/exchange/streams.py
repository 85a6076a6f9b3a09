"""
The streams of the venue, one per host, channel and symbol: frames in time order, and what a new subscriber gets at once.

Cadences are those of reference 3.6. A stream is a function of the world and of where it begins.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

import orjson

from papertape.engine.candles import timeframe_ms
from papertape.replay.exchange.book import BookUpdates
from papertape.replay.exchange.candle_states import candle_states
from papertape.replay.exchange.market import TapeMarket
from papertape.replay.exchange.messages import Host, candle_frame, trade_frame, trade_values
from papertape.replay.exchange.quotes import (
    best_frame,
    depth_frame,
    funding_frame,
    index_frame,
    legacy_ticker_frame,
    mark_frame,
    ticker_frame,
)
from papertape.replay.exchange.trades import Trade
from papertape.replay.exchange.world import World

TRADE_DELAY_MS: Final = 260  # between a match and its publication
RECENT_TRADES: Final = 50
TIMERS_MS: Final = {
    "ticker": 5_000,
    "v2/ticker": 5_000,
    "mark_price": 2_000,
    "spot_price": 1_000,
    "funding_rate": 60_000,
}
# Books: published on this grid after a change, and at most so long apart.
GRIDS_MS: Final = {"ob_l1": 100, "ob_l2": 500, "ob_updates": 100}
QUIET_MS: Final = {"ob_l1": 5_000, "ob_l2": 10_000}

Timed = tuple[int, bytes]


class Stream(NamedTuple):
    """Frames to come, and the frames that a new subscriber gets at once."""

    frames: Iterator[Timed]
    snapshot: Callable[[int], list[bytes]]


class StreamSource(NamedTuple):
    """Whose stream it is."""

    world: World
    host: Host
    channel: str
    symbol: str  # as subscribed, with its prefix
    market: TapeMarket


def open_stream(world: World, host: Host, channel: str, symbol: str, after_ms: int) -> Stream | None:
    """Return a stream from `after_ms` on, or None when nothing comes by itself: an unknown symbol, a channel of news."""
    if channel == "system_status":
        return Stream(iter(()), lambda now_ms: [world.faults.status_frame("snapshot", now_ms)])
    market = world.market_of(channel, symbol)
    if market is None:
        return None
    source = StreamSource(world, host, channel, symbol, market)
    if channel.startswith("candlestick_"):
        return Stream(_candles(source, after_ms), partial(_first_candle, source))
    if channel in ("trades", "all_trades"):
        snapshot = partial(_recent_trades, source) if host == "legacy" else _nothing
        return Stream(_trades(source, after_ms), snapshot)
    if channel == "ob_updates":
        updates = BookUpdates(market, symbol, after_ms)
        times = change_times(market, after_ms, GRIDS_MS[channel], None)
        return Stream(updates.frames(times), updates.snapshot)
    return _quotes(source, after_ms)


def _quotes(source: StreamSource, after_ms: int) -> Stream | None:
    """Return a stream whose frames depend on nothing but the time: on a timer, or with the market."""
    world, host, channel, symbol, market = source
    frame_of: dict[str, Callable[[int], bytes]] = {
        "ticker": lambda ms: ticker_frame(market, symbol, ms, world.switches),
        "v2/ticker": lambda ms: legacy_ticker_frame(market, ms),
        "mark_price": lambda ms: mark_frame(host, market, symbol, ms),
        "spot_price": lambda ms: index_frame(host, market, symbol, ms),
        "funding_rate": lambda ms: funding_frame(host, market, symbol, ms),
        "ob_l1": lambda ms: best_frame(market, symbol, ms),
        "ob_l2": lambda ms: depth_frame(market, symbol, ms),
    }
    make = frame_of.get(channel)
    if make is None:
        return None
    if channel in TIMERS_MS:
        times = timer_times(market, after_ms, TIMERS_MS[channel])
        return Stream(((ms, make(ms)) for ms in times), _nothing)
    times = change_times(market, after_ms, GRIDS_MS[channel], QUIET_MS[channel])
    return Stream(((ms, make(ms)) for ms in times), lambda ms: [make(ms)])


def timer_times(market: TapeMarket, after_ms: int, period_ms: int) -> Iterator[int]:
    """Yield the multiples of a period after `after_ms`, as long as the tape goes on."""
    yield from range((after_ms // period_ms + 1) * period_ms, market.end_ms, period_ms)


def change_times(market: TapeMarket, after_ms: int, grid_ms: int, quiet_ms: int | None) -> Iterator[int]:
    """Yield when a book is published: after each change on a grid, and at the latest every `quiet_ms`."""
    last_ms = after_ms
    for trade in trades_after(market, after_ms):
        publish_ms = -(-trade.time_ms // grid_ms) * grid_ms
        if publish_ms <= last_ms:
            continue
        while quiet_ms is not None and publish_ms - last_ms > quiet_ms:
            last_ms += quiet_ms
            yield last_ms
        last_ms = publish_ms
        yield publish_ms


def trades_after(market: TapeMarket, after_ms: int) -> Iterator[Trade]:
    """Yield the trades of a market after an instant."""
    start_ms = market.bucket(after_ms, market.base_ms)
    for k in range(market.index(start_ms), len(market.stamps)):
        for trade in market.trades(int(market.stamps[k])):
            if trade.time_ms > after_ms:
                yield trade


def _nothing(_: int) -> list[bytes]:
    return []


def _candles(source: StreamSource, after_ms: int) -> Iterator[Timed]:
    world, market, resolution = source.world, source.market, source.channel[12:]
    final_frame_at = partial(world.faults.final_frame, market.symbol)
    states = candle_states(market, timeframe_ms(resolution), after_ms, world.switches, final_frame_at)
    for ms, candle in states:
        yield (ms, candle_frame(source.host, source.symbol, resolution, candle, ms, world.switches))


def _first_candle(source: StreamSource, now_ms: int) -> list[bytes]:
    switches, market, resolution = source.world.switches, source.market, source.channel[12:]
    length_ms = timeframe_ms(resolution)
    if switches.first_frame != "at_once":
        return []
    candle = market.candle(market.bucket(now_ms, length_ms), length_ms, now_ms)
    if candle is None:
        return []
    return [candle_frame(source.host, source.symbol, resolution, candle, now_ms, switches)]


def _trades(source: StreamSource, after_ms: int) -> Iterator[Timed]:
    numbers = source.world.switches.numbers
    for trade in trades_after(source.market, after_ms - TRADE_DELAY_MS):
        publish_ms = trade.time_ms + TRADE_DELAY_MS
        yield publish_ms, trade_frame(source.host, source.symbol, trade, publish_ms, numbers)


def _recent_trades(source: StreamSource, now_ms: int) -> list[bytes]:
    """Return the legacy snapshot of what has been published."""
    recent = source.market.last_trades(now_ms - TRADE_DELAY_MS, RECENT_TRADES)
    return [
        orjson.dumps(
            {
                "symbol": source.symbol,
                "trades": [trade_values(trade) for trade in recent],
                "type": "all_trades_snapshot",
            }
        )
    ]
