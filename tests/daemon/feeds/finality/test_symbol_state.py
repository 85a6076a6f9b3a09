"""What a symbol's row remembers: no look at a table finds anything else than one that reckons it anew."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from papertape.daemon.feeds.finality import finality
from papertape.daemon.feeds.finality.bars import Bar, HistoryRequest
from papertape.daemon.feeds.finality.finality import Finality, Rules
from papertape.daemon.feeds.finality.symbol_state import SymbolState
from papertape.engine.candles import CANDLE
from papertape.engine.jit import Rows
from tests.support.feed_market import LENGTH_MS, START_MS

SYMBOLS = ("X", "Y")
N_LOOKS = 400
Asked = dict[Finality, HistoryRequest]  # the same question of each table


class Forgetful(SymbolState):
    """A row that reckons its times whenever it is asked for them."""

    next_ask_ms = property(SymbolState.next_ask_ms.func)  # type: ignore[assignment]
    decide_at_ms = property(SymbolState.decide_at_ms.func)  # type: ignore[assignment]


@contextmanager
def forgetful_rows() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finality, "SymbolState", Forgetful)
        yield


def bar_of(chance: random.Random, open_ms: int) -> Bar:
    """Return one of the few states of a candle, so that stream and history often say the same, and often do not."""
    price = 100.0 + open_ms // LENGTH_MS % 3
    if not chance.randrange(3):
        return Bar.flat(open_ms, price)
    return Bar(open_ms, price, price + 1.0, price, price, float(chance.randrange(1, 4)))


def rows_of(chance: random.Random, request: HistoryRequest) -> Rows:
    opens = [ms for ms in range(request.first_ms, request.last_ms + 1, LENGTH_MS) if chance.randrange(6)]
    return np.array([(ms, 0, *bar_of(chance, ms)[1:], 0) for ms in opens], CANDLE)


def happening(chance: random.Random, now_ms: int, asked: list[Asked]) -> Callable[[Finality], None] | None:
    """Return something that a venue or a connection does, for one table after the other; None: nothing."""
    symbol, kind = chance.choice(SYMBOLS), chance.randrange(16)
    if kind < 5:
        bar = bar_of(chance, now_ms // LENGTH_MS * LENGTH_MS - chance.choice((0, 0, 1)) * LENGTH_MS)
        sent = bar._replace(open_ms=0) if chance.randrange(2) else bar
        return lambda table: table.see(symbol, sent, now_ms * 1000, now_ms)
    if kind < 9 and asked:
        by_table = asked.pop(chance.randrange(len(asked)))
        request = next(iter(by_table.values()))
        rows, left_ms = rows_of(chance, request), chance.choice((None, request.asked_ms + 400))
        return lambda table: table.answer(by_table[table], rows, now_ms, left_ms)
    if kind == 9 and asked:
        unanswered = asked.pop(chance.randrange(len(asked)))
        return lambda table: table.fail(unanswered[table])
    whose = chance.choice((None, *SYMBOLS))
    if kind == 10:
        return lambda table: table.disconnect(whose)
    if kind == 11:
        return lambda table: table.connect(now_ms, whose)
    if kind == 12 and not chance.randrange(8):
        gone_ms = chance.choice((None, now_ms // LENGTH_MS * LENGTH_MS + LENGTH_MS))
        return lambda table: table.lose(symbol, gone_ms)
    if kind == 13 and not chance.randrange(8):
        after_ms = now_ms // LENGTH_MS * LENGTH_MS - chance.choice((1, 3)) * LENGTH_MS
        return lambda table: table.start(symbol, after_ms, 100.0)
    return None


def said_by(table: Finality, now_ms: int) -> list[Any]:
    """Return everything that a table says at a time."""
    return [table.next_deadline_ms(), table.advance(now_ms), table.waiting(now_ms), table.next_deadline_ms()]


@pytest.mark.parametrize("seed", range(12))
def test_what_is_remembered_is_what_would_be_reckoned(seed: int) -> None:
    chance = random.Random(seed)
    table = Finality(SYMBOLS, Rules(LENGTH_MS))
    with forgetful_rows():
        other = Finality(SYMBOLS, Rules(LENGTH_MS))
    both, now_ms, n_finals = (table, other), START_MS, 0
    asked: list[Asked] = []
    for each in both:
        each.connect(now_ms)
        for symbol in SYMBOLS:
            each.start(symbol, START_MS - LENGTH_MS, 100.0)

    for _ in range(N_LOOKS):
        if (happens := happening(chance, now_ms, asked)) is not None:
            for each in both:
                happens(each)
        said, expected = (said_by(each, now_ms) for each in both)
        assert said == expected
        asked += (
            dict(zip(both, pair, strict=True))
            for pair in zip(said[1].wanted, expected[1].wanted, strict=True)
        )
        n_finals += len(said[1].finals)
        due_ms = said[3] if said[3] is not None else now_ms + LENGTH_MS
        now_ms = max(now_ms, chance.choice((due_ms, now_ms + 700, now_ms + 3_000)))

    assert n_finals > 10


def test_an_echo_that_the_history_shows_is_no_news_to_ask_for() -> None:
    """A trade of the next candle is asked about half a second later, but this frame is the last candle's, held up."""
    table, end_ms = Finality(["X"], Rules(LENGTH_MS)), START_MS + LENGTH_MS
    bar = Bar(START_MS, 100.0, 101.0, 100.0, 100.0, 2.0)
    table.connect(START_MS)
    table.start("X", START_MS - LENGTH_MS, 100.0)
    (request,) = table.advance(end_ms + 1_000).wanted
    table.answer(request, np.array([(START_MS, 0, *bar[1:], 0)], CANDLE), end_ms + 1_100)

    table.see("X", bar._replace(open_ms=0), (end_ms + 1_500) * 1000, end_ms + 1_500)

    assert table.next_deadline_ms() == end_ms + 1_500 + 500  # before anybody has looked what it is
    assert table.next_deadline_ms() == end_ms + 3_000  # the next look that is due anyhow
