"""
Live = replay: a tape streamed through real sockets into the daemon gives the digest of a plain replay of that tape.

For both protocols, all sources of candles, every answer to the open questions about the exchange, and faults of every
kind alone and mixed by a seed. A seed that fails is in the test's name and fails again.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, astuple, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.candles import FLAG_ABSENT, FLAG_FILLED
from papertape.engine.core import Engine
from papertape.engine.events import Action, Command
from papertape.engine.jit import join_rows
from papertape.replay.exchange import Switches
from papertape.replay.tapes.store import Tape
from tests.support.covering import covering
from tests.support.streams import Scenario, identity, journalled, quiet, replayed, streamed, tape

PAIR = (tape("AAA", 36, 3), tape("BBB", 36, 4))
LONG = (tape("AAA", 90, 3), tape("BBB", 90, 4))


# Minutes in which nobody traded every now and then: flat, without volume, as an exchange's history says.
QUIET = (quiet(tape("AAA", 30, 6), 5, 12, 13, 14, 24),)


def told_apart(switches: Switches) -> str:
    """Return what differs from the defaults, for a test's name."""
    plain = asdict(Switches())
    found = {k: v for k, v in asdict(switches).items() if v != plain[k]}
    return "-".join(f"{name}={value}" for name, value in found.items()) or "defaults"


def assert_equal(scenario: Scenario, state: Path) -> None:
    daemon = streamed(scenario, state)
    plain = replayed(scenario)

    assert daemon.engine.digest == plain.digest
    assert daemon.engine.snapshot() == plain.snapshot()


@pytest.mark.parametrize("candles", ["stream", "trades", "poll"])
@pytest.mark.parametrize("protocol", ["compact", "legacy", "auto"])
@pytest.mark.parametrize("tapes", [PAIR, pytest.param(LONG, marks=pytest.mark.slow)], ids=["short", "long"])
def test_every_protocol_and_source_of_candles(
    tapes: tuple[Tape, ...], protocol: str, candles: str, tmp_path: Path
) -> None:
    scenario = Scenario(tapes, protocol=protocol, candles=candles)

    daemon = streamed(scenario, tmp_path)
    plain = replayed(scenario)

    assert int(daemon.engine.account[0].trades) > 0
    assert daemon.engine.digest == plain.digest
    assert daemon.engine.snapshot() == plain.snapshot()
    assert verify_state(tmp_path).is_equal


@pytest.mark.slow
def test_with_every_concept_of_market_structure_on(tmp_path: Path) -> None:
    assert_equal(Scenario(LONG, features=("smc", "smc_10_3_50@5m")), tmp_path)


COMBINATIONS = list(Switches.combinations())
FEW = COMBINATIONS[:: max(len(COMBINATIONS) // 12, 1)]
# Candle by candle all of them reach the feed, in tests/daemon/feeds/delta/test_against_exchange.py. The whole daemon meets
# every three answers together, and with `make chaos` all of them.
MANY = covering(COMBINATIONS, [astuple(each) for each in COMBINATIONS])


@pytest.mark.parametrize("switches", FEW, ids=told_apart)
def test_some_answers_to_the_open_questions(switches: Switches, tmp_path: Path) -> None:
    assert_equal(Scenario(QUIET, switches=switches), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "switches", COMBINATIONS if "PAPERTAPE_SEEDS" in os.environ else MANY, ids=told_apart
)
def test_every_answer_to_the_open_questions(switches: Switches, tmp_path: Path) -> None:
    assert_equal(Scenario(QUIET, switches=switches), tmp_path)


def test_few_answers_hold_all_that_three_can_be_together() -> None:
    def threes(found: list[Switches]) -> set[frozenset[tuple[str, Any]]]:
        settings = [asdict(each).items() for each in found]
        return {frozenset(three) for each in settings for three in combinations(each, 3)}

    assert len(MANY) < len(COMBINATIONS) // 5
    assert threes(MANY) == threes(COMBINATIONS)


SINGLE: Mapping[str, Any] = {
    "numbers": ("strings", "ints"),
    "heartbeat": ("bare", "stops"),
    "rest_cap": (2000,),
    "trades_list": ("object",),
    "trail_ms": (1500,),
}


@pytest.mark.parametrize(
    "switches",
    [
        *(replace(Switches(), **{k: v}) for k, values in SINGLE.items() for v in values),
        *(Switches(rest_lag_s=4.0, rest_lag=lag) for lag in ("absent", "flat", "partial")),
    ],
    ids=told_apart,
)
def test_every_further_question_alone(switches: Switches, tmp_path: Path) -> None:
    assert_equal(Scenario(QUIET, switches=switches), tmp_path)


@pytest.mark.parametrize("has_padding", [True, False])
def test_a_hole_in_the_tape_is_what_the_venue_makes_of_it(has_padding: bool, tmp_path: Path) -> None:
    """Padded by the venue it is a flat candle without trades; left out it is declared absent, as a replay does."""
    whole = tape("AAA", 60, 9)
    keep = np.ones(60, bool)
    keep[[11, 12, 30]] = False
    holed = Tape(whole.candles[keep], "binance-usdm", "AAA", "1m")
    scenario = Scenario((holed,), switches=Switches(has_padding=has_padding))

    daemon = streamed(scenario, tmp_path)

    rows = journalled(tmp_path)
    flag = FLAG_FILLED if has_padding else FLAG_ABSENT
    holes = rows[~keep]
    assert len(rows) == 60
    assert (holes["flag_bits"] & flag != 0).all()
    assert (holes["open"] == rows["close"][np.flatnonzero(~keep) - 1]).all()
    plain = replayed(scenario, None if not has_padding else [rows])
    assert daemon.engine.digest == plain.digest


def test_history_warms_up_and_trades_nothing(tmp_path: Path) -> None:
    """Entries are paused until the first candle that came in time; replayed with the same commands it is the same."""
    scenario = Scenario(LONG, start=40, live={"history_bars": 30})

    daemon = streamed(scenario, tmp_path)

    with Journal.read(tmp_path) as journal:
        inputs = list(journal.inputs())
    commands = [i.event.action for i in inputs if isinstance(i.event, Command)]
    resumed = next(k for k, i in enumerate(inputs) if k and isinstance(i.event, Command))
    warm = join_rows([i.event for i in inputs[:resumed] if isinstance(i.event, np.ndarray)])
    engine = Engine(identity(scenario, tmp_path).spec)
    for found in inputs:
        engine.step(found.event)
    fills = engine_fills(tmp_path)
    assert commands == [Action.PAUSE, Action.RESUME]
    assert len(warm) >= 2 * 29  # the newest one came in time and ended the warm-up
    assert (fills > warm["open_ms"][-1]).all()
    assert daemon.engine.digest == engine.digest


def engine_fills(state: Path) -> Any:
    with Journal.read(state) as journal:
        return np.array([row[0] for row in journal.all("SELECT candle_ms FROM fills")])
