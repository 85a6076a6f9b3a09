"""Market structure on the page: every zone from the candle that made it known to the one that ended it, nothing else."""

from collections import Counter

import numpy as np
import pytest
from helpers import random_candles

from papertape.engine.features.smc import EVENT, SmartMoney
from papertape.engine.features.smc import events as e
from papertape.engine.jit import Rows
from papertape.replay.report_data import unpack_integers
from papertape.replay.report_structure import GROUPS, items_of, pack_structure

HOUR_MS = 3_600_000


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
        assert (item.top, item.bottom) == (
            max(row["top"], row["bottom"]),
            min(row["top"], row["bottom"]),
        )
    assert sum(item.ended_ms > 0 for item in items) > len(items) // 2


def test_packed_columns_hold_the_items(events: Rows) -> None:
    items = items_of(events, HOUR_MS)

    packed = pack_structure(events, HOUR_MS)

    assert packed is not None
    column = {name: unpack_integers(packed[name]) for name in packed if name not in ("labels", "decimals")}  # fmt: skip
    unit = 10.0 ** packed["decimals"]
    assert [GROUPS[group] for group in column["group"]] == [item.group for item in items]
    assert [packed["labels"][label] for label in column["label"]] == [item.label for item in items]
    known = np.cumsum(column["known"])
    np.testing.assert_array_equal(known * 1000, [item.known_ms for item in items])
    np.testing.assert_array_equal((known - column["formed"]) * 1000, [i.formed_ms for i in items])
    np.testing.assert_allclose(column["top"] / unit, [item.top for item in items], rtol=1e-8)


def test_without_events_there_is_nothing() -> None:
    assert pack_structure(np.zeros(0, EVENT), HOUR_MS) is None


def test_of_too_many_the_swing_scale_and_the_newest_are_drawn(
    events: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = items_of(events, HOUR_MS)
    swings = [item for item in whole if item.is_swing]
    others = [item for item in whole if not item.is_swing]
    monkeypatch.setattr("papertape.replay.report_structure.MOST_ITEMS", len(swings) + 10)

    few = items_of(events, HOUR_MS)

    assert [item for item in few if item.is_swing] == swings
    assert [item for item in few if not item.is_swing] == others[-10:]
