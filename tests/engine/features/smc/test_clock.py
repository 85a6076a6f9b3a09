"""Civil time against the time zone database, kill zones across a change of the clock, periods against a table."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.features.smc import KIND_NAMES, TAG_NAMES, SmartMoney
from papertape.engine.features.smc.calendar import days_of, new_york_offset_ms, year_month
from papertape.engine.jit import Rows
from tests.support.helpers import random_candles

NEW_YORK = ZoneInfo("America/New_York")


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)


def from_database(at_ms: int) -> int:
    offset = datetime.fromtimestamp(at_ms / 1000, NEW_YORK).utcoffset()
    assert offset is not None
    return round(offset.total_seconds() * 1000)


@settings(deadline=None)
@given(st.integers(ms(1976, 1, 1), ms(2037, 12, 31)))
def test_new_york_is_where_the_time_zone_database_says(at_ms: int) -> None:
    assert new_york_offset_ms(at_ms) == from_database(at_ms)


def test_the_clock_changes_at_the_very_millisecond() -> None:
    for year in (1987, 1999, 2006, 2007, 2022, 2023, 2024, 2031):
        hours = np.arange(ms(year, 1, 1), ms(year, 12, 31), 3_600_000)
        offsets = [new_york_offset_ms(int(hour)) for hour in hours]
        changes = hours[1:][np.diff(offsets) != 0]
        assert len(changes) == 2
        for change in changes.tolist():
            assert new_york_offset_ms(change) == from_database(change)
            assert new_york_offset_ms(change - 1) == from_database(change - 1)


@settings(deadline=None)
@given(st.dates())
def test_days_of_the_calendar(date: object) -> None:
    days = date.toordinal() - 719_163  # type: ignore[attr-defined]  # 1970-01-01

    assert days_of(date.year, date.month, date.day) == days  # type: ignore[attr-defined]
    assert year_month(days) == (date.year, date.month)  # type: ignore[attr-defined]


def tape_from(start_ms: int, n: int) -> Rows:
    candles = random_candles(n, 51, "15m")
    candles["open_ms"] = start_ms + 900_000 * np.arange(n)
    return candles


def test_london_open_moves_by_an_hour_when_new_york_saves_daylight() -> None:
    # Daylight saving began on Sunday 2023-03-12: 02:00 New York is 07:00 UTC before, 06:00 UTC after.
    candles = tape_from(ms(2023, 3, 10), 5 * 96)

    events = SmartMoney("15m").update(candles)

    opened = [
        pd.Timestamp(int(e["formed_ms"]), unit="ms").strftime("%m-%d %H:%M")
        for e in events
        if KIND_NAMES[int(e["kind"])] == "KZ_OPEN" and TAG_NAMES[int(e["tag"])] == "london_open"
    ]
    assert opened == ["03-10 07:00", "03-11 07:00", "03-12 07:00", "03-13 06:00", "03-14 06:00"]


def test_a_kill_zone_closes_with_its_last_candle_or_the_first_one_outside() -> None:
    candles = tape_from(ms(2023, 6, 5), 2 * 96)  # London open is 06:00 … 09:00 UTC
    # On the second day the candles from 08:30 to 10:00 are missing: the zone closes with the candle of 10:00.
    at = candles["open_ms"]
    missing = (at >= ms(2023, 6, 6, 8, 30)) & (at < ms(2023, 6, 6, 10))
    tape = candles[~missing].copy()

    events = SmartMoney("15m").update(tape)

    closed = events[(events["kind"] == 35) & (events["tag"] == 12)]
    inside = (tape["open_ms"] >= ms(2023, 6, 5, 6)) & (tape["open_ms"] < ms(2023, 6, 5, 9))
    assert closed["known_ms"].tolist() == [ms(2023, 6, 5, 9), ms(2023, 6, 6, 10, 15)]
    assert closed["top"][0] == tape["high"][inside].max()
    assert closed["bottom"][0] == tape["low"][inside].min()
    assert closed["formed_ms"].tolist() == [ms(2023, 6, 5, 6), ms(2023, 6, 6, 6)]


def test_previous_periods_are_those_of_a_table() -> None:
    # From a Thursday at noon, so that the first day, week and month are not whole and must not be said.
    candles = tape_from(ms(2023, 3, 9, 12), 60 * 96)
    keep = np.random.default_rng(3).random(len(candles)) > 0.2
    keep[0] = True
    tape = candles[keep].copy()
    stamps = pd.to_datetime(tape["open_ms"], unit="ms")
    table = pd.DataFrame({"high": tape["high"], "low": tape["low"], "n": np.arange(len(tape))})
    labels = {
        "4h": stamps.floor("4h"),
        "day": stamps.floor("1D"),
        "week": stamps.floor("1D") - pd.to_timedelta(stamps.day_of_week, unit="D"),
        "month": stamps.to_period("M"),
    }

    events = SmartMoney("15m").update(tape)

    for name, label in labels.items():
        groups = table.groupby(np.asarray(label)).agg({"high": "max", "low": "min", "n": "min"})
        whole = groups if name == "4h" else groups.iloc[1:]  # noon begins a stretch of four hours
        want = list(
            zip(whole["high"][:-1], whole["low"][:-1], whole["n"].shift(-1)[:-1].astype(int), strict=True)
        )
        said = events[(events["kind"] == 36) & (events["tag"] == {v: k for k, v in TAG_NAMES.items()}[name])]
        found = list(zip(said["top"], said["bottom"], said["known_bar"], strict=True))
        assert found == want, name


def test_a_previous_high_is_broken_once_by_the_first_candle_above() -> None:
    candles = tape_from(ms(2023, 3, 6), 10 * 96)
    events = SmartMoney("15m").update(candles)
    days = candles["open_ms"] // 86_400_000

    broken = events[(events["kind"] == 37) & (events["tag"] == 22) & (events["side"] == 1)]

    want = []
    for day in np.unique(days)[1:]:
        level = candles["high"][days == day - 1].max()
        above = np.flatnonzero((days == day) & (candles["high"] > level))
        if len(above):
            want.append((int(above[0]), float(level)))
    assert list(zip(broken["known_bar"].tolist(), broken["level"].tolist(), strict=True)) == want
