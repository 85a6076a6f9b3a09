"""
Delta's websocket frames: from bytes to small values, both generations of the protocol (delta-exchange.md 3).

`parse` never raises and never returns an invalid candle: what cannot be used comes back as `Bad` with a reason to
count. Unknown keys and kinds are no fault. Prices and sizes are as sent: sizes in contracts, times in µs, funding as a
fraction per interval.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import orjson

from papertape.daemon.feeds.delta.fields import name, number, time_us
from papertape.engine.candles import TIMEFRAMES

MAX_BYTES = 4 * 1024 * 1024
MAX_CONTRACTS = 1e15  # beyond it sums of contracts are no longer exact
MARK_PREFIX = "MARK:"
CANDLE_PREFIX = "candlestick_"
# The publishing clock may trail the grid a little; a frame two candles old belongs to no candle that is open.
EARLIEST_US = -2_000_000


class CandleFrame(NamedTuple):
    """The state of a forming candle; `open_ms` is 0 when the frame does not say which."""

    symbol: str
    timeframe: str
    open_ms: int
    open: float
    high: float
    low: float
    close: float
    contracts: float  # 0.0 for mark prices, which have no volume
    published_us: int


class NoTrade(NamedTuple):
    """A candle that has not traded so far: its prices are null."""

    symbol: str
    timeframe: str
    open_ms: int
    published_us: int


class TradeFrame(NamedTuple):
    """One match. There is no trade id: equal trades are not duplicates."""

    symbol: str
    price: float
    contracts: float
    matched_us: int
    published_us: int


class MarkFrame(NamedTuple):
    """The mark price of a symbol."""

    symbol: str
    price: float
    published_us: int


class FundingFrame(NamedTuple):
    """The running estimate of the next funding rate."""

    symbol: str
    rate_fraction: float  # per interval
    interval_s: int  # 0 when not said
    settles_ms: int  # 0 when not said
    published_us: int


class TickerFrame(NamedTuple):
    """Index price and open interest of a symbol; None where the frame does not say one."""

    symbol: str
    index_price: float | None
    open_contracts: float | None
    published_us: int


class Heartbeat(NamedTuple):
    """The venue's sign of life: the transport works, nothing more."""

    published_us: int  # 0 when not said


class Pong(NamedTuple):
    """The answer to a ping."""


class Channel(NamedTuple):
    """One entry of an acknowledgement."""

    name: str
    symbols: tuple[str, ...]
    error: str  # "" when accepted


class Ack(NamedTuple):
    """What the venue says it is subscribed to, or why not."""

    channels: tuple[Channel, ...]


class Refusal(NamedTuple):
    """A whole request was refused."""

    message: str


class SystemStatus(NamedTuple):
    """Maintenance and the like."""

    event: str
    status: str


class ProductUpdate(NamedTuple):
    """A market was halted, is in an auction, or trades again."""

    event: str
    symbol: str
    trading_status: str


class Ignored(NamedTuple):
    """A kind that nobody here reads, known (a book) or not."""

    kind: str


class Bad(NamedTuple):
    """A frame that cannot be used, and why: a short fixed reason."""

    reason: str


Frame: TypeAlias = (
    CandleFrame
    | NoTrade
    | TradeFrame
    | MarkFrame
    | FundingFrame
    | TickerFrame
    | Heartbeat
    | Pong
    | Ack
    | Refusal
    | SystemStatus
    | ProductUpdate
    | Ignored
    | Bad
)


def parse(data: bytes | str) -> Frame:
    """Return what a text frame says."""
    if len(data) > MAX_BYTES:
        return Bad("too_large")
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        return Bad("not_json")
    if type(message) is not dict:
        return Bad("not_an_object")
    kind = message.get("type")
    if type(kind) is not str:
        return Bad("no_type")
    if kind.startswith(CANDLE_PREFIX):
        return _candle(message, kind[len(CANDLE_PREFIX) :])
    reader = _READERS.get(kind)
    return reader(message) if reader is not None else Ignored(kind if kind in _KNOWN else "unknown")


