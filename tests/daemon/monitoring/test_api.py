"""`/api/v1` over real sockets: pages that neither repeat nor hide, windows with true extremes, and no answer too large."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from papertape.daemon.backtests.service import BacktestService
from papertape.daemon.journal import Journal
from papertape.daemon.metrics import Metrics, Scope
from papertape.daemon.monitoring import server as server_module
from papertape.daemon.monitoring.access import RateLimit, is_same_origin
from papertape.daemon.monitoring.api.answers import MOST_ROWS
from papertape.daemon.monitoring.api.listings import LISTINGS
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.schemas import CommandDone, CommandName, CommandRequest, Problem
from papertape.daemon.monitoring.server import Server, Views
from papertape.daemon.monitoring.windows.candles import MOST_CANDLES, MOST_KEPT, CandleHistory, stretched
from papertape.engine.candles import CANDLE, FLAG_ABSENT, MINUTE_MS
from papertape.engine.records import UNITS_PER_QUOTE
from tests.support.api import FIRST_MS, account, journal_of, multiply, no_status, walk
from tests.support.journals import candles, filled

BUDGET = 256_000  # bytes of one answer, as the issue has it
HALF_HOUR_MS = 30 * MINUTE_MS
TOKEN = "a-token-of-twenty-one"  # noqa: S105 # of this test


async def accept(name: CommandName, asked: CommandRequest, key: str | None) -> CommandDone:
    return CommandDone(command=name, detail=asked.reason)


@asynccontextmanager
async def serving(api: Api, backtests: BacktestService | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    metrics = Metrics(Scope(("AAA",), "1m", "1m", "USD", endpoints=Server.ENDPOINTS))
    views = Views(no_status, str, accept, api, backtests)
    async with (
        Server(metrics, views, version="0", token=TOKEN) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http,
    ):
        yield http


async def get(http: aiohttp.ClientSession, what: str, **query: Any) -> tuple[int, bytes]:
    async with http.get(f"/api/v1/{what}", params=query) as answer:
        body = await answer.read()
        assert len(body) <= BUDGET, (what, query, len(body))
        return answer.status, body


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what two years of minutes leave behind: 4,000 candles here, 50,000 rows of every large table."""
    state = tmp_path_factory.mktemp("years")
    filled(state, candles(2_000))
    for table in ("decisions", "fills", "trades", "equity"):
        multiply(state, table, 50_000)
    with Journal.open(state, 0) as journal:
        gate = json.dumps({"contenders": {f"model {n}": {"log_loss": 0.69123456} for n in range(200)}})
        journal.commit(
            [
                lambda j: j.connection.executemany(
                    "INSERT INTO attempts (due_ms, effective_ms, cause, outcome, reason, champion, version, gate, started_ms, wall_s) "
                    "VALUES (?, 2, 'schedule', 'rejected', 'worse than the champion', 1, 2, ?, 3, 4.0)",
                    [(n, gate) for n in range(600)],
                ),
                lambda j: j.connection.executemany(
                    "INSERT INTO notices (time_ms, kind, symbol, open_ms, value, detail) VALUES (?, 'gap', 'AAA', 1, 0.0, ?)",
                    [(n, "two candles are missing " * 20) for n in range(20_000)],
                ),
            ]
        )
    return state


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return a journal of 200,000 minutes of two symbols, of which some are absent, and the candles of the first."""
    state, n = tmp_path_factory.mktemp("minutes"), 200_000
    parts = [walk(n, seed, symbol) for symbol, seed in enumerate((1, 2))]
    parts[0]["flag_bits"][5_000:5_090] = FLAG_ABSENT
    journal_of(state, parts)
    return state, parts[0][parts[0]["flag_bits"] == 0]


@pytest.mark.asyncio
async def test_no_answer_about_years_is_above_its_budget(years: Path) -> None:
    async with serving(Api(account(years), no_status)) as http:
        sizes = {}
        for listing in LISTINGS:
            status, body = await get(http, listing.name, limit=MOST_ROWS)
            assert status == 200, body
            listing.answer.model_validate_json(body)
            sizes[listing.name] = (len(json.loads(body)["rows"]), len(body))
        for what in ("status", "markets", "equity", "positions", "refusals", "journal"):
            status, body = await get(http, what)
            assert status == 200, body
        # A page is cut where it would be too large, and says where to go on.
        n, size = sizes["attempts"]
        assert 0 < n < MOST_ROWS
        assert size > 150_000
        assert sizes["trades"][0] > 100


@pytest.mark.asyncio
async def test_pages_neither_repeat_nor_hide_a_row(years: Path) -> None:
    with Journal.read(years) as journal:
        expected = [
            row[0]
            for row in journal.all(
                "SELECT number FROM trades WHERE symbol = 'AAA' ORDER BY number DESC LIMIT 1500"
            )
        ]
    async with serving(Api(account(years), no_status)) as http:
        seen: list[int] = []
        query: dict[str, Any] = {"symbol": "AAA", "limit": 137}
        while len(seen) < 1_500:
            status, body = await get(http, "trades", **query)
            answer = json.loads(body)
            assert status == 200
            seen += [row["number"] for row in answer["rows"]]
            query["cursor"] = answer["next"]
            if len(seen) == 137:  # what is added meanwhile comes before them all
                multiply(years, "trades", 40)

    assert seen[:1_500] == expected


@pytest.mark.asyncio
async def test_rows_are_told_in_quote_in_words_and_by_name(years: Path) -> None:
    with Journal.read(years) as journal:
        number, pnl, side, reason = journal.one(
            "SELECT number, pnl, side, exit_reason FROM trades ORDER BY number LIMIT 1"
        )
        refused = dict(journal.all("SELECT refused, count(*) FROM decisions WHERE refused <> 0 GROUP BY 1"))
    async with serving(Api(account(years), no_status)) as http:
        _, body = await get(http, "trades", limit=1, cursor=cursor_before(number))
        (row,) = json.loads(body)["rows"]
        _, counts = await get(http, "refusals")

    assert row["number"] == number
    assert row["pnl"] == pytest.approx(pnl / UNITS_PER_QUOTE)
    assert row["side"] == ("long" if side > 0 else "short")
    assert row["exit_reason"] in {3: "stop", 4: "target", 2: "signal", 5: "flip"}[reason]
    assert sum(each["count"] for each in json.loads(counts)["refusals"]) == sum(refused.values())


def cursor_before(number: int) -> str:
    import base64

    return base64.urlsafe_b64encode(f"[{number + 1}]".encode()).decode().rstrip("=")


def oracle(rows: Any, start_ms: int, end_ms: int, size_ms: int) -> list[tuple[Any, ...]]:
    """Return stretches one by one, each from its own candles."""
    found, times = [], rows["open_ms"]
    for left in range(start_ms - start_ms % size_ms, end_ms, size_ms):
        part = rows[np.searchsorted(times, left) : np.searchsorted(times, min(left + size_ms, end_ms))]
        if len(part):
            found.append((left, part["open"][0], max(part["high"]), min(part["low"]), part["close"][-1]))
    return found


@pytest.mark.parametrize("limit", [40, MOST_CANDLES])
def test_windows_have_the_true_open_high_low_and_close(minutes: tuple[Path, Any], limit: int) -> None:
    state, rows = minutes
    random = np.random.default_rng(limit)
    history = CandleHistory(("AAA", "BBB"), MINUTE_MS)
    end_ms = FIRST_MS + 200_000 * MINUTE_MS
    with Journal.read(state) as journal:
        whole = history.window(journal, "AAA", 0, None, limit)
        assert max(whole.high) == rows["high"].max()
        assert min(whole.low) == rows["low"].min()
        assert sum(whole.volume) == pytest.approx(rows["volume"].sum(), rel=1e-5)
        assert (whole.oldest_ms, whole.newest_ms)[1] >= end_ms
        assert len(history._kept[0]) <= MOST_KEPT
        sizes = {whole.size_ms}
        for n in (10, 200, 5_080, 40_000, 190_000):
            first = int(random.integers(0, 200_000 - n))
            span = FIRST_MS + first * MINUTE_MS, FIRST_MS + (first + n) * MINUTE_MS
            found = history.window(journal, "AAA", *span, limit)
            sizes.add(found.size_ms)
            assert 0 < len(found.open_ms) <= limit
            # A coarse window begins where its first stretch does; what comes from the overview ends with whole ones.
            left = span[0] - span[0] % found.size_ms
            right = (
                span[1]
                if found.size_ms < history._sizes[0]
                else -(-span[1] // history._sizes[0]) * history._sizes[0]
            )
            told = list(zip(found.open_ms, found.open, found.high, found.low, found.close, strict=True))
            assert told == oracle(rows, left, right, found.size_ms)[-limit:]
    assert len(sizes) > 2


def test_a_near_window_is_read_without_the_rest_of_the_journal(minutes: tuple[Path, Any]) -> None:
    state, _ = minutes
    whole, near = (CandleHistory(("AAA", "BBB"), MINUTE_MS) for _ in range(2))
    begin_ms = FIRST_MS + 70_000 * MINUTE_MS
    spans = (
        (None, None),
        (begin_ms, begin_ms + 700 * MINUTE_MS),
        (begin_ms, begin_ms + 1),
        (0, FIRST_MS + MINUTE_MS),
    )
    with Journal.read(state) as journal:
        whole.window(journal, "AAA", 0, None, 40)
        for symbol in ("AAA", "BBB"):
            for from_ms, to_ms in spans:
                found = near.window(journal, symbol, from_ms, to_ms, 1_000)
                expected = whole.window(journal, symbol, from_ms, to_ms, 1_000)
                ends = {"oldest_ms", "newest_ms"}  # of the overview to its coarser stretch
                assert found.model_dump(exclude=ends) == expected.model_dump(exclude=ends)
                assert found.oldest_ms == FIRST_MS
                assert found.newest_ms == FIRST_MS + 200_000 * MINUTE_MS
        assert near._sequence == 0
        plans = []
        journal.connection.set_trace_callback(plans.append)
        near.window(journal, "AAA", *spans[1], 1_000)
        journal.connection.set_trace_callback(None)
        told = [row[3] for plan in plans for row in journal.all(f"EXPLAIN QUERY PLAN {plan}")]
        # Ordered by sequence and cut, or found by time: no scan of all.
        assert any("inputs_by_time" in line for line in told)
        assert not any("TEMP B-TREE" in line for line in told)


def test_stretching_in_parts_is_stretching_at_once() -> None:
    rows = walk(1_000, 3)
    for cut in (1, 29, 30, 500, 999):
        first = stretched(rows[:cut], HALF_HOUR_MS)
        again = stretched(np.concatenate([first, rows[cut:]]), HALF_HOUR_MS)
        at_once = stretched(rows, HALF_HOUR_MS)
        for name in ("open_ms", "open", "high", "low", "close"):
            assert again[name].tolist() == at_once[name].tolist()
    assert stretched(np.zeros(0, CANDLE), HALF_HOUR_MS).tolist() == []


@pytest.mark.asyncio
async def test_the_newest_candles_come_without_a_span_and_grow_with_the_journal(tmp_path: Path) -> None:
    rows = walk(400, 5)
    journal_of(tmp_path, [rows[:390]], batch=7)
    async with serving(Api(account(tmp_path, ("AAA",)), no_status)) as http:
        _, body = await get(http, "candles", symbol="AAA", limit=50)
        assert json.loads(body)["close"] == rows["close"][340:390].tolist()
        journal_of(tmp_path, [rows[390:]], batch=1)
        _, body = await get(http, "candles", symbol="AAA", limit=50)
        assert json.loads(body)["open_ms"] == rows["open_ms"][350:].tolist()
        _, body = await get(http, "journal")
        assert json.loads(body)["sequence"] == 390 // 7 + 1 + 10


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("what", "query", "status", "told"),
    [
        ("candles", {}, 400, "symbol: field required"),
        ("candles", {"symbol": "AAB"}, 404, "did you mean 'AAA'"),
        ("candles", {"symbol": "AAA", "limit": MOST_CANDLES + 1}, 400, "limit: input should be less"),
        ("candles", {"symbol": "AAA", "limit": "many"}, 400, "limit: input should be a valid integer"),
        ("candles", {"symbol": "AAA", "from_ms": 5, "to_ms": 5}, 400, "from_ms: 5 is not before to_ms, 5"),
        ("candles", {"symbol": "AAA", "form_ms": 5}, 400, "form_ms: extra inputs"),
        ("equity", {"from_ms": -1}, 400, "from_ms: input should be greater"),
        ("trades", {"cursor": "!!"}, 400, "cursor: it is none of this list"),
        ("trades", {"cursor": "WzEsMl0"}, 400, "cursor: it is none of this list"),  # [1,2]
        ("trades", {"cursor": "W3t9XQ"}, 400, "cursor: it is none of this list"),  # [{}]
        ("audits", {"symbol": "AAA"}, 400, "symbol: audits are not of one symbol"),
        ("days", {"from_ms": 5}, 400, "days are whole days"),
        ("trades", {"limit": 0}, 400, "limit: input should be greater"),
        ("nothing", {}, 404, "not found"),
    ],
)
async def test_what_cannot_be_answered_is_a_problem_in_one_sentence(
    tmp_path: Path, what: str, query: dict[str, Any], status: int, told: str
) -> None:
    journal_of(tmp_path, [walk(10, 1)])
    async with (
        serving(Api(account(tmp_path), no_status)) as http,
        http.get(f"/api/v1/{what}", params=query) as answer,
    ):
        assert answer.content_type == "application/problem+json"
        problem = Problem.model_validate_json(await answer.read())

    assert (answer.status, problem.status) == (status, status)
    assert told in problem.detail


@pytest.mark.asyncio
async def test_a_parameter_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    async with serving(Api(account(tmp_path), no_status)) as http:
        async with http.get("/api/v1/trades?limit=1&limit=2") as answer:
            assert (answer.status, (await answer.json())["detail"]) == (
                400,
                "limit: it is given more than once",
            )
        async with http.get("/api/v1/trades") as answer:  # nothing was journalled there
            assert answer.status == 409
            assert "no journal.db there" in (await answer.json())["detail"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("origin", "is_fine"),
    [
        ("http://127.0.0.1:{port}", True),
        ("http://127.0.0.1:1", False),
        ("http://evil.example", False),
        ("null", False),
        ("http://127.0.0.1:{port}.evil.example", False),
        ("file://127.0.0.1:{port}", False),
    ],
)
async def test_a_page_of_another_origin_may_neither_read_nor_command(
    tmp_path: Path, origin: str, is_fine: bool
) -> None:
    async with serving(Api(account(tmp_path), no_status)) as http:
        assert http._base_url is not None
        port = http._base_url.port
        headers = {"Origin": origin.format(port=port), "Authorization": f"Bearer {TOKEN}"}
        for method, path in (
            ("GET", "/api/v1/markets"),
            ("POST", "/api/v1/commands/pause"),
            ("GET", "/status"),
        ):
            async with http.request(method, path, headers=headers) as answer:
                assert answer.status == (200 if is_fine else 403)
    assert is_same_origin("", "anything")


@pytest.mark.asyncio
async def test_who_asks_too_often_is_told_when_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "BURST", 5)
    monkeypatch.setattr(server_module, "PER_S", 0.001)
    async with serving(Api(account(tmp_path), no_status)) as http:
        statuses = [(await get(http, "markets"))[0] for _ in range(7)]
        async with http.get("/api/v1/markets") as answer:
            assert answer.headers["Retry-After"] == "1000"
        async with http.get("/healthz") as answer:
            assert answer.status == 200
    assert statuses == [200] * 5 + [429] * 2


def test_a_bucket_fills_with_time_and_never_beyond_its_burst() -> None:
    now = [0.0]
    limit = RateLimit(2.0, 3, lambda: now[0])

    assert [limit.wait_s() for _ in range(4)] == [0, 0, 0, 1]
    now[0] = 0.5
    assert [limit.wait_s() for _ in range(2)] == [0, 1]
    now[0] = 100.0
    assert [limit.wait_s() for _ in range(4)] == [0, 0, 0, 1]


@pytest.mark.asyncio
async def test_questions_wait_in_line_and_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("papertape.daemon.monitoring.api.reader.MOST_WAITING", 3)
    journal_of(tmp_path, [walk(10, 1)])
    async with serving(Api(account(tmp_path), no_status)) as http:
        answers = await asyncio.gather(*(get(http, "journal") for _ in range(30)))
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {200, 409}
    assert statuses.count(200) >= 3
