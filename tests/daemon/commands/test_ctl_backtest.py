"""`papertape ctl backtest` and the client against the server itself: started, followed, compared and fetched from a terminal."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer

from papertape.daemon.backtests.answers import BacktestState, ComparedSide, ResultFile
from papertape.daemon.backtests.comparison import Side, compare
from papertape.daemon.backtests.curves import Curve
from papertape.daemon.backtests.service import BacktestService
from papertape.daemon.client import Client
from papertape.daemon.commands import ctl_backtest
from papertape.daemon.metrics import Metrics, Scope
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.server import Server, Views
from papertape.engine.errors import ConfigError, DataError
from papertape.replay import backtest
from papertape.replay.config import make_config
from papertape.replay.tapes.synthetic import synthesize
from tests.daemon.monitoring.test_api import TOKEN, accept
from tests.support.api import account, journal_of, no_status, walk
from tests.support.commands import invoke

CHILD = Path(__file__).parents[2] / "support" / "slow_child.py"


@asynccontextmanager
async def serving(state: Path, how: str) -> AsyncIterator[str]:
    """Serve a daemon's API with backtests that do as they are told."""
    service = BacktestService(
        make_config({}), state / "backtests", lambda: 5, (sys.executable, str(CHILD), how)
    )
    metrics = Metrics(Scope(("AAA",), "1m", "1m", "USD", endpoints=Server.ENDPOINTS))
    views = Views(no_status, str, accept, Api(account(state), no_status), service)
    async with Server(metrics, views, version="0", token=TOKEN) as server:
        task = asyncio.create_task(service.run())
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def talking(state: Path, how: str, talk: Callable[[str], None]) -> None:
    async with serving(state, how) as url:
        await asyncio.to_thread(talk, url)


@pytest.mark.asyncio
async def test_a_file_is_started_followed_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_TOKEN", TOKEN)
    file = tmp_path / "cross.toml"
    file.write_text('[strategy]\nname = "ema_cross"\n[data]\nstart = 2021-01-01\n')

    def talk(url: str) -> None:
        at = ("--url", url)
        told = invoke("ctl", "backtest", "start", str(file), "--name", "mine", "--wait", *at)
        assert all(word in told for word in ("mine", "ema_cross", "done", "d" * 16))
        keyed = ("ctl", "backtest", "start", str(file), "--key", "k", "--json", *at)
        first = json.loads(invoke(*keyed))
        assert json.loads(invoke(*keyed))["number"] == first["number"] == 2
        listed = json.loads(invoke("ctl", "backtest", "list", "--json", *at))
        assert [job["number"] for job in listed] == [2, 1]
        (tmp_path / "bad.toml").write_text("[account]\ncapitl = 1\n")
        with pytest.raises(DataError, match=r"account\.capitl: unknown key"):
            invoke("ctl", "backtest", "start", str(tmp_path / "bad.toml"), *at)
        (tmp_path / "bad.toml").write_text("[")
        with pytest.raises(ConfigError, match="not valid TOML"):
            invoke("ctl", "backtest", "start", str(tmp_path / "bad.toml"), *at)
        with pytest.raises(DataError, match="there is no backtest 9"):
            invoke("ctl", "backtest", "show", "9", *at)

    await talking(tmp_path, "works", talk)


@pytest.mark.asyncio
async def test_what_does_not_end_well_is_told_with_exit_code_1_and_what_runs_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAPERTAPE_TOKEN", TOKEN)
    file = tmp_path / "plain.toml"
    file.write_text("")

    def fails(url: str) -> None:
        told = invoke("ctl", "backtest", "start", str(file), "--wait", "--url", url, code=1)
        assert "tapes: there are none" in told

    def waits(url: str) -> None:
        job = json.loads(invoke("ctl", "backtest", "start", str(file), "--json", "--url", url))
        ended = invoke("ctl", "backtest", "cancel", str(job["number"]), "--json", "--url", url)
        assert json.loads(ended)["state"] == "cancelled"

    await talking(tmp_path / "a", "refuses", fails)
    await talking(tmp_path / "b", "waits", waits)


@pytest.mark.asyncio
async def test_a_result_is_shown_compared_and_fetched_whole(tmp_path: Path) -> None:
    report = {"sensitivity": False, "benchmarks": False, "random_draws": 0, "regimes": False}
    found = backtest(
        synthesize("noise", 300, "1h"),
        strategy="ema_cross",
        use_ml=False,
        account={"sizing": "all_in"},
        report=report,
    )
    state = tmp_path / "state"
    journal_of(state, [walk(10, 1)])  # of what runs beside it

    def talk(url: str) -> None:
        with Client(url, TOKEN) as client:
            for number in (1, 2):
                client.start_backtest({"strategy": {"name": "ema_cross"}})
                while client.backtest(number).state is not BacktestState.DONE:
                    time.sleep(0.05)  # a daemon answers a hundred requests a second
                found.save(state / "backtests" / f"{number:06d}" / "result")
            result = client.backtest_result(1)
            assert result.metrics == found.metrics
            whole = b"".join(client.backtest_file(1, ResultFile.REPORT))
            assert whole == (state / "backtests/000001/result/report.html").read_bytes()
            with pytest.raises(DataError, match=r"there is no file 'orders\.parquet'"):
                list(client.backtest_file(1, ResultFile.ORDERS))
        at = ("--url", url)
        shown = invoke("ctl", "backtest", "show", "1", *at)
        assert str(state / "backtests" / "000001" / "result") in shown
        beside = json.loads(invoke("ctl", "backtest", "compare", "1", "2", "--json", *at))
        assert beside["settings"] == []
        assert all(metric["difference"] in (0.0, None) for metric in beside["metrics"])
        assert "figure" in invoke("ctl", "backtest", "compare", "1", "2", *at)
        invoke("ctl", "backtest", "fetch", "1", "--out", str(tmp_path / "out"), *at)
        for file in result.files:
            copy = (tmp_path / "out" / file.name.value).read_bytes()
            assert copy == (state / "backtests/000001/result" / file.name.value).read_bytes()

    await talking(state, "works", talk)


def test_of_an_account_with_chapters_a_comparison_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "its curve and figures are of several configurations, chapter 'a' from 2020-01-01 15:00 on"
    curve = Curve(np.array([1, 9]), np.array([5.0, 10.0]))
    sides = [
        Side(
            ComparedSide(source=source, name="", digest="", start_ms=1, end_ms=9, told=said),
            {},
            {},
            {},
            curve,
        )
        for source, said in (("1", ""), ("live", told))
    ]
    client = SimpleNamespace(compare_backtests=lambda number, other: compare(*sides))
    monkeypatch.setattr(ctl_backtest, "daemon_of", lambda *_, **__: nullcontext(client))

    shown = invoke("ctl", "backtest", "compare", "1")

    assert f"! live: {told}\n" in shown
    assert "! 1:" not in shown


def test_what_toml_has_and_json_has_not_is_sent_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    import tomllib

    sent: list[str] = []

    def ask(self: Client, *asked: object) -> dict[str, object]:
        sent.append(str(asked[3]))
        raise typer.Abort

    monkeypatch.setattr(Client, "ask", ask)
    values = tomllib.loads("[data]\nstart = 2021-01-01\nend = 2021-01-02T03:04:05Z\n")
    with pytest.raises(typer.Abort):
        Client("http://127.0.0.1:9").start_backtest(values)

    config = make_config(json.loads(sent[0])["config"])
    assert config.data == make_config(values).data
