"""Parts of the account: by hand what each symbol opens and is brought back to, and what must change nothing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.broker.risk.allocation import Allocation
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.broker.risk.sizes import SizeRules
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.events import Action, Cause, Command, Halt
from papertape.engine.jit import Rows
from papertape.engine.records import (
    FLAT,
    LONG,
    REFUSED_ALLOCATION,
    REFUSED_CLOCK,
    REFUSED_GONE,
    REFUSED_MARKET,
    REFUSED_ORDERS,
    REFUSED_PAUSED,
    REFUSED_SHORT,
    REFUSED_STOP,
    SHORT,
)
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision, EmaCross
from tests.support.helpers import FREE, START_MS, Outcome, interleave, make_candles, random_candles, run_all

HOURS = 3_600_000
SHARES = {"A": 0.5, "B": 0.25}


class Hold:
    """Wants to be long from the first close on."""

    features = ()

    def decide(self, view: Any) -> Any:
        return Decision(LONG, stop_distance=10.0) if view.position == 0.0 else None


class Orders(Hold):
    """The same with a size of its own."""

    def decide(self, view: Any) -> Any:
        if view.position == 0.0:
            view.buy(fraction=0.5)


def closing(*closes: float) -> Rows:
    """Return hourly candles that open where the last one closed."""
    opens = (closes[0], *closes)
    return make_candles([(o, max(o, c), min(o, c), c) for o, c in zip(opens, closes, strict=False)])


def spec_of(
    symbols: str, allocation: Allocation, strategy: Any = None, sizing: str = "fraction", **market: Any
) -> EngineSpec:
    return EngineSpec(
        [Market(symbol, **{**FREE, **market}) for symbol in symbols],
        strategy or Hold(),
        "1h",
        "1h",
        settings=Settings(sizing, risk_fraction=0.02, fixed_fraction=1.0, cash_share=1.0),
        allocation=allocation,
    )


def run(spec: EngineSpec, *tapes: Rows, batch: int | None = None) -> Outcome:
    return run_all(Engine(spec), interleave(list(tapes)), batch)


def quantities(outcome: Outcome) -> list[float]:
    return [float(f"{q:.9f}") for q in outcome.engine.positions["quantity"]]


@pytest.mark.parametrize(
    ("sizing", "units"),
    [
        ("fraction", (50.0, 25.0)),  # all of 5,000 and of 2,500, at 100
        ("all_in", (50.0, 25.0)),
        ("risk", (10.0, 5.0)),  # 2 % of 5,000 and of 2,500, ÷ 10
    ],
)
def test_a_symbol_is_sized_as_if_its_part_were_the_account(sizing: str, units: tuple[float, float]) -> None:
    tape = closing(100, 100, 100)

    outcome = run(spec_of("AB", Allocation("shares", SHARES), sizing=sizing), tape, tape)

    assert quantities(outcome) == [*units]


def test_a_fraction_that_a_strategy_orders_is_of_its_part() -> None:
    tape = closing(100, 100, 100)

    outcome = run(spec_of("AB", Allocation("shares", SHARES), Orders()), tape, tape)

    assert quantities(outcome) == [25.0, 12.5]


def test_on_leverage_a_part_carries_what_it_could_carry_alone() -> None:
    tape = closing(100, 100, 100)
    spec = spec_of("AB", Allocation("equal"), sizing="all_in", is_perpetual=True)
    spec = replace(spec, settings=replace(spec.settings, leverage_cap=3.0))

    assert quantities(run(spec, tape, tape)) == [150.0, 150.0]  # 3 × 5,000 ÷ 100


def test_what_has_no_share_is_refused_and_says_so_once() -> None:
    tape = closing(100, 100, 100, 100)

    outcome = run(spec_of("ABC", Allocation("shares", SHARES)), tape, tape, tape)
    of_c = outcome.decisions[outcome.decisions["symbol"] == 2]

    assert quantities(outcome) == [50.0, 25.0, 0.0]
    assert of_c["refused"].tolist() == [REFUSED_ALLOCATION]


def test_positions_are_brought_back_to_their_shares_with_costs() -> None:
    # Bought at 100 for 5,000 each; A doubles: 15,000, of which half is 7,500: A 37.5 at 200, B 75 at 100.
    rise, flat = closing(100, 100, 200, 200, 200), closing(100, 100, 100, 100, 100)
    start_h = int(rise["open_ms"][0]) // HOURS
    assert start_h % 3 == 0  # the third close is one of every three hours
    rule = Allocation("equal", rebalance_hours=3)

    free = run(spec_of("AB", rule), rise, flat)
    fee = run(spec_of("AB", rule, taker_fee_rate=0.001), rise, flat)

    assert quantities(free) == [37.5, 75.0]
    assert free.fills["candle_ms"][-2:].tolist() == [rise["open_ms"][3]] * 2
    assert free.marks["equity"][-1] == 15_000 * 10**9
    # What the first purchase leaves of a part after its fee: 5,000 ÷ 1.001 ÷ 100 units.
    units = 5_000 / 1.001 / 100
    equity = 10_000 - 2 * units * 100 * 0.001 + units * 100
    left = equity / 2 / 1.001 / 200
    # What buys is capped by its part at that open, after the sale has paid.
    after = equity - (units - left) * 200 * 0.001
    wanted = [left, after / 2 / 1.001 / 100]
    assert fee.engine.positions["quantity"] == pytest.approx(wanted, abs=1e-9)
    assert fee.fills["fee"].tolist() == [
        round(quantity * price * 0.001 * 1e9)
        for quantity, price in zip(fee.fills["quantity"], fee.fills["price"], strict=True)
    ]


@pytest.mark.parametrize(("band", "moves"), [(0.16, True), (0.17, False)])
def test_within_the_band_a_position_stays(band: float, moves: bool) -> None:
    # Each is 2,500 of 15,000 away: 0.1667 of equity.
    rise, flat = closing(100, 100, 200, 200, 200), closing(100, 100, 100, 100, 100)
    rule = Allocation("equal", rebalance_hours=3, rebalance_band=band)

    found = quantities(run(spec_of("AB", rule), rise, flat))

    assert found == ([37.5, 75.0] if moves else [50.0, 50.0])


def test_a_size_of_the_strategys_own_is_left_alone() -> None:
    rise, flat = closing(100, 100, 200, 200, 200), closing(100, 100, 100, 100, 100)

    outcome = run(spec_of("AB", Allocation("equal", rebalance_hours=3), Orders()), rise, flat)

    assert quantities(outcome) == [25.0, 25.0]


def wave(size: float, n: int) -> Rows:
    """Return candles whose price goes up by a rate and back again, in turn."""
    return closing(*(100.0 * (1.0 + size) ** (k % 2) for k in range(n)))


def test_by_volatility_a_market_that_moves_twice_as_much_gets_half() -> None:
    spec = spec_of("AB", Allocation("inverse_volatility"), EmaCross(2, 400))
    spec = replace(spec, sizes=SizeRules(volatility_days=1.0))
    outcome = run(spec, wave(0.01, 200), wave(0.02, 200))
    shares = outcome.engine.positions["share"]

    # Mean squares of ±r/(1 ± r), the newest weighing most, in the open.
    def deviation(size: float) -> float:
        closes = np.array([100.0 * (1.0 + size) ** (k % 2) for k in range(200)])
        weights = 2.0 ** (-np.arange(198, -1, -1) / 24.0)
        return float(np.sqrt(np.average((closes[1:] / closes[:-1] - 1.0) ** 2, weights=weights)))

    inverse = np.array([1.0 / deviation(0.01), 1.0 / deviation(0.02)])
    assert shares == pytest.approx(inverse / inverse.sum(), rel=1e-9)
    # Before half of a full weight is known, a day of candles here, nobody has a part.
    assert not Engine(spec).positions["share"].any()
    early = run(spec, wave(0.01, 24), wave(0.02, 24))
    assert not early.engine.positions["share"].any()


class Scored:
    """Is long with a confidence of each symbol, by the number of the close; none: says nothing, 0: flat."""

    features = ("close",)

    def __init__(self, **scores: list[float | None]) -> None:
        self.scores = scores

    def decide(self, view: Any) -> Any:
        score = self.scores[view.symbol][(view.time_ms - START_MS) // HOURS - 1]
        return None if score is None else Decision(LONG if score else FLAT, confidence=score)


def test_by_score_parts_are_as_sure_as_decisions() -> None:
    tape = closing(100, 100, 100, 100)
    sure = Scored(A=[0.6] * 4, B=[0.3] * 4, C=[None] * 4)

    outcome = run(spec_of("ABC", Allocation("score"), sure), tape, tape, tape)

    assert outcome.engine.positions["share"] == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert quantities(outcome) == pytest.approx([66.666666667, 33.333333333, 0.0], abs=1e-8)
    # A decision without confidence has no part, and says so.
    unsure = Scored(A=[0.6] * 4, B=[0.3] * 4, C=[None] * 4)
    unsure.decide = lambda view: Decision(LONG, confidence=0.0 if view.symbol == "B" else 0.5)  # type: ignore[method-assign]
    refused = run(spec_of("AB", Allocation("score"), unsure), tape, tape)
    assert quantities(refused) == [100.0, 0.0]
    assert refused.decisions["refused"].tolist() == [0, REFUSED_ALLOCATION]


def test_by_score_what_a_decision_ends_frees_its_part_for_the_others() -> None:
    # Rebalanced at the third and sixth close; what is said again for the side that is held changes nothing.
    tape = closing(*[100.0] * 8)
    b = [0.3, None, None, 0.0, None, None, None, None]
    scores = Scored(A=[0.6, 0.9, 0.1, *[None] * 5], B=b, C=[0.1] * 8)

    outcome = run(spec_of("ABC", Allocation("score", rebalance_hours=3), scores), tape, tape, tape)

    assert outcome.engine.positions["share"] == pytest.approx([6 / 7, 0.0, 1 / 7])
    held = np.zeros(3)
    seen = {}
    for fill in outcome.fills:
        held[fill["symbol"]] += fill["side"] * fill["quantity"]
        seen[int(fill["candle_ms"] - tape["open_ms"][0]) // HOURS] = held.tolist()
    assert list(seen) == [1, 4, 6]
    assert seen[1] == pytest.approx([60.0, 30.0, 10.0])
    assert seen[4] == pytest.approx([60.0, 0.0, 10.0])
    assert seen[6] == pytest.approx([600 / 7, 0.0, 100 / 7])


def test_by_score_a_position_that_its_stop_closed_has_no_part_any_more() -> None:
    falls = make_candles(
        [(100.0, 100.0, 100.0, 100.0)] * 3 + [(100.0, 100.0, 80.0, 100.0)] + [(100.0,) * 4] * 3
    )
    calm = closing(*[100.0] * 7)

    class Once:
        features = ("close",)

        def decide(self, view: Any) -> Any:
            return (
                Decision(LONG, stop_distance=10.0, confidence=0.5)
                if view.time_ms == START_MS + HOURS
                else None
            )

    outcome = run(spec_of("AB", Allocation("score"), Once()), falls, calm)

    assert quantities(outcome) == [0.0, 50.0]
    assert outcome.engine.positions["share"].tolist() == [0.0, 1.0]


class Asking:
    """One symbol goes long at a close; the other does as it is told, and asks for the same thing at every close after that."""

    features = ("close",)

    def __init__(self, asks: str, wish: Decision, first: Sequence[Decision | None], at: int) -> None:
        self.asks, self.wish, self.first, self.at = asks, wish, first, at

    def decide(self, view: Any) -> Any:
        k = (view.time_ms - START_MS) // HOURS - 1
        if view.symbol == self.asks:
            return self.first[k] if k < len(self.first) else self.wish
        return Decision(LONG, stop_distance=10.0) if k == self.at else None


WISH = Decision(LONG)
LATE = [None] * 3


@pytest.mark.parametrize("asks", ["A", "B"])
@pytest.mark.parametrize(
    ("cause", "wish", "first", "at", "event", "changes"),
    [
        (REFUSED_SHORT, Decision(SHORT), [], 0, None, {}),
        (REFUSED_STOP, WISH, [], 0, None, {"sizing": "risk"}),
        (REFUSED_ORDERS, WISH, [WISH, Decision(FLAT)], 4, None, {"limits": Limits(orders=1)}),
        (REFUSED_MARKET, WISH, LATE, 4, Cause.MARKET, {}),
        (REFUSED_GONE, WISH, LATE, 4, Cause.GONE, {}),
        # These let nobody in: what is held keeps its part, and rebalancing leaves it alone.
        (REFUSED_CLOCK, WISH, LATE, 0, Cause.CLOCK, {}),
        (REFUSED_PAUSED, WISH, LATE, 0, Command(Action.PAUSE), {}),
    ],
)
def test_by_score_a_decision_that_is_refused_takes_no_part_from_others(
    asks: str,
    cause: int,
    wish: Decision,
    first: Sequence[Decision | None],
    at: int,
    event: Cause | Command | None,
    changes: dict[str, Any],
) -> None:
    sizing = changes.get("sizing", "fraction")
    rule = Allocation("score", rebalance_hours=0 if sizing == "risk" else 1)
    spec = spec_of("AB", rule, Asking(asks, wish, first, at), sizing)
    engine = Engine(replace(spec, limits=changes.get("limits", Limits())))
    tape = closing(*[100.0] * 9)
    candles, asker = interleave([tape, tape]), "AB".index(asks)

    reports = [engine.step(candles[: 2 * len(LATE)])]
    if isinstance(event, Cause):
        symbol = -1 if event is Cause.CLOCK else asker
        reports.append(engine.step(Halt(START_MS + len(LATE) * HOURS, symbol, event, True)))
    elif event is not None:
        reports.append(engine.step(event))
    reports.append(engine.step(candles[2 * len(LATE) :]))

    decisions = Outcome(engine, reports).decisions
    held = engine.positions["quantity"]
    assert decisions["refused"][decisions["symbol"] == asker][-1] == cause
    assert held[1 - asker] == (20.0 if sizing == "risk" else 100.0)  # 2 % of 10,000 ÷ 10, or all of it
    assert held[asker] == 0.0
    assert engine.positions["share"][1 - asker] == 1.0


class Waver:
    """Goes with strength, as sure as that is strong; in Python, where decisions rest one close after the other."""

    features = ("rsi_14",)

    def decide(self, view: Any) -> Any:
        strength = view["rsi_14"] / 50.0 - 1.0
        return (
            Decision(1 if strength > 0.0 else -1, confidence=min(abs(strength), 1.0))
            if strength == strength
            else None
        )


def test_by_score_neither_names_nor_batches_nor_a_restart_change_anything() -> None:
    spec = replace(walking(RULES[3]), strategy=Waver())
    candles = interleave(WALKS)
    plain = run(spec, *WALKS)
    assert len(plain.trades) > 20

    assert told(run(spec, WALKS[1], WALKS[2], WALKS[0]), "BCA") == told(plain, "ABC")
    before, after = Engine(spec), Engine(spec)
    run_all(before, candles[:700], 1)
    after.restore(before.snapshot())
    run_all(after, candles[700:], 90)
    assert after.digest == plain.engine.digest
    assert after.snapshot() == plain.engine.snapshot()


WALKS = [random_candles(500, seed=80 + s) for s in range(3)]
RULES = [
    Allocation("equal", rebalance_hours=12, rebalance_band=0.01),
    Allocation("inverse_volatility", rebalance_hours=8),
    Allocation("shares", {"A": 0.5, "B": 0.2, "C": 0.3}, rebalance_hours=24),
    Allocation("score", rebalance_hours=12),
]


def walking(rule: Allocation, symbols: str = "ABC", sizing: str = "all_in") -> EngineSpec:
    spec = spec_of(
        symbols,
        rule,
        EmaCross(4, 15, allow_short=True),
        sizing,
        is_perpetual=True,
        tick_size=0.01,
        lot_size=0.001,
        taker_fee_rate=0.0005,
    )
    return replace(
        spec, sizes=SizeRules(volatility_days=2.0), settings=replace(spec.settings, leverage_cap=2.0)
    )


@settings(max_examples=8, deadline=None)
@given(rule=st.sampled_from(RULES), cut=st.integers(1, 1_499), batch=st.sampled_from([1, 40, 700]))
def test_neither_batches_nor_a_restart_change_anything(rule: Allocation, cut: int, batch: int) -> None:
    spec, candles = walking(rule), interleave(WALKS)
    whole = Engine(spec)
    outcome = run_all(whole, candles)
    assert len(outcome.orders) > 20

    before, after = Engine(spec), Engine(spec)
    run_all(before, candles[:cut], batch)
    after.restore(before.snapshot())
    run_all(after, candles[cut:], batch)

    assert after.digest == whole.digest
    assert after.snapshot() == whole.snapshot()


def told(outcome: Outcome, names: str) -> list[tuple[Any, ...]]:
    """Return the trades with the symbols as they are called here."""
    fields = ("entry_ms", "exit_ms", "entry_price", "exit_price", "quantity", "fees", "pnl")
    rows = outcome.trades
    values = zip(*(rows[name].tolist() for name in fields), strict=True)
    return sorted((names[s], *v) for s, v in zip(rows["symbol"].tolist(), values, strict=True))


@pytest.mark.parametrize("rule", [RULES[0], RULES[1], RULES[3]])
def test_names_change_nothing(rule: Allocation) -> None:
    plain = run(walking(rule), *WALKS)
    turned = run(walking(rule), WALKS[1], WALKS[2], WALKS[0])

    assert len(plain.trades) > 20
    assert told(turned, "BCA") == told(plain, "ABC")


def test_a_symbol_that_is_only_read_has_no_part() -> None:
    spec = walking(RULES[0])
    markets = [*spec.markets, replace(spec.markets[0], symbol="D", read_only=True)]

    with_d = run(replace(spec, markets=markets), *WALKS, WALKS[0])

    assert with_d.engine.positions["share"].tolist() == [1 / 3, 1 / 3, 1 / 3, 0.0]
    assert told(with_d, "ABCD") == told(run(spec, *WALKS), "ABC")


@pytest.mark.parametrize("sizing", ["fraction", "all_in", "risk"])
def test_all_of_the_account_for_one_symbol_is_the_plain_run(sizing: str) -> None:
    strategy = EmaCross(4, 15) if sizing != "risk" else Hold()
    plain = replace(walking(Allocation(), "A", sizing), strategy=strategy)

    whole = run(replace(plain, allocation=Allocation("equal")), WALKS[0])

    assert len(whole.fills) > (10 if sizing != "risk" else 0)
    assert whole.engine.digest == run(plain, WALKS[0]).engine.digest


def test_what_a_symbol_had_and_used_is_counted() -> None:
    tape = closing(100, 100, 100, 100, 100)

    positions = run(spec_of("AB", Allocation("shares", SHARES)), tape, tape).engine.positions

    # Shares are there from the first close on; four closes follow, and the position is there at all of them.
    assert positions["allotted_closes"].tolist() == [4, 4]
    assert positions["allotted_total"].tolist() == [2.0, 1.0]
    assert positions["used_total"].tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"allocation": "equall"}, "portfolio.allocation: unknown 'equall': did you mean 'equal'"),
        ({"allocation": "shares"}, "portfolio.shares: it names no symbol"),
        ({"allocation": "shares", "shares": {"A": 0.7, "B": 0.4}}, "they add up to 1.1, more than 1"),
        (
            {"allocation": "shares", "shares": {"A": float("nan")}},
            "portfolio.shares.A: nan is not above 0 and at most 1",
        ),
        ({"allocation": "shares", "shares": {"A": -0.1}}, "portfolio.shares.A: -0.1 is not above 0"),
        (
            {"allocation": "shares", "shares": {"AA": 0.5}},
            "portfolio.shares.AA: no tape or symbol that is traded has that name",
        ),
        ({"allocation": "equal", "shares": {"A": 0.5}}, "does not read them"),
        ({"rebalance_hours": 24}, "there are no shares to bring positions to"),
        ({"allocation": "equal", "rebalance_hours": -1}, "rebalance_hours -1 is not at least 0"),
        ({"allocation": "equal", "rebalance_hours": 24}, "by risk a size belongs to its stop"),
    ],
)
def test_what_cannot_be_is_one_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of("AB", Allocation(**changes), sizing="risk")

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
