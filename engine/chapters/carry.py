"""
An account handed from one engine to the next, between two instants.

The next engine has seen every candle, and has decided nothing: its features, its model and what it knows of markets are those
of an engine that was there from the beginning. What belongs to the account goes over as it is: cash, positions with their
stop and target, trades, locks, pauses, numbers and digests. What the strategy before left to rest does not: its orders are
taken back, and of what waits for the next open only exits stay.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from papertape.engine.broker.account import equity
from papertape.engine.broker.orders import held
from papertape.engine.broker.risk.changes import changes_of
from papertape.engine.broker.risk.fees import counts_volume, set_rates, write_reserve
from papertape.engine.broker.risk.limits import resume
from papertape.engine.broker.working.orders import BY_CHAPTER
from papertape.engine.candles import DAY_MS
from papertape.engine.core import Engine
from papertape.engine.decisions.turns import load_into, saved_by
from papertape.engine.errors import DataError
from papertape.engine.events import NewModel
from papertape.engine.jit import Rows
from papertape.engine.records import FLAT
from papertape.engine.report import Report
from papertape.engine.spec import EngineSpec

# Of account and positions: what is known of markets, and so is the next engine's.
_OF_MARKETS: Final = ("variance_", "risk_", "share")
# What was refused is said anew: another strategy asks.
_ONCE_SAID: Final = ("last_refused", "barred_by")


def from_then_on(spec: EngineSpec, time_ms: int) -> EngineSpec:
    """
    Return the spec of an account that goes on with it from a time on: the first close after it is the first that is decided.

    Turns that have begun by then are passed over but for the newest; an own start that is later stays.
    """
    begun = [turn for turn in spec.every_turn if turn.start_ms <= time_ms]
    if not begun:
        return spec
    _, strategy, by_symbol = begun[-1]
    later = spec.every_turn[len(begun) :]
    return replace(spec, starts_ms=time_ms, strategy=strategy, symbol_strategies=by_symbol, turns=later)


def carry(
    before: Engine, after: Engine, *, closes: bool = False, said: Mapping[str, Collection[str]] | None = None
) -> Report:
    """
    Let an engine that has only looked on go on with the account of another, and return what came of it.

    before  is left as it is
    after   of the same symbols and timeframes, with a spec that decides `from_then_on`; it has taken the same candles, series and models
            and has traded nothing; without a model where it cannot read the one in force
    closes  positions are closed at the next open; else they are kept, with their stop and target
    said    by symbol, what of its market the chapter says itself, be it what the account began with

    Raises DataError where the two have not seen the same candles.
    """
    _refuse_apart(before, after)
    _take_account(before, after)
    time_ms = int(after.last_open_ms[0]) + after.base_ms
    changes = _take_markets(before, after, time_ms, said or {})
    _begin_limits(before, after)
    after._end_orders(BY_CHAPTER, time_ms)
    if closes:
        after._flatten(time_ms)
    else:
        _keep_exits(after)
    report = after.outputs.take(0)
    report.changes = changes
    if after.account[0].model_version and after.model.artefact is None:
        report.swaps = after._swap(NewModel(0, b"")).swaps
    return after.counted(report)


def _refuse_apart(before: Engine, after: Engine) -> None:
    """Raise DataError for an engine that cannot go on where the other one stands."""
    if before.symbols != after.symbols or before.base_ms != after.base_ms:
        raise DataError("chapter: symbols and base timeframe are those of the account")
    if before.spec.money_decimals != after.spec.money_decimals:
        raise DataError("chapter: money_decimals are those of the account; its ledger counts in them")
    if not before.account[0].instants:
        raise DataError("chapter: the account has seen no candle yet; change its configuration")
    if len(before.pending) or before.last_open_ms[0] != after.last_open_ms[0]:
        raise DataError("chapter: the engine that goes on has not seen the account's candles")
    if after.account[0].trades or after.positions["quantity"].any():
        raise DataError("chapter: the engine that goes on has traded already")


def _take_account(before: Engine, after: Engine) -> None:
    """Write what belongs to the account into the next engine, with the digests of what it has done."""
    known = [
        (rows, name, rows[name].copy())
        for rows in (after.account, after.positions)
        for name in rows.dtype.names or ()
        if name.startswith(_OF_MARKETS)
    ]
    for name in ("account", "positions", "trades", "orders", "working"):
        getattr(after, name)[:] = getattr(before, name)
    for rows, name, values in known:
        rows[name] = values
    for name in _ONCE_SAID:
        after.positions[name] = 0
    for name, digest in after._digests.items():
        digest.load(before._digests[name].save())
    if before.positions["order_rows"].any() or before.account[0].moves:
        after.outputs.make_room_for_orders()
        load_into(after._deciders, saved_by(after._deciders))  # they hold on to the outputs


def _take_markets(before: Engine, after: Engine, time_ms: int, said: Mapping[str, Collection[str]]) -> Rows:
    """Let markets stand as they do for the account, but for what the chapter says of them; return the CHANGE records."""
    told, tells = before.spec.market_rows(), after.spec.market_rows()
    for name in after.markets.dtype.names or ():
        is_new = told[name] != tells[name]
        is_said = [name.removeprefix("tier_") in said.get(symbol, ()) for symbol in after.symbols]
        is_new.reshape(len(is_new), -1)[is_said, 0] = True  # of tiers the lowest: the rate itself
        after.markets[name] = np.where(is_new, tells[name], before.markets[name])
    for row in after.markets:
        write_reserve(row, len(after.traded))
    after.settings["has_tiers"] = counts_volume(after.markets, after.traded)
    set_rates(after.markets, after.account[0].volume)
    pairs = enumerate(zip(before.markets, after.markets, strict=True))
    return np.concatenate([changes_of(after.account[0], time_ms, symbol, *pair) for symbol, pair in pairs])


def _begin_limits(before: Engine, after: Engine) -> None:
    """Let limits that nothing was measured for begin here, and end the locks of limits that are no more."""
    account, had = after.account[0], before.settings[0].has_limits
    if had != after.settings[0].has_limits:
        if not had:
            account.day = int(after.last_open_ms[0]) // DAY_MS
            account.marked_equity = equity(account, after.positions, after.markets)
        resume(account)
    if before.spec.limits != after.spec.limits:
        after.positions["paced_interval"] = 0
        after.positions["paced_orders"] = 0


def _keep_exits(engine: Engine) -> None:
    """Take back what would be opened at the next open; what would be left or turned is left."""
    for position, order in zip(engine.positions, engine.orders, strict=True):
        side = held(position)
        if order.is_active and side != FLAT and order.target != side:
            order.target = FLAT
        else:
            order.is_active = 0
