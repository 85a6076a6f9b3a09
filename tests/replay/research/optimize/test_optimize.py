"""A search proposes what its sampler makes of the trials before, whoever runs them, however often it is stopped."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

from papertape import backtest, optimize
from papertape.engine.errors import ConfigError, DataError
from papertape.replay.research.optimize import proposals
from papertape.replay.research.optimize.goals import MISSING, Constraint, parse_bounds
from papertape.replay.research.optimize.result import OptimizeResult, front
from papertape.replay.research.sweep import run as sweep_run
from papertape.replay.tapes.synthetic import synthesize

ROOT = Path(__file__).resolve().parents[4]
TAPE = synthesize("regimes", 300, "1h", seed=5, symbol="SYNTH")
FAST, SLOW = "strategy.parameters.fast", "strategy.parameters.slow"
GRID: dict[str, Any] = {FAST: "2:30", SLOW: "8:60", "market.taker_fee_rate": "0:0.002"}
SETTINGS: dict[str, Any] = {
    "strategy": "ema_cross",
    "account": {"sizing": "all_in"},
    "use_ml": False,
    "trials": 12,
    "batch": 4,
    "report": {"sensitivity": False, "random_draws": 0, "benchmarks": False, "regimes": False},
}


def search(out: Path, grid: Any = GRID, **more: Any) -> OptimizeResult:
    return optimize(grid, TAPE, out=out, **{"workers": 1, **SETTINGS, **more})


def plain(found: OptimizeResult) -> pd.DataFrame:
    return found.table.drop(columns="wall_s")


def lines(out: Path) -> list[bytes]:
    return (out / "trials.jsonl").read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> OptimizeResult:
    return search(tmp_path_factory.mktemp("search") / "a", least={"trades": 4})


def test_it_says_what_its_candles_are(found: OptimizeResult) -> None:
    assert found.doubts[0].startswith("SYNTHETIC DATA")
    assert found.page is not None
    assert "SYNTHETIC DATA" in found.page.read_text()


def test_trials_are_those_of_the_sampler_told_by_hand(found: OptimizeResult) -> None:
    table = found.table
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1))
    space: dict[str, Any] = {
        FAST: optuna.distributions.IntDistribution(2, 30),
        SLOW: optuna.distributions.IntDistribution(8, 60),
        "market.taker_fee_rate": optuna.distributions.FloatDistribution(0.0, 0.002),
    }
    for first in range(0, 12, 4):
        asked = [study.ask(space) for _ in range(4)]
        for row, trial in zip(table.iloc[first : first + 4].to_dict("records"), asked, strict=True):
            assert {key: row[key] for key in space} == trial.params
            is_able = row["outcome"] == "done" and pd.notna(row["sharpe"])
            if row["outcome"] == "done":
                trial.set_constraint("trades", (4.0 - row["trades"]) / 4.0)
            if not is_able:
                trial.set_constraint("able", MISSING)
            study.tell(
                trial,
                row["sharpe"] if is_able else None,
                state=None if is_able else optuna.trial.TrialState.PRUNED,
            )

    assert {"done", "refused"} == set(table["outcome"])  # slow averages below fast ones are refused


def test_the_best_is_a_replay_that_keeps_what_must_hold(found: OptimizeResult) -> None:
    able = found.table.query("outcome == 'done' and trades >= 4").dropna(subset="sharpe")
    ordered = able.sort_values(["sharpe", "number"], ascending=[False, True])

    assert [one.row.number for one in found.best] == list(ordered["number"][:10])
    assert found.feasible == len(able) < found.counts["done"]
    first = found.best[0].row
    alone = backtest(
        TAPE,
        strategy="ema_cross",
        parameters={"fast": first.changes[FAST], "slow": first.changes[SLOW]},
        account={"sizing": "all_in"},
        market={"taker_fee_rate": first.changes["market.taker_fee_rate"]},
        use_ml=False,
        report=SETTINGS["report"],
    )
    assert (alone.digest, alone.metrics) == (first.digest, dict(first.metrics))
    assert len(found.checked) == 3


@pytest.mark.parametrize(
    ("sampler", "by"),
    [
        ("tpe", "sharpe"),
        pytest.param("cmaes", "calmar", marks=pytest.mark.slow),
        pytest.param("nsga2", ["total_return", "max_drawdown", "trades"], marks=pytest.mark.slow),
    ],
)
def test_any_number_of_workers_and_a_kill_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, by: Any
) -> None:
    more = {"sampler": sampler, "by": by, "least": {"max_drawdown": -0.5}}
    whole = search(tmp_path / "whole", **more)
    pd.testing.assert_frame_equal(plain(search(tmp_path / "cut", workers=2, **more)), plain(whole))
    written = lines(tmp_path / "whole")
    # Killed in the second batch, of which the third trial was finished before the second.
    kept = [*written[:6], written[7], written[6], written[8][:30]]
    (tmp_path / "cut" / "trials.jsonl").write_bytes(b"".join(kept))

    again = search(tmp_path / "cut", **more)

    pd.testing.assert_frame_equal(plain(again), plain(whole))
    assert lines(tmp_path / "cut")[:8] == kept[:8]
    assert [one.row.number for one in again.best] == [one.row.number for one in whole.best]
    monkeypatch.setattr(sweep_run.TrialRunner, "run", lambda *_: pytest.fail("a trial ran twice"))
    assert search(tmp_path / "cut", **more).counts == whole.counts


def test_several_goals_leave_the_trials_that_no_other_beats(tmp_path: Path) -> None:
    found = search(tmp_path / "a", by=["total_return", "volatility"])

    done = found.table.query("outcome == 'done'").dropna(subset=["total_return", "volatility"])
    rows = [(r.total_return, -r.volatility, r.number) for r in done.itertuples()]
    unbeaten = {
        number
        for a, b, number in rows
        if not any(x >= a and y >= b and (x > a or y > b or n < number) for x, y, n in rows if n != number)
    }
    assert {one.row.number for one in found.best} == unbeaten
    assert found.sampler == "nsga2"


def test_the_front_of_equals_is_the_first() -> None:
    values = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [0.5, 2.0], [2.0, 0.0]])

    assert front(values) == [0, 1]


def test_a_function_is_a_goal_and_what_is_proposed_again_is_not_run_again(tmp_path: Path) -> None:
    def calm(metrics: Any) -> float | None:
        value = metrics["total_return"]
        return None if value is None else value + metrics["max_drawdown"]

    grid = {FAST: "3:6:1", SLOW: "20:50:10"}
    found = search(tmp_path / "a", grid, by=calm, trials=14, batch=7)

    table = found.table
    assert found.counts["repeated"] + found.counts["done"] == 14
    repeated, done = (table.query(f"outcome == {end!r}") for end in ("repeated", "done"))
    assert len(repeated) > 0
    assert not done.duplicated([FAST, SLOW]).any()
    for row in repeated.to_dict("records"):
        original = table.iloc[int(row["reason"].removeprefix("trial "))]
        assert [original[FAST], original[SLOW]] == [row[FAST], row[SLOW]]
    calmest = (done["total_return"] + done["max_drawdown"]).idxmax()
    assert found.best[0].row.number == table.loc[calmest, "number"]

    def wilder(metrics: Any) -> float | None:
        return -metrics["total_return"]

    with pytest.raises(DataError, match=r"another search \(with other goals\)"):
        search(tmp_path / "a", grid, by=wilder, trials=14, batch=7)


def test_a_trial_that_is_not_proposed_now_ends_it(tmp_path: Path) -> None:
    search(tmp_path / "a")
    head, *rows = lines(tmp_path / "a")
    values = [json.loads(row) for row in rows]
    values[7]["changes"][SLOW] += 1  # as another release of optuna would have it
    text = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    (tmp_path / "a" / "trials.jsonl").write_bytes(head + text)

    with pytest.raises(DataError, match=r"trial 7 is .* is proposed now: the objective or optuna"):
        search(tmp_path / "a")


def test_an_interrupt_keeps_what_is_done(tmp_path: Path) -> None:
    def stop(what: str, done: int, of: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    found = search(tmp_path / "a", workers=2, progress=stop)

    assert (found.left, len(found.table), found.checked) == (6, 6, [])
    assert found.best
    pd.testing.assert_frame_equal(plain(search(tmp_path / "a")), plain(search(tmp_path / "b")))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"by": "sharp"}, "--by sharp: no such metric: did you mean 'sharpe'"),
        ({"by": []}, "nothing is wanted"),
        ({"by": ["sharpe", "sharpe"]}, "--by sharpe: it stands twice"),
        ({"least": {"trade": 3}}, "--least trade: no such metric"),
        ({"most": {"trades": float("nan")}}, "--most trades=nan: it is not a finite number"),
        ({"sampler": "gp"}, "--sampler gp: unknown"),
        ({"sampler": "cmaes", "by": ["sharpe", "calmar"]}, "it knows one goal alone"),
        (
            {"sampler": "cmaes", "grid": {"data.timeframe": ["1h", "4h"]}, "trials": 2},
            "data.timeframe have no order",
        ),
        ({"trials": 0}, "--trials 0: one is the least"),
        ({"seed": 2**32}, "--seed 4294967296: it is not between 0 and 4294967295"),
        ({"seed": -1}, "--seed -1: it is not between 0 and"),
        ({"trials": 10_000_000}, "10,000,000 trials are more than 100,000"),
        (
            {"trials": 9, "grid": {FAST: [2, 3], SLOW: [20, 30]}},
            "the grid has 4 points, and papertape sweep tries",
        ),
        ({"batch": 3}, "--batch 3: 4 is the least"),
        ({"grid": {}}, "nothing varies"),
        ({"workers": 0}, "--workers 0"),
    ],
)
def test_nothing_is_begun_for_what_means_nothing(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        search(tmp_path / "a", **more)

    assert not (tmp_path / "a").exists()


def test_bounds_are_read_and_measured() -> None:
    (least,) = parse_bounds(["trades = 40"], is_least=True)
    (most,) = parse_bounds(["max_drawdown=-0.2"], is_least=False)

    assert [least.excess({"trades": n}) for n in (10.0, 40.0, 50.0)] == [0.75, 0.0, -0.25]
    assert most.excess({"max_drawdown": -0.3}) == pytest.approx(-0.5)
    assert Constraint("sharpe", 0.0, True).excess({"sharpe": -2.0}) == 2.0
    assert least.excess({"trades": None}) == MISSING
    for texts in (["trades"], ["trades=many"], ["trades=3", "trades=4"]):
        with pytest.raises(ConfigError, match="--least trades"):
            parse_bounds(texts, is_least=True)


def test_without_optuna_the_way_to_get_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    monkeypatch.setitem(sys.modules, "optuna", None)  # importing it fails as if it were not there

    with pytest.raises(DataError, match="optuna, which is not installed") as refused:
        search(tmp_path / "a")

    assert tuple(extras["research"]) == proposals.PACKAGES
    assert all(package in str(refused.value) for package in extras["research"])
