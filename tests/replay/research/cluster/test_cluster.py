"""Trials on a real Dask cluster are those of processes here: rows, order of numbers, digests and ledger, whoever is killed."""

import importlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from papertape import hold_out, optimize, sweep, walkforward
from papertape.engine.errors import ConfigError, DataError
from papertape.replay.config import make_config
from papertape.replay.research.cluster import cluster as cluster_module
from papertape.replay.research.cluster.cluster import Cluster, refuse_what_stays
from papertape.replay.research.cluster.remote import declared_code, run_trial
from papertape.replay.research.sweep.axes import make_axis
from papertape.replay.research.sweep.result import TrialsFound
from papertape.replay.research.sweep.trial import TrialCall, TrialRow, TrialRunner
from papertape.replay.research.trials.identity import code_digest
from papertape.replay.research.trials.ledger import opened
from papertape.replay.tapes.synthetic import synthesize
from papertape.replay.tapes.tape import Tape, write_tape

QUIET: dict[str, Any] = {"use_ml": False, "report": {"sensitivity": False, "random_draws": 0}}
CROSS: dict[str, Any] = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, **QUIET}
GRID: dict[str, Any] = {"strategy.parameters.fast": [5, 10, 20], "strategy.parameters.slow": [15, 40]}
RANGES = {"strategy.parameters.fast": "2:10", "strategy.parameters.slow": "12:60"}
PLAIN = make_config({"strategy": {"name": "ema_cross"}, "signals": {"use_ml": False}})


def tape(rows: int = 600) -> Tape:
    return synthesize("regimes", rows, "1h", seed=5)


def plain(found: TrialsFound) -> pd.DataFrame:
    return found.table.drop(columns="wall_s")


def packed(path: Path) -> bytes:
    write_tape(tape(), path)
    return path.read_bytes()


def test_a_worker_answers_the_line_of_the_trial(tmp_path: Path) -> None:
    changes = {"strategy.parameters.fast": 5}
    job = json.dumps(
        {
            "config": PLAIN.model_dump_json(),
            "named": [],
            "code": code_digest(PLAIN),
            "tapes": [[[], [tape().sha256]]],
        }
    )

    line = run_trial(job, json.dumps(TrialCall(7, changes)), packed(tmp_path / "a.parquet"))

    own = TrialRunner(PLAIN, [tape()]).run(7, changes)
    assert TrialRow.of_line(line)._replace(wall_s=0.0) == own._replace(wall_s=0.0, tapes=list(own.tapes))
    assert own.outcome == "done"


def test_a_worker_with_other_code_or_a_damaged_tape_refuses(tmp_path: Path) -> None:
    file = packed(tmp_path / "a.parquet")
    job = {"config": PLAIN.model_dump_json(), "named": [], "code": "0" * 64, "tapes": [[[], [tape().sha256]]]}
    call = json.dumps(TrialCall(0, {}))

    with pytest.raises(DataError, match=r"the code of this worker is .* and not 000000000000"):
        run_trial(json.dumps(job), call, file)
    with pytest.raises(DataError, match=r"damaged|not a whole"):
        run_trial(
            json.dumps({**job, "code": code_digest(PLAIN), "config": "{}"}), call, file[: len(file) // 2]
        )
    assert declared_code(PLAIN.model_dump_json()) == code_digest(PLAIN)
    assert declared_code(json.dumps({"strategy": {"name": 5}})) == ""


def test_what_does_not_travel_is_refused_before_anything_is_begun() -> None:
    class Own:
        features = ()

        def decide(self, view: object) -> None:
            return None

    chosen = PLAIN.strategy.made_with("Own", Own)
    with pytest.raises(ConfigError, match="a class of this session does not travel"):
        refuse_what_stays(PLAIN.model_copy(update={"strategy": chosen}), ())
    funded = make_config({"data": {"funding": {"SYNTH": "funding.csv"}}})
    with pytest.raises(ConfigError, match=r"data\.funding: files beside the candles do not travel"):
        refuse_what_stays(funded, ())
    axis = make_axis("data.funding", [{"SYNTH": "a.csv"}, {"SYNTH": "b.csv"}], PLAIN)
    with pytest.raises(ConfigError, match=r"data\.funding: files beside the candles do not travel"):
        refuse_what_stays(PLAIN, [axis])


def test_code_that_an_axis_names_is_part_of_what_a_worker_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owned.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    config, names = PLAIN.model_dump_json(), ["ema_cross", "owned:Deadly"]
    before = declared_code(config, names)
    assert before != declared_code(config) == declared_code(config, ["ema_cross"])

    (tmp_path / "owned.py").write_text(DEADLY.replace("fast == 4", "fast == 99"))

    assert declared_code(config, names) != before
    (tmp_path / "owned.py").unlink()
    importlib.invalidate_caches()
    assert declared_code(config, names) not in (before, declared_code(config))


distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and two worker processes on this machine's loopback; a worker that ends is begun again."""
    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
    }
    with distributed.LocalCluster(**options) as made:
        yield made


def test_nobody_at_an_address_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_JOIN_S", 0.2)
    with pytest.raises(DataError, match=r"--dask tcp://127\.0\.0\.1:9: no scheduler answers there"):
        sweep(GRID, tape(), out=tmp_path / "a", dask="tcp://127.0.0.1:9", **CROSS)
    # A client that could not be made would complain of itself for twenty seconds more.
    monkeypatch.setattr(distributed, "Client", lambda *_, **__: pytest.fail("a client was made"))
    with pytest.raises(DataError, match="--dask nowhere: no scheduler answers there: missing port"):
        sweep(GRID, tape(), out=tmp_path / "a", dask="nowhere", **CROSS)


