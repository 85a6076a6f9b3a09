"""One trial as the ledger keeps it."""

import json
import math
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from papertape.engine.performance.ratios import DAYS_PER_YEAR
from papertape.replay.backtesting.result import Result
from papertape.replay.config import Config
from papertape.replay.research.trials.identity import code_digest, configuration_digest, trial_digest
from papertape.replay.research.trials.returns import compact_returns


class TrialEntry(NamedTuple):
    """
    One trial.

    kind           replay | sweep | optimize | walkforward | learn-study | holdout
    tapes          (symbol, hash) of all that were replayed, at least one
    configuration  its digest; code: that of the code that decided; digest: of every decision and fill
    metrics        by name, those that are defined
    returns        in the compact form
    time_ms        when it was tried
    """

    kind: str
    strategy: str
    tapes: Sequence[tuple[str, str]]
    configuration: str
    code: str
    digest: str
    metrics: Mapping[str, float]
    returns: str
    time_ms: int

    @property
    def trial(self) -> str:
        """Return what makes it another trial than others: its configuration and its tapes."""
        return trial_digest(self.configuration, [tape for _, tape in self.tapes])

    @property
    def daily_sharpe(self) -> float | None:
        """Return the Sharpe ratio per day."""
        annual = self.metrics.get("sharpe")
        return None if annual is None else annual / math.sqrt(DAYS_PER_YEAR)

    @property
    def days(self) -> int | None:
        """Return how many daily returns that is of."""
        days = self.metrics.get("days")
        return None if days is None else int(days)


def entry_of(
    kind: str, config: Config, result: Result, models: Sequence[tuple[int, bytes]] = ()
) -> TrialEntry:
    """Return a finished replay as the ledger keeps it; models: those it was given in place of training its own."""
    return TrialEntry(
        kind,
        config.strategy.name,
        [(tape["symbol"], tape["sha256"]) for tape in result.summary["tapes"]],
        configuration_digest(config, models),
        code_digest(config),
        result.digest,
        defined(result.metrics),
        compact_returns(result.marks, config.account.capital),
        now_ms(),
    )


def row_values(body: bytes) -> dict[str, Any]:
    """Return what a row of the ledger says, a trial's or a note's."""
    values: dict[str, Any] = json.loads(zlib.decompress(body))
    return values


def entry_of_row(values: Mapping[str, Any]) -> TrialEntry:
    """Return the trial of a row."""
    return TrialEntry(**{**values, "tapes": tuple((symbol, tape) for symbol, tape in values["tapes"])})


def defined(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """Return the metrics that have a value."""
    return {name: value for name, value in metrics.items() if value is not None}


def now_ms() -> int:
    """Return the wall's time."""
    return time.time_ns() // 1_000_000
