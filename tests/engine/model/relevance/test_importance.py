"""Importance of groups of inputs, against every order of their blocks that leaves none in its place and makes one round of all."""

from itertools import permutations

import numpy as np
import pytest

from papertape.engine.model.relevance.importance import importance, moved_blocks, newest, rises

BLOCK, N_BLOCKS = 2, 4
X = np.array([-2.0, -1.0, 0.5, 1.5, -0.5, 1.0, 2.0, -1.5])
Y = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0])
MASK = np.ones((1, 8), bool)
TWICE = np.stack([X, X, np.roll(X, 3)], axis=1)[None]  # the same thing twice, and something else


def mean_of(_: int, rows: np.ndarray) -> np.ndarray:
    """Return what a model says that reads both copies alike, and nothing else."""
    return 1.0 / (1.0 + np.exp(-1.5 * (rows[:, 0] + rows[:, 1])))


def loss(rows: np.ndarray) -> np.ndarray:
    p = mean_of(0, rows)
    return -np.log(np.where(Y == 1.0, p, 1.0 - p))


def expected(group: tuple[int, ...]) -> np.ndarray:
    """Return the mean rise of every row over all six rounds of the four blocks."""
    each = []
    for rest in permutations(range(1, N_BLOCKS)):
        ring = (0, *rest)
        order = [ring[ring.index(block) - 1] for block in range(N_BLOCKS)]
        places = [BLOCK * block + i for block in order for i in range(BLOCK)]
        moved = TWICE[0].copy()
        for column in group:
            moved[:, column] = TWICE[0][places, column]
        each.append(loss(moved) - loss(TWICE[0]))
    return np.mean(each, axis=0)


def test_a_groups_worth_is_the_mean_over_all_orders_in_which_its_columns_go_together() -> None:
    groups = ((0, 1), (0,), (2,))
    y = Y[None]

    found = rises(mean_of, TWICE, y, MASK, groups, BLOCK, 7, 4_000)

    assert found.shape == (3, 1, 8)
    # The standard error of 4,000 orders of rises within some 6 nats is below 0.05.
    assert found[0, 0] == pytest.approx(expected((0, 1)), abs=0.15)
    assert found[1, 0] == pytest.approx(expected((0,)), abs=0.15)
    assert (found[2] == 0.0).all()  # what is not read is worth nothing, to the bit
    assert (
        rises(mean_of, TWICE, y, MASK, groups, BLOCK, 7, 5)
        == rises(mean_of, TWICE, y, MASK, groups, BLOCK, 7, 5)
    ).all()


def test_copies_of_an_input_are_worth_nothing_alone_and_much_together() -> None:
    copies = np.stack([X, X, X], axis=1)[None]

    def median_of(_: int, rows: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-3.0 * np.median(rows, axis=1)))

    alone = importance(median_of, copies, Y[None], MASK, BLOCK, 7, 20)
    together = rises(median_of, copies, Y[None], MASK, ((0, 1, 2),), BLOCK, 7, 20)

    # The median of two copies and anything else is the copies.
    assert (alone == 0.0).all()
    assert together.mean() > 0.5


def test_rows_that_are_not_judged_have_no_worth_and_give_none() -> None:
    mask = MASK.copy()
    mask[0, :4] = False

    found = rises(mean_of, TWICE, Y[None], mask, ((0, 1),), BLOCK, 7, 50)

    assert np.isnan(found[0, 0, :4]).all()
    # Two blocks are left, and each is told from the other's place.
    swapped = TWICE[0].copy()
    swapped[4:] = TWICE[0][[6, 7, 4, 5]]
    whole = loss(swapped) - loss(TWICE[0])
    assert found[0, 0, 4:] == pytest.approx(whole[4:], rel=1e-9)


@pytest.mark.parametrize(("n", "block"), [(4, 2), (11, 2), (47, 24), (48, 24), (200, 24), (9, 1)])
def test_every_row_is_told_from_a_place_at_least_a_block_away(n: int, block: int) -> None:
    for seed in range(30):
        away = moved_blocks(n, block, np.random.default_rng(seed)) - np.arange(n)
        n_blocks = n // block
        # Whole blocks go together, and what is left over goes with the last one.
        first = away[: n_blocks * block : block]
        assert (away == first[np.minimum(np.arange(n) // block, n_blocks - 1)]).all()
        assert (away % block == 0).all()
        # Following the blocks from place to place comes by all of them: with one block nothing moves.
        at, seen = 0, set()
        while at not in seen:
            seen.add(at)
            at += int(first[at]) // block
        assert seen == set(range(n_blocks))


@pytest.mark.parametrize(("block", "judged"), [(24, 1_000), (125, 1_000), (300, 2_400)])
def test_the_newest_rows_are_judged_and_at_least_eight_blocks(block: int, judged: int) -> None:
    mask = np.ones((2, 3_000), bool)
    mask[1, 700:] = False

    found = newest(mask, block)

    assert (found.sum(axis=1) == [judged, 700]).all()
    assert found[0, -judged:].all()
    assert found[1, :700].all()
    x = np.random.default_rng(1).normal(size=(2, 3_000, 1))
    read = lambda _, rows: 1.0 / (1.0 + np.exp(-rows[:, 0]))  # noqa: E731
    told = rises(read, x, (x[..., 0] > 0.0).astype(float), mask, ((0,),), block, 7, 1)
    assert (np.isfinite(told[0]) == found).all()
    assert np.nanmean(told[0, 0]) > 0.1
