"""Stage 6 for strategies written in Python: once per closed candle, between two calls of the same kernels."""

from typing import TYPE_CHECKING, Any

from papertape.engine.account import equity
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.errors import ConfigError
from papertape.engine.execute import rest_all
from papertape.engine.jit import IntArray, Rows
from papertape.engine.records import KEEP, UNITS_PER_QUOTE
from papertape.engine.strategies.protocol import Decision, Strategy, View

if TYPE_CHECKING:
    from papertape.engine.core import Engine

_KEEP = Decision()
_TARGETS = (-1, 0, 1, KEEP)


def decide_in_python(
    engine: "Engine", strategy: Strategy, candles: Rows, n: int, at: IntArray, closed: int
) -> None:
    """Run `n` instants, asking the strategy at every close of its timeframe."""
    matrices = [engine.signals(s, closed, at) for s in range(len(engine.symbols))]
    columns = {name: row for row, name in enumerate(engine.frames.columns)}
    start = 0
    for k in range(closed):
        instant = int(at[k])
        is_newest = k + 1 == closed or at[k + 1] != instant
        if not is_newest:
            continue
        engine.run_instants(candles, start, instant + 1, at, 0)
        start = instant + 1
        close_ms = int(candles[instant * len(engine.symbols)].open_ms) + engine.base_ms
        worth = int(equity(engine.account[0], engine.positions, engine.markets)) / UNITS_PER_QUOTE
        for symbol in range(len(engine.symbols)):
            bar = engine.frames.main[symbol].closed[k]
            wish = None
            if bar.flag_bits & FLAG_ABSENT == 0:
                view = _view(
                    engine, symbol, bar, close_ms, worth, columns, matrices[symbol][:, k].copy()
                )
                wish = strategy.decide(view)
            _write(engine.wishes[symbol, k], wish or _KEEP)
        rest_all(
            engine.account,
            engine.positions,
            engine.orders,
            engine.markets,
            engine.settings,
            engine.wishes,
            k,
            close_ms,
            engine.outputs.decisions,
            engine.outputs.counters,
        )
    engine.run_instants(candles, start, n, at, 0)


def _view(
    engine: "Engine",
    symbol: int,
    bar: Any,
    close_ms: int,
    worth: float,
    columns: dict[str, int],
    values: Any,
) -> View:
    """Return what the strategy may see of one symbol."""
    position = engine.positions[symbol]
    quantity = float(position.quantity)
    return View(
        engine.symbols[symbol],
        close_ms,
        float(bar.open),
        float(bar.high),
        float(bar.low),
        float(bar.close),
        float(bar.volume),
        quantity,
        float(position.entry_price) if quantity else 0.0,
        int(engine.account[0].cash) / UNITS_PER_QUOTE,
        worth,
        engine.strategy_state[symbol],
        columns,
        values,
    )


def _write(row: Any, wish: Decision) -> None:
    """Write a decision into its record, refusing what no order could mean."""
    if wish.target not in _TARGETS:
        raise ConfigError(f"strategy: target {wish.target!r} is not SHORT, FLAT, LONG or KEEP")
    for name, value in wish._asdict().items():
        setattr(row, name, value)
