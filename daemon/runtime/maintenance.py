"""
What the jobs of a running daemon do: snapshot, backup, compaction, the day's summary.

Each reads through a connection of its own, in a thread, and writes through the one writer.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from papertape.daemon.journal import Journal, Work, Writer
from papertape.daemon.journal.archive import back_up, forget, last_to_archive, release_pages, write_archive
from papertape.engine.candles import CANDLE, DAY_MS, FLAG_ABSENT
from papertape.engine.jit import Rows

T = TypeVar("T")


async def reading(state: Path, task: Callable[[Journal], T]) -> T:
    """Return what a task finds in the journal, read in a thread."""

    def read() -> T:
        with Journal.read(state) as journal:
            return task(journal)

    return await asyncio.to_thread(read)


async def backup(state: Path, now_ms: int) -> str:
    """Write a whole copy of the journal."""
    name = f"journal-{datetime.fromtimestamp(now_ms / 1000.0, UTC):%Y%m%dT%H%M%S}"
    path = await reading(state, lambda journal: back_up(state, journal, name))
    return f"{path.name}: {path.stat().st_size:,} bytes"


async def compaction(state: Path, writer: Writer, keep_days: int | None) -> str:
    """Move inputs that are older than `keep_days`, by the candles' own time, to a file."""
    if keep_days is None:
        return "every input is kept in the journal"
    await day_summary(state, writer)  # it reads the candles of its day

    def archive(journal: Journal) -> int:
        newest_ms = journal.last_candle_ms()
        last = 0 if newest_ms is None else last_to_archive(journal, newest_ms - keep_days * DAY_MS)
        if last:
            write_archive(state, journal, last)
        return last

    last = await reading(state, archive)
    if not last:
        return "nothing is old enough"
    await writer.submit(forget(last))
    while await writer.submit(release_pages):
        pass
    return f"inputs up to {last} are in tape/"


async def day_summary(state: Path, writer: Writer) -> str:
    """Write the summary of every whole day that has none yet, by the candles' own time."""
    days = await reading(state, _days_to_summarise)
    for day in days:
        await writer.submit(day_work(day))
    return f"{len(days)} days" if days else "no new day is over"


def _days_to_summarise(journal: Journal) -> list[int]:
    """Return the first ms of every day with marks, over and without a summary."""
    known = {row[0] for row in journal.all("SELECT day FROM days")}
    found = journal.all("SELECT DISTINCT (time_ms - 1) / ? FROM equity ORDER BY 1", DAY_MS)
    starts = [row[0] * DAY_MS for row in found[:-1]]  # the newest day is not over
    return [start for start in starts if _day_name(start) not in known]


def day_work(start_ms: int) -> Work[Any]:
    """Return the work that writes one day's summary: trades by their exit, marks from after 00:00 to 24:00."""

    def work(journal: Journal) -> None:
        end_ms = start_ms + DAY_MS
        equity = journal.one(
            "SELECT equity FROM equity WHERE time_ms > ? AND time_ms <= ? ORDER BY time_ms DESC LIMIT 1",
            start_ms,
            end_ms,
        )[0]
        pnl, trades, wins, fees = journal.one(
            "SELECT coalesce(sum(pnl), 0), count(*), coalesce(sum(pnl > 0), 0), coalesce(sum(fees), 0) "
            "FROM trades WHERE exit_ms >= ? AND exit_ms < ?",
            start_ms,
            end_ms,
        )
        decisions, missed = (
            journal.one(
                f"SELECT count(*) FROM {name} WHERE time_ms > ? AND time_ms <= ?",  # noqa: S608
                start_ms,
                end_ms,
            )[0]
            for name in ("decisions", "missed_decisions")
        )
        absent = sum(_absent(candles, start_ms, end_ms) for candles in _candles(journal, start_ms, end_ms))
        row = (_day_name(start_ms), equity, pnl, trades, wins, fees, decisions, missed, absent)
        journal.connection.execute("INSERT OR REPLACE INTO days VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    return work


def _candles(journal: Journal, start_ms: int, end_ms: int) -> list[Rows]:
    rows = journal.all(
        "SELECT payload FROM inputs WHERE kind = 'candles' AND last_ms >= ? AND first_ms < ?",
        start_ms,
        end_ms,
    )
    return [np.frombuffer(row[0], CANDLE) for row in rows]


def _absent(candles: Rows, start_ms: int, end_ms: int) -> int:
    """Return how many candles of a day were declared absent."""
    is_day = (candles["open_ms"] >= start_ms) & (candles["open_ms"] < end_ms)
    return int((candles["flag_bits"][is_day] & FLAG_ABSENT != 0).sum())


def _day_name(start_ms: int) -> str:
    return f"{datetime.fromtimestamp(start_ms / 1000.0, UTC):%Y-%m-%d}"
