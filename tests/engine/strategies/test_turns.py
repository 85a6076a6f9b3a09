"""Parameters by symbol: each symbol is decided as the strategy with its parameters decides, and nothing else changes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows, kernel
from papertape.engine.records import FLAT, LONG
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision, EmaCross, RsiReversion
from papertape.engine.strategies.turns import Turn
from tests.support.helpers import Outcome, interleave, random_candles, run_all

SYMBOLS = ("S0", "S1", "S2")
ROWS = [random_candles(4 * 200, seed=70 + s, timeframe="15m") for s in range(3)]
CANDLES = interleave(ROWS)
SWITCH_MS = int(CANDLES["open_ms"][0]) + 90 * 3_600_000


class Dip:
    """Buys below a level and holds for some candles; what it reads and how far it looks back go by its parameters."""

    state_fields = ("bars",)

    def __init__(self, number: int) -> None:
        self.below, self.most, self.period = 48.0 - 2.0 * number, 3.0 + number, 5 + 2 * number
        self.features = (f"rsi_{self.period}", "atr_14")
        self.history_bars = 2 + number

    def decide(self, view: Any) -> Any:
        view.state.bars += 1.0
        rising, is_low = view.history("close", 2), view[self.features[0]] < self.below
        if view.position == 0.0 and view["atr_14"] > 0.0 and is_low and rising[-1] > rising[0]:
            view.state.bars = 0.0
            return Decision(LONG, stop_distance=2.0 * view["atr_14"])
        return Decision(FLAT) if view.position != 0.0 and view.state.bars >= self.most else None


class DispatchedDip(Dip):
    """The same text for all symbols, which looks at the symbol itself; parameters by the symbol's last digit."""

    def __init__(self, numbers: tuple[int, int, int]) -> None:
        self.dips = tuple(Dip(number) for number in numbers)
        self.features = tuple({n: 0 for dip in self.dips for n in dip.features})
        self.history_bars = max(dip.history_bars for dip in self.dips)

    def decide(self, view: Any) -> Any:
        return self.dips[int(view.symbol[1])].decide(view)


class Bounce:
    """As `Dip`, of a kernel, which reads the same whatever its parameters are."""

    state_fields = ("bars",)
    features = ("rsi_7", "atr_14")
    history_bars = 2

    def __init__(self, number: int) -> None:
        self.below, self.most = 48.0 - 2.0 * number, 3.0 + number

    def decide(self, view: Any) -> Any:
        view.state.bars += 1.0
        if view.position == 0.0 and view["atr_14"] > 0.0 and view["rsi_7"] < self.below:
            view.state.bars = 0.0
            return Decision(LONG, stop_distance=2.0 * view["atr_14"])
        if view.position != 0.0 and view.state.bars >= self.most:
            return Decision(FLAT)
        return None


class CompiledBounce(Bounce):
    decide = kernel(Bounce.decide)


class DispatchedBounce(Bounce):
    """`Bounce` in kernels that looks at the symbol itself: 0, 1 and 2 for S0, S1 and S2."""

    def __init__(self) -> None:
        super().__init__(0)

    @kernel
    def decide(self, view: Any) -> Any:
        number = 0.0
        if view.symbol == "S1":
            number = 1.0
        if view.symbol == "S2":
            number = 2.0
        view.state.bars += 1.0
        if view.position == 0.0 and view["atr_14"] > 0.0 and view["rsi_7"] < 48.0 - 2.0 * number:
            view.state.bars = 0.0
            return Decision(LONG, stop_distance=2.0 * view["atr_14"])
        if view.position != 0.0 and view.state.bars >= 3.0 + number:
            return Decision(FLAT)
        return None


KINDS: dict[str, Callable[[int], Any]] = {
    "kernel": lambda n: EmaCross(3 + n, 9 + 4 * n, allow_short=True),
    "python": Dip,
    "compiled": CompiledBounce,
}


def spec_of(strategy: Any, **changes: Any) -> EngineSpec:
    markets = [Market(s, is_perpetual=True, tick_size=0.01, lot_size=0.001) for s in SYMBOLS]
    spec = EngineSpec(markets, strategy, "1h", "15m", settings=Settings("fraction", leverage_cap=3.0))
    return replace(spec, **changes)


def by_symbol(kind: str, *numbers: int, **changes: Any) -> EngineSpec:
    """Return a specification whose symbols have these numbers; the first is that of all."""
    make = KINDS[kind]
    own = {s: make(n) for s, n in zip(SYMBOLS[1:], numbers[1:], strict=True)}
    return spec_of(make(numbers[0]), symbol_strategies=own, **changes)


def run(spec: EngineSpec, batch: int = 640) -> Outcome:
    return run_all(Engine(spec), CANDLES, batch)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_parameters_for_each_symbol_are_the_plain_run(kind: str) -> None:
    plain = run(spec_of(KINDS[kind](1)))

    assert len(plain.trades) > 20
    assert run(by_symbol(kind, 1, 1, 1)).engine.digest == plain.engine.digest


def test_the_same_strategy_that_looks_at_the_symbol_itself_decides_alike() -> None:
    pairs = [
        (by_symbol("python", 0, 1, 2), spec_of(DispatchedDip((0, 1, 2)))),
        (by_symbol("compiled", 0, 1, 2), spec_of(DispatchedBounce())),
    ]

    for own, dispatched in pairs:
        found = [run(spec).engine.digest for spec in (own, dispatched)]

        assert found[0] == found[1]
        assert found[0] != run(spec_of(own.strategy)).engine.digest


