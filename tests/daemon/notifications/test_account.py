"""What people are told of a whole daemon, at a local webhook: each kind, once, over a restart, and never an address."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web

from papertape.daemon.app import serve
from papertape.daemon.feeds.protocol import Notice, NoticeKind
from papertape.daemon.learning.retraining import News
from papertape.daemon.monitoring.log import set_up_logging
from papertape.daemon.notifications.account import AccountNotifications, hang_notifications
from papertape.daemon.notifications.addresses import Addresses, load_addresses
from papertape.daemon.notifications.memory import remembered
from papertape.daemon.notifications.messenger import Messenger
from papertape.daemon.notifications.rules import check_rules
from papertape.daemon.runtime.audit import AuditResult
from papertape.daemon.runtime.daemon import Hooks
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.features.smc.events import ORDER_BLOCK_TOUCHED
from papertape.engine.jit import Rows
from papertape.engine.records import UNITS_PER_QUOTE
from papertape.engine.report import Report, StrategyFault
from papertape.replay.config import make_config
from papertape.replay.learning.attempt import Attempt
from tests.support.journals import SYMBOLS, candles, identity, recorded

SECRET = "hunter2-hunter2"  # noqa: S105 # of this test
ROWS = candles(440)
RSI, FALL = 55.0, 0.01
SIGNALS = {"use_smc": True, "retrain_every": "never"}
RULES = [
    {"when": "equity_falls", "by": FALL},
    {"when": "feature_rises_above", "feature": "rsi_14", "value": RSI, "symbol": SYMBOLS[0]},
    {"when": "enters_order_block", "symbol": SYMBOLS[0]},
]


class Hook:
    """A webhook on the loopback that keeps what it is told."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.status = 200

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append((await request.json())["message"])
        return web.Response(status=self.status)

    @property
    def lines(self) -> list[str]:
        return [line for body in self.bodies for line in body.splitlines()]


