"""The life cycle of an order: the table of legal steps, and nothing else."""

from itertools import product

import numpy as np
import pytest

from papertape.engine.broker.working.orders import (
    CANCELLED,
    EXPIRED,
    FILLED,
    FREE,
    PLACED,
    REFUSED,
    TRIGGERED,
    WORKING,
    WORKING_ORDER,
    step_to,
    tag_code,
    tag_text,
)
from papertape.engine.errors import InvariantError

STATES = (FREE, PLACED, WORKING, TRIGGERED, FILLED, CANCELLED, EXPIRED, REFUSED)
# As the module's picture draws it.
LEGAL = {
    (FREE, PLACED), (FREE, REFUSED), (PLACED, WORKING), (PLACED, CANCELLED), (PLACED, EXPIRED),
    (WORKING, TRIGGERED), (WORKING, FILLED), (WORKING, CANCELLED), (WORKING, EXPIRED),
    (TRIGGERED, FILLED), (TRIGGERED, CANCELLED), (TRIGGERED, EXPIRED),
    (FILLED, FREE), (CANCELLED, FREE), (EXPIRED, FREE), (REFUSED, FREE),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(product(STATES, STATES)))
def test_an_order_takes_the_steps_of_its_life_cycle_and_no_other(before: int, after: int) -> None:
    orders = np.zeros(1, WORKING_ORDER)
    orders["status"] = before
    if (before, after) in LEGAL:
        step_to(orders[0], after)
        assert orders["status"][0] == after
        return
    with pytest.raises(InvariantError, match="a step that its life cycle does not have"):
        step_to(orders[0], after)


@pytest.mark.parametrize("tag", ["", "a", "tp1", "trailing", "~!09 Az"])
def test_a_tag_comes_back_from_its_number(tag: str) -> None:
    assert tag_text(tag_code(tag)) == tag
    assert 0 <= tag_code(tag) < 2**63
