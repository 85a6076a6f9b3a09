"""Which features of somebody's own there are, by name: what stands among the requests, and what a configuration adds."""

from collections.abc import Iterable
from keyword import iskeyword
from types import FunctionType
from typing import Any, Final

from papertape.engine.errors import ConfigError
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.features.own.definition import definition_of
from papertape.engine.features.own.objects import ObjectFeature
from papertape.engine.features.table import FEATURES, is_built_in

_TAKEN: Final = (
    "model_probability",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "symbol",
    "time_ms",
    "position",
    "state",
)


def own_features(requests: Iterable[Any]) -> dict[str, OwnFeature]:
    """
    Return the features of somebody's own among requests, by name; whatever is text is left to whoever reads it.

    Raises ConfigError for what is no feature, for a name that is none, and for two different features of one name.
    """
    found: dict[str, OwnFeature] = {}
    for request in requests:
        if isinstance(request, str):
            continue
        feature = as_feature(request)
        _refuse_name(feature.name)
        known = found.setdefault(feature.name, feature)
        if known.subject is not feature.subject and definition_of(known) != definition_of(feature):
            raise ConfigError(
                f"feature {feature.name!r}: two different features have this name; give one of them another"
            )
    return found


def request_texts(requests: Iterable[Any]) -> tuple[str, ...]:
    """Return requests as text: a feature of somebody's own asks for itself, on the timeframe of whoever asks."""
    return tuple(r if isinstance(r, str) else as_feature(r).name for r in requests)


def as_feature(value: Any) -> OwnFeature:
    """Return the declaration of what stands among features, or raise ConfigError with the way out."""
    if isinstance(value, OwnFeature):
        return value
    if isinstance(value, type):
        raise ConfigError(f"feature {value.__name__}: it is a class; write {value.__name__}()")
    if callable(getattr(value, "update", None)):
        return ObjectFeature(value)
    if isinstance(value, FunctionType) or hasattr(value, "py_func"):
        raise ConfigError(
            f"feature {value.__name__}: a function has to say how far it looks back; write "
            "@table_feature(look_back=50) above one of a table of candles, @kernel_feature(look_back=50) above a kernel"
        )
    raise ConfigError(
        f"feature {value!r:.60}: it is neither the name of a feature, nor an object with update(candle), nor a function "
        "with @table_feature or @kernel_feature"
    )


def _refuse_name(name: str) -> None:
    """Raise ConfigError for a name that cannot stand in a request, or means something else there."""
    if not name.isidentifier() or iskeyword(name) or not name.isascii():
        raise ConfigError(f"feature {name!r}: its name is no Python name; letters, digits and _ make one")
    columns = {f"{row.name}_{output}" for row in FEATURES.values() for output in row.outputs}
    if is_built_in(name) or name in columns or name in _TAKEN:
        raise ConfigError(
            f"feature {name!r}: a built-in feature has this name; choose another, my_{name} say"
        )
