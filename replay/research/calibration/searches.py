"""
Searches on noise markets, replayed by the engine and judged by a real ledger: how often it finds an edge where there is none.

Every search sweeps 25 configurations of `ema_cross` over a market of its own, whose hash nobody has tried anything on before; its
trials go into a ledger and its verdict is read from there, as `papertape trials show` reads it. Beside it stands what the best
trial claims with the ledger off, and what usual practice would. Without costs the test is fair; with real costs nearly everything
loses, and hardly anything is ever claimed.

A search is made by the seed and its own number alone. A finished one is a line in the folder, and is not made again.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.errors import ConfigError, DataError
from papertape.engine.performance.ratios import DAYS_PER_YEAR
from papertape.replay.config import Config, make_config
from papertape.replay.research.calibration.claims import LEVEL, UNJUDGED
from papertape.replay.research.calibration.markets import DRIFT, MARKETS, noise_market
from papertape.replay.research.calibration.study import ALL, LEAST_POWER, ClaimRate, claim_rate, edge_runs
from papertape.replay.research.sweep.axes import parse_axis
from papertape.replay.research.sweep.executors import Processes
from papertape.replay.research.sweep.ledger_writer import LedgerWriter
from papertape.replay.research.sweep.record import TrialFile
from papertape.replay.research.sweep.run import folder_of, run_trials
from papertape.replay.research.sweep.space import Space, make_space
from papertape.replay.research.sweep.trial import TrialRow, TrialRunner
from papertape.replay.research.trials.identity import code_digest
from papertape.replay.research.trials.ledger import ledger_at, opened
from papertape.replay.research.trials.matrix import verdict

SEARCHES: Final = 450
GRID: Final = ("strategy.parameters.fast=6,12,18,24,36", "strategy.parameters.slow=48,72,120,240,480")
VERDICT: Final = "ledger verdict"
DEFLATED: Final = "deflated Sharpe"
OFF: Final = "ledger off"
CLAIMED: Final = (VERDICT, DEFLATED, OFF, UNJUDGED)
_FREE: Final = {"taker_fee_rate": 0.0, "maker_fee_rate": 0.0, "half_spread_rate": 0.0, "slippage_rate": 0.0}
_COSTS: Final = ("without costs", "with costs")


class SearchStudyOptions(NamedTuple):
    """Searches on noise for each kind of costs, a quarter as many with an edge; the seed of all; where finished ones are kept."""

    searches: int = SEARCHES
    seed: int = 1
    workers: int = 1
    folder: Path | None = None


class OneSearch(NamedTuple):
    """One search: which market, whether there is something to find, whether trading costs, and its number among its likes."""

    market: str
    has_edge: bool
    has_costs: bool
    draw: int


def run_searches(
    options: SearchStudyOptions, on_progress: Callable[[str, int, int], None] | None = None
) -> list[ClaimRate]:
    """
    Return a row per claim, costs and kind of market, and after its kinds one of all of them.

    Raises ConfigError for too few searches, DataError where the folder is another study's or a search could not be made.
    """
    if options.searches < len(MARKETS):
        raise ConfigError(
            f"calibrate: {options.searches} searches: at least {len(MARKETS)}, one on each kind of market"
        )
    jobs = list(_jobs(options.searches))
    header = {
        "kind": "searches",
        "searches": options.searches,
        "seed": options.seed,
        "grid": list(GRID),
        "code": code_digest(make_config({})),
    }
    folder = options.folder or folder_of("calibrate", header)
    with TrialFile(folder, header, len(jobs)) as file:
        run_trials(
            lambda number: _searched(options, folder, number, jobs[number]),
            lambda number: jobs[number]._asdict(),
            file,
            Processes(options.workers),
            _Unheard(),
            on_progress,
        )
        rows = list(file.rows())
    for row in rows:
        if row.outcome != "done":
            raise DataError(f"calibrate: search {row.number} {dict(row.changes)}: {row.reason}")
    return list(_rates(rows))


class _Unheard:
    """Told of finished searches, which are no trials of anybody's."""

    def add(self, row: TrialRow) -> None:
        """Take in one search."""

    def close(self) -> None:
        """Know that none comes for now."""


