"""What a result could have been: each kind beside what it must be by hand, and the same paths for a seed however they are drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape import backtest, montecarlo
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.performance import paths as drawn
from papertape.engine.performance.daily import daily_returns
from papertape.engine.performance.drawdown import falls_of
from papertape.replay.backtesting.result import Result
from papertape.replay.research.montecarlo.draws import PathOptions, draw_paths, read_source, source_of
from papertape.replay.tapes.synthetic import synthesize
from tests.support.commands import Inside

QUIET: dict[str, Any] = {"use_ml": False, "report": {"sensitivity": False, "random_draws": 0}}


@pytest.fixture(scope="module")
def result() -> Result:
    tape = synthesize("regimes", 2_000, "1h", seed=5, symbol="SYNTH")
    return backtest(tape, strategy="ema_cross", account={"sizing": "all_in"}, **QUIET)


def test_what_is_drawn_says_what_its_result_says_of_itself(result: Result, tmp_path: Path) -> None:
    in_memory = montecarlo(result, paths=20)
    from_folder = draw_paths(read_source(result.save(tmp_path / "r")), PathOptions(paths=20))

    assert in_memory.notes[0].startswith("SYNTHETIC DATA")
    assert in_memory.notes == from_folder.notes == result.summary["warnings"]


def test_a_path_went_through_what_its_equity_says() -> None:
    returns = np.random.default_rng(2).normal(0.0, 0.05, (40, 90))
    out = np.empty((40, 4))

    drawn.walk(returns, 0.7, out)

    for row, (total, drawdown, underwater, ruined) in zip(returns, out, strict=True):
        equity = np.concatenate([[1.0], np.cumprod(1.0 + row)])
        assert total == pytest.approx(equity[-1] - 1.0, rel=1e-12)
        assert drawdown == pytest.approx(falls_of(equity).deepest[0].depth, rel=1e-12)
        below = "".join(
            "x" if e < p else " " for e, p in zip(equity, np.maximum.accumulate(equity), strict=True)
        )
        assert underwater == max(map(len, below.split()), default=0)
        assert ruined == (equity.min() <= 0.7)
    drawn.walk(np.array([[0.5, -1.5, 3.0]]), 0.5, out)
    assert out[0].tolist() == [-1.0, -1.0, 2.0, 1.0]  # what is lost stays lost


def test_a_path_depends_on_its_seed_and_place_alone() -> None:
    draw = drawn.in_blocks(np.random.default_rng(1).normal(size=50) / 100.0, 5.0)

    few, many = (drawn.drawn_paths(draw, count, 0.5, 7, 3) for count in (300, 700))
    other = drawn.drawn_paths(draw, 300, 0.5, 8, 3)

    for name in drawn.Paths._fields:
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:300])
    assert not np.array_equal(few.total, other.total)
    # Pieces by whoever draws them: the second one alone is what it is among others.
    out = np.empty((drawn.PIECE, 4))
    drawn.walk(draw(np.random.default_rng([7, 3, 1]), drawn.PIECE), 0.5, out)
    np.testing.assert_array_equal(out[:, 0], many.total[drawn.PIECE : 2 * drawn.PIECE])


def test_every_kind_is_what_it_says(result: Result) -> None:
    found = montecarlo(result, paths=2_000, skip=0.25, costs=2.0, ruin=0.2)
    source = source_of(result.summary, result.trades, result.equity)
    kinds = {kind.name: kind.paths for kind in found.kinds}

    # Days are those that every metric is made of; a trade's return is its profit on the equity before it.
    np.testing.assert_allclose(
        source.days, daily_returns(result.marks, 10_000.0).returns, rtol=1e-9, atol=1e-12
    )
    ordered = result.trades.sort_values("exit_time")
    np.testing.assert_allclose(source.trades, ordered["pnl"] / ordered["equity_before"], rtol=1e-12)
    whole = np.prod(1.0 + source.trades) - 1.0
    np.testing.assert_allclose(kinds["order of trades"].total, whole, rtol=1e-9)
    assert len(np.unique(kinds["order of trades"].drawdown)) > 100
    # Expected growth: of each trade it is 1 + (1 − share) × return; four standard errors.
    growth = 1.0 + kinds["skipped trades"].total
    expected = np.prod(1.0 + 0.75 * source.trades)
    assert growth.mean() == pytest.approx(expected, abs=4.0 * growth.std() / np.sqrt(2_000))
    worst = np.prod(1.0 + source.trades - 2.0 * source.costs) - 1.0
    assert worst <= kinds["worse costs"].total.min() < kinds["worse costs"].total.max() <= whole
    growth = 1.0 + kinds["blocks of days"].total
    assert np.log(growth).mean() == pytest.approx(
        np.log1p(source.days).sum(), abs=4.0 * np.log(growth).std() / np.sqrt(2_000)
    )


def test_a_seed_is_a_digest_and_a_folder_is_its_result(
    result: Result, tmp_path: Path, inside: Inside
) -> None:
    result.save(tmp_path / "result")

    told = inside("montecarlo", "result", "--paths", "300", "--json", cwd=tmp_path)
    shown = inside("montecarlo", "result", "--paths", "300", cwd=tmp_path)

    values = json.loads(told.stdout)
    same = montecarlo(result, paths=300)
    assert values == json.loads(json.dumps(same.to_json()))
    assert montecarlo(tmp_path / "result", paths=300, seed=2).digest != same.digest
    assert "nothing of markets unlike these" in shown.stdout
    assert f"digest {same.digest[:16]}, seed 1" in shown.stdout
    assert len(same.table) == 4 * 300
    assert (tmp_path / "result" / "montecarlo.parquet").is_file()


@pytest.mark.parametrize(
    "more",
    [
        {"ruin": 1.0},
        {"skip": 0.0},
        {"costs": 0.0},
        {"costs": float("nan")},
        {"paths": 0},
        {"paths": 10**9},
        {"seed": -1},
    ],
)
def test_options_that_mean_nothing_are_refused(result: Result, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        montecarlo(result, **more)


def test_too_little_and_damage_are_said(result: Result, tmp_path: Path) -> None:
    short = backtest(synthesize("regimes", 60, "1h", seed=5, symbol="SYNTH"), strategy="ema_cross", **QUIET)

    found = montecarlo(short)

    assert found.kinds == []
    assert found.missing["blocks of days"] == "3 days are fewer than 10"
    folder = result.save(tmp_path / "result")
    (folder / "trades.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="damaged"):
        montecarlo(folder)
    with pytest.raises(DataError, match="not a result folder"):
        montecarlo(tmp_path)
