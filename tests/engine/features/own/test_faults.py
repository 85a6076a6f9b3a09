"""What is no value, looks too far or keeps too much: one sentence at its candle, entries pause, and no batching shows."""

import re
from typing import Any

import numpy as np
import pytest

from papertape.engine import Decision, Engine
from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.errors import ConfigError, StrategyError
from papertape.engine.events import Action, Command
from papertape.engine.features import evaluate
from papertape.engine.features.history import CLOSE
from papertape.engine.features.own.kernels import kernel_feature
from papertape.engine.features.own.names import own_features
from papertape.engine.jit import kernel
from papertape.engine.records import LONG, REFUSED_FAULT
from papertape.engine.strategies import EmaCross
from papertape.replay.tapes.own_features import table_feature
from tests.support.helpers import START_MS, interleave, random_candles
from tests.support.own_features import Efficiency, spec_of, stretch, values_of, wilder

HOUR = 3_600_000
AT = 37  # the candle, by number, at which the features below are wrong
CANDLES = random_candles(80, seed=5)
AT_MS = int(CANDLES["open_ms"][AT])
BARS: list[float] = []


class Odd:
    """An object that is fine but for one candle."""

    name = "odd"
    state_fields = ("bars",)

    def __init__(self, what: Any) -> None:
        self.what = what

    def update(self, candle: Any) -> Any:
        self.bars += 1
        if candle.open_ms != AT_MS:
            return candle.close
        if isinstance(self.what, str) and self.what == "raise":
            raise ConnectionError("the oracle is silent")
        return self.what


class Keeper:
    """Keeps what it does not declare, from the candle on."""

    name = "odd"
    total = 0.0

    def update(self, candle: Any) -> float:
        if candle.open_ms >= AT_MS:
            self.total += 1
        return self.total


class ModuleKeeper:
    """The same in its module."""

    name = "odd"

    def update(self, candle: Any) -> float:
        if candle.open_ms == AT_MS:
            BARS.append(candle.close)
        return float(len(BARS))


class BadState:
    """Keeps text where a number belongs."""

    name = "odd"
    state_fields = ("last",)

    def update(self, candle: Any) -> float:
        self.last = "high" if candle.open_ms == AT_MS else candle.close
        return candle.close


class BadList:
    """Keeps a list of another length."""

    name = "odd"
    state_fields = (("ring", 3),)

    def update(self, candle: Any) -> float:
        self.ring = [1.0] * (4 if candle.open_ms == AT_MS else 3)
        return candle.close


