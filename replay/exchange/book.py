"""
The order book around the last price, made up from the tape alone: fifteen levels a side, one tick apart.

Sizes of the nearest levels change with every trade, deeper ones only with the price. The checksum is reference 3.7's:
`price:size` of the ten best levels as sent, asks ascending, a bar, bids descending, CRC-32.
"""

from collections.abc import Iterator
from decimal import ROUND_FLOOR, Decimal
from typing import Final, NamedTuple
from zlib import crc32

import orjson

from papertape.replay.exchange.market import TapeMarket
from papertape.replay.exchange.messages import US

LEVELS: Final = 15
_SUMMED: Final = 10
_LIVELY: Final = 3

Level = tuple[str, str]  # price, size


class Book(NamedTuple):
    """Both sides, best first."""

    asks: list[Level]
    bids: list[Level]


def book_at(market: TapeMarket, time_ms: int) -> Book | None:
    """Return the book at an instant; None before the first trade."""
    newest = market.last_trades(time_ms, 1)
    if not newest:
        return None
    tick = market.listing.tick_size
    price = Decimal(repr(newest[0].price))
    best = (price / tick).to_integral_value(ROUND_FLOOR) * tick
    moment = newest[0].time_ms
    asks = [_level(best + tick * i, i, moment, market) for i in range(1, LEVELS + 1)]
    bids = [_level(best - tick * i, i + 1, moment, market) for i in range(LEVELS)]
    return Book(asks, [level for level in bids if level is not None and level[0][0] != "-"])


def _level(price: Decimal, depth: int, moment: int, market: TapeMarket) -> Level:
    text = f"{price:.{market.listing.decimals}f}"
    salt = f"{text} {moment}" if depth <= _LIVELY else text
    return text, str(1 + crc32(salt.encode()) % 2500)


def checksum(book: Book) -> int:
    """Return the CRC-32 of the ten best levels of both sides."""
    sides = (",".join(f"{price}:{size}" for price, size in side[:_SUMMED]) for side in (book.asks, book.bids))
    return crc32("|".join(sides).encode())


def changes(before: list[Level], after: list[Level]) -> list[Level]:
    """Return what turns one side into another; size 0 deletes."""
    old, new = dict(before), dict(after)
    changed = [level for level in after if old.get(level[0]) != level[1]]
    return [*changed, *((price, "0") for price, _ in before if price not in new)]


class BookUpdates:
    """The numbered updates of one book, and the snapshot that a new subscriber gets."""

    def __init__(self, market: TapeMarket, symbol: str, after_ms: int) -> None:
        self._market = market
        self._symbol = symbol
        self._book = book_at(market, after_ms) or Book([], [])
        # Rising over restarts as well, as a sequence number is.
        self._seq = after_ms // 100

    def frames(self, times: Iterator[int]) -> Iterator[tuple[int, bytes]]:
        """Yield an update per time at which the book has changed."""
        for time_ms in times:
            book = book_at(self._market, time_ms)
            if book is None or book == self._book:
                continue
            asks, bids = changes(self._book.asks, book.asks), changes(self._book.bids, book.bids)
            # The stream is one frame ahead of what has been sent: a snapshot until then shows the book before.
            frame = self._frame("update", asks, bids, checksum(book), self._seq + 1, time_ms)
            yield time_ms, frame
            self._book, self._seq = book, self._seq + 1

    def snapshot(self, now_ms: int) -> list[bytes]:
        """Return the whole book as it was last sent."""
        book = self._book
        return [self._frame("snapshot", book.asks, book.bids, checksum(book), self._seq, now_ms)]

    def _frame(
        self, action: str, asks: list[Level], bids: list[Level], cs: int, seq: int, time_ms: int
    ) -> bytes:
        return orjson.dumps(
            {
                "a": asks,
                "action": action,
                "b": bids,
                "cs": cs,
                "seq": seq,
                "sy": self._symbol,
                "ts": time_ms * US,
                "type": "ob_updates",
            }
        )
