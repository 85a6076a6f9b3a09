"""
Stretches of closes that are run ahead of a strategy in Python, and the rows that its answers are written to.

Everything here is called once or more for every close, so nothing is looked up twice: arrays are handed to the kernel by
a call that does not look at their types again, and records are written as words.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.broker.risk.fees import set_rates
from papertape.engine.broker.working.instructions import INSTRUCTION, MOST_INSTRUCTIONS
from papertape.engine.broker.working.orders import WORKING_ORDER
from papertape.engine.decisions.ahead import LOOK, run_ahead
from papertape.engine.jit import IntArray, Rows
from papertape.engine.jit.native import direct
from papertape.engine.records import DECISION, KEEP
from papertape.engine.state import EngineState
from papertape.engine.strategies.protocol import Decision

_FEW: Final = 8  # closes for which looking at the types once is not worth it
_DECISION_NAMES: Final = DECISION.names or ()
_FIRST: Final = _DECISION_NAMES.index("target")
assert _DECISION_NAMES[_FIRST : _FIRST + len(Decision._fields)] == Decision._fields
_COLUMNS: Final = {
    name: (place, INSTRUCTION[name] == np.int64) for place, name in enumerate(INSTRUCTION.names or ())
}
_WIDTH: Final = len(_COLUMNS)


class Stretches:
    """Runs instants ahead, notes what is seen at their closes, and puts the account back."""

    def __init__(self, engine: EngineState, longest: int) -> None:
        self._engine = engine
        n = len(engine.symbols)
        self._looks = np.zeros((longest, n), LOOK)
        self._look_words = self._looks.view(np.float64).reshape(longest, n, -1)
        self.looks_at_orders = np.zeros((longest, *engine.working.shape), WORKING_ORDER)
        live = (
            engine.account,
            engine.positions,
            engine.trades,
            engine.orders,
            engine.working,
            engine.instructions,
            engine.n_instructions,
            engine.outputs.counters,
        )
        # Bytes are copied as one, records field by field.
        self._live: list[Rows] = [array.view(np.uint8) for array in live]
        self._saved = [array.copy() for array in self._live]
        self._candles: Rows = np.zeros(0)
        self._closes: IntArray = np.zeros(0, np.int64)
        self._base_ms = engine.base_ms
        self._run: Callable[..., Any] = run_ahead
        self.take_arrays()

    def take_arrays(self) -> None:
        """Take hold of the arrays that every run of instants is given, in the order of `run_ahead`; outputs may grow."""
        engine, outputs = self._engine, self._engine.outputs
        self._arrays = (
            engine.wishes,
            engine.account,
            engine.positions,
            engine.trades,
            engine.orders,
            outputs.entries,
            engine.markets,
            engine.settings,
            outputs.fills,
            outputs.trades,
            outputs.marks,
            outputs.decisions,
            engine.working,
            engine.scratch,
            engine.instructions,
            engine.n_instructions,
            outputs.orders,
            outputs.limits,
            engine.frames.known.mark_ranges,
            outputs.counters,
            self._looks,
            self.looks_at_orders,
        )

    def open_batch(self, candles: Rows, closes: IntArray) -> None:
        """Take the candles of a batch and the instants at whose close the strategy is asked."""
        self._candles, self._closes = candles, closes
        self._run = run_ahead
        if len(closes) > _FEW:
            self._run = direct(run_ahead, candles, 0, 0, closes, 0, 0, 0, 0, *self._arrays)

    def run(self, first: int, last: int, done: int, n_closes: int, resting: tuple[int, int]) -> None:
        """Run instants with what rests before the first of them, noting the closes from number `done` on."""
        closes = self._closes[done:] if done else self._closes
        self._run(
            self._candles, first, last, closes, n_closes, resting[0], resting[1], self._base_ms, *self._arrays
        )

    def looks(self, n_closes: int) -> list[list[list[float]]]:
        """Return what was seen at the newest closes: fields of LOOK by close and symbol."""
        return self._look_words[:n_closes].tolist()  # type: ignore[no-any-return]

    def save(self) -> None:
        """Remember the account as it is."""
        for saved, live in zip(self._saved, self._live, strict=True):
            saved[:] = live

    def put_back(self) -> None:
        """Put the account back to what was remembered."""
        for saved, live in zip(self._saved, self._live, strict=True):
            live[:] = saved
        if self._engine.settings[0].has_tiers:  # a day that began ahead has set the rates of its volume
            set_rates(self._engine.markets, self._engine.account[0].volume)


class AnswerRows:
    """Writes what a strategy answered where kernels read it; as words, for fields of records are slow to write."""

    def __init__(self, engine: EngineState) -> None:
        n = len(engine.symbols)
        self._outputs, self._n_asked = engine.outputs, engine.n_instructions
        self._wish_floats = engine.wishes.view(np.float64).reshape(n, -1, len(_DECISION_NAMES))
        self._wish_integers = self._wish_floats.view(np.int64)
        flat = engine.instructions.reshape(-1)
        # Not arrays: an item of theirs takes twice the time to write.
        self._bytes: Any = flat.view(np.uint8).data
        self._floats: Any = flat.view(np.float64).data
        self._integers: Any = flat.view(np.int64).data

    def write(self, symbol: int, column: int, wish: Decision) -> None:
        """Write the decision about one symbol; of one that keeps nothing else is read."""
        target = wish[0]
        self._wish_integers[symbol, column, _FIRST] = target
        if target != KEEP:
            end = _FIRST + len(wish)
            self._wish_floats[symbol, column, _FIRST + 1 : end] = wish[1:]

    def instruct(self, symbol: int, asked: Sequence[dict[str, float]]) -> bool:
        """Write what else was asked for; return whether the engine's outputs had to grow for it."""
        first = symbol * MOST_INSTRUCTIONS * _WIDTH
        end = first + len(asked) * _WIDTH
        self._bytes[8 * first : 8 * end] = bytes(8 * (end - first))
        floats, integers = self._floats, self._integers
        for fields in asked:
            for name, value in fields.items():
                column, is_integer = _COLUMNS[name]
                if is_integer:
                    integers[first + column] = value
                else:
                    floats[first + column] = value
            first += _WIDTH
        self._n_asked[symbol] = len(asked)
        if len(self._outputs.orders):
            return False
        self._outputs.make_room_for_orders()
        return True
