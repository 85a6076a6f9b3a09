"""Bets on unseen rows: fair while nothing can be known, by a second implementation, and never on what is known later."""

import itertools
import math

import numpy as np
import pytest

from papertape.engine.errors import DataError
from papertape.engine.model.gate.bets import BetOptions, Unseen, bet, unit_stake

H = 3


def rows(seed: int, n: int = 120, n_symbols: int = 1, since: int = 20, horizon: int = H) -> Unseen:
    random = np.random.default_rng(seed)
    p = random.uniform(0.2, 0.8, n * n_symbols)
    y = random.choice([0.0, 0.5, 1.0], n * n_symbols)
    y[random.random(len(y)) < 0.1] = np.nan
    p[random.random(len(p)) < 0.1] = np.nan
    bar = np.repeat(np.arange(n), n_symbols)
    return Unseen(bar, np.tile(np.arange(n_symbols), n), y, p, since, n - 1, horizon)


def by_hand(unseen: Unseen, options: BetOptions) -> list[tuple[int, list[float]]]:
    """Return each block's end and factors, one row after the other, as the docstring says it."""
    h, found, start = unseen.horizon_bars, [], unseen.since_bar
    n_symbols = int(unseen.symbol.max()) + 1
    table = list(zip(*(getattr(unseen, n).tolist() for n in ("bar", "symbol", "y", "p")), strict=True))
    while start + h <= unseen.end_bar:
        stop = min(start + round(options.block_horizons * h), unseen.end_bar - h + 1)
        factors = []
        for stake in options.stakes:
            unit = stake * unit_stake(h, n_symbols)
            factor, risked = 1.0, 0.0
            for bar, symbol, y, p in table:
                if not start <= bar < stop or math.isnan(p):
                    continue
                known = [r[2] for r in table if r[1] == symbol and r[0] + h <= start and r[2] == r[2]]
                rate = min(max((sum(known) + 10.0) / (len(known) + 20.0), 0.2), 0.8)
                middle, count = p, 0.0
                for said in (r[3] for r in table if r[1] == symbol and r[0] < bar and r[3] == r[3]):
                    count = min(count + 1.0, options.middle_horizons * h)
                    middle = said if count == 1.0 else middle + (said - middle) / count
                tilt = min(max(p - middle, -0.25), 0.25)
                worst = abs(tilt) * max(rate, 1.0 - rate) / (rate * (1.0 - rate))
                own = min(unit, max(options.most - risked, 0.0) / worst) if worst else unit
                risked += own * worst
                if not math.isnan(y):
                    factor += own * tilt * (y - rate) / (rate * (1.0 - rate))
            factors.append(factor)
        found.append((stop - 1 + h, factors))
        start = stop - 1 + h
    return found


@pytest.mark.parametrize("n_symbols", [1, 2])
def test_blocks_are_those_of_a_plain_loop(n_symbols: int) -> None:
    options = BetOptions(middle_horizons=5.0, most=0.5, stakes=(2.0, 0.3))
    unseen = rows(1, n_symbols=n_symbols)
    found = bet(unseen, options)

    expected = by_hand(unseen, options)
    assert found.known_bar.tolist() == [end for end, _ in expected]
    np.testing.assert_allclose(found.factors, [factors for _, factors in expected], rtol=1e-12)
    assert found.factors.min() >= 1.0 - options.most


@pytest.mark.parametrize("outcomes", [(0.0, 1.0), (0.0, 0.5, 1.0)])
def test_a_block_is_fair_when_rises_are_as_frequent_as_falls(outcomes: tuple[float, ...]) -> None:
    # Without history the base rate is one half: over all outcomes of a block of coins the mean factor is 1.
    n, said = 5, np.random.default_rng(2).uniform(0.1, 0.9, 5)
    factors = [
        bet(Unseen(np.arange(n), np.zeros(n, int), np.array(y), said, 0, n, 1), BetOptions(float(n)))
        for y in itertools.product(outcomes, repeat=n)
    ]

    assert {len(found.rows) for found in factors} == {1}
    np.testing.assert_allclose(np.mean([f.factors[0] for f in factors], axis=0), 1.0, rtol=1e-12)


def test_the_next_block_begins_when_the_last_label_is_known() -> None:
    # 30 closes from 20 on, horizon 3, blocks of 12: rows 20 … 31, known at 34; 34 … 45, known at 48; 48 has no label in time.
    unseen = rows(3, n=50)
    found = bet(unseen)
    assert found.known_bar.tolist() == [34, 48]

    # What lies between two blocks, or has no outcome by the newest close, pays nothing.
    y = unseen.y.copy()
    y[[32, 33, 46, 47, 48, 49]] = 1.0 - y[[32, 33, 46, 47, 48, 49]]
    other = bet(unseen._replace(y=y))
    assert other.factors[:1].tolist() == found.factors[:1].tolist()
    assert other.factors[1:].tolist() == found.factors[1:].tolist()


def test_a_model_that_always_says_the_same_bets_nothing() -> None:
    unseen = rows(4)
    found = bet(unseen._replace(p=np.full(len(unseen.p), 0.7)))

    assert found.factors.tolist() == np.ones_like(found.factors).tolist()


def test_the_unit_is_one_without_overlap_and_smaller_with_it() -> None:
    assert unit_stake(1, 1) == 1.0
    # Two bars share half their variance: asin(1/2) = π/6, so 1 + 2 · (2/π)(π/6) · e^(−1/4).
    assert unit_stake(2, 1) == pytest.approx(1.0 / (1.0 + 2.0 / 3.0 * math.exp(-0.25)))
    assert unit_stake(2, 3) == pytest.approx(unit_stake(2, 1) / 2.0)


def test_rows_without_a_whole_horizon_are_no_block() -> None:
    assert len(bet(rows(5, n=22)).rows) == 0
    assert len(bet(rows(5, n=24)).rows) == 1
    nothing = np.zeros(0)
    assert len(bet(Unseen(nothing.astype(int), nothing.astype(int), nothing, nothing, 5, 4, 1)).rows) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bar": np.array([0, 1, 1])}, "or one is there twice"),
        ({"bar": np.array([0, 2, 1])}, "not in the order of close and symbol"),
        ({"y": np.array([0.0, 0.4, 1.0])}, "neither 0, 1, one half nor unknown"),
        ({"p": np.array([0.5, 1.5, 0.5])}, "not between 0 and 1"),
        ({"p": np.array([0.5])}, r"p of shape \(1,\) does not fit 3 rows"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(changes: dict[str, object], words: str) -> None:
    three = Unseen(np.arange(3), np.zeros(3, int), np.ones(3), np.full(3, 0.5), 0, 2, 1)
    with pytest.raises(DataError, match=words):
        bet(three._replace(**changes))
