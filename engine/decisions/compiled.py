"""
Stage 6 for strategies in kernels that are asked close by close: the loop is machine code, faults are told from here.

Where the loop ends, or an exception passes through it, this decides whether the strategy was at fault, says so in the
words of a strategy in Python, at the same candle, and lets entries pause in the same way.
"""

from collections.abc import Sequence
from typing import Final
from weakref import proxy

import numpy as np

from papertape.engine.broker.risk.own_fees import FeeError
from papertape.engine.broker.working.orders import WORKING_ORDER
from papertape.engine.decisions import closes as loop
from papertape.engine.decisions.ahead import LOOK
from papertape.engine.decisions.columns import readable
from papertape.engine.decisions.faults import Asked, pause, told_change
from papertape.engine.decisions.hooks import forget_seen, keep_unseen
from papertape.engine.decisions.refused import refusal
from papertape.engine.decisions.showing import keep_unmet
from papertape.engine.errors import InvariantError, StrategyError
from papertape.engine.features.own.faults import FeatureFault
from papertape.engine.jit import FloatArray, IntArray, Rows, copy_rows, record
from papertape.engine.records import KEEP, Note, Unmet
from papertape.engine.report import StrategyFault
from papertape.engine.state import EngineState
from papertape.engine.strategies.compiled import records as called
from papertape.engine.strategies.compiled.entry import Entry, own_of_all
from papertape.engine.strategies.compiled.view import view_dtype
from papertape.engine.strategies.decision_rules import fault_of
from papertape.engine.strategies.past import (
    CANDLE_COLUMNS,
    KeepsPast,
    history_bars_of,
    new_past,
    roll,
    unrolled,
)
from papertape.engine.strategies.protocol import Decision, Strategy
from papertape.engine.user_code.raised import told

_HOOKS: Final = ("on_fill", "on_close")
_FIRST_WORD: Final = record(("first", "i8"))  # all that the loop knows of `self`: where it is


