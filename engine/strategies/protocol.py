"""
What a strategy is.

A strategy names the features it reads and answers each closed candle of its timeframe with what it wants to hold.
Built-in strategies answer for a whole batch in a kernel; a user's own is a Python class with `decide(view)`, called
once per closed candle, on the same features, the same broker and the same ledger.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeGuard, runtime_checkable
from weakref import WeakKeyDictionary

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray, IntArray, Rows, record
from papertape.engine.records import KEEP
from papertape.engine.strategies.view import View


@runtime_checkable
class KernelStrategy(Protocol):
    """A strategy whose decisions are computed in a kernel, a whole batch at a time."""

    name: str
    state_dtype: np.dtype[Any]

    @property
    def features(self) -> Sequence[str]:
        """Return what it reads; the rows of the feature matrix are in this order."""

    def decide_batch(self, features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows) -> None:
        """
        Write `n` decisions for one symbol.

        features   shape (n_columns, >= n), rows in the order of `self.features`; the last row is the model's
                   probability of a rise, NaN while no model has an opinion
        candles    CANDLE, the closed candles of the strategy's timeframe
        state      shape (1,), record of `state_dtype`, changed in place
        decisions  DECISION, every field of the first `n` rows must be written
        """


_KERNELS: Final[WeakKeyDictionary[type, bool]] = WeakKeyDictionary()


def is_kernel(strategy: object) -> TypeGuard[KernelStrategy]:
    """Return whether a strategy is a `KernelStrategy`: looked for once in a class, for it takes as long as much of a trial."""
    kind = type(strategy)
    if kind not in _KERNELS:
        _KERNELS[kind] = isinstance(strategy, KernelStrategy)
    return _KERNELS[kind]


@runtime_checkable
class TellsChanges(Protocol):
    """A strategy in a kernel whose answer follows from the side that it wants, so that it can tell where that changes."""

    def tell(
        self, columns: Sequence[FloatArray], at: IntArray, state: Rows, starts: IntArray, rows: Rows
    ) -> int:
        """
        Write where another side is wanted than at the close before, and what; return how often.

        columns  of its features at all closes, each of shape (n,)
        at       the instant of each close; starts: of those at which it changes, with room for all
        state    as in `decide_batch`
        rows     DECISION, what is wanted from each start on: what `decide_batch` would write at every close up to the next
        """


class Decision(NamedTuple):
    """
    What a Python strategy wants; distances are quote per base from the fill price, 0 = none.

    >>> from papertape import LONG
    >>> Decision(LONG, stop_distance=120.0).target_price  # a stop 120 below the fill, no target
    0.0
    """

    target: int = KEEP
    stop_distance: float = 0.0
    target_distance: float = 0.0
    stop_price: float = 0.0
    target_price: float = 0.0
    confidence: float = 1.0
    size_scale: float = 1.0
    score_model: float = 0.0
    score_smc: float = 0.0
    score_technical: float = 0.0


@runtime_checkable
class Strategy(Protocol):
    """
    A user's strategy: `features` and `decide`. Optional: `state_fields`, names of floats that it keeps per symbol;
    `history_bars`, how many candles `view.history` ever looks back on; `on_fill(view, fill)` and `on_close(view, trade)`,
    asked before `decide` at the first close after it happened, fills first, each in the order in which they happened.

    What lasts from one candle to the next belongs there: every engine has an instance of its own, a daemon starts again
    with a new one, and a strategy that changes itself is refused.
    """

    @property
    def features(self) -> Sequence[str]:
        """Return what it reads."""

    def decide(self, view: View) -> Decision | None:
        """Return what to hold from the next base candle on; None keeps everything as it is."""


def state_dtype_of(strategy: Any) -> np.dtype[Any]:
    """Return the record in which a strategy keeps its state for one symbol, or raise ConfigError for what is none."""
    if is_kernel(strategy):
        return strategy.state_dtype
    if not callable(getattr(strategy, "decide", None)) or not hasattr(strategy, "features"):
        raise ConfigError(f"strategy: {strategy!r} needs `features` and a method `decide(view)`")
    for field in ("features", "state_fields"):
        if isinstance(getattr(strategy, field, ()), str):
            name = getattr(strategy, field)
            raise ConfigError(f"strategy: {field} = {name!r} is one string; write ({name!r},)")
    declared = getattr(strategy, "state_dtype", None)
    if isinstance(declared, np.dtype) and hasattr(type(strategy).decide, "py_func"):
        return declared  # of a kernel, which may keep arrays
    names = getattr(strategy, "state_fields", ()) or ("unused",)
    bad = [name for name in names if not (isinstance(name, str) and name.isidentifier())]
    if bad or len(set(names)) != len(names):
        raise ConfigError(f"strategy: state_fields {tuple(names)!r} are not different Python names")
    return record(*((name, "f8") for name in names))
