"""
Symbols of a ccxt venue that go or settle, in a whole daemon: its account goes on, what it held is closed or charged.

Each scenario is an account of two symbols that begins, stops, and starts again, and then loses one in some way.
"""

from pathlib import Path
from typing import Any

import ccxt
import numpy as np
import pytest

import papertape.daemon.feeds.ccxt.markets
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.daemon import RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.events import Cause, Funding
from papertape.engine.records import REASON_DELISTED
from papertape.engine.spec import Market
from papertape.replay.config import make_config
from papertape.replay.runtime.clock import Clock
from tests.support.ccxt_daemons import Script, calm, lived
from tests.support.fake_ccxt import MINUTE_MS, FakeExchange, candle_of
from tests.support.streams import halts_of, journalled

HOUR_MS = 60 * MINUTE_MS
START_MS = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def account(state: Path) -> Identity:
    """Return an account that is in the market nearly always."""
    values = {
        "strategy": {"name": "ema_cross", "parameters": {"fast": 2, "slow": 3, "allow_short": True}},
        "account": {"sizing": "fraction"},
        "data": {"timeframe": "1m"},
        "live": {"venue": "binance", "symbols": SYMBOLS, "history_bars": 40},
        "daemon": {"state": str(state)},
    }
    markets = [Market(symbol, is_perpetual=True, tick_size=0.001) for symbol in SYMBOLS]
    return Identity(make_config(values), "binance-spot", "1m", tuple(markets))


def run(state: Path, start_ms: int, minutes: float, script: Script) -> RunningDaemon:
    """Run a daemon for so many minutes at a venue that a script changes, and return it."""
    return lived(account(state), start_ms, minutes, script)


async def unlisted(venue: FakeExchange, clock: Clock) -> None:
    venue.unlisted = {"ETH/USDT"}


async def refused_later(venue: FakeExchange, clock: Clock) -> None:
    await clock.sleep(95)
    venue.refused = {"ETH/USDT"}
    venue.fail(ccxt.BadSymbol("binance does not have market symbol ETH/USDT"), ["ETH/USDT"])


def delisted(state: Path) -> list[tuple[Any, ...]]:
    """Return symbol and price of the fills that closed what was gone."""
    with Journal.read(state) as journal:
        return journal.all("SELECT symbol, price FROM fills WHERE reason = ?", REASON_DELISTED)


@pytest.mark.parametrize("script", [unlisted, refused_later])
def test_what_is_held_in_a_symbol_that_goes_is_closed_at_the_last_price(
    script: Script, tmp_path: Path
) -> None:
    before = run(tmp_path, START_MS, 6, calm)
    assert before.engine.positions["quantity"].all(), "this market leaves a position in both"
    n_before = int(before.engine.last_open_ms[0])

    daemon = run(tmp_path, START_MS + 6 * MINUTE_MS, 9, script)

    rows = journalled(tmp_path)
    gone, other = rows[rows["symbol"] == 1], rows[rows["symbol"] == 0]
    assert len(gone) == len(other)
    expected = [candle_of("BTC/USDT", ms)[4] for ms in other["open_ms"].tolist()]
    np.testing.assert_array_equal(other["close"], expected)
    assert int(other["open_ms"][-1]) >= n_before + 7 * MINUTE_MS
    assert (gone["flag_bits"][-4:] & FLAG_ABSENT != 0).all()
    assert [(halt.cause, halt.symbol) for _, halt in halts_of(tmp_path)] == [(Cause.GONE, 1)]
    assert float(daemon.engine.positions["quantity"][1]) == 0.0
    last = gone[gone["volume"] > 0.0][-1]
    assert delisted(tmp_path) == [("ETH/USDT", float(last["close"]))]
    assert verify_state(tmp_path).is_equal


async def inactive(venue: FakeExchange, clock: Clock) -> None:
    """No trade and no word of it from 10:22 on, and the catalogue says that it is not active."""
    venue.ends_ms, venue.inactive = (
        {"ETH/USDT": START_MS // MINUTE_MS * MINUTE_MS + 7 * MINUTE_MS},
        {"ETH/USDT"},
    )


def test_what_is_held_in_a_market_that_stays_inactive_is_closed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of an hour in place of a day."""
    monkeypatch.setattr(papertape.daemon.feeds.ccxt.markets, "GONE_AFTER_S", 900.0)
    run(tmp_path, START_MS, 6, calm)

    daemon = run(tmp_path, START_MS + 6 * MINUTE_MS, 30, inactive)
    run(tmp_path, START_MS + 36 * MINUTE_MS, 5, inactive)

    last = candle_of("ETH/USDT", START_MS // MINUTE_MS * MINUTE_MS + 6 * MINUTE_MS)
    assert delisted(tmp_path) == [("ETH/USDT", last[4])]
    assert float(daemon.engine.positions["quantity"][1]) == 0.0
    told = [(halt.cause, halt.symbol, halt.is_on) for _, halt in halts_of(tmp_path)]
    assert told == [(Cause.MARKET, 1, True), (Cause.GONE, 1, True)]
    assert verify_state(tmp_path).is_equal


def test_an_account_that_has_lost_a_symbol_starts_again_and_again(tmp_path: Path) -> None:
    run(tmp_path, START_MS, 6, calm)
    run(tmp_path, START_MS + 6 * MINUTE_MS, 6, unlisted)

    daemon = run(tmp_path, START_MS + 12 * MINUTE_MS, 6, unlisted)

    assert len(delisted(tmp_path)) == 1
    assert [(halt.cause, halt.symbol) for _, halt in halts_of(tmp_path)] == [(Cause.GONE, 1)]
    assert int(daemon.engine.last_open_ms[0]) >= START_MS + 15 * MINUTE_MS
    assert verify_state(tmp_path).is_equal


def test_every_settlement_is_charged_once_over_a_restart(tmp_path: Path) -> None:
    """Every hour, one of them while the daemon was down; an untold one is a gap."""
    eleven_ms = START_MS // HOUR_MS * HOUR_MS + HOUR_MS
    rates = {eleven_ms + hours * HOUR_MS + 2: 0.0001 * (hours + 3) for hours in range(-2, 3)}
    del rates[eleven_ms + 2 * HOUR_MS + 2]

    async def settles(venue: FakeExchange, clock: Clock) -> None:
        venue.rates = rates

    run(tmp_path, eleven_ms - 4 * MINUTE_MS, 8, settles)
    run(tmp_path, eleven_ms + HOUR_MS + 5 * MINUTE_MS, 60, settles)

    with Journal.read(tmp_path) as journal:
        inputs = [each.event for each in journal.inputs() if isinstance(each.event, Funding)]
        gaps = journal.all("SELECT symbol, detail FROM notices WHERE detail LIKE 'the funding%'")
    assert [(each.symbol, each.time_ms - eleven_ms, each.rate) for each in inputs] == [
        (number, hours * HOUR_MS, 0.0001 * (hours + 3)) for hours in (0, 1) for number in (0, 1)
    ]
    unknown = f"the funding rate of {eleven_ms + 2 * HOUR_MS} ms is not known; nothing is charged"
    assert sorted(gaps) == [(symbol, unknown) for symbol in SYMBOLS]
    assert verify_state(tmp_path).is_equal
