"""The journal for other programs: its candles as tapes, its funding as files beside them, its tables as Parquet."""

import math
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from papertape.daemon.journal.archive import all_inputs
from papertape.daemon.journal.codec import CANDLES, FUNDING, SERIES
from papertape.daemon.journal.identity import Identity
from papertape.daemon.journal.journal import Journal
from papertape.daemon.journal.tables import TABLES, TRADE_TAGS
from papertape.engine.broker.ledger import money, units_per_quote
from papertape.engine.candles import CANDLE, FLAG_ABSENT, FLAG_SYNTHETIC
from papertape.engine.errors import DataError
from papertape.engine.events import Funding, SeriesRows
from papertape.engine.jit import copy_rows, join_rows
from papertape.engine.performance.statement import Booked, booked_as
from papertape.engine.records import FUNDING_RATE, SERIES_NAMES
from papertape.engine.spec import market_rows
from papertape.replay.importers.rates import RATE_IS_KNOWN
from papertape.replay.runtime.files import write_whole
from papertape.replay.tapes.store import Store, Tape
from papertape.replay.tapes.synthetic import VENUE as SYNTHETIC
from papertape.replay.tapes.tables import at_minute
from papertape.replay.tapes.tape import tape_name

# Tables that readers may want; snapshots and inputs are bytes.
_TABLES: Final = (
    "decisions", "fills", "trades", "orders", "limits", "payments", "models", "equity", "outages",
    "missed_decisions", "days", "notices", "job_runs", "audits", "predictions", "attempts", "drift_checks",
    "events", "closes", "changes", "chapters",
)  # fmt: skip


def identity_of(journal: Journal) -> Identity:
    """Return what a journal is about, or raise DataError."""
    text = journal.meta("identity")
    if text is None:
        raise DataError(f"{journal.path}: the daemon never started with it; there is nothing in it")
    return Identity.from_json(text, journal.money_decimals)


def begun_as(journal: Journal) -> Identity:
    """Return what a journal was about before its first chapter, or raise DataError."""
    first = (
        journal.one("SELECT before FROM chapters ORDER BY input") if journal.has_table("chapters") else None
    )
    if first is None:
        return identity_of(journal)
    return Identity.from_json(first[0], journal.money_decimals)


def journal_statement(journal: Journal) -> Booked:
    """
    Return the statement of what a daemon's account has done so far, compared with its equity curve.

    Raises InvariantError where it does not balance, DataError where there is nothing yet.
    """
    with journal.one_moment():
        return _statement(journal)


def _statement(journal: Journal) -> Booked:
    account = begun_as(journal)  # what chapters changed of its markets is in the changes
    number = {symbol: place for place, symbol in enumerate(account.symbols)}
    records = []
    for table in (name for name in TABLES if name.name in ("fills", "payments", "changes")):
        if not journal.has_table(table.name):
            records.append(np.zeros(0, table.record))
            continue
        names = ", ".join(f'"{name}"' for name in table.fields)
        rows = journal.all(f"SELECT {names} FROM {table.name} ORDER BY sequence")  # noqa: S608 - of the list above
        found = np.zeros(len(rows), table.record)
        for name, column in zip(table.fields, zip(*rows, strict=True), strict=False):
            found[name] = [number[value] for value in column] if name == "symbol" else column
        records.append(found)
    fills, payments, changes = (records[place] for place in (0, 1, 2))
    last_ms = max([*fills["candle_ms"].tolist(), *payments["time_ms"].tolist()], default=0)
    curve = journal.all("SELECT time_ms, cash FROM equity ORDER BY time_ms DESC LIMIT 1")
    settings = account.config.account
    is_cross, units = settings.margin == "cross", units_per_quote(settings.decimals)
    rows_of = market_rows(account.markets, is_cross=is_cross, decimals=settings.decimals)
    capital = money(settings.capital, units)
    begins_ms = journal.one("SELECT min(time_ms) FROM equity")[0] or 0
    booked = booked_as(fills, payments, rows_of, account.symbols, capital, changes, begins_ms)
    if curve and curve[0][0] > last_ms:
        booked = booked.beside(curve[0][1], f"the equity curve at {at_minute(curve[0][0])}")
    return booked


