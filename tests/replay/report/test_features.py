"""Features on the page: which lie on the candles, what is not a number, and how many values of a long tape are kept."""

from typing import Any

import numpy as np
import pytest

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.core import Engine
from papertape.engine.features.matrix import MODEL_PROBABILITY
from papertape.engine.jit import FloatArray
from papertape.engine.spec import EngineSpec, Market
from papertape.replay.report import features
from papertape.replay.report.features import DrawnColumn, FeatureLines, drawn_columns, is_on_candles
from tests.support.helpers import interleave, random_candles
from tests.support.packed import unpack_integers

CLOSES = np.linspace(90.0, 110.0, 50)


@pytest.mark.parametrize(
    ("values", "is_price", "is_over"),
    [
        (CLOSES * 1.02, True, True),
        (CLOSES * 1.02, None, True),  # nobody knows, and every value is near
        (CLOSES * 1.02, False, False),  # an oscillator may happen to be
        (CLOSES * 0.02, True, False),  # a range has the unit of a price and lies elsewhere
        (np.linspace(20.0, 80.0, 50), None, False),
        (np.full(50, np.nan), True, False),
        (np.where(np.arange(50) < 20, np.nan, CLOSES), True, True),
        (np.where(np.arange(50) < 20, 3.0 * CLOSES, CLOSES), True, True),  # mostly near
        (np.where(np.arange(50) < 20, 3.0 * CLOSES, CLOSES), None, False),
    ],
)
def test_prices_near_the_closes_lie_on_the_candles(
    values: FloatArray, is_price: bool | None, is_over: bool
) -> None:
    assert is_on_candles(values, CLOSES, is_price) is is_over


def test_what_a_strategy_names_is_drawn_and_structure_and_the_model_are_not() -> None:
    columns = (
        "ema_20",
        "bollinger_20_2_upper",
        "bollinger_20_2_middle",
        "bollinger_20_2_lower",
        "bollinger_20_2_width",
        "bollinger_20_2_place",
        "rsi_14@4h",
        "BTC/USDT:ema_9",
        MODEL_PROBABILITY,
    )

    found = drawn_columns(
        ("smc", "ema_20", "bollinger_20_2", "rsi_14@4h", "ema_20", "BTC/USDT:ema_9"), columns
    )

    assert [(c.name, c.row, c.is_price) for c in found] == [
        ("ema_20", 0, True),
        ("bollinger_20_2_upper", 1, True),
        ("bollinger_20_2_middle", 2, True),
        ("bollinger_20_2_lower", 3, True),
        ("bollinger_20_2_width", 4, False),
        ("bollinger_20_2_place", 5, False),
        ("rsi_14@4h", 6, False),
        ("BTC/USDT:ema_9", 7, False),
    ]
    own = drawn_columns(("stretch", "stretch@4h"), ("stretch@4h", "stretch"))
    assert own == [
        DrawnColumn("stretch", 1, "stretch", None),
        DrawnColumn("stretch@4h", 0, "stretch@4h", None),
    ]


def unpacked(packed: dict[str, Any]) -> FloatArray:
    """Return a column as the page reads it."""
    values = (packed["first"] + np.cumsum(unpack_integers(packed["steps"]))) / 10.0 ** packed["decimals"]
    if "is_number" in packed:
        values[unpack_integers(packed["is_number"]) == 0] = np.nan
    return values


COLUMN = DrawnColumn("own", 0, "own", None)


@pytest.mark.parametrize(
    "values",
    [
        np.sin(np.arange(50.0)) * 1e-7,
        np.cumsum(np.sin(np.arange(50.0))) * 1e12,
        np.where(np.arange(50) % 7 == 0, np.nan, np.arange(50.0)),
        np.where(np.arange(50) < 9, np.nan, 0.25),
        np.full(50, np.nan),
        np.zeros(50),
        np.where(np.arange(50) == 3, np.inf, 1.0),
        np.array([-1e300, 1e300] * 25),
    ],
)
def test_a_column_comes_back_to_four_digits_of_its_range(values: FloatArray) -> None:
    lines = FeatureLines([COLUMN], 1, 50)
    bars = random_candles(50, 2)
    lines(0, values[None, :], bars)

    [packed] = lines.pack(["AAA"], {"AAA": bars})["AAA"]["columns"]

    known = values[np.isfinite(values)]
    span = max(np.ptp(known), np.abs(known).max()) if len(known) else 0.0
    back = unpacked(packed)
    np.testing.assert_array_equal(np.isnan(back), ~np.isfinite(values))
    np.testing.assert_allclose(back[np.isfinite(values)], known, rtol=0, atol=1e-4 * span)


def test_what_is_too_small_for_any_line_stands_as_zero() -> None:
    lines = FeatureLines([COLUMN], 1, 50)
    bars = random_candles(50, 2)
    lines(0, np.full((1, 50), 5e-320), bars)

    [packed] = lines.pack(["AAA"], {"AAA": bars})["AAA"]["columns"]

    assert unpacked(packed).tolist() == [0.0] * 50


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_of_a_long_tape_every_so_manieth_value_is_kept_whatever_the_batches(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "MOST_VALUES", 70)
    columns = [COLUMN, DrawnColumn("two", 1, "two", None)]
    lines = FeatureLines(columns, 1, 100)  # 200 values, of which 70 may be kept: every third close
    bars = random_candles(100, 2)
    bars["flag_bits"][30] = FLAG_ABSENT
    matrix = np.stack([np.arange(100.0), -np.arange(100.0)])
    for first in range(0, 100, batch):
        lines(0, matrix[:, first : first + batch], bars[first : first + batch])

    packed = lines.pack(["AAA"], {"AAA": bars})["AAA"]

    kept = [n for n in range(0, 100, 3) if n != 30]
    assert unpacked(packed["columns"][0]).tolist() == kept
    assert unpacked(packed["columns"][1]).tolist() == [-n for n in kept]
    times = packed["first"] + np.cumsum(unpack_integers(packed["time"]))
    assert times.tolist() == (bars["open_ms"][kept] // 1000).tolist()
    assert lines.left_out() == ["Of every feature the report draws one value in 3: a page holds 70 of them."]


class Reads:
    features = ("ema_20", "rsi_14@4h")

    def decide(self, view: Any) -> None:
        return None


def test_an_engine_shows_its_features_and_nothing_depends_on_it() -> None:
    spec = EngineSpec([Market("AAA"), Market("BBB")], Reads(), "1h", "1h")
    bars = {"AAA": random_candles(200, 2), "BBB": random_candles(200, 3)}
    tape = interleave(list(bars.values()))
    plain, watched = Engine(spec), Engine(spec)
    lines = FeatureLines(drawn_columns(Reads.features, watched.frames.columns), 2, 200)
    watched.watch = lines
    plain.step(tape)
    watched.step(tape[:77])
    watched.step(tape[77:])

    packed = lines.pack(["AAA", "BBB"], bars)

    assert watched.snapshot() == plain.snapshot()
    assert [c["name"] for c in packed["BBB"]["columns"]] == ["ema_20", "rsi_14@4h"]
    assert len(unpack_integers(packed["BBB"]["time"])) == 200
