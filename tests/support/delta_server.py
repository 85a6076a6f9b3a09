"""A small Delta on the loopback, written from the reference alone: candles as its section 7.1 makes them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from papertape.replay.runtime.clock import Clock

Bar = dict[str, Any]


def bar(time_s: int, close: float = 100.0, volume: float | None = 5.0) -> Bar:
    return {
        "time": time_s,
        "open": 100.0,
        "high": max(100.0, close),
        "low": min(100.0, close),
        "close": close,
        "volume": volume,
    }


class DeltaServer:
    """
    Candles of one symbol as the reference's section 7.1 has them: capped at the end, padded, newest first.

    traded  open times in s that had trades; everything between is padded flat
    """

    def __init__(self, clock: Clock, first_s: int, *, cap: int = 4000, ahead_ms: int = 0) -> None:
        self.clock = clock
        self.first_s = first_s
        self.cap = cap
        self.ahead_ms = ahead_ms
        self.requests: list[dict[str, str]] = []
        self.script: list[Callable[[], Awaitable[web.StreamResponse]]] = []
        self.extra: list[Bar] = []
        self.thin_s = 0  # when set, only every so many seconds has trades

    def now_s(self) -> float:
        return (self.clock.now_ms() + self.ahead_ms) / 1000.0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(dict(request.query))
        if self.script:
            return await self.script.pop(0)()
        assert request.headers["User-Agent"].startswith("papertape/")
        if request.path != "/v2/history/candles":
            return web.Response(status=404, text="Not Found")
        start, end = int(request.query["start"]), int(request.query["end"])
        assert start <= end, "the client must never send it"
        step = {"1m": 60, "1h": 3600}[request.query["resolution"]]
        low = max(start, end - self.cap * step, self.first_s)
        times = list(range(-(-low // step) * step, end // step * step + 1, step))
        traded = [t for t in times if t <= self.now_s() and (not self.thin_s or t % self.thin_s == 0)]
        shown = [t for t in times if traded and t >= traded[0]]
        bars = [bar(t) if t in set(traded) else bar(t, 100.0, 0.0) for t in shown]
        return self.answer([*self.extra, *bars[::-1]])

    def answer(self, result: Any, **more: Any) -> web.Response:
        stamp = str(int(self.now_s() * 1e6))
        return web.json_response(
            {"success": True, "result": result, **more},
            headers={"Request-In-Time": stamp, "Request-Out-Time": stamp},
        )


class DeltaStreams(DeltaServer):
    """
    The same venue with products and sockets.

    quiet_every   every so many minutes the thin market has none
    garble        what becomes of a frame's text before it is sent
    """

    def __init__(self, clock: Clock, symbols: tuple[str, ...] = ("BTCUSD", "THINUSD")) -> None:
        super().__init__(clock, 0)
        self.symbols = symbols
        self.quiet_every = 2
        self.garble: Callable[[str], str] = lambda text: text
        self.has_start = True
        self.has_final = True
        self.is_legacy_alive = False
        self.cut_after_s = 1e9
        self.settles_ms = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer REST and serve the compact socket."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.stream(request, is_legacy=False)
        name = request.path.rpartition("/")[2]
        if request.path == "/v2/products":
            return self.answer(
                [_product(symbol) for symbol in self.symbols], meta={"after": None, "total_count": 9}
            )
        if request.path.startswith("/v2/products/"):
            if name in self.symbols:
                return self.answer(_product(name))
            return _bad_request("invalid_contract")
        if request.path == "/v2/tickers":
            return self.answer(
                [{"symbol": s, "turnover_usd": 1000.0 - i} for i, s in enumerate(self.symbols)]
            )
        if request.path.startswith("/v2/trades/"):
            return self.answer([{"price": "1", "size": 1}] * 50 if name in self.symbols else [])
        if request.query.get("resolution") == "12h":
            return _bad_request("bad_schema")
        if request.query.get("resolution") == "1w":
            return self.answer([bar(1_794_787_200), bar(1_794_182_400)])  # two Mondays
        if request.query.get("symbol", "").startswith("FUNDING:"):
            hour_s = self.settles_ms // 1000
            return self.answer([bar(hour_s) | dict.fromkeys(("open", "high", "low", "close"), 0.0073)])
        if request.query.get("symbol") == "THINUSD":
            bars = [b for b in self._minutes(request) if not self._is_quiet(b["time"])]
            return self.answer([*bars[::-1], *self._padding(request)])
        if request.query.get("symbol") == "BTCUSD" and request.query["resolution"] == "1m":
            span = (int(request.query["end"]) - int(request.query["start"])) // 60
            if span < 100:
                return self.answer(self._minutes(request)[::-1])
        return await super().handle(request)

    def _minutes(self, request: web.Request) -> list[Bar]:
        start, end = int(request.query["start"]), min(int(request.query["end"]), int(self.now_s()))
        return [self.state(t, self.now_s()) for t in range(start // 60 * 60, end + 1, 60) if t >= start]

    def _padding(self, request: web.Request) -> list[Bar]:
        return [bar(b["time"], 100.0, 0.0) for b in self._minutes(request) if self._is_quiet(b["time"])]

    def _is_quiet(self, time_s: float) -> bool:
        return int(time_s) // 60 % self.quiet_every == 0

    def state(self, open_s: int, now_s: float) -> Bar:
        """Return a minute as it is at a time: a contract more every two seconds."""
        seconds = int(min(max(now_s - open_s, 0.0), 58.0)) // 2 * 2
        return bar(open_s, 100.0 + seconds / 4.0, 1.0 + seconds / 2.0)

    async def serve_legacy(self, request: web.Request) -> web.StreamResponse:
        """Serve the legacy socket."""
        return await self.stream(request, is_legacy=True)

    async def stream(self, request: web.Request, *, is_legacy: bool) -> web.WebSocketResponse:
        """Serve one socket."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        channels: list[tuple[str, str]] = []
        sender = asyncio.create_task(self._send(socket, channels, is_legacy=is_legacy))
        try:
            async for message in socket:
                asked = json.loads(message.data)
                if asked["type"] == "ping":
                    await socket.send_json({"type": "pong"})
                elif asked["type"] == "subscribe" and is_legacy and not self.is_legacy_alive:
                    refusal = "Subscription forbidden: Invalid channel array"
                    await socket.send_json({"message": refusal, "type": "error"})
                elif asked["type"] == "subscribe":
                    wanted = asked["payload"]["channels"]
                    channels += [(c["name"], s) for c in wanted for s in c["symbols"]]
                    await socket.send_json({"type": "subscriptions", "channels": wanted})
        finally:
            sender.cancel()
        return socket

    async def _send(
        self, socket: web.WebSocketResponse, channels: list[tuple[str, str]], *, is_legacy: bool
    ) -> None:
        began_s = self.now_s()
        n = 0
        while True:
            await self.clock.sleep(2.0 - self.now_s() % 2.0 + 0.1)
            n += 1
            if self.now_s() - began_s >= self.cut_after_s:
                await socket.close(code=1012)
                return
            if n % 5 == 0:
                await socket.send_json({"type": "heartbeat", "ts_publish": int(self.now_s() * 1e6)})
            for name, symbol in channels:
                frame = self._frame(name, symbol, is_legacy=is_legacy)
                if frame is not None:
                    await socket.send_str(self.garble(json.dumps(frame)))

    def _frame(self, name: str, symbol: str, *, is_legacy: bool) -> dict[str, Any] | None:
        now_s = self.now_s()
        stamp = int(now_s * 1e6)
        if name == "funding_rate":
            return {
                "type": name,
                "sy": symbol,
                "fr": 0.0073,
                "fi": 28800,
                "nfr": self.settles_ms * 1000,
                "ts": stamp,
            }
        timeframe = name.removeprefix("candlestick_")
        length_s = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86400}[timeframe]
        open_s = int(now_s) // length_s * length_s
        if symbol == "THINUSD" and self._is_quiet(open_s):
            return None
        if not self.has_final and now_s - open_s >= 50:
            return None
        state = self.state(open_s, now_s) if timeframe == "1m" else bar(open_s, 100.0, now_s // 1)
        if is_legacy:
            return {
                "type": name,
                "symbol": symbol,
                "timestamp": stamp,
                "candle_start_time": open_s * 1_000_000,
                **{key: state[key] for key in ("open", "high", "low", "close", "volume")},
            }
        frame = {
            "type": name,
            "sy": symbol,
            "res": timeframe,
            "ts": stamp,
            "o": state["open"],
            "h": state["high"],
            "l": state["low"],
            "c": state["close"],
        }
        if self.has_start:
            frame["cst"] = open_s * 1_000_000
        return frame if symbol.startswith("MARK:") else {**frame, "v": state["volume"]}


def _product(symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "contract_value": "0.001",
        "contract_type": "perpetual_futures",
        "state": "live",
    }


def _bad_request(code: str) -> web.Response:
    return web.json_response({"success": False, "error": {"code": code}}, status=400)
