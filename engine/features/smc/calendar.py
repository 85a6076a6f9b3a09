"""
Civil time by arithmetic: days of the calendar, and the clock of New York with its daylight saving.

Days ↔ dates follow H. Hinnant, "chrono-compatible low-level date algorithms" (days_from_civil, civil_from_days), in the
proleptic Gregorian calendar. New York is five hours behind UTC, four while daylight saving lasts: since 2007 from the
second Sunday of March to the first Sunday of November (Energy Policy Act of 2005), from 1987 to 2006 from the first
Sunday of April and from 1967 to 1986 from its last, to the last Sunday of October; the years 1974 and 1975, when it
began in winter, are not followed. It begins at 2:00 standard time and ends at 2:00 daylight time.
"""

from papertape.engine.jit import kernel


@kernel
def days_of(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date."""
    shifted = year - 1 if month <= 2 else year
    era = shifted // 400
    year_of_era = shifted - era * 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


@kernel
def year_month(days: int) -> tuple[int, int]:
    """Return year and month of the day that is `days` after 1970-01-01."""
    shifted = days + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    place = (5 * day_of_year + 2) // 153
    month = place + 3 if place < 10 else place - 9
    year = year_of_era + era * 400
    return (year + 1 if month <= 2 else year), month


@kernel
def sunday_from(days: int) -> int:
    """Return the first Sunday at or after a day; 1970-01-04 was one."""
    return days + (3 - days) % 7


@kernel
def new_york_offset_ms(at_ms: int) -> int:
    """Return what to add to UTC for the clock of New York."""
    year, _ = year_month(at_ms // 86_400_000)
    if year >= 2007:
        first = sunday_from(days_of(year, 3, 1)) + 7
        last = sunday_from(days_of(year, 11, 1))
    else:
        first = sunday_from(days_of(year, 4, 1 if year >= 1987 else 24))
        last = sunday_from(days_of(year, 10, 25))
    begins_ms = first * 86_400_000 + 7 * 3_600_000
    ends_ms = last * 86_400_000 + 6 * 3_600_000
    is_saving = begins_ms <= at_ms < ends_ms
    return -4 * 3_600_000 if is_saving else -5 * 3_600_000
