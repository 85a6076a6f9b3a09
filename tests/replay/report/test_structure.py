"""Market structure on the page: every zone from the candle that made it known to the one that ended it, nothing else."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest

from papertape.engine.features.smc import EVENT, SmartMoney
from papertape.engine.features.smc import events as e
from papertape.engine.jit import Rows
from papertape.replay.report.structure import GROUPS, left_out, name_of, pack_structure, structure_of
from tests.support.helpers import random_candles
from tests.support.packed import unpack_integers

HOUR_MS = 3_600_000


class Item(NamedTuple):
    """One thing to draw, as a row."""

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
    kind, *columns, _ = structure_of(events, timeframe_ms)
    rows = zip(kind.tolist(), *(column.tolist() for column in columns), strict=True)
    return [Item(*name_of(code), *row) for code, *row in rows]


@pytest.fixture(scope="module")
def events() -> Rows:
    return SmartMoney("1h").update(random_candles(4_000, 21))


def test_every_event_that_begins_something_is_one_item(events: Rows) -> None:
    items = items_of(events, HOUR_MS)

    own = events[events["scale"] != e.SCALE_HTF]
    kinds = Counter(own["kind"].tolist())
    labels = Counter(item.label for item in items)
    assert labels["OB"] == kinds[e.ORDER_BLOCK] > 50
    assert labels["BOS"] == kinds[e.BOS] > 50
    assert labels["FVG"] == kinds[e.FVG] > 10
    assert labels["sweep"] == kinds[e.SWEEP] > 50
    known = [item.known_ms for item in items]
    assert known == sorted(known)
    assert all(item.formed_ms < item.known_ms for item in items)


def test_a_block_ends_when_it_is_mitigated(events: Rows) -> None:
    ends = {
        (int(row["bar"]), int(row["scale"]), int(row["side"])): int(row["known_ms"])
        for row in events[events["kind"] == e.ORDER_BLOCK_MITIGATED]
    }
    blocks = events[(events["kind"] == e.ORDER_BLOCK) & (events["scale"] != e.SCALE_HTF)]

    items = [item for item in items_of(events, HOUR_MS) if item.label == "OB"]

    for row, item in zip(blocks, items, strict=True):
        end = ends.get((int(row["bar"]), int(row["scale"]), int(row["side"])), -1)
        assert item.ended_ms == (end if end >= item.known_ms else -1)
        assert (item.top, item.bottom) == (max(row["top"], row["bottom"]), min(row["top"], row["bottom"]))
    assert sum(item.ended_ms > 0 for item in items) > len(items) // 2


def test_packed_columns_hold_the_items(events: Rows) -> None:
    items = items_of(events, HOUR_MS)

    packed = pack_structure(events, HOUR_MS)

    assert packed is not None
    column = {name: unpack_integers(packed[name]) for name, text in packed.items() if isinstance(text, str)}
    unit = 10.0 ** packed["decimals"]
    assert [GROUPS[group] for group in column["group"]] == [item.group for item in items]
    assert [packed["labels"][label] for label in column["label"]] == [item.label for item in items]
    known = np.cumsum(column["known"]) + packed["first"]
    top = np.cumsum(column["top"]) + packed["first_top"]
    np.testing.assert_array_equal(known * 1000, [item.known_ms for item in items])
    np.testing.assert_array_equal((known - column["formed"]) * 1000, [i.formed_ms for i in items])
    np.testing.assert_allclose(top / unit, [item.top for item in items], rtol=1e-8)


def test_without_events_there_is_nothing() -> None:
    assert pack_structure(np.zeros(0, EVENT), HOUR_MS) is None


def test_of_too_many_the_swing_scale_and_the_newest_are_drawn(
    events: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = items_of(events, HOUR_MS)
    swings = [item for item in whole if item.is_swing]
    others = [item for item in whole if not item.is_swing]
    monkeypatch.setattr("papertape.replay.report.structure.MOST_ITEMS", len(swings) + 10)

    few = items_of(events, HOUR_MS)

    assert [item for item in few if item.is_swing] == swings
    assert [item for item in few if not item.is_swing] == others[-10:]
    packed = pack_structure(events, HOUR_MS)
    assert packed is not None
    assert packed["left_out"] == len(others) - 10
    assert left_out(events, ["X"], HOUR_MS) == [
        f"X: of {len(whole):,} pieces of market structure the report draws {len(few):,}: "
        "the swing scale, then the newest."
    ]


def test_what_is_drawn_whole_is_not_spoken_of(events: Rows) -> None:
    assert left_out(events, ["X"], HOUR_MS) == []


def test_every_zone_ends_as_a_search_row_by_row_says(events: Rows) -> None:
    ends = {
        "OB": [e.ORDER_BLOCK_MITIGATED],
        "breaker": [e.FLIP_END],
        "mitigation": [e.FLIP_END],
        "FVG": [e.FVG_CLOSED],
        "IFVG": [e.IFVG_END],
        "pool": [e.POOL_SWEEP, e.POOL_RUN],
    }
    own = events[(events["scale"] != e.SCALE_HTF) & (events["timeframe_ms"] == HOUR_MS)]
    times = {
        (int(row["kind"]), int(row["bar"]), int(row["scale"]), int(row["side"])): int(row["known_ms"])
        for row in own
    }
    found = structure_of(events, HOUR_MS)
    begun = own[np.isin(own["kind"], np.unique(found.kind))]

    for row, kind, ended_ms in zip(begun, found.kind, found.ended_ms, strict=True):
        keys = [(end, row["bar"], row["scale"], row["side"]) for end in ends.get(name_of(kind)[1], ())]
        known = [times[key] for key in keys if key in times and times[key] >= row["known_ms"]]
        assert ended_ms == min(known, default=-1)
