"""What a step says. Sinks read it; nothing reaches back."""

from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from papertape.engine.features.smc import EVENT
from papertape.engine.jit import Rows
from papertape.engine.records import PREDICTION

_NO_PREDICTIONS: Final = np.zeros(0, PREDICTION)  # of every step without a model


@dataclass(slots=True)
class Report:
    """
    Everything that happened in one step, in order.

    candles      how many rows the step took
    decisions    DECISION records: what strategies asked for, and what was refused
    fills        FILL records
    trades       TRADE records of trades that closed
    marks        MARK records, the account at the close of every instant
    payments     PAYMENT records: funding of open positions
    swaps        SWAP records: models that took over
    events       EVENT records of market structure, if the engine was asked for them
    predictions  PREDICTION records: what the model in force said, by close and symbol
    """

    candles: int
    decisions: Rows
    fills: Rows
    trades: Rows
    marks: Rows
    payments: Rows
    swaps: Rows
    events: Rows = field(default_factory=lambda: np.zeros(0, EVENT))
    predictions: Rows = field(default_factory=lambda: _NO_PREDICTIONS)


class Sink(Protocol):
    """Something that reads reports."""

    def __call__(self, report: Report) -> None:
        """Take in one report."""
        ...
