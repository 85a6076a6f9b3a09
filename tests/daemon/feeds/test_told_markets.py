"""What a venue says of its markets, under what the configuration says: what holds now and later, and what is not followed."""

from dataclasses import replace
from typing import Any

import pytest

from papertape.daemon.feeds.halts import Halts, Telling
from papertape.daemon.feeds.protocol import Notice, NoticeKind
from papertape.daemon.feeds.told_markets import ToldMarkets, delta_figures
from papertape.daemon.journal.identity import Identity
from papertape.engine.errors import ConfigError
from papertape.engine.spec import Market
from papertape.replay.config import make_config
from papertape.replay.config.markets import market_of
from papertape.replay.sources.delta_products import Product, parse_product

NOW_MS = 1_795_428_900_000
PRODUCT = Product(
    "BTCUSD",
    contract_value=0.001,
    tick_size=0.5,
    initial_margin_rate=0.005,
    maintenance_margin_rate=0.0025,
    maximum_leverage=200.0,
    taker_fee_rate=0.0005,
    maker_fee_rate=0.0002,
)


def account(**market: Any) -> Identity:
    """Return an account as Delta's contract makes it."""
    config = make_config({"market": market})
    known = market_of("delta-india", "BTCUSD", "linear", config, delta_figures(PRODUCT))
    return Identity(config, "delta-india", "1m", (known,))


def told(about: Identity, product: Product, *, is_relative: bool = False) -> Telling:
    return ToldMarkets(about, print, is_relative=is_relative).of("BTCUSD", delta_figures(product), NOW_MS)


def changed(about: Identity, product: Product) -> dict[str, Any]:
    """Return what is another than at the start."""
    before = about.markets[0].plain()
    return {k: v for k, v in told(about, product).now.items() if v != before[k]}


def test_what_the_venue_says_is_what_holds_and_the_configuration_is_above_it() -> None:
    other = replace(PRODUCT, tick_size=1.0, taker_fee_rate=0.0003, maintenance_margin_rate=0.003)

    assert changed(account(), PRODUCT) == {}
    assert changed(account(), other) == {
        "tick_size": 1.0,
        "taker_fee_rate": 0.0003,
        "maintenance_rate": 0.003,
    }
    assert changed(account(taker_fee_rate=0.0004), other) == {"tick_size": 1.0, "maintenance_rate": 0.003}


def test_a_leverage_that_the_venue_no_longer_allows_is_lowered_to_what_it_does() -> None:
    lower = replace(PRODUCT, initial_margin_rate=0.02, maximum_leverage=50.0, maintenance_margin_rate=0.01)

    assert changed(account(leverage=100.0), lower)["leverage"] == 50.0
    assert "leverage" not in changed(account(leverage=20.0), lower)
    assert changed(account(leverage=100.0, maximum_leverage=150.0), lower)["leverage"] == 50.0


def test_rows_of_the_configuration_hold_from_their_time_on_top() -> None:
    rows = [{"start": "2026-11-01", "tick_size": 2.0}, {"start": "2027-01-01", "taker_fee_rate": 0.001}]
    telling = told(account(changes=rows), replace(PRODUCT, taker_fee_rate=0.0003))

    assert (telling.now["tick_size"], telling.now["taker_fee_rate"]) == (2.0, 0.0003)
    ((time_ms, figures),) = telling.later
    assert time_ms == 1_798_761_600_000
    assert (figures["tick_size"], figures["taker_fee_rate"]) == (2.0, 0.001)


def test_the_local_exchange_changes_only_what_it_says_otherwise_than_first() -> None:
    about = account()._replace(markets=(Market("BTCUSD", is_perpetual=True, tick_size=0.01),))
    markets = ToldMarkets(about, print, is_relative=True)

    first = markets.of("BTCUSD", delta_figures(PRODUCT), NOW_MS)
    later = markets.of("BTCUSD", delta_figures(replace(PRODUCT, tick_size=5.0)), NOW_MS)

    assert first.now == about.markets[0].plain()
    assert later.now == about.markets[0].plain() | {"tick_size": 5.0}


def test_an_answer_without_a_step_is_not_followed() -> None:
    """A tick that a venue leaves out, or says is 0, would let any price be traded at."""
    begun = replace(account().markets[0], symbol="NEWUSD")  # of which nothing is known beside
    missing = delta_figures(replace(PRODUCT, tick_size=0.0))

    def of(**market: Any) -> Telling:
        return ToldMarkets(account(**market)._replace(markets=(begun,)), print).of("NEWUSD", missing, NOW_MS)

    with pytest.raises(ConfigError, match=r"tick_size 0 is no step; it was 0\.5"):
        of()
    assert of(tick_size=0.5).now["tick_size"] == 0.5


def test_the_same_is_heard_once_and_what_cannot_be_is_told() -> None:
    notices: list[Notice] = []
    halts = Halts(["BTCUSD"], 60_000)
    markets = ToldMarkets(account(leverage=2.0), notices.append)
    impossible = replace(PRODUCT, maintenance_margin_rate=0.6)

    for product in (PRODUCT, PRODUCT, impossible, impossible):
        markets.hear(halts, "BTCUSD", product, delta_figures, NOW_MS)

    assert len(halts._waiting) == 1
    (notice,) = notices
    assert (notice.kind, notice.symbol) == (NoticeKind.REJECTED, "BTCUSD")
    assert "what it says of its market cannot be followed" in notice.detail
    assert "60.000% must be maintained" in notice.detail
    with pytest.raises(ConfigError):
        markets.of("BTCUSD", delta_figures(impossible), NOW_MS)


def test_figures_are_those_of_a_product() -> None:
    """Against the fields of the answer: rates in percent there, sizes of one contract of 0.001 BTC."""
    product = parse_product(
        {
            "symbol": "BTCUSD",
            "contract_value": "0.001",
            "tick_size": "0.5",
            "initial_margin": "0.5",
            "maintenance_margin": "0.25",
            "initial_margin_scaling_factor": "0.0000025",
            "maintenance_margin_scaling_factor": "0.00000125",
            "max_leverage_notional": "100000",
            "position_notional_limit": "5000000",
            "taker_commission_rate": "0.0005",
            "maker_commission_rate": "0.0002",
        }
    )
    assert product is not None

    assert delta_figures(product) == pytest.approx({
        "contract_value": 0.001, "tick_size": 0.5, "lot_size": 0.001, "minimum_size": 0.001,
        "taker_fee_rate": 0.0005, "maker_fee_rate": 0.0002, "maximum_leverage": 200.0, "maintenance_rate": 0.0025,
        "maintenance_slope": 1.25e-8, "maintenance_from": 100_000.0, "initial_rate": 0.005, "initial_slope": 2.5e-8,
        "maximum_notional": 5_000_000.0,
    })  # fmt: skip
