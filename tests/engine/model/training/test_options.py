"""Training options: checked, plain, and the inputs that are read by default."""

from typing import Any

import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.features import columns_of, read_request
from papertape.engine.model import MODEL_FEATURES, STRUCTURE_INPUTS, TrainingOptions, default_inputs


def test_options_survive_their_plain_form() -> None:
    options = TrainingOptions(kind="lstm", sizes={"hidden": 4}, inputs=("rsi_14",), embargo_bars=0, seed=3)

    assert TrainingOptions.from_json(options.to_json()) == options
    costly = TrainingOptions(label="variance", variance_share=0.3, no_trade=True, cost=0.002)
    assert TrainingOptions.from_json(costly.to_json()) == costly
    names = {"variance_share", "no_trade", "cost", "asks", "signals_of"}
    assert not names & set(options.to_json())  # as records were before there was a choice
    assert options.all_sizes == {"hidden": 4}
    assert options.embargo == 0
    assert TrainingOptions(horizon_bars=9).embargo == 9


def test_all_columns_are_read_unless_named() -> None:
    options = TrainingOptions(features=("rsi_14", "stochastic_5_3_3"))

    assert options.read == ("rsi_14", "stochastic_5_3_3_k", "stochastic_5_3_3_d")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "lstn"}, "training.kind: unknown 'lstn': did you mean 'lstm'?"),
        ({"label": "brackets"}, "did you mean 'bracket'?"),
        ({"device": "tpu"}, "training.device: unknown 'tpu'"),
        ({"variance_share": 0.0}, "training.variance_share: 0.0 is not above 0 and at most 1"),
        ({"asks": "signal", "no_trade": True}, "training.no_trade: true is for sides of the market"),
        ({"epochs": 0}, "training.epochs: 0 is not at least 1"),
        ({"learning_rate": float("nan")}, "training.learning_rate: nan is not a number above 0"),
        ({"dropout": 1.0}, "training.dropout: 1.0 is not from 0 to below 1"),
        ({"embargo_bars": -1}, "training.embargo_bars: -1 is not a number of at least 0"),
        ({"features": ()}, "training.features: there are none"),
        ({"sizes": {"width": 8}}, "training.sizes: lstm has no 'width'; it has hidden"),
        ({"sizes": {"hidden": 0}}, "training.sizes: hidden 0 is not at least 1"),
        ({"kind": "lightgbm", "sizes": {"depth": 9}}, "training.sizes: depth 9 is above 8"),
        ({"kind": "lightgbm", "sizes": {"leaves": 9}}, "lightgbm has no 'leaves'; it has trees, depth"),
        ({"kind": "lightgbm", "is_fine_tuned": True}, "training.is_fine_tuned: true is not for lightgbm"),
        (
            {"kind": "transformer", "sizes": {"width": 9}},
            "training.sizes: width 9 is not a multiple of heads 4",
        ),
        ({"seeds": 0}, "training.seeds: 0 is not from 1 to 32"),
        ({"seeds": 33}, "training.seeds: 33 is not from 1 to 32"),
        ({"windows": 7}, "training.windows: 7 is not from 1 to 6"),
        ({"windows": 5, "seeds": 7}, "training.windows: 5 for each of 7 seeds are 35 models, above 32"),
        ({"kind": "logistic", "seeds": 2}, "training.seeds: 2 is not for logistic, which is the"),
        ({"epoch": 3}, "training: unknown option 'epoch': did you mean 'epochs'?"),
    ],
)
def test_what_cannot_be_trained_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        TrainingOptions.from_json({"kind": "lstm", **change})

    assert told in str(refused.value)


def test_built_in_features_do_not_grow_with_price_or_volume() -> None:
    for name in MODEL_FEATURES:
        feature = read_request(name).feature
        assert (feature.price_power, feature.volume_power) == (0, 0), name
    assert set(STRUCTURE_INPUTS) < set(columns_of("smc"))
    assert "smc_atr" not in STRUCTURE_INPUTS  # the one column of structure that does


def test_default_inputs_are_columns_of_the_default_features_on_every_timeframe() -> None:
    features, inputs = default_inputs(True, ("4h", "1h"), "1h")

    assert len(inputs) == len(set(inputs)) == 2 * 32
    assert features[: len(MODEL_FEATURES) + 1] == (*MODEL_FEATURES, "smc")
    assert features[len(MODEL_FEATURES) + 1 :] == (*(f"{name}@4h" for name in MODEL_FEATURES), "smc@4h")
    assert set(inputs) <= {column for name in features for column in columns_of(name)}
    assert default_inputs(False, (), "1h")[0] == MODEL_FEATURES
