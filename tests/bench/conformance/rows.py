"""
What every engine of the comparison is handed and gives back; the standard library only, for some run elsewhere.

An engine that needs packages which ours cannot live with answers as a process in an environment of its own: rows as JSON
come in, fills as JSON go out.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MINUTE_MS: Final = 60_000
CASH: Final = 10_000.0
LEVERAGE: Final = 10.0
VOLUME: Final = 1000.0  # of a candle that says none
Fills = list[tuple[int, float, float]]  # candle, signed quantity, price


class NotSaid(Exception):
    """That engine has no words for it."""


@dataclass(frozen=True)
class Row:
    """A situation: candles, what is written at the close of which, and the settings that are not the usual ones."""

    title: str
    options: dict[str, Any]
    candles: list[tuple[float, ...]]
    asked: dict[int, list[str]]

    def refuse_decisions(self) -> None:
        """Raise NotSaid for a row whose strategy decides in place of placing orders."""
        if any(line.startswith("return ") for lines in self.asked.values() for line in lines):
            raise NotSaid("a decision")


def together(fills: Fills) -> Fills:
    """Return fills of one candle and price as one: two engines split them in their own ways."""
    sums: dict[tuple[int, float], float] = {}
    for candle, quantity, price in fills:
        sums[candle, price] = sums.get((candle, price), 0.0) + quantity
    return sorted((candle, quantity, price) for (candle, price), quantity in sums.items() if quantity)


def answer(row: Row, fills_of: Callable[[Row], Fills]) -> Fills | str:
    """Return an engine's fills, or what it has no words for."""
    try:
        return together(fills_of(row))
    except NotSaid as reason:
        return str(reason)


def serve(fills_of: Callable[[Row], Fills]) -> None:
    """Read rows from the file of the first argument, and write the answers to that of the second; engines print, too."""
    asked, told = map(Path, sys.argv[1:])
    answers = {}
    for given in json.loads(asked.read_text(encoding="utf-8")):
        given["asked"] = {int(candle): lines for candle, lines in given["asked"].items()}
        row = Row(**given)
        answers[row.title] = answer(row, fills_of)
    told.write_text(json.dumps(answers), encoding="utf-8")
