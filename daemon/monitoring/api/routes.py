"""The routes of `/api/v1` that read, and their handlers."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.api.account import (
    PREDICTED,
    SHADOWED,
    ApiAccount,
    calibration_view,
    markets_of,
    position_of,
    refusals_of,
    shadow_view,
)
from papertape.daemon.monitoring.api.answers import (
    CalibrationView,
    CandleWindow,
    CloseView,
    EquityCurve,
    Holdings,
    JournalPosition,
    LineWindow,
    Markets,
    RefusalCounts,
    ShadowView,
    StatementPage,
    StructureWindow,
)
from papertape.daemon.monitoring.api.closes import close_of, lines_of
from papertape.daemon.monitoring.api.listings import CHAPTERS_OF, LISTINGS, ListingQuery, TableListing, page
from papertape.daemon.monitoring.api.queries import (
    LABEL,
    CandleQuery,
    CloseQuery,
    LineQuery,
    SpanQuery,
    StatementQuery,
    StructureQuery,
    check_span,
    reads,
)
from papertape.daemon.monitoring.api.reader import ApiReader, Kept
from papertape.daemon.monitoring.api.statement import StatementPages
from papertape.daemon.monitoring.api.stream import DeltaStream, StreamQuery
from papertape.daemon.monitoring.peers.asking import RUN_HEADER
from papertape.daemon.monitoring.routes import Handler, Refused, Route, as_json, json_bytes, read_query
from papertape.daemon.monitoring.schemas import Status
from papertape.daemon.monitoring.windows.candles import MOST_CANDLES, CandleHistory
from papertape.daemon.monitoring.windows.equity import EquityHistory
from papertape.daemon.monitoring.windows.structure import structure_window
from papertape.engine.errors import did_you_mean

STREAM: Final = "/api/v1/stream"


class Api:
    """
    The handlers, and what they share: the reading thread and what it keeps of candles and the curve.

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
        self._statement = StatementPages()
        self._calibration: Kept[CalibrationView] = Kept(PREDICTED)
        self._shadow: Kept[ShadowView] = Kept(SHADOWED)
        self._candles = CandleHistory(account.symbols, account.timeframe_ms)
        self._equity = EquityHistory(account.capital)

    def routes(self) -> tuple[Route, ...]:
        """Return every route that reads, in the order of the document."""
        return (
            reads("status", "What an operator asks first.", self._get_status, Status),
            reads("markets", "The markets of the account.", self._get_markets, Markets),
            reads("candles",
                "Candles of a window; of a long one several are one, with their true high and low.",
                self._get_candles, CandleWindow, CandleQuery),
            reads("close", "Why, and why not: features, answer and the first unmet condition of one close.",
                self._get_close, CloseView, CloseQuery),
            reads("features",
                "Lines of the features that the strategy names, as finely as a window is drawn.",
                self._get_features, LineWindow, LineQuery),
            reads("structure", "Market structure of a window: what formed, became known and ended.",
                self._get_structure, StructureWindow, StructureQuery),
            *self._routes_of_account(),
            *(reads(each.name, each.summary, self._lists(each), each.answer, each.query) for each in LISTINGS),
            Route("GET", STREAM, "A snapshot, then numbered deltas (websocket).", self.stream.handle,
                query=StreamQuery, refusals=(400, 401, 403, 426, 429, 503), label=LABEL, is_stream=True),
        )  # fmt: skip

    def _routes_of_account(self) -> tuple[Route, ...]:
        """Return the routes that measure the account as a whole."""
        return (
            reads("equity", "The curve of the account.", self._get_equity, EquityCurve, SpanQuery),
            reads("calibration", "What the models in force said against what came.", self._get_calibration,
                CalibrationView),
            reads("shadow", "What trained models would have earned, whether they trade or not.",
                self._get_shadow, ShadowView),
            reads("positions", "What is held, and what rests.", self._get_positions, Holdings),
            reads("refusals", "Why nothing happened, with counts.", self._get_refusals, RefusalCounts,
                SpanQuery),
            reads("statement", "Every amount of the account in double entry, newest first.",
                self._get_statement, StatementPage, StatementQuery),
            reads("journal", "Where the journal stands.", self._get_journal, JournalPosition),
        )  # fmt: skip

    def digest(self) -> str:
        """Return the digest of the account's decisions and fills so far."""
        return self._status().digest

    async def _newest(self) -> int:
        return (await self.reader.ask(position_of)).sequence

    async def _get_status(self, request: web.Request) -> web.Response:
        answer = as_json(self._status())
        answer.headers[RUN_HEADER] = self.stream.run  # a daemon that asks itself sees that
        return answer

    async def _get_markets(self, request: web.Request) -> web.Response:
        return as_json(markets_of(self._account))

    async def _get_candles(self, request: web.Request) -> web.Response:
        asked = read_query(request, CandleQuery)
        self.check_symbol(asked.symbol)
        check_span(asked)

        def question(journal: Journal) -> CandleWindow:
            return self._candles.window(journal, asked.symbol, asked.from_ms, asked.to_ms, asked.limit)

        return as_json(await self.reader.ask(question))

    async def _get_close(self, request: web.Request) -> web.Response:
        asked = read_query(request, CloseQuery)
        self.check_symbol(asked.symbol)
        features = self._account.features
        return as_json(
            await self.reader.ask(lambda journal: close_of(journal, features, asked.symbol, asked.time_ms))
        )

    async def _get_features(self, request: web.Request) -> web.Response:
        asked = read_query(request, LineQuery)
        self.check_symbol(asked.symbol)
        check_span(asked)
        account, frame_ms = self._account, self._account.timeframe_ms
        size_ms = frame_ms * -(-(asked.size_ms or frame_ms) // frame_ms)

        def question(journal: Journal) -> LineWindow:
            candles = self._candles.window(journal, asked.symbol, asked.from_ms, asked.to_ms, MOST_CANDLES)
            return lines_of(journal, account.features, frame_ms, size_ms, candles)

        return as_json(await self.reader.ask(question))

    async def _get_structure(self, request: web.Request) -> web.Response:
        asked = read_query(request, StructureQuery)
        self.check_symbol(asked.symbol)
        check_span(asked)
        frame_ms = self._account.timeframe_ms
        span = (asked.from_ms or 0, 2**62 if asked.to_ms is None else asked.to_ms)
        return as_json(
            await self.reader.ask(lambda journal: structure_window(journal, asked.symbol, frame_ms, *span))
        )

    async def _get_equity(self, request: web.Request) -> web.Response:
        asked = read_query(request, SpanQuery)
        check_span(asked)
        return as_json(
            await self.reader.ask(lambda journal: self._equity.window(journal, asked.from_ms, asked.to_ms))
        )

    async def _get_calibration(self, request: web.Request) -> web.Response:
        def question(journal: Journal) -> CalibrationView:
            return self._calibration.answer(journal, lambda: calibration_view(journal, self._account))

        return as_json(await self.reader.ask(question))

    async def _get_shadow(self, request: web.Request) -> web.Response:
        def question(journal: Journal) -> ShadowView:
            return self._shadow.answer(journal, lambda: shadow_view(journal, self._account))

        return as_json(await self.reader.ask(question))

    async def _get_positions(self, request: web.Request) -> web.Response:
        status = self._status()
        return as_json(Holdings(positions=status.positions, orders=status.orders))

    async def _get_refusals(self, request: web.Request) -> web.Response:
        asked = read_query(request, SpanQuery)
        check_span(asked)
        return as_json(await self.reader.ask(lambda journal: refusals_of(journal, asked)))

    async def _get_statement(self, request: web.Request) -> web.Response:
        asked = read_query(request, StatementQuery)
        return as_json(await self.reader.ask(lambda journal: self._statement.page(journal, asked)))

    async def _get_journal(self, request: web.Request) -> web.Response:
        return as_json(await self.reader.ask(position_of))

    def _lists(self, listing: TableListing) -> Handler:
        kept: Kept[bytes] | None = Kept(CHAPTERS_OF) if listing.name == "chapters" else None

        def page_of(journal: Journal, asked: ListingQuery) -> bytes:
            if kept is None:
                return page(listing, asked, journal)
            return kept.answer(journal, lambda: page(listing, asked, journal), asked)

        async def handler(request: web.Request) -> web.Response:
            asked = read_query(request, ListingQuery)
            if asked.symbol is not None and listing.name != "notices":
                self.check_symbol(asked.symbol)
            body = await self.reader.ask(lambda journal: page_of(journal, asked))
            return json_bytes(body)

        return handler

    def check_symbol(self, symbol: str) -> None:
        """Raise Refused for a symbol that the account does not have."""
        symbols = self._account.symbols
        if symbol not in symbols:
            raise Refused(404, f"symbol {symbol!r} is not followed{did_you_mean(symbol, symbols)}")


ENDPOINTS: Final = (("GET", LABEL),)
