"""What is taken out of a journal: of one moment while a daemon writes to it, and enough for a replay to earn the same."""

import re
import sqlite3
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from papertape.daemon.feeds.protocol import FeedSource, FeedStart
from papertape.daemon.feeds.settlements import Perpetual, WithSettlements
from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import export_tables, journal_statement
from papertape.engine.events import SeriesRows
from papertape.engine.records import FUNDING_RATE, KEEP, MARK_PRICE, OPEN_INTEREST, SERIES
from papertape.engine.spec import Market
from papertape.replay import backtest
from papertape.replay.config import load_config, make_config
from papertape.replay.sources.delta_rest import RateSettlement
from papertape.replay.tapes.store import read_tape
from tests.support.commands import invoke
from tests.support.journals import PERPETUAL, Recorded, candles, filled, identity, served

HOUR_MS = 3_600_000


def written_between(state: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a daemon write a mark with another cash each time that a reader asks for rows; return how often it did."""
    real, times = Journal.all, list[int]()

    def told(journal: Journal, query: str, *values: object) -> object:
        found = real(journal, query, *values)
        with closing(sqlite3.connect(state / "journal.db")) as writer, writer:
            names = [row[1] for row in writer.execute("PRAGMA table_info(equity)")]
            changed = {"time_ms": "time_ms + 60000", "cash": "cash + 1", "sequence": "sequence + 1"}
            columns = ", ".join(changed.get(name, name) for name in names)
            copied = f"SELECT {columns} FROM equity ORDER BY time_ms DESC LIMIT 1"  # noqa: S608 # of the table itself
            writer.execute(f"INSERT INTO equity {copied}")
        times.append(len(found))
        return found

    monkeypatch.setattr(Journal, "all", told)
    return times


def test_a_statement_of_a_daemon_that_trades_on_balances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fills of one moment stood beside the equity of a later one, and the statement was called wrong."""
    filled(tmp_path, candles(400))
    with Journal.read(tmp_path) as journal:
        before = journal_statement(journal)
        times = written_between(tmp_path, monkeypatch)
        during = journal_statement(journal)

    assert len(times) > 2
    assert str(during) == str(before)


def test_tables_are_exported_as_they_are_at_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, candles(400))
    with Journal.read(tmp_path) as journal:
        marks = journal.one("SELECT count(*) FROM equity")[0]
        times = written_between(tmp_path, monkeypatch)
        paths = export_tables(journal, tmp_path / "out")

    (equity,) = (path for path in paths if path.stem == "equity")
    assert len(times) > 5
    assert pq.read_table(equity).num_rows == marks


class Rates:
    """A venue's history: a settlement every hour but the fortieth, whose rate nobody knows; every third has a mark."""

    def __init__(self, first_ms: int) -> None:
        self.rates = {first_ms + n * HOUR_MS: (n % 7 - 3) * 1e-3 for n in range(1, 100) if n != 40}
        self.known = {t: 100.0 + n for n, t in enumerate(self.rates) if n % 3 == 0}

    async def funding(
        self, symbol: str, first_ms: int, last_ms: int, *, interval_s: int
    ) -> list[RateSettlement]:
        return [RateSettlement(t, rate) for t, rate in self.rates.items() if first_ms <= t <= last_ms]

    async def marks(self, symbol: str, first_ms: int, last_ms: int) -> dict[int, float]:
        return {t: mark for t, mark in self.known.items() if first_ms <= t <= last_ms}

    def is_due(self, symbol: str, time_ms: int) -> bool:
        return True


