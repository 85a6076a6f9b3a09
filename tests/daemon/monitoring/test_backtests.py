"""The routes of backtests over real sockets: who may, what is refused, and answers within the budget."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from papertape.daemon.backtests.answers import (
    PIECE_BYTES,
    BacktestComparison,
    BacktestJob,
    BacktestResult,
    BacktestState,
)
from papertape.daemon.backtests.jobs import JobFolder, KeptJob
from papertape.daemon.backtests.service import BacktestService
from papertape.daemon.metrics import Metrics, Scope
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.schemas import Problem
from papertape.daemon.monitoring.server import Server, Views
from papertape.replay import backtest
from papertape.replay.config import make_config
from papertape.replay.tapes.synthetic import synthesize
from tests.daemon.monitoring.test_api import TOKEN, accept
from tests.support.api import account, no_status
from tests.support.journals import candles, filled

BUDGET = 256_000  # bytes of one answer, as the issue has it
PLACE = "/api/v1/backtests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
CHILD = Path(__file__).parents[2] / "support" / "slow_child.py"


@asynccontextmanager
async def serving(
    state: Path, token: str | None = TOKEN, how: str = "waits", **backtests: Any
) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve a daemon's backtests, none of which comes to its turn."""
    config = make_config({"backtests": backtests})
    service = BacktestService(config, state / "backtests", lambda: 5, (sys.executable, str(CHILD), how))
    metrics = Metrics(Scope(("AAA",), "1m", "1m", "USD", endpoints=Server.ENDPOINTS))
    views = Views(no_status, str, accept, Api(account(state), no_status), service)
    async with (
        Server(metrics, views, version="0", token=token) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http,
    ):
        yield http


