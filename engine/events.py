"""
What may enter the engine, and what a feed of it is.

Candles come as one structured array of CANDLE rows in (open_ms, symbol) order, any number of them. Everything else
comes one at a time and takes effect between two instants: after the newest complete one, before the next.
"""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from papertape.engine.jit import Rows

Candles: TypeAlias = Rows


class Action(StrEnum):
    """What an operator may ask for."""

    PAUSE = "pause"  # no new entries; brackets and exits go on
    RESUME = "resume"
    FLATTEN = "flatten"  # close every position at the next open
    KILL = "kill"  # flatten, and no new entries for good until resumed
    SCALE = "scale"  # new entries get this share of their size until the next scale


# value of a RESUME that is no operator's: what a limit has locked stays locked
OF_PAUSES: Final = 0.0


class Command(NamedTuple):
    """
    An operator's action.

    value  of SCALE: the factor on the size of new entries, 0 … 1; of RESUME: OF_PAUSES where no operator said it; other
           actions have none
    """

    action: Action
    value: float = 1.0


class NewModel(NamedTuple):
    """
    A model that takes over from the next closed candle of the strategy's timeframe on.

    version   above zero; decisions and trades carry it; 0 without an artefact: from then on there is no model
    artefact  weights and record in one, as `papertape.engine.model` writes them
    """

    version: int
    artefact: bytes


class Funding(NamedTuple):
    """
    A funding settlement of one perpetual; it is paid or received by whatever position is held now.

    time_ms  when the venue settled, UTC
    symbol   index into the engine's symbols
    rate     fraction of notional; above zero longs pay shorts
    price    mark or index price at settlement, quote per base
    """

    time_ms: int
    symbol: int
    rate: float
    price: float


class SeriesRows(NamedTuple):
    """
    What became known of series beside the candles: funding, mark and index prices, open interest, long/short ratio.

    rows  SERIES, at least one; they may come before their time, and are seen at no close before it
    """

    rows: Rows


class Cause(StrEnum):
    """Why something is not traded."""

    CLOCK = "clock"  # the venue's clock and ours are too far apart: nothing is entered, exits go on
    MARKET = "market"  # the venue matches nothing: orders and brackets rest
    GONE = "gone"  # the symbol is no longer listed or followed: its position is closed at the last price


class Halt(NamedTuple):
    """
    Something is not traded from now on, or is again; a journalled input, so that a replay sees it too.

    time_ms  when it was known, UTC
    symbol   index into the engine's symbols; -1 with CLOCK, which concerns all
    cause    why
    is_on    whether it begins or ends
    """

    time_ms: int
    symbol: int
    cause: Cause
    is_on: bool


class MarketChange(NamedTuple):
    """
    What holds of a market from now on; a journalled input, so that a replay sees it too.

    time_ms  when it was known, UTC
    symbol   index into the engine's symbols
    figures  everything that is known of the market, as `papertape.engine.spec.Market.plain` gives it
    """

    time_ms: int
    symbol: int
    figures: dict[str, Any]


Event: TypeAlias = Candles | Command | NewModel | Funding | Halt | SeriesRows | MarketChange


class Feed(Protocol):
    """
    An async iterator of events: small arrays of final candles in (open_ms, symbol) order, or commands.

    Whatever has arrived is one batch. The size of a batch never changes a result.
    """

    def __aiter__(self) -> AsyncIterator[Event]:
        """Return an iterator that ends when the recording does, or never."""
