"""Parameters that change at stated times: whose turn it is follows from the candles, in any batch and after any restart."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.events import Action, Command
from papertape.engine.jit import Rows, kernel, record
from papertape.engine.records import FLAT, KEEP, LONG
from papertape.engine.report import Report
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision, EmaCross, RsiReversion
from papertape.engine.strategies.turns import Turn
from tests.support.helpers import interleave, random_candles, run_all

HOUR_MS = 3_600_000
CANDLES = interleave([random_candles(4 * 450, seed=50 + s, timeframe="15m") for s in range(2)])
FIRST_MS = int(CANDLES["open_ms"][0])
STARTS = [FIRST_MS + hours * HOUR_MS for hours in (60, 150, 290)]


class Dip:
    """Buys a fall and holds for some candles, which it counts itself and looks back on."""

    state_fields = ("bars",)
    history_bars = 3

    def __init__(self, number: int) -> None:
        self.below, self.most = 45.0 - 3.0 * number, 4.0 + number

    features = ("rsi_7", "atr_14")

    def decide(self, view: Any) -> Any:
        view.state.bars += 1.0
        if view.position == 0.0 and view["rsi_7"] < self.below:
            view.state.bars = 0.0
            return Decision(LONG, stop_distance=2.0 * view["atr_14"])
        if view.position != 0.0 and view.state.bars >= self.most:
            return Decision(FLAT)
        return None


class CompiledDip(Dip):
    decide = kernel(Dip.decide)


class PeriodDip(Dip):
    """What it reads depends on its parameter."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.features = (f"rsi_{7 + number}", "atr_14")

    def decide(self, view: Any) -> Any:
        view.state.bars += 1.0
        if view.position == 0.0 and view[self.features[0]] < self.below:
            view.state.bars = 0.0
            return Decision(LONG, stop_distance=2.0 * view["atr_14"])
        return Decision(FLAT) if view.state.bars >= self.most else None


KINDS: dict[str, Callable[[int], Any]] = {
    "kernel": lambda n: EmaCross(3 + n, 9 + 4 * n, allow_short=True),
    "python": PeriodDip,
    "compiled": CompiledDip,
}


def spec_of(kind: str, **changes: Any) -> EngineSpec:
    make = KINDS[kind]
    start, *turns = STARTS
    spec = EngineSpec(
        [Market(f"S{i}", is_perpetual=True, tick_size=0.01, lot_size=0.001) for i in range(2)],
        make(0),
        "1h",
        "15m",
        settings=Settings("all_in" if kind == "kernel" else "risk", leverage_cap=3.0),
        starts_ms=start,
        turns=[Turn(ms, make(n)) for n, ms in enumerate(turns, start=1)],
    )
    return replace(spec, **changes)


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_neither_batches_nor_restarts_change_anything(kind: str, closes: bool) -> None:
    spec = spec_of(kind, closes_at_turns=closes)
    whole = Engine(spec)
    outcome = run_all(whole, CANDLES)
    assert len(outcome.fills) > 5

    for batch, cut in ((3, 1_203), (640, 2_942)):
        before, after = Engine(spec), Engine(spec)
        run_all(before, CANDLES[:cut], batch)
        after.restore(before.snapshot())
        run_all(after, CANDLES[cut:], batch)

        assert after.digest == whole.digest
        assert after.snapshot() == whole.snapshot()
    assert run_all(Engine(spec_of(kind, turns=())), CANDLES).engine.digest != whole.digest


class ByHand:
    """The same cross with other parameters from each start on, written as one strategy that looks at the clock itself."""

    name = "by_hand"

    def __init__(self, crosses: Sequence[EmaCross], starts: Sequence[int]) -> None:
        self.crosses, self.starts = tuple(crosses), tuple(starts)
        self.features = tuple(name for cross in crosses for name in cross.features)
        self.state_dtype = record(*((f"bars_{n}", "i8") for n in range(len(crosses))))

    def decide_batch(self, features: Any, candles: Rows, n: int, state: Rows, decisions: Rows) -> None:
        turn = np.searchsorted(self.starts, candles["open_ms"][:n] + HOUR_MS, "left")
        decisions["target"][:n] = KEEP
        rows = {name: row for row, name in enumerate(dict.fromkeys(self.features))}
        for number, cross in enumerate(self.crosses):
            own, wishes = np.zeros(1, cross.state_dtype), np.zeros_like(decisions[:n])
            own["bars"] = state[f"bars_{number}"]
            read = features[[rows[name] for name in cross.features], :n]
            cross.decide_batch(read, candles, n, own, wishes)
            state[f"bars_{number}"] = own["bars"]
            decisions[:n][turn == number + 1] = wishes[turn == number + 1]


