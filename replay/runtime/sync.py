"""Coroutines from code that is not asynchronous, also where a loop is running already (a notebook)."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """
    Run a coroutine to its end and return what it returns.

    An interrupt is raised where the program is. `asyncio.run` would only ask the task to end at its next `await`, and a
    strategy in Python is asked candle by candle without one.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner() as runner:
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