def _candle(message: dict[str, Any], timeframe: str) -> Frame:
    """Read a candlestick frame: short keys, or long ones."""
    get = message.get
    if "sy" in message:
        symbol, prices = get("sy"), (get("o"), get("h"), get("l"), get("c"))
        volume, started, stamp = get("v"), get("cst"), get("ts")
    else:
        symbol, prices = get("symbol"), (get("open"), get("high"), get("low"), get("close"))
        volume, started, stamp = get("volume"), get("candle_start_time"), get("timestamp")
    symbol, published_us = name(symbol), time_us(stamp)
    length_ms = TIMEFRAMES.get(timeframe)
    if not symbol or length_ms is None or not published_us:
        return Bad("no_symbol" if not symbol else "no_time" if length_ms else "no_timeframe")
    open_ms = _open_ms(time_us(started), published_us, length_ms)
    if open_ms < 0:
        return Bad("stale_start")
    if prices == (None, None, None, None):
        return NoTrade(symbol, timeframe, open_ms, published_us)
    o, h, l, c = (number(price) for price in prices)  # noqa: E741 # the frame's own keys
    if o is None or h is None or l is None or c is None:
        return Bad("bad_price")
    contracts = number(volume)
    if contracts is not None and contracts > MAX_CONTRACTS:
        return Bad("bad_volume")
    if contracts is None:
        if volume is not None or not symbol.startswith(MARK_PREFIX):
            return Bad("bad_volume")
        contracts = 0.0
    if not (0.0 < l <= o <= h and l <= c <= h and contracts >= 0.0):
        return Bad("bad_ohlc")
    return CandleFrame(symbol, timeframe, open_ms, o, h, l, c, contracts, published_us)


def _open_ms(started_us: int, published_us: int, length_ms: int) -> int:
    """Return a candle's open time, 0 when the frame does not give one on the grid, -1 when it is not open now."""
    length_us = length_ms * 1000
    if not started_us or started_us % length_us:
        # Weeks begin on Monday, off the grid of the epoch, and are not ours to derive.
        return 0 if length_us < 604_800_000_000 else -1
    if EARLIEST_US <= published_us - started_us < 2 * length_us:
        return started_us // 1000
    return -1


def _trade(message: dict[str, Any]) -> Frame:
    get = message.get
    if "sy" in message:
        symbol, price, size = get("sy"), get("p"), get("s")
        matched, stamp = get("t"), get("ts")
    else:
        symbol, price, size = get("symbol"), get("price"), get("size")
        matched = stamp = get("timestamp")
    symbol, price, contracts = name(symbol), number(price), number(size)
    if not symbol:
        return Bad("no_symbol")
    if price is None or price <= 0.0 or contracts is None or not 0.0 < contracts <= MAX_CONTRACTS:
        return Bad("bad_price")
    matched_us = time_us(matched)
    if not matched_us:
        return Bad("no_time")
    return TradeFrame(symbol, price, contracts, matched_us, time_us(stamp) or matched_us)


def _mark(message: dict[str, Any]) -> Frame:
    get = message.get
    symbol = name(get("sy", get("symbol"))).removeprefix(MARK_PREFIX)
    price = number(get("p", get("price")))
    if not symbol:
        return Bad("no_symbol")
    if price is None or price <= 0.0:
        return Bad("bad_price")
    return MarkFrame(symbol, price, time_us(get("ts", get("timestamp"))))


def _funding(message: dict[str, Any]) -> Frame:
    get = message.get
    symbol = name(get("sy", get("symbol")))
    percent = number(get("fr", get("funding_rate")))
    if not symbol:
        return Bad("no_symbol")
    if percent is None or abs(percent) > 100.0:
        return Bad("bad_rate")
    interval_s = number(get("fi", get("funding_interval"))) or 0.0
    settles_us = time_us(get("nfr", get("next_funding_realization")))
    return FundingFrame(
        symbol,
        percent / 100.0,
        int(interval_s) if 0.0 < interval_s <= 604_800.0 else 0,
        settles_us // 1000,
        time_us(get("ts", get("timestamp"))),
    )


