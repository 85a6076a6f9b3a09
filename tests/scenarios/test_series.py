"""Series of a venue in a whole daemon, through its sockets: journalled before their candles, kept by a restart and a replay."""

from pathlib import Path
from typing import Any

import numpy as np

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.daemon.venues import opener, sim_identity
from papertape.engine.core import Engine
from papertape.engine.events import SeriesRows
from papertape.engine.jit import Rows, join_rows
from papertape.engine.records import INDEX_PRICE, MARK_PRICE, OPEN_INTEREST
from papertape.engine.strategies import Decision
from papertape.replay.config import make_config
from papertape.replay.tapes.synthetic import synthesize
from papertape.replay.tapes.tape import Tape
from tests.support.loopback import in_virtual_time

MINUTE_MS = 60_000
HISTORY, N = 17, 36  # half of the tape at most
TAPE = synthesize("noise", N, "1m", seed=3, symbol="BTCUSDT")
STRATEGY = f"{__name__}:ByTheIndex"


class ByTheIndex:
    """Long where the last price is above the index, short where it is not, while mark and open interest are known."""

    features = ("mark_premium", "index_premium", "open_interest", "open_interest_change_1")

    def decide(self, view: Any) -> Decision | None:
        if any(view[name] != view[name] for name in self.features):
            return None
        return Decision(1 if view["index_premium"] > 0.0 else -1)


def account(state: Path, tape: Tape, strategy: str = STRATEGY, **live: Any) -> Identity:
    values = {
        "strategy": {"name": strategy},
        "account": {"sizing": "fraction", "fixed_fraction": 0.5},
        "data": {"timeframe": "1m"},
        "signals": {"use_ml": False, "use_smc": False},
        "live": {"venue": "sim", "history_bars": HISTORY, "tape_times": "recorded", **live},
        "market": {"kind": "perpetual"},
        "daemon": {"state": str(state)},
    }
    return sim_identity(make_config(values), [tape])


def run(state: Path, tape: Tape = TAPE, **about: Any) -> RunningDaemon:
    """Stream a tape's candles behind its history, or behind what the journal has, to the last one."""
    who = account(state, tape, **about)
    return in_virtual_time(serve(who, opener(who, [tape]), Hooks(), is_virtual=True))


def told(state: Path) -> tuple[list[Any], Rows]:
    """Return every input in order, and the rows of series among them."""
    with Journal.read(state) as journal:
        events = [each.event for each in journal.inputs()]
    rows = [event.rows for event in events if isinstance(event, SeriesRows)]
    return events, join_rows(rows) if rows else np.zeros(0)


def test_what_the_venue_tells_is_journalled_before_the_candle_that_sees_it(tmp_path: Path) -> None:
    daemon = run(tmp_path)

    events, rows = told(tmp_path)
    candles = TAPE.candles
    closes = candles["open_ms"] + MINUTE_MS
    live_closes = closes[HISTORY:]
    for kind in (MARK_PRICE, INDEX_PRICE, OPEN_INTEREST):
        own = rows[rows["kind"] == kind]
        assert not np.isnan(own["value"]).any()
        # One row for every candle that was streamed, known within it.
        assert (-(-own["known_ms"] // MINUTE_MS) * MINUTE_MS).tolist() == live_closes.tolist()
    reached_ms = 0
    for event in events:
        if isinstance(event, SeriesRows):
            assert (event.rows["known_ms"] > reached_ms).all()
        elif isinstance(event, np.ndarray):
            reached_ms = int(event["open_ms"][-1]) + MINUTE_MS

    # The exchange's mark and index are its last price, which lies in the range of the candle.
    streamed = candles[HISTORY:]
    marks, index = rows[rows["kind"] == MARK_PRICE], rows[rows["kind"] == INDEX_PRICE]
    assert (marks["known_ms"] == live_closes).all()
    assert (marks["low"] >= streamed["low"]).all()
    assert (marks["high"] <= streamed["high"]).all()
    assert (marks["high"] > marks["low"]).all()
    assert (index["value"] >= streamed["low"]).all()
    assert (index["value"] <= streamed["high"]).all()
    # Its open interest is the volume of the last day in whole contracts, up to the candle before.
    contract = daemon.identity.markets[0].contract_value
    interest = rows[rows["kind"] == OPEN_INTEREST]["value"]
    expected = np.cumsum(candles["volume"])[HISTORY - 1 : -1]
    np.testing.assert_allclose(interest, expected, atol=contract * N)


def test_decisions_read_it_and_a_replay_of_the_journal_is_the_same_account(tmp_path: Path) -> None:
    daemon = run(tmp_path)

    assert verify_state(tmp_path, trust_code=True).is_equal
    again = Engine(account(tmp_path, TAPE).spec)
    reports = [again.step(event) for event in told(tmp_path)[0]]
    assert again.digest == daemon.engine.digest
    decided = np.concatenate([report.decisions["time_ms"] for report in reports])
    # The first change of open interest is known at the second candle of the stream.
    assert decided[0] >= TAPE.candles["open_ms"][HISTORY + 1] + MINUTE_MS
    assert len(decided) > 3
    assert sum(len(report.fills) for report in reports) > 3


def test_a_restart_keeps_what_was_known_and_goes_on(tmp_path: Path) -> None:
    half = Tape(TAPE.candles[: HISTORY + 8], TAPE.venue, TAPE.symbol, TAPE.timeframe)
    run(tmp_path / "twice", half)
    before = told(tmp_path / "twice")[1]
    twice = run(tmp_path / "twice")
    whole = run(tmp_path / "whole")

    after, plain = told(tmp_path / "twice")[1], told(tmp_path / "whole")[1]
    assert len(before) == 3 * 13  # of 25 candles twelve are history
    assert after[: len(before)].tolist() == before.tolist()
    assert not np.isnan(after["value"]).any()
    for kind in (MARK_PRICE, INDEX_PRICE, OPEN_INTEREST):
        ours, theirs = after[after["kind"] == kind], plain[plain["kind"] == kind]
        assert len(ours) == N - 12
        # What is known of a candle does not depend on when the daemon began.
        np.testing.assert_allclose(ours["value"][-len(theirs) :], theirs["value"], rtol=2e-3)
    assert verify_state(tmp_path / "twice", trust_code=True).is_equal
    assert twice.engine.account["instants"][0] == whole.engine.account["instants"][0] == N


def test_the_older_protocol_tells_the_same(tmp_path: Path) -> None:
    run(tmp_path / "compact")
    run(tmp_path / "legacy", protocol="legacy")

    kept = [told(tmp_path / name)[1] for name in ("compact", "legacy")]
    for kind in (MARK_PRICE, INDEX_PRICE, OPEN_INTEREST):
        one, other = (rows[rows["kind"] == kind]["value"] for rows in kept)
        np.testing.assert_allclose(one, other, rtol=1e-3)


def test_where_no_feature_asks_for_series_none_is_journalled(tmp_path: Path) -> None:
    run(tmp_path, strategy="ema_cross")

    assert len(told(tmp_path)[1]) == 0
