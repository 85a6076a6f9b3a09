"""
When a candle is final, seen through sockets and a whole daemon: thin markets hold nobody up, silence is no candle, and
what comes right while an instant waits is used.

The times are the virtual clock's, so they are exact: an answer of the history takes no time here.
"""

from pathlib import Path

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.engine.candles import FLAG_ABSENT
from papertape.replay.exchange import Faults, Switches
from papertape.replay.tapes.store import Tape
from tests.support.streams import Scenario, journalled, quiet, replayed, streamed, tape

MINUTE_MS = 60_000
LAST_LOOK_MS = 8_000
GRACE_MS = 30_000
BUSY = tape("AAA", 24, 3)


def delays_ms(state: Path) -> list[int]:
    """Return how long after its end each instant was there."""
    with Journal.read(state) as journal:
        found = [(i.received_ms, i.event) for i in journal.inputs()]
    return [
        received_ms - int(open_ms) - MINUTE_MS
        for received_ms, rows in found
        if isinstance(rows, np.ndarray)
        for open_ms in np.unique(rows["open_ms"])
    ]


def told(state: Path, *kinds: str) -> list[tuple[str, int]]:
    """Return symbol and candle of the notices of some kinds."""
    with Journal.read(state) as journal:
        rows = journal.all("SELECT kind, symbol, open_ms FROM notices")
    return [(symbol, open_ms) for kind, symbol, open_ms in rows if kind in kinds]


slow = pytest.mark.slow
WAYS = [
    ("compact", "stream", Switches()),
    pytest.param("compact", "stream", Switches(has_cst=False, final_frame="late"), marks=slow),
    pytest.param("compact", "stream", Switches(no_trade="null"), marks=slow),
    pytest.param("compact", "stream", Switches(no_trade="flat", no_trade_at="both"), marks=slow),
    pytest.param("compact", "trades", Switches(), marks=slow),
    pytest.param("compact", "poll", Switches(), marks=slow),
    pytest.param("legacy", "stream", Switches(final_frame="missing"), marks=slow),
]


@pytest.mark.parametrize(("protocol", "candles", "switches"), WAYS)
def test_quiet_minutes_after_a_start_are_no_gaps(
    protocol: str, candles: str, switches: Switches, tmp_path: Path
) -> None:
    pair = (BUSY, quiet(tape("BBB", 24, 4), *range(2, 16)))
    scenario = Scenario(pair, 5, protocol, candles, switches)

    daemon = streamed(scenario, tmp_path)

    assert daemon.engine.digest == replayed(scenario).digest
    assert told(tmp_path, "absent", "unconfirmed", "gap") == []
    assert max(delays_ms(tmp_path)) <= LAST_LOOK_MS + 10


def test_a_market_silent_for_longer_than_the_look_back_has_not_traded(tmp_path: Path) -> None:
    pair = (tape("AAA", 268, 3), quiet(tape("BBB", 268, 4), *range(10, 265)))
    scenario = Scenario(pair, start=260)

    daemon = streamed(scenario, tmp_path)

    assert daemon.engine.digest == replayed(scenario).digest
    assert told(tmp_path, "absent", "unconfirmed", "gap") == []
    assert max(delays_ms(tmp_path)) <= LAST_LOOK_MS + 10


def test_a_history_that_leaves_out_what_did_not_trade_holds_nobody_up(tmp_path: Path) -> None:
    """What is missing is absent, as in a replay of the same tape with holes, and known so at the last look."""
    holed = quiet(tape("BBB", 24, 4), *range(5, 16), has_rows=False)
    scenario = Scenario((BUSY, holed), start=5, switches=Switches(has_padding=False))

    streamed(scenario, tmp_path)

    rows = journalled(tmp_path)
    missing = rows[(rows["symbol"] == 1) & (rows["flag_bits"] & FLAG_ABSENT != 0)]
    assert missing["open_ms"].tolist() == BUSY.candles["open_ms"][5:16].tolist()
    assert (missing["close"] == holed.candles["close"][4]).all()
    # The stream did not listen to the first one from its beginning: that one gets the whole grace period.
    first_ms, *later_ms = delays_ms(tmp_path)
    assert first_ms <= GRACE_MS + 10
    assert max(later_ms) <= LAST_LOOK_MS + 10


def test_a_later_trade_proves_a_hole(tmp_path: Path) -> None:
    """Of a market that trades every other minute, the first trade of the next one is what there is to wait for."""
    whole = tape("AAA", 24, 3)
    keep = np.arange(24) % 2 == 0
    holed = Tape(whole.candles[keep], whole.venue, "AAA", "1m")
    scenario = Scenario((holed,), switches=Switches(has_padding=False, publishing="every_trade"))

    daemon = streamed(scenario, tmp_path)

    absent = journalled(tmp_path)["flag_bits"] & FLAG_ABSENT != 0
    assert absent.tolist() == (~keep[:-1]).tolist()
    assert daemon.engine.digest == replayed(scenario).digest
    assert max(np.array(delays_ms(tmp_path))[absent]) <= LAST_LOOK_MS + 10


@pytest.mark.parametrize("symbol", ["", "BBB"])
@pytest.mark.parametrize("candles", ["stream", "trades"])
def test_a_silent_stream_makes_no_candle_at_the_deadline(candles: str, symbol: str, tmp_path: Path) -> None:
    """Heard last a quarter into the minute, history down until 15 s after its end: what was seen is not the candle."""
    faults = Faults.single("blind", 75_000, 60_000, symbol=symbol)
    scenario = Scenario((BUSY, tape("BBB", 24, 4)), candles=candles, faults=faults)

    daemon = streamed(scenario, tmp_path)

    assert daemon.engine.digest == replayed(scenario).digest
    assert told(tmp_path, "unconfirmed", "absent", "correction") == []


def test_what_comes_right_while_an_instant_waits_is_used(tmp_path: Path) -> None:
    """A's last frame is missing and the history is down past A's deadline: B, of which nothing is known, is waited for."""
    faults = Faults.single("missing_final", 0, 600_000, symbol="AAA") | Faults.single(
        "blind", 75_000, 60_000, symbol="BBB"
    )
    scenario = Scenario((BUSY, tape("BBB", 24, 4)), faults=faults)

    daemon = streamed(scenario, tmp_path)

    assert daemon.engine.digest == replayed(scenario).digest
    assert told(tmp_path, "unconfirmed", "absent", "correction") == []


@pytest.mark.parametrize("protocol", ["compact", "legacy"])
def test_a_late_history_behind_a_cache_is_not_taken_for_a_newer_one(protocol: str, tmp_path: Path) -> None:
    """Five seconds behind, equal addresses answered alike for a minute, and no last frames: each look asks anew."""
    faults = Faults.single("missing_final", 0, 900_000)
    for kind, amount in (("rest_lag_partial", 5.0), ("rest_cached", 60.0)):
        faults |= Faults.single(kind, 0, 900_000, amount=amount)
    scenario = Scenario((BUSY,), protocol=protocol, faults=faults)

    daemon = streamed(scenario, tmp_path)

    assert daemon.engine.digest == replayed(scenario).digest
    assert told(tmp_path, "unconfirmed", "absent", "correction") == []


def test_a_wait_is_counted_for_the_symbol_that_was_waited_for(tmp_path: Path) -> None:
    scenario = Scenario((BUSY, quiet(tape("BBB", 24, 4), *range(5, 16))), start=5)

    daemon = streamed(scenario, tmp_path)

    waited = daemon.stats.waited_ms
    assert 0 <= waited["AAA"] < waited["BBB"] <= sum(delays_ms(tmp_path))