def test_turns_of_a_kernel_are_the_strategy_that_looks_at_the_clock_itself() -> None:
    crosses = [KINDS["kernel"](n) for n in range(3)]
    by_hand = spec_of("kernel", strategy=ByHand(crosses, STARTS), starts_ms=0, turns=())

    digests = [run_all(Engine(spec), CANDLES, 640).engine.digest for spec in (spec_of("kernel"), by_hand)]

    assert digests[0] == digests[1]


@pytest.mark.parametrize("kind", KINDS)
def test_closing_at_a_turn_is_an_operators_flatten_there(kind: str) -> None:
    closing = run_all(Engine(spec_of(kind, closes_at_turns=True)), CANDLES)
    told = Engine(spec_of(kind))
    edges = np.searchsorted(CANDLES["open_ms"], STARTS[1:]).tolist()
    for start, end in zip([0, *edges], [*edges, len(CANDLES)], strict=True):
        if start:
            told.step(Command(Action.FLATTEN))
        told.step(CANDLES[start:end])

    assert closing.engine.digest == told.digest
    assert closing.engine.digest != run_all(Engine(spec_of(kind)), CANDLES).engine.digest
    for ms in STARTS[1:]:
        # At the first open of the turn nothing of before is left.
        assert not ((closing.trades["entry_ms"] < ms) & (closing.trades["exit_ms"] > ms)).any()


def test_before_the_start_nothing_is_decided_and_at_it_a_kernel_is_warm() -> None:
    early, late = (
        run_all(Engine(spec_of("kernel", starts_ms=ms, turns=())), CANDLES) for ms in (0, STARTS[0])
    )

    assert early.decisions["time_ms"].min() < STARTS[0] < late.decisions["time_ms"].min()
    # It wants what it would want had it decided all along, at the first close after the start.
    assert late.decisions["time_ms"].min() == STARTS[0] + HOUR_MS


def test_a_follower_takes_the_same_turns() -> None:
    spec = spec_of("kernel", closes_at_turns=True)
    other = replace(spec, capital=5_000.0)
    reports: list[Report] = []
    engine = Engine(spec)
    follower = engine.follow(other, reports.append)
    run_all(engine, CANDLES)
    alone = run_all(Engine(other), CANDLES)

    fills = np.concatenate([report.fills for report in reports])
    assert fills.tobytes() == alone.fills.tobytes()
    assert follower.account.tobytes() == alone.engine.account.tobytes()


class Forgetful(Dip):
    """Changes itself at its every close, which is a fault, and says so with its parameter."""

    def decide(self, view: Any) -> Any:
        self.seen = view.time_ms
        raise ValueError(f"below {self.below:g}")


def test_a_strategy_at_fault_is_made_anew_with_the_parameters_of_its_turn() -> None:
    turns = [Turn(ms, Forgetful(n)) for n, ms in enumerate(STARTS[1:], start=1)]
    outcome = Engine(spec_of("python", strategy=Forgetful(0), turns=turns)).step(CANDLES)

    for number, start_ms in enumerate(STARTS):
        end_ms = [*STARTS, int(CANDLES["open_ms"][-1]) + HOUR_MS][number + 1]
        said = {f.reason for f in outcome.faults if start_ms < f.time_ms <= end_ms}
        assert len(said) == 1
        assert f"below {45 - 3 * number}" in said.pop()


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([Turn(STARTS[0], EmaCross())], "entry 1 does not start after the one before it"),
        ([Turn(STARTS[2], EmaCross()), Turn(STARTS[1], EmaCross())], "entry 2 does not start after"),
        ([Turn(STARTS[1], RsiReversion())], "entry 1 is a RsiReversion, not a EmaCross"),
    ],
)
def test_turns_that_cannot_be(turns: list[Turn], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        spec_of("kernel", turns=turns)
