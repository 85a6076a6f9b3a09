"""Coroutines from code that is not asynchronous, also where a loop is running already (a notebook)."""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

T = TypeVar("T")
_AGAIN_S: Final = 0.2


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """
    Raise an interrupt again, until it is heard: raised inside a destructor or a callback of a library, Python drops it.

    Only where Python's own handler would raise it, on the main thread.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        raise KeyboardInterrupt

    alarm = signal.signal(signal.SIGALRM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGALRM, alarm)


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """
    Run a coroutine to its end and return what it returns.

    An interrupt is raised where the program is. `asyncio.run` would only ask the task to end at its next `await`, and a
    strategy in Python is asked candle by candle without one.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner() as runner, interrupts_heard():
            return runner.get_loop().run_until_complete(work)
    found: list[T] = []
    errors: list[BaseException] = []

    def in_thread() -> None:
        try:
            found.append(asyncio.run(work))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return found[0]
