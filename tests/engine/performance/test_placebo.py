"""Placebos of a strategy: each the same trades at other times, all times as likely, and a plan that knows nothing is one of them."""

from collections import Counter

import numpy as np
import pytest

from papertape.engine.performance.placebo import PlacedTrades, placebo_returns, placebo_test


def placed(opens: list[float], held: list[int], weight: list[float], own: list[float]) -> PlacedTrades:
    return PlacedTrades(
        np.array(opens), np.array(held, np.int64), np.array(weight), np.full(len(held), 0.001), np.array(own)
    )


def test_every_placement_is_drawn_and_earns_what_its_opens_say() -> None:
    """
    Two trades of 2 and 1 candles among 6 opens leave 2 candles free: in either order the waits can be (0,0), (0,1), (0,2),
    (1,1), (1,2) or (2,2), each pair by its chance among 9 ordered draws; the returns are worked out beside it.
    """
    opens = [100.0, 110.0, 99.0, 105.0, 120.0, 90.0]
    one = placed(opens, [2, 1], [0.5, -1.0], [0.0, 0.0])
    expected: Counter[tuple[float, float]] = Counter()
    for first, second in (((2, 0.5), (1, -1.0)), ((1, -1.0), (2, 0.5))):
        for a in range(3):
            for b in range(3):
                at = [min(a, b), max(a, b) + first[0]]
                pair = tuple(
                    round(weight * (opens[start + held] / opens[start] - 1.0) - 0.001, 9)
                    for start, (held, weight) in zip(at, (first, second), strict=True)
                )
                expected[pair] += 1

    drawn = placebo_returns(one, 18_000, np.random.default_rng(3))
    found = Counter(tuple(round(float(value), 9) for value in row) for row in drawn)

    assert set(found) == set(expected)
    for pair, count in expected.items():  # four standard errors of a count of 1,000 per chance in 18
        assert found[pair] == pytest.approx(1_000 * count, abs=4.0 * np.sqrt(1_000 * count))


def test_whoever_knows_when_stands_above_and_whoever_does_not_among_them() -> None:
    generator = np.random.default_rng(1)
    shares = []
    for seed in range(40):
        opens = 100.0 * np.exp(np.cumsum(generator.normal(0.0, 0.01, 2_000)))
        starts = np.arange(50) * 40 + generator.integers(0, 30, 50)
        side = generator.choice([-1.0, 1.0], 50)
        moves = opens[starts + 5] / opens[starts] - 1.0
        for knows in (False, True):
            weight = np.where(moves > 0.0, 1.0, -1.0) if knows else side
            one = PlacedTrades(opens, np.full(50, 5), weight, np.zeros(50), weight * moves)
            test = placebo_test([one], 300, seed)
            assert test is not None
            if knows:
                assert (test.percentile, test.probability) == (1.0, 1.0 / 301.0)
                assert test.own == pytest.approx(np.prod(1.0 + np.abs(moves)) - 1.0)
            else:
                shares.append(test.percentile)
    assert np.mean(shares) == pytest.approx(0.5, abs=4.0 * np.sqrt(1.0 / 12.0 / 40.0))
    assert np.std(shares) == pytest.approx(
        np.sqrt(1.0 / 12.0), rel=0.35
    )  # uniform, as a test's share has to be


def test_where_there_are_none_and_a_seed() -> None:
    ten = list(np.linspace(100.0, 110.0, 11))
    fits = placed(ten, [5, 5], [1.0, -1.0], [0.1, 0.0])

    assert (
        placebo_test([placed(ten, [6, 5], [1.0, 1.0], [0.1, 0.0])], 10, 1) is None
    )  # one after the other: 11 of 10
    assert placebo_test([placed(ten, [2], [1.0], [0.1])], 10, 1) is None
    assert placebo_test([], 10, 1) is None
    assert placebo_test([fits, fits], 300, 1) == placebo_test([fits, fits], 300, 1)
    found = placebo_test([fits], 300, 1)
    assert found is not None
    assert found.low <= found.middle <= found.high
