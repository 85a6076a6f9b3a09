"""The routes of `/api/v1` that read: what may be asked of each, what it answers, and the handlers."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from papertape.daemon.journal import Journal
from papertape.daemon.journal.journal import NAME
from papertape.daemon.monitoring.api.answers import (
    CandleWindow,
    CloseView,
    EquityCurve,
    Holdings,
    JournalPosition,
    LineWindow,
    MarketInfo,
    Markets,
    RefusalCount,
    RefusalCounts,
    StructureWindow,
)
from papertape.daemon.monitoring.api.candles import MOST_CANDLES, CandleHistory
from papertape.daemon.monitoring.api.closes import SeenFeatures, close_of, lines_of
from papertape.daemon.monitoring.api.equity import equity_curve_of
from papertape.daemon.monitoring.api.listings import LISTINGS, ListingQuery, TableListing, page
from papertape.daemon.monitoring.api.reader import ApiReader
from papertape.daemon.monitoring.api.stream import DeltaStream, StreamQuery
from papertape.daemon.monitoring.api.structure import structure_window
from papertape.daemon.monitoring.routes import Handler, Refused, Route, read_query
from papertape.daemon.monitoring.schemas import Status
from papertape.engine.broker.working.orders import CAUSE_NAMES, REFUSED
from papertape.engine.errors import did_you_mean
from papertape.engine.records import REFUSED_NAMES
from papertape.engine.spec import Market

LABEL: Final = "/api/v1/{what}"  # one series of metrics for all that read: what differs is in the log of a proxy
STREAM: Final = "/api/v1/stream"
_REFUSALS: Final = (400, 401, 403, 409, 429, 503)


class ApiAccount(NamedTuple):
    """What the API tells of an account without asking anybody."""

    state: Path
    venue: str
    strategy: str
    timeframe_ms: int
    base_timeframe_ms: int
    capital: float
    markets: tuple[Market, ...]
    features: SeenFeatures = SeenFeatures()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols in the engine's order."""
        return tuple(sorted(market.symbol for market in self.markets))


class SpanQuery(BaseModel):
    """A span of time."""

    model_config = ConfigDict(extra="forbid")

    from_ms: int | None = Field(None, ge=0, le=2**53, description="of this time or later")
    to_ms: int | None = Field(None, ge=0, le=2**53, description="before this time")


class CandleQuery(SpanQuery):
    """A window of one symbol."""

    symbol: str = Field(max_length=64)
    limit: Annotated[int, Field(ge=1, le=MOST_CANDLES)] = 500


class LineQuery(SpanQuery):
    """Lines of features in a window of one symbol."""

    symbol: str = Field(max_length=64)
    size_ms: int | None = Field(
        None, ge=1, le=2**53, description="of a stretch at least, as a window of candles has it"
    )


class StructureQuery(SpanQuery):
    """Market structure in a window of one symbol."""

    symbol: str = Field(max_length=64)


class CloseQuery(BaseModel):
    """A close of the strategy's timeframe."""

    model_config = ConfigDict(extra="forbid")

    symbol: str = Field(max_length=64)
    time_ms: int = Field(ge=0, le=2**53, description="when the candle closed")