def test_a_replay_of_what_was_exported_pays_the_funding_that_the_daemon_paid(tmp_path: Path) -> None:
    """Only payments were exported: a replay of a perpetual's exported tape could not come to the live profit."""
    rows = candles(400)
    history = Rates(int(rows["open_ms"][0]))

    @asynccontextmanager
    async def open_feed(start: FeedStart) -> AsyncIterator[FeedSource]:
        settling = {"AAA": Perpetual(0, None)}
        feed = WithSettlements(
            Recorded(rows, 20), deque(), settling, history, 900_000, lambda _: 3600, lambda _: None, lambda: 0
        )
        yield FeedSource(feed, lambda: 0)

    state = tmp_path / "state"
    account = {"sizing": "fraction", "fixed_fraction": 0.5}
    about = identity(daemon={"state": str(state)}, account=account)
    live = served(state, open_feed, about=about)
    told = invoke("journal", "export", str(state), "--out", str(tmp_path / "out"), "--tapes")
    tapes = [read_tape(path) for path in sorted((tmp_path / "out").glob("*.parquet"))]
    funding = load_config(None, re.findall(r"--set '(.+)'", told)).data.funding
    values = about.config.model_dump(exclude_unset=True, include={"strategy", "account", "signals"})
    values["data"] = {"timeframe": "1h", "funding": funding}
    values["market"] = {"kind": "perpetual", "tick_size": 0.01, "lot_size": 0.001}
    replayed = backtest(config=make_config(values), tapes=tapes)

    # Another way to the amounts: what the fills before a settlement add up to, at its mark or the last close by then.
    own = rows[rows["symbol"] == 0]
    closes = dict(zip((own["open_ms"] + 900_000).tolist(), own["close"].tolist(), strict=True))
    fills = live_rows(state, "SELECT candle_ms, side * quantity FROM fills WHERE symbol = 'AAA'")
    owed = {}
    for time_ms, rate in history.rates.items():
        held = sum(quantity for candle_ms, quantity in fills if candle_ms < time_ms)
        if held and time_ms < max(closes):
            owed[time_ms] = pytest.approx(held * history.known.get(time_ms, closes[time_ms]) * rate, abs=1e-8)
    paid = live_rows(state, "SELECT time_ms, amount / 1e9 FROM payments WHERE symbol = 'AAA'")
    assert dict(paid) == owed
    assert len(owed) > 15
    assert live_rows(state, "SELECT count(*) FROM payments WHERE symbol = 'BBB'") == [(0,)]
    assert live_rows(state, "SELECT count(*) FROM fills WHERE symbol = 'BBB'")[0][0] > 2

    assert funding == {"AAA": tmp_path / "out" / "funding" / "test_AAA_funding.parquet"}
    replay_paid = replayed.payments[["time_ms", "rate", "price", "quantity", "amount", "cash"]].tolist()
    assert replay_paid == live_rows(
        state, "SELECT time_ms, rate, price, quantity, amount, cash FROM payments"
    )
    assert replayed.digest == live.engine.digest
    equity = live_rows(state, "SELECT time_ms, equity FROM equity ORDER BY time_ms")
    curve = replayed.marks
    assert list(zip(curve["time_ms"].tolist(), curve["equity"].tolist(), strict=True)) == equity
    assert any("1 settlements are missing" in line for line in replayed.summary["doubts"])


IN_DOUBT = """
from papertape import FLAT, LONG, SHORT, Decision

class InDoubt:
    features = ("funding",)

    def decide(self, view):
        rate = view["funding"]
        return Decision(FLAT if rate != rate else LONG if rate < 0.0 else SHORT)
"""


class HalfKnown(Rates):
    """Knows no rate of the 21st hour, and of the 30th not even that it settled."""

    def __init__(self, first_ms: int) -> None:
        super().__init__(first_ms)
        self.begins_ms = first_ms
        for hour in (21, 30):
            del self.rates[first_ms + hour * HOUR_MS]

    def is_due(self, symbol: str, time_ms: int) -> bool:
        return time_ms != self.begins_ms + 30 * HOUR_MS


