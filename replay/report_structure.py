"""
Market structure for the report's page: events folded into things that begin, become known and end.

An event never changes, so a zone's life is told by several of them: made, then mitigated, filled or ended. Here each
zone becomes one row with the time it formed, the time it was known and the time it ended, packed as the candles are.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.features.smc import events as e
from papertape.engine.jit import Rows
from papertape.replay.report_data import decimals_of, pack_integers

MOST_ITEMS: Final = 60_000  # of one symbol; more would neither be seen nor fit
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
DRAWN_KINDS: Final = tuple(
    sorted({*_ZONES, *_POINTS}.union(*(ends for _, _, ends in _ZONES.values())))
)
_ENDS: Final = frozenset().union(*(ends for _, _, ends in _ZONES.values()))


class Item(NamedTuple):
    """One thing to draw; times are ms, `ended_ms` -1 while it lives."""

    group: str
    label: str
    side: int
    is_swing: bool
    formed_ms: int
    known_ms: int
    ended_ms: int
    top: float
    bottom: float


def items_of(events: Rows, timeframe_ms: int) -> list[Item]:
    """
    Return what one symbol's events on one timeframe tell, in the order in which it became known.

    At most MOST_ITEMS. They are chosen before anything is made of them: two years of minutes have a million.
    """
    rows = events[(events["timeframe_ms"] == timeframe_ms) & (events["scale"] != e.SCALE_HTF)]
    begun = _most_telling(rows[np.isin(rows["kind"], sorted({*_ZONES, *_POINTS}))])
    ended = _ends(rows[np.isin(rows["bar"], begun["bar"])])
    return [_item(row, ended) for row in begun]


def pack_structure(events: Rows, timeframe_ms: int) -> dict[str, Any] | None:
    """Return the items of one symbol as packed columns, None when there are none."""
    items = items_of(events, timeframe_ms)
    if not items:
        return None
    labels = sorted({item.label for item in items})
    prices = np.array([(item.top, item.bottom) for item in items])
    decimals = decimals_of(prices)
    top, bottom = np.rint(prices.T * 10.0**decimals).astype(np.int64)
    known = np.array([item.known_ms for item in items]) // 1000
    formed = np.array([item.formed_ms for item in items]) // 1000
    ended = np.array([item.ended_ms for item in items]) // 1000
    columns = {
        "group": [GROUPS.index(item.group) for item in items],
        "label": [labels.index(item.label) for item in items],
        "side": [item.side for item in items],
        "is_swing": [int(item.is_swing) for item in items],
        "formed": known - formed,
        "known": np.diff(known, prepend=0),
        "ended": np.where(ended < 0, -1, ended - known),
        "top": top,
        "bottom": top - bottom,
    }
    packed = {name: pack_integers(np.asarray(values)) for name, values in columns.items()}
    return {"labels": labels, "decimals": decimals, **packed}


def _most_telling(begun: Rows) -> Rows:
    """Return at most MOST_ITEMS rows in their order: the swing scale first, then the newest."""
    order = np.argsort(begun["scale"] == e.SCALE_SWING, kind="stable")
    return begun[np.sort(order[-MOST_ITEMS:])]


def _key(row: Any) -> tuple[int, ...]:
    """Return what ties the end of a zone to its beginning: the candle, the scale and the side."""
    return int(row["bar"]), int(row["scale"]), int(row["side"])


def _ends(rows: Rows) -> dict[tuple[int, ...], int]:
    """Return when each zone ended: (kind of the end, candle, scale, side) → time in ms."""
    chosen = rows[np.isin(rows["kind"], sorted(_ENDS))]
    return {(int(row["kind"]), *_key(row)): int(row["known_ms"]) for row in chosen}


def _item(row: Any, ended: Mapping[tuple[int, ...], int]) -> Item:
    kind, known_ms = int(row["kind"]), int(row["known_ms"])
    if kind in _ZONES:
        group, label, ends = _ZONES[kind]
        times = [ended[(end, *_key(row))] for end in ends if (end, *_key(row)) in ended]
        ended_ms = min((time for time in times if time >= known_ms), default=-1)
    else:
        (group, label), ended_ms = _POINTS[kind], -1
    level = float(row["level"])
    top, bottom = float(row["top"]), float(row["bottom"])
    if group not in ("blocks", "gaps"):
        top = bottom = level
    return Item(
        group,
        label,
        int(row["side"]),
        int(row["scale"]) == e.SCALE_SWING,
        int(row["formed_ms"]),
        known_ms,
        ended_ms,
        max(top, bottom),
        min(top, bottom),
    )
