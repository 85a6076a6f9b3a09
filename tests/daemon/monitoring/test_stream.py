"""The stream over real sockets: a snapshot, every delta once and in order, what was missed, and clients that do not keep up."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from papertape.daemon.monitoring.access import authorization_of
from papertape.daemon.monitoring.api import stream as stream_module
from papertape.daemon.monitoring.api.routes import STREAM, Api
from tests.daemon.monitoring.test_api import serving
from tests.support.api import account, journal_of, no_status, walk
from tests.support.browser import browser_tab, needs_browser


@asynccontextmanager
async def streaming(state: Path) -> AsyncIterator[tuple[Api, aiohttp.ClientSession]]:
    """Serve a journal whose deltas a test makes itself."""
    api = Api(account(state, ("AAA",)), no_status)
    async with serving(api) as http, asyncio.timeout(30.0):
        yield api, http


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no delta be made but by a test."""
    monkeypatch.setattr(stream_module, "BEAT_S", 1e9)
    monkeypatch.setattr(stream_module, "PAUSE_S", 0.01)


async def told(socket: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads(await socket.receive_str())


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "c" * 22 + "==",
}


@pytest.mark.asyncio
async def test_a_snapshot_comes_first_then_every_delta_once_with_what_was_journalled(tmp_path: Path) -> None:
    rows = walk(30, 1)
    journal_of(tmp_path, [rows[:10]], batch=5)
    async with streaming(tmp_path) as (api, http), http.ws_connect(STREAM) as socket:
        first = await told(socket)
        assert (first["kind"], first["sequence"], first["status"]["venue"]) == ("snapshot", 2, "sim")
        seen, numbers = [], []
        for n in range(10, 30, 5):
            journal_of(tmp_path, [rows[n : n + 5]], batch=1)
            api.stream._is_changed = True
            delta = await told(socket)
            numbers.append(delta["number"])
            seen += delta["candles"]
            while delta["sequence"] < n + 5 - 8:  # a delta may come between two inputs of ours
                api.stream._is_changed = True
                delta = await told(socket)
                numbers.append(delta["number"])
                seen += delta["candles"]

    assert numbers == list(range(first["number"] + 1, first["number"] + 1 + len(numbers)))
    assert [row[1] for row in seen] == rows["open_ms"][10:].tolist()
    assert [row[2:7] for row in seen] == [
        list(row)
        for row in zip(
            *(rows[name][10:].tolist() for name in ("open", "high", "low", "close", "volume")), strict=True
        )
    ]
    assert {row[0] for row in seen} == {"AAA"}


