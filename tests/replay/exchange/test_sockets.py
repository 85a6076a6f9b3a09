"""The websocket half as a plain client meets it: payloads, cadences, heartbeats, idle cut, both hosts."""

import json
from itertools import pairwise
from typing import Any

import aiohttp
import numpy as np
import pytest

from papertape.replay.exchange import Switches
from papertape.replay.tapes.store import Tape
from tests.support.venue_client import (
    HISTORY,
    MINUTE_MS,
    START_MS,
    Client,
    Socket,
    make_tape,
    of_type,
    with_venue,
)

EVERYTHING = (
    ("candlestick_1m", ["BTCUSDT", "MARK:BTCUSDT"]),
    ("ticker", ["BTCUSDT"]),
    ("trades", ["BTCUSDT"]),
    ("mark_price", ["MARK:BTCUSDT"]),
    ("spot_price", [".DEXBTUSDT"]),
    ("funding_rate", ["BTCUSDT"]),
    ("ob_l1", ["BTCUSDT"]),
    ("ob_l2", ["BTCUSDT"]),
    ("ob_updates", ["BTCUSDT"]),
    ("system_status", None),
)
LEGACY = (
    ("candlestick_1m", ["BTCUSDT"]),
    ("v2/ticker", ["BTCUSDT"]),
    ("all_trades", ["BTCUSDT"]),
    ("mark_price", ["MARK:BTCUSDT"]),
    ("spot_price", [".DEXBTUSDT"]),
    ("funding_rate", ["BTCUSDT"]),
)


def hear(
    *channels: tuple[str, list[str] | None],
    minutes: float = 3.0,
    switches: Switches | None = None,
    is_legacy: bool = False,
) -> list[tuple[int, dict[str, Any]]]:
    """Subscribe at START_MS and return (ms after START_MS, message) of some minutes."""

    async def use(client: Client) -> Socket:
        venue = client.venue
        socket = await client.connect(venue.legacy_url if is_legacy else venue.compact_url)
        await socket.subscribe(*channels)
        await socket.listen(START_MS + int(minutes * MINUTE_MS))
        return socket

    socket = with_venue(use, switches=switches)
    return [(time_ms - START_MS, json.loads(text)) for time_ms, text in socket.texts]


def said(heard: list[tuple[int, dict[str, Any]]], kind: str) -> list[dict[str, Any]]:
    return of_type([message for _, message in heard], kind)


@pytest.mark.parametrize(("channels", "is_legacy"), [(EVERYTHING, False), (LEGACY, True)])
def test_the_acknowledgement_comes_first_and_every_channel_speaks(
    channels: tuple[tuple[str, list[str] | None], ...], is_legacy: bool
) -> None:
    heard = hear(*channels, is_legacy=is_legacy)

    assert heard[0][1]["type"] == "subscriptions"
    assert heard[0][0] == 100
    assert {message["type"] for _, message in heard} - {"all_trades_snapshot"} == {
        "subscriptions",
        *(name for name, _ in channels),
    }


def test_compact_keys_are_in_alphabetical_order_and_have_the_documented_types() -> None:
    heard = hear(*EVERYTHING)

    for _, message in heard:
        assert list(message) == sorted(message), message["type"]
    (candle, *_), marks = (
        [m for m in said(heard, "candlestick_1m") if m["sy"].startswith("MARK:") is is_mark]
        for is_mark in (False, True)
    )
    assert {name: type(candle[name]) for name in ("o", "c", "v", "cst", "ts", "res")} == {
        "o": float,
        "c": float,
        "v": float,
        "cst": int,
        "ts": int,
        "res": str,
    }
    assert "v" not in marks[0]
    trade = said(heard, "trades")[0]
    assert (type(trade["p"]), type(trade["s"]), trade["r"] in "tm") == (str, float, True)
    assert {type(price["p"]) for price in said(heard, "spot_price")} == {str, float}
    assert {type(price["ts"]) for price in said(heard, "spot_price")} == {int, type(None)}
    funding = said(heard, "funding_rate")[0]
    # Section 8: the next settlement is 16:00 UTC.
    assert (funding["fi"], funding["nfr"]) == (28_800, 1_795_449_600_000_000)
    (element,) = said(heard, "ticker")[0]["d"]
    assert float(element["q"][0]) > float(element["q"][2]), "ask first"


@pytest.mark.parametrize(
    ("channel", "symbol", "period_ms"),
    [
        ("ticker", "BTCUSDT", 5_000),
        ("mark_price", "MARK:BTCUSDT", 2_000),
        ("spot_price", ".DEXBTUSDT", 1_000),
        ("funding_rate", "BTCUSDT", 60_000),
    ],
)
def test_timers_keep_their_cadence(channel: str, symbol: str, period_ms: int) -> None:
    times = [ms for ms, message in hear((channel, [symbol])) if message["type"] == channel]

    assert times[0] <= period_ms
    assert {b - a for a, b in pairwise(times)} == {period_ms}


