"""Every kind of fault, as a plain client sees it, and the ways to write a schedule."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import count, pairwise
from typing import Any
from zlib import crc32

import aiohttp
import pytest

from papertape.engine.errors import ConfigError
from papertape.replay.exchange import FAULT_KINDS, Fault, Faults
from papertape.replay.exchange.faults import RECOVERABLE, fault_from
from tests.support.venue_client import (
    HISTORY,
    MINUTE_MS,
    START_MS,
    Client,
    Socket,
    make_tape,
    of_type,
    parsed,
    with_venue,
)

FAULT_MS = START_MS + 30_000
Check = Callable[[Client, Socket], Awaitable[None]]
CHECKS: dict[str, tuple[dict[str, Any], Check]] = {}


def seen(*kinds: str, **options: Any) -> Callable[[Check], Check]:
    """Register what a client sees of a kind of fault that begins at FAULT_MS."""

    def keep(check: Check) -> Check:
        for kind in kinds:
            CHECKS[kind] = (options, check)
        return check

    return keep


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_fault_is_visible_to_a_plain_client(kind: str) -> None:
    options, check = CHECKS[kind]
    tapes = [make_tape(n=8), make_tape(n=8, symbol="ETHUSDT", seed=2)]

    async def use(client: Client) -> None:
        socket = await client.connect()
        await socket.tell({"type": "enable_heartbeat"})
        await socket.subscribe(
            ("candlestick_1m", ["BTCUSDT", "ETHUSDT"]),
            ("product_updates", None),
            ("system_status", None),
            ("ob_updates", ["BTCUSDT"]),
            ("mark_price", ["MARK:BTCUSDT"]),
        )
        await check(client, socket)

    with_venue(use, tapes, faults=Faults.single(kind, FAULT_MS, **options))


async def is_reachable(client: Client) -> int:
    """Return 101, or the status with which an upgrade is refused, or 0 when nothing answers."""
    try:
        await (await client.connect()).socket.close()
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    except aiohttp.ClientError:
        return 0
    return 101


async def get_candles(client: Client, symbol: str = "BTCUSDT") -> tuple[int, Any, Any]:
    query = {"symbol": symbol, "resolution": "1m"}
    now_s = client.clock.now_ms() // 1000
    return await client.get("/v2/history/candles", start=now_s - 600, end=now_s, **query)


@seen("abort")
async def cut(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS + 1000)
    assert socket.is_closed
    assert socket.socket.close_code in (None, 1006)
    assert await is_reachable(client) == 101


@seen("close", amount=1012)
async def closed(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS + 1000)
    assert (socket.is_closed, socket.socket.close_code) == (True, 1012)
    assert await is_reachable(client) == 101


@seen("refuse", duration_ms=5_000, amount=429)
async def refused(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS + 1000)
    assert socket.is_closed
    assert await is_reachable(client) == 429
    assert (await get_candles(client))[0] == 200
    await client.clock.sleep_until(FAULT_MS + 5_001)
    assert await is_reachable(client) == 101


@seen("down", duration_ms=5_000)
async def down(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS + 1000)
    assert socket.is_closed
    assert await is_reachable(client) == 0
    with pytest.raises(aiohttp.ClientError):
        await get_candles(client)
    await client.clock.sleep_until(FAULT_MS + 5_001)
    assert len((await get_candles(client))[1]["result"]) == 10, "history is preserved"


@seen("half_open")
async def half_open(client: Client, socket: Socket) -> None:
    assert await socket.listen(FAULT_MS - 1)
    await socket.listen(FAULT_MS + 10)
    await socket.tell({"type": "ping"})
    await socket.socket.ping()
    assert await socket.listen(FAULT_MS + 5 * MINUTE_MS) == []
    assert not socket.is_closed
    other = await client.connect()
    await other.tell({"type": "ping"})
    assert await other.listen(FAULT_MS + 5 * MINUTE_MS + 1000) == [{"type": "pong"}]


@seen("freeze", duration_ms=60_000)
async def frozen(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS + 10)
    await socket.tell({"type": "ping"})
    assert await socket.listen(FAULT_MS + 59_000) == []
    after = await socket.listen(FAULT_MS + 120_000)
    assert of_type(after, "candlestick_1m")[0]["ts"] > (FAULT_MS + 59_000) * 1000, "frames are lost"


@seen("stall", duration_ms=60_000)
async def stalled(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS + 10)
    assert await socket.listen(FAULT_MS + 59_000) == []
    burst = await socket.listen(FAULT_MS + 60_050)
    assert len(burst) > 20
    assert of_type(burst, "candlestick_1m")[0]["ts"] < (FAULT_MS + 59_000) * 1000


@seen("never_ack")
async def unanswered(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS + 10)
    assert socket.is_closed
    other = await client.connect()
    await other.subscribe(("candlestick_1m", ["BTCUSDT"]))
    await other.tell({"type": "ping"})
    assert await other.listen(FAULT_MS + 3 * MINUTE_MS) == [{"type": "pong"}]


@seen("silence", duration_ms=120_000, symbol="BTCUSDT")
async def silent(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS + 1)
    heard = await socket.listen(FAULT_MS + 119_000)
    assert {frame["sy"] for frame in of_type(heard, "candlestick_1m")} == {"ETHUSDT"}
    assert len(of_type(heard, "heartbeat")) >= 23
    assert of_type(heard, "mark_price") == []
    after = of_type(await socket.listen(FAULT_MS + 200_000), "candlestick_1m")
    assert {frame["sy"] for frame in after} == {"BTCUSDT", "ETHUSDT"}


async def texts_under(socket: Socket, span_ms: int = 60_000) -> list[str]:
    """Return the texts that came while a fault of `span_ms` held."""
    await socket.listen(FAULT_MS)
    start = len(socket.texts)
    await socket.listen(FAULT_MS + span_ms - 1)
    return [text for _, text in socket.texts[start:] if '"heartbeat"' not in text]


@seen("blind", duration_ms=60_000, symbol="BTCUSDT")
async def blind(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS)
    heard = await socket.listen(FAULT_MS + 50_000)
    assert {frame["sy"] for frame in of_type(heard, "candlestick_1m")} == {"ETHUSDT"}
    assert of_type(heard, "heartbeat")
    assert (await get_candles(client))[0] == 503
    await client.clock.sleep_until(FAULT_MS + 60_001)
    assert (await get_candles(client))[0] == 200


@seen("quiet", duration_ms=120_000, symbol="BTCUSDT")
async def quiet(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS + 210_000)
    candles = (await get_candles(client))[1]["result"][::-1]
    # Candles that open from 0:30 to 2:30 have no trades, and the history says so.
    shown = [c["volume"] > 0.0 for c in candles if c["time"] * 1000 >= START_MS]
    assert shown[:4] == [True, False, False, True]


@seen("rest_sparse", duration_ms=600_000, symbol="BTCUSDT")
async def sparse(client: Client, socket: Socket) -> None:
    async def times(symbol: str) -> list[int]:
        end_s = START_MS // 1000
        query = {"symbol": symbol, "resolution": "1m", "start": end_s - 300, "end": end_s + 600}
        found = (await client.get("/v2/history/candles", **query))[1]["result"]
        return [candle["time"] - end_s for candle in found]

    assert max(await times("BTCUSDT")) == 600, "padded into the future"
    await client.clock.sleep_until(FAULT_MS + 1_000)
    assert (max(await times("BTCUSDT")), max(await times("ETHUSDT"))) == (0, 600)


@seen("duplicate", amount=1.0)
async def doubled(client: Client, socket: Socket) -> None:
    texts = await texts_under(socket)
    assert texts[::2] == texts[1::2]
    assert len(texts) > 60


@seen("swap", amount=1.0)
async def swapped(client: Client, socket: Socket) -> None:
    frames = [json.loads(text) for text in await texts_under(socket)]
    marks = [frame["ts"] for frame in of_type(frames, "mark_price")]
    assert marks != sorted(marks)
    assert len(marks) == len(set(marks)) >= 29


@seen("drop", amount=1.0)
async def dropped(client: Client, socket: Socket) -> None:
    assert await texts_under(socket) == []
    assert of_type(await socket.listen(FAULT_MS + 70_000), "mark_price")


@seen("truncate", amount=1.0)
async def truncated(client: Client, socket: Socket) -> None:
    texts = await texts_under(socket)
    assert len(texts) > 30
    assert [parsed(text) for text in texts] == [None] * len(texts)


@seen("garbage", amount=1.0)
async def garbage(client: Client, socket: Socket) -> None:
    texts = await texts_under(socket)
    assert set(texts[::2]) == {"<html>Bad Gateway</html>"}
    assert None not in [parsed(text) for text in texts[1::2]]


@seen("unknown_type", amount=1.0)
async def unknown(client: Client, socket: Socket) -> None:
    frames = [json.loads(text) for text in await texts_under(socket)]
    assert {frame["type"] for frame in frames[::2]} == {"something_new"}


@seen("nan", amount=1.0)
async def not_a_number(client: Client, socket: Socket) -> None:
    texts = await texts_under(socket)
    candle, after = next((a, b) for a, b in pairwise(texts) if "candlestick" in a and "NaN" in a)
    values = parsed(candle)
    assert values is not None
    assert {values[name] for name in "ohlc"} == {"NaN"}
    assert parsed(after) == {**values, **{name: json.loads(after)[name] for name in "ohlc"}}


@seen("null_candle", amount=1.0)
async def null(client: Client, socket: Socket) -> None:
    candles = of_type([json.loads(t) for t in await texts_under(socket)], "candlestick_1m")
    assert {frame["c"] for frame in candles[::2]} == {None}
    assert None not in [frame["c"] for frame in candles[1::2]]


@seen("spike", amount=1.0)
async def spike(client: Client, socket: Socket) -> None:
    candles = of_type([json.loads(t) for t in await texts_under(socket)], "candlestick_1m")
    assert [f["h"] for f in candles[::2]] == [f["h"] * 10 for f in candles[1::2]]


@seen("wrong_symbol", amount=1.0)
async def foreign(client: Client, socket: Socket) -> None:
    candles = of_type([json.loads(t) for t in await texts_under(socket)], "candlestick_1m")
    assert {frame["sy"] for frame in candles[::2]} == {"WRONGUSD"}


@seen("huge", amount=5_000_000)
async def huge(client: Client, socket: Socket) -> None:
    lengths = [len(text) for text in await texts_under(socket)]
    assert [length > 5_000_000 for length in lengths].count(True) == 1


async def finals(client: Client, socket: Socket) -> list[bool]:
    """Return of five candles whether their whole volume was told before they ended."""
    await socket.listen(START_MS + 6 * MINUTE_MS)
    told = set()
    for time_ms, text in socket.texts:
        values = json.loads(text)
        if values["type"] == "candlestick_1m" and values["sy"] == "BTCUSDT":
            open_ms = values["cst"] // 1000
            if time_ms < open_ms + MINUTE_MS:
                told.add((open_ms, values["v"]))
    rows = make_tape(n=8).candles[HISTORY : HISTORY + 5]
    return [(int(row["open_ms"]), float(row["volume"])) in told for row in rows]


@seen("late_final", "missing_final", duration_ms=120_000)
async def no_final_in_time(client: Client, socket: Socket) -> None:
    # Candles that end from 0:30 to 2:30 are the first two.
    assert await finals(client, socket) == [False, False, True, True, True]


@seen("seq_gap", amount=0.5)
async def gap(client: Client, socket: Socket) -> None:
    books = of_type(await socket.listen(FAULT_MS + 120_000), "ob_updates")
    steps = {b["seq"] - a["seq"] for a, b in pairwise(books)}
    assert max(steps) > 1


@seen("wrong_cs", amount=1.0)
async def wrong_sum(client: Client, socket: Socket) -> None:
    await socket.listen(FAULT_MS)
    other = await client.connect()
    await other.subscribe(("ob_updates", ["BTCUSDT"]))
    (snapshot,) = of_type(await other.listen(FAULT_MS + 200), "ob_updates")
    best = (",".join(f"{p}:{s}" for p, s in snapshot[side][:10]) for side in "ab")
    assert snapshot["cs"] == crc32("|".join(best).encode()) ^ 1


@seen("rest_lag_absent", "rest_lag_flat", "rest_lag_partial", amount=40.0)
async def lagging(client: Client, socket: Socket) -> None:
    async def newest() -> tuple[int, float | None]:
        end_s = START_MS // 1000
        query = {"symbol": "BTCUSDT", "resolution": "1m", "start": end_s - 300, "end": end_s}
        body = (await client.get("/v2/history/candles", **query))[1]
        candle = body["result"][0]
        return candle["time"] - end_s, candle["volume"]

    await client.clock.sleep_until(START_MS + MINUTE_MS + 1000)
    behind = await newest()
    await client.clock.sleep_until(START_MS + MINUTE_MS + 40_100)
    whole = float(make_tape(n=8).candles[HISTORY]["volume"])
    assert await newest() == (0, whole)
    assert behind != (0, whole)


@seen("rest_403", "rest_429", "rest_500", "rest_502", "rest_503", duration_ms=20_000)
async def rest_fails(client: Client, socket: Socket) -> None:
    assert (await get_candles(client))[0] == 200
    await client.clock.sleep_until(FAULT_MS + 1)
    status, body, headers = await get_candles(client)
    assert status in (403, 429, 500, 502, 503)
    assert isinstance(body, str) == (status in (403, 502)), "the CDN speaks HTML"
    assert ("X-RATE-LIMIT-RESET" in headers) == (status == 429)
    if status == 429:
        assert 19_000 <= int(headers["X-RATE-LIMIT-RESET"]) <= 20_000
    await client.clock.sleep_until(FAULT_MS + 20_001)
    assert (await get_candles(client))[0] == 200
    assert not socket.is_closed


@seen("rest_timeout", duration_ms=20_000)
async def rest_hangs(client: Client, socket: Socket) -> None:
    await client.clock.sleep_until(FAULT_MS + 1)
    with pytest.raises(TimeoutError):
        async with client.clock.timeout(15.0):
            await get_candles(client)
    await client.clock.sleep_until(FAULT_MS + 20_001)
    assert (await get_candles(client))[0] == 200


@seen("rest_slow", amount=4.0)
async def rest_slow(client: Client, socket: Socket) -> None:
    await client.clock.sleep_until(FAULT_MS + 1)
    asked_ms = client.clock.now_ms()
    assert (await get_candles(client))[0] == 200
    assert 4_000 <= client.clock.now_ms() - asked_ms + 1 < 4_100


@seen("rest_cached", amount=20.0)
async def cached(client: Client, socket: Socket) -> None:
    await client.clock.sleep_until(FAULT_MS + 1)
    seconds = START_MS // 1000
    query = {"symbol": "BTCUSDT", "resolution": "1m", "start": seconds, "end": seconds}

    numbers = count()

    async def ask(**changes: int) -> tuple[Any, Any, int]:
        _, body, headers = await client.get("/v2/history/candles", **{**query, **changes})
        quota = (await client.get("/v2/rate_limits/quota", never_twice=next(numbers)))[1]
        return body, headers, quota["current_quota"]

    first = await ask()
    await client.clock.sleep(15.0)
    again, other = await ask(), await ask(end=seconds + 1)
    await client.clock.sleep(6.0)
    later = await ask()
    assert again[0] == first[0] != other[0] == later[0]
    assert (again[1]["Age"], again[1]["X-Cache"]) == ("15", "Hit from cloudfront")
    assert again[1]["Request-In-Time"] == first[1]["Request-In-Time"]
    assert "Age" not in first[1]
    # Each question about the quota costs three, a fresh answer three more.
    assert [b[2] - a[2] for a, b in pairwise((first, again, other))] == [3, 6]


@seen("rest_truncated")
async def rest_truncated(client: Client, socket: Socket) -> None:
    await client.clock.sleep_until(FAULT_MS + 1)
    with pytest.raises(json.JSONDecodeError):
        await get_candles(client)


@seen("correction", amount=1.5)
async def corrected(client: Client, socket: Socket) -> None:
    span = (START_MS - 5 * MINUTE_MS, START_MS - MINUTE_MS)
    before = await client.candles(*span)
    await client.clock.sleep_until(FAULT_MS + 1)
    after = await client.candles(*span)
    # The newest candle that ended half a minute before the fault: 10:14.
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, True, True, True]
    assert after[0]["high"] == pytest.approx(before[0]["high"] * 1.5)
    assert after[0]["volume"] == before[0]["volume"] * 1.5
    assert after[0]["close"] == before[0]["close"]


@seen("clock_skew", amount=5_000)
async def skewed(client: Client, socket: Socket) -> None:
    async def offset_ms() -> float:
        headers = (await client.get("/v2/settings"))[2]
        return int(headers["Request-In-Time"]) / 1000 - client.clock.now_ms()

    assert abs(await offset_ms()) <= 2
    await client.clock.sleep_until(FAULT_MS + 1)
    assert abs(await offset_ms() - 5_000) <= 2


async def maintained(client: Client, socket: Socket) -> list[dict[str, Any]]:
    heard = await socket.listen(FAULT_MS + 1000)
    events = [frame["event"] for frame in of_type(heard, "system_status")]
    assert events == ["snapshot", "maintenance_started"]
    assert {f["product"]["trading_status"] for f in of_type(heard, "product_updates")} == {
        "disrupted_cancel_only"
    }
    assert socket.is_closed
    assert await is_reachable(client) == 503
    assert (await get_candles(client))[0] == 503
    await client.clock.sleep_until(FAULT_MS + 120_001)
    other = await client.connect()
    await other.subscribe(("system_status", None), ("product_updates", None))
    heard = await other.listen(FAULT_MS + 200_000)
    assert [frame["event"] for frame in of_type(heard, "product_updates")] == ["finish_auction"] * 2
    span = (START_MS, START_MS + 4 * MINUTE_MS)
    return list(reversed(await client.candles(*span)))


@seen("maintenance", duration_ms=120_000)
async def maintenance(client: Client, socket: Socket) -> None:
    candles = await maintained(client, socket)
    assert all(candle["volume"] > 0.0 for candle in candles[:4])
    assert len(client.venue.truth("BTCUSDT")) == 8


@seen("maintenance_gap", duration_ms=120_000)
async def maintenance_gap(client: Client, socket: Socket) -> None:
    candles = await maintained(client, socket)
    # Candles that open between 0:30 and 2:30 have no trades.
    assert [candle["volume"] > 0.0 for candle in candles[:4]] == [True, False, False, True]
    missing = {START_MS + MINUTE_MS, START_MS + 2 * MINUTE_MS}
    assert not missing & set(client.venue.truth("BTCUSDT")["open_ms"].tolist())


@seen("disruption", duration_ms=30_000, symbol="BTCUSDT")
async def disruption(client: Client, socket: Socket) -> None:
    heard = await socket.listen(FAULT_MS + 100_000)
    told = [
        (f["event"], f["product"]["symbol"], f["product"]["trading_status"])
        for f in of_type(heard, "product_updates")
    ]
    assert told == [
        ("market_disruption", "BTCUSDT", "disrupted_cancel_only"),
        ("start_auction", "BTCUSDT", "disrupted_post_only"),
        ("finish_auction", "BTCUSDT", "operational"),
    ]
    times = [f["timestamp"] // 1000 - FAULT_MS for f in of_type(heard, "product_updates")]
    assert times == [0, 30_000, 90_000]
    assert len(client.venue.truth("BTCUSDT")) == 8


@seen("stamp_skew", amount=-40_000)
async def stamp_skew(client: Client, socket: Socket) -> None:
    heard = await socket.listen(FAULT_MS)
    assert all(f["ts"] // 1000 <= FAULT_MS for f in of_type(heard, "candlestick_1m"))
    heard = await socket.listen(FAULT_MS + 20_000)
    skewed = [f["ts"] // 1000 - FAULT_MS for f in of_type(heard, "candlestick_1m")]
    assert skewed
    assert all(-40_000 <= ms <= -20_000 for ms in skewed)
    beats = [f["ts_publish"] // 1000 - FAULT_MS for f in of_type(heard, "heartbeat")]
    assert beats
    assert max(beats) <= -20_000 + 2


@seen("stamp_spike", amount=40_000)
async def stamp_spike(client: Client, socket: Socket) -> None:
    heard = await socket.listen(FAULT_MS + 20_000)
    for kind in ("candlestick_1m", "mark_price"):
        ahead = [f["ts"] // 1000 for f in of_type(heard, kind)]
        assert sum(ms > FAULT_MS + 20_000 for ms in ahead) == 1, kind


@seen("tick_size", amount=10, symbol="BTCUSDT")
async def tick_size(client: Client, socket: Socket) -> None:
    async def tick(symbol: str) -> float:
        product = (await client.get(f"/v2/products/{symbol}"))[1]["result"]
        return float(product["tick_size"])

    before = await tick("BTCUSDT"), await tick("ETHUSDT")
    heard = await socket.listen(FAULT_MS + 1000)
    assert [f["product"]["symbol"] for f in of_type(heard, "product_updates")] == ["BTCUSDT"]
    assert await tick("BTCUSDT") == pytest.approx(10 * before[0])
    assert await tick("ETHUSDT") == before[1]


@seen("delisting", symbol="BTCUSDT")
async def delisted(client: Client, socket: Socket) -> None:
    heard = await socket.listen(START_MS + 4 * MINUTE_MS)
    candles = of_type(heard, "candlestick_1m")
    last = {s: max(f["ts"] for f in candles if f["sy"] == s) for s in ("BTCUSDT", "ETHUSDT")}
    assert last["BTCUSDT"] < (START_MS + MINUTE_MS) * 1000 < last["ETHUSDT"]
    product = (await client.get("/v2/products/BTCUSDT"))[1]["result"]
    assert product["state"] == "expired"
    assert len(client.venue.truth("BTCUSDT")) == 1


def test_a_seed_gives_the_same_mixture_and_another_one_another() -> None:
    span = (START_MS, START_MS + 3_600_000)
    first, same, other = (Faults.seeded(seed, *span, symbols=("A", "B")) for seed in (5, 5, 6))

    assert first == same != other
    assert 3 <= len(first.schedule) <= 8
    assert all(span[0] <= fault.time_ms < span[1] for fault in first)
    drawn = {fault.kind for seed in range(300) for fault in Faults.seeded(seed, *span)}
    assert drawn == set(RECOVERABLE)


def test_schedules_are_plain_lists_in_time_order_and_can_be_joined() -> None:
    hand = Faults((Fault(20, "abort"), Fault(10, "close", amount=1000)))
    named = Faults.single("silence", 15, symbol="BTCUSDT")

    assert [fault.kind for fault in hand | named] == ["close", "silence", "abort"]
    assert named.schedule[0].duration_ms == FAULT_KINDS["silence"].duration_ms
    assert list(Faults.none()) == []


def test_what_is_no_fault_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'half_open'"):
        Faults.single("halfopen", 0)
    with pytest.raises(ConfigError, match="-1 ms is no duration"):
        Faults((Fault(0, "abort", -1),))
    with pytest.raises(ConfigError, match="amount 200 is not between 400 and 599"):
        Faults.single("refuse", 0, amount=200)
    with pytest.raises(ConfigError, match="amount 0 is not above 0"):
        Faults.single("tick_size", 0, amount=0.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "a fault is an object"),
        ({"kind": 3}, "a fault is an object"),
        ({"kind": "abort", "at": 3}, "unknown 'at'"),
        ({"kind": "abort", "in_ms": "x"}, "fault.in_ms: 'x'"),
        ({"kind": "abort", "amount": True}, "fault.amount: True"),
        ({"kind": "aborted"}, "did you mean 'abort'"),
    ],
)
def test_a_bad_control_message_is_told_what_is_wrong(values: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fault_from(values, 0)


def test_the_control_endpoint_takes_faults_while_the_venue_runs() -> None:
    async def use(client: Client) -> tuple[int, int, bool]:
        socket = await client.connect()
        url = f"{client.venue.rest_url}/_fake/fault"
        statuses = []
        for message in ({"kind": "abort", "in_ms": 1000}, {"kind": "nonsense"}):
            async with client.http.post(url, json=message) as response:
                statuses.append(response.status)
        await socket.listen(START_MS + 999)
        assert not socket.is_closed
        await socket.listen(START_MS + 1100)
        return statuses[0], statuses[1], socket.is_closed

    assert with_venue(use) == (200, 400, True)


def test_faults_of_shares_depend_on_their_seed_alone() -> None:
    async def use(client: Client) -> list[tuple[int, str]]:
        socket = await client.connect()
        await socket.subscribe(("candlestick_1m", ["BTCUSDT"]), ("mark_price", ["MARK:BTCUSDT"]))
        await asyncio.sleep(0)
        await socket.listen(START_MS + 4 * MINUTE_MS)
        return socket.texts

    def run(seed: int) -> list[tuple[int, str]]:
        names = ("drop", "swap", "duplicate")
        schedule = tuple(Fault(START_MS, name, 200_000, "", 0.4) for name in names)
        return with_venue(use, faults=Faults(schedule, seed))

    assert run(1) == run(1) != run(2)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("abort", Fault(1_000, "abort")),
        ("delisting@0:BTCUSDT", Fault(1_000, "delisting", 0, "BTCUSDT")),
        ("stamp_skew@90.5=-40000", Fault(91_500, "stamp_skew", 120_000, "", -40_000.0)),
        ("disruption@-5:A_B", Fault(-4_000, "disruption", 120_000, "A_B")),
    ],
)
def test_a_fault_is_named_in_a_text(text: str, fault: Fault) -> None:
    assert list(Faults.named([text], 1_000)) == [fault]


@pytest.mark.parametrize("text", ["", "abort@", "abort@soon", "aborted", "close=5", "rest_slow=-1"])
def test_a_text_that_names_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="fault"):
        Faults.named([text], 0)
