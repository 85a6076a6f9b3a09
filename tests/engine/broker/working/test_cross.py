"""Cross margin by hand: one position and two, long and short, through a gap, with stops; names take no part."""

from fractions import Fraction
from typing import Any

import pytest

from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.records import (
    AMBIGUOUS_EXIT,
    AMBIGUOUS_TOGETHER,
    LONG,
    REASON_LIQUIDATION,
    REASON_STOP,
    SHORT,
)
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.helpers import FREE, Outcome, interleave, make_candles, run_all
from tests.support.portfolios import ByName

Bar = tuple[float, float, float, float]
FLAT_BAR: Bar = (100.0, 100.0, 100.0, 100.0)
MAINTAINED = Fraction(1, 200)


def run(
    bars: dict[str, list[Bar]],
    script: dict[tuple[str, int], Decision],
    leverage: float,
    times: float,
    absent: tuple[str, int] | None = None,
    strategy: type[ByName] = ByName,
    **market: Any,
) -> Outcome:
    """Return what becomes of positions of `times` 10,000 quote each that enter at the open of candle 1, 100."""
    values = {**FREE, "is_perpetual": True, "leverage": leverage, "maintenance_rate": 0.005, **market}
    spec = EngineSpec(
        [Market(symbol, **values) for symbol in bars],
        strategy(script),
        "1h",
        "1h",
        settings=Settings(
            "fraction", fixed_fraction=times, cash_share=1.0, leverage_cap=leverage, margin="cross"
        ),
    )
    tapes = [make_candles([FLAT_BAR, FLAT_BAR, *rows]) for _, rows in sorted(bars.items())]
    if absent is not None:
        tapes[sorted(bars).index(absent[0])]["flag_bits"][absent[1]] = 2
    return run_all(Engine(spec), interleave(tapes))


# Equity 10,000 and n units at 100: 10,000 + s·n·(P - 100) = n·P / 200 at P = (100·n - s·10,000) ÷ (n·(1 - s/200)), and
# closed at P·(1 - s/200), where nothing is left.
@pytest.mark.parametrize(
    ("side", "leverage", "times", "level", "closed"),
    [
        (LONG, 10, 10, Fraction(90_000, 995), 90),
        (SHORT, 10, 10, Fraction(110_000, 1_005), 110),
        (LONG, 50, 50, Fraction(490_000, 4_975), 98),
        (SHORT, 50, 50, Fraction(510_000, 5_025), 102),
        (LONG, 10, 5, Fraction(80_000, 995), 80),  # on margin of its own it would go at 90.5
        (SHORT, 50, 5, Fraction(120_000, 1_005), 120),
    ],
)
def test_one_position_falls_until_the_account_no_longer_carries_it(
    side: int, leverage: int, times: int, level: Fraction, closed: int
) -> None:
    def bar(price: float) -> Bar:
        return (100.0, max(100.0, price), min(100.0, price), 100.0)

    safe, met = bar(float(level) + side * 0.001), bar(float(level) - side * 0.001)
    outcome = run({"X": [safe, met, FLAT_BAR]}, {("X", 0): Decision(side)}, leverage, times)

    (trade,) = outcome.trades
    assert trade.exit_reason == REASON_LIQUIDATION
    assert (trade.exit_ms - trade.entry_ms) // 3_600_000 == 2
    assert trade.exit_price == pytest.approx(closed, rel=1e-12)
    assert trade.is_ambiguous == 0  # it is alone, there is no other extreme
    assert outcome.marks["equity"][-1] == pytest.approx(0, abs=20)


@pytest.mark.parametrize(("side", "opened"), [(LONG, 80.0), (LONG, 90.2), (SHORT, 150.0)])
def test_through_a_gap_no_more_is_lost_than_there_was(side: int, opened: float) -> None:
    bar: Bar = (opened, opened, opened, opened)
    stop = Decision(side, stop_distance=5.0)

    outcome = run({"X": [bar, bar]}, {("X", 0): stop}, 10, 10)

    assert outcome.trades["exit_reason"].tolist() == [REASON_LIQUIDATION]  # whatever its stop
    assert outcome.trades["exit_price"].tolist() == pytest.approx([100.0 - side * 10.0])
    assert outcome.marks["equity"][-1] == pytest.approx(0, abs=20)


TWO = {("A", 0): Decision(LONG), ("B", 0): Decision(SHORT)}