def test_trades_are_published_a_quarter_second_later_and_add_up_to_the_candle() -> None:
    heard = hear(("trades", ["BTCUSDT"]), ("candlestick_1m", ["BTCUSDT"]))

    trades = said(heard, "trades")
    assert {trade["ts"] - trade["t"] for trade in trades} == {260_000}
    first = [t for t in trades if t["t"] < (START_MS + MINUTE_MS) * 1000]
    total = 0.0
    for trade in first:
        total += trade["s"]
    row = make_tape().candles[HISTORY]
    prices = [float(trade["p"]) for trade in first]
    assert (prices[0], max(prices), min(prices), prices[-1], total) == tuple(
        float(row[name]) for name in ("open", "high", "low", "close", "volume")
    )
    final = [m for m in said(heard, "candlestick_1m") if m["cst"] == START_MS * 1000][-1]
    assert (final["o"], final["h"], final["l"], final["c"], final["v"]) == (
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        total,
    )


def test_prices_of_all_channels_are_the_last_trades() -> None:
    heard = hear(*EVERYTHING)
    trades = [(t["t"], t["p"]) for t in said(heard, "trades")]

    def last(time_us: int) -> str | None:
        return next((price for at, price in reversed(trades) if at <= time_us), None)

    compared = 0
    for _, message in heard:
        price = {
            "mark_price": lambda m: m["p"],
            "ticker": lambda m: m["d"][0]["m"],
            "candlestick_1m": lambda m: repr(m["c"]),
        }.get(message["type"])
        if price is not None and (expected := last(message["ts"])) is not None:
            assert price(message) == expected, message
            compared += 1
    assert compared > 100


def test_legacy_candles_carry_the_same_values_under_long_names() -> None:
    short = said(hear(("candlestick_1m", ["BTCUSDT"])), "candlestick_1m")
    long = said(hear(("candlestick_1m", ["BTCUSDT"]), is_legacy=True), "candlestick_1m")

    names = {
        "o": "open",
        "h": "high",
        "l": "low",
        "c": "close",
        "v": "volume",
        "ts": "timestamp",
        "cst": "candle_start_time",
        "sy": "symbol",
        "res": "resolution",
    }
    assert [{names[k]: v for k, v in m.items() if k in names} for m in short] == [
        {k: v for k, v in m.items() if k in names.values()} for m in long
    ]


def test_legacy_trades_begin_with_a_snapshot_of_what_was_published() -> None:
    heard = hear(("all_trades", ["BTCUSDT"]), is_legacy=True)

    (snapshot,) = said(heard, "all_trades_snapshot")
    assert len(snapshot["trades"]) == 50
    newest, first = snapshot["trades"][0], said(heard, "all_trades")[0]
    assert newest["timestamp"] < first["timestamp"]


def test_only_the_legacy_host_compresses() -> None:
    async def use(client: Client) -> list[int]:
        venue = client.venue
        sockets = [await client.connect(url, compress=15) for url in (venue.compact_url, venue.legacy_url)]
        return [socket.socket.compress for socket in sockets]

    assert with_venue(use) == [0, 15]


@pytest.mark.parametrize(
    ("heartbeat", "times", "keys"),
    [
        ("with_fields", [100, 5_100, 10_100, 15_100], ["ts_origin", "ts_publish", "type"]),
        ("bare", [100, 30_100], ["type"]),
        ("stops", [100, 5_100, 10_100], ["ts_origin", "ts_publish", "type"]),
    ],
)
def test_heartbeats_follow_their_switch(heartbeat: Any, times: list[int], keys: list[str]) -> None:
    async def use(client: Client) -> Socket:
        socket = await client.connect()
        await socket.tell({"type": "enable_heartbeat"})
        await socket.listen(START_MS + 50_000)
        return socket

    socket = with_venue(use, switches=Switches(heartbeat=heartbeat))

    assert [ms - START_MS for ms, _ in socket.texts][: len(times)] == times
    assert heartbeat == "with_fields" or len(socket.texts) == len(times)
    assert list(json.loads(socket.texts[0][1])) == keys


def test_a_silent_connection_is_cut_after_a_minute_without_a_close_frame() -> None:
    async def use(client: Client) -> tuple[bool, int, int | None]:
        socket = await client.connect()
        await socket.listen(START_MS + 20_000)
        await socket.tell({"type": "ping"})
        await socket.listen(START_MS + 200_000)
        return socket.is_closed, client.clock.now_ms() - START_MS, socket.socket.close_code

    is_closed, ms, code = with_venue(use)

    assert is_closed
    assert abs(ms - 80_000) <= 1, "any message sets the timer anew"
    assert code in (None, 1006)


@pytest.mark.parametrize("kept_by", ["heartbeat", "subscription", "pings"])
def test_a_connection_with_something_to_say_stays(kept_by: str) -> None:
    async def use(client: Client) -> bool:
        socket = await client.connect()
        if kept_by == "heartbeat":
            await socket.tell({"type": "enable_heartbeat"})
        elif kept_by == "subscription":
            await socket.subscribe(("ticker", ["NOPEUSD"]))
        for minute in range(1, 5):
            await socket.listen(START_MS + minute * 50_000)
            if kept_by == "pings":
                await socket.tell({"type": "ping"})
        return socket.is_closed

    assert not with_venue(use)


