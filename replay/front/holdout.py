"""`hold_out`: candles locked for every search, to be read once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from papertape.engine.errors import DataError
from papertape.replay.config import Config, make_config
from papertape.replay.front.data import Data, tapes_of
from papertape.replay.research.trials.holdout import Holdout, lock_holdout
from papertape.replay.tapes.store import time_ms


def hold_out(
    start: Any,
    data: Data = None,
    *,
    symbol: str | Sequence[str] | None = None,
    venue: str | None = None,
    store: str | Path | None = None,
) -> Holdout:
    """
    Lock the candles of one tape from a time on: no search and no replay reads them, but one `backtest(..., holdout=True)`.

    start  a date or a time in UTC; data, symbol, venue, store: the tape, as `backtest` takes it

    The lock is for good, and a row of the trial ledger. Raises DataError with one sentence for what cannot be locked.
    """
    config: Config = make_config({} if store is None else {"data": {"store": str(store)}}, "hold_out")
    found = tapes_of(data, config, symbol, venue)
    if len(found) != 1:
        raise DataError(f"hold_out: {len(found)} tapes; lock one at a time")
    return lock_holdout(found[0], time_ms(start))
