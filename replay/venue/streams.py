"""
The streams of the venue, one per host, channel and symbol: frames in time order, and what a new subscriber gets at once.

Cadences are those of reference 3.6. A stream is a function of the exchange and of where it begins.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.candles import timeframe_ms
from replay.venue.forming import candle_states
from replay.venue.frames import Host, candle_frame, trade_frame
from replay.venue.market import Market

if TYPE_CHECKING:
    from replay.venue.exchange import Exchange

TRADE_DELAY_MS: Final = 260  # between a match and its publication

Timed = tuple[int, bytes]


class Stream(NamedTuple):
    """Frames to come, and the frames that a new subscriber gets at once."""

    frames: Iterator[Timed]
    snapshot: Callable[[int], list[bytes]]


class Source(NamedTuple):
    """Whose stream it is."""

    exchange: "Exchange"
    host: Host
    channel: str
    symbol: str  # as subscribed, with its prefix
    market: Market


def open_stream(
    exchange: "Exchange", host: Host, channel: str, symbol: str, after_ms: int
) -> Stream | None:
    """Return a stream from `after_ms` on, or None when nothing is ever sent: an unknown symbol."""
    market = exchange.market_of(channel, symbol)
    if market is None:
        return None
    source = Source(exchange, host, channel, symbol, market)
    if channel.startswith("candlestick_"):
        return Stream(_candles(source, after_ms), partial(_first_candle, source))
    if channel in ("trades", "all_trades"):
        return Stream(_trades(source, after_ms), _nothing)
    return None


def _nothing(_: int) -> list[bytes]:
    return []


def _candles(source: Source, after_ms: int) -> Iterator[Timed]:
    exchange, market, resolution = source.exchange, source.market, source.channel[12:]
    states = candle_states(market, timeframe_ms(resolution), after_ms, exchange.switches)
    for publish_ms, candle in states:
        yield (
            publish_ms,
            candle_frame(
                source.host, source.symbol, resolution, candle, publish_ms, exchange.switches
            ),
        )


def _first_candle(source: Source, now_ms: int) -> list[bytes]:
    switches, market, resolution = source.exchange.switches, source.market, source.channel[12:]
    length_ms = timeframe_ms(resolution)
    if switches.first_frame != "at_once":
        return []
    candle = market.candle(market.bucket(now_ms, length_ms), length_ms, now_ms)
    if candle is None:
        return []
    return [candle_frame(source.host, source.symbol, resolution, candle, now_ms, switches)]


def _trades(source: Source, after_ms: int) -> Iterator[Timed]:
    market = source.market
    start_ms = market.bucket(after_ms - TRADE_DELAY_MS, market.base_ms)
    for k in range(market.index(start_ms), len(market.stamps)):
        for trade in market.trades(int(market.stamps[k])):
            publish_ms = trade.time_ms + TRADE_DELAY_MS
            if publish_ms > after_ms:
                yield publish_ms, trade_frame(source.host, source.symbol, trade, publish_ms)
