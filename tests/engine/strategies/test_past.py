"""`view.history`: what it gives against slices of whole arrays, and that no batching or restart can be seen in it."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.candles import FLAG_ABSENT, FLAG_UNLISTED, HOUR_MS
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.features import evaluate
from papertape.engine.jit import Rows
from papertape.engine.records import FLAT, LONG
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.helpers import FREE, START_MS, interleave, random_candles, run_all

BARS = 30


class Look:
    """Call a function at every close; functions are shared by copies, so a test can gather what was seen."""

    features = ("rsi_14", "sma_20", "donchian_10@4h")
    history_bars = BARS

    def __init__(self, look: Callable[[Any], Any]) -> None:
        self.look = look

    def decide(self, view: Any) -> Any:
        return self.look(view)


class Breakout:
    """Trade on nothing but history, so that its digest tells whether history is right."""

    features = ("rsi_14", "ema_5@4h")
    history_bars = 48

    def decide(self, view: Any) -> Decision | None:
        highs, rsi = view.history("high", 48), view.history("rsi_14", 5)
        if view.position == 0 and view.close >= highs[:-1].max(initial=0.0) - 0.3:
            return Decision(LONG, stop_distance=0.02 * view.close)
        if view.position > 0 and rsi.mean() < view.history("ema_5@4h", 7).mean() / 3:
            return Decision(FLAT)
        return None


def spec_of(strategy: Any, symbols: str = "X", base: str = "1h") -> EngineSpec:
    markets = [Market(symbol, is_perpetual=True, **FREE) for symbol in symbols]
    return EngineSpec(markets, strategy, "1h", base, settings=Settings("fraction"))


def seen_by(names: tuple[str, ...], candles: Rows, batch: int | None = None) -> dict[str, list[Any]]:
    seen: dict[str, list[Any]] = {name: [] for name in names}

    def look(view: Any) -> None:
        for name in names:
            seen[name].append(view.history(name, BARS))

    run_all(Engine(spec_of(Look(look))), candles, batch)
    return seen


@pytest.mark.parametrize("batch", [1, 7, None])
def test_history_is_a_slice_of_the_whole_up_to_this_close(batch: int | None) -> None:
    candles = random_candles(2_300)  # more than one block of a step
    columns = {name: candles[name] for name in ("open", "high", "low", "close", "volume")}
    columns["rsi_14"] = evaluate("rsi_14", candles)[0]

    seen = seen_by(tuple(columns), candles, batch)

    for name, whole in columns.items():
        assert len(seen[name]) == len(candles)
        for i, found in enumerate(seen[name]):
            np.testing.assert_array_equal(found, whole[max(0, i + 1 - BARS) : i + 1])


def test_history_can_be_neither_changed_nor_widened() -> None:
    found = seen_by(("close",), random_candles(100))["close"][60]

    assert not found.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.setflags(write=True)
    assert len(found.base) == 8 * BARS  # nothing of the 39 candles that came later in the same batch


def test_absent_candles_count_as_features_count_them() -> None:
    candles = random_candles(300)
    for absent in (40, 41, 150):
        before = candles[absent - 1]["close"]
        for name in ("open", "high", "low", "close"):
            candles[name][absent] = before
        candles["volume"][absent], candles["flag_bits"][absent] = 0.0, FLAG_ABSENT
    asked = []

    def look(view: Any) -> None:
        closes = view.history("close", 20)
        asked.append(view.time_ms)
        if len(closes) == 20:
            assert closes.mean() == pytest.approx(view["sma_20"], rel=1e-12)
        assert closes[-1] == view.close

    run_all(Engine(spec_of(Look(look))), candles)

    assert len(asked) == 297  # at the three nobody is asked


def test_a_market_has_no_past_before_its_first_candle() -> None:
    lengths: dict[str, list[int]] = {"A": [], "B": []}

    def look(view: Any) -> None:
        lengths[view.symbol].append(len(view.history("close", BARS)))

    late = random_candles(60, seed=2)
    late["flag_bits"][:25] = FLAG_ABSENT | FLAG_UNLISTED
    late["volume"][:25] = 0.0
    for batch in (1, 7, 1_000):
        lengths["A"].clear(), lengths["B"].clear()
        run_all(Engine(spec_of(Look(look), "AB")), interleave([random_candles(60), late]), 2 * batch)

        assert lengths["A"] == [min(i + 1, BARS) for i in range(60)]
        assert lengths["B"] == [min(i + 1, BARS) for i in range(35)]


@pytest.mark.parametrize("symbols", ["X", "ABC"])
def test_no_batching_can_be_seen(symbols: str) -> None:
    tapes = [random_candles(2_400, 5 + i, "15m") for i in range(len(symbols))]
    candles = interleave(tapes)
    whole = Engine(spec_of(Breakout(), symbols, "15m"))
    assert len(run_all(whole, candles).fills) > 10

    for batch in (1, 7, 640):
        engine = Engine(spec_of(Breakout(), symbols, "15m"))
        run_all(engine, candles, batch)

        assert engine.digest == whole.digest
        assert engine.snapshot() == whole.snapshot()


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(1, 999), batch=st.sampled_from([1, 7, 500]))
def test_restart_at_any_candle_changes_nothing(cut: int, batch: int) -> None:
    candles = interleave([random_candles(500, 5 + i, "15m") for i in range(2)])
    whole = Engine(spec_of(Breakout(), "AB", "15m"))
    run_all(whole, candles)
    first = Engine(spec_of(Breakout(), "AB", "15m"))
    run_all(first, candles[:cut], batch)

    second = Engine(spec_of(Breakout(), "AB", "15m"))
    second.restore(first.snapshot())
    run_all(second, candles[cut:], batch)

    assert second.digest == whole.digest
    assert second.snapshot() == whole.snapshot()


def test_it_costs_nothing_that_is_not_asked_for() -> None:
    class Without(Look):
        history_bars = 0

    assert b'"past"' in Engine(spec_of(Look(lambda view: None))).snapshot().partition(b"\n")[0]
    assert b'"past"' not in Engine(spec_of(Without(lambda view: None))).snapshot()


def test_a_snapshot_of_another_length_is_refused() -> None:
    class Longer(Look):
        history_bars = BARS + 1

    kept = Engine(spec_of(Look(len))).snapshot()

    with pytest.raises(DataError, match="another configuration"):
        Engine(spec_of(Longer(len))).restore(kept)


@pytest.mark.parametrize(
    ("ask", "bars", "said"),
    [
        (
            lambda v: v.history("close", 31),
            BARS,
            "looks further back than history_bars = 30; write history_bars = 31",
        ),
        (lambda v: v.history("close", 31), 0, "write history_bars = 31 in the class"),
        (
            lambda v: v.history("clse", 3),
            BARS,
            "neither a feature that it named nor open.*did you mean 'close'",
        ),
        (lambda v: v.history("rsi_15", 3), BARS, "did you mean 'rsi_14'"),
        (lambda v: v.history("close", 0), BARS, "0 is not a number of candles"),
        (lambda v: v.history("close", 2.0), BARS, "2.0 is not a number of candles"),
        (lambda v: v.history("close", True), BARS, "True is not a number of candles"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(ask: Callable[[Any], Any], bars: int, said: str) -> None:
    strategy = Look(ask)
    strategy.history_bars = bars  # of the instance: it may depend on parameters
    candles = random_candles(40)

    fault = Engine(spec_of(strategy)).step(candles).faults[0]

    assert fault.time_ms == START_MS + HOUR_MS
    assert re.search(said, fault.reason), fault.reason


def test_a_view_is_for_its_own_candle() -> None:
    kept: list[Any] = []
    engine = Engine(spec_of(Look(kept.append)))
    run_all(engine, random_candles(20), 10)

    with pytest.raises(ConfigError, match="after its candle"):
        kept[4].history("close", 3)


@pytest.mark.parametrize("bars", [-1, 5_001, 2.0, True, "50", None])
def test_history_bars_is_a_number_of_candles(bars: Any) -> None:
    strategy = Look(len)
    strategy.history_bars = bars

    with pytest.raises(ConfigError, match="is not a whole number of candles between 1 and 5,000"):
        Engine(spec_of(strategy))