class CompiledDecider(KeepsPast):
    """
    Asks an engine's strategy in kernels at every close.

    faults    of the newest batch
    unheeded  answers of the newest batch for the side that is held or ordered, with another stop, target or size
    """

    def __init__(self, engine: EngineState, asked: Sequence[Asked[Strategy]]) -> None:
        """Ask these, one for each symbol."""
        # Not counted, as for the others: an engine that nobody holds any more is to go at once.
        self._engine: EngineState = proxy(engine)
        n, most = len(engine.symbols), engine.frames.most
        strategies = [one.strategy for one in asked]
        kind = type(strategies[0])
        self._name = f"{kind.__module__}:{kind.__qualname__}"
        self._is_all_in = engine.spec.settings.sizing == "all_in"
        # One record for the views of all, so it has what any of them reads.
        self._rows = readable(engine, *strategies)
        bars = max(map(history_bars_of, strategies))
        self._past = new_past(n, len(self._rows), bars)
        dtype = view_dtype(tuple(self._rows), engine.strategy_state.dtype, bars)
        # One more than there are symbols, so that the parts of views never lie side by side: one loop for any number.
        memory = np.zeros((n + 1) * dtype.itemsize, np.uint8)
        self._views = memory.view(dtype)
        self._views["symbol_index"], self._views["length_ms"] = range(n + 1), engine.length_ms
        self._views["symbol"][:-1] = [called.text_number(symbol) for symbol in engine.symbols]
        strides = self._views.strides
        self._heads: Rows = np.ndarray((n + 1,), called.HEAD, memory, 0, strides)
        self._named: FloatArray = np.ndarray(
            (n + 1, len(self._rows)), np.float64, memory, called.HEAD.itemsize, (*strides, 8)
        )
        self._own, self._own_words = own_of_all(strategies)
        self._own_before = self._own_words.copy()
        self._own_firsts: Rows = np.ndarray(
            self._own.shape, _FIRST_WORD, self._own_words, 0, self._own.strides
        )
        self._features = np.zeros((n, len(self._rows), most))
        self._bars = np.zeros((n, most), engine.frames.main[0].closed.dtype)
        self._unmet = np.zeros((n, most), called.UNMET)
        self._columns: IntArray = np.zeros(0, np.int64)  # that the closes of the batch are about
        self._told = np.zeros((n, 2), np.int64)
        self._kept: IntArray = np.zeros(n, np.int64)
        self._is_traded: IntArray = np.isin(np.arange(n), engine.traded).astype(np.int64)
        self._n_asked: IntArray = np.zeros(n, np.int64)
        self._looks = np.zeros(n, LOOK)
        self._looks_at_orders = np.zeros(engine.working.shape, WORKING_ORDER)
        self._seen = np.zeros(1, called.FILL_SEEN)
        self._seen_trades = np.zeros(1, called.TRADE_SEEN)
        self._progress = np.zeros(1, loop.PROGRESS)
        self._progress["is_all_in"] = self._is_all_in
        self._progress["units_per_quote"] = self._engine.spec.units_per_quote
        self._entries = self._compile(strategies)
        self.faults: list[StrategyFault] = []
        self.unheeded = 0

    def _compile(self, strategies: Sequence[Strategy]) -> list[Entry]:
        """Compile the strategies' methods and return them; they last as long as their addresses are used."""
        entries = []
        for method in ("decide", *_HOOKS):
            if getattr(strategies[0], method, None) is None:
                continue
            seen = self._seen_trades if method == "on_close" else self._seen
            entry = Entry(strategies, method, (self._own, self._views, seen))
            self._progress[f"{method}_at"] = entry.address
            entries.append(entry)
        return entries

    def take_said(self) -> tuple[tuple[Unmet, ...], tuple[Note, ...]]:
        """Return the first unmet condition of each candle of the newest batch; kernels have no notes."""
        by_close = self._unmet.T
        found = np.argwhere(by_close["condition"])
        if not len(found):
            return (), ()
        unmet = tuple(
            Unmet(self._engine.symbols[symbol], time_ms, called.TEXTS_BY_NUMBER[text], *compared)
            for symbol, (text, time_ms, *compared) in zip(
                found[:, 1].tolist(), by_close[tuple(found.T)].tolist(), strict=True
            )
        )
        self._unmet["condition"] = 0
        return unmet, ()

    def decide(self, candles: Rows, n: int, at: IntArray, closed: int) -> None:
        """Run `n` instants, asking the strategy at every close of its timeframe, of which the newest are `closed`."""
        self.faults = []
        # Two strategy candles may become known at one instant after a gap: only the newest is asked about.
        columns = np.flatnonzero(np.diff(at[:closed], append=n))
        closes_ms = candles["open_ms"][at[columns] * len(self._engine.symbols)] + self._engine.base_ms
        bad_values = self._engine.frames.faults.take(closes_ms)
        bad_at = np.array([bad.close_ms for bad in bad_values], np.int64)
        n_bad: IntArray = np.sum(closes_ms[:, None] == bad_at, axis=1, dtype=np.int64)
        self._columns = columns
        self._open_batch(closed, at)
        for name in ("close", "stage", "instant", "unheeded"):
            self._progress[name] = 0
        self._progress["is_watched"] = self._engine.on_instructions is not None
        while True:
            reason = ""
            try:
                end = self._run(candles, n, at[columns], columns, n_bad)
            except (FeeError, InvariantError):
                raise
            except Exception as error:  # the boundary to a user's code: no error of it is ours
                end, reason = loop.IN_DOUBT, self._said(error)
            if end == loop.DONE:
                break
            if end == loop.IN_DOUBT:
                self._judge(reason)
            elif end == loop.AT_FAULT:
                self._pause(int(closes_ms[self._progress["close"][0]]), bad_values)
            elif end == loop.NO_ROOM:
                self._engine.outputs.make_room_for_orders()
            else:
                self._tell(int(closes_ms[self._progress["close"][0]]))
        self.unheeded = int(self._progress["unheeded"][0])
        self._close_batch(closed)

    def _pause(self, close_ms: int, bad_values: Sequence[FeatureFault]) -> None:
        """Stop entries for what was at fault at a close: its features first, then the strategy."""
        n_before = sum(fault.time_ms < close_ms for fault in self.faults)
        self.faults[n_before:n_before] = [
            StrategyFault(self._name, self._engine.symbols[bad.symbol], close_ms, bad.reason)
            for bad in bad_values
            if bad.close_ms == close_ms
        ]
        for fault in self.faults[n_before:]:
            pause(self._engine, fault)

    def _tell(self, close_ms: int) -> None:
        """Show somebody what was asked for at a close beside decisions."""
        for symbol in self._engine.traded:
            asked = self._views["asked"][symbol, : self._n_asked[symbol]]
            if len(asked) and self._engine.on_instructions is not None:
                self._engine.on_instructions(symbol, close_ms, copy_rows(asked))

    def _run(self, candles: Rows, n: int, closes: IntArray, columns: IntArray, n_bad: IntArray) -> int:
        """Go on with the batch; return why the loop stopped."""
        engine, outputs = self._engine, self._engine.outputs
        return loop.run_closes(
            self._progress, candles, n, closes, columns, n_bad, self._is_traded, engine.base_ms,
            self._own_firsts, self._own_words, self._own_before, self._heads, self._named,
            self._views["asked"], self._n_asked, self._features, self._bars, self._kept, self._told,
            self._seen, self._seen_trades, self._unmet, engine.unseen_fills, engine.unseen_trades,
            self._looks, self._looks_at_orders, engine.wishes, engine.account, engine.positions,
            engine.trades, engine.orders, outputs.entries, engine.markets, engine.settings,
            outputs.fills, outputs.trades, outputs.marks, outputs.decisions, engine.working,
            engine.scratch, outputs.orders, outputs.limits, engine.frames.known.mark_ranges,
            outputs.counters,
        )  # fmt: skip

    def _open_batch(self, closed: int, at: IntArray) -> None:
        """Lay out the candles and features of a batch for the loop, and load what the strategy keeps."""
        engine = self._engine
        rows = list(self._rows.values())
        for symbol in engine.traded:
            lane = engine.frames.main[symbol]
            matrix = engine.signals(symbol, closed, at)
            self._features[symbol, :, :closed] = matrix[rows, :closed]
            bars: Rows = self._bars[symbol, :closed]
            bars.view(np.uint8)[:] = lane.closed[:closed].view(np.uint8)
            if len(self._past):
                past = self._views["past"][symbol]
                earlier = unrolled(self._past[symbol])
                kept = self._kept[symbol] = earlier.shape[1]
                past[:, :kept] = earlier
                past[: len(rows), kept : kept + closed] = self._features[symbol, :, :closed]
                for index, name in enumerate(CANDLE_COLUMNS, len(rows)):
                    past[index, kept : kept + closed] = bars[name]
        self._views["state"][:-1] = engine.strategy_state
        self._told[:] = -1

    def _close_batch(self, closed: int) -> None:
        """Store what the strategy keeps."""
        engine = self._engine
        engine.strategy_state[:] = self._views["state"][:-1]
        for symbol in engine.traded if len(self._past) else ():
            end = int(self._kept[symbol]) + closed
            roll(self._past, symbol, self._views["past"][symbol][:, :end], closed)
        if self._progress["on_fill_at"] or self._progress["on_close_at"]:
            for symbol, (first, _) in enumerate(self._told.tolist()):
                if first >= 0:
                    forget_seen(engine, symbol)
            keep_unseen(engine, np.maximum(self._told, 0).tolist())

    def _judge(self, reason: str) -> None:
        """Decide whether the newest answer is at fault, and take it back if it is."""
        symbol = int(self._progress["symbol"][0]) - 1
        view = self._views[symbol : symbol + 1]
        # An exception may have passed through the loop before it could.
        column = self._columns[self._progress["close"][0]]
        keep_unmet(self._heads[symbol], self._unmet[symbol, column])
        if view["refused"][0] and not reason:
            reason = self._words(symbol)
        if not reason:
            target, *others = view["wishes"][0].tolist()
            whole = int(target) if target.is_integer() else target
            reason = fault_of(Decision(whole, *others), self._is_all_in)
        own, before = self._own_words[symbol], self._own_before[symbol]
        changed = np.flatnonzero(own != before)
        if len(changed):
            own[:] = before
            name = (self._own.dtype.names or ())[changed[0]]
            reason = reason or told_change(f"self.{name}", is_kernel=False)
        view["refused"] = 0
        if reason:
            view["n_asked"], view["wishes"][0, 0] = 0, KEEP
            self._progress["n_faults"] += 1
            time_ms = int(view["time_ms"][0])
            self.faults.append(StrategyFault(self._name, self._engine.symbols[symbol], time_ms, reason))

    def _said(self, error: Exception) -> str:
        """Return what an exception says; of a call that means nothing the rules say more."""
        symbol = int(self._progress["symbol"][0]) - 1
        if self._views["refused"][symbol] and isinstance(error, StrategyError):
            return self._words(symbol)
        return told(error)

    def _words(self, symbol: int) -> str:
        """Return what is wrong with the call that was refused."""
        view = self._views[symbol : symbol + 1]
        look, working = self._looks[symbol], self._looks_at_orders[symbol]
        return refusal(self._engine.symbols[symbol], view, look, working)
