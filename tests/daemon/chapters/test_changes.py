"""What a chapter may change, key by key, and what becomes of the costs of markets."""

import pytest

from papertape.daemon.chapters.changes import changed_account, changes_of
from papertape.engine.errors import ConfigError
from tests.support.journals import identity


def test_costs_of_one_market_count_more_than_those_of_all() -> None:
    kept = identity(market={"slippage_rate": 0.001})
    now = identity(
        market={"slippage_rate": 0.002, "taker_fee_rate": 0.003}, markets={"BBB": {"slippage_rate": 0.004}}
    )

    changes = changes_of(kept, now)
    account = changed_account(kept, now, changes, 60_000)

    assert changes == {
        "market.slippage_rate": (0.001, 0.002),
        "market.taker_fee_rate": (None, 0.003),
        "markets.BBB.slippage_rate": (None, 0.004),
    }
    assert [(m.slippage_rate, m.taker_fee_rate) for m in account.markets] == [(0.002, 0.003), (0.004, 0.003)]
    assert [m.tick_size for m in account.markets] == [m.tick_size for m in kept.markets]
    assert (account.since_ms, account.venue) == (60_000, kept.venue)
    assert account.config == now.config


def test_a_cost_that_a_row_of_the_configuration_has_changed_already_is_refused() -> None:
    """The row counts more than what the chapter says, and would take it back at the first candle."""
    rows = [{"start": "2020-01-01T08:00:00", "taker_fee_rate": 0.001}]
    kept, eight_ms = identity(markets={"BBB": {"changes": rows}}), 1_577_865_600_000
    now = identity(market={"taker_fee_rate": 0.003}, markets={"BBB": {"changes": rows}})
    changes = changes_of(kept, now)

    before = changed_account(kept, now, changes, eight_ms - 1)

    assert [market.taker_fee_rate for market in before.markets] == [0.003, 0.003]
    with pytest.raises(
        ConfigError, match=r"taker_fee_rate of BBB: 0.003 .* makes it 0.001 from 2020-01-01 08:00 on"
    ):
        changed_account(kept, now, changes, eight_ms)


def test_of_rows_of_the_configuration_only_the_newest_by_then_refuses_a_cost() -> None:
    """What an older row said was taken back by the next, to what the chapter says; the third is still to come."""
    rows = [
        {"start": f"2020-01-01T{hour:02}:00:00", "taker_fee_rate": rate}
        for hour, rate in ((6, 0.002), (7, 0.003), (9, 0.004))
    ]
    eight_ms, hour_ms = 1_577_865_600_000, 3_600_000
    kept = identity(market={"changes": rows})
    now = identity(market={"changes": rows, "taker_fee_rate": 0.003})
    changes = changes_of(kept, now)

    account = changed_account(kept, now, changes, eight_ms)

    assert [market.taker_fee_rate for market in account.markets] == [0.003, 0.003]
    with pytest.raises(ConfigError, match=r"makes it 0\.002 from 2020-01-01 06:00 on"):
        changed_account(kept, now, changes, eight_ms - 2 * hour_ms)
    with pytest.raises(ConfigError, match=r"makes it 0\.004 from 2020-01-01 09:00 on"):
        changed_account(kept, now, changes, eight_ms + hour_ms)


def test_all_that_it_may_not_change_is_said_at_once() -> None:
    now = identity(account={"capital": 5.0, "leverage_cap": 2.0}, markets={"AAA": {"tick_size": 0.5}})

    with pytest.raises(ConfigError) as caught:
        changes_of(identity(), now)

    assert str(caught.value).splitlines() == [
        "account.capital: 5.0 is not 10000.0, and this stays what it is",
        "markets.AAA.tick_size: 0.5 is not None, and this stays what it is",
        "--chapter: a chapter changes strategy, account, limits, portfolio and what fills cost; choose another --state for the rest",
    ]


def test_ports_and_paths_are_no_change() -> None:
    assert changes_of(identity(), identity(daemon={"port": 1234, "state": "elsewhere"})) == {}
