"""
What a strategy in Python sees at a close, and what it may write there.

One view is made for every close of every symbol, so it is made of little: what lasts for a batch stands in a `SymbolBatch`,
what is known of the account in one list, and orders are looked at when somebody asks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from papertape.engine.errors import ConfigError, StrategyError, did_you_mean
from papertape.engine.jit import FloatArray, Rows
from papertape.engine.strategies.conditions import Conditions
from papertape.engine.strategies.instructions import Instructions, WorkingOrder, orders_of
from papertape.engine.strategies.past import PastColumns


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
            raise ConfigError(f"view[{name!r}] is not among its `features`{did_you_mean(name, self._rows)}")
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


class SymbolBatch:
    """What the views of one symbol have in common during a batch."""

    __slots__ = ("columns", "instructions", "state", "symbol")

    def __init__(self, symbol: str, state: Any, columns: FeatureColumns, instructions: Instructions) -> None:
        self.symbol = symbol
        self.state = state
        self.columns = columns
        self.instructions = instructions


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

    def __init__(
        self,
        batch: SymbolBatch,
        row: int,
        time_ms: int,
        bar: Sequence[Any],
        look: Sequence[float],
        working: Rows,
    ) -> None:
        """
        Show one close.

        bar   open, high, low, close, volume, and whatever comes after them
        look  fields of LOOK (`papertape.engine.decisions.ahead`); working: the symbol's table of orders
        """
        self.symbol = batch.symbol
        self.time_ms = time_ms
        self.open, self.high, self.low, self.close, self.volume = bar[:5]
        self.position, self.entry_price, self.cash, self.equity = look[:4]
        self.state = batch.state
        self._columns = batch.columns
        self._row = row
        self._look = look
        self._working = working
        self._instructions = batch.instructions

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

    def note(self, text: str) -> None:
        """Keep a text of up to 200 characters for the report, with symbol and candle; no decision depends on it."""
        self._columns.conditions.note(self.symbol, self.time_ms, text)

    @property
    def stop(self) -> float:
        """Return the position's stop, in force or asked for; 0 = none. What is assigned holds from the next candle on."""
        return self._look[HELD_STOP]

    @stop.setter
    def stop(self, price: float | None) -> None:
        if (price or 0.0) != self._look[HELD_STOP]:
            self._instructions.move("stop", price)

    @property
    def target(self) -> float:
        """Return the position's target, in force or asked for; 0 = none. What is assigned holds from the next candle on."""
        return self._look[HELD_TARGET]

    @target.setter
    def target(self, price: float | None) -> None:
        if (price or 0.0) != self._look[HELD_TARGET]:
            self._instructions.move("target", price)

    @property
    def entry_ms(self) -> int:
        """Return the open time of the candle in which the position was opened, 0 when flat."""
        return int(self._look[ENTRY_MS])

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
        if quantity is not None:
            options["quantity"] = quantity
        self._instructions.place("buy", 1, options)

    def sell(self, quantity: float | None = None, **options: Any) -> None:
        """Place an order to sell; see `buy`."""
        if quantity is not None:
            options["quantity"] = quantity
        self._instructions.place("sell", -1, options)

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
        self._instructions.place("exit", -1 if self.position > 0.0 else 1, options)

    def hold(
        self, quantity: float | None = None, *, fraction: float | None = None, band: float = 0.0
    ) -> None:
        """
        Ask for whatever leads to a target position: `quantity` in base units, or `fraction` of equity as notional; below 0
        short, 0 flat. What is asked for goes by the tag `hold` and trades at market.

        band  of equity: a target that is as near is left alone; 0 is always gone to
        """
        self._instructions.hold(quantity, fraction, band)

    def cancel(self, tag: str = "") -> None:
        """Take back the working orders of this symbol with a tag, all without one."""
        self._instructions.cancel(tag)


# Places in what is known of the account at a close (`papertape.engine.decisions.ahead.LOOK`).
HELD_STOP: Final = 10
HELD_TARGET: Final = 11
ENTRY_MS: Final = 12
WORKING: Final = 13
