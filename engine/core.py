"""
The engine: a candle goes in, a report comes out.

`step` takes any number of candles, complete or not at their last instant, and does the same whatever the number. It
touches no clock, no file and no random number; its whole state is arrays, so it can be saved between any two candles.
"""

import hashlib
from typing import Final

import numpy as np

from papertape.engine.account import ACCOUNT, ORDER, PAUSED_BY_COMMAND, POSITION
from papertape.engine.batches import BatchDecider
from papertape.engine.broker import copy_open_trades
from papertape.engine.candles import CANDLE, timeframe_ms
from papertape.engine.check import refuse_bad, split_instants
from papertape.engine.decide import Decider
from papertape.engine.digest import StreamDigest
from papertape.engine.entries import ENTRY
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.events import Action, Command, Event, Funding, Halt, NewModel
from papertape.engine.execute import execute
from papertape.engine.features.smc import EVENT
from papertape.engine.frames import Frames
from papertape.engine.funding import pay_funding
from papertape.engine.halts import impose, is_in_force, refuse_bad_halt
from papertape.engine.jit import FloatArray, IntArray, Rows, copy_rows, join_rows
from papertape.engine.lane import BLOCK
from papertape.engine.ledger import money, open_ledger
from papertape.engine.listing import begun
from papertape.engine.model.current import MODEL_ATR, CurrentModel
from papertape.engine.orders import N_COUNTERS
from papertape.engine.records import (
    DECISION,
    FILL,
    FLAT,
    MARK,
    PAYMENT,
    REASON_COMMAND,
    SWAP,
    TRADE,
)
from papertape.engine.report import Report, Sink
from papertape.engine.snapshot import pack, unpack
from papertape.engine.spec import EngineSpec
from papertape.engine.strategies.protocol import KernelStrategy, state_dtype_of

_FILLS_PER_CANDLE: Final = 3
_NO_DECISIONS: Final = np.zeros(0, DECISION)
_NO_FILLS: Final = np.zeros(0, FILL)
_NO_TRADES: Final = np.zeros(0, TRADE)
_NO_EVENTS: Final = np.zeros(0, EVENT)
_NO_PAYMENTS: Final = np.zeros(0, PAYMENT)
_NO_SWAPS: Final = np.zeros(0, SWAP)
_STREAMS: Final = ("decisions", "fills", "payments", "swaps")  # fields of a report in the digest


class Outputs:
    """Buffers that kernels write to, and the counters that say how far."""

    def __init__(self, n_symbols: int) -> None:
        rows = BLOCK * n_symbols
        self.fills = np.zeros(_FILLS_PER_CANDLE * rows, FILL)
        self.trades = np.zeros(2 * rows, TRADE)
        self.marks = np.zeros(BLOCK, MARK)
        self.decisions = np.zeros(2 * rows, DECISION)
        self.entries = np.zeros(n_symbols, ENTRY)
        self.counters: IntArray = np.zeros(N_COUNTERS, np.int64)

    def take(self, candles: int) -> Report:
        """Return copies of what was written and start again."""
        fills, trades, marks, decisions = self.counters.tolist()
        self.counters[:] = 0
        # Most candles decide and fill nothing, and an empty copy costs as much as a small one.
        return Report(
            candles,
            copy_rows(self.decisions[:decisions]) if decisions else _NO_DECISIONS,
            copy_rows(self.fills[:fills]) if fills else _NO_FILLS,
            copy_rows(self.trades[:trades]) if trades else _NO_TRADES,
            copy_rows(self.marks[:marks]),
            _NO_PAYMENTS,
            _NO_SWAPS,
            _NO_EVENTS,
        )


