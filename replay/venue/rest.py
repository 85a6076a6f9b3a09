"""The REST half of the venue, without any socket: from a path and a query to a status and a body (reference 4, 7.1)."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from replay.venue.history import RESOLUTIONS, candle_history
from replay.venue.ticks import Candle

if TYPE_CHECKING:
    from replay.venue.exchange import Exchange

WINDOW_MS: Final = 300_000  # of the quota
WEIGHT: Final = 3  # of every public call
_PAGE: Final = 100
_FORBIDDEN: Final = (
    b"<HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD></HTML>"
)
_PRIVATE: Final = ("/v2/orders", "/v2/positions", "/v2/wallet", "/v2/fills", "/v2/profile")


@dataclass(slots=True)
class Answer:
    """A response to be."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class BadRequest(Exception):
    """A parameter that the venue refuses."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def success(result: Any, **more: Any) -> Answer:
    """Return the envelope of a result."""
    return Answer(200, orjson.dumps({"success": True, "result": result, **more}))


def failure(status: int, error: Any) -> Answer:
    """Return the envelope of an error: an object or a bare string."""
    return Answer(status, orjson.dumps({"success": False, "error": error}))


class Rest:
    """The endpoints of one exchange, and the quota of its one client address."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self._window = -1
        self._used = 0
        self._endpoints = {
            "history/candles": self._candles,
            "products": self._products,
        }

    def answer(self, path: str, query: Mapping[str, str], user_agent: str | None) -> Answer:
        """Return the response to a GET."""
        if not user_agent:
            return Answer(403, _FORBIDDEN, "text/html")
        if path.startswith(_PRIVATE):
            return failure(401, "unauthorized")
        if not path.startswith("/v2/"):
            return Answer(404, b"Not Found", "text/plain")
        name, _, rest = path.removeprefix("/v2/").partition("/")
        if name == "history":
            name, rest = f"history/{rest}", ""
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return Answer(404, b"Not Found", "text/plain")
        refusal = self._charge()
        if refusal is not None:
            return refusal
        try:
            return endpoint(rest, query)
        except BadRequest as error:
            fault = {"code": "validation_error", "message": str(error), "param": error.param}
            return failure(400, {"code": "bad_schema", "context": {"schema_errors": [fault]}})

    def _charge(self) -> Answer | None:
        """Count a call, or refuse it until the window ends."""
        window, into_ms = divmod(self._exchange.now_ms, WINDOW_MS)
        if window != self._window:
            self._window, self._used = window, 0
        if self._used + WEIGHT > self._exchange.switches.quota:
            refusal = failure(429, "too_many_requests")
            refusal.headers["X-RATE-LIMIT-RESET"] = str(WINDOW_MS - into_ms)
            return refusal
        self._used += WEIGHT
        return None

    def _candles(self, _: str, query: Mapping[str, str]) -> Answer:
        for param in ("resolution", "symbol", "start", "end"):
            if not query.get(param):
                raise BadRequest(param, f"{param} is required")
        resolution = query["resolution"]
        if resolution not in RESOLUTIONS:
            raise BadRequest("resolution", f"resolution must be one of {', '.join(RESOLUTIONS)}")
        start_ms, end_ms = (_seconds(query, param) * 1000 for param in ("start", "end"))
        series = self._exchange.series(query["symbol"])
        if series is None:
            return success([])
        kind, market = series
        exchange = self._exchange
        found = candle_history(
            market,
            RESOLUTIONS[resolution],
            start_ms,
            end_ms,
            exchange.now_ms,
            exchange.switches,
        )
        return success([_candle(candle, kind == "trade") for candle in reversed(found)])

    def _products(self, symbol: str, query: Mapping[str, str]) -> Answer:
        if symbol:
            market = self._exchange.markets.get(symbol)
            if market is None:
                return failure(400, {"code": "invalid_contract"})
            return success(market.listing.product())
        listings = [market.listing for market in self._exchange.markets.values()]
        for param, of in (("contract_types", "perpetual_futures"), ("states", None)):
            wanted = {text for text in query.get(param, "").split(",") if text}
            if wanted:
                listings = [x for x in listings if (of or x.state) in wanted]
        listings.sort(key=lambda listing: -listing.id)
        page, meta = _page(query, [listing.id for listing in listings])
        chosen = {listing.id: listing for listing in listings}
        return success([chosen[id_].product() for id_ in page], meta=meta)


def _candle(candle: Candle, has_volume: bool) -> dict[str, Any]:
    return {
        "time": candle.open_ms // 1000,
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume if has_volume else None,
    }


def _seconds(query: Mapping[str, str], param: str) -> int:
    text = query[param]
    if not (text.isascii() and text.isdecimal() and len(text) <= 11):
        raise BadRequest(param, f"{param} is invalid")
    return int(text)


def _page(query: Mapping[str, str], ids: list[int]) -> tuple[list[int], dict[str, Any]]:
    """Return one page of falling ids and its cursors."""
    text = query.get("page_size", str(_PAGE))
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise BadRequest("page_size", "page_size is invalid")
    size = int(text)
    if query.get("before"):
        edge = _cursor(query["before"], "before")
        page = [id_ for id_ in ids if id_ > edge][-size:]
    else:
        edge = _cursor(query["after"], "after") if query.get("after") else max(ids, default=0) + 1
        page = [id_ for id_ in ids if id_ < edge][:size]
    has_more = bool(page) and page[-1] != ids[-1]
    has_less = bool(page) and page[0] != ids[0]
    meta = {
        "after": _opaque(page[-1]) if has_more else None,
        "before": _opaque(page[0]) if has_less else None,
        "limit": size,
        "total_count": len(ids),
    }
    return page, meta


def _opaque(id_: int) -> str:
    return "g3" + base64.urlsafe_b64encode(f"id:{id_}".encode()).decode()


def _cursor(text: str, param: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(text.removeprefix("g3")).decode().removeprefix("id:"))
    except (binascii.Error, ValueError) as error:
        raise BadRequest(param, f"{param} is invalid") from error
