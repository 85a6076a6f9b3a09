"""
Market structure of a window, folded as the report folds it: things that form, become known and end.

What was known in the window and the newest that lives from before it; what ended them is looked for by their candles, so a
thing is over as soon as the journal says so, whatever the window.
"""

from typing import Any, Final

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.journal.tables import TABLES
from papertape.daemon.monitoring.api.answers import StructureWindow
from papertape.engine.features.smc.events import EVENT
from papertape.engine.jit import Rows
from papertape.replay.report.structure import BEGINNINGS, ENDINGS, GROUPS, name_of, structure_of

MOST_PIECES: Final = 1_600  # of one answer: 150 bytes each
_OLDER: Final = 400  # from before the window: a chart draws a dozen of them
_DIGITS: Final = 9  # significant, of a level
_FIELDS: Final = next(table.fields for table in TABLES if table.name == "events")
_NAMES: Final = ", ".join(f'"{name}"' for name in _FIELDS)
_KINDS, _ENDS = (", ".join(map(str, kinds)) for kinds in (BEGINNINGS, ENDINGS))
# Statements are put together from names in this file (S608).
_OWN: Final = f"SELECT {_NAMES} FROM events WHERE symbol = ? AND timeframe_ms = ?"  # noqa: S608
_BEGUN: Final = (
    f"{_OWN} AND kind IN ({_KINDS}) AND known_ms {{}} ORDER BY known_ms DESC, sequence DESC LIMIT ?"
)
# What ends one thing and is another itself was found as such up to the window's end.
_ENDED: Final = (
    f"{_OWN} AND kind IN ({_ENDS}) AND bar BETWEEN ? AND ? AND (kind NOT IN ({_KINDS}) OR known_ms > ?) "
    "ORDER BY sequence"
)


def structure_window(
    journal: Journal, symbol: str, frame_ms: int, from_ms: int, to_ms: int
) -> StructureWindow:
    """Return what was known of a window's structure at its end, the swing scale and then the newest first to stay."""
    own = (symbol, frame_ms)
    inside = journal.all(_BEGUN.format("BETWEEN ? AND ?"), *own, from_ms, to_ms, 8 * MOST_PIECES)
    older = journal.all(_BEGUN.format("< ?"), *own, from_ms, _OLDER)
    rows = _rows([*reversed(older), *reversed(inside)])
    if not len(rows):
        return StructureWindow(symbol=symbol, groups=GROUPS)
    span = int(rows["bar"].min()), int(rows["bar"].max())
    ends = _rows(journal.all(_ENDED, *own, *span, to_ms))
    found = structure_of(np.concatenate([rows, ends]), frame_ms, MOST_PIECES, to_ms)
    names = [name_of(kind) for kind in found.kind.tolist()]
    labels = sorted({label for _, label in names})
    return StructureWindow(
        symbol=symbol,
        groups=GROUPS,
        labels=labels,
        left_out=found.left_out,
        group=[GROUPS.index(group) for group, _ in names],
        label=[labels.index(label) for _, label in names],
        side=found.side.tolist(),
        is_swing=found.is_swing.tolist(),
        formed_ms=found.formed_ms.tolist(),
        known_ms=found.known_ms.tolist(),
        ended_ms=[None if ms < 0 else ms for ms in found.ended_ms.tolist()],
        top=[float(f"{level:.{_DIGITS}g}") for level in found.top.tolist()],
        bottom=[float(f"{level:.{_DIGITS}g}") for level in found.bottom.tolist()],
    )


def _rows(found: list[tuple[Any, ...]]) -> Rows:
    """Return rows of the table as EVENT records, of which nobody here reads the symbol."""
    rows = np.zeros(len(found), EVENT)
    for name, column in zip(_FIELDS, zip(*found, strict=True), strict=False):
        if name != "symbol":
            rows[name] = [np.nan if value is None else value for value in column]
    return rows