@pytest.mark.parametrize("names", ["AB", "BA"])
def test_extremes_of_one_instant_are_taken_together_and_told(names: str) -> None:
    # 500 units each. Together at 90 and 112: 10,000 - 5,000 - 6,000 = -1,000, and 2.5 × 202 = 505 must be maintained.
    # On the way there 9,500 are left above it at the start and -1,505 at the end.
    a, b = names
    fallen: Bar = (100.0, 100.0, 90.0, 99.0)
    risen: Bar = (100.0, 112.0, 100.0, 101.0)
    script = {(a, 0): Decision(LONG), (b, 0): Decision(SHORT)}

    outcome = run({a: [FLAT_BAR, fallen, FLAT_BAR], b: [FLAT_BAR, risen, FLAT_BAR]}, script, 10, 5)

    way = Fraction(9_500, 9_500 + 1_505)
    prices = {LONG: (100 - 10 * way) * (1 - MAINTAINED), SHORT: (100 + 12 * way) * (1 + MAINTAINED)}
    assert (100 - prices[LONG]) + (prices[SHORT] - 100) == 20  # × 500 units: the whole account
    for trade in outcome.trades:
        assert trade.exit_reason == REASON_LIQUIDATION
        assert trade.exit_price == pytest.approx(float(prices[int(trade.side)]), rel=1e-12)
        assert trade.is_ambiguous == AMBIGUOUS_TOGETHER
        # At its close, 99 and 101, each would have lost one a unit.
        assert trade.pnl_optimistic == -500 * 10**9
    assert len(outcome.trades) == 2


def test_either_extreme_alone_is_carried() -> None:
    fallen: Bar = (100.0, 100.0, 90.0, 100.0)
    risen: Bar = (100.0, 112.0, 100.0, 100.0)

    outcome = run({"A": [fallen, FLAT_BAR], "B": [FLAT_BAR, risen]}, TWO, 10, 5)

    assert not len(outcome.trades)


@pytest.mark.parametrize("stop", [5.0, 8.0])
def test_a_stop_that_is_nearer_comes_first_and_counts_for_the_rest(stop: float) -> None:
    # A at its stop and B at 112: 10,000 - 500·stop - 6,000 of 2.5 × (212 - stop), 517.50 and 510: carried at 95, not at 92.
    fallen: Bar = (100.0, 100.0, 90.0, 100.0)
    risen: Bar = (100.0, 112.0, 100.0, 100.0)
    script = {**TWO, ("A", 0): Decision(LONG, stop_distance=stop)}

    outcome = run({"A": [fallen, FLAT_BAR], "B": [risen, FLAT_BAR]}, script, 10, 5)

    if stop == 5.0:
        assert outcome.trades["exit_reason"].tolist() == [REASON_STOP]
        assert outcome.trades["exit_price"].tolist() == [95.0]
    else:
        assert set(outcome.trades["exit_reason"].tolist()) == {REASON_LIQUIDATION}


def test_a_stop_order_for_the_whole_position_counts_as_its_stop() -> None:
    class WithOrder(ByName):
        def decide(self, view: Any) -> Decision | None:
            if view.position > 0 and not view.orders:
                view.exit(stop=95.0)
            return super().decide(view)

    fallen: Bar = (100.0, 100.0, 85.0, 100.0)

    outcome = run({"X": [fallen, FLAT_BAR]}, {("X", 0): Decision(LONG)}, 10, 10, strategy=WithOrder)

    assert outcome.trades["exit_price"].tolist() == [95.0]


def test_a_target_in_the_same_candle_leaves_a_doubt() -> None:
    wide: Bar = (100.0, 106.0, 85.0, 100.0)

    outcome = run({"X": [wide, FLAT_BAR]}, {("X", 0): Decision(LONG, target_distance=5.0)}, 10, 10)

    (trade,) = outcome.trades
    assert trade.exit_reason == REASON_LIQUIDATION
    assert trade.is_ambiguous == AMBIGUOUS_EXIT
    assert trade.pnl_optimistic == 1_000 * 5 * 10**9


def test_what_does_not_trade_counts_and_stays() -> None:
    # B has no candle while A falls to 60: A goes with what is left of the account, B is closed at the next open by the ruin.
    fallen: Bar = (100.0, 100.0, 60.0, 100.0)

    outcome = run({"A": [fallen, FLAT_BAR, FLAT_BAR], "B": [FLAT_BAR] * 3}, TWO, 10, 5, ("B", 2))

    first, second = outcome.trades
    assert first.exit_reason == REASON_LIQUIDATION
    assert first.exit_price == pytest.approx(80.0)
    assert second.side == SHORT
    assert second.exit_ms > first.exit_ms


def test_the_fee_comes_on_top() -> None:
    fallen: Bar = (100.0, 100.0, 80.0, 100.0)

    outcome = run({"X": [fallen, FLAT_BAR]}, {("X", 0): Decision(LONG)}, 10, 10, liquidation_fee_rate=0.001)

    # 1,000 units at 90: 90 quote.
    assert outcome.fills["fee"].tolist()[-1] == pytest.approx(90 * 10**9, abs=20)
    assert outcome.marks["equity"][-1] == pytest.approx(-90 * 10**9, abs=40)


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"account\.margin: unknown 'crossed'.*cross"):
        Settings(margin="crossed").rows()
