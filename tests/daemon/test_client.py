"""The client against the server itself: models come back whole, pages are walked, refusals are the daemon's sentences."""

import asyncio
from pathlib import Path

import pytest

from papertape.daemon.client import Client
from papertape.daemon.commands.top import screen
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
            assert [
                row["sequence"] for row in client.rows("decisions", 3, symbol="AAA")
            ] == numbers[:3]
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


@pytest.mark.asyncio
async def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    journal_of(tmp_path, [walk(3, 1)])

    def talk(url: str) -> None:
        with Client(url) as client:
            with pytest.raises(
                DataError,
                match="symbol 'AAB' is not followed",
            ):
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
        (
            0,
            "fills",
            {"side": "buy", "quantity": 2.0, "symbol": "AAA", "price": 10.0, "reason": "entry"},
        ),
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
