"""
Correlated exposure: groups of symbols that rise and fall together, each with a cap on the notional that all of it may have.

What enters at one open, or is met inside one candle, shares the room of its group pro rata to what each wanted, as
everything shares buying power; the shares are integers, so that neither names nor their order matter. Shorts count like
longs, and what prices do afterwards is not traded against.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from papertape.engine.broker.account import notional_of
from papertape.engine.broker.ledger import added
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.jit import Row, Rows, kernel

MOST_GROSS: Final = 1_000.0
_WHOLE: Final = 17_592_186_044_416  # 2^44: shares are integers of it


@dataclass(frozen=True, slots=True)
class SymbolGroup:
    """
    Symbols and the largest gross notional of all their positions ÷ equity.

    >>> SymbolGroup(("ADAUSDT", "DOTUSDT"), 0.5).gross
    0.5
    """

    symbols: tuple[str, ...]
    gross: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", tuple(self.symbols))
        where = f"limits.groups: {', '.join(self.symbols) or 'a group without symbols'}"
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise ConfigError(f"{where}: name at least one symbol, each once")
        if not 0.0 < self.gross <= MOST_GROSS:
            raise ConfigError(f"{where}: gross {self.gross:g} is not above 0 and at most {MOST_GROSS:g}")


def as_groups(groups: Sequence[Any]) -> tuple[SymbolGroup, ...]:
    """Return groups, whether they are that already or mappings of the same names; a symbol is in one at most."""
    found = tuple(
        SymbolGroup(**group) if isinstance(group, Mapping) else SymbolGroup(group.symbols, group.gross)
        for group in groups
    )
    named: set[str] = set()
    for group in found:
        twice = sorted(named & set(group.symbols))
        if twice:
            raise ConfigError(f"limits.groups: {twice[0]} is in two groups; leave it in one")
        named |= set(group.symbols)
    return found


def refuse_unknown_members(groups: Sequence[SymbolGroup], symbols: Collection[str]) -> None:
    """Raise ConfigError for a symbol of a group that is not among these: its cap would hold for less than it says."""
    lines = [
        f"limits.groups: no tape or symbol has the name {name!r}{did_you_mean(name, symbols)}"
        for group in groups
        for name in group.symbols
        if name not in symbols
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def write_groups(rows: Rows, groups: Sequence[SymbolGroup], symbols: Sequence[str]) -> None:
    """Write into MARKET records, one per symbol in that order, which group each is in."""
    for number, group in enumerate(groups, 1):
        for name in group.symbols:
            row = rows[symbols.index(name)]
            row["group"], row["group_gross"] = number, group.gross


@kernel
def group_room(positions: Rows, markets: Rows, symbol: int, worth: int) -> float:
    """Return the largest notional that the group of a symbol leaves to what opens, in quote; infinite without one."""
    group = markets[symbol].group
    if group == 0:
        return np.inf
    gross = 0
    for other in range(len(positions)):
        position = positions[other]
        if markets[other].group == group and position.quantity != 0.0:
            gross = added(gross, notional_of(position, markets[other]))
    quote = markets[symbol].quote_per_unit
    return max(markets[symbol].group_gross * (worth * quote) - gross * quote, 0.0)  # type: ignore[no-any-return]


@kernel
def group_part(entry: Row, notional: float) -> int:
    """Return which part of the room of its group a notional takes, as an integer."""
    if not entry.group_room < np.inf or entry.group_room <= 0.0:
        return 0
    return int(min(notional / entry.group_room, 1.0) * _WHOLE)


@kernel
def share_groups(markets: Rows, entries: Rows) -> None:
    """Write the factor on what each symbol opens, so that the room of its group suffices for all that is planned."""
    for symbol in range(len(entries)):
        entry = entries[symbol]
        entry.group_factor = 1.0
        if entry.group_part == 0:
            continue
        total = 0
        for other in range(len(entries)):
            if markets[other].group == markets[symbol].group:
                total += entries[other].group_part
        if total > _WHOLE:
            entry.group_factor = _WHOLE / total
