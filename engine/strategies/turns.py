"""
Turns: from when on which parameters of one strategy decide, as somebody who chose them anew every year would have it.

In each turn a symbol may have parameters of its own; all others share one instance.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.strategies.parameters import parameters_of, values_as_text
from papertape.engine.strategies.past import history_bars_of
from papertape.engine.strategies.protocol import KernelStrategy, Strategy, state_dtype_of

BySymbol: TypeAlias = Mapping[str, KernelStrategy | Strategy]

NOBODY: Final[BySymbol] = MappingProxyType({})


class Turn(NamedTuple):
    """
    A strategy that decides from a time on.

    start_ms  the first close after it is the first that it is asked about
    symbols   the same strategy with parameters of its own, by symbol
    """

    start_ms: int
    strategy: KernelStrategy | Strategy
    symbols: BySymbol = NOBODY

    @property
    def strategies(self) -> tuple[KernelStrategy | Strategy, ...]:
        """Return the strategy with the parameters of all, then of each symbol, by name."""
        return (self.strategy, *(self.symbols[symbol] for symbol in sorted(self.symbols)))

    def of(self, symbol: str) -> KernelStrategy | Strategy:
        """Return the strategy with the parameters of a symbol."""
        return self.symbols.get(symbol, self.strategy)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters as `result.json` has them: of all, and all those of each symbol that has some of its own."""
        own = {symbol: parameters_of(one) for symbol, one in sorted(self.symbols.items())}
        of_all = {"parameters": parameters_of(self.strategy)}
        return {**of_all, "symbol_parameters": own} if own else of_all

    def as_text(self) -> list[Any]:
        """Return what decides in it, as plain values."""
        own = {
            symbol: [*values_as_text(one), f"history_bars={history_bars_of(one)}"]
            for symbol, one in sorted(self.symbols.items())
        }
        return [self.start_ms, *values_as_text(self.strategy), *([own] if own else [])]


def refuse_bad_turns(turns: Sequence[Turn], traded: Sequence[str]) -> None:
    """
    Raise ConfigError for parameters that no strategy takes, and for turns out of order or of another class than the first.

    turns   the one that begins, and those of the schedule; traded: the symbols that a strategy is asked about
    """
    first = turns[0].strategy
    for number, turn in enumerate(turns):
        where = f"strategy.schedule: entry {number}"
        if number and turn.start_ms <= turns[number - 1].start_ms:
            raise ConfigError(f"{where} does not start after the one before it; put them in order")
        place = f"{where}: symbols" if number else "strategy.symbols"
        refuse_unknown_symbols(place, turn.symbols, traded)
        for one in turn.strategies:
            parameters_of(one)
        _refuse_another(where, turn.strategy, first)
        for symbol, one in sorted(turn.symbols.items()):
            _refuse_another(f"{place}.{symbol}", one, first)


def refuse_unknown_symbols(where: str, symbols: Mapping[str, Any], traded: Sequence[str]) -> None:
    """Raise ConfigError for a symbol that no strategy is asked about, one a line."""
    lines = [
        f"{where}.{symbol}: no tape or symbol that is traded has that name{did_you_mean(symbol, traded)}"
        for symbol in sorted(symbols)
        if symbol not in traded
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _refuse_another(where: str, strategy: Any, first: Any) -> None:
    """Raise ConfigError for more than other parameters."""
    kinds = type(strategy).__qualname__, type(first).__qualname__
    if type(strategy) is not type(first):
        raise ConfigError(f"{where} is a {kinds[0]}, not a {kinds[1]}; only parameters change")
    kept = state_dtype_of(first)
    if strategy is not first and state_dtype_of(strategy) != kept:
        raise ConfigError(
            f"{where} keeps other state than the first; name the same `state_fields` whatever the parameters"
        )
