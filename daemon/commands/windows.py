"""`papertape windows`: 30, 60 and 90 days of training beside each other, with baselines and how sure they are."""

from typing import Annotated

import typer
from rich.table import Table

from papertape.daemon.commands.options import AsJson, Changes, ConfigFile
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.commands.terminal import plain_table
from papertape.replay.config import load_config
from papertape.replay.config.spec import load_tapes
from papertape.replay.front.research import WINDOW_DAYS, window_studies
from papertape.replay.research.training_windows import CONTENDERS, WindowStudy
from papertape.replay.tapes.timestamps import utc_text


def windows_command(
    config: ConfigFile = None,
    tape: Annotated[list[str] | None, typer.Option(help="a name in the store or a file, repeatable")] = None,
    days: Annotated[
        list[float] | None, typer.Option(min=1.0, help="length of a window, repeatable; 30 60 90")
    ] = None,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """
    Compare how many days of the past a model should learn from, walk-forward, on rows that no model has seen.

    Example: papertape windows --tape BTCUSDT --days 30 --days 60 --days 90
    """
    told = [f"data.tapes={list(tape)!r}"] if tape else []
    settings = load_config(config, [*(changes or ()), *told])
    tapes = load_tapes(settings)
    with progress_bars() as on_progress:
        learning, (first_ms, last_ms), found = window_studies(
            settings, tapes, tuple(days or WINDOW_DAYS), on_progress
        )
    if as_json:
        print_json([window.to_json() for window in found])
        return
    rows_judged = int(found[0].scores["challenger"]["rows"])
    say(
        f"\n{learning.kind} on {', '.join(learning.symbols)} {learning.timeframe} · retrained "
        f"{settings.signals.retrain_every} · {rows_judged:,} rows that no model had seen · "
        f"{utc_text(first_ms)[:10]} … {utc_text(last_ms)[:10]}"
    )
    console.print(_table(found))
    say(f"  {_sentence(found)}")


def _table(found: list[WindowStudy]) -> Table:
    """Return one row per window and contender, with intervals of 90 %."""
    heads = ("accuracy", "in 90 %", "log-loss", "better by", "in 90 %", "AUC", "passed the gate")
    table = plain_table(("window", ""), heads)
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
