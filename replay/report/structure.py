"""
Market structure for the report's page: events folded into things that begin, become known and end.

An event never changes, so a zone's life is told by several of them: made, then mitigated, filled or ended. Here each
zone becomes one row with the time it formed, the time it was known and the time it ended, packed as the candles are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.features.smc import events as e
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.replay.report.data import decimals_of, pack_integers

MOST_ITEMS: Final = 500_000  # of one symbol: a year of minutes has 390,000, in 4 MB
GROUPS: Final = ("blocks", "gaps", "breaks", "pools", "sweeps")

# What begins a zone: group and label; and which kinds end it.
_ZONES: Final[Mapping[int, tuple[str, str, frozenset[int]]]] = {
    e.ORDER_BLOCK: ("blocks", "OB", frozenset({e.ORDER_BLOCK_MITIGATED})),
    e.BREAKER: ("blocks", "breaker", frozenset({e.FLIP_END})),
    e.MITIGATION_BLOCK: ("blocks", "mitigation", frozenset({e.FLIP_END})),
    e.FVG: ("gaps", "FVG", frozenset({e.FVG_CLOSED})),
    e.IFVG: ("gaps", "IFVG", frozenset({e.IFVG_END})),
    e.POOL: ("pools", "pool", frozenset({e.POOL_SWEEP, e.POOL_RUN})),
}
_POINTS: Final[Mapping[int, tuple[str, str]]] = {
    e.BOS: ("breaks", "BOS"),
    e.CHOCH: ("breaks", "CHoCH"),
    e.MSS: ("breaks", "MSS"),
    e.EQUAL_HIGHS: ("pools", "EQH"),
    e.EQUAL_LOWS: ("pools", "EQL"),
    e.SWEEP: ("sweeps", "sweep"),
    e.POOL_SWEEP: ("sweeps", "pool sweep"),
}
BEGINNINGS: Final = sorted({*_ZONES, *_POINTS})
ENDINGS: Final = sorted(frozenset[int]().union(*(ends for _, _, ends in _ZONES.values())))
DRAWN_KINDS: Final = tuple(sorted({*BEGINNINGS, *ENDINGS}))
_AREAS: Final = [kind for kind, (group, _, _) in _ZONES.items() if group in ("blocks", "gaps")]
_NAMES: Final = {**{kind: zone[:2] for kind, zone in _ZONES.items()}, **_POINTS}


class Structure(NamedTuple):
    """Things to draw by column, in the order in which they became known; times are ms, `ended_ms` -1 while one lives."""

    kind: IntArray
    side: IntArray
    is_swing: IntArray
    formed_ms: IntArray
    known_ms: IntArray
    ended_ms: IntArray
    top: FloatArray
    bottom: FloatArray
    left_out: int  # of the smaller scale, the oldest


def structure_of(
    events: Rows, timeframe_ms: int, most: int | None = None, until_ms: int | None = None
) -> Structure:
    """
    Return what one symbol's events on one timeframe tell, at most MOST_ITEMS: the swing scale, then the newest.

    most      in place of MOST_ITEMS
    until_ms  what became known later only ends things
    """
    most = MOST_ITEMS if most is None else most
    rows = _own(events, timeframe_ms)
    begun = rows[np.isin(rows["kind"], BEGINNINGS)]
    if until_ms is not None:
        begun = begun[begun["known_ms"] <= until_ms]
    n = len(begun)
    if n > most:
        order = np.argsort(begun["scale"] == e.SCALE_SWING, kind="stable")
        begun = begun[np.sort(order[-most:])]
    kind = np.ascontiguousarray(begun["kind"])
    is_zone = np.isin(kind, _AREAS)
    top, bottom = (np.where(is_zone, begun[name], begun["level"]) for name in ("top", "bottom"))
    return Structure(
        kind,
        np.ascontiguousarray(begun["side"]),
        (begun["scale"] == e.SCALE_SWING).astype(np.int64),
        np.ascontiguousarray(begun["formed_ms"]),
        np.ascontiguousarray(begun["known_ms"]),
        _ended_ms(begun, rows),
        np.maximum(top, bottom),
        np.minimum(top, bottom),
        n - len(begun),
    )


def left_out(events: Rows, symbols: Sequence[str], timeframe_ms: int) -> list[str]:
    """Return a sentence for every symbol of whose structure a part is not drawn."""
    said = []
    for index, symbol in enumerate(symbols):
        rows = _own(events[events["symbol"] == index], timeframe_ms)
        n = int(np.isin(rows["kind"], BEGINNINGS).sum())
        if n > MOST_ITEMS:
            said.append(
                f"{symbol}: of {n:,} pieces of market structure the report draws {MOST_ITEMS:,}: the swing scale, then "
                "the newest."
            )
    return said


def pack_structure(events: Rows, timeframe_ms: int) -> dict[str, Any] | None:
    """Return the structure of one symbol as packed columns, None when there is none."""
    found = structure_of(events, timeframe_ms)
    if not len(found.kind):
        return None
    names = [_NAMES[kind] for kind in found.kind.tolist()]
    labels = sorted({label for _, label in names})
    decimals = decimals_of(np.concatenate([found.top, found.bottom]))
    top, bottom = (np.rint(p * 10.0**decimals).astype(np.int64) for p in (found.top, found.bottom))
    known, formed = found.known_ms // 1000, found.formed_ms // 1000
    first, first_top = int(known[0]), int(top[0])
    columns = {
        "group": [GROUPS.index(group) for group, _ in names],
        "label": [labels.index(label) for _, label in names],
        "side": found.side,
        "is_swing": found.is_swing,
        "formed": known - formed,
        "known": np.diff(known, prepend=first),
        "ended": np.where(found.ended_ms < 0, -1, found.ended_ms // 1000 - known),
        "top": np.diff(top, prepend=first_top),
        "bottom": top - bottom,
    }
    packed = {name: pack_integers(np.asarray(values)) for name, values in columns.items()}
    return {
        "labels": labels,
        "decimals": decimals,
        "first": first,
        "first_top": first_top,
        "left_out": found.left_out,
        **packed,
    }


def name_of(kind: int) -> tuple[str, str]:
    """Return group and label of what an event of this kind begins."""
    return _NAMES[int(kind)]


def _own(events: Rows, timeframe_ms: int) -> Rows:
    """Return the events of one timeframe itself."""
    own: Rows = events[(events["timeframe_ms"] == timeframe_ms) & (events["scale"] != e.SCALE_HTF)]
    return own


def _ended_ms(begun: Rows, rows: Rows) -> IntArray:
    """Return when each zone ended, -1 for one that lives: the first of what ends it that was known later than itself."""
    never = np.iinfo(np.int64).max
    ended: IntArray = np.full(len(begun), never)
    keys = _keys(begun)
    for zone, (_, _, ends) in _ZONES.items():
        places = np.flatnonzero(begun["kind"] == zone)
        for end in ends if len(places) else ():
            last = rows[rows["kind"] == end]
            if not len(last):
                continue
            end_keys = _keys(last)
            order = np.argsort(end_keys, kind="stable")
            # Of several ends of one zone the newest counts, the last of equal keys.
            at = np.searchsorted(end_keys, keys[places], "right", sorter=order) - 1
            row = order[np.maximum(at, 0)]
            time_ms = last["known_ms"][row]
            is_end = (at >= 0) & (end_keys[row] == keys[places])
            is_end &= time_ms >= begun["known_ms"][places]
            ended[places[is_end]] = np.minimum(ended[places[is_end]], time_ms[is_end])
    ended[ended == never] = -1
    return ended


def _keys(rows: Rows) -> IntArray:
    """Return what ties the end of a zone to its beginning: the candle, the scale and the side, in one number."""
    keys: IntArray = (rows["bar"] * 16 + rows["scale"]) * 4 + rows["side"] + 1
    return keys
