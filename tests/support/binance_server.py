"""The part of Binance's interfaces that ccxt needs, on the loopback: markets, time, klines, streams, settlements."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from papertape.replay.runtime.clock import Clock

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


def bar_of(open_ms: int) -> tuple[float, float, float, float, float]:
    """Return what the market did in the bar that opens then: a formula, so that any test knows the truth."""
    k = open_ms // MINUTE_MS
    opens, close = 100.0 + k % 7, 100.0 + (k + 1) % 7
    return opens, max(opens, close) + 0.5, min(opens, close) - 0.25, close, 1.0 + k % 5


def exchange_info(symbols: list[str]) -> dict[str, Any]:
    """Return what Binance says of its markets, the keys that ccxt reads."""
    return {
        "timezone": "UTC",
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [
            {
                "symbol": symbol,
                "status": "TRADING",
                "baseAsset": symbol.removesuffix("USDT"),
                "quoteAsset": "USDT",
                "baseAssetPrecision": 8,
                "quotePrecision": 8,
                "quoteAssetPrecision": 8,
                "orderTypes": ["LIMIT"],
                "isSpotTradingAllowed": True,
                "isMarginTradingAllowed": False,
                "permissions": ["SPOT"],
                "filters": [],
            }
            for symbol in symbols
        ],
    }


def futures_info(symbols: list[str]) -> dict[str, Any]:
    """Return what Binance says of its perpetuals, the keys that ccxt reads."""
    of_all = {
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
    }
    return exchange_info([]) | {
        "symbols": [
            of_all
            | {
                "symbol": each,
                "pair": each,
                "status": "TRADING",
                "baseAsset": each.removesuffix("USDT"),
                "filters": [],
            }
            for each in symbols
        ]
    }


class BinanceServer:
    """
    REST as ccxt asks it.

    cap      at most so many klines an answer, the oldest of the range
    listed   nothing traded before
    refuse   asked first; what it returns is the answer
    rates    what perpetuals were charged, by the venue's stamp of it; listed `rates_late_ms` after it
    """

    def __init__(self, clock: Clock, symbols: list[str], *, listed_ms: int = 0) -> None:
        self.clock = clock
        self.symbols = symbols
        self.perpetuals: list[str] = []
        self.rates: dict[int, str] = {}
        self.rates_late_ms = 0
        self.listed_ms = listed_ms
        self.cap = 1_000
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.refuse: Callable[[str], web.Response | None] = lambda _path: None
        self.sockets: set[web.WebSocketResponse] = set()
        self.n_sockets = 0
        self.is_mute = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.requests.append((request.path, dict(request.query)))
        refusal = self.refuse(request.path)
        if refusal is not None:
            return refusal
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.stream(request)
        if request.path.endswith("/exchangeInfo"):
            return web.json_response(
                exchange_info(self.symbols if request.path.startswith("/api") else [])
                if not request.path.startswith("/fapi")
                else futures_info(self.perpetuals)
            )
        if request.path == "/fapi/v1/fundingRate":
            return web.json_response(self.settlements(dict(request.query)))
        if request.path == "/fapi/v1/markPriceKlines":
            rows = self.klines({"endTime": str(self.clock.now_ms()), **request.query})
            return web.json_response([[t, str(2.0 * float(o)), *rest] for t, o, *rest in rows])
        if request.path.endswith("/time"):
            return web.json_response({"serverTime": self.clock.now_ms()})
        if request.path.endswith("/klines"):
            return web.json_response(self.klines(dict(request.query)))
        return web.json_response({"code": -1, "msg": "unknown path"}, status=404)

    def settlements(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """Return what was charged, oldest first, as many as asked for."""
        known_ms = self.clock.now_ms() - self.rates_late_ms
        last_ms = min(int(query["endTime"]), known_ms)
        return [
            {"symbol": query["symbol"], "fundingTime": t, "fundingRate": rate}
            for t, rate in sorted(self.rates.items())
            if int(query["startTime"]) <= t <= last_ms
        ][: int(query["limit"])]

    def klines(self, query: dict[str, str]) -> list[list[Any]]:
        """Return klines as the venue does: oldest first, the forming one too."""
        assert "endTime" in query, "`until` must always be given"
        assert int(query["endTime"]) <= self.clock.now_ms()
        step = {"1m": MINUTE_MS, "1h": HOUR_MS}[query["interval"]]
        first = max(int(query["startTime"]), self.listed_ms)
        last = min(int(query["endTime"]), self.clock.now_ms())
        times = range(-(-first // step) * step, last + 1, step)
        return [
            [t, *map(str, self.state(t, step)), t + step - 1, "1", 1, "1", "1", "0"]
            for t in times[: min(int(query["limit"]), self.cap)]
        ]

    def state(self, open_ms: int, step: int = MINUTE_MS) -> tuple[float, float, float, float, float]:
        """Return what is known now of a bar: half of its volume and range until its last two seconds."""
        opens, high, low, close, volume = bar_of(open_ms)
        if self.clock.now_ms() >= open_ms + step - 2_000:
            return opens, high, low, close, volume
        return opens, opens + 0.125, opens - 0.125, opens, volume / 2.0

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one socket: subscriptions by request, a kline of each every two seconds."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        self.n_sockets += 1
        names: list[str] = []
        sender = asyncio.create_task(self._send(socket, names))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    asked = json.loads(message.data)
                    if asked["method"] == "SUBSCRIBE":
                        names += asked["params"]
                    await socket.send_json({"result": None, "id": asked["id"]})
        finally:
            sender.cancel()
            self.sockets.discard(socket)
        return socket

    async def _send(self, socket: web.WebSocketResponse, names: list[str]) -> None:
        while True:
            await self.clock.sleep(2.0)
            now_ms = self.clock.now_ms()
            for name in [] if self.is_mute else list(names):
                symbol = name.partition("@")[0].upper()
                open_ms = now_ms // MINUTE_MS * MINUTE_MS
                values = zip("ohlcv", map(str, self.state(open_ms)), strict=True)
                kline = {
                    "t": open_ms,
                    "T": open_ms + MINUTE_MS - 1,
                    "s": symbol,
                    "i": "1m",
                    "x": False,
                    **dict(values),
                }
                await socket.send_json({"e": "kline", "E": now_ms, "s": symbol, "k": kline})

    async def hang_up(self, code: int | None) -> None:
        """End every socket: with a close frame, or by cutting the line."""
        for socket in list(self.sockets):
            if code is None:
                transport: Any = socket._req.transport  # type: ignore[union-attr]
                transport.abort()
            else:
                await socket.close(code=code)
