"""What a caller may give as a strategy: a name, a class, or an instance that is copied for every engine; as fees: a function."""

import copy
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from papertape.engine.errors import ConfigError
from papertape.engine.strategies import KernelStrategy, Strategy
from papertape.replay.config import Config

Given: TypeAlias = str | type[Any] | Strategy | KernelStrategy | None


def named(strategy: Given) -> str | None:
    """Return how a configuration names a strategy, or raise ConfigError when it is none."""
    if strategy is None or isinstance(strategy, str):
        return strategy
    kind = strategy if isinstance(strategy, type) else type(strategy)
    decides = hasattr(kind, "decide") or hasattr(kind, "decide_batch")
    if not decides or not (hasattr(kind, "features") or hasattr(strategy, "features")):
        raise ConfigError(
            f"strategy={strategy!r}: it is none; give a built-in name, `module:Class`, or a class with `features` and `decide`"
        )
    return f"{kind.__module__}:{kind.__qualname__}"


def named_function(function: str | Callable[..., float] | None) -> str | None:
    """Return how a configuration names a function for fees, or raise ConfigError for one that no name leads to."""
    if function is None or isinstance(function, str):
        return function
    inner = getattr(function, "py_func", function)
    module, name = getattr(inner, "__module__", ""), getattr(inner, "__qualname__", "")
    if getattr(sys.modules.get(module), name, None) is not function:
        raise ConfigError(
            f"fee_function={function!r:.80}: no name leads to it; define it at the top of a module or notebook"
        )
    return f"{module}:{name}"


def with_strategy(config: Config, strategy: Given) -> Config:
    """Return a configuration whose engines get this strategy, a new instance each."""
    if strategy is None or isinstance(strategy, str):
        return config
    if isinstance(strategy, type):
        made_by: Callable[..., Any] = strategy
    else:
        for name, given in (
            ("parameters", config.strategy.parameters),
            ("symbol_parameters", config.strategy.symbols),
        ):
            if given:
                raise ConfigError(
                    f"{name}={given!r}: an instance has its own already; give the class with them"
                )
        kept = copy.deepcopy(strategy)  # as it is now, whatever becomes of the caller's

        def made_by() -> Any:
            return copy.deepcopy(kept)

    chosen = config.strategy.made_with(str(named(strategy)), made_by)
    return config.model_copy(update={"strategy": chosen})
