"""How the C library deals with large arrays: a long series is worked on in arrays of megabytes that live for moments."""

import contextlib
import ctypes
import sys
from typing import Final

_MMAP_THRESHOLD: Final = -3  # M_MMAP_THRESHOLD of malloc.h
_LARGE_BYTES: Final = 1 << 20


def return_large_arrays() -> bool:
    """
    Let arrays above 1 MB go back to the system when they are freed; return whether this platform can.

    By itself glibc raises that limit to 32 MB with the first large array that is freed, and keeps what lies below:
    replaying a million candles then holds 200 MB that nobody uses.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BYTES))
    except (OSError, AttributeError):  # a C library without it
        return False


def return_free_memory() -> None:
    """Give back what was freed between the small things that live: the reports of a run, once they are joined."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
