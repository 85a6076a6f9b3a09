"""What can never train is found before anything is read, and nothing else is: held against what training itself refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from papertape import backtest
from papertape.daemon.cli import app
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.model import Dataset, TrainingOptions, train
from papertape.engine.model.training.prepare import prepare
from papertape.replay.config import make_config
from papertape.replay.config.learning import Learning
from papertape.replay.config.spec import make_spec
from papertape.replay.learning.feasible import check_learning, least_closes, shortages
from papertape.replay.learning.settings import cadence_of
from papertape.replay.tapes.synthetic import synthesize
from tests.support.planted import FEATURES, planted


def restless(n: int, n_symbols: int) -> Dataset:
    """Return rows in which no two closes are the same, so that every outcome is known, and none goes one way for long."""
    open = 100.0 * np.exp(np.random.default_rng(1).normal(0.0, 0.01, (n_symbols, n)))
    rows = planted(n, n_symbols=n_symbols)
    return rows._replace(open=open, close=np.roll(open, -1, axis=1))


def is_refused(n: int, n_symbols: int, learning: Learning) -> bool:
    """Return whether training says no to so many rows."""
    options = TrainingOptions(
        kind="logistic",
        features=FEATURES,
        label=learning.label,
        horizon_bars=learning.horizon_bars,
        embargo_bars=learning.embargo_bars,
        is_per_symbol=learning.per_symbol,
    )
    try:
        prepare(restless(n, n_symbols), options)
    except DataError as error:
        return "same outcome" not in str(error)
    return False


@pytest.mark.parametrize(("horizon_bars", "embargo_bars"), [(1, None), (3, None), (7, 0), (5, 20)])
@pytest.mark.parametrize(("n_symbols", "per_symbol"), [(1, False), (2, False), (2, True)])
def test_the_fewest_closes_are_those_with_which_training_begins_to_agree(
    horizon_bars: int, embargo_bars: int | None, n_symbols: int, per_symbol: bool
) -> None:
    def learning(n: int) -> Learning:
        return Learning(
            window_days=n / 24.0,
            gate_days=3_000.0,
            label="direction",
            horizon_bars=horizon_bars,
            embargo_bars=embargo_bars,
            per_symbol=per_symbol,
        )

    fewest = next(n for n in range(20, 2_000) if not shortages(learning(n), "1h", n_symbols))

    assert not is_refused(fewest, n_symbols, learning(fewest))
    assert is_refused(fewest - 1, n_symbols, learning(fewest - 1))
    assert shortages(learning(fewest - 5), "1h", n_symbols)[0].startswith(
        f"learning.window_days: {(fewest - 5) / 24:g} days hold {fewest - 5} closes of 1h, 5 fewer than the {fewest} "
    )


@pytest.mark.parametrize("per_symbol", [False, True])
def test_the_shortest_of_several_windows_needs_its_rows_too(per_symbol: bool) -> None:
    options = TrainingOptions(
        kind="logistic",
        features=FEATURES,
        label="direction",
        horizon_bars=4,
        windows=4,
        is_per_symbol=per_symbol,
    )
    learning = Learning(
        gate_days=3_000.0, label="direction", horizon_bars=4, windows=4, per_symbol=per_symbol
    )
    need = least_closes(learning, 2).window
    short = learning.model_copy(update={"window_days": (need - 1) / 24.0})

    assert train(restless(need, 2), options)
    with pytest.raises(DataError, match=r"rows to train on the newest 0.125 of them are fewer"):
        train(restless(need - 1, 2), options)
    (said,) = shortages(short, "1h", 2)
    assert f"the {need:,} that the training needs with horizon_bars 4, windows 4 and 2 symbols" in said
    assert not shortages(short.model_copy(update={"windows": 1}), "1h", 2)


@pytest.mark.parametrize(("horizon_bars", "n_symbols"), [(150, 1), (48, 2)])
def test_a_selection_needs_labels_that_are_known_within_their_blocks(
    horizon_bars: int, n_symbols: int
) -> None:
    options = TrainingOptions(
        kind="logistic", features=FEATURES, label="direction", horizon_bars=horizon_bars, select="stability"
    )
    learning = Learning(gate_days=3_000.0, label="direction", horizon_bars=horizon_bars, select="stability")
    need = least_closes(learning, n_symbols).window
    short = learning.model_copy(update={"window_days": (need - 1) / 24.0})

    assert train(restless(need, n_symbols), options)
    with pytest.raises(DataError, match=r"label that is known within their block"):
        train(restless(need - 1, n_symbols), options)
    (said,) = shortages(short, "1h", n_symbols)
    assert (
        f' 1 fewer than the {need:,} that the training needs with horizon_bars {horizon_bars}, select = "stability" and'
        in said
    )
    assert not shortages(short.model_copy(update={"select": "all"}), "1h", n_symbols)


def test_the_gate_needs_200_rows_and_eight_blocks_of_two_horizons() -> None:
    def said(days: float, horizon_bars: int) -> list[str]:
        return shortages(Learning(window_days=3_000.0, gate_days=days, horizon_bars=horizon_bars), "1d", 1)

    assert said(201.0, 2) == []  # the label of the last close is not known
    assert "1 fewer than the 201 that the gate needs" in said(200.0, 2)[0]
    assert said(8 * 2 * 30, 30) == []
    assert "1 fewer than the 480 that the gate needs" in said(8 * 2 * 30 - 1, 30)[0]


@pytest.mark.parametrize(
    ("sections", "faults"),
    [
        ({}, []),
        ({"data": {"timeframe": "1d"}}, ["learning.window_days: 90 days hold 90 closes of 1d"]),
        ({"data": {"timeframe": "1d"}, "signals": {"use_ml": False}}, []),
        ({"data": {"timeframe": "1d"}, "signals": {"retrain_every": "never"}}, []),
        (
            {"signals": {"retrain_every": "30m"}},
            ["signals.retrain_every: '30m' comes more often than a candle of 1h"],
        ),
        ({"live": {"symbols": ["BTCUSD"], "timeframe": "1m"}, "signals": {"retrain_every": "30m"}}, []),
        (
            {"signals": {"model": "lightgbm"}, "learning": {"sizes": {"hidden": 9}}},
            ["learning.sizes: lightgbm has no 'hidden'; it has trees, depth"],
        ),
        (
            {"signals": {"model": "lightgbm"}, "learning": {"fine_tune": True}},
            ["learning.fine_tune: true is not for lightgbm"],
        ),
        (
            {
                "data": {"timeframe": "4h"},
                "learning": {"window_days": 30, "gate_days": 10},
                "signals": {"retrain_every": "1h"},
            },
            [
                "learning.window_days: 30 days hold 180 closes of 4h",
                "learning.gate_days: 10 days hold 60 closes of 4h, 324 fewer than the 384 that the gate needs",
                "signals.retrain_every: '1h' comes more often",
            ],
        ),
    ],
)
def test_a_configuration_is_told_all_that_can_never_be(sections: dict[str, Any], faults: list[str]) -> None:
    told: list[str] = []
    try:
        check_learning(make_config(sections), "x.toml")
    except ConfigError as error:
        told = str(error).split("\n")

    assert len(told) == len(faults)
    for line, fault in zip(told, faults, strict=True):
        assert line.startswith(f"x.toml: {fault}")


def test_config_check_says_it(tmp_path: Path) -> None:
    file = tmp_path / "daily.toml"
    file.write_text('[data]\ntimeframe = "1d"\n')

    found = CliRunner().invoke(app, ["config", "check", str(file)])

    assert isinstance(found.exception, ConfigError)
    assert "fewer than the" in str(found.exception)


def test_a_replay_refuses_a_cadence_below_its_candles() -> None:
    config = make_config({"signals": {"retrain_every": "15m", "use_smc": False}})
    spec = make_spec(config, [synthesize("noise", 50, "1h", seed=1)])

    with pytest.raises(ConfigError, match=r"^signals\.retrain_every: '15m' comes more often"):
        cadence_of(config, spec)


def test_a_replay_says_that_no_model_can_ever_trade_with_the_number_that_is_missing() -> None:
    tape = synthesize("regimes", 700, "1h", seed=2, symbol="SYNTH")
    learning = {"horizon_bars": 48}  # a label is known after 48 hours, and 24 lie between two retrains
    quiet: dict[str, Any] = {"model": "logistic", "report": {"sensitivity": False}}

    told = backtest(tape, retrain_every="1d", learning=learning, **quiet).summary["doubts"]
    silent = backtest(tape, retrain_every="3d", learning=learning, **quiet).summary["doubts"]

    (said,) = [line for line in told if line.startswith("No model can ever trade so: ")]
    assert "24 closes of 1h lie between them, 25 fewer than the 49 that horizon_bars 48" in said
    assert not any(line.startswith("No model can ever trade") for line in silent)
