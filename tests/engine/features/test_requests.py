"""A request is read once: symbol, name with its variant, timeframe."""

import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.features import columns_of, split_request


@pytest.mark.parametrize(
    ("request_text", "parts"),
    [
        ("rsi_14", ("", "rsi_14", "")),
        ("rsi_14@4h", ("", "rsi_14", "4h")),
        ("ema_12:first", ("", "ema_12:first", "")),
        ("ema_12:first@4h", ("", "ema_12:first", "4h")),
        ("BTCUSDT:rsi_14", ("BTCUSDT", "rsi_14", "")),
        ("BTCUSDT:ema_12:first@4h", ("BTCUSDT", "ema_12:first", "4h")),
        ("BTC/USDT:rsi_14", ("BTC/USDT", "rsi_14", "")),
        ("BTC/USDT:USDT:rsi_14", ("BTC/USDT:USDT", "rsi_14", "")),
        ("BTC/USDT:USDT:ema_12:first@1d", ("BTC/USDT:USDT", "ema_12:first", "1d")),
        ("BTC-USD@CME:rsi_14", ("BTC-USD@CME", "rsi_14", "")),
        ("BTC-USD@CME:rsi_14@1d", ("BTC-USD@CME", "rsi_14", "1d")),
        ("bollinger_20_2.5", ("", "bollinger_20_2.5", "")),
    ],
)
def test_a_request_is_read_from_its_end(request_text: str, parts: tuple[str, str, str]) -> None:
    assert split_request(request_text) == parts
    assert split_request(request_text).label(parts[1]) == request_text


@pytest.mark.parametrize(
    ("request_text", "message"),
    [
        ("rsi_14@", "there is no timeframe behind the @"),
        (":rsi_14", "write SYMBOL:rsi_14, or rsi_14"),
        ("BTCUSDT:", "write SYMBOL:rsi_14, or rsi_14"),
        ("", "write SYMBOL:rsi_14, or rsi_14"),
        ("ema_12@4h:first", "the timeframe comes last; write ema_12:first@4h"),
        ("BTCUSDT:rsi_14@4h@1d", "the timeframe comes last"),
    ],
)
def test_a_request_with_a_part_missing_or_out_of_place_is_refused(request_text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        split_request(request_text)

    assert repr(request_text) in str(refused.value)


def test_columns_carry_the_symbol_and_the_timeframe() -> None:
    expected = ("adx_14", "adx_14_plus_di", "adx_14_minus_di")

    assert columns_of("adx_14") == expected
    assert columns_of("adx_14@4h") == tuple(f"{name}@4h" for name in expected)
    assert columns_of("X/Y:Z:adx_14@4h") == tuple(f"X/Y:Z:{name}@4h" for name in expected)


def test_a_variant_that_does_not_exist_is_no_symbol() -> None:
    with pytest.raises(ConfigError, match="'ema_12:second': ema has no variant 'second'"):
        columns_of("ema_12:second")
