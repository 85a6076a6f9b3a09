"""CcxtFeed when a market goes, stands still or was never there: what the engine is told, and that the others go on."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import ccxt
import pytest

from papertape.daemon.feeds.ccxt import markets
from papertape.daemon.feeds.ccxt.feed import CcxtFeed
from papertape.daemon.feeds.ccxt.figures import ccxt_figures
from papertape.daemon.feeds.protocol import FeedStart, Notice, NoticeKind
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.events import Cause
from papertape.replay.config.live import Live
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_history import CcxtHistory
from papertape.replay.sources.errors import RestRefused
from tests.support.ccxt_runs import OPEN_MS, START_MS, SYMBOLS, Run, follow, last_ms, read, truth
from tests.support.fake_ccxt import MINUTE_MS, FakeExchange, FakePerpetuals, candle_of
from tests.support.loopback import in_virtual_time

BTC, ETH = SYMBOLS
AFTER_MS = OPEN_MS - 3 * MINUTE_MS
CLOSES = tuple(candle_of(symbol, AFTER_MS)[4] for symbol in SYMBOLS)


def of(run: Run, index: int) -> list[tuple[Any, ...]]:
    """Return one symbol's rows."""
    return [row for row in run.rows if row[1] == index]


def absent(run: Run) -> list[tuple[int, int]]:
    """Return open time and symbol of every absent candle."""
    pairs = zip(run.rows, run.flags, strict=True)
    return [(row[0], row[1]) for row, flag in pairs if flag & FLAG_ABSENT]


def said(run: Run, cause: Cause) -> list[tuple[int, int, bool]]:
    """Return each halt by a cause that is news: the instant that follows it, its symbol, whether it begins."""
    begun: set[int] = set()
    told = []
    for open_ms, halt in run.halts:
        if halt.cause is cause and halt.is_on is not (halt.symbol in begun):
            told.append((open_ms, halt.symbol, halt.is_on))
            (begun.add if halt.is_on else begun.discard)(halt.symbol)
    return told


def details(run: Run, symbol: str) -> list[str]:
    """Return what was told of a market, in words."""
    return [notice.detail for notice in run.told(NoticeKind.VENUE) if notice.symbol == symbol]


def without_eth(venue: FakeExchange) -> None:
    venue.unlisted = {ETH}


def refusing_eth(venue: FakeExchange) -> None:
    venue.refused = {ETH}


@pytest.mark.parametrize("has_stream", [True, False])
@pytest.mark.parametrize("prepare", [without_eth, refusing_eth])
def test_a_symbol_that_is_gone_at_a_restart_is_absent_and_the_others_go_on(
    prepare: Callable[[FakeExchange], None], has_stream: bool
) -> None:
    run = follow(6, after_ms=AFTER_MS, closes=CLOSES, prepare=prepare, has_stream=has_stream)

    assert of(run, 0) == [row for row in truth(AFTER_MS + MINUTE_MS, last_ms(6)) if row[1] == 0]
    assert [row[5] for row in of(run, 1)] == [CLOSES[1]] * len(of(run, 0))  # the last price
    # Found out at 10:15:31: from the candle of 10:16 on, by the rule of halts.
    assert said(run, Cause.GONE) == [(OPEN_MS + MINUTE_MS, 1, True)]
    assert absent(run) == [(row[0], 1) for row in of(run, 0)]
    (detail,) = details(run, ETH)
    assert detail.startswith("no longer listed")
    assert run.stats.is_connected


@pytest.mark.parametrize("refusal", [ccxt.BadSymbol, ccxt.NotSupported])
@pytest.mark.parametrize("has_stream", [True, False])
def test_a_symbol_that_is_refused_while_running_is_gone_within_a_candle(
    has_stream: bool, refusal: type[Exception]
) -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(95)  # 10:17:06
        venue.refusal, venue.refused = refusal, {ETH}
        venue.fail(refusal(f"binance does not have market symbol {ETH}"), [ETH])

    run = follow(9, script, has_stream=has_stream)

    assert of(run, 0) == [row for row in truth(OPEN_MS - 3 * MINUTE_MS, last_ms(9)) if row[1] == 0]
    # Asked after the close at 10:18, and refused: gone from the candle of 10:19 on.
    assert said(run, Cause.GONE) == [(OPEN_MS + 4 * MINUTE_MS, 1, True)]
    gone = [ms for ms, index in absent(run) if index == 1]
    assert gone[-6:] == [row[0] for row in of(run, 0)][-6:]
    assert gone[0] >= OPEN_MS + 2 * MINUTE_MS
    (detail,) = details(run, ETH)
    assert detail.startswith("no longer listed")
    assert "does not have market symbol" in detail
    # What waits for the history's last word waits 30 s, what is known to be gone not at all.
    assert max(run.stats.arrival_delay_ms[-6:]) < 3_000


