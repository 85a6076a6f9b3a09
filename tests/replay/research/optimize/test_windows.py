"""A search that is judged on windows gives up what falls behind, and changes nothing of what it finishes."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

from papertape import FLAT, LONG, Decision, optimize, parameter
from papertape.engine.errors import ConfigError
from papertape.replay.research.optimize.result import OptimizeResult
from papertape.replay.research.trials.ledger import opened
from papertape.replay.tapes.synthetic import synthesize

TAPE = synthesize("regimes", 480, "1h", seed=5, symbol="SYNTH")
FAST, SLOW = "strategy.parameters.fast", "strategy.parameters.slow"
RANGES = {FAST: "2:10", SLOW: "12:60"}
QUIET: dict[str, Any] = {
    "use_ml": False,
    "account": {"sizing": "all_in"},
    "workers": 1,
    "report": {"sensitivity": False, "random_draws": 0, "benchmarks": False, "regimes": False},
}


class Foresight:
    """Holds for four hours where `seen` says that it rises: a planted edge with a knob, bad where it is turned down."""

    features = ("rsi_14",)
    seen: float = parameter(0.5, low=0.0, high=1.0)

    def decide(self, view):  # type: ignore[no-untyped-def]
        now = int(np.searchsorted(TAPE.candles["open_ms"], view.time_ms))
        later = TAPE.candles["close"][min(now + 3, len(TAPE.candles) - 1)]
        rises = later > view.close
        is_right = (now * 7919) % 100 < 100.0 * self.seen  # the same instants for every value of the knob
        return Decision(LONG if rises == is_right else FLAT)


def search(out: Path, **more: Any) -> OptimizeResult:
    options: dict[str, Any] = {
        "strategy": "ema_cross",
        "trials": 10,
        "batch": 4,
        "windows": 4,
        "by": "total_return",
        **QUIET,
    }
    return optimize(more.pop("grid", RANGES), TAPE, out=out, **{**options, **more})


def plain(found: OptimizeResult) -> pd.DataFrame:
    return found.table.drop(columns="wall_s")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[OptimizeResult, OptimizeResult]:
    """The ten trials that TPE draws before it begins to learn, given up where they fall behind, and all finished."""
    folder = tmp_path_factory.mktemp("windows")
    return search(folder / "cut"), search(folder / "whole", prune=False)


def test_what_is_finished_is_the_same_and_what_is_given_up_was_behind(
    both: tuple[OptimizeResult, OptimizeResult],
) -> None:
    cut, whole = (plain(found) for found in both)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    fate = {}
    for first in (0, 4, 8):
        waiting = []
        for number in range(first, min(first + 4, 10)):
            trial = study.ask()
            means = np.cumsum(whole["windows"][number]) / np.arange(1, 5)
            fate[number] = 4
            for window in range(1, 4):
                trial.report(means[window - 1], window)
                if trial.should_prune():
                    fate[number] = window
                    break
            waiting.append((trial, means[-1], fate[number]))
        for trial, value, end in waiting:
            state = optuna.trial.TrialState.PRUNED if end < 4 else None
            study.tell(trial, None if end < 4 else value, state=state)

    assert [len(values) for values in cut["windows"]] == [fate[n] for n in range(10)]
    assert {"done", "pruned"} == set(cut["outcome"])
    done = cut["outcome"] == "done"
    pd.testing.assert_frame_equal(cut[done], whole[done])
    assert (cut["outcome"][:5] == "done").all()
    assert sum(both[0].pruned.values()) == (~done).sum() == both[0].counts["pruned"]
    assert both[1].counts == {"done": 10}


def test_the_best_is_that_of_the_mean_over_windows(both: tuple[OptimizeResult, OptimizeResult]) -> None:
    for found in both:
        table = found.table[found.table["outcome"] == "done"]
        means = table["windows"].map(np.mean).sort_values(ascending=False, kind="stable")
        assert [one.row.number for one in found.best] == list(table["number"][means.index])[:10]
        assert found.best[0].values[0] == pytest.approx(means.iloc[0], rel=1e-12)
        assert len(found.checked) == 3
    doubts = both[0].doubts[len(both[0].data_doubts) :]
    told = doubts[1]
    assert told.startswith(f"{both[0].counts['pruned']} of them were given up, ")
    assert doubts[0].startswith("The first is the best of 10 that were tried here")
    assert both[0].verdict.left_out == both[0].counts["pruned"]
    assert both[0].page is not None
    assert "total return, mean of 4 windows" in both[0].page.read_text()


def test_what_was_given_up_is_a_trial_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_TRIALS", str(tmp_path / "trials.sqlite3"))

    found = search(tmp_path / "a")

    with opened() as ledger:
        entries = {entry.configuration: entry for entry in ledger.on(TAPE.sha256)}
    assert len(entries) == 10 == found.standing.trials
    for row in found.table.itertuples():
        assert entries[row.configuration].digest == row.digest


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_gives_up_the_same(
    tmp_path: Path, both: tuple[OptimizeResult, OptimizeResult], workers: int
) -> None:
    found = search(tmp_path / "a", workers=workers, trials=14)
    lines = (tmp_path / "a" / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "trials.jsonl").write_bytes(b"".join(lines[:8]) + lines[8][:30])

    again = search(tmp_path / "b", trials=14)

    pd.testing.assert_frame_equal(plain(again), plain(found))
    assert plain(found)["outcome"][:10].tolist() == plain(both[0])["outcome"].tolist()


def test_a_bad_trial_ends_early_and_a_planted_good_one_is_found(tmp_path: Path) -> None:
    found = search(
        tmp_path / "a", grid={"strategy.parameters.seen": "0:1"}, strategy=Foresight, trials=12, seed=3
    )

    table = found.table.rename(columns={"strategy.parameters.seen": "seen"})
    bad = table[(table["number"] >= 8) & (table["seen"] < 0.5)]
    good = table.loc[table["seen"].idxmax()]
    assert found.pruned == {1: len(bad)}
    assert len(bad) > 2
    assert (bad["outcome"] == "pruned").all()
    assert good["outcome"] == "done"
    assert found.first is not None
    assert found.first.changes["strategy.parameters.seen"] > 0.85


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"windows": 1}, r"--windows 1: between 2 and 480"),
        ({"by": ["sharpe", "trades"]}, "--windows: what is wanted is one metric"),
        ({"by": lambda metrics: metrics["sharpe"]}, "--windows: what is wanted is one metric"),
        (
            {"grid": {"data.start": ["2020-01-01", "2020-01-02", "2020-01-03"]}, "trials": 2},
            "all trials are over the same candles",
        ),
    ],
)
def test_what_cannot_be_judged_on_windows_is_refused(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        search(tmp_path / "a", **more)
    assert not (tmp_path / "a").exists()
