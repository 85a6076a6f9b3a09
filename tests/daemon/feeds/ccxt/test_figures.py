"""What ccxt's structure of a market comes to: steps, minima, fees and leverage by size, in base units."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import ccxt
import pytest

from papertape.daemon.feeds.ccxt.figures import CcxtSaid, ccxt_figures, leverage_tiers, said_of
from papertape.daemon.feeds.halts import Halts
from papertape.daemon.feeds.protocol import Notice
from papertape.daemon.feeds.told_markets import ToldMarkets
from papertape.daemon.journal.identity import Identity
from papertape.engine.broker.risk.brackets import Bracket
from papertape.engine.events import MarketChange
from papertape.engine.spec import Market
from papertape.replay.config import make_config
from papertape.replay.config.markets import market_of
from papertape.replay.sources.errors import RestRefused, RestUnavailable
from tests.support.helpers import make_candles

NAME = "BTC/USDT:USDT"
# As ccxt 4.5.90 has OKX's swap: contracts of 0.01 BTC, amounts in contracts.
SWAP = {
    "symbol": NAME,
    "spot": False,
    "swap": True,
    "linear": True,
    "contractSize": 0.01,
    "taker": 0.0005,
    "maker": 0.0002,
    "precision": {"price": 0.1, "amount": 0.1},
    "limits": {
        "amount": {"min": 0.1, "max": None},
        "cost": {"min": None},
        "leverage": {"min": 1.0, "max": 100.0},
    },
}
TIERS = [
    {"tier": 1, "minNotional": 0, "maxNotional": 50_000, "maintenanceMarginRate": 0.004, "maxLeverage": 100, "info": {}},
    {"tier": 2, "minNotional": 50_000, "maxNotional": None, "maintenanceMarginRate": 0.01, "maxLeverage": 50, "info": {}},
]  # fmt: skip


def test_sizes_are_in_base_units_and_what_is_not_said_is_left_out() -> None:
    assert ccxt_figures(CcxtSaid(SWAP)) == pytest.approx(
        {
            "taker_fee_rate": 0.0005,
            "maker_fee_rate": 0.0002,
            "minimum_size": 0.001,
            "tick_size": 0.1,
            "lot_size": 0.001,
            "maximum_leverage": 100.0,
        }
    )
    spot = SWAP | {"spot": True, "contractSize": None, "limits": {"cost": {"min": 5}}}
    assert ccxt_figures(CcxtSaid(spot)) == {
        "taker_fee_rate": 0.0005,
        "maker_fee_rate": 0.0002,
        "minimum_notional": 5.0,
        "tick_size": 0.1,
        "lot_size": 0.1,
    }
    assert ccxt_figures(CcxtSaid({}, is_stepped=False)) == {}


def test_a_precision_of_decimals_is_no_step() -> None:
    decimals = said_of(SimpleNamespace(precisionMode=2), SWAP)

    assert not {"tick_size", "lot_size"} & set(ccxt_figures(decimals))
    assert "tick_size" in ccxt_figures(said_of(SimpleNamespace(precisionMode=4), SWAP))


@pytest.mark.parametrize("nonsense", [None, -1, float("nan"), float("inf"), "0.1", {}])
def test_what_is_no_number_is_left_out(nonsense: Any) -> None:
    market = SWAP | {"taker": nonsense, "precision": {"price": nonsense}, "limits": nonsense}

    assert set(ccxt_figures(CcxtSaid(market))) == {"maker_fee_rate"}


def test_tiers_are_brackets_and_those_that_cannot_be_are_none() -> None:
    rows = ccxt_figures(CcxtSaid(SWAP, TIERS))["brackets"]

    assert rows == [Bracket(50_000.0, 100.0, 0.004), Bracket(9.0e18, 50.0, 0.01)]
    for tiers in (TIERS[::-1], [{"tier": 1}], [TIERS[0] | {"maintenanceMarginRate": 0.5}]):
        assert "brackets" not in ccxt_figures(CcxtSaid(SWAP, tiers))


def test_brackets_that_are_told_take_the_place_of_known_rates_and_own_rates_theirs() -> None:
    told = ccxt_figures(CcxtSaid(SWAP, TIERS))
    plain = market_of("okx", NAME, "linear", make_config({"market": {"leverage": 20}}), told)
    own = make_config({"market": {"leverage": 20, "maintenance_rate": 0.02}})

    assert [row.leverage for row in plain.brackets] == [100.0, 50.0]
    assert plain.largest_notional == 9.0e18
    assert market_of("okx", NAME, "linear", own, told).brackets == ()


async def told(has: dict[str, Any], call: Any) -> dict[str, Any]:
    """Return what one symbol's tiers are told as."""
    answers = leverage_tiers(SimpleNamespace(has=has), call, [NAME])
    return {symbol: tiers async for symbol, tiers in answers}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("has", "asked"),
    [
        ({"fetchLeverageTiers": True}, [("fetch_leverage_tiers", [NAME])]),
        (
            {"fetchLeverageTiers": False, "fetchMarketLeverageTiers": True},
            [("fetch_market_leverage_tiers", NAME)],
        ),
        ({"fetchMarketLeverageTiers": "emulated"}, []),
    ],
)
async def test_tiers_are_asked_for_where_the_venue_has_them(has: dict[str, Any], asked: list[Any]) -> None:
    calls: list[Any] = []

    async def call(method: str, argument: Any) -> Any:
        calls.append((method, argument))
        return {NAME: TIERS, "ETH/USDT:USDT": TIERS} if method == "fetch_leverage_tiers" else TIERS

    found = await told(has, call)

    assert calls == asked
    assert found == {NAME: TIERS if asked else ()}


