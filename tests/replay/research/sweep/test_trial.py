"""What trials of one family share is what each would have made by itself."""

from typing import Any

import pytest

from papertape.engine.errors import ConfigError
from papertape.replay.config import Config
from papertape.replay.research.sweep.axes import PARAMETERS_PREFIX, with_changes
from papertape.replay.research.sweep.trial import Family, TrialRunner
from papertape.replay.research.trials.identity import configuration_digest
from papertape.replay.tapes.synthetic import synthesize

TAPES = [synthesize("regimes", 300, "1h", seed=3, symbol="AAA")]
BASE = with_changes(
    Config(),
    {
        "strategy.name": "ema_cross",
        "strategy.parameters": {"slow": 40, "allow_short": True},
        "signals.use_ml": False,
        "signals.retrain_every": "never",
    },
)


def family(config: Config = BASE, **others: Any) -> Family:
    changed = with_changes(config, others)
    return Family(config, others, TrialRunner(config, TAPES).prepare(changed))


@pytest.mark.parametrize("others", [{}, {"market.slippage_rate": 0.002, "account.capital": 500.0}])
@pytest.mark.parametrize("parameters", [{"fast": 3}, {"slow": 9, "fast": 8}, {"allow_short": False}, {}])
def test_a_configuration_and_its_digest_are_those_of_its_changes(
    others: dict[str, Any], parameters: dict[str, Any]
) -> None:
    found = family(**others)
    changes = {PARAMETERS_PREFIX + name: value for name, value in parameters.items()}
    alone = with_changes(BASE, others | changes)

    ours = found.config_with(parameters)

    assert ours.model_dump() == alone.model_dump()
    assert found.digest_of(ours) == configuration_digest(alone)
    assert found.plan_of(ours).spec.strategy == TrialRunner(alone, TAPES).prepare(alone).spec.strategy


def test_what_json_writes_otherwise_has_the_digest_of_the_whole_as_well() -> None:
    found = family()
    ours = found.config_with({"fast": (1, 2)})

    assert found.digest_of(ours) == configuration_digest(ours)


def test_parameters_that_cannot_be_are_refused() -> None:
    found = family()

    with pytest.raises(ConfigError, match=r"strategy\.fast: 50 is not between 1 and slow - 1 = 39"):
        found.plan_of(found.config_with({"fast": 50}))
