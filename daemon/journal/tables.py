"""
What the engine reported, as tables: one column per field of the record, symbols by name, everything else as it is.

A row names the input that it came from, so that recovery can take back what it is about to step again. Tables follow
the records: when an engine has other fields, its tables are made anew and filled by stepping the inputs again. Money
stays in the account's unit, 1e-9 quote unless it counts coarser ones; the views `…_quote` show quote and UTC times, `trade_tags` which orders opened and closed trades.

Of the marks, one per base candle, only those at a multiple of five minutes are kept: 105,000 rows a year. Of market
structure the kinds that a chart draws are, as far back as closes are: what became known in the newest MOST_CLOSES candles of a symbol.

Statements here are put together from names in this file, never from what a user or a venue wrote (S608).
"""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.daemon.journal.closes import MOST_CLOSES, SeenClose, write_closes
from papertape.engine.broker.working.orders import ORDER_EVENT
from papertape.engine.candles import MINUTE_MS
from papertape.engine.features.smc.events import EVENT, SCALE_HTF
from papertape.engine.jit import Rows
from papertape.engine.records import (
    CHANGE,
    DECISION,
    FILL,
    LIMIT_EVENT,
    MARK,
    PAYMENT,
    PREDICTION,
    SWAP,
    TRADE,
    UNITS_PER_QUOTE,
)
from papertape.engine.report import Report
from papertape.replay.report.structure import DRAWN_KINDS

EQUITY_EVERY_MS: Final = 5 * MINUTE_MS

MONEY: Final = frozenset({
    "notional", "fee", "fees", "slippage", "spread", "realised", "cash", "pnl", "funding", "risk", "equity_before",
    "pnl_optimistic", "equity", "exposure", "amount",
})  # fmt: skip


# How many units of the account are one quote; an account with the usual unit says nothing.
UNITS: Final = (
    f"coalesce((SELECT CAST(value AS REAL) FROM meta WHERE key = 'units_per_quote'), {UNITS_PER_QUOTE!r})"  # noqa: S608
)


class ReportTable(NamedTuple):
    """
    One stream of a report and where it is kept.

    stream  field of Report
    key     columns that name a row and give the order, joined by a comma
    """

    name: str
    stream: str
    key: str
    record: np.dtype[Any]

    @property
    def key_places(self) -> tuple[int, ...]:
        """Return where the columns of the key stand in a row."""
        return tuple(self.fields.index(name) for name in self.key.split(", "))

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the record's fields."""
        assert self.record.names is not None
        return self.record.names

    def columns(self) -> dict[str, str]:
        """Return the columns and their types."""
        kinds = {name: _sql_type(name, self.record[name]) for name in self.fields}
        return {"input": "INTEGER", **kinds}

    def statement(self) -> str:
        """Return what creates the table."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind in self.columns().items())
        return f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({self.key}))"

    def view(self) -> str:
        """Return what creates the view in quote and UTC."""
        shown = []
        for name in self.columns():
            column = f'"{name}"'
            if name in MONEY and self.record[name] == np.int64:
                column = f'"{name}" / {UNITS} AS "{name}"'
            elif name.endswith("_ms"):
                column = (
                    f"strftime('%Y-%m-%dT%H:%M:%SZ', \"{name}\" / 1000, 'unixepoch')"
                    f' AS "{name.removesuffix("_ms")}_time"'
                )
            shown.append(column)
        columns = ", ".join(shown)
        return f"CREATE VIEW {self.name}_quote AS SELECT {columns} FROM {self.name}"  # noqa: S608


TABLES: Final = (
    ReportTable("decisions", "decisions", "sequence", DECISION),
    ReportTable("fills", "fills", "sequence", FILL),
    ReportTable("trades", "trades", "number", TRADE),
    ReportTable("orders", "orders", "sequence", ORDER_EVENT),
    ReportTable("limits", "limits", "sequence", LIMIT_EVENT),
    ReportTable("payments", "payments", "sequence", PAYMENT),
    ReportTable("changes", "changes", "sequence", CHANGE),
    ReportTable("models", "swaps", "sequence", SWAP),
    ReportTable("equity", "marks", "time_ms", MARK),
    ReportTable("predictions", "predictions", "time_ms, symbol", PREDICTION),
    ReportTable("events", "events", "symbol, timeframe_ms, sequence", EVENT),
)


# What a chart asks for: a window's structure, and what ended it.
_INDEXES: Final = {
    "events_by_time": "events (known_ms, symbol, timeframe_ms, sequence)",
    "events_by_candle": "events (symbol, bar)",
    "events_by_known": "events (symbol, timeframe_ms, known_ms)",  # what is let go of is found by it
}


def _tag_text(column: str) -> str:
    """Return what makes text of a tag's number (`papertape.engine.broker.working.orders.tag_text`)."""
    letters = (f"{column} >> {8 * place} & 255" for place in range(8))
    return " || ".join(f"CASE WHEN {code} THEN char({code}) ELSE '' END" for code in letters)


