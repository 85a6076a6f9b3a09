"""
Defects that can be planted in the pipeline, each of which must make the honesty study fail. For tests and for doubters.

They replace a part of the pipeline where it is used, in this process, for as long as the study runs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import numpy as np

from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.model.gate.bets import Blocks, Unseen
from papertape.engine.model.gate.recipe import RecipeOptions, RecipeState, judge
from papertape.engine.model.scores import NEITHER
from papertape.engine.model.training.labels import Labels
from papertape.replay.honesty import leaks
from papertape.replay.honesty.patched import swapped
from papertape.replay.honesty.signals import Early


def _gate(judge: Callable[..., Any]) -> Callable[..., Any]:
    """Promote whatever comes."""
    return lambda *given: judge(*given)._replace(is_promoted=True, reason="promoted: always")


def _scaling(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Standardise by every row there is, later parts included."""
    return lambda ready: fit(ready._replace(train=ready.is_whole))


def _purge(_: Callable[..., Any]) -> Callable[..., Any]:
    """Split without purge and embargo."""
    return leaks.without_purge


def _look_ahead(make: Callable[..., Any]) -> Callable[..., Any]:
    """Compute one input with later candles."""
    return lambda candles: leaks.look_ahead(make(candles))


def _shuffle(_: Callable[..., Any]) -> Callable[..., Any]:
    """Leave the labels where they are."""
    return lambda rows, seed: rows


def _labels(make: Callable[..., Labels]) -> Callable[..., Labels]:
    """Learn from outcomes that are turned round."""

    def turned(*given: Any) -> Labels:
        found = make(*given)
        return found._replace(y=np.where(np.isnan(found.y), np.nan, 1.0 - found.y))

    return turned


def _horizon(make: Callable[..., Labels]) -> Callable[..., Labels]:
    """Take every label for known at the candle of its entry, however long its horizon lasts."""

    def early(*given: Any) -> Labels:
        found = make(*given)
        rows = np.arange(len(found.known))
        return found._replace(known=np.where(np.isnan(found.y), found.known, rows + 1))

    return early


def _neither(make: Callable[..., Labels]) -> Callable[..., Labels]:
    """Take moves that do not pay for falls."""

    def fallen(*given: Any) -> Labels:
        found = make(*given)
        return found._replace(y=np.where(found.y == NEITHER, 0.0, found.y))

    return fallen


def _twice(make: Callable[..., Blocks]) -> Callable[..., Blocks]:
    """Count every row twice."""

    def doubled(*given: Any) -> Blocks:
        found = make(*given)
        return Blocks(
            np.repeat(found.known_bar, 2), np.repeat(found.rows, 2), np.repeat(found.factors, 2, axis=0)
        )

    return doubled


def _overlap(make: Callable[..., Blocks]) -> Callable[..., Blocks]:
    """Take labels that overlap for labels that do not."""
    return lambda unseen, options: make(unseen._replace(horizon_bars=1), options)


def _early(_: Callable[..., Any]) -> Callable[..., Any]:
    """Tell each signal of the strategy one close before it is known."""
    return Early


def _peek(make: Callable[..., Unseen]) -> Callable[..., Unseen]:
    """Look at the evidence before the retrain: of a model and its opposite keep the one for which it will speak."""

    def chosen(*given: Any) -> Unseen:
        found = make(*given)
        other = found._replace(p=1.0 - found.p)
        worth = [judge(RecipeState(), rows, RecipeOptions())[0].capital for rows in (found, other)]
        return found if worth[0] >= worth[1] else other

    return chosen


# What is planted, where, and in place of what.
PLANTS: Final[dict[str, tuple[str, str, Callable[..., Any]]]] = {
    "gate": ("papertape.replay.learning.challenge", "gate", _gate),
    "scaling": ("papertape.engine.model.training.train", "scaling", _scaling),
    "purge": ("papertape.engine.model.training.prepare", "purged_parts", _purge),
    "look-ahead": ("papertape.replay.honesty.pipeline", "rows_of", _look_ahead),
    "shuffle": ("papertape.replay.honesty.edge", "shuffled", _shuffle),
    "twice": ("papertape.engine.model.gate.recipe", "bet", _twice),
    "overlap": ("papertape.engine.model.gate.recipe", "bet", _overlap),
    "peek": ("papertape.replay.research.recipe_study", "judged", _peek),
    "early": ("papertape.replay.learning.dataset", "OwnSignals", _early),
    "neither": ("papertape.engine.model.training.prepare", "labels_of", _neither),
    "horizon": ("papertape.engine.model.training.prepare", "labels_of", _horizon),
    "labels": ("papertape.engine.model.training.prepare", "labels_of", _labels),
}


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Plant a defect for as long as it is entered; None plants nothing. Raises ConfigError for an unknown one."""
    if name is None:
        yield
        return
    if name not in PLANTS:
        raise ConfigError(f"honesty: unknown plant {name!r}{did_you_mean(name, PLANTS)}")
    module, part, change = PLANTS[name]
    room = import_module(module)
    with swapped(room, part, change(getattr(room, part))):
        yield
