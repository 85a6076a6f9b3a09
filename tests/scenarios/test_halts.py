"""
What must not be traded, streamed by the local venue into a whole daemon: clocks that lie, markets that stand still,
symbols that go. Live equals its replay, and what was done is what the rules say.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.errors import ConfigError
from papertape.engine.events import Action, Cause
from papertape.engine.records import REASON_DELISTED, REASON_ENTRY, REFUSED_MARKET
from papertape.replay.exchange import Faults, Switches
from tests.support.streams import Scenario, halts_of, journalled, replayed, streamed, tape

MINUTE_MS = 60_000
PAIR = (tape("AAA", 14, 3), tape("BBB", 14, 4))
FIRST_MS = int(PAIR[0].candles["open_ms"][0])


def column(state: Path, query: str) -> list[Any]:
    """Return the only column of a query on a journal."""
    with Journal.read(state) as journal:
        return [row[0] for row in journal.all(query)]


def fills_of(state: Path, name: str = "candle_ms") -> list[tuple[Any, int]]:
    """Return one field of every fill with its reason."""
    with Journal.read(state) as journal:
        return journal.all(f"SELECT {name}, reason FROM fills")  # noqa: S608 # a name of ours


def early_ms(state: Path) -> int:
    """Return by how much the earliest candle was accepted before its end, by the daemon's own clock; at most 0: none was."""
    with Journal.read(state) as journal:
        inputs = [i for i in journal.inputs() if isinstance(i.event, np.ndarray)]
    return max(int(i.event["open_ms"][-1]) + MINUTE_MS - i.received_ms for i in inputs)


def assert_replayable(scenario: Scenario, daemon: Any, state: Path) -> None:
    """Hold live to the same digest as a replay of what it took, halts included."""
    rows = journalled(state)
    split = [rows[rows["symbol"] == number] for number in range(len(scenario.tapes))]
    assert daemon.engine.digest == replayed(scenario, split, halts_of(state)).digest
    assert verify_state(state).is_equal


def skews(stamps_s: int, headers_s: int) -> Faults:
    faults = Faults.none()
    for kind, seconds in (("stamp_skew", stamps_s), ("clock_skew", headers_s)):
        if seconds:
            faults |= Faults.single(kind, 95_000, 240_000, amount=seconds * 1000)
    return faults


@pytest.mark.parametrize("has_cst", [True, False])
@pytest.mark.parametrize(
    ("faults", "is_halted"),
    [
        (Faults.single("stamp_spike", 95_000, 240_000, amount=40_000), False),
        (Faults.single("stamp_spike", 95_000, 240_000, amount=3_600_000), False),
        (skews(40, 0), False),
        (skews(-40, 0), False),
        (skews(0, 40), False),
        (skews(0, -40), False),
        (skews(40, 40), True),
        (skews(-40, -40), True),
    ],
    ids=["spike", "hour", "stamps+", "stamps-", "headers+", "headers-", "both+", "both-"],
)
def test_no_candle_goes_out_before_its_end_whatever_clock_lies(
    faults: Faults, is_halted: bool, has_cst: bool, tmp_path: Path
) -> None:
    scenario = Scenario(PAIR, faults=faults, switches=Switches(has_cst=has_cst))

    daemon = streamed(scenario, tmp_path)

    # A venue whose clocks are all ahead may be right: then the skew that is allowed bounds it, and nothing is entered.
    assert early_ms(tmp_path) <= (30_000 if is_halted else 0)
    causes = [(halt.cause, halt.is_on) for _, halt in halts_of(tmp_path)]
    assert causes == ([(Cause.CLOCK, True), (Cause.CLOCK, False)] if is_halted else [])
    if is_halted:
        begin_ms, end_ms = (at for at, _ in halts_of(tmp_path))
        entries = [ms for ms, reason in fills_of(tmp_path) if reason == REASON_ENTRY]
        assert not [ms for ms in entries if begin_ms <= ms < end_ms]
    assert_replayable(scenario, daemon, tmp_path)


@pytest.mark.parametrize(("kind", "symbol"), [("disruption", "AAA"), ("disruption", ""), ("maintenance", "")])
def test_nothing_fills_and_nothing_is_ordered_while_the_venue_says_that_nothing_trades(
    kind: str, symbol: str, tmp_path: Path
) -> None:
    """The disruption lasts from 1:35 to 5:35, its auction to 6:35: candles 1 to 5 close in it, 6 is the first after it."""
    pair = (tape("AAA", 40, 3), tape("BBB", 40, 4))
    faults = Faults.single(kind, 95_000, 240_000, symbol=symbol)
    scenario = Scenario(pair, faults=faults)

    daemon = streamed(scenario, tmp_path)

    concerned = [0] if symbol else [0, 1]
    told = [(halt.symbol, halt.is_on) for _, halt in halts_of(tmp_path)]
    assert told == [(number, is_on) for is_on in (True, False) for number in concerned]
    fills = column(tmp_path, "SELECT candle_ms FROM fills WHERE symbol = 'AAA'")
    assert fills
    assert not [ms for ms in fills if FIRST_MS + MINUTE_MS <= ms < FIRST_MS + 6 * MINUTE_MS]
    with Journal.read(tmp_path) as journal:
        refused = journal.all("SELECT time_ms, refused FROM decisions WHERE symbol = 'AAA' AND refused != 0")
    assert {reason for _, reason in refused} <= {REFUSED_MARKET}
    assert all(FIRST_MS + 2 * MINUTE_MS <= ms <= FIRST_MS + 6 * MINUTE_MS for ms, _ in refused)
    assert_replayable(scenario, daemon, tmp_path)


