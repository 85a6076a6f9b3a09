"""Ruin: an account whose equity is not above zero at a close is closed, and does not come back."""

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.events import Action, Command
from papertape.engine.records import FLAT, LONG, REASON_RUIN, REFUSED_NO, REFUSED_RUIN, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.helpers import FREE, Scripted, make_candles, run_all, run_script
from tests.support.portfolios import Portfolio, differences, run

PERPETUAL = {**FREE, "is_perpetual": True}
THREE_TIMES = {"market": PERPETUAL, "leverage_cap": 3.0}


def bars(*prices: float) -> list[tuple[float, float, float, float]]:
    return [(p, p, p, p) for p in prices]


@pytest.mark.parametrize(
    ("side", "prices", "left"),
    [
        # 300 units at 100; at 60 equity is 10,000 - 12,000 = -2,000; the next open, 61, leaves -1,700
        (LONG, (100, 100, 60, 61, 300, 300), -1_700),
        # exactly nothing left at 66 2/3 is not above zero either: 300 × 33 1/3 = 10,000; 70 leaves 1,000
        (LONG, (100, 100, 200 / 3, 70, 300, 300), 1_000),
        # short: at 140 equity is -2,000; 139 leaves -1,700
        (SHORT, (100, 100, 140, 139, 10, 10), -1_700),
    ],
)
def test_a_ruined_account_is_closed_at_the_next_open_and_does_not_come_back(
    side: int, prices: tuple[float, ...], left: float
) -> None:
    candles = make_candles(bars(*prices))

    outcome = run_script(candles, dict.fromkeys(range(6), Decision(side)), **THREE_TIMES)

    assert outcome.trades["exit_reason"].tolist() == [REASON_RUIN]
    assert outcome.trades[0].exit_ms == candles[3].open_ms
    assert outcome.marks[-1].equity * 1e-9 == pytest.approx(left, abs=1e-6)
    assert outcome.marks["open_positions"].tolist() == [0, 1, 1, 0, 0, 0]
    assert outcome.engine.account[0].ruined_ms == candles[3].open_ms
    # the strategy asks on: it is refused at the close of the ruin, and once more when it is flat
    assert (
        outcome.decisions["refused"].tolist()
        == [REFUSED_NO, REFUSED_RUIN, REFUSED_RUIN][: len(outcome.decisions)]
    )
    assert outcome.decisions["refused"][-1] == REFUSED_RUIN


def test_equity_above_zero_goes_on() -> None:
    outcome = run_script(make_candles(bars(100, 100, 67, 300)), {0: Decision(LONG)}, **THREE_TIMES)

    # 300 × 33 = 9,900 lost at 67, 60,000 gained at 300
    assert outcome.engine.account[0].ruined_ms == 0
    assert outcome.marks[-1].equity == 70_000 * 10**9


def test_latency_and_a_strategy_that_speaks_do_not_delay_the_closing() -> None:
    candles = make_candles(bars(100, 100, 100, 100, 100, 50, 55, 60, 65))
    script = {0: Decision(LONG), 5: Decision(SHORT), 6: Decision(LONG)}

    outcome = run_script(candles, script, latency_bars=2, **THREE_TIMES)

    assert outcome.fills["reason"].tolist()[-1] == REASON_RUIN
    assert outcome.fills["price"].tolist() == [100.0, 55.0]


def test_an_absent_candle_closes_nothing_and_the_next_one_does() -> None:
    candles = make_candles(bars(100, 100, 50, 50, 55, 60))
    candles[3].flag_bits = 2

    outcome = run_script(candles, {0: Decision(LONG)}, **THREE_TIMES)

    assert outcome.fills["price"].tolist() == [100.0, 55.0]


def test_no_command_brings_a_ruined_account_back() -> None:
    spec = EngineSpec(
        [Market("X", **PERPETUAL)],
        Scripted(dict.fromkeys(range(9), Decision(LONG))),
        "1h",
        "1h",
        settings=Settings("all_in", cash_share=1.0, leverage_cap=3.0),
    )
    candles = make_candles(bars(100, 100, 50, 80, 80, 80, 80))
    engine = Engine(spec)

    run_all(engine, candles[:4])
    engine.step(Command(Action.RESUME))
    saved = engine.snapshot()
    engine = Engine(spec)
    engine.restore(saved)
    later = run_all(engine, candles[4:])

    assert engine.account[0].ruined_ms == candles[3].open_ms
    assert len(later.fills) == 0


@pytest.mark.parametrize("names", [{"A": "A", "B": "B"}, {"A": "Z", "B": "B"}])
def test_all_symbols_are_closed_and_nothing_that_rests_is_opened(names: dict[str, str]) -> None:
    tapes = {"A": make_candles(bars(100, 100, 50, 50, 90)), "B": make_candles(bars(10, 10, 10, 11, 12))}
    portfolio = Portfolio(
        tapes,
        dict.fromkeys(tapes, PERPETUAL),
        Settings("fraction", fixed_fraction=1.5, cash_share=1.0, leverage_cap=4.0, latency_bars=0),
        {
            ("A", 0): Decision(LONG),
            ("B", 0): Decision(LONG),
            ("A", 2): Decision(FLAT),
            ("B", 2): Decision(FLAT),
        },
    )
    # 150 A at 100 and 1,500 B at 10; at 50 A has lost 7,500: 2,500 are left, and they are not ruined
    told, _ = run(portfolio, names)
    assert REASON_RUIN not in told.fills["reason"]

    deeper = portfolio._replace(tapes={**tapes, "A": make_candles(bars(100, 100, 30, 40, 90))})
    told, outcome = run(deeper, names)

    # at 30 A has lost 10,500: both are closed at the next open, A at 40 (-9,000), B at 11 (+1,500)
    assert sorted(told.trades["exit_reason"].tolist()) == [REASON_RUIN] * 2
    assert outcome.marks[-1].equity == 2_500 * 10**9
    assert differences(told, run(deeper)[0]) == []


def test_the_marks_of_a_ruined_account_stand_still() -> None:
    random = np.random.default_rng(4)
    walk = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.15, 400)))
    script = dict.fromkeys(range(400), Decision(LONG))

    outcome = run_script(make_candles(bars(*walk.tolist())), script, market=PERPETUAL, leverage_cap=8.0)

    ruined = np.flatnonzero(outcome.marks["equity"] <= 0)
    assert len(ruined) > 1
    after = outcome.marks["equity"][ruined[0] + 1 :]
    assert len(set(after.tolist())) == 1