async def ask(http: aiohttp.ClientSession, method: str, path: str, **more: Any) -> tuple[int, bytes]:
    async with http.request(method, path, **more) as answer:
        body = await answer.read()
        assert len(body) <= BUDGET
        if answer.status >= 400:
            assert Problem.model_validate_json(body).status == answer.status
        return answer.status, body


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state directory with a journal and two backtests that are done."""
    state = tmp_path_factory.mktemp("state")
    filled(state, candles(400))
    jobs = JobFolder(state / "backtests")
    report = {"sensitivity": False, "benchmarks": False, "random_draws": 0, "regimes": False}
    for number, fast in ((1, 10), (2, 20)):
        found = backtest(
            synthesize("noise", 2_500, "1h"),
            strategy="ema_cross",
            use_ml=False,
            account={"sizing": "all_in"},
            parameters={"fast": fast},
            report=report,
        )
        found.save(jobs.place(number) / "result")
        job = BacktestJob(
            number=number,
            name="x" * 80,
            strategy="ema_cross",
            tapes=("SYNTH",),
            state=BacktestState.DONE,
            created_ms=1,
            digest=found.digest,
        )
        jobs.save(KeptJob(job, "", ""))
    return state


@pytest.mark.asyncio
async def test_reading_is_free_here_and_starting_and_cancelling_need_the_token(tmp_path: Path) -> None:
    async with serving(tmp_path) as http:
        for headers in ({}, {"Authorization": f"Bearer {TOKEN}x"}):
            for path in (PLACE, f"{PLACE}/1/cancel"):
                assert (await ask(http, "POST", path, headers=headers))[0] == 401
        assert (await ask(http, "POST", PLACE, headers=BEARER, json={"name": "a"}))[0] == 200
        status, body = await ask(http, "GET", PLACE)
        assert (status, [job["name"] for job in json.loads(body)["jobs"]]) == (200, ["a"])
        assert (await ask(http, "POST", f"{PLACE}/1/cancel", headers=BEARER))[0] == 200
        assert (await ask(http, "POST", f"{PLACE}/1/cancel", headers=BEARER))[0] == 409
        assert (await ask(http, "GET", f"{PLACE}/1/result"))[0] == 404
        origin = {**BEARER, "Origin": "https://evil.example"}
        assert (await ask(http, "POST", PLACE, headers=origin))[0] == 403
    async with serving(tmp_path, token=None) as http:
        assert (await ask(http, "POST", PLACE, headers=BEARER))[0] == 403


@pytest.mark.asyncio
async def test_keys_full_queues_and_malformed_requests_have_their_status(tmp_path: Path) -> None:
    async with serving(tmp_path, queue=1) as http:
        keyed = {**BEARER, "Idempotency-Key": "k"}
        first = await ask(http, "POST", PLACE, headers=keyed, json={"name": "a"})
        assert first[0] == 200
        assert await ask(http, "POST", PLACE, headers=keyed, json={"name": "a"}) == first
        assert (await ask(http, "POST", PLACE, headers=keyed, json={"name": "b"}))[0] == 422
        assert (await ask(http, "POST", PLACE, headers=BEARER))[0] == 503
        for body in (
            b"[",
            b"[]",
            b"null",
            b'{"config": 3}',
            b'{"confg": {}}',
            b'{"name": 3}',
            b"[" * 9_000,
            b'{"name": "\\ud800"}',
            b'{"config": {"account": {"capital": 1e999}}}',
            b'{"config": {"account": {"capital": NaN}}}',
            b'{"config": {"account": {"capital": ' + b"9" * 9_000 + b"}}}",
            b'{"config": ' + b'{"a":' * 2_000 + b"1" + b"}" * 2_001,
            b'{"config": {"data": {"tapes": ["/etc/passwd"]}}}',
            b'{"config": {"strategy": {"name": "os:system"}}}',
        ):
            status, told = await ask(http, "POST", PLACE, headers=BEARER, data=body)
            assert status == 400, (body[:60], told)
        assert (await ask(http, "POST", PLACE, headers=BEARER, data=b"x" * 20_000))[0] == 413
        for number in ("0", "2", "-1", "x", "1" * 30, "1.0", "%00", "²"):
            for path in ("", "/result", "/files/report.html", "/comparison?other=live"):
                assert (await ask(http, "GET", f"{PLACE}/{number}{path}"))[0] == 404, number


@pytest.mark.asyncio
async def test_a_result_its_files_and_comparisons_are_told_within_the_budget(state: Path) -> None:
    async with serving(state) as http:
        _, body = await ask(http, "GET", f"{PLACE}/1/result")
        found = BacktestResult.model_validate_json(body)
        summary = json.loads((state / "backtests/000001/result/result.json").read_text())
        assert found.metrics == summary["metrics"]
        assert found.job.digest == summary["digest"]
        assert found.curve.equity[-1] == pytest.approx(summary["metrics"]["final_equity"], abs=1e-4)
        assert 500 < len(found.curve.time_ms) <= 1_500
        sizes = {file.name.value: file.size_bytes for file in found.files}
        name, whole = "report.html", b""
        while True:
            status, piece = await ask(http, "GET", f"{PLACE}/1/files/{name}?offset={len(whole)}")
            assert status == 200
            whole += piece
            if len(piece) < PIECE_BYTES:
                break
        assert whole == (state / "backtests/000001/result" / name).read_bytes()
        assert len(whole) == sizes[name] > PIECE_BYTES
        for path in ("job.json", "..%2fjob.json", "orders.parquet", f"{name}?offset={10**9}"):
            assert (await ask(http, "GET", f"{PLACE}/1/files/{path}"))[0] == 404

        _, body = await ask(http, "GET", f"{PLACE}/1/comparison?other=2")
        beside = BacktestComparison.model_validate_json(body)
        assert [(each.key, each.first, each.second) for each in beside.settings] == [
            ("strategy.parameters.fast", "10", "20")
        ]
        metric = next(each for each in beside.metrics if each.name == "total_return")
        other = json.loads((state / "backtests/000002/result/result.json").read_text())["metrics"]
        assert (metric.first, metric.second) == (found.metrics["total_return"], other["total_return"])
        assert metric.difference == other["total_return"] - found.metrics["total_return"]
        assert beside.is_same_span
        for bad in ("", "?other=", "?other=x", "?other=0", "?other=1&other=2"):
            assert (await ask(http, "GET", f"{PLACE}/1/comparison{bad}"))[0] == 400
        assert (await ask(http, "GET", f"{PLACE}/1/comparison?other=99"))[0] == 404


@pytest.mark.asyncio
async def test_the_live_account_is_measured_by_its_own_trades_and_curve(state: Path) -> None:
    import sqlite3

    async with serving(state) as http:
        _, body = await ask(http, "GET", f"{PLACE}/1/comparison?other=live")
    live = BacktestComparison.model_validate_json(body)

    def read() -> tuple[int, int, int]:
        with sqlite3.connect(state / "journal.db") as connection:
            trades = connection.execute("SELECT count(*) FROM trades").fetchone()[0]
            ends = connection.execute(
                "SELECT equity, time_ms FROM equity ORDER BY time_ms DESC LIMIT 1"
            ).fetchone()
        connection.close()
        return (trades, *ends)

    trades, equity, end_ms = await asyncio.to_thread(read)
    second = {metric.name: metric.second for metric in live.metrics}
    assert live.second.source == "live"
    assert live.second.end_ms == end_ms
    assert second["trades"] == trades > 0
    assert second["final_equity"] == pytest.approx(equity / 1e9)
    assert not live.is_same_span


@pytest.mark.asyncio
async def test_a_daemon_that_makes_none_says_so(tmp_path: Path) -> None:
    metrics = Metrics(Scope(("AAA",), "1m", "1m", "USD", endpoints=Server.ENDPOINTS))
    views = Views(no_status, str, accept, Api(account(tmp_path), no_status))
    async with (
        Server(metrics, views, version="0", token=TOKEN) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http,
    ):
        for method, path in (("GET", ""), ("POST", ""), ("GET", "/1"), ("POST", "/1/cancel")):
            status, body = await ask(http, method, f"{PLACE}{path}", headers=BEARER)
            assert (status, b"backtests.at_once is 0" in body) == (403, True)
