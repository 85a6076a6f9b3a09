"""A replay's trades as placebos need them: where in the tape they were, and what share of the account they took."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from papertape.engine.performance.placebo import PlacedTrades, free_candles
from papertape.replay.tapes.store import Tape

if TYPE_CHECKING:
    import pandas as pd

_COSTS = ("fees", "spread", "slippage")


def placed_trades(trades: "pd.DataFrame", tapes: Sequence[Tape]) -> list[PlacedTrades]:
    """Return the trades of every symbol that has any; tapes: what was replayed."""
    legs = []
    for tape in tapes:
        chosen = trades[trades["symbol"] == tape.symbol]
        if not len(chosen):
            continue
        open_ms = np.ascontiguousarray(tape.candles["open_ms"])
        entry, exit_ = (
            np.searchsorted(
                open_ms, chosen[name].dt.tz_convert(None).to_numpy("datetime64[ms]").astype(np.int64), "right"
            )
            for name in ("entry_time", "exit_time")
        )
        equity = chosen["equity_before"].to_numpy(np.float64)
        side = np.where(chosen["side"] == "long", 1.0, -1.0)
        cost = chosen[list(_COSTS)].to_numpy(np.float64).sum(axis=1)
        earned = (chosen["pnl"] + chosen["funding"]).to_numpy(np.float64)
        legs.append(
            PlacedTrades(
                np.ascontiguousarray(tape.candles["open"]),
                np.maximum(exit_ - entry, 1).astype(np.int64),
                side * chosen["notional"].to_numpy(np.float64) / equity,
                cost / equity,
                earned / equity,
            )
        )
    return legs


def why_no_placebo(legs: Sequence[PlacedTrades]) -> str:
    """Return why there are no placebos of these trades, in words."""
    if any(free_candles(one) < 0 for one in legs):
        return "trades of one symbol overlap, so they do not fit one after the other"
    return "fewer than 2 trades"