def test_a_symbol_that_leaves_the_catalogue_without_a_word_is_found_out_by_its_silence() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(11 * 60)  # 10:26:31
        venue.unlisted, venue.muted, venue.stays_mute = {ETH}, {ETH}, True
        venue.thin = {ETH}

    run = follow(20, script)

    assert of(run, 0) == [row for row in truth(OPEN_MS - 3 * MINUTE_MS, last_ms(20)) if row[1] == 0]
    ((open_ms, index, is_on),) = said(run, Cause.GONE)
    assert (index, is_on) == (1, True)
    # The candle of 10:26 still traded, that of 10:27 did not, which was known half a minute after its end.
    assert OPEN_MS + 13 * MINUTE_MS <= open_ms <= OPEN_MS + 15 * MINUTE_MS
    (detail,) = details(run, ETH)
    assert detail.startswith("no longer listed")


def test_a_symbol_that_is_listed_again_is_followed_again() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(95)
        venue.refused = {ETH}
        await clock.sleep(120)
        venue.refused = set()

    run = follow(25, script, has_stream=False)

    (begin_ms, *_), (end_ms, *_) = said(run, Cause.GONE)
    assert begin_ms == OPEN_MS + 4 * MINUTE_MS
    assert end_ms - begin_ms <= 12 * MINUTE_MS
    later = [row for row in truth(end_ms + MINUTE_MS, last_ms(25)) if row[1] == 1]
    assert len(later) >= 5
    assert of(run, 1)[-len(later) :] == later
    assert details(run, ETH)[-1] == "listed again"


@pytest.mark.parametrize("is_late", [False, True])
def test_a_market_that_the_catalogue_calls_inactive_is_halted_until_it_is_active(is_late: bool) -> None:
    def prepare(venue: FakeExchange) -> None:
        venue.inactive = set() if is_late else {ETH}

    async def script(venue: FakeExchange, clock: Clock) -> None:
        if is_late:
            await clock.sleep(11 * 60)
            venue.inactive = {ETH}
            venue.thin = {ETH}
            await clock.sleep(120)
        await clock.sleep(60)
        venue.inactive, venue.thin = set(), set()

    run = follow(30, script, prepare=prepare)

    halts = said(run, Cause.MARKET)
    assert [(index, is_on) for _, index, is_on in halts] == [(1, True), (1, False)]
    assert halts[1][0] - halts[0][0] <= 12 * MINUTE_MS
    assert said(run, Cause.GONE) == []
    assert details(run, ETH) == ["does not trade", "trades again"]
    assert of(run, 0) == [row for row in truth(OPEN_MS - 3 * MINUTE_MS, last_ms(30)) if row[1] == 0]


