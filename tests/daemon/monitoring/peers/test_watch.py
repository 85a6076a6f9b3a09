"""Other daemons as one sees them: alive, ended, hanging, talking rubbish, needing a token, sending elsewhere, and itself."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.metrics import Metrics, Scope
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.peers import watch as watch_module
from papertape.daemon.monitoring.peers.answers import MOST_ROWS, Peer, PeerState
from papertape.daemon.monitoring.peers.asking import ANSWER_BYTES
from papertape.daemon.monitoring.peers.watch import PeerWatch
from papertape.daemon.monitoring.schemas import PositionState, Status
from papertape.daemon.monitoring.server import Server, Views
from tests.daemon.monitoring.test_api import TOKEN, accept
from tests.support.api import account, no_status
from tests.support.loopback import free_port

pytestmark = pytest.mark.asyncio
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def server(state: Path, status: Callable[[], Status] = no_status) -> AsyncIterator[Server]:
    """Serve as a daemon does."""
    metrics = Metrics(Scope(("AAA",), "1m", "1m", "USD", endpoints=Server.ENDPOINTS))
    views = Views(no_status, str, accept, Api(account(state), status))
    async with Server(metrics, views, version="0", token=TOKEN) as made:
        yield made


@asynccontextmanager
async def speaking(handler: Handler) -> AsyncIterator[str]:
    """Listen as somebody else does, and give the address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


def saying(body: bytes, head: str = "200 OK", more: str = "") -> Handler:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body)
        await writer.drain()

    return say


@asynccontextmanager
async def watching(
    urls: dict[str, str], tokens: dict[str, str] | None = None, run: str = "ours"
) -> AsyncIterator[PeerWatch]:
    watch = PeerWatch(urls, tokens or {}, run, every_s=0.1)
    try:
        yield watch
    finally:
        await watch.close()
        assert watch._thread is None or not watch._thread.is_alive()


async def found(watch: PeerWatch, is_so: Callable[[Peer], bool]) -> Peer:
    """Return the one peer once something is so of it."""
    async with asyncio.timeout(60.0):
        while not is_so(watch.peers().peers[0]):  # noqa: ASYNC110 - another thread finds it
            await asyncio.sleep(0.02)
    return watch.peers().peers[0]


def is_judged(peer: Peer) -> bool:
    return peer.state is not PeerState.ASKING


async def test_one_that_lives_is_told_and_kept_when_it_has_ended(tmp_path: Path) -> None:
    async with server(tmp_path) as other:
        url = f"http://127.0.0.1:{other.port}"
        async with watching({"desk": url}) as watch:
            assert watch.peers().peers[0].state is PeerState.ASKING  # nobody waits for an answer
            peer = await found(watch, is_judged)
            assert (peer.name, peer.url, peer.state, peer.reason) == ("desk", url, PeerState.LIVE, "")
            assert peer.status is not None
            assert peer.status.account.equity == 1.0
            assert peer.heard_ms is not None
            await other.__aexit__()
            lost = await found(watch, lambda each: each.state is PeerState.LOST)
            assert lost.reason == "nobody answers at its address"
            assert lost.status == peer.status  # what it said last, and when
            assert lost.heard_ms is not None


async def test_whoever_closes_it_waits_for_its_thread_and_the_loop_does_not() -> None:
    watch, let_go = PeerWatch({"a": "http://127.0.0.1:1"}, {}, "ours"), threading.Event()
    watch._thread = threading.Thread(target=let_go.wait)  # as a name that is looked up for long
    watch._thread.start()
    try:
        closing = asyncio.create_task(watch.close())
        await asyncio.sleep(0.05)
        assert not closing.done()  # the loop had its turn meanwhile
    finally:
        let_go.set()
    await closing
    assert not watch._thread.is_alive()


async def test_nobody_there_and_one_who_is_this_daemon_itself(tmp_path: Path) -> None:
    async with watching({"gone": f"http://127.0.0.1:{free_port()}"}) as watch:
        peer = await found(watch, is_judged)
        assert (peer.state, peer.status, peer.heard_ms) == (PeerState.LOST, None, None)
    async with server(tmp_path) as itself:
        run = itself._views.api.stream.run
        async with watching({"me": f"http://127.0.0.1:{itself.port}"}, run=run) as watch:
            peer = await found(watch, is_judged)
            assert (peer.state, peer.status) == (PeerState.ITSELF, None)
            assert peer.reason == "its address is that of this daemon"


