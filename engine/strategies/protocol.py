"""
What a strategy is.

A strategy names the features it reads and answers each closed candle of its timeframe with what it wants to hold.
Built-in strategies answer for a whole batch in a kernel; a user's own is a Python class with `decide(view)`, called
once per closed candle, on the same features, the same broker and the same ledger.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from papertape.engine.errors import ConfigError, StrategyError, did_you_mean
from papertape.engine.jit import FloatArray, Rows, record
from papertape.engine.records import KEEP
from papertape.engine.strategies.conditions import Conditions
from papertape.engine.strategies.instructions import Instructions, WorkingOrder, orders_of
from papertape.engine.strategies.past import PastColumns


@runtime_checkable
class KernelStrategy(Protocol):
    """A strategy whose decisions are computed in a kernel, a whole batch at a time."""

    name: str
    state_dtype: np.dtype[Any]

    @property
    def features(self) -> Sequence[str]:
        """Return what it reads; the rows of the feature matrix are in this order."""
        ...

    def decide_batch(
        self, features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows
    ) -> None:
        """
        Write `n` decisions for one symbol.

        features   shape (n_columns, >= n), rows in the order of `self.features`; the last row is the model's
                   probability of a rise, NaN while no model has an opinion
        candles    CANDLE, the closed candles of the strategy's timeframe
        state      shape (1,), record of `state_dtype`, changed in place
        decisions  DECISION, every field of the first `n` rows must be written
        """
        ...


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


class StrategyState:
    """
    What a strategy keeps of one symbol between two candles: the floats that it names in `state_fields`, 0 at the start.

    It is part of the engine's snapshot; `view.state.bars = 3` is kept as 3.0, and what is no number is refused.
    """

    __slots__ = ("_values",)

    def __init__(self, n_fields: int) -> None:
        self._values = [0.0] * n_fields

    def load(self, values: Sequence[float]) -> None:
        """Take over what was stored."""
        self._values[:] = values

    def store(self) -> list[float]:
        """Return the values in the order of the fields."""
        return self._values


def state_type(names: Sequence[str]) -> type[StrategyState]:
    """Return the type whose attributes are these fields; any other attribute is an error."""

    def field(index: int) -> property:
        def get(state: StrategyState) -> float:
            return state._values[index]

        def keep(state: StrategyState, value: float) -> None:
            state._values[index] = float(value)

        return property(get, keep)

    fields: dict[str, Any] = {name: field(index) for index, name in enumerate(names)}
    return type("StrategyState", (StrategyState,), {"__slots__": (), **fields})


class FeatureColumns(dict[str, list[float]]):
    """
    The features of one symbol over a batch, each made a list of plain numbers when it is first asked for.

    past        what lies before them, None for a strategy that did not name `history_bars`
    conditions  where what was unmet is kept
    """

    past: PastColumns | None = None
    conditions: Conditions

    def __init__(self, matrix: FloatArray, rows: Mapping[str, int], n: int) -> None:
        super().__init__()
        self._matrix: FloatArray | None = matrix
        self._rows, self._n = rows, n

    def __missing__(self, name: str) -> list[float]:
        row = self._rows.get(name)
        if row is None:
            raise ConfigError(
                f"view[{name!r}] is not among its `features`{did_you_mean(name, self._rows)}"
            )
        if self._matrix is None:
            raise ConfigError(f"view[{name!r}] was asked for after its candle; a view is for one")
        values: list[float] = self._matrix[row, : self._n].tolist()
        self[name] = values
        return values

    def close(self) -> None:
        """Let go of the batch: its buffer is about to hold the next one."""
        self._matrix = None
        if self.past is not None:
            self.past.close()


class View:
    """
    What a strategy may see at the close of a candle: `view["rsi_14"]`, the candle, the position, its own state; and
    `view["model_probability"]`, the model's probability of a rise, NaN while no model has an opinion.

    position is signed, in base units; entry_price is 0 when flat; cash and equity are in quote; state is what the
    strategy keeps of this symbol, the floats named in its `state_fields`, and is part of the engine's snapshot.
    """

    __slots__ = (
        "_columns",
        "_instructions",
        "_look",
        "_row",
        "_working",
        "cash",
        "close",
        "entry_price",
        "equity",
        "high",
        "low",
        "open",
        "position",
        "state",
        "symbol",
        "time_ms",
        "volume",
    )

    # One is made for every candle of every symbol, so each argument stands by itself.
    def __init__(
        self,
        symbol: str,
        time_ms: int,
        open: float,
        high: float,
        low: float,
        close: float,
        volume: float,
        position: float,
        entry_price: float,
        cash: float,
        equity: float,
        state: Any,
        columns: FeatureColumns,
        row: int,
        look: Sequence[Any],
        working: Rows,
        instructions: Instructions,
    ) -> None:
        self.symbol = symbol
        self.time_ms = time_ms
        self.open = open
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume
        self.position = position
        self.entry_price = entry_price
        self.cash = cash
        self.equity = equity
        self.state = state
        self._columns = columns
        self._row = row
        self._look = look
        self._working = working
        self._instructions = instructions

    def __getitem__(self, feature: str) -> float:
        """Return a feature's value at this close; NaN while it warms up; ConfigError for one that was not named."""
        return self._columns[feature][self._row]

    def history(self, column: str, bars: int) -> FloatArray:
        """
        Return the newest values of a feature that was named, or of open, high, low, close or volume, oldest first.

        The last is this close's; read-only; at most `bars`, fewer while the market has had fewer candles. The strategy
        says how far it ever looks with `history_bars = 50`; ConfigError beyond, and for a column that it did not name.
        """
        past = self._columns.past
        if past is None:
            raise ConfigError(
                f"view.history({column!r}, {bars!r}) needs to know how far it ever looks: write history_bars = {bars!r} in "
                "the class"
            )
        return past.up_to(column, self._row, bars)

    def why(self, condition: str, value: Any, threshold: float | None = None) -> bool:
        """
        Return whether a condition is not met, and keep the first such of this candle for the report.

        condition  `rsi below 30`: below, above, at least or at most say how value and threshold compare; without a
                   threshold the value is true or false. A condition is words alone: its numbers are kept beside it.
        """
        columns = self._columns
        return columns.conditions.is_unmet(self.symbol, self.time_ms, condition, value, threshold)

    @property
    def stop(self) -> float:
        """Return the position's stop, in force or asked for; 0 = none. What is assigned holds from the next candle on."""
        return self._look[HELD_STOP]  # type: ignore[no-any-return]

    @stop.setter
    def stop(self, price: float | None) -> None:
        if (price or 0.0) != self._look[HELD_STOP]:
            self._instructions.move("stop", price)

    @property
    def target(self) -> float:
        """Return the position's target, in force or asked for; 0 = none. What is assigned holds from the next candle on."""
        return self._look[HELD_TARGET]  # type: ignore[no-any-return]

    @target.setter
    def target(self, price: float | None) -> None:
        if (price or 0.0) != self._look[HELD_TARGET]:
            self._instructions.move("target", price)

    @property
    def entry_ms(self) -> int:
        """Return the open time of the candle in which the position was opened, 0 when flat."""
        return self._look[ENTRY_MS]  # type: ignore[no-any-return]

    @property
    def orders(self) -> tuple[WorkingOrder, ...]:
        """Return the working orders of this symbol, oldest first."""
        return orders_of(self._working) if self._look[WORKING] else ()

    def buy(self, quantity: float | None = None, **options: Any) -> None:
        """
        Place an order to buy, for the next candle at the earliest; raises StrategyError for what no order can mean.

        How much, one of: `quantity` in base units, `fraction` of equity as notional; neither: by the account's rule.
        How, none: at market; `limit`, `stop`, `touch` as prices, `stop` or `touch` with `limit`; `trail` in quote or
        `trail_percent`, with `activate` as the price from which it trails.
        With it: `stop_loss` and `take_profit` as prices, or `stop_distance` and `target_distance` from the fill, for the
        position that it opens; `reduce_only`; `post_only`; `time_in_force` gtc, ioc or fok; `expires_bars` or
        `expires_ms`; `oco`, a name whose first fill cancels the others; `tag`, a name of up to eight characters.
        """
        self._place("buy", 1, quantity, options)

    def sell(self, quantity: float | None = None, **options: Any) -> None:
        """Place an order to sell; see `buy`."""
        self._place("sell", -1, quantity, options)

    def exit(self, share: float | None = None, **options: Any) -> None:
        """
        Place an order that only reduces the position: a `share` of it, or a `quantity`; the whole of it without either.

        The other options are those of `buy`. Without a position it is refused.
        """
        if self.position == 0.0:
            raise StrategyError("view.exit: there is no position; look at view.position first")
        if options.get("quantity") is None and options.get("share") is None:
            options["share"] = 1.0 if share is None else share
        options["reduce_only"] = True
        self._place("exit", -1 if self.position > 0.0 else 1, None, options)

    def cancel(self, tag: str = "") -> None:
        """Take back the working orders of this symbol with a tag, all without one."""
        self._instructions.cancel(tag)

    def _place(self, what: str, side: int, quantity: float | None, options: dict[str, Any]) -> None:
        for name in options:
            if name not in _OPTIONS:
                raise StrategyError(f"view.{what}: {name} is unknown{did_you_mean(name, _OPTIONS)}")
        if quantity is not None:
            options["quantity"] = quantity
        self._instructions.place(what, side, options)


_OPTIONS: Final = (
    "quantity", "fraction", "share", "limit", "stop", "touch", "trail", "trail_percent", "activate", "stop_loss",
    "take_profit", "stop_distance", "target_distance", "reduce_only", "post_only", "time_in_force", "expires_bars",
    "expires_ms", "oco", "tag",
)  # fmt: skip
# Places in what is known of the account at a close (`papertape.engine.decisions.ahead.LOOK`).
HELD_STOP: Final = 10
HELD_TARGET: Final = 11
ENTRY_MS: Final = 12
WORKING: Final = 13


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
        ...

    def decide(self, view: View) -> Decision | None:
        """Return what to hold from the next base candle on; None keeps everything as it is."""
        ...


def state_dtype_of(strategy: Any) -> np.dtype[Any]:
    """Return the record in which a strategy keeps its state for one symbol, or raise ConfigError for what is none."""
    if isinstance(strategy, KernelStrategy):
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
