"""Hold a position while a fast moving average is on the right side of a slow one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray, IntArray, Row, Rows, kernel, record
from papertape.engine.records import FLAT, LONG, SHORT
from papertape.engine.strategies.decisions import want
from papertape.engine.strategies.parameters import parameter

SideArray: TypeAlias = npt.NDArray[np.int8]
PARAMETERS: Final = record(("warm_up_bars", "i8"), ("is_short_allowed", "i8"))
STATE: Final = record(("bars", "i8"))


@kernel
def side_of(fast: float, slow: float, bars: int, parameters: Row) -> int:
    """Return long while fast > slow, otherwise nothing, or short where allowed; bars: closes before this one."""
    if bars >= parameters.warm_up_bars:
        if fast > slow:
            return LONG
        if fast < slow and parameters.is_short_allowed != 0:
            return SHORT
    return FLAT


@kernel
def decide(features: FloatArray, n: int, parameters: Row, state: Rows, decisions: Rows) -> None:
    """Want the side of the trend at every close."""
    bars = state[0].bars
    for k in range(n):
        target = side_of(features[0, k], features[1, k], bars, parameters)
        want(decisions[k], target, 0.0, 0.0, 1.0, float(target))
        bars += 1
    state[0].bars = bars


@kernel
def tell_sides(sides: SideArray, changes: IntArray, at: IntArray, starts: IntArray, rows: Rows) -> None:
    """Write what is wanted at the first close, and where the side changes; changes: the closes before which it does."""
    for count in range(len(changes) + 1):
        k = changes[count - 1] + 1 if count > 0 else 0
        want(rows[count], sides[k], 0.0, 0.0, 1.0, float(sides[k]))
        starts[count] = at[k]


@dataclass
class EmaCross:
    """
    Moving-average cross, always in the market on the side of the trend.

    Both averages start at the first close and are acted on from candle `slow` on: with 12 and 26 this is W1 of the
    reference benchmark.
    """

    fast: int = parameter(12, low=1, high=4_999, help="bars of the fast average")
    slow: int = parameter(26, low=2, high=5_000, help="bars of the slow average, above fast")
    allow_short: bool = parameter(False, help="short while fast is below slow, in place of nothing")
    name: str = field(default="ema_cross", init=False)
    state_dtype: np.dtype[Any] = field(default=STATE, init=False)
    features: Sequence[str] = field(default=(), init=False)
    _parameters: Rows = field(default_factory=lambda: np.zeros(1, PARAMETERS), init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.fast < self.slow:
            raise ConfigError(f"strategy.fast: {self.fast} is not between 1 and slow - 1 = {self.slow - 1}")
        self.features = (f"ema_{self.fast}:first", f"ema_{self.slow}:first")
        self._parameters[0] = (self.slow, int(self.allow_short))

    def decide_batch(self, features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows) -> None:
        """Write `n` decisions."""
        decide(features, n, self._parameters[0], state, decisions)

    def tell(
        self, columns: Sequence[FloatArray], at: IntArray, state: Rows, starts: IntArray, rows: Rows
    ) -> int:
        """Write where the side changes, and what is wanted from there on; return how often."""
        if not len(at):
            return 0
        fast, slow = columns[:2]
        # What `side_of` says, several closes at a time; where a value is missing neither is above.
        sides: SideArray = (fast > slow).view(np.int8)
        if self.allow_short:
            sides = sides - (fast < slow).view(np.int8)
        bars = int(state["bars"][0])
        sides[: max(0, self.slow - bars)] = FLAT
        changes = np.flatnonzero(sides[1:] != sides[:-1])
        tell_sides(sides, changes, at, starts, rows)
        state["bars"] = bars + len(at)
        return len(changes) + 1
