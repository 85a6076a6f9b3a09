"""The client against the server itself: models come back whole, pages are walked, refusals are the daemon's sentences."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.backtests.answers import ResultFile
from papertape.daemon.client import Client
from papertape.daemon.commands.top import screen
from papertape.daemon.monitoring.api.listings import LISTINGS
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.schemas import CommandName, OrderState, PositionState
from papertape.engine.candles import MINUTE_MS
from papertape.engine.errors import ConfigError, DataError
from tests.daemon.monitoring.test_api import TOKEN, serving
from tests.support.api import account, journal_of, multiply, no_status, walk
from tests.support.journals import candles, filled


@pytest.mark.asyncio
async def test_it_reads_everything_and_commands_with_the_token(tmp_path: Path) -> None:
    await asyncio.to_thread(filled, tmp_path, candles(1_000))
    multiply(tmp_path, "decisions", 1_200)

    def talk(url: str) -> None:
        with Client(url, TOKEN) as client:
            assert client.status() == no_status()
            assert [market.symbol for market in client.markets().markets] == ["AAA", "BBB"]
            window = client.candles("AAA", limit=7)
            assert len(window.open_ms) == 7
            assert client.journal().last_candle_ms == window.open_ms[-1]
            assert client.equity().capital == 10_000.0
            numbers = [row["sequence"] for row in client.rows("decisions", symbol="AAA")]
            assert len(numbers) > 500
            assert numbers == sorted(set(numbers), reverse=True)
            assert [row["sequence"] for row in client.rows("decisions", 3, symbol="AAA")] == numbers[:3]
            close = client.close("AAA", window.open_ms[-1] + 15 * MINUTE_MS)
            assert (close.symbol, close.is_kept) == ("AAA", False)
            assert client.features("AAA").symbol == client.structure("AAA").symbol == "AAA"
            assert client.calibration().reason == client.shadow().reason == "this account uses no model"
            assert client.positions().positions == ()
            assert len(client.statement(limit=5).rows) == 5
            assert client.peers().peers == ()
            assert client.refusals().refusals == () or client.refusals().refusals[0].count > 0
            assert client.command(CommandName.PAUSE, "lunch").detail == "lunch"
        with (
            Client(url, "not-the-right-token") as other,
            pytest.raises(DataError, match="token is missing or wrong"),
        ):
            other.command(CommandName.KILL)

    about = account(tmp_path, frame_ms=15 * MINUTE_MS)
    async with serving(Api(about, no_status)) as http:
        await asyncio.to_thread(talk, str(http._base_url))


# Of the document, what the client leaves to others, and why.
LEFT_OUT = {
    "/metrics": "for Prometheus",
    "/healthz": "for what watches the process",
    "/readyz": "for what watches the process",
    "/openapi.json": "the document itself",
    "/status": "what /api/v1/status says, for those of before there was an API",
    "/api/v1/stream": "a websocket, which stays open: the client asks and is answered",
    "/": "the page",
    "/viewer": "of the page",
    "/assets/{name}": "of the page",
}
# What the methods of the client are called with here; the others take nothing.
ASKED: dict[str, tuple[Any, ...]] = {
    "candles": ("AAA",),
    "close": ("AAA", 1),
    "features": ("AAA",),
    "structure": ("AAA",),
    "command": (CommandName.PAUSE,),
    "start_backtest": ({},),
    "backtest": (1,),
    "cancel_backtest": (1,),
    "backtest_result": (1,),
    "backtest_file": (1, ResultFile.REPORT),
    "compare_backtests": (1,),
}


class Listening(Client):
    """A client that notes what it would ask, and as what it would read the answer."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9464")
        self.asked: list[tuple[str, str, str]] = []

    def _exchange(
        self, method: str, path: str, query: Any, body: Any = None, key: Any = None
    ) -> tuple[int, bytes]:
        self.asked.append((method.lower(), path, ""))
        return 200, b'{"rows": [], "next": null}'

    def _read(self, model: Any, answer: Any) -> Any:
        method, path, _ = self.asked.pop()
        self.asked.append((method, path, model.__name__))
        return model.model_construct(jobs=())


