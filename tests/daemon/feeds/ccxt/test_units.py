"""VolumeUnits: a stream that counts otherwise is told apart from one that is only late."""

import pytest

from papertape.daemon.feeds.ccxt.units import VolumeUnits
from papertape.daemon.feeds.finality.bars import Bar

MINUTE_MS = 60_000


def bar(minute: int, volume: float, price: float = 20.0) -> Bar:
    return Bar(minute * MINUTE_MS, price, price * 1.1, price * 0.9, price, volume)


def told(ratios: list[float], price: float = 20.0) -> str:
    """Return what is told when the stream shows so many times the history's volume, minute after minute."""
    units = VolumeUnits()
    for minute, ratio in enumerate(ratios):
        units.see(bar(minute, 3.0 * ratio, price))
    units.see(bar(len(ratios), 1.0, price))
    return units.compare([bar(minute, 3.0, price) for minute in range(len(ratios) + 1)])


@pytest.mark.parametrize(
    ("ratios", "price", "is_told"),
    [
        ([1.0] * 6, 20.0, False),
        ([0.99, 1.0, 0.97, 0.999], 20.0, False),  # last trades that the stream did not show
        ([20.0, 20.1, 19.9], 20.0, True),  # quote for base
        ([0.01] * 3, 20.0, True),  # contracts of a hundred
        ([1.5] * 3, 1.5, True),  # quote for base at a price near one
        ([20.0, 20.0], 20.0, False),  # not often enough
        ([20.0, 20.0, 1.0, 20.0, 20.0], 20.0, False),  # not in a row
        ([1.02] * 6, 1.0, False),  # a price of one: nobody could tell, and it hardly matters
    ],
)
def test_units_are_told_apart(ratios: list[float], price: float, is_told: bool) -> None:
    assert bool(told(ratios, price)) is is_told


def test_a_candle_is_compared_once_and_only_when_both_have_left_it_behind() -> None:
    units = VolumeUnits()
    units.see(bar(0, 60.0))
    assert units.compare([bar(0, 3.0)] * 5) == ""  # the stream may still change it
    units.see(bar(1, 20.0))
    assert units.compare([bar(0, 3.0)]) == ""  # the history has nothing after it
    for _ in range(5):
        assert units.compare([bar(0, 3.0), bar(1, 1.0)]) == ""


def test_candles_whose_prices_differ_say_nothing_about_units() -> None:
    units = VolumeUnits()
    for minute in range(6):
        units.see(bar(minute, 60.0, price=21.0))

    assert units.compare([bar(minute, 3.0) for minute in range(7)]) == ""
