"""Cadences: what each text means, on simulated time, and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.errors import ConfigError
from papertape.replay.config.cadence import cadence

DAY_MS = 86_400_000
TIMES = st.integers(0, 4_000_000_000_000)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000)


def texts(name: str, start: str, end: str) -> list[str]:
    found = cadence(name)
    assert found is not None
    return [
        datetime.fromtimestamp(due / 1000, UTC).strftime("%a %Y-%m-%d %H:%M")
        for due in found.between(ms(start), ms(end))
    ]


def test_weekly_is_monday_midnight_and_monthly_the_first() -> None:
    assert texts("weekly", "2024-02-27", "2024-03-12") == ["Mon 2024-03-04 00:00", "Mon 2024-03-11 00:00"]
    assert texts("monthly", "2023-12-31", "2024-03-01") == [
        "Mon 2024-01-01 00:00",
        "Thu 2024-02-01 00:00",
        "Fri 2024-03-01 00:00",
    ]
    assert texts("daily", "2024-02-28T12:00", "2024-03-01") == [
        "Thu 2024-02-29 00:00",
        "Fri 2024-03-01 00:00",
    ]


def test_a_due_time_belongs_to_the_span_that_ends_with_it() -> None:
    assert texts("daily", "2024-01-01", "2024-01-02") == ["Tue 2024-01-02 00:00"]
    assert texts("daily", "2024-01-01", "2024-01-01T23:59") == []


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("0", "Sun"),
        ("7", "Sun"),
        ("5-7", "Fri Sat Sun"),
        ("mon,wed", "Mon Wed"),
        ("fri-sun", "Fri Sat Sun"),
        ("*/3", "Wed Sat Sun"),
        ("2/2", "Tue Thu Sat"),
    ],
)
def test_weekdays_are_those_of_cron_where_sunday_is_0(field: str, days: str) -> None:
    week = texts(f"30 6 * * {field}", "2024-01-01", "2024-01-08")

    assert [text[:3] for text in week] == days.split()
    assert all(text.endswith("06:30") for text in week)


def test_cron_days_and_hours() -> None:
    assert texts("15 */12 1,15 * *", "2024-01-01", "2024-01-16") == [
        "Mon 2024-01-01 00:15",
        "Mon 2024-01-01 12:15",
        "Mon 2024-01-15 00:15",
        "Mon 2024-01-15 12:15",
    ]


@pytest.mark.parametrize("text", ["", "never", " Never "])
def test_never_is_no_cadence(text: str) -> None:
    assert cadence(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fortnightly", "write an interval such as 30d"),
        ("0d", "between one minute and ten years"),
        ("5000d", "between one minute and ten years"),
        ("3y", "'y' is no unit"),
        ("1M", "write monthly, or an interval such as 30d"),
        (" 12 M ", "M reads as months and m as minutes"),
        ("-3d", "is no cadence"),
        ("61 * * * *", "(61) is higher than the maximum value (59)"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 1 * mon", "leave one of them"),
        ("0 0 * * 8", "'8' is no weekday"),
        ("0 0 * * fri-mon", "no range of weekdays"),
        ("0 0 * * 1-5/0", "is no weekday"),
        ("0 0 x * *", "minute, hour, day, month and weekday"),
        ("* * * *", "is no cadence"),
    ],
)
def test_every_fault_is_one_sentence_with_the_value(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cadence(text)

    message = str(caught.value)
    assert said in message
    assert message.startswith(repr(text))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "shortest", "too_often_for", "enough_for"),
    [
        ("59m", timedelta(minutes=59), "1h", "30m"),
        ("1h", timedelta(hours=1), "2h", "1h"),
        ("1H", timedelta(hours=1), "2h", "1h"),
        ("daily", timedelta(days=1), "1w", "1d"),
        ("monthly", timedelta(days=28), None, "1w"),
        ("* * * * *", timedelta(minutes=1), "3m", "1m"),
        ("0,5 0 * * *", timedelta(minutes=5), "15m", "5m"),
        ("0 0 1 1 *", timedelta(days=365), None, "1w"),
    ],
)
def test_models_are_not_trained_more_often_than_candles_close(
    text: str, shortest: timedelta, too_often_for: str | None, enough_for: str
) -> None:
    found = cadence(text)

    assert found is not None
    assert found.shortest_ms == round(shortest / timedelta(milliseconds=1))
    found.check_length(enough_for)
    if too_often_for is not None:
        with pytest.raises(ConfigError, match=f"than a candle of {too_often_for} closes"):
            found.check_length(too_often_for)


@settings(max_examples=40, deadline=None)
@given(TIMES, st.integers(1, 5_000), st.sampled_from("mhd"))
def test_intervals_are_the_multiples_since_1970(time_ms: int, number: int, unit: str) -> None:
    length_ms = number * {"m": 60_000, "h": 3_600_000, "d": DAY_MS}[unit]
    if length_ms > 3_650 * DAY_MS:
        length_ms, number, unit = DAY_MS, 1, "d"
    found = cadence(f"{number}{unit}")

    assert found is not None
    assert found.after(time_ms) == (time_ms // length_ms + 1) * length_ms


@settings(max_examples=40, deadline=None)
@given(TIMES)
def test_months_and_weeks_follow_the_calendar(time_ms: int) -> None:
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    month = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    expected = {
        "monthly": month.replace(hour=0, minute=0, second=0, microsecond=0),
        "weekly": midnight + timedelta(days=7 - now.weekday()),
    }

    for name, due in expected.items():
        found = cadence(name)
        assert found is not None
        assert found.after(time_ms) == round(due.timestamp() * 1000)


@settings(max_examples=20, deadline=None)
@given(TIMES, st.integers(0, 40), st.integers(0, 40), st.sampled_from(["7d", "monthly", "0 3 * * 2"]))
def test_spans_that_meet_have_the_due_times_of_the_whole(start: int, a: int, b: int, text: str) -> None:
    found = cadence(text)
    assert found is not None
    middle, end = start + a * DAY_MS, start + (a + b) * DAY_MS

    whole = found.between(start, end)

    assert found.between(start, middle) + found.between(middle, end) == whole
    assert whole == sorted(set(whole))
