"""The REST half as a plain client meets it: statuses, envelopes, headers, quota, pages."""

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from papertape.replay.exchange import Switches
from tests.support.venue_client import HISTORY, MINUTE_MS, START_MS, Client, make_tape, with_venue

SECOND = START_MS // 1000


def get(path: str, switches: Switches | None = None, **query: Any) -> tuple[int, Any, Any]:
    """Ask one thing at START_MS."""
    return with_venue(lambda client: client.get(path, **query), switches=switches)


def candle_query(**changes: Any) -> dict[str, Any]:
    query = {"symbol": "BTCUSDT", "resolution": "1m", "start": SECOND - 600, "end": SECOND}
    return {name: value for name, value in {**query, **changes}.items() if value is not None}


def test_candles_are_the_tapes_bit_for_bit_newest_first() -> None:
    tape = make_tape()

    status, body, _ = get("/v2/history/candles", **candle_query(end=SECOND - 60))

    rows = tape.candles[HISTORY - 10 : HISTORY]
    expected = [
        {
            "time": int(row["open_ms"]) // 1000,
            **{name: float(row[name]) for name in ("open", "high", "low", "close", "volume")},
        }
        for row in rows
    ]
    assert (status, body) == (200, {"success": True, "result": expected[::-1]})


def test_numbers_of_candles_follow_the_switch() -> None:
    documented, strings = (
        get("/v2/history/candles", Switches(numbers=numbers), **candle_query())[1]["result"]
        for numbers in ("documented", "strings")
    )

    assert {type(candle["close"]) for candle in strings} == {str}
    for name in ("open", "high", "low", "close", "volume"):
        assert [float(candle[name]) for candle in strings] == [c[name] for c in documented]


@pytest.mark.parametrize("symbol", ["MARK:BTCUSDT", ".DEXBTUSDT", "FUNDING:BTCUSDT", "OI:BTCUSDT"])
def test_other_series_have_no_volume(symbol: str) -> None:
    _, body, _ = get("/v2/history/candles", **candle_query(symbol=symbol))

    assert len(body["result"]) == 11
    assert {candle["volume"] for candle in body["result"]} == {None}


@pytest.mark.parametrize("symbol", ["NOPEUSD", "MARK:NOPEUSD", "NOSUCH:BTCUSDT", ".DENOPE"])
def test_an_unknown_symbol_has_no_candles_and_that_is_no_error(symbol: str) -> None:
    status, body, _ = get("/v2/history/candles", **candle_query(symbol=symbol))

    assert (status, body) == (200, {"success": True, "result": []})


@pytest.mark.parametrize(
    ("changes", "param", "words"),
    [
        ({"start": None}, "start", "start is required"),
        ({"symbol": None}, "symbol", "symbol is required"),
        ({"end": "soon"}, "end", "end is invalid"),
        ({"start": "-5"}, "start", "start is invalid"),
        ({"resolution": "12h"}, "resolution", "5s, 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 1d, 1w"),
        ({"resolution": "7m"}, "resolution", "must be one of"),
    ],
)
def test_a_bad_parameter_is_named(changes: dict[str, Any], param: str, words: str) -> None:
    status, body, _ = get("/v2/history/candles", **candle_query(**changes))

    assert status == 400
    assert (body["success"], body["error"]["code"]) == (False, "bad_schema")
    (fault,) = body["error"]["context"]["schema_errors"]
    assert (fault["code"], fault["param"]) == ("validation_error", param)
    assert words in fault["message"]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/v2/products/NOPE", 400, {"success": False, "error": {"code": "invalid_contract"}}),
        ("/v2/l2orderbook/NOPE", 400, {"success": False, "error": {"code": "invalid_contract"}}),
        ("/v2/tickers/NOPE", 200, {"success": True, "result": None}),
        ("/v2/trades/NOPE", 200, {"success": True, "result": []}),
        ("/v2/orders", 401, {"success": False, "error": "unauthorized"}),
        ("/v2/nothing", 404, "Not Found"),
        ("/elsewhere", 404, "Not Found"),
    ],
)
def test_statuses_of_section_4_2(path: str, status: int, body: Any) -> None:
    assert get(path)[:2] == (status, body)


