"""
Trials that a sampler of optuna proposes, asked in batches and told in order.

What it proposes follows from its seed, the axes and what it was told, whoever ran the trials and whenever; so a search that is
gone on with is told again what is known, and proposes the same.
"""

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from papertape.engine.errors import ConfigError, DataError, did_you_mean
from papertape.replay.research.optimize.goals import MISSING
from papertape.replay.research.sweep.axes import Axis

SAMPLERS: Final = ("tpe", "cmaes", "nsga2")
AUTO: Final = "auto"
PACKAGES: Final = ("optuna>=5,<6", "cmaes>=0.13")  # of the extra `research`
_UNABLE: Final = "can be run and measured"


def sampler_of(asked: str, axes: Sequence[Axis], goals: int) -> str:
    """Return which sampler proposes; auto: TPE for one goal, NSGA-II for several. Raises ConfigError where it cannot."""
    if asked not in (AUTO, *SAMPLERS):
        raise ConfigError(f"--sampler {asked}: unknown{did_you_mean(asked, (AUTO, *SAMPLERS))}")
    if asked == AUTO:
        return "tpe" if goals == 1 else "nsga2"
    if asked == "cmaes":
        if goals > 1:
            raise ConfigError("--sampler cmaes: it knows one goal alone; take nsga2 for several")
        for axis in axes:
            if not axis.is_ordered:
                raise ConfigError(f"--sampler cmaes: the values of {axis.key} have no order; take tpe")
    return asked


class Proposals:
    """A search's sampler: what to try next, by what was tried."""

    def __init__(self, axes: Sequence[Axis], sampler: str, seed: int, batch: int, goals: int) -> None:
        """
        Begin without any knowledge.

        batch  trials that are asked for before any of them is told; of CMA-ES and NSGA-II the size of a generation

        Raises DataError where optuna is not installed.
        """
        self._axes = axes
        self._leaves_out = (
            sampler == "cmaes"
        )  # it knows no constraints: a trial that misses one is drawn anew
        optuna = _optuna()
        self._pruned = optuna.trial.TrialState.PRUNED
        ordered = [sorted(axis.values) if axis.is_ordered else axis.values for axis in axes]
        self._values = [list(values) for values in ordered]
        self._space = {
            axis.key: _distribution(optuna, axis, values)
            for axis, values in zip(axes, self._values, strict=True)
        }
        loud = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            self._study = optuna.create_study(
                directions=["maximize"] * goals, sampler=_sampler(optuna, sampler, seed, batch)
            )
        finally:
            optuna.logging.set_verbosity(loud)
        self._asked: list[Any] = []

    def ask(self) -> dict[str, Any]:
        """Return what the next trial changes, by key."""
        trial = self._study.ask(self._space)
        self._asked.append(trial)
        changes: dict[str, Any] = {}
        for axis, values in zip(self._axes, self._values, strict=True):
            said = trial.params[axis.key]
            changes[axis.key] = values[said] if values else said
        return changes

    def tell(
        self,
        number: int,
        values: Sequence[float | None],
        excesses: Mapping[str, float],
        given_up: Sequence[float] = (),
    ) -> None:
        """
        Say what came of a trial.

        values    of every goal, more is better; None where it has none
        excesses  by how much it misses what must hold
        given_up  what it was worth after each window up to the one in which it was given up, more is better
        """
        trial = self._asked[number]
        if given_up:
            # Whether it would have kept what must hold nobody knows; it stands behind all that were finished.
            for name in () if self._leaves_out else excesses:
                trial.set_constraint(name, 0.0)
            for step, value in enumerate(given_up):
                trial.report(value, step)
            self._study.tell(trial, state=self._pruned)
            return
        known = [value for value in values if value is not None]
        missed = dict(excesses)
        if len(known) < len(values):
            missed[_UNABLE] = MISSING
        is_missed = any(excess > 0.0 for excess in missed.values())
        if not self._leaves_out:
            for name, excess in missed.items():
                trial.set_constraint(name, excess)
        if len(known) < len(values) or (is_missed and self._leaves_out):
            self._study.tell(trial, state=self._pruned)
        else:
            self._study.tell(trial, known)


def _optuna() -> Any:
    """Return optuna, which only a search needs; raises DataError where it is not installed."""
    try:
        import_module("cmaes")
        return import_module("optuna")
    except ImportError as error:
        packages = " ".join(f'"{package}"' for package in PACKAGES)
        raise DataError(
            f"optimize searches with optuna, which is not installed ({error}): `pip install {packages}`; papertape sweep "
            "needs none of it"
        ) from error


def _distribution(optuna: Any, axis: Axis, values: Sequence[Any]) -> Any:
    """Return what an axis may be: of values the place among them, so that the sampler's rounding is never ours."""
    if axis.is_ordered and values:
        return optuna.distributions.IntDistribution(0, len(values) - 1)
    if values:
        return optuna.distributions.CategoricalDistribution(tuple(range(len(values))))
    if axis.is_whole:
        return optuna.distributions.IntDistribution(int(axis.low), int(axis.high))
    return optuna.distributions.FloatDistribution(axis.low, axis.high)


def _sampler(optuna: Any, name: str, seed: int, batch: int) -> Any:
    """Return a sampler that says nothing and forgets nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, popsize=batch, warn_independent_sampling=False)
        if name == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=batch)
        return optuna.samplers.TPESampler(seed=seed)
