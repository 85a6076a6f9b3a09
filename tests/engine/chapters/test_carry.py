"""An account that goes on under another spec: what a turn of the same strategy does, what is taken back, what stays."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.account import equity
from papertape.engine.broker.risk.allocation import Allocation
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.broker.working.orders import BY_CHAPTER, CANCELLED
from papertape.engine.chapters import carry, from_then_on
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import MarketChange, NewModel
from papertape.engine.jit import Rows, kernel
from papertape.engine.model import MODEL_FEATURES
from papertape.engine.performance.statement import ACCOUNTS, statement
from papertape.engine.records import (
    FLAT,
    LONG,
    MARKET_FIGURES,
    PAYMENT,
    REASON_COMMAND,
    REASON_SIGNAL,
    REFUSED_DRAWDOWN,
    SHORT,
    UNITS_PER_QUOTE,
)
from papertape.engine.report import Report
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision, EmaCross
from papertape.engine.strategies.turns import Turn
from tests.support.every_order import AskingEveryOrder
from tests.support.helpers import Scripted, interleave, make_candles, random_candles, run_all
from tests.support.journals import model_bytes

CANDLES = interleave([random_candles(4 * 300, seed=70 + s, timeframe="15m") for s in range(2)])
# What a chapter may change of a market (`papertape.daemon.chapters.changes`).
COSTS = (
    "taker_fee_rate",
    "maker_fee_rate",
    "fee_fixed",
    "fee_minimum",
    "fee_surcharge_rate",
    "half_spread_rate",
    "slippage_rate",
)
FREE = {"taker_fee_rate": 0.0, "half_spread_rate": 0.0, "slippage_rate": 0.0}


class Dip:
    """Buys a fall, reads by its parameter, and counts for itself."""

    state_fields = ("bars",)

    def __init__(self, number: int) -> None:
        self.below, self.most = 45.0 - 2.0 * number, 4.0 + number
        self.features = (f"rsi_{7 + number}", "atr_5")

    def decide(self, view: Any) -> Any:
        view.state.bars += 1.0
        if view.position == 0.0 and view[self.features[0]] < self.below:
            view.state.bars = 0.0
            return Decision(LONG, stop_distance=2.0 * view["atr_5"])
        return Decision(FLAT) if view.state.bars >= self.most else None


class CompiledDip(Dip):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.features = ("rsi_7", "atr_5")

    @kernel
    def decide(self, view: Any) -> Any:
        view.state.bars += 1.0
        if view.position == 0.0 and view["rsi_7"] < self.below:
            view.state.bars = 0.0
            return Decision(LONG, stop_distance=2.0 * view["atr_5"])
        if view.position != 0.0 and view.state.bars >= self.most:
            return Decision(FLAT)
        return None


KINDS: dict[str, Callable[[int], Any]] = {
    "kernel": lambda n: EmaCross(3 + n, 9 + 4 * n, allow_short=True),
    "python": Dip,
    "compiled": CompiledDip,
}


def spec_of(kind: str, number: int = 0, **changes: Any) -> EngineSpec:
    markets = [Market(f"S{i}", is_perpetual=True, tick_size=0.01, lot_size=0.001) for i in range(2)]
    sizing = "fraction" if kind == "kernel" else "risk"
    spec = EngineSpec(markets, KINDS[kind](number), "1h", "15m", settings=Settings(sizing, leverage_cap=3.0))
    return replace(spec, **changes)


def close_ms(rows: Rows) -> int:
    return int(rows["open_ms"][-1]) + 900_000


def onlooker(spec: EngineSpec, rows: Rows) -> Engine:
    """Return an engine of a spec that has only looked on."""
    engine = Engine(from_then_on(spec, close_ms(rows)))
    run_all(engine, rows, 640)
    assert not engine.account[0].trades
    return engine


def cut_without_entries(spec: EngineSpec) -> int:
    """Return a row at which positions are held and nothing waits for the next open."""
    engine = Engine(spec)
    for row in range(800, len(CANDLES), 8):
        run_all(engine, CANDLES[int(engine.account[0].instants) * 2 : row])
        if engine.positions["quantity"].any() and not engine.orders["is_active"].any():
            return row
    raise AssertionError("there is none")


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_other_parameters_do_what_a_turn_of_the_schedule_does(kind: str, closes: bool) -> None:
    """A turn is the second implementation: one engine, whose strategies follow one another by the clock."""
    first, second = spec_of(kind), spec_of(kind, 2)
    cut = cut_without_entries(first)
    turn = Turn(close_ms(CANDLES[:cut]), second.strategy)
    expected = Engine(replace(first, turns=[turn], closes_at_turns=closes))
    run_all(expected, CANDLES, 640)

    before = Engine(first)
    run_all(before, CANDLES[:cut], 7)
    state = before.snapshot()
    after = onlooker(second, CANDLES[:cut])
    carry(before, after, closes=closes)
    outcome = run_all(after, CANDLES[cut:], 640)

    assert before.snapshot() == state
    assert after.digest == expected.digest
    for name in ("account", "positions", "trades", "orders"):
        assert getattr(after, name).tobytes() == getattr(expected, name).tobytes()
    at_once = outcome.fills[outcome.fills["candle_ms"] == close_ms(CANDLES[:cut])]
    assert (REASON_COMMAND in at_once["reason"]) is closes
    alone = Engine(first)
    run_all(alone, CANDLES)
    assert after.digest != alone.digest


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_of_it_is_one_of_the_spec_it_goes_on_with(kind: str) -> None:
    cut = cut_without_entries(spec_of(kind))
    before = Engine(spec_of(kind))
    run_all(before, CANDLES[:cut])
    after = onlooker(spec_of(kind, 2), CANDLES[:cut])
    carry(before, after)
    other = Engine(after.spec)
    other.restore(after.snapshot())

    run_all(after, CANDLES[cut:])
    run_all(other, CANDLES[cut:], 6)

    assert other.snapshot() == after.snapshot()


def asking(rows: Rows) -> Engine:
    spec = replace(spec_of("kernel"), strategy=AskingEveryOrder())
    engine = Engine(spec)
    run_all(engine, rows)
    return engine


def test_what_rests_is_taken_back_and_the_bracket_stays() -> None:
    cut = 900
    before = asking(CANDLES[:cut])
    while not (before.account[0].working and before.positions["stop_price"].any()):
        cut += 2
        before = asking(CANDLES[:cut])
    resting, bracket = int(before.account[0].working), before.positions["stop_price"].copy()
    after = onlooker(spec_of("kernel"), CANDLES[:cut])

    report = carry(before, after)

    assert report.orders["cause"].tolist() == [BY_CHAPTER] * resting
    assert set(report.orders["status"].tolist()) == {CANCELLED}
    assert set(report.orders["time_ms"].tolist()) == {close_ms(CANDLES[:cut])}
    assert after.account[0].working == 0
    np.testing.assert_array_equal(after.positions["stop_price"], bracket)
    np.testing.assert_array_equal(after.positions["quantity"], before.positions["quantity"])
    for name in ("cash", "fees", "trades"):
        assert after.account[0][name] == before.account[0][name]
    assert report.orders["sequence"].tolist() == list(
        range(int(before.account[0].sequence), int(after.account[0].sequence))
    )


def scripted(
    script: dict[int, Decision], n: int, **changes: Any
) -> tuple[Engine, Rows, Callable[..., tuple[Engine, Report]]]:
    """Return an engine after `n` flat hours of a script, all hours, and what begins a chapter in which nobody decides."""
    rows = make_candles([(100.0, 101.0, 99.0, 100.0)] * 40)
    spec = EngineSpec(
        [Market("X", is_perpetual=True, **FREE)],
        Scripted(script),
        "1h",
        "1h",
        settings=Settings("fraction", fixed_fraction=0.5),
    )
    spec = replace(spec, **changes)
    engine = Engine(spec)
    run_all(engine, rows[:n])

    def begin(*, closes: bool = False, said: Any = None, **others: Any) -> tuple[Engine, Report]:
        to = replace(spec, strategy=Scripted({}), **others)
        after = Engine(from_then_on(to, int(rows["open_ms"][n - 1]) + 3_600_000))
        run_all(after, rows[:n])
        return after, carry(engine, after, closes=closes, said=said)

    return engine, rows, begin


def test_of_what_waits_for_the_next_open_only_exits_stay() -> None:
    _, rows, begin = scripted({9: Decision(LONG)}, 10)
    after, _ = begin()
    assert len(run_all(after, rows[10:]).fills) == 0  # the entry was the other strategy's

    _, rows, begin = scripted({4: Decision(LONG), 9: Decision(FLAT)}, 10)
    after, _ = begin()
    fills = run_all(after, rows[10:]).fills
    assert fills["reason"].tolist() == [REASON_SIGNAL]
    assert fills["position"].tolist() == [0.0]

    _, rows, begin = scripted({4: Decision(LONG), 9: Decision(SHORT)}, 10)
    after, _ = begin()
    assert run_all(after, rows[10:]).fills["position"].tolist() == [0.0]  # left, not turned


def test_fees_are_the_new_ones_from_the_next_fill_on() -> None:
    _, rows, begin = scripted({4: Decision(LONG)}, 10)
    market = Market("X", is_perpetual=True, **{**FREE, "taker_fee_rate": 0.001})

    after, report = begin(closes=True, markets=[market])
    fills = run_all(after, rows[10:]).fills

    assert len(report.fills) == 0
    # 10,000 × 0.5 at 100 were bought without costs: 50 of it, sold at 100 with a fee of 0.1 %
    assert fills["quantity"].tolist() == [50.0]
    assert fills["fee"].tolist() == [round(50.0 * 100.0 * 0.001 * UNITS_PER_QUOTE)]
    assert fills["cash"].tolist() == [round((10_000.0 - 5.0) * UNITS_PER_QUOTE)]


def test_a_market_that_changed_stays_as_it_is_but_for_what_the_chapter_says() -> None:
    before, rows, begin = scripted({4: Decision(LONG)}, 10)
    figures = {**Market("X", is_perpetual=True, **FREE).plain(), "tick_size": 0.5, "maker_fee_rate": 0.0007}
    before.step(MarketChange(int(rows["open_ms"][9]) + 3_600_000, 0, figures))
    market = Market("X", is_perpetual=True, **{**FREE, "slippage_rate": 0.002})

    after, _ = begin(closes=True, markets=[market])
    fills = run_all(after, rows[10:]).fills

    changed = after.markets[0]
    assert (changed.tick_size, changed.maker_fee_rate, changed.slippage_rate) == (0.5, 0.0007, 0.002)
    assert fills["price"].tolist() == [99.5]  # 100 less 0.2 %, down to the tick of 0.5


def test_the_reserve_for_fees_is_that_of_what_a_market_and_a_chapter_changed() -> None:
    before, rows, begin = scripted({}, 10)
    figures = {**Market("X", is_perpetual=True, **FREE).plain(), "fee_minimum": 1.0}
    before.step(MarketChange(int(rows["open_ms"][9]) + 3_600_000, 0, figures))

    after, _ = begin(markets=[Market("X", is_perpetual=True, **FREE, fee_surcharge_rate=0.18)])

    assert after.markets[0].fee_reserve == 1.18  # the smallest fee, and the tax on it


@pytest.mark.parametrize("dated", [*COSTS, "fee_tiers", "tick_size"])
def test_a_market_is_the_same_whether_a_change_or_a_chapter_says_its_figures(dated: str) -> None:
    """The second implementation is an engine to which all of it was said from the start; rates in force are those of a fill."""
    values = {
        "taker_fee_rate": 0.003,
        "maker_fee_rate": -0.0001,
        "fee_fixed": 2.0,
        "fee_minimum": 3.0,
        "fee_surcharge_rate": 0.2,
        "half_spread_rate": 0.001,
        "slippage_rate": 0.002,
        "tick_size": 0.5,
        "fee_tiers": ((100.0, 0.0004, 0.0001),),
    }
    plain = Market("X", is_perpetual=True)
    before, rows, begin = scripted({}, 10, markets=[plain])
    changed = replace(plain, **{dated: values[dated]})
    before.step(MarketChange(int(rows["open_ms"][9]) + 3_600_000, 0, changed.plain()))
    for cost in COSTS:
        if cost == dated:
            continue
        after, _ = begin(markets=[replace(plain, **{cost: values[cost]})])

        both = replace(before.spec, markets=[replace(changed, **{cost: values[cost]})]).market_rows()
        assert [n for n in both.dtype.names or () if (after.markets[n] != both[n]).any()] == [], cost


@pytest.mark.parametrize("cost", COSTS)
def test_what_a_chapter_says_is_so_also_where_the_account_began_with_it(cost: str) -> None:
    """The second implementation is an engine that has had both from the start."""
    plain = Market("X", is_perpetual=True)
    others = {name: getattr(plain, name) + 0.001 for name in COSTS}
    changed = replace(plain, fee_tiers=((100.0, 0.0004, 0.0001),), **others)
    before, rows, begin = scripted({}, 10, markets=[plain])
    before.step(MarketChange(int(rows["open_ms"][9]) + 3_600_000, 0, changed.plain()))

    after, report = begin(said={"X": [cost]}, markets=[plain])

    both = replace(before.spec, markets=[replace(changed, **{cost: getattr(plain, cost)})])
    told = both.market_rows()
    assert [n for n in told.dtype.names or () if (after.markets[n] != told[n]).any()] == []
    assert cost in {MARKET_FIGURES[row["figure"]] for row in report.changes}


def test_costs_that_are_other_are_reported_and_the_statement_has_those_of_each_fill() -> None:
    """Bought at 100 plus 0.1 %, up to the tick of 0.5: 100.5; sold at 100 less 0.4 %, down to it: 99.5."""
    figures = {**FREE, "tick_size": 0.5, "slippage_rate": 0.001}
    before, rows, begin = scripted(
        {4: Decision(LONG)}, 10, markets=[Market("X", is_perpetual=True, **figures)]
    )
    other = Market("X", is_perpetual=True, **{**figures, "slippage_rate": 0.004})
    first = Engine(before.spec)
    bought = run_all(first, rows[:10]).fills

    after, report = begin(closes=True, markets=[other])
    fills = np.concatenate([bought, run_all(after, rows[10:]).fills])
    posted = statement(
        fills,
        np.zeros(0, PAYMENT),
        before.spec.market_rows(),
        round(10_000 * UNITS_PER_QUOTE),
        report.changes,
    )

    change = report.changes[0]
    assert len(report.changes) == 1
    assert change.tolist() == (
        int(before.account[0].sequence),
        int(rows["open_ms"][10]),
        0,
        MARKET_FIGURES.index("slippage_rate"),
        0,
        0.001,
        0.004,
    )
    assert fills["price"].tolist() == [100.5, 99.5]
    each = float(fills["quantity"][0]) * UNITS_PER_QUOTE
    for name, amounts in {"slippage": [0.1, 0.4], "grid": [0.4, 0.1]}.items():
        found = posted["amount"][posted["account"] == ACCOUNTS.index(name)]
        np.testing.assert_allclose(found, [amount * each for amount in amounts], rtol=1e-9)


@pytest.mark.parametrize("rule", ["inverse_volatility", "risk_parity"])
def test_parts_of_the_account_are_those_of_an_engine_that_was_there_from_the_beginning(rule: str) -> None:
    """Before there was one part for all; weights are a matter of the markets alone, whoever traded what."""
    rows = interleave([random_candles(24 * 90, seed=80 + s) for s in range(2)])
    markets = [Market(f"S{i}", is_perpetual=True) for i in range(2)]
    plain = EngineSpec(markets, EmaCross(3, 9), "1h", "1h", settings=Settings("fraction"))
    divided = replace(plain, allocation=Allocation(allocation=rule))
    before, whole = Engine(plain), Engine(divided)
    run_all(before, rows)
    run_all(whole, rows)
    after = Engine(from_then_on(divided, int(rows["open_ms"][-1]) + 3_600_000))
    run_all(after, rows)

    carry(before, after)

    assert (whole.positions["share"] > 0.1).all()
    np.testing.assert_array_equal(after.positions["share"], whole.positions["share"])
    names = [name for name in after.account.dtype.names or () if name.startswith("risk_")]
    for name in names:
        np.testing.assert_array_equal(after.account[name], whole.account[name])
    assert after.account["cash"] == before.account["cash"]


def test_limits_that_were_not_there_are_measured_from_the_chapter_on() -> None:
    rows = make_candles([(100.0, 101.0, 99.0, 100.0)] * 6 + [(80.0, 81.0, 79.0, 80.0)] * 34)
    spec = EngineSpec(
        [Market("X", is_perpetual=True, **FREE)],
        Scripted({1: Decision(LONG)}),
        "1h",
        "1h",
        settings=Settings("fraction", fixed_fraction=1.0),
    )
    before = Engine(spec)
    run_all(before, rows[:10])
    worth = equity(before.account[0], before.positions, before.markets)
    assert worth == pytest.approx(8_000 * UNITS_PER_QUOTE, rel=0.02)
    limited = replace(spec, strategy=Scripted({}), limits=Limits(drawdown=0.1))
    after = Engine(from_then_on(limited, int(rows["open_ms"][9]) + 3_600_000))
    run_all(after, rows[:10])

    carry(before, after)
    outcome = run_all(after, rows[10:])

    assert after.account[0].peak_equity == worth  # a fall of a fifth before it locks nothing
    assert len(outcome.limits) == 0
    assert after.positions["quantity"][0] > 0.0


def test_locks_end_with_the_last_limit_and_go_on_with_any() -> None:
    rows = make_candles([(100.0, 101.0, 99.0, 100.0)] * 6 + [(80.0, 81.0, 79.0, 80.0)] * 34)
    spec = EngineSpec(
        [Market("X", is_perpetual=True, **FREE)],
        Scripted({1: Decision(LONG)}),
        "1h",
        "1h",
        settings=Settings("fraction", fixed_fraction=1.0),
        limits=Limits(drawdown=0.1),
    )
    before = Engine(spec)
    run_all(before, rows[:10])
    assert before.account[0].locked_by == REFUSED_DRAWDOWN
    found = []
    for limits in (Limits(drawdown=0.3), Limits()):
        to = replace(spec, limits=limits)
        after = Engine(from_then_on(to, int(rows["open_ms"][9]) + 3_600_000))
        run_all(after, rows[:10])
        carry(before, after)
        found.append(int(after.account[0].locked_by))

    assert found == [REFUSED_DRAWDOWN, 0]


def test_a_model_that_the_next_engine_cannot_read_is_put_aside_and_said() -> None:
    rows = CANDLES[:400]
    model = NewModel(3, model_bytes(3))
    before = Engine(spec_of("kernel").reading(MODEL_FEATURES))
    before.step(model)
    run_all(before, rows)
    reading = onlooker(spec_of("kernel", 2).reading(MODEL_FEATURES), rows)
    reading.step(model)
    blind = onlooker(spec_of("kernel", 2), rows)

    assert len(carry(before, reading).swaps) == 0
    report = carry(before, blind)

    assert report.swaps["version"].tolist() == [0]
    assert reading.account[0].model_version == 3
    assert blind.account[0].model_version == 0


def test_of_a_schedule_only_turns_to_come_are_left() -> None:
    first = spec_of("kernel", starts_ms=1_000)
    turns = [Turn(ms, EmaCross(3 + n, 20)) for n, ms in enumerate((2_000, 3_000), start=1)]
    spec = replace(first, turns=turns)

    found = {ms: from_then_on(spec, ms) for ms in (999, 1_000, 2_500, 3_000)}

    assert found[999] is spec  # it begins by itself, later
    assert [(one.strategy.fast, len(one.turns)) for one in list(found.values())[1:]] == [
        (3, 2),
        (4, 1),
        (5, 0),
    ]
    assert [one.starts_ms for one in found.values()] == [1_000, 1_000, 2_500, 3_000]


def test_an_engine_that_has_not_seen_the_same_is_refused() -> None:
    rows = CANDLES[:400]
    before = Engine(spec_of("kernel"))
    run_all(before, rows)
    other = replace(spec_of("kernel"), markets=[Market("A"), Market("B")])

    with pytest.raises(DataError, match="seen no candle yet"):
        carry(Engine(spec_of("kernel")), Engine(spec_of("kernel")))
    with pytest.raises(DataError, match="has not seen the account's candles"):
        carry(before, onlooker(spec_of("kernel"), rows[:-2]))
    with pytest.raises(DataError, match="those of the account"):
        carry(before, Engine(other))
    with pytest.raises(DataError, match="has traded already"):
        carry(before, before)
