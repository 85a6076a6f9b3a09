"""The REST half of the venue, without any socket: from a path and a query to a status and a body (reference 4, 7.1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from papertape.replay.exchange.book import book_at
from papertape.replay.exchange.derived import derived_candles
from papertape.replay.exchange.history import RESOLUTIONS, candle_history
from papertape.replay.exchange.messages import US, number, trade_values
from papertape.replay.exchange.pages import BadRequest, page_of
from papertape.replay.exchange.products import Listing
from papertape.replay.exchange.quirks import Numbers, RestLag, Switches
from papertape.replay.exchange.quotes import ticker_values
from papertape.replay.exchange.trades import Candle
from papertape.replay.exchange.world import World

WINDOW_MS: Final = 300_000  # of the quota
WEIGHT: Final = 3  # of every public call
_RECENT_TRADES: Final = 50
_LEVELS_MAX: Final = 20
_TICKERS_MAX: Final = 10
_PRIVATE: Final = ("/v2/orders", "/v2/positions", "/v2/wallet", "/v2/fills", "/v2/profile")
_LAGS: Final[dict[str, RestLag]] = {
    "rest_lag_absent": "absent",
    "rest_lag_flat": "flat",
    "rest_lag_partial": "partial",
}
_REFUSALS: Final = {
    "blind": 503,
    "maintenance": 503,
    "maintenance_gap": 503,
    "rest_403": 403,
    "rest_429": 429,
    "rest_500": 500,
    "rest_502": 502,
    "rest_503": 503,
}


@dataclass(slots=True)
class RestAnswer:
    """A response to be."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


Endpoint = Callable[[str, Mapping[str, str]], RestAnswer]


def success(result: Any, **more: Any) -> RestAnswer:
    """Return the envelope of a result."""
    return RestAnswer(200, orjson.dumps({"success": True, "result": result, **more}))


def failure(status: int, error: Any) -> RestAnswer:
    """Return the envelope of an error: an object or a bare string."""
    return RestAnswer(status, orjson.dumps({"success": False, "error": error}))


def html(status: int) -> RestAnswer:
    """Return a page of the CDN."""
    title = "ERROR: The request could not be satisfied"
    page = f"<HTML><HEAD><TITLE>{title}</TITLE></HEAD><BODY>{status}</BODY></HTML>"
    return RestAnswer(status, page.encode(), "text/html")


def limited(wait_ms: int) -> RestAnswer:
    """Return a refusal that says when to come again."""
    refusal = failure(429, "too_many_requests")
    refusal.headers["X-RATE-LIMIT-RESET"] = str(wait_ms)
    return refusal


