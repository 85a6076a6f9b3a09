"""The event study: outcomes by hand, a planted edge is found, and noise gives no more than the nominal share."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from papertape.engine.candles import FLAG_ABSENT, HOUR_MS
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.features.smc import SmartMoney
from papertape.engine.features.smc.events import BOS, EQUAL_HIGHS, EVENT, PERIOD, SCALE_SWING, SWING
from papertape.engine.jit import Rows
from papertape.replay.events.outcomes import outcomes
from papertape.replay.events.study import EVENTS_LEAST, StudyOptions, StudySeries, group_events, study
from papertape.replay.report.event_study import sentence, study_section
from papertape.replay.tapes.synthetic import synthesize
from tests.support.helpers import make_candles, random_candles


def make_events(bars: Sequence[int], sides: Sequence[int], kind: int = BOS, scale: int = 0) -> Rows:
    """Return events known at these candles."""
    events = np.zeros(len(bars), EVENT)
    events["known_bar"], events["side"] = bars, sides
    events["kind"], events["scale"], events["timeframe_ms"] = kind, scale, HOUR_MS
    return events


def random_events(n: int, count: int, kind: int, random: np.random.Generator) -> Rows:
    """Return events at random candles with random sides."""
    bars = np.sort(random.choice(n, count, replace=False))
    return make_events(bars.tolist(), random.choice([-1, 1], count).tolist(), kind)


def test_outcomes_equal_a_slow_reading_of_their_definition() -> None:
    candles = random_candles(80, seed=2)
    ranges = [float(candles["high"][0] - candles["low"][0])]
    for i in range(1, 80):
        high, low, before = candles["high"][i], candles["low"][i], candles["close"][i - 1]
        ranges.append(float(max(high - low, abs(high - before), abs(low - before))))
    for horizon in (1, 3, 10):
        found = outcomes(candles, horizon)
        atr = math.nan
        for k in range(80):
            # Wilder: the mean of the true ranges of candles 1 … 14, then a step of a fourteenth.
            atr = sum(ranges[1:15]) / 14 if k == 14 else atr + (ranges[k] - atr) / 14
            held = range(k + 1, k + horizon + 1)
            if k < 14 or k + horizon >= 80:
                assert np.isnan(found.log_return[k])
                continue
            entry = candles["open"][k + 1]
            top, bottom = (max(candles["high"][i] for i in held), min(candles["low"][i] for i in held))
            assert found.log_return[k] == pytest.approx(
                math.log(candles["close"][k + horizon] / entry), abs=1e-14
            )
            assert found.up_atr[k] == pytest.approx((top - entry) / atr, rel=1e-9, abs=1e-12)
            assert found.down_atr[k] == pytest.approx((entry - bottom) / atr, rel=1e-9, abs=1e-12)


def test_nothing_of_the_candle_that_made_it_known_is_earned() -> None:
    candles = random_candles(60, seed=4)
    jumped = candles.copy()
    for name in ("open", "high", "low", "close"):
        jumped[name][31:] *= 2.0  # the jump lies between the close of candle 30 and the open of candle 31

    assert outcomes(jumped, 5).log_return[30] == pytest.approx(outcomes(candles, 5).log_return[30])


def test_an_entry_that_nobody_traded_is_no_outcome() -> None:
    candles = random_candles(60, seed=4)
    candles["flag_bits"][31] = FLAG_ABSENT

    assert np.isnan(outcomes(candles, 5).log_return[30])
    assert not np.isnan(outcomes(candles, 5).log_return[29])


def test_figures_of_a_row_by_hand() -> None:
    """Prices rise by one per candle from 100, with a range of two: every outcome can be told in the head."""
    n = 200
    rows = [(100.0 + i, 101.5 + i, 99.5 + i, 101.0 + i) for i in range(n)]
    candles = make_candles(rows)
    events = make_events([50, 60, 70], [1, 1, -1])
    # True range: high − low = 2 and high − close before = 1.5, so ATR is 2. Open of k + 1 is 101 + k, its close 102 + k.
    returns = [math.log((102.0 + k) / (101.0 + k)) for k in range(14, n - 1)]
    at = {k: math.log((102.0 + k) / (101.0 + k)) for k in (50, 60, 70)}

    row = study([StudySeries("X", candles, events)], StudyOptions((1,), resamples=100)).iloc[0]

    assert (row["symbol"], row["timeframe"], row["kind"], row["scale"]) == ("X", "1h", "BOS", "")
    assert (row["count"], row["horizon_bars"]) == (3, 1)
    assert row["long_share"] == pytest.approx(2 / 3)
    assert row["mean_bps"] == pytest.approx(1e4 * (at[50] + at[60] - at[70]) / 3)
    assert row["random_bps"] == pytest.approx(1e4 * np.mean(returns) / 3)
    assert row["excess_bps"] == pytest.approx(row["mean_bps"] - row["random_bps"])
    assert row["net_bps"] == pytest.approx(row["mean_bps"] - 10.0)
    assert row["hit_rate"] == pytest.approx(2 / 3)
    assert row["random_hit_rate"] == pytest.approx(2 / 3)
    # A long goes 1.5 for and 0.5 against, in ATR of 2; a short the reverse.
    assert row["favourable_atr"] == pytest.approx((0.75 + 0.75 + 0.25) / 3)
    assert row["adverse_atr"] == pytest.approx((0.25 + 0.25 + 0.75) / 3)
    assert row["random_adverse_atr"] == pytest.approx(row["adverse_atr"])
    # A history that draws one side alone has that side's excursion, and none goes further.
    for name, mean in (("favourable", 1.75 / 3), ("adverse", 1.25 / 3)):
        low, high = row[f"{name}_low_atr"], row[f"{name}_high_atr"]
        assert 0.25 - 1e-12 <= low <= mean <= high <= 0.75 + 1e-12
    assert np.isnan(row["p_value"])
    assert np.isnan(row["q_value"])
    assert not row["is_discovery"]


def test_a_planted_edge_is_found_among_noise() -> None:
    n, drift, horizon = 12_000, 0.0015, 16
    tape = synthesize("noise", n, "1h", seed=6, volatility=0.006)
    random = np.random.default_rng(9)
    planted = random_events(n - horizon - 1, 400, BOS, random)
    added = np.zeros(n + 1)
    for bar, side in zip(planted["known_bar"], planted["side"], strict=True):
        added[bar + 1 : bar + 1 + horizon] += side * drift
    factor = np.exp(np.cumsum(added))[:n]
    candles = tape.candles.copy()
    candles["open"][1:] *= factor[:-1]
    for name in ("high", "low", "close"):
        candles[name] *= factor
    candles["high"] = np.maximum(candles["high"], np.maximum(candles["open"], candles["close"]))
    candles["low"] = np.minimum(candles["low"], np.minimum(candles["open"], candles["close"]))
    noise = [random_events(n, 400, kind, random) for kind in range(3, 23)]

    table = study([StudySeries("X", candles, np.concatenate([planted, *noise]))], StudyOptions(rate=0.01))

    row = table[(table["kind"] == "BOS") & (table["horizon_bars"] == horizon)].iloc[0]
    # Sixteen candles of drift; other planted stretches overlap with random signs, which adds noise and no bias.
    assert row["excess_low_bps"] < 1e4 * horizon * drift < row["excess_high_bps"]
    assert row["q_value"] < 1e-6
    assert row["is_discovery"]
    assert row["hit_rate"] > row["hit_low"] > row["random_hit_rate"]
    assert row["net_bps"] > 150.0
    assert row["favourable_atr"] > row["random_favourable_atr"]
    assert row["adverse_atr"] < row["random_adverse_atr"]
    assert table["kind"].iloc[0] == "BOS"
    assert set(table.loc[table["is_discovery"], "kind"]) == {"BOS"}


def test_noise_gives_no_more_than_the_nominal_share_of_discoveries() -> None:
    """Twenty noise tapes, twelve kinds each, half of them in bursts whose outcomes overlap; seeds 0 … 19."""
    p_values: list[float] = []
    with_discovery = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        candles = synthesize("noise", 4_000, "1h", seed=seed).candles
        parts = [random_events(4_000, 150, kind, random) for kind in range(2, 8)]
        for kind in range(8, 14):
            starts = random.choice(3_900, 30, replace=False)
            bars = np.unique(np.concatenate([starts + i for i in range(6)]))
            parts.append(make_events(bars.tolist(), np.repeat(random.choice([-1, 1]), len(bars)), kind))
        table = study(
            [StudySeries("X", candles, np.concatenate(parts))],
            StudyOptions((4, 16), resamples=300, seed=seed, rate=0.1),
        )
        p_values += table["p_value"].tolist()
        with_discovery += bool(table["is_discovery"].any())

    # 480 tests at 5 %: 24 expected. Tests of one tape share its returns, so the count is wider than binomial (±5).
    rejected = sum(p < 0.05 for p in p_values)
    assert len(p_values) == 480
    assert 10 <= rejected <= 40
    # With nothing to find, every discovery is false: a rate of 0.1 allows one on every tenth tape, 2 of 20 on average.
    assert with_discovery <= scipy.stats.binom.ppf(0.975, 20, 0.1)


def test_events_are_grouped_by_kind_and_scale_in_the_direction_that_they_expect() -> None:
    events = np.concatenate(
        [
            make_events([5], [1], SWING, SCALE_SWING),
            make_events([6], [-1], EQUAL_HIGHS),
            make_events([7, 8], [1, -1], BOS, SCALE_SWING),
            make_events([9], [0], PERIOD),
        ]
    )

    found = {(g.kind, g.scale): g.sides.tolist() for g in group_events(events)}

    # After a high lower prices are expected; an event without a side is measured as a rise.
    assert found == {
        (SWING, SCALE_SWING): [-1.0],
        (EQUAL_HIGHS, 0): [1.0],
        (BOS, SCALE_SWING): [1.0, -1.0],
        (PERIOD, 0): [1.0],
    }


def test_equal_seeds_give_equal_studies_and_lanes_are_corrected_together() -> None:
    lanes = []
    for symbol, seed in (("A", 1), ("B", 2)):
        candles = random_candles(1_500, seed=seed)
        lanes.append(StudySeries(symbol, candles, SmartMoney("1h").update(candles)))
    options = StudyOptions((2, 8), resamples=150)

    one, two = study(lanes, options), study(lanes, options)

    pd.testing.assert_frame_equal(one, two)
    assert set(one["symbol"]) == {"A", "B"}
    assert {"SWING", "BOS", "OB", "FVG"} <= set(one["kind"])
    tested = one["p_value"].dropna()
    assert one["q_value"].min() >= tested.min()
    assert (one.loc[one["count"] < EVENTS_LEAST, "p_value"].isna()).all()
    alone = study(lanes[:1], options)
    same = one[one["symbol"] == "A"].sort_values(["kind", "horizon_bars"])["p_value"].to_numpy()
    np.testing.assert_array_equal(same, alone.sort_values(["kind", "horizon_bars"])["p_value"].to_numpy())


def test_events_in_few_stretches_of_time_are_not_tested() -> None:
    candles = random_candles(3_000, seed=3)
    bars = [*range(1_000, 1_040)]

    row = study([StudySeries("X", candles, make_events(bars, [1] * 40))], StudyOptions((4,), 100)).iloc[0]

    assert row["count"] == 40
    assert np.isnan(row["p_value"])


def test_a_tape_shorter_than_a_horizon_has_counts_and_no_figures() -> None:
    candles = random_candles(20)

    row = study([StudySeries("X", candles, make_events([15, 18], [1, 1]))], StudyOptions((48,), 100)).iloc[0]

    assert row["count"] == 0
    assert np.isnan(row["mean_bps"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"horizons_bars": (0, 4)}, "must be 1 bar or more"),
        ({"horizons_bars": ()}, "must be 1 bar or more"),
        ({"resamples": 99}, "99 resamples are fewer than 100"),
        ({"rate": 1.0}, "not between 0 and 1"),
    ],
)
def test_what_cannot_be_studied_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        StudyOptions(**options)  # type: ignore[arg-type]


def test_no_event_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="nothing to study"):
        study([StudySeries("X", random_candles(50), np.zeros(0, EVENT))])


def test_section_is_json_and_says_what_was_found() -> None:
    candles = random_candles(900, seed=3)
    random = np.random.default_rng(1)
    events = np.concatenate([random_events(900, 80, BOS, random), make_events([40], [1], PERIOD)])
    options = StudyOptions((1, 4), resamples=100)
    table = study([StudySeries("X", candles, events)], options)

    section = study_section(table, options)

    assert json.loads(json.dumps(section, allow_nan=False)) == section
    assert section["summary"]["rows"] == len(table) == 4
    assert section["summary"]["tested"] == 2
    assert section["rows"]["kind"] == table["kind"].tolist()
    assert None in section["rows"]["q_value"]
    assert sentence(section).startswith("nothing found: none of 2 tests is a discovery")
    table["is_discovery"] = table["p_value"].notna()
    table["net_bps"] = [1.0, -1.0, 1.0, 1.0]
    told = sentence(study_section(table, options))
    assert told.startswith("2 of 2 tests are discoveries")
    assert told.endswith("; 1 of them earn more than the costs")
