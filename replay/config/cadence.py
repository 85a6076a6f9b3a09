"""
When models are trained: the text of `signals.retrain_every` as a trigger of APScheduler, on whatever clock is given.

    30d  12h  90m        an interval, counted from 1970-01-01 00:00 UTC; M for months is refused: m are minutes
    daily weekly monthly 00:00 UTC of every day, Monday, first of the month
    15 6 * * 1-5         five cron fields, in UTC: minute, hour, day, month, weekday (0 and 7 are Sunday)
    never, or nothing    no retraining

Intervals are counted from a fixed day, not from the first candle: a replay, a daemon that was restarted and another
tape of the same market have the same due times. Due times are a matter of the candles' clock; nothing here looks at
the machine's.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from apscheduler.triggers.base import BaseTrigger  # type: ignore[import-untyped] # it ships no types
from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-untyped] # it ships no types
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-untyped] # it ships no types

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST_S: Final = 3_650 * 86_400
_INTERVAL: Final = re.compile(r"([0-9]{1,9})\s*([a-z])")
_NAMED: Final[dict[str, dict[str, int | str]]] = {
    "daily": {"hour": 0, "minute": 0},
    "weekly": {"day_of_week": "mon", "hour": 0, "minute": 0},
    "monthly": {"day": 1, "hour": 0, "minute": 0},
}
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # as cron counts them
_NEVER: Final = ("", "never")
_FIELDS: Final = 5
_EXAMPLE_MS: Final = 1_704_067_200_000 - 1  # before 2024-01-01 00:00 UTC
_EXAMPLES: Final = 64


@dataclass(frozen=True, slots=True)
class Cadence:
    """Due times: `text` as it was given, and the trigger that knows them."""

    text: str
    trigger: BaseTrigger

    def after(self, time_ms: int) -> int | None:
        """Return the first due time after a time, in ms; None when there is none for a century."""
        # A trigger answers with the first time that is not before what it is asked for.
        asked = _EPOCH + timedelta(milliseconds=time_ms + 1)
        due = self.trigger.get_next_fire_time(None, asked)
        return None if due is None else round((due - _EPOCH) / timedelta(milliseconds=1))

    def between(self, start_ms: int, end_ms: int) -> list[int]:
        """Return every due time after `start_ms` and up to `end_ms`, in order."""
        found: list[int] = []
        due = self.after(start_ms)
        while due is not None and due <= end_ms:
            found.append(due)
            due = self.after(due)
        return found

    @property
    def shortest_ms(self) -> int | None:
        """Return the shortest time between two of the first due times of 2024, None where there is only one."""
        found: list[int] = []
        due = self.after(_EXAMPLE_MS)
        while due is not None and len(found) < _EXAMPLES:
            found.append(due)
            due = self.after(due)
        return min((b - a for a, b in pairwise(found)), default=None)

    def check_length(self, timeframe: str) -> None:
        """Raise ConfigError where models would be trained more often than candles of this timeframe close."""
        shortest_ms = self.shortest_ms
        if shortest_ms is not None and shortest_ms < timeframe_ms(timeframe):
            raise ConfigError(
                f"{self.text!r} comes more often than a candle of {timeframe} closes, so there would be nothing new to "
                f"learn from; write {timeframe} or longer, or monthly for a month"
            )


def cadence(text: str) -> Cadence | None:
    """Return the cadence that a text means, None for never, or raise ConfigError with what can be written."""
    if re.fullmatch(r"[0-9]+\s*M", text.strip()):
        raise ConfigError(
            f"{text!r}: M reads as months and m as minutes; write monthly, or an interval such as 30d or 30m"
        )
    words = text.strip().lower()
    if words in _NEVER:
        return None
    if words in _NAMED:
        return Cadence(text, CronTrigger(timezone=UTC, **_NAMED[words]))
    if match := _INTERVAL.fullmatch(words):
        return Cadence(text, _interval(text, int(match[1]), match[2]))
    if len(words.split()) == _FIELDS:
        return Cadence(text, _cron(text, words.split()))
    raise ConfigError(
        f"{text!r} is no cadence: write an interval such as 30d or 12h, daily, weekly, monthly, "
        "five cron fields, or never"
    )


def _interval(text: str, number: int, unit: str) -> BaseTrigger:
    if unit not in _UNITS:
        raise ConfigError(f"{text!r}: {unit!r} is no unit; use m, h, d or w (minutes, hours, days, weeks)")
    seconds = number * _UNITS[unit]
    if not 0 < seconds <= _LONGEST_S:
        raise ConfigError(f"{text!r} is not between one minute and ten years")
    return IntervalTrigger(seconds=seconds, start_date=_EPOCH, timezone=UTC)


def _cron(text: str, fields: list[str]) -> BaseTrigger:
    """Return a trigger of five cron fields, with cron's own weekdays."""
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise ConfigError(
            f"{text!r}: a day of the month and a weekday together mean different things to different "
            "schedulers; leave one of them *"
        )
    try:
        trigger = CronTrigger(
            minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), timezone=UTC
        )
    except ValueError as error:
        raise ConfigError(
            f"{text!r}: {_plain(error)}; the fields are minute, hour, day, month and weekday"
        ) from error
    if trigger.get_next_fire_time(None, _EPOCH) is None:
        raise ConfigError(f"{text!r} is a date that never comes")
    return trigger


def _weekdays(field: str) -> str:
    """Return cron's weekdays (0 and 7 are Sunday, names too, ranges and steps) as a list of names."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.split(","):
        match = re.fullmatch(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/([1-9]))?", part)
        if match is None:
            raise ValueError(f"{part!r} is no weekday")
        first = 0 if match[1] else _weekday(match[2])
        last = _weekday(match[3]) or 7 if match[3] else first  # a range may end on Sunday
        if match[1] or (match[4] and not match[3]):
            last = 6  # `*/2` is 0-6/2, and `2/2` is 2-6/2
        if last < first:
            raise ValueError(f"{part!r} is no range of weekdays")
        days |= {number % 7 for number in range(first, last + 1, int(match[4] or 1))}
    return ",".join(_WEEKDAYS[number] for number in sorted(days))


def _weekday(text: str) -> int:
    """Return 0 … 6 for a number or a name."""
    if text.isdigit() and int(text) <= len(_WEEKDAYS):
        return int(text) % 7
    if text[:3] in _WEEKDAYS and text.isalpha():
        return _WEEKDAYS.index(text[:3])
    raise ValueError(f"{text!r} is no weekday")


def _plain(error: ValueError) -> str:
    """Return what the library says, as part of a sentence."""
    text = " ".join(str(error).split())
    return text[:1].lower() + text[1:].rstrip(".")
