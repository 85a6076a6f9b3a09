"""
History into the store: resumable, with progress, from the first source that has it.

What lies in the store is always a whole tape without a hole of our making: a range that is older than the stored
candles is fetched backwards from their first one, a newer range forwards from their last one, and every so many
candles the tape is written anew under its name. A download that was cut goes on where it stopped.

Of two downloads of one tape the second is refused, and none replaces what somebody else has written since it read.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows, join_rows
from papertape.replay.runtime.files import held_folder
from papertape.replay.sources.errors import RestError, RestUnavailable
from papertape.replay.sources.sources import HistorySource, SourceListing
from papertape.replay.tapes.quality import measure
from papertape.replay.tapes.store import Store, Tape, read_tape
from papertape.replay.tapes.tape import tape_name
from papertape.replay.tapes.timestamps import floor_to, utc_text

SAVE_BARS: Final = 20_000
# A tape grows by at least this share between two writes, so that writing never costs more than fetching.
SAVE_SHARE: Final = 0.25
# A venue's history may trail its clock; a candle that has only just closed is left for the next time.
SETTLE_MS: Final = 30_000
_FETCHING: Final = ".fetching"  # in a store, a folder for each tape that is fetched now

OnProgress = Callable[[str, int, int], None]


class Wanted(NamedTuple):
    """What a user asks for: open times, both included."""

    timeframe: str
    first_ms: int
    last_ms: int


class Fetched(NamedTuple):
    """What came of it."""

    tape: Tape
    path: Path
    source: str
    new_bars: int
    failures: tuple[str, ...]  # of the sources before


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


async def fetch_first(
    sources: Sequence[tuple[HistorySource, str]],
    wanted: Wanted,
    store: Store,
    *,
    renew: bool = False,
    on_progress: OnProgress = no_progress,
) -> Fetched:
    """
    Return the tape from the first source that gives it; each source has tapes of its own, they are never mixed.

    sources  each with its own name for the market
    renew    fetch everything again and, when it is whole, put it in the place of what is stored

    Raises DataError with every source's reason when none does.
    """
    failures: list[str] = []
    is_away = False
    for source, symbol in sources:
        async with source:
            try:
                listing = await source.find(symbol)
                download = Download(source, listing, wanted, store, renew, on_progress)
                return await download.run(tuple(failures))
            except RestError as error:
                failures.append(str(error))
                is_away |= isinstance(error, RestUnavailable)
    hint = "; what came is kept, so try again later" if is_away else ""
    raise DataError("; then ".join(failures) + hint)


class Download:
    """One market from one source into the store."""

    def __init__(
        self,
        source: HistorySource,
        listing: SourceListing,
        wanted: Wanted,
        store: Store,
        renew: bool,
        on_progress: OnProgress,
    ) -> None:
        self._source = source
        self._listing = listing
        self._timeframe = wanted.timeframe
        self._length_ms = timeframe_ms(wanted.timeframe)
        self._first_ms = wanted.first_ms
        latest_ms = source.venue_now_ms() - SETTLE_MS - self._length_ms
        self._last_ms = int(floor_to(min(wanted.last_ms, latest_ms), self._length_ms))
        self._name = tape_name(listing.venue, listing.symbol, wanted.timeframe)
        self._path = store.directory / f"{self._name}.parquet"
        self._store = store
        self._renew = renew
        self._on_progress = on_progress
        self._tape: Tape | None = None
        self._new_bars = 0

    async def run(self, failures: tuple[str, ...]) -> Fetched:
        """Return the tape after fetching what is missing at both of its ends; DataError while another process does."""
        place = self._store.directory / _FETCHING / self._name
        with held_folder(place, "another process fetches this tape; wait for its end"):
            try:
                if self._path.exists() and not self._renew:
                    self._tape = read_tape(self._path)
                return await self._fetched(failures)
            finally:
                with suppress(OSError):  # another one is fetched beside it
                    place.rmdir()
                    place.parent.rmdir()

    async def _fetched(self, failures: tuple[str, ...]) -> Fetched:
        if self._last_ms < self._first_ms:
            raise DataError(
                f"{self._name}: no candle is final yet between {utc_text(self._first_ms)} and "
                f"{utc_text(self._source.venue_now_ms())}; give an earlier --start"
            )
        self._tell()
        if self._tape is None:
            await self._backwards(self._first_ms, self._last_ms)
        else:
            await self._forwards(int(self._tape.candles["open_ms"][-1]) + self._length_ms)
            oldest_ms = int(self._tape.candles["open_ms"][0])
            await self._backwards(self._first_ms, oldest_ms - self._length_ms)
        if self._tape is None:
            raise RestError(
                f"{self._source.name} has no candle of {self._listing.wanted} between "
                f"{utc_text(self._first_ms)} and {utc_text(self._last_ms)}"
            )
        if self._renew:
            self._store.save(self._tape, replace=True)
        self._tell(is_done=True)
        return Fetched(self._tape, self._path, self._source.name, self._new_bars, failures)

    async def _forwards(self, first_ms: int) -> None:
        """Fetch what is newer, piece by piece: a piece is added when it is whole."""
        span_ms = (SAVE_BARS - 1) * self._length_ms
        while first_ms <= self._last_ms:
            last_ms = min(first_ms + span_ms, self._last_ms)
            async with aclosing(self._pages(first_ms, last_ms)) as source:
                pages = [page async for page in source]
            self._save(pages[::-1], is_newer=True)
            first_ms = last_ms + self._length_ms

    async def _backwards(self, first_ms: int, last_ms: int) -> None:
        """Fetch what is older: pages come newest first, so what is there so far always touches the tape."""
        if last_ms < first_ms:
            return
        pages: list[Rows] = []
        try:
            async with aclosing(self._pages(first_ms, last_ms)) as source:
                async for page in source:
                    pages.append(page)
                    stored = 0 if self._tape is None else len(self._tape.candles)
                    waiting = sum(map(len, pages))
                    self._tell(waiting)
                    if waiting >= max(SAVE_BARS, SAVE_SHARE * stored):
                        self._save(pages[::-1], is_newer=False)
                        pages = []
        finally:  # a venue that fails and a user who has waited enough keep what has come
            self._save(pages[::-1], is_newer=False)

    def _pages(self, first_ms: int, last_ms: int) -> AsyncGenerator[Rows, None]:
        return self._source.candle_pages(self._listing, self._timeframe, first_ms, last_ms)

    def _save(self, parts: list[Rows], *, is_newer: bool) -> None:
        """Write the tape with some candles more at one of its ends."""
        if not parts:
            return
        self._new_bars += sum(len(part) for part in parts)
        old = [] if self._tape is None else [self._tape.candles]
        candles = join_rows([*old, *parts] if is_newer else [*parts, *old])
        before = self._tape
        sources = [*(before.source.split("; ") if before is not None else []), self._source.name]
        notes = [*(before.notes if before is not None else []), *self._listing.notes, *self._drops()]
        tape = Tape(
            candles,
            self._listing.venue,
            self._listing.symbol,
            self._timeframe,
            "; ".join(dict.fromkeys(sources)),
            self._listing.kind,
            tuple(dict.fromkeys(notes)),
        )
        self._tape = replace(tape, quality=measure(candles, self._timeframe).as_dict())
        if not self._renew:
            known = "" if before is None else before.sha256
            self._store.save(self._tape, replace=True, grown_from=known)
        self._tell()

    def _drops(self) -> list[str]:
        """Return one sentence for each rule that candles of the venue broke."""
        counts = self._source.counts
        return [
            f"candles of the venue left out because they were {name}"
            for name in ("misaligned", "null", "invalid", "duplicate")
            if counts[name]
        ]

    def _tell(self, waiting: int = 0, *, is_done: bool = False) -> None:
        total = (self._last_ms - self._first_ms) // self._length_ms + 1
        inside = 0
        if self._tape is not None:
            ends = np.searchsorted(self._tape.candles["open_ms"], [self._first_ms, self._last_ms + 1])
            inside = int(ends[1] - ends[0])
        self._on_progress(self._name, total if is_done else min(inside + waiting, total), total)
