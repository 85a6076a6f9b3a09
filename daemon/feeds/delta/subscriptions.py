"""
The registry of subscriptions: what is wanted, how it is asked for, what was acknowledged.

The registry is the truth; a connection is told all of it when it opens. Candles exist under the same name on both
hosts, trades do not (delta-exchange.md 3.6, 3.9 and 11).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import orjson

from papertape.daemon.feeds.delta.messages import CANDLE_PREFIX, MARK_PREFIX, Ack
from papertape.daemon.feeds.series import LiveSeries
from papertape.engine.records import INDEX_PRICE, OPEN_INTEREST

Protocol = Literal["compact", "legacy"]
SYMBOLS_PER_FRAME = 100
ENABLE_HEARTBEAT = b'{"type":"enable_heartbeat"}'
PING = b'{"type":"ping"}'
TRADES = {"compact": "trades", "legacy": "all_trades"}
TICKER = {"compact": "ticker", "legacy": "v2/ticker"}


class Subscriptions:
    """
    What one connection is to be subscribed to.

    candles   the source of candles: stream, trades or poll (then only what comes with them)
    series    what is asked for beside candles: a ticker has index price and open interest
    refused   channels that the venue does not give us, with its words
    """

    def __init__(
        self, symbols: Sequence[str], timeframe: str, candles: str, series: LiveSeries | None = None
    ) -> None:
        self.symbols = tuple(symbols)
        self.refused: dict[str, str] = {}
        self._timeframe = timeframe
        self._candles = candles
        kinds = frozenset[int]() if series is None else series.kinds
        self._has_ticker = not kinds.isdisjoint((INDEX_PRICE, OPEN_INTEREST))
        self._acknowledged: set[tuple[str, str]] = set()

    def candle_channel(self, protocol: Protocol) -> str | None:
        """Return the channel that candles are made from, None when they are polled."""
        if self._candles == "stream":
            return CANDLE_PREFIX + self._timeframe
        return TRADES[protocol] if self._candles == "trades" else None

    def wanted(self, protocol: Protocol) -> dict[str, tuple[str, ...]]:
        """Return every channel with its symbols; () for channels that have none."""
        candles = self.candle_channel(protocol)
        channels = {} if candles is None else {candles: self.symbols}
        channels["mark_price"] = tuple(MARK_PREFIX + symbol for symbol in self.symbols)
        channels["funding_rate"] = self.symbols
        if self._has_ticker:
            channels[TICKER[protocol]] = self.symbols
        channels["system_status"] = ()
        channels["product_updates"] = ()
        return channels

    def requests(self, protocol: Protocol) -> list[bytes]:
        """Return the subscribe frames for everything, the candles first, and forget what was acknowledged."""
        self._acknowledged.clear()
        self.refused.clear()
        frames: list[list[dict[str, Any]]] = [[]]
        for channel, symbols in self.wanted(protocol).items():
            for part in _parts(symbols):
                if sum(len(entry.get("symbols", ())) for entry in frames[-1]) + len(part) > (
                    SYMBOLS_PER_FRAME
                ):
                    frames.append([])
                frames[-1].append({"name": channel, "symbols": list(part)} if part else {"name": channel})
        return [_message("subscribe", entries) for entries in frames if entries]

    def renewal(self, protocol: Protocol, symbols: Iterable[str]) -> list[bytes]:
        """Return the frames that drop and take up the candles of some symbols: subscribing twice does nothing."""
        channel = self.candle_channel(protocol)
        frames = []
        for part in _parts(tuple(symbols)):
            if channel is not None and part:
                entries = [{"name": channel, "symbols": list(part)}]
                frames += [_message("unsubscribe", entries), _message("subscribe", entries)]
        return frames

    def farewell(self, protocol: Protocol) -> bytes:
        """Return the frame that drops everything."""
        return _message("unsubscribe", [{"name": name} for name in self.wanted(protocol)])

    def acknowledge(self, ack: Ack, protocol: Protocol) -> list[str]:
        """Take an acknowledgement; return the channels that it newly refuses."""
        wanted = self.wanted(protocol)
        news = []
        for channel in ack.channels:
            if channel.error:
                if channel.name in wanted and channel.name not in self.refused:
                    self.refused[channel.name] = channel.error
                    news.append(channel.name)
            elif channel.symbols:
                self._acknowledged.update((channel.name, symbol) for symbol in channel.symbols)
            else:
                self._acknowledged.add((channel.name, ""))
        return news

    def missing(self, protocol: Protocol) -> list[tuple[str, str]]:
        """Return what a candle needs, or a connection is for, and was neither acknowledged nor refused."""
        channel = self.candle_channel(protocol) or "mark_price"
        if channel in self.refused:
            return []
        wanted = self.wanted(protocol)[channel]
        return [(channel, symbol) for symbol in wanted if (channel, symbol) not in self._acknowledged]


def _parts(symbols: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return symbols in parts that fit a frame; one empty part when there are none."""
    starts = range(0, max(len(symbols), 1), SYMBOLS_PER_FRAME)
    return [symbols[start : start + SYMBOLS_PER_FRAME] for start in starts]


def _message(kind: str, channels: list[dict[str, Any]]) -> bytes:
    return orjson.dumps({"type": kind, "payload": {"channels": channels}})
