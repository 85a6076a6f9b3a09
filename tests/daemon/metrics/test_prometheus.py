"""
A real Prometheus scrapes a real run and evaluates every rule and every query of the dashboards.

The run is the embedded sample through the engine, its reports into the metrics, the metrics out of the server on the loopback
address. What only a live daemon has (a feed, a journal, jobs, audits) goes through the same sinks with measurements taken here.
This test takes wall time, because Prometheus has no other: about fifteen seconds.
"""

import asyncio
import json
import math
import os
import re
import shutil
import socket
import sys
import time
import urllib.parse
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from papertape.daemon.feeds.protocol import FeedStats, Notice, NoticeKind
from papertape.daemon.metrics import (
    CATALOGUE,
    DriftFigures,
    Metrics,
    ModelFacts,
    Scope,
    ShadowFigures,
    SymbolDrift,
    WindowScores,
)
from papertape.daemon.metrics.definitions import Definition, MetricKind
from papertape.daemon.metrics.model_families import CRITERIA, SCORE_NAMES, WINDOWS
from papertape.daemon.monitoring import server as server_module
from papertape.daemon.monitoring.schemas import ParityState, Status
from papertape.daemon.monitoring.server import Server, Views
from papertape.daemon.monitoring.states import account_state, position_states
from papertape.engine.core import Engine
from papertape.engine.events import NewModel
from papertape.engine.model import MODEL_FEATURES
from papertape.engine.report import Report
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies.confluence import Confluence
from papertape.replay.importers.sample import sample_tape
from tests.support.api import no_api
from tests.support.journals import model_bytes

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
TOKEN = "a-token-of-twenty-one"  # noqa: S105 # of this test
RUN_S = 13.0  # Prometheus waits five seconds before its first scrape
SETTLE_S = 3.0  # nothing moves any more, and two scrapes see it
SYMBOL = "BTCUSDT"

# Queries that this run may leave empty, and why. The test fails when one of them has data after all.
EMPTY = {
    "sum by (reason) (increase(papertape_signals_rejected_total[1h])) > 0": "nothing was refused",
    "changes(process_start_time_seconds[$__interval]) > 0": "the process started once",
    "changes(papertape_model_loaded_timestamp_seconds[$__interval]) > 0": "the model stays",
    'papertape_fill_price{symbol=~"$symbol",action="entry",side="sell"} > 0': "the newest candle enters long",
    'papertape_fill_price{symbol=~"$symbol",action="exit"} > 0': "the newest candle enters long",
}


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROMETHEUS is None or PROMTOOL is None,
        reason="prometheus and promtool are not installed (Debian package `prometheus`)",
    ),
]


class Found(NamedTuple):
    """What Prometheus said at the end of the run."""

    queries: dict[str, Any]  # by expression as it is in the dashboard
    targets: dict[str, Any]
    rules: dict[str, Any]
    names: set[str]
    alerts: list[dict[str, Any]]
    samples: dict[str, Any]  # everything of ours, as stored
    exposition: str  # the same as the daemon tells it


def series_ends(definition: Definition) -> tuple[str, ...]:
    """Return what the names of a family's series end with; OpenMetrics has no sum and count where values can be negative."""
    if definition.kind is not MetricKind.HISTOGRAM:
        return ("",)
    return ("_bucket",) if definition.buckets[0] < 0.0 else ("_bucket", "_count", "_sum")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


DASHBOARDS = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
]


def expressions() -> list[str]:
    """Return every query of panels, annotations and variables, matchers of job and instance left out."""
    found: dict[str, None] = {}
    for one in DASHBOARDS:
        shown = [p for panel in one["panels"] for p in (panel, *panel.get("panels", []))]
        asked = [target["expr"] for panel in shown for target in panel.get("targets", [])]
        asked += [annotation["expr"] for annotation in one["annotations"]["list"]]
        for variable in one["templating"]["list"][1:]:
            # label_values(series, label): there is data when some series has the label.
            query = variable["query"]["query"]
            matched = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
            assert matched is not None, query
            asked.append(f"group by ({matched[2]}) ({matched[1]})")
        found |= dict.fromkeys(plain(expression) for expression in asked)
    return list(found)


