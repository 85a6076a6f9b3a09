"""
Strategies: the protocol, the built-in ones, and how to find one by name.

    confluence smc_score   the default: scores of components, bracket from volatility; the component of structure
    ema_cross              two moving averages (W1 of the reference benchmark)
    trend_bracket          eight indicators and a bracket (W2)
    rsi_reversion          an example in Python to copy
    protocol decisions     what a strategy is; how kernels write a decision
    view kept_state        what one in Python sees and writes at a close; what it keeps
    instructions           what it may ask for beside its decision: orders, and levels that move
    compiled               the same text as a kernel
    parameters             what can be set of a strategy, declared once
    conditions             why it did nothing
    turns                  from when on which parameters decide
    own_signals            what a strategy would enter by itself, for models that are asked whether it pays
    past                   what a strategy may look back on
    decision_rules         what a decision may hold

`module:Class` names one of your own.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from papertape.engine.errors import ConfigError, PapertapeError, did_you_mean
from papertape.engine.strategies.confluence import Confluence
from papertape.engine.strategies.ema_cross import EmaCross
from papertape.engine.strategies.parameters import (
    arguments_of,
    declared_parameters,
    parameters_of,
    with_parameters,
)
from papertape.engine.strategies.protocol import Decision, KernelStrategy, Strategy
from papertape.engine.strategies.rsi_reversion import RsiReversion
from papertape.engine.strategies.trend_bracket import BracketW2
from papertape.engine.strategies.view import View
from papertape.engine.user_code.importing import if_pythons_own, import_as_written

STRATEGIES: Final[dict[str, Callable[..., KernelStrategy | Strategy]]] = {
    "confluence": Confluence,
    "ema_cross": EmaCross,
    "bracket_w2": BracketW2,
    "rsi_reversion": RsiReversion,
}

_ROOMS: Final = ("engine", "replay", "daemon")  # how they were imported before


def load_object(path: str) -> Any:
    """Return what `module:name` names, or raise ConfigError."""
    module_name, _, name = path.partition(":")
    try:
        module = import_as_written(module_name)
    except ImportError as error:
        if (error.name or "").split(".")[0] in _ROOMS:
            raise ConfigError(
                f"{path}: `{error.name}` is a part of papertape now; write `from papertape import Decision, LONG, FLAT`, "
                f"or `from papertape.{error.name} import …`"
            ) from error
        said = _if_a_file(module_name, name) or str(error)
        raise ConfigError(f"{path}: module {module_name!r} cannot be imported: {said}") from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything while it is run
        said = _if_a_file(module_name, name) or f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}: module {module_name!r} cannot be imported: {said}") from error
    if not hasattr(module, name):
        hint = if_pythons_own(module_name, getattr(module, "__file__", None)) or did_you_mean(
            name, vars(module)
        )
        raise ConfigError(f"{path}: {module_name!r} has no {name!r}{hint}")
    return getattr(module, name)


def _if_a_file(module: str, name: str) -> str:
    """Return how a module is named in whose place a file stands; nothing where none does."""
    if not module.endswith(".py"):
        return ""
    dotted = module.removesuffix(".py").strip("./").replace("/", ".")
    return f"a module is named without .py: {dotted}:{name}, from the folder that it is in"


def make_strategy(
    name: str, parameters: Mapping[str, Any], made_by: Callable[..., KernelStrategy | Strategy] | None = None
) -> KernelStrategy | Strategy:
    """Return a strategy by its name or its `module:Class`, or by the class itself; raises ConfigError."""
    make = class_of(name) if made_by is None else made_by
    taken = arguments_of(make)
    known = {**taken, **declared_parameters(make)}
    for key in parameters:
        if key not in known:
            raise ConfigError(f"strategy.parameters.{key}: unknown{did_you_mean(key, known)}")
    try:
        strategy: KernelStrategy | Strategy = (
            with_parameters(make, parameters, taken) if isinstance(make, type) else make(**parameters)
        )
    except PapertapeError:
        raise
    except (Exception, SystemExit) as error:  # a user's class may raise anything while it is made
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(f"strategy.name: {name} cannot be made with {dict(parameters)}: {said}") from error
    return strategy


def class_of(name: str) -> Callable[..., KernelStrategy | Strategy]:
    """Return the class of a built-in strategy, or what `module:Class` names; raises ConfigError."""
    if ":" in name:
        return load_class(name)
    if name not in STRATEGIES:
        raise ConfigError(f"strategy.name: unknown {name!r}{did_you_mean(name, STRATEGIES)}")
    return STRATEGIES[name]


def load_class(path: str) -> type[Any]:
    """Return the strategy class that `module:Class` names; what is no strategy is refused, and not called."""
    found = load_object(path)
    if not isinstance(found, type):
        what = type(found).__name__.replace("_", " ")
        raise ConfigError(
            f"strategy.name: {path} is a {what}, not a class with `features` and `decide(view)`; it was not called"
        )
    if not any(callable(getattr(found, name, None)) for name in ("decide", "decide_batch")):
        raise ConfigError(f"strategy.name: {path} has no `decide(view)`; it was not called")
    if not hasattr(found, "features") and not _sets_features(found):
        raise ConfigError(f"strategy.name: {path} names no `features`; it was not called")
    return found


def _sets_features(kind: type[Any]) -> bool:
    """Return whether instances have `features` that the class does not."""
    made = (getattr(kind, name, None) for name in ("__init__", "__post_init__"))
    codes = (getattr(one, "__code__", None) for one in made)
    slots = getattr(kind, "__annotations__", {})
    return "features" in slots or any(code and "features" in code.co_names for code in codes)


__all__ = [
    "STRATEGIES",
    "BracketW2",
    "Confluence",
    "Decision",
    "EmaCross",
    "KernelStrategy",
    "RsiReversion",
    "Strategy",
    "View",
    "class_of",
    "declared_parameters",
    "load_class",
    "load_object",
    "make_strategy",
    "parameters_of",
]