@pytest.mark.parametrize("delisting", ["told", "silent"])
@pytest.mark.parametrize("delisted", ["expired", "unlisted"])
def test_a_symbol_that_goes_is_told_within_a_candle_and_the_others_go_on(
    delisted: Any, delisting: Any, tmp_path: Path
) -> None:
    pair = (tape("AAA", 40, 3), tape("BBB", 40, 4))
    switches = Switches(delisted=delisted, delisting=delisting)
    gone_ms = 20 * MINUTE_MS + 30_000
    scenario = Scenario(pair, faults=Faults.single("delisting", gone_ms, symbol="AAA"), switches=switches)

    daemon = streamed(scenario, tmp_path)

    rows = journalled(tmp_path)
    gone, other = rows[rows["symbol"] == 0], rows[rows["symbol"] == 1]
    np.testing.assert_array_equal(other["close"], pair[1].candles["close"])
    assert len(gone) == 40
    assert not gone["volume"][21:].any()  # padded by the history until the symbol is known to be gone
    assert (gone["flag_bits"][21 if delisting == "told" else 24 :] & FLAG_ABSENT != 0).all()
    told = column(
        tmp_path, "SELECT time_ms FROM notices WHERE symbol = 'AAA' AND detail LIKE 'no longer listed%'"
    )
    # A venue that says nothing is found out by the first candle that nobody traded in.
    late_ms = 2_000 if delisting == "told" else 150_000
    assert len(told) == 1
    assert told[0] - FIRST_MS - gone_ms < late_ms
    assert [(halt.cause, halt.symbol) for _, halt in halts_of(tmp_path)] == [(Cause.GONE, 0)]
    assert float(daemon.engine.positions["quantity"][0]) == 0.0
    (closed,) = (price for price, reason in fills_of(tmp_path, "price") if reason == REASON_DELISTED)
    assert closed == float(gone["close"][20])
    assert_replayable(scenario, daemon, tmp_path)


@pytest.mark.parametrize("delisted", ["expired", "unlisted"])
def test_an_account_starts_again_without_a_symbol_that_is_gone(delisted: Any, tmp_path: Path) -> None:
    pair = (tape("AAA", 40, 3), tape("BBB", 40, 4))
    first = Scenario([one.between(None, FIRST_MS + 19 * MINUTE_MS) for one in pair])
    streamed(first, tmp_path)
    faults = Faults.single("delisting", 0, symbol="AAA")
    again = Scenario(pair, start=20, faults=faults, switches=Switches(delisted=delisted))

    daemon = streamed(again, tmp_path)

    rows = journalled(tmp_path)
    gone, other = rows[rows["symbol"] == 0], rows[rows["symbol"] == 1]
    np.testing.assert_array_equal(other["close"], pair[1].candles["close"])
    assert (gone["flag_bits"][20:] & FLAG_ABSENT != 0).all()
    assert (gone["close"][20:] == gone["close"][19]).all()
    assert float(daemon.engine.positions["quantity"][0]) == 0.0
    assert verify_state(tmp_path).is_equal
    details = column(tmp_path, "SELECT detail FROM notices WHERE symbol = 'AAA'")
    assert sum(detail.startswith("no longer listed") for detail in details) == 1


def test_a_symbol_may_be_left_out_of_the_configuration_while_nothing_of_it_is_held(tmp_path: Path) -> None:
    pair = (tape("AAA", 40, 3), tape("BBB", 40, 4))
    first = Scenario([one.between(None, FIRST_MS + 19 * MINUTE_MS) for one in pair])
    held = streamed(first, tmp_path).engine.positions["quantity"]
    number = int(np.flatnonzero(held)[0]) if held.any() else 0
    assert held[number], "the seed of this tape leaves a position"
    kept = ["AAA", "BBB"][1 - number]
    without = Scenario(pair, start=20, live={"symbols": [kept]})

    with pytest.raises(ConfigError, match="flatten, and leave it out then"):
        streamed(without, tmp_path)


def test_a_symbol_that_is_left_out_while_flat_is_absent_and_the_account_goes_on(tmp_path: Path) -> None:
    async def flatten(daemon: Any, clock: Any) -> None:
        await clock.sleep(16 * 60.0)
        await daemon.command(Action.KILL)  # flat, and nothing is entered until resumed

    pair = (tape("AAA", 30, 3), tape("BBB", 30, 4))
    first = Scenario([one.between(None, FIRST_MS + 19 * MINUTE_MS) for one in pair], beside=flatten)
    streamed(first, tmp_path)

    daemon = streamed(Scenario(pair, start=20, live={"symbols": ["BBB"]}), tmp_path)

    rows = journalled(tmp_path)
    left, kept = rows[rows["symbol"] == 0], rows[rows["symbol"] == 1]
    np.testing.assert_array_equal(kept["close"], pair[1].candles["close"])
    assert (left["flag_bits"][20:] & FLAG_ABSENT != 0).all()
    assert bool(daemon.engine.positions["is_gone"][0])
    details = column(tmp_path, "SELECT detail FROM notices WHERE symbol = 'AAA'")
    assert sum(detail.startswith("no longer followed") for detail in details) == 1
    assert verify_state(tmp_path).is_equal