# The tags of the orders that opened and closed every trade, empty where no order with a tag did.
TRADE_TAGS: Final = f"""
SELECT trade AS number, ifnull({_tag_text("opened.tag")}, '') AS entry_tag, ifnull({_tag_text("closed.tag")}, '') AS exit_tag
FROM (SELECT trade, min(sequence) AS first, max(CASE WHEN position = 0 THEN sequence END) AS last FROM fills GROUP BY trade)
LEFT JOIN orders AS opened ON opened.fill = first AND opened.number > 0
LEFT JOIN orders AS closed ON closed.fill = last AND closed.number > 0
"""  # noqa: S608


# What each chapter of the account came to, and what was before the first. Equity is that of the newest kept mark before it
# begins and before the next one does, so results add up; money in the account's unit.
CHAPTER_FIGURES: Final = f"""
WITH begun AS (
    SELECT 0 AS input, (SELECT min(time_ms) FROM equity) AS begins_ms, '' AS name, '' AS positions, '{{}}' AS changes
    UNION ALL SELECT input, time_ms, name, positions, changes FROM chapters
), spans AS (
    SELECT *, lead(input, 1, 9223372036854775807) OVER (ORDER BY input) AS until,
        lead(begins_ms) OVER (ORDER BY input) AS ends_ms
    FROM begun
)
SELECT input, name, begins_ms, ends_ms, positions, changes,
    coalesce(
        (SELECT equity FROM equity WHERE equity.input < spans.input ORDER BY equity.input DESC, time_ms DESC LIMIT 1),
        (SELECT CAST(round(json_extract(value, '$.config.account.capital') * {UNITS}) AS INTEGER) FROM meta WHERE key = 'identity')
    ) AS equity_before,
    (SELECT equity FROM equity WHERE equity.input >= spans.input AND equity.input < until ORDER BY equity.input DESC, time_ms DESC LIMIT 1) AS equity_after,
    (SELECT count(*) FROM trades WHERE trades.input >= spans.input AND trades.input < until) AS trades,
    (SELECT count(*) FROM trades WHERE trades.input >= spans.input AND trades.input < until AND pnl > 0) AS wins,
    (SELECT coalesce(sum(fee), 0) FROM fills WHERE fills.input >= spans.input AND fills.input < until) AS fees
FROM spans
"""  # noqa: S608


def _sql_type(name: str, kind: np.dtype[Any]) -> str:
    if kind.shape:
        return "BLOB"
    if name == "symbol":
        return "TEXT"
    return "REAL" if kind == np.float64 else "INTEGER"


