"""`papertape tape fetch`: what a user types and sees, against small venues on the loopback."""

import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner, Result

import papertape
from papertape.daemon.commands.tape import tape_app
from papertape.engine.errors import ConfigError, DataError
from papertape.replay.runtime.clock import WallClock
from papertape.replay.tapes.store import Store
from tests.support.binance_server import BinanceServer
from tests.support.delta_server import DeltaServer
from tests.support.loopback import Handler, serving_beside

DAY_MS = 86_400_000
PRODUCT = {"symbol": "BTCUSD", "contract_value": "0.001", "contract_type": "perpetual_futures"}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_TAPES", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


def fetch(*arguments: object) -> Result:
    done = CliRunner().invoke(tape_app, ["fetch", *[str(a) for a in arguments]])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def make_delta() -> Handler:
    """Return a venue that has BTCUSD since 2026-01-01."""
    venue = DeltaServer(WallClock(), first_s=1_767_225_600)

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/v2/products":
            return venue.answer([PRODUCT], meta={"after": None})
        if request.path == "/v2/products/BTCUSD":
            return venue.answer(PRODUCT)
        if request.path.startswith("/v2/products/"):
            error: dict[str, Any] = {"code": "invalid_contract", "context": {}}
            return web.json_response({"success": False, "error": error}, status=400)
        return await venue.handle(request)

    return handle


def test_history_comes_into_the_store_and_a_second_time_only_what_is_missing() -> None:
    with serving_beside(make_delta) as url:
        first = fetch("BTCUSD", "--start", "2026-01-03", "--end", "2026-01-04", "--rest-url", url)
        again = fetch("BTCUSD", "--start", "2026-01-02", "--end", "2026-01-05", "--rest-url", url, "--json")
    tape = Store().find("delta-india_BTCUSD_1h")
    made = json.loads(again.output)

    assert "delta-india_BTCUSD_1h · 1h · 48 candles · 2026-01-03 00:00 … 2026-01-04 23:00" in first.output
    assert "48 of them new" in first.output
    assert (made["new_candles"], made["rows"]) == (48, 96)
    assert made["sha256"] == tape.sha256
    assert tape.source == f"delta-rest: {url}"
    assert set(tape.candles["volume"].tolist()) == {0.005}  # 5 contracts of 0.001
    assert any("contracts of 0.001" in note for note in tape.notes)


def test_python_fetches_the_same_tape_as_the_command() -> None:
    with serving_beside(make_delta) as url:
        fetch("BTCUSD", "--start", "2026-01-03", "--end", "2026-01-04", "--rest-url", url)
        told: list[tuple[str, int, int]] = []
        found = papertape.fetch(
            "BTCUSD",
            "2026-01-03",
            date(2026, 1, 4),
            rest_url=url,
            store="own",
            progress=lambda *what: told.append(what),
        )
        with pytest.raises(DataError, match="end 2026-01-02 is before start 2026-01-03"):
            papertape.fetch("BTCUSD", "2026-01-03", "2026-01-02", rest_url=url)

    assert found.sha256 == Store().find("BTCUSD").sha256 == Store("own").find("BTCUSD").sha256
    assert told


def test_until_now_means_the_last_candle_that_is_over() -> None:
    with serving_beside(make_delta) as url:
        start_s = time.time() - 5 * 3600
        stamp = time.strftime("%Y-%m-%d %H:%M", time.gmtime(start_s))
        fetch("BTCUSD", "--start", stamp, "--rest-url", url)
        now_ms = time.time() * 1000

    last_ms = int(Store().find("BTCUSD").candles["open_ms"][-1])
    assert now_ms - 7_200_000 - 40_000 <= last_ms <= now_ms - 3_600_000


def test_an_unknown_symbol_is_refused_with_the_nearest_and_nothing_is_stored() -> None:
    with (
        serving_beside(make_delta) as url,
        pytest.raises(DataError, match=r"delta-india does not list 'BTCUSC': did you mean 'BTCUSD'\?"),
    ):
        fetch("BTCUSC", "--start", "2026-01-03", "--rest-url", url)

    assert Store().entries() == []


def test_another_venue_through_the_library() -> None:
    with serving_beside(lambda: BinanceServer(WallClock(), ["BTCUSDT"]).handle) as url:
        done = fetch(
            "BTCUSDT", "--venue", "binance", "--start", "2026-01-03", "--end", "2026-01-03", "--rest-url", url
        )

    tape = Store().find("binance-spot_BTCUSDT_1h")
    assert len(tape.candles) == 24
    assert "ccxt: binance" in done.output


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        (("BTC USD", "--start", "2026-01-01"), DataError, "is no symbol"),
        (("BTCUSD", "--start", "yesterday"), DataError, "write 2023-01-31"),
        (("BTCUSD", "--start", "2026-02-01", "--end", "2026-01-01"), DataError, "is before --start"),
        (("BTCUSD", "--start", "2026-01-01", "--timeframe", "7m"), DataError, "unknown timeframe '7m'"),
        (("BTCUSD", "--start", "2026-01-01", "--venue", "delte"), ConfigError, "did you mean 'delta'"),
        (("BTCUSD", "--start", "2026-01-01", "--profile", "indi"), ConfigError, "did you mean 'india'"),
        (("BTCUSD", "--start", "2026-01-01", "--fallback", "binanc"), ConfigError, "mean 'binance'"),
        (("BTCUSD", "--start", "2026-01-01", "--rest-url", "local"), ConfigError, "is not an http"),
    ],
)
def test_refusals_are_one_sentence_before_any_request(
    arguments: tuple[str, ...], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told) as caught:
        fetch(*arguments)

    assert "\n" not in str(caught.value)


def test_help_has_an_example_and_a_start_is_needed() -> None:
    assert "Example: papertape tape fetch BTCUSD" in fetch("--help").output
    assert fetch("BTCUSD").exit_code == 2