class Api:
    """
    The handlers, and what they share: the reading thread and what it keeps of candles.

    settle  returns the newest input whose rows are in the journal for certain; None: all that are in it
    """

    def __init__(
        self,
        account: ApiAccount,
        status: Callable[[], Status],
        settle: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._account, self._status = account, status
        self.reader = ApiReader(account.state)
        self.stream = DeltaStream(
            self.reader, status, settle or self._newest, account.symbols, account.features
        )
        self._candles = CandleHistory(account.symbols, account.timeframe_ms)

    def routes(self) -> tuple[Route, ...]:
        """Return every route that reads, in the order of the document."""
        return (
            _reads("status", "What an operator asks first.", self._get_status, Status),
            _reads("markets", "The markets of the account.", self._get_markets, Markets),
            _reads(
                "candles",
                "Candles of a window; of a long one several are one, with their true high and low.",
                self._get_candles,
                CandleWindow,
                CandleQuery,
            ),
            _reads(
                "close",
                "Why, and why not: features, answer and the first unmet condition of one close.",
                self._get_close,
                CloseView,
                CloseQuery,
            ),
            _reads(
                "features",
                "Lines of the features that the strategy names, as finely as a window is drawn.",
                self._get_features,
                LineWindow,
                LineQuery,
            ),
            _reads(
                "structure",
                "Market structure of a window: what formed, became known and ended.",
                self._get_structure,
                StructureWindow,
                StructureQuery,
            ),
            _reads("equity", "The curve of the account.", self._get_equity, EquityCurve, SpanQuery),
            _reads("positions", "What is held, and what rests.", self._get_positions, Holdings),
            _reads(
                "refusals",
                "Why nothing happened, with counts.",
                self._get_refusals,
                RefusalCounts,
                SpanQuery,
            ),
            _reads("journal", "Where the journal stands.", self._get_journal, JournalPosition),
            *(
                _reads(each.name, each.summary, self._lists(each), each.answer, each.query)
                for each in LISTINGS
            ),
            Route(
                "GET",
                STREAM,
                "A snapshot, then numbered deltas (websocket).",
                self.stream.handle,
                query=StreamQuery,
                refusals=(400, 401, 403, 426, 429, 503),
                label=LABEL,
                is_stream=True,
            ),
        )

    async def _newest(self) -> int:
        return (await self.reader.ask(_position)).sequence

    async def _get_status(self, request: web.Request) -> web.Response:
        return as_json(self._status())

    async def _get_markets(self, request: web.Request) -> web.Response:
        account = self._account
        return as_json(
            Markets(
                venue=account.venue,
                strategy=account.strategy,
                timeframe_ms=account.timeframe_ms,
                base_timeframe_ms=account.base_timeframe_ms,
                markets=tuple(
                    _market(market) for market in sorted(account.markets, key=lambda m: m.symbol)
                ),
            )
        )

    async def _get_candles(self, request: web.Request) -> web.Response:
        asked = read_query(request, CandleQuery)
        self.check_symbol(asked.symbol)
        _check_span(asked)

        def question(journal: Journal) -> CandleWindow:
            return self._candles.window(
                journal, asked.symbol, asked.from_ms, asked.to_ms, asked.limit
            )

        return as_json(await self.reader.ask(question))

    async def _get_close(self, request: web.Request) -> web.Response:
        asked = read_query(request, CloseQuery)
        self.check_symbol(asked.symbol)
        features = self._account.features
        return as_json(
            await self.reader.ask(
                lambda journal: close_of(journal, features, asked.symbol, asked.time_ms)
            )
        )

    async def _get_features(self, request: web.Request) -> web.Response:
        asked = read_query(request, LineQuery)
        self.check_symbol(asked.symbol)
        _check_span(asked)
        account, frame_ms = self._account, self._account.timeframe_ms
        size_ms = frame_ms * -(-(asked.size_ms or frame_ms) // frame_ms)

        def question(journal: Journal) -> LineWindow:
            candles = self._candles.window(
                journal, asked.symbol, asked.from_ms, asked.to_ms, MOST_CANDLES
            )
            return lines_of(journal, account.features, frame_ms, size_ms, candles)

        return as_json(await self.reader.ask(question))

    async def _get_structure(self, request: web.Request) -> web.Response:
        asked = read_query(request, StructureQuery)
        self.check_symbol(asked.symbol)
        _check_span(asked)
        frame_ms = self._account.timeframe_ms
        span = (asked.from_ms or 0, 2**62 if asked.to_ms is None else asked.to_ms)
        return as_json(
            await self.reader.ask(
                lambda journal: structure_window(journal, asked.symbol, frame_ms, *span)
            )
        )

    async def _get_equity(self, request: web.Request) -> web.Response:
        asked = read_query(request, SpanQuery)
        _check_span(asked)
        capital = self._account.capital
        return as_json(
            await self.reader.ask(
                lambda journal: equity_curve_of(journal, asked.from_ms, asked.to_ms, capital)
            )
        )

    async def _get_positions(self, request: web.Request) -> web.Response:
        status = self._status()
        return as_json(Holdings(positions=status.positions, orders=status.orders))

    async def _get_refusals(self, request: web.Request) -> web.Response:
        asked = read_query(request, SpanQuery)
        _check_span(asked)
        return as_json(await self.reader.ask(lambda journal: _refusals(journal, asked)))

    async def _get_journal(self, request: web.Request) -> web.Response:
        return as_json(await self.reader.ask(_position))

    def _lists(self, listing: TableListing) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            asked = read_query(request, ListingQuery)
            if asked.symbol is not None and listing.name != "notices":
                self.check_symbol(asked.symbol)
            body = await self.reader.ask(lambda journal: page(listing, asked, journal))
            return json_bytes(body)

        return handler

    def check_symbol(self, symbol: str) -> None:
        """Raise Refused for a symbol that the account does not have."""
        symbols = self._account.symbols
        if symbol not in symbols:
            raise Refused(404, f"symbol {symbol!r} is not followed{did_you_mean(symbol, symbols)}")


def _reads(
    what: str,
    summary: str,
    handler: Handler,
    answer: type[BaseModel],
    query: type[BaseModel] | None = None,
) -> Route:
    refusals = (
        _REFUSALS if query is None or "symbol" not in query.model_fields else (*_REFUSALS, 404)
    )
    return Route(
        "GET",
        f"/api/v1/{what}",
        summary,
        handler,
        answer,
        refusals=tuple(sorted(refusals)),
        query=query,
        label=LABEL,
    )


def _check_span(asked: SpanQuery) -> None:
    if asked.from_ms is not None and asked.to_ms is not None and asked.from_ms >= asked.to_ms:
        raise Refused(400, f"from_ms: {asked.from_ms} is not before to_ms, {asked.to_ms}")


def _market(market: Market) -> MarketInfo:
    names = (
        "symbol", "is_perpetual", "contract_value", "tick_size", "lot_size", "minimum_size", "minimum_notional",
        "taker_fee_rate", "maker_fee_rate", "leverage",
    )  # fmt: skip
    return MarketInfo(
        **{name: getattr(market, name) for name in names}, is_read_only=market.read_only
    )


def _refusals(journal: Journal, asked: SpanQuery) -> RefusalCounts:
    """Count decisions and orders that were refused, by reason."""
    span = (asked.from_ms or 0, 2**62 if asked.to_ms is None else asked.to_ms)
    found = [
        (what, code, count, newest_ms)
        for what, statement in (
            (
                "decision",
                "SELECT refused, count(*), max(time_ms) FROM decisions "
                "WHERE refused <> 0 AND time_ms >= ? AND time_ms < ? GROUP BY refused",
            ),
            (
                "order",
                f"SELECT cause, count(*), max(time_ms) FROM orders WHERE status = {REFUSED} "  # noqa: S608
                "AND time_ms >= ? AND time_ms < ? GROUP BY cause",
            ),
        )
        for code, count, newest_ms in journal.all(statement, *span)
    ]
    names = {**REFUSED_NAMES, **CAUSE_NAMES}
    counts = [
        RefusalCount(what=what, reason=names.get(code, str(code)), count=count, newest_ms=newest)
        for what, code, count, newest in found
    ]
    return RefusalCounts(refusals=tuple(sorted(counts, key=lambda each: -each.count)))


def _position(journal: Journal) -> JournalPosition:
    newest = journal.one("SELECT sequence, hash FROM inputs ORDER BY sequence DESC LIMIT 1")
    first = journal.first_sequence
    sequence, digest = newest if newest is not None else (first - 1, journal.hash_of(first - 1))
    return JournalPosition(
        sequence=sequence,
        hash=bytes(digest).hex(),
        first_sequence=first,
        last_candle_ms=journal.last_candle_ms(),
        created_ms=int(journal.meta("created_ms") or 0),
        snapshots=tuple(
            row[0] for row in journal.all("SELECT sequence FROM snapshots ORDER BY sequence DESC")
        ),
        size_bytes=(journal.path.parent / NAME).stat().st_size,
    )


def as_json(answer: BaseModel, status: int = 200, **headers: str) -> web.Response:
    """Return a model as JSON."""
    return json_bytes(answer.model_dump_json().encode(), status, **headers)


def json_bytes(body: bytes, status: int = 200, **headers: str) -> web.Response:
    """Return JSON; nothing may keep it for later."""
    return web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **headers},
    )


ENDPOINTS: Final = (("GET", LABEL),)
