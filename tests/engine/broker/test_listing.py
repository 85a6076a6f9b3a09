"""A market takes part from its first to its last candle: what it does is what it would do alone."""

from typing import Any

import numpy as np
import pytest

from papertape.engine.candles import HOUR_MS
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Cause, Halt
from papertape.engine.jit import Rows
from papertape.engine.records import FLAT, LONG, REASON_DELISTED
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.replay.feed import ReplayFeed
from papertape.replay.learning.dataset import dataset_of
from tests.support.helpers import FREE, START_MS, make_candles, random_candles

EARLY = random_candles(900, seed=1)
LATE = random_candles(900, seed=2)[301:]  # 301 hours: in the middle of a candle of four hours
FEATURES = ("ema_12", "rsi_14", "atr_14", "bollinger", "mfi_14", "donchian_20", "rsi_14@12h", "smc")


class OnlyOne:
    """Trade one symbol by its features and by a count that it keeps; look at no other."""

    features = ("ema_12", "rsi_14", "atr_14")
    state_fields = ("seen",)

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol

    def decide(self, view: Any) -> Decision | None:
        view.state.seen += 1.0
        if view.symbol != self.symbol:
            return None
        if view.position == 0 and view["rsi_14"] > 52.0 and view.state.seen % 3 == 0:
            return Decision(LONG, stop_distance=2 * view["atr_14"], target_distance=3 * view["atr_14"])
        return Decision(FLAT) if view.position > 0 and view.close < view["ema_12"] else None


def spec(symbols: str, **settings: Any) -> EngineSpec:
    return EngineSpec(
        markets=[Market(symbol, **FREE) for symbol in symbols],
        strategy=OnlyOne("B"),
        timeframe="4h",
        base_timeframe="1h",
        capital=10_000.0,
        settings=Settings(**{"sizing": "fraction", "fixed_fraction": 0.5, **settings}),
    )


def fills(engine: Engine, tapes: list[Rows], batch: int, restarts: bool = False) -> Rows:
    """Return the fills of a replay, from an engine that is saved and restored at every event if so asked."""
    found = []
    for event in ReplayFeed(tapes, HOUR_MS, batch_rows=batch).events():
        found.append(engine.step(event).fills)
        if restarts:
            again = Engine(engine.spec)
            again.restore(engine.snapshot())
            engine = again
    return np.concatenate(found)


@pytest.mark.parametrize("gaps", ["absent", "skip"])
def test_features_of_a_late_market_are_those_of_the_market_alone(gaps: Any) -> None:
    # The second one is of both, so that it is a gap of the portfolio, too.
    holes = [*range(50, 55), *range(341, 348)]
    early = np.delete(EARLY, holes)
    late = LATE[~np.isin(LATE["open_ms"], EARLY["open_ms"][holes])]

    both = dataset_of(("A", "B"), (early, late), "1h", "4h", FEATURES, gaps)
    alone = dataset_of(("B",), (late,), "1h", "4h", FEATURES, gaps)

    since = np.searchsorted(both.time_ms, alone.time_ms[0])
    np.testing.assert_array_equal(both.time_ms[since:], alone.time_ms)
    np.testing.assert_array_equal(both.x[1, since:], alone.x[0])
    np.testing.assert_array_equal(both.close[1, since:], alone.close[0])
    assert np.isnan(both.x[1, :since]).all()
    assert np.isfinite(both.x[0, 50:since]).any()


@pytest.mark.parametrize("batch", [1, 2, 14, 128, 10_000])
def test_a_late_market_trades_as_it_would_alone_in_every_batching(batch: int) -> None:
    alone = fills(Engine(spec("B")), [LATE], batch)

    both = fills(Engine(spec("AB")), [EARLY, LATE], batch)

    assert len(alone) >= 8
    for name in ("candle_ms", "price", "quantity", "reason", "realised", "cash"):
        np.testing.assert_array_equal(both[name], alone[name])


def test_a_snapshot_between_any_two_candles_goes_on_the_same() -> None:
    whole = fills(Engine(spec("AB")), [EARLY, LATE], 10_000)

    assert fills(Engine(spec("AB")), [EARLY, LATE], 6, restarts=True).tobytes() == whole.tobytes()


def test_the_later_of_two_may_come_first_by_name() -> None:
    """The late one is A now: the same strategy on it, the same fills."""
    alone = fills(Engine(spec("B")), [LATE], 100)
    renamed = EngineSpec(
        markets=[Market(symbol, **FREE) for symbol in "BC"],
        strategy=OnlyOne("B"),
        timeframe="4h",
        base_timeframe="1h",
        capital=10_000.0,
        settings=Settings(sizing="fraction", fixed_fraction=0.5),
    )

    found = fills(Engine(renamed), [LATE, EARLY], 100)

    np.testing.assert_array_equal(found["price"], alone["price"])
    np.testing.assert_array_equal(found["quantity"], alone["quantity"])


class Buy:
    """Buy everything at the close of the first candle and hold."""

    features = ()

    def decide(self, view: Any) -> Decision | None:
        return Decision(LONG) if view.symbol == "B" else None


def test_what_is_held_of_a_delisted_market_is_closed_at_its_last_price() -> None:
    """1,000 buy 100 at 10; the last close is 12, fee 1 %: 1,200 − 12, a profit of 188, after two candles."""
    flat = make_candles([(5.0, 5.0, 5.0, 5.0)] * 6)
    ends = make_candles([(10.0, 10.0, 10.0, 10.0), (10.0, 11.0, 9.0, 10.5), (10.5, 12.5, 10.0, 12.0)])
    free = {**FREE, "lot_size": 0.0, "tick_size": 0.0}
    markets = [Market("A", **free), Market("B", **{**free, "taker_fee_rate": 0.01})]
    engine = Engine(
        EngineSpec(
            markets=markets,
            strategy=Buy(),
            timeframe="1h",
            base_timeframe="1h",
            capital=1_010.0,
            settings=Settings(sizing="all_in", cash_share=1.0),
        )
    )

    reports = [engine.step(event) for event in ReplayFeed([flat, ends], HOUR_MS).events()]

    made = np.concatenate([report.fills for report in reports])
    trades = np.concatenate([report.trades for report in reports])
    assert made["candle_ms"].tolist() == [START_MS + HOUR_MS, START_MS + 2 * HOUR_MS]
    assert made["price"].tolist() == [10.0, 12.0]
    assert made["symbol"].tolist() == [1, 1]
    assert made["reason"][1] == REASON_DELISTED
    assert trades["pnl"].tolist() == [round((1_200 - 1_000 - 10 - 12) * 1e9)]
    assert trades["bars"].tolist() == [2]
    assert engine.account[0].cash == round((1_010 - 1_010 + 1_200 - 12) * 1e9)
    marks = np.concatenate([report.marks for report in reports])
    assert marks["equity"][-3:].tolist() == [round(1_188 * 1e9)] * 3
    assert not len(engine.open_trades())


def test_a_delisting_takes_back_what_rests_and_needs_a_symbol() -> None:
    engine = Engine(spec("AB"))
    for event in ReplayFeed([EARLY, LATE], HOUR_MS, batch_rows=2).events():
        engine.step(event)
        if engine.orders["is_active"][1]:
            break

    assert engine.orders["is_active"][1] == 1
    assert not len(engine.step(Halt(START_MS, 1, Cause.GONE, True)).fills)
    assert engine.orders["is_active"][1] == 0
    with pytest.raises(DataError, match="symbol index 2 is not between 0 and 1"):
        engine.step(Halt(START_MS, 2, Cause.GONE, True))
