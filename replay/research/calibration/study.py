"""
How often every statistic claims an edge where there is none, and how often it finds one that was planted.

A history is made by the seed, the statistic, the shape and its own number alone, so whoever makes which changes nothing.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from papertape.engine.errors import ConfigError, DataError, did_you_mean
from papertape.replay.research.calibration.claims import CLAIMS, LEVEL, UNJUDGED
from papertape.replay.research.calibration.shapes import SHAPES
from papertape.replay.research.sweep.workers import in_workers

MARGIN: Final = 0.02  # over the level, for what is only nearly so in a finite history
ALL: Final = "all"
_EDGE: Final = 6.0  # standard errors: what the best of many and few windows still have to find
LEAST_POWER: Final = 0.5
# histories from which a rate counts as it is, and not only as far as it is sure
_MANY: Final = 1_000
_PIECE: Final = 50  # histories that a worker makes at a time
_SHOWN: Final = 1.96  # deviations: 95 %
_SURE: Final = 3.0  # of one cell of many, so that few histories break nothing by luck


class ClaimRate(NamedTuple):
    """
    One statistic on one shape, or on all of them.

    rate  share of noise histories in which it claims an edge; low, high: 95 % interval of it
    most  that it may be, where it is judged; power: share of histories with an edge in which it claims one
    """

    claim: str
    shape: str
    runs: int
    rate: float
    low: float
    high: float
    most: float
    power: float
    is_fine: bool
    is_judged: bool = True


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """Noise histories per statistic and shape, a quarter as many with an edge; which statistics and shapes; the seed of all."""

    runs: int = 1_000
    claims: tuple[str, ...] = tuple(CLAIMS)
    shapes: tuple[str, ...] = tuple(SHAPES)
    seed: int = 1
    workers: int = 1

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise ConfigError(f"calibrate: {self.runs} histories: at least 1")
        for name, known in ((self.claims, CLAIMS), (self.shapes, SHAPES)):
            for one in name:
                if one not in known:
                    raise ConfigError(f"calibrate: {one}: unknown{did_you_mean(one, known)}")


def calibrate(
    options: CalibrationOptions, on_progress: Callable[[str, int, int], None] | None = None
) -> list[ClaimRate]:
    """Return a row per statistic and shape, and after its shapes one of all of them."""
    pieces = list(_pieces(options))
    counts: dict[tuple[str, str, bool], int] = {}

    def lost(number: int, how: str) -> bytes:
        raise DataError(f"calibrate: {pieces[number][0]} on {pieces[number][1]}: its process {how}")

    answers = in_workers(
        iter(range(len(pieces))),
        lambda number: json.dumps([number, _claimed(options, pieces[number])]).encode(),
        options.workers,
        lost,
    )
    for done, answer in enumerate(answers):
        number, claimed = json.loads(answer)
        claim, shape, is_edge, _, _ = pieces[number]
        key = claim, shape, is_edge
        counts[key] = counts.get(key, 0) + claimed
        if on_progress is not None:
            on_progress("histories", done + 1, len(pieces))
    return list(_rows(options, counts))


Piece = tuple[str, str, bool, int, int]


def _pieces(options: CalibrationOptions) -> Iterator[Piece]:
    """Yield statistic, shape, whether there is an edge, first and last number."""
    for claim in options.claims:
        for shape in options.shapes:
            for is_edge in (False, True):
                runs = edge_runs(options.runs) if is_edge else options.runs
                for start in range(0, runs, _PIECE):
                    yield claim, shape, is_edge, start, min(start + _PIECE, runs)


def edge_runs(runs: int) -> int:
    """Return how many histories have an edge where so many have none."""
    return math.ceil(runs / 4)


def _claimed(options: CalibrationOptions, piece: Piece) -> int:
    """Return in how many histories of a piece an edge is claimed."""
    import numpy as np

    claim, shape, is_edge, start, end = piece
    place = list(CLAIMS).index(claim), list(SHAPES).index(shape), int(is_edge)
    return sum(
        CLAIMS[claim](np.random.default_rng((options.seed, *place, run)), shape, _EDGE if is_edge else 0.0)
        for run in range(start, end)
    )


def _rows(options: CalibrationOptions, counts: dict[tuple[str, str, bool], int]) -> Iterator[ClaimRate]:
    for claim in options.claims:
        n_edges = edge_runs(options.runs)
        noise = {shape: counts[claim, shape, False] for shape in options.shapes}
        edges = {shape: counts[claim, shape, True] for shape in options.shapes}
        for shape in options.shapes:
            power = edges[shape] / n_edges
            yield claim_rate(claim, shape, options.runs, noise[shape], power, claim != UNJUDGED)
        n, power = len(options.shapes), sum(edges.values()) / len(options.shapes) / n_edges
        claimed = sum(noise.values())
        yield claim_rate(claim, ALL, n * options.runs, claimed, power, claim != UNJUDGED)


def claim_rate(
    claim: str,
    shape: str,
    runs: int,
    claimed: int,
    power: float,
    is_judged: bool,
    least_power: float = LEAST_POWER,
) -> ClaimRate:
    """Return the row of so many claims; over all shapes together the level holds without a margin. What is not judged is fine."""
    rate = claimed / runs
    low, high = wilson(claimed, runs)
    most = LEVEL if shape == ALL else LEVEL + MARGIN
    surely = rate if runs >= _MANY and shape != ALL else wilson(claimed, runs, _SURE)[0]
    is_fine = surely <= most and (power >= least_power or runs < 4)
    return ClaimRate(claim, shape, runs, rate, low, high, most, power, is_fine or not is_judged, is_judged)


def wilson(found: int, runs: int, z: float = _SHOWN) -> tuple[float, float]:
    """Return the interval of a share, by itself of 95 %. Source: E. B. Wilson, Probable Inference (1927)."""
    share = found / runs
    middle = share + z**2 / (2 * runs)
    half = z * math.sqrt(share * (1.0 - share) / runs + z**2 / (4 * runs**2))
    whole = 1.0 + z**2 / runs
    return (middle - half) / whole, (middle + half) / whole
