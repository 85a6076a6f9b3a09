"""A part of a run: what an account did between two times, from the equity it had; and the changes that make a run end there."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.performance import Performance
from papertape.engine.performance.curve import units_of
from papertape.replay.backtesting.summary import Run, performance_of
from papertape.replay.config import Config

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def performance_between(
    config: Config, run: Run, start_ms: int, end_ms: int, closes: FloatArray | None = None
) -> Performance:
    """
    Return the metrics of what closes after `start_ms` and up to `end_ms`; a trade counts where it ends.

    What the account had at the start is the capital, so it has to be above zero there;
    closes: those of its feed, when they are at hand.
    """
    time_ms = run.marks["time_ms"]
    first, last = np.searchsorted(time_ms, (start_ms, end_ms), "right").tolist()
    capital = config.account.capital
    if first:
        capital = float(run.marks["equity"][first - 1]) / units_of(run.marks)
    assert capital > 0.0, "a part that begins in ruin has no metrics"
    exits = run.trades["exit_ms"]
    part = replace(
        run, trades=run.trades[(exits >= start_ms) & (exits < end_ms)], marks=run.marks.between(first, last)
    )
    begun = config.account.model_copy(update={"capital": capital})
    found: Mapping[str, object] = {"account": begun}
    whole = run.feed.closes() if closes is None else closes
    return performance_of(config.model_copy(update=dict(found)), part, whole[first:last])


def span(start_ms: int, end_ms: int) -> dict[str, str]:
    """Return the changes that let a run see candles which open from a time on and before another."""
    return {"data.start": moment(start_ms), "data.end": moment(end_ms - 1)}


def moment(time_ms: int) -> str:
    """Return a time as a configuration takes it."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat()