def ensure_tables(connection: sqlite3.Connection) -> None:
    """Make every table follow its record; note when one had other columns and is to be filled again."""
    for table in TABLES:
        found = {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        if found == table.columns():
            continue
        if found:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('tables_stale', '1')")
        connection.execute(f"DROP VIEW IF EXISTS {table.name}_quote")
        connection.execute(f"DROP TABLE IF EXISTS {table.name}")
        connection.execute(table.statement())
        connection.execute(f"CREATE INDEX {table.name}_by_input ON {table.name} (input)")
        connection.execute(table.view())
    for index, names in _INDEXES.items():
        connection.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {names}")
    connection.execute(f"CREATE VIEW IF NOT EXISTS trade_tags AS {TRADE_TAGS}")
    connection.execute("DROP VIEW IF EXISTS chapter_figures")  # it is defined here alone
    connection.execute(f"CREATE VIEW chapter_figures AS {CHAPTER_FIGURES}")


def kept(table: ReportTable, report: Report) -> Rows:
    """Return the records of a report that the table keeps."""
    rows: Rows = getattr(report, table.stream)
    if table.name == "equity" and len(rows):
        rows = rows[rows["time_ms"] % EQUITY_EVERY_MS == 0]
    if table.name == "events" and len(rows):
        rows = rows[np.isin(rows["kind"], DRAWN_KINDS) & (rows["scale"] != SCALE_HTF)]
    return rows


def as_values(table: ReportTable, rows: Rows, symbols: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield each record as a row of its table reads back: names, numbers, None for NaN."""
    columns = []
    for name in table.fields:
        column = rows[name]
        if table.record[name].shape:
            columns.append([value.tobytes() for value in column])
        elif name == "symbol":
            columns.append([symbols[index] for index in column.tolist()])
        else:
            columns.append([_storable(value) for value in column.tolist()])
    return zip(*columns, strict=True)


def _storable(value: float) -> float | None:
    """Return a number as sqlite gives it back: it has no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def as_text(table: ReportTable, name: str, value: Any, units_per_quote: float) -> str:
    """Return a value of a row for people: times in UTC, money in quote, bytes in hexadecimal."""
    if value is None:
        return "NaN"
    if isinstance(value, bytes):
        return value.hex()[:12]
    if name.endswith("_ms"):
        return f"{np.datetime64(value, 'ms').astype('datetime64[s]')}Z"
    if name in MONEY and table.record[name] == np.int64:
        return repr(value / units_per_quote)
    return str(value)


def write_report(
    connection: sqlite3.Connection,
    report: Report,
    sequence: int,
    symbols: Sequence[str],
    late: "Late | None" = None,
    closes: Sequence[SeenClose] = (),
    length_ms: int = 0,
) -> None:
    """
    Add what one input led to.

    late    when its candles may have come too late to be acted on
    closes  what was seen at its closes, of candles of `length_ms`
    """
    _set_reported(connection, sequence)
    for table in TABLES:
        rows = kept(table, report)
        if not len(rows):
            continue
        places = ", ".join("?" * (1 + len(table.fields)))
        connection.executemany(
            f"INSERT INTO {table.name} VALUES ({places})",  # noqa: S608
            ((sequence, *values) for values in as_values(table, rows, symbols)),
        )
        if table.name == "events":
            _let_go_of_events(connection, rows, symbols)
    if closes:
        write_closes(connection, closes, sequence, length_ms)
    if late is not None:
        _write_late(connection, report, sequence, symbols, late)


def _let_go_of_events(connection: sqlite3.Connection, rows: Rows, symbols: Sequence[str]) -> None:
    """Remove the structure that became known longer ago than is kept, of the symbols of new rows."""
    newest = {
        (symbols[symbol], length_ms): known_ms
        for symbol, length_ms, known_ms in zip(
            *(rows[name].tolist() for name in ("symbol", "timeframe_ms", "known_ms")), strict=True
        )
    }
    connection.executemany(
        "DELETE FROM events WHERE symbol = ? AND timeframe_ms = ? AND known_ms <= ?",
        [(*key, known_ms - MOST_CLOSES * key[1]) for key, known_ms in newest.items()],
    )


def events_since(connection: sqlite3.Connection) -> dict[tuple[str, int], int]:
    """Return the time up to which structure is not kept any more, by symbol and length of candles."""
    found = connection.execute(
        "SELECT symbol, timeframe_ms, max(known_ms) FROM events GROUP BY symbol, timeframe_ms"
    )
    return {(symbol, length): known_ms - MOST_CLOSES * length for symbol, length, known_ms in found}


class Late(NamedTuple):
    """When candles were received, and how long after their close is too late to act, in ms."""

    received_ms: int
    limit_ms: int


def _write_late(
    connection: sqlite3.Connection, report: Report, sequence: int, symbols: Sequence[str], late: Late
) -> None:
    """Add the instants that came too late, and the decisions that were made of them."""
    newest_ms = late.received_ms - late.limit_ms
    closes = report.marks["time_ms"][report.marks["time_ms"] < newest_ms]
    if not len(closes):
        return
    span = (int(closes[0]), int(closes[-1]), len(closes))
    connection.execute("INSERT INTO outages VALUES (?, ?, ?, ?, ?)", (sequence, *span, late.received_ms))
    decisions = report.decisions
    is_missed = (decisions["time_ms"] < newest_ms) & (decisions["refused"] == 0)
    connection.executemany(
        "INSERT INTO missed_decisions VALUES (?, ?, ?, ?, ?, ?)",
        [
            (number, sequence, time_ms, symbols[symbol], target, late.received_ms - time_ms)
            for number, time_ms, symbol, target in zip(
                *(
                    decisions[name][is_missed].tolist()
                    for name in ("sequence", "time_ms", "symbol", "target")
                ),
                strict=True,
            )
        ],
    )


def take_back(connection: sqlite3.Connection, after: int) -> None:
    """Remove what came from inputs after this one, because they are stepped again."""
    for name in (*(table.name for table in TABLES), "closes", "outages", "missed_decisions"):
        connection.execute(f"DELETE FROM {name} WHERE input > ?", (after,))  # noqa: S608
    _set_reported(connection, after)


def _set_reported(connection: sqlite3.Connection, sequence: int) -> None:
    """Write down which input the tables reach; those behind it are stepped by a recovery."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('reported', ?)", (str(sequence),))
