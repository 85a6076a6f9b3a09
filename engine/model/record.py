"""The record of a model: everything about it but its weights, as JSON, refused when anything is missing or odd."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from papertape.engine.candles import TIMEFRAMES
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.features import columns_of

FORMAT: Final = 2
MOST_MEMBERS: Final = 32  # of an ensemble: each is a whole model to train and to step
MOST_WINDOWS: Final = 6  # of each seed: the last one learns from 1/32 of the training part


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """
    What a model is and where it comes from. Tables and lists hold plain JSON values.

    kind          key of `engine.model.KINDS`; features: requests, on `timeframe` or with @timeframe, in order
    horizon_bars  how far ahead it was trained to look
    symbols       trained on, with the sha256 of each tape; start_ms … end_ms: first open, last close it has seen
    version       its number in a store; 0 outside one. parent: the champion when it was made; 0 = none
    code          digest of the engine's sources that computed its features
    metrics       of the fit, by name; gate: what the promotion gate said, empty before one was passed
    inputs        the columns of its features that it reads, in its order; left out: all of them
    sizes         of its kind, by name; label: what it learnt to foresee; options: how it was trained
    is_per_symbol weights of its own for each of `symbols`, in place of one model for all
    reference     what its inputs and probabilities looked like in training, for the watch on drift
    curve         of reliability: bins of predicted against realised; importance: of each input, by name
    definitions   digests of the features of somebody's own that it was trained on, by name
    selection     of each input that might have been read the share of halves of the rows that chose it; empty: none was made
    members       models of one kind, each of a seed or of a newest share of the rows, that speak together; 1: a single one
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
    inputs: tuple[str, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)
    label: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    is_per_symbol: bool = False
    reference: dict[str, Any] = field(default_factory=dict)
    curve: list[Any] = field(default_factory=list)
    importance: dict[str, float] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    members: int = 1
    selection: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.inputs:
            object.__setattr__(self, "inputs", self.columns)

    @property
    def asks(self) -> str:
        """Return what it answers: which side pays, or whether a strategy's own signal does."""
        return str(self.label.get("asks", "side"))

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
        if not self.definitions:
            del values["definitions"]  # of nearly all models
        if self.members == 1:
            del values["members"]  # likewise
        if not self.selection:
            del values["selection"]  # likewise
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return a record whose every field was checked, or raise DataError; format 1 lacks the fields of format 2."""
        rules = _RULES if values["format"] == 1 else {**_RULES, **_RULES_2}
        rules = {**rules, **{name: rule for name, rule in _OPTIONAL.items() if name in values}}
        for name, (is_good, rule) in rules.items():
            if name not in values:
                raise DataError(f"artefact: the record has no {name!r}; the file is damaged")
            if not is_good(values[name]):
                raise DataError(f"artefact: {name} {values[name]!r} is not {rule}")
        taken = {name: values[name] for name in rules if name != "features_digest"}
        taken = {name: tuple(v) if name in _TUPLES else v for name, v in taken.items()}
        try:
            record = cls(**taken)
            digest = record.features_digest
        except (ConfigError, DataError) as error:
            raise DataError(f"artefact: this version cannot compute its features: {error}") from error
        if digest != values["features_digest"]:
            raise DataError(
                "artefact: its features give other columns than when it was trained; train it anew"
            )
        record._check_inputs()
        return record

    def _check_inputs(self) -> None:
        """Raise DataError unless the inputs are columns of the features, each once."""
        columns = set(self.columns)
        foreign = [name for name in self.inputs if name not in columns]
        if foreign or len(set(self.inputs)) != len(self.inputs):
            which = foreign[0] if foreign else next(n for n in self.inputs if self.inputs.count(n) > 1)
            rule = "is not a column of its features" if foreign else "is there twice"
            raise DataError(f"artefact: input {which!r} {rule}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_number(number) for number in value.values())


def _is_sizes(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_whole(size) and size > 0 for size in value.values())


Rule = tuple[Callable[[Any], bool], str]

_TUPLES: Final = ("features", "symbols", "tapes", "inputs")
_TEXT: Final = (lambda value: isinstance(value, str), "text")
_WHOLE: Final = (_is_whole, "a whole number of at least 0")
_TEXTS: Final = (_is_texts, "a list of texts")
_TABLE: Final = (lambda value: isinstance(value, dict), "a table")
_NUMBERS: Final = (_is_numbers, "a table of finite numbers")
_RULES: Final[dict[str, Rule]] = {
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
    "metrics": _NUMBERS,
    "gate": _TABLE,
}
_OPTIONAL: Final[dict[str, Rule]] = {
    "definitions": (
        lambda value: isinstance(value, dict) and all(isinstance(v, str) for v in value.values()),
        "a table of texts",
    ),
    "members": (
        lambda value: _is_whole(value) and 1 < value <= MOST_MEMBERS,
        f"a whole number from 2 to {MOST_MEMBERS}",
    ),
    "selection": _NUMBERS,
}
_RULES_2: Final[dict[str, Rule]] = {
    "inputs": (lambda value: _is_texts(value) and len(value) > 0, "a list of columns"),
    "sizes": (_is_sizes, "a table of whole numbers above 0"),
    "label": _TABLE,
    "options": _TABLE,
    "is_per_symbol": (lambda value: isinstance(value, bool), "true or false"),
    "reference": _TABLE,
    "curve": (lambda value: isinstance(value, list), "a list"),
    "importance": _NUMBERS,
}
