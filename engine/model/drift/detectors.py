"""
Detectors of change in what predictions came to: river's ADWIN and Page–Hinkley over blocks of resolved predictions.

Both take their values for independent. Labels over a horizon overlap, so what is fed is one value per block of `horizon` closes:
the mean over every resolved prediction of every symbol in it. Three series are watched:

    performance   (p − y)², the Brier loss; only a rise is an alarm
    bias          y − p: whether rises come as often as they were announced
    sharpness     (y − p) · sign(p − 0.5): below 0 the model is surer than it may be, above 0 not sure enough

The last two make up calibration. ADWIN (A. Bifet and R. Gavaldà, 2007) compares every older with every newer part of its
window; the Page–Hinkley test (E. S. Page, Biometrika 41 (1954)) adds up what exceeds the mean so far, here in deviations of the
blocks before. river is imported when the first detector is made: it is slow to load, and a run without a model needs none.
"""

import importlib
import importlib.util
import math
import sys
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, Final, NamedTuple

from papertape.engine.model.drift.policy import DriftOptions

DETECTORS: Final = (
    "performance_adwin",
    "performance_page_hinkley",
    "calibration_adwin",
    "calibration_page_hinkley",
)


_FAR: Final = 4.0  # deviations from the middle to the end of ADWIN's range


class Block(NamedTuple):
    """Sums over the resolved predictions of some closes, and how many there were."""

    brier: float
    bias: float
    sharpness: float
    rises: float
    rows: int


@cache
def _river() -> tuple[Any, Any]:
    """
    Return river's ADWIN and Page–Hinkley.

    Their package loads every other detector as well, and with those scipy: 70 MB that a daemon would keep for nothing. So
    the two modules are loaded under a bare package, which is gone afterwards.
    """
    name = "river.drift"
    found = importlib.util.find_spec(name)
    assert found is not None
    bare = ModuleType(name)
    bare.__path__ = list(found.submodule_search_locations or ())
    before = sys.modules.get(name)
    sys.modules[name] = before or bare
    try:
        adwin, page_hinkley = (
            importlib.import_module(f"{name}.{module}") for module in ("adwin", "page_hinkley")
        )
    finally:
        if before is None:
            del sys.modules[name]
    return adwin.ADWIN, page_hinkley.PageHinkley


class _Watch:
    """One series, both detectors; `kind` names what an alarm counts for."""

    def __init__(self, kind: str, is_loss: bool, options: DriftOptions) -> None:
        adwin, page_hinkley = _river()
        self.kind = kind
        self._is_loss = is_loss
        self._least = options.least_blocks
        self._adwin = adwin(delta=options.adwin_delta, clock=1, grace_period=10)
        self._page_hinkley = page_hinkley(
            min_instances=10,
            delta=options.page_hinkley_delta,
            threshold=options.page_hinkley,
            mode="up" if is_loss else "both",
        )
        self._n = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, value: float) -> list[str]:
        """Take in one block's mean and return the detectors that raise an alarm."""
        if self._n < self._least:
            # Measured once: a slow change must not become its own measure.
            self._n += 1
            step = value - self._mean
            self._mean += step / self._n
            self._squares += step * (value - self._mean)
            return []
        deviation = math.sqrt(self._squares / (self._n - 1))
        if deviation == 0.0:
            return []
        z = (value - self._mean) / deviation
        alarms = []
        before = self._adwin.estimation
        # ADWIN's bound is made for values from 0 to 1.
        self._adwin.update(min(max(0.5 + z / (2.0 * _FAR), 0.0), 1.0))
        is_worse = not self._is_loss or self._adwin.estimation > before
        if self._adwin.drift_detected and is_worse:
            alarms.append(f"{self.kind}_adwin")
        self._page_hinkley.update(z)
        if self._page_hinkley.drift_detected:
            alarms.append(f"{self.kind}_page_hinkley")
        return alarms


class Detectors:
    """All series; a function of the blocks that were added, so that feeding them again makes the same detectors."""

    def __init__(self, options: DriftOptions, blocks: Sequence[Block] = ()) -> None:
        self._watches = (
            _Watch("performance", True, options),
            _Watch("calibration", False, options),
            _Watch("calibration", False, options),
        )
        for block in blocks:
            self.add(block)

    def add(self, block: Block) -> list[str]:
        """Take in a block and return the alarms, names of DETECTORS."""
        sums = (block.brier, block.bias, block.sharpness)
        alarms = [
            name
            for watch, total in zip(self._watches, sums, strict=True)
            for name in watch.add(total / block.rows)
        ]
        return list(dict.fromkeys(alarms))
