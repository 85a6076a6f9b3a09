"""The routes of backtests: what may be asked for, start, list, follow, cancel, result, pieces of its files, comparison."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from papertape.daemon.backtests.answers import (
    BacktestChoices,
    BacktestComparison,
    BacktestJob,
    BacktestJobs,
    BacktestRequest,
    BacktestResult,
    ResultFile,
)
from papertape.daemon.backtests.comparison import LIVE, Side, compare, side_of_account, side_of_result
from papertape.daemon.backtests.results import curve_of_result, piece_of, result_of, summary_of
from papertape.daemon.backtests.service import BacktestService, NoSuchBacktest, OtherRequest, QueueFull
from papertape.daemon.monitoring.api.queries import LABEL
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.routes import (
    Handler,
    Refused,
    Route,
    as_json,
    read_body,
    read_key,
    read_model,
    read_query,
)
from papertape.engine.errors import ConfigError

_PLACE: Final = "/api/v1/backtests"
_NUMBER: Final = (("number", int),)
_READS: Final = (400, 401, 403, 404, 409, 429, 503)
_WRITES: Final = (400, 401, 403, 404, 408, 409, 413, 422, 429, 503)
_ASKED: Final = "/api/v1/commands/{command}"  # of metrics: all that the token is for is one series


class PieceQuery(BaseModel):
    """Which piece of a file."""

    model_config = ConfigDict(extra="forbid")

    offset: int = Field(0, ge=0, le=2**53, description="bytes before it")


class ComparisonQuery(BaseModel):
    """What a result is compared with."""

    model_config = ConfigDict(extra="forbid")

    other: Annotated[str, Field(pattern=r"^(live|[1-9][0-9]{0,8})$")] = Field(
        description="number of another backtest, or live"
    )


class BacktestRoutes:
    """
    The handlers.

    service  None: the configuration has switched backtests off
    """

    def __init__(self, api: Api, service: BacktestService | None = None) -> None:
        self._api, self._service = api, service

    def routes(self) -> tuple[Route, ...]:
        """Return the routes, in the order of the document."""
        one = f"{_PLACE}/{{number}}"
        return (
            Route("POST", _PLACE, "Let a backtest wait for its turn.", _told(self._post_start), BacktestJob,
                BacktestRequest, refusals=_WRITES, access="command", takes_key=True, label=_ASKED),
            Route("POST", f"{one}/cancel", "Cancel a backtest that waits or runs.", _told(self._post_cancel),
                BacktestJob, refusals=_WRITES, parameters=_NUMBER, access="command", label=_ASKED),
            Route("GET", _PLACE, "The backtests that are kept, newest first.", _told(self._get_jobs),
                BacktestJobs, refusals=_READS, label=LABEL),
            Route("GET", f"{_PLACE}/choices", "What a backtest may be made of here.",
                _told(self._get_choices), BacktestChoices, refusals=_READS, label=LABEL),
            Route("GET", one, "A backtest and how far it is.", _told(self._get_job), BacktestJob,
                refusals=_READS, parameters=_NUMBER, label=LABEL),
            Route("GET", f"{one}/result", "What a backtest found.", _told(self._get_result), BacktestResult,
                refusals=_READS, parameters=_NUMBER, label=LABEL),
            Route("GET", f"{one}/files/{{name}}", "A piece of a file of its result, 250,000 bytes at most.",
                _told(self._get_piece), refusals=_READS, parameters=(*_NUMBER, ("name", ResultFile)),
                query=PieceQuery, media=("application/octet-stream",), label=LABEL),
            Route("GET", f"{one}/comparison", "It beside another backtest, or the live account.",
                _told(self._get_comparison), BacktestComparison, refusals=_READS, parameters=_NUMBER,
                query=ComparisonQuery, label=LABEL),
        )  # fmt: skip

    @property
    def _jobs(self) -> BacktestService:
        if self._service is None:
            raise Refused(403, "no backtests are made here: backtests.at_once is 0")
        return self._service

    async def _post_start(self, request: web.Request) -> web.Response:
        key, body = read_key(request), await read_body(request)
        asked = read_model(
            lambda: BacktestRequest.model_validate_json(body) if body else BacktestRequest(), "body"
        )
        return as_json(await self._jobs.start(asked.name, asked.config, key))

    async def _post_cancel(self, request: web.Request) -> web.Response:
        return as_json(await self._jobs.cancel(_number(request)))

    async def _get_jobs(self, request: web.Request) -> web.Response:
        return as_json(self._jobs.jobs())

    async def _get_choices(self, request: web.Request) -> web.Response:
        jobs = self._jobs
        return as_json(await self._api.reader.ask(lambda _: jobs.choices()))

    async def _get_job(self, request: web.Request) -> web.Response:
        return as_json(self._jobs.job(_number(request)))

    async def _get_result(self, request: web.Request) -> web.Response:
        number = _number(request)
        folder = self._jobs.result_folder(number)
        job = self._jobs.job(number)
        return as_json(await self._api.reader.ask(lambda _: result_of(job, folder)))

    async def _get_piece(self, request: web.Request) -> web.Response:
        asked, name = read_query(request, PieceQuery), request.match_info["name"]
        folder = self._jobs.result_folder(_number(request))
        piece = None
        if name in [file.value for file in ResultFile]:
            piece = await self._api.reader.ask(lambda _: piece_of(folder, ResultFile(name), asked.offset))
        if piece is None:
            raise Refused(404, f"there is no file {name!r} of it, or none as long as that")
        return web.Response(
            body=piece,
            content_type="application/octet-stream",
            headers={
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "Content-Disposition": f'attachment; filename="{name}"',
            },
        )

    async def _get_comparison(self, request: web.Request) -> web.Response:
        asked = read_query(request, ComparisonQuery)
        first = await self._side(_number(request))
        if asked.other == LIVE:
            digest = self._api.digest()
            second = await self._api.reader.ask(lambda journal: side_of_account(journal, digest))
        else:
            second = await self._side(int(asked.other))
        return as_json(compare(first, second))

    async def _side(self, number: int) -> Side:
        folder = self._jobs.result_folder(number)
        return await self._api.reader.ask(
            lambda _: side_of_result(number, summary_of(folder), curve_of_result(folder))
        )


def _number(request: web.Request) -> int:
    """Return the number of a backtest that a path has."""
    text = request.match_info["number"]
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise Refused(404, f"{text[:20]!r} is not the number of a backtest")
    return int(text)


def _told(handler: Handler) -> Handler:
    """Return a handler whose refusals have the status that they mean."""

    async def asked(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except NoSuchBacktest as error:
            raise Refused(404, str(error)) from error
        except OtherRequest as error:
            raise Refused(422, str(error)) from error
        except QueueFull as error:
            raise Refused(503, str(error)) from error
        except ConfigError as error:
            raise Refused(400, str(error)) from error

    return asked
