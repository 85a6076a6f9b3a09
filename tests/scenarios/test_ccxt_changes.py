"""
Markets of a ccxt venue that become others while a whole daemon trades them: told, journalled, used by the next fill.

Its prices are eighths (`trade_of`), so that a fill on a step of 0.5 is told from one on a step of 0.125.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import ccxt
import numpy as np
import pytest

import papertape.daemon.feeds.ccxt.markets
from papertape.daemon.chapters.opening import Opening
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.daemon import RunningDaemon
from papertape.daemon.runtime.recovery import recover
from papertape.daemon.runtime.restep import verify_state
from papertape.daemon.runtime.upgrade.comparison import compare_versions
from papertape.engine.broker.risk.brackets import Bracket
from papertape.engine.candles import CANDLE
from papertape.engine.events import MarketChange
from papertape.engine.jit import Rows
from papertape.engine.spec import Market
from papertape.replay.backtesting.run import replay
from papertape.replay.config import make_config
from papertape.replay.runtime.clock import Clock
from tests.support.ccxt_daemons import Script, lived
from tests.support.fake_ccxt import MINUTE_MS, FakeExchange, FakePerpetuals, candle_of
from tests.support.streams import changes_of, journalled

START_MS = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC
SYMBOLS = ["BTC/USDT", "ETH/USDT"]
FIGURES = {"taker": 0.0005, "maker": 0.0002, "precision": {"price": 0.125, "amount": 0.001}}
LATER = {**FIGURES, "taker": 0.002, "precision": {"price": 0.5, "amount": 0.001}}
KNOWN = {
    "is_perpetual": True,
    "leverage": 5.0,
    "taker_fee_rate": 0.0005,
    "maker_fee_rate": 0.0002,
    "tick_size": 0.125,
    "lot_size": 0.001,
    "brackets": (Bracket(50_000.0, 100.0, 0.004), Bracket(9e18, 50.0, 0.01)),
}
CROSS = {"name": "ema_cross", "parameters": {"fast": 2, "slow": 3, "allow_short": True}}


def account(state: Path, **sections: Any) -> Identity:
    """Return an account that is in the market nearly always, of markets as the venue has them first."""
    values = {
        "strategy": CROSS,
        "account": {"sizing": "fraction", "leverage_cap": 2.0},
        "data": {"timeframe": "1m"},
        "live": {"venue": "okx", "symbols": SYMBOLS, "history_bars": 0},
        "daemon": {"state": str(state)},
        **sections,
    }
    values["market"] = {"leverage": 5.0, **values.get("market", {})}
    markets = [Market(symbol, **KNOWN) for symbol in SYMBOLS]
    return Identity(make_config(values), "okx", "1m", tuple(markets))


def says(figures: dict[str, Any], after_s: float = 0.0) -> Script:
    """Return a script by which the venue has figures from a time on, and those from before until then."""

    async def script(venue: FakeExchange, clock: Clock) -> None:
        assert isinstance(venue, FakePerpetuals)
        venue.figures = FIGURES if after_s else figures
        await clock.sleep(after_s)
        venue.figures = figures

    return script


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the catalogue be loaded again after a minute in place of six hours, or ten minutes where tiers are missing."""
    for name in ("READ_EVERY_S", "DOUBT_EVERY_S"):
        monkeypatch.setattr(papertape.daemon.feeds.ccxt.markets, name, 60.0)


def run(about: Identity, from_minute: int, minutes: float, script: Script, **how: Any) -> RunningDaemon:
    return lived(about, START_MS + from_minute * MINUTE_MS, minutes, script, kind=FakePerpetuals, **how)