@asynccontextmanager
async def hooked() -> AsyncIterator[tuple[Hook, Addresses]]:
    hook, app = Hook(), web.Application()
    app.add_routes([web.post(f"/{SECRET}", hook.take)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        address = f"json://127.0.0.1:{runner.addresses[0][1]}/{SECRET}"
        found = load_addresses(None, {"PAPERTAPE_NOTIFY": address})
        assert found is not None
        yield hook, found
    finally:
        await runner.cleanup()


class Recorder(Messenger):
    """A messenger that keeps every line and sends none."""

    def __init__(self) -> None:
        super().__init__(lambda title, body: True, "papertape", 0.0, 1)
        self.lines: list[str] = []

    def start(self) -> None:
        """Begin nothing."""

    def offer(self, line: str) -> None:
        self.lines.append(line)


async def run(
    state: Path,
    messenger: Messenger,
    rows: Rows,
    act: Callable[[AccountNotifications], Awaitable[None]] | None = None,
    **settings: Any,
) -> None:
    """Run a daemon over recorded candles, with notifications, to its end; `act` is done in its middle."""
    notifications = {"rules": RULES, **settings}
    about = identity(daemon={"state": str(state)}, notifications=notifications, signals=SIGNALS)
    told = AccountNotifications(about.config.notifications, messenger)
    hooks = hang_notifications(Hooks(), told)

    async def hold(instant: int) -> None:
        await asyncio.sleep(0.02)  # a day's summary is read in a thread
        if act is not None and instant == 200:
            await act(told)

    open_feed = recorded(rows, 20, hold=hold)
    await asyncio.wait_for(serve(about, open_feed, hooks, is_virtual=True), 60)


async def happens(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not condition():  # noqa: ASYNC110 # another thread makes it so
            await asyncio.sleep(0.01)


def rises(rows: Rows) -> int:
    """Return how often the feature rose above, by an engine that takes all of it in one step."""
    engine, values = Engine(identity(signals=SIGNALS).spec), [0.0]
    row = engine.frames.columns.index("rsi_14")

    def watch(symbol: int, matrix: Any, bars: Rows) -> None:
        if symbol == 0:
            values.extend(value for value in matrix[row, : len(bars)].tolist() if value == value)

    engine.watch = watch
    engine.step(rows)
    return sum(a <= RSI < b for a, b in pairwise(values))


def falls(report: Report) -> int:
    """Return how often equity fell by a share from its highest, once for each highest."""
    n, peak, is_told = 0, 0.0, False
    for equity in (report.marks["equity"] / UNITS_PER_QUOTE).tolist():
        if equity > peak:
            peak, is_told = equity, False
        elif equity <= peak * (1.0 - FALL) and not is_told:
            n, is_told = n + 1, True
    return n


@pytest.mark.asyncio
async def test_each_is_told_once_over_a_restart_in_the_middle(tmp_path: Path) -> None:
    report = Engine(identity(signals=SIGNALS).spec).step(ROWS)
    touched = report.events[(report.events["kind"] == ORDER_BLOCK_TOUCHED) & (report.events["symbol"] == 0)]
    first, second, third = Recorder(), Recorder(), Recorder()

    await run(tmp_path, first, ROWS[: len(ROWS) // 2])
    await run(tmp_path, second, ROWS)
    await run(tmp_path, third, ROWS)

    lines = [*first.lines, *second.lines]
    expected = {
        " is above 55, at ": rises(ROWS),
        "below its highest": falls(report),
        "price enters a": len(touched),
        ": buy ": int((report.fills["side"] > 0).sum()),
        ": sell ": int((report.fills["side"] < 0).sum()),
    }
    assert {words: sum(words in line for line in lines) for words in expected} == expected
    assert all(n > 1 for n in expected.values()), expected
    assert min(len(first.lines), len(second.lines)) > 5
    assert third.lines == []
    days = [line for line in lines if "trades closed" in line]
    assert len(days) == len(set(days)) > 0


@pytest.mark.asyncio
async def test_what_is_told_arrives_at_a_webhook_and_no_log_line_has_its_address(tmp_path: Path) -> None:
    log = io.StringIO()
    async with hooked() as (hook, addresses):

        async def act(told: AccountNotifications) -> None:
            told.on_fault(StrategyFault("mine", SYMBOLS[0], 0, "it divided by zero"))
            for _ in range(2):
                told.on_finding(AuditResult(7, "a", "b", "fills differ at input 7"))
            told.on_retrain(News(1, "schedule", 0))
            told.on_retrain(News(1, "schedule", 0, Attempt(0, 0, "schedule", "failed", "not enough rows")))
            told.on_notice(Notice(NoticeKind.VENUE, 0, SYMBOLS[1], detail="trading halted"))
            told._daemon.stats.is_connected = False
            told.on_notice(Notice(NoticeKind.DISCONNECTED, 0))
            await happens(lambda: told._is_lost)
            told._daemon.stats.is_connected = True
            told.on_notice(Notice(NoticeKind.CONNECTED, 0))
            await happens(lambda: "the feed is back" in hook.lines)
            hook.status = 500
            told.on_notice(Notice(NoticeKind.VENUE, 0, SYMBOLS[1], detail="trading resumed"))
            await happens(lambda: "not_delivered" in log.getvalue())
            structlog.get_logger("x").error("boom", url=f"http://127.0.0.1/{SECRET}")

        set_up_logging("json", secrets=addresses.secrets, stream=log)
        messenger = Messenger(addresses.send, "papertape", 0.05, 100, retry_s=(0.0,))
        kinds = ["halts", "gate", "drift", "feed"]
        await run(tmp_path, messenger, ROWS[:480], act, kinds=kinds, feed_lost_s=0.0)

    assert [line.partition(":")[0] for line in hook.lines[:6]] == [
        "entries are paused",
        "a replay differs",
        "failed",
        SYMBOLS[1],
        "the feed is lost for 0 s",
        "the feed is back",
    ]
    assert "boom" in log.getvalue()
    assert SECRET not in log.getvalue()
    marks, _ = remembered(tmp_path)
    assert "divergence" in marks
    assert SECRET.encode() not in (tmp_path / "journal.db").read_bytes()


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"when": "equity_fals", "by": 0.1}, r"notifications\.rules\.0\.when: input should be 'equity_falls'"),
        ({"when": "equity_falls"}, r"equity_falls needs by; by is missing"),
        ({"when": "equity_falls", "by": 5}, r"rules\.0\.by: input should be less than 1, not 5"),
        ({"when": "equity_falls", "by": 0.1, "symbol": "X"}, r"equity_falls does not read symbol; it takes by"),
        ({"when": "enters_order_block", "symbl": "X"}, r"rules\.0\.symbl: unknown key: did you mean 'symbol'\?"),
        ({"when": "feature_rises_above", "feature": "rsi_15", "value": 1}, r"'rsi_15' is not computed: did you mean 'rsi_14'\?"),
        ({"when": "enters_order_block", "symbol": "AAA"}, r"needs market structure, which is not computed"),
        ({"when": "enters_order_block", "symbol": "BTCUSDT"}, r"'BTCUSDT' is not followed: did you mean 'BTCUSD'\?"),
    ],
)  # fmt: skip
def test_a_misspelt_rule_is_refused_in_a_sentence(rule: dict[str, Any], sentence: str) -> None:
    values = {"notifications": {"rules": [rule]}, "live": {"symbols": ["BTCUSD", "AAA"]}}
    if rule.get("symbol") == "AAA":
        values["strategy"] = {"name": "ema_cross"}
        values["signals"] = {"use_smc": False, "use_ml": False}

    with pytest.raises(ConfigError, match=sentence):
        check_rules(make_config(values))


def test_a_start_refuses_a_feature_that_the_engine_does_not_compute(tmp_path: Path) -> None:
    rules = [{"when": "feature_falls_below", "feature": "sma_9", "value": 1.0}]

    with pytest.raises(ConfigError, match=r"'sma_9' is not computed"):
        asyncio.run(run(tmp_path, Recorder(), ROWS[:40], rules=rules))
