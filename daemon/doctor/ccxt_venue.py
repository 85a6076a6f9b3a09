"""A venue of ccxt: can the feed work with it? The reference's rows are about Delta and are left out."""

from collections.abc import Sequence
from typing import Final

from papertape.daemon.doctor.finding import Finding, FindingStatus
from papertape.daemon.doctor.rest import clock_finding
from papertape.engine.candles import timeframe_ms
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_history import CcxtHistory
from papertape.replay.sources.ccxt_markets import find_market, make_exchange
from papertape.replay.sources.errors import RestError, RestUnavailable

BARS: Final = 10


async def examine_library_venue(
    venue: str, symbols: Sequence[str], timeframe: str, clock: Clock, *, base_url: str | None = None
) -> list[Finding]:
    """Return whether markets load, every symbol is listed and has candles, and how candles will come."""
    exchange = make_exchange(venue, is_streaming=True, base_url=base_url)
    history = CcxtHistory(exchange, clock, retries=1)
    try:
        await history.start()
        found = [_row(f"{venue}'s markets", "load", f"{len(exchange.markets):,}", FindingStatus.OK)]
        found.append(clock_finding(history.clock_offset_ms))
        way = "watchOHLCV" if exchange.has.get("watchOHLCV") else "none: it is polled"
        found.append(_row("stream of candles", "watchOHLCV, or polling", way, FindingStatus.OK))
        found += [await _symbol(history, symbol, timeframe) for symbol in symbols]
    except RestError as error:
        is_away = isinstance(error, RestUnavailable) and base_url is None
        status = FindingStatus.NOT_RUN if is_away else FindingStatus.FAILED
        found = [_row(f"{venue}'s markets", "load", str(error), status)]
    finally:
        await exchange.close()
    return found


async def _symbol(history: CcxtHistory, symbol: str, timeframe: str) -> Finding:
    """Return whether a symbol has final candles."""
    check, expected = f"candles of {symbol}", f"the last {BARS} of {timeframe}"
    try:
        market = find_market(history.exchange, symbol)
        length_ms = timeframe_ms(timeframe)
        now_ms = history.venue_now_ms()
        rows = await history.candles(market.unified, timeframe, now_ms - (BARS + 1) * length_ms, now_ms)
    except RestError as error:
        return _row(check, expected, str(error), FindingStatus.FAILED)
    told = f"{len(rows)} of {market.venue} {market.symbol}"
    return _row(check, expected, told, FindingStatus.OK if len(rows) else FindingStatus.FAILED)


def _row(check: str, expected: str, observed: str, status: FindingStatus) -> Finding:
    return Finding("venue", check, expected, observed, status)
