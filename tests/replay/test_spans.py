"""What of a tape is not replayed is said: dates beyond it, candles beyond the others, gaps that are skipped."""

import numpy as np
import pytest
from helpers import START_MS, random_candles

from papertape.engine.jit import Rows
from papertape.replay import backtest
from papertape.replay.tape import Tape

HOUR_MS = 3_600_000
QUICK = {"strategy": "ema_cross", "use_ml": False, "use_smc": False, "report": {"sensitivity": False}}  # fmt: skip


def tape(candles: Rows, symbol: str = "A") -> Tape:
    return Tape(candles, "a-spot", symbol, "1h", source="made in a test")


def said(tapes: list[Tape], **given: object) -> list[str]:
    return list(backtest(tapes=tapes, **QUICK, **given).summary["warnings"])  # type: ignore[arg-type]


def test_dates_beyond_the_tape_are_said_and_dates_within_are_not() -> None:
    candles = random_candles(100, 1)  # 2020-01-01 00:00 to 2020-01-05 03:00

    beyond = said([tape(candles)], start="2019-12-31", end="2020-01-06")
    within = said([tape(candles)], start="2020-01-01", end="2020-01-05 03:59")

    assert "A: data.start 2019-12-31 00:00 is before its first candle, 2020-01-01 00:00." in beyond
    assert (
        "A: data.end 2020-01-06 23:59:59.999 is after its last candle, 2020-01-05 03:00." in beyond
    )
    assert not [text for text in within if "data." in text]


@pytest.mark.parametrize("gaps", ["skip", "absent"])
def test_skipped_gaps_are_said_with_the_longest(gaps: str) -> None:
    keep = np.ones(100, bool)
    keep[10:14] = keep[50:57] = False
    candles = random_candles(100, 1)[keep]

    found = [text for text in said([tape(candles)], data={"gaps": gaps}) if "skip" in text]

    at = np.datetime64(START_MS + 49 * HOUR_MS, "ms").astype("datetime64[m]")
    expected = [
        "data.gaps = skip: 11 candles that no tape holds were passed over as if their time had not been, "
        f"the longest gap of 7 after {str(at).replace('T', ' ')}."
    ]
    assert found == (expected if gaps == "skip" else [])


def test_skipping_says_nothing_where_nothing_is_skipped() -> None:
    assert not [text for text in said([tape(random_candles(50, 1))], data={"gaps": "skip"}) if "skip" in text]  # fmt: skip
