"""What models would have said of rows, and what followed them: the evidence of the gate and of a replay's shadow scores."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.artefact import Artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.gate.gate import Evidence, GateOptions, PlainRule
from papertape.engine.model.inference.current import read_rows
from papertape.engine.model.inference.recent import RECENT
from papertape.engine.model.scores import scores, spread_over_seeds
from papertape.engine.model.training.labels import SIGNAL
from papertape.engine.model.training.prepare import labels_of
from papertape.engine.strategies.own_signals import even_chance
from papertape.replay.learning.settings import LearningSettings


class RowOutcomes(NamedTuple):
    """What followed each row, shape (n_symbols, n); NaN where it is not known within the rows."""

    y: FloatArray
    long_return: FloatArray
    short_return: FloatArray
    known: Any

    def between(self, chosen: slice) -> "RowOutcomes":
        """Return those of some rows; what was known of them stays known."""
        return RowOutcomes(*(values[:, chosen] for values in self))


def outcomes(rows: Dataset, settings: LearningSettings) -> RowOutcomes:
    """Return what followed each row as far as these rows tell: cut them first, and nothing later is looked at."""
    found = [labels_of(rows, symbol, settings) for symbol in range(len(rows.symbols))]
    return RowOutcomes(
        np.stack([labels.y for labels in found]),
        np.stack([labels.long_return for labels in found]),
        np.stack([labels.short_return for labels in found]),
        np.stack([labels.known for labels in found]),
    )


def opinions(artefact: Artefact, rows: Dataset, after_ms: int) -> FloatArray:
    """
    Return a model's probability at every close after a time, shape (n_symbols, n), NaN up to it.

    The model is warmed up as the engine does it when it takes over then: with the newest RECENT rows, from a zero state.
    Of one that is asked about signals nothing counts where there is none; where nobody knows them, all that it says is told.
    """
    start = int(np.searchsorted(rows.time_ms, after_ms, "right"))
    first = max(start - RECENT, 0)
    columns = [rows.columns.index(name) for name in artefact.record.inputs]
    said = np.full(rows.open.shape, np.nan)
    for number, symbol in enumerate(rows.symbols):
        read = np.ascontiguousarray(rows.x[number, first:, columns].T)
        probabilities, _ = read_rows(artefact, symbol, read)
        said[number, start:] = probabilities[start - first :]
    if artefact.record.asks == SIGNAL and rows.side is not None:
        said[rows.side == 0.0] = np.nan
    return said


def evidence(
    followed: RowOutcomes, said: Mapping[str, FloatArray], majority: float, settings: LearningSettings
) -> Evidence:
    """Return rows of all symbols in the order of time, as the gate takes them."""
    n_symbols, n = followed.y.shape
    return Evidence(
        bar=np.repeat(np.arange(n), n_symbols),
        y=_stacked(followed.y),
        long_return=_stacked(followed.long_return),
        short_return=_stacked(followed.short_return),
        probabilities={name: _stacked(values) for name, values in said.items()},
        majority=majority,
        cost=settings.cost,
        horizon_bars=settings.horizon_bars,
        rule=rule_of(settings),
    )


def rule_of(settings: LearningSettings) -> PlainRule:
    """Return how the gate's plain rule and the shadow record act on what a model says."""
    if settings.asks != SIGNAL:
        return PlainRule()
    return PlainRule(even_chance(settings.stop_atr, settings.target_atr), is_about_signal=True)


class PaperTrade(NamedTuple):
    """
    A trade that nobody made.

    row    at whose close a model leaned to it, and symbol, as numbers; known: row at whose close its end is known
    gain   of one unit staked, after costs
    """

    row: int
    symbol: int
    known: int
    gain: float


class PaperRecord(NamedTuple):
    """
    What a model would have done that nobody let trade: how many trades, the sum of their returns after costs.

    Returns are fractions of one unit staked on each.
    """

    trades: int = 0
    net_return: float = 0.0

    @classmethod
    def of(cls, trades: Sequence[PaperTrade]) -> "PaperRecord":
        """Return what some trades come to, added up in their order."""
        total = 0.0
        for trade in trades:
            total += trade.gain
        return cls(len(trades), total)

    def to_json(self) -> dict[str, float]:
        """Return plain values, as they stand beside a model's scores."""
        return {"paper_trades": self.trades, "paper_return": self.net_return}


def paper_trades(
    followed: RowOutcomes, said: FloatArray, first: int, settings: LearningSettings
) -> list[PaperTrade]:
    """
    Return what a model would have done on rows that it had not seen, symbol by symbol.

    followed  of all rows; said: probabilities (n_symbols, n) of those from row `first` on

    The gate's plain rule, one position a symbol: it goes to the side that a probability leans to by the gate's edge, or takes
    the signal that it lets through, keeps what became of it, and looks again once that is known.
    """
    found, n = [], said.shape[1]
    rows = followed.between(slice(first, first + n))
    for symbol, (known, long, short, p) in enumerate(
        zip(rows.known, rows.long_return, rows.short_return, said, strict=True)
    ):
        side = rule_of(settings).sides(p, GateOptions().edge)
        leans = (side != 0.0) & np.isfinite(long) & np.isfinite(short)
        free = 0
        for row in np.flatnonzero(leans).tolist():
            if row >= free:
                gain = float(long[row] if side[row] > 0.0 else short[row]) - settings.cost
                found.append(PaperTrade(first + row, symbol, int(known[row]), gain))
                free = int(known[row]) - first
    return found


def paper_record(
    followed: RowOutcomes, said: FloatArray, first: int, settings: LearningSettings
) -> PaperRecord:
    """Return the shadow record of a model: its paper trades together."""
    return PaperRecord.of(paper_trades(followed, said, first, settings))


def seeds_of(artefact: Artefact, rows: Dataset, followed: RowOutcomes, chosen: slice) -> dict[str, float]:
    """
    Return how far the members of an ensemble are apart on rows that it had not seen; nothing of a single model.

    rows     with what came before the chosen ones, so that members are warmed up as the ensemble is
    followed of all rows
    """
    if artefact.record.members == 1 or chosen.start >= len(rows.time_ms):
        return {}
    after_ms = int(rows.time_ms[chosen.start]) - 1
    y = followed.y[:, chosen]
    each = [
        opinions(artefact.member(number), rows, after_ms)[:, chosen]
        for number in range(artefact.record.members)
    ]
    is_judged = np.isfinite(y) & np.isfinite(each[0])
    if not is_judged.any():
        return {}
    return spread_over_seeds(y[is_judged], np.stack([p[is_judged] for p in each]))


def scores_of(
    followed: RowOutcomes, said: Mapping[str, FloatArray], majority: FloatArray | float
) -> dict[str, Any]:
    """
    Return the scores of every contender on the rows where all have an opinion and the outcome is known.

    majority  the share of rises that was known when the models were trained, at every row or for all
    """
    everybody = {**said, "majority": np.broadcast_to(majority, followed.y.shape)}
    chosen = np.isfinite(followed.y)
    for values in everybody.values():
        chosen = chosen & np.isfinite(values)
    if not chosen.any():
        return {}
    return {
        name: dict(scores(followed.y[chosen], values[chosen])._asdict()) for name, values in everybody.items()
    }


def _stacked(values: FloatArray) -> FloatArray:
    return np.ascontiguousarray(values.T).reshape(-1)