@kernel_feature(look_back=1, parameters=(float(AT), 0.0), name="odd")
def raising(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    for i in range(first, last):
        if count + i - first == p[0]:
            raise ValueError("the kernel is silent")
        out[i - first] = history[CLOSE, i]


@kernel_feature(look_back=1, parameters=(float(AT),), name="odd")
def dividing(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    for i in range(first, last):
        out[i - first] = history[CLOSE, i] / (count + i - first - p[0])


@table_feature(look_back=4, name="odd")
def raising_table(candles: Any) -> Any:
    if candles.index[-1].value == AT_MS * 1_000_000:
        raise KeyError("oracle")
    return candles["close"]


@table_feature(look_back=4, name="odd")
def short_table(candles: Any) -> Any:
    return candles["close"][1:] if candles.index[-1].value == AT_MS * 1_000_000 else candles["close"]


@table_feature(look_back=4, name="odd")
def text_table(candles: Any) -> Any:
    return ["x"] * 4 if candles.index[-1].value == AT_MS * 1_000_000 else candles["close"]


@table_feature(look_back=4, name="odd")
def keeping_table(candles: Any, seen: list[float] = []) -> Any:  # noqa: B006 - what is tried
    if candles.index[-1].value == AT_MS * 1_000_000:
        seen.append(1.0)
    return candles["close"] + len(seen)


FAULTY = [
    (Odd("abc"), "it returned 'abc', which is no number"),
    (Odd(None), "it returned None, which is no number; return float\\('nan'\\) where there is no value"),
    (Odd([1.0]), r"it returned \[1.0\], which is no number"),
    (Odd(10**400), "it returned a number that no float can hold"),
    (Odd(float("inf")), "its value is inf; a division by zero, perhaps"),
    (Odd("raise"), r"ConnectionError: the oracle is silent \(test_faults.py, line \d+\)"),
    (ModuleKeeper(), r"it changed .*test_faults.BARS, which no snapshot finds; .* write state_fields ="),
    (BadState(), "it keeps 'high' in last, which is no number"),
    (BadList(), r"it keeps \[1.0, 1.0, 1.0, 1.0\] in ring, which is not 3 numbers"),
    (raising, "ValueError: the kernel is silent"),
    (dividing, "its value is inf; a division by zero, perhaps"),
    (raising_table, r"KeyError: 'oracle' \(test_faults.py, line \d+\)"),
    (short_table, "it returned 3 for 4 candles; one value per candle is needed"),
    (text_table, "it returned .*'x'.*, which is no number"),
    (
        keeping_table,
        "it changed keeping_table.__defaults__, which no snapshot finds; a function of a table keeps nothing",
    ),
]


class Buyer:
    """Buys while it can; does not look at the feature."""

    def __init__(self, *features: Any) -> None:
        self.features = features

    def decide(self, view: Any) -> Decision | None:
        return Decision(LONG, stop_price=0.5 * view.close) if view.position == 0 else None


@pytest.mark.parametrize(("feature", "reason"), FAULTY, ids=[reason for _, reason in FAULTY])
def test_what_is_no_value_has_its_sentence_and_its_candle(feature: Any, reason: str) -> None:
    engine = Engine(spec_of(Buyer(feature)))
    report = engine.step(CANDLES)

    (fault,) = report.faults
    head = r"strategy .*test_faults:Buyer: AAA, candle closed 2020-01-02T14:00:00Z: feature odd: "
    assert fault.time_ms == AT_MS + HOUR
    assert re.fullmatch(head + reason + ".*", str(fault)), str(fault)
    values = values_of(engine)["odd"]
    assert np.isnan(values[AT])
    assert np.isfinite(values[AT + 1 :]).all()


@pytest.mark.parametrize("batch", [1, 7, 38, 39])
@pytest.mark.parametrize(("feature", "reason"), FAULTY, ids=[reason for _, reason in FAULTY])
def test_no_batching_shows_in_what_follows(feature: Any, reason: str, batch: int) -> None:
    spec = spec_of(Buyer(feature, "odd@2h"), ("AAA", "BBB"))
    candles = interleave([CANDLES, random_candles(80, seed=6)])

    def told(size: int) -> tuple[list[str], str]:
        BARS.clear()
        engine = Engine(spec)
        faults = []
        for start in range(0, len(candles), size):
            faults += [str(fault) for fault in engine.step(candles[start : start + size]).faults]
        return faults, engine.digest

    whole = told(len(candles))
    assert told(batch) == whole
    assert len(whole[0]) >= 2


class CompiledBuyer(Buyer):
    """The same as machine code."""

    decide = kernel(Buyer.decide)


@pytest.mark.parametrize("strategy", [Buyer, CompiledBuyer, EmaCross], ids=["Python", "compiled", "batch"])
def test_entries_pause_and_stops_stay(strategy: Any) -> None:
    features: dict[str, Any] = {"own_features": (Odd("abc"),), "extra_features": ("odd",)}
    made = EmaCross(2, 3) if strategy is EmaCross else strategy()
    engine = Engine(spec_of(made, **features))
    report = engine.step(CANDLES)

    refused = report.decisions[report.decisions["refused"] == REFUSED_FAULT]
    assert refused["time_ms"][0] == AT_MS + HOUR
    assert engine.account["is_paused"][0] == PAUSED_BY_FAULT
    entries = report.fills[report.fills["position"] != 0]
    assert len(entries) > 0
    assert entries["candle_ms"].max() <= AT_MS + HOUR
    before = Engine(spec_of(made)).step(CANDLES)
    n = int((before.fills["candle_ms"] <= AT_MS).sum())
    assert report.fills[:n].tobytes() == before.fills[:n].tobytes()
    if strategy is not EmaCross:
        assert engine.positions["stop_price"][0] > 0

    engine.step(Command(Action.RESUME))
    assert engine.account["is_paused"][0] == 0


def test_every_kind_of_strategy_is_told_the_same_in_the_same_order() -> None:
    def told(strategy: Any) -> tuple[list[str], str]:
        spec = spec_of(strategy(Odd("abc"), "odd@2h"), ("AAA", "BBB"))
        engine = Engine(spec)
        report = engine.step(interleave([CANDLES, CANDLES]))
        return [fault.reason for fault in report.faults], engine.digest

    in_python, compiled = told(Buyer), told(CompiledBuyer)
    assert in_python == compiled
    assert len(in_python[0]) == 2


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 80])
def test_what_is_wrong_between_two_closes_waits_for_the_next_and_in_a_snapshot(batch: int) -> None:
    spec = spec_of(Buyer("odd@1h"), timeframe="4h", own_features=(Odd("abc"),))
    engine = Engine(spec)
    faults = []
    for start in range(0, 80, batch):
        faults += engine.step(CANDLES[start : start + batch]).faults
        other = Engine(spec)
        other.restore(engine.snapshot())
        engine = other

    (fault,) = faults
    assert fault.time_ms == START_MS + 40 * HOUR
    assert "feature odd@1h, its candle known 2020-01-02T14:00:00Z: it returned 'abc'" in str(fault)