def _ticker(message: dict[str, Any]) -> Frame:
    """Read a ticker: short keys with a list of contracts, of which its own is taken, or long ones."""
    get = message.get
    if "sy" in message:
        symbol, index, stamp, entries = name(get("sy")), get("sp"), get("ts"), get("d")
        entries = entries if type(entries) is list else []
        own = [one for one in entries if type(one) is dict and name(one.get("s")) == symbol]
        told = own[0].get("oi") if own else None
        interest = told[0] if type(told) is list and told else None
    else:
        symbol, index, stamp = name(get("symbol")), get("spot_price"), get("timestamp")
        interest = get("oi_contracts")
    if not symbol:
        return Bad("no_symbol")
    price, contracts = number(index), number(interest)
    is_sound = contracts is not None and 0.0 <= contracts <= MAX_CONTRACTS
    return TickerFrame(
        symbol,
        price if price is not None and price > 0.0 else None,
        contracts if is_sound else None,
        time_us(stamp),
    )


def _ack(message: dict[str, Any]) -> Frame:
    entries = message.get("channels")
    if type(entries) is not list:
        return Bad("bad_ack")
    channels = []
    for entry in entries:
        if type(entry) is not dict:
            return Bad("bad_ack")
        symbols = entry.get("symbols")
        listed = tuple(filter(None, map(name, symbols))) if type(symbols) is list else ()
        error = entry.get("error")
        said = "" if error is None else str(error)[:200]
        channels.append(Channel(name(entry.get("name")), listed, said))
    return Ack(tuple(channels))


def _refusal(message: dict[str, Any]) -> Frame:
    return Refusal(str(message.get("message", ""))[:200])


def _heartbeat(message: dict[str, Any]) -> Frame:
    return Heartbeat(time_us(message.get("ts_publish")))


def _pong(message: dict[str, Any]) -> Frame:
    return Pong()


def _system_status(message: dict[str, Any]) -> Frame:
    return SystemStatus(name(message.get("event")), name(message.get("status")))


def _product_update(message: dict[str, Any]) -> Frame:
    product = message.get("product")
    if type(product) is not dict:
        return Bad("no_product")
    symbol = name(product.get("symbol"))
    if not symbol:
        return Bad("no_symbol")
    return ProductUpdate(name(message.get("event")), symbol, name(product.get("trading_status")))


_READERS: dict[str, Callable[[dict[str, Any]], Frame]] = {
    "trades": _trade,
    "all_trades": _trade,
    "mark_price": _mark,
    "funding_rate": _funding,
    "ticker": _ticker,
    "v2/ticker": _ticker,
    "subscriptions": _ack,
    "error": _refusal,
    "heartbeat": _heartbeat,
    "pong": _pong,
    "system_status": _system_status,
    "product_updates": _product_update,
}
_KNOWN = frozenset(
    {
        "agg_trades",
        "all_trades_snapshot",
        "announcements",
        "l1_orderbook",
        "l2_orderbook",
        "l2_updates",
        "ob_l1",
        "ob_l2",
        "ob_updates",
        "spot_30mtwap_price",
        "spot_price",
        "v2/spot_price",
    }
)
KIND_OF: dict[type, str] = {
    CandleFrame: "candle",
    NoTrade: "candle",
    TradeFrame: "trade",
    MarkFrame: "mark_price",
    FundingFrame: "funding_rate",
    TickerFrame: "ticker",
    Heartbeat: "heartbeat",
    Pong: "pong",
    Ack: "ack",
    Refusal: "error",
    SystemStatus: "system_status",
    ProductUpdate: "product_update",
}
