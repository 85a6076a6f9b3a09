"""The committed OpenAPI document against a server: what it answers, and schemathesis whole."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.backtests.answers import BacktestState
from papertape.daemon.backtests.service import BacktestService
from papertape.daemon.monitoring import server as server_module
from papertape.daemon.monitoring.api.listings import LISTINGS
from papertape.daemon.monitoring.api.routes import Api
from papertape.replay.config import make_config
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize
from tests.daemon.monitoring.test_api import TOKEN, serving
from tests.support.api import account, no_api, no_status
from tests.support.journals import candles, filled

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "deploy" / "docs" / "openapi.json"
SECONDS = 30
# Whoever asks the stream's address without a websocket is told so.
SETTINGS = """
[[operations]]
include-path = "/api/v1/stream"
[operations.checks.positive_data_acceptance]
expected-statuses = ["426"]
# What a configuration may hold is said by its own models, not by the document; a key may have come with another one before.
[[operations]]
include-path = "/api/v1/backtests"
include-method = "POST"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "409", "422"]
"""
# A real backtest that is over in a moment: the first job, whose result is there to be asked for.
QUICK = {
    "data": {"tapes": ["SYNTH"]},
    "strategy": {"name": "ema_cross"},
    "signals": {"use_ml": False},
    "report": {"sensitivity": False, "benchmarks": False, "random_draws": 0, "regimes": False},
}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Return path, method and description of everything that is documented."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.asyncio
async def test_kinds_of_answers_and_refusals_are_documented() -> None:
    asked = [
        (path.replace("{name}", "app.js").replace("{command}", "pause"), method, operation)
        for path, method, operation in operations()
    ]
    async with serving(no_api()) as http:
        for path, method, operation in asked:
            for headers in (
                {},
                {"Host": "elsewhere.example"},
                {"Accept": "application/openmetrics-text; version=1.0.0"},
                {"Accept": "application/openmetrics-text; version=x"},
            ):
                async with http.request(method, path, headers=headers) as answer:
                    told = operation["responses"][str(answer.status)]
                    assert answer.content_type in told["content"], (path, headers)


def test_tables_are_documented_with_what_they_can_be_asked() -> None:
    queries = {
        path.rpartition("/")[2]: {each["name"] for each in operation.get("parameters", ())}
        for path, _, operation in operations()
    }

    for listing in LISTINGS:
        assert ("symbol" in queries[listing.name]) is listing.symbols, listing.name
        assert ("from_ms" in queries[listing.name]) is bool(listing.time), listing.name
    assert queries["days"] == {"limit", "cursor"}


@pytest.mark.asyncio
async def test_a_share_is_a_number_and_no_yes_or_no() -> None:
    async with serving(no_api()) as http:
        for value, status in ((False, 400), ("0.5", 400), (1, 200), (0.5, 200)):
            headers = {"Authorization": f"Bearer {TOKEN}"}
            asked = http.post("/api/v1/commands/scale", json={"value": value}, headers=headers)
            async with asked as answer:
                assert answer.status == status, value


@pytest.mark.slow
@pytest.mark.asyncio
async def test_schemathesis_finds_no_difference(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a fast machine most requests would meet the limit, and nothing behind it; test_server.py has the limit itself.
    monkeypatch.setattr(server_module, "PER_S", 1e6)
    monkeypatch.setattr(server_module, "BURST", 1_000_000)
    monkeypatch.setenv("PAPERTAPE_TRIALS", "off")
    (tmp_path / "schemathesis.toml").write_text(SETTINGS, encoding="utf-8")
    backtests = await with_a_result(tmp_path)
    async with serving(Api(account(journal), no_status), backtests) as http:
        work = asyncio.create_task(backtests.run())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", str(DOCUMENT),
            "--url", str(http._base_url), "--max-time", str(SECONDS), "--seed", "1", "--generation-database", "none",
            "--header", f"Authorization: Bearer {TOKEN}", "--no-color",
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.support.openapi_hooks"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told, _ = await process.communicate()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    asked = backtests.jobs().jobs

    said = told.decode()
    assert process.returncode == 0, said
    assert f"{len(operations())} selected / {len(operations())} total" in said
    for phase in ("Coverage", "Fuzzing"):
        assert f"✅  {phase}" in said
    assert len(asked) > 1, "no request for a backtest was taken"


async def with_a_result(folder: Path) -> BacktestService:
    """Return a service whose first job is done, and whose further processes end at once without a result."""
    Store(folder / "tapes").save(synthesize("noise", 600, "1h"))
    limits = {"queue": 100, "keep": 200}
    own = make_config({"data": {"store": str(folder / "tapes")}, "backtests": limits})
    first = BacktestService(own, folder / "backtests", lambda: 5)
    work = asyncio.create_task(first.run())
    await first.start("first", QUICK)
    async with asyncio.timeout(300.0):
        while first.job(1).state in (BacktestState.QUEUED, BacktestState.RUNNING):  # noqa: ASYNC110 # another process
            await asyncio.sleep(0.05)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert first.job(1).state is BacktestState.DONE, first.job(1).reason
    return BacktestService(own, folder / "backtests", lambda: 6, ("true",))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return what some hours of trading leave behind."""
    filled(tmp_path / "state", candles(500))
    return tmp_path / "state"
