"""
What people are told of an account: sentences out of reports, attempts, drift, audits and the feed.

It hangs on the daemon's hooks beside what is there, reads, and offers lines to the messenger, which never waits. Nothing of the
history that comes in before the first live candle is told.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from papertape.daemon.feeds.protocol import Notice, NoticeKind
from papertape.daemon.journal import Journal
from papertape.daemon.learning.drift import DriftCheck
from papertape.daemon.learning.retraining import News
from papertape.daemon.monitoring.states import order_told
from papertape.daemon.notifications.memory import ToldMemory, remembered
from papertape.daemon.notifications.messenger import Messenger
from papertape.daemon.notifications.rules import RuleWatch
from papertape.daemon.runtime.audit import AuditResult
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.maintenance import day_summary, reading
from papertape.engine.broker.grid import plain
from papertape.engine.broker.ledger import shown_decimals
from papertape.engine.broker.working.orders import REFUSED
from papertape.engine.candles import DAY_MS
from papertape.engine.model.drift.policy import LEVELS
from papertape.engine.records import LIMIT_NAMES, REASON_NAMES, REFUSED_NAMES
from papertape.engine.report import Report, StrategyFault
from papertape.replay.config.live import NotificationKind, Notifications

T = TypeVar("T")

_DAY: Final = "SELECT day, equity, pnl, trades, wins, fees FROM days WHERE day > ? ORDER BY day DESC LIMIT 1"


class AccountNotifications:
    """The sentences of one daemon, from `on_ready` on."""

    def __init__(self, settings: Notifications, messenger: Messenger) -> None:
        self._settings, self._messenger = settings, messenger
        self._refused: dict[tuple[str, str, int], int] = {}  # by symbol, reason and day
        self._day = 0
        self._day_over = asyncio.Event()
        self._is_lost = False

    def on_ready(self, daemon: RunningDaemon) -> None:
        """Remember what was told before, and see what the user's rules read."""
        marks, peak = remembered(daemon.state)
        self._daemon, self._memory = daemon, ToldMemory(daemon.writer, marks)
        engine, quote = daemon.engine, daemon.identity.config.account.quote
        self._places = shown_decimals(engine.spec.money_decimals, quote)
        self._rules = RuleWatch(self._settings.rules, engine, self._memory, peak, self._places)
        before, mine = engine.watch, self._rules.watch
        if self._settings.rules:
            engine.watch = lambda *seen: (before(*seen) if before else None, mine(*seen))[1]

    def _tell(self, kind: NotificationKind, sentence: str) -> None:
        if kind in self._settings.kinds:
            self._messenger.offer(sentence)

    def _once(self, kind: NotificationKind, name: str, mark: str, sentence: str) -> None:
        """Tell what is so until its mark is another one, in this process and in those to come."""
        if self._memory.set(name, mark) and mark:
            self._tell(kind, sentence)

    def on_report(self, report: Report) -> None:
        """Tell what one step did."""
        is_live = not self._daemon.journal_feed.is_warming
        for sentence in self._rules.sentences(report, is_told=is_live):
            self._tell("rules", sentence)
        if not is_live:
            return
        self._on_fills(report)
        self._on_refusals(report)
        for limit in report.limits:
            name = LIMIT_NAMES[int(limit["limit"])]
            value, threshold = float(limit["value"]), float(limit["threshold"])
            self._tell("halts", f"limit met: {name} is {value:g}, at most {threshold:g}; entries are locked")
        ruined_ms = int(self._daemon.engine.account[0].ruined_ms)
        if ruined_ms:
            self._once("halts", "ruin", str(ruined_ms), "the account is ruined: its equity is gone")
        if len(report.marks):
            day = (int(report.marks["time_ms"][-1]) - 1) // DAY_MS
            if self._day and day > self._day:
                self._day_over.set()
            self._day = day

    def _on_fills(self, report: Report) -> None:
        engine = self._daemon.engine
        for fill in report.fills:
            symbol = int(fill["symbol"])
            market, side = engine.markets[symbol], "buy" if fill["side"] > 0 else "sell"
            quantity = plain(fill["quantity"], market.lot_size)
            price, reason = plain(fill["price"], market.tick_size), REASON_NAMES.get(int(fill["reason"]), "")
            self._tell("fills", f"{engine.symbols[symbol]}: {side} {quantity:g} at {price:g}, {reason}")

    def _on_refusals(self, report: Report) -> None:
        """Count refusals by symbol and reason; the one that makes the number full is told, once a day."""
        engine = self._daemon.engine
        found = [
            (engine.symbols[int(row["symbol"])], REFUSED_NAMES[int(row["refused"])], int(row["time_ms"]))
            for row in report.decisions[report.decisions["refused"] != 0]
        ]
        for order in report.orders[report.orders["status"] == REFUSED]:
            told = order_told(engine, order)
            found.append((told["symbol"], told["cause"], int(order["time_ms"])))
        for symbol, reason, time_ms in found:
            day = time_ms // DAY_MS
            key = (symbol, reason, day)
            n = self._refused[key] = self._refused.get(key, 0) + 1
            if n >= self._settings.refusals:
                sentence = f"{symbol}: refused {n} times today: {reason}"
                self._once("refusals", f"refused {symbol} {reason}", str(day), sentence)
        if found:
            newest = found[-1][2] // DAY_MS
            self._refused = {key: n for key, n in self._refused.items() if key[2] >= newest - 1}

    def on_retrain(self, news: News) -> None:
        """Tell how an attempt to replace the model ended."""
        if news.attempt is not None:
            model = f"model {news.version} " if news.version else ""
            self._tell("gate", f"{model}{news.attempt.outcome}: {news.attempt.reason}")

    def on_look(self, look: DriftCheck) -> None:
        """Tell when drift reaches another level."""
        if look.figures is None or not look.version:
            return
        level = look.figures.policy.level
        mark = f"{look.version} {level}" if level else ""
        self._once("drift", "drift", mark, f"drift: {LEVELS[level]}, {look.figures.reason}")

    def on_finding(self, finding: AuditResult) -> None:
        """Tell that a replay of the same inputs differs."""
        mark = "" if finding.is_equal else finding.difference
        self._once("halts", "divergence", mark, f"a replay differs: {finding.difference}")

    def on_fault(self, fault: StrategyFault) -> None:
        """Tell that a user's strategy failed."""
        self._once("halts", "fault", str(fault), f"entries are paused: {fault}")

    def on_notice(self, notice: Notice) -> None:
        """Tell what the venue says, and a feed that stays away."""
        if notice.kind is NoticeKind.VENUE:
            self._tell("halts", f"{notice.symbol or 'the venue'}: {notice.detail}")
        elif notice.kind is NoticeKind.DISCONNECTED:
            loop = asyncio.get_running_loop()
            loop.call_later(self._settings.feed_lost_s, self._look_at_feed)
        elif notice.kind is NoticeKind.CONNECTED and self._is_lost:
            self._is_lost = False
            self._once("feed", "feed", "", "")
            self._tell("feed", "the feed is back")

    def _look_at_feed(self) -> None:
        """Tell a loss that lasts, once."""
        if not self._daemon.stats.is_connected and not self._is_lost:
            self._is_lost = True
            lost_s = self._settings.feed_lost_s
            self._once("feed", "feed", "lost", f"the feed is lost for {lost_s:g} s")

    async def summarise(self, daemon: RunningDaemon) -> None:
        """Tell how each day went when the next one has begun: a service that runs until it is cancelled."""
        self._day_over.set()  # a day that ended while the daemon was down
        while True:
            await self._day_over.wait()
            self._day_over.clear()
            await day_summary(daemon.state, daemon.writer)
            known = self._memory.get("day")
            row = await reading(daemon.state, lambda journal: _newest_day(journal, known))  # noqa: B023
            if row is not None:
                units = daemon.engine.spec.units_per_quote
                self._once("summary", "day", str(row["day"]), _day_sentence(row, units, self._places))

    async def send(self, daemon: RunningDaemon) -> None:
        """Let messages go out until cancelled; what waits then is sent."""
        self._messenger.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._messenger.close()


