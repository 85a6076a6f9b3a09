"""
The table of features: one row each, from which requests are read, states laid out and checks derived.

A request is a name and its parameters, `macd_12_26_9`, optionally with `:first` for a feature that can start at its
first candle instead of after a mean. To add a feature: its kernel in a family, a branch in
`compute.follow_price` or `compute.measure`, a row here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.candles import HOUR_MS
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.features import codes
from papertape.engine.features.history import CLOSE, HIGH, LOW, N_CANDLE_ROWS, OPEN, VOLUME, WINDOW
from papertape.engine.features.momentum import RSI
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.features.own.series import OwnPlan
from papertape.engine.features.requests import split_request, split_variant
from papertape.engine.features.smc.columns import COLUMNS
from papertape.engine.features.smc.feature import SMC_STATE
from papertape.engine.features.smc.parameters import LONGEST_PIVOT
from papertape.engine.features.trend import ADX, AVERAGE, MACD
from papertape.engine.features.volatility import WILDER
from papertape.engine.features.volume import MFI, OBV, VWAP
from papertape.engine.jit import FloatArray, Row, Rows, record
from papertape.engine.records import SERIES_NAMES

Values = tuple[float, ...]
_LONGEST: Final = 5_000  # bars; a longer window is a mistake more often than a wish
_WEEK_HOURS: Final = 168


class Parameter(NamedTuple):
    """One parameter: its default and the least value; whole numbers of bars unless `is_factor`."""

    name: str
    default: float
    least: float
    is_factor: bool = False
    most: int = _LONGEST


@dataclass(frozen=True, slots=True)
class Feature:
    """
    One row of the table.

    outputs       suffixes of the columns; "" is the request itself
    warm_up_bars  candles before the first value, from the parameters
    look_back     candles before the newest that its kernel reads, from the parameters
    cells         words of state beyond a fixed record, from the parameters
    price_power   by output: how a value scales when all prices do, 1 or 0; volume_power: likewise
    """

    name: str
    code: int
    parameters: tuple[Parameter, ...]
    outputs: tuple[str, ...]
    warm_up_bars: Callable[[Values], int]
    look_back: Callable[[Values], int]
    state: np.dtype[Any] | None = None
    cells: Callable[[Values], int] | None = None
    price_power: int = 0
    volume_power: int = 0
    flat_outputs: tuple[str, ...] = ()  # outputs whose price_power is 0 although the feature's is 1
    has_first: bool = False
    is_clocked: bool = False  # a shift of the open times changes its values
    is_series: bool = False  # made of a series beside the candles; NaN where that is not known

    def state_dtype(self, values: Values) -> np.dtype[Any]:
        """Return the record that holds the state for these parameters."""
        if self.state is not None:
            return self.state
        return record(("cells", "f8", (self.cells(values) if self.cells else 1,)))


def _bars(name: str, default: int, least: int = 2) -> Parameter:
    return Parameter(name, default, least)


def _period(p: Values) -> int:
    return int(p[0])


def _window(p: Values) -> int:
    return int(p[0]) - 1


def _none(_: Values) -> int:
    return 0


def _one(_: Values) -> int:
    return 1


_ROWS: Final = (
    Feature("ema", codes.EMA, (_bars("period", 20, 1),), ("",), _window, _none, AVERAGE, price_power=1, has_first=True),
    Feature("sma", codes.SMA, (_bars("period", 20, 1),), ("",), _window, _period, WINDOW, price_power=1),
    Feature("wma", codes.WMA, (_bars("period", 20, 1),), ("",), _window, _period, WINDOW, price_power=1),
    Feature(
        "macd", codes.MACD_LINES, (_bars("fast", 12), _bars("slow", 26), _bars("signal", 9, 1)),
        ("", "signal", "histogram"), lambda p: int(p[1] + p[2]) - 2, _none, MACD, price_power=1, has_first=True,
    ),
    Feature(
        "adx", codes.ADX_LINES, (_bars("period", 14),), ("", "plus_di", "minus_di"),
        lambda p: 2 * int(p[0]) - 1, _one, ADX,
    ),
    Feature(
        "aroon", codes.AROON, (_bars("period", 14),), ("up", "down", "oscillator"), _period,
        lambda p: int(p[0]) + 1, cells=lambda p: 2 * (int(p[0]) + 2),
    ),
    Feature("slope", codes.SLOPE, (_bars("period", 14),), ("",), _window, _period, WINDOW, price_power=1),
    Feature("rsi", codes.RSI_LINE, (_bars("period", 14),), ("",), _period, _one, RSI, has_first=True),
    Feature(
        "stochastic", codes.STOCHASTIC, (_bars("period", 5), _bars("slow", 3, 1), _bars("signal", 3, 1)),
        ("k", "d"), lambda p: int(p[0] + p[1] + p[2]) - 3, _period,
        cells=lambda p: 2 * (int(p[0]) + 1) + int(p[1] + p[2]),
    ),
    Feature("cci", codes.CCI, (_bars("period", 14),), ("",), _window, _window),
    Feature("roc", codes.ROC, (_bars("period", 10, 1),), ("",), _period, _period),
    Feature(
        "williams_r", codes.WILLIAMS_R, (_bars("period", 14),), ("",), _window, _period,
        cells=lambda p: 2 * (int(p[0]) + 1),
    ),
    Feature("atr", codes.ATR, (_bars("period", 14, 1),), ("",), _period, _one, WILDER, price_power=1, has_first=True),
    Feature(
        "bollinger", codes.BOLLINGER, (_bars("period", 20), Parameter("factor", 2.0, 0.01, True)),
        ("upper", "middle", "lower", "width", "place"), _window, _period, cells=lambda _: 4,
        price_power=1, flat_outputs=("width", "place"),
    ),
    Feature(
        "keltner", codes.KELTNER_LINES,
        (_bars("period", 20), _bars("atr_period", 10, 1), Parameter("factor", 2.0, 0.01, True)),
        ("upper", "middle", "lower"), lambda p: max(int(p[0]) - 1, int(p[1])), _one, cells=lambda _: 3, price_power=1,
    ),
    Feature(
        "donchian", codes.DONCHIAN, (_bars("period", 20),), ("upper", "lower", "middle"), _window, _period,
        cells=lambda p: 2 * (int(p[0]) + 1), price_power=1,
    ),
    Feature(
        "volatility_close", codes.VOLATILITY_CLOSE, (_bars("period", 20),), ("",), _period, _one,
        cells=lambda p: 4 + int(p[0]),
    ),
    Feature(
        "volatility_parkinson", codes.VOLATILITY_PARKINSON, (_bars("period", 20, 1),), ("",), _window, _none,
        cells=lambda p: 2 + int(p[0]),
    ),
    Feature("obv", codes.OBV_LINE, (), ("",), _none, _one, OBV, volume_power=1),
    Feature("mfi", codes.MFI_LINE, (_bars("period", 14),), ("",), _period, lambda p: int(p[0]) + 1, MFI),
    Feature("vwap", codes.VWAP_LINE, (), ("",), _none, _none, VWAP, price_power=1, is_clocked=True),
    Feature("volume_z", codes.VOLUME_Z, (_bars("period", 20),), ("",), _window, _period, cells=lambda _: 4),
    Feature("log_return", codes.LOG_RETURN, (_bars("bars", 1, 1),), ("",), _period, _period),
    Feature("candle_shape", codes.CANDLE_SHAPE, (), ("body", "upper_wick", "lower_wick", "range"), _none, _none),
    Feature("clock", codes.CLOCK, (), ("day_sin", "day_cos", "week_sin", "week_cos"), _none, _none, is_clocked=True),
    Feature(
        "until", codes.UNTIL, (Parameter("hours", 8, 1, most=_WEEK_HOURS),), ("",), _none, _none, is_clocked=True,
    ),
    Feature(
        "smc", codes.SMC,
        (
            Parameter("swing", 50, 2, most=LONGEST_PIVOT), Parameter("internal", 5, 2, most=LONGEST_PIVOT),
            Parameter("inverse_age", 100, 0),
        ),
        COLUMNS, lambda p: max(200, 2 * int(p[0])), _none, SMC_STATE, price_power=1, flat_outputs=COLUMNS[:-1],
        is_clocked=True,
    ),
    # The candle itself: of another symbol, of another timeframe, or for a model.
    *(
        Feature(name, codes.CANDLE_LINE + column, (), ("",), _none, _none, price_power=1)
        for name, column in (("open", OPEN), ("high", HIGH), ("low", LOW), ("close", CLOSE))
    ),
    Feature("volume", codes.CANDLE_LINE + VOLUME, (), ("",), _none, _none, volume_power=1),
    # Series beside the candles (`papertape.engine.features.known`).
    *(
        Feature(
            name, codes.SERIES_LINE + N_CANDLE_ROWS + kind, (), ("",), _none, _none,
            price_power=int(name in ("mark", "index")), is_series=True,
        )
        for kind, name in enumerate(SERIES_NAMES)
    ),
    Feature(
        "open_interest_change", codes.OPEN_INTEREST_CHANGE, (_bars("bars", 24, 1),), ("",), _period, _period, is_series=True,
    ),
    Feature("mark_premium", codes.MARK_PREMIUM, (), ("",), _none, _none, is_series=True),
    Feature("index_premium", codes.INDEX_PREMIUM, (), ("",), _none, _none, is_series=True),
)  # fmt: skip

FEATURES: Final[dict[str, Feature]] = {row.name: row for row in _ROWS}


class FeatureRequest(NamedTuple):
    """A request that has been read: the feature, its parameters, and whether it starts at its first candle."""

    text: str
    feature: Feature
    values: Values
    is_first: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(f"{self.text}_{suffix}" if suffix else self.text for suffix in self.feature.outputs)


def read_request(text: str, own: Iterable[str] = ()) -> FeatureRequest:
    """Return what `name_1_2.5:first` asks for, or raise ConfigError; own: names that it may have been meant to be, too."""
    body, variant = split_variant(text)
    name, numbers = _stem(body)
    if name not in FEATURES:
        raise ConfigError(f"unknown feature {text!r}{did_you_mean(name, (*FEATURES, *own))}")
    feature = FEATURES[name]
    if variant and not feature.has_first:
        raise ConfigError(f"feature {text!r}: {name} has no variant {variant!r}")
    given = numbers or [str(p.default) for p in feature.parameters]
    if len(given) != len(feature.parameters):
        wanted = "_".join(p.name for p in feature.parameters)
        raise ConfigError(f"feature {text!r}: write {name}_{wanted}, or {name} for its defaults")
    values = tuple(_value(text, p, word) for p, word in zip(feature.parameters, given, strict=True))
    if name == "macd" and values[0] >= values[1]:
        raise ConfigError(f"feature {text!r}: fast {values[0]:g} is not below slow {values[1]:g}")
    if name == "until" and 24 % values[0] and values[0] != _WEEK_HOURS:
        rule = f"hours {values[0]:g} divide no day evenly and are no week"
        raise ConfigError(f"feature {text!r}: {rule}; write 1, 2, 3, 4, 6, 8, 12, 24 or 168")
    return FeatureRequest(text, feature, values, bool(variant))


def _stem(body: str) -> tuple[str, list[str]]:
    """Return the name in a request, and its parameters."""
    parts = body.split("_")
    split = next((i for i, part in enumerate(parts) if part[:1].isdigit()), len(parts))
    return "_".join(parts[:split]), parts[split:]


def is_built_in(name: str) -> bool:
    """Return whether a name asks for a feature of the table."""
    return _stem(split_variant(name)[0])[0] in FEATURES


@lru_cache(4_096)
def columns_of(request: str) -> tuple[str, ...]:
    """
    Return the names of the columns that a request gives, `BTCUSDT:adx_14@4h` with symbol and timeframe in each.

    A feature of somebody's own has one column of its name; whether there is such a feature is known where it is planned.
    """
    parts = split_request(request)
    owner = parts.symbol.partition("_")[0]
    if owner in FEATURES:
        raise ConfigError(f"feature {request!r}: {owner} has no variant {parts.name!r}")
    if parts.name.isidentifier() and not is_built_in(parts.name):
        return (request,)
    return tuple(parts.label(column) for column in read_request(parts.name).columns)


def _value(text: str, parameter: Parameter, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ConfigError(f"feature {text!r}: {parameter.name} {word!r} is not a number") from None
    if not parameter.least <= value <= parameter.most:
        rule = f"{parameter.name} {value:g} is not between {parameter.least:g} and {parameter.most}"
        raise ConfigError(f"feature {text!r}: {rule}")
    if not parameter.is_factor and value != int(value):
        raise ConfigError(f"feature {text!r}: {parameter.name} {value:g} is not a whole number")
    return value


class StructurePlan(NamedTuple):
    """One request for market structure: its words of the slab, its rows of the output, its parameters."""

    words: slice
    lines: slice
    parameters: FloatArray
    length_ms: int


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """
    The features of one lane: what `perceive` needs.

    columns      names of the output rows, in the order of the requests
    look_back    candles of history before the newest that any feature reads
    program      PROGRAM, one row per feature of the table
    state_dtype  record of named records, one per feature
    structure    where market structure is, which `perceive` computes apart
    own          features of somebody's own, which whoever has the plan computes (`own.series`)
    has_series   series beside the candles are read, so the history has rows of them
    """

    columns: tuple[str, ...]
    look_back: int
    program: Rows
    state_dtype: np.dtype[Any]
    structure: tuple[StructurePlan, ...] = ()
    own: tuple[OwnPlan, ...] = ()
    has_series: bool = False

    def initial_state(self) -> Rows:
        """Return the state before the first candle, shape (1,)."""
        state = np.zeros(1, self.state_dtype)
        for plan in self.own:
            state[plan.feature.name] = plan.feature.initial_state()
        return state


def plan_features(
    requests: Sequence[str], length_ms: int = HOUR_MS, own: Mapping[str, OwnFeature] = MappingProxyType({})
) -> FeaturePlan:
    """
    Return the plan for requests on one timeframe, each once, or raise ConfigError.

    length_ms  of a candle; only features that look at the clock ask for it
    own        features of somebody's own by name, some of which may be asked for
    """
    names = list(dict.fromkeys(requests))
    read = [None if name in own else read_request(name, own) for name in names]
    program = np.zeros(len(names) - read.count(None), codes.PROGRAM)
    rows = iter(program)
    fields: list[tuple[Any, ...]] = []
    columns: list[str] = []
    theirs: list[OwnPlan] = []
    words = 0
    for name, request in zip(names, read, strict=True):
        if request is None:
            dtype = own[name].state_dtype
            place = slice(words, words + dtype.itemsize // 8)
            theirs.append(OwnPlan(own[name], place, len(columns)))
            columns.append(name)
        else:
            dtype = request.feature.state_dtype(request.values)
            _write_row(next(rows), request, words, len(columns), length_ms)
            columns.extend(request.columns)
        fields.append((name, dtype))
        words += dtype.itemsize // 8
    look_back = max((r.feature.look_back(r.values) for r in read if r is not None), default=0)
    look_back = max([look_back, *(plan.feature.kept_bars for plan in theirs)])
    state_dtype = record(*fields) if fields else record(("unused", "f8"))
    structure = _structure_of(program, length_ms)
    has_series = any(request is not None and request.feature.is_series for request in read)
    return FeaturePlan(tuple(columns), look_back, program, state_dtype, structure, tuple(theirs), has_series)


def _write_row(row: Row, request: FeatureRequest, words: int, column: int, length_ms: int) -> None:
    """Write what a program says of one feature; its state begins at word `words`, its columns at `column`."""
    dtype = request.feature.state_dtype(request.values)
    row["code"] = request.feature.code
    row["parameters"][: len(request.values)] = request.values
    # The last parameter says where the feature starts; no feature with that choice has four of its own.
    row["parameters"][3] = float(request.is_first)
    if request.feature.code == codes.UNTIL:  # which counts from the close, and history has the open
        row["parameters"][1] = length_ms
    row["state"], row["state_length"] = words, dtype.itemsize // 8
    row["column"], row["outputs"] = column, len(request.columns)


def _structure_of(program: Rows, length_ms: int) -> tuple[StructurePlan, ...]:
    """Return where a program asks for market structure."""
    return tuple(
        StructurePlan(
            slice(int(row["state"]), int(row["state"] + row["state_length"])),
            slice(int(row["column"]), int(row["column"] + row["outputs"])),
            row["parameters"].copy(),
            length_ms,
        )
        for row in program[program["code"] == codes.SMC]
    )
