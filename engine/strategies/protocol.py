"""
What a strategy is.

A strategy names the features it reads and answers each closed candle of its timeframe with what it wants to hold.
Built-in strategies answer for a whole batch in a kernel; a user's own is a Python class with `decide(view)`, called
once per closed candle, on the same features, the same broker and the same ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from papertape.engine.jit import FloatArray, Row, Rows
from papertape.engine.records import KEEP


@runtime_checkable
class KernelStrategy(Protocol):
    """A strategy whose decisions are computed in a kernel, a whole batch at a time."""

    name: str
    state_dtype: np.dtype[Any]

    @property
    def features(self) -> Sequence[str]:
        """Return what it reads; the rows of the feature matrix are in this order."""
        ...

    def decide_batch(
        self, features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows
    ) -> None:
        """
        Write `n` decisions for one symbol.

        features   shape (n_columns, >= n), rows in the order of `self.features`; the last row is the model's
                   probability of a rise, NaN while no model has an opinion
        candles    CANDLE, the closed candles of the strategy's timeframe
        state      shape (1,), record of `state_dtype`, changed in place
        decisions  DECISION, every field of the first `n` rows must be written
        """
        ...


class Decision(NamedTuple):
    """What a Python strategy wants; distances are quote per base from the fill price, 0 = none."""

    target: int = KEEP
    stop_distance: float = 0.0
    target_distance: float = 0.0
    stop_price: float = 0.0
    target_price: float = 0.0
    confidence: float = 1.0
    size_scale: float = 1.0
    score_model: float = 0.0
    score_smc: float = 0.0
    score_technical: float = 0.0


@dataclass(slots=True)
class View:
    """
    What a strategy may see at the close of a candle: `view["rsi_14"]`, the candle, the position, its own state; and
    `view["model_probability"]`, the model's probability of a rise, NaN while no model has an opinion.

    position is signed, in base units; entry_price is 0 when flat; cash and equity are in quote; state is the
    strategy's own record for this symbol and is part of the engine's snapshot.
    """

    symbol: str
    time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    position: float
    entry_price: float
    cash: float
    equity: float
    state: Row
    columns: dict[str, int]
    values: FloatArray

    def __getitem__(self, feature: str) -> float:
        """Return a feature's value at this close; NaN while it warms up."""
        return float(self.values[self.columns[feature]])


@runtime_checkable
class Strategy(Protocol):
    """
    A user's strategy: `features` and `decide`. Optional: `state_fields`, names of float values kept per symbol.
    """

    @property
    def features(self) -> Sequence[str]:
        """Return what it reads."""
        ...

    def decide(self, view: View) -> Decision | None:
        """Return what to hold from the next base candle on; None keeps everything as it is."""
        ...
