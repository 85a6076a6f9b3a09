"""What a difference of an engine is called, why it is, and the rows in which it shows."""

from typing import NamedTuple


class Difference(NamedTuple):
    """A kind of difference; a row may show several."""

    name: str
    reason: str
    rows: tuple[str, ...]  # titles


def names_by_row(differences: tuple[Difference, ...]) -> dict[str, list[str]]:
    """Return what is named for each row that an engine answers otherwise."""
    names: dict[str, list[str]] = {}
    for difference in differences:
        for title in difference.rows:
            names.setdefault(title, []).append(difference.name)
    return names
