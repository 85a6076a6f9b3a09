"""
What a row of the feature table says. The rows stand beside their kernels, one file per family.

A feature is asked for as `name_p1_p2`, parameters in the order of its row and all or none of them: `macd_12_26_9`,
`keltner_20_10_1.5`, `macd`. A trailing `:first` asks for the averages to start from the first candle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

LONGEST: Final = 10_000  # bars; bounds the state of a feature and the history of a lane

Parameters = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number in a request."""

    name: str
    default: float
    lowest: float = 1
    highest: float = LONGEST
    is_whole: bool = True

    def fault(self, value: float) -> str:
        """Return what is wrong with a value, or an empty string."""
        if self.is_whole and value != int(value):
            return f"{self.name} {value:g} is not a whole number"
        if not self.lowest <= value <= self.highest:
            return f"{self.name} {value:g} is not between {self.lowest:g} and {self.highest:g}"
        return ""


@dataclass(frozen=True, slots=True)
class Output:
    """
    One column that a feature writes.

    suffix        added to the request to make the column's name
    price_power   the value is multiplied by c to this power when all prices are multiplied by c
    volume_power  likewise for volumes
    warm_up       bars before its first value, where that is not the feature's own warm-up
    """

    suffix: str = ""
    price_power: int = 0
    volume_power: int = 0
    warm_up: Callable[[Parameters], int] | None = None


def no_fault(_: Parameters) -> str:
    """Return no fault: every combination of parameters in range is fine."""
    return ""


def no_bars(_: Parameters) -> int:
    """Return 0 bars."""
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """
    One row of the table.

    opcode         what its family's kernel dispatches on
    state_dtype    the record of one instance, as a function of its parameters
    warm_up        bars before the first value; every later value is finite
    look_back      how many candles before the newest the kernel reads from the history
    can_start_first  whether there is a `:first` variant; its warm-up is 0
    fault          what is wrong with a combination of parameters, or an empty string
    """

    name: str
    opcode: int
    parameters: tuple[Parameter, ...] = ()
    outputs: tuple[Output, ...] = (Output(),)
    state_dtype: Callable[[Parameters], np.dtype[Any]]
    warm_up: Callable[[Parameters], int] = no_bars
    look_back: Callable[[Parameters], int] = no_bars
    can_start_first: bool = False
    fault: Callable[[Parameters], str] = no_fault
    source: str

    @property
    def defaults(self) -> Parameters:
        """Return the parameters of a request that names none."""
        return tuple(parameter.default for parameter in self.parameters)

    def warm_up_bars(self, parameters: Parameters, is_first: bool = False) -> tuple[int, ...]:
        """Return, for every output, how many values are NaN at the start of a tape."""
        if is_first:
            return (0,) * len(self.outputs)
        return tuple((output.warm_up or self.warm_up)(parameters) for output in self.outputs)


def period(default: int, lowest: int = 1) -> Parameter:
    """Return the parameter that most features have: a length in bars."""
    return Parameter("period", default, lowest)
