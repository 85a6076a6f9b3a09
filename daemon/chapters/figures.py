"""What each chapter of an account came to, as text and for machines; the view `chapter_figures` has it for plain SQL."""

import json
from typing import Any, Final

from papertape.daemon.journal import Journal
from papertape.replay.tapes.tables import at_minute

_COLUMNS: Final = (
    "name",
    "begins_ms",
    "ends_ms",
    "positions",
    "changes",
    "equity_before",
    "equity_after",
    "trades",
    "wins",
    "fees",
)


def figures_of(journal: Journal) -> list[dict[str, Any]]:
    """Return the chapters in order, money in quote; the first has no name: it is the account as it was opened."""
    rows = journal.all(f"SELECT {', '.join(_COLUMNS)} FROM chapter_figures ORDER BY input")  # noqa: S608 - of the list above
    found = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    units = journal.units_per_quote
    for row in found:
        row["changes"] = json.loads(row["changes"])
        for name in ("equity_before", "equity_after", "fees"):
            row[name] = None if row[name] is None else row[name] / units
    return found


def told(chapter: dict[str, Any], places: int) -> str:
    """Return one chapter as a line, amounts with so many decimals."""
    name = f"chapter {chapter['name']!r}" if chapter["name"] else "before the first chapter"
    since = "" if chapter["begins_ms"] is None else f" from {at_minute(chapter['begins_ms'])}"
    if chapter["equity_after"] is None:
        return f"{name}{since}: no mark of the account is kept yet"
    before, after = chapter["equity_before"], chapter["equity_after"]
    trades = f"{chapter['trades']:,} closed, {chapter['wins']:,} won, fees {chapter['fees']:,.{places}f}"
    moved = f"{before:,.{places}f} → {after:,.{places}f} ({after - before:+,.{places}f})"
    return f"{name}{since}: equity {moved}; trades: {trades}"
