"""Covering arrays: few of many combinations that still hold every choice of some settings together."""

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Final, TypeVar

T = TypeVar("T")
# a fault that needs more settings at once than this is left to the whole product
STRENGTH: Final = 3


def covering(items: Sequence[T], rows: Sequence[tuple[Hashable, ...]]) -> list[T]:
    """
    Return items that hold every choice of any three settings which some item holds, the same ones each time.

    Greedily, the item that adds the most choices next: Cohen et al. (1997), "The AETG System: An Approach to Testing
    Based on Combinatorial Design".

    items  what is chosen from
    rows   the settings of each item, as many for each
    """
    varied = [i for i, values in enumerate(zip(*rows, strict=True)) if len(set(values)) > 1]
    held = [{(at, tuple(row[i] for i in at)) for at in combinations(varied, STRENGTH)} for row in rows]
    open_choices = set[Hashable]().union(*held)
    chosen: list[int] = []
    while open_choices:
        best = max(range(len(items)), key=lambda number: len(held[number] & open_choices))
        chosen.append(best)
        open_choices -= held[best]
    return [items[number] for number in sorted(chosen)]
