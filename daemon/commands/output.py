"""What commands share: consoles, JSON for machines, and progress on long work that is off when nobody watches."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from papertape.daemon.commands.terminal import Terminal, printable

_IMPORTED_S: Final = time.perf_counter()
_START_FIELD: Final = 19  # starttime, counted behind the command's name, as proc(5) has it

# Piped output is for files and other programs: lines are not cut at 80 characters there.
console = Terminal(highlight=False, width=None if sys.stdout.isatty() else 160)


def since_start_s() -> float:
    """Return how long this process has run: with the interpreter's own start where the system tells, else without."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[_START_FIELD])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):  # not Linux
        return time.perf_counter() - _IMPORTED_S


def say(text: object) -> None:
    """Print a line as it is: brackets are no markup, and only the terminal breaks it."""
    console.print(text, markup=False, soft_wrap=True)


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
            bars.update(tasks[name], completed=done, total=total)

        yield show
