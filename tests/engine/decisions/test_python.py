"""Strategies in Python: what they keep, what they may ask for, and what becomes of it when they fail."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from papertape import backtest
from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.candles import HOUR_MS
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, StrategyError
from papertape.engine.events import Action, Command
from papertape.engine.jit import Rows
from papertape.engine.records import FLAT, KEEP, LONG, REFUSED_FAULT, REFUSED_PAUSED, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.replay.backtesting.recorder import refuse_faults
from papertape.replay.backtesting.run import replay
from papertape.replay.tapes.store import Tape
from tests.support.helpers import FREE, START_MS, interleave, make_candles, random_candles, run_all

NAN, INF = math.nan, math.inf
FLAT_100 = (100.0, 100.0, 100.0, 100.0)
CANDLES = random_candles(900, seed=9)
PERPETUAL = {"is_perpetual": True, **FREE}


def spec_of(strategy: Any, sizing: str = "fraction", symbols: str = "X") -> EngineSpec:
    markets = [Market(symbol, **PERPETUAL) for symbol in symbols]
    return EngineSpec(markets, strategy, "1h", "1h", settings=Settings(sizing))


class Always:
    """Answer the same at every candle from the fifth on."""

    features = ("ema_12", "atr_14")

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def decide(self, view: Any) -> Any:
        if view.time_ms < START_MS + 5 * HOUR_MS:
            return None
        return self.answer(view) if callable(self.answer) else self.answer


# What lasts


class TenthOnSelf:
    features = ()

    def __init__(self) -> None:
        self.seen = 0

    def decide(self, view: Any) -> Any:
        self.seen += 1
        return Decision(LONG) if self.seen == 10 else None


class TenthInState:
    features = ()
    state_fields = ("seen",)

    def decide(self, view: Any) -> Any:
        view.state.seen += 1
        return Decision(LONG) if view.state.seen == 10 else None


class ListOnSelf(TenthOnSelf):
    def __init__(self) -> None:
        self.prices: list[float] = []

    def decide(self, view: Any) -> Any:
        self.prices.append(view.close)


class NewAttribute(TenthOnSelf):
    def decide(self, view: Any) -> Any:
        self.last = view.close


class ArrayOnSelf(TenthOnSelf):
    def __init__(self) -> None:
        self.prices = np.zeros(8)

    def decide(self, view: Any) -> Any:
        self.prices[0] = view.close


class Average:
    def __init__(self) -> None:
        self.total = 0.0

    def update(self, value: float) -> None:
        self.total += value


class HelperOnSelf(TenthOnSelf):
    def __init__(self) -> None:
        self.average = Average()

    def decide(self, view: Any) -> Any:
        self.average.update(view.close)


class RandomOnSelf(TenthOnSelf):
    def __init__(self) -> None:
        self.random = np.random.default_rng(1)

    def decide(self, view: Any) -> Any:
        return Decision(LONG if self.random.random() > 0.5 else FLAT)


class OnClass(TenthOnSelf):
    prices: list[float] = []  # noqa: RUF012 - that is the fault

    def decide(self, view: Any) -> Any:
        self.prices.append(view.close)


class CountOnClass(TenthOnSelf):
    count = 0

    def decide(self, view: Any) -> Any:
        CountOnClass.count += 1


class Slotted:
    __slots__ = ("seen",)
    features = ()

    def __init__(self) -> None:
        self.seen = 0

    def decide(self, view: Any) -> Any:
        self.seen += 1


_seen = 0
_prices: dict[int, float] = {}


def remember(view: Any) -> None:
    _prices[view.time_ms] = view.close


class InModule(TenthOnSelf):
    def decide(self, view: Any) -> Any:
        global _seen
        _seen += 1


class ThroughFunction(TenthOnSelf):
    def decide(self, view: Any) -> Any:
        remember(view)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TenthOnSelf, "self.seen"),
        (ListOnSelf, "self.prices"),
        (NewAttribute, "self.last"),
        (ArrayOnSelf, "self.prices"),
        (HelperOnSelf, "self.average"),
        (RandomOnSelf, "self.random"),
        (OnClass, "OnClass.prices"),
        (CountOnClass, "CountOnClass.count"),
        (Slotted, "self.seen"),
        (InModule, "._seen"),
        (ThroughFunction, "._prices"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_strategy_that_changes_itself_is_refused_with_the_way_out(kind: type, name: str) -> None:
    with pytest.raises(StrategyError, match=rf"X, candle closed 2020-01-01T01:00:00Z.*{name}") as e:
        refuse_faults(Engine(spec_of(kind())).step(CANDLES[:3]))

    assert "state_fields" in str(e.value)
    assert CountOnClass.count == _seen == len(_prices) == len(OnClass.prices) == 0  # put back


class Reads:
    """Keep what does not change, in every way."""

    features = ("ema_12",)
    hours = frozenset({1, 2})
    weights = {"a": 1.0}  # noqa: RUF012 - it is read

    def __init__(self) -> None:
        self.table = np.arange(5_000.0)
        self.rule: Callable[[float], float] = lambda x: 2.0 * x
        self.levels = [1.0, 2.0]
        self.average = Average()

    def decide(self, view: Any) -> Any:
        limit = self.rule(self.levels[0]) + self.weights["a"] + self.table[3] + len(self.hours)
        return Decision(LONG if view.close > view["ema_12"] + 0.0 * limit else FLAT)


def test_strategy_that_only_reads_what_it_has_is_fine() -> None:
    assert len(replay(spec_of(Reads()), [CANDLES]).recorder.fills) > 20


def test_tenth_candle_is_the_tenth_whatever_ran_before() -> None:
    spec = spec_of(TenthInState())

    for _ in range(2):  # as sensitivity runs do
        run = replay(spec, [CANDLES])

        # Decided at the close of the tenth candle, filled at the open of the eleventh.
        assert run.recorder.fills["candle_ms"].tolist() == [START_MS + 10 * HOUR_MS]


def test_sensitivity_runs_trade_as_the_run_itself() -> None:
    tape = Tape(CANDLES, "test", "X", "1h", kind="linear")

    result = backtest(tape, strategy=TenthInState, use_ml=False, account={"sizing": "fraction"})

    assert [row["trades"] for row in result.summary["sensitivity"]] == [1, 1, 1]


def test_instance_that_cannot_be_copied_is_refused() -> None:
    strategy = Always(None)
    strategy.numbers = (n for n in range(3))  # type: ignore[attr-defined]

    with pytest.raises(ConfigError, match="cannot be copied"):
        Engine(spec_of(strategy))


@pytest.mark.parametrize(
    ("fields", "told"),
    [("bars", r"write \('bars',\)"), (("a", "a"), "not different"), (("a b",), "not different")],
)
def test_state_fields_that_are_no_names_are_refused(fields: Any, told: str) -> None:
    strategy = Always(None)
    strategy.state_fields = fields  # type: ignore[attr-defined]

    with pytest.raises(ConfigError, match=told):
        Engine(spec_of(strategy))


# What no order can mean

SIZINGS = ("risk", "fraction", "all_in")
STOP = 5.0


def long(**fields: Any) -> Decision:
    return Decision(LONG, **{"stop_distance": STOP, **fields})


@pytest.mark.parametrize("sizing", SIZINGS)
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        *((long(stop_distance=v), "stop_distance") for v in (NAN, INF, -1.0, "5", None)),
        *((long(target_distance=v), "target_distance") for v in (NAN, INF, -1.0)),
        *((long(stop_price=v), "stop_price") for v in (NAN, INF, -90.0)),
        *((long(target_price=v), "target_price") for v in (NAN, INF, -120.0)),
        *((long(size_scale=v), "size_scale") for v in (NAN, INF, -0.1, 1.01)),
        *((long(confidence=v), "confidence") for v in (NAN, -0.1, 1.5)),
        *((long(score_model=v), "score_model") for v in (NAN, INF)),
        *((long(score_smc=v), "score_smc") for v in (NAN, -INF)),
        *((long(score_technical=v), "score_technical") for v in (NAN, INF)),
        (Decision(FLAT, confidence=NAN), "confidence"),
        (Decision(SHORT, stop_distance=np.array([1.0])), "stop_distance"),
        (Decision(3), "target 3 is not SHORT, FLAT, LONG or KEEP"),
        (Decision("long"), "target 'long'"),  # type: ignore[arg-type]
        (LONG, r"returned 1, not a Decision; write Decision\(1\)"),
        ("buy", "returned 'buy'"),
        ((1, 2.0), r"\(tuple\), not a Decision"),
        (lambda view: view["rsi_14"], r"view\['rsi_14'\] is not among its `features`"),
        (lambda view: view["ema_13"], "did you mean 'ema_12'"),
        (lambda view: 1 / (view.close - view.close), r"ZeroDivisionError.*test_python.py, line"),
        (lambda view: view.prices, "has no attribute 'prices'"),
        (lambda view: setattr(view.state, "bar", 1.0), "no attribute 'bar'"),
        (lambda view: exit(2), "SystemExit"),
    ],
    ids=lambda value: "a function" if callable(value) else repr(value),
)
def test_what_no_order_can_mean_names_strategy_symbol_and_candle(answer: Any, told: str, sizing: str) -> None:
    where = "test_python:Always: X, candle closed 2020-01-01T05:00:00Z: "
    with pytest.raises(StrategyError, match=told) as error:
        refuse_faults(Engine(spec_of(Always(answer), sizing)).step(CANDLES[:8]))

    assert where in str(error.value)


def test_share_of_everything_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"size_scale 0\.5 means nothing with account\.sizing"):
        replay(spec_of(Always(long(size_scale=0.5)), "all_in"), [CANDLES])


@pytest.mark.parametrize("answer", [Decision(KEEP, NAN, NAN), Decision(FLAT, NAN, -1.0, size_scale=7.0)])
def test_levels_of_what_opens_nothing_are_not_looked_at(answer: Decision) -> None:
    report = Engine(spec_of(Always(answer))).step(CANDLES[:30])

    assert not report.faults
    assert len(report.fills) == 0


class Fails:
    """Long at 2, at fault at 5 and 9, short at 7 and flat at 12 of each symbol that it is told to."""

    features = ("atr_14",)
    state_fields = ("bars",)

    def __init__(self, bad: str = "A") -> None:
        self.bad = bad

    def decide(self, view: Any) -> Any:
        view.state.bars += 1
        bars = int(view.state.bars)
        if bars in (5, 9) and view.symbol in self.bad:
            raise RuntimeError("no connection")
        answers = {2: Decision(LONG, stop_price=50.0), 7: Decision(SHORT), 12: Decision(FLAT)}
        return answers.get(bars if view.symbol == "A" or bars != 5 else 7)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 64])
def test_after_a_fault_entries_pause_and_what_is_held_keeps_its_stop(batch: int) -> None:
    prices = [FLAT_100] * 20
    candles = interleave([make_candles(prices), make_candles(prices, symbol=1)])
    engine = Engine(spec_of(Fails(), symbols="AB"))

    outcome = run_all(engine, candles, batch)

    rows = outcome.decisions
    told = [(int(r["time_ms"] - START_MS) // HOUR_MS, int(r["symbol"]), int(r["refused"])) for r in rows]
    # B asks at the same close to go short: paused as well, whichever comes first by name. Both are closed, A at its
    # short at 7, B at 5, as not being allowed to enter is no reason to stay.
    assert told == [
        (2, 0, 0),
        (2, 1, 0),
        (5, 0, REFUSED_FAULT),
        (5, 1, REFUSED_PAUSED),
        (7, 0, REFUSED_PAUSED),
        (9, 0, REFUSED_FAULT),
    ]
    assert rows["target"][2] == KEEP
    assert engine.account["is_paused"][0] == PAUSED_BY_FAULT
    assert outcome.trades["stop_price"].tolist() == [50.0, 50.0]


def test_stop_fills_while_entries_are_paused_and_resume_lets_them_in_again() -> None:
    prices = [FLAT_100] * 6 + [(100.0, 100.0, 40.0, 45.0)] + [(45.0, 45.0, 45.0, 45.0)] * 20
    candles = make_candles(prices)
    engine = Engine(spec_of(Fails("X")))

    report = engine.step(candles[:7])

    assert report.trades["exit_price"].tolist() == [50.0]
    [fault] = report.faults
    assert (
        "Fails: X, candle closed 2020-01-01T05:00:00Z: RuntimeError: no connection (test_python.py, line"
        in str(fault)
    )
    engine.step(Command(Action.RESUME))
    assert engine.account["is_paused"][0] == 0


def random_strategy(view: Any) -> Any:
    """Trade at a third of the candles, with levels, scales and the odd fault; from the candle alone."""
    number = view.time_ms // HOUR_MS * 7_919 % 97
    if number == 13:
        raise ValueError("unlucky")
    side = {0: LONG, 1: SHORT, 2: FLAT}.get(number % 9, KEEP)
    scale = 0.5 + number / 200.0
    return Decision(side, 0.5 + number / 50.0, 0.0 if number % 2 else 1.0, size_scale=scale)


@pytest.mark.parametrize("symbols", ["X", "XYZ"])
@pytest.mark.parametrize("batch", [1, 5, 100, 2_048])
def test_faults_and_fills_are_the_same_in_every_batching_and_over_a_restart(batch: int, symbols: str) -> None:
    tapes = [random_candles(700, seed=40 + number) for number in range(len(symbols))]
    for number, tape in enumerate(tapes):
        tape["symbol"] = number
    candles = interleave(tapes)
    make = lambda: Engine(spec_of(Always(random_strategy), symbols=symbols))  # noqa: E731

    def run(engine: Engine, rows: Rows, size: int) -> list[str]:
        told = []
        for first in range(0, len(rows), size):
            report = engine.step(rows[first : first + size])
            told += [str(fault) for fault in report.faults]
            if report.faults:
                engine.step(Command(Action.RESUME))
        return told

    whole = make()
    whole_told = run(whole, candles, len(symbols))  # an instant at a time
    cut = 311 * len(symbols)
    before, after = make(), make()
    told = run(before, candles[:cut], len(symbols))
    after.restore(before.snapshot())
    told += run(after, candles[cut:], len(symbols))

    assert len(told) > 5
    assert told == whole_told
    assert after.digest == whole.digest
    # Resumed at the end of a batch, so only runs without a resume can be compared in other batchings.
    paused = [run_all(make(), candles, size) for size in (batch, 64)]
    assert paused[0].engine.digest == paused[1].engine.digest
    assert paused[0].engine.snapshot() == paused[1].engine.snapshot()


# The held side with other levels


@pytest.mark.parametrize(
    ("answers", "unheeded"),
    [
        ([Decision(LONG, stop_distance=5.0)] * 4, 0),
        ([Decision(LONG, stop_price=90.0), *[Decision(LONG, stop_price=95.0)] * 3], 3),
        ([Decision(LONG), Decision(LONG), Decision(LONG, target_price=120.0), None], 1),
        ([Decision(LONG, size_scale=0.5), Decision(LONG, size_scale=1.0), None, None], 1),
        ([Decision(FLAT), Decision(FLAT, stop_price=1.0), None, None], 0),
    ],
)
@pytest.mark.parametrize("batch", [1, 3, 50])
def test_other_levels_for_the_held_side_are_counted(answers: list[Any], unheeded: int, batch: int) -> None:
    class Follows:
        features = ()

        def decide(self, view: Any) -> Any:
            return answers[min((view.time_ms - START_MS) // HOUR_MS - 1, 3)]

    engine = Engine(spec_of(Follows()))
    candles = make_candles([FLAT_100] * 4)

    reports = [engine.step(candles[i : i + batch]) for i in range(0, 4, batch)]

    assert sum(report.unheeded for report in reports) == unheeded


def test_other_levels_stand_among_the_refusals_of_a_result() -> None:
    tape = Tape(CANDLES[:60], "test", "X", "1h", kind="linear")
    strategy = Always(lambda view: Decision(LONG, stop_price=view.low * 0.5))

    result = backtest(tape, strategy=strategy, use_ml=False, account={"sizing": "fraction"})

    [(reason, count)] = result.summary["refusals"].items()
    assert "stop, target and size stay" in reason
    assert count == 60 - 5


def test_view_is_for_one_candle() -> None:
    kept: list[Any] = []

    def keep(view: Any) -> None:
        kept.append(view)

    engine = Engine(spec_of(Always(keep)))
    engine.step(CANDLES[:50])
    engine.step(CANDLES[50:100])

    with pytest.raises(ConfigError, match="a view is for one"):
        kept[3]["atr_14"]
