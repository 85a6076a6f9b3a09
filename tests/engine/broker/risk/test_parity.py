"""Parts by risk parity: by a closed form, beside an optimiser, and whatever the markets are called."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from papertape.engine.broker.account import RISK_DAYS
from papertape.engine.broker.risk.allocation import Allocation
from papertape.engine.broker.risk.parity import LEAST_DAYS
from papertape.engine.candles import DAY_MS, FLAG_UNLISTED
from papertape.engine.core import Engine
from papertape.engine.jit import FloatArray, Rows
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import EmaCross
from tests.support.helpers import FREE, START_MS, Outcome, interleave, make_candles, run_all

PER_DAY = 6  # candles of four hours
RULE = Allocation("risk_parity", rebalance_hours=24)


def tape(closes: FloatArray) -> Rows:
    """Return candles of four hours that open where the one before closed."""
    opens = np.append(closes[0], closes[:-1])
    rows = make_candles([(o, max(o, c), min(o, c), c) for o, c in zip(opens, closes, strict=True)])
    rows["open_ms"] = START_MS + np.arange(len(rows)) * (DAY_MS // PER_DAY)
    return rows


@cache
def walks(n: int, days: int, common: float = 0.5, seed: int = 5) -> tuple[Rows, ...]:
    """Return markets of volatilities from 1 to n that share a part of what moves them; the second one moves against it."""
    random = np.random.default_rng(seed)
    shared = random.normal(0.0, 0.004, days * PER_DAY)
    signs = [-1.0 if k == 1 else 1.0 for k in range(n)]
    return tuple(
        tape(100.0 * np.exp(np.cumsum((k + 1) * (common * signs[k] * shared + (1.0 - common) * random.normal(0.0, 0.004, days * PER_DAY)))))
        for k in range(n)
    )  # fmt: skip


def spec_of(symbols: str, rule: Allocation = RULE, **market: Any) -> EngineSpec:
    markets = [Market(symbol, **{**FREE, "is_perpetual": True, **market}) for symbol in symbols]
    settings = Settings("fraction", fixed_fraction=1.0, cash_share=1.0, leverage_cap=2.0)
    strategy = EmaCross(4, 15, allow_short=True)
    return EngineSpec(markets, strategy, "4h", "4h", settings=settings, allocation=rule)


def run(spec: EngineSpec, tapes: Any, batch: int | None = None) -> Outcome:
    return run_all(Engine(spec), interleave(list(tapes)), batch)


def shares(outcome: Outcome) -> list[float]:
    return outcome.engine.positions["share"].tolist()  # type: ignore[no-any-return]


def covariance(tapes: Any, days: int = RISK_DAYS) -> FloatArray:
    """Return the second moments of the newest daily returns, from the closes where UTC days end."""
    closes = np.stack([one["close"][PER_DAY - 1 :: PER_DAY] for one in tapes])
    returns = (closes[:, 1:] / closes[:, :-1] - 1.0)[:, -days:]
    assert returns.shape[1] == days
    return np.asarray(returns @ returns.T / days)


def equal_risk(moments: FloatArray) -> FloatArray:
    """Return the weights whose parts of the risk are equal, by an optimiser that knows nothing of coordinates."""
    scale = np.sqrt(np.diag(moments))
    scaled = moments / np.outer(scale, scale)

    def value(logs: FloatArray) -> tuple[float, FloatArray]:
        x = np.exp(logs)
        return 0.5 * x @ scaled @ x - logs.mean(), x * (scaled @ x) - 1.0 / len(x)

    found = scipy.optimize.minimize(
        value, np.zeros(len(scale)), jac=True, method="BFGS", options={"gtol": 1e-10}
    )
    weights = np.exp(found.x) / scale
    return np.asarray(weights / weights.sum())


def test_two_markets_get_the_inverse_of_their_deviations_however_they_move_together() -> None:
    for common in (0.0, 0.9):
        pair = walks(2, 90, common)
        deviations = np.sqrt(np.diag(covariance(pair)))

        expected = (1.0 / deviations) / (1.0 / deviations).sum()
        assert shares(run(spec_of("AB"), pair)) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("n", [3, 7])
def test_every_market_adds_as_much_to_the_risk_and_an_optimiser_says_the_same(n: int) -> None:
    tapes = walks(n, 100)

    found = np.array(shares(run(spec_of("ABCDEFG"[:n]), tapes)))

    moments = covariance(tapes)
    parts = found * (moments @ found)
    assert parts / parts.sum() == pytest.approx(1.0 / n, abs=1e-5)
    assert found == pytest.approx(equal_risk(moments), abs=5e-6)
    assert found.sum() == pytest.approx(1.0)
    # It is not what the volatilities alone say: the market that moves against the others gets more.
    inverse = 1.0 / np.sqrt(np.diag(moments))
    assert found[1] > 1.1 * inverse[1] / inverse.sum()


def test_markets_that_move_as_one_share_and_those_that_never_move_have_no_part() -> None:
    one, other = walks(2, 90)

    found = shares(run(spec_of("ABCD"), (one, other, one, tape(np.full(90 * PER_DAY, 100.0)))))

    assert found[0] == found[2]
    assert found[3] == 0.0
    moments = covariance((one, other, one))
    assert found[:3] == pytest.approx(equal_risk(moments + 1e-12 * np.eye(3)), abs=1e-4)


def test_before_enough_days_are_known_nobody_has_a_part_and_a_new_market_joins_by_its_own() -> None:
    tapes = walks(3, 100)
    late = tapes[2].copy()
    listed = 60 * PER_DAY  # whole days after the first candle
    late["flag_bits"][:listed] = FLAG_UNLISTED

    def after(days: int) -> list[float]:
        cut = days * PER_DAY
        return shares(run(spec_of("ABC"), (tapes[0][:cut], tapes[1][:cut], late[:cut])))

    # Days end 1 … `days` times; a return needs two ends.
    assert after(LEAST_DAYS) == [0.0, 0.0, 0.0]
    early = after(LEAST_DAYS + 1)
    cut = (LEAST_DAYS + 1) * PER_DAY
    two = [one[:cut] for one in tapes[:2]]
    assert early == pytest.approx([*equal_risk(covariance(two, LEAST_DAYS)), 0.0], abs=5e-6)
    assert after(60 + LEAST_DAYS)[2] == 0.0
    joined = [one[: (61 + LEAST_DAYS) * PER_DAY] for one in tapes]
    assert after(61 + LEAST_DAYS) == pytest.approx(equal_risk(covariance(joined, LEAST_DAYS)), abs=5e-6)


def test_parts_change_where_days_end_and_look_at_nothing_later() -> None:
    tapes = walks(3, 90)
    ends = [len(tapes[0]), len(tapes[0]) - 1, len(tapes[0]) - PER_DAY, len(tapes[0]) - PER_DAY - 1]

    whole, within, before, earlier = (shares(run(spec_of("ABC"), [t[:end] for t in tapes])) for end in ends)

    assert whole != within == before != earlier


def test_neither_names_nor_batches_nor_a_restart_change_anything() -> None:
    tapes = walks(3, 90)
    spec = spec_of("ABC", tick_size=0.01, lot_size=0.001, taker_fee_rate=0.0005)
    plain = run(spec, tapes)
    assert len(plain.trades) > 20

    turned = run(spec, (tapes[2], tapes[0], tapes[1]))
    fields = ["entry_ms", "exit_ms", "entry_price", "exit_price", "quantity", "fees", "pnl"]
    names = {"plain": (plain, "ABC"), "turned": (turned, "CAB")}
    told = [
        sorted((called[row["symbol"]], *(row[name] for name in fields)) for row in outcome.trades)
        for outcome, called in names.values()
    ]
    assert told[0] == told[1]

    candles = interleave(list(tapes))
    for cut, batch in ((700, 1), (1_101, 40)):
        before, after = Engine(spec), Engine(spec)
        run_all(before, candles[:cut], batch)
        after.restore(before.snapshot())
        run_all(after, candles[cut:], batch)
        assert after.digest == plain.engine.digest
        assert after.snapshot() == plain.engine.snapshot()


def test_a_symbol_that_is_only_read_has_no_part() -> None:
    tapes = walks(3, 90)
    spec = spec_of("AB")
    markets = [*spec.markets, replace(spec.markets[0], symbol="C", read_only=True)]

    found = shares(run(replace(spec, markets=markets), tapes))

    assert found == [*shares(run(spec, tapes[:2])), 0.0]
