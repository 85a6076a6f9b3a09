"""The record of a model: everything about it but its weights, as JSON, refused when anything is missing or odd."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from engine.candles import TIMEFRAMES
from engine.errors import ConfigError, DataError
from engine.features import columns_of

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """
    What a model is and where it comes from.

    kind          key of `engine.model.KINDS`; features: requests, on `timeframe` or with @timeframe, in order
    horizon_bars  how far ahead it was trained to look
    symbols       trained on, with the sha256 of each tape; start_ms … end_ms: first open, last close it has seen
    version       its number in a store; 0 outside one. parent: the champion when it was made; 0 = none
    code          digest of the engine's sources that computed its features
    metrics       of the fit, by name; gate: what the promotion gate said, empty before one was passed
    """

    kind: str
    features: tuple[str, ...]
    timeframe: str
    horizon_bars: int
    symbols: tuple[str, ...] = ()
    tapes: tuple[str, ...] = ()
    start_ms: int = 0
    end_ms: int = 0
    code: str = ""
    seed: int = 0
    version: int = 0
    parent: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns that its features give, in order."""
        return tuple(name for request in self.features for name in columns_of(request))

    @property
    def features_digest(self) -> str:
        """Return a digest of the columns, so that a list which gives others today is noticed."""
        return hashlib.sha256("\n".join(self.columns).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return the record as `from_json` takes it."""
        values = {"format": FORMAT, **asdict(self), "features_digest": self.features_digest}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return a record whose every field was checked, or raise DataError."""
        for name, (is_good, rule) in _RULES.items():
            if name not in values:
                raise DataError(f"artefact: the record has no {name!r}; the file is damaged")
            if not is_good(values[name]):
                raise DataError(f"artefact: {name} {values[name]!r} is not {rule}")
        taken: dict[str, Any] = {name: values[name] for name in _RULES if name != "features_digest"}
        for name in ("features", "symbols", "tapes"):
            taken[name] = tuple(taken[name])
        record = cls(**taken)
        try:
            digest = record.features_digest
        except (ConfigError, DataError) as error:
            raise DataError(
                f"artefact: this version cannot compute its features: {error}"
            ) from error
        if digest != values["features_digest"]:
            raise DataError(
                "artefact: its features give other columns than when it was trained; train it anew"
            )
        return record


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(number, int | float) and math.isfinite(number) for number in value.values()
    )


_TEXT: Final = (lambda value: isinstance(value, str), "text")
_WHOLE: Final = (_is_whole, "a whole number of at least 0")
_TEXTS: Final = (_is_texts, "a list of texts")
_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "kind": _TEXT,
    "features": (lambda value: _is_texts(value) and len(value) > 0, "a list of features"),
    "features_digest": _TEXT,
    "timeframe": (lambda value: isinstance(value, str) and value in TIMEFRAMES, "a timeframe"),
    "horizon_bars": (lambda value: _is_whole(value) and value > 0, "a whole number above 0"),
    "symbols": _TEXTS,
    "tapes": _TEXTS,
    "start_ms": _WHOLE,
    "end_ms": _WHOLE,
    "code": _TEXT,
    "seed": _WHOLE,
    "version": _WHOLE,
    "parent": _WHOLE,
    "metrics": (_is_numbers, "a table of finite numbers"),
    "gate": (lambda value: isinstance(value, dict), "a table"),
}
