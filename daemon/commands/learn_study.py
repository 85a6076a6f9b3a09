"""`papertape learn-study`: recipes for models compared on many tapes."""

import math
from collections.abc import Mapping
from glob import glob
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.options import AsJson, Changes, ConfigFile, Workers
from papertape.daemon.commands.output import console, progress_bars, say
from papertape.daemon.commands.searches import counts_of, finish, say_reasons, say_rest
from papertape.daemon.commands.terminal import plain_table
from papertape.engine.errors import ConfigError
from papertape.replay.backtesting.figures import written
from papertape.replay.config import load_config
from papertape.replay.research.learn_study.cells import POLICY
from papertape.replay.research.learn_study.result import StudyFound, flat, recipe_of
from papertape.replay.research.learn_study.run import LearnStudyOptions, plain_names, run_study, study_space
from papertape.replay.research.sweep.axes import parse_axis
from papertape.replay.research.sweep.space import LIMIT
from papertape.replay.runtime.allocation import return_large_arrays

_SAMPLE = "BTCUSDT"


def learn_study_command(
    config: ConfigFile = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="what makes a recipe, such as signals.model=logistic,lstm, learning.label=bracket,direction or "
            "learning.policy=recipe,newest; repeatable; default: every kind of model"
        ),
    ] = None,
    tape: Annotated[
        list[str] | None,
        typer.Option(
            help="a name in the store, a file or a pattern of files; repeat for more, each an account of its own"
        ),
    ] = None,
    changes: Changes = None,
    fit_windows: Annotated[
        bool,
        typer.Option(
            "--fit-windows",
            help="window, gate and cadence by the length of each tape: a third, a sixth and a fifteenth of a short one",
        ),
    ] = False,
    top: Annotated[int, typer.Option(min=1, max=100_000, help="how many are shown")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="folder; default: results/learn-study-… by what is compared")
    ] = None,
    workers: Workers = None,
    limit: Annotated[int, typer.Option(min=1, help="the most cells")] = LIMIT,
    as_json: AsJson = False,
) -> None:
    """
    Compare recipes for models on many tapes, on rows that no model had seen; the same command goes on where it was stopped.

    Every cell, a recipe on a tape under a policy, is its own replay, and a trial on record.

    Example: papertape learn-study --grid signals.model=logistic --set data.start=2023-07-01 --set signals.retrain_every=monthly
    """
    settings = load_config(config, changes or ())
    names = plain_names(_files(tape or settings.data.tapes or [_SAMPLE]))
    axes = [parse_axis(text, settings) for text in grid or ()]
    space = study_space(settings, axes, names, limit)
    return_large_arrays()
    with progress_bars() as on_progress:
        options = LearnStudyOptions(out, workers, fit_windows)
        found = run_study(settings, {}, space, options, on_progress)
    finish(found, as_json, lambda: _show(found, top))


def _files(tapes: list[str] | tuple[str, ...]) -> list[str]:
    """Return what was named, with the files of a pattern in its place; ConfigError for one that fits none."""
    found: list[str] = []
    for one in tapes:
        if not any(mark in one for mark in "*?["):
            found.append(one)
            continue
        files = sorted(glob(one))
        if not files:
            raise ConfigError(f"--tape {one}: no file has such a name")
        found += files
    return found


def _show(found: StudyFound, top: int) -> None:
    """Print the cells whose models were worth most, how many there were, and what speaks against them."""
    if found.rows:
        console.print(_table(found, top))
    say(f"{found.size:,} cells: {counts_of(found)}")
    say_reasons(found.reasons)
    say_rest(found, "cells")


def _table(found: StudyFound, top: int) -> Table:
    """Return the recipes on tapes whose models were worth most, and what each policy made of them."""
    accounts: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in found.rows:
        if row.outcome == "done":
            pair = recipe_of(row, found.axes), found.tape_of(row)
            accounts.setdefault(pair, {})[str(row.changes[POLICY])] = flat(row)
    policies = list(dict.fromkeys(name for one in accounts.values() for name in one))
    heads = ("models", "rows", "gain ‰", "in 90 %", "evidence", "without", *policies)
    table = plain_table(("recipe", "tape"), heads)
    ranked = sorted(accounts.items(), key=lambda one: _worth(next(iter(one[1].values()))))
    for (recipe, tape), one in ranked[:top]:
        values = next(iter(one.values()))
        told = [_returned(one[name]) if name in one else "–" for name in policies]
        table.add_row(escape(recipe), escape(tape), *_told(values), *told)
    return table


def _worth(values: Mapping[str, Any]) -> float:
    """Return what puts the greatest gain first, and what was not measured last."""
    return math.inf if values["gain"] is None else -float(values["gain"])


def _told(values: Mapping[str, Any]) -> list[str]:
    """Return what a cell's models were worth, and the account without them."""
    evidence, bare = values["evidence"], values["bare_return"]
    limits = [values[name] for name in ("gain", "gain_lower", "gain_upper")]
    gain, low, high = ("–" if value is None else f"{1_000.0 * value:+.1f}" for value in limits)
    return [
        f"{values['models']:,}",
        "–" if values["rows"] is None else f"{values['rows']:,}",
        gain,
        f"{low} … {high}",
        "–" if evidence is None else f"{evidence:.3g}{' passed' if values['passed'] else ''}",
        written(bare, "percent"),
    ]


def _returned(values: Mapping[str, Any]) -> str:
    """Return what an account earned, and how many models were let in."""
    return f"{values['promoted']}, {written(values['total_return'], 'percent')}"