def _newest_day(journal: Journal, known: str) -> Mapping[str, float | str] | None:
    row = journal.one(_DAY, known)
    names = ("day", "equity", "pnl", "trades", "wins", "fees")
    return None if row is None else dict(zip(names, row, strict=True))


def _day_sentence(row: Mapping[str, float | str], units_per_quote: float, places: int) -> str:
    equity, pnl, fees = (float(row[key]) / units_per_quote for key in ("equity", "pnl", "fees"))
    return (
        f"{row['day']}: equity {equity:,.{places}f}, {row['trades']} trades closed, {row['wins']} won, "
        f"result {pnl:+,.{places}f}, fees {fees:,.{places}f}"
    )


def _both(first: Callable[[T], None], second: Callable[[T], None]) -> Callable[[T], None]:
    def call(told: T) -> None:
        first(told)
        second(told)

    return call


def hang_notifications(hooks: Hooks, told: AccountNotifications) -> Hooks:
    """Return hooks that notifications hang on, after what was there."""
    hooks.on_ready = _both(hooks.on_ready, told.on_ready)
    hooks.on_notice = _both(hooks.on_notice, told.on_notice)
    hooks.on_finding = _both(hooks.on_finding, told.on_finding)
    hooks.on_retrain = _both(hooks.on_retrain, told.on_retrain)
    hooks.on_look = _both(hooks.on_look, told.on_look)
    hooks.on_fault = _both(hooks.on_fault, told.on_fault)
    hooks.sinks = [*hooks.sinks, told.on_report]
    hooks.services = [*hooks.services, told.send, told.summarise]
    return hooks
