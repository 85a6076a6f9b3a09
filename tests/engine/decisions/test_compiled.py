"""Strategies in kernels, close by close: what the same text in Python does, at fault as well, whatever the batches."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest

from papertape.engine.candles import FLAG_ABSENT, HOUR_MS
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.events import Action, Command
from papertape.engine.jit import Rows, kernel, record
from papertape.engine.records import LONG, REASON_STOP, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.engine.strategies.parameters import parameter
from tests.support.every_order import EveryOrder, EveryOrderKernel
from tests.support.helpers import FREE, interleave, random_candles

NAN = math.nan
METHODS = ("decide", "on_fill", "on_close")


def twin(kind: type[Any]) -> type[Any]:
    """Return a class with the same text, compiled."""
    found = {name: kernel(getattr(kind, name)) for name in METHODS if hasattr(kind, name)}
    return type(f"{kind.__name__}", (kind,), found)


def engine_of(strategy: Any, symbols: str = "X", timeframe: str = "1h", sizing: str = "fraction") -> Engine:
    markets = [Market(symbol, is_perpetual=True, **FREE) for symbol in symbols]
    spec = EngineSpec(markets, strategy, timeframe, "1h", settings=Settings(sizing))
    return Engine(spec)


def tape(symbols: str, n: int = 400) -> Rows:
    """Return candles with hours missing, and one symbol absent now and then."""
    keep = np.ones(n, np.bool_)
    keep[n // 2 : n // 2 + 5] = False
    tapes = [random_candles(n, seed=60 + number)[keep] for number in range(len(symbols))]
    for number, one in enumerate(tapes):
        one["symbol"] = number
        if number == 1:
            for name in ("open", "high", "low"):
                one[name][50:60] = one["close"][49]
            one["close"][50:60], one["volume"][50:60] = one["close"][49], 0.0
            one["flag_bits"][50:60] |= FLAG_ABSENT
    return interleave(tapes)


def run(engine: Engine, candles: Rows, batch: int = 64, *, resumes: bool = False) -> Any:
    """Return faults without their places in files, answers that were not heeded, what was unmet, and the digest."""
    faults, unheeded, unmet, size = [], 0, [], batch * len(engine.symbols)
    for first in range(0, len(candles), size):
        report = engine.step(candles[first : first + size])
        faults += [(f.symbol, f.time_ms, f.reason.partition(" (")[0]) for f in report.faults]
        unheeded += report.unheeded
        unmet += report.unmet
        if resumes and report.faults:
            engine.step(Command(Action.RESUME))
    # NaN is no equal of itself, so what was compared is told as it is written.
    return faults, unheeded, repr(unmet), engine.digest


@pytest.mark.parametrize(("symbols", "timeframe"), [("X", "1h"), ("XYZ", "1h"), ("XY", "4h")])
def test_a_kernel_does_what_its_text_does_in_python(symbols: str, timeframe: str) -> None:
    candles = tape(symbols)
    python = engine_of(EveryOrder(), symbols, timeframe)
    expected = run(python, candles)
    assert python.account["orders"][0] > 20
    assert expected[2].count("nothing waits") > 10 < expected[2].count("value=nan, threshold=0.0")
    pictures = set()
    for batch in (1, 7, 64, 1_000):
        engine = engine_of(EveryOrderKernel(), symbols, timeframe)
        assert run(engine, candles, batch) == expected, batch
        assert engine.strategy_state.tobytes() == python.strategy_state.tobytes()
        pictures.add(engine.snapshot())
    assert len(pictures) == 1


def test_a_restart_at_any_candle_changes_nothing() -> None:
    candles = tape("XY", 160)
    whole = engine_of(EveryOrderKernel(), "XY")
    whole.step(candles)
    before, after = engine_of(EveryOrderKernel(), "XY"), engine_of(EveryOrderKernel(), "XY")
    for cut in range(0, len(candles), 10):
        if cut:
            before.step(candles[cut - 10 : cut])
        after.restore(before.snapshot())
        after.step(candles[cut:])
        assert after.snapshot() == whole.snapshot(), cut


class Base:
    """Counts its candles, and does what is wrong at every seventh, beside what is right."""

    features = ("atr_14",)
    state_fields = ("bars",)
    history_bars = 5


class NoPrice(Base):
    def decide(self, view: Any) -> Any:
        view.state.bars += 1
        view.buy(0.1, limit=view.close * 0.9, expires_bars=2)
        if view.state.bars % 7 == 0:
            view.sell(limit=-1.0)


class NotANumber(Base):
    def decide(self, view: Any) -> Any:
        view.state.bars += 1
        view.buy(0.1, limit=view["atr_14"])


class TwoTriggers(Base):
    def decide(self, view: Any) -> Any:
        view.state.bars += 1
        if view.state.bars % 7 == 0:
            view.buy(stop=view.close + 1.0, touch=view.close - 1.0, tag="x")


class NothingToLeave(Base):
    def decide(self, view: Any) -> Any:
        view.exit()


class TooMany(Base):
    def decide(self, view: Any) -> Any:
        for step in range(17):
            view.buy(0.01, limit=view.close - step - 1.0)


class BadTime(Base):
    def decide(self, view: Any) -> Any:
        view.buy(1.0, stop=view.close + 5.0, time_in_force="ioc")


class BadStop(Base):
    def decide(self, view: Any) -> Any:
        view.state.bars += 1
        if view.position == 0.0:
            return Decision(LONG, stop_distance=5.0)
        if view.state.bars % 7 == 0:
            view.stop = NAN
        return None


class BadTarget(Base):
    def decide(self, view: Any) -> Any:
        view.state.bars += 1
        if view.position == 0.0:
            return Decision(LONG, stop_distance=5.0)
        if view.state.bars % 7 == 0:
            view.target = -3.0
            view.state.bars += 5  # not reached
        return None


class BadDecision(Base):
    def decide(self, view: Any) -> Any:
        view.state.bars += 1
        if view.state.bars % 7 == 0:
            return Decision(LONG, stop_price=NAN)
        if view.state.bars % 11 == 0:
            return Decision(7)
        return Decision(SHORT, stop_distance=1.0 + view.state.bars, size_scale=0.5)


class Unlucky(Base):
    def decide(self, view: Any) -> Any:
        view.state.bars += 1
        if view.why("no seventh bar", view.state.bars % 7 != 0):
            view.why("close below 0", view.close, 0)  # not the first
            raise ValueError("unlucky")
        if view.position == 0.0:
            view.buy(0.2, stop_distance=3.0, target_distance=3.0)


class HookFails(Base):
    def decide(self, view: Any) -> Any:
        if view.position == 0.0:
            view.buy(0.2, stop_distance=3.0, target_distance=3.0)

    def on_fill(self, view: Any, fill: Any) -> None:
        view.state.bars += 1
        if view.state.bars % 2 == 0:
            raise ValueError("unlucky")

    def on_close(self, view: Any, trade: Any) -> None:
        view.state.bars += 0.25
        if trade.reason == "target":
            view.sell(0.1, stop_distance=3.0, target_distance=3.0)


FAULTY = (
    NoPrice,
    NotANumber,
    TwoTriggers,
    NothingToLeave,
    TooMany,
    BadTime,
    BadTarget,
    BadStop,
    BadDecision,
    Unlucky,
    HookFails,
)


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("kind", FAULTY)
def test_at_fault_it_says_the_same_at_the_same_candle(kind: type[Any], batch: int) -> None:
    candles = tape("XY", 120)
    python, engine = engine_of(kind(), "XY"), engine_of(twin(kind)(), "XY")

    expected = run(python, candles, batch, resumes=True)

    assert expected[0]
    assert run(engine, candles, batch, resumes=True) == expected
    assert engine.strategy_state.tobytes() == python.strategy_state.tobytes()


class Risky:
    """Everything of `self` that is a number is one in a kernel."""

    fast: int = parameter(12, low=2, high=100)
    distance: float = parameter(3.0, low=0.5, high=10.0)
    is_short: bool = parameter(False)
    MOST = 5
    features = ("atr_14", "ema_20@4h")
    state_dtype = record(("seen", "f8", (4,)), ("bars", "i8"))

    def __init__(self, scale: float = 1.5) -> None:
        self.scale = scale

    @kernel
    def decide(self, view: Any) -> Any:
        state = view.state
        state.seen[state.bars % 4] = self.fast + self.distance * self.scale + self.MOST
        state.bars += 1
        if view.position == 0.0 and view.close > view["ema_20@4h"]:
            return Decision(SHORT if self.is_short else LONG, stop_distance=self.distance)
        return None


def test_parameters_constants_and_a_record_of_state_reach_a_kernel() -> None:
    one, other = Risky(2.0), Risky(2.0)
    other.fast, other.is_short = 20, True
    candles = tape("X")
    for strategy, first, side in ((one, 12, 1), (other, 20, -1)):
        engine = engine_of(strategy)

        report = engine.step(candles)

        assert not report.faults
        assert set(report.trades["side"]) == {side}
        seen = engine.strategy_state["seen"][0].tolist()
        assert seen == [first + 3.0 * 2.0 + 5] * 4
        assert engine.strategy_state["bars"][0] == len(candles)


@dataclass(slots=True)
class Slotted:
    """Its attributes stand in slots, one of them is a word, and symbols are told apart by theirs."""

    features: tuple[str, ...] = ("atr_14",)
    distance: float = 3.0
    side: str = parameter("long", choices=("long", "short"))

    @kernel
    def decide(self, view: Any) -> Any:
        if view.position == 0.0 and view.symbol == "Y":
            side = LONG if self.side == "long" else SHORT
            return Decision(side, stop_distance=self.distance, target_distance=self.distance)
        return None


@pytest.mark.parametrize(("word", "side"), [("long", LONG), ("short", SHORT)])
def test_words_are_compared_with_what_is_written(word: str, side: int) -> None:
    strategy = Slotted(distance=2.0)
    strategy.side = word

    trades = engine_of(strategy, "XY").step(tape("XY", 200)).trades

    assert set(trades["symbol"]) == {1}
    assert set(trades["side"]) == {side}
    closed = trades[trades["exit_reason"] == REASON_STOP]
    risk = side * (closed["entry_price"] - closed["stop_price"])
    assert len(risk) > 2
    assert risk == pytest.approx(2.0)


def test_an_engine_that_nobody_holds_is_gone_at_once() -> None:
    engine = engine_of(EveryOrderKernel())
    engine.step(random_candles(30, 1))
    left = ref(engine)

    del engine

    assert left() is None


class Writes(Base):
    fast: int = parameter(12, low=2, high=100)

    @kernel
    def decide(self, view: Any) -> Any:
        view.state.bars += 1
        if view.state.bars == 30:
            self.fast += 1


def test_what_it_keeps_on_itself_is_refused_at_its_candle() -> None:
    for batch in (1, 50):
        faults, *_ = run(engine_of(Writes()), tape("X", 60), batch)

        assert len(faults) == 1
        assert faults[0][1] == int(tape("X", 60)["open_ms"][29]) + HOUR_MS
        assert faults[0][2].startswith("it changed self.fast while it decided")


class Looks(Base):
    """Reads past the end of what it may look back on."""

    @kernel
    def decide(self, view: Any) -> Any:
        closes = view.history("close", 5)
        view.state.bars = closes[len(closes)]


def test_an_index_beyond_the_end_is_a_fault_and_no_future() -> None:
    faults, *_ = run(engine_of(Looks()), tape("X", 9))

    assert {reason for _, _, reason in faults} == {"IndexError: index is out of bounds"}
    assert len(faults) == 4  # five of the nine hours are missing


def bad(text: str, **members: Any) -> type[Any]:
    """Return a strategy whose `decide` is one line."""
    names: dict[str, Any] = {"Decision": Decision, "LONG": LONG, "__name__": "tests.bad"}
    exec(f"def decide(self, view):\n    {text}\n", names)  # noqa: S102
    return type("Bad", (Base,), {"decide": kernel(names["decide"]), **members})


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            bad('view.state.bars = view["atr_15"]'),
            "it asks for 'atr_15', which is not there: did you mean 'atr_14'",
        ),
        (bad("view.state.bar = 3"), "'bar', which is not there: did you mean 'bars'"),
        (bad('view.history("clos", 3)'), "did you mean 'close'"),
        (bad('view.history("close", 50)'), "further back than history_bars = 5; write history_bars = 50"),
        (bad('view.history("close", 5)', history_bars=0), "write history_bars = 5 in the class"),
        (bad('view.why("rsi 30", view.close, 30)'), "view.why('rsi 30', …): say once below, above"),
        (bad('view.why("an uptrend", view.close)'), "give a threshold, too, or say whether it holds"),
        (bad("view.why(view.symbol, True)"), "what a condition of a kernel says is a literal"),
        (bad('view.note("here")'), "view.note is for strategies in Python"),
        (bad('view.buy(1.0, tag="ninechars")'), "'ninechars' is not a text of up to 8"),
        (bad("view.bye(1.0)"), "did you mean 'buy'"),
        (bad("view.buy(limits=1.0)"), "decide cannot be compiled"),
        (bad('view.buy(**{"limit": 1.0})'), "decide cannot be compiled"),
        (bad("return 3"), "decide cannot be compiled"),
        (bad("view.position = 3.0", on_fill=lambda self, view, fill: None), "on_fill is not a kernel"),
        (bad("pass", features=("atr_14",), state_fields=("a", "a")), "not different Python names"),
    ],
)
def test_what_cannot_be_compiled_is_refused_when_the_engine_is_made(kind: type[Any], words: str) -> None:
    with pytest.raises(ConfigError, match="strategy") as caught:
        engine_of(kind())

    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_market_that_is_listed_later_has_no_past() -> None:
    candles = tape("XY", 100)
    late = candles.copy()
    late["flag_bits"][(late["symbol"] == 1) & (late["open_ms"] < late["open_ms"][80])] |= FLAG_ABSENT | 16
    one, other = engine_of(EveryOrder(), "XY"), engine_of(EveryOrderKernel(), "XY")

    assert run(one, late) == run(other, late)


def test_who_wants_to_see_instructions_sees_the_same() -> None:
    seen: dict[type[Any], list[tuple[int, int, bytes]]] = {}
    for kind in (EveryOrder, EveryOrderKernel):
        engine, found = engine_of(kind(), "XY"), seen.setdefault(kind, [])
        engine.on_instructions = lambda symbol, close_ms, rows, found=found: found.append(
            (symbol, close_ms, rows.tobytes())
        )
        run(engine, tape("XY", 120))

    assert len(seen[EveryOrder]) > 10
    assert seen[EveryOrderKernel] == seen[EveryOrder]


def test_it_decides_for_no_other_account() -> None:
    engine = engine_of(EveryOrderKernel())

    with pytest.raises(ConfigError, match="is shown its account"):
        engine.follow(engine.spec, lambda report: None)


PROGRAM = """
import sys
from tests.engine.decisions.test_compiled import HookFails, engine_of, run, tape, twin
from tests.support.every_order import EveryOrderKernel

for kind in (EveryOrderKernel, twin(HookFails)):
    print(run(engine_of(kind(), "XY"), tape("XY", 160), 40, resumes=True))
"""


@pytest.mark.slow
def test_without_our_compiler_it_is_the_same() -> None:
    def told(**environment: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, **environment},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=900,
            check=True,
        ).stdout

    compiled = told()

    assert compiled != ""
    for switch in ("NUMBA_DISABLE_JIT", "PAPERTAPE_PLAIN_JIT"):
        assert told(**{switch: "1"}) == compiled, switch
