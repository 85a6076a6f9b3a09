"""Progress of long work: a bar in a notebook, a line on a terminal when asked, and silence everywhere else."""

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, TextIO, TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]

_EVERY_S: Final = 0.2  # of wall time between two drawings of one bar


@contextmanager
def watched(progress: bool | Progress | None) -> Iterator[Progress | None]:
    """
    Yield what to tell (what is done, how much, of how much), None when nobody listens.

    progress  a function of one's own; True: always shown; None: in a notebook; False: never
    """
    if callable(progress):
        yield progress
        return
    shell = _notebook()
    if progress is False or (progress is None and shell is None):
        yield None
        return
    bar = _Bar(_in_notebook() if shell is not None else _on_terminal(sys.stderr))
    try:
        yield bar
    finally:
        bar.clear()


def _notebook() -> Any:
    """Return the shell of the notebook that this runs in, None elsewhere; IPython is never imported for it."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell if shell is not None and hasattr(shell, "kernel") else None


class _Bar:
    """One bar that says what is under way; drawn when something new begins or ends, and else a few times a second."""

    def __init__(self, draw: Callable[[str, float | None], None]) -> None:
        self._draw = draw
        self._name = ""
        self._drawn_s = 0.0

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show how far something is."""
        now = time.monotonic()
        if name == self._name and done < total and now - self._drawn_s < _EVERY_S:
            return
        self._name, self._drawn_s = name, now
        self._draw(f"{name} {done:,} of {total:,}", done / total if total else 1.0)

    def clear(self) -> None:
        """Leave nothing behind."""
        if self._name:
            self._draw("", None)


def _in_notebook() -> Callable[[str, float | None], None]:
    """Return what draws into one output of the cell, replaced in place."""
    shell: Any = import_module("IPython.display")  # it is there: a notebook runs us; it has no types
    shown: list[Any] = []

    def draw(text: str, share: float | None) -> None:
        page = ""
        if share is not None:
            page = f'<progress value="{share:.4f}" max="1"></progress> {html.escape(text)}'
        if shown:
            shown[0].update(shell.HTML(page))
        elif share is not None:
            shown.append(shell.display(shell.HTML(page), display_id=True))

    return draw


def _on_terminal(stream: TextIO) -> Callable[[str, float | None], None]:
    """Return what draws one line over and over."""

    def draw(text: str, share: float | None) -> None:
        told = "" if share is None else f"{share:4.0%} {text}"
        stream.write(f"\r\x1b[K{told}")
        stream.flush()

    return draw
