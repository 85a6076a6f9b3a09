"""What commands share: consoles, JSON for machines, and progress on long work that is off when nobody watches."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from papertape.daemon.commands.terminal import Terminal, printable

# Piped output is for files and other programs: lines are not cut at 80 characters there.
console = Terminal(highlight=False, width=None if sys.stdout.isatty() else 160)


def print_json(values: Any) -> None:
    """Print values as one JSON document."""
    typer.echo(json.dumps(values, indent=1, allow_nan=False))


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function (what, done, in all) that draws one bar per name, on a terminal only."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    )
    tasks: dict[str, TaskID] = {}
    with bars:

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(escape(printable(name)), total=total)
            bars.update(tasks[name], completed=done)

        yield show
