"""A walk-forward is one replay whose parameters switch, and nothing of it knows what came later."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape import backtest, walkforward
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError, InvariantError
from papertape.engine.strategies import EmaCross
from papertape.replay.backtesting import prepare
from papertape.replay.config.spec import make_spec
from papertape.replay.research.sweep.parts import span
from papertape.replay.research.walkforward import run as walk_run
from papertape.replay.research.walkforward import search as walk_search
from papertape.replay.research.walkforward.page import doubts_of
from papertape.replay.research.walkforward.result import WalkResult
from papertape.replay.tapes.synthetic import synthesize
from tests.engine.decisions.test_turns import ByHand

TAPE = synthesize("regimes", 1_100, "1h", seed=5, symbol="SYNTH")
GRID: dict[str, Any] = {"strategy.parameters.fast": [3, 6, 12], "strategy.parameters.slow": [20, 40]}
SETTINGS: dict[str, Any] = {
    "strategy": "ema_cross",
    "account": {"sizing": "all_in"},
    "use_ml": False,
    "train": "15d",
    "test": "6d",
    "report": {"sensitivity": False, "random_draws": 0, "benchmarks": False, "regimes": False},
}


def walk(out: Path, grid: Any = GRID, **more: Any) -> WalkResult:
    return walkforward(grid, TAPE, out=out, **{"workers": 1, **SETTINGS, **more})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> WalkResult:
    return walk(tmp_path_factory.mktemp("walk") / "a")


def test_it_says_what_its_account_says_of_itself(found: WalkResult) -> None:
    account = json.loads((found.folder / "account" / "result.json").read_text())

    assert account["warnings"][0].startswith("SYNTHETIC DATA")
    assert doubts_of(found)[: len(account["warnings"])] == account["warnings"]
    assert found.page is not None
    assert "SYNTHETIC DATA" in found.page.read_text()


def test_candles_after_the_last_window_are_said_to_be_left_out(found: WalkResult) -> None:
    """1,100 hours begin with 15 days to look back on and the gap; tests of 6 days follow while a whole one fits."""
    gap_h = found.plan.gap_ms // 3_600_000
    left_h = (1_100 - 15 * 24 - gap_h) % (6 * 24)

    said = f"the last {left_h / 24:.1f} days of the candles are in no window, which would need 6: left out"
    assert left_h > 0
    assert said in doubts_of(found)
    whole = walkforward(
        GRID,
        TAPE.between(None, found.rows[-1].window.end_ms - 1),
        out=found.folder / "whole",
        **{"workers": 1, **SETTINGS},
    )
    assert not any("in no window" in line for line in doubts_of(whole))


def test_the_account_is_a_replay_that_switches_at_the_stated_instants(found: WalkResult) -> None:
    assert found.config is not None
    assert (len(found.rows), found.checked) == (4, [0, 1, 3])
    chosen = [
        (row.chosen["strategy.parameters.fast"], row.chosen["strategy.parameters.slow"]) for row in found.rows
    ]
    assert len(set(chosen)) > 1

    # As somebody would write it, without a schedule.
    spec = make_spec(found.config, [TAPE])
    starts = [row.window.test_ms for row in found.rows]
    by_hand = ByHand([EmaCross(*pair) for pair in chosen], starts)
    engine = Engine(replace(spec, strategy=by_hand, starts_ms=0, turns=()))
    opens = TAPE.candles["open_ms"]
    engine.step(TAPE.candles[opens < found.rows[-1].window.end_ms])

    assert engine.digest == found.digest
    assert backtest(TAPE, config=found.config).digest == found.digest


def test_windows_add_up_to_the_account(found: WalkResult) -> None:
    returns = [row.returned for row in found.rows]

    assert np.prod([1.0 + value for value in returns if value is not None]) - 1.0 == pytest.approx(
        found.metrics["total_return"], rel=1e-12
    )
    equity = backtest(TAPE, config=found.config).equity["equity"]
    first = int((found.rows[0].window.test_ms - int(TAPE.candles["open_ms"][0])) // 3_600_000)
    assert equity.iloc[:first].nunique() == 1  # nothing is traded before the first switch
    assert equity.iloc[-1] / equity.iloc[0] - 1.0 == pytest.approx(found.metrics["total_return"])
    assert list(found.table["trial"]) == [row.trial for row in found.rows]


def test_ranks_and_values_are_those_of_the_trials(found: WalkResult) -> None:
    trials = pd.read_parquet(found.folder / "trials.parquet").set_index("number").sort_index()
    for row in found.rows:
        base = 12 * row.window.number
        seen, tested = (trials.iloc[base : base + 6]["sharpe"], trials.iloc[base + 6 : base + 12]["sharpe"])
        places = tested.rank(method="min", ascending=False)

        assert row.in_sample == seen.iloc[row.trial]
        assert row.ranked == tested.notna().sum()
        assert row.peak_rank == places.iloc[int(np.nanargmax(seen))]
        assert row.chosen_rank == row.plateau_rank == places.iloc[row.trial]


def test_a_trial_sees_nothing_later_than_its_part(found: WalkResult) -> None:
    window = found.rows[1].window
    fast, slow = found.rows[1].chosen.values()
    opens = TAPE.candles["open_ms"]
    seen = replace(TAPE, candles=TAPE.candles[(opens >= window.train_ms) & (opens < window.seen_ms)])
    settings = {name: value for name, value in SETTINGS.items() if name not in ("train", "test")}

    alone = backtest(seen, parameters={"fast": fast, "slow": slow}, **settings)

    trials = pd.read_parquet(found.folder / "trials.parquet").set_index("number")
    assert trials.loc[12 + found.rows[1].trial, "digest"] == alone.digest
    assert found.rows[1].in_sample == alone.metrics["sharpe"]


def test_workers_interrupts_and_resuming_change_nothing(found: WalkResult, tmp_path: Path) -> None:
    def stop(what: str, done: int, of: int) -> None:
        if done == 9:
            raise KeyboardInterrupt

    cut = walk(tmp_path / "b", workers=2, progress=stop)
    assert (cut.left, list(cut.rows), cut.config) == (48 - 9, [], None)

    again = walk(tmp_path / "b", workers=2)

    assert [row.to_json() for row in again.rows] == [row.to_json() for row in found.rows]
    assert (again.digest, again.metrics) == (found.digest, found.metrics)
    # The choice is no part of the trials: none runs again for another one.
    peak = walk(tmp_path / "b", choose="peak", at_switch="close", progress=stop)
    assert all(row.chosen_rank == row.peak_rank for row in peak.rows)
    assert peak.digest != found.digest
    with pytest.raises(DataError, match="another search"):
        walk(tmp_path / "b", embargo="1d")


class TestLeaks:
    """What must not be: each is planted, and noticed."""

    def test_parameters_chosen_on_the_test(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        choice = walk_run._choice
        monkeypatch.setattr(
            walk_run,
            "_choice",
            lambda search, values, number, by: choice(search, values[:, ::-1], number, by),
        )
        told = "not those that its trials in sample choose.* is called untrusted-trials.parquet"
        with pytest.raises(InvariantError, match=told):
            walk(tmp_path / "a")
        assert not (tmp_path / "a" / "trials.parquet").exists()

    def test_trials_that_look_into_the_gap(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        changes = walk_search.Search.changes

        def further(self: Any, number: int) -> dict[str, Any]:
            window = self.windows[self.place(number).window]
            return changes(self, number) | span(window.train_ms, window.end_ms)

        monkeypatch.setattr(walk_search.Search, "changes", further)
        with pytest.raises(InvariantError, match="it knew what came later"):
            walk(tmp_path / "a")

    def test_a_gap_that_was_left_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make = walk_run.make_windows
        monkeypatch.setattr(
            walk_run, "make_windows", lambda *all_: [w._replace(seen_ms=w.test_ms) for w in make(*all_)]
        )
        with pytest.raises(AssertionError):
            walk(tmp_path / "a")

    @pytest.mark.parametrize("is_choice_checked", [True, False])
    def test_scaling_over_all_candles(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_choice_checked: bool
    ) -> None:
        cut = prepare._cut

        def scaled(tape: Any, config: Any) -> Any:
            rows = cut(tape, config).copy()
            for name in ("open", "high", "low", "close"):
                rows[name] /= tape.candles["close"].std()  # of what was and what will be
            return rows

        monkeypatch.setattr(prepare, "_cut", scaled)
        if not is_choice_checked:
            monkeypatch.setattr(walk_run, "check_choice", lambda *_: None)
        with pytest.raises(InvariantError, match="knew what came later"):
            walk(tmp_path / "a")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"grid": {"account.risk_fraction": [0.01, 0.02]}}, "can switch parameters of its strategy alone"),
        ({"train": "400d"}, "the candles last 45.8 days, and one window needs"),
        ({"train": "soon"}, "--train soon: write a number"),
        ({"choose": "best"}, "--choose best: unknown"),
        ({"by": "sharp"}, "--by sharp: no such metric"),
        ({"at_switch": "clse"}, "--at-switch clse: unknown: did you mean 'close'"),
        ({"train": "0d"}, "--train: it holds no candle"),
        ({"workers": 0}, "--workers 0"),
        ({"purge": "30m"}, "--purge: 0.5 hours are not whole candles"),
    ],
)
def test_what_cannot_be_walked_is_one_sentence(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        walk(tmp_path / "a", **more)

    assert not (tmp_path / "a").exists()  # no trial was run for it


def test_a_window_without_a_value_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in window 0 none of 1 trials has a value of profit_factor"):
        walk(tmp_path / "a", {"strategy.parameters.slow": [2_000]}, by="profit_factor")
