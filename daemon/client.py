"""
A client of a daemon's API, with the models that the daemon itself answers with.

    with Client("http://127.0.0.1:9464") as client:
        print(client.status().account.equity)
        for row in client.rows("trades", symbol="BTCUSD"):
            print(row["number"], row["pnl"])

It is synchronous: a script, a notebook and the command line have one thing to do at a time.
"""

import http.client
import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from pydantic import BaseModel, ValidationError

from papertape.daemon.backtests.answers import (
    PIECE_BYTES,
    BacktestChoices,
    BacktestComparison,
    BacktestJob,
    BacktestJobs,
    BacktestResult,
    ResultFile,
)
from papertape.daemon.monitoring.api.answers import (
    MOST_ROWS,
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
from papertape.daemon.monitoring.peers.answers import Peers
from papertape.daemon.monitoring.schemas import KEY_HEADER, CommandDone, CommandName, CommandRequest, Status
from papertape.engine.errors import ConfigError, DataError, did_you_mean

TIMEOUT_S: Final = 20.0
_BACKTESTS: Final = "/api/v1/backtests"

M = TypeVar("M", bound=BaseModel)


class Client:
    """
    Asks one daemon.

    token  for commands, and for everything where the daemon listens to other machines

    Every call raises DataError with the daemon's own sentence where it refuses, or with what went wrong on the way.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url}: not the address of a daemon; write http://127.0.0.1:9464")
        self.url, self._token, self._timeout_s = url.rstrip("/"), token, timeout_s
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        try:
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{url}: {error}") from None
        self._connection = kinds[parts.scheme](parts.hostname, port, timeout=timeout_s)
        self._path = parts.path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def status(self) -> Status:
        """Return what an operator asks first."""
        return self._get(Status, "/api/v1/status")

    def markets(self) -> Markets:
        """Return the markets of the account."""
        return self._get(Markets, "/api/v1/markets")

    def candles(
        self, symbol: str, from_ms: int | None = None, to_ms: int | None = None, limit: int = 500
    ) -> CandleWindow:
        """Return candles of a window, at most `limit`, several as one where there are more."""
        query = {"symbol": symbol, "from_ms": from_ms, "to_ms": to_ms, "limit": limit}
        return self._get(CandleWindow, "/api/v1/candles", query)

    def close(self, symbol: str, time_ms: int) -> CloseView:
        """Return why, and why not: what was seen and answered at the close of a candle at `time_ms`."""
        return self._get(CloseView, "/api/v1/close", {"symbol": symbol, "time_ms": time_ms})

    def features(
        self, symbol: str, from_ms: int | None = None, to_ms: int | None = None, size_ms: int | None = None
    ) -> LineWindow:
        """Return lines of what the strategy looks at, one value for each stretch of at least `size_ms`."""
        query = {"symbol": symbol, "from_ms": from_ms, "to_ms": to_ms, "size_ms": size_ms}
        return self._get(LineWindow, "/api/v1/features", query)

    def structure(self, symbol: str, from_ms: int | None = None, to_ms: int | None = None) -> StructureWindow:
        """Return market structure of a window: what formed, became known and ended."""
        query = {"symbol": symbol, "from_ms": from_ms, "to_ms": to_ms}
        return self._get(StructureWindow, "/api/v1/structure", query)

    def calibration(self) -> CalibrationView:
        """Return what the models in force said against what came."""
        return self._get(CalibrationView, "/api/v1/calibration")

    def shadow(self) -> ShadowView:
        """Return what trained models would have earned on paper, whether they trade or not."""
        return self._get(ShadowView, "/api/v1/shadow")

    def positions(self) -> Holdings:
        """Return what is held, and what rests."""
        return self._get(Holdings, "/api/v1/positions")

    def statement(self, limit: int = 100, cursor: int | None = None) -> StatementPage:
        """Return a page of every amount in double entry, newest first; cursor: `next` of the page before."""
        return self._get(StatementPage, "/api/v1/statement", {"limit": limit, "cursor": cursor})

    def peers(self) -> Peers:
        """Return the other daemons of the configuration, as this one heard them last."""
        return self._get(Peers, "/api/v1/peers")

    def equity(self, from_ms: int | None = None, to_ms: int | None = None) -> EquityCurve:
        """Return the curve of the account."""
        return self._get(EquityCurve, "/api/v1/equity", {"from_ms": from_ms, "to_ms": to_ms})

    def refusals(self, from_ms: int | None = None, to_ms: int | None = None) -> RefusalCounts:
        """Return why nothing happened, with counts."""
        return self._get(RefusalCounts, "/api/v1/refusals", {"from_ms": from_ms, "to_ms": to_ms})

    def journal(self) -> JournalPosition:
        """Return where the journal stands."""
        return self._get(JournalPosition, "/api/v1/journal")

    def rows(self, listing: str, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """
        Yield the rows of a table, newest first, page by page.

        limit  of them all; None: every row
        query  symbol, from_ms, to_ms
        """
        from papertape.daemon.monitoring.api.listings import LISTINGS  # the server's, with all that it loads

        names = [each.name for each in LISTINGS]
        if listing not in names:
            raise ConfigError(f"no table {listing!r}{did_you_mean(listing, names)}")
        left, cursor = limit, None
        while left is None or left > 0:
            size = MOST_ROWS if left is None else min(left, MOST_ROWS)
            page = self.ask("GET", f"/api/v1/{listing}", {**query, "limit": size, "cursor": cursor})
            yield from page["rows"]
            cursor, left = page["next"], None if left is None else left - len(page["rows"])
            if cursor is None:
                return

    def command(
        self, name: CommandName, reason: str = "", value: float = 1.0, key: str | None = None
    ) -> CommandDone:
        """
        Journal a command; it is on the disk and in force when this returns.

        key  asked again with it, the answer is the same and nothing is done twice
        """
        asked = CommandRequest(reason=reason, value=value)
        path = f"/api/v1/commands/{name.value}"
        return self._read(CommandDone, self.ask("POST", path, {}, asked.model_dump_json(), key))

    def start_backtest(
        self, config: Mapping[str, Any], name: str = "", key: str | None = None
    ) -> BacktestJob:
        """
        Let a backtest wait for its turn, and return it.

        config  in the shape of the TOML file
        key     as of `command`
        """
        body = json.dumps({"name": name, "config": dict(config)}, default=_plain)
        return self._read(BacktestJob, self.ask("POST", _BACKTESTS, {}, body, key))

    def backtest_choices(self) -> BacktestChoices:
        """Return what a backtest may be made of there: strategies, tapes, the daemon's own configuration."""
        return self._get(BacktestChoices, f"{_BACKTESTS}/choices")

    def backtests(self) -> tuple[BacktestJob, ...]:
        """Return the backtests that are kept, newest first."""
        return self._get(BacktestJobs, _BACKTESTS).jobs

    def backtest(self, number: int) -> BacktestJob:
        """Return a backtest and how far it is."""
        return self._get(BacktestJob, f"{_BACKTESTS}/{number}")

    def cancel_backtest(self, number: int) -> BacktestJob:
        """End a backtest that waits or runs; of one that runs, what is returned may still say so."""
        return self._read(BacktestJob, self.ask("POST", f"{_BACKTESTS}/{number}/cancel", {}))

    def backtest_result(self, number: int) -> BacktestResult:
        """Return what a backtest found."""
        return self._get(BacktestResult, f"{_BACKTESTS}/{number}/result")

    def backtest_file(self, number: int, name: ResultFile) -> Iterator[bytes]:
        """Yield a file of a result in pieces."""
        path, offset = f"{_BACKTESTS}/{number}/files/{name.value}", 0
        while True:
            status, piece = self._exchange("GET", path, {"offset": offset})
            if status >= 400:
                self._checked(f"{self.url}{path}", status, piece)
            yield piece
            offset += len(piece)
            if len(piece) < PIECE_BYTES:
                return

    def compare_backtests(self, number: int, other: int | None = None) -> BacktestComparison:
        """Return a backtest beside another one; None: beside the live account."""
        query = {"other": "live" if other is None else other}
        return self._get(BacktestComparison, f"{_BACKTESTS}/{number}/comparison", query)

    def _get(self, model: type[M], path: str, query: dict[str, Any] | None = None) -> M:
        return self._read(model, self.ask("GET", path, query or {}))

    def _read(self, model: type[M], answer: dict[str, Any]) -> M:
        try:
            return model.model_validate_json(json.dumps(answer))
        except ValidationError as error:
            raise DataError(
                f"{self.url}: its answer is not of this version of papertape; update the older of the two"
            ) from error

    def ask(
        self, method: str, path: str, query: dict[str, Any], body: str | None = None, key: str | None = None
    ) -> dict[str, Any]:
        """Return the daemon's answer to one request, or raise DataError with its refusal."""
        status, text = self._exchange(method, path, query, body, key)
        return self._checked(f"{self.url}{path}", status, text)

    def _exchange(
        self, method: str, path: str, query: dict[str, Any], body: str | None = None, key: str | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of the answer to one request."""
        given = {name: value for name, value in query.items() if value is not None}
        target = quote(self._path + path) + (f"?{urlencode(given)}" if given else "")
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers[KEY_HEADER] = key
        url = f"{self.url}{path}"
        try:
            self._connection.request(method, target, body, headers)
            reply = self._connection.getresponse()
            return reply.status, reply.read()
        except TimeoutError:
            self._connection.close()
            raise DataError(f"{url}: no answer within {self._timeout_s:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            told = str(error) or type(error).__name__
            raise DataError(f"{url}: {told}; is the daemon running there?") from error

    def _checked(self, url: str, status: int, text: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise DataError(f"{url}: status {status} without JSON; something else answers there")
        if status >= 400:
            raise DataError(f"{url}: {answer.get('detail', f'status {status}')}")
        return answer


def _plain(value: Any) -> str:
    """Return what TOML has and JSON has not: days, times and paths as text."""
    return value.isoformat() if isinstance(value, date) else str(value)


__all__ = ["Client"]