def _jobs(searches: int) -> Iterator[OneSearch]:
    """Yield every search: kinds of markets by turns, so that all of them are done at about the same time."""
    kinds = list(MARKETS)
    for has_edge in (False, True):
        for k in range(edge_runs(searches) if has_edge else searches):
            for has_costs in (False, True):
                yield OneSearch(kinds[k % len(kinds)], has_edge, has_costs, k)


def _searched(options: SearchStudyOptions, folder: Path, number: int, job: OneSearch) -> TrialRow:
    """Return what comes of one search; with costs it is over the same market as without."""
    place = list(MARKETS).index(job.market), int(job.has_edge), job.draw
    random = np.random.default_rng((options.seed, *place))
    tape = noise_market(job.market, random, DRIFT if job.has_edge else 0.0)
    config = _configuration(job.has_costs)
    space = search_space(config)
    runner = TrialRunner(config, [tape])
    # Costs make no other tape, so their trials would count together in one ledger.
    with ledger_at(folder / f"{_COSTS[job.has_costs].replace(' ', '-')}.sqlite3"):
        writer = LedgerWriter(runner)
        rows = [runner.run(trial, space.changes(trial)) for trial in range(space.size)]
        writer.add_all(rows)
        writer.close()
        best = max(rows, key=lambda row: row.metrics.get("sharpe") or -math.inf)
        metrics = _claims(best, tape.sha256, writer, space.size)
    digest = hashlib.sha256("".join(row.digest for row in rows).encode()).hexdigest()
    return TrialRow(number, job._asdict(), "done", digest=digest, metrics=metrics, tapes=[tape.sha256])


def _claims(best: TrialRow, tape: str, writer: LedgerWriter, size: int) -> dict[str, float]:
    """Return 1 for everything that claims an edge of a search, 0 for what does not; DataError where the ledger lacks a trial."""
    with opened() as ledger:
        entries = list(ledger.on(tape))
    if len(entries) != size:
        raise DataError(f"calibrate: {len(entries)} of {size} trials are on record")
    sharpe, days = best.metrics.get("sharpe"), best.metrics["days"] or 0.0
    daily = (sharpe or 0.0) / math.sqrt(DAYS_PER_YEAR)
    usual = NormalDist().cdf(daily * math.sqrt(max(days - 1.0, 0.0)))
    found = {
        VERDICT: verdict(entry.returns for entry in entries).is_claim,
        DEFLATED: (writer.standing().deflated(best.metrics) or 0.0) >= 1.0 - LEVEL,
        OFF: (best.metrics.get("psr") or 0.0) >= 1.0 - LEVEL,
        UNJUDGED: usual >= 1.0 - LEVEL,
    }
    return {name: float(is_claim) for name, is_claim in found.items()}


def _configuration(has_costs: bool) -> Config:
    values: dict[str, Any] = {
        "strategy": {"name": "ema_cross"},
        "account": {"sizing": "all_in"},
        "signals": {"use_ml": False, "use_smc": False},
    }
    return make_config(values if has_costs else {**values, "market": _FREE}, "calibrate")


def search_space(config: Config) -> Space:
    """Return what every search tries."""
    return make_space([parse_axis(text, config) for text in GRID])


def _rates(rows: list[TrialRow]) -> Iterator[ClaimRate]:
    # What is left of an edge after costs is smaller than what was planted, so nothing is asked of its power there.
    for has_costs, (told, least) in enumerate(zip(_COSTS, (LEAST_POWER, 0.0), strict=True)):
        for claim in CLAIMED:
            is_judged = claim in (VERDICT, DEFLATED)
            for kind in (*MARKETS, ALL):
                noise, edges = (
                    [row.metrics[claim] for row in rows if _is(row.changes, kind, has_edge, bool(has_costs))]
                    for has_edge in (False, True)
                )
                power = sum(map(bool, edges)) / max(len(edges), 1)
                yield claim_rate(
                    f"{claim}, {told}", kind, len(noise), sum(map(bool, noise)), power, is_judged, least
                )


def _is(changes: Mapping[str, Any], kind: str, has_edge: bool, has_costs: bool) -> bool:
    is_kind = kind in (ALL, changes["market"])
    return is_kind and changes["has_edge"] == has_edge and changes["has_costs"] == has_costs
