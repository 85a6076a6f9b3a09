"""
Live = replay under faults: each kind alone, mixtures from a seed, outages of minutes and hours, over midnight and over a
change of models. The daemon ends with the digest, features and model of a run that nothing disturbed.

PAPERTAPE_SEEDS is how many mixtures the long run tries (`make chaos`: 1,000).
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.runtime.daemon import RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.core import Engine
from papertape.engine.events import NewModel
from papertape.replay.exchange import Faults
from papertape.replay.exchange.faults import RECOVERABLE
from papertape.replay.learning.by_hand import fit_from_tape
from papertape.replay.runtime.clock import Clock
from papertape.replay.tapes.store import Tape
from tests.support.streams import Scenario, halts_of, identity, journalled, quiet, replayed, streamed, tape

MINUTE_MS = 60_000
SEEDS = int(os.environ.get("PAPERTAPE_SEEDS", "120"))
PAIR = (tape("AAA", 24, 3), tape("BBB", 24, 4))
BRIEF = (tape("AAA", 14, 3), tape("BBB", 14, 4))  # one fault takes four minutes at most
# Nobody trades in the second market for a while after the start, nor now and then.
THIN = (PAIR[0], quiet(PAIR[1], 1, 2, 3, 6, 10, 11, 15))


def assert_undisturbed(scenario: Scenario, state: Path) -> RunningDaemon:
    """Run a scenario and compare with a plain replay of its tapes, and of what the venue said of its markets."""
    daemon = streamed(scenario, state)
    plain = replayed(scenario, events=halts_of(state))

    found = journalled(state)
    for number, one in enumerate(scenario.tapes):
        rows = found[found["symbol"] == number]
        want = one.candles[scenario.start :]
        for name in ("open_ms", "open", "high", "low", "close", "volume"):
            np.testing.assert_array_equal(rows[name], want[name], err_msg=f"{one.symbol} {name}")
    assert daemon.engine.digest == plain.digest
    assert daemon.engine.snapshot() == plain.snapshot()
    return daemon


# Every kind reaches the feed by default, in tests/daemon/feeds/delta/test_against_exchange.py; here, each fourth one.
EACH = [
    pytest.param(kind, marks=[pytest.mark.slow] if number % 4 else [])
    for number, kind in enumerate(RECOVERABLE)
]


@pytest.mark.parametrize("kind", EACH)
def test_one_fault_of_every_kind(kind: str, tmp_path: Path) -> None:
    assert_undisturbed(Scenario(BRIEF, faults=Faults.single(kind, 95_000)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("candles", ["trades", "poll"])
@pytest.mark.parametrize("kind", RECOVERABLE)
def test_one_fault_of_every_kind_for_other_sources(kind: str, candles: str, tmp_path: Path) -> None:
    scenario = Scenario(BRIEF, candles=candles, faults=Faults.single(kind, 95_000))

    assert_undisturbed(scenario, tmp_path)


def assert_undisturbed_or_told(scenario: Scenario, state: Path) -> None:
    """
    Run a scenario; every candle is the tape's, or the journal says of it that the venue could not confirm it in time.

    A mixture may take the last frame of a candle and the history at once, for longer than the deadline: then the newest
    state that was seen is traded on, marked, and corrected in the record when the history is back.
    """
    daemon = streamed(scenario, state)

    found = journalled(state)
    with Journal.read(state) as journal:
        told = journal.all("SELECT symbol, open_ms FROM notices WHERE kind IN ('unconfirmed', 'correction')")
    for number, one in enumerate(scenario.tapes):
        rows = found[found["symbol"] == number]
        assert rows["open_ms"].tolist() == one.candles["open_ms"].tolist()
        for row, want in zip(rows, one.candles, strict=True):
            is_true = all(row[n] == want[n] for n in ("open", "high", "low", "close", "volume"))
            assert is_true or (one.symbol, int(row["open_ms"])) in told, (one.symbol, row, want)
    split = [found[found["symbol"] == number] for number in range(len(scenario.tapes))]
    assert daemon.engine.digest == replayed(scenario, split, halts_of(state)).digest


def mixture(seed: int) -> Scenario:
    faults = Faults.seeded(seed, 0, 12 * MINUTE_MS, symbols=("AAA", "BBB"))
    return Scenario(THIN if seed % 2 else PAIR, faults=faults, seed=seed)


@pytest.mark.parametrize("seed", range(6))
def test_some_mixtures(seed: int, tmp_path: Path) -> None:
    assert_undisturbed_or_told(mixture(seed), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, SEEDS))
def test_many_mixtures(seed: int, tmp_path: Path) -> None:
    assert_undisturbed_or_told(mixture(seed), tmp_path)


def test_a_correction_is_recorded_and_never_applied(tmp_path: Path) -> None:
    scenario = Scenario((PAIR[0],), faults=Faults.single("correction", 200_000))

    daemon = streamed(scenario, tmp_path)

    with Journal.read(tmp_path) as journal:
        kinds = [row[0] for row in journal.all("SELECT kind FROM notices")]
    assert "correction" in kinds
    assert daemon.engine.digest == replayed(scenario).digest


def midnight_tape(n: int, seed: int, before: int = 60) -> Tape:
    """Return minutes that begin so many before midnight."""
    one = tape("AAA", n, seed)
    rows = one.candles.copy()
    rows["open_ms"] += (24 * 60 - before) * MINUTE_MS
    return Tape(rows, "binance-usdm", "AAA", "1m")


@pytest.mark.parametrize("minutes", [3, 45])
def test_an_outage_changes_nothing_but_what_was_missed(minutes: int, tmp_path: Path) -> None:
    scenario = Scenario(
        (midnight_tape(25 + minutes, 7, 10),),
        faults=Faults.single("down", 5 * MINUTE_MS, minutes * MINUTE_MS),
    )

    assert_undisturbed(scenario, tmp_path)

    with Journal.read(tmp_path) as journal:
        outages = journal.all("SELECT * FROM outages")
    assert outages, "what came too late to be acted on is listed"
    assert verify_state(tmp_path).is_equal


@pytest.mark.slow
def test_hours_without_the_venue_over_midnight_with_every_concept_on(tmp_path: Path) -> None:
    scenario = Scenario(
        (midnight_tape(420, 8),),
        faults=Faults.single("down", 30 * MINUTE_MS, 300 * MINUTE_MS),
        features=("smc", "smc_10_3_50@5m", "rsi_14"),
    )

    assert_undisturbed(scenario, tmp_path)


def test_a_model_that_takes_over_during_an_outage_is_in_force_where_the_journal_says(tmp_path: Path) -> None:
    history = tape("AAA", 2_000, 11)
    artefact = fit_from_tape(history, "1m", horizon_bars=5)
    rows = history.candles[-60:].copy()
    rows["open_ms"] += 2_000 * MINUTE_MS  # candles that the model cannot have seen
    later = Tape(rows, "binance-usdm", "AAA", "1m")
    told: list[int] = []

    async def swap(daemon: RunningDaemon, clock: Clock) -> None:
        await clock.sleep(26 * 60.0)  # six minutes into the outage
        told.append(await daemon.offer(NewModel(1, artefact)))
        await asyncio.Event().wait()

    scenario = Scenario((later,), faults=Faults.single("down", 20 * MINUTE_MS, 15 * MINUTE_MS), beside=swap)

    daemon = streamed(scenario, tmp_path)

    with Journal.read(tmp_path) as journal:
        inputs = list(journal.inputs())
    at = next(k for k, i in enumerate(inputs) if isinstance(i.event, NewModel))
    before = [i.event for i in inputs[:at] if isinstance(i.event, np.ndarray)]
    n_before = sum(len(rows) for rows in before)
    engine = Engine(identity(scenario, tmp_path).spec)
    plain: list[Any] = [later.candles[:n_before], NewModel(1, artefact), later.candles[n_before:]]
    for event in plain:
        engine.step(event)
    assert told == [inputs[at].sequence]
    assert 15 < n_before < 40
    assert int(daemon.engine.account[0].model_version) == 1
    assert daemon.engine.digest == engine.digest
    assert daemon.engine.snapshot() == engine.snapshot()
