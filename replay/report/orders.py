"""
Orders for the report's page: where each rested and how it ended, what fills did to a trade, and the path of its levels.

    resting  every order but those at market: from the close at which it was asked for to its end
    trails   where trailing orders stood, from the candle on in which they stood there, and stop-limits once triggered
    levels   likewise stop and target of trades where they moved; a trade has its first ones itself
    parts    the fills of trades that have more than entry and exit, and the average entry after each
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.broker.working.orders import (
    AT_MARKET,
    BY_COMMAND,
    BY_DELISTING,
    BY_LIMIT,
    BY_RUIN,
    BY_STRATEGY,
    CANCELLED,
    CAUSE_NAMES,
    EXPIRED,
    FILLED,
    KIND_NAMES,
    MOVED,
    PLACED,
    POSITION_STOP,
    STATUS_NAMES,
    STOP_LIMIT,
    TOUCH_LIMIT,
    TRAIL,
    TRIGGERED,
    WORKING,
    tag_text,
)
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.records import REFUSED_NAMES
from papertape.replay.report.data import decimals_of, pack_integers, pack_steps, plain_values
from papertape.replay.tapes.tables import Table

MOST_ROWS: Final = 60_000  # of one symbol, of each table: the newest
_ENDS: Final = (FILLED, CANCELLED, EXPIRED)
_AT_CLOSE: Final = (BY_COMMAND, BY_DELISTING, BY_LIMIT, BY_RUIN)  # causes that come between two candles
_RESTS: Final = "still working"


class RestingOrders(NamedTuple):
    """Orders of one symbol by column, oldest first; times are ms, `ended_ms` -1 for one that still works."""

    number: IntArray
    kind: IntArray
    side: IntArray
    tag: IntArray
    begun_ms: IntArray
    ended_ms: IntArray
    price: FloatArray  # trigger, or else limit; 0 of a trailing order
    quantity: FloatArray
    end: IntArray  # status × 1000 + cause
    fill_price: FloatArray  # of its last fill; 0 = none
    is_at_close: IntArray  # whether it ended at the close of `ended_ms`, not in the candle that opened then


class LevelPath(NamedTuple):
    """Where levels stood, by column: `owner` is a trade's or an order's number; 0 is no level any more."""

    owner: IntArray
    kind: IntArray
    time_ms: IntArray
    price: FloatArray


def resting_of(orders: Rows, latency_bars: int = 0) -> RestingOrders:
    """
    Return every order of one symbol that rested, from its ORDER_EVENT records.

    latency_bars  of the account: without any, what a strategy takes back ends at its close
    """
    own = orders[(orders["number"] > 0) & (orders["kind"] != AT_MARKET)]
    own = own[np.argsort(own["number"], kind="stable")]
    first = np.flatnonzero(np.diff(own["number"], prepend=-1))
    begun, last = own[first], own[np.append(first, len(own))[1:] - 1]
    is_over = np.isin(last["status"], _ENDS)
    filled = own[np.isin(own["status"], (WORKING, FILLED))]
    at = np.searchsorted(filled["number"], begun["number"], "right") - 1
    is_filled = (at >= 0) & (filled["number"][at] == begun["number"] if len(filled) else False)
    price = np.zeros(len(begun))
    price[is_filled] = filled["price"][at[is_filled]]
    return RestingOrders(
        begun["number"],
        begun["kind"],
        begun["side"],
        begun["tag"],
        begun["time_ms"],
        np.where(is_over, last["time_ms"], -1),
        begun["price"],
        begun["quantity"],
        np.where(is_over, last["status"] * 1000 + last["cause"], 0),
        price,
        np.isin(last["cause"], _AT_CLOSE if latency_bars else (BY_STRATEGY, *_AT_CLOSE)).astype(np.int64),
    )


def trails_of(orders: Rows) -> LevelPath:
    """Return the path of every trailing order of one symbol, and from its trigger on of every one with a limit."""
    is_trail = (orders["status"] == MOVED) & (orders["kind"] == TRAIL)
    has_limit = np.isin(orders["kind"], (STOP_LIMIT, TOUCH_LIMIT))
    rows = orders[is_trail | (has_limit & (orders["status"] == TRIGGERED))]
    rows = rows[np.argsort(rows["number"], kind="stable")]
    return LevelPath(rows["number"], rows["kind"], rows["time_ms"], rows["price"])


def levels_of(orders: Rows, fills: Rows) -> LevelPath:
    """Return how stop and target of every trade of one symbol moved, from its ORDER_EVENT and FILL records."""
    rows = orders[(orders["status"] == MOVED) & (orders["kind"] >= POSITION_STOP)]
    rows = rows[np.lexsort((rows["sequence"], rows["kind"]))]
    # What moves belongs to the trade that is open, and so to that of the last fill before.
    trade = fills["trade"][np.searchsorted(fills["sequence"], rows["sequence"]) - 1]
    order = np.argsort(trade, kind="stable")
    return LevelPath(trade[order], *(rows[name][order] for name in ("kind", "time_ms", "price")))


def last_stops(trades: Table, orders: Rows, fills: Rows) -> FloatArray:
    """Return where the stop of every trade stood at last, that of its entry where it never moved; NaN is none."""
    found = trades["stop_price"].copy()
    by_number = np.argsort(trades["number"])
    for symbol in np.unique(orders["symbol"]):
        path = levels_of(orders[orders["symbol"] == symbol], fills[fills["symbol"] == symbol])
        is_stop = path.kind == POSITION_STOP
        owner, price = path.owner[is_stop], path.price[is_stop]
        last = np.flatnonzero(np.diff(owner, append=-1))
        rows = by_number[np.searchsorted(trades["number"], owner[last], sorter=by_number)]
        found[rows] = np.where(price[last] > 0.0, price[last], np.nan)
    return np.asarray(found)


def trade_tags(trades: Table, orders: Rows, fills: Rows) -> Table:
    """Return the tags of the orders that opened and closed every trade, empty where there was none."""
    told = orders[(orders["fill"] >= 0) & (orders["tag"] != 0)]
    tags: IntArray = np.zeros(len(fills), np.int64)
    tags[np.searchsorted(fills["sequence"], told["fill"])] = told["tag"]
    closing = np.flatnonzero(fills["position"] == 0.0)
    found = {}
    for name, rows in (("entry_tag", np.arange(len(fills))), ("exit_tag", closing)):
        numbers, first = np.unique(fills["trade"][rows], return_index=True)
        codes = np.zeros(len(trades["number"]), np.int64)
        at = np.minimum(np.searchsorted(numbers, trades["number"]), max(len(numbers) - 1, 0))
        if len(numbers):
            is_there = numbers[at] == trades["number"]
            codes[is_there] = tags[rows[first[at[is_there]]]]
        texts, places = np.unique(codes, return_inverse=True)
        words = np.array([tag_text(code) for code in texts.tolist()], np.str_)
        found[name] = words[places]
    return found


def parts_of(fills: Rows) -> dict[str, Any]:
    """Return the fills of trades of one symbol that have more than entry and exit, with the average entry after each."""
    numbers, counts = np.unique(fills["trade"], return_counts=True)
    last = len(fills) - 1 - np.unique(fills["trade"][::-1], return_index=True)[1]
    # A trade that is still open has another fill than its entry as soon as it has two.
    has_more = counts > np.where(fills["position"][last] == 0.0, 2, 1)
    rows = fills[np.isin(fills["trade"], numbers[has_more])]
    average = np.zeros(len(rows))
    held = cost = 0.0
    columns = (rows[name].tolist() for name in ("trade", "price", "quantity", "position"))
    number = -1
    for place, (trade, price, quantity, position) in enumerate(zip(*columns, strict=True)):
        if trade != number:
            number, held, cost = trade, 0.0, 0.0
        if abs(position) > held:
            cost = (cost * held + price * quantity) / (held + quantity)
        held = abs(position)
        average[place] = cost
    return {
        "trade": rows["trade"],
        "time_ms": rows["candle_ms"],
        "side": rows["side"],
        "price": rows["price"],
        "quantity": rows["quantity"],
        "position": rows["position"],
        "average": average,
    }


def pack_orders(
    orders: Rows, fills: Rows, symbols: Sequence[str], latency_bars: int = 0
) -> dict[str, dict[str, Any]]:
    """Return what the page draws of orders, by symbol; symbols without any are left out."""
    packed = {}
    for index, symbol in enumerate(symbols):
        own, filled = (rows[rows["symbol"] == index] for rows in (orders, fills))
        parts = parts_of(filled)
        if len(own) or len(parts["trade"]):
            packed[symbol] = {
                "resting": _resting(_newest(resting_of(own, latency_bars))),
                "trails": _path(_newest(trails_of(own))),
                "levels": _path(_newest(levels_of(own, filled))),
                "parts": _parts(_newest(parts)),
            }
    return packed


def orders_left_out(orders: Rows, fills: Rows, symbols: Sequence[str]) -> list[str]:
    """Return a sentence for every symbol of whose orders, levels or fills a part is not drawn."""
    said = []
    for index, symbol in enumerate(symbols):
        own, filled = (rows[rows["symbol"] == index] for rows in (orders, fills))
        sizes = {
            "orders": len(np.unique(own["number"])),
            "moves of levels": int((own["status"] == MOVED).sum()),
            "fills": len(filled),
        }
        said += [
            f"{symbol}: of {n:,} {what} the report draws the newest {MOST_ROWS:,}."
            for what, n in sizes.items()
            if n > MOST_ROWS
        ]
    return said


def _newest(columns: Any) -> Any:
    """Return the newest MOST_ROWS rows of columns, without the rest of what was cut in two."""
    named = columns if isinstance(columns, dict) else columns._asdict()
    owner = next(iter(named.values()))
    if len(owner) <= MOST_ROWS:
        return columns
    cut = len(owner) - MOST_ROWS
    cut = int(np.searchsorted(owner, owner[cut - 1], "right"))
    named = {name: values[cut:] for name, values in named.items()}
    return named if isinstance(columns, dict) else type(columns)(**named)


def _resting(rows: RestingOrders) -> dict[str, Any]:
    kinds, kind = np.unique(rows.kind, return_inverse=True)
    tags, tag = np.unique(rows.tag, return_inverse=True)
    ends, end = np.unique(rows.end, return_inverse=True)
    begun = rows.begun_ms // 1000
    return {
        "kinds": [KIND_NAMES[code] for code in kinds.tolist()],
        "tags": [tag_text(code) for code in tags.tolist()],
        "ends": [_end(code) for code in ends.tolist()],
        "number": pack_steps(rows.number),
        "kind": pack_integers(kind),
        "tag": pack_integers(tag),
        "end": pack_integers(end),
        "side": pack_integers(rows.side),
        "begun": pack_steps(begun),
        "is_at_close": pack_integers(rows.is_at_close),
        "life": pack_integers(np.where(rows.ended_ms < 0, -1, rows.ended_ms // 1000 - begun)),
        **_prices({"price": rows.price, "fill_price": rows.fill_price}),
        "quantity": plain_values(rows.quantity),
    }


def _end(code: int) -> str:
    """Return in words how an order ended."""
    status, cause = divmod(code, 1000)
    if not status:
        return _RESTS
    said = CAUSE_NAMES.get(cause) or REFUSED_NAMES.get(cause, "")
    return f"{STATUS_NAMES[status]}: {said}" if said else STATUS_NAMES[status]


def _path(rows: LevelPath) -> dict[str, Any]:
    return {
        "owner": pack_steps(rows.owner),
        "is_target": pack_integers((rows.kind > POSITION_STOP).astype(np.int64)),
        "time": pack_steps(rows.time_ms // 1000),
        **_prices({"price": rows.price}),
    }


def _parts(rows: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "trade": pack_steps(rows["trade"]),
        "time": pack_steps(rows["time_ms"] // 1000),
        "side": pack_integers(rows["side"]),
        **_prices({"price": rows["price"], "average": rows["average"]}),
        "quantity": plain_values(rows["quantity"]),
        "position": plain_values(rows["position"]),
    }


def _prices(columns: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Return columns of prices as integers, with the decimals that they share."""
    given = np.concatenate([values[values > 0.0] for values in columns.values()])
    decimals = decimals_of(given) if len(given) else 0
    packed: dict[str, Any] = {"decimals": decimals}
    for name, values in columns.items():
        packed[name] = pack_steps(np.rint(values * 10.0**decimals).astype(np.int64))
    return packed


assert PLACED < WORKING < FILLED  # the order in which an order's rows are told
