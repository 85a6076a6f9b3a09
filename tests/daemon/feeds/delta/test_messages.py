"""The parser against the reference's samples, recorded frames, and whatever can be thrown at it."""

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from papertape.daemon.feeds.delta.messages import (
    KIND_OF,
    MAX_BYTES,
    Ack,
    Bad,
    CandleFrame,
    Channel,
    Frame,
    FundingFrame,
    Heartbeat,
    Ignored,
    MarkFrame,
    NoTrade,
    Pong,
    ProductUpdate,
    Refusal,
    SystemStatus,
    TickerFrame,
    TradeFrame,
    parse,
)
from tests.bench.feed import parser, thousand_symbols
from tests.support.helpers import SHARED, needs_shared

# delta-exchange.md 3.7 to 3.9
CANDLE = (
    '{"c":86420.5,"cst":1795428900000000,"h":86431.0,"l":86402.0,"o":86405.5,"res":"1m","sy":"BTCUSD",'
    '"ts":1795428931502120,"type":"candlestick_1m","v":1842.0}'
)
LEGACY = (
    '{"candle_start_time":1795428900000000,"close":86420.5,"high":86431,"last_updated":1795428931000000,'
    '"low":86402,"open":86405.5,"resolution":"1m","symbol":"BTCUSD","timestamp":1795428931502120,'
    '"type":"candlestick_1m","volume":1842}'
)
READ = CandleFrame(
    "BTCUSD", "1m", 1_795_428_900_000, 86405.5, 86431.0, 86402.0, 86420.5, 1842.0, 1_795_428_931_502_120
)
SAMPLES: list[tuple[str, Frame]] = [
    (CANDLE, READ),
    (LEGACY, READ),
    ('{"p":"86420.5","r":"t","s":3.0,"sy":"BTCUSD","t":1795428901200000,"ts":1795428901461000,"type":"trades"}',
     TradeFrame("BTCUSD", 86420.5, 3.0, 1_795_428_901_200_000, 1_795_428_901_461_000)),
    ('{"price":"86420.5","size":3,"buyer_role":"taker","seller_role":"maker","timestamp":1795428901200000,'
     '"symbol":"BTCUSD","type":"all_trades"}',
     TradeFrame("BTCUSD", 86420.5, 3.0, 1_795_428_901_200_000, 1_795_428_901_200_000)),
    ('{"p":"86418.22150731","sy":"MARK:BTCUSD","ts":1795428902000300,"type":"mark_price"}',
     MarkFrame("BTCUSD", 86418.22150731, 1_795_428_902_000_300)),
    ('{"price":"86418.2","symbol":"MARK:BTCUSD","price_band":{},"timestamp":1795428902000300,"type":"mark_price"}',
     MarkFrame("BTCUSD", 86418.2, 1_795_428_902_000_300)),
    ('{"d":[{"i":27,"m":"86418.2","oi":["640212","315002.1200"],"s":"BTCUSD"}],"sp":"86431.7","sy":"BTCUSD",'
     '"ts":1795428900412345,"type":"ticker"}', TickerFrame("BTCUSD", 86431.7, 640_212.0, 1_795_428_900_412_345)),
    ('{"symbol":"BTCUSD","spot_price":"86431.7","oi":"640.2120","oi_contracts":"640212","timestamp":1795428900412345,'
     '"type":"v2/ticker"}', TickerFrame("BTCUSD", 86431.7, 640_212.0, 1_795_428_900_412_345)),
    # A chain's subscription carries several contracts; what is no number is not known.
    ('{"d":[{"oi":["7","0"],"s":"ETHUSD"},null,{"oi":["-1","0"],"s":"BTCUSD"}],"sp":null,"sy":"BTCUSD","ts":null,'
     '"type":"ticker"}', TickerFrame("BTCUSD", None, None, 0)),
    ('{"d":[{"oi":[],"s":"BTCUSD"}],"sp":"0","sy":"BTCUSD","ts":1795428900412345,"type":"ticker"}',
     TickerFrame("BTCUSD", None, None, 1_795_428_900_412_345)),
    ('{"d":"no","sy":7,"type":"ticker"}', Bad("no_symbol")),
    # 0.0073 percent per interval
    ('{"fi":28800,"fr":0.0073,"nfr":1795449600000000,"sy":"BTCUSD","ts":1795428930000000,"type":"funding_rate"}',
     FundingFrame("BTCUSD", 0.0073 / 100.0, 28_800, 1_795_449_600_000, 1_795_428_930_000_000)),
    ('{"funding_rate":-0.01,"funding_rate_8h":-0.01,"funding_interval":28800,"symbol":"BTCUSD",'
     '"next_funding_realization":1795449600000000,"timestamp":1795428930000000,"type":"funding_rate"}',
     FundingFrame("BTCUSD", -0.0001, 28_800, 1_795_449_600_000, 1_795_428_930_000_000)),
    ('{"ts_origin":1795428900000000,"ts_publish":1795428900001200,"type":"heartbeat"}', Heartbeat(1_795_428_900_001_200)),
    ('{"type":"heartbeat"}', Heartbeat(0)),
    ('{"type":"pong"}', Pong()),
    ('{"channels":[{"name":"candlestick_1m","symbols":["BTCUSD","ETHUSD"]},'
     '{"error":"subscription forbidden on this invalid channel","name":"candlestick_7m"}],"type":"subscriptions"}',
     Ack((Channel("candlestick_1m", ("BTCUSD", "ETHUSD"), ""),
          Channel("candlestick_7m", (), "subscription forbidden on this invalid channel")))),
    ('{"message":"Subscription forbidden: Invalid channel array","type":"error"}',
     Refusal("Subscription forbidden: Invalid channel array")),
    ('{"event":"maintenance_scheduled","maintenance_finish_time":1795462200000000,"maintenance_start_time":null,'
     '"status":"live","timestamp":1795428930000000,"type":"system_status"}',
     SystemStatus("maintenance_scheduled", "live")),
    ('{"event":"market_disruption","product":{"id":27,"symbol":"BTCUSD","trading_status":"disrupted_cancel_only"},'
     '"timestamp":1795428930000000,"type":"product_updates"}',
     ProductUpdate("market_disruption", "BTCUSD", "disrupted_cancel_only")),
    ('{"a":[],"b":[],"sy":"BTCUSD","type":"ob_l2"}', Ignored("ob_l2")),
    ('{"type":"brand_new"}', Ignored("unknown")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "frame"), SAMPLES, ids=[type(f).__name__ for _, f in SAMPLES])
