"""The server over real sockets: what it tells, who may command, and what it refuses in one sentence."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from papertape.daemon.feeds.protocol import FeedStats
from papertape.daemon.metrics import PREFIX, Metrics, Scope
from papertape.daemon.monitoring import routes as routes_module
from papertape.daemon.monitoring import server as server_module
from papertape.daemon.monitoring.access import names_this_machine
from papertape.daemon.monitoring.schemas import (
    CommandDone,
    CommandName,
    CommandRequest,
    InputState,
    ParityState,
    Status,
)
from papertape.daemon.monitoring.server import BODY_BYTES, KEEP_S, Server, Views
from papertape.daemon.monitoring.states import account_state, feed_state, position_states
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, PapertapeError
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies.confluence import Confluence
from papertape.replay.runtime.loops import PacedLoop, freezing
from tests.support.api import no_api
from tests.support.helpers import random_candles

TOKEN = "a-token-of-twenty-one"  # noqa: S105 # of this test
COMMANDS = "/api/v1/commands"


async def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20.0):
            await work()

    await bounded()


class Daemon:
    """What a server needs of a daemon: an engine, a feed, and a list of the commands it was given."""

    def __init__(self) -> None:
        market = Market("BTCUSD", is_perpetual=True)
        self.engine = Engine(EngineSpec([market], Confluence(), "1h", "1h"))
        self.stats = FeedStats(is_connected=True, last_message_ms={"BTCUSD": 5})
        self.missing = ""
        self.commands: list[tuple[CommandName, str]] = []
        self.values: list[float] = []
        self.keys: list[str | None] = []
        self.fail: PapertapeError | None = None
        self.wait_s = 0.0

    def status(self) -> Status:
        return Status(
            version="0.1.0",
            mode="paper",
            venue="sim",
            started_ms=0,
            uptime_s=1.0,
            is_ready=not self.missing,
            account=account_state(self.engine, "USD", 0.0),
            positions=position_states(self.engine),
            feeds=(feed_state("sim", self.stats, ("BTCUSD", "ETHUSD")),),
            last_input=InputState(sequence=9, kind="candles", time_ms=1),
            digest=self.engine.digest,
            jobs=(),
            parity=ParityState(),
        )

    async def command(self, name: CommandName, asked: CommandRequest, key: str | None) -> CommandDone:
        self.keys.append(key)
        await asyncio.sleep(self.wait_s)
        if self.fail is not None:
            raise self.fail
        self.commands.append((name, asked.reason))
        self.values.append(asked.value)
        return CommandDone(command=name, sequence=len(self.commands))


class Running(NamedTuple):
    daemon: Daemon
    metrics: Metrics
    http: aiohttp.ClientSession

    def count(self, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(PREFIX + "http_requests_total", labels)


def scope() -> Scope:
    return Scope(
        symbols=("BTCUSD",), base_timeframe="1h", timeframe="1h", currency="USD", endpoints=Server.ENDPOINTS
    )


@asynccontextmanager
async def running(token: str | None = TOKEN, hosts: tuple[str, ...] = ()) -> AsyncIterator[Running]:
    daemon, metrics = Daemon(), Metrics(scope())
    views = Views(daemon.status, lambda: daemon.missing, daemon.command, no_api())
    async with (
        Server(metrics, views, version="0.1.0", token=token, hosts=hosts) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http,
    ):
        yield Running(daemon, metrics, http)


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.asyncio
async def test_probes_say_alive_and_what_is_missing() -> None:
    async def work() -> None:
        async with running() as now:
            answer = await now.http.get("/healthz")
            assert answer.status == 200
            assert (await answer.json())["is_alive"] is True
            now.daemon.missing = "14 of 50 bars are missing"

            answer = await now.http.get("/readyz")
            assert answer.status == 503
            assert await answer.json() == {"is_ready": False, "reason": "14 of 50 bars are missing"}
            now.daemon.missing = ""
            answer = await now.http.get("/readyz")
            assert answer.status == 200
            assert await answer.json() == {"is_ready": True, "reason": ""}

    await run(work)


@pytest.mark.asyncio
async def test_as_a_task_it_serves_until_it_is_cancelled() -> None:
    async def work() -> None:
        daemon, metrics = Daemon(), Metrics(scope())
        views = Views(daemon.status, lambda: "", daemon.command, no_api())
        server = Server(metrics, views, version="0.1.0")
        task = asyncio.create_task(server.serve())
        await server.is_listening.wait()
        url = f"http://127.0.0.1:{server.port}/healthz"
        async with aiohttp.ClientSession() as http:
            assert (await http.get(url)).status == 200
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.get(url)

    await run(work)


@pytest.mark.asyncio
async def test_status_is_the_account_as_it_stands() -> None:
    async def work() -> None:
        async with running() as now:
            engine = now.daemon.engine
            engine.step(random_candles(900, seed=6))
            while not engine.positions["quantity"][0]:
                engine.step(_next(engine))

            status = Status.model_validate_json(await (await now.http.get("/status")).read())

            (position,) = status.positions
            row = engine.positions[0]
            assert position.quantity == row["quantity"]
            assert position.last_price == row["last_price"]
            expected = row["quantity"] * (row["last_price"] - row["entry_price"])
            assert position.unrealised_pnl == pytest.approx(expected, abs=1e-6)
            account = status.account
            # Capital, what was realised and what is open make the equity of a perpetual account.
            total = 10_000.0 + account.realised_pnl + position.unrealised_pnl
            assert account.equity == pytest.approx(total, abs=1e-6)
            assert status.digest == engine.digest
            first, second = status.feeds[0].symbols
            assert (first.last_message_ms, second.last_message_ms) == (5, None)

    await run(work)


def _next(engine: Engine) -> Any:
    """Return one more candle of a market that rises."""
    last = float(engine.positions["last_price"][0])
    candle = random_candles(1)
    candle["open_ms"] = engine.last_open_ms[0] + engine.base_ms
    candle["open"], candle["low"] = last, last
    candle["close"], candle["high"] = last * 1.01, last * 1.01
    return candle


@pytest.mark.asyncio
async def test_metrics_are_scraped_and_watched_gauges_fresh() -> None:
    async def work() -> None:
        async with running() as now:
            depth = [4.0]
            now.metrics.watch("queue_depth", lambda: depth[0], "candles")

            answer = await now.http.get("/metrics")

            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert 'papertape_queue_depth{queue="candles"} 4.0' in await answer.text()
            depth[0] = 5.0
            open_metrics = {"Accept": "application/openmetrics-text; version=1.0.0"}
            text = await (await now.http.get("/metrics", headers=open_metrics)).text()
            assert 'papertape_queue_depth{queue="candles"} 5.0' in text
            assert text.endswith("# EOF\n")
            assert list(text_string_to_metric_families(text))  # as a strict parser has it

    await run(work)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", list(CommandName))
async def test_a_command_with_the_token_reaches_the_daemon_once(name: CommandName) -> None:
    async def work() -> None:
        async with running() as now:
            answer = await now.http.post(
                f"{COMMANDS}/{name}", json={"reason": "news at ten"}, headers=bearer()
            )

            assert answer.status == 200
            assert await answer.json() == {"command": name.value, "sequence": 1, "detail": ""}
            assert now.daemon.commands == [(name, "news at ten")]

            answer = await now.http.post(f"{COMMANDS}/{name}", headers=bearer())
            assert answer.status == 200
            assert now.daemon.commands[1] == (name, "")

    await run(work)


@pytest.mark.asyncio
async def test_scale_carries_its_value_within_its_range() -> None:
    async def work() -> None:
        async with running() as now:
            for body in ({"value": 0.5}, {}):
                answer = await now.http.post(f"{COMMANDS}/scale", json=body, headers=bearer())
                assert answer.status == 200
            assert now.daemon.values == [0.5, 1.0]
            for value in ("1.01", "-0.5", "NaN", '"half"'):
                body = f'{{"value": {value}}}'
                answer = await now.http.post(f"{COMMANDS}/scale", data=body, headers=bearer())
                assert answer.status == 400
                assert (await answer.json())["detail"].startswith("value: ")
            assert len(now.daemon.commands) == 2

    await run(work)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("a-token-of-twenty-two"),
        bearer(TOKEN + "x"),
        bearer(""),
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
    ],
)
async def test_without_the_right_token_nothing_happens(headers: dict[str, str]) -> None:
    async def work() -> None:
        async with running() as now:
            answer = await now.http.post(f"{COMMANDS}/kill", headers=headers)

            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert TOKEN not in await answer.text()
            assert now.daemon.commands == []

    await run(work)


@pytest.mark.asyncio
async def test_where_no_token_was_set_commands_say_how_to_set_one() -> None:
    async def work() -> None:
        async with running(token=None) as now:
            answer = await now.http.post(f"{COMMANDS}/pause", headers=bearer())

            assert answer.status == 403
            error = (await answer.json())["detail"]
            assert "PAPERTAPE_TOKEN" in error
            assert "daemon.token_file" in error
            assert now.daemon.commands == []
            assert (await now.http.get("/status")).status == 200  # reading is free on loopback

    await run(work)


@pytest.mark.asyncio
async def test_on_other_addresses_everything_but_the_probes_needs_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nothing here listens to the world: the server is made to believe that 127.0.0.1 does.
    monkeypatch.setattr(server_module, "is_loopback", lambda host: False)

    async def work() -> None:
        async with running() as now:
            for path in ("/metrics", "/status", "/openapi.json"):
                assert (await now.http.get(path)).status == 401
                assert (await now.http.get(path, headers=bearer())).status == 200
            for path in ("/healthz", "/readyz"):
                assert (await now.http.get(path)).status == 200

    await run(work)


def test_other_addresses_without_a_token_are_refused_before_anything_starts() -> None:
    daemon = Daemon()
    views = Views(daemon.status, lambda: "", daemon.command, no_api())

    for host in ("0.0.0.0", "192.168.1.7", "::", "example.org"):  # noqa: S104 # never bound
        with pytest.raises(ConfigError, match=r"needs a token.*PAPERTAPE_TOKEN"):
            Server(Metrics(scope()), views, version="0", host=host)


@pytest.mark.asyncio
@pytest.mark.parametrize("is_public", [False, True])
async def test_a_name_of_ours_is_let_in_with_the_token_and_no_other_name_is(
    monkeypatch: pytest.MonkeyPatch, is_public: bool
) -> None:
    if is_public:
        monkeypatch.setattr(server_module, "is_loopback", lambda host: False)

    async def work() -> None:
        async with running(hosts=("trade.example.org",)) as now:
            for host in ("trade.example.org", "Trade.Example.Org:443"):
                named = {"Host": host}
                # What it comes through reaches us from this machine; that says nothing of who it is.
                assert (await now.http.get("/status", headers=named)).status == 401
                assert (await now.http.get("/status", headers=named | bearer())).status == 200
                assert (await now.http.get("/healthz", headers=named)).status == 200
                posted = await now.http.post(f"{COMMANDS}/pause", headers=named)
                assert posted.status == 401
            for host in ("example.org", "trade.example.org.evil.example", "evil.example:9464"):
                answer = await now.http.get("/status", headers={"Host": host} | bearer())
                assert answer.status == 403
                assert "daemon.hosts" in (await answer.json())["detail"]
                assert (await now.http.get("/healthz", headers={"Host": host})).status == 403
            # An address cannot be somebody's name: it is refused only where nobody could reach us by it.
            answer = await now.http.get("/status", headers={"Host": "10.9.8.7:9464"} | bearer())
            assert answer.status == (200 if is_public else 403)
            # A page of the name itself may ask, one of another may not.
            for origin, status in (("https://trade.example.org", 200), ("https://evil.example", 403)):
                headers = {"Host": "trade.example.org", "Origin": origin} | bearer()
                assert (await now.http.get("/status", headers=headers)).status == status

    await run(work)


@pytest.mark.asyncio
async def test_a_key_is_handed_on_as_it_is_or_refused() -> None:
    async def work() -> None:
        async with running() as now:
            for key in ("k", '"8e03978e"', "~" * 128):
                headers = bearer() | {"Idempotency-Key": key}
                answer = await now.http.post(f"{COMMANDS}/pause", headers=headers)
                assert answer.status == 200, await answer.text()
            assert (await now.http.post(f"{COMMANDS}/pause", headers=bearer())).status == 200
            assert now.daemon.keys == ["k", '"8e03978e"', "~" * 128, None]
            for key in ("", "two words", "x" * 129, "ä"):
                headers = bearer() | {"Idempotency-Key": key}
                answer = await now.http.post(f"{COMMANDS}/pause", headers=headers)
                assert answer.status == 400
                assert "1 to 128 characters" in (await answer.json())["detail"]
            assert len(now.daemon.keys) == 4

    await run(work)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("host", "is_fine"),
    [
        ("127.0.0.1:9464", True),
        ("localhost:9464", True),
        ("LOCALHOST", True),
        ("[::1]:9464", True),
        ("127.1.2.3", True),
        ("", True),
        ("evil.example:9464", False),
        ("127.0.0.1.evil.example", False),
        ("[fe80::1]:9464", False),
    ],
)
async def test_a_page_that_resolves_its_name_to_this_machine_is_sent_away(host: str, is_fine: bool) -> None:
    assert names_this_machine(host) is is_fine

    async def work() -> None:
        async with running() as now:
            answer = await now.http.get("/status", headers={"Host": host})
            assert answer.status == (200 if is_fine else 403)

    if host:
        await run(work)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("GET", "/nowhere", b"", 404, "not found"),
        ("DELETE", "/status", b"", 405, "method not allowed"),
        ("GET", f"{COMMANDS}/pause", b"", 405, "method not allowed"),
        ("POST", f"{COMMANDS}/pauze", b"", 404, "did you mean 'pause'"),
        ("POST", f"{COMMANDS}/pause", b"{", 400, "invalid JSON"),
        ("POST", f"{COMMANDS}/pause", b"\xff\xfe", 400, "invalid JSON"),
        ("POST", f"{COMMANDS}/pause", b'{"why": "x"}', 400, "why: extra inputs"),
        ("POST", f"{COMMANDS}/pause", b'{"reason": 7}', 400, "reason: input should be"),
        ("POST", f"{COMMANDS}/pause", b'{"reason": "%s"}' % (b"x" * 201), 400, "reason: "),
        ("POST", f"{COMMANDS}/pause", b"x" * (BODY_BYTES + 1), 413, "too large"),
    ],
)
async def test_what_cannot_be_served_is_one_sentence(
    method: str, path: str, body: bytes, status: int, told: str
) -> None:
    async def work() -> None:
        async with running() as now:
            answer = await now.http.request(method, path, data=body, headers=bearer())

            assert answer.status == status
            assert answer.content_type == "application/problem+json"
            assert told in (await answer.json())["detail"]
            assert now.daemon.commands == []

    await run(work)


@pytest.mark.asyncio
async def test_a_refused_command_is_a_conflict_with_the_daemons_sentence() -> None:
    async def work() -> None:
        async with running() as now:
            now.daemon.fail = PapertapeError("trading is halted: the audit found a divergence")

            answer = await now.http.post(f"{COMMANDS}/resume", headers=bearer())

            assert answer.status == 409
            assert (await answer.json())["detail"] == str(now.daemon.fail)

    await run(work)


@pytest.mark.asyncio
async def test_a_daemon_that_does_not_answer_and_a_body_that_does_not_come_are_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "ANSWER_S", 0.05)
    monkeypatch.setattr(routes_module, "READ_S", 0.02)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5.0)

    async def work() -> None:
        async with running() as now:
            answer = await now.http.post(f"{COMMANDS}/pause", data=never(), headers=bearer())
            assert answer.status == 408
            now.daemon.wait_s = 5.0
            answer = await now.http.post(f"{COMMANDS}/pause", headers=bearer())
            assert answer.status == 503
            assert "look at /status" in (await answer.json())["detail"]

    await run(work)


@pytest.mark.asyncio
async def test_requests_are_counted_by_template() -> None:
    async def work() -> None:
        async with running() as now:
            await now.http.get("/healthz")
            await now.http.get("/healthz?x=1")
            await now.http.get("/wp-admin")
            await now.http.post(f"{COMMANDS}/pause", headers=bearer())
            await now.http.post(f"{COMMANDS}/flatten")

            template = f"{COMMANDS}/{{command}}"
            assert now.count(method="GET", route="/healthz", status="200") == 2.0
            assert now.count(method="other", route="other", status="404") == 1.0
            assert now.count(method="POST", route=template, status="200") == 1.0
            assert now.count(method="POST", route=template, status="401") == 1.0
            seconds = now.metrics.registry.get_sample_value(
                PREFIX + "http_request_duration_seconds_count", {"method": "POST", "route": template}
            )
            assert seconds == 2.0

    await run(work)


@pytest.mark.asyncio
async def test_the_document_describes_every_route_and_its_references_hold() -> None:
    async def work() -> None:
        async with running() as now:
            document = await (await now.http.get("/openapi.json")).json()

        assert document["openapi"] == "3.1.0"
        told = {(m.upper(), path) for path, item in document["paths"].items() for m in item}
        views = Views(Daemon().status, str, Daemon().command, no_api())
        routes = Server(Metrics(scope()), views, version="0").routes()
        assert told == {(route.method, route.path) for route in routes}
        assert {route.endpoint for route in routes} == set(Server.ENDPOINTS)
        schemas = document["components"]["schemas"]
        text = json.dumps(document)
        references = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
        assert references
        assert references <= set(schemas)
        command = document["paths"][f"{COMMANDS}/{{command}}"]["post"]
        assert command["security"] == [{"token": []}]
        assert command["parameters"][0]["schema"]["enum"] == [name.value for name in CommandName]
        assert set(command["responses"]) == {
            "200",
            "400",
            "401",
            "403",
            "404",
            "408",
            "409",
            "413",
            "422",
            "429",
            "503",
        }
        operations = [op["operationId"] for item in document["paths"].values() for op in item.values()]
        assert len(set(operations)) == len(operations)
        # What the document promises of a status is what the model gives.
        assert set(schemas["Status"]["required"]) <= set(TypeAdapter(Status).json_schema()["properties"])

    await run(work)


def test_a_spare_connection_outlives_the_seconds_of_a_clock_that_runs_fast() -> None:
    """At speed thirty seconds pass at once; a browser would find its connection closed as it takes it."""

    async def ask_late() -> bytes:
        daemon = Daemon()
        metrics = Metrics(Scope(("BTCUSD",), "1m", "1m", "USD", endpoints=Server.ENDPOINTS))
        views = Views(daemon.status, lambda: "", daemon.command, no_api())
        async with Server(metrics, views, version="0", held=freezing()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await asyncio.sleep(10 * KEEP_S)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            line = await reader.readline()
            writer.close()
            return line

    with asyncio.Runner(loop_factory=lambda: PacedLoop(1e9)) as runner:
        assert runner.run(ask_late()) == b"HTTP/1.1 200 OK\r\n"
