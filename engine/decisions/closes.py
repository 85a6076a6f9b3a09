"""
Every close of a batch in one call, for strategies in kernels: run instants, show, ask, and let the answers rest.

All symbols are asked at a close, in their order, before any answer rests; then decisions rest, and instructions are
obeyed, exactly as for a strategy in Python (`papertape.engine.decisions.python`). Where the strategy is at fault the
call ends, or an exception passes through it; `PROGRESS` tells how far it was, and the next call goes on from there.
"""

from typing import Final

import numpy as np

from papertape.engine.broker.account import BaseCandles, OutputRows, Portfolio
from papertape.engine.broker.execution import rest_all, run_instants
from papertape.engine.broker.working.instructions import obey_all
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.decisions.ahead import look_at_all
from papertape.engine.decisions.showing import keep_unmet, show, tell
from papertape.engine.jit import FloatArray, IntArray, Row, Rows, kernel, record
from papertape.engine.jit.native import call_at
from papertape.engine.records import FLAT, KEEP, LONG, SHORT

# Where a close is.
RUN: Final = 0  # its instants have to be run
ASK: Final = 1  # symbols have to be asked
REST: Final = 2  # the answers have to rest

# Why a call ended.
DONE: Final = 0
IN_DOUBT: Final = 1  # of the newest answer: the rules with words have to look at it
AT_FAULT: Final = 2  # all symbols of a close were asked, and some answer was at fault
NO_ROOM: Final = 3  # orders are about to be placed for the first time
TO_TELL: Final = 4  # somebody wants to see what was asked for beside decisions

PROGRESS: Final = record(
    ("close", "i8"),  # of the batch's closes
    ("stage", "i8"),
    ("symbol", "i8"),  # that is asked next
    ("instant", "i8"),  # that is run next
    ("n_faults", "i8"),  # at this close
    ("unheeded", "i8"),
    ("is_all_in", "i8"),
    ("is_watched", "i8"),  # somebody is told of instructions: 1; 2 once it was told of those of this close
    ("decide_at", "i8"),  # addresses of the strategy's kernels; 0 = it has none
    ("on_fill_at", "i8"),
    ("on_close_at", "i8"),
    ("units_per_quote", "f8"),  # of the account's money
)