class Engine:
    """One account, one strategy, one or more symbols."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self.symbols = spec.symbols
        n = len(self.symbols)
        self.markets = spec.market_rows()
        self.settings = spec.settings.rows()
        self.base_ms = timeframe_ms(spec.base_timeframe)
        self.length_ms = timeframe_ms(spec.timeframe)
        strategy = spec.new_strategy()
        requests = (*strategy.features, *spec.extra_features, *spec.model_features)
        if spec.model_features:
            requests = (*requests, MODEL_ATR)
        self.frames = Frames(n, spec.base_timeframe, spec.timeframe, requests, spec.events)
        most = self.frames.main[0].closed.size
        self.model = CurrentModel(
            self.frames.columns, spec.model_features, spec.timeframe, self.symbols, most
        )
        self.account = np.zeros(1, ACCOUNT)
        open_ledger(self.account[0], money(spec.capital))
        self.account["size_factor"] = 1.0
        self.positions = np.zeros(n, POSITION)
        self.trades = np.zeros(n, TRADE)
        self.orders = np.zeros(n, ORDER)
        self.strategy_state = np.zeros(n, state_dtype_of(strategy))
        self.pending = np.zeros(0, CANDLE)
        self.unlisted: IntArray = np.zeros(n, np.int64)
        self.last_open_ms: IntArray = np.full(1, np.iinfo(np.int64).min)
        self.wishes = np.zeros((n, most), DECISION)
        self.outputs = Outputs(n)
        self._decider = (
            BatchDecider(self, strategy)
            if isinstance(strategy, KernelStrategy)
            else Decider(self, strategy)
        )
        self._digests = {name: StreamDigest() for name in _STREAMS}
        self._followers: list[tuple[Engine, Sink]] = []

    def follow(self, spec: EngineSpec, sink: Sink) -> "Engine":
        """
        Let a second account act on this engine's decisions, with other markets or settings, and return its engine.

        One reading of the candles serves both: a strategy in kernels looks at no account, so its decisions are those
        that a run of its own would give. `sink` gets the follower's reports, without structure and predictions.

        Raises ConfigError for a strategy in Python, which is shown its account and has to run by itself.
        """
        if not isinstance(self._decider, BatchDecider):
            raise ConfigError("strategy: one that is shown its account cannot decide for another")
        assert spec.symbols == self.symbols
        follower = Engine(spec)
        follower.wishes, follower.last_open_ms = self.wishes, self.last_open_ms
        self._followers.append((follower, sink))
        return follower

    @property
    def acting(self) -> list["Engine"]:
        """Return the engines that act on this one's decisions, itself first."""
        return [self, *(follower for follower, _ in self._followers)]

    def step(self, event: Event) -> Report:
        """
        Take one event and return everything that happened.

        Raises DataError for an event that must not be traded on, before anything has changed.
        """
        if isinstance(event, Command):
            report = self._command(event)
        elif isinstance(event, Funding):
            report = self._funding(event)
        elif isinstance(event, NewModel):
            report = self._swap(event)
        elif isinstance(event, Halt):
            report = self._halt(event)
        else:
            report = self._candles(event)
        # Candles reach followers block by block, with the decisions about them.
        if not isinstance(event, np.ndarray):
            for follower, sink in self._followers:
                sink(follower.step(event))
        for name, digest in self._digests.items():
            digest.update(getattr(report, name))
        return report

    def _candles(self, event: Rows) -> Report:
        """Take candles through all stages, block by block."""
        candles = self._admit(event)
        reports = []
        for first in range(0, len(candles), BLOCK * len(self.symbols)):
            block = candles[first : first + BLOCK * len(self.symbols)]
            for part, listed in begun(block, self.unlisted):
                for symbol in listed:
                    self._begin(symbol)
                reports.append(self._block(part))
        report = reports[0] if len(reports) == 1 else _joined(reports)
        report.candles = len(event)
        return report

    def _admit(self, candles: Rows) -> Rows:
        """Return the complete instants, after every row has been checked; keep the rest for later."""
        if candles.dtype != CANDLE:
            raise DataError(f"candles: type {candles.dtype} is not the CANDLE record")
        if len(self.pending):
            candles = join_rows([self.pending, np.ascontiguousarray(candles)])
        refuse_bad(candles, len(self.pending), self.symbols, int(self.last_open_ms[0]))
        complete, rest = split_instants(candles, len(self.symbols))
        self.pending = copy_rows(rest)
        if len(complete):
            self.last_open_ms[0] = complete["open_ms"][-1]
        return complete

    def _begin(self, symbol: int) -> None:
        """Let everything that is kept of a market begin with its first candle."""
        self.frames.restart(symbol)
        self.model.restart(symbol)
        self.strategy_state[symbol] = np.zeros(1, self.strategy_state.dtype)[0]

    def _block(self, candles: Rows) -> Report:
        """Run up to BLOCK complete instants through all stages."""
        n = len(candles) // len(self.symbols)
        closed, at = self.frames.advance(candles, n)
        self._decider.decide(candles, n, at, closed)
        for follower, sink in self._followers:
            sink(follower.outputs.take(len(candles)))
        report = self.outputs.take(len(candles))
        report.faults, report.unheeded = tuple(self._decider.faults), self._decider.unheeded
        report.events = self.frames.take_events()
        if self.model.artefact is not None:
            version = int(self.account[0].model_version)
            report.predictions = self.model.take_predictions(version)
        return report

    def signals(self, symbol: int, closed: int, at: IntArray) -> FloatArray:
        """Return the features of one symbol at each close, and in the last row what the model makes of them."""
        matrix = self.frames.matrix(symbol, closed, at)
        self.model.infer(symbol, matrix, self.frames.main[symbol].closed, closed)
        return matrix

    def run_instants(self, candles: Rows, first: int, last: int, at: IntArray, closed: int) -> None:
        """Execute instants `first` … `last - 1` with the decisions in `wishes`."""
        outputs = self.outputs
        execute(
            candles,
            first,
            last,
            self.base_ms,
            self.wishes,
            at,
            closed,
            self.account,
            self.positions,
            self.trades,
            self.orders,
            outputs.entries,
            self.markets,
            self.settings,
            outputs.fills,
            outputs.trades,
            outputs.marks,
            outputs.decisions,
            outputs.counters,
        )

    def _command(self, command: Command) -> Report:
        """Apply an operator's action between two instants."""
        account = self.account[0]
        if command.action is Action.SCALE:
            if not 0.0 <= command.value <= 1.0:
                raise DataError(f"command: size factor {command.value} is not between 0 and 1")
            account.size_factor = command.value
            return self.outputs.take(0)
        if command.action in (Action.FLATTEN, Action.KILL):
            # Entries that rest are taken back too; a position is closed at the next open.
            self.orders["is_active"] = 0
            for symbol in np.flatnonzero(self.positions["quantity"]):
                order = self.orders[symbol]
                order.is_active, order.target, order.reason = 1, FLAT, REASON_COMMAND
                order.ready_instant = account.instants + 1
        if command.action is Action.RESUME:
            account.is_paused = 0
        elif command.action is not Action.FLATTEN:
            account.is_paused |= PAUSED_BY_COMMAND
        return self.outputs.take(0)

    def _funding(self, funding: Funding) -> Report:
        """Post a funding settlement between two instants."""
        report = self.outputs.take(0)
        report.payments = pay_funding(
            funding, self.symbols, self.markets, self.account[0], self.positions, self.trades
        )
        return report

    def _halt(self, halt: Halt) -> Report:
        """Let a halt begin or end between two instants."""
        refuse_bad_halt(halt, self.symbols)
        report = self.outputs.take(0)
        report.fills, report.trades = impose(
            halt,
            self.account[0],
            self.positions,
            self.trades,
            self.orders,
            self.markets,
            int(self.last_open_ms[0]),
        )
        return report

    def would_change(self, halt: Halt) -> bool:
        """Return whether a halt is news; raises DataError for one that concerns nothing of this engine."""
        refuse_bad_halt(halt, self.symbols)
        return not is_in_force(halt, self.account[0], self.positions)

    def _swap(self, model: NewModel) -> Report:
        """Let a model take over between two instants."""
        self.model.swap(model.version, model.artefact)
        account = self.account[0]
        account.model_version = model.version
        swaps = np.zeros(1, SWAP)
        swap = swaps[0]
        swap.sequence = account.sequence
        account.sequence += 1
        swap.time_ms = int(self.last_open_ms[0]) + self.base_ms if account.instants else 0
        swap.version = model.version
        swap.sha256[:] = np.frombuffer(hashlib.sha256(model.artefact).digest(), "<i8")
        report = self.outputs.take(0)
        report.swaps = swaps
        return report

    def open_trades(self) -> Rows:
        """Return trades that are still open, marked at the last close, exit costs not included."""
        close_ms = int(self.last_open_ms[0]) + self.base_ms
        return copy_open_trades(self.positions, self.trades, self.markets, close_ms)

    @property
    def digest(self) -> str:
        """
        Return the digest of every decision, fill, payment and model swap so far; equal digests mean equal runs.

        Payments and swaps are left out where there were none, so that a run without them has its digest by itself.
        """
        parts = [self._digests["decisions"].digest(), self._digests["fills"].digest()]
        for name in ("payments", "swaps"):
            if not self._digests[name].is_empty:
                parts += [name.encode(), self._digests[name].digest()]
        joined = StreamDigest()
        joined.update(np.frombuffer(b"".join(parts), np.uint8))
        return joined.digest().hex()

    def _arrays(self) -> dict[str, Rows]:
        """Return the whole state by name."""
        return {
            "account": self.account,
            "positions": self.positions,
            "trades": self.trades,
            "orders": self.orders,
            "strategy": self.strategy_state,
            "pending": self.pending,
            "last_open_ms": self.last_open_ms,
            "unlisted": self.unlisted,
            **{f"{name}_digest": digest.save() for name, digest in self._digests.items()},
            **self.model.save(),
            **self.frames.save(),
        }

    def snapshot(self) -> bytes:
        """Return the whole state between two events."""
        return pack(self._arrays(), self.spec.fingerprint())

    def restore(self, data: bytes) -> None:
        """Take over a snapshot of an engine of the same configuration, or raise DataError."""
        saved = unpack(data, self.spec.fingerprint(), self._arrays())
        for name in (
            "account",
            "positions",
            "trades",
            "orders",
            "strategy",
            "unlisted",
            "last_open_ms",
        ):
            getattr(self, "strategy_state" if name == "strategy" else name)[:] = saved[name]
        self.pending = saved["pending"]
        for name, digest in self._digests.items():
            digest.load(saved[f"{name}_digest"])
        self.model.load(saved)
        self.frames.load(saved)


def _joined(reports: list[Report]) -> Report:
    """Return the reports of several blocks as one."""
    if not reports:
        marks = np.zeros(0, MARK)
        return Report(0, _NO_DECISIONS, _NO_FILLS, _NO_TRADES, marks, _NO_PAYMENTS, _NO_SWAPS)
    return Report(
        0,
        join_rows([report.decisions for report in reports]),
        join_rows([report.fills for report in reports]),
        join_rows([report.trades for report in reports]),
        join_rows([report.marks for report in reports]),
        _NO_PAYMENTS,
        _NO_SWAPS,
        join_rows([report.events for report in reports]),
        join_rows([report.predictions for report in reports]),
        tuple(fault for report in reports for fault in report.faults),
        sum(report.unheeded for report in reports),
    )