def test_a_batch_after_an_undeclared_change_begins_as_a_restart_would() -> None:
    engine = Engine(spec_of(Buyer(Keeper())))
    report = engine.step(CANDLES)

    assert len(report.faults) == 80 - AT
    assert "it changed self.total" in report.faults[0].reason


@kernel_feature(look_back=3)
def reaching_back(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    for i in range(first, last):
        t = count + i - first
        out[i - first] = history[CLOSE, i - 3] if t >= 3 else np.nan


@kernel_feature(look_back=3)
def before_the_first(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    for i in range(first, last):
        out[i - first] = history[CLOSE, i - 2]


@kernel_feature(look_back=3)
def reaching_ahead(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    for i in range(first, last):
        out[i - first] = history[CLOSE, i + 1] if i + 1 < history.shape[1] else 0.0


@table_feature(look_back=20)
def forgets_slowly(candles: Any) -> Any:
    return candles["close"].ewm(span=10, adjust=False).mean()


@table_feature(look_back=200)
def forgets_in_time(candles: Any) -> Any:
    return candles["close"].ewm(span=10, adjust=False).mean()


@table_feature(look_back=5)
def of_the_whole(candles: Any) -> Any:
    return candles["close"] - candles["close"].mean()


@pytest.mark.parametrize(
    ("feature", "bars", "reason"),
    [
        (reaching_back, 4, "it reads more than the 3 candles of look_back = 3"),
        (before_the_first, 0, "it reads more than the 3 candles of look_back = 3"),
        (reaching_ahead, 0, "some before the first or after this one"),
        (
            forgets_slowly,
            64,
            r"it depends on more than look_back = 20 candles: [\d.]+ on them, [\d.]+ on 40; declare",
        ),
        (of_the_whole, 16, "it depends on more than look_back = 5 candles"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("batch", [1, 5, 80])
def test_what_depends_on_more_than_its_look_back_is_refused_early(
    feature: Any, bars: int, reason: str, batch: int
) -> None:
    engine = Engine(spec_of(Buyer(feature)))
    faults = []
    for start in range(0, 80, batch):
        faults += engine.step(CANDLES[start : start + batch]).faults

    assert faults[0].time_ms == START_MS + (bars + 1) * HOUR
    assert re.search(reason, str(faults[0])), str(faults[0])


def test_an_average_that_has_forgotten_enough_is_fine() -> None:
    candles = random_candles(520, seed=5)
    values = evaluate("forgets_in_time", candles, own={"forgets_in_time": forgets_in_time})[0]

    alpha, average = 2 / 11, float(candles["close"][0])
    for close in candles["close"][1:]:
        average += alpha * (close - average)
    assert values[-1] == pytest.approx(average, rel=1e-9)
    assert np.isnan(values[:199]).all()


def test_a_feature_by_itself_is_refused_in_the_same_words() -> None:
    with pytest.raises(
        StrategyError, match=r"feature odd: candle closed 2020-01-02T14:00:00Z: it returned 'abc'"
    ):
        evaluate("odd", CANDLES, own=own_features((Odd("abc"),)))


class Nameless:
    def update(self, candle: Any) -> float:
        return candle.close


def _with(**attributes: Any) -> Any:
    return type("Made", (Nameless,), {"name": "mine", **attributes})()


class Uncopied(Nameless):
    name = "mine"

    def __init__(self) -> None:
        self.generator = (n for n in (1, 2))


def _not_compiled(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    out[0] = state.nothing


def _other_arguments(history: Any, out: Any) -> None:
    out[0] = 1.0


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Nameless(), 'feature Nameless: it has no name; write name = "nameless" in the class'),
        (Nameless, r"feature Nameless: it is a class; write Nameless\(\)"),
        (lambda candles: candles, "a function has to say how far it looks back; write @table_feature"),
        (3, "feature 3: it is neither the name of a feature, nor an object with update"),
        (
            _with(name="ema_20"),
            "feature 'ema_20': a built-in feature has this name; choose another, my_ema_20 say",
        ),
        (_with(name="macd_signal"), "a built-in feature has this name"),
        (_with(name="close"), "a built-in feature has this name"),
        (_with(name="model_probability"), "a built-in feature has this name"),
        (_with(name="my feature"), "feature 'my feature': its name is no Python name"),
        (_with(name="lambda"), "its name is no Python name"),
        (_with(name="größe"), "its name is no Python name"),
        (_with(state_fields="bars"), r"state_fields = 'bars' is one string; write \('bars',\)"),
        (_with(state_fields=("a b",)), "state_fields 'a b' is neither a name nor"),
        (_with(state_fields=("a", "a")), "each once"),
        (_with(state_fields=(("a", 0),)), r"state_fields \('a', 0\) is neither a name nor"),
        (_with(state_fields=("a",), a="x"), "cannot be copied and given its state_fields"),
        (_with(state_fields=(("a", 2),), a=[1, 2, 3]), "a has the shape \\(3,\\), not 2 numbers"),
        (Uncopied(), "needs an instance of its own, and this one cannot be copied"),
    ],
)
def test_what_cannot_be_a_feature_is_refused_with_the_way_out(request_: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Engine(spec_of(Buyer(request_)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: table_feature(look_back=0)(lambda c: c), "look_back 0 is not at least 1 candle"),
        (lambda: table_feature(look_back=5_001)(lambda c: c), "look_back 5001 is not between 1 and 5,000"),
        (lambda: table_feature(look_back=2.5)(lambda c: c), "look_back 2.5 is not a whole number"),  # type: ignore[arg-type]
        (lambda: table_feature(look_back=2)(Nameless()), "is not a function of a table of candles"),
        (lambda: kernel_feature(look_back=0)(_not_compiled), "look_back 0 is not at least 1 candle"),
        (lambda: kernel_feature(look_back=1)(3), "3 is not a function"),
        (lambda: kernel_feature(look_back=1, state=[("a", "f4")])(_not_compiled), "is not of the form"),
        (lambda: kernel_feature(look_back=1, state="abc")(_not_compiled), "is not of the form"),
        (
            lambda: kernel_feature(look_back=1, parameters=("a",))(_not_compiled),
            r"parameters \('a',\) are not numbers",
        ),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_not_compiled, "KeyError: 'nothing'"),
        (_other_arguments, "its kernel does not compile for .history, first, last"),
    ],
)
def test_a_kernel_that_does_not_compile_is_refused_before_anything_runs(function: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"feature '{function.__name__}': .*{message}"):
        Engine(spec_of(Buyer(kernel_feature(look_back=1)(function))))


def test_two_features_of_one_name_are_refused() -> None:
    assert own_features((wilder, wilder, Efficiency(), Efficiency(), stretch))
    with pytest.raises(ConfigError, match="feature 'efficiency': two different features have this name"):
        own_features((Efficiency(), Efficiency(5)))


def test_an_unknown_name_suggests_the_nearest_of_ones_own() -> None:
    with pytest.raises(ConfigError, match="unknown feature 'wilde': did you mean 'wilder'"):
        Engine(spec_of(Buyer("wilde"), own_features=(wilder,)))
    with pytest.raises(ConfigError, match="unknown feature 'wilder'"):
        Engine(spec_of(Buyer("wilder")))
