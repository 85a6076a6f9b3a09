"""What the API tells of the account: its markets, why nothing was done, and where its journal stands."""

from pathlib import Path
from typing import Final, NamedTuple

from papertape.daemon.journal import Journal
from papertape.daemon.journal.journal import NAME
from papertape.daemon.learning.calibration import Calibration, calibration_of
from papertape.daemon.monitoring.api.answers import (
    CalibrationView,
    JournalPosition,
    MarketInfo,
    Markets,
    ModelScores,
    RefusalCount,
    RefusalCounts,
    ReliabilityBucket,
)
from papertape.daemon.monitoring.api.closes import SeenFeatures
from papertape.daemon.monitoring.api.queries import SpanQuery
from papertape.engine.broker.working.orders import CAUSE_NAMES, REFUSED
from papertape.engine.records import REFUSED_NAMES
from papertape.engine.spec import Market
from papertape.replay.learning.settings import LearningSettings

# What calibration is made of: an outcome is known by the predictions that came after. Each maximum by itself is a look at an index.
PREDICTED: Final = (
    "SELECT (SELECT max(time_ms) FROM predictions), (SELECT max(rowid) FROM predictions)"
)


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
        markets=tuple(
            _market(market) for market in sorted(account.markets, key=lambda m: m.symbol)
        ),
    )


def _market(market: Market) -> MarketInfo:
    names = (
        "symbol", "is_perpetual", "contract_value", "tick_size", "lot_size", "minimum_size", "minimum_notional",
        "taker_fee_rate", "maker_fee_rate", "leverage",
    )  # fmt: skip
    return MarketInfo(
        **{name: getattr(market, name) for name in names}, is_read_only=market.read_only
    )


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
    return CalibrationView(
        reason=found.reason,
        since_ms=found.since_ms,
        waiting=found.waiting,
        unknown=found.unknown,
        buckets=tuple(ReliabilityBucket(**each) for each in found.buckets),
        versions=tuple(ModelScores(**each) for each in found.versions),
    )


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
