"""What of a tape is not replayed is said: dates beyond it, candles beyond the others, gaps that are skipped."""

import numpy as np
import pytest

from papertape.engine.jit import Rows
from papertape.replay.backtesting.run import run_backtest
from papertape.replay.backtesting.spans import common_span_sentences
from papertape.replay.config import Data, load_config
from papertape.replay.tapes.store import Tape
from tests.support.helpers import START_MS, random_candles

HOUR_MS = 3_600_000
QUICK = ["strategy.name=ema_cross", "signals.use_ml=false", "report.sensitivity=false"]


def tape(candles: Rows, symbol: str = "A") -> Tape:
    return Tape(candles, "a-spot", symbol, "1h", source="made in a test")


def said(tapes: list[Tape], *changes: str) -> list[str]:
    return list(run_backtest(load_config(None, [*QUICK, *changes]), tapes).summary["warnings"])


def test_dates_beyond_the_tape_are_said_and_dates_within_are_not() -> None:
    candles = random_candles(100, 1)  # 2020-01-01 00:00 to 2020-01-05 03:00

    beyond = said([tape(candles)], "data.start=2019-12-31", "data.end=2020-01-06")
    within = said([tape(candles)], "data.start=2020-01-01", "data.end=2020-01-05 03:59")

    assert "A: data.start 2019-12-31 00:00 is before its first candle, 2020-01-01 00:00." in beyond
    assert "A: data.end 2020-01-06 23:59:59.999 is after its last candle, 2020-01-05 03:00." in beyond
    assert not [text for text in within if "data." in text]


@pytest.mark.parametrize("gaps", ["skip", "absent"])
def test_skipped_gaps_are_said_with_the_longest(gaps: str) -> None:
    keep = np.ones(100, bool)
    keep[10:14] = keep[50:57] = False
    candles = random_candles(100, 1)[keep]

    found = [text for text in said([tape(candles)], f"data.gaps={gaps}") if "skip" in text]

    at = np.datetime64(START_MS + 49 * HOUR_MS, "ms").astype("datetime64[m]")
    expected = [
        "data.gaps = skip: 11 candles that no tape holds were passed over as if their time had not been, "
        f"the longest gap of 7 after {str(at).replace('T', ' ')}."
    ]
    assert found == (expected if gaps == "skip" else [])


def test_skipping_says_nothing_where_nothing_is_skipped() -> None:
    assert not [text for text in said([tape(random_candles(50, 1))], "data.gaps=skip") if "skip" in text]


def test_who_takes_part_later_or_leaves_earlier_is_said_and_all_is_replayed() -> None:
    """A hundred hours and their last ten as one portfolio: a hundred instants of two."""
    long, late = random_candles(100, 1), random_candles(100, 2)[90:]

    found = run_backtest(load_config(None, QUICK), [tape(long, "LONG"), tape(late[:6], "LATE")])

    assert found.summary["candles"] == 200
    assert found.summary["start"] == "2020-01-01T00:00:00Z"
    assert found.summary["end"] == "2020-01-05T04:00:00Z"
    assert [text for text in found.summary["warnings"] if "takes part" in text] == [
        "LATE takes part from its first to its last candle, 2020-01-04 18:00 … 2020-01-04 23:00; what is held "
        "then is closed at that close."
    ]


def test_of_several_tapes_a_date_is_told_where_no_tape_reaches() -> None:
    """LATE takes part from its first to its last candle, and that is said once."""
    long, late = random_candles(100, 1), random_candles(100, 2)[90:96]

    found = said([tape(long, "LONG"), tape(late, "LATE")], "data.start=2019-12-31", "data.end=2020-01-06")

    assert [text.partition(" is ")[0] for text in found if "data." in text] == [
        "LONG: data.start 2019-12-31 00:00",
        "LONG: data.end 2020-01-06 23:59:59.999",
    ]
    assert len([text for text in found if text.startswith("LATE")]) == 1


def test_a_daemon_on_the_local_exchange_is_told_what_of_each_tape_it_will_not_see() -> None:
    """Hours 0 … 99 and 30 … 79: the second is whole, of the first 30 before and 20 after are left out."""
    long, short = random_candles(100, 1), random_candles(100, 2)[30:80]

    said = common_span_sentences(Data(), [tape(long, "A"), tape(short, "B")])

    assert said == [
        "A takes part in what all tapes share alone, 2020-01-02 06:00 … 2020-01-04 07:00; 50 candles of it beyond that, "
        "2020-01-01 00:00 … 2020-01-02 05:00 and 2020-01-04 08:00 … 2020-01-05 03:00, are not streamed."
    ]
    assert common_span_sentences(Data(), [tape(long, "A"), tape(random_candles(100, 2), "B")]) == []
    assert common_span_sentences(Data(end="2020-01-06"), [tape(long)]) == [
        "A: data.end 2020-01-06 23:59:59.999 is after its last candle, 2020-01-05 03:00."
    ]
