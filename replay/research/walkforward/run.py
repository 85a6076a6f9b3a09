"""A walk-forward from its axes to its result."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError, DataError, InvariantError, did_you_mean
from papertape.engine.jit import FloatArray
from papertape.replay.backtesting.result import Result
from papertape.replay.backtesting.run import replay, run_backtest
from papertape.replay.backtesting.summary import Run
from papertape.replay.config import Config, StrategySettings
from papertape.replay.config.spec import make_spec
from papertape.replay.learning.settings import cadence_of
from papertape.replay.research.sweep.axes import PARAMETERS_PREFIX, SYMBOLS_PREFIX, files_in, parameter_in
from papertape.replay.research.sweep.executors import executor_of
from papertape.replay.research.sweep.ledger_writer import LedgerWriter
from papertape.replay.research.sweep.parts import performance_between, span
from papertape.replay.research.sweep.record import TrialFile
from papertape.replay.research.sweep.result import Summary, sign_of, write_table
from papertape.replay.research.sweep.run import folder_of, processes, run_trials, trial_file, untrusted_aside
from papertape.replay.research.sweep.space import Space
from papertape.replay.research.sweep.trial import TrialRow, TrialRunner
from papertape.replay.research.trials.identity import code_digest
from papertape.replay.research.trials.recording import on_record
from papertape.replay.research.walkforward.account import Metrics, account_configuration, by_window
from papertape.replay.research.walkforward.check import check_account, check_choice
from papertape.replay.research.walkforward.choice import RULES, SearchChoice, choose, rank
from papertape.replay.research.walkforward.page import write_walkforward
from papertape.replay.research.walkforward.result import WalkResult, WindowRow, write_windows
from papertape.replay.research.walkforward.search import Search
from papertape.replay.research.walkforward.windows import (
    AUTO,
    Plan,
    make_windows,
    refuse_overlap,
    refuse_spans,
    span_ms,
    whole_candles,
)
from papertape.replay.tapes.store import Tape

Progress = Callable[[str, int, int], None]
_SWITCHES: Final[tuple[str, ...]] = get_args(StrategySettings.model_fields["at_switch"].annotation)
_CHECKED: Final = 3  # windows that are looked at again


class Layout(NamedTuple):
    """
    How windows are laid out, as somebody says it.

    train, test  how long each choice looks, and how long it is in force
    purge        auto: the longest position of the strategy as it is configured, or the label of its models if that is longer
    embargo      beside it
    """

    train: str = "365d"
    test: str = "90d"
    purge: str = AUTO
    embargo: str = "0d"
    is_anchored: bool = False


class WalkOptions(NamedTuple):
    """
    How a walk-forward is run.

    choose     plateau or peak: which trial of a window the account goes on with
    at_switch  carry or close: what becomes of positions there
    dask       the address of a Dask scheduler, whose workers take the place of processes here
    shared     whether other shells that run the same into the same folder take a part of the trials
    """

    folder: Path | None = None
    by: str = "sharpe"
    choose: str = "plateau"
    at_switch: str = "carry"
    workers: int | None = None
    dask: str | None = None
    shared: bool = False


def run_walkforward(
    config: Config,
    tapes: Sequence[Tape],
    space: Space,
    layout: Layout,
    options: WalkOptions,
    on_progress: Progress | None = None,
) -> WalkResult:
    """
    Return what comes of choosing parameters window by window and going on with them; finished trials are not run again.

    An interrupt ends it, and what is finished is kept: `left` says how many trials are not.

    Raises ConfigError or DataError for what cannot be walked, InvariantError where something knew what came later.
    """
    _refuse(config, space, options)
    runner = TrialRunner(config, tapes)
    runner.refuse_held_out()
    plan, search, left_over_ms = _laid_out(runner, space, layout)
    header = _header(config, runner, search)
    folder = options.folder or folder_of("walkforward", header)
    workers = processes(options.workers)
    writer = LedgerWriter(runner, "walkforward")
    with trial_file(folder, header, search.size, options.shared) as file, untrusted_aside(folder):
        summary = Summary(options.by, 1)
        is_whole = True
        try:
            writer.add_all(file.rows())
            with executor_of(workers, options.dask, runner, search.call, space.axes) as executor:
                run_trials(search.run, search.changes, file, executor, writer, on_progress)
        except KeyboardInterrupt:
            is_whole = False
        with file.alone():
            write_table(folder, space.axes, summary.passing(file.rows()))
            result = WalkResult(folder, options.by, options.choose, plan, search.size, summary.counts)
            result.left_over_ms = left_over_ms
            result.shells = file.by_shell
            account = _go_on(result, runner, search, file, options) if is_whole else None
        result.standing = writer.standing()
    if account is not None:
        result.page = write_walkforward(result, space.axes, account)
    return result


def _refuse(config: Config, space: Space, options: WalkOptions) -> None:
    """Raise ConfigError for what no walk-forward can mean."""
    sign_of(options.by)
    if options.choose not in RULES:
        raise ConfigError(f"--choose {options.choose}: unknown{did_you_mean(options.choose, RULES)}")
    if options.at_switch not in _SWITCHES:
        raise ConfigError(
            f"--at-switch {options.at_switch}: unknown{did_you_mean(options.at_switch, _SWITCHES)}"
        )
    for axis in space.axes:
        if parameter_in(axis.key) is None:
            raise ConfigError(
                f"--grid {axis.key}: an account that goes on can switch parameters of its strategy alone; vary "
                f"{PARAMETERS_PREFIX}NAME or {SYMBOLS_PREFIX}SYMBOL.NAME"
            )
    if config.strategy.schedule or config.strategy.start is not None:
        raise ConfigError(
            "strategy.schedule, strategy.start: a walk-forward makes them itself; leave them out"
        )


def _laid_out(runner: TrialRunner, space: Space, layout: Layout) -> tuple[Plan, Search, int]:
    """Return the plan in ms, the search over its windows, and how long the candles last beyond them."""
    config = runner.config
    tapes = runner.tapes_of(config)
    spec = make_spec(config, tapes)
    length_ms, data = timeframe_ms(spec.timeframe), config.data
    cuts = [tape.between(data.start, data.end) for tape in tapes if tape.symbol in spec.traded]
    first_ms = min(int(cut.candles["open_ms"][0]) for cut in cuts)
    end_ms = max(int(cut.candles["open_ms"][-1]) + cut.length_ms for cut in cuts)
    train_ms, test_ms = span_ms(layout.train, "--train"), span_ms(layout.test, "--test")
    embargo_ms = span_ms(layout.embargo, "--embargo")
    plan = Plan(train_ms, test_ms, 0, embargo_ms, layout.is_anchored)
    refuse_spans(plan, length_ms)  # before the strategy is replayed over the first of them
    if layout.purge == AUTO:
        purge_ms = _longest_ms(runner, first_ms, min(first_ms + train_ms, end_ms), length_ms)
    else:
        purge_ms = span_ms(layout.purge, "--purge")
    plan = plan._replace(purge_ms=purge_ms)
    windows = make_windows(plan, first_ms, end_ms, length_ms)
    refuse_overlap(windows, plan.gap_ms)
    return plan, Search(runner, space, windows), end_ms - windows[-1].end_ms


def _longest_ms(runner: TrialRunner, first_ms: int, end_ms: int, length_ms: int) -> int:
    """Return the longest position of the strategy as it is configured in the first window, or its label, in whole candles."""
    config = runner.config
    pilot = runner.run(0, span(first_ms, end_ms))
    if pilot.outcome != "done":
        raise ConfigError(
            f"--purge auto: the strategy as it is configured cannot be replayed over the first window: {pilot.reason}"
        )
    held_s = pilot.metrics["maximum_trade_duration_s"] or 0.0
    spec = make_spec(config, runner.tapes_of(config))
    label_ms = config.learning.horizon_bars * length_ms if cadence_of(config, spec) else 0
    return max(whole_candles(held_s, length_ms), label_ms)


def _go_on(
    result: WalkResult, runner: TrialRunner, search: Search, file: TrialFile, options: WalkOptions
) -> Result:
    """Choose in every window, run the account, make sure that nothing of it knew what came later, and return its replay."""
    values = search.values(file.rows(), options.by)
    choices = [_choice(search, values, number, options.by) for number in range(len(values))]
    points = [getattr(choice, options.choose) for choice in choices]
    chosen = [search.space.changes(point) for point in points]
    config = account_configuration(runner.config, search.windows, chosen, options.at_switch)
    ready = runner.prepare(config)
    run = replay(ready.spec, ready.cuts, config.data.gaps, models=ready.models, events=ready.events)
    kept = {row.number: row for row in file.rows() if not search.place(row.number).is_test}
    trials = [kept[search.number(number, False, point)] for number, point in enumerate(points)]
    looked_at = sorted({(len(points) - 1) * k // (_CHECKED - 1) for k in range(_CHECKED)})
    for number in looked_at:
        check_choice(runner, search, values[number, 0], trials[number], options.choose)
        if number:
            check_account(runner, config, run, search.windows[number].test_ms)
    result.rows = _rows(search, values, choices, trials, by_window(config, run, search.windows), result)
    windows = search.windows
    result.metrics = performance_between(config, run, windows[0].test_ms, windows[-1].end_ms).metrics
    result.config, result.digest, result.checked = config, run.engine.digest, looked_at
    return _save(result, config, runner, run)


def _choice(search: Search, values: FloatArray, number: int, by: str) -> SearchChoice:
    found = choose(search.space, values[number, 0])
    if found is None:
        raise DataError(
            f"walkforward: in window {number} none of {search.space.size:,} trials has a value of {by}; widen --train, or "
            "choose by another metric"
        )
    return found


def _rows(
    search: Search,
    values: FloatArray,
    choices: Sequence[SearchChoice],
    trials: Sequence[TrialRow],
    account: Sequence[Metrics],
    result: WalkResult,
) -> list[WindowRow]:
    """Return a row for every window."""
    rows = []
    for window, choice, trial, metrics in zip(search.windows, choices, trials, account, strict=True):
        tested = values[window.number, 1]
        point = search.place(trial.number).point
        grew, grows = trial.metrics["cagr"], metrics.get("cagr")
        rows.append(
            WindowRow(
                window,
                point,
                search.space.changes(point),
                trial.metrics[result.by],
                metrics.get(result.by),
                metrics.get("total_return"),
                grows / grew if grows is not None and grew is not None and grew > 0.0 else None,
                int(np.isfinite(tested).sum()),
                rank(tested, point),
                rank(tested, choice.peak),
                rank(tested, choice.plateau),
            )
        )
    return rows


def _save(result: WalkResult, config: Config, runner: TrialRunner, run: Run) -> Result:
    """Write the windows, and the account as the result of an ordinary replay, which it has to be; return that."""
    ready = runner.prepare(config)
    whole = run_backtest(config, runner.tapes_of(config), None, ready.models, ready.learned)
    if whole.digest != run.engine.digest:
        raise InvariantError(
            f"walkforward: the account's digest is {run.engine.digest[:16]}, and that of its replay {whole.digest[:16]}"
        )
    result.warnings = whole.summary["warnings"]
    on_record(config, whole, "walkforward").save(result.folder / "account")
    write_windows(result.folder, result.rows)
    return whole


def _header(config: Config, runner: TrialRunner, search: Search) -> dict[str, Any]:
    """Return what makes the trials of this walk-forward others than any other's."""
    space, files = search.space, files_in(config, ())
    return {
        "kind": "walkforward",
        "configuration": config.model_dump(mode="json", exclude={"report", "live", "daemon"}),
        "axes": [axis.to_json() for axis in space.axes],
        "draws": space.draws,
        "seed": space.seed if space.draws is not None else None,
        "windows": [list(window) for window in search.windows],
        "tapes": [tape.sha256 for tape in runner.tapes_of(config)],
        "code": code_digest(config),
        **({"files": files} if files else {}),
    }
