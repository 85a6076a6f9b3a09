"""Where trials run: in processes of this machine or on a Dask cluster, with the same results."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.trial import TrialCall, TrialRunner
from papertape.replay.research.sweep.workers import in_workers


class TrialExecutor(Protocol):
    """Runs trials by number."""

    def answers(
        self, numbers: Iterator[int], work: Callable[[int], bytes], lost: Callable[[int, str], bytes]
    ) -> Generator[bytes, None, None]:
        """Yield the result of every number as it is finished; lost: makes that of one whose process ended."""


class Processes(NamedTuple):
    """A number of processes of this machine."""

    size: int

    def answers(
        self, numbers: Iterator[int], work: Callable[[int], bytes], lost: Callable[[int, str], bytes]
    ) -> Generator[bytes, None, None]:
        """Yield what `work` returns for every number."""
        return in_workers(numbers, work, self.size, lost)


@contextmanager
def executor_of(
    workers: int,
    dask: str | None,
    runner: TrialRunner,
    call: Callable[[int], TrialCall],
    axes: Sequence[Axis],
) -> Iterator[TrialExecutor]:
    """Return the executor of a runner's trials: the Dask cluster at the address `dask`, or so many processes here."""
    if dask is None:
        yield Processes(workers)
        return
    # Dask takes a second to import, and is installed only where there is a cluster.
    from papertape.replay.research.cluster.cluster import Cluster

    with Cluster(dask, runner, call, axes) as cluster:
        yield cluster