@kernel
def run_closes(
    progress_rows: Rows, candles: Rows, n: int, closes: IntArray, columns: IntArray, n_bad: IntArray,
    is_traded: IntArray, base_ms: int, own_rows: Rows, own_words: IntArray, own_before: IntArray, views: Rows,
    named: FloatArray, asked: Rows, n_asked: IntArray, features: FloatArray, bars: Rows, kept: IntArray, told: IntArray,
    seen: Rows, seen_trades: Rows, unmet: Rows, unseen_fills: Rows, unseen_trades: Rows, looks: Rows,
    looks_at_orders: Rows, decisions: Rows, account_rows: Rows, positions: Rows, trades: Rows, orders: Rows,
    entries: Rows, markets: Rows, settings_rows: Rows, fills: Rows, trades_out: Rows, marks: Rows, decisions_out: Rows,
    working: Rows, scratch: Rows, order_events: Rows, limit_events: Rows, mark_ranges: FloatArray, counters: IntArray,
) -> int:  # fmt: skip
    """
    Go on with the closes of a batch and return why this call ended.

    closes    shape (n_closes,), instants; columns: the strategy candle that each is about; n_bad: faults of its features
    own_rows  what `self` is for each symbol, shape (> n_symbols,), as words (> n_symbols, n_words) and as they were
    views     HEAD, shape (n_symbols,); named: their features; asked: their instructions
    features  shape (n_symbols, n_named, >= columns); bars: CANDLE, (n_symbols, >= columns)
    kept      shape (n_symbols,), candles before the batch that can be looked back on
    unmet     UNMET, shape (n_symbols, >= columns)
    told      shape (n_symbols, 2), fills and trades of the batch that were told; -1: nor what is unseen of earlier ones
    """
    progress = progress_rows[0]
    portfolio = Portfolio(
        account_rows[0], positions, trades, orders, working, entries, markets, settings_rows[0], scratch
    )
    out = OutputRows(fills, trades_out, marks, decisions_out, order_events, limit_events, counters)
    base = BaseCandles(candles, base_ms, mark_ranges)
    while progress.close < len(closes):
        column = columns[progress.close]
        close_ms = candles[closes[progress.close] * len(positions)].open_ms + base_ms
        if progress.stage == RUN:
            until = closes[progress.close] + 1
            run_instants(portfolio, out, base, progress.instant, until, decisions, closes[:0])
            progress.instant = until
            look_at_all(portfolio, counters, looks, looks_at_orders)
            progress.symbol = 0
            progress.n_faults = n_bad[progress.close]
            progress.stage = ASK
        while progress.stage == ASK and progress.symbol < len(positions):
            symbol = progress.symbol
            # Counted before it is asked: whatever it raises, the next is the next.
            progress.symbol += 1
            view = views[symbol]
            view.n_asked = 0
            view.wishes[0] = KEEP
            if is_traded[symbol] != 0 and bars[symbol, column].flag_bits & FLAG_ABSENT == 0:
                seen_bars = kept[symbol] + column + 1
                show(view, bars[symbol, column], looks[symbol], looks_at_orders[symbol], close_ms, seen_bars)
                for index in range(features.shape[1]):
                    named[symbol, index] = features[symbol, index, column]
                tell(
                    progress, own_rows[symbol], view, symbol, told, fills, trades_out, unseen_fills,
                    unseen_trades, counters, seen, seen_trades,
                )  # fmt: skip
                call_at(progress.decide_at, own_rows[symbol], view, seen[0])
                keep_unmet(view, unmet[symbol, column])
                if not is_sound(view.wishes, progress.is_all_in):
                    return IN_DOUBT
                if not is_unchanged(own_words[symbol], own_before[symbol]):
                    return IN_DOUBT
        progress.stage = REST
        if progress.n_faults > 0:
            progress.n_faults = 0
            return AT_FAULT
        total = count_asked(views, n_asked)
        if total > 0 and len(order_events) == 0:
            return NO_ROOM
        if total > 0 and progress.is_watched == 1:
            progress.is_watched = 2
            return TO_TELL
        progress.is_watched = min(progress.is_watched, 1)
        for symbol in range(len(positions)):
            answer(views[symbol].wishes, looks[symbol], decisions[symbol, column], progress)
        rest_all(portfolio, out, decisions, column, close_ms)
        if total > 0:
            obey_all(portfolio, out, asked, n_asked, close_ms)
        progress.close += 1
        progress.stage = RUN
    run_instants(portfolio, out, base, progress.instant, n, decisions, closes[:0])
    return DONE


@kernel
def is_unchanged(words: IntArray, before: IntArray) -> bool:
    """Return whether all that `self` is stands as it did before it was asked."""
    is_equal = True
    for word in range(len(words)):
        is_equal = is_equal and words[word] == before[word]
    return is_equal


@kernel
def count_asked(views: Rows, n_asked: IntArray) -> int:
    """Write how many instructions each symbol's answer has, and return how many all have."""
    total = 0
    for symbol in range(len(n_asked)):
        n_asked[symbol] = views[symbol].n_asked
        total += views[symbol].n_asked
    return total


@kernel
def is_sound(wishes: FloatArray, is_all_in: int) -> bool:
    """Return whether an answer is surely one that an order can mean; the others the rules with words look at."""
    target = wishes[0]
    if target == KEEP:
        return True
    if target != LONG and target != SHORT and target != FLAT:
        return False
    for field in range(1, 5):
        if not 0.0 <= wishes[field] < np.inf:
            return False
    for field in range(5, 7):
        if not 0.0 <= wishes[field] <= 1.0:
            return False
    total = wishes[7] + wishes[8] + wishes[9]
    return abs(total) < np.inf and (is_all_in == 0 or wishes[6] == 1.0)


@kernel
def answer(wishes: FloatArray, look: Row, decision: Row, progress: Row) -> None:
    """Write an answer where it rests; one for the side that is held, with other levels or size, is counted."""
    decision.target = int(wishes[0])
    decision.stop_distance = wishes[1]
    decision.target_distance = wishes[2]
    decision.stop_price = wishes[3]
    decision.target_price = wishes[4]
    decision.confidence = wishes[5]
    decision.size_scale = wishes[6]
    decision.score_model = wishes[7]
    decision.score_smc = wishes[8]
    decision.score_technical = wishes[9]
    if decision.target == KEEP or decision.target == FLAT or decision.target != look.wanted:
        return
    if (
        decision.stop_distance != look.stop_distance
        or decision.target_distance != look.target_distance
        or decision.stop_price != look.stop_price
        or decision.target_price != look.target_price
        or decision.size_scale != look.size_scale
    ):
        progress.unheeded += 1