def plain(expression: str) -> str:
    """Return a query as it was written: without what the builder puts in."""
    expression = expression.replace('job=~"$job",instance=~"$instance",', "")
    return expression.replace('{job=~"$job",instance=~"$instance"}', "")


def ready_to_ask(expression: str) -> str:
    """Return a query as Grafana would send it for everything and the last minute."""
    for name, value in (
        ("$__rate_interval", "20s"),
        ("$__interval", "15s"),
        ("$__range", "1m"),
        ("$symbol", ".+"),
        ("$job", ".+"),
        ("$instance", ".+"),
    ):
        expression = expression.replace(name, value)
    return expression


class Run:
    """The embedded sample through an engine, as fast as the clock of the test wants it."""

    def __init__(self) -> None:
        market = Market(SYMBOL, is_perpetual=True)
        strategy = Confluence(confidence_threshold=0.3)
        self.engine = Engine(EngineSpec([market], strategy, "1h", "1h", model_features=MODEL_FEATURES))
        scope = Scope(
            symbols=(SYMBOL,),
            base_timeframe="1h",
            timeframe="1h",
            currency="USDT",
            feeds=("sample",),
            jobs=("audit", "snapshot"),
            workers=("audit",),
            endpoints=Server.ENDPOINTS,
            features=("rsi_14", "adx_14"),
        )
        self.metrics = Metrics(scope)
        self.metrics.identify("0.1.0", "0123abcd", "replay", "test")
        self.stats = FeedStats(is_connected=True)
        self.candles = sample_tape().candles
        self.done = 0
        self.n_fills = 0  # of the newest candle
        self.said: list[tuple[float, float]] = []  # probability, close
        report = self.engine.step(NewModel(1, model_bytes(1)))
        self.metrics.on_report(report, self.engine)
        self.metrics.model.on_model(ModelFacts(1, "logistic", "test", time.time(), time.time()))
        self.metrics.model.set_cadence(86_400.0)
        self.metrics.drift.set_watch_cadence(3_600.0)
        self.metrics.drift.set_reference(time.time())

    def status(self) -> Status:
        return Status(
            version="0.1.0",
            mode="replay",
            venue="sample",
            started_ms=0,
            uptime_s=0.0,
            is_ready=True,
            account=account_state(self.engine, "USDT", 0.0),
            positions=position_states(self.engine),
            feeds=(),
            last_input=None,
            digest=self.engine.digest,
            jobs=(),
            parity=ParityState(),
        )

    def step(self, n: int) -> None:
        """Take the next candles, one by one, as a live daemon does."""
        metrics, stats = self.metrics, self.stats
        for row in range(self.done, self.done + n):
            received_s = time.perf_counter()
            candle = self.candles[row : row + 1]
            report = self.engine.step(candle)
            self.n_fills = len(report.fills)
            spent_s = time.perf_counter() - received_s
            latencies_s = {"engine": spent_s, "journal": spent_s, "total": spent_s}
            metrics.on_report(report, self.engine, latencies_s)
            stats.messages["candle"] += 1
            stats.candles[SYMBOL, "replay"] += 1
            stats.arrival_delay_ms.append(spent_s * 1000.0)
            stats.message_lag_ms.append(spent_s * 1000.0)
            stats.last_message_ms[SYMBOL] = int(time.time() * 1000)
            stats.last_close_ms[SYMBOL] = int(candle["open_ms"][0]) + 3_600_000
            metrics.on_journal_commit(spent_s)
            self.learn(report)
        self.done += n
        metrics.on_feed(stats, "sample")
        metrics.on_job("snapshot", "ok", 0.01, time.time())
        metrics.on_audit("match", time.time())
        metrics.on_notice(Notice(NoticeKind.GAP, 0, SYMBOL, value=1.0), "sample")
        metrics.model.on_attempt_begun(time.time())
        metrics.model.on_attempt("schedule", "rejected", 2.5, time.time())
        metrics.model.on_gate(
            {"challenger": dict.fromkeys(SCORE_NAMES, 0.69)}, dict.fromkeys(CRITERIA, False)
        )
        metrics.model.on_recipe(1.5, 20.0, is_passed=False)
        metrics.model.on_shadows(ShadowFigures(12, -0.031, (0.7, 0.69), time.time()))
        metrics.model.on_scores(dict.fromkeys(WINDOWS, WindowScores(500, 0.25, 0.69, 0.01)))
        found = SymbolDrift(512, {"rsi_14": 0.02, "adx_14": 0.05}, {"rsi_14": 0.0, "adx_14": 0.0})
        metrics.drift.on_drift(DriftFigures({SYMBOL: found}, 0.01, 0.01, 0, {}), time.time())
        metrics.drift.set_size_factor(1.0)

    def learn(self, report: Report) -> None:
        """Tell what the model said, and whether the close after it was higher."""
        self.metrics.model.on_predictions(report.predictions, self.engine.symbols)
        for p, close in report.predictions[["probability", "close"]].tolist():
            if self.said:
                before, was = self.said[-1]
                self.metrics.model.on_outcome(before, float(close > was))
            if p == p:
                self.said.append((p, close))

    async def play(self, until_s: float) -> None:
        """
        Step on, a hundred candles at a time, while the server answers in between, and stop at a candle that only opens
        a long position: so its figures are there for every later scrape.
        """
        while time.monotonic() < until_s:
            self.step(100)
            await asyncio.sleep(0.1)
        while not (self.n_fills == 1 and self.engine.positions["quantity"][0] > 0):
            assert self.done < len(self.candles), "the sample ends before the next entry"
            self.step(1)


