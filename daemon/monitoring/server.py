"""
The daemon's HTTP server: metrics, probes, status, commands, `/api/v1`. Loopback by default, bounded in size and time.

It decides nothing: what it tells comes from `Views`, what it is told goes to one coroutine there. Every answer but
the metrics is JSON, a refusal is a problem with one sentence (RFC 9457), and no input makes it fail with a 500.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from papertape.daemon.backtests.service import BacktestService
from papertape.daemon.metrics import Metrics
from papertape.daemon.monitoring.access import (
    HOW_TO_SET,
    RateLimit,
    authorization_of,
    bears,
    check_address,
    is_address,
    is_called,
    is_loopback,
    is_same_origin,
    names_this_machine,
)
from papertape.daemon.monitoring.api.routes import ENDPOINTS as API_ENDPOINTS
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.assets import ENDPOINTS as PAGE_ENDPOINTS
from papertape.daemon.monitoring.assets import Assets
from papertape.daemon.monitoring.backtests import BacktestRoutes
from papertape.daemon.monitoring.peers.routes import PeerRoutes
from papertape.daemon.monitoring.peers.watch import PeerWatch
from papertape.daemon.monitoring.routes import (
    PROBLEM_MEDIA,
    READ_S,
    Handler,
    Refused,
    Route,
    as_json,
    openapi,
    read_body,
    read_key,
    read_model,
)
from papertape.daemon.monitoring.schemas import (
    CommandDone,
    CommandName,
    CommandRequest,
    Health,
    Problem,
    Readiness,
    Status,
)
from papertape.engine.errors import PapertapeError, did_you_mean
from papertape.replay.runtime.listening import http_log, listen

BODY_BYTES: Final = 16 * 1024
ANSWER_S: Final = 15.0  # a command waits for its commit, never for a candle
KEEP_S: Final = 30.0  # for the next request, and for the rest of one that has begun
# Where the loop's seconds are not the machine's, KEEP_S may be milliseconds, and a browser's spare connection would be
# closed as it is taken: a year of them keeps it for as long as the local exchange runs.
_KEEP_OUT_OF_TIME_S: Final = 365 * 86_400.0
STOP_S: Final = 2.0
PER_S: Final = 100.0  # requests but probes and scrapes
BURST: Final = 400  # a page that opens asks twenty times
_OTHER: Final = "other"
# The client library compares versions as numbers and raises on others.
_STRANGE_VERSION: Final = re.compile(r"version\s*=(?!\d{1,9}(\.\d{1,9}){0,2}\s*([;,]|$))")

Commander = Callable[[CommandName, CommandRequest, str | None], Awaitable[CommandDone]]


@dataclass(slots=True, frozen=True)
class Views:
    """
    What the server may ask of the daemon.

    status         everything that an operator asks first
    why_not_ready  one sentence, or nothing when it is able to decide
    command        journal a command as it was asked for, once for each key; raises PapertapeError or Refused
    api            what is read of the journal
    backtests      who makes them; None: nobody does
    peers          who asks other daemons; None: there are none
    """

    status: Callable[[], Status]
    why_not_ready: Callable[[], str]
    command: Commander
    api: Api
    backtests: BacktestService | None = None
    peers: PeerWatch | None = None


class Server:
    """Serves from `async with` on until its end; `port` says where when 0 was asked for."""

    # What the metrics' label set is made from, before there is a server.
    ENDPOINTS: Final = (
        ("GET", "/metrics"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/status"),
        ("GET", "/openapi.json"),
        ("POST", "/api/v1/commands/{command}"),
        *API_ENDPOINTS,
        *PAGE_ENDPOINTS,
    )

    def __init__(
        self,
        metrics: Metrics,
        views: Views,
        *,
        version: str,
        host: str = "127.0.0.1",
        hosts: Collection[str] = (),
        port: int = 0,
        token: str | None = None,
        held: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """
        Make it; held: entered while a request is answered, to hold up a clock that is not the machine's.

        Raises ConfigError for an address that others reach while there is no token.
        """
        check_address(host, token)
        self._metrics, self._views, self._token = metrics, views, token
        self._host, self._port, self._held = host, port, held
        self._hosts = (*hosts, host)
        self._is_local, self._assets = is_loopback(host), Assets()
        self._started_s = time.monotonic()
        self.is_listening = asyncio.Event()
        self._render = make_aiohttp_handler(metrics.registry)
        self._document = openapi(self.routes(), version)
        self._routes = {(route.method, route.path): route for route in self.routes()}
        assert tuple(dict.fromkeys(r.endpoint for r in self._routes.values())) == self.ENDPOINTS
        self._rate = RateLimit(PER_S, BURST)
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=http_log(),
            keepalive_timeout=KEEP_S if held is nullcontext else _KEEP_OUT_OF_TIME_S,
            lingering_time=1.0,
            max_line_size=4096,
            max_field_size=4096,
            shutdown_timeout=STOP_S,
        )

    def routes(self) -> tuple[Route, ...]:
        """Return every route, in the order of the document."""
        return (
            Route("GET", "/metrics", "Metrics for Prometheus.", self._get_metrics,
                media=("application/openmetrics-text", "text/plain"), refusals=(401, 403, 406, 503)),
            Route("GET", "/healthz", "Whether the event loop answers.", self._get_health, Health,
                refusals=(403,), access="probe"),
            Route("GET", "/readyz", "Whether the daemon is warmed up and able to decide.", self._get_ready,
                Readiness, statuses=(503,), refusals=(403,), access="probe"),
            Route("GET", "/status", "What an operator asks first.", self._get_status, Status,
                refusals=(401, 403, 503)),
            Route("GET", "/openapi.json", "This document.", self._get_openapi, media=("application/json",),
                refusals=(401, 403, 503)),
            Route("POST", "/api/v1/commands/{command}",
                "Journal a command; it takes effect between two candles.", self._post_command, CommandDone,
                CommandRequest, refusals=(400, 401, 403, 404, 408, 409, 413, 422, 429, 503),
                parameters=(("command", CommandName),), takes_key=True, access="command"),
            *self._views.api.routes(),
            *BacktestRoutes(self._views.api, self._views.backtests).routes(),
            *PeerRoutes(self._views.peers).routes(),
            *self._assets.routes(),
        )  # fmt: skip

    @property
    def port(self) -> int:
        """Return the port that is listened on."""
        addresses = self._runner.addresses
        return int(addresses[0][1]) if addresses else self._port

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await listen(self._runner, self._host, self._port, "daemon.port")
        except BaseException:
            await self._runner.cleanup()
            raise
        self.is_listening.set()
        self._deltas = asyncio.create_task(self._views.api.stream.make(), name="stream")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._deltas.cancel()
        await asyncio.gather(self._deltas, return_exceptions=True)
        await self._views.api.stream.close()
        await self._runner.cleanup()
        await self._views.api.reader.close()

    async def serve(self) -> None:
        """Serve until cancelled: a task of the daemon's group."""
        async with self:
            await asyncio.Event().wait()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._measured], client_max_size=BODY_BYTES)
        for route in self._routes.values():
            application.router.add_route(route.method, route.path, route.handler)
        return application

    @web.middleware
    async def _measured(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve one request and count it under its template."""
        started_s, status = time.perf_counter(), 500
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else _OTHER
        route = self._routes.get((request.method, path))
        try:
            held = nullcontext if route is not None and route.is_stream else self._held
            with held():
                response = await self._answered(request, handler, route)
            status = response.status
        finally:
            took_s = time.perf_counter() - started_s
            is_open = route is not None and route.is_stream and status == 101
            label = path if route is None else route.endpoint[1]
            if not is_open:
                self._metrics.on_request(request.method, label, status, took_s)
        return response

    async def _answered(
        self, request: web.Request, handler: Handler, route: Route | None
    ) -> web.StreamResponse:
        """Check who asks, answer within bounds, and turn every refusal into JSON."""
        refusal = self._refusal(request, route)
        if refusal is not None:
            await _drain(request)
            return refusal
        try:
            is_stream = route is not None and route.is_stream
            async with asyncio.timeout(None if is_stream else ANSWER_S):
                return await handler(request)
        except Refused as error:
            return _problem(error.status, error.sentence, **error.headers)
        except web.HTTPException as error:
            sentence = f"{request.method} {request.path}: {error.reason.lower()}"
            allowed = error.headers.getall("Allow", [])
            return _problem(error.status, sentence, **({"Allow": allowed[0]} if allowed else {}))
        except PapertapeError as error:
            return _problem(409, str(error))
        except TimeoutError:
            return _problem(503, f"no answer within {ANSWER_S:g} s; look at /status before asking again")

    def _refusal(self, request: web.Request, route: Route | None) -> web.Response | None:
        """Return why this caller may not ask this, or nothing."""
        called = request.headers.get("Host", "")
        is_here = names_this_machine(called)
        if not (is_here or is_called(called, self._hosts) or (not self._is_local and is_address(called))):
            return _problem(
                403, "the Host header names another machine; use 127.0.0.1, or add the name to daemon.hosts"
            )
        if not is_same_origin(request.headers.get("Origin", ""), called):
            return _problem(403, "a page of another origin may not ask; open the daemon's own")
        if route is None:
            return None  # the router says 404 or 405
        if route.path.startswith("/api/") and (wait_s := self._rate.wait_s()):
            sentence = f"more than {PER_S:g} requests a second; ask again in {wait_s} s"
            return _problem(429, sentence, **{"Retry-After": str(wait_s)})
        is_open = route.access == "read" and self._is_local and is_here
        needs_token = route.access != "probe" and not is_open
        if not needs_token:
            return None
        if self._token is None:
            return _problem(403, f"commands are refused while there is no token: {HOW_TO_SET}")
        if bears(self._token, authorization_of(request.headers)):
            return None
        sentence = "the token is missing or wrong: send `Authorization: Bearer TOKEN`"
        return _problem(401, sentence, **{"WWW-Authenticate": "Bearer"})

    async def _get_metrics(self, request: web.Request) -> web.StreamResponse:
        accept = ",".join(request.headers.getall("Accept", []))
        if _STRANGE_VERSION.search(accept):
            return _problem(406, "the Accept header asks for a version that is not a number")
        self._metrics.refresh()
        return await self._render(request)

    async def _get_health(self, request: web.Request) -> web.Response:
        return as_json(Health(uptime_s=time.monotonic() - self._started_s))

    async def _get_ready(self, request: web.Request) -> web.Response:
        reason = self._views.why_not_ready()
        return as_json(Readiness(is_ready=not reason, reason=reason), 503 if reason else 200)

    async def _get_status(self, request: web.Request) -> web.Response:
        return as_json(self._views.status())

    async def _get_openapi(self, request: web.Request) -> web.Response:
        return web.json_response(self._document)

    async def _post_command(self, request: web.Request) -> web.Response:
        name = request.match_info["command"]
        known = [command.value for command in CommandName]
        if name not in known:
            return _problem(404, f"unknown command {name!r}{did_you_mean(name, known)}")
        key, body = read_key(request), await read_body(request)
        asked = read_model(
            lambda: CommandRequest.model_validate_json(body) if body else CommandRequest(), "body"
        )
        return as_json(await self._views.command(CommandName(name), asked, key))


async def _drain(request: web.Request) -> None:
    """
    Read what belongs to a request that is refused: a connection that is closed over unread bytes takes the answer with it.

    At speed the time that a server waits for them after its answer is over at once.
    """
    with suppress(web.HTTPException, ConnectionError, TimeoutError):
        async with asyncio.timeout(READ_S):
            await request.read()


def _problem(status: int, sentence: str, **headers: str) -> web.Response:
    """Return a refusal."""
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=sentence)
    response = as_json(problem, status, **headers)
    response.content_type = PROBLEM_MEDIA
    return response


__all__ = ["Commander", "Server", "Views"]
