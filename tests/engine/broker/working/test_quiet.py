"""Instants that only mark are what the whole order of an instant makes of them: beside a second market none is passed over."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.core import Engine
from papertape.engine.jit import Rows
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import BracketW2, EmaCross
from tests.support.helpers import interleave, random_candles

N = 700
BESIDE = random_candles(N, 9)
STATE = ("account", "positions", "trades", "orders")


def outcome(spec: EngineSpec, rows: Rows, batch: int) -> dict[str, bytes]:
    """Return every record of a run, and the state of its first symbol at the end."""
    engine = Engine(spec)
    size = batch * len(spec.markets)
    reports = [engine.step(rows[i : i + size]) for i in range(0, len(rows), size)]
    tables = ("decisions", "fills", "trades", "marks")
    said = {name: np.concatenate([getattr(report, name) for report in reports]).tobytes() for name in tables}
    return said | {f"{name} at the end": getattr(engine, name)[:1].tobytes() for name in STATE}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(["averages", "both sides", "bracket"]),
    sizing=st.sampled_from(["risk", "fraction", "all_in", "kelly"]),
    leverage=st.sampled_from([0.0, 3.0, 20.0]),
    latency=st.integers(0, 2),
    batch=st.sampled_from([1, 97, N]),
)
def test_passing_over_quiet_instants_changes_no_byte(
    seed: int, rule: str, sizing: str, leverage: float, latency: int, batch: int
) -> None:
    candles = random_candles(N, seed)
    candles["flag_bits"][np.random.default_rng(seed).choice(N, 40, replace=False)] = 2  # absent
    strategy: Any = BracketW2() if rule == "bracket" else EmaCross(3, 8, rule == "both sides")
    markets = [Market("A", is_perpetual=leverage > 0.0, leverage=leverage, taker_fee_rate=0.002)]
    account = Settings(sizing, fixed_fraction=2.0, leverage_cap=3.0, latency_bars=latency)

    alone = outcome(EngineSpec(markets, strategy, "1h", "1h", settings=account), candles, batch)

    markets = [*markets, Market("ZZZ", read_only=True)]
    beside = EngineSpec(markets, strategy, "1h", "1h", settings=account)
    assert outcome(beside, interleave([candles, BESIDE]), N) == alone