def document() -> dict[tuple[str, str], str]:
    """Return the name of each answer's model, empty where there is none, by method and path of the committed document."""
    paths = json.loads((Path(__file__).parents[2] / "deploy" / "docs" / "openapi.json").read_text())["paths"]
    found = {}
    for path, methods in paths.items():
        for method, about in methods.items():
            good = next(
                about["responses"][status]
                for status in ("200", "202", "201", "101")
                if status in about["responses"]
            )
            reference = good.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
            found[method, path] = reference.rsplit("/", 1)[-1]
    return found


def test_it_asks_all_that_the_document_lists_and_reads_each_answer_as_its_model() -> None:
    listed = document()
    client = Listening()
    names = [name for name in vars(Client) if not name.startswith("_") and name not in ("ask", "rows")]
    for name in names:
        answer = getattr(client, name)(*ASKED.get(name, ()))
        if name == "backtest_file":
            list(answer)
    for listing in LISTINGS:
        assert list(client.rows(listing.name)) == []

    def matched(method: str, path: str) -> tuple[str, str]:
        fits = [
            each
            for each in listed
            if each[0] == method and re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(each[1])), path)
        ]
        assert fits, f"{method} {path} is not in the document"
        return min(fits, key=lambda each: each[1].count("{"))

    asked = {matched(method, path): model for method, path, model in client.asked}
    assert {path for _, path in listed.keys() - asked.keys()} == set(LEFT_OUT)
    typed = {key: model for key, model in asked.items() if model}
    assert typed == {key: listed[key] for key in typed}
    rows = {f"/api/v1/{listing.name}" for listing in LISTINGS}
    files = "/api/v1/backtests/{number}/files/{name}"
    assert {path for _, path in asked.keys() - typed.keys()} == {*rows, files}


@pytest.mark.asyncio
async def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    journal_of(tmp_path, [walk(3, 1)])

    def talk(url: str) -> None:
        with Client(url) as client:
            with pytest.raises(DataError, match="symbol 'AAB' is not followed"):
                client.candles("AAB")
            with pytest.raises(ConfigError, match=r"no table 'trade'.*did you mean 'trades'"):
                next(client.rows("trade"))

    async with serving(Api(account(tmp_path), no_status)) as http:
        await asyncio.to_thread(talk, str(http._base_url))
    with (
        Client("http://127.0.0.1:9", timeout_s=1.0) as nobody,
        pytest.raises(DataError, match="is the daemon running there"),
    ):
        nobody.status()
    for url in ("127.0.0.1:9464", "ftp://127.0.0.1", "http://127.0.0.1:port"):
        with pytest.raises(ConfigError):
            Client(url)


def test_the_screen_of_top_has_the_account_and_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rich.console import Console

    status = no_status().model_copy(
        update={
            "halted": ("operator",),
            "positions": (
                PositionState(
                    symbol="AAA", quantity=-2.0, entry_price=10.0, last_price=9.5, unrealised_pnl=1.0, stop_price=11.0, target_price=None
                ),
            ),
            "orders": (
                OrderState(
                    symbol="AAA", number=1, tag="x\x1b[2J", kind="limit", side="buy", quantity=2.0, limit_price=9.0, trigger_price=None,
                    is_reduce_only=True,
                ),
            ),
        }
    )  # fmt: skip
    tape = [
        (0, "decisions", {"symbol": "AAA", "target": "long", "refused": "trading is paused"}),
        (0, "fills", {"side": "buy", "quantity": 2.0, "symbol": "AAA", "price": 10.0, "reason": "entry"}),
    ]

    Console(width=120).print(screen(status, tape))

    told = capsys.readouterr().out
    for words in (
        "halted: operator",
        "-2",
        "+1.00",
        "9",
        "AAA: long refused, trading is paused",
        "buy 2 AAA at 10: entry",
    ):
        assert words in told
    assert "\x1b[2J" not in told

    in_yen = {"currency": "JPY", "money_places": 0, "equity": 9_876.0}
    account = status.account.model_copy(update=in_yen)
    Console(width=120).print(screen(status.model_copy(update={"account": account}), tape))
    told = capsys.readouterr().out
    assert "9,876 JPY" in told
    assert "+1.00" not in told
