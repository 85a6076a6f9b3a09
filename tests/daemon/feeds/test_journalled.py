"""What comes beside candles: taken in or refused as the engine itself would, without a copy of it for what comes often."""

from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import papertape.daemon.feeds.journalled
from papertape.daemon.app import serve
from papertape.daemon.feeds.journalled import rehearse
from papertape.daemon.feeds.protocol import FeedSource, Notice, NoticeKind
from papertape.daemon.journal import Journal
from papertape.daemon.runtime.daemon import Hooks
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import MarketChange, SeriesRows
from papertape.engine.jit import Rows
from papertape.engine.records import FUNDING_RATE, MARK_PRICE, OPEN_INTEREST, SERIES
from papertape.engine.spec import EngineSpec, Market
from tests.support.helpers import START_MS, make_candles
from tests.support.journals import candles, identity

NAN, INF = float("nan"), float("inf")


class Reader:
    features = ("mark_premium", "open_interest", "funding")

    def decide(self, view: Any) -> None:
        return None


class Plain(Reader):
    features = ()


def rows_of(*rows: tuple[Any, ...]) -> Rows:
    """Return rows of (ms after the start, symbol, kind, value, open, high, low); the last three as the value if left out."""
    whole = [row if len(row) == 7 else (*row, *[row[3]] * 3) for row in rows]
    return np.array([(START_MS + row[0], *row[1:]) for row in whole], SERIES)


def good(time_ms: int, kind: int = OPEN_INTEREST, symbol: int = 1) -> tuple[Any, ...]:
    return (time_ms, symbol, kind, 0.5)


# Of symbol 1 the open interest is told until 2,000, its mark until 3,000, which no candle has seen yet.
SERIES_OF_EVERY_KIND = {
    "good": rows_of(good(2_001), good(2_002), good(3_001, MARK_PRICE), good(1, OPEN_INTEREST, 0)),
    "not known": rows_of((2_001, 1, OPEN_INTEREST, NAN), (3_001, 1, MARK_PRICE, NAN)),
    "none": rows_of()[:0],
    "another record": np.zeros(1, [("known_ms", "<i8")]),
    "symbol too high": rows_of(good(2_001, symbol=2)),
    "symbol below 0": rows_of(good(2_001, symbol=-1)),
    "kind too high": rows_of(good(2_001, 5)),
    "kind below 0": rows_of(good(2_001, -1)),
    "infinite": rows_of((2_001, 1, OPEN_INTEREST, INF)),
    "price of 0": rows_of((3_001, 1, MARK_PRICE, 0.0)),
    "rate above 1": rows_of((5, 1, FUNDING_RATE, -1.5)),
    "below 0": rows_of((2_001, 1, OPEN_INTEREST, -1.0)),
    "no range": rows_of((3_001, 1, MARK_PRICE, 5.0, 5.0, 4.0, 3.0)),
    "infinite range": rows_of((3_001, 1, MARK_PRICE, 5.0, 5.0, INF, 3.0)),
    "told already": rows_of(good(2_000)),
    "waiting already": rows_of(good(3_000, MARK_PRICE)),
    "twice": rows_of(good(2_001), good(2_001)),
    "one bad among good": rows_of(good(2_001), good(1, OPEN_INTEREST, 0), good(2_000)),
}
GOOD = ("good", "not known", "none")


@pytest.mark.parametrize("kind", SERIES_OF_EVERY_KIND)
@pytest.mark.parametrize("strategy", [Reader, Plain])
def test_the_cheap_check_of_series_refuses_what_the_engine_refuses(strategy: type[Reader], kind: str) -> None:
    engine = Engine(EngineSpec((Market("W"), Market("X")), strategy(), "1m", "1m"))
    engine.step(SeriesRows(rows_of(good(1_000), good(2_000))))
    tape = make_candles([(100.0,) * 4] * 2)
    tape["open_ms"], tape["symbol"] = START_MS, [0, 1]
    engine.step(tape)  # they are seen, what comes now waits
    engine.step(SeriesRows(rows_of(good(3_000, MARK_PRICE))))
    rows = SERIES_OF_EVERY_KIND[kind]

    try:
        engine.frames.known.refuse_bad(rows, engine.symbols)
        found = None
    except DataError as error:
        found = str(error)

    refusal = rehearse(engine, SeriesRows(rows))
    assert found == (None if refusal is None else str(refusal))
    if strategy is Reader:
        assert (found is None) == (kind in GOOD)


@pytest.mark.asyncio
async def test_series_and_changes_of_markets_are_taken_in_or_told_without_a_copy_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = identity(daemon={"state": str(tmp_path)}, strategy={"name": "ema_cross"})
    tape = candles(12)
    market = about.markets[0]
    known_ms = int(tape["open_ms"][-1])
    row = np.array([(known_ms, 1, MARK_PRICE, 5.0, 5.0, 5.0, 5.0)], SERIES)
    bad_row, other = row.copy(), replace(market, tick_size=0.25)
    bad_row["value"] = -1.0
    changes = [
        MarketChange(known_ms, 0, figures)
        for figures in (
            other.plain(),
            other.plain(),  # no news any more
            other.plain() | {"leverage": 200.0, "maintenance_rate": 0.6},
            replace(other, symbol="NONE").plain(),
            other.plain() | {"no_figure": 1},
        )
    ]
    events = [SeriesRows(bad_row), SeriesRows(row), *changes, MarketChange(known_ms, 9, other.plain())]
    notices: list[Notice] = []

    class Feed:
        async def __aiter__(self) -> Any:
            yield tape[:12]
            for event in events:
                yield event
            yield tape[12:]

    @asynccontextmanager
    async def open_feed(_: Any) -> Any:
        yield FeedSource(Feed(), lambda: 77)

    def copied(*_: Any) -> None:
        raise AssertionError("the engine was copied in the event loop")

    monkeypatch.setattr(papertape.daemon.feeds.journalled, "rehearse", copied)
    await serve(about, open_feed, Hooks(on_notice=notices.append), is_virtual=True)

    with Journal.read(tmp_path) as journal:
        kept = [each.event for each in journal.inputs()]
    beside = [event for event in kept if isinstance(event, SeriesRows | MarketChange)]
    assert [type(event) for event in beside] == [SeriesRows, MarketChange]
    assert beside[0].rows.tolist() == row.tolist()
    assert beside[1].figures["tick_size"] == 0.25
    assert sum(len(event) for event in kept if isinstance(event, np.ndarray)) == len(tape)
    assert [notice.kind for notice in notices] == [NoticeKind.REJECTED] * 5
