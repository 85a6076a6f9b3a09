"""The experiments in order."""

from collections.abc import Callable, Iterator
from typing import Final

from papertape.replay.honesty.defects import planted
from papertape.replay.honesty.edge import edges
from papertape.replay.honesty.experiment import HonestyOptions, HonestyRow, Show
from papertape.replay.honesty.leaks import leaks
from papertape.replay.honesty.noise import noise
from papertape.replay.honesty.recipe import recipes
from papertape.replay.honesty.signals import signals

Part = Callable[[HonestyOptions, Show | None], Iterator[HonestyRow]]
PARTS: Final[tuple[Part, ...]] = (noise, edges, leaks, recipes, signals)


def honesty(
    options: HonestyOptions | None = None,
    show: Show | None = None,
    *,
    plant: str | None = None,
    parts: tuple[Part, ...] = PARTS,
) -> Iterator[HonestyRow]:
    """
    Yield a row per experiment as it ends; the pipeline is honest when every row is fine.

    show   told (what, done, of) on the way
    plant  name of a defect of `papertape.replay.honesty.defects` that is planted first, to see a row fail

    Networks are trained in this process, with torch: `run_honesty` does it in another.
    """
    with planted(plant):
        for part in parts:
            yield from part(options or HonestyOptions(), show)