def true_candles(number: int, first_ms: int, last_ms: int) -> Rows:
    """Return the candles of the venue's formula, as an engine takes them."""
    rows = np.zeros((last_ms - first_ms) // MINUTE_MS + 1, CANDLE)
    for row, ms in zip(rows, range(first_ms, last_ms + 1, MINUTE_MS), strict=True):
        names = ["open_ms", "open", "high", "low", "close", "volume"]
        for name, value in zip(names, candle_of(SYMBOLS[number], ms), strict=True):
            row[name] = value
        row["symbol"] = number
    return rows


def told(state: Path) -> list[tuple[int, int, float, float]]:
    """Return of each change of a market: close of the candle before, number of the symbol, tick, taker's fee."""
    return [
        (ms, e.symbol, e.figures["tick_size"], e.figures["taker_fee_rate"]) for ms, e in changes_of(state)
    ]


def test_what_the_venue_changes_is_journalled_and_the_next_fill_is_by_it(tmp_path: Path) -> None:
    about = account(tmp_path)

    daemon = run(about, 0, 17, says(LATER, after_s=400.0))

    # From 10:22:11 on; the catalogue is loaded each minute and a quarter at most, and what it says holds from the candle on
    # that closes next: before the one of 10:22 or of 10:23.
    changes = told(tmp_path)
    at_ms = changes[0][0]
    first_ms = START_MS // MINUTE_MS * MINUTE_MS
    assert changes == [(at_ms, number, 0.5, 0.002) for number in range(2)]
    assert first_ms + 7 * MINUTE_MS <= at_ms <= first_ms + 9 * MINUTE_MS
    with Journal.read(tmp_path) as journal:
        fills = journal.all("SELECT candle_ms, price, quantity, fee FROM fills")
    for is_later, rate, tick in ((False, 0.0005, 0.125), (True, 0.002, 0.5)):
        some = [row for row in fills if (row[0] >= at_ms) is is_later]
        assert len(some) > 3
        assert all(row[1] % 0.5 == 0.0 for row in some) is is_later
        for _, price, quantity, fee in some:
            assert price % tick == 0.0
            assert fee / 1e9 == pytest.approx(price * abs(quantity) * rate, abs=2e-9)

    # The same by the formula of the market, and changes that are written down here.
    last_ms = int(daemon.engine.last_open_ms[0])
    candles = [true_candles(n, first_ms, last_ms) for n in range(2)]
    news = [replace(market, tick_size=0.5, taker_fee_rate=0.002).plain() for market in about.markets]
    events = [(at_ms, MarketChange(e.time_ms, n, news[n])) for n, (_, e) in enumerate(changes_of(tmp_path))]
    np.testing.assert_array_equal(
        journalled(tmp_path)["close"], np.stack([c["close"] for c in candles], 1).ravel()
    )
    assert verify_state(tmp_path).is_equal
    assert daemon.engine.digest == replay(about.spec, candles, events=events).engine.digest


def in_force(daemon: RunningDaemon) -> list[tuple[float, float]]:
    """Return tick and taker's fee of each market as the engine has it."""
    markets = daemon.engine.markets
    return list(zip(markets["tick_size"].tolist(), markets["taker_fee_rate"].tolist(), strict=True))


def test_what_was_told_is_kept_by_a_restart_and_by_a_chapter(tmp_path: Path) -> None:
    slower = {"strategy": {"name": "ema_cross", "parameters": {"fast": 2, "slow": 4, "allow_short": True}}}
    run(account(tmp_path), 0, 7, says(LATER, after_s=150.0))
    first = told(tmp_path)
    assert [change[1:] for change in first] == [(0, 0.5, 0.002), (1, 0.5, 0.002)]

    again = run(account(tmp_path), 7, 4, says(LATER))
    assert (told(tmp_path), in_force(again)) == (first, [(0.5, 0.002)] * 2)
    chapter = run(account(tmp_path, **slower), 11, 5, says(LATER), chapter=Opening("slower"))
    assert (told(tmp_path), in_force(chapter)) == (first, [(0.5, 0.002)] * 2)

    with Journal.read(tmp_path) as journal:
        newest = next(journal.snapshots())
        later = journal.all("SELECT price FROM fills WHERE candle_ms >= ?", START_MS + 12 * MINUTE_MS)
    assert later
    assert all(price % 0.5 == 0.0 for (price,) in later)
    assert verify_state(tmp_path).digest == compare_versions(tmp_path).digest == newest.digest
    assert verify_state(tmp_path).is_equal
    assert compare_versions(tmp_path).is_equal
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.connection.execute("DELETE FROM snapshots")])
        assert recover(journal).engine.snapshot() == newest.state


def test_a_cost_that_a_chapter_says_holds_from_its_first_candle(tmp_path: Path) -> None:
    """The venue made 0.0005 to 0.002; the chapter says 0.0005, which is what the account began with."""
    run(account(tmp_path), 0, 7, says(LATER, after_s=150.0))
    cheap = account(tmp_path, market={"taker_fee_rate": 0.0005})
    daemon = run(cheap, 7, 6, says(LATER), chapter=Opening("own fees"))

    with Journal.read(tmp_path) as journal:
        (begins_ms,) = journal.one("SELECT time_ms FROM chapters")
        fills = journal.all("SELECT notional, fee FROM fills WHERE candle_ms >= ?", begins_ms)
        rows = journal.all("SELECT time_ms, symbol, before, after FROM changes WHERE before = 0.002")
    assert in_force(daemon) == [(0.5, 0.0005)] * 2
    assert rows == [(begins_ms, symbol, 0.002, 0.0005) for symbol in SYMBOLS]
    assert len(fills) > 3
    assert all(abs(fee / notional - 0.0005) < 1e-9 for notional, fee in fills)


