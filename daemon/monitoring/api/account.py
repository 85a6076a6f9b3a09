"""What the API tells of the account: its markets, its models, why nothing was done, and where its journal stands."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.journal.attempts import ShadowRow, ShadowTotal
from papertape.daemon.journal.journal import NAME
from papertape.daemon.learning.calibration import Calibration, calibration_of
from papertape.daemon.monitoring.api.answers import (
    CalibrationView,
    JournalPosition,
    MarketInfo,
    Markets,
    RefusalCount,
    RefusalCounts,
    ShadowModel,
    ShadowView,
)
from papertape.daemon.monitoring.api.closes import SeenFeatures
from papertape.daemon.monitoring.api.queries import SpanQuery
from papertape.engine.broker.working.orders import CAUSE_NAMES, REFUSED
from papertape.engine.model.training.labels import SIGNAL
from papertape.engine.records import REFUSED_NAMES
from papertape.engine.spec import Market
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.report.data import curve_points

# What calibration is made of: an outcome is known by the predictions that came after. Each maximum by itself is a look at an index.
PREDICTED: Final = "SELECT (SELECT max(time_ms) FROM predictions), (SELECT max(rowid) FROM predictions)"

MOST_SHADOWS: Final = 50
SHADOW_STRETCHES: Final = 200  # of the curve of all models
# What shadow records are made of: they move with closes, and the model in force with swaps.
SHADOWED: Final = "SELECT (SELECT count(*) FROM shadows), (SELECT max(until_ms) FROM shadows), (SELECT max(sequence) FROM models)"


class ApiAccount(NamedTuple):
    """What the API tells of an account without asking anybody."""

    state: Path
    venue: str
    strategy: str
    timeframe_ms: int
    base_timeframe_ms: int
    capital: float
    markets: tuple[Market, ...]
    features: SeenFeatures = SeenFeatures()
    learning: LearningSettings | None = None  # of an account that uses models

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols in the engine's order."""
        return tuple(sorted(market.symbol for market in self.markets))


def markets_of(account: ApiAccount) -> Markets:
    """Return the markets of an account."""
    return Markets(
        venue=account.venue,
        strategy=account.strategy,
        timeframe_ms=account.timeframe_ms,
        base_timeframe_ms=account.base_timeframe_ms,
        markets=tuple(_market(market) for market in sorted(account.markets, key=lambda m: m.symbol)),
    )


def _market(market: Market) -> MarketInfo:
    known = {name: value for name, value in market.plain().items() if name in MarketInfo.model_fields}
    return MarketInfo(**known, is_read_only=market.read_only)


def refusals_of(journal: Journal, asked: SpanQuery) -> RefusalCounts:
    """Count decisions and orders that were refused, by reason."""
    span = (asked.from_ms or 0, 2**62 if asked.to_ms is None else asked.to_ms)
    found = [
        (what, code, count, newest_ms)
        for what, statement in (
            (
                "decision",
                "SELECT refused, count(*), max(time_ms) FROM decisions "
                "WHERE refused <> 0 AND time_ms >= ? AND time_ms < ? GROUP BY refused",
            ),
            (
                "order",
                f"SELECT cause, count(*), max(time_ms) FROM orders WHERE status = {REFUSED} "  # noqa: S608
                "AND time_ms >= ? AND time_ms < ? GROUP BY cause",
            ),
        )
        for code, count, newest_ms in journal.all(statement, *span)
    ]
    names = {**REFUSED_NAMES, **CAUSE_NAMES}
    counts = [
        RefusalCount(what=what, reason=names.get(code, str(code)), count=count, newest_ms=newest)
        for what, code, count, newest in found
    ]
    return RefusalCounts(refusals=tuple(sorted(counts, key=lambda each: -each.count)))


def calibration_view(journal: Journal, account: ApiAccount) -> CalibrationView:
    """Return what the models of an account said against what came."""
    if account.learning is None:
        found = Calibration(0, 0, None, [], [], "this account uses no model")
    else:
        found = calibration_of(journal, account.symbols, account.timeframe_ms, account.learning)
    return CalibrationView(**found._asdict())


def shadow_view(journal: Journal, account: ApiAccount) -> ShadowView:
    """Return what the models of an account would have earned; why there is nothing to tell, where that is so."""
    total = ShadowTotal.of(journal)
    policy = "" if account.learning is None else account.learning.policy
    if total is None:
        return ShadowView(reason=_why_nothing(account), policy=policy)
    rows = [ShadowRow(*row) for row in journal.all("SELECT * FROM shadows ORDER BY attempt")]
    swap = journal.one("SELECT version FROM models ORDER BY sequence DESC LIMIT 1")
    in_force = swap[0] if swap is not None else 0
    time_ms, returns = _joined(rows)
    return ShadowView(
        policy=policy,
        n_models=total.models,
        since_ms=rows[0].since_ms,
        until_ms=total.until_ms,
        trades=total.trades,
        net_return=total.net_return,
        time_ms=time_ms,
        total_return=returns,
        models=tuple(_model(row, in_force) for row in rows[: -MOST_SHADOWS - 1 : -1]),
    )


def _why_nothing(account: ApiAccount) -> str:
    if account.learning is None:
        return "this account uses no model"
    if account.learning.asks == SIGNAL:
        return "these models answer whether a signal pays, and the journal does not say the signals that were not taken"
    return "no model was trained yet, or none has seen a close since"


def _joined(rows: Sequence[ShadowRow]) -> tuple[list[int], list[float]]:
    """Return the curves of models as one, by time: the last trades of one end when the next one has begun."""
    curves = [np.array(json.loads(row.curve), np.float64).reshape(-1, 2) for row in rows]
    times = np.concatenate([curve[:, 0] for curve in curves])
    gains = np.concatenate([np.diff(curve[:, 1], prepend=0.0) for curve in curves])
    order = np.argsort(times, kind="stable")
    found = np.cumsum(gains[order])
    chosen = curve_points(found, SHADOW_STRETCHES)
    return times[order][chosen].astype(np.int64).tolist(), found[chosen].tolist()


def _model(row: ShadowRow, in_force: int) -> ShadowModel:
    values = {name: value for name, value in row._asdict().items() if name not in ("curve", "is_settled")}
    return ShadowModel(**values, is_in_force=row.version == in_force)


def position_of(journal: Journal) -> JournalPosition:
    """Return where the journal stands."""
    newest = journal.one("SELECT sequence, hash FROM inputs ORDER BY sequence DESC LIMIT 1")
    first = journal.first_sequence
    sequence, digest = newest if newest is not None else (first - 1, journal.hash_of(first - 1))
    return JournalPosition(
        sequence=sequence,
        hash=bytes(digest).hex(),
        first_sequence=first,
        last_candle_ms=journal.last_candle_ms(),
        created_ms=int(journal.meta("created_ms") or 0),
        snapshots=tuple(
            row[0] for row in journal.all("SELECT sequence FROM snapshots ORDER BY sequence DESC")
        ),
        size_bytes=(journal.path.parent / NAME).stat().st_size,
    )
