"""Halts: while a venue matches nothing orders rest, skewed clocks let nothing in, what is gone is closed at its last price."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal.codec import decode, encode
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Cause, Halt
from papertape.engine.records import (
    FLAT,
    LONG,
    REASON_DELISTED,
    REASON_NAMES,
    REASON_SIGNAL,
    REASON_STOP,
    REFUSED_CLOCK,
    REFUSED_GONE,
    REFUSED_MARKET,
    SHORT,
)
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.helpers import FREE, START_MS, Outcome, Scripted, interleave, make_candles

HOUR_MS = 3_600_000
Prices = Sequence[float]


def engine(script: Mapping[int, Decision], n_symbols: int = 1, **market: Any) -> Engine:
    return Engine(
        EngineSpec(
            markets=[Market(name, **{**FREE, **market}) for name in "XY"[:n_symbols]],
            strategy=Scripted(script),
            timeframe="1h",
            base_timeframe="1h",
            capital=10_000.0,
            settings=Settings("all_in", cash_share=1.0),
        )
    )


def flat_candles(prices: Prices) -> Any:
    """Return one candle per price, which opens, stays and closes there."""
    return make_candles([(price, price, price, price) for price in prices])


def halt(after: int, cause: Cause, *, is_on: bool = True) -> tuple[int, Halt]:
    """Return a halt that comes before candle `after`."""
    symbol = -1 if cause is Cause.CLOCK else 0
    return after, Halt(START_MS + after * HOUR_MS, symbol, cause, is_on)


def run(made: Engine, candles: Any, halts: Sequence[tuple[int, Halt]]) -> Outcome:
    reports, done = [], 0
    for at, event in halts:
        if at > done:
            reports.append(made.step(candles[done:at]))
        reports.append(made.step(event))
        done = max(done, at)
    reports.append(made.step(candles[done:]))
    return Outcome(made, reports)


def test_an_order_rests_while_the_market_does_not_trade() -> None:
    candles = flat_candles([100.0, 101.0, 102.0, 103.0, 104.0, 105.0])
    halts = [halt(1, Cause.MARKET), halt(4, Cause.MARKET, is_on=False)]

    outcome = run(engine({0: Decision(LONG), 2: Decision(FLAT)}), candles, halts[:1])
    assert not len(outcome.fills)

    outcome = run(engine({0: Decision(LONG)}), candles, halts)
    assert outcome.fills["price"].tolist() == [104.0]
    assert outcome.fills["candle_ms"].tolist() == [START_MS + 4 * HOUR_MS]


def test_a_stop_rests_too_and_fills_at_the_first_price_after_the_halt() -> None:
    script = {0: Decision(LONG, stop_price=90.0)}
    candles = flat_candles([100.0, 100.0, 80.0, 70.0, 85.0, 86.0])
    halts = [halt(2, Cause.MARKET), halt(4, Cause.MARKET, is_on=False)]

    outcome = run(engine(script), candles, halts)

    assert outcome.fills["price"].tolist() == [100.0, 85.0]
    assert outcome.fills["reason"].tolist()[1] == REASON_STOP


@pytest.mark.parametrize(
    ("cause", "refused"),
    [(Cause.MARKET, REFUSED_MARKET), (Cause.CLOCK, REFUSED_CLOCK), (Cause.GONE, REFUSED_GONE)],
)
@pytest.mark.parametrize("target", [LONG, SHORT])
def test_a_decision_is_refused_with_the_reason(cause: Cause, refused: int, target: int) -> None:
    script = {2: Decision(target), 4: Decision(target)}
    candles = flat_candles([100.0] * 7)
    halts = [halt(1, cause), halt(4, cause, is_on=False)]

    outcome = run(engine(script, is_perpetual=True), candles, halts)

    assert outcome.decisions["refused"].tolist()[0] == refused
    assert outcome.fills["candle_ms"].tolist() == [START_MS + 5 * HOUR_MS]


def test_skewed_clocks_keep_a_resting_entry_waiting_and_let_an_exit_through() -> None:
    candles = flat_candles([100.0, 101.0, 102.0, 103.0, 104.0])

    entry = run(
        engine({0: Decision(LONG)}), candles, [halt(1, Cause.CLOCK), halt(3, Cause.CLOCK, is_on=False)]
    )
    leave = run(engine({0: Decision(LONG), 1: Decision(FLAT)}), candles, [halt(2, Cause.CLOCK)])

    assert entry.fills["price"].tolist() == [103.0]
    assert leave.fills["price"].tolist() == [101.0, 102.0]
    assert leave.fills["reason"].tolist()[1] == REASON_SIGNAL


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_position_in_what_is_gone_is_closed_at_the_last_price_with_the_fee_alone(side: int) -> None:
    market = {"taker_fee_rate": 0.001, "half_spread_rate": 0.01, "slippage_rate": 0.01}
    script = {0: Decision(side), 3: Decision(side)}
    candles = flat_candles([100.0, 100.0, 110.0, 110.0, 110.0])

    outcome = run(engine(script, is_perpetual=True, **market), candles, [halt(3, Cause.GONE)])

    entry, leave = outcome.fills
    assert leave["price"] == 110.0
    assert REASON_NAMES[int(leave["reason"])] == "delisted"
    assert leave["reason"] == REASON_DELISTED
    assert leave["slippage"] == leave["spread"] == 0
    quantity = float(entry["quantity"])
    assert leave["fee"] == round(quantity * 110.0 * 0.001 * 1e9)
    # What was bought at the entry's price is sold at 110, less both fees.
    gain = side * quantity * (110.0 - float(entry["price"])) - (int(entry["fee"]) + int(leave["fee"])) * 1e-9
    assert outcome.trades["pnl"].tolist() == [pytest.approx(gain * 1e9, abs=3)]
    assert int(outcome.marks["equity"][-1]) == int(outcome.marks["cash"][-1])
    assert int(outcome.engine.positions["quantity"][0]) == 0
    assert outcome.decisions["refused"].tolist() == [0, REFUSED_GONE]


def test_the_other_symbols_go_on() -> None:
    made = engine({0: Decision(LONG), 3: Decision(FLAT)}, n_symbols=2)
    candles = interleave([flat_candles([10.0] * 6), flat_candles([20.0] * 6)])
    made.step(candles[:2])
    made.step(Halt(START_MS, 0, Cause.MARKET, True))

    report = made.step(candles[2:])

    assert report.fills["symbol"].tolist() == [1, 1]


@pytest.mark.parametrize("batch", [1, 2, 6])
def test_halts_are_part_of_the_state_and_of_the_digest(batch: int) -> None:
    script = {0: Decision(LONG, stop_price=90.0), 4: Decision(FLAT), 5: Decision(LONG)}
    candles = flat_candles([100.0, 101.0, 80.0, 95.0, 99.0, 97.0, 98.0, 99.0])
    halts = dict([halt(2, Cause.MARKET), halt(3, Cause.MARKET, is_on=False), halt(6, Cause.GONE)])
    whole = run(engine(script), candles, list(halts.items()))
    made = engine(script)

    for at in range(0, len(candles), batch):
        for k in range(at, min(at + batch, len(candles))):
            if k in halts:
                made.step(halts[k])
            fresh = engine(script)
            fresh.restore(made.snapshot())
            made = fresh
            made.step(candles[k : k + 1])

    assert made.digest == whole.engine.digest
    assert made.snapshot() == whole.engine.snapshot()
    assert made.digest != run(engine(script), candles, []).engine.digest


def test_what_changes_nothing_is_known_and_what_concerns_nothing_is_refused() -> None:
    made = engine({})
    begins = Halt(START_MS, 0, Cause.MARKET, True)

    assert made.would_change(begins)
    assert not made.would_change(begins._replace(is_on=False))
    made.step(begins)
    assert not made.would_change(begins)
    with pytest.raises(DataError, match="symbol index 1 is not between 0 and 0"):
        made.step(begins._replace(symbol=1))
    with pytest.raises(DataError, match="all symbols, not index 0"):
        made.step(begins._replace(cause=Cause.CLOCK))


def test_a_halt_reads_back_from_the_journal_as_it_was() -> None:
    for cause in Cause:
        event = Halt(START_MS, -1 if cause is Cause.CLOCK else 3, cause, False)
        encoded = encode(event)
        found = decode(encoded.kind, encoded.payload)

        assert found == event
        assert isinstance(found, Halt)
        assert found.cause is cause
    with pytest.raises(DataError):
        decode("halt", b'{"cause":"boredom","is_on":true,"symbol":0,"time_ms":0}')


def test_a_flat_account_loses_nothing_with_a_symbol_that_is_gone() -> None:
    outcome = run(engine({}), flat_candles([100.0] * 3), [halt(1, Cause.GONE)])

    assert not len(outcome.fills)
    assert np.unique(outcome.marks["equity"]).tolist() == [10_000 * 10**9]