def test_without_a_user_agent_the_cdn_answers_in_html() -> None:
    async def use(client: Client) -> tuple[int, str, int]:
        skipped = {"User-Agent"}
        async with aiohttp.ClientSession(skip_auto_headers=skipped) as http:
            async with http.get(f"{client.venue.rest_url}/v2/products") as response:
                kind, status = response.content_type, response.status
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(client.venue.compact_url)
        return status, kind, refused.value.status

    assert with_venue(use) == (403, "text/html", 403)


def test_headers_carry_the_venues_clock_in_microseconds_and_no_quota() -> None:
    _, _, headers = get("/v2/products")

    sent, received = int(headers["Request-Out-Time"]), int(headers["Request-In-Time"])
    assert 0 <= received - START_MS * 1000 < 1_000_000
    assert 0 < sent - received < 1_000_000
    assert int(parsedate_to_datetime(headers["Date"]).timestamp()) == sent // 1_000_000
    assert not [name for name in headers if "limit" in name.lower() or "quota" in name.lower()]


def test_the_quota_counts_three_per_call_also_for_400s_and_is_refilled_with_the_window() -> None:
    # START_MS is a multiple of five minutes.
    assert START_MS % 300_000 == 0

    async def use(client: Client) -> list[Any]:
        first = await client.get("/v2/rate_limits/quota")
        bad = await client.get("/v2/history/candles")
        refused = await client.get("/v2/assets")
        await client.clock.sleep_until(START_MS + 300_000)
        again = await client.get("/v2/rate_limits/quota")
        return [first, bad, refused, again]

    first, bad, refused, again = with_venue(use, switches=Switches(quota=8))

    assert first[1]["current_quota"] == 3
    assert first[1]["remaining_time_in_milliseconds"] <= 300_000
    assert bad[0] == 400
    assert refused[0] == 429
    assert 0 < int(refused[2]["X-RATE-LIMIT-RESET"]) <= 300_000
    assert "Retry-After" not in refused[2]
    assert again[1]["current_quota"] == 3


def test_products_come_in_pages_with_opaque_cursors_in_falling_order() -> None:
    tapes = [make_tape(symbol=f"S{i}USDT", seed=i) for i in range(5)]

    async def use(client: Client) -> list[tuple[list[str], Any]]:
        pages, after = [], ""
        while True:
            query = {"after": after} if after else {}
            _, body, _ = await client.get("/v2/products", page_size=2, **query)
            pages.append(([product["symbol"] for product in body["result"]], body["meta"]))
            after = body["meta"]["after"]
            if after is None:
                break
        back = await client.get("/v2/products", page_size=2, before=pages[2][1]["before"])
        pages.append(([product["symbol"] for product in back[1]["result"]], back[1]["meta"]))
        bad = await client.get("/v2/products", after="g3!!")
        assert bad[0] == 400
        return pages

    first, second, third, before = with_venue(use, tapes)

    assert [page[0] for page in (first, second, third)] == [
        ["S4USDT", "S3USDT"],
        ["S2USDT", "S1USDT"],
        ["S0USDT"],
    ]
    assert first[1]["total_count"] == 5
    assert first[1]["before"] is None
    assert before[0] == ["S2USDT", "S1USDT"]


def test_a_product_says_what_a_client_needs() -> None:
    async def use(client: Client) -> Any:
        return (await client.get("/v2/products/XYZUSDT"))[1]["result"]

    product = with_venue(use, [make_tape(symbol="XYZUSDT")], funding_hours={"XYZUSDT": 4})

    assert product["contract_value"] == "1.000000000000000000"
    assert product["product_specs"]["rate_exchange_interval"] == 14_400
    assert product["taker_commission_rate"] == "0.000500000000000000"
    assert (product["state"], product["trading_status"]) == ("live", "operational")
    assert product["launch_time"] == "2026-11-23T09:45:00Z"
    assert product["spot_index"]["symbol"] == ".DEXYZUSDT"