def lower(leverage: float) -> tuple[dict[str, Any], ...]:
    """Return a table of leverage as the library has it."""
    return ({"minNotional": 0, "maxNotional": None, "maintenanceMarginRate": 0.01, "maxLeverage": leverage},)


def test_tiers_that_never_answer_leave_margins_as_they_are_and_the_rest_is_followed(tmp_path: Path) -> None:
    """First the table becomes another; from the next start on it is not told any more, and the fees change."""

    async def other_table(venue: FakeExchange, clock: Clock) -> None:
        assert isinstance(venue, FakePerpetuals)
        venue.figures, venue.tiers = FIGURES, lower(40.0)

    async def silent(venue: FakeExchange, clock: Clock) -> None:
        assert isinstance(venue, FakePerpetuals)
        venue.no_tiers = ccxt.RequestTimeout("okx GET /leverage-tiers")
        await says(LATER)(venue, clock)

    async def again(venue: FakeExchange, clock: Clock) -> None:
        assert isinstance(venue, FakePerpetuals)
        venue.figures, venue.no_tiers = LATER, ccxt.RequestTimeout("okx GET /leverage-tiers")
        await clock.sleep(100.0)
        venue.no_tiers, venue.tiers = None, lower(30.0)

    def brackets() -> list[tuple[float, float, list[float]]]:
        return [
            (
                e.figures["tick_size"],
                e.figures["taker_fee_rate"],
                [row["leverage"] for row in e.figures["brackets"]],
            )
            for _, e in changes_of(tmp_path)
        ]

    run(account(tmp_path), 0, 4, other_table)
    first = [(0.125, 0.0005, [40.0])] * 2
    assert brackets() == first
    run(account(tmp_path), 4, 5, silent)
    second = [*first, *[(0.5, 0.002, [40.0])] * 2]
    assert brackets() == second
    run(account(tmp_path), 9, 2, silent)
    assert brackets() == second
    run(account(tmp_path), 11, 6, again)
    assert brackets() == [*second, *[(0.5, 0.002, [30.0])] * 2]

    with Journal.read(tmp_path) as journal:
        said = journal.all("SELECT detail FROM notices WHERE kind = 'venue' ORDER BY id")
    silence = (
        "leverage tiers: okx fetch_leverage_tiers: okx GET /leverage-tiers; margins stay as they are known"
    )
    assert [detail for (detail,) in said] == [
        silence,
        silence,
        silence,
        "leverage tiers: the venue tells them again",
    ]
    assert verify_state(tmp_path).is_equal


def test_an_account_that_says_its_margins_asks_for_no_tiers(tmp_path: Path) -> None:
    venues: list[FakePerpetuals] = []

    async def silent(venue: FakeExchange, clock: Clock) -> None:
        assert isinstance(venue, FakePerpetuals)
        venues.append(venue)
        venue.no_tiers, venue.figures = ccxt.RequestTimeout("okx GET /leverage-tiers"), FIGURES

    run(account(tmp_path, market={"maintenance_rate": 0.02}), 0, 3, silent)

    assert [venue.n_tiers_asked for venue in venues] == [0]
    with Journal.read(tmp_path) as journal:
        assert journal.all("SELECT detail FROM notices WHERE kind = 'venue'") == []


def test_a_row_of_the_configuration_that_an_outage_passed_over_holds_from_its_time(tmp_path: Path) -> None:
    """As of a daemon that was there: what is backfilled from 10:23 on fills by it, and nothing before."""
    old = {"start": "2026-01-01", "maker_fee_rate": 0.0003}  # holds before the first candle
    row = {"start": "2026-11-23T10:23:00", "taker_fee_rate": 0.003, "tick_size": 0.5}
    whole, parts = (account(tmp_path / name, market={"changes": [old, row]}) for name in "ab")

    there = run(whole, 0, 20, says(FIGURES))
    run(parts, 0, 4, says(FIGURES))
    back = run(parts, 15, 5, says(FIGURES))

    row_ms = START_MS // MINUTE_MS * MINUTE_MS + 8 * MINUTE_MS
    expected = [
        (ms, number, tick, fee)
        for ms, tick, fee in ((0, 0.125, 0.0005), (row_ms, 0.5, 0.003))
        for number in range(2)
    ]
    assert told(tmp_path / "a") == told(tmp_path / "b") == expected
    assert back.engine.last_open_ms == there.engine.last_open_ms
    assert back.engine.digest == there.engine.digest
