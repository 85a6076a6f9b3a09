"""Who does the trials: processes of this machine, or a Dask cluster; what they answer is the same."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.trial import TrialCall, TrialRunner
from papertape.replay.research.sweep.workers import in_workers


class Hands(Protocol):
    """What does trials by number."""

    def answers(
        self, numbers: Iterator[int], work: Callable[[int], bytes], lost: Callable[[int, str], bytes]
    ) -> Generator[bytes, None, None]:
        """Yield the answer to every number, in the order in which it is done; lost: to one that ended whoever did it."""


class Processes(NamedTuple):
    """So many processes of this machine."""

    size: int

    def answers(
        self, numbers: Iterator[int], work: Callable[[int], bytes], lost: Callable[[int, str], bytes]
    ) -> Generator[bytes, None, None]:
        """Yield what `work` returns for every number."""
        return in_workers(numbers, work, self.size, lost)


@contextmanager
def hands_of(
    workers: int,
    dask: str | None,
    runner: TrialRunner,
    call: Callable[[int], TrialCall],
    axes: Sequence[Axis],
) -> Iterator[Hands]:
    """Hold who does the trials of a runner over these axes: `dask`, the address of a scheduler, or so many processes here."""
    if dask is None:
        yield Processes(workers)
        return
    # Dask takes a second to load, and only who has a cluster has installed it.
    from papertape.replay.research.cluster.cluster import Cluster

    with Cluster(dask, runner, call, axes) as cluster:
        yield cluster
