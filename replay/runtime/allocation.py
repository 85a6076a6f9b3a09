"""How the C library deals with large arrays: a long series is worked on in arrays of megabytes that live for moments."""

import contextlib
import ctypes
import sys
from typing import Final

import pyarrow as pa

_MMAP_THRESHOLD: Final = -3  # M_MMAP_THRESHOLD of malloc.h
_ARENA_MAX: Final = -8  # M_ARENA_MAX
_LARGE_BYTES: Final = 1 << 18


def return_large_arrays() -> bool:
    """
    Let arrays above 256 KB go back to the system when they are freed; return whether this platform can.

    By itself glibc raises that limit to 32 MB with the first large array that is freed, and keeps what lies below:
    replaying a million candles then holds 200 MB that nobody uses. Arrow keeps freed memory in a pool of its own and
    glibc in one for each thread; both are told not to, for another 60 MB.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_ARENA_MAX, 1)
        return bool(library.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES))
    except (OSError, AttributeError):  # a C library without it
        return False


def return_free_memory() -> None:
    """Give back what was freed between the small things that live: the reports of a run, once they are joined."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
