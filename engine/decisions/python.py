"""
Stage 6 for strategies written in Python: once per closed candle, between two calls of the same kernels.

Most answers change nothing, so the instants are run ahead a stretch at a time, as if no answer would, and what the
account looked like at each close is written down. The strategy is asked close by close from these notes. At the first
answer that an order comes of, the account is put back to the start of the stretch and run up to that close; the answer
rests, and the next stretch begins. The strategy is asked once per close and never shown what comes later.
"""

from collections.abc import Sequence
from typing import Any, Final
from weakref import proxy

import numpy as np

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.decisions.columns import readable
from papertape.engine.decisions.faults import Asked, pause, told_change
from papertape.engine.decisions.hooks import StrategyHooks
from papertape.engine.decisions.stretch import AnswerRows, Stretches
from papertape.engine.features.own.faults import FeatureFault
from papertape.engine.features.reading import Lane
from papertape.engine.jit import IntArray, Rows, copy_rows
from papertape.engine.records import KEEP, Note, Unmet
from papertape.engine.report import StrategyFault
from papertape.engine.state import EngineState
from papertape.engine.strategies.conditions import Conditions
from papertape.engine.strategies.decision_rules import fault_of
from papertape.engine.strategies.instructions import Instructions
from papertape.engine.strategies.kept_state import state_type
from papertape.engine.strategies.past import KeepsPast, PastColumns, history_bars_of, new_past
from papertape.engine.strategies.protocol import Decision, Strategy
from papertape.engine.strategies.view import FeatureColumns, SymbolBatch, View
from papertape.engine.user_code.raised import told

_KEEP: Final = Decision()
_LONGEST: Final = 256  # closes that are run ahead
_FIELDS: Final = ("open", "high", "low", "close", "volume", "flag_bits")
_ALONE: Final[IntArray] = np.zeros(1, np.int64)  # the place of a close that is the only one


