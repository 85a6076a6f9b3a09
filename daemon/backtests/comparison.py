"""Two results beside one another, or a result and the live account: their metrics, and the keys that differ."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.daemon.backtests.answers import (
    BacktestComparison,
    ComparedChapter,
    ComparedMetric,
    ComparedSetting,
    ComparedSide,
)
from papertape.daemon.backtests.curves import Curve, compare_curves
from papertape.daemon.backtests.request import SET_ASIDE
from papertape.daemon.chapters.lineage import lineage_of
from papertape.daemon.journal import Journal
from papertape.daemon.journal.tables import TABLES
from papertape.engine.broker.ledger import units_per_quote
from papertape.engine.jit import IntArray, Rows
from papertape.engine.performance.curve import CurveColumns
from papertape.engine.performance.measure import measure
from papertape.replay.backtesting.figures import FIGURES
from papertape.replay.tapes.tables import at_minute

LIVE: Final = "live"
_MOST_SETTINGS: Final = 100
_MOST_CHAPTERS: Final = 50  # the newest
_PAGE: Final = 1_024  # trades that are held as rows of the journal
_CHARACTERS: Final = 300  # of one value
_KEY_FIGURES: Final = {metric: (label, kind) for label, metric, kind in FIGURES}
_NOT_THERE: Final = "it was not measured there"


class Side(NamedTuple):
    """
    One of the two.

    metrics    by name; None: undefined
    undefined  why, by name
    """

    about: ComparedSide
    metrics: Mapping[str, float | None]
    undefined: Mapping[str, str]
    config: Mapping[str, Any]
    curve: Curve


def side_of_result(number: int, summary: Mapping[str, Any], curve: Curve) -> Side:
    """Return a result as one side."""
    about = ComparedSide(
        source=str(number),
        name=summary["name"],
        digest=summary["digest"],
        start_ms=_ms(summary["start"]),
        end_ms=_ms(summary["end"]),
    )
    return Side(about, summary["metrics"], summary["undefined"], summary["config"], curve)


def side_of_account(journal: Journal, digest: str) -> Side:
    """
    Return the live account as one side, by the trades that have closed and its curve at multiples of five minutes.

    digest  of the running engine
    """
    lineage = lineage_of(journal).accounts
    account = lineage[-1]
    begun = lineage[1:]
    chapters = tuple(
        ComparedChapter(name=one.chapter, since_ms=one.since_ms) for one in begun[-_MOST_CHAPTERS:]
    )
    trades = read_trades(journal, account.symbols)
    time_ms, equity = read_marks(journal)
    config = account.config
    units = units_per_quote(config.account.decimals)
    marks = CurveColumns(units_per_quote=units, time_ms=time_ms, equity=equity)
    found = measure(trades, marks, config.account.capital, rf=config.report.risk_free_rate)
    about = ComparedSide(
        source=LIVE,
        name=config.report.name or config.strategy.name,
        digest=digest,
        start_ms=int(time_ms[0]) if len(time_ms) else None,
        end_ms=int(time_ms[-1]) if len(time_ms) else None,
        chapters=chapters,
        told=_of_several(chapters, len(begun) - len(chapters)),
    )
    worth = Curve(marks["time_ms"], marks["equity"] / units)
    return Side(about, found.metrics, found.undefined, config.recorded(), worth)


def _of_several(chapters: Sequence[ComparedChapter], n_earlier: int) -> str:
    """Return that figures are of several configurations, empty where there is one."""
    earlier = f"{n_earlier:,} earlier chapters, " if n_earlier else ""
    since = ", ".join(f"chapter {one.name!r} from {at_minute(one.since_ms)} on" for one in chapters)
    return (
        f"its curve and figures are of several configurations, {earlier}{since}; the keys that are compared are those of the newest"
        if since
        else ""
    )


def compare(first: Side, second: Side) -> BacktestComparison:
    """Return both sides' metrics, and the keys of the configuration that differ."""
    measured = {**first.metrics, **second.metrics}
    names = dict.fromkeys([*(name for name in _KEY_FIGURES if name in measured), *measured])
    differing = list(_differing(first.config, second.config))
    one, other = first.about, second.about
    return BacktestComparison(
        first=one,
        second=other,
        is_same_span=(one.start_ms, one.end_ms) == (other.start_ms, other.end_ms),
        curves=compare_curves(first.curve, second.curve),
        metrics=tuple(_metric(name, first, second) for name in names),
        settings=tuple(differing[:_MOST_SETTINGS]),
        more_settings=max(0, len(differing) - _MOST_SETTINGS),
    )


def _metric(name: str, first: Side, second: Side) -> ComparedMetric:
    """Return one metric of both; what is missing has its reason."""
    one, other = (side.metrics.get(name) for side in (first, second))
    reasons = [
        side.undefined.get(name, _NOT_THERE) if side.metrics.get(name) is None else ""
        for side in (first, second)
    ]
    label, kind = _KEY_FIGURES.get(name, ("", ""))
    return ComparedMetric(
        name=name,
        label=label,
        kind=kind,
        first=one,
        second=other,
        first_missing=reasons[0],
        second_missing=reasons[1],
        difference=None if one is None or other is None else other - one,
    )


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[ComparedSetting]:
    """Yield the keys that differ, of sections that a replay reads."""
    flat = [dict(_flat(config, "")) for config in (first, second)]
    for key in sorted({*flat[0], *flat[1]}):
        values = [json.dumps(each[key])[:_CHARACTERS] if key in each else "" for each in flat]
        if values[0] != values[1] and key.partition(".")[0] not in SET_ASIDE:
            yield ComparedSetting(key=key, first=values[0], second=values[1])


def _flat(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def read_marks(journal: Journal) -> tuple[IntArray, IntArray]:
    """Return time and equity of every mark, 16 bytes each: rows of the journal are never held as a list."""
    rows = journal.each("SELECT time_ms, equity FROM equity ORDER BY time_ms")
    found = np.fromiter(itertools.chain.from_iterable(rows), np.int64)
    return found[::2].copy(), found[1::2].copy()


def read_trades(journal: Journal, symbols: tuple[str, ...]) -> Rows:
    """Return the trades that have closed as records, a few of which at a time are rows of the journal."""
    table = next(table for table in TABLES if table.name == "trades")
    columns = ", ".join(f'"{field}"' for field in table.fields)
    (n,) = journal.one("SELECT count(*) FROM trades")
    found = np.zeros(n, table.record)
    # Whatever closes meanwhile has a later number.
    every = journal.each(f"SELECT {columns} FROM {table.name} ORDER BY {table.key}")  # noqa: S608 - of the list of tables
    rows = itertools.islice(every, n)
    number = {symbol: place for place, symbol in enumerate(symbols)}
    for start in range(0, n, _PAGE):
        page = list(itertools.islice(rows, _PAGE))
        part = found[start : start + len(page)]
        for field, column in zip(table.fields, zip(*page, strict=True), strict=True):
            if field == "symbol":
                part[field] = [number[value] for value in column]
            else:
                part[field] = [np.nan if value is None else value for value in column]
    return found


def _ms(text: str) -> int:
    """Return a time of result.json in ms."""
    return round(datetime.fromisoformat(text).timestamp() * 1000.0)
