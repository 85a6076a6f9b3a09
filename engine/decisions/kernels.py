"""
Stage 6 for strategies in kernels: a whole batch at a time, and close by close where a user's own is at fault.

A user's kernel may raise, ask for what no order can mean, or keep something where no snapshot finds it. Such a batch is
asked again close by close from the state before it, so that a fault has its candle whatever the batching; entries pause
from that close on, exactly as for a strategy in Python (`papertape.engine.decisions.python`). Built-in kernels are ours: one that
raises is a broken promise and ends the run.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final
from weakref import proxy

import numpy as np

from papertape.engine.broker.execution import rest_all
from papertape.engine.broker.orders import mute_absent
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.decisions.columns import readable
from papertape.engine.decisions.faults import Asked, pause, told_change
from papertape.engine.features.answers import Answers
from papertape.engine.features.reading import ReadFeatures
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.records import FLAT, KEEP, LONG, SHORT, Note, Unmet
from papertape.engine.report import StrategyFault
from papertape.engine.state import EngineState
from papertape.engine.strategies.decision_rules import LEVELS, SCORES, SHARES, fault_of
from papertape.engine.strategies.parameters import values_as_text
from papertape.engine.strategies.protocol import Decision, KernelStrategy
from papertape.engine.user_code.raised import told

_KEEP: Final = Decision()


class KernelDecider:
    """
    Asks an engine's kernel strategy and runs the instants of the batch.

    Strategies whose turn is still to come are asked, too, and their answers left aside: a kernel looks at no account, so
    at its turn each is where it would be had it decided from the beginning.

    faults    of the newest batch; unheeded: a kernel looks at no account, so it cannot know what is held
    """

    def __init__(self, engine: EngineState, turns: Sequence[Sequence[Asked[KernelStrategy]]]) -> None:
        """Ask these, of each turn one for each symbol; none: nobody is asked, and the instants are run all the same."""
        # Not counted: an engine that nobody holds any more is to go at once, with its arrays, not at some collection.
        self._engine: EngineState = proxy(engine)
        self._turns = turns
        kind = type(engine.spec.strategy)
        self._name = f"{kind.__module__}:{kind.__qualname__}"
        self._is_all_in = engine.spec.settings.sizing == "all_in"
        self._rows: list[list[list[int]]] = []
        if len(engine.spec.strategies) > 1:
            self._rows = [[list(readable(engine, one.strategy).values()) for one in turn] for turn in turns]
        is_asked_early = bool(engine.spec.turns or engine.spec.starts_ms)
        self._aside = np.zeros(engine.wishes.shape[1] if is_asked_early else 0, engine.wishes.dtype)
        self._found: list[tuple[int, StrategyFault]] = []  # at which close of the batch, and what
        self._answers = None if is_asked_early else self._shared_answers()
        self.unheeded = 0

    @property
    def faults(self) -> list[StrategyFault]:
        """Return the faults of the newest batch, in time order."""
        return [fault for _, fault in self._found]

    def save(self) -> dict[str, Rows]:
        """Return what is kept beside the engine's own state: nothing."""
        return {}

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned."""

    def restart(self, symbol: int) -> None:
        """Let a symbol begin anew."""

    def take_said(self) -> tuple[tuple[Unmet, ...], tuple[Note, ...]]:
        """Return nothing: a strategy that answers batches says nothing of itself."""
        return (), ()

    def decide(self, candles: Rows, n: int, at: IntArray, closed: int) -> None:
        """Ask about the newest `closed` closes of every symbol, then run `n` instants with the answers."""
        engine = self._engine
        self._found = self._bad_values(candles, at[:closed]) if engine.frames.faults.waiting else []
        if closed and not self._recall(n):
            self._ask_all(candles, at, closed)
            self._keep(n, closed)
        for acting in (engine, *engine.followers):
            self._run(acting, candles, n, at, closed)

    def _shared_answers(self) -> Answers | None:
        """Return the answers of engines before this one to what it will ask; None where nobody else's can be its own."""
        spec, frames = self._engine.spec, self._engine.frames
        asked = [one for turn in self._turns for one in turn]
        if not isinstance(frames, ReadFeatures) or spec.model_features or not asked:
            return None
        if any(one.is_watched for one in asked):  # a user's, which may read what is no parameter
            return None
        told = tuple((type(one.strategy), *values_as_text(one.strategy)) for one in asked)
        return frames.reading.answers.to((spec.timeframe, spec.traded, frames.columns, told))

    def _recall(self, n: int) -> bool:
        """Take the answers of the next `n` instants from an engine before this one; return whether there are any."""
        engine = self._engine
        if self._answers is None:
            return False
        found = self._answers.find(int(engine.account[0].instants), n)
        wishes = engine.outputs.wishes if found is None else found.wishes
        for acting in (engine, *engine.followers):
            acting.wishes = wishes
        if found is not None:
            engine.strategy_state[:] = found.state
        return found is not None

    def _keep(self, n: int, closed: int) -> None:
        """Let engines after this one have its answers of the next `n` instants."""
        engine = self._engine
        if self._answers is not None:
            first = int(engine.account[0].instants)
            self._answers.keep(first, n, engine.wishes[:, :closed], engine.strategy_state)

    def _ask_all(self, candles: Rows, at: IntArray, closed: int) -> None:
        """Ask about the newest `closed` closes of every symbol."""
        engine = self._engine
        for symbol in engine.traded:
            matrix = engine.signals(symbol, closed, at)
            if engine.turn == 0:
                engine.wishes["target"][symbol, :closed] = KEEP
            for number in range(max(engine.turn - 1, 0), len(self._turns)):
                for close, reason in self._ask_one(number, symbol, matrix, closed):
                    self._found.append((close, self._fault(candles, int(at[close]), symbol, reason)))
            bars, wishes = engine.frames.main[symbol].closed, engine.wishes[symbol]
            if engine.frames.has_absent:
                mute_absent(bars, closed, wishes)
            if engine.watch_answers is not None:
                engine.watch_answers(symbol, wishes[:closed], bars[:closed])
        self._found.sort(key=lambda found: found[0])

    def _bad_values(self, candles: Rows, at: IntArray) -> list[tuple[int, StrategyFault]]:
        """Return what was wrong with features by each close."""
        engine = self._engine
        closes_ms = candles["open_ms"][at * len(engine.symbols)] + engine.base_ms
        return [
            (
                int(np.searchsorted(closes_ms, bad.close_ms)),
                StrategyFault(self._name, engine.symbols[bad.symbol], bad.close_ms, bad.reason),
            )
            for bad in engine.frames.faults.take(closes_ms)
        ]

    def _ask_one(self, number: int, symbol: int, matrix: FloatArray, closed: int) -> list[tuple[int, str]]:
        """Let the strategy of one turn write its wishes for one symbol; return the closes that it is at fault at, and why."""
        engine = self._engine
        bars = engine.frames.main[symbol].closed
        kept = engine.strategy_state if number == 0 else engine.turns_state[number - 1]
        wishes = engine.wishes[symbol] if number == engine.turn - 1 else self._aside
        asked = self._turns[number][symbol]
        if self._rows:
            matrix = matrix[self._rows[number][symbol], :closed]
        if asked.is_watched:
            return self._ask(asked, matrix, bars, closed, kept[symbol : symbol + 1], wishes)
        asked.strategy.decide_batch(matrix, bars, closed, kept[symbol : symbol + 1], wishes)
        return []

    def _ask(
        self,
        asked: Asked[KernelStrategy],
        matrix: FloatArray,
        bars: Rows,
        closed: int,
        state: Rows,
        wishes: Rows,
    ) -> list[tuple[int, str]]:
        """Let a user's kernel write its wishes for one symbol; return the closes that it is at fault at, and why."""
        if closed > 1:
            before = state.copy()
            if not self._reason(asked, matrix, bars, closed, state, wishes):
                return []
            state[:] = before
        found = []
        for close in range(closed):
            one = slice(close, close + 1)
            alone = np.ascontiguousarray(matrix[:, one])
            reason = self._reason(asked, alone, bars[one], 1, state, wishes[one])
            if reason:
                found.append((close, reason))
                for name, value in zip(Decision._fields, _KEEP, strict=True):
                    wishes[name][close] = value
        return found

    def _reason(
        self,
        asked: Asked[KernelStrategy],
        matrix: FloatArray,
        bars: Rows,
        closed: int,
        state: Rows,
        wishes: Rows,
    ) -> str:
        """Ask about some closes; return what is wrong with the answers, empty for nothing."""
        reason = ""
        try:
            asked.strategy.decide_batch(matrix, bars, closed, state, wishes)
        except (Exception, SystemExit) as error:  # the boundary to a user's code: no error of it is ours
            reason = told(error)
        reason = reason or self._first_fault(wishes[:closed], bars[:closed])
        # As a whole: once a batch, or where it is looked for.
        changed = asked.change(0, 1)
        if changed:
            reason = reason or told_change(changed, is_kernel=True)
            asked.start_again()
        return reason

    def _first_fault(self, wishes: Rows, bars: Rows) -> str:
        """Return what no order can mean about the first wish of which that is so."""
        asked = wishes[(wishes["target"] != KEEP) & (bars["flag_bits"] & FLAG_ABSENT == 0)]
        is_fine = np.isin(asked["target"], (SHORT, FLAT, LONG))
        for names, most in ((LEVELS, np.inf), (SHARES, 1.0)):
            for name in names:
                is_fine &= (asked[name] >= 0.0) & (asked[name] <= most) & (asked[name] < np.inf)
        for name in SCORES:
            is_fine &= np.isfinite(asked[name])
        if self._is_all_in:
            is_fine &= asked["size_scale"] == 1.0
        for row in asked[~is_fine]:
            reason = fault_of(Decision(*(row[name].item() for name in Decision._fields)), self._is_all_in)
            if reason:
                return reason
        return ""

    def _fault(self, candles: Rows, instant: int, symbol: int, reason: str) -> StrategyFault:
        engine = self._engine
        close_ms = int(candles["open_ms"][instant * len(engine.symbols)]) + engine.base_ms
        return StrategyFault(self._name, engine.symbols[symbol], close_ms, reason)

    def _run(self, engine: EngineState, candles: Rows, n: int, at: IntArray, closed: int) -> None:
        """Run the instants of one account; at a fault entries pause before the wishes of that close rest."""
        first = 0
        for instant, found in groupby(self._found, key=lambda found: int(at[found[0]])):
            begin, end = np.searchsorted(at[:closed], (instant, instant + 1)).tolist()
            engine.run_instants(candles, first, instant + 1, at, begin)
            for _, fault in found:
                pause(engine, fault)
                time_ms = fault.time_ms
            rest_all(engine.portfolio, engine.outputs.rows, engine.wishes, end - 1, time_ms)
            first = instant + 1
        engine.run_instants(candles, first, n, at, closed)
