"""Numbers in the panels' units, as short as they can be read."""

import math

_STEPS = {
    "s": ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
}
_BEHIND = {"locale": "", "percentunit": " %", "reqps": " req/s", "ops": " ops/s"}
_SUFFIX = "suffix: "


def size_of(value: float, unit: str) -> float:
    """Return the size of what a value is told in: 60.0 for minutes, 1.0 where the unit has no multiples."""
    if unit == "percentunit":
        return 0.01
    sizes = [size for size, _ in _STEPS.get(unit, ((1.0, ""),))]
    return next((size for size in sizes if abs(value or 1.0) >= size), sizes[-1])


def told(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a value with its unit; without decimals as many as three digits need."""
    if not math.isfinite(value):
        return "no data"
    if unit == "bool_yes_no":
        return "Yes" if value else "No"
    if unit in _STEPS:
        size = size_of(value, unit)
        return f"{_plain(value / size, decimals)} {dict(_STEPS[unit])[size]}"
    behind = _BEHIND[unit] if unit in _BEHIND else f" {unit.removeprefix(_SUFFIX)}"
    if unit not in _BEHIND and not unit.startswith(_SUFFIX):
        raise ValueError(f"unit {unit!r} is not known here: add it to {__name__}")
    return _plain(value * 100.0 if unit == "percentunit" else value, decimals) + behind


def _plain(value: float, decimals: int | None) -> str:
    """Return a number with separators of thousands."""
    if decimals is None:
        digits = 0 if value == 0.0 else 2 - math.floor(math.log10(abs(value)))
        text = f"{value:,.{min(max(digits, 0), 6)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text
