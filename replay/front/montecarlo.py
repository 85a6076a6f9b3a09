"""`montecarlo`: what one result could have been."""

from pathlib import Path

from papertape.replay.backtesting.result import Result
from papertape.replay.research.montecarlo import (
    MonteCarlo,
    PathOptions,
    draw_paths,
    read_source,
    source_of,
)


def montecarlo(
    result: Result | str | Path,
    *,
    paths: int = 10_000,
    ruin: float = 0.5,
    skip: float = 0.1,
    costs: float = 2.0,
    seed: int = 1,
) -> MonteCarlo:
    """
    Draw the trades and days of a result again, and return how it could have gone.

    result  of `backtest`, or the folder of one
    paths   of each kind
    ruin    the loss of the starting capital that is called ruin, a fraction
    skip    share of trades that a path leaves out
    costs   the most times that fees, spread and slippage are paid once more
    seed    the same one draws the same paths

    Raises ConfigError or DataError, with one sentence each.

    >>> from papertape import backtest
    >>> cross = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, "use_ml": False}
    >>> found = montecarlo(backtest(start="2021-01-01", end="2021-06-30", **cross), paths=500)
    >>> [kind.name for kind in found.kinds], len(found.table)
    (['order of trades', 'skipped trades', 'worse costs', 'blocks of days'], 2000)
    """
    options = PathOptions(paths, ruin, skip, costs, seed)
    if isinstance(result, Result):
        return draw_paths(source_of(result.summary, result.trades, result.equity), options)
    return draw_paths(read_source(Path(result)), options)