def test_the_references_samples_are_read(text: str, frame: Frame) -> None:
    assert parse(text) == frame
    assert parse(text.encode()) == frame


def changed(**fields: Any) -> Frame:
    """Return what the sample candle says with other fields; `...` leaves one out."""
    message = {**json.loads(CANDLE), **fields}
    return parse(orjson.dumps({k: v for k, v in message.items() if v is not ...}))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"o": "NaN"}, "bad_price"), ({"h": "inf"}, "bad_price"), ({"l": None}, "bad_price"), ({"c": ""}, "bad_price"),
        ({"o": ...}, "bad_price"), ({"o": True}, "bad_price"), ({"o": [1]}, "bad_price"), ({"o": "1_0"}, "bad_price"),
        ({"l": 0.0}, "bad_ohlc"), ({"l": -5.0}, "bad_ohlc"), ({"h": 86405.0}, "bad_ohlc"), ({"c": 86401.5}, "bad_ohlc"),
        ({"v": -1.0}, "bad_ohlc"), ({"v": ...}, "bad_volume"), ({"v": "many"}, "bad_volume"), ({"v": 1e300}, "bad_volume"),
        ({"sy": ""}, "no_symbol"), ({"sy": 7}, "no_symbol"), ({"sy": "X" * 65}, "no_symbol"), ({"sy": None}, "no_symbol"),
        ({"ts": ...}, "no_time"), ({"ts": -1}, "no_time"), ({"ts": "soon"}, "no_time"),
        ({"type": "candlestick_7m"}, "no_timeframe"), ({"type": 5}, "no_type"),
        # valid while -2 s ≤ ts - cst < 2 × resolution
        ({"ts": 1795428900000000 - 2_000_001}, "stale_start"), ({"ts": 1795428900000000 + 120_000_000}, "stale_start"),
    ],
)  # fmt: skip
def test_a_candle_that_is_none_has_a_reason(fields: dict[str, Any], reason: str) -> None:
    assert changed(**fields) == Bad(reason)


@pytest.mark.parametrize(
    ("fields", "open_ms"),
    [
        ({}, 1_795_428_900_000),
        ({"ts": 1795428900000000 - 2_000_000}, 1_795_428_900_000),
        ({"ts": 1795428900000000 + 119_999_999}, 1_795_428_900_000),
        ({"cst": ...}, 0),
        ({"cst": None}, 0),
        ({"cst": 1795428900000001}, 0),
        ({"cst": 1795428900}, 1_795_428_900_000),  # seconds, told by magnitude
        ({"cst": "1795428900000000"}, 1_795_428_900_000),
    ],
)
def test_the_start_is_the_frames_or_to_be_derived(fields: dict[str, Any], open_ms: int) -> None:
    frame = changed(**fields)

    assert isinstance(frame, CandleFrame)
    assert frame.open_ms == open_ms


def test_numbers_may_be_strings() -> None:
    assert (
        changed(o="86405.5", h="86431", l="86402", c="86420.50", v="1842", ts=str(READ.published_us)) == READ
    )


