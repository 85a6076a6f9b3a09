"""The state of an engine: its arrays, the features at each close, and the one way to run instants over them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from papertape.engine.broker.account import ACCOUNT, ORDER, POSITION, OutputRows, Portfolio
from papertape.engine.broker.entries import ENTRY
from papertape.engine.broker.execution import execute
from papertape.engine.broker.ledger import open_ledger
from papertape.engine.broker.orders import N_COUNTERS
from papertape.engine.broker.risk.changes import changes_of, refuse_other_market
from papertape.engine.broker.risk.fees import counts_volume, set_rates
from papertape.engine.broker.risk.margin import set_liquidation
from papertape.engine.broker.working.instructions import INSTRUCTION, MOST_INSTRUCTIONS
from papertape.engine.broker.working.orders import CAPACITY, FREE, ORDER_EVENT, WORKING_ORDER
from papertape.engine.candles import CANDLE, timeframe_ms
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.events import MarketChange
from papertape.engine.features.matrix import FeatureMatrix
from papertape.engine.features.reading import Frames, ReadFeatures, Reading
from papertape.engine.features.series import block_of
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import FloatArray, IntArray, Row, Rows, copy_rows
from papertape.engine.model.inference.current import MODEL_ATR, CurrentModel
from papertape.engine.records import DECISION, FILL, KEEP, LIMIT_EVENT, MARK, PAYMENT, SWAP, TRADE
from papertape.engine.report import Report, StrategyFault
from papertape.engine.snapshot import StreamDigest
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies.own_signals import can_short_of, question_of
from papertape.engine.strategies.protocol import is_kernel, state_dtype_of

_FILLS_PER_CANDLE: Final = 3
_READ_BLOCKS: Final = 4  # of a reading that kernels take at a time
_NO_DECISIONS: Final = np.zeros(0, DECISION)
_NO_FILLS: Final = np.zeros(0, FILL)
_NO_TRADES: Final = np.zeros(0, TRADE)
_NO_EVENTS: Final = np.zeros(0, EVENT)
_NO_PAYMENTS: Final = np.zeros(0, PAYMENT)
_NO_SWAPS: Final = np.zeros(0, SWAP)
_NO_ORDERS: Final = np.zeros(0, ORDER_EVENT)
_NO_LIMITS: Final = np.zeros(0, LIMIT_EVENT)

# Fields of a report that are in the digest.
STREAMS: Final = ("decisions", "fills", "payments", "swaps", "orders", "limits", "changes")


class Outputs:
    """
    Buffers that kernels write to, and the counters that say how far.

    wishes  the decision of every symbol at every close of the newest block
    """

    def __init__(self, n_symbols: int, block: int, most: int) -> None:
        """Make room for what a block of instants writes at most, in which `most` candles of the strategy close."""
        rows = block * n_symbols
        self.wishes = np.zeros((n_symbols, most), DECISION)
        self.fills = np.zeros(_FILLS_PER_CANDLE * rows, FILL)
        self.trades = np.zeros(2 * rows, TRADE)
        self.marks = np.zeros(block, MARK)
        self.decisions = np.zeros(2 * rows, DECISION)
        self.entries = np.zeros(n_symbols, ENTRY)
        self.orders = np.zeros(0, ORDER_EVENT)
        self.limits = np.zeros(2 * block, LIMIT_EVENT)  # of losses and of equity
        self.counters: IntArray = np.zeros(N_COUNTERS, np.int64)

    def make_room_for_orders(self) -> None:
        """
        Grow to what working orders may write at every candle; called before the first of them is placed.

        Each fills once a candle at most, against a position and then for one; each begins, trails, turns, fills twice,
        moves stop and target as it adds, and ends; and stop and target move once more by themselves.
        """
        if len(self.orders):
            return
        rows = len(self.trades) // 2
        self.orders = np.zeros((MOST_INSTRUCTIONS + 8 * CAPACITY + 2) * rows, ORDER_EVENT)
        fills, trades = self.fills, self.trades
        self.fills = np.zeros(len(fills) + 2 * CAPACITY * rows, FILL)
        self.trades = np.zeros(len(trades) + CAPACITY * rows, TRADE)
        self.fills[: len(fills)], self.trades[: len(trades)] = fills, trades

    @property
    def rows(self) -> OutputRows:
        """Return the buffers as kernels hand them on; they may grow."""
        return OutputRows(
            self.fills, self.trades, self.marks, self.decisions, self.orders, self.limits, self.counters
        )

    def take(self, candles: int, is_lent: bool = False) -> Report:
        """Return what was written and start again: copies, or what is written over from then on (`is_lent`)."""
        give = _as_it_is if is_lent else copy_rows
        fills, trades, marks, decisions, orders, limits = self.counters.tolist()
        self.counters[:] = 0
        # Most candles decide and fill nothing, and an empty copy costs as much as a small one.
        return Report(
            candles,
            give(self.decisions[:decisions]) if decisions else _NO_DECISIONS,
            give(self.fills[:fills]) if fills else _NO_FILLS,
            give(self.trades[:trades]) if trades else _NO_TRADES,
            give(self.marks[:marks]),
            _NO_PAYMENTS,
            _NO_SWAPS,
            _NO_EVENTS,
            orders=give(self.orders[:orders]) if orders else _NO_ORDERS,
            limits=give(self.limits[:limits]) if limits else _NO_LIMITS,
        )


def _as_it_is(rows: Rows) -> Rows:
    return rows


class EngineState:
    """
    What an engine is between two events, and what those that decide need of it.

    traded     the numbers of the symbols that are not read only
    followers  engines that act on this one's decisions, too
    watch      is shown a symbol's features and candles at the closes of every batch; nothing depends on it
    on_instructions  is told what a strategy asked for beside a decision: number of the symbol, close in ms, INSTRUCTION rows
    on_fault   is told a fault of a Python strategy as it happens; what it raises ends the step, and the engine with it
    wishes     the decision of every symbol at every close of the newest batch
    turn       how many of the spec's strategies have begun; 0: nobody is asked yet
    turns_state  what the strategies after the first keep, shape (n_turns, n_symbols)
    """

    def __init__(
        self, spec: EngineSpec, reading: Reading | None = None, outputs: Outputs | None = None
    ) -> None:
        self.spec = spec
        self.symbols = spec.symbols
        self.traded = tuple(self.symbols.index(symbol) for symbol in spec.traded)
        n = len(self.symbols)
        self.markets = spec.market_rows()
        self.settings = spec.settings_rows()
        self.base_ms = timeframe_ms(spec.base_timeframe)
        self.length_ms = timeframe_ms(spec.timeframe)
        self.frames = self._frames(self._requests(), reading)
        most = self.frames.most
        self.model = self._model()
        self.account = np.zeros(1, ACCOUNT)
        open_ledger(self.account[0], spec.capital_units)
        self.account["size_factor"] = 1.0
        for name in ("marked_equity", "day_equity", "peak_equity"):
            self.account[name] = spec.capital_units
        self.positions = np.zeros(n, POSITION)
        self.trades = np.zeros(n, TRADE)
        self.orders = np.zeros(n, ORDER)
        self.working = np.zeros((n, CAPACITY), WORKING_ORDER)
        self.scratch = np.zeros(n + 1, INSTRUCTION)
        self.instructions = np.zeros((n, MOST_INSTRUCTIONS), INSTRUCTION)
        self.n_instructions: IntArray = np.zeros(n, np.int64)
        self.strategy_state = np.zeros(n, state_dtype_of(spec.strategy))
        self.turns_state = np.zeros((len(spec.turns), n), self.strategy_state.dtype)
        self.turn = 0
        self.pending = np.zeros(0, CANDLE)
        # What a strategy with hooks has not been told yet.
        self.unseen_fills = np.zeros(0, FILL)
        self.unseen_trades = np.zeros(0, TRADE)
        self.unlisted: IntArray = np.zeros(n, np.int64)
        self.last_open_ms: IntArray = np.full(1, np.iinfo(np.int64).min)
        self.outputs = outputs or Outputs(n, self.frames.block, most)
        self.outputs.counters[:] = 0
        if spec.allocation.rebalance_hours:
            self.outputs.make_room_for_orders()
        self.wishes = self.outputs.wishes
        read_only = [symbol for symbol in range(n) if symbol not in self.traded]
        self.wishes["target"][read_only] = KEEP  # for good: nobody writes there
        self._digests = {name: StreamDigest() for name in STREAMS}
        self.followers: list[EngineState] = []
        self.watch: Callable[[int, FloatArray, Rows], None] | None = None
        self.watch_answers: Callable[[int, Rows, Rows], None] | None = None
        self.on_instructions: Callable[[int, int, Rows], None] | None = None
        self.on_fault: Callable[[StrategyFault], None] | None = None

    def begin_again(self, spec: EngineSpec, begun: Iterable[tuple[Rows, Rows]]) -> None:
        """
        Be before the first candle again, of a specification with other parameters of the same strategy and nothing else.

        begun  bytes of its arrays, each beside what they were there: all that was changed since

        It is for engines without a model, to which nothing but candles is known.
        """
        assert isinstance(self.frames, ReadFeatures)
        assert not spec.model_features
        self.spec = spec
        self.frames.begin(self._requests())
        for now, then in begun:
            now[...] = then
        self.outputs.counters[:] = 0  # of one that was ended in the middle
        self._digests = {name: StreamDigest() for name in STREAMS}

    def changed_market(self, change: MarketChange) -> Row:
        """
        Return the MARKET record that a change leads to.

        Raises DataError for one that is none of a market, concerns nothing of this engine, or cannot be while it runs.
        """
        if not 0 <= change.symbol < len(self.symbols):
            raise DataError(
                f"market change: symbol index {change.symbol} is not between 0 and {len(self.symbols) - 1}"
            )
        symbol = self.symbols[change.symbol]
        try:
            market = Market(**change.figures)
        except (ConfigError, TypeError) as error:
            raise DataError(f"market change of {symbol}: {error}") from error
        others = [other for other in self.spec.markets if other.symbol != symbol]
        if len(others) == len(self.spec.markets) or market.symbol != symbol:
            raise DataError(f"market change of {symbol}: it is of {market.symbol}")
        is_traded = change.symbol in self.traded
        if market.read_only is is_traded:
            raise DataError(f"market change of {symbol}: what is read_only cannot change")
        rows = replace(self.spec, markets=[*others, market]).market_rows()
        set_rates(rows, self.account[0].volume)
        refuse_other_market(symbol, self.markets[change.symbol], rows[change.symbol])
        return rows[change.symbol]

    def change_market(self, change: MarketChange) -> Rows:
        """Let a market be another from now on, and what is held of it be maintained as it asks; return the CHANGE records."""
        after = self.changed_market(change)
        market = self.markets[change.symbol]
        changes = changes_of(self.account[0], change.time_ms, change.symbol, market, after)
        self.markets[change.symbol] = after
        self.settings["has_tiers"] = counts_volume(self.markets, self.traded)
        set_liquidation(self.positions[change.symbol], market)
        return changes

    def _requests(self) -> tuple[str, ...]:
        """Return what is asked for at each close, by the strategy, for whoever looks on, and by models."""
        spec = self.spec
        of_models = (*spec.model_features, MODEL_ATR) if spec.model_features else ()
        return (*spec.requests, *spec.extra_features, *of_models)

    def _frames(self, requests: Sequence[str], reading: Reading | None) -> Frames:
        """Return what gives the features at each close."""
        spec = self.spec
        has_marks = bool((self.markets["leverage"] > 0.0).any())
        if reading is None:
            return FeatureMatrix(
                self.symbols, spec.base_timeframe, spec.timeframe, requests, spec.events, spec.own, has_marks
            )
        assert reading.symbols == self.symbols
        assert not spec.events
        # Of one that looks at its account a block is copied for every look; of a kernel long ones cost nothing.
        blocks = _READ_BLOCKS if is_kernel(spec.strategy) else 1
        return ReadFeatures(
            reading, spec.timeframe, requests, has_marks, blocks * block_of(len(self.symbols))
        )

    def _model(self) -> CurrentModel:
        """Return the place of models over these features, and no model in it."""
        spec = self.spec
        return CurrentModel(
            self.frames.columns,
            spec.model_features,
            spec.timeframe,
            self.symbols,
            self.frames.most,
            self.traded,
            spec.own,
            question_of(spec.every_turn, can_short_of(spec.markets, spec.settings.allow_short)),
        )

    @property
    def portfolio(self) -> Portfolio:
        """Return the account and all that it trades as kernels hand it on."""
        return Portfolio(
            self.account[0],
            self.positions,
            self.trades,
            self.orders,
            self.working,
            self.outputs.entries,
            self.markets,
            self.settings[0],
            self.scratch,
        )

    def working_orders(self) -> Rows:
        """Return the rows of working orders that are in use; what ended orders left in free ones is no state."""
        working = self.working[:, : self.positions["order_rows"].max()].copy()
        working[working["status"] == FREE] = 0
        return working

    def signals(self, symbol: int, closed: int, at: IntArray) -> FloatArray:
        """Return the features of one symbol at each close, and in the last row what the model makes of them."""
        matrix = self.frames.matrix(symbol, closed, at)
        bars = self.frames.main[symbol].closed
        self.model.infer(symbol, matrix, bars, closed)
        if self.watch is not None:
            self.watch(symbol, matrix, bars[:closed])
        return matrix

    def run_instants(self, candles: Rows, first: int, last: int, at: IntArray, closed: int) -> None:
        """Execute instants `first` … `last - 1` with the decisions in `wishes`."""
        outputs = self.outputs
        execute(
            candles, first, last, self.base_ms, self.wishes, at, closed, self.account,
            self.positions, self.trades, self.orders, outputs.entries, self.markets, self.settings,
            outputs.fills, outputs.trades, outputs.marks, outputs.decisions, self.working,
            self.scratch, outputs.orders, outputs.limits, self.frames.known.mark_ranges,
            outputs.counters,
        )  # fmt: skip
