"""A small Delta on the loopback, written from the reference alone: candles as its section 7.1 makes them."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from replay.clock import Clock

Bar = dict[str, Any]


def bar(time_s: int, close: float = 100.0, volume: float | None = 5.0) -> Bar:
    return {"time": time_s, "open": 100.0, "high": max(100.0, close), "low": min(100.0, close),
            "close": close, "volume": volume}  # fmt: skip


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
        traded = [
            t for t in times if t <= self.now_s() and (not self.thin_s or t % self.thin_s == 0)
        ]
        shown = [t for t in times if traded and t >= traded[0]]
        bars = [bar(t) if t in set(traded) else bar(t, 100.0, 0.0) for t in shown]
        return self.answer([*self.extra, *bars[::-1]])

    def answer(self, result: Any, **more: Any) -> web.Response:
        stamp = str(int(self.now_s() * 1e6))
        return web.json_response(
            {"success": True, "result": result, **more},
            headers={"Request-In-Time": stamp, "Request-Out-Time": stamp},
        )
