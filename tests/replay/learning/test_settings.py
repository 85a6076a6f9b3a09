"""What a configuration means for learning, and that the sections say what their owners say."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError
from papertape.engine.model import KINDS, default_inputs
from papertape.engine.model.drift.policy import DriftOptions
from papertape.engine.model.training.options import TrainingOptions
from papertape.replay.backtesting.run import make_spec
from papertape.replay.config import Config, load_config, make_config
from papertape.replay.learning.jobs.trainer import options_of
from papertape.replay.learning.policy import recipe_digest
from papertape.replay.learning.settings import (
    LearningSettings,
    cadence_of,
    features_of,
    gate_ms_of,
    settings_of,
)
from papertape.replay.tapes.synthetic import synthesize

TAPE = synthesize("noise", 50, "1h", seed=1)


def settings(**sections: object) -> LearningSettings:
    config = make_config(sections)
    return settings_of(config, make_spec(config, [TAPE]), ["hash"])


def test_models_and_policies_of_the_configuration_are_those_that_exist() -> None:
    for kind in KINDS:
        assert make_config({"signals": {"model": kind}}).signals.model == kind
    with pytest.raises(ConfigError, match=r"signals\.model"):
        make_config({"signals": {"model": "oracle"}})
    assert Config().drift.options() == DriftOptions()
    default = options_of(settings(), "cnn_lstm", is_fine_tuned=False)
    assert default == TrainingOptions(features=default.features, inputs=default.inputs)


def test_the_label_is_the_bracket_of_the_strategy() -> None:
    found = settings(strategy={"parameters": {"stop_atr": 1.5, "target_atr": 4.0}})

    assert (found.label, found.stop_atr, found.target_atr) == ("bracket", 1.5, 4.0)
    assert found.symbols == ("SYNTH",)
    assert found.tapes == ("hash",)


def test_the_share_of_a_variance_horizon_makes_another_recipe_of_that_label_alone() -> None:
    def digest(**learning: Any) -> str:
        return recipe_digest(settings(learning=learning))

    assert digest() == digest(variance_share=0.3)
    assert digest(label="variance") != digest(label="variance", variance_share=0.3)
    found = options_of(
        settings(learning={"label": "variance", "variance_share": 0.3}), "logistic", is_fine_tuned=False
    )
    assert (found.label, found.variance_share) == ("variance", 0.3)
    assert TrainingOptions.from_json(found.to_json()) == found


def test_windows_make_another_recipe_and_are_none_of_the_baseline() -> None:
    plain = settings(signals={"model": "lightgbm"}, learning={"windows": 1})
    several = settings(signals={"model": "lightgbm"}, learning={"windows": 3, "seeds": 2})

    assert options_of(several, "lightgbm", is_fine_tuned=False).members == 6
    assert options_of(several, "logistic", is_fine_tuned=False).members == 1
    assert options_of(plain, "lightgbm", is_fine_tuned=False).members == 1
    assert recipe_digest(plain) == recipe_digest(settings(signals={"model": "lightgbm"}))
    windows = settings(signals={"model": "lightgbm"}, learning={"windows": 3})
    assert len({recipe_digest(one) for one in (plain, several, windows)}) == 3


def test_costs_are_a_part_of_a_recipe_where_rows_that_do_not_pay_are_a_class() -> None:
    plain, costly = settings(), settings(learning={"no_trade": True})
    options = options_of(costly, "logistic", is_fine_tuned=False)

    assert (options.no_trade, options.cost) == (True, costly.cost)
    assert recipe_digest(plain) != recipe_digest(costly)
    assert recipe_digest(costly) != recipe_digest(replace(costly, cost=2.0 * costly.cost))
    assert recipe_digest(plain) == recipe_digest(replace(plain, cost=2.0 * plain.cost))
    asked = {"model_asks": "signal", "model_use": "filter"}
    with pytest.raises(ConfigError, match=r"learning\.no_trade: true is for sides of the market"):
        settings(signals=asked, learning={"no_trade": True})


@pytest.mark.parametrize(
    ("timeframe", "horizon_bars", "days"),
    [
        ("1h", 24, 30),  # 480 closes are 20 days
        ("4h", 24, 80),  # 480 closes
        ("4h", 2, 250 / 6),  # 250 closes
        ("15m", 24, 30),
    ],
)
def test_the_gate_keeps_what_it_needs_to_judge(timeframe: str, horizon_bars: int, days: float) -> None:
    learning = make_config({"learning": {"horizon_bars": horizon_bars}}).learning

    assert gate_ms_of(learning, timeframe_ms(timeframe)) == round(days * 86_400_000)
    assert gate_ms_of(learning.model_copy(update={"gate_days": 7.0}), 1) == 7 * 86_400_000


def test_a_round_trip_costs_both_sides() -> None:
    found = settings(market={"taker_fee_rate": 0.001, "half_spread_rate": 0.0002, "slippage_rate": 0.0003})

    assert found.cost == pytest.approx(2 * (0.001 + 0.0002 + 0.0003))


def test_what_models_read_is_one_list_in_replay_and_live() -> None:
    config = make_config({"signals": {"model_timeframes": ["4h"]}})
    features, inputs = default_inputs(True, ("4h",), "1h")
    assert features_of(config, "1h") == features
    assert settings(signals={"model_timeframes": ["4h"]}).inputs == inputs
    own = make_config({"signals": {"model_features": ["rsi_14"]}})
    assert features_of(own, "1h") == ("rsi_14",)
    assert features_of(make_config({"signals": {"use_ml": False}}), "1h") == ()
    # Structure is read where the strategy has it computed anyway.
    cross = make_config({"strategy": {"name": "ema_cross"}})
    assert "smc" not in features_of(cross, "1h")


def test_only_a_strategy_that_asks_a_model_has_one_trained() -> None:
    for sections, is_trained in (
        ({}, True),
        ({"signals": {"retrain_every": "never"}}, False),
        ({"signals": {"use_ml": False}}, False),
        ({"strategy": {"parameters": {"use_ml": False}}}, False),
        ({"strategy": {"name": "ema_cross"}}, False),
    ):
        config = make_config(sections)
        assert (cadence_of(config, make_spec(config, [TAPE])) is not None) == is_trained


def test_settings_come_back_from_json_and_unknown_ones_are_refused() -> None:
    found = settings(learning={"sizes": {"hidden": 8}})

    assert LearningSettings.from_json(asdict(found)) == found
    with pytest.raises(KeyError, match="windw"):
        LearningSettings.from_json({**asdict(found), "windw": 3})


def test_faults_are_one_line_with_path_and_value() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(
            None,
            [
                "signals.retrain_every=soon",
                "learning.window_days=0",
                "learning.hiden=3",
                "drift.severe_psi=0.05",
            ],
        )

    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("configuration: signals.retrain_every: 'soon' is no cadence: write")
    assert any("learning.window_days: " in line and "not 0" in line for line in lines)
    assert any("learning.hiden: unknown key" in line for line in lines)
    assert any("drift: severe_psi 0.05 is below warn_psi 0.1" in line for line in lines)


def test_the_question_is_the_strategys_and_one_that_it_does_not_ask_is_refused() -> None:
    asked = settings(signals={"model_asks": "signal", "model_use": "filter"})
    changed = settings(
        signals={"model_asks": "signal", "model_use": "filter"},
        strategy={"parameters": {"confidence_threshold": 0.5}},
    )
    assert asked.asks == "signal"
    assert asked.signals_of.startswith("confluence:")
    assert asked.signals_of != changed.signals_of
    long_only = settings(
        signals={"model_asks": "signal", "model_use": "filter"}, account={"allow_short": False}
    )
    assert asked.signals_of != long_only.signals_of  # other labels of the same candles
    assert recipe_digest(asked) != recipe_digest(long_only)
    assert (settings().asks, settings().signals_of) == ("side", "")
    options = options_of(asked, "logistic", is_fine_tuned=False)
    assert (options.asks, options.cost, options.signals_of) == ("signal", asked.cost, asked.signals_of)
    cases = {
        r"signals\.model_asks: ema_cross does not ask a model about its own signal": {
            "strategy": {"name": "ema_cross"}
        },
        r"learning\.label: 'direction' leaves trades without a bracket": {"learning": {"label": "direction"}},
    }
    for told, more in cases.items():
        with pytest.raises(ConfigError, match=told):
            settings(signals={"model_asks": "signal", "model_use": "filter"}, **more)
