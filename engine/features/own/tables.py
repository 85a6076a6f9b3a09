"""
A feature as a function over a table of candles: it is called at every closed candle with the newest `look_back` of them.

Its value is defined as the last value that the function returns for exactly those candles, so that neither batching nor a
restart can be seen in it. A value that more candles would change is not what its author takes it for, on a chart of
the whole tape say; it is tried on twice as many now and then, and refused.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.features.own.base import (
    Found,
    NewCandles,
    OwnFeature,
    Runner,
    looked_at_twice,
    number_of,
)
from papertape.engine.jit import FloatArray
from papertape.engine.user_code.raised import told
from papertape.engine.user_code.undeclared_state import StateWatch

# Of the value: averages that never quite forget are as good as equal after enough candles, and sums are rounded.
NEAR: Final = 1e-6
_NOISE: Final = 1e-9


class TableValue(NamedTuple):
    """A function's last value, what is wrong with it, and all that it returned."""

    value: float
    reason: str
    returned: Any = ()

    @property
    def finite(self) -> FloatArray:
        """Return the numbers among what it returned."""
        values = np.asarray(self.returned, np.float64)
        return values[np.isfinite(values)]


class TableFeature(OwnFeature):
    """
    The declaration of a feature over a table.

    make_table  makes of columns of shape (6, n) what the function takes
    """

    def __init__(
        self, name: str, function: Any, look_back: int, make_table: Callable[[FloatArray], Any]
    ) -> None:
        super().__init__(name, look_back, function)
        if look_back < 1:
            raise ConfigError(f"feature {name!r}: look_back {look_back} is not at least 1 candle")
        if not isinstance(function, FunctionType):
            raise ConfigError(f"feature {name!r}: {function!r:.60} is not a function of a table of candles")
        self.make_table = make_table

    @property
    def kept_bars(self) -> int:
        """Return how many candles before the newest must be kept for it: twice as many as it reads, to try it on them."""
        return 2 * self.look_back - 1

    def start(self, words: FloatArray) -> Runner:
        """Return what calls the function, which keeps nothing."""
        del words
        return _TableRunner(self)

    def value_of(self, columns: FloatArray) -> TableValue:
        """Return the function's last value for some candles; columns: shape (6, n)."""
        try:
            values = np.asarray(self.subject(self.make_table(columns)))
        except (Exception, SystemExit) as error:  # the boundary to a user's code: no error of it is ours
            return TableValue(np.nan, told(error))
        n = columns.shape[1]
        if values.shape != (n,):
            said = "x".join(map(str, values.shape)) or "one value"
            return TableValue(np.nan, f"it returned {said} for {n} candles; one value per candle is needed")
        return TableValue(*number_of(values[-1]), values)


class _TableRunner:
    """Calls one function for one symbol on one timeframe."""

    def __init__(self, feature: TableFeature) -> None:
        self._feature = feature
        self._watch = StateWatch(feature.subject)

    def update(self, new: NewCandles, line: FloatArray) -> Found:
        """Call the function with the newest candles at each new one, once there are so many."""
        bars, n, found = self._feature.look_back, new.last - new.first, []
        twice = set(looked_at_twice(new.number, n))
        for place in range(max(0, bars - 1 - new.number), n):
            end = new.first + place + 1
            answer = self._feature.value_of(new.history[:, end - bars : end])
            line[place], reason = answer.value, answer.reason
            if not reason and place in twice and new.number + place + 1 >= 2 * bars:
                longer = self._feature.value_of(new.history[:, end - 2 * bars : end])
                reason = told_difference(bars, answer.value, 2 * bars, longer)
            changed = self._watch.change(new.number + place, 1)
            if changed:
                reason = reason or (
                    f"it changed {changed}, which no snapshot finds; a function of a table keeps nothing: what lasts from candle to "
                    "candle belongs in an object with state_fields"
                )
                self._watch.put_back()
            if reason:
                line[place] = np.nan
                found.append((place, reason))
        return found


def told_difference(look_back: int, value: float, bars: int, longer: TableValue) -> str:
    """
    Return what is wrong when a value is another one on `bars` candles, more than its look-back; empty for nothing.

    Equal is what differs by less than a millionth, or by less than a billionth of the largest value on all of them.
    """
    if longer.reason:
        return longer.reason
    largest = float(np.max(np.abs(longer.finite), initial=0.0))
    if np.isclose(value, longer.value, rtol=NEAR, atol=_NOISE * largest, equal_nan=True):
        return ""
    return (
        f"it depends on more than look_back = {look_back} candles: {value:.6g} on them, {longer.value:.6g} on {bars}; declare as "
        "many as it needs, for an average that never quite forgets about fifteen times its span"
    )