@pytest.mark.parametrize("has_stream", [True, False])
def test_a_market_that_is_inactive_and_has_not_traded_for_so_long_is_gone(
    has_stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour in place of a day: no trade from 10:20 on, called inactive from the start on."""
    monkeypatch.setattr(markets, "GONE_AFTER_S", 1_800.0)

    def prepare(venue: FakeExchange) -> None:
        venue.inactive, venue.ends_ms = {ETH}, {ETH: OPEN_MS + 5 * MINUTE_MS}

    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(60 * 60)  # 11:15:31
        venue.inactive, venue.ends_ms = set(), {}

    run = follow(75, script, prepare=prepare, has_stream=has_stream)

    # Its last trade was in the candle of 10:19. At 10:49 half an hour has passed, and the catalogue is read every ten
    # minutes; gone is a symbol from the candle on that opens after that.
    (begin_ms, index, _), (end_ms, *_) = said(run, Cause.GONE)
    assert index == 1
    assert OPEN_MS + 34 * MINUTE_MS <= begin_ms <= OPEN_MS + 46 * MINUTE_MS
    assert end_ms >= OPEN_MS + 60 * MINUTE_MS  # active again: followed again
    told = details(run, ETH)
    assert told[0] == "does not trade"
    assert told[1].startswith("not active, and without a trade since 2026-11-23 10:19: absent from")
    assert sorted(told[2:]) == ["listed again", "trades again"]


@pytest.mark.parametrize(("ended_before_min", "is_gone"), [(20, False), (40, True), (3_000, False)])
def test_at_a_restart_the_history_tells_for_how_long_a_market_has_not_traded(
    ended_before_min: int, is_gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour in place of a day. Silent for longer than we look back is not known: it counts from now on."""
    monkeypatch.setattr(markets, "GONE_AFTER_S", 1_800.0)

    def prepare(venue: FakeExchange) -> None:
        venue.inactive, venue.ends_ms = {ETH}, {ETH: OPEN_MS - ended_before_min * MINUTE_MS}

    run = follow(4, after_ms=AFTER_MS, closes=CLOSES, prepare=prepare)

    assert said(run, Cause.GONE) == ([(OPEN_MS + MINUTE_MS, 1, True)] if is_gone else [])
    assert [halt[1:] for halt in said(run, Cause.MARKET)] == [(1, True)]
    assert of(run, 0) == [row for row in truth(AFTER_MS + MINUTE_MS, last_ms(4)) if row[1] == 0]


def test_a_symbol_that_is_left_out_is_absent_and_not_asked_for() -> None:
    run = follow(4, after_ms=AFTER_MS, closes=CLOSES, dropped=[ETH])

    assert of(run, 0) == [row for row in truth(AFTER_MS + MINUTE_MS, last_ms(4)) if row[1] == 0]
    assert [row[5] for row in of(run, 1)] == [CLOSES[1]] * len(of(run, 0))
    assert said(run, Cause.GONE) == [(OPEN_MS + MINUTE_MS, 1, True)]
    (detail,) = details(run, ETH)
    assert detail.startswith("no longer followed")
    assert ETH not in {fetch["symbol"] for fetch in run.venue.fetches}


def test_an_answer_without_any_market_is_no_news_of_the_markets() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(11 * 60)
        venue.unlisted, venue.thin = set(SYMBOLS), {ETH}

    run = follow(25, script)

    assert run.venue.n_loaded >= 2
    assert said(run, Cause.GONE) == []


@pytest.mark.parametrize("prepare", [without_eth, refusing_eth])
def test_a_symbol_of_a_new_account_that_is_not_there_is_refused_in_a_sentence(
    prepare: Callable[[FakeExchange], None],
) -> None:
    async def main() -> None:
        clock = Clock(START_MS)
        venue = FakeExchange(clock, SYMBOLS)
        prepare(venue)
        feed = CcxtFeed(Live(venue="binance"), FeedStart(tuple(SYMBOLS)), clock, exchange=venue)
        with pytest.raises(RestRefused, match=r"^binance .*ETH/USDT"):
            async with aclosing(aiter(feed)) as candles:
                await anext(candles)

    in_virtual_time(main())


def test_a_timeframe_that_the_venue_does_not_have_is_no_delisting() -> None:
    async def main() -> None:
        clock = Clock(START_MS)
        venue = FakeExchange(clock, SYMBOLS)
        live = Live(venue="binance", timeframe="5m")
        feed = CcxtFeed(
            live,
            FeedStart(tuple(SYMBOLS), AFTER_MS // 300_000 * 300_000, closes=tuple(CLOSES)),
            clock,
            exchange=venue,
        )
        with pytest.raises(RestRefused, match="has no 5m candles"):
            async with asyncio.timeout(600), aclosing(aiter(feed)) as candles:
                await anext(candles)

    in_virtual_time(main())


def brackets(found: markets.CcxtMarkets) -> dict[str, list[float] | None]:
    """Return the leverages of each symbol, None where they are not known."""
    told = {s: ccxt_figures(said).get("brackets", ()) for s, said in found.said.items()}
    return {s: None if rows is None else [row.leverage for row in rows] for s, rows in told.items()}


@pytest.mark.parametrize("error", [ccxt.ExchangeNotAvailable("okx 503"), ccxt.RateLimitExceeded("okx 429")])
def test_the_margins_of_a_perpetual_are_not_known_before_its_tiers_are(error: Exception) -> None:
    """Figures without a table would be a change that takes away the brackets which the account has."""
    notices: list[Notice] = []

    async def main() -> None:
        clock = Clock(START_MS)
        venue = FakePerpetuals(clock, SYMBOLS)
        history = CcxtHistory(venue, clock, retries=0)
        followed = markets.CcxtMarkets(SYMBOLS, SYMBOLS, [], notices.append)
        told: dict[str, Any] = {symbol: [100.0, 50.0] for symbol in SYMBOLS}
        unknown: dict[str, Any] = dict.fromkeys(SYMBOLS)
        for errors, expected, n_notices in (
            ([error], unknown, 1),
            ([error], unknown, 1),  # it is told once
            ([], told, 2),
            ([error], told, 3),  # of later trouble the table from before stays
        ):
            venue.tier_errors = list(errors)
            await followed.load(history)
            followed.read(venue, clock.now_ms())
            assert brackets(followed) == expected
            assert followed.are_tiers_missing is (expected is unknown)
            assert len(notices) == n_notices

    in_virtual_time(main())

    assert {notice.kind for notice in notices} == {NoticeKind.VENUE}
    assert notices[0].detail == (
        f"leverage tiers: okx fetch_leverage_tiers: {error}; margins stay as they are known"
    )


def test_a_venue_that_wants_keys_for_its_tiers_is_followed_without_them() -> None:
    async def main() -> None:
        clock = Clock(START_MS)
        venue = FakePerpetuals(clock, SYMBOLS)
        venue.tier_errors = [ccxt.AuthenticationError('okx requires "apiKey" credential')]
        followed = markets.CcxtMarkets(SYMBOLS, SYMBOLS, [])
        await followed.load(CcxtHistory(venue, clock, retries=0))
        followed.read(venue, clock.now_ms())
        assert brackets(followed) == {symbol: [] for symbol in SYMBOLS}
        assert not followed.are_tiers_missing

    in_virtual_time(main())


def test_of_tiers_that_are_asked_for_one_by_one_a_failure_costs_no_other() -> None:
    """Two of four symbols never answer: what the others said stays, and neither keeps them from being asked."""
    symbols = [*SYMBOLS, "SOL/USDT", "XRP/USDT"]

    async def main() -> None:
        clock = Clock(START_MS)
        venue = OneByOne(clock, symbols)
        history = CcxtHistory(venue, clock, retries=0)
        followed = markets.CcxtMarkets(symbols, symbols, [])
        await followed.load(history)
        for _ in range(3):
            await followed.ask_tiers(history, is_missing_alone=True)
        followed.read(venue, clock.now_ms())
        told = [100.0, 50.0]
        assert brackets(followed) == dict(zip(symbols, [told, None, None, told], strict=True))
        assert followed.are_tiers_missing
        assert venue.asked.count(BTC) == venue.asked.count("XRP/USDT") == 1

        venue.tiers = venue.tiers[:1]  # another table, hours later
        await followed.load(history)
        followed.read(venue, clock.now_ms())
        assert brackets(followed) == dict(zip(symbols, [[100.0], None, None, [100.0]], strict=True))

    in_virtual_time(main())


class OneByOne(FakePerpetuals):
    """A venue that is asked for the tiers of each symbol, and never answers about two."""

    def __init__(self, clock: Clock, symbols: list[str]) -> None:
        super().__init__(clock, symbols)
        self.has |= {"fetchLeverageTiers": False, "fetchMarketLeverageTiers": True}
        self.asked: list[str] = []

    async def fetch_market_leverage_tiers(self, symbol: str) -> list[dict[str, Any]]:
        """Return the table of one symbol."""
        self.asked.append(symbol)
        if symbol in (ETH, "SOL/USDT"):
            raise ccxt.ExchangeNotAvailable("okx 503")
        return [dict(row) for row in self.tiers]


def test_tiers_that_nobody_needs_are_not_asked_for() -> None:
    async def main() -> None:
        clock = Clock(START_MS)
        venue = FakePerpetuals(clock, SYMBOLS)
        for untiered, expected, n_asked in (
            ([ETH], {BTC: [100.0, 50.0], ETH: []}, 1),
            (SYMBOLS, {BTC: [], ETH: []}, 1),
        ):
            followed = markets.CcxtMarkets(SYMBOLS, SYMBOLS, [], untiered=untiered)
            await followed.load(CcxtHistory(venue, clock, retries=0))
            followed.read(venue, clock.now_ms())
            assert brackets(followed) == expected
            assert venue.n_tiers_asked == n_asked
            assert not followed.are_tiers_missing

    in_virtual_time(main())


def test_tiers_that_are_missing_are_asked_for_again_soon_and_candles_do_not_wait() -> None:
    run = Run()

    async def main() -> None:
        clock = Clock(START_MS)
        run.venue = FakePerpetuals(clock, SYMBOLS)
        run.venue.tier_errors = [ccxt.ExchangeNotAvailable("okx 503")] * 2  # asked twice each time
        feed = CcxtFeed(
            Live(venue="okx", history_bars=3),
            FeedStart(tuple(SYMBOLS), on_notice=run.notices.append),
            clock,
            seed=1,
            exchange=run.venue,
        )
        await read(run, feed, clock, 25)
        assert brackets(feed.markets) == {symbol: [100.0, 50.0] for symbol in SYMBOLS}

    in_virtual_time(main())

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(25))
    assert run.venue.n_tiers_asked == 3
    assert run.venue.n_loaded == 1  # a catalogue costs a venue dearly, and says nothing of tiers
    told = [notice.detail for notice in run.told(NoticeKind.VENUE)]
    assert told == [
        "leverage tiers: okx fetch_leverage_tiers: okx 503; margins stay as they are known",
        "leverage tiers: the venue tells them again",
    ]