def test_a_candle_without_trade_is_one_of_its_own() -> None:
    frame = changed(o=None, h=None, l=None, c=None, v=0)

    assert frame == NoTrade("BTCUSD", "1m", 1_795_428_900_000, 1_795_428_931_502_120)


def test_mark_candles_have_no_volume() -> None:
    frame = changed(sy="MARK:BTCUSD", v=...)

    assert isinstance(frame, CandleFrame)
    assert frame.contracts == 0.0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[1]", "not_an_object"),
        (b"null", "not_an_object"),
        (b"{}", "no_type"),
        (b'{"o":NaN,"type":"candlestick_1m"}', "not_json"),
        (b"[" * 5_000, "not_json"),
        (b" " * (MAX_BYTES + 1), "too_large"),
        (b'{"type":"subscriptions"}', "bad_ack"),
        (b'{"type":"subscriptions","channels":[3]}', "bad_ack"),
        (b'{"type":"product_updates","product":null}', "no_product"),
        (b'{"type":"funding_rate","sy":"X","fr":null}', "bad_rate"),
        (b'{"type":"mark_price","sy":"MARK:X","p":"0"}', "bad_price"),
        (b'{"type":"trades","sy":"X","p":"1","s":0,"t":1795428901200000}', "bad_price"),
    ],
)
def test_what_is_no_frame_has_a_reason(data: bytes, reason: str) -> None:
    assert parse(data) == Bad(reason)


@needs_shared
def test_recorded_frames_of_the_legacy_host_are_read() -> None:
    # 2021: candles that have not traded (OHLC null), books that nobody here reads, one acknowledgement.
    lines = (SHARED / "data/raw/ws/cryptofeed_DELTA.ws.1.0").read_text().splitlines()
    texts = [line[line.index("{") :] for line in lines if "{" in line and "<-" not in line]
    frames = [parse(text) for text in texts]

    assert not [frame for frame in frames if isinstance(frame, Bad)]
    assert sum(isinstance(frame, NoTrade) for frame in frames) == 10
    assert sum(frame == Ignored("l2_orderbook") for frame in frames) == 309
    ack = next(frame for frame in frames if isinstance(frame, Ack))
    assert {channel.name for channel in ack.channels} == {"candlestick_1m", "all_trades", "l2_orderbook"}


text = st.text("aZ09 ._-:é\x00", max_size=12)  # a full alphabet takes seconds to load
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | text
    | st.sampled_from(["NaN", "Infinity", "1e400", "-0", "0x10", " 1 ", "1_0", "", "BTCUSD", "1m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
keys = sorted({key for text, _ in SAMPLES for key in json.loads(text)})
kinds = st.sampled_from(sorted({json.loads(text)["type"] for text, _ in SAMPLES}))


def check(frame: Frame) -> None:
    """Hold the promise: a known value, and no candle, price, rate or time that cannot be used."""
    assert isinstance(frame, Bad | Ignored | NoTrade) or type(frame) in KIND_OF
    if isinstance(frame, CandleFrame):
        assert all(map(math.isfinite, frame[3:8]))
        assert 0.0 < frame.low <= min(frame.open, frame.close)
        assert frame.high >= max(frame.open, frame.close)
        assert frame.contracts >= 0.0
        assert frame.open_ms % 60_000 == 0
        assert frame.open_ms >= 0
        assert frame.published_us > 0
    if isinstance(frame, TradeFrame):
        assert 0.0 < frame.price < math.inf
        assert 0.0 < frame.contracts < math.inf
        assert frame.matched_us > 0
    if isinstance(frame, MarkFrame):
        assert 0.0 < frame.price < math.inf
    if isinstance(frame, FundingFrame):
        assert abs(frame.rate_fraction) <= 1.0


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing(data: bytes) -> None:
    check(parse(data))


@settings(max_examples=300)
@given(kinds, st.dictionaries(st.sampled_from(keys), json_values, max_size=12))
@example("candlestick_1m", {"sy": "X", "o": 1e308, "h": 1e308, "l": 1e-308, "c": 1.0, "v": 1e15, "ts": 2**62})
def test_random_objects_raise_nothing(kind: str, message: dict[str, Any]) -> None:
    check(parse(json.dumps({**message, "type": kind})))


@settings(max_examples=300)
@given(st.sampled_from([text for text, _ in SAMPLES]), st.data())
def test_mutated_frames_raise_nothing(text: str, data: st.DataObject) -> None:
    message = json.loads(text)
    for key in data.draw(st.sets(st.sampled_from(sorted(message)), max_size=4)):
        message[key] = data.draw(json_values)
    raw = bytearray(json.dumps(message).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)) | st.just(len(raw)))

    check(parse(bytes(raw[:cut])))


def test_the_bench_measures_real_frames() -> None:
    row = parser(n=500, runs=1)

    assert row["messages"] == 500
    assert row["messages_per_s"] > 0.0
    assert thousand_symbols(n_symbols=5, minutes=2)["candles"] == 10
