"""`sweep`: many configurations of one backtest, each as its own replay would be."""

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from papertape.replay.config import Config
from papertape.replay.front.backtest import SHARED_PARAMETERS, settled
from papertape.replay.front.data import Data
from papertape.replay.front.progress import Progress, watched
from papertape.replay.research.sweep.axes import Axis, make_axis
from papertape.replay.research.sweep.result import SweepResult
from papertape.replay.research.sweep.run import SweepOptions, run_sweep
from papertape.replay.research.sweep.space import LIMIT, make_space
from papertape.replay.tapes.store import Tape


def sweep(
    grid: Mapping[str, Any],
    data: Data = None,
    *,
    draw: int | None = None,
    seed: int = 1,
    by: str = "sharpe",
    top: int = 10,
    out: str | Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    shared: bool = False,
    limit: int = LIMIT,
    progress: bool | Progress | None = None,
    **arguments: Any,
) -> SweepResult:
    """
    Replay every configuration of a grid, or seeded draws from it, and return what came of them.

    grid       by key of the configuration, `strategy.parameters.fast` or `account.risk_fraction`: a list of values, or text
               as `--grid` takes it: 5:50:5, 1h,4h, or 0.1:0.9 to draw from
    draw, seed so many of them at random in place of all
    by, top    the metric that the best have most of, and how many of them are kept
    out        the folder of its trials; the same sweep goes on with those that it holds
    workers    processes; default: one per core. No number changes a result
    dask       the address of a Dask scheduler, whose workers take their place
    shared     other shells that run the same with the same `out` take a part of the trials
    limit      the most trials that are begun without being asked again
    arguments  the same as of `backtest`

    Ctrl-C ends it with what is done. Raises ConfigError or DataError, with one sentence each.

    >>> grid = {"strategy.parameters.fast": [5, 10], "strategy.parameters.slow": "20:40:20"}
    >>> cross = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, "use_ml": False}
    >>> found = sweep(grid, start="2021-01-01", end="2021-01-31", **cross, workers=1)
    >>> found.counts, len(found.table), found.checked
    ({'done': 4}, 4, [0, 1, 3])
    """
    config, tapes, axes = searched(sweep, grid, data, arguments)
    space = make_space(axes, draw, seed, limit)
    options = SweepOptions(Path(out) if out is not None else None, by, top, workers, dask, shared)
    with watched(progress) as on_progress:
        return run_sweep(config, tapes, space, options, on_progress)


def searched(
    call: Callable[..., Any], grid: Mapping[str, Any], data: Data, arguments: Mapping[str, Any]
) -> tuple[Config, list[Tape], list[Axis]]:
    """
    Return the configuration that a call's other arguments are, as of `backtest`, its tapes, and the axes of its grid.

    Raises ConfigError or DataError, with the name nearest to one that neither the call nor `backtest` has.
    """
    own = [name for name in signature(call).parameters if name != "arguments"]
    asked = {name: value for name, value in arguments.items() if name in SHARED_PARAMETERS}
    asked["sections"] = {n: value for n, value in arguments.items() if n not in SHARED_PARAMETERS}
    config, tapes = settled(call.__name__, [*own, *SHARED_PARAMETERS], {**asked, "data": data})
    return config, tapes, [make_axis(key, values, config) for key, values in grid.items()]