def export_tapes(state: Path, journal: Journal, out: Path) -> list[Path]:
    """Write what was received as one tape per symbol and return their paths; a declared absence is left a gap."""
    identity = identity_of(journal)
    parts = [
        np.frombuffer(found.payload, CANDLE) for found in all_inputs(state, journal) if found.kind == CANDLES
    ]
    if not parts:
        raise DataError(f"{journal.path}: no candle was accepted yet")
    candles = join_rows(parts)
    paths = []
    for index, symbol in enumerate(identity.symbols):
        is_there = (candles["symbol"] == index) & (candles["flag_bits"] & FLAG_ABSENT == 0)
        rows = copy_rows(np.ascontiguousarray(candles[is_there]))
        rows["symbol"] = 0
        if identity.venue == SYNTHETIC:  # an exchange tells no flags
            rows["flag_bits"] |= FLAG_SYNTHETIC
        tape = Tape(
            rows,
            identity.venue,
            symbol,
            identity.base_timeframe,
            source=f"received live, journal {journal.hash.hex()[:12]}",
            kind=identity.kind_of(symbol),
        )
        paths.append(Store(out).save(tape, replace=True))
    return paths


def export_funding(state: Path, journal: Journal, out: Path) -> dict[str, Path]:
    """
    Write the settlements that were received as one file per symbol that had any, and return their paths by symbol.

    They are files for `data.funding`: with them a replay of the tapes pays what the daemon did, but for a settlement at the newest
    close, which is after its run. A settlement whose rate was not known stands there without one: it charges nothing, and the
    feature `funding` is not known from it on, as it was live.
    """
    identity = identity_of(journal)
    settled: dict[int, list[Funding]] = {}
    for found in all_inputs(state, journal):
        for event in _settlements(found.event) if found.kind in (FUNDING, SERIES) else ():
            settled.setdefault(event.symbol, []).append(event)
    paths = {}
    for index, symbol in enumerate(identity.symbols):
        events = settled.get(index, [])
        if all(math.isnan(event.rate) for event in events):
            continue
        path = out / f"{tape_name(identity.venue, symbol, 'funding')}.parquet"
        write_whole(path, partial(_write_funding, identity.venue, symbol, events))
        paths[symbol] = path
    return paths


def series_left_out(state: Path, journal: Journal) -> list[str]:
    """
    Return the names of the series beside funding that were received, which no file of an export holds.

    A file of values cannot say from which close on nothing fresh was known, nor which candles of marks were whole.
    """
    kinds = {
        kind
        for found in all_inputs(state, journal)
        if found.kind == SERIES and isinstance(event := found.event, SeriesRows)
        for kind in event.rows["kind"].tolist()
    }
    return [SERIES_NAMES[kind] for kind in sorted(kinds - {FUNDING_RATE})]


def _settlements(event: object) -> list[Funding]:
    """Return the settlements that an input tells, of an unknown rate with NaN for it."""
    if isinstance(event, Funding):
        return [event]
    if not isinstance(event, SeriesRows):
        return []
    unknown = event.rows[event.rows["kind"] == FUNDING_RATE]
    # A rate is known from the millisecond after its settlement on.
    return [Funding(int(row["known_ms"]) - 1, int(row["symbol"]), math.nan, math.nan) for row in unknown]


def _write_funding(venue: str, symbol: str, settled: list[Funding], file: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "funding_time": [each.time_ms for each in settled],
        "venue": [venue] * len(settled),
        "symbol": [symbol] * len(settled),
        "funding_rate": [each.rate for each in settled],
        "mark_price": [each.price for each in settled],
        RATE_IS_KNOWN: [not math.isnan(each.rate) for each in settled],
    }
    pq.write_table(pa.table(columns), file, compression="zstd")


def export_tables(journal: Journal, out: Path) -> list[Path]:
    """Write every table as Parquet, all as they are at one moment, and return the paths."""
    with journal.one_moment():
        return _export_tables(journal, out)


def _export_tables(journal: Journal, out: Path) -> list[Path]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = []
    made = {row[0] for row in journal.all("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for name in _TABLES:
        if name not in made:
            continue  # of a journal that an earlier version wrote
        columns = [(row[1], row[2]) for row in journal.all(f"PRAGMA table_info({name})")]
        source = name
        if name == "trades" and "orders" in made:
            columns += [("entry_tag", "TEXT"), ("exit_tag", "TEXT")]
            source = f"trades LEFT JOIN ({TRADE_TAGS}) USING (number)"
        kinds = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string(), "BLOB": pa.binary()}
        schema = pa.schema([(column, kinds[kind]) for column, kind in columns])
        names = ", ".join(f'"{column}"' for column, _ in columns)
        rows = journal.all(f"SELECT {names} FROM {source} ORDER BY 1, 2")  # noqa: S608 - of the list above
        values = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns]
        table = pa.table(values, schema=schema)
        path = out / f"{name}.parquet"
        write_whole(path, partial(pq.write_table, table, compression="zstd"))
        paths.append(path)
    return paths