@pytest.mark.asyncio
async def test_who_comes_back_gets_what_it_missed_or_a_snapshot(tmp_path: Path) -> None:
    journal_of(tmp_path, [walk(3, 1)])
    async with streaming(tmp_path) as (api, http), http.ws_connect(STREAM) as stays:
        first = await told(stays)
        for _ in range(5):
            await api.stream.publish()
        numbers = [(await told(stays))["number"] for _ in range(5)]

        async def back(**asked: Any) -> list[Any]:
            async with http.ws_connect(STREAM, params=asked) as socket:
                got = [await told(socket)]
                while got[-1]["number"] < numbers[-1]:
                    got.append(await told(socket))
                return [(each["kind"], each["number"]) for each in got]

        assert await back(run=first["run"], after=numbers[1]) == [("delta", n) for n in numbers[2:]]
        for asked in (
            {},
            {"run": "another", "after": numbers[1]},
            {"run": first["run"], "after": numbers[-1] + 7},
        ):
            assert await back(**asked) == [("snapshot", numbers[-1])]
        # What is no longer kept is not made up: a snapshot says how it stands.
        for _ in range(stream_module.KEPT):
            await api.stream.publish()
            await told(stays)
        numbers = [api.stream.number]
        assert await back(run=first["run"], after=first["number"]) == [("snapshot", numbers[-1])]


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_is_dropped_with_its_code_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MOST_QUEUED", 8)
    journal_of(tmp_path, [walk(3, 1)])
    async with streaming(tmp_path) as (api, http), http.ws_connect(STREAM) as quick:
        await told(quick)
        slow = await http.ws_connect(STREAM, max_msg_size=0)
        assert slow._conn is not None
        assert slow._conn.transport is not None
        await told(slow)
        slow._conn.transport.pause_reading()  # as a browser's tab that sleeps
        large = api.stream._text("delta", {"filling": "x" * 500_000})
        monkeypatch.setattr(api.stream, "_text", lambda kind, found: large)
        n = 0
        while len(api.stream.clients) == 2:
            await api.stream.publish()
            assert json.loads((await quick.receive()).data)["filling"]
            n += 1
            assert n < 200
        slow._conn.transport.resume_reading()
        while (message := await slow.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert (message.type, slow.close_code) == (aiohttp.WSMsgType.CLOSE, stream_module.TOO_SLOW)
        assert len(api.stream.clients) == 1


@pytest.mark.asyncio
async def test_a_hundred_clients_get_the_same_and_more_than_there_is_room_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MOST_CLIENTS", 100)
    journal_of(tmp_path, [walk(3, 1)])
    async with (
        streaming(tmp_path) as (api, http),
        aiohttp.ClientSession(http._base_url, connector=aiohttp.TCPConnector(limit=0)) as many,
    ):
        sockets = [await many.ws_connect(STREAM) for _ in range(100)]
        firsts = [await told(socket) for socket in sockets]
        for _ in range(3):
            await api.stream.publish()
        got = [[await socket.receive_str() for _ in range(3)] for socket in sockets]
        async with many.get(STREAM) as answer:
            assert answer.status == 503
            assert (await answer.json())["detail"].startswith("100 clients look on already")
        await asyncio.gather(*(socket.close() for socket in sockets))
    assert {first["kind"] for first in firsts} == {"snapshot"}
    assert len({tuple(each) for each in got}) == 1
    assert [json.loads(text)["number"] for text in got[0]] == [firsts[0]["number"] + n for n in (1, 2, 3)]


@pytest.mark.asyncio
async def test_who_waits_to_be_greeted_counts_among_those_who_look_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a delta was made nobody had been counted yet, and any number came in."""
    monkeypatch.setattr(stream_module, "MOST_CLIENTS", 2)
    journal_of(tmp_path, [walk(3, 1)])
    async with streaming(tmp_path) as (api, http):
        async with api.stream._turn:  # a delta is made
            waiting = [await http.ws_connect(STREAM) for _ in range(2)]
            async with http.get(STREAM, headers=UPGRADE) as answer:
                status = answer.status
            assert not api.stream.clients
        assert [(await told(socket))["kind"] for socket in waiting] == ["snapshot"] * 2
        assert status == 503
        for socket in waiting:
            await socket.close()
    assert api.stream._seats_taken == 0


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_page_beyond_the_last_seat_says_so_and_comes_in_when_one_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser sees no status of a refused websocket: the page said "no connection", and the daemon was there."""
    journal_of(tmp_path, [walk(3, 1)])
    api = Api(account(tmp_path, ("AAA",)), no_status)
    async with serving(api) as http, browser_tab(tmp_path / "profile") as tab:
        await tab.open(str(http._base_url), 1280)
        monkeypatch.setattr(stream_module, "MOST_CLIENTS", 0)
        await tab.value("PAGE.stream.socket.close(), 1")
        line = "$('line-text').textContent"
        told = await tab.until(f"{line}.includes('look on already') && {line}")
        assert told == "0 clients look on already; close one of them; trying again"
        monkeypatch.setattr(stream_module, "MOST_CLIENTS", 1)
        assert await tab.until(f"{line} === 'live'")


@pytest.mark.asyncio
async def test_a_daemon_that_stops_says_so_and_a_plain_request_is_told_what_it_is(tmp_path: Path) -> None:
    journal_of(tmp_path, [walk(3, 1)])
    async with aiohttp.ClientSession() as outside:
        async with streaming(tmp_path) as (_, http):
            async with http.get(STREAM) as answer:
                assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
            async with http.get(STREAM, headers={"Origin": "http://evil.example"}) as answer:
                assert answer.status == 403
            socket = await outside.ws_connect(f"{str(http._base_url).rstrip('/')}{STREAM}")
            await told(socket)
            closing = asyncio.create_task(socket.receive())
        message = await closing
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)


@pytest.mark.asyncio
async def test_more_than_a_delta_may_hold_asks_to_load_again(tmp_path: Path) -> None:
    journal_of(tmp_path, [walk(10, 1)])
    async with streaming(tmp_path) as (api, http), http.ws_connect(STREAM) as socket:
        await told(socket)
        journal_of(tmp_path, [walk(3_000, 1)[10:]], batch=2_990)
        api.stream._is_changed = True
        delta = await told(socket)
    assert (delta["reload"], delta["candles"]) == (True, [])


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Authorization": "Bearer x"}, "Bearer x"),
        (
            {
                "Sec-WebSocket-Protocol": "papertape, bearer."
                + base64.urlsafe_b64encode(b"a-token").decode().rstrip("=")
            },
            "Bearer a-token",
        ),
        ({"Sec-WebSocket-Protocol": "papertape"}, ""),
        ({"Sec-WebSocket-Protocol": "bearer.\u00e9"}, ""),
        ({}, ""),
    ],
)
def test_a_browser_brings_its_token_as_a_protocol(headers: dict[str, str], found: str) -> None:
    assert authorization_of(headers) == found