@pytest.mark.asyncio
@pytest.mark.parametrize("has", ["fetchLeverageTiers", "fetchMarketLeverageTiers"])
@pytest.mark.parametrize("cause", [None, ccxt.AuthenticationError("keys"), ccxt.PermissionDenied("not here")])
async def test_a_venue_that_wants_keys_for_its_tiers_gives_none(has: str, cause: Exception | None) -> None:
    async def call(method: str, argument: Any) -> Any:
        if cause is None:
            raise RestRefused("not supported")
        raise RestUnavailable('requires "apiKey" credential') from cause

    assert await told({has: True}, call) == {NAME: ()}


@pytest.mark.asyncio
@pytest.mark.parametrize("has", ["fetchLeverageTiers", "fetchMarketLeverageTiers"])
@pytest.mark.parametrize(
    "answer", [ccxt.ExchangeNotAvailable("503"), ccxt.RateLimitExceeded("429"), TimeoutError(), None, "busy"]
)
async def test_no_answer_is_not_taken_for_one_without_tiers(has: str, answer: Any) -> None:
    async def call(method: str, argument: Any) -> Any:
        if isinstance(answer, Exception):
            raise RestUnavailable("no usable answer") from answer
        return answer

    with pytest.raises(RestUnavailable):
        await told({has: True}, call)


def test_a_catalogue_that_is_loaded_again_with_other_fees_and_tiers_is_a_change() -> None:
    config = make_config({"market": {"leverage": 60}})
    first = market_of("okx", NAME, "linear", config, ccxt_figures(CcxtSaid(SWAP, TIERS)))
    notices: list[Notice] = []
    markets = ToldMarkets(Identity(config, "okx", "1h", (first,)), notices.append)
    halts = Halts([NAME], 3_600_000)
    candles = make_candles([(100.0, 100.0, 100.0, 100.0)] * 3)
    start_ms = int(candles["open_ms"][0])
    lower = [row | {"maxLeverage": 40} for row in TIERS]
    news: Sequence[CcxtSaid] = (CcxtSaid(SWAP, TIERS), CcxtSaid(SWAP | {"taker": 0.0004}, lower))

    for hour, said in enumerate(news):
        markets.hear(halts, NAME, said, ccxt_figures, start_ms + hour * 3_600_000)
    found = [event for event in halts.between(candles) if isinstance(event, MarketChange)]

    assert notices == []
    begun, change = found  # each before the candle that closes next after it
    market = Market(**change.figures)
    assert (begun.time_ms, Market(**begun.figures)) == (start_ms, first)
    assert change.time_ms == start_ms + 3_600_000
    assert (market.taker_fee_rate, market.leverage) == (0.0004, 40.0)
    assert [row.leverage for row in market.brackets] == [40.0, 40.0]
