"""Real recorded tapes through the whole engine: the same digest in every batching. Long; runs in CI."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape.engine.candles import CANDLE
from papertape.engine.core import Engine
from papertape.engine.features import FEATURES
from papertape.engine.jit import Rows
from papertape.engine.spec import EngineSpec
from papertape.replay.backtesting.run import make_spec, replay
from papertape.replay.config import make_config
from papertape.replay.tapes.store import Tape
from tests.support.helpers import SHARED, needs_shared

pytestmark = [pytest.mark.slow, needs_shared]

FOLDER = SHARED / "data/candles"
FIVE = ("ADAUSDT", "ATOMUSDT", "BTCUSDT", "DOGEUSDT", "LINKUSDT")


@cache
def candles_of(*names: str) -> Rows:
    """Return the candles of recorded files, one after the other."""
    parts = []
    for name in names:
        frame = pd.read_parquet(FOLDER / f"{name}.parquet")
        rows = np.zeros(len(frame), CANDLE)
        rows["open_ms"] = frame["open_time"]
        for column in ("open", "high", "low", "close", "volume"):
            rows[column] = frame[column]
        parts.append(rows)
    return np.concatenate(parts)


def minutes() -> list[Tape]:
    """Return two years of BTCUSDT minutes, six outages included."""
    rows = candles_of(
        "binance-spot_BTCUSDT_1m_20210101_20211231", "binance-spot_BTCUSDT_1m_20220101_20221231"
    )
    return [Tape(rows, "binance-spot", "BTCUSDT", "1m")]


def portfolio() -> list[Tape]:
    names = {s: f"binance-spot_{s}_15m_20230401_20240409" for s in FIVE}
    return [Tape(candles_of(name), "binance-spot", s, "15m") for s, name in names.items()]


CASES: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "1h strategy on 1m base": (minutes, {"data": {"timeframe": "1h"}}),
    "everything on 1m": (minutes, {"signals": {"extra_features": tuple(FEATURES)}}),
    "five symbols": (portfolio, {"data": {"timeframe": "1h"}}),
    "five symbols in Python": (
        portfolio,
        {"data": {"timeframe": "4h"}, "strategy": {"name": "rsi_reversion"}},
    ),
}
# A decision every minute over all features takes three times as long as one every hour: candle by candle it has the year in
# which the market was out six times; over both years, and so after ages, the other minutes go one by one and these by seven.
BY_THE_YEAR = ("everything on 1m",)
YEAR = 365 * 24 * 60


@pytest.mark.parametrize("case", CASES)
def test_digest_is_equal_in_every_batching(case: str) -> None:
    load, sections = CASES[case]
    tapes = load()
    spec = make_spec(make_config(sections), tapes)
    rows = [tape.candles for tape in tapes]
    assert_equal(spec, rows, (7, 64, 1_000) if case in BY_THE_YEAR else (1, 7, 64, 1_000))


@pytest.mark.parametrize("case", BY_THE_YEAR)
def test_digest_is_equal_candle_by_candle(case: str) -> None:
    load, sections = CASES[case]
    (tape,) = load()

    assert_equal(make_spec(make_config(sections), [tape]), [tape.candles[:YEAR]], (1,))


def assert_equal(spec: EngineSpec, rows: list[Rows], batches: Sequence[int]) -> None:
    """Replay at once and in batches of these many rows, and compare."""
    whole = replay(spec, rows, batch_rows=sum(len(r) for r in rows))
    assert len(whole.recorder.fills) > 100

    for batch in batches:
        run = replay(spec, rows, batch_rows=batch)

        assert run.engine.digest == whole.engine.digest, batch
        assert run.recorder.marks.tobytes() == whole.recorder.marks.tobytes()


@pytest.mark.parametrize("case", ["1h strategy on 1m base", "five symbols"])
def test_outages_and_restarts_do_not_change_the_digest(case: str) -> None:
    load, sections = CASES[case]
    tapes = load()
    spec = make_spec(make_config(sections), tapes)
    rows = [tape.candles for tape in tapes]
    run = replay(spec, rows)
    engine = Engine(spec)
    for number, batch in enumerate(run.feed.batches()):
        if number % 7 == 3:
            restarted = Engine(spec)
            restarted.restore(engine.snapshot())
            engine = restarted
        engine.step(batch)

    assert engine.digest == run.engine.digest
