"""The local exchange as a server on loopback: REST and compact websocket on one port, legacy websocket on another."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Any, Final

import orjson
from aiohttp import web

from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows
from papertape.replay.exchange.active_faults import ActiveFaults
from papertape.replay.exchange.cdn import Cdn
from papertape.replay.exchange.fault_effects import FaultEffects
from papertape.replay.exchange.faults import Faults, fault_from
from papertape.replay.exchange.hub import Hub
from papertape.replay.exchange.messages import US, Host
from papertape.replay.exchange.quirks import Switches
from papertape.replay.exchange.rest import Rest, RestAnswer
from papertape.replay.exchange.session import Session
from papertape.replay.exchange.world import World
from papertape.replay.runtime.clock import Clock
from papertape.replay.runtime.listening import http_log, listen
from papertape.replay.tapes.tape import Tape

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
CONTROL_PATH: Final = "/_fake/fault"
CONTROL_TIMEOUT_S: Final = 5.0
LAST_WORDS_MS: Final = 500  # after the last candle: its last trades and late frames
# Connection attempts per five minutes; more are answered with 429.
ATTEMPTS_MAX: Final = 150
ATTEMPTS_MS: Final = 300_000


class Venue:
    """
    Delta's public REST and websocket over tapes, as if live.

    tapes            one symbol each; what lies before `start_ms` is history, the rest is streamed as the clock goes
    clock            of the venue; the venue reads no other
    start_ms         default: the clock's time when it starts
    seed             of the trades inside the candles
    funding_hours    by symbol; default 8
    contract_values  base units per contract by symbol; default 1, and powers of two keep volumes exact
    """

    def __init__(
        self,
        tapes: Sequence[Tape],
        clock: Clock,
        *,
        switches: Switches | None = None,
        faults: Faults | None = None,
        start_ms: int | None = None,
        seed: int = 1,
        funding_hours: Mapping[str, int] | None = None,
        contract_values: Mapping[str, float] | None = None,
    ) -> None:
        self.clock = clock
        switches, planned = switches or Switches(), faults or Faults.none()
        self.world = World(
            tapes,
            switches,
            ActiveFaults(planned.seed, switches.final_frame),
            clock.now_ms,
            seed=seed,
            funding_hours=funding_hours,
            contract_values=contract_values,
        )
        self.hub = Hub(self.world)
        self.effects = FaultEffects(self.world, self.hub, planned)
        self._rest = Rest(self.world)
        self._cdn = Cdn()
        self._start_ms = start_ms
        self._wake = asyncio.Event()
        self._is_over = asyncio.Event()
        self._pump_task: asyncio.Task[None] | None = None
        self._attempts: deque[int] = deque()  # to open a websocket, newest last
        self._runners: list[web.AppRunner] = []
        self.rest_url = self.compact_url = self.legacy_url = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0, legacy_port: int = 0) -> None:
        """Listen on loopback and begin to stream; port 0 takes a free one."""
        if host not in LOOPBACK:
            raise ConfigError(f"venue host {host!r}: it listens on loopback only, 127.0.0.1")
        world = self.world
        if self._start_ms is None:
            self._start_ms = world.now_ms
        world.schedule.on_earlier = self._wake.set
        world.schedule.put(world.end_ms + LAST_WORDS_MS, lambda _: self._is_over.set())
        try:
            main = await self._listen("compact", host, port)
            legacy = await self._listen("legacy", host, legacy_port)
        except BaseException:
            await self.stop()
            raise
        self.rest_url = f"http://{host}:{main}"
        self.compact_url, self.legacy_url = f"ws://{host}:{main}", f"ws://{host}:{legacy}"
        self._pump_task = asyncio.create_task(self._pump(), name="venue")

    async def _listen(self, name: Host, host: str, port: int) -> int:
        app = web.Application()
        handler = self._serve_main if name == "compact" else self._serve_legacy
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, logger=http_log(), shutdown_timeout=0.0)
        await runner.setup()
        self._runners.append(runner)
        return await listen(runner, host, port, "--port" if name == "compact" else "--legacy-port")

    async def stop(self) -> None:
        """Cut every connection and stop listening; raise what ended the stream, if nobody has been told."""
        for session in list(self.hub.sessions):
            session.abort()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        if self._pump_task is not None:
            pump, self._pump_task = self._pump_task, None
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump

    async def finished(self) -> None:
        """Wait until every candle of the tapes has been streamed and is final."""
        assert self._pump_task is not None, "start the venue first"
        over = asyncio.create_task(self._is_over.wait())
        try:
            await asyncio.wait({over, self._pump_task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_over = over.done()
            over.cancel()
        if not is_over:
            pump, self._pump_task = self._pump_task, None
            await pump

    def truth(self, symbol: str) -> Rows:
        """Return the venue's own candles that it streams: what a client should have in the end."""
        return self.world.markets[symbol].truth(self._start_ms or 0)

    @property
    def n_frames(self) -> int:
        """Return how many frames of streams were sent."""
        return self.hub.n_frames

    async def _pump(self) -> None:
        """Let happen what is due; an action has its own time, whatever the clock's rounding."""
        world = self.world
        while True:
            self._wake.clear()
            due_ms = world.schedule.next_ms
            delay_s = None if due_ms is None else (due_ms - self.clock.now_ms()) / 1000.0
            if due_ms is None or (delay_s is not None and delay_s > 0.0):
                try:
                    async with self.clock.timeout(delay_s):
                        await self._wake.wait()
                    continue
                except TimeoutError:
                    pass
            assert due_ms is not None
            world.happen(due_ms)
            await asyncio.sleep(0)

    async def _serve_main(self, request: web.Request) -> web.StreamResponse:
        faults = self.world.faults
        if request.path == CONTROL_PATH and request.method == "POST":
            return await self._control(request)
        if faults.on("down"):
            return _cut(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request, "compact")
        timeout = faults.on("rest_timeout")
        if timeout is not None:
            await self.clock.sleep_until(timeout.end_ms)
            return _cut(request)
        in_ms = self.world.now_ms
        answer = self._answer(request, in_ms)
        slow, skew = faults.on("rest_slow"), faults.on("clock_skew")
        if slow is not None:
            await self.clock.sleep(slow.amount)
        skew_ms = int(skew.amount) if skew is not None else 0
        return _response(answer, in_ms + skew_ms, self.world.now_ms + skew_ms)

    def _answer(self, request: web.Request, now_ms: int) -> RestAnswer:
        """Return the answer to a request: from the cache while a fault makes it keep answers, or fresh."""
        cached = self.world.faults.on("rest_cached")
        kept = self._cdn.find(request.path_qs, now_ms) if cached is not None else None
        if kept is not None:
            return kept
        query: Mapping[str, str] = request.query
        answer = self._rest.answer(request.path, query, request.headers.get("User-Agent"))
        if cached is not None:
            self._cdn.keep(request.path_qs, answer, now_ms, int(cached.amount * 1000))
        return answer

    async def _serve_legacy(self, request: web.Request) -> web.StreamResponse:
        if self.world.faults.on("down"):
            return _cut(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request, "legacy")
        return web.Response(status=404, text="Not Found")

    async def _serve_socket(self, request: web.Request, host: Host) -> web.StreamResponse:
        now_ms = self.world.now_ms
        if not request.headers.get("User-Agent"):
            return _response(self._rest.answer("/", {}, None), now_ms, now_ms)
        if not self._admits(now_ms):
            return web.Response(status=429, text="too many connections")
        refusal = self.world.faults.on("refuse", "maintenance", "maintenance_gap")
        if refusal is not None:
            status = int(refusal.amount) if refusal.kind == "refuse" else 503
            return web.Response(status=status, text="refused")
        return await Session(self.world, self.hub, host).run(request)

    def _admits(self, now_ms: int) -> bool:
        """Count an attempt to connect; return whether it is within the venue's limit."""
        while self._attempts and self._attempts[0] <= now_ms - ATTEMPTS_MS:
            self._attempts.popleft()
        if len(self._attempts) >= ATTEMPTS_MAX:
            return False
        self._attempts.append(now_ms)
        return True

    async def _control(self, request: web.Request) -> web.Response:
        """Take a fault from outside."""
        try:
            async with asyncio.timeout(CONTROL_TIMEOUT_S):
                body = await request.read()
            fault = fault_from(orjson.loads(body), self.world.now_ms)
        except (ConfigError, orjson.JSONDecodeError) as error:
            return web.json_response({"success": False, "error": str(error)}, status=400)
        self.effects.add(fault)
        return web.json_response({"success": True, "result": fault._asdict()})


def _cut(request: web.Request) -> web.Response:
    """Cut the connection of a request; the response is for nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


def _response(answer: RestAnswer, in_ms: int, out_ms: int) -> web.Response:
    headers: dict[str, Any] = {
        "Date": formatdate(out_ms / 1000.0, usegmt=True),
        "Request-In-Time": str(in_ms * US),
        "Request-Out-Time": str(out_ms * US + 900),
        **answer.headers,
    }
    return web.Response(
        status=answer.status, body=answer.body, content_type=answer.content_type, headers=headers
    )
