"""
The three rooms, as SVG: their folders as boxes on a grid, and what flows between them.

Every box is a folder or a file of its room, in which a test finds it; colours are those of `picture.py`.
"""

from typing import Final, NamedTuple

from picture import Box, Text, drawn, head

COLUMN, ROW, LEFT, TOP = 188, 108, 20, 44
WIDE, HIGH = 168, 60


class Cell(NamedTuple):
    """One box: where on the grid, its colour, its name and what it does."""

    column: int
    row: int
    kind: str
    name: str
    about: str


class Room(NamedTuple):
    """One picture: its title, a line above it, its boxes, and arrows between them by name."""

    title: str
    line: str
    cells: tuple[Cell, ...]
    arrows: tuple[tuple[str, str], ...]


ROOMS: Final = {
    "engine": Room(
        "The engine: an event goes in, a report comes out",
        "core.py, Engine.step: from left to right, then down; nothing here reads a file or a clock",
        (
            Cell(0, 0, "out", "an event", "candles, a model …"),
            Cell(1, 0, "core", "check.py", "or refuse"),
            Cell(2, 0, "core", "features/", "signals, structure"),
            Cell(3, 0, "core", "model/inference/", "probability of a rise"),
            Cell(4, 0, "core", "decisions/", "ask the strategy"),
            Cell(4, 1, "core", "strategies/", "yours or built in"),
            Cell(3, 1, "core", "broker/", "orders, fills, money"),
            Cell(2, 1, "core", "report.py", "copies only"),
            Cell(1, 1, "out", "sinks", "tables, metrics, result"),
            Cell(3, 2, "core", "model/training/", "rows to an artefact"),
            Cell(2, 2, "core", "model/gate/", "may it take over?"),
            Cell(4, 2, "core", "model/drift/", "still the same world?"),
            Cell(0, 2, "core", "performance/", "what a result is worth"),
        ),
        (
            ("an event", "check.py"), ("check.py", "features/"), ("features/", "model/inference/"),
            ("model/inference/", "decisions/"), ("decisions/", "strategies/"), ("strategies/", "broker/"),
            ("broker/", "report.py"), ("report.py", "sinks"),
            ("model/drift/", "model/training/"), ("model/training/", "model/gate/"),
        ),
    ),
    "replay": Room(
        "The replay: recorded data goes in, a result that can be checked comes out",
        "a backtest: from files or venues to a tape, through the engine, to one page",
        (
            Cell(0, 0, "out", "a file", "CSV, Parquet, zip …"),
            Cell(1, 0, "tape", "importers/", "which dialect is it?"),
            Cell(2, 0, "tape", "tapes/", "cleaned, hashed"),
            Cell(3, 0, "tape", "feed.py", "batches of any size"),
            Cell(4, 0, "core", "the engine", "step"),
            Cell(0, 1, "tape", "config/", "from TOML to a spec"),
            Cell(1, 1, "out", "a venue", "REST"),
            Cell(2, 1, "tape", "sources/", "history, page by page"),
            Cell(3, 1, "tape", "learning/", "models on the way"),
            Cell(4, 1, "tape", "backtesting/", "result.json, verify"),
            Cell(4, 2, "tape", "report/", "one page, offline"),
            Cell(3, 2, "tape", "events/", "what followed"),
            Cell(2, 2, "tape", "exchange/", "a tape as if live"),
            Cell(1, 2, "tape", "research/", "proofs of no look-ahead"),
            Cell(0, 2, "tape", "honesty/", "is learning honest?"),
        ),
        (
            ("a file", "importers/"), ("importers/", "tapes/"), ("tapes/", "feed.py"),
            ("feed.py", "the engine"), ("a venue", "sources/"), ("sources/", "tapes/"),
            ("learning/", "feed.py"), ("the engine", "backtesting/"), ("backtesting/", "report/"),
            ("events/", "report/"),
        ),
    ),
    "daemon": Room(
        "The daemon: a venue goes in, a journal and metrics come out",
        "a live candle: final, on the disk, in the engine; everything else watches or is an input, too",
        (
            Cell(0, 0, "out", "a venue", "websocket, REST"),
            Cell(1, 0, "live", "feeds/delta/", "or feeds/ccxt/"),
            Cell(2, 0, "live", "feeds/finality/", "forming, closed, final"),
            Cell(3, 0, "live", "journal/", "on the disk first"),
            Cell(4, 0, "core", "the engine", "step"),
            Cell(4, 1, "live", "journal/tables.py", "reports as SQL"),
            Cell(3, 1, "live", "learning/", "retraining, drift"),
            Cell(2, 1, "live", "runtime/", "recovery, audit, jobs"),
            Cell(1, 1, "live", "cli.py", "commands/ by name"),
            Cell(4, 2, "live", "metrics/", "of every report, too"),
            Cell(3, 2, "live", "monitoring/", "HTTP, status, log"),
            Cell(1, 2, "live", "doctor/", "venue as expected?"),
        ),
        (
            ("a venue", "feeds/delta/"), ("feeds/delta/", "feeds/finality/"),
            ("feeds/finality/", "journal/"), ("journal/", "the engine"), ("the engine", "journal/tables.py"),
            ("journal/tables.py", "metrics/"), ("metrics/", "monitoring/"),
            ("learning/", "journal/"), ("cli.py", "runtime/"),
        ),
    ),
}  # fmt: skip


def room_picture(name: str) -> str:
    """Return the picture of one room."""
    room = ROOMS[name]
    places = {cell.name: _box(cell) for cell in room.cells}
    arrows = [("", _way(places[a], places[b])) for a, b in room.arrows]
    texts: list[Text] = [("soft left", LEFT, 26, room.line)]
    rows = 1 + max(cell.row for cell in room.cells)
    opening = head(960, TOP + ROW * rows - (ROW - HIGH) + 20, room.title)
    return "\n".join([opening, *drawn(places.values(), arrows, texts), "</svg>", ""])


def _box(cell: Cell) -> Box:
    x, y = LEFT + COLUMN * cell.column, TOP + ROW * cell.row
    return cell.kind, x, y, WIDE, HIGH, cell.name, cell.about


def _way(start: Box, end: Box) -> str:
    """Return the straight way from one box to another, from the edges that face each other."""
    ax, ay, bx, by = start[1], start[2], end[1], end[2]
    if ay == by:
        return f"M{ax + WIDE} {ay + 30}H{bx - 4}" if bx > ax else f"M{ax} {ay + 30}H{bx + WIDE + 4}"
    x, y, to = (ax + WIDE / 2, ay + HIGH, by - 4) if by > ay else (ax + WIDE / 2, ay, by + HIGH + 4)
    return f"M{x:g} {y}L{bx + WIDE / 2:g} {to}"
