"""`walkforward`: parameters chosen on what was known, window by window, in one account that goes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from papertape.replay.front.data import Data
from papertape.replay.front.progress import Progress, watched
from papertape.replay.front.sweep import searched
from papertape.replay.research.sweep.space import LIMIT, make_space
from papertape.replay.research.walkforward.result import WalkResult
from papertape.replay.research.walkforward.run import Layout, WalkOptions, run_walkforward


def walkforward(
    grid: Mapping[str, Any],
    data: Data = None,
    *,
    train: str = "365d",
    test: str = "90d",
    anchored: bool = False,
    purge: str = "auto",
    embargo: str = "0d",
    choose: str = "plateau",
    at_switch: str = "carry",
    by: str = "sharpe",
    draw: int | None = None,
    seed: int = 1,
    out: str | Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    shared: bool = False,
    limit: int = LIMIT,
    progress: bool | Progress | None = None,
    **arguments: Any,
) -> WalkResult:
    """
    Choose parameters in every window, go on with them in one account, and return what came of it.

    grid           parameters of the strategy, as of `sweep`; draw, seed: so many at random in place of all
    train, test    how long a choice looks back, and how long it is in force: 365d, 12w, 720h
    anchored       every choice looks back to the first candle
    purge          between what a choice sees and where it is tried: auto, the longest position of the strategy as it is
                   configured or the label of its models, or a span; embargo: beside it
    choose         plateau: the trial whose neighbourhood is best; peak: the best trial
    at_switch      carry: positions go on with their stop and target; close: they are closed at the next open
    by, out, workers, dask, shared, limit, arguments   as of `sweep`

    Ctrl-C ends it with what is done. Raises ConfigError or DataError, with one sentence each.

    >>> grid = {"strategy.parameters.fast": [5, 10], "strategy.parameters.slow": "20:40:10"}
    >>> cross = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, "use_ml": False}
    >>> found = walkforward(grid, train="60d", test="30d", start="2021-01-01", end="2021-06-30", **cross, workers=1)
    >>> len(found.rows), found.size, found.left, found.checked
    (3, 36, 0, [0, 1, 2])
    """
    config, tapes, axes = searched(walkforward, grid, data, arguments)
    space = make_space(axes, draw, seed, limit)
    layout = Layout(train, test, purge, embargo, anchored)
    options = WalkOptions(
        Path(out) if out is not None else None, by, choose, at_switch, workers, dask, shared
    )
    with watched(progress) as on_progress:
        return run_walkforward(config, tapes, space, layout, options, on_progress)
