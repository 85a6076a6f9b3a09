"""A strategy that reads another symbol, live: what a replay makes of it, also with a leg that is late, and after a restart."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from papertape.daemon.app import serve
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows
from papertape.replay.exchange import Switches
from tests.support.journals import candles, identity, recorded
from tests.support.streams import Scenario, journalled, quiet, replayed, streamed, tape

STRATEGY = {"name": "tests.support.pair:Pair", "parameters": {"other": "BBB", "longer": "5m"}}
N = 60
MISSING = (*range(30, 36), 41, 50)


@pytest.mark.parametrize("source", ["stream", "poll"])
def test_a_leg_that_does_not_come_is_absent_and_the_other_goes_on(source: str, tmp_path: Path) -> None:
    """What the venue has no candle of is declared absent in time; the values joined then are those of a replay with the hole."""
    pair = (tape("AAA", N, 3), quiet(tape("BBB", N, 4), *MISSING, has_rows=False))
    switches = Switches(has_padding=False)
    scenario = Scenario(pair, candles=source, switches=switches, features=(), sections={"strategy": STRATEGY})

    daemon = streamed(scenario, tmp_path)

    rows = journalled(tmp_path)
    absent = rows[(rows["symbol"] == 1) & (rows["flag_bits"] & FLAG_ABSENT != 0)]
    assert absent["open_ms"].tolist() == pair[0].candles["open_ms"][list(MISSING)].tolist()
    assert np.count_nonzero(rows["symbol"] == 0) == N  # of the one that came nothing is missing
    assert int(daemon.engine.account[0].trades) > 2
    assert daemon.engine.digest == replayed(scenario).digest
    assert verify_state(tmp_path, trust_code=True).is_equal


ROWS = candles(600)
ROWS["flag_bits"][1::14] |= FLAG_ABSENT  # of the second market every seventh


def run(state: Path, rows: Rows, other: str = "BBB") -> RunningDaemon:
    about = identity(
        strategy={"name": "tests.support.pair:Pair", "parameters": {"other": other}},
        daemon={"state": str(state)},
    )
    return asyncio.run(serve(about, recorded(rows, 20), Hooks(), is_virtual=True))


def test_live_is_the_replay_also_when_it_starts_anew(tmp_path: Path) -> None:
    about = identity(strategy={"name": "tests.support.pair:Pair", "parameters": {"other": "BBB"}})
    plain = Engine(about.spec)
    assert len(plain.step(ROWS).trades) > 5

    whole = run(tmp_path / "whole", ROWS)
    run(tmp_path / "twice", ROWS[:610])  # 305 instants: within a batch and a candle of the strategy
    twice = run(tmp_path / "twice", ROWS)

    assert whole.engine.digest == twice.engine.digest == plain.digest
    assert twice.engine.snapshot() == whole.engine.snapshot()
    assert verify_state(tmp_path / "twice", trust_code=True).is_equal


def test_a_start_that_cannot_be_begins_no_account(tmp_path: Path) -> None:
    """The symbol is none of the run's; what stands in the folder then is no account that would refuse the right one."""
    with pytest.raises(ConfigError, match="BBC is not among the symbols of this run: did you mean 'BBB'"):
        run(tmp_path, ROWS, other="BBC")

    assert int(run(tmp_path, ROWS).engine.account[0].trades) > 5
