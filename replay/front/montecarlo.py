"""`montecarlo`: what one result, or a configuration, could have been."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from papertape.replay.backtesting.result import Result
from papertape.replay.front.backtest import SHARED_PARAMETERS, settled
from papertape.replay.front.progress import Progress, watched
from papertape.replay.research.montecarlo.draws import (
    MonteCarlo,
    PathOptions,
    draw_paths,
    read_source,
    source_of,
)
from papertape.replay.research.montecarlo.engines import run_montecarlo
from papertape.replay.research.montecarlo.page import write_montecarlo
from papertape.replay.research.sweep.run import processes

_DEFAULTS = PathOptions()


def montecarlo(
    result: Result | str | Path | None = None,
    *,
    paths: int = _DEFAULTS.paths,
    ruin: float = _DEFAULTS.ruin,
    skip: float = _DEFAULTS.skip,
    costs: float = _DEFAULTS.costs,
    seed: int = _DEFAULTS.seed,
    markets: int = _DEFAULTS.markets,
    block: float = _DEFAULTS.block,
    noise: float = _DEFAULTS.noise,
    delay: int = _DEFAULTS.delay,
    training: str = _DEFAULTS.training,
    out: str | Path | None = None,
    workers: int | None = None,
    progress: bool | Progress | None = None,
    **arguments: Any,
) -> MonteCarlo:
    """
    Draw a result's trades and days again, or replay a configuration on markets drawn again, and return how it could have gone.

    result     of `backtest`, or the folder of one; none: what the other arguments make, as of `backtest`
    paths      of each kind that draws a result
    ruin       the loss of the starting capital that is called ruin, a fraction
    skip       share of trades that a path leaves out
    costs      the most times that fees, spread and slippage are paid once more
    seed       the same one draws the same paths
    markets    of each kind that replays a configuration; block: days of a block on average, 0: by their dependence
    noise      by which closes are moved, a share of the candle's range
    delay      the most base candles that fills come later
    training   none: no model takes part; run: those of the run itself take over on every path; anew: trained on every path
    out        folder that gets every path, what is drawn of them and the page; none: nothing is written
    workers    processes; default: one per core. No number changes a path

    Raises ConfigError or DataError, with one sentence each.

    >>> from papertape import backtest
    >>> cross = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, "use_ml": False}
    >>> found = montecarlo(backtest(start="2021-01-01", end="2021-06-30", **cross), paths=500)
    >>> [kind.name for kind in found.kinds], len(found.table)
    (['order of trades', 'skipped trades', 'worse costs', 'blocks of days'], 2000)
    >>> found = montecarlo(start="2021-01-01", end="2021-02-28", **cross, paths=10, markets=3, workers=1)
    >>> [(kind.name, len(kind.paths.total)) for kind in found.kinds[4:]]
    [('whole markets', 3), ('noise on candles', 3), ('delays', 5)]
    """
    options = PathOptions(paths, ruin, skip, costs, seed, markets, block, noise, delay, training)
    found = _drawn(result, options, workers, progress, arguments)
    if out is not None:
        write_montecarlo(Path(out), found)
    return found


def _drawn(
    result: Result | str | Path | None,
    options: PathOptions,
    workers: int | None,
    progress: bool | Progress | None,
    arguments: Mapping[str, Any],
) -> MonteCarlo:
    """Return what is drawn of a result, or of what the arguments of `backtest` make where there is none."""
    if isinstance(result, Result):
        return draw_paths(source_of(result.summary, result.trades, result.equity), options)
    if result is not None:
        return draw_paths(read_source(Path(result)), options)
    asked = {name: value for name, value in arguments.items() if name in SHARED_PARAMETERS}
    asked["sections"] = {n: value for n, value in arguments.items() if n not in SHARED_PARAMETERS}
    config, tapes = settled("montecarlo", SHARED_PARAMETERS, asked)
    with watched(progress) as on_progress:
        return run_montecarlo(config, tapes, options, processes(workers), on_progress)
