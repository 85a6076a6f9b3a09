"""The broker for several symbols against a slow one in exact decimals: the same fills, one by one."""

from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.risk.allocation import Allocation
from papertape.engine.candles import HOUR_MS
from papertape.engine.records import FLAT, LONG, REASON_RUIN, SHORT
from papertape.engine.spec import Settings
from papertape.engine.strategies import Decision
from tests.oracles.portfolio_oracle import Oracle
from tests.support.helpers import random_candles
from tests.support.portfolios import Portfolio, run


def mixture(seed: int, n: int = 150) -> Portfolio:
    """Return a seeded portfolio of two to four markets with costs, grids, gaps, funding and orders at random."""
    random = np.random.default_rng(seed)
    symbols = ["A", "B", "C", "D"][: int(random.integers(2, 5))]
    is_perpetual = bool(random.integers(2))
    sizing = str(random.choice(["risk", "fraction", "all_in"]))
    scales = [1.0] if sizing == "all_in" else [0.5, 1.0]  # a share of all-in is refused
    stops = [0.337, 0.994, 2.0] if sizing == "risk" else [0.0, 0.994, 2.0]
    tapes, markets, script = {}, {}, {}
    for number, symbol in enumerate(symbols):
        tapes[symbol] = random_candles(n, 100 * seed + number)
        for price in ("open", "high", "low", "close"):
            tapes[symbol][price] = np.round(tapes[symbol][price], 2)  # decimals, as tapes have them
        tapes[symbol]["flag_bits"][random.choice(np.arange(1, n), 6, replace=False)] = 2
        has_grid = bool(random.integers(2))
        markets[symbol] = {
            "is_perpetual": is_perpetual,
            "tick_size": 0.01 if has_grid else 0.0,
            "lot_size": 0.001 if has_grid else 0.0,
            "minimum_notional": float(random.choice([0.0, 3_000.0])),
            "taker_fee_rate": float(random.choice([0.0, 0.0005])),
            "half_spread_rate": float(random.choice([0.0, 0.00005])),
            "slippage_rate": float(random.choice([0.0, 0.0001])),
            "maximum_leverage": float(random.choice([0.0, 2.0])),
        }
        for k in random.choice(n, n // 3, replace=False):
            script[symbol, int(k)] = Decision(
                int(random.choice([SHORT, FLAT, LONG, LONG])),
                stop_distance=float(random.choice(stops)),
                target_distance=float(random.choice([0.0, 1.0, 2.718])),
                size_scale=float(random.choice(scales)),
            )
    settings = Settings(
        sizing,
        risk_fraction=0.02,
        fixed_fraction=0.7,
        leverage_cap=float(random.choice([1.0, 3.0, 40.0])),
        latency_bars=int(random.integers(2)),
    )
    funding = tuple((symbols[0], int(k), 0.0004) for k in range(7, n, 24)) if is_perpetual else ()
    return Portfolio(tapes, markets, settings, script, funding)


def assert_near(found: Any, wanted: list[float], relative: float, absolute: float = 1e-12) -> None:
    """Hold a column against another as pytest.approx would, all at once."""
    expected = np.array(wanted)
    assert found.shape == expected.shape
    is_near = np.abs(found - expected) <= np.maximum(relative * np.abs(expected), absolute)
    assert is_near.all(), (found[~is_near], expected[~is_near])


def compared(seed: int, **allocation: Any) -> tuple[int, int]:
    """Compare one run with the oracle; return how many fills, and how many of them of a ruin."""
    portfolio = mixture(seed)._replace(allocation=Allocation(**allocation))
    _, outcome = run(portfolio, batch=(1, 7, 1_000)[seed % 3])
    oracle = Oracle(portfolio, seed).run()
    symbols = list(portfolio.tapes)
    start_ms = int(portfolio.tapes["A"]["open_ms"][0])
    theirs = sorted(enumerate(oracle.fills), key=lambda one: (one[1].candle, one[1].symbol, one[0]))
    place = outcome.fills["symbol"]
    ours = outcome.fills[np.lexsort((outcome.fills["sequence"], place, outcome.fills["candle_ms"]))]

    assert len(ours) == len(theirs)
    columns = (ours[name].tolist() for name in ("candle_ms", "symbol", "side", "reason"))
    for (candle_ms, symbol, side, reason), (_, want) in zip(zip(*columns, strict=True), theirs, strict=True):
        assert ((candle_ms - start_ms) // HOUR_MS, symbols[symbol], side, reason) == want[:4]
    prices, quantities = (
        [float(getattr(want, name)) for _, want in theirs] for name in ("price", "quantity")
    )
    assert_near(ours["price"], prices, 1e-13)
    # money has nine decimals, which an account that is nearly ruined feels
    assert_near(ours["quantity"], quantities, 1e-9, 1e-8)
    assert_near(outcome.marks["equity"] / 1e9, [float(x) for x in oracle.equity], 1e-9, 1e-6)
    return len(ours), int(np.count_nonzero(ours["reason"] == REASON_RUIN))


def test_no_fill_differs_from_the_exact_broker() -> None:
    counts = [compared(seed) for seed in (*range(8), 1_034)]

    assert sum(n for n, _ in counts) > 400
    assert sum(ruins for _, ruins in counts) > 0


@pytest.mark.parametrize(
    "parts", [{"allocation": "equal"}, {"allocation": "shares", "shares": {"A": 0.5, "B": 0.3}}]
)
def test_no_fill_with_parts_of_the_account_differs_from_the_exact_broker(parts: dict[str, Any]) -> None:
    counts = [compared(seed, **parts)[0] for seed in range(20, 26)]

    assert sum(counts) > 200


@pytest.mark.slow
def test_no_fill_of_many_runs_differs_from_the_exact_broker() -> None:
    counts = [compared(seed) for seed in range(1_000, 1_600)]

    assert sum(n for n, _ in counts) > 20_000
    assert sum(ruins for _, ruins in counts) > 10
