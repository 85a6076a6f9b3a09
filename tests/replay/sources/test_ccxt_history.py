"""History through ccxt: the library's own Binance against a loopback server, and odd venues as small fakes."""

from collections.abc import Awaitable, Callable
from typing import Any

import ccxt
import numpy as np
import pytest
from aiohttp import web

from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_history import CcxtHistory
from papertape.replay.sources.ccxt_markets import find_market, make_exchange
from papertape.replay.sources.errors import RestRefused, RestUnavailable
from tests.support.binance_server import HOUR_MS, MINUTE_MS, BinanceServer, bar_of
from tests.support.loopback import in_virtual_time, serving

NOW_MS = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC
OPEN_MS = NOW_MS // MINUTE_MS * MINUTE_MS
PRICES = ["open", "high", "low", "close", "volume"]


def with_binance(body: Callable[[BinanceServer, CcxtHistory], Awaitable[Any]], **options: Any) -> Any:
    """Run a test's body with ccxt's binance, pointed at a loopback server."""

    async def main() -> Any:
        clock = Clock(NOW_MS)
        server = BinanceServer(clock, ["BTCUSDT", "ETHUSDT"], **options)
        async with serving(server.handle) as url:
            exchange = make_exchange("binance", base_url=url)
            exchange.enableRateLimit = False  # its pauses go by the wall's clock, not by this one
            try:
                history = CcxtHistory(exchange, clock, jitter=lambda: 1.0)
                await history.start()
                return await body(server, history)
            finally:
                await exchange.close()

    return in_virtual_time(main())


def truth(first_ms: int, last_ms: int) -> list[tuple[float, ...]]:
    return [(t, *bar_of(t)) for t in range(first_ms, last_ms + 1, MINUTE_MS)]


def told(rows: Rows) -> list[tuple[float, ...]]:
    return rows[["open_ms", *PRICES]].tolist()


def test_a_long_range_comes_whole_in_order_and_without_the_forming_candle() -> None:
    first_ms = OPEN_MS - 2_500 * MINUTE_MS

    async def body(server: BinanceServer, history: CcxtHistory) -> Rows:
        return await history.candles("BTC/USDT", "1m", first_ms, NOW_MS + HOUR_MS)

    assert told(with_binance(body)) == truth(first_ms, OPEN_MS - MINUTE_MS)


def test_a_venue_that_gives_less_than_it_says_still_gives_everything() -> None:
    first_ms = OPEN_MS - 700 * MINUTE_MS

    async def body(server: BinanceServer, history: CcxtHistory) -> Rows:
        server.cap = 150
        return await history.candles("BTC/USDT", "1m", first_ms, NOW_MS)

    assert told(with_binance(body)) == truth(first_ms, OPEN_MS - MINUTE_MS)


def test_the_forming_candle_comes_when_asked_for() -> None:
    async def body(server: BinanceServer, history: CcxtHistory) -> Rows:
        return await history.candles("BTC/USDT", "1m", OPEN_MS - MINUTE_MS, NOW_MS, include_forming=True)

    before, forming = told(with_binance(body))

    opens, volume = bar_of(OPEN_MS)[0], bar_of(OPEN_MS)[4]
    assert before == truth(OPEN_MS - MINUTE_MS, OPEN_MS - MINUTE_MS)[0]
    assert forming == (OPEN_MS, opens, opens + 0.125, opens - 0.125, opens, volume / 2)


def test_paging_ends_where_history_begins() -> None:
    listed_ms = OPEN_MS - 100 * MINUTE_MS

    async def body(server: BinanceServer, history: CcxtHistory) -> tuple[Rows, int]:
        rows = await history.candles("BTC/USDT", "1m", 0, NOW_MS)
        return rows, sum(path.endswith("klines") for path, _ in server.requests)

    rows, requests = with_binance(body, listed_ms=listed_ms)

    assert told(rows) == truth(listed_ms, OPEN_MS - MINUTE_MS)
    assert requests == 1 + 3


def test_network_trouble_is_asked_again_and_a_refusal_is_not() -> None:
    answers = [web.Response(status=503), web.Response(status=502, text="<html>")]
    bad = '{"code": -1121, "msg": "Invalid symbol."}'

    async def body(server: BinanceServer, history: CcxtHistory) -> int:
        server.refuse = lambda _path: answers.pop(0) if answers else None
        rows = await history.candles("BTC/USDT", "1m", OPEN_MS - 5 * MINUTE_MS, NOW_MS)
        server.refuse = lambda _path: web.Response(status=400, text=bad, content_type="application/json")
        before = len(server.requests)
        with pytest.raises(RestRefused, match=r"binance fetch_ohlcv: .*Invalid symbol"):
            await history.candles("BTC/USDT", "1m", OPEN_MS - 5 * MINUTE_MS, NOW_MS)
        assert len(server.requests) == before + 1
        return len(rows)

    assert with_binance(body) == 5