def test_several_tickers_are_a_list_and_one_is_an_object() -> None:
    async def use(client: Client) -> list[Any]:
        paths = ("/v2/tickers", "/v2/tickers/AUSDT", "/v2/tickers/AUSDT,BUSDT,NOPE")
        return [(await client.get(path))[1]["result"] for path in paths]

    every, one, two = with_venue(use, [make_tape(symbol="AUSDT"), make_tape(symbol="BUSDT")])

    assert [ticker["symbol"] for ticker in every] == ["AUSDT", "BUSDT"]
    assert one == every[0]
    assert two == every
    assert isinstance(one["close"], float)
    assert isinstance(one["mark_price"], str)
    assert float(one["mark_price"]) == one["close"] == float(make_tape().candles["close"][29])


def test_the_trades_list_has_two_shapes() -> None:
    plain = get("/v2/trades/BTCUSDT")[1]["result"]
    boxed = get("/v2/trades/BTCUSDT", Switches(trades_list="object"))[1]["result"]["trades"]

    assert len(plain) == len(boxed) == 50
    assert set(plain[0]) == {"buyer_role", "price", "seller_role", "size", "timestamp"}
    assert set(boxed[0]) == {"side", "size", "price", "timestamp"}
    for trade, same in zip(plain, boxed, strict=True):
        assert trade["price"] == same["price"]
        assert (trade["buyer_role"] == "taker") == (same["side"] == "buy")
    times = [trade["timestamp"] for trade in plain]
    assert times == sorted(times, reverse=True)


def test_the_book_is_cumulative_and_no_deeper_than_asked() -> None:
    book = get("/v2/l2orderbook/BTCUSDT", depth=4)[1]["result"]

    for side in ("buy", "sell"):
        assert len(book[side]) == 4
        sizes = [level["size"] for level in book[side]]
        assert [int(level["depth"]) for level in book[side]] == [sum(sizes[: i + 1]) for i in range(4)]
    assert float(book["sell"][0]["price"]) > float(book["buy"][0]["price"])


def test_funding_history_is_flat_inside_an_interval_and_steps_at_the_settlement() -> None:
    settlement_ms = 1_795_449_600_000  # 16:00 UTC, as in the reference's vectors
    tape = make_tape(n=400)  # from 09:45 to 16:55

    async def use(client: Client) -> list[float]:
        await client.clock.sleep_until(settlement_ms + 10 * MINUTE_MS)
        found = await client.candles(
            settlement_ms - 20 * MINUTE_MS, settlement_ms + 9 * MINUTE_MS, symbol="FUNDING:BTCUSDT"
        )
        return [candle["close"] for candle in reversed(found)]

    rates = with_venue(use, [tape])

    assert len(set(rates[:20])) == len(set(rates[20:])) == 1
    # Reference 5.3 by hand, over the candles of 09:45 to 16:00.
    rows = tape.candles[tape.candles["open_ms"] < settlement_ms]
    typical = (rows["open"] + rows["high"] + rows["low"] + rows["close"]) / 4.0
    premium = 100.0 * float(((rows["close"] - typical) / typical).mean())
    assert rates[20] == round(premium + max(min(0.01 - premium, 0.05), -0.05), 6)


def test_other_lists_need_no_key() -> None:
    async def use(client: Client) -> list[Any]:
        paths = ("assets", "indices", "settings", "history/sparklines")
        return list(await asyncio.gather(*(client.get(f"/v2/{path}") for path in paths)))

    assets, indices, settings, sparklines = with_venue(use)

    assert [asset["symbol"] for asset in assets[1]["result"]] == ["BTC", "USDT"]
    assert indices[1]["result"][0]["symbol"] == ".DEXBTUSDT"
    assert settings[1]["success"]
    assert list(sparklines[1]["result"]) == ["BTCUSDT"]
