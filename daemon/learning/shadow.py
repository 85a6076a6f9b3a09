"""
What trained models would have earned, whether they trade or not: the shadow record of a running daemon.

Made of what the journal keeps of each close, by the functions that measure a replay's challengers: every model on the rows from
when it was due until the next one was, none of which it had seen. Nothing is carried along from candle to candle, so a kill leaves
nothing to be made good, and the same candles give the same record in a replay. What lies further back than closes are kept is
told as it was found then.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.journal.attempts import ShadowRow
from papertape.daemon.journal.closes import MOST_CLOSES, PRICES, STORED
from papertape.engine.jit import FloatArray
from papertape.engine.model.artefact import Artefact, read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.inference.current import MODEL_ATR
from papertape.engine.model.inference.recent import RECENT
from papertape.engine.model.training.labels import SIGNAL
from papertape.replay.learning.evidence import (
    PaperRecord,
    PaperTrade,
    opinions,
    outcomes,
    paper_trades,
    scores_of,
)
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.report.data import curve_points

MOST_MODELS: Final = 10  # that are measured at one time; what is settled is not measured again
STRETCHES: Final = 60  # of a model's curve

ReadModel = Callable[[int], bytes]


class Followed(NamedTuple):
    """A model that was trained: its attempt, and when it was due and the next one was; None: it is the newest."""

    attempt: int
    version: int
    due_ms: int
    end_ms: int | None
    majority: float


def unsettled(journal: Journal) -> list[Followed]:
    """Return the newest models whose record may still change, oldest first."""
    rows = journal.all(
        "SELECT id, attempts.version, due_ms, json_extract(gate, '$.majority'), is_settled FROM attempts "
        "LEFT JOIN shadows ON attempt = id WHERE attempts.version > 0 ORDER BY id DESC LIMIT ?",
        MOST_MODELS,
    )
    found: list[Followed] = []
    end_ms: int | None = None
    for number, version, due_ms, majority, is_settled in rows:
        if not is_settled:
            share = float("nan") if majority is None else float(majority)
            found.append(Followed(number, version, due_ms, end_ms, share))
        end_ms = due_ms
    return found[::-1]


def shadow_records(
    journal: Journal, symbols: Sequence[str], length_ms: int, settings: LearningSettings, read: ReadModel
) -> list[ShadowRow]:
    """
    Return the records of the models that are not settled, as far as the journal's closes tell them.

    symbols    that models are asked about, in the engine's order; length_ms: of the strategy's timeframe
    read       a version's artefact, or DataError where the store has lost it

    A model that reads what is not computed any more is left out, and so is one of which closes are missing by now.
    Raises DataError where the store has lost a model.
    """
    if settings.asks == SIGNAL:
        return []
    columns = json.loads(journal.meta("close_columns") or "[]")
    models = [(each, read_artefact(read(each.version))) for each in unsettled(journal)]
    models = [(each, made) for each, made in models if set(made.record.inputs) <= set(columns)]
    if not models or MODEL_ATR not in columns:
        return []
    names = tuple(dict.fromkeys(name for _, made in models for name in made.record.inputs))
    after_ms = models[0][0].due_ms - RECENT * length_ms
    rows = seen_rows(journal, symbols, names, settings.timeframe, length_ms, after_ms)
    if not len(rows.time_ms):
        return []
    first_ms = _first_whole(journal, length_ms)
    return [
        _record(rows, made, each, settings, length_ms)
        for each, made in models
        if each.due_ms - RECENT * length_ms >= first_ms and rows.time_ms[-1] > each.due_ms
    ]


def _first_whole(journal: Journal, length_ms: int) -> int:
    """Return the time from which on all closes are there that ever were: 0 while none was let go of."""
    oldest_ms, newest_ms = journal.one("SELECT min(time_ms), max(time_ms) FROM closes")
    is_cut = newest_ms - oldest_ms >= (MOST_CLOSES - RECENT) * length_ms
    return int(oldest_ms) if is_cut else 0


def _record(
    rows: Dataset, artefact: Artefact, model: Followed, settings: LearningSettings, length_ms: int
) -> ShadowRow:
    """Return what a model said on its rows, against what came of it."""
    seen = rows if model.end_ms is None else rows.until(model.end_ms)
    chosen = slice(int(np.searchsorted(seen.time_ms, model.due_ms, "right")), len(seen.time_ms))
    said = opinions(artefact, seen, model.due_ms)[:, chosen]
    followed = outcomes(rows, settings)
    mine = followed.between(chosen)
    trades = paper_trades(followed, said, chosen.start, settings)
    told = scores_of(mine, {"model": said}, model.majority)
    reached_ms = int(rows.time_ms[-1])
    is_over = model.end_ms is not None
    is_known = np.isfinite(mine.y) & np.isfinite(said)
    is_late = rows.time_ms[chosen] > reached_ms - settings.horizon_bars * length_ms
    record = PaperRecord.of(trades)
    return ShadowRow(
        attempt=model.attempt,
        version=model.version,
        since_ms=model.due_ms,
        until_ms=int(seen.time_ms[-1]),
        rows=int(is_known.sum()),
        waiting=int((np.isfinite(said) & ~is_known & is_late).sum()),
        trades=record.trades,
        net_return=record.net_return,
        log_loss=told["model"]["log_loss"] if told else None,
        majority_log_loss=told["majority"]["log_loss"] if told else None,
        is_settled=int(is_over and reached_ms >= seen.time_ms[-1] + settings.horizon_bars * length_ms),
        curve=json.dumps(_curve(trades, rows)),
    )


def _curve(trades: Sequence[PaperTrade], rows: Dataset) -> list[list[float]]:
    """Return [close, sum of gains that were known by then] of some trades, thinned with its true lowest and highest."""
    ended = sorted(trades, key=lambda trade: (trade.known, trade.symbol))
    totals = np.cumsum([trade.gain for trade in ended])
    return [
        [int(rows.time_ms[ended[place].known]), float(totals[place])]
        for place in curve_points(totals, STRETCHES).tolist()
    ]


def seen_rows(
    journal: Journal,
    symbols: Sequence[str],
    columns: tuple[str, ...],
    timeframe: str,
    length_ms: int,
    after_ms: int,
) -> Dataset:
    """
    Return what an engine saw at its closes after a time, as models learn from it; NaN where a candle was absent.

    columns  of features, all of which the journal has
    """
    told = json.loads(journal.meta("close_columns") or "[]")
    places = [told.index(name) for name in (*columns, MODEL_ATR)]
    span = journal.one("SELECT min(time_ms), max(time_ms) FROM closes WHERE time_ms > ?", after_ms)
    first_ms, last_ms = span if span[0] is not None else (0, -length_ms)
    n = (last_ms - first_ms) // length_ms + 1
    parts = list(_symbol_rows(journal, symbols, places, len(told), first_ms, length_ms, n))
    grid = np.stack(parts)
    open_, high, low, close = (np.ascontiguousarray(grid[:, :, place]) for place in range(len(PRICES)))
    return Dataset(
        symbols=tuple(symbols),
        columns=columns,
        timeframe=timeframe,
        time_ms=first_ms + length_ms * np.arange(n, dtype=np.int64),
        x=np.ascontiguousarray(grid[:, :, len(PRICES) : -1]),
        open=open_,
        high=high,
        low=low,
        close=close,
        atr=np.ascontiguousarray(grid[:, :, -1]),
    )


def _symbol_rows(
    journal: Journal,
    symbols: Sequence[str],
    places: list[int],
    n_columns: int,
    first_ms: int,
    length_ms: int,
    n: int,
) -> Iterator[FloatArray]:
    """Yield prices and chosen features of each symbol on a grid of closes, (n, n_prices + n_chosen)."""
    for symbol in symbols:
        found = journal.all(
            "SELECT time_ms, features, open, high, low, close FROM closes "
            "WHERE symbol = ? AND time_ms >= ? AND features IS NOT NULL ORDER BY time_ms",
            symbol,
            first_ms,
        )
        grid = np.full((n, len(PRICES) + len(places)), np.nan)
        at = (np.array([row[0] for row in found], np.int64) - first_ms) // length_ms
        blocks = np.frombuffer(b"".join(row[1] for row in found), STORED)
        kept = at < n  # a close that came while this was read is for the next time
        grid[at[kept], len(PRICES) :] = blocks.reshape(len(found), n_columns)[:, places][kept]
        grid[at[kept], : len(PRICES)] = np.array([row[2:] for row in found], np.float64).reshape(
            len(found), len(PRICES)
        )[kept]
        yield grid


__all__ = ["ShadowRow", "seen_rows", "shadow_records", "unsettled"]
