"""`view.why`: what it answers, what is kept of it, and that no batching can be seen in that."""

import math
from typing import Any

import numpy as np
import pytest

from papertape import FLAT, LONG, Decision, backtest
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.records import Note, Unmet
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies.conditions import Conditions
from papertape.replay.backtesting.conditions import Notes, UnmetConditions
from tests.support.helpers import FREE, interleave, random_candles


class Reversion:
    features = ("rsi_14", "sma_50")

    def decide(self, view: Any) -> Decision | None:
        if view.position > 0:
            return Decision(FLAT) if view["rsi_14"] > 60 else None
        if view.why("rsi below 40", view["rsi_14"], 40):
            return None
        if view.why("close above sma", view.close, view["sma_50"]):
            return None
        return Decision(LONG, stop_distance=0.02 * view.close)


class Silent(Reversion):
    """The same in Python's own words."""

    def decide(self, view: Any) -> Decision | None:
        if view.position > 0:
            return Decision(FLAT) if view["rsi_14"] > 60 else None
        if not view["rsi_14"] < 40 or not view.close > view["sma_50"]:
            return None
        return Decision(LONG, stop_distance=0.02 * view.close)


def engine_of(strategy: Any, symbols: str = "X") -> Engine:
    markets = [Market(symbol, **FREE) for symbol in symbols]
    return Engine(EngineSpec(markets, strategy, "1h", "15m", settings=Settings("fraction")))


@pytest.mark.parametrize(
    ("text", "value", "threshold", "is_unmet"),
    [
        ("rsi below 30", 29.9, 30, False),
        ("rsi below 30", 30, 30, True),
        ("rsi above 70", 70.1, 70, False),
        ("rsi above 70", 70, 70, True),
        ("at least two", 2, 2, False),
        ("at least two", 1.9, 2, True),
        ("spread at most", np.float64(2.0), 2, False),
        ("spread at most", 2.1, 2, True),
        ("rsi below 30", math.nan, 30, True),
        ("rsi above 30", 50, math.nan, True),
        ("an uptrend", True, None, False),
        ("an uptrend", np.bool_(False), None, True),
    ],
)
def test_words_say_how_value_and_threshold_compare(
    text: str, value: Any, threshold: Any, is_unmet: bool
) -> None:
    conditions = Conditions()

    assert conditions.is_unmet("X", 5, text, value, threshold) is is_unmet
    assert [(one.symbol, one.time_ms, one.condition) for one in conditions.take()[0]] == (
        [("X", 5, text)] if is_unmet else []
    )


@pytest.mark.parametrize("text", ["rsi 30", "rsi is below or above 30", "belowabove", "an uptrend"])
def test_a_text_that_does_not_say_it_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="say once below, above, at least or at most"):
        Conditions().is_unmet("X", 5, text, 1.0, 30)


@pytest.mark.parametrize("value", [1.0, None, 0, "yes", math.nan])
def test_without_a_threshold_the_value_is_true_or_false(value: Any) -> None:
    with pytest.raises(ConfigError, match="give a threshold, too, or say whether it holds"):
        Conditions().is_unmet("X", 5, "an uptrend", value, None)


def test_a_fault_names_strategy_symbol_and_candle() -> None:
    class Wrong(Reversion):
        def decide(self, view: Any) -> Decision | None:
            return None if view.why("rsi", view["rsi_14"], 3) else Decision(LONG)

    fault = engine_of(Wrong()).step(random_candles(9, timeframe="15m")).faults[0]

    assert "X, candle closed 2020-01-01T01:00:00Z: view.why('rsi', …): say once below" in str(fault)


def test_only_the_first_of_a_candle_is_kept() -> None:
    conditions = Conditions()
    for symbol, time_ms in (("A", 1), ("B", 1), ("B", 2), ("A", 2)):
        conditions.is_unmet(symbol, time_ms, "rsi below 30", 31, 30)
        conditions.is_unmet(symbol, time_ms, "close above sma", 1, 2)

    assert list(conditions.take()[0]) == [
        Unmet(symbol, time_ms, "rsi below 30", 31.0, 30.0)
        for symbol, time_ms in (("A", 1), ("B", 1), ("B", 2), ("A", 2))
    ]


