"""Runs of several symbols under other names, and what they reported in a form in which names do not matter."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from papertape.engine.broker.risk.allocation import Allocation
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.broker.risk.sizes import SizeRules
from papertape.engine.candles import timeframe_ms
from papertape.engine.core import Engine
from papertape.engine.events import Funding
from papertape.engine.jit import Rows
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.engine.user_code.undeclared_state import Fixed
from tests.support.helpers import START_MS, Outcome, interleave

# Fields that number what happened in one instant, or say what cash was between two fills of it.
_IN_BETWEEN = ("sequence", "trade", "number", "cash")


class Script(dict[Any, Any], Fixed):
    """What a strategy is to do. Nobody changes it, so the watch on what a strategy keeps need not read it at every candle."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Script":
        return self


class ByName:
    """Decide what a table says: (symbol, candle number by close) → decision."""

    features: tuple[str, ...] = ()

    def __init__(self, script: Mapping[tuple[str, int], Decision], timeframe: str = "1h") -> None:
        self.script = Script(script)
        self.length_ms = timeframe_ms(timeframe)

    def decide(self, view: Any) -> Decision | None:
        number = (view.time_ms - START_MS) // self.length_ms - 1
        return self.script.get((view.symbol, number))


class Portfolio(NamedTuple):
    """
    Symbols that are run together.

    tapes     candles by symbol, all of the same times
    markets   what is known of each, without the symbol
    settings  of the account
    script    decisions by symbol and candle, unless a strategy is given to `run`
    funding   symbol, before which instant, rate
    fees      a function for fees, and the same in decimals
    """

    tapes: dict[str, Rows]
    markets: dict[str, dict[str, Any]]
    settings: Settings
    script: dict[tuple[str, int], Decision] = {}  # noqa: RUF012 - a value, never changed
    funding: tuple[tuple[str, int, float], ...] = ()
    capital: float = 10_000.0
    timeframe: str = "1h"
    base: str = "1h"
    sizes: SizeRules = SizeRules()
    limits: Limits = Limits()
    allocation: Allocation = Allocation()
    money_decimals: int = 9
    fees: tuple[Any, Any] | None = None

    def engine(self, names: Mapping[str, str], order: Sequence[str] = (), strategy: Any = None) -> Engine:
        """Return an engine for these symbols under other names, configured in the order given."""
        script = {(names[symbol], k): what for (symbol, k), what in self.script.items()}
        return Engine(
            EngineSpec(
                [Market(names[s], **self.markets[s]) for s in order or tuple(self.tapes)],
                strategy or ByName(script, self.timeframe),
                self.timeframe,
                self.base,
                self.capital,
                self.settings,
                sizes=self.sizes,
                limits=self.limits,
                allocation=self.allocation,
                money_decimals=self.money_decimals,
                fee_function=None if self.fees is None else self.fees[0],
            )
        )

    def events(self, engine: Engine, names: Mapping[str, str], batch: int) -> list[Any]:
        """Return what enters: candles in pieces of `batch` instants, and funding between two of them."""
        back = {new: old for old, new in names.items()}
        candles = interleave([self.tapes[back[name]] for name in engine.symbols])
        n = len(engine.symbols)
        cuts = sorted({before for _, before, _ in self.funding} | {0, len(candles) // n})
        events: list[Any] = []
        for first, last in pairwise(cuts):
            for symbol, before, rate in self.funding:
                if before == first:
                    row = candles[first * n + engine.symbols.index(names[symbol])]
                    events.append(
                        Funding(int(row.open_ms), engine.symbols.index(names[symbol]), rate, float(row.open))
                    )
            starts = range(first, last, batch)
            events += [candles[start * n : min(start + batch, last) * n] for start in starts]
        return events


class Told(NamedTuple):
    """What a run reported, by the symbols' first names."""

    decisions: Rows
    fills: Rows
    trades: Rows
    payments: Rows
    marks: Rows

    @property
    def digest(self) -> str:
        """Return the digest of decisions, fills and payments up to the renaming."""
        parts = (self.decisions, self.fills, self.payments)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def run(
    portfolio: Portfolio,
    names: Mapping[str, str] | None = None,
    *,
    order: Sequence[str] = (),
    batch: int = 100_000,
    strategy: Any = None,
    restart: bool = False,
) -> tuple[Told, Outcome]:
    """
    Run a portfolio under these names (its own by default).

    restart  take a snapshot after every event and go on with a fresh engine
    """
    names = names or {symbol: symbol for symbol in portfolio.tapes}
    engine = portfolio.engine(names, order, strategy)
    reports = []
    for event in portfolio.events(engine, names, batch):
        reports.append(engine.step(event))
        if restart:
            saved = engine.snapshot()
            engine = portfolio.engine(names, order, strategy)
            engine.restore(saved)
    outcome = Outcome(engine, reports)
    back = {new: old for old, new in names.items()}
    places = [list(portfolio.tapes).index(back[name]) for name in engine.symbols]
    payments = np.concatenate([report.payments for report in reports])
    return Told(
        _told(outcome.decisions, "time_ms", places),
        _told(outcome.fills, "candle_ms", places),
        _told(outcome.trades, "exit_ms", places),
        _told(payments, "time_ms", places),
        outcome.marks,
    ), outcome


def _told(records: Rows, time: str, places: Sequence[int]) -> Rows:
    """Return records by time and first name, each symbol's in its own order, without what only numbers them."""
    told = records.copy()
    told["symbol"] = np.array(places, np.int64)[records["symbol"]]
    for name in _IN_BETWEEN:
        if name in (records.dtype.names or ()):
            told[name] = 0
    return told[np.lexsort((told["symbol"], told[time]))]


def without(told: Told, place: int) -> Told:
    """Return what was told of all symbols but one; marks are of the account."""
    parts = [rows[rows["symbol"] != place] for rows in told[:-1]]
    return Told(*parts, told.marks)


def differences(one: Told, two: Told) -> list[str]:
    """Return the names of streams that are not the same bytes."""
    return [name for name, a, b in zip(Told._fields, one, two, strict=True) if a.tobytes() != b.tobytes()]
