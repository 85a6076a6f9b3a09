"""
Instants of one symbol at which nothing can happen but the mark at the close: most of them, and each a fifth of the work.

Nothing rests that could fill, no bracket is met, and no decision asks for another side than is held. Which instants these are is
asked of what decides everywhere else (`bracket_hit`, `is_change`), where two comparisons do not say it already; the first one
that is not among them is left to `papertape.engine.broker.execution` as a whole.
"""

import numpy as np

from papertape.engine.broker.account import MARGIN_CROSS, BaseCandles, OutputRows, SymbolBook, position_value
from papertape.engine.broker.bracket import bracket_hit
from papertape.engine.broker.fills import track_excursion
from papertape.engine.broker.ledger import added, money
from papertape.engine.broker.orders import N_MARKS, held, is_change
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import FloatArray, IntArray, Row, Rows, kernel
from papertape.engine.records import KEEP


@kernel
def can_be_quiet(positions: Rows, settings: Row, mark_ranges: FloatArray) -> bool:
    """Return whether an account has one symbol, and nothing but its position to look after at every candle."""
    return (
        len(positions) == 1
        and len(mark_ranges) == 0
        and settings.margin != MARGIN_CROSS
        and settings.has_tiers == 0
        and settings.has_limits == 0
        and settings.has_variance == 0
        and settings.allocation == 0
    )


@kernel
def is_quiet(account: Row, position: Row, order: Row) -> bool:
    """Return whether nothing rests that could fill, and the market trades where something is held."""
    return (  # type: ignore[no-any-return]
        order.is_active == 0
        and account.working + account.moves == 0
        and position.is_met == 0
        and (position.quantity == 0.0 or position.is_halted == 0)
    )


@kernel
def free_range(position: Row) -> tuple[float, float]:
    """Return prices between which no candle meets stop or target of a position; none where it could be liquidated."""
    if position.liquidation_price > 0.0:
        return np.inf, -np.inf
    is_long = position.quantity > 0.0
    below = position.stop_price if is_long else position.target_price
    above = position.target_price if is_long else position.stop_price
    return (below if below > 0.0 else -np.inf), (above if above > 0.0 else np.inf)


@kernel
def pass_quiet(
    book: SymbolBook,
    out: OutputRows,
    base: BaseCandles,
    first: int,
    last: int,
    decisions: Rows,
    decided_at: IntArray,
) -> int:
    """
    Mark the instants from `first` on for as long as nothing else happens; return the first at which something may.

    decisions, decided_at  shape (n,), of the symbol and not before `first`
    """
    account, position, order, market = book.account, book.position, book.order, book.market
    candles, marks, counters = base.candles, out.marks, out.counters
    is_held, side = position.quantity != 0.0, held(position)
    size, cash, is_ruined = abs(position.quantity), account.cash, account.ruined_ms != 0
    units = market.units_per_quote
    below, above = free_range(position)
    worth, gross, n_open = cash, 0, 1 if is_held else 0
    instant, row, k = first, counters[N_MARKS], 0
    lowest, highest = np.inf, -np.inf
    while instant < last:
        candle = candles[instant]
        if is_held:
            if candle.flag_bits & FLAG_ABSENT != 0:
                break
            is_free = below < candle.low and candle.high < above
            if not is_free and bracket_hit(position, candle) != 0:
                break
            gross = money(size * candle.close, units)
            worth = added(cash, position_value(position, market, gross))
        if worth <= 0 and not is_ruined:
            break
        after = k
        while after < len(decided_at) and decided_at[after] == instant:
            after += 1
        if after > k:
            target = decisions[after - 1].target
            is_other = target != side and target != KEEP
            if is_other and is_change(position, order, decisions[after - 1]):
                break
            k = after
        if is_held:
            lowest, highest = min(lowest, candle.low), max(highest, candle.high)
        mark = marks[row]
        mark.time_ms = candle.open_ms + base.base_ms
        mark.equity = worth
        mark.cash = cash
        mark.exposure = gross
        mark.open_positions = n_open
        row += 1
        instant += 1
    if instant > first:
        position.last_price = candles[instant - 1].close
        if is_held:
            track_excursion(book.trade, lowest, highest)
            book.trade.bars += instant - first
    account.instants += instant - first
    counters[N_MARKS] = row
    return instant
