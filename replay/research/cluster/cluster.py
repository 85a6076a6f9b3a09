"""
Trials on a Dask cluster: the same work as in processes of this machine, in workers that may be anywhere.

What travels to a worker is the configuration, the digest of the code, each tape once, by its hash, and of a trial what it changes;
what comes back is its line. A worker says which code it has by a resource of that name, which it gets when it joins, and a trial
goes only where the code is that of this machine. Where a worker ends, its trial goes to another one; a trial that ends as many
as the scheduler allows (three, by itself) has failed.
"""

import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

from papertape.engine.errors import ConfigError, DataError
from papertape.replay.config import Config
from papertape.replay.research.cluster.remote import kept, run_trial
from papertape.replay.research.sweep.axes import FILE_KEYS, Axis, code_in
from papertape.replay.research.sweep.trial import TrialCall, TrialRunner
from papertape.replay.research.trials.identity import code_digest
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.tape import write_tape

PACKAGE: Final = "distributed>=2026.8,<2027"  # of the extra `cluster`
_JOIN_S: Final = 10.0
# for a worker with this machine's code, at the start and whenever none is left
_WAIT_S: Final = 60.0
_LOOK_S: Final = 2.0
_AHEAD: Final = 2  # trials that a worker is given beforehand


class Cluster:
    """A scheduler and its workers, for the trials of one search."""

    def __init__(
        self, address: str, runner: TrialRunner, call: Callable[[int], TrialCall], axes: Sequence[Axis]
    ) -> None:
        """
        Join a cluster.

        Raises ConfigError for what does not travel, DataError where Dask is not installed, nobody answers, or no worker has the
        code of this machine.
        """
        refuse_what_stays(runner.config, axes)
        self._dask = _distributed()
        self._address, self._runner, self._call = address, runner, call
        self._named = code_in(axes)
        self._code = code_digest(runner.config, self._named)
        self._resource = f"papertape-{self._code[:16]}"
        try:
            # A client that cannot be made complains of itself for twenty seconds more.
            scheme, place = self._dask.comm.parse_address(address)
            if scheme in ("tcp", "tls"):
                self._dask.comm.parse_host_port(place)
            self._client = self._dask.Client(address, timeout=_JOIN_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise DataError(f"--dask {address}: no scheduler answers there: {error}") from error
        try:
            config = runner.config.model_dump_json()
            here = config, self._named, self._code
            self._client.register_plugin(_plugin(self._dask, *here, self._resource))
            self._wait_for_workers()
            self._job = json.dumps(
                {"config": config, "named": self._named, "code": self._code, "tapes": runner.hashes}
            )
            self._tapes = [self._sent(tape) for tape in runner.tapes]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the cluster; what it has begun is taken back."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answers(
        self, numbers: Iterator[int], work: Callable[[int], bytes], lost: Callable[[int, str], bytes]
    ) -> Generator[bytes, None, None]:
        """Yield the line of every trial, in the order in which they are done; `work` is done there, and not by this process."""
        given: dict[Any, int] = {}
        seen_s = time.monotonic()
        try:
            while True:
                while len(given) < _AHEAD * max(self._able(), 1):
                    number = next(numbers, None)
                    if number is None:
                        break
                    call = self._call(number)
                    refused = self._runner.refused(call)
                    if refused is not None:
                        yield refused.line()
                        continue
                    given[self._begun(call)] = number
                if not given:
                    return
                seen_s = self._still(seen_s)
                for future in self._done(list(given)):
                    yield self._answer(future, given.pop(future), lost)
        finally:
            self._client.cancel(list(given))

    def _begun(self, call: TrialCall) -> Any:
        """Hand one trial over; where its workers end it is no other's fault, and it is not kept once it was answered."""
        text = json.dumps(call)
        return self._client.submit(
            run_trial, self._job, text, *self._tapes, pure=False, resources={self._resource: 1}
        )

    def _done(self, futures: list[Any]) -> list[Any]:
        """Return the futures that have ended, none after some seconds."""
        try:
            with self._client.as_current():
                ended = self._dask.wait(futures, timeout=_LOOK_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return []
        # One that was done, and whose worker ended before it was fetched, is begun again by the scheduler.
        return [one for one in futures if one in ended and one.status not in ("lost", "pending")]

    def _answer(self, future: Any, number: int, lost: Callable[[int, str], bytes]) -> bytes:
        """Return what came of a trial; DataError where a worker could not do it."""
        error = future.exception() if future.status == "error" else None
        if isinstance(error, self._dask.scheduler.KilledWorker):
            return lost(number, "its workers ended, one after the other")
        if error is not None:
            raise DataError(f"--dask {self._address}: trial {number}: {error}") from error
        if future.status == "cancelled":
            raise DataError(
                f"--dask {self._address}: trial {number} was taken back by another; what was done is kept"
            )
        return bytes(future.result())

    def _able(self) -> int:
        """Return how many workers have the code of this machine."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return sum(self._resource in worker["resources"] for worker in workers)

    def _still(self, seen_s: float) -> float:
        """Return when a worker was last there; DataError where there is none for a minute."""
        now_s = time.monotonic()
        if self._able():
            return now_s
        if now_s - seen_s > _WAIT_S:
            raise DataError(
                f"--dask {self._address}: no worker is left; what was done is kept, and the same command goes on with it"
            )
        return seen_s

    def _wait_for_workers(self) -> None:
        """Wait until a worker has the code of this machine; DataError where none gets it."""
        limit_s = time.monotonic() + _WAIT_S
        while not self._able():
            others = len(self._client.scheduler_info(n_workers=-1)["workers"])
            if others or time.monotonic() > limit_s:
                raise DataError(
                    f"--dask {self._address}: none of {others} workers has the code of this machine (digest {self._code[:12]}); "
                    "install the same papertape there, and the strategy's module beside it"
                )
            time.sleep(_LOOK_S / 4)

    def _sent(self, tape: Tape) -> Any:
        """Return a tape as every worker fetches it once; where the one that has it ends, the scheduler sends it anew."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "tape.parquet"
            write_tape(tape, path)
            return self._client.submit(kept, path.read_bytes(), key=f"papertape-tape-{tape.sha256}")


def refuse_what_stays(config: Config, axes: Sequence[Axis]) -> None:
    """Raise ConfigError for what a configuration or an axis names and a worker elsewhere would not have, or have otherwise."""
    if config.strategy.made_by is not None:
        raise ConfigError(
            "--dask: a class of this session does not travel; put it into a module, and name it module:Class"
        )
    varied = [axis.key for axis in axes]
    named = [key for key in FILE_KEYS if key in varied or getattr(config.data, key.removeprefix("data."))]
    if named:
        raise ConfigError(
            f"--dask: {named[0]}: files beside the candles do not travel; leave it out, or run it here"
        )


def _plugin(dask: Any, config: str, named: list[str], code: str, resource: str) -> Any:
    """Return what every worker does when it joins: say whether it has the code, as a resource for one trial at a time."""

    class SaysItsCode(dask.WorkerPlugin):  # type: ignore[misc]  # its module is only loaded where it is installed
        name = resource

        async def setup(self, worker: Any) -> None:
            try:
                from papertape.replay.research.cluster.remote import declared_code
            except ImportError:  # nobody has installed it there
                return
            if declared_code(config, named) == code:
                await worker.set_resources(**{resource: 1})

    return SaysItsCode()


def _distributed() -> Any:
    """Return Dask's part for clusters; raises DataError where it is not installed."""
    try:
        return import_module("distributed")
    except ImportError as error:
        raise DataError(f'--dask needs Dask: pip install "{PACKAGE}", or the extra cluster') from error
