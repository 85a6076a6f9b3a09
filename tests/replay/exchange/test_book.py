"""The book: the reference's checksums, and updates that rebuild it in a client of ten lines."""

from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest

from papertape.replay.exchange.book import Book, changes, checksum
from tests.support.venue_client import MINUTE_MS, START_MS, Client, make_tape, of_type, with_venue

BEFORE = Book(
    [("86420.5", "1204"), ("86421.0", "377"), ("86423.5", "58")],
    [("86420.0", "910"), ("86419.5", "2200"), ("86417.0", "45")],
)
AFTER = Book(
    [("86420.5", "990"), ("86423.5", "58")],
    [("86420.0", "910"), ("86419.5", "2200"), ("86418.0", "130"), ("86417.0", "45")],
)
SAMPLE = Book([("100.00", "23"), ("100.05", "34")], [("99.04", "87"), ("98.65", "102"), ("98.30", "16")])


@pytest.mark.parametrize(
    ("book", "expected"), [(SAMPLE, 3599895312), (BEFORE, 3869323725), (AFTER, 1537562305)]
)
def test_checksums_are_the_references(book: Book, expected: int) -> None:
    assert checksum(book) == expected


def test_changes_are_the_references_update() -> None:
    assert changes(BEFORE.asks, AFTER.asks) == [("86420.5", "990"), ("86421.0", "0")]
    assert changes(BEFORE.bids, AFTER.bids) == [("86418.0", "130")]


class Rebuilt:
    """A client's book, by the rules of section 3.7."""

    def __init__(self) -> None:
        self.asks: dict[str, str] = {}
        self.bids: dict[str, str] = {}
        self.seq = 0
        self.faults: list[str] = []

    def take(self, frame: dict[str, Any]) -> None:
        if frame["action"] == "snapshot":
            self.asks, self.bids = dict(frame["a"]), dict(frame["b"])
        else:
            if frame["seq"] != self.seq + 1:
                self.faults.append("gap")
            for side, levels in ((self.asks, frame["a"]), (self.bids, frame["b"])):
                for price, size in levels:
                    side.pop(price, None) if size == "0" else side.update({price: size})
        self.seq = frame["seq"]
        asks = sorted(self.asks.items(), key=lambda level: float(level[0]))[:10]
        bids = sorted(self.bids.items(), key=lambda level: -float(level[0]))[:10]
        text = "|".join(",".join(f"{p}:{s}" for p, s in side) for side in (asks, bids))
        if crc32(text.encode()) != frame["cs"]:
            self.faults.append("checksum")


def test_a_client_rebuilds_the_book_and_a_second_one_joins_in_the_middle() -> None:
    async def use(client: Client) -> tuple[Rebuilt, Rebuilt, int]:
        early = await client.connect()
        await early.subscribe(("ob_updates", ["BTCUSDT"]))
        first = await early.listen(START_MS + MINUTE_MS)
        late = await client.connect()
        await late.subscribe(("ob_updates", ["BTCUSDT"]))
        first += await early.listen(START_MS + 3 * MINUTE_MS)
        second = await late.listen(START_MS + 3 * MINUTE_MS + 1)
        books = Rebuilt(), Rebuilt()
        for book, frames in zip(books, (first, second), strict=True):
            for frame in of_type(frames, "ob_updates"):
                book.take(frame)
        return *books, len(of_type(first, "ob_updates"))

    early, late, n = with_venue(use)

    assert n > 8
    assert early.faults == late.faults == []
    assert early.asks == late.asks
    assert early.bids == late.bids
    assert early.seq == late.seq


def test_best_and_deep_levels_agree_and_do_not_cross() -> None:
    async def use(client: Client) -> list[dict[str, Any]]:
        socket = await client.connect()
        await socket.subscribe(("ob_l1", ["BTCUSDT"]), ("ob_l2", ["BTCUSDT"]))
        return await socket.listen(START_MS + 2 * MINUTE_MS)

    frames = with_venue(use, [make_tape()])

    best, deep = of_type(frames, "ob_l1"), of_type(frames, "ob_l2")
    assert best[0]["ap"], best[0]["as"] == deep[0]["a"][0]
    for frame in deep:
        asks, bids = ([float(price) for price, _ in frame[side]] for side in ("a", "b"))
        assert asks == sorted(asks)
        assert bids == sorted(bids, reverse=True)
        assert asks[0] > bids[0]
        assert len(asks) == len(bids) == 15
    gaps = [b["lts"] - a["lts"] for a, b in pairwise(best)]
    assert max(gaps) <= 5_000_000
