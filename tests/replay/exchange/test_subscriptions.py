"""The venue's answers to messages: the table of section 3.3, in its own words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.replay.exchange.messages import Host
from papertape.replay.exchange.subscriptions import Reply, Subscriptions


def subscribed(*channels: dict[str, Any], host: Host = "compact", to: Subscriptions | None = None) -> Reply:
    """Subscribe a new connection, or one that is there."""
    connection = Subscriptions(host, ["BTCUSD", "ETHUSD"]) if to is None else to
    return connection.subscribe({"channels": list(channels)})


def test_the_example_of_the_reference() -> None:
    reply = subscribed(
        {"name": "candlestick_1m", "symbols": ["BTCUSD", "ETHUSD"]},
        {"name": "candlestick_7m", "symbols": ["BTCUSD"]},
    )

    assert reply.message == {
        "channels": [
            {"name": "candlestick_1m", "symbols": ["BTCUSD", "ETHUSD"]},
            {"error": "subscription forbidden on this invalid channel", "name": "candlestick_7m"},
        ],
        "type": "subscriptions",
    }
    assert reply.joined == (("candlestick_1m", "BTCUSD"), ("candlestick_1m", "ETHUSD"))


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ({"name": "ticker"}, "subscription forbidden without symbol array on this channel"),
        ({"name": "ticker", "symbols": []}, "subscription forbidden without symbol array on this channel"),
        (
            {"name": "trading_notifications"},
            "subscription forbidden on trading_notifications. Unauthorized user",
        ),
        (
            {"name": "ob_l2", "symbols": [f"S{i}" for i in range(101)]},
            "subscription forbidden on this channel with more than 100 symbols",
        ),
    ],
)
def test_a_channel_that_fails_carries_its_error_beside_good_ones(channel: dict[str, Any], error: str) -> None:
    good = {"name": "trades", "symbols": ["BTCUSD"]}

    reply = subscribed(good, channel)

    assert reply.message["channels"] == [good, {"error": error, "name": channel["name"]}]


def test_books_count_what_is_subscribed_already_and_other_channels_have_no_such_limit() -> None:
    connection = Subscriptions("compact", ["BTCUSD"])
    hundred = [f"S{i}" for i in range(100)]

    subscribed({"name": "ob_updates", "symbols": hundred}, to=connection)
    more = subscribed({"name": "ob_updates", "symbols": ["X"]}, to=connection)
    again = subscribed({"name": "ob_updates", "symbols": hundred[:5]}, to=connection)
    wide = subscribed({"name": "ticker", "symbols": [*hundred, "X"]}, to=connection)

    assert "error" in more.message["channels"][-1]
    assert again.message["channels"] == [{"name": "ob_updates", "symbols": hundred}]
    assert len(wide.joined) == 101


@pytest.mark.parametrize(
    ("host", "foreign"), [("compact", ["v2/ticker", "all_trades"]), ("legacy", ["ticker", "trades", "ob_l1"])]
)
def test_each_host_refuses_the_others_names(host: Host, foreign: list[str]) -> None:
    channels = [{"name": name, "symbols": ["BTCUSD"]} for name in foreign]

    alone = subscribed(*channels, host=host)
    beside = subscribed({"name": "mark_price", "symbols": ["MARK:BTCUSD"]}, *channels, host=host)

    refusal = {"message": "Subscription forbidden: Invalid channel array", "type": "error"}
    assert alone == Reply(refusal)
    assert [x.get("error") for x in beside.message["channels"][1:]] == [
        "subscription forbidden on this invalid channel"
    ] * len(foreign)


def test_candles_prices_and_funding_have_the_same_names_on_both_hosts() -> None:
    for name in ("candlestick_1m", "candlestick_1w", "mark_price", "spot_price", "funding_rate"):
        for host in ("compact", "legacy"):
            assert subscribed({"name": name, "symbols": ["X"]}, host=host).joined == ((name, "X"),)


def test_an_unknown_symbol_is_acknowledged_like_a_good_one() -> None:
    reply = subscribed({"name": "candlestick_1m", "symbols": ["NOPEUSD"]})

    assert reply.message["channels"] == [{"name": "candlestick_1m", "symbols": ["NOPEUSD"]}]


def test_subscriptions_accumulate_and_a_second_time_joins_nothing() -> None:
    connection = Subscriptions("compact", ["BTCUSD"])
    subscribed({"name": "ticker", "symbols": ["BTCUSD"]}, to=connection)

    again = subscribed({"name": "ticker", "symbols": ["BTCUSD", "ETHUSD"]}, to=connection)
    status = subscribed({"name": "system_status"}, to=connection)

    assert again.joined == (("ticker", "ETHUSD"),)
    assert status.message["channels"] == [
        {"name": "ticker", "symbols": ["BTCUSD", "ETHUSD"]},
        {"name": "system_status"},
    ]


def test_unsubscribing_without_symbols_drops_the_whole_channel() -> None:
    connection = Subscriptions("compact", ["BTCUSD"])
    for name in ("ticker", "trades"):
        subscribed({"name": name, "symbols": ["BTCUSD", "ETHUSD"]}, to=connection)

    one = connection.unsubscribe({"channels": [{"name": "trades", "symbols": ["ETHUSD"]}]})
    whole = connection.unsubscribe({"channels": [{"name": "ticker"}, {"name": "never"}]})

    assert one.left == (("trades", "ETHUSD"),)
    assert whole.left == (("ticker", "BTCUSD"), ("ticker", "ETHUSD"))
    assert whole.message["channels"] == [{"name": "trades", "symbols": ["BTCUSD"]}]
    assert connection.topics() == [("trades", "BTCUSD")]


def test_a_category_stands_for_everything_listed_except_for_books() -> None:
    for category in ("all", "perpetual_futures"):
        assert subscribed({"name": "trades", "symbols": [category]}).joined == (
            ("trades", "BTCUSD"),
            ("trades", "ETHUSD"),
        )
    assert subscribed({"name": "ob_l2", "symbols": ["all"]}).joined == (("ob_l2", "all"),)


@pytest.mark.parametrize(
    "payload", [None, 7, [], {}, {"channels": None}, {"channels": [1, {"name": 3}, "x"]}]
)
def test_a_payload_that_means_nothing_is_refused_whole(payload: object) -> None:
    reply = Subscriptions("compact", ["BTCUSD"]).subscribe(payload)

    assert reply.message["message"] == "Subscription forbidden: Invalid channel array"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("ticker"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["channels", "name", "symbols", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_payload_gets_an_answer(payload: object) -> None:
    connection = Subscriptions("compact", ["BTCUSD"])

    for reply in (connection.subscribe(payload), connection.unsubscribe(payload)):
        assert reply.message["type"] in ("subscriptions", "error")
    assert connection.topics() == []
