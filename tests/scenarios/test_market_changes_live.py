"""Live = replay where the venue changes a market on the way: journalled before it counts, kept by restart, audit and upgrade."""

import json
from pathlib import Path

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import journal_statement
from papertape.daemon.monitoring.api.listings import LISTINGS, ListingQuery, page
from papertape.daemon.runtime.restep import verify_state
from papertape.daemon.runtime.upgrade.comparison import compare_versions
from papertape.engine.candles import MINUTE_MS
from papertape.replay.exchange import Faults
from papertape.replay.tapes.store import Tape
from tests.support.streams import Scenario, changes_of, journalled, replayed, streamed, tape


def in_cents(one: Tape) -> Tape:
    """Return a tape whose prices have two decimals, of which the local exchange makes a tick of 0.01."""
    rows = one.candles.copy()
    for name in ("open", "high", "low", "close"):
        rows[name] = np.round(rows[name], 2)
    return Tape(rows, one.venue, one.symbol, one.timeframe)


PAIR = (in_cents(tape("AAA", 40, 3)), in_cents(tape("BBB", 40, 4)))
FIRST_MS = int(PAIR[0].candles["open_ms"][0])
CHANGED_MS = 10 * MINUTE_MS + 20_000


def until(one: Tape, n: int) -> Tape:
    return Tape(one.candles[:n], one.venue, one.symbol, one.timeframe)


def listed(scenario: Scenario, state: Path) -> list[tuple[int, float]]:
    """Return when a tick changed, and what it was after it, of the first symbol; hold live to a replay of what it took."""
    daemon = streamed(scenario, state)

    changes, rows = changes_of(state), journalled(state)
    split = [rows[rows["symbol"] == number] for number in range(2)]
    assert daemon.engine.digest == replayed(scenario, split, changes).digest
    assert verify_state(state).is_equal
    assert {event.symbol for _, event in changes} <= {0}
    assert len(changes) <= 1
    return [(ms, event.figures["tick_size"]) for ms, event in changes]


def test_a_tick_that_changes_is_an_input_and_stays_after_a_restart(tmp_path: Path) -> None:
    """0.01 is 0.5 from minute 10 on: the feed hears of it within the next candle, and fills lie on it from then on."""
    faults = Faults.single("tick_size", CHANGED_MS, symbol="AAA", amount=50)
    early = Scenario(tuple(until(one, 25) for one in PAIR), faults=faults, follows=True)
    first = listed(early, tmp_path)

    # The venue comes back with the tick that it has now, which is no other than what it says first.
    again = listed(Scenario(PAIR, start=25, follows=True), tmp_path)

    assert again == first
    ((at_ms, tick),) = first
    assert tick == 0.5
    assert FIRST_MS + 11 * MINUTE_MS <= at_ms <= FIRST_MS + 12 * MINUTE_MS
    with Journal.read(tmp_path) as journal:
        fills = journal.all("SELECT candle_ms, price FROM fills WHERE symbol = 'AAA'")
        changed = journal.all("SELECT symbol, before, after FROM changes")
        booked = journal_statement(journal)
        listing = next(each for each in LISTINGS if each.name == "changes")
        (row,) = json.loads(page(listing, ListingQuery(symbol="AAA"), journal))["rows"]
    assert (row["figure"], row["before"], row["after"]) == ("tick_size", 0.01, 0.5)
    assert at_ms <= row["time_ms"] < at_ms + MINUTE_MS
    assert row["chapter"] is None  # the venue told it
    assert changed == [("AAA", 0.01, tick)]
    assert min(ms for ms, _ in fills) < at_ms < max(ms for ms, _ in fills) - 20 * MINUTE_MS
    assert all(price % tick == 0.0 for ms, price in fills if ms >= at_ms)
    assert not all(price % tick == 0.0 for ms, price in fills if ms < at_ms)
    assert len(booked.changes) == 1
    assert compare_versions(tmp_path).is_equal