def test_no_batching_can_be_seen_and_nothing_is_decided_by_it() -> None:
    candles = interleave([random_candles(2_400, 3 + i, "15m") for i in range(2)])
    silent = engine_of(Silent(), "AB")
    silent.step(candles)
    found = {}
    for batch in (1, 7, len(candles)):
        engine = engine_of(Reversion(), "AB")
        steps = [engine.step(candles[i : i + batch]) for i in range(0, len(candles), batch)]
        found[batch] = [one for report in steps for one in report.unmet]

        assert engine.digest == silent.digest
        assert engine.snapshot()[-5_000:] == silent.snapshot()[-5_000:]
    # NaN is no equal of itself, so they are compared as they are written.
    assert repr(found[1]) == repr(found[7]) == repr(found[len(candles)])
    assert len(found[1]) > 300
    assert found[1][0].value != found[1][0].value  # the first candles have no RSI


class Noting(Reversion):
    def decide(self, view: Any) -> Decision | None:
        if view["rsi_14"] < 30:
            view.note(f"rsi {view['rsi_14']:.1f}")
            view.note(f"at {view.close:.2f}")
        return super().decide(view)


def test_every_note_is_kept_with_symbol_and_candle_whatever_the_batches() -> None:
    candles = interleave([random_candles(2_400, 3 + i, "15m") for i in range(2)])
    silent = engine_of(Silent(), "AB")
    silent.step(candles)
    found = {}
    for batch in (1, 7, len(candles)):
        engine = engine_of(Noting(), "AB")
        steps = [engine.step(candles[i : i + batch]) for i in range(0, len(candles), batch)]
        found[batch] = [one for report in steps for one in report.notes]

        assert engine.digest == silent.digest
    assert found[1] == found[7] == found[len(candles)]
    assert len(found[1]) > 40
    for first, second in zip(found[1][::2], found[1][1::2], strict=True):
        assert first[:2] == second[:2]
        assert 0.0 < float(first.text.removeprefix("rsi ")) <= 30.0
        row = candles[(candles["symbol"] == "AB".index(first.symbol))]
        close = row["close"][row["open_ms"] == first.time_ms - 900_000][0]
        assert second.text == f"at {close:.2f}"


@pytest.mark.parametrize("text", ["", 3, None, "x" * 201])
def test_what_is_no_note_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match="a note is a text of 1 to 200 characters"):
        Conditions().note("X", 5, text)


def test_of_notes_the_newest_are_kept_and_all_are_counted() -> None:
    notes = Notes()
    notes.add(tuple(Note("X", i, f"note {i}") for i in range(450)))

    section = notes.section()["strategy_notes"]

    assert section["count"] == 450
    assert [row["time_ms"] for row in section["newest"]] == list(range(350, 450))
    assert Notes().section() == {}


def test_a_table_stays_small_whatever_is_said() -> None:
    table = UnmetConditions()
    table.add(tuple(Unmet("X", i, f"price below {i % 150}", math.nan, 1.0) for i in range(450)))

    section = table.section()["conditions"]

    assert len(section["counts"]) == 101
    assert section["counts"]["others"] == 3 * 50
    assert [row["time_ms"] for row in section["newest"]] == list(range(430, 450))
    assert section["newest"][0]["value"] is None


def test_the_result_tells_how_often_and_when_last() -> None:
    def summary(strategy: Any) -> Any:
        return backtest(
            start="2023-11-01",
            strategy=strategy,
            use_ml=False,
            report={"sensitivity": False, "random_draws": 0},
        ).summary

    found = summary(Reversion)
    assert set(found["conditions"]["counts"]) == {"rsi below 40", "close above sma"}
    not_flat = found["candles"] - sum(found["conditions"]["counts"].values())
    assert 0 < not_flat < 700
    assert not {"conditions", "strategy_notes"} & set(summary(Silent))
    noted = summary(Noting)["strategy_notes"]
    assert len(noted["newest"]) == noted["count"] > 5
    assert set(noted["newest"][0]) == {"symbol", "time_ms", "text"}
