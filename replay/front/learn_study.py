"""`learn_study`: recipes for models compared on many tapes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from papertape.engine.errors import ConfigError
from papertape.replay.front.data import Data
from papertape.replay.front.progress import Progress, watched
from papertape.replay.front.sweep import searched
from papertape.replay.research.learn_study.result import StudyFound
from papertape.replay.research.learn_study.run import LearnStudyOptions, run_study, study_space
from papertape.replay.research.sweep.space import LIMIT
from papertape.replay.tapes.store import Tape

_SAMPLE = "BTCUSDT"


def learn_study(
    grid: Mapping[str, Any] | None = None,
    tapes: Sequence[Data] = (None,),
    *,
    fit_windows: bool = False,
    out: str | Path | None = None,
    workers: int | None = None,
    limit: int = LIMIT,
    progress: bool | Progress | None = None,
    **arguments: Any,
) -> StudyFound:
    """
    Compare recipes for models on many tapes, each on rows that none of its models had seen.

    grid         what makes a recipe, by key of the configuration: `signals.model`, `learning.label`, `learning.policy` or any
                 other; a list of values, or text as `--grid` takes it; default: every kind of model
    tapes        one account for each: whatever `backtest` takes as data; default: the sample
    fit_windows  window, gate and cadence by the length of each tape
    out          the folder of its cells; the same study goes on with those that it holds
    workers      processes; default: one per core. No number changes a result
    limit        the most cells that are begun without being asked again
    arguments    the same as of `backtest`

    Ctrl-C ends it with what is done. Raises ConfigError or DataError, with one sentence each.
    """
    held: dict[tuple[str, ...], list[Tape]] = {}
    for data in tapes or (None,):
        config, found, axes = searched(learn_study, grid or {}, data, arguments)
        names = config.data.tapes or (_SAMPLE,)
        if names in held:
            raise ConfigError(f"learn_study: {', '.join(names)} stands twice among the tapes")
        held[names] = found
    space = study_space(config, axes, list(held), limit)
    options = LearnStudyOptions(Path(out) if out is not None else None, workers, fit_windows)
    with watched(progress) as on_progress:
        return run_study(config, held, space, options, on_progress)
