"""A part of the pipeline replaced where it is used, for a while: how leaks are tried and defects planted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def swapped(room: Any, name: str, part: Any) -> Iterator[None]:
    """Put a part in place of the attribute of a module, and the old one back at the end."""
    kept = getattr(room, name)
    setattr(room, name, part)
    try:
        yield
    finally:
        setattr(room, name, kept)