def test_a_kernel_wants_of_each_symbol_what_it_wants_with_its_parameters_alone() -> None:
    together = run(by_symbol("kernel", 0, 1, 2)).decisions
    names = ["time_ms", "target", "stop_distance", "confidence", "score_technical"]

    for symbol in range(3):
        alone = run(spec_of(KINDS["kernel"](symbol))).decisions
        of_both = [rows[rows["symbol"] == symbol][names] for rows in (together, alone)]
        assert len(of_both[0]) > 10
        np.testing.assert_array_equal(*of_both)


def with_turn(kind: str) -> EngineSpec:
    make = KINDS[kind]
    turn = Turn(SWITCH_MS, make(1), {"S1": make(0), "S2": make(3)})
    return by_symbol(kind, 0, 1, 2, turns=[turn])


@pytest.mark.parametrize("kind", KINDS)
def test_neither_batches_nor_restarts_nor_the_order_change_anything(kind: str) -> None:
    spec = with_turn(kind)
    whole = Engine(spec)
    run_all(whole, CANDLES)
    assert whole.digest != run(replace(spec, turns=())).engine.digest

    for batch, cut in ((7, 853), (640, 1_542)):
        before, after = Engine(spec), Engine(spec)
        run_all(before, CANDLES[:cut], batch)
        after.restore(before.snapshot())
        run_all(after, CANDLES[cut:], batch)

        assert after.digest == whole.digest
        assert after.snapshot() == whole.snapshot()
    backwards = replace(
        spec,
        markets=spec.markets[::-1],
        symbol_strategies=dict(reversed(list(spec.symbol_strategies.items()))),
    )
    assert run(backwards).engine.snapshot() == whole.snapshot()


def test_other_names_change_no_trade() -> None:
    spec, names = by_symbol("python", 0, 1, 2), {"S0": "C", "S1": "A", "S2": "B"}
    renamed = replace(
        spec,
        markets=[replace(market, symbol=names[market.symbol]) for market in spec.markets],
        symbol_strategies={names[s]: one for s, one in spec.symbol_strategies.items()},
    )
    candles = interleave([ROWS[1], ROWS[2], ROWS[0]])  # those of A, B and C

    found = run_all(Engine(renamed), candles).trades
    trades = run(spec).trades

    def told(rows: Rows, symbols: tuple[str, ...]) -> list[tuple[Any, ...]]:
        fields = ("entry_ms", "exit_ms", "entry_price", "exit_price", "quantity", "pnl")
        values = zip(*(rows[name].tolist() for name in fields), strict=True)
        return sorted((symbols[s], *v) for s, v in zip(rows["symbol"].tolist(), values, strict=True))

    assert len(trades) > 20
    assert told(found, ("S1", "S2", "S0")) == told(trades, SYMBOLS)


def test_a_snapshot_of_other_parameters_of_a_symbol_is_not_taken() -> None:
    engine = Engine(by_symbol("kernel", 0, 1, 2))
    run_all(engine, CANDLES[:300])

    with pytest.raises(Exception, match="snapshot"):
        Engine(by_symbol("kernel", 0, 1, 3)).restore(engine.snapshot())


class Forgetful(Dip):
    """Changes itself at every close, which is a fault, and says so with its parameter."""

    def decide(self, view: Any) -> Any:
        self.seen = view.time_ms
        raise ValueError(f"below {self.below:g}")


def test_a_strategy_at_fault_is_made_anew_with_the_parameters_of_its_symbol() -> None:
    own = {"S1": Forgetful(1), "S2": Forgetful(2)}

    report = Engine(spec_of(Forgetful(0), symbol_strategies=own)).step(CANDLES)

    for number, symbol in enumerate(SYMBOLS):
        said = {fault.reason for fault in report.faults if fault.symbol == symbol}
        assert len(said) == 1
        assert f"below {48 - 2 * number}" in said.pop()


class OfAnotherState(Dip):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.state_fields = ("bars", "more")[: 1 + number]  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("strategy", "own", "said"),
    [
        (EmaCross(), {"S3": EmaCross()}, "strategy.symbols.S3: no tape or symbol that is traded has that name: choose one of S0, S1, S2"),
        (EmaCross(), {"S1": RsiReversion()}, "strategy.symbols.S1 is a RsiReversion, not a EmaCross; only parameters change"),
        (OfAnotherState(0), {"S1": OfAnotherState(1)}, "strategy.symbols.S1 keeps other state than the first"),
    ],
)  # fmt: skip
def test_parameters_that_cannot_be(strategy: Any, own: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        spec_of(strategy, symbol_strategies=own)


def test_what_is_only_read_has_no_parameters() -> None:
    spec = by_symbol("kernel", 0, 1, 2)
    markets = [replace(market, read_only=market.symbol == "S2") for market in spec.markets]

    with pytest.raises(ConfigError, match=r"strategy\.symbols\.S2: no tape or symbol that is traded"):
        replace(spec, markets=markets)


class Kinds(CompiledBounce):
    """Keeps a whole number for one parameter and a fraction for another."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.most = 3 if number == 0 else 3.5


def test_a_kernel_whose_fields_are_of_other_kinds_is_refused() -> None:
    with pytest.raises(ConfigError, match="of another kind for one symbol than for another"):
        Engine(spec_of(Kinds(0), symbol_strategies={"S1": Kinds(1)}))
