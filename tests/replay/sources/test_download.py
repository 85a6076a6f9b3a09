"""Downloads into the store: whole tapes only, resumed where they stopped, from the first source that has them."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from papertape.engine.candles import CANDLE, HOUR_MS
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows
from papertape.replay.sources import download
from papertape.replay.sources.download import Fetched, Wanted, fetch_first
from papertape.replay.sources.errors import RestRefused, RestUnavailable
from papertape.replay.sources.sources import SourceListing
from papertape.replay.tapes.store import Store
from tests.support.loopback import in_virtual_time

NOW_MS = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC
LAST_MS = NOW_MS // HOUR_MS * HOUR_MS - HOUR_MS  # opens at 09:00, closed at 10:00
PAGE_BARS = 10


def bars(first_ms: int, last_ms: int) -> Rows:
    rows = np.zeros(max((last_ms - first_ms) // HOUR_MS + 1, 0), CANDLE)
    rows["open_ms"] = first_ms + HOUR_MS * np.arange(len(rows))
    for name in ("open", "high", "low", "close"):
        rows[name] = 1.0 + (rows["open_ms"] // HOUR_MS) % 9
    rows["volume"] = 2.0
    return rows


class Fake:
    """A source whose history begins at `listed_ms` and that can fail before its n-th page."""

    def __init__(self, name: str = "fake", *, listed_ms: int = 0, fail_at: int | None = None) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self.listed_ms = listed_ms
        self.fail_at = fail_at
        self.now_ms = NOW_MS
        self.asked: list[tuple[int, int]] = []
        self.is_open = False
        self.unknown = False
        self.on_page: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_open = False

    def venue_now_ms(self) -> int:
        return self.now_ms

    async def find(self, symbol: str) -> SourceListing:
        assert self.is_open
        if self.unknown:
            raise RestRefused(f"{self.name} does not list {symbol!r}")
        return SourceListing(symbol, f"{self.name}-spot", symbol, "spot")

    async def candle_pages(
        self, listing: SourceListing, timeframe: str, first_ms: int, last_ms: int
    ) -> AsyncGenerator[Rows, None]:
        self.asked.append((first_ms, last_ms))
        rows = bars(max(first_ms, self.listed_ms), last_ms)
        for number, end in enumerate(range(len(rows), 0, -PAGE_BARS)):
            if number == self.fail_at:
                raise RestUnavailable(f"{self.name}: gone")
            self.on_page()
            yield rows[max(end - PAGE_BARS, 0) : end].copy()


def fetch(store: Store, *sources: Fake, first_ms: int, last_ms: int = NOW_MS, **more: Any) -> Fetched:
    pairs = [(source, "X") for source in sources]
    return in_virtual_time(fetch_first(pairs, Wanted("1h", first_ms, last_ms), store, **more))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture(autouse=True)
def _save_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SAVE_BARS", 20)


def test_a_download_is_one_whole_tape_that_says_where_it_is_from(store: Store) -> None:
    first_ms = LAST_MS - 99 * HOUR_MS
    seen: list[tuple[int, int]] = []

    fetched = fetch(
        store, Fake(), first_ms=first_ms, on_progress=lambda _, done, total: seen.append((done, total))
    )
    tape = store.find("fake-spot_X_1h")

    assert tape.candles.tobytes() == bars(first_ms, LAST_MS).tobytes()
    assert (tape.source, tape.venue, tape.kind) == ("fake", "fake-spot", "spot")
    assert (fetched.new_bars, fetched.tape.sha256) == (100, tape.sha256)
    assert tape.quality["gaps"] == 0
    assert seen[0] == (0, 100)
    assert seen[-1] == (100, 100)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_neither_a_forming_nor_a_barely_closed_candle_is_stored(store: Store) -> None:
    source = Fake()
    source.now_ms = LAST_MS + 2 * HOUR_MS + 29_000  # 11:00:29: the 10:00 bar closed 29 s ago

    fetched = fetch(store, source, first_ms=LAST_MS, last_ms=LAST_MS + 9 * HOUR_MS)

    assert fetched.tape.candles["open_ms"].tolist() == [LAST_MS]


@pytest.mark.parametrize("fail_at", range(1, 10))
def test_a_download_that_is_cut_leaves_a_whole_tape_and_goes_on_from_it(store: Store, fail_at: int) -> None:
    first_ms = LAST_MS - 99 * HOUR_MS

    with pytest.raises(DataError, match="fake: gone"):
        fetch(store, Fake(fail_at=fail_at), first_ms=first_ms)
    partial = store.find("X")
    again = Fake()
    fetched = fetch(store, again, first_ms=first_ms)

    kept_ms = LAST_MS - (fail_at * PAGE_BARS - 1) * HOUR_MS
    assert partial.candles.tobytes() == bars(kept_ms, LAST_MS).tobytes()
    assert again.asked == [(first_ms, kept_ms - HOUR_MS)]
    assert fetched.tape.candles.tobytes() == bars(first_ms, LAST_MS).tobytes()
    assert fetched.tape.source == "fake"


def test_newer_candles_are_added_in_whole_pieces_without_a_hole(store: Store) -> None:
    """The second piece fails in its middle: the first stays, nothing of the second does."""
    first_ms = LAST_MS - 99 * HOUR_MS
    fetch(store, Fake(), first_ms=first_ms, last_ms=first_ms + 9 * HOUR_MS)
    failing = Fake()
    pages = iter(range(3))

    def third_page_fails() -> None:
        if next(pages) == 2:
            raise RestUnavailable("fake: gone")

    failing.on_page = third_page_fails

    with pytest.raises(DataError, match="fake: gone"):
        fetch(store, failing, first_ms=first_ms)
    kept = store.find("X").candles["open_ms"]
    fetched = fetch(store, Fake(), first_ms=first_ms)

    assert kept.tolist() == [first_ms + k * HOUR_MS for k in range(30)]
    assert fetched.tape.candles.tobytes() == bars(first_ms, LAST_MS).tobytes()


def test_both_ends_grow_and_what_is_there_is_not_asked_for(store: Store) -> None:
    middle = (LAST_MS - 60 * HOUR_MS, LAST_MS - 40 * HOUR_MS)
    fetch(store, Fake(), first_ms=middle[0], last_ms=middle[1])
    source = Fake()

    fetched = fetch(store, source, first_ms=LAST_MS - 80 * HOUR_MS, last_ms=LAST_MS - 30 * HOUR_MS)
    nothing = fetch(store, Fake(), first_ms=middle[0], last_ms=middle[1])

    assert source.asked == [
        (middle[1] + HOUR_MS, LAST_MS - 30 * HOUR_MS),
        (LAST_MS - 80 * HOUR_MS, middle[0] - HOUR_MS),
    ]
    assert len(fetched.tape.candles) == 51
    assert nothing.new_bars == 0
    assert len(nothing.tape.candles) == 51


def test_an_interrupted_download_keeps_what_came(store: Store) -> None:
    async def main() -> None:
        source = Fake()
        wanted = Wanted("1h", LAST_MS - 99 * HOUR_MS, NOW_MS)
        task = asyncio.create_task(fetch_first([(source, "X")], wanted, store))
        pages = iter(range(100))

        def stop_at_the_fourth() -> None:
            if next(pages) == 3:
                task.cancel()
                raise asyncio.CancelledError

        source.on_page = stop_at_the_fourth
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not source.is_open

    in_virtual_time(main())

    assert store.find("X").candles.tobytes() == bars(LAST_MS - 29 * HOUR_MS, LAST_MS).tobytes()


def test_of_two_that_fetch_one_tape_at_once_the_second_is_refused(store: Store) -> None:
    """Each wrote what it had read before and fetched since, and the last to write undid the other."""
    source = Fake()
    told: list[Any] = []

    def another() -> None:
        with pytest.raises(DataError, match="another process fetches this tape; wait for its end"):
            asyncio.run(fetch_first([(Fake(), "X")], Wanted("1h", LAST_MS, NOW_MS), store))
        told.append(store.entries())

    source.on_page = lambda: in_thread(another)
    fetch(store, source, first_ms=LAST_MS - 9 * HOUR_MS)

    assert told == [[]]
    assert len(store.find("X").candles) == 10
    assert [path.name for path in store.directory.iterdir()] == ["fake-spot_X_1h.parquet"]
    assert fetch(store, Fake(), first_ms=LAST_MS - 19 * HOUR_MS).new_bars == 10


def in_thread(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def test_what_another_wrote_while_a_tape_was_fetched_is_not_undone(store: Store) -> None:
    first_ms = LAST_MS - 49 * HOUR_MS
    fetch(store, Fake(), first_ms=first_ms, last_ms=LAST_MS - 30 * HOUR_MS)
    imported = store.find("X")
    longer = replace(imported, candles=bars(first_ms, LAST_MS - 10 * HOUR_MS))
    source = Fake()

    def come_between() -> None:
        store.save(longer, merge=True)

    source.on_page = come_between

    with pytest.raises(DataError, match="another process wrote it meanwhile, and it was left so"):
        fetch(store, source, first_ms=first_ms)

    assert len(store.find("X").candles) == 40
    assert len(fetch(store, Fake(), first_ms=first_ms).tape.candles) == 50


def test_renewing_fetches_everything_and_keeps_the_old_tape_until_it_has_it(store: Store) -> None:
    first_ms = LAST_MS - 49 * HOUR_MS
    old = fetch(store, Fake(), first_ms=first_ms).tape

    with pytest.raises(DataError, match="gone"):
        fetch(store, Fake(fail_at=3), first_ms=first_ms, renew=True)
    assert store.find("X").sha256 == old.sha256
    renewed = fetch(store, Fake(), first_ms=first_ms + 9 * HOUR_MS, renew=True)

    assert store.find("X").sha256 == renewed.tape.sha256
    assert len(renewed.tape.candles) == 41


def test_the_next_source_is_asked_when_one_fails_and_its_tape_is_its_own(store: Store) -> None:
    unknown, broken, good = Fake("first"), Fake("second", fail_at=2), Fake("third")
    unknown.unknown = True

    fetched = fetch(store, unknown, broken, good, first_ms=LAST_MS - 49 * HOUR_MS)

    assert fetched.failures == ("first does not list 'X'", "second: gone")
    assert (fetched.source, fetched.tape.venue) == ("third", "third-spot")
    # what came of the second one is whole, and its own
    assert [(e.name, e.about["rows"]) for e in store.entries()] == [
        ("second-spot_X_1h", 20),
        ("third-spot_X_1h", 50),
    ]


def test_when_every_source_fails_each_reason_is_told(store: Store) -> None:
    first, second = Fake("first"), Fake("second", listed_ms=NOW_MS)
    first.unknown = True

    with pytest.raises(
        DataError, match=r"first does not list 'X'; then second has no candle of X between 2026-11-2"
    ):
        fetch(store, first, second, first_ms=LAST_MS - HOUR_MS)
    assert store.entries() == []


def test_a_range_without_a_final_candle_is_refused(store: Store) -> None:
    with pytest.raises(DataError, match="no candle is final yet"):
        fetch(store, Fake(), first_ms=NOW_MS + HOUR_MS)
