"""ReplayFeed: from the first to the last candle of any tape, absent candles, batches that change nothing."""

import numpy as np
import pytest

from papertape.engine.candles import FLAG_ABSENT, FLAG_UNLISTED, HOUR_MS
from papertape.engine.errors import DataError
from papertape.engine.events import Cause, Halt
from papertape.engine.jit import Rows
from papertape.replay.feed import ReplayFeed, common_span
from tests.support.helpers import START_MS, random_candles

TAPE = random_candles(50, seed=1)
OTHER = random_candles(60, seed=2)


async def rows_of(feed: ReplayFeed) -> Rows:
    async def gather() -> list[Rows]:
        return [batch async for batch in feed if isinstance(batch, np.ndarray)]

    return np.concatenate(await gather())


@pytest.mark.asyncio
async def test_one_tape_without_gaps_comes_out_as_it_is() -> None:
    assert (await rows_of(ReplayFeed([TAPE], HOUR_MS))).tobytes() == TAPE.tobytes()


@pytest.mark.asyncio
async def test_missing_candles_are_absent_flat_and_flagged() -> None:
    gapped = np.delete(TAPE, [10, 11])

    rows = await rows_of(ReplayFeed([gapped], HOUR_MS))

    assert len(rows) == 50
    for row in rows[10:12]:
        assert row.flag_bits == FLAG_ABSENT
        assert row.open == row.high == row.low == row.close == TAPE[9].close
        assert row.volume == 0.0
    assert ReplayFeed([gapped], HOUR_MS).n_absent == 2
    assert rows[12].tobytes() == TAPE[12].tobytes()


@pytest.mark.asyncio
async def test_skipping_gaps_leaves_instants_that_some_tape_has() -> None:
    first, second = np.delete(TAPE, [10, 11, 20]), np.delete(TAPE, [10, 11])

    alone = await rows_of(ReplayFeed([first], HOUR_MS, gaps="skip"))
    both = await rows_of(ReplayFeed([first, second], HOUR_MS, gaps="skip"))

    assert alone["open_ms"].tolist() == first["open_ms"].tolist()
    assert both["open_ms"][::2].tolist() == second["open_ms"].tolist()
    assert both["flag_bits"][::2].tolist().count(FLAG_ABSENT) == 1


@pytest.mark.asyncio
async def test_each_tape_takes_part_from_its_first_to_its_last_candle() -> None:
    feed = ReplayFeed([TAPE[5:], OTHER[:40]], HOUR_MS)

    rows = await rows_of(feed)

    first, second = rows[::2], rows[1::2]
    assert (feed.first_ms, feed.last_ms) == (START_MS, START_MS + 49 * HOUR_MS)
    assert first["flag_bits"].tolist() == [FLAG_ABSENT | FLAG_UNLISTED] * 5 + [0] * 45
    for name in ("open", "high", "low", "close"):  # flat at the price at which it will open
        assert first[name][:5].tolist() == [TAPE["open"][5]] * 5
        assert second[name][40:].tolist() == [OTHER["close"][39]] * 10
    assert not first["volume"][:5].any()
    assert second["flag_bits"].tolist() == [0] * 40 + [FLAG_ABSENT] * 10
    assert feed.n_absent == 0
    told = [event for event in feed.events() if isinstance(event, Halt)]
    assert told == [Halt(START_MS + 40 * HOUR_MS, 1, Cause.GONE, True)]


@pytest.mark.asyncio
@pytest.mark.parametrize("batch", [1, 3, 7, 64, 1_000])
async def test_batches_change_nothing(batch: int) -> None:
    tapes = [np.delete(TAPE, [3, 30, 31]), OTHER]
    whole = await rows_of(ReplayFeed(tapes, HOUR_MS))
    feed = ReplayFeed(tapes, HOUR_MS, batch_rows=batch)

    assert all(len(part) <= batch for part in feed.batches())
    assert (await rows_of(feed)).tobytes() == whole.tobytes()


@pytest.mark.asyncio
async def test_closes_are_those_of_the_instants() -> None:
    tapes = [np.delete(TAPE, [3]), OTHER]
    feed = ReplayFeed(tapes, HOUR_MS)

    np.testing.assert_array_equal(feed.closes(), (await rows_of(feed))["close"].reshape(-1, 2))


@pytest.mark.asyncio
async def test_progress_ends_with_everything() -> None:
    seen: list[tuple[int, int]] = []
    feed = ReplayFeed([TAPE], HOUR_MS, batch_rows=2, on_progress=lambda d, n: seen.append((d, n)))

    await rows_of(feed)

    assert seen[-1] == (50, 50)


def test_tapes_that_never_meet_are_refused() -> None:
    later = TAPE.copy()
    later["open_ms"] += 1_000 * HOUR_MS

    with pytest.raises(DataError, match="no common span"):
        common_span([TAPE, later])
    with pytest.raises(DataError, match="no candle"):
        ReplayFeed([TAPE, TAPE[:0]], HOUR_MS)
    with pytest.raises(DataError, match="batch_rows"):
        ReplayFeed([TAPE], HOUR_MS, batch_rows=0)
