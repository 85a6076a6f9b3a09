"""
An exchange object that behaves as ccxt.pro 4.5.90 was measured to: rows changed in place, only what is new, silence.

The market is a formula of time, so that every test knows the true candles.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import ccxt

from papertape.replay.runtime.clock import Clock

MINUTE_MS = 60_000
TICK_MS = 2_000  # a trade of every symbol each two seconds, half of them at second boundaries
Row = list[float]


def trade_of(symbol: str, time_ms: int) -> tuple[float, float]:
    """Return price and size of the trade at a time on the tick grid."""
    k = time_ms // TICK_MS + sum(map(ord, symbol))
    return 100.0 + (k * 7_919 % 97) / 8.0, 1.0 + k % 3


def is_thin_minute(open_ms: int) -> bool:
    """Return whether a thin symbol trades in a minute: in every fifth."""
    return open_ms // MINUTE_MS % 5 == 0


def candle_of(symbol: str, open_ms: int, until_ms: int | None = None) -> Row:
    """Return the candle that opens then, or its state at a time."""
    end_ms = min(open_ms + MINUTE_MS, until_ms if until_ms is not None else 1 << 60)
    trades = [trade_of(symbol, t) for t in range(open_ms, end_ms, TICK_MS)]
    prices = [price for price, _ in trades]
    volume = float(sum(size for _, size in trades))
    return [open_ms, prices[0], max(prices), min(prices), prices[-1], volume]


class FakeExchange:
    """
    One venue; the switches may be changed while it runs.

    muted       symbols whose stream says nothing until the object is closed and opened again; `stays_mute`: nor then
    skip        a trade at this time is not shown by the stream
    is_down     nothing can be reached
    is_rest_down  the history alone cannot be reached
    lag_ms      the history is behind by
    refused     symbols that stream and history refuse; `no_stream` those that the stream alone refuses
    refusal     what they are refused with
    unlisted    symbols that the catalogue lacks when it is loaded next; `inactive` those that it says do not trade
    thin        symbols that trade in every fifth minute only: the stream is silent then, the history has no row
    ends_ms     when each of these symbols trades for the last time
    throttle_s  ccxt's own pause between two calls of the history, waited for before the call leaves
    rest_errors raised by the next calls of the history, one each
    in_quote    the stream counts the volume of these symbols in quote, the history in base
    rates       what every symbol was charged, as a fraction, by the time of the settlement
    """

    id = "binance"

    def __init__(self, clock: Clock, symbols: list[str], *, has_stream: bool = True) -> None:
        self.clock = clock
        self.symbols = symbols
        self.has = {
            "watchOHLCV": has_stream,
            "fetchOHLCV": True,
            "fetchTime": True,
            "fetchFundingRateHistory": True,
        }
        self.timeframes = {"1m": "1m"}
        self.muted: set[str] = set()
        self.stays_mute = False
        self.skip: Callable[[str, int], bool] = lambda _symbol, _ms: False
        self.mangle: Callable[[Row], Any] = lambda row: row
        self.is_down = self.is_rest_down = False
        self.lag_ms = 0
        self.refused: set[str] = set()
        self.no_stream: set[str] = set()
        self.refusal: type[Exception] = ccxt.BadSymbol
        self.unlisted: set[str] = set()
        self.inactive: set[str] = set()
        self.n_loaded = 0
        self.thin: set[str] = set()
        self.ends_ms: dict[str, int] = {}
        self.throttle_s = 0.0
        self.rest_errors: list[Exception] = []
        self.in_quote: set[str] = set()
        self.rates: dict[int, float] = {}
        self._free_ms = 0
        self.markets: dict[str, Any] = {}
        self.markets_by_id: dict[str, Any] = {}
        self.n_closed = 0
        self.fetches: list[dict[str, Any]] = []
        self._is_open = True
        self._caches: dict[str, list[Row]] = {}
        self._touched: dict[str, list[Row]] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._ticker: asyncio.Task[None] | None = None

    async def load_markets(self, reload: bool = False) -> dict[str, Any]:  # as the library has it
        """Load the markets, once unless told; a network that is down says so."""
        self._reach()
        if self.markets and not reload:
            return self.markets
        self.n_loaded += 1
        self.markets, self.markets_by_id = {}, {}
        for symbol in sorted({*self.symbols} - self.unlisted):
            base, quote = symbol.split("/")
            market = {
                "symbol": symbol,
                "id": base + quote,
                "base": base,
                "quote": quote,
                "spot": True,
                "swap": False,
                "linear": None,
                "active": symbol not in self.inactive,
            }
            self.markets[symbol] = market
            self.markets_by_id[base + quote] = [market]
        return self.markets

    async def fetch_time(self) -> int:
        """Return the venue's time."""
        self._reach()
        return self.clock.now_ms()

    def feature_value(self, symbol: str, *_: Any) -> int:
        """Return the number of candles that one call gives; the library looks the market up for that."""
        self._find(symbol)
        return 1_000

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int, limit: int, params: dict[str, int]
    ) -> list[Row]:
        """Return history up to now less the lag; `until` must be there and not lie ahead."""
        self.fetches.append({"symbol": symbol, "since": since, "limit": limit, **params})
        assert params["until"] <= self.clock.now_ms()
        self._find(symbol)
        await self._throttle()
        await self.fetch("https://api.binance.com/api/v3/klines")
        if self.rest_errors:
            raise self.rest_errors.pop(0)
        if self.is_rest_down:
            raise ccxt.ExchangeNotAvailable("binance 503")
        self._reach()
        if symbol in self.refused:
            raise self.refusal(f"binance does not have market symbol {symbol}")
        seen_ms = self.clock.now_ms() - self.lag_ms
        times = range(-(-since // MINUTE_MS) * MINUTE_MS, params["until"] + 1, MINUTE_MS)
        return [
            candle_of(symbol, t, seen_ms)
            for t in times
            if t < min(seen_ms, self.ends_ms.get(symbol, seen_ms))
            and (symbol not in self.thin or is_thin_minute(t))
        ][:limit]

    async def fetch_funding_rate_history(
        self, symbol: str, since: int, limit: int, params: dict[str, int]
    ) -> list[dict[str, Any]]:
        """Return what was charged up to now, oldest first."""
        self._find(symbol)
        self._reach()
        last_ms = min(params["until"], self.clock.now_ms())
        found = [{"timestamp": t, "fundingRate": rate} for t, rate in sorted(self.rates.items())]
        return [row for row in found if since <= row["timestamp"] <= last_ms][:limit]

    async def _throttle(self) -> None:
        """Wait for the turn of a call, as the library does before it sends anything."""
        self._free_ms = max(self._free_ms, self.clock.now_ms()) + round(self.throttle_s * 1000.0)
        await self.clock.sleep_until(self._free_ms - round(self.throttle_s * 1000.0))

    async def fetch(self, url: str, method: str = "GET", *_: Any) -> str:
        """Send a request: the library's one place for that."""
        await asyncio.sleep(0.05)
        return url

    async def watch_ohlcv(self, symbol: str, timeframe: str) -> list[Row]:
        """Wait for news and return the rows that they touched: the library's own lists, not copies."""
        assert self._is_open, "a closed object must be opened before it is used again"
        self._find(symbol)
        if symbol in self.refused | self.no_stream:
            raise self.refusal(f"binance does not have market symbol {symbol}")
        if self.is_down:
            await asyncio.sleep(0.1)
            raise ccxt.NetworkError("Cannot connect to host")
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick())
        while not self._touched.get(symbol):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(symbol, []).append(waiter)
            await waiter
        rows, self._touched[symbol] = self._touched[symbol], []
        return rows

    async def close(self) -> None:
        """Drop every connection; whoever waits is told so."""
        self.n_closed += 1
        self._is_open = False
        self.fail(ccxt.ExchangeClosedByUser("closed by user"))
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait([self._ticker])
            self._ticker = None

    def open(self) -> None:
        """Make a closed object usable; what was mute speaks again."""
        self._is_open = True
        if not self.stays_mute:
            self.muted = set()

    def fail(self, error: Exception, symbols: Iterable[str] | None = None) -> None:
        """Raise an error from every pending watch, or from those of some symbols."""
        for symbol in list(self._waiters) if symbols is None else symbols:
            for waiter in self._waiters.pop(symbol, []):
                if not waiter.done():
                    waiter.set_exception(error)

    def drop(self) -> None:
        """Cancel what every pending watch waits for, as the library's own clean-up can."""
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.cancel()
        self._waiters.clear()

    def _find(self, symbol: str) -> None:
        """Look a market up in the catalogue, as the library does before it sends anything."""
        if symbol not in self.markets:
            raise ccxt.BadSymbol(f"binance does not have market symbol {symbol}")

    def _reach(self) -> None:
        if self.is_down:
            raise ccxt.NetworkError("Cannot connect to host")

    async def _tick(self) -> None:
        """Stream every trade a moment after it happened, as states of the forming row."""
        while True:
            now_ms = self.clock.now_ms()
            await self.clock.sleep_until(now_ms // TICK_MS * TICK_MS + TICK_MS + 200)
            trade_ms = self.clock.now_ms() // TICK_MS * TICK_MS
            for symbol in self.symbols:
                is_quiet = symbol in self.thin and not is_thin_minute(trade_ms)
                is_quiet |= trade_ms >= self.ends_ms.get(symbol, trade_ms + 1)
                if not (symbol in self.muted or is_quiet or self.is_down or self.skip(symbol, trade_ms)):
                    self._show(symbol, trade_ms)

    def _show(self, symbol: str, trade_ms: int) -> None:
        open_ms = trade_ms // MINUTE_MS * MINUTE_MS
        state = self.mangle(candle_of(symbol, open_ms, trade_ms + 1))
        if symbol in self.in_quote:
            trades = [trade_of(symbol, t) for t in range(open_ms, trade_ms + 1, TICK_MS)]
            state[5] = sum(price * size for price, size in trades)
        cache = self._caches.setdefault(symbol, [])
        touched = self._touched.setdefault(symbol, [])
        if cache and cache[-1][0] == state[0]:
            cache[-1][:] = state  # in place: a row that was handed out changes under its holder
        else:
            cache.append(state)
            del cache[:-1_000]
        if not any(row is cache[-1] for row in touched):
            touched.append(cache[-1])
        for waiter in self._waiters.pop(symbol, []):
            if not waiter.done():
                waiter.set_result(None)


class FakePerpetuals(FakeExchange):
    """
    The same venue with linear perpetuals in place of spot, and a table of leverage for each.

    figures      of every market beside its name, as the library has them
    tier_errors  raised by the next calls for the table, one each
    no_tiers     raised by every call for it
    """

    id = "okx"
    precisionMode = 4  # as the library calls it
    tiers = (
        {"minNotional": 0, "maxNotional": 50_000, "maintenanceMarginRate": 0.004, "maxLeverage": 100},
        {"minNotional": 50_000, "maxNotional": None, "maintenanceMarginRate": 0.01, "maxLeverage": 50},
    )

    def __init__(self, clock: Clock, symbols: list[str], *, has_stream: bool = True) -> None:
        super().__init__(clock, symbols, has_stream=has_stream)
        self.has["fetchLeverageTiers"] = True
        self.figures: dict[str, Any] = {}
        self.tier_errors: list[Exception] = []
        self.no_tiers: Exception | None = None
        self.n_tiers_asked = 0

    async def load_markets(self, reload: bool = False) -> dict[str, Any]:
        """Load the markets, which are perpetuals."""
        markets = await super().load_markets(reload)
        for market in markets.values():
            market.update(spot=False, swap=True, linear=True, contractSize=1.0, **self.figures)
        return markets

    async def fetch_leverage_tiers(self, symbols: list[str]) -> dict[str, Any]:
        """Return the table of each symbol."""
        self.n_tiers_asked += 1
        if self.tier_errors:
            raise self.tier_errors.pop(0)
        if self.no_tiers is not None:
            raise self.no_tiers
        return {symbol: [dict(row) for row in self.tiers] for symbol in symbols}
