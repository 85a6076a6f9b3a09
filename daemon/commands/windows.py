"""`papertape windows`: 30, 60 and 90 days of training beside each other, with baselines and how sure they are."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from papertape.daemon.commands.output import console, print_json, progress_bars
from papertape.engine.errors import ConfigError
from papertape.replay.backtest import load_tapes, make_spec
from papertape.replay.config import load_config
from papertape.replay.learning.cadence import cadence
from papertape.replay.learning.replayed import rows_of
from papertape.replay.learning.settings import features_of, settings_of
from papertape.replay.learning.windows import CONTENDERS, WindowStudy, compare_windows
from papertape.replay.stamps import utc_text


def windows_command(
    config: Annotated[
        Path | None, typer.Argument(help="a TOML file; none: the defaults", show_default=False)
    ] = None,
    tape: Annotated[
        list[str] | None, typer.Option(help="a name in the store or a file, repeatable")
    ] = None,
    days: Annotated[
        list[float] | None, typer.Option(min=1.0, help="length of a window, repeatable; 30 60 90")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value, repeatable")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """
    Compare how many days of the past a model should learn from, walk-forward, on rows that no model has seen.

    Example: papertape windows --tape BTCUSDT --days 30 --days 60 --days 90
    """
    told = [f"data.tapes={list(tape)!r}"] if tape else []
    settings = load_config(config, [*(changes or ()), *told])
    every = cadence(settings.signals.retrain_every)
    if every is None or not settings.signals.use_ml:
        raise ConfigError(
            "windows: without a model or a cadence there is nothing to compare; set signals.retrain_every"
        )
    tapes = sorted(load_tapes(settings), key=lambda one: one.symbol)
    spec = make_spec(settings, tapes)
    spec = make_spec(settings, tapes, features_of(settings, spec.timeframe))
    learning = settings_of(settings, spec, [one.sha256 for one in tapes])
    with progress_bars() as on_progress:
        rows = rows_of(settings, spec, tapes, learning, on_progress)
        found = compare_windows(
            rows, learning, every, tuple(days or (30.0, 60.0, 90.0)), on_progress
        )
    if as_json:
        print_json([window.to_json() for window in found])
        return
    rows_judged = int(found[0].scores["challenger"]["rows"])
    console.print(
        f"\n{learning.kind} on {', '.join(spec.symbols)} {spec.timeframe} · retrained {every.text} · "
        f"{rows_judged:,} rows that no model had seen · {utc_text(int(rows.time_ms[0]))[:10]} … "
        f"{utc_text(int(rows.time_ms[-1]))[:10]}",
        markup=False,
        soft_wrap=True,
    )
    console.print(_table(found))
    console.print(f"  {_sentence(found)}", markup=False, soft_wrap=True)


def _table(found: list[WindowStudy]) -> Table:
    """Return one row per window and contender, with intervals of 90 %."""
    table = Table(box=None, pad_edge=False)
    for name in ("window", "", "accuracy", "in 90 %", "log-loss", "better by", "in 90 %", "AUC"):
        table.add_column(name, justify="left" if name in ("window", "") else "right")
    table.add_column("passed the gate", justify="right")
    for window in found:
        for name in CONTENDERS:
            scores, accuracy = window.scores[name], window.accuracy[name]
            better = window.better.get(name)
            is_first = name == CONTENDERS[0]
            table.add_row(
                f"{window.days:g} days" if is_first else "",
                "model" if is_first else name,
                f"{accuracy.value:.3f}",
                f"{accuracy.lower:.3f} … {accuracy.upper:.3f}",
                f"{scores['log_loss']:.4f}",
                "" if better is None else f"{better.value:+.4f}",
                "" if better is None else f"{better.lower:+.4f} … {better.upper:+.4f}",
                f"{scores['auc']:.3f}",
                f"{window.promoted} of {window.models}" if is_first else "",
            )
    return table


def _sentence(found: list[WindowStudy]) -> str:
    """Return what the table says, without more than it does."""
    lower = [w.days for w in found if all(found.lower > 0.0 for found in w.better.values())]
    right = [w.days for w in found if w.accuracy["challenger"].lower > 0.5]
    return (
        f"of {len(found)} windows tried: log-loss surely below both baselines with {_listed(lower)}, "
        f"accuracy surely above one half with {_listed(right)}"
    )


def _listed(days: list[float]) -> str:
    return ", ".join(f"{length:g}" for length in days) + " days" if days else "none"
