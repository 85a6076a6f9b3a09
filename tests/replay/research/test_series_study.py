"""The study of series: readings by a slow count, funding by hand, a planted series is found and one of chance is not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from papertape.engine.candles import DAY_MS, HOUR_MS
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.jit import FloatArray, Rows
from papertape.engine.records import FUNDING_RATE, LONG_SHORT_RATIO
from papertape.replay import Tape
from papertape.replay.config import make_config
from papertape.replay.events.outcomes import outcomes
from papertape.replay.events.study import StudyOptions
from papertape.replay.importers.series import SeriesFile, read_series
from papertape.replay.report.event_study import series_section, verdict_sentence, verdicts
from papertape.replay.research.series_study import (
    HIGH,
    LOW,
    SeriesLane,
    arrivals,
    less_funding,
    series_lanes,
    study_series,
)
from papertape.replay.tapes.synthetic import synthesize
from tests.support.helpers import START_MS, make_candles


def series(kind: int, time_ms: FloatArray, values: FloatArray) -> SeriesFile:
    """Return a series without gaps, each value known at its time."""
    step = int(time_ms[1] - time_ms[0])
    return SeriesFile(kind, "planted.csv", "", time_ms.astype(np.int64), values, None, None, step, ())


def ratio_lane(candles: Rows, values: FloatArray) -> SeriesLane:
    closes = candles["open_ms"] + HOUR_MS
    return SeriesLane("X", candles, HOUR_MS, (series(LONG_SHORT_RATIO, closes, values),))


def slow_arrivals(readings: FloatArray) -> dict[int, list[int]]:
    """Count, candle by candle, where a reading is beyond nine tenths of the 720 before it and the last one was not."""
    found: dict[int, list[int]] = {HIGH: [], LOW: []}
    for side in (HIGH, LOW):
        was = False
        for k in range(len(readings)):
            past = readings[max(k - 720, 0) : k]
            past = past[~np.isnan(past)]
            is_in = False
            if len(past) >= 360:
                edge = np.quantile(past, 0.9 if side == HIGH else 0.1)
                is_in = bool(readings[k] > edge if side == HIGH else readings[k] < edge)
            if is_in and not was:
                found[side].append(k)
            was = is_in
    return found


def test_readings_arrive_where_a_slow_count_says_and_never_by_what_comes_later() -> None:
    random = np.random.default_rng(3)
    readings = np.cumsum(random.normal(size=1_500)) * 0.1 + random.normal(size=1_500)
    readings[700:760] = np.nan
    readings[900:1_000] = readings[899]  # what stays as it is arrives once, at most

    found = arrivals(readings, HOUR_MS)

    assert {side: bars.tolist() for side, bars in found.items()} == slow_arrivals(readings)
    assert len(found[HIGH]) > 30
    for cut in (500, 761, 1_100):
        before = arrivals(readings[:cut], HOUR_MS)
        for side in (HIGH, LOW):
            assert before[side].tolist() == [bar for bar in found[side] if bar < cut]


def test_daily_candles_look_back_two_hundred() -> None:
    readings = np.arange(150.0)

    # From the hundredth on every reading is the highest so far, which is one arrival.
    assert arrivals(readings, DAY_MS)[HIGH].tolist() == [100]


def test_a_long_pays_the_settlements_between_its_entry_and_its_exit() -> None:
    candles = make_candles([(100.0, 101.0, 99.0, 100.0)] * 60)
    # Rates at 08:00, 16:00, 24:00, 32:00; the one at 40:00 is missing, and they end with 48:00.
    times = START_MS + HOUR_MS * np.array([8, 16, 24, 32, 48])
    rates = np.array([0.001, 0.002, 0.004, 0.008, 0.016])
    hole = ((int(times[3]), int(times[4]), 1),)
    file = SeriesFile(FUNDING_RATE, "f.csv", "", times, rates, None, None, 8 * HOUR_MS, hole)
    lane = SeriesLane("X", candles, HOUR_MS, (file,))

    paid = -less_funding(outcomes(candles, 4), lane, file, 4).log_return

    # Entered at the open of k + 1, left at the close of k + 4: hours k + 1 and k + 5.
    assert paid[18] == 0.0  # 19:00 … 23:00
    assert paid[19] == pytest.approx(0.004)  # 20:00 … 24:00: held before the settlement
    assert paid[22] == pytest.approx(0.004)
    assert paid[23] == 0.0  # entered at 24:00 itself
    assert paid[27] == pytest.approx(0.008)  # left at 32:00
    assert np.isnan(paid[28])  # 29:00 … 33:00 reaches into what is missing
    assert np.isnan(paid[46])  # 47:00 … begins within it
    assert paid[47] == 0.0  # entered at 48:00
    assert paid[50] == 0.0  # 51:00 … 55:00
    assert np.isnan(paid[51])  # left at 56:00, of which nothing is told
    twice = -less_funding(outcomes(candles, 10), lane, file, 10).log_return
    assert twice[14] == pytest.approx(0.006)  # 15:00 … 25:00 meets 16:00 and 24:00


def planted(n: int, drift: float, bars: int) -> tuple[Rows, FloatArray]:
    """Return noise that falls by `drift` a candle for some candles after each arrival of a high ratio, and the ratios."""
    tape = synthesize("noise", n, "1h", seed=6, volatility=0.004)
    ratios = np.exp(np.random.default_rng(8).normal(size=n) * 0.1)
    added = np.zeros(n + bars + 1)
    for bar in arrivals(ratios, HOUR_MS)[HIGH].tolist():
        added[bar + 1 : bar + 1 + bars] -= drift
    factor = np.exp(np.cumsum(added))[:n]
    candles = tape.candles.copy()
    candles["open"][1:] *= factor[:-1]
    for name in ("high", "low", "close"):
        candles[name] *= factor
    candles["high"] = np.maximum(candles["high"], np.maximum(candles["open"], candles["close"]))
    candles["low"] = np.minimum(candles["low"], np.minimum(candles["open"], candles["close"]))
    return candles, ratios


def test_a_planted_series_adds_something_and_one_of_chance_does_not() -> None:
    candles, ratios = planted(6_000, 0.004, 4)
    closes = candles["open_ms"] + HOUR_MS
    chance = np.random.default_rng(5).normal(0.0, 1e-5, 750)
    lane = ratio_lane(candles, ratios)
    lane = lane._replace(files=(*lane.files, series(FUNDING_RATE, closes[7::8], chance)))
    options = StudyOptions((1, 4), resamples=200)

    table = study_series([lane], options)

    found = {one["series"]: one for one in verdicts(table, options)}
    assert [one["tests"] for one in found.values()] == [4, 4]
    assert found["long_short_ratio"]["after_costs"] > 0
    assert (found["long_short_ratio"]["best"]["reading"], found["long_short_ratio"]["best"]["side"]) == (
        "high",
        "short",
    )
    assert found["funding"]["after_costs"] == found["funding"]["discoveries"] == 0
    told = [verdict_sentence(one, options.cost_bps) for one in found.values()]
    assert told[0].startswith("X 1h funding: adds nothing after costs of 10 bps in 4 tests, none of which")
    assert told[1].startswith("X 1h long_short_ratio: adds something after costs of 10 bps in ")
    section = series_section(table, options)
    assert section["summary"]["tested"] == 8
    assert section["summary"]["discoveries_after_costs"] == found["long_short_ratio"]["after_costs"]

    # The same once more, from its definition: mean log returns after arrivals, as shorts, beside those after any candle.
    row = table[
        (table["scale"] == "high") & (table["horizon_bars"] == 4) & (table["kind"] == "long_short_ratio")
    ].iloc[0]
    charged = {int(t): float(r) for t, r in zip(closes[7::8], chance, strict=True)}
    opens, lasts, n = candles["open"], candles["close"], len(candles)
    held: dict[int, float] = {}
    for k in range(14, n - 4):  # an excursion in ATR(14) is known from the fourteenth on
        funding = sum(charged.get(int(closes[j]), 0.0) for j in range(k + 1, k + 5))
        held[k] = float(np.log(lasts[k + 4] / opens[k + 1])) - funding
    returns = [-held[k] for k in slow_arrivals(ratios)[HIGH] if k in held]
    anywhere = -float(np.mean(list(held.values())))
    assert row["count"] == len(returns)
    assert row["mean_bps"] == pytest.approx(1e4 * np.mean(returns))
    assert row["random_bps"] == pytest.approx(1e4 * anywhere)
    assert row["net_bps"] == pytest.approx(1e4 * np.mean(returns) - 10.0)
    assert row["long_share"] == 0.0


def test_an_edge_smaller_than_its_costs_is_found_and_adds_nothing() -> None:
    candles, ratios = planted(6_000, 0.002, 4)
    options = StudyOptions((4,), resamples=200, cost_bps=200.0)

    table = study_series([ratio_lane(candles, ratios)], options)

    (found,) = verdicts(table, options)
    assert found["discoveries"] >= 1
    assert found["after_costs"] == 0
    assert table["net_q_value"].min() == 1.0


def test_chance_gives_no_more_than_the_nominal_share() -> None:
    """Ten markets and series of noise; the side is chosen by looking, which a two-sided p has to pay for."""
    p_values: list[float] = []
    for seed in range(10):
        candles = synthesize("noise", 2_500, "1h", seed=seed).candles
        values = np.exp(np.random.default_rng(100 + seed).normal(size=2_500) * 0.1)
        options = StudyOptions((1, 4), resamples=100, seed=seed)
        p_values += study_series([ratio_lane(candles, values)], options)["p_value"].tolist()

    # Forty tests at 10 %: tests of one market share its returns, so both ends are wider than binomial.
    assert len(p_values) == 40
    assert sum(p < 0.1 for p in p_values) <= scipy.stats.binom.ppf(0.999, 40, 0.1)
    assert min(p_values) > 0.1 / 400
    assert np.mean(np.array(p_values) > 0.5) > 0.25


def test_files_come_by_symbol_and_what_no_tape_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ratio.csv"
    closes = START_MS + HOUR_MS * np.arange(1, 4)
    pd.DataFrame({"time": closes, "long_short_ratio": [1.0, 1.1, 1.2]}).to_csv(path, index=False)
    tape = Tape(make_candles([(100.0, 101.0, 99.0, 100.0)] * 5), "test", "X", "1h")
    other = Tape(tape.candles, "test", "Y", "1h")
    config = make_config({"data": {"long_short_ratio": {"X": str(path)}}})

    (lane,) = series_lanes(config, [tape, other], ["test:X", "test:Y"])

    assert (lane.symbol, lane.length_ms) == ("test:X", HOUR_MS)
    assert lane.files[0].sha256 == read_series(path, "X", LONG_SHORT_RATIO).sha256
    with pytest.raises(ConfigError, match=r"data\.long_short_ratio\.X: no tape has that symbol"):
        series_lanes(config, [other], ["Y"])
    with pytest.raises(DataError, match="no reading of these series was unusual"):
        study_series([lane], StudyOptions((1,), resamples=100))