async def test_one_that_hangs_or_drips_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(watch_module, "ANSWER_S", 0.3)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with speaking(hang) as hanging, speaking(drip) as dripping, server(tmp_path) as well:
        urls = {"well": f"http://127.0.0.1:{well.port}", "hangs": hanging, "drips": dripping}
        async with watching(urls) as watch:
            assert (await found(watch, is_judged)).state is PeerState.LIVE
            async with asyncio.timeout(60.0):
                while not all(map(is_judged, watch.peers().peers)):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            states = [(peer.state, peer.reason) for peer in watch.peers().peers]
    assert states[0] == (PeerState.LIVE, "")
    for state, reason in states[1:]:
        assert state is PeerState.LOST
        assert "did not answer within" in reason


ONE = json.loads(no_status().model_dump_json())


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (saying(b"<html>"), "no status of a daemon"),
        (saying(b"[" * 50_000), "no status of a daemon"),
        (saying(b"\xff\x00" * 99), "no status of a daemon"),
        (
            saying(json.dumps({**ONE, "account": {**ONE["account"], "equity": float("nan")}}).encode()),
            "no status of a daemon",
        ),
        (saying(json.dumps({**ONE, "version": "x" * 5_000}).encode()), "no status of a daemon"),
        (saying(json.dumps({**ONE, "started_ms": 10**400}).encode()), "no status of a daemon"),
        (saying(b" " * (ANSWER_BYTES + 1)), "longer than 256 kB"),
        (saying(b"", "500 Oh"), "status 500"),
        (saying(b"", "401 No"), "needs a token"),
        (saying(b"", "403 No"), "daemon.hosts"),
    ],
)
async def test_rubbish_is_refused_with_a_reason(handler: Handler, reason: str) -> None:
    async with speaking(handler) as url, watching({"odd": url}) as watch:
        peer = await found(watch, is_judged)

    assert (peer.state, peer.status) == (PeerState.LOST, None)
    assert reason in peer.reason


async def test_what_speaks_no_http_is_told() -> None:
    async def other_words(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n" * 100)
        await writer.drain()

    async with speaking(other_words) as url, watching({"odd": url}) as watch:
        assert "does not speak HTTP" in (await found(watch, is_judged)).reason


async def test_no_redirect_is_followed_and_a_token_goes_to_its_own_daemon_alone() -> None:
    heard: dict[str, list[bytes]] = {"first": [], "second": [], "elsewhere": []}

    def hearing(name: str, url: str = "") -> Handler:
        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard[name].append(b"")
            await saying(b"", "302 Found", f"Location: {url}/api/v1/status\r\n")(reader, writer)

        return say

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = await reader.readuntil(b"\r\n\r\n")
        heard["second" if b"second-token" in lines else "first"].append(lines)
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with (
        speaking(hearing("elsewhere")) as elsewhere,
        speaking(hearing("first", elsewhere)) as url,
        watching({"a": url}, {"a": "secret-token"}) as watch,
    ):
        assert "status 302" in (await found(watch, is_judged)).reason
    assert heard["first"]
    assert not heard["elsewhere"]
    listening = await asyncio.start_server(keep, "127.0.0.1", 0)
    other = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with watching({"b": other}, {"b": "second-token", "a": "first-token"}) as watch:
        peer = await found(watch, is_judged)
    listening.close()
    assert peer.reason == "it refuses the token"
    assert heard["second"]
    assert all(b"first-token" not in lines for lines in heard["second"])


async def test_long_lists_are_cut_and_a_later_version_is_read(tmp_path: Path) -> None:
    held = PositionState(
        symbol="AAA",
        quantity=1.0,
        entry_price=1.0,
        last_price=1.0,
        unrealised_pnl=0.0,
        stop_price=None,
        target_price=None,
    )
    status = no_status().model_copy(update={"positions": (held,) * (MOST_ROWS + 5)})
    later = {**json.loads(status.model_dump_json()), "a_new_field": {"of": "tomorrow"}}
    async with speaking(saying(json.dumps(later).encode())) as url, watching({"a": url}) as watch:
        peer = await found(watch, is_judged)

    assert peer.state is PeerState.LIVE
    assert peer.status is not None
    assert (len(peer.status.positions), peer.more_positions) == (MOST_ROWS, 5)


async def test_who_was_not_heard_for_a_while_is_stale_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with server(tmp_path) as other, watching({"a": f"http://127.0.0.1:{other.port}"}) as watch:
        await found(watch, lambda peer: peer.state is PeerState.LIVE)
        assert watch._thread is not None
        monkeypatch.setattr(watch_module, "IDLE_S", 0.0)  # nobody looks on any more
        await asyncio.to_thread(watch._thread.join)  # it ends by itself
        monkeypatch.setattr(watch_module, "STALE_S", 0.0)
        monkeypatch.setattr(watch_module, "IDLE_S", 30.0)
        stale = watch.peers().peers[0]
        assert (stale.state, stale.status is not None) == (PeerState.STALE, True)
        heard_ms = stale.heard_ms or 0
        await found(watch, lambda peer: (peer.heard_ms or 0) > heard_ms)