class PythonDecider(KeepsPast):
    """
    Asks an engine's Python strategy and runs the instants between its answers.

    faults    of the newest batch
    unheeded  answers of the newest batch for the side that is held or ordered, with another stop, target or size
    """

    def __init__(self, engine: EngineState, asked: Sequence[Asked[Strategy]]) -> None:
        """Ask these, one for each symbol."""
        # Not counted, as for kernels: an engine that nobody holds any more is to go at once.
        self._engine: EngineState = proxy(engine)
        self._asked = asked
        spec, n, strategy = engine.spec, len(engine.symbols), asked[0].strategy
        kind = type(strategy)
        self._name = f"{kind.__module__}:{kind.__qualname__}"
        self._is_all_in = spec.settings.sizing == "all_in"
        # Here, too, and not behind the reference above: they are read at every close.
        self._symbols, self._traded = engine.symbols, engine.traded
        self._base_ms, self._length_ms = engine.base_ms, engine.length_ms
        self._rows = [readable(engine, one.strategy) for one in asked]
        self._history_bars = [history_bars_of(one.strategy) for one in asked]
        fields = tuple(getattr(strategy, "state_fields", ()))
        self._n_fields = len(fields)
        self._states = [state_type(fields)(len(fields)) for _ in range(n)]
        self._past = new_past(n, max(map(len, self._rows)), max(self._history_bars))
        self._wishes = [_KEEP] * n
        self._instructions = [Instructions(engine.length_ms) for _ in range(n)]
        self._hooks = StrategyHooks(self._engine, strategy)
        self._stretch = 1
        self._ahead = Stretches(self._engine, _LONGEST)
        self._answers = AnswerRows(engine)
        self.faults: list[StrategyFault] = []
        self._bad_values: list[FeatureFault] = []  # of the newest batch
        self.unheeded = 0
        self._conditions = Conditions()

    def take_said(self) -> tuple[tuple[Unmet, ...], tuple[Note, ...]]:
        """Return the first unmet condition of each candle of the newest batch, and its notes."""
        return self._conditions.take()

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned; the engine's outputs may have grown."""
        self._ahead.take_arrays()
        super().load(saved)

    def decide(self, candles: Rows, n: int, at: IntArray, closed: int) -> None:
        """Run `n` instants, asking the strategy at every close of its timeframe, of which the newest are `closed`."""
        self.faults, self.unheeded = [], 0
        # Two strategy candles may become known at one instant after a gap: only the newest is asked about.
        columns = np.flatnonzero(np.diff(at[:closed], append=n)) if closed > 1 else _ALONE[:closed]
        closes = at[columns]
        close_ms = candles["open_ms"][closes * len(self._symbols)] + self._base_ms
        asked = list(zip(columns.tolist(), closes.tolist(), close_ms.tolist(), strict=True))
        self._bad_values = self._engine.frames.faults.take(close_ms)
        self._open_batch(closed, at)
        ahead = self._ahead
        ahead.open_batch(candles, closes)
        done, first, resting = 0, 0, (-1, 0)
        while done < len(asked):
            stretch = min(self._stretch, len(asked) - done)
            if stretch > 1:
                ahead.save()
            end = asked[done + stretch - 1][1] + 1
            ahead.run(first, end, done, stretch, resting)
            changes_at = self._ask_all(asked, done, stretch)
            if changes_at < 0:
                first, resting = end, (-1, 0)
                done += stretch
                self._stretch = min(2 * stretch, _LONGEST)
                continue
            column, instant, instant_ms = asked[done + changes_at]
            if changes_at + 1 < stretch:
                ahead.put_back()
                ahead.run(first, instant + 1, done, changes_at + 1, resting)
            self._take(column, instant_ms)
            first, resting = instant + 1, (column, instant_ms)
            done += changes_at + 1
            self._stretch = changes_at + 1
        if first < n or resting[0] >= 0:
            ahead.run(first, n, done, 0, resting)
        self._close_batch()

    def _open_batch(self, closed: int, at: IntArray) -> None:
        """Make the candles and features of a batch readable for the strategy, and load what it keeps."""
        engine = self._engine
        self._batches, self._bars = [], []
        self._hooks.open_batch()
        lanes: Sequence[Lane] = engine.frames.main
        for symbol, lane in enumerate(lanes):
            is_traded = symbol in engine.traded
            matrix = engine.signals(symbol, closed, at) if is_traded else lane.out
            rows, most = self._rows[symbol], self._history_bars[symbol]
            columns = FeatureColumns(matrix, rows, closed)
            columns.conditions = self._conditions
            bars = lane.closed[:closed]
            if most and is_traded:
                ring = self._past[symbol : symbol + 1]
                columns.past = PastColumns(ring, rows, matrix, bars, most)
            state, instructions = self._states[symbol], self._instructions[symbol]
            self._batches.append(SymbolBatch(self._symbols[symbol], state, columns, instructions))
            self._bars.append(list(zip(*(bars[name].tolist() for name in _FIELDS), strict=True)))
        self._kept = engine.strategy_state.view(np.float64).reshape(len(engine.symbols), -1)
        for state, kept in zip(self._states, self._kept, strict=True):
            state.load(kept[: self._n_fields].tolist())

    def _close_batch(self) -> None:
        """Store what the strategy keeps, and end what was readable."""
        self._hooks.close_batch()
        for state, kept, batch in zip(self._states, self._kept, self._batches, strict=True):
            kept[: self._n_fields] = state.store()
            batch.columns.close()

    def _ask_all(self, asked: list[tuple[int, int, int]], done: int, stretch: int) -> int:
        """Ask close by close; return the place of the first whose answers change something, -1 for none."""
        looks, orders = self._ahead.looks(stretch), self._ahead.looks_at_orders
        for place in range(stretch):
            column, _, close_ms = asked[done + place]
            if self._ask(column, close_ms, looks[place], orders[place]):
                return place
        return -1

    def _ask(self, column: int, close_ms: int, looks: list[list[float]], working: Rows) -> bool:
        """Ask about every symbol at one close; return whether an order may come of it, or a pause."""
        is_change = False
        if self._bad_values:
            self._tell_bad_values(close_ms)
        for symbol in self._traded:
            look, bar = looks[symbol], self._bars[symbol][column]
            if bar[5] & FLAG_ABSENT:
                self._wishes[symbol] = _KEEP
                continue
            batch = self._batches[symbol]
            view = View(batch, column, close_ms, bar, look, working[symbol])
            wish = self._wishes[symbol] = self._answer(view, symbol, look)
            if batch.instructions.rows:
                is_change = True
            target = wish[0]
            if wish is _KEEP or target == KEEP:
                continue
            if target != look[4]:
                is_change = True
            elif target and (wish[1:5] != tuple(look[5:9]) or wish[6] != look[9]):
                self.unheeded += 1
        return is_change or (bool(self.faults) and self.faults[-1].time_ms == close_ms)

    def _tell_bad_values(self, close_ms: int) -> None:
        """Report what was wrong with features by this close."""
        for bad in self._bad_values:
            if bad.close_ms == close_ms:
                self._note_fault(StrategyFault(self._name, self._symbols[bad.symbol], close_ms, bad.reason))

    def _answer(self, view: View, symbol: int, look: list[float]) -> Decision:
        """Return what the strategy wants, KEEP when it wants nothing or is at fault; its instructions are collected."""
        reason = ""
        wish: Any = None
        asked, instructions = self._asked[symbol], self._instructions[symbol]
        instructions.time_ms = view.time_ms
        try:
            if self._hooks.is_used:
                self._hooks.call(asked.strategy, view, symbol, look)
            wish = asked.strategy.decide(view)
        except (Exception, SystemExit) as error:  # the boundary to a user's code: no error of it is ours
            reason = told(error)
        if not reason and wish is not None:
            reason = fault_of(wish, self._is_all_in)
        changed = asked.change(view.time_ms, self._length_ms)
        if changed:
            reason = reason or told_change(changed, is_kernel=False)
            asked.start_again()
        if not reason:
            return _KEEP if wish is None else wish
        self._note_fault(StrategyFault(self._name, view.symbol, view.time_ms, reason))
        instructions.rows.clear()
        return _KEEP

    def _note_fault(self, fault: StrategyFault) -> None:
        """Keep a fault for the report, and tell who does not want to wait for it."""
        self.faults.append(fault)
        if self._engine.on_fault is not None:
            self._engine.on_fault(fault)

    def _take(self, column: int, close_ms: int) -> None:
        """Write the answers of one close where they rest; faults pause all entries and are reported first."""
        engine = self._engine
        for symbol in self._traded:
            self._answers.write(symbol, column, self._wishes[symbol])
            asked = self._instructions[symbol].rows
            if asked:
                if self._answers.instruct(symbol, asked):
                    self._ahead.take_arrays()
                if engine.on_instructions is not None:
                    rows = engine.instructions[symbol, : len(asked)]
                    engine.on_instructions(symbol, close_ms, copy_rows(rows))
                asked.clear()
        for fault in self.faults:
            if fault.time_ms == close_ms:
                pause(engine, fault)
