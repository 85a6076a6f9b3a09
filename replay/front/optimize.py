"""`optimize`: parameters searched for, each batch proposed from what those before it have shown."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from papertape.replay.front.data import Data
from papertape.replay.front.progress import Progress, watched
from papertape.replay.front.sweep import searched
from papertape.replay.research.optimize.goals import make_bounds, make_goals
from papertape.replay.research.optimize.result import OptimizeResult
from papertape.replay.research.optimize.run import BATCH, TRIALS, OptimizeOptions, run_optimize
from papertape.replay.research.sweep.space import LIMIT

Objective = str | Callable[[Mapping[str, float | None]], float | None]


def optimize(
    grid: Mapping[str, Any],
    data: Data = None,
    *,
    trials: int = TRIALS,
    by: Objective | Sequence[Objective] = "sharpe",
    least: Mapping[str, float] | None = None,
    most: Mapping[str, float] | None = None,
    sampler: str = "auto",
    batch: int = BATCH,
    seed: int = 1,
    top: int = 10,
    out: str | Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    shared: bool = False,
    limit: int = LIMIT,
    windows: int = 0,
    prune: bool = True,
    progress: bool | Progress | None = None,
    **arguments: Any,
) -> OptimizeResult:
    """
    Search for the best parameters, and return what came of it.

    grid         by key of the configuration: what it may be, as of `sweep`; 0.1:0.9 is anything between
    trials       how many are tried; batch: how many are proposed before any of them is told
    by           a metric, a function of all metrics of which more is better, or several of either
    least, most  what must hold for a trial to count, by metric: least={"trials": 30, "max_drawdown": -0.2}
    windows      in so many stretches of the candles the metric is measured, and its mean is what counts; prune: a trial is given
                 up after one where it is behind half of those before it
    sampler      auto, tpe, cmaes or nsga2 of optuna; auto takes TPE for one goal and NSGA-II for several
    seed         of the proposals; out, workers, dask, shared, top, limit, arguments: as of `sweep`

    The same search finds the same for any number of workers, and goes on where it was stopped. Ctrl-C ends it with what is
    done. Raises ConfigError or DataError, with one sentence each.

    >>> grid = {"strategy.parameters.fast": "3:20", "strategy.parameters.slow": "21:80"}
    >>> cross = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, "use_ml": False}
    >>> found = optimize(grid, trials=8, batch=4, start="2021-01-01", end="2021-01-31", **cross, workers=1)
    >>> found.counts, found.sampler, found.checked
    ({'done': 8}, 'tpe', [0, 3, 7])
    """
    config, tapes, axes = searched(optimize, grid, data, arguments)
    bounds = make_bounds(least or {}, is_least=True) + make_bounds(most or {}, is_least=False)
    options = OptimizeOptions(
        make_goals(by), tuple(bounds), trials, batch, sampler, seed,
        Path(out) if out is not None else None, top, workers, limit, dask, shared, windows, prune,
    )  # fmt: skip
    with watched(progress) as on_progress:
        return run_optimize(config, tapes, axes, options, on_progress)
