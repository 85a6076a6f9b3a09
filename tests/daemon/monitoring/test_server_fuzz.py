"""Whatever bytes arrive, the server answers with something other than a 500, and goes on answering."""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from papertape.daemon.backtests.service import BacktestService
from papertape.daemon.metrics import PREFIX, Metrics, Scope
from papertape.daemon.monitoring.schemas import CommandDone, CommandName, CommandRequest
from papertape.daemon.monitoring.server import KEEP_S, Server, Views
from papertape.replay.config import make_config
from tests.support.api import no_api, no_status
from tests.support.virtual_time import VirtualTimeLoop

TOKEN = "a-token-of-twenty-one"  # noqa: S105 # of this test
COMMANDS = b"/api/v1/commands/"


async def accept(name: CommandName, asked: CommandRequest, key: str | None) -> CommandDone:
    return CommandDone(command=name, detail=asked.reason)


class Target(NamedTuple):
    loop: asyncio.AbstractEventLoop
    port: int
    metrics: Metrics

    def ask(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own and return everything that comes back."""

        async def talk() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(data)
                async with asyncio.timeout(120.0):  # of virtual time: it waits for nobody
                    return await reader.read()
            except (ConnectionError, TimeoutError):
                return b""  # turned away while we were still sending, or waiting for the rest of it
            finally:
                writer.close()

        return self.loop.run_until_complete(talk())

    def failures(self) -> float:
        """Return how many requests were answered with a 500."""
        return sum(
            sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == PREFIX + "http_requests_total" and sample.labels["status"] == "500"
        )


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Run one server for all examples."""
    scope = Scope(("BTCUSD",), "1m", "1m", "USD", endpoints=Server.ENDPOINTS)
    metrics = Metrics(scope)
    loop = VirtualTimeLoop()
    # What is asked for waits: nothing here lets it come to its turn.
    folder = tmp_path_factory.mktemp("state") / "backtests"
    backtests = BacktestService(make_config({"backtests": {"queue": 3}}), folder, lambda: 0)
    views = Views(no_status, str, accept, no_api(), backtests)
    server = Server(metrics, views, version="0", token=TOKEN)
    loop.run_until_complete(server.__aenter__())
    try:
        yield Target(loop, server.port, metrics)
    finally:
        loop.run_until_complete(server.__aexit__())
        loop.close()


PATHS = st.one_of(
    st.sampled_from(
        [
            b"/metrics",
            b"/healthz",
            b"/readyz",
            b"/status",
            b"/openapi.json",
            b"/api/v1/trades",
            b"/api/v1/candles",
            b"/api/v1/statement",
            b"/api/v1/backtests",
        ]
    ),
    st.binary(max_size=30).map(lambda tail: b"/api/v1/candles?symbol=AAA&from_ms=" + tail),
    st.text(max_size=30).map(lambda tail: b"/api/v1/trades?cursor=" + tail.encode("utf-8", "replace")),
    st.binary(max_size=20).map(lambda tail: b"/api/v1/backtests/" + tail),
    st.binary(max_size=20).map(lambda tail: b"/api/v1/backtests/1/files/report.html?offset=" + tail),
    st.sampled_from([COMMANDS + name.value.encode() for name in CommandName]),
    st.binary(max_size=30).map(lambda tail: COMMANDS + tail),
    st.text(max_size=30).map(lambda tail: b"/" + tail.encode("utf-8", "replace")),
    st.binary(max_size=60),
)
METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"BREW", b"CONNECT", b""])
TEXT = st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"Accept", b"Accept-Encoding", b"Content-Type", b"Content-Length", b"Transfer-Encoding",
                b"Authorization", b"Expect", b"Content-Encoding", b"Host", b"Connection", b"Upgrade",
                b"Idempotency-Key",
            ]
        ),
        st.one_of(
            TEXT,
            st.sampled_from(
                [
                    b"chunked", b"gzip", b"application/openmetrics-text; version=x; escaping=y", b"-1",
                    b"100-continue", b"7", b"*/*;q=nan", b"Bearer", b"Bearer " + TOKEN.encode(),
                ]
            ),
        ),
    ),
    max_size=5,
)  # fmt: skip
BODIES = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    st.sampled_from(
        [
            b'{"reason": "x"}',
            b'{"config": {"data": {"tapes": ["/etc"]}}}',
            b'{"config": {"markets": 3}}',
            b"[" * 5000,
            b'{"reason": "\\ud800"}',
            b"1e999",
            b"x" * 40_000,
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(METHODS, PATHS, HEADERS, BODIES, st.booleans())
@example(b"GET", b"/metrics?name[]=%ff", [(b"Accept", b";;;=,")], b"", True)
@example(b"POST", COMMANDS + b"pause", [(b"Content-Encoding", b"gzip")], b"not gzip", True)
@example(b"GET", b"/metrics", [(b"Accept", b"application/openmetrics-text; version=x")], b"", True)
def test_requests_of_any_kind_are_never_a_failure_of_ours(
    target: Target,
    method: bytes,
    path: bytes,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    has_token: bool,
) -> None:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close"]
    lines += [name + b": " + value for name, value in headers]
    if has_token:
        lines.append(b"Authorization: Bearer " + TOKEN.encode())
    if not any(name in (b"Content-Length", b"Transfer-Encoding") for name, _ in headers):
        lines.append(b"Content-Length: %d" % len(body))

    answer = target.ask(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.") else b""
    assert status != b"500", answer[:400]
    assert target.failures() == 0.0


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_that_are_no_request_are_survived(target: Target, data: bytes) -> None:
    answer = target.ask(data)

    assert b" 500 " not in answer[:20]
    assert target.failures() == 0.0


def test_it_still_answers_afterwards(target: Target) -> None:
    answer = target.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"is_alive":true' in answer


def test_endless_headers_and_lines_are_cut_off(target: Target) -> None:
    for flood in (
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    ):
        answer = target.ask(flood)

        assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))


@pytest.mark.parametrize(
    "start", [b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA:"]
)
def test_a_connection_that_never_finishes_its_request_is_closed(target: Target, start: bytes) -> None:
    before_s = target.loop.time()

    assert target.ask(start) == b""

    assert target.loop.time() - before_s == pytest.approx(KEEP_S, abs=1.0)