def test_a_venue_that_stays_away_is_told_in_one_line_after_five_retries() -> None:
    async def body(server: BinanceServer, history: CcxtHistory) -> int:
        server.refuse = lambda _path: web.Response(status=503, text="busy\nbusy")
        before = len(server.requests)
        with pytest.raises(RestUnavailable, match="binance fetch_ohlcv: ") as caught:
            await history.candles("BTC/USDT", "1m", OPEN_MS - 5 * MINUTE_MS, NOW_MS)
        assert "\n" not in str(caught.value)
        return len(server.requests) - before

    assert with_binance(body) == 6


class Market:
    """An exchange object that answers as it is told."""

    id = "fake"
    has: dict[str, bool] = {}  # noqa: RUF012
    timeframes: dict[str, str] = {"1m": "1"}  # noqa: RUF012

    def __init__(self, answer: Callable[[int, int, int], list[Any]]) -> None:
        self.answer = answer

    def feature_value(self, *_: Any) -> int:
        return 100

    async def fetch_ohlcv(
        self, _symbol: str, _timeframe: str, since: int, limit: int, params: dict[str, int]
    ) -> list[Any]:
        return self.answer(since, limit, params["until"])


def ask(answer: Callable[[int, int, int], list[Any]], bars: int) -> tuple[Rows, dict[str, int]]:
    async def main() -> tuple[Rows, dict[str, int]]:
        history = CcxtHistory(Market(answer), Clock(NOW_MS))
        rows = await history.candles("X", "1m", OPEN_MS - bars * MINUTE_MS, NOW_MS)
        return rows, {name: n for name, n in history.counts.items() if n}

    return in_virtual_time(main())


def test_invented_future_and_unfinished_rows_are_never_taken() -> None:
    def answer(since: int, limit: int, until: int) -> list[Any]:
        return [[t, *bar_of(t)] for t in range(OPEN_MS - 2 * MINUTE_MS, OPEN_MS + HOUR_MS, MINUTE_MS)]

    rows, counts = ask(answer, 2)

    assert told(rows) == truth(OPEN_MS - 2 * MINUTE_MS, OPEN_MS - MINUTE_MS)
    assert counts["outside"] == 60


def test_bad_rows_are_dropped_and_counted_and_the_rest_is_taken() -> None:
    a, b, c = (OPEN_MS - k * MINUTE_MS for k in (3, 2, 1))

    def answer(since: int, limit: int, until: int) -> list[Any]:
        rows = [
            [a, 1.0, 2.0, 0.5, 1.5, 3.0],
            [b, None, 2.0, 0.5, 1.5, 3.0],
            [b + 1, 1.0, 2.0, 0.5, 1.5, 3.0],
            [c, 1.0, 0.5, 2.0, 1.5, 3.0],
            [None, 1.0],
            "row",
        ]
        return rows if since <= a else []

    rows, counts = ask(answer, 3)

    assert told(rows) == [(a, 1.0, 2.0, 0.5, 1.5, 3.0)]
    assert counts == {"null": 1, "misaligned": 1, "invalid": 1, "malformed": 2}


def test_a_thin_market_that_leaves_bars_out_is_read_to_its_first() -> None:
    traded = [OPEN_MS - k * MINUTE_MS for k in (1, 130, 299, 590)][::-1]

    def answer(since: int, limit: int, until: int) -> list[Any]:
        return [[t, 1.0, 1.0, 1.0, 1.0, 2.0] for t in traded if since <= t <= until][:limit]

    rows, _ = ask(answer, 600)

    assert rows["open_ms"].tolist() == traded


def test_rows_are_copies_of_what_the_library_holds() -> None:
    kept = [[OPEN_MS - MINUTE_MS, 1.0, 1.0, 1.0, 1.0, 2.0]]

    rows, _ = ask(lambda since, limit, until: kept if since <= kept[0][0] else [], 1)
    kept[0][4] = 99.0

    assert rows["close"].tolist() == [1.0]


def test_a_timeframe_that_the_venue_lacks_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(RestRefused, match="fake has no 1h candles: choose one of 1m"):
            await CcxtHistory(Market(lambda *_: []), Clock()).candles("X", "1h", 0, 1)

    in_virtual_time(main())