class Rest:
    """The endpoints of one exchange, and the quota of its one client address."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._window = -1
        self._used = 0
        self._endpoints: dict[str, Endpoint] = {
            "history/candles": self._candles,
            "history/sparklines": self._sparklines,
            "products": self._products,
            "tickers": self._tickers,
            "l2orderbook": self._book,
            "trades": self._trades,
            "assets": self._assets,
            "indices": self._indices,
            "settings": self._settings,
            "rate_limits/quota": self._quota,
        }

    def answer(self, path: str, query: Mapping[str, str], user_agent: str | None) -> RestAnswer:
        """Return the response to a GET."""
        if not user_agent:
            return html(403)
        fault = self._world.faults.on(*_REFUSALS)
        if fault is not None:
            return self._refused(_REFUSALS[fault.kind], fault.end_ms)
        answer = self._routed(path, query)
        if self._world.faults.on("rest_truncated"):
            answer.body = answer.body[: len(answer.body) // 2]
        return answer

    def _refused(self, status: int, until_ms: int) -> RestAnswer:
        if status == 429:
            return limited(max(until_ms - self._world.now_ms, 1))
        if status in (403, 502):
            return html(status)
        return failure(status, {"code": "unavailable" if status == 503 else "internal_error"})

    def _routed(self, path: str, query: Mapping[str, str]) -> RestAnswer:
        if path.startswith(_PRIVATE):
            return failure(401, "unauthorized")
        name, _, rest = path.removeprefix("/v2/").partition("/")
        if f"{name}/{rest}" in self._endpoints:
            name, rest = f"{name}/{rest}", ""
        endpoint = self._endpoints.get(name) if path.startswith("/v2/") else None
        if endpoint is None:
            return RestAnswer(404, b"Not Found", "text/plain")
        window, into_ms = divmod(self._world.now_ms, WINDOW_MS)
        if window != self._window:
            self._window, self._used = window, 0
        if self._used + WEIGHT > self._world.switches.quota:
            return limited(WINDOW_MS - into_ms)
        self._used += WEIGHT
        try:
            return endpoint(rest, query)
        except BadRequest as error:
            fault = {"code": "validation_error", "message": str(error), "param": error.param}
            return failure(400, {"code": "bad_schema", "context": {"schema_errors": [fault]}})

    def _candles(self, _: str, query: Mapping[str, str]) -> RestAnswer:
        for param in ("resolution", "symbol", "start", "end"):
            if not query.get(param):
                raise BadRequest(param, f"{param} is required")
        resolution = query["resolution"]
        if resolution not in RESOLUTIONS:
            raise BadRequest("resolution", f"resolution must be one of {', '.join(RESOLUTIONS)}")
        start_ms, end_ms = (int(_digits(query[param], param)) * 1000 for param in ("start", "end"))
        series = self._world.series(query["symbol"])
        if series is None:
            return success([])
        kind, market = series
        length_ms, now_ms = RESOLUTIONS[resolution], self._world.now_ms
        switches = self._lagging(market.symbol)
        found = candle_history(market, length_ms, start_ms, end_ms, now_ms, switches)
        found = derived_candles(kind, market, found)
        numbers = self._world.switches.numbers
        return success([_candle(candle, kind == "trade", numbers) for candle in reversed(found)])

    def _lagging(self, symbol: str) -> Switches:
        """Return the switches with what faults change about the history of a symbol."""
        faults, switches = self._world.faults, self._world.switches
        fault = faults.on(*_LAGS, symbol=symbol)
        if fault is not None:
            switches = replace(switches, rest_lag=_LAGS[fault.kind], rest_lag_s=fault.amount)
        return replace(switches, has_padding=False) if faults.on("rest_sparse", symbol=symbol) else switches

    def _products(self, symbol: str, query: Mapping[str, str]) -> RestAnswer:
        if symbol:
            market = self._world.markets.get(symbol)
            if market is None or self._is_unlisted(market.listing):
                return failure(400, {"code": "invalid_contract"})
            return success(market.listing.product())
        listings = [
            market.listing for market in self._world.markets.values() if not self._is_unlisted(market.listing)
        ]
        types, states = _list(query, "contract_types"), _list(query, "states")
        listings = [
            listing
            for listing in listings
            if (not types or "perpetual_futures" in types) and (not states or listing.state in states)
        ]
        chosen = {listing.id: listing for listing in listings}
        page, meta = page_of(query, sorted(chosen, reverse=True))
        return success([chosen[id_].product() for id_ in page], meta=meta)

    def _is_unlisted(self, listing: Listing) -> bool:
        """Return whether a market is no more and the list of products is silent about it."""
        return listing.state != "live" and self._world.switches.delisted == "unlisted"

    def _tickers(self, text: str, query: Mapping[str, str]) -> RestAnswer:
        markets, now_ms = self._world.markets, self._world.now_ms
        types, bases = _list(query, "contract_types"), _list(query, "underlying_asset_symbols")
        if not text:
            return success(
                [
                    ticker_values(market, now_ms)
                    for market in markets.values()
                    if (not types or "perpetual_futures" in types)
                    and (not bases or market.listing.assets[0] in bases)
                ]
            )
        symbols = text.split(",")
        if len(symbols) > _TICKERS_MAX:
            raise BadRequest("symbol", f"at most {_TICKERS_MAX} symbols are allowed")
        values = [ticker_values(markets[name], now_ms) for name in symbols if name in markets]
        if len(symbols) > 1:
            return success(values)
        return success(values[0] if values else None)

    def _book(self, symbol: str, query: Mapping[str, str]) -> RestAnswer:
        market, now_ms = self._world.markets.get(symbol), self._world.now_ms
        if market is None:
            return failure(400, {"code": "invalid_contract"})
        depth = min(int(_digits(query.get("depth", str(_LEVELS_MAX)), "depth")), _LEVELS_MAX)
        book = book_at(market, now_ms)
        sides: dict[str, list[dict[str, Any]]] = {"buy": [], "sell": []}
        for name, levels in (("buy", book.bids), ("sell", book.asks)) if book else ():
            total = 0
            for price, size in levels[:depth]:
                total += int(size)
                sides[name].append({"price": price, "size": int(size), "depth": str(total)})
        return success({"symbol": symbol, "last_updated_at": now_ms * US, **sides})

    def _trades(self, symbol: str, _: Mapping[str, str]) -> RestAnswer:
        market = self._world.markets.get(symbol)
        recent = market.last_trades(self._world.now_ms, _RECENT_TRADES) if market else []
        if self._world.switches.trades_list == "list":
            return success([trade_values(trade) for trade in recent])
        shown = []
        for trade in recent:
            values = trade_values(trade)
            side = "buy" if trade.is_buy else "sell"
            shown.append({"side": side, **{k: values[k] for k in ("size", "price", "timestamp")}})
        return success({"trades": shown})

    def _assets(self, _: str, __: Mapping[str, str]) -> RestAnswer:
        names: dict[str, None] = {}
        for market in self._world.markets.values():
            names |= dict.fromkeys(market.listing.assets)
        return success([{"id": i + 1, "symbol": name, "precision": 8} for i, name in enumerate(names)])

    def _indices(self, _: str, __: Mapping[str, str]) -> RestAnswer:
        listings = [market.listing for market in self._world.markets.values()]
        return success([listing.product()["spot_index"] for listing in listings])

    def _settings(self, _: str, __: Mapping[str, str]) -> RestAnswer:
        return success({"under_maintenance": self._world.faults.status != "live"})

    def _sparklines(self, _: str, __: Mapping[str, str]) -> RestAnswer:
        """Return an hourly line of the day for everything; the venue ignores what was asked for."""
        now_ms, hour_ms = self._world.now_ms, RESOLUTIONS["1h"]
        lines = {}
        for symbol, market in self._world.markets.items():
            candles = candle_history(
                market, hour_ms, now_ms - 24 * hour_ms, now_ms, now_ms, self._world.switches
            )
            lines[symbol] = [[candle.open_ms // 1000, candle.close] for candle in candles]
        return success(lines)

    def _quota(self, _: str, __: Mapping[str, str]) -> RestAnswer:
        left_ms = WINDOW_MS - self._world.now_ms % WINDOW_MS
        values = {"current_quota": self._used, "remaining_time_in_milliseconds": left_ms}
        return RestAnswer(200, orjson.dumps(values))


def _candle(candle: Candle, has_volume: bool, numbers: Numbers) -> dict[str, Any]:
    return {
        "time": candle.open_ms // 1000,
        "open": number(candle.open, numbers),
        "high": number(candle.high, numbers),
        "low": number(candle.low, numbers),
        "close": number(candle.close, numbers),
        "volume": number(candle.volume, numbers) if has_volume else None,
    }


def _list(query: Mapping[str, str], param: str) -> set[str]:
    return {text for text in query.get(param, "").split(",") if text}


def _digits(text: str, param: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) <= 11):
        raise BadRequest(param, f"{param} is invalid")
    return text
