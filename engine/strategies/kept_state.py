"""What a strategy in Python keeps from close to close: a type with the fields that it names, and no others."""

from collections.abc import Sequence
from typing import Any


class StrategyState:
    """
    What a strategy keeps of one symbol between two candles: the floats that it names in `state_fields`, 0 at the start.

    It is part of the engine's snapshot; `view.state.bars = 3` is kept as 3.0, and what is no number is refused.
    """

    __slots__ = ("_values",)

    def __init__(self, n_fields: int) -> None:
        self._values = [0.0] * n_fields

    def load(self, values: Sequence[float]) -> None:
        """Take over what was stored."""
        self._values[:] = values

    def store(self) -> list[float]:
        """Return the values in the order of the fields."""
        return self._values


def state_type(names: Sequence[str]) -> type[StrategyState]:
    """Return the type whose attributes are these fields; any other attribute is an error."""

    def field(index: int) -> property:
        def get(state: StrategyState) -> float:
            return state._values[index]

        def keep(state: StrategyState, value: float) -> None:
            state._values[index] = float(value)

        return property(get, keep)

    fields: dict[str, Any] = {name: field(index) for index, name in enumerate(names)}
    return type("StrategyState", (StrategyState,), {"__slots__": (), **fields})