def test_the_feature_funding_of_a_replay_of_what_was_exported_is_the_daemons_at_every_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settlement without a rate was unknown at once to the daemon, and half an interval later to a replay of its export."""
    (tmp_path / "in_doubt.py").write_text(IN_DOUBT)
    monkeypatch.syspath_prepend(tmp_path)
    rows = candles(180)  # 45 hours
    rows = rows[rows["symbol"] == 0]
    first_ms = int(rows["open_ms"][0])
    history = HalfKnown(first_ms)

    @asynccontextmanager
    async def open_feed(start: FeedStart) -> AsyncIterator[FeedSource]:
        settling = {"AAA": Perpetual(0, None)}
        feed = WithSettlements(
            Recorded(rows, 20), deque(), settling, history, 900_000, lambda _: 3600, lambda _: None, lambda: 0
        )
        yield FeedSource(feed, lambda: 0)

    state, out = tmp_path / "state", tmp_path / "out"
    shared: dict[str, Any] = {
        "strategy": {"name": "in_doubt:InDoubt"},
        "signals": {"use_smc": False, "retrain_every": "never"},
        "account": {"sizing": "fraction", "fixed_fraction": 0.5},
    }
    about = identity(
        **shared,
        data={"timeframe": "15m"},
        live={"venue": "test", "symbols": ["AAA"], "timeframe": "15m", "history_bars": 0},
        daemon={"state": str(state)},
    )._replace(markets=(Market("AAA", **PERPETUAL),))
    live = served(state, open_feed, about=about)
    told = invoke("journal", "export", str(state), "--out", str(out), "--tapes")
    tapes = [read_tape(path) for path in sorted(out.glob("*.parquet"))]
    funding = load_config(None, re.findall(r"--set '(.+)'", told)).data.funding
    values = {**shared, "data": {"timeframe": "15m", "funding": funding}}
    values["market"] = {"kind": "perpetual", "tick_size": 0.01, "lot_size": 0.001}
    replayed = backtest(config=make_config(values), tapes=tapes)

    # By hand: a rate is seen from the first close after its settlement on, and one that is not known is none.
    expected = []
    for close_ms in (rows["open_ms"] + 900_000).tolist():
        newest = max((n for n in range(46) if n != 30 and first_ms + n * HOUR_MS < close_ms), default=0)
        rate = history.rates.get(first_ms + newest * HOUR_MS)
        expected.append((close_ms, 0 if rate is None else 1 if rate < 0.0 else -1))
    changes = [new for old, new in pairwise(expected) if new[1] != old[1]]
    query = "SELECT time_ms, target FROM decisions WHERE target != ? ORDER BY time_ms"
    with Journal.read(state) as journal:
        assert journal.all(query, KEEP) == changes
    decided = replayed.decisions
    assert decided[decided["target"] != KEEP][["time_ms", "target"]].tolist() == changes
    assert replayed.digest == live.engine.digest


def test_an_export_says_which_series_it_leaves_out(tmp_path: Path) -> None:
    rows, known = candles(8), np.zeros(3, SERIES)
    known["known_ms"] = int(rows["open_ms"][0]) + np.arange(1, 4)
    known["kind"] = (OPEN_INTEREST, MARK_PRICE, FUNDING_RATE)
    for name in ("value", "open", "high", "low"):
        known[name] = (5.0, 100.0, np.nan)

    @asynccontextmanager
    async def open_feed(start: FeedStart) -> AsyncIterator[FeedSource]:
        async def events() -> AsyncIterator[Any]:
            for one in known:
                yield SeriesRows(np.array([one], SERIES))
            yield rows

        yield FeedSource(events(), lambda: 0)

    with_series, without = tmp_path / "with", tmp_path / "without"
    signals = {"use_smc": False, "retrain_every": "never", "extra_features": ["mark_premium"]}
    served(with_series, open_feed, about=identity(daemon={"state": str(with_series)}, signals=signals))
    filled(without, rows)

    told = invoke("journal", "export", str(with_series), "--out", str(tmp_path / "a"))
    assert (
        "! not in these files: what was received of mark, open_interest; a replay of the tapes does not know it. "
        "`papertape verify` replays the journal itself, with all of it" in " ".join(told.split())
    )
    assert "not in these files" not in invoke("journal", "export", str(without), "--out", str(tmp_path / "b"))


def live_rows(state: Path, query: str) -> list[tuple[Any, ...]]:
    with Journal.read(state) as journal:
        return [tuple(row) for row in journal.all(query)]
