"""One's own features live: what a replay makes of them, through new starts and versions, and what is told when one fails."""

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows
from papertape.engine.report import StrategyFault
from tests.support.helpers import START_MS
from tests.support.journals import candles, identity, recorded

ROWS = candles(500)
OWN = "tests.support.own_features"
STRATEGY = {"name": f"{OWN}:Mixed"}
HOUR_MS = 3_600_000


def about(state: Path, **sections: Any) -> Any:
    signals = {
        "own_features": [f"{OWN}:wilder", f"{OWN}:stretch"],
        "extra_features": ["stretch@15m"],
        "use_smc": False,
        "retrain_every": "never",
    }
    values = {"strategy": STRATEGY, "signals": signals, "daemon": {"state": str(state)}, **sections}
    return identity(**values)


def run(state: Path, rows: Rows, sections: Any = None, **hooks: Any) -> RunningDaemon:
    open_feed = recorded(rows, 20)
    account = about(state, **(sections or {}))
    return asyncio.run(serve(account, open_feed, Hooks(**hooks), is_virtual=True))


@pytest.mark.slow
def test_live_is_the_replay_also_when_it_starts_anew(tmp_path: Path) -> None:
    plain = Engine(about(tmp_path).spec)
    report = plain.step(ROWS)
    assert not report.faults
    assert len(report.fills) > 30

    whole = run(tmp_path / "whole", ROWS)
    run(tmp_path / "twice", ROWS[:510])  # 255 instants: within a batch and a candle of the strategy
    twice = run(tmp_path / "twice", ROWS)

    assert whole.engine.digest == twice.engine.digest == plain.digest
    assert twice.engine.snapshot() == whole.engine.snapshot()
    for state in (tmp_path / "whole", tmp_path / "twice"):
        assert verify_state(state, trust_code=True).is_equal


def test_code_that_a_state_names_as_a_feature_is_not_run_until_it_is_trusted(tmp_path: Path) -> None:
    run(tmp_path, ROWS[:40], {"strategy": {"name": "rsi_reversion"}})

    with pytest.raises(ConfigError, match=f"feature {OWN}:wilder .*--trust-code"):
        verify_state(tmp_path)
    assert verify_state(tmp_path, trust_code=True).is_equal


def test_an_account_keeps_the_features_that_it_was_opened_with(tmp_path: Path) -> None:
    run(tmp_path, ROWS[:40])
    signals = {"use_smc": False, "retrain_every": "never", "extra_features": ["ema_5"]}

    with pytest.raises(ConfigError, match=r"signals\.own_features: .* with which the journal began"):
        run(tmp_path, ROWS[:80], {"signals": signals})


MODULE = """
class Level:
    name = "level"
    state_fields = ("bars",)

    def update(self, candle):
        self.bars += 1
        return {value}

level = Level()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(tmp_path)
    numbers = iter(range(9))

    def write(value: str) -> dict[str, Any]:
        name = f"level_of_mine_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(MODULE.format(value=value))
        signals = {
            "own_features": [f"{name}:level"],
            "extra_features": ["level"],
            "use_smc": False,
            "retrain_every": "never",
        }
        strategy = {"name": f"{OWN}:Holder"}
        return {"signals": signals, "strategy": strategy, "account": {"sizing": "fraction"}}

    return write


def test_a_feature_that_fails_pauses_entries_and_leaves_stops_and_is_told_once(
    tmp_path: Path, module: Any
) -> None:
    sections, told = module("'high' if self.bars in (30, 31) else candle.close"), []
    state = tmp_path / "state"

    daemon = run(state, ROWS, sections, on_fault=told.append)

    assert all(isinstance(fault, StrategyFault) for fault in told)
    assert [fault.symbol for fault in told] == ["AAA", "BBB"]
    assert told[0].time_ms == START_MS + 30 * HOUR_MS
    sentence = (
        f"strategy {OWN}:Holder: AAA, candle closed 2020-01-02T06:00:00Z: feature level: it returned 'high'"
    )
    assert str(told[0]).startswith(sentence)
    with Journal.read(state) as journal:
        notices = journal.all("SELECT detail FROM notices WHERE kind = 'strategy' ORDER BY id")
    assert [detail for (detail,) in notices] == [str(fault) for fault in told]
    assert daemon.engine.account["is_paused"][0] == PAUSED_BY_FAULT
    assert (daemon.engine.positions["stop_price"] > 0).all()
    assert daemon.engine.account["instants"][0] == 500
    again = Engine(about(state, **sections).spec)
    again.step(ROWS)
    assert again.digest == daemon.engine.digest
    assert verify_state(state, trust_code=True).is_equal


def test_a_snapshot_of_another_version_of_a_feature_is_not_used(tmp_path: Path, module: Any) -> None:
    sections = module("candle.close")
    name = sections["signals"]["own_features"][0].partition(":")[0]
    state, recovered = tmp_path / "state", []
    run(state, ROWS[:400], sections)
    (tmp_path / f"{name}.py").write_text(MODULE.format(value="candle.close + 1.0"))
    del sys.modules[name]
    importlib.invalidate_caches()
    run(state, ROWS[:440], sections, on_recovered=recovered.append)

    assert "is of other sources; every input is stepped again" in recovered[0].told[0]
