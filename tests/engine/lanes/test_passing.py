"""An account that passes over its quiet candles is the account that is stepped, in every byte."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.core import Engine
from papertape.engine.features.reading import Reading
from papertape.engine.jit import Rows, join_rows
from papertape.engine.lanes.runs import Lanes, is_lane
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import BracketW2, Confluence, EmaCross
from tests.support.helpers import random_candles

N = 700
STATE = ("account", "positions", "trades", "orders", "working", "strategy_state", "last_open_ms")
RULES: dict[str, Any] = {
    "averages": EmaCross(3, 8),
    "both sides": EmaCross(2, 3, allow_short=True),
    "bracket": BracketW2(),
    "scores": Confluence(confidence_threshold=0.2, use_ml=False, use_smc=False),
}


def stepped(spec: EngineSpec, rows: Rows) -> tuple[Engine, Rows, Rows]:
    """Return an engine after all candles, its trades and its marks."""
    engine = Engine(spec)
    reports = [engine.step(rows[i : i + 97]) for i in range(0, len(rows), 97)]
    found = [join_rows([getattr(one, name) for one in reports]) for name in ("trades", "marks")]
    return engine, found[0], found[1]


def assert_lane_is_stepped(spec: EngineSpec, rows: Rows, lanes: Lanes, stops: Sequence[int] = ()) -> int:
    """Compare a lane with an engine that is stepped, at each stop and at the end; return how many trades closed."""
    engine, reached = lanes.engine(spec), []
    for ending in lanes.run(engine, stops):
        reached.append(len(ending.marks["equity"]))
        alone, trades, marks = stepped(spec, rows[: reached[-1]])
        assert engine.digest == alone.digest
        assert ending.trades.tobytes() == join_rows([trades, alone.open_trades()]).tobytes()
        for name, column in ending.marks.items():
            assert np.array_equal(column, marks[name]), name
        # What the strategy keeps is known at the end only; nobody asks before.
        for name in STATE if ending.is_over else set(STATE) - {"strategy_state"}:
            assert getattr(engine, name).tobytes() == getattr(alone, name).tobytes(), name
    assert reached == [*stops, len(rows)]
    return len(trades)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(sorted(RULES)),
    sizing=st.sampled_from(["risk", "fraction", "all_in", "kelly"]),
    is_perpetual=st.booleans(),
    latency=st.integers(0, 2),
    fee_rate=st.sampled_from([0.0, 0.002, 0.2]),  # the last one ruins
    timeframe=st.sampled_from(["1h", "4h"]),
    lot_size=st.sampled_from([0.0, 0.3, 1e6]),  # the last one refuses every entry
    has_gaps=st.booleans(),
    stops=st.lists(st.integers(1, N - 1), max_size=3),
)
def test_a_lane_is_the_account_that_is_stepped(
    seed: int,
    rule: str,
    sizing: str,
    is_perpetual: bool,
    latency: int,
    fee_rate: float,
    timeframe: str,
    lot_size: float,
    has_gaps: bool,
    stops: list[int],
) -> None:
    candles = random_candles(N, seed)
    if has_gaps:
        gaps = np.random.default_rng(seed).choice(N, 40, replace=False)
        candles["flag_bits"][gaps] = FLAG_ABSENT
    market = Market("A", is_perpetual=is_perpetual, taker_fee_rate=fee_rate, lot_size=lot_size)
    account = Settings(sizing, fixed_fraction=2.0, leverage_cap=3.0, latency_bars=latency)
    spec = EngineSpec([market], RULES[rule], timeframe, "1h", settings=account)
    assert is_lane(spec)
    lanes = Lanes(Reading(("A",), "1h", candles))

    n_trades = assert_lane_is_stepped(spec, candles, lanes, sorted(stops))
    if sizing == "all_in" and rule == "averages" and fee_rate < 0.1 and lot_size < 1.0:
        assert n_trades > 5