def test_after_the_last_subscription_the_minute_counts_again() -> None:
    async def use(client: Client) -> tuple[bool, int]:
        socket = await client.connect()
        await socket.subscribe(("ticker", ["BTCUSDT"]))
        await socket.listen(START_MS + 100_000)
        message = {"type": "unsubscribe", "payload": {"channels": [{"name": "ticker"}]}}
        await socket.tell(message)
        heard = await socket.listen(START_MS + 250_000)
        assert of_type(heard, "subscriptions") == [{"channels": [], "type": "subscriptions"}]
        return socket.is_closed, client.clock.now_ms() - START_MS

    is_closed, ms = with_venue(use)

    assert is_closed
    assert abs(ms - 160_000) <= 1


def test_ping_is_answered_and_what_cannot_be_read_is_not() -> None:
    async def use(client: Client) -> list[Any]:
        socket = await client.connect()
        for text in ("no json", "[1]", "{", '"ping"', '{"type":"nonsense"}', '{"type":7}'):
            await socket.tell(text)
        nothing = await socket.listen(START_MS + 5_000)
        await socket.tell({"type": "ping"})
        await socket.socket.ping(b"protocol")
        heard = await socket.listen(START_MS + 10_000)
        return [nothing, heard, socket.is_closed, socket.texts[0][0] - START_MS]

    assert with_venue(use) == [[], [{"type": "pong"}], False, 5_100]


def test_more_than_150_attempts_in_five_minutes_are_refused() -> None:
    async def use(client: Client) -> tuple[int, bool]:
        for _ in range(150):
            await (await client.connect()).socket.close()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.connect()
        await client.clock.sleep_until(START_MS + 300_001)
        return refused.value.status, (await client.connect()).is_closed

    assert with_venue(use) == (429, False)


def test_subscribing_again_gives_no_second_snapshot() -> None:
    async def use(client: Client) -> list[list[dict[str, Any]]]:
        socket = await client.connect()
        parts = []
        for second in (1, 2):
            await socket.subscribe(("ob_updates", ["BTCUSDT"]))
            parts.append(await socket.listen(START_MS + second * 1000))
        return parts

    first, second = with_venue(use)

    assert [m["type"] for m in first] == ["subscriptions", "ob_updates"]
    assert [m["type"] for m in second] == ["subscriptions"]


def candles(switches: Switches, minutes: float = 3.0) -> list[dict[str, Any]]:
    heard = hear(("candlestick_1m", ["BTCUSDT"]), minutes=minutes, switches=switches)
    return said(heard, "candlestick_1m")


def test_a_first_frame_at_once_is_the_forming_candle() -> None:
    async def use(client: Client) -> Socket:
        socket = await client.connect()
        await client.clock.sleep_until(START_MS + 55_000)
        await socket.subscribe(("candlestick_1m", ["BTCUSDT"]))
        await socket.listen(START_MS + 55_200)
        return socket

    at_once = with_venue(use, switches=Switches(first_frame="at_once"))
    on_change = with_venue(use)

    assert [json.loads(text)["type"] for _, text in on_change.texts] == ["subscriptions"]
    assert [json.loads(text)["type"] for _, text in at_once.texts][1:] == ["candlestick_1m"]
    assert json.loads(at_once.texts[1][1])["cst"] == START_MS * 1000


def test_numbers_come_as_documented_as_strings_or_as_whole_ones() -> None:
    tape = make_tape()
    rows = tape.candles.copy()
    for name in ("open", "high", "low", "close", "volume"):
        rows[name] = np.ceil(rows[name])
    whole = Tape(rows, "test", "BTCUSDT", "1m")

    async def use(client: Client) -> list[dict[str, Any]]:
        socket = await client.connect()
        await socket.subscribe(("candlestick_1m", ["BTCUSDT"]))
        return of_type(await socket.listen(START_MS + 2 * MINUTE_MS), "candlestick_1m")

    documented, strings, ints = (
        with_venue(use, [whole], Switches(numbers=numbers)) for numbers in ("documented", "strings", "ints")
    )

    assert {type(frame["o"]) for frame in documented} == {float}
    assert {type(frame["o"]) for frame in strings} == {str}
    assert {type(frame["o"]) for frame in ints} == {int}
    for name in ("o", "h", "l", "c", "v"):
        values = [frame[name] for frame in documented]
        assert [float(frame[name]) for frame in strings] == values
        assert [frame[name] for frame in ints] == values


def test_the_start_can_be_absent_and_the_publishing_clock_can_trail() -> None:
    plain = candles(Switches())
    without = candles(Switches(has_cst=False))
    trailing = candles(Switches(trail_ms=1500))

    assert not any("cst" in frame for frame in without)
    assert [f["ts"] - 1_500_000 for f in plain] == [f["ts"] for f in trailing]
    assert [f["cst"] for f in plain] == [f["cst"] for f in trailing]
