"""
The engine: a candle goes in, a report comes out.

`step` takes any number of candles, complete or not at their last instant, and does the same whatever the number. It
touches no clock, no file and no random number; its whole state is arrays, so it can be saved between any two candles.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from papertape.engine.broker.account import PAUSED_BY_COMMAND
from papertape.engine.broker.fills import copy_open_trades
from papertape.engine.broker.funding import pay_funding
from papertape.engine.broker.halts import impose, is_in_force, refuse_bad_halt
from papertape.engine.broker.risk.fees import counts_volume
from papertape.engine.broker.risk.limits import resume
from papertape.engine.broker.risk.own_fees import FeeError
from papertape.engine.broker.working.endings import end_orders_of
from papertape.engine.broker.working.orders import BY_COMMAND, BY_DELISTING
from papertape.engine.candles import CANDLE
from papertape.engine.check import begun, refuse_bad, split_instants
from papertape.engine.decisions.kernels import KernelDecider
from papertape.engine.decisions.turns import Decider, by_turn, deciders_of, load_into, saved_by, turn_at
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.events import (
    OF_PAUSES,
    Action,
    Cause,
    Command,
    Event,
    Funding,
    Halt,
    MarketChange,
    NewModel,
    SeriesRows,
)
from papertape.engine.features.reading import ReadFeatures, Reading
from papertape.engine.jit import Rows, copy_rows, join_rows, locked_rows
from papertape.engine.records import FLAT, REASON_COMMAND, SWAP
from papertape.engine.report import Report, Sink, joined
from papertape.engine.snapshot import StreamDigest, pack, unpack
from papertape.engine.spec import EngineSpec
from papertape.engine.state import STREAMS, EngineState, Outputs

_NO_CANDLES: Final = np.zeros(0, CANDLE)


class Engine(EngineState):
    """One account, one strategy, one or more symbols."""

    def __init__(
        self,
        spec: EngineSpec,
        reading: Reading | None = None,
        outputs: Outputs | None = None,
        is_asking: bool = True,
    ) -> None:
        """
        Make an engine before its first candle.

        reading  candles that it shares with other engines, to be read on (`read_on`)
        outputs  buffers of another engine over them that are used again; between two events nothing is in them
        is_asking  it asks its strategy; False: somebody else knows what that wants, and it is never stepped
        """
        super().__init__(spec, reading, outputs)
        self._deciders = deciders_of(self) if is_asking else []
        self._followers: list[tuple[Engine, Sink, Callable[[Event], Event]]] = []

    def follow(
        self, spec: EngineSpec, sink: Sink, heard: Callable[[Event], Event] = lambda event: event
    ) -> "Engine":
        """
        Let a second account act on this engine's decisions, with other markets or settings, and return its engine.

        One reading of the candles serves both: a strategy in kernels looks at no account, so its decisions are those
        that a run of its own would give. `sink` gets the follower's reports, without structure and predictions;
        `heard` says what an event other than candles is to it: with other markets a change of them is another.

        Raises ConfigError for a strategy in Python, which is shown its account and has to run by itself.
        """
        if not isinstance(self._deciders[-1], KernelDecider):
            raise ConfigError("strategy: one that is shown its account cannot decide for another")
        assert spec.symbols == self.symbols
        follower = Engine(spec)
        follower.wishes, follower.last_open_ms = self.wishes, self.last_open_ms
        follower.frames.known = self.frames.known
        self._followers.append((follower, sink, heard))
        self.followers.append(follower)
        return follower

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
        elif isinstance(event, SeriesRows):
            report = self._series(event)
        elif isinstance(event, MarketChange):
            report = self.outputs.take(0)
            report.changes = self.change_market(event)
        else:
            report = self._candles(event)
        # Candles reach followers block by block, with the decisions about them; what is known of series is shared.
        if not isinstance(event, np.ndarray | SeriesRows):
            for follower, sink, heard in self._followers:
                sink(follower.step(heard(event)))
        return self.counted(report)

    def read_on(self, n: int) -> Iterator[Report]:
        """Take the next `n` instants of its reading, and yield what `step` would return, in parts that are lent: the next is written over each."""
        assert isinstance(self.frames, ReadFeatures)
        rows = len(self.symbols)
        first = int(self.account[0].instants) * rows
        candles = self.frames.reading.candles[first : first + n * rows]
        self.last_open_ms[0] = candles["open_ms"][-1]
        for report in self._parts(candles, is_lent=True):
            yield self.counted(report)

    def counted(self, report: Report) -> Report:
        """Return a report, which is in the digests from now on."""
        for name, digest in self._digests.items():
            rows = getattr(report, name)
            if len(rows):  # of most steps there are none
                digest.update(rows)
        return report

    def _candles(self, event: Rows) -> Report:
        """Take candles through all stages."""
        report = self._through(self._admit(event))
        report.candles = len(event)
        return report

    def _through(self, candles: Rows) -> Report:
        """Take complete instants through all stages."""
        reports = list(self._parts(candles))
        report = joined(reports) if reports else self.outputs.take(0)
        report.candles = len(candles)
        return report

    def _parts(self, candles: Rows, is_lent: bool = False) -> Iterator[Report]:
        """Take complete instants through all stages, and yield what happened, block by block."""
        rows = self.frames.block * len(self.symbols)
        for first in range(0, len(candles), rows):
            block = candles[first : first + rows]
            for whole, listed in begun(block, self.unlisted):
                for symbol in listed:
                    self._begin(symbol)
                for part, turn in by_turn(whole, self.spec, self.base_ms):
                    if turn != self.turn:
                        yield from self._take_turn(turn, int(part[0]["open_ms"]))
                    yield self._block(part, is_lent)

    def _admit(self, candles: Rows) -> Rows:
        """Return the complete instants, after every row has been checked; keep the rest for later."""
        if candles.dtype != CANDLE:
            raise DataError(f"candles: type {candles.dtype} is not the CANDLE record")
        if len(self.pending):
            candles = join_rows([self.pending, np.ascontiguousarray(candles)])
        refuse_bad(candles, len(self.pending), self.symbols, int(self.last_open_ms[0]))
        complete, rest = split_instants(candles, len(self.symbols))
        self.pending = copy_rows(rest) if len(rest) else _NO_CANDLES
        if len(complete):
            self.last_open_ms[0] = complete["open_ms"][-1]
        return locked_rows(complete)

    def _begin(self, symbol: int) -> None:
        """Let everything that is kept of a market begin with its first candle."""
        self.frames.restart(symbol)
        self.model.restart(symbol)
        for decider in self._deciders:
            decider.restart(symbol)
        self.strategy_state[symbol] = np.zeros(1, self.strategy_state.dtype)[0]
        self.turns_state[:, symbol] = np.zeros(1, self.strategy_state.dtype)[0]

    def _take_turn(self, turn: int, time_ms: int) -> list[Report]:
        """Let the parameters of a turn decide from now on; what is held before is carried, or closed at the next open."""
        is_first, self.turn = self.turn == 0, turn
        if len(self._deciders) > 1:  # each is shown the account, and begins anew
            self.strategy_state[:] = np.zeros(1, self.strategy_state.dtype)[0]
        if is_first or not self.spec.closes_at_turns:
            return []
        for follower, sink, _ in self._followers:
            follower._flatten(time_ms)
            sink(follower.outputs.take(0))
        self._flatten(time_ms)
        return [self.outputs.take(0)]

    @property
    def _decider(self) -> Decider:
        """Return who decides in this turn."""
        return self._deciders[min(self.turn, len(self._deciders) - 1)]

    def _block(self, candles: Rows, is_lent: bool) -> Report:
        """Run as many complete instants as a block has at most through all stages."""
        n = len(candles) // len(self.symbols)
        closed, at = self.frames.advance(candles, n)
        before = int(self.account["instants"][0])
        decider = self._decider
        try:
            decider.decide(candles, n, at, closed)
        except FeeError as error:
            row = (int(self.account["instants"][0]) - before - 1) * len(self.symbols)
            error.time_ms = int(candles[row]["open_ms"])
            raise
        for follower, sink, _ in self._followers:
            sink(follower.outputs.take(len(candles)))
        report = self.outputs.take(len(candles), is_lent)
        report.faults, report.unheeded = tuple(decider.faults), decider.unheeded
        report.unmet, report.notes = decider.take_said()
        report.events = self.frames.take_events()
        if self.model.artefact is not None:
            version = int(self.account["model_version"][0])
            report.predictions = self.model.take_predictions(version)
        return report

    def _command(self, command: Command) -> Report:
        """Apply an operator's action between two instants."""
        account = self.account[0]
        if command.action is Action.SCALE:
            if not 0.0 <= command.value <= 1.0:
                raise DataError(f"command: size factor {command.value} is not between 0 and 1")
            account.size_factor = command.value
            return self.outputs.take(0)
        if command.action in (Action.FLATTEN, Action.KILL):
            self._flatten(int(self.last_open_ms[0]) + self.base_ms)
        if command.action is Action.RESUME:
            account.is_paused = 0
            if command.value != OF_PAUSES:
                resume(account)
        elif command.action is not Action.FLATTEN:
            account.is_paused |= PAUSED_BY_COMMAND
        return self.outputs.take(0)

    def _flatten(self, time_ms: int) -> None:
        """Close every position at the next open, and take back the entries that rest."""
        self.orders["is_active"] = 0
        self._end_orders(BY_COMMAND, time_ms)
        for symbol in np.flatnonzero(self.positions["quantity"]):
            order = self.orders[symbol]
            order.is_active, order.target, order.reason = 1, FLAT, REASON_COMMAND
            order.ready_instant = self.account[0].instants + 1

    def _end_orders(self, cause: int, time_ms: int, symbol: int | None = None) -> None:
        """Take back the working orders of one symbol or of all, between two instants."""
        for each in range(len(self.symbols)) if symbol is None else (symbol,):
            end_orders_of(self.portfolio, self.outputs.rows, each, time_ms, cause)

    def _funding(self, funding: Funding) -> Report:
        """Post a funding settlement between two instants."""
        report = self.outputs.take(0)
        report.payments = pay_funding(
            funding, self.symbols, self.markets, self.account[0], self.positions, self.trades
        )
        self.frames.known.note_funding(funding.time_ms, funding.symbol, funding.rate)
        return report

    def _series(self, series: SeriesRows) -> Report:
        """Take what became known, or will, of series beside the candles."""
        self.frames.known.add(series.rows, self.symbols)
        return self.outputs.take(0)

    def _halt(self, halt: Halt) -> Report:
        """Let a halt begin or end between two instants."""
        refuse_bad_halt(halt, self.symbols)
        if halt.cause is Cause.GONE and halt.is_on:
            self._end_orders(BY_DELISTING, int(self.last_open_ms[0]) + self.base_ms, halt.symbol)
        report = self.outputs.take(0)
        report.fills, report.trades = impose(halt, self.portfolio, int(self.last_open_ms[0]))
        return report

    def would_change(self, event: Halt | MarketChange) -> bool:
        """Return whether what was told is news; raises DataError for what concerns nothing of this engine."""
        if isinstance(event, MarketChange):
            after = self.changed_market(event)
            return bool(after.tobytes() != self.markets[event.symbol].tobytes())
        refuse_bad_halt(event, self.symbols)
        return not is_in_force(event, self.account[0], self.positions)

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

        Payments, swaps, working orders, limits and changes of markets are left out where there were none, so that a run
        without them has its digest by itself.
        """
        parts = [self._digests["decisions"].digest(), self._digests["fills"].digest()]
        for name in STREAMS[2:]:
            if not self._digests[name].is_empty:
                parts += [name.encode(), self._digests[name].digest()]
        joined = StreamDigest()
        joined.update(np.frombuffer(b"".join(parts), np.uint8))
        return joined.digest().hex()

    def _arrays(self) -> dict[str, Rows]:
        """Return the whole state by name; where machine code lies is none of it."""
        markets = copy_rows(self.markets)
        markets["fee_address"] = 0
        return {
            "account": self.account,
            "positions": self.positions,
            "trades": self.trades,
            "orders": self.orders,
            "markets": markets,
            "working": self.working_orders(),
            "strategy": self.strategy_state,
            "pending": self.pending,
            "unseen_fills": self.unseen_fills,
            "unseen_trades": self.unseen_trades,
            "last_open_ms": self.last_open_ms,
            "unlisted": self.unlisted,
            **{f"{name}_digest": digest.save() for name, digest in self._digests.items()},
            **self.model.save(),
            **self.frames.save(),
            **({"turns": self.turns_state} if self.spec.turns else {}),
            **saved_by(self._deciders),
        }

    def snapshot(self) -> bytes:
        """Return the whole state between two events."""
        return pack(self._arrays(), self.spec.fingerprint())

    def restore(self, data: bytes) -> None:
        """Take over a snapshot of an engine of the same configuration, or raise DataError."""
        saved = unpack(data, self.spec.fingerprint(), self._arrays())
        for name in ("account", "positions", "trades", "orders", "markets", "unlisted", "last_open_ms"):
            getattr(self, name)[:] = saved[name]
        self.strategy_state[:] = saved["strategy"]
        self.markets["fee_address"] = self.spec.market_rows()["fee_address"]
        self.settings["has_tiers"] = counts_volume(self.markets, self.traded)
        self.working[:] = 0
        self.working[:, : saved["working"].shape[1]] = saved["working"]
        if saved["working"].size or self.account[0].moves:
            self.outputs.make_room_for_orders()
        self.pending = saved["pending"]
        self.unseen_fills = saved["unseen_fills"]
        self.unseen_trades = saved["unseen_trades"]
        for name, digest in self._digests.items():
            digest.load(saved[f"{name}_digest"])
        self.model.load(saved)
        self.frames.load(saved)
        if self.spec.turns:
            self.turns_state[:] = saved["turns"]
        self.turn = turn_at(int(self.last_open_ms[0]) + self.base_ms, self.spec)
        load_into(self._deciders, saved)
