"""
Tables as cursor pages, newest first.

A page holds as many rows as were asked for and no more than MOST_BYTES of them; its cursor is the key of its last row, so
rows that are added meanwhile neither repeat nor hide one. Statements are put together from names in this file (S608).
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, create_model

from papertape.daemon.journal import Journal
from papertape.daemon.journal.closes import SCORES
from papertape.daemon.journal.tables import TABLES
from papertape.daemon.monitoring.api.answers import MOST_ROWS
from papertape.daemon.monitoring.api.columns import TARGETS, Column, detail, report_columns
from papertape.daemon.monitoring.routes import Refused
from papertape.engine.records import MARKET_FIGURES

MOST_BYTES: Final = 250_000  # of one answer; 256 kB with what stands around its rows
_DICT: Final = dict[str, Any]


class ListingQuery(BaseModel):
    """Which rows of a table, and how many."""

    model_config = ConfigDict(extra="forbid")

    symbol: str | None = Field(None, max_length=64, description="of this symbol alone")
    from_ms: int | None = Field(None, description="of this time or later")
    to_ms: int | None = Field(None, description="before this time")
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 100
    cursor: str | None = Field(
        None, max_length=200, description="`next` of the page before; rows go on behind it"
    )


class TableListing(NamedTuple):
    """
    A table that is listed.

    key      columns that order it, the newest last
    time     column that `from_ms` and `to_ms` are about; empty: it has none
    symbols  whether it can be asked for one symbol
    query    what it may be asked, for the document
    """

    name: str
    summary: str
    table: str
    key: tuple[str, ...]
    time: str
    columns: tuple[Column, ...]
    symbols: bool
    answer: type[BaseModel]
    query: type[BaseModel]


def _query(has_symbols: bool, has_time: bool) -> type[BaseModel]:
    """Return what may be asked of a table: without the symbol or the span that its rows do not have."""
    left_out = (() if has_symbols else ("symbol",)) + (() if has_time else ("from_ms", "to_ms"))
    fields: Any = {
        name: (field.annotation, field)
        for name, field in ListingQuery.model_fields.items()
        if name not in left_out
    }
    return create_model("ListingQuery", **fields)


def _listing(
    name: str, summary: str, table: str, key: str, time: str, columns: Sequence[Column]
) -> TableListing:
    title = name.replace("_", " ").title().replace(" ", "")
    fields: Any = {column.name: (column.kind, ...) for column in columns}
    row = create_model(f"{title}Row", **fields)
    cursor = Field(None, description="of the page behind this one; none: these were the last")
    listed: Any = {"rows": (tuple[row, ...], ...), "next": (str | None, cursor)}
    answer = create_model(f"{title}Page", **listed)
    has_symbols = any(column.name == "symbol" for column in columns)
    keys = tuple(key.split(", "))
    query = _query(has_symbols, bool(time))
    return TableListing(name, summary, table, keys, time, tuple(columns), has_symbols, answer, query)


# Of the tables of reports: what is listed, the column of its time, and what it is.
_REPORTS: Final = {
    "decisions": ("time_ms", "What the strategy asked for, and what was refused and why."),
    "fills": ("candle_ms", "Executions."),
    "trades": ("exit_ms", "Trades that have closed."),
    "orders": ("time_ms", "What happened to working orders, and levels that moved."),
    "limits": ("time_ms", "Limits of the account that were met."),
    "payments": ("time_ms", "Funding that positions paid or received."),
    "models": ("time_ms", "Models that took over."),
    "predictions": ("time_ms", "What the model in force said at each close."),
    "events": ("known_ms", "Market structure as it became known: what a chart draws of it."),
}

# Of what its own key does not bring into the order of time.
_KEYS: Final = {"events": "known_ms, symbol, timeframe_ms, sequence"}


def _made(name: str, kind: Any = int, shown: Callable[[Any], Any] | None = None) -> Column:
    return Column(name, kind, shown)


def _money(name: str, kind: Any = float) -> Column:
    return Column(name, kind, is_money=True)


# What the venue told or the configuration dates has no chapter; what a chapter of the account set has its name.
_CHANGES: Final = "(SELECT changes.*, chapters.name AS chapter FROM changes LEFT JOIN chapters USING (input))"


def _figure(code: int) -> str:
    """Return what of a market is another, as the configuration calls it; of a row of a table its column."""
    return MARKET_FIGURES[code]


# Of the other tables: name, table, key, column of the time, what it is, columns.
_OTHERS: Final = (
    ("attempts", "attempts", "id", "started_ms", "Attempts to replace the model, and what the gate said.", (
        _made("id"), _made("due_ms"), _made("effective_ms"), _made("cause", str), _made("outcome", str), _made("reason", str),
        _made("champion"), _made("version"), _made("gate", _DICT, detail), _made("started_ms"), _made("ended_ms", int | None),
        _made("wall_s", float))),
    ("drift", "drift_checks", "time_ms", "time_ms", "Looks at drift, with their figures and alarms.", (
        _made("time_ms"), _made("version"), _made("level"), _made("detail", _DICT, detail), _made("checked_ms"))),
    ("jobs", "job_runs", "id", "started_ms", "Runs of scheduled jobs.", (
        _made("id"), _made("job", str), _made("started_ms"), _made("ended_ms", int | None), _made("outcome", str),
        _made("detail", str), _made("cause", str))),
    ("audits", "audits", "id", "time_ms", "Comparisons of what was done with the same inputs stepped again.", (
        _made("id"), _made("time_ms"), _made("sequence"), _made("outcome", str), _made("digest_live", str),
        _made("digest_again", str), _made("detail", str))),
    ("notices", "notices", "id", "time_ms", "What the feed told, what strategies did wrong, commands with their reasons.", (
        _made("id"), _made("time_ms"), _made("kind", str), _made("symbol", str), _made("open_ms"), _made("value", float | None),
        _made("detail", str))),
    ("outages", "outages", "input", "received_ms", "Candles that came too late to be acted on.", (
        _made("input"), _made("first_close_ms"), _made("last_close_ms"), _made("instants"), _made("received_ms"))),
    ("closes", "closes LEFT JOIN equity USING (time_ms)", "time_ms, symbol", "time_ms", "What was answered and not met at each close, and equity.", (
        _made("symbol", str), _made("time_ms"), _made("target", str | None, TARGETS.get), *(_made(name, float | None) for name in SCORES),
        _made("condition", str | None), _made("value", float | None), _made("threshold", float | None), _money("equity", float | None))),
    ("chapters", "chapter_figures", "input", "begins_ms", "What each chapter of the account came to, and the account before the first.", (
        _made("input"), _made("name", str), _made("begins_ms", int | None), _made("ends_ms", int | None), _made("positions", str),
        _made("changes", _DICT, detail), _money("equity_before"), _money("equity_after", float | None),
        _made("trades"), _made("wins"), _money("fees"))),
    ("changes", _CHANGES, "sequence", "time_ms", "Markets that became others: each figure, from what to what, and by which chapter.", (
        _made("input"), _made("sequence"), _made("time_ms"), _made("symbol", str), _made("figure", str, _figure), _made("place"),
        _made("before", float | None), _made("after", float | None), _made("chapter", str | None))),
    ("days", "days", "day", "", "One row per day, UTC.", (
        _made("day", str), _money("equity"), _money("pnl"), _made("trades"), _made("wins"),
        _money("fees"), _made("decisions"), _made("missed"), _made("absent"))),
)  # fmt: skip


def _listings() -> tuple[TableListing, ...]:
    tables = {table.name: table for table in TABLES}
    reports = [
        _listing(name, summary, name, _KEYS.get(name, tables[name].key), time, report_columns(tables[name]))
        for name, (time, summary) in _REPORTS.items()
    ]
    others = [
        _listing(name, summary, table, key, time, columns)
        for name, table, key, time, summary, columns in _OTHERS
    ]
    return (*reports, *others)


LISTINGS: Final = _listings()
# What chapters are sums over: the whole of three tables, which is too much for every look at a page.
CHAPTERS_OF: Final = (
    "SELECT (SELECT max(input) FROM fills), (SELECT max(input) FROM trades), "
    "(SELECT max(input) FROM equity), (SELECT max(input) FROM chapters)"
)


def page(listing: TableListing, asked: ListingQuery, journal: Journal) -> bytes:
    """Return a page of a table as JSON; raises Refused for what the table does not have or a cursor that is none."""
    where, values = _conditions(listing, asked)
    names = ", ".join(f'"{column.name}"' for column in listing.columns)
    order = ", ".join(f'"{name}" DESC' for name in listing.key)
    # One row more than is asked for tells whether there is another page.
    rows = journal.all(
        f"SELECT {names} FROM {listing.table} WHERE {where} ORDER BY {order} LIMIT ?",  # noqa: S608
        *values,
        asked.limit + 1,
    )
    parts: list[bytes] = []
    length, units = 0, journal.units_per_quote
    for row in rows[: asked.limit]:
        part = orjson.dumps(shown(listing, row, units))
        length += len(part) + 1
        if length > MOST_BYTES and parts:
            break
        parts.append(part)
    is_last = len(parts) == len(rows)
    cursor = None if is_last else _cursor(listing, rows[len(parts) - 1])
    return b'{"rows":[' + b",".join(parts) + b'],"next":' + orjson.dumps(cursor) + b"}"


def shown(listing: TableListing, row: Sequence[Any], units_per_quote: float) -> dict[str, Any]:
    """Return a row as readers get it."""
    return {
        column.name: _shown(column, value, units_per_quote)
        for column, value in zip(listing.columns, row, strict=True)
    }


def _shown(column: Column, value: Any, units_per_quote: float) -> Any:
    if value is None:
        return None
    if column.is_money:
        return value / units_per_quote
    return value if column.shown is None else column.shown(value)


def _conditions(listing: TableListing, asked: ListingQuery) -> tuple[str, list[Any]]:
    """Return what a row has to be, as SQL and its values."""
    parts: list[str] = ["1"]
    values: list[Any] = []
    if asked.symbol is not None:
        if not listing.symbols:
            raise Refused(400, f"symbol: {listing.name} are not of one symbol; leave it out")
        parts.append("symbol = ?")
        values.append(asked.symbol)
    for value, sign in ((asked.from_ms, ">="), (asked.to_ms, "<")):
        if value is None:
            continue
        if not listing.time:
            raise Refused(400, f"from_ms, to_ms: {listing.name} are whole days; leave them out")
        parts.append(f'"{listing.time}" {sign} ?')
        values.append(max(-(2**62), min(value, 2**62)))  # what sqlite can hold
    if asked.cursor is not None:
        key = _key(listing, asked.cursor)
        parts.append(f"({', '.join(listing.key)}) < ({', '.join('?' * len(key))})")
        values += key
    return " AND ".join(parts), values


def _cursor(listing: TableListing, row: Sequence[Any]) -> str:
    places = {column.name: place for place, column in enumerate(listing.columns)}
    key = [row[places[name]] for name in listing.key]
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _key(listing: TableListing, cursor: str) -> list[Any]:
    """Return the key that a cursor stands for."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key = orjson.loads(raw)
    except (binascii.Error, ValueError):
        key = None
    is_key = isinstance(key, list) and len(key) == len(listing.key)
    if not is_key or not all(
        isinstance(part, str) or (type(part) is int and abs(part) < 2**62) for part in key
    ):
        raise Refused(400, "cursor: it is none of this list; begin again without one")
    return list(key)


__all__ = ["LISTINGS", "MOST_BYTES", "ListingQuery", "TableListing", "page", "shown"]
