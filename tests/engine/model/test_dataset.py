"""The rows to learn from: cut by time, columns by name, refused when they do not fit."""

from typing import Any

import numpy as np
import pytest

from papertape.engine.errors import DataError
from papertape.engine.model.dataset import Dataset

HOUR = 3_600_000


def rows(n: int = 10, n_symbols: int = 2) -> Dataset:
    prices = np.arange(float(n_symbols * n)).reshape(n_symbols, n) + 100.0
    x = np.stack([prices, -prices, 2.0 * prices], axis=2)
    return Dataset(
        ("BTCUSDT", "ETHUSDT")[:n_symbols],
        ("a", "b", "c"),
        "1h",
        HOUR * np.arange(1, n + 1),
        x,
        *(prices.copy() for _ in range(5)),
    )


def test_rows_are_cut_by_the_time_of_their_close() -> None:
    dataset = rows()

    assert dataset.until(4 * HOUR).time_ms.tolist() == [HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR]
    assert dataset.until(4 * HOUR - 1).x.shape == (2, 3, 3)
    later = dataset.between(4 * HOUR, 6 * HOUR)
    assert later.time_ms.tolist() == [5 * HOUR, 6 * HOUR]
    assert np.array_equal(later.close, dataset.close[:, 4:6])
    later.check()


def test_signals_are_cut_with_the_rows_and_have_no_other_side() -> None:
    sides = np.where(np.arange(20).reshape(2, 10) % 3 == 0, -1.0, 1.0)
    dataset = rows()._replace(side=sides)

    dataset.check()
    assert dataset.until(4 * HOUR).side is not None
    assert np.array_equal(dataset.between(4 * HOUR, 6 * HOUR).side, sides[:, 4:6])  # type: ignore[arg-type]
    assert rows().until(4 * HOUR).side is None
    for bad in (sides[:, :9], sides * 2.0, np.full((2, 10), np.nan)):
        with pytest.raises(DataError, match=r"side of shape .* is not \(2, 10\), each 1, −1 or 0"):
            dataset._replace(side=bad).check()


def test_inputs_come_in_the_order_of_their_names() -> None:
    dataset = rows()

    x = dataset.inputs(("c", "a"))

    assert np.array_equal(x[..., 0], 2.0 * dataset.close)
    assert np.array_equal(x[..., 1], dataset.close)


def test_unknown_input_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="input 'd' is no column of the rows"):
        rows().inputs(("a", "d"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"x": np.zeros((2, 10, 2))}, "x of type float64 and shape"),
        ({"close": np.zeros((2, 10), np.float32)}, "close of type float32"),
        ({"time_ms": HOUR * np.arange(10)[::-1]}, "not in the order of time"),
        ({"timeframe": "2m"}, "unknown timeframe"),
    ],
)
def test_rows_that_do_not_fit_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        rows()._replace(**change).check()


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="2 symbols and 0 closes are nothing to learn from"):
        rows().until(0).check()