def test_an_unknown_venue_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown venue 'binanse': did you mean 'binance'\?"):
        make_exchange("binanse")


def market(unified: str, native: str, kind: str) -> dict[str, Any]:
    base, _, rest = unified.partition("/")
    quote, _, settle = rest.partition(":")
    return {
        "symbol": unified,
        "id": native,
        "base": base,
        "quote": quote,
        "spot": kind == "spot",
        "swap": kind != "spot",
        "linear": bool(settle) and settle == quote,
    }


class Markets:
    def __init__(self, name: str, *markets: dict[str, Any]) -> None:
        self.id = name
        self.markets = {m["symbol"]: m for m in markets}
        self.markets_by_id: dict[str, list[Any]] = {}
        for m in markets:
            self.markets_by_id.setdefault(m["id"], []).append(m)


def test_markets_are_found_by_any_of_their_names() -> None:
    venue = Markets(
        "okx",
        market("BTC/USDT", "BTC-USDT", "spot"),
        market("BTC/USDT:USDT", "BTC-USDT-SWAP", "swap"),
        market("BTC/USD:BTC", "BTC-USD-SWAP", "swap"),
    )

    found = {
        name: find_market(venue, name)[:4] for name in ("BTC/USDT", "BTCUSDT", "BTC-USDT-SWAP", "BTC/USD:BTC")
    }

    spot = ("BTC/USDT", "BTC-USDT", "okx-spot", "spot")
    assert found == {
        "BTC/USDT": spot,
        "BTCUSDT": spot,
        "BTC-USDT-SWAP": ("BTC/USDT:USDT", "BTC-USDT-SWAP", "okx-swap", "linear"),
        "BTC/USD:BTC": ("BTC/USD:BTC", "BTC-USD-SWAP", "okx-swap", "inverse"),
    }
    with pytest.raises(RestRefused, match=r"okx does not list 'BTC-USDD': did you mean 'BTC-USDT'"):
        find_market(venue, "BTC-USDD")


def test_one_native_name_for_spot_and_perpetual_means_spot_and_tapes_keep_their_names() -> None:
    both = Markets(
        "binance", market("BTC/USDT:USDT", "BTCUSDT", "swap"), market("BTC/USDT", "BTCUSDT", "spot")
    )

    assert find_market(both, "BTCUSDT").venue == "binance-spot"
    assert find_market(both, "BTC/USDT:USDT").venue == "binance-usdm"


def test_contracts_of_a_venue_whose_volume_is_not_known_to_be_in_base_units_say_so() -> None:
    venue = Markets("kucoinfutures", market("BTC/USDT:USDT", "XBTUSDTM", "swap"))

    assert "may be contracts" in find_market(venue, "XBTUSDTM").notes[0]


def test_the_library_still_has_the_classes_that_errors_are_told_apart_by() -> None:
    assert issubclass(ccxt.RequestTimeout, ccxt.NetworkError)
    assert issubclass(ccxt.BadSymbol, ccxt.ExchangeError)
    assert not issubclass(ccxt.ExchangeError, ccxt.NetworkError)
    assert np.isnan(np.array([[1, None]], dtype=np.float64)[0, 1])


def gate_frame(channel: str) -> dict[str, Any]:
    """Return a candle's frame as Gate's documentation shows it, with a base amount added where it says `a`."""
    candle = {
        "t": "1606292580",
        "v": "2362.32035",
        "c": "19128.1",
        "h": "19128.1",
        "l": "19128.1",
        "o": "19128.1",
        "n": "1m_BTC_USDT",
        "a": "0.1235",
        "w": False,
    }
    return {"time": 1606292600, "channel": channel, "event": "update", "result": candle}


@pytest.mark.parametrize(
    ("venue", "channel", "volume"),
    [
        ("gate", "spot.candlesticks", 0.1235),
        ("gateeu", "spot.candlesticks", 0.1235),
        ("gate", "futures.candlesticks", 2362.32035),
    ],
)
def test_the_stream_of_gate_counts_spot_volume_as_its_history_does(
    venue: str, channel: str, volume: float
) -> None:
    """2,362.32 USDT at 19,128.1 are 0.1235 BTC; of contracts `v` is what the history gives, too."""

    class Client:
        def resolve(self, *_: Any) -> None: ...

    async def main() -> list[Any]:
        exchange = make_exchange(venue, is_streaming=True)
        try:
            exchange.handle_message(Client(), gate_frame(channel))
            (cache,) = (found["1m"] for found in exchange.ohlcvs.values())
            return list(cache[0])
        finally:
            await exchange.close()

    assert in_virtual_time(main())[5] == volume
