"""
What may enter the engine.

Candles come as one structured array of CANDLE rows in (open_ms, symbol) order, any number of them; commands come one
at a time and take effect between two instants.
"""

from enum import StrEnum
from typing import NamedTuple, TypeAlias

from engine.jit import Rows

Candles: TypeAlias = Rows


class Action(StrEnum):
    """What an operator may ask for."""

    PAUSE = "pause"  # no new entries; brackets and exits go on
    RESUME = "resume"
    FLATTEN = "flatten"  # close every position at the next open


class Command(NamedTuple):
    """An operator's action."""

    action: Action


Event: TypeAlias = Candles | Command
