"""Market structure in the engine: events leave through the report, the same in any batching and after a restart."""

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.features import matrix
from papertape.engine.features.matrix import FeatureMatrix
from papertape.engine.features.smc import EVENT, SmartMoney
from papertape.engine.features.smc.columns import COLUMNS
from papertape.engine.jit import Rows
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies import Confluence
from papertape.replay.backtesting.recorder import Recorder
from tests.support.helpers import interleave, random_candles

NAMES = EVENT.names or ()


def make_engine(symbols: tuple[str, ...] = ("X",), events: bool = True, **options: object) -> Engine:
    given = {"timeframe": "15m", "base_timeframe": "15m", "extra_features": ("smc_10_3_50",), **options}
    markets = [Market(symbol) for symbol in symbols]
    return Engine(EngineSpec(markets, Confluence(0.3, use_smc=False), events=events, **given))  # type: ignore[arg-type]


def run(engine: Engine, candles: Rows, batch: int) -> Rows:
    recorder = Recorder()
    for start in range(0, len(candles), batch):
        recorder(engine.step(candles[start : start + batch]))
    return recorder.events


def test_engine_says_what_the_stepper_says() -> None:
    candles = random_candles(3_000, 81, "15m")

    found = run(make_engine(), candles, 700)

    want = SmartMoney("15m", swing_bars=10, internal_bars=3, inverse_age_bars=50).update(candles)
    assert len(want) > 3_000
    assert found.tobytes() == want.tobytes()


def test_any_batching_reports_the_same_events_of_all_symbols_and_timeframes() -> None:
    tape = interleave([random_candles(3_000, 82, "5m"), random_candles(3_000, 83, "5m")])
    options = {"timeframe": "15m", "base_timeframe": "5m", "extra_features": ("smc_10_3_50", "smc_5_3_50@1h")}
    runs = [run(make_engine(("A", "B"), **options), tape, batch) for batch in (2, 98, 6_000)]

    assert {(int(e["symbol"]), int(e["timeframe_ms"])) for e in runs[0]} == {
        (0, 900_000),
        (1, 900_000),
        (0, 3_600_000),
        (1, 3_600_000),
    }
    assert (np.diff(runs[0]["known_ms"]) >= 0).all()
    assert runs[0].tobytes() == runs[1].tobytes() == runs[2].tobytes()


def test_an_event_after_a_gap_is_known_when_the_base_candle_that_shows_it_closes() -> None:
    tape = random_candles(6_000, 84, "5m")
    keep = np.random.default_rng(84).random(len(tape)) > 0.3
    tape = tape[keep].copy()

    events = run(make_engine(timeframe="15m", base_timeframe="5m"), tape, 500)

    closes = set((tape["open_ms"] + 300_000).tolist())
    assert set(events["known_ms"].tolist()) <= closes
    late = events["known_ms"] % 900_000 != 0
    assert late.any()


@pytest.mark.parametrize("cut", [1, 500, 1_234])
def test_a_restored_engine_goes_on_with_the_same_events(cut: int) -> None:
    candles = random_candles(2_000, 85, "15m")
    whole = run(make_engine(), candles, 333)
    first, second = make_engine(), make_engine()

    before = run(first, candles[:cut], 100)
    second.restore(first.snapshot())
    after = run(second, candles[cut:], 77)

    assert before.tobytes() + after.tobytes() == whole.tobytes()


def test_asking_for_events_changes_no_decision_and_no_snapshot() -> None:
    candles = random_candles(2_000, 86, "15m")
    asked, not_asked = make_engine(events=True), make_engine(events=False)

    assert len(run(asked, candles, 400))
    assert len(run(not_asked, candles, 400)) == 0

    assert asked.digest == not_asked.digest
    assert asked.snapshot() == not_asked.snapshot()


def test_columns_of_another_timeframe_stand_beside_those_of_this_one() -> None:
    engine = make_engine(extra_features=("smc", "smc@4h"))

    names = engine.frames.columns

    assert [name for name in names if name.startswith("smc")] == [
        *(f"smc_{column}" for column in COLUMNS),
        *(f"smc_{column}@4h" for column in COLUMNS),
    ]


def test_a_buffer_without_room_for_all_that_is_told_is_a_broken_promise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What found no room was counted, and nobody read the count."""
    rows = random_candles(600, 3, "1h")
    told = FeatureMatrix(("AAA",), "1h", "1h", ("smc",), True)
    told.advance(rows, len(rows))
    n = len(told.take_events())
    assert n > 500

    monkeypatch.setattr(matrix, "_EVENTS_A_CANDLE", 0)
    monkeypatch.setattr(
        matrix, "_EVENTS_OF_SHELVES", n + 1
    )  # all of it and the row that is scratch: it is full
    full = FeatureMatrix(("AAA",), "1h", "1h", ("smc",), True)
    with pytest.raises(AssertionError):
        full.advance(rows, len(rows))