@pytest.mark.slow
def test_a_sweep_a_search_and_a_walk_find_the_same_on_a_cluster(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = cluster.scheduler_address
    for where, hands in (("here", {"workers": 2}), ("there", {"dask": at})):
        monkeypatch.setenv("PAPERTAPE_TRIALS", str(tmp_path / f"{where}.sqlite3"))
        swept = sweep(GRID, tape(), out=tmp_path / where / "sweep", **hands, **CROSS)
        searched = optimize(
            RANGES, tape(), trials=12, batch=4, out=tmp_path / where / "search", **hands, **CROSS
        )
        walked = walkforward(
            GRID, tape(), train="10d", test="5d", out=tmp_path / where / "walk", **hands, **CROSS
        )
        with opened() as ledger:
            assert ledger.faults() == []
            entries = sorted((e.kind, e.configuration, e.digest, e.returns) for e in ledger.on(tape().sha256))
        if where == "here":
            mine = plain(swept), plain(searched), walked.digest, entries
    pd.testing.assert_frame_equal(plain(swept), mine[0])
    pd.testing.assert_frame_equal(plain(searched), mine[1])
    assert (walked.digest, entries) == mine[2:]
    assert swept.counts == {"done": 5, "refused": 1}


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(cluster: Any, tmp_path: Path) -> None:
    grid = {**GRID, "strategy.parameters.slow": "30:120:3"}
    killed: list[int] = []

    def kill(what: str, done: int, of: int) -> None:
        if what == "trials" and done >= 20 and not killed:
            with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
                pids = client.run(os.getpid)
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

    found = sweep(grid, tape(), out=tmp_path / "a", dask=cluster.scheduler_address, progress=kill, **CROSS)

    alone = sweep(grid, tape(), out=tmp_path / "b", workers=1, **CROSS)
    assert killed
    assert found.counts == alone.counts == {"done": 93}
    pd.testing.assert_frame_equal(plain(found), plain(alone))


@pytest.mark.slow
def test_a_trial_that_ends_every_worker_is_one_that_failed(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        client.register_plugin(_Path(str(tmp_path)))
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)  # one death, where it is three by itself
    grid = {"strategy.parameters.fast": [2, 3, 4, 5]}

    found = sweep(
        grid, tape(), strategy="deadly:Deadly", out=tmp_path / "a", dask=cluster.scheduler_address, **QUIET
    )

    assert found.counts == {"done": 3, "failed": 1}
    assert "its workers ended" in found.reasons["failed"]
    assert list(found.table.query("outcome == 'failed'")["strategy.parameters.fast"]) == [4]


DEADLY = """
import os

from papertape import LONG, Decision, parameter


class Deadly:
    features = ("rsi_14",)
    fast: int = parameter(2, low=1, high=9)

    def decide(self, view):
        if self.fast == 4:
            os._exit(9)
        return None
"""


class _Path(distributed.WorkerPlugin):  # type: ignore[misc]
    """Lets every worker find modules in a folder, now and after it was begun again."""

    name = "path-of-a-test"

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def setup(self, worker: Any) -> None:
        import sys

        sys.path.insert(0, self.folder)


@pytest.mark.slow
def test_other_code_gets_no_trial_and_no_worker_is_said(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same module with another line on the workers' side: none has this machine's code, so nothing is begun there."""
    (tmp_path / "differs.py").write_text(DEADLY.replace("fast == 4", "fast == 99"))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "differs.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        client.register_plugin(_Path(str(tmp_path / "there")))

    with pytest.raises(DataError, match=r"none of [12] workers has the code of this machine"):
        sweep(
            {"strategy.parameters.fast": [2, 3]},
            tape(),
            strategy="differs:Deadly",
            out=tmp_path / "a",
            dask=cluster.scheduler_address,
            **QUIET,
        )
    with pytest.raises(DataError, match=r"none of [12] workers has the code of this machine"):
        sweep(
            {"strategy.name": ["ema_cross", "differs:Deadly"]},
            tape(),
            out=tmp_path / "b",
            dask=cluster.scheduler_address,
            **QUIET,
        )


@pytest.mark.slow
def test_what_is_held_out_is_refused_before_it_travels(cluster: Any, tmp_path: Path) -> None:
    hold_out("2020-01-20", tape())
    grid = {**GRID, "data.end": ["2020-01-15", "2020-01-22"]}

    found = sweep(grid, tape(), out=tmp_path / "a", dask=cluster.scheduler_address, **CROSS)

    assert found.counts == {"done": 5, "refused": 7}


def test_what_was_lost_before_it_was_fetched_is_waited_for() -> None:
    """A worker that ends with an answer that nobody has: Dask calls it lost, and begins it again."""
    asked = [SimpleNamespace(status=status) for status in ("finished", "lost", "pending", "error")]
    joined = Cluster.__new__(Cluster)
    joined._client = SimpleNamespace(as_current=nullcontext)
    joined._dask = SimpleNamespace(wait=lambda futures, **_: SimpleNamespace(done=list(futures)))

    assert [one.status for one in joined._done(asked)] == ["finished", "error"]
