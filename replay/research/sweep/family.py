"""Trials that differ in parameters of their strategy alone: everything else about them is made and checked once."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from papertape.replay.backtesting.prepare import RunPlan
from papertape.replay.config import Config
from papertape.replay.config.spec import strategy_of
from papertape.replay.research.sweep.axes import PARAMETERS_PREFIX, with_changes
from papertape.replay.research.trials.identity import configuration_digest, deciding, digest_of

_PLAIN: Final = (bool, int, str)  # which JSON has as they are


def split(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Return what changes change of the strategy's parameters, by name, and of everything else, by key.

    >>> split({"strategy.parameters.fast": 5, "market.slippage_rate": 0.001})
    ({'fast': 5}, {'market.slippage_rate': 0.001})
    """
    names = {key: key.removeprefix(PARAMETERS_PREFIX) for key in changes}
    own = {name: changes[key] for key, name in names.items() if name != key}
    return own, {key: changes[key] for key, name in names.items() if name == key}


class Family:
    """
    Trials whose strategy's parameters differ.

    config  what every trial of the search begins with; others: what all of these change of it
    plan    what the run of one of them begins with
    """

    def __init__(self, config: Config, others: Mapping[str, Any], plan: RunPlan) -> None:
        self.others, self.plan = others, plan
        self._config = config

    @cached_property
    def _shared(self) -> Config:
        """Return the configuration of all, but for the parameters; they are as `with_changes` leaves them."""
        shared = with_changes(self._config, self.others)
        plain = shared.strategy.model_dump(mode="json", include={"parameters"})
        return shared.model_copy(update={"strategy": shared.strategy.model_copy(update=plain)})

    @cached_property
    def _deciding(self) -> dict[str, Any]:
        return deciding(self._shared)

    def config_with(self, parameters: Mapping[str, Any]) -> Config:
        """Return what `with_changes` makes of these parameters and the others; whoever makes the strategy checks them."""
        shared = self._shared
        found = {"parameters": {**shared.strategy.parameters, **parameters}}
        return shared.model_copy(update={"strategy": shared.strategy.model_copy(update=found)})

    def plan_of(self, config: Config) -> RunPlan:
        """Return what the run of one of them begins with; raises ConfigError for parameters that cannot be."""
        return self.plan._replace(spec=replace(self.plan.spec, strategy=strategy_of(config)))

    def digest_of(self, config: Config) -> str:
        """Return the digest of one of these configurations."""
        parameters = config.strategy.parameters
        if not parameters or not all(_is_plain(value) for value in parameters.values()):
            return configuration_digest(config)
        strategy = {**self._deciding.get("strategy", {}), "parameters": parameters}
        return digest_of({**self._deciding, "strategy": strategy}, config)


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN or (type(value) is float and math.isfinite(value))