def write_config(folder: Path, port: int) -> Path:
    """Write deploy's own configuration with this run's target, intervals and places."""
    text = (DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8")
    token = folder / "token"
    token.write_text(TOKEN, encoding="utf-8")
    for before, after in (
        ("papertape:9464", f"127.0.0.1:{port}"),
        ("alertmanager:9093", "127.0.0.1:9"),  # nobody listens: alerts are read from Prometheus
        ("/run/secrets/papertape_token", str(token)),
        ("rules/*.yml", str(DEPLOY / "prometheus/rules/*.yml")),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
        ("evaluation_interval: 30s", "evaluation_interval: 1s"),
        ("scrape_timeout: 10s", "scrape_timeout: 1s"),
    ):
        assert before in text
        text = text.replace(before, after)
    path = folder / "prometheus.yml"
    path.write_text(text, encoding="utf-8")
    return path


@asynccontextmanager
async def prometheus(config: Path, port: int) -> Any:
    """Run a Prometheus of our own on the loopback address and end it, and only it."""
    assert PROMETHEUS is not None
    log = (config.parent / "prometheus.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS,
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=log,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20.0)
        log.close()


async def ask(http: aiohttp.ClientSession, path: str, **query: str) -> Any:
    async with http.get(f"/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
        body = await answer.json()
        assert body["status"] == "success", f"{path} {query}: {body}"
        return body["data"]


async def observe(folder: Path) -> Found:
    """Run everything for a while, then ask for all there is."""
    run = Run()
    run.step(4_000)  # the warm-up and some trades before the first scrape
    run.metrics.set_ready(True)

    async def refuse(name: Any, asked: Any, key: str | None) -> Any:
        raise AssertionError("nobody commands here")

    views = Views(run.status, lambda: "", refuse, no_api())
    with pytest.MonkeyPatch.context() as patch:
        # As in the container, where others could reach it: the scrape must bring the token.
        patch.setattr(server_module, "is_loopback", lambda host: False)
        server = Server(run.metrics, views, version="0.1.0", token=TOKEN)
    port = free_port()
    async with server, prometheus(write_config(folder, server.port), port) as process:
        probe = asyncio.create_task(run.metrics.probe_loop())
        await run.play(time.monotonic() + RUN_S)
        await asyncio.sleep(SETTLE_S)
        assert process.returncode is None, (folder / "prometheus.log").read_text()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            queries = {e: await ask(http, "query", query=ready_to_ask(e)) for e in expressions()}
            found = Found(
                queries,
                await ask(http, "targets"),
                await ask(http, "rules"),
                set(await ask(http, "label/__name__/values")),
                (await ask(http, "alerts"))["alerts"],
                await ask(http, "query", query='{__name__=~"papertape_.+"}'),
                await _exposition(server.port),
            )
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
    return found


async def _exposition(port: int) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/metrics", headers=headers) as answer,
    ):
        return await answer.text()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("prometheus")
    return asyncio.run(asyncio.wait_for(observe(folder), 90.0))


def numbers(result: dict[str, Any]) -> list[float]:
    """Return the values of an instant query's answer."""
    return [float(series["value"][1]) for series in result["result"]]


def test_the_target_is_up_and_nothing_was_dropped(found: Found) -> None:
    (target,) = found.targets["activeTargets"]

    assert target["health"] == "up", target["lastError"]
    assert target["labels"]["job"] == "papertape"
    assert found.targets["droppedTargets"] == []


def test_every_family_that_the_daemon_claims_is_found(found: Found) -> None:
    ours = {name for name in found.names if name.startswith("papertape_")}
    known = {d.full_name + end for d in CATALOGUE for end in series_ends(d)}

    assert ours == known


def test_every_query_of_the_dashboards_returns_data(found: Found) -> None:
    without: dict[str, str] = {}
    for expression, answer in found.queries.items():
        values = numbers(answer)
        if not values:
            without[expression] = "no data"
        elif all(math.isnan(value) for value in values):
            without[expression] = "nothing but NaN"

    assert set(without) == set(EMPTY), without
    assert len(found.queries) > 90


def test_every_variable_has_values(found: Found) -> None:
    for label, value in (("job", "papertape"), ("symbol", SYMBOL)):
        (query,) = (e for e in found.queries if e.startswith(f"group by ({label}) "))
        labels = [series["metric"] for series in found.queries[query]["result"]]
        assert labels == [{label: value}]


def test_the_list_of_empty_queries_names_queries_that_exist() -> None:
    assert set(EMPTY) <= set(expressions())


def test_all_rules_are_loaded_and_healthy(found: Found) -> None:
    rules = [rule for group in found.rules["groups"] for rule in group["rules"]]
    text = "".join(p.read_text(encoding="utf-8") for p in (DEPLOY / "prometheus/rules").glob("*.yml"))

    assert len(rules) == len(re.findall(r"- (?:alert|record): ", text))
    for rule in rules:
        assert rule["health"] == "ok", rule
    for record in re.findall(r"record: (\S+)", text):
        assert record in found.names, record


def test_only_the_alert_that_this_run_deserves_is_raised(found: Found) -> None:
    """The candles are years old, and so are the decisions: those two, and what the account did, may not be quiet."""
    raised = {alert["labels"]["alertname"] for alert in found.alerts}

    assert {"CandleStale", "NoDecisions"} <= raised
    assert raised <= {"CandleStale", "NoDecisions", "DrawdownCritical"}


def test_every_number_in_prometheus_is_the_daemons(found: Found) -> None:
    stored = {
        frozenset(series["metric"].items()): float(series["value"][1]) for series in found.samples["result"]
    }
    compared = 0
    for family in text_string_to_metric_families(found.exposition):
        # These go on while they are looked at.
        if not family.name.startswith("papertape_") or re.search(r"loop|http", family.name):
            continue
        for sample in family.samples:
            # Bounds of buckets are written alike, up to a trailing zero.
            labels = {**sample.labels, "__name__": sample.name, **found.targets["activeTargets"][0]["labels"]}
            assert stored[frozenset(labels.items())] == sample.value, sample
            compared += 1

    assert compared > 300


@pytest.mark.asyncio
async def test_promtool_finds_nothing_to_say_about_names_and_help(found: Found) -> None:
    async def lint() -> tuple[int | None, bytes]:
        assert PROMTOOL is not None
        process = await asyncio.create_subprocess_exec(
            PROMTOOL,
            "check",
            "metrics",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        ours = [
            line for line in found.exposition.splitlines() if re.match(r"(# (HELP|TYPE) )?papertape_", line)
        ]
        output, _ = await process.communicate("\n".join([*ours, ""]).encode())
        return process.returncode, output

    code, output = await lint()

    assert output == b""
    assert code == 0


# What needs a model in force, or a position or a fill at the very end: absent is not zero.
NEEDS_MORE = re.compile(
    r"prediction_|calibration_|gate_|recipe_|shadow_|retrain_validation_|feature_|target_psi|drift|position_price|fill_price"
)


async def names_after_a_trade(http: aiohttp.ClientSession) -> set[str]:
    """Wait until Prometheus stored a closed trade, at most a minute; return the names of all series."""
    closed = "sum(papertape_trades_closed_total)"
    for _ in range(60):
        if sum(numbers(await ask(http, "query", query=closed))) > 0:
            await asyncio.sleep(SETTLE_S)
            break
        await asyncio.sleep(1.0)
    return set(await ask(http, "label/__name__/values"))


async def scrape_a_process(folder: Path) -> tuple[set[str], dict[str, Any], int]:
    """Let Prometheus scrape `papertape run` against the local exchange; return names, some answers, the exit status."""
    port, own = free_port(), free_port()
    command = [
        sys.executable, "-m", "papertape.daemon.cli", "run", "--venue", "sim", "--speed", "14400",
        "--state", str(folder / "state"), "--set", f"daemon.port={own}",
        # The second half is streamed, from the 22nd at 17:00 on: daily jobs at midnight, a trade from then to 03:00.
        "--set", "data.start=2023-12-12T12:00",
        "--set", "strategy.name=ema_cross", "--set", "account.sizing=all_in",
    ]  # fmt: skip
    root = str(DEPLOY.parent)
    environment = {**os.environ, "PAPERTAPE_TOKEN": TOKEN, "PYTHONPATH": root}
    quiet = asyncio.subprocess.DEVNULL
    daemon = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=folder, stdout=quiet, stderr=quiet
    )
    try:
        async with prometheus(write_config(folder, own), port):
            await asyncio.sleep(5.0)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                names = await names_after_a_trade(http)
                asked = {
                    query: await ask(http, "query", query=query)
                    for query in (
                        "papertape_ready",
                        "papertape_equity",
                        "papertape_feed_connected",
                        "sum(papertape_candles_total)",
                        "sum(papertape_journal_commits_total)",
                    )
                }
    finally:
        daemon.terminate()
        status = await asyncio.wait_for(daemon.wait(), 30.0)
    return names, asked, status


@pytest.mark.asyncio
async def test_every_family_is_found_in_a_daemon_that_trades(tmp_path: Path) -> None:
    """Nothing stands in: the whole process follows the local exchange, and Prometheus scrapes it."""
    names, asked, status = await asyncio.wait_for(scrape_a_process(tmp_path), 120.0)

    known = {d.full_name + end: d for d in CATALOGUE for end in series_ends(d)}
    missing = {name for name in known if name not in names}
    assert {name for name in missing if not NEEDS_MORE.match(name.removeprefix("papertape_"))} == set()
    assert all(known[name].is_measured for name in missing)
    for query, answer in asked.items():
        assert numbers(answer), query
        assert min(numbers(answer)) > 0, query
    assert status == 0
