"""The rows of the conformance table as every engine is handed them, and our own answers."""

from functools import cache
from typing import Final

from tests.bench.conformance.rows import MINUTE_MS, Fills, Row, together
from tests.engine.broker.working.test_conformance import SITUATIONS, Situation, candles_of, engine_of


@cache
def ours() -> dict[str, Fills]:
    """Return our fills of every row, by title."""
    return {one.title: fills_of(one) for one in SITUATIONS}


def fills_of(situation: Situation) -> Fills:
    """Return our fills of a situation."""
    report = engine_of(situation).step(candles_of(situation))
    return together(
        [
            (
                int(row["candle_ms"]) // MINUTE_MS + 1,
                float(row["side"] * row["quantity"]),
                float(row["price"]),
            )
            for row in report.fills
        ]
    )


ROWS: Final = [Row(one.title, one.options, one.candles, one.asked) for one in SITUATIONS]
