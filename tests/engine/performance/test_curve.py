"""Marks by column are the records' own values, in whatever pieces they come and whichever columns are kept."""

import numpy as np
import pytest

from papertape.engine.performance import curve
from papertape.engine.performance.curve import Collector, CurveColumns, rows_of
from papertape.engine.records import MARK

NAMES = MARK.names or ()
ROWS = 1_000


def marks() -> np.ndarray:
    rows = np.zeros(ROWS, MARK)
    draw = np.random.default_rng(3)
    for name in NAMES:
        rows[name] = (
            draw.integers(0, 9, ROWS)
            if name == "open_positions"
            else draw.integers(-(1 << 60), 1 << 60, ROWS)
        )
    return rows


@pytest.mark.parametrize("names", [NAMES, ("equity",), ("equity", "exposure", "open_positions")])
@pytest.mark.parametrize("expected", [0, ROWS, 90])
def test_columns_are_those_of_the_records(
    names: tuple[str, ...], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve, "_BLOCK_ROWS", 128)
    rows, start = marks(), 0
    collector = Collector(names, expected)
    for n in (1, 0, 127, 2, 300, 570):
        collector.add(rows[start : start + n])
        start += n

    found = collector.columns()

    assert start == ROWS
    assert tuple(found) == tuple(names)
    for name in names:
        assert np.array_equal(found[name], rows[name]), name
    if names == NAMES:
        assert rows_of(CurveColumns(**found)).tobytes() == rows.tobytes()
