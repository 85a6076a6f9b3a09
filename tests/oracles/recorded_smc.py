"""The recorded EURUSD candles and the event files beside them, in the form in which tests compare them."""

from collections import Counter
from functools import cache

import numpy as np
import pandas as pd

from papertape.engine.candles import CANDLE
from papertape.engine.features.smc import KIND_NAMES, SCALE_NAMES, TAG_NAMES
from papertape.engine.jit import Rows
from tests.support.helpers import SHARED

FOLDER = SHARED / "data" / "smc"

Line = tuple[object, ...]


@cache
def eurusd() -> Rows:
    """Return the 24,424 recorded candles of EURUSD, 15 minutes."""
    table = pd.read_csv(FOLDER / "EURUSD_15M.csv")
    candles = np.zeros(len(table), CANDLE)
    stamps = pd.to_datetime(table["Date"], format="%Y.%m.%d %H:%M:%S")
    candles["open_ms"] = stamps.astype("datetime64[ms]").astype("int64")
    for name in ("open", "high", "low", "close"):
        candles[name] = table[name.capitalize()]
    return candles


def lines_of_file(name: str, columns: tuple[str, ...]) -> Counter[Line]:
    """Return every row of an event file as (known_at, kind, …), None where a cell is empty."""
    table = pd.read_csv(FOLDER / name, keep_default_na=False, dtype=str)
    texts = {"kind", "scale", "tag"}
    rows = []
    for row in zip(*(table[column] for column in columns), strict=True):
        cells = [
            cell if column in texts else (float(cell) if cell else None)
            for column, cell in zip(columns, row, strict=True)
        ]
        rows.append(tuple(cells))
    return Counter(rows)


def number(value: float) -> float | None:
    """Return a price, or None where an event has none."""
    return None if np.isnan(value) else float(value)


def as_dicts(events: Rows) -> list[dict[str, object]]:
    """Return events by the names of the files' columns."""
    columns = {name: events[name].tolist() for name in EVENT_COLUMNS}
    found = []
    for i in range(len(events)):
        row = {name: values[i] for name, values in columns.items()}
        found.append(
            {
                "known_at": row["known_bar"],
                "kind": KIND_NAMES[row["kind"]],
                "scale": SCALE_NAMES[row["scale"]],
                "dir": row["side"],
                "bar": row["bar"],
                "level": number(row["level"]),
                "top": number(row["top"]),
                "bottom": number(row["bottom"]),
                "strength": number(row["strength"]),
                "bar2": row["reference"],
                "tag": TAG_NAMES[row["tag"]],
            }
        )
    return found


EVENT_COLUMNS = (
    "known_bar",
    "kind",
    "scale",
    "side",
    "bar",
    "level",
    "top",
    "bottom",
    "strength",
    "reference",
    "tag",
)
