"""
The daemon's HTTP server: metrics, probes, status, commands. Loopback by default, bounded in size and time.

It decides nothing: what it tells comes from `Views`, what it is told goes to one coroutine there. Every answer but
the metrics is JSON, a refusal is one sentence, and no input makes it fail with a 500.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Self

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler
from pydantic import BaseModel, ValidationError

from papertape.daemon.metrics import Metrics
from papertape.daemon.monitoring.access import (
    HOW_TO_SET,
    bears,
    check_address,
    is_loopback,
    names_this_machine,
)
from papertape.daemon.monitoring.routes import Handler, Route, openapi
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
READ_S: Final = 5.0
ANSWER_S: Final = 15.0  # a command waits for its commit, never for a candle
KEEP_S: Final = 30.0  # for the next request, and for the rest of one that has begun
STOP_S: Final = 2.0
_OTHER: Final = "other"
# The client library compares versions as numbers and raises on others.
_STRANGE_VERSION: Final = re.compile(r"version\s*=(?!\d{1,9}(\.\d{1,9}){0,2}\s*([;,]|$))")

Commander = Callable[[CommandName, CommandRequest], Awaitable[CommandDone]]


@dataclass(slots=True, frozen=True)
class Views:
    """
    What the server may ask of the daemon.

    status         everything that an operator asks first
    why_not_ready  one sentence, or nothing when it is able to decide
    command        journal a command as it was asked for; raises PapertapeError to refuse it
    """

    status: Callable[[], Status]
    why_not_ready: Callable[[], str]
    command: Commander


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
    )

    def __init__(
        self,
        metrics: Metrics,
        views: Views,
        *,
        version: str,
        host: str = "127.0.0.1",
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
        self._is_local = is_loopback(host)
        self._started_s = time.monotonic()
        self.is_listening = asyncio.Event()
        self._render = make_aiohttp_handler(metrics.registry)
        self._document = openapi(self.routes(), version)
        self._routes = {(route.method, route.path): route for route in self.routes()}
        assert tuple(self._routes) == self.ENDPOINTS
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=http_log(),
            keepalive_timeout=KEEP_S,
            lingering_time=1.0,
            max_line_size=4096,
            max_field_size=4096,
            shutdown_timeout=STOP_S,
        )

    def routes(self) -> tuple[Route, ...]:
        """Return every route, in the order of the document."""
        return (
            Route("GET", "/metrics", "Metrics for Prometheus.", self._get_metrics),
            Route(
                "GET",
                "/healthz",
                "Whether the event loop answers.",
                self._get_health,
                Health,
                access="probe",
            ),
            Route(
                "GET",
                "/readyz",
                "Whether the daemon is warmed up and able to decide.",
                self._get_ready,
                Readiness,
                statuses=(503,),
                access="probe",
            ),
            Route("GET", "/status", "What an operator asks first.", self._get_status, Status),
            Route("GET", "/openapi.json", "This document.", self._get_openapi),
            Route(
                "POST",
                "/api/v1/commands/{command}",
                "Journal a command; it takes effect between two candles.",
                self._post_command,
                CommandDone,
                CommandRequest,
                refusals=(400, 401, 403, 404, 408, 409, 413, 503),
                parameters=(("command", CommandName),),
                access="command",
            ),
        )

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
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

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
        try:
            with self._held():
                response = await self._answered(
                    request, handler, self._routes.get((request.method, path))
                )
            status = response.status
        finally:
            self._metrics.on_request(request.method, path, status, time.perf_counter() - started_s)
        return response

    async def _answered(
        self, request: web.Request, handler: Handler, route: Route | None
    ) -> web.StreamResponse:
        """Check who asks, answer within bounds, and turn every refusal into JSON."""
        refusal = self._refusal(request, route)
        if refusal is not None:
            return refusal
        try:
            async with asyncio.timeout(ANSWER_S):
                return await handler(request)
        except web.HTTPException as error:
            sentence = f"{request.method} {request.path}: {error.reason.lower()}"
            allowed = error.headers.getall("Allow", [])
            return _problem(error.status, sentence, **({"Allow": allowed[0]} if allowed else {}))
        except PapertapeError as error:
            return _problem(409, str(error))
        except TimeoutError:
            return _problem(
                503, f"no answer within {ANSWER_S:g} s; look at /status before asking again"
            )

    def _refusal(self, request: web.Request, route: Route | None) -> web.Response | None:
        """Return why this caller may not ask this, or nothing."""
        if self._is_local and not names_this_machine(request.headers.get("Host", "")):
            return _problem(403, "the Host header names another machine; use 127.0.0.1")
        if route is None:
            return None  # the router says 404 or 405
        needs_token = route.access == "command" or (route.access == "read" and not self._is_local)
        if not needs_token:
            return None
        if self._token is None:
            return _problem(403, f"commands are refused while there is no token: {HOW_TO_SET}")
        if bears(self._token, request.headers.get("Authorization", "")):
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
        return _json(Health(uptime_s=time.monotonic() - self._started_s))

    async def _get_ready(self, request: web.Request) -> web.Response:
        reason = self._views.why_not_ready()
        return _json(Readiness(is_ready=not reason, reason=reason), 503 if reason else 200)

    async def _get_status(self, request: web.Request) -> web.Response:
        return _json(self._views.status())

    async def _get_openapi(self, request: web.Request) -> web.Response:
        return web.json_response(self._document)

    async def _post_command(self, request: web.Request) -> web.Response:
        name = request.match_info["command"]
        known = [command.value for command in CommandName]
        if name not in known:
            return _problem(404, f"unknown command {name!r}{did_you_mean(name, known)}")
        try:
            async with asyncio.timeout(READ_S):
                body = await request.read()
        except TimeoutError:
            return _problem(408, f"the body did not arrive within {READ_S:g} s")
        except web.RequestPayloadError:
            return _problem(400, "the body is not encoded as its headers say")
        try:
            asked = CommandRequest.model_validate_json(body) if body else CommandRequest()
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "body"
            return _problem(400, f"{where}: {fault['msg'][0].lower()}{fault['msg'][1:]}")
        return _json(await self._views.command(CommandName(name), asked))


def _json(answer: BaseModel, status: int = 200, **headers: str) -> web.Response:
    """Return a model as JSON; nothing may keep it for later."""
    return web.Response(
        body=answer.model_dump_json().encode(),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **headers},
    )


def _problem(status: int, sentence: str, **headers: str) -> web.Response:
    """Return a refusal."""
    return _json(Problem(error=sentence), status, **headers)


__all__ = ["Commander", "Server", "Views"]
