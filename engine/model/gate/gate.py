"""
The gate: whether a challenger may take over, by rows that no contender has seen, after costs, with its doubts stated.

A challenger passes when all of these hold:

    log-loss     below the majority's, the logistic baseline's and the champion's: each difference has a one-sided lower
                 bound above 0
    net return   of the plain rule after costs: the mean per trade has a lower bound above 0, and what it earned per row is
                 not below the champion's

Each test has level alpha, and so has the whole: the hypothesis "it is not better in at least one respect" is a union, and a
test that rejects it only when every part is rejected errs with at most the level of a part (R. L. Berger, Multiparameter
Hypothesis Testing and Acceptance Sampling, Technometrics 24 (1982), the intersection–union test). No correction for many
tests is needed, and adding a test only makes the gate stricter.

The plain rule: long at every close with p ≥ 0.5 + edge, short with p ≤ 0.5 − edge, one trade per row, each left to its end. Of
models that say whether a strategy's signal pays: the signal's trade where p ≥ even + edge, nothing elsewhere.
Trades overlap and count one each. Taking only trades that do not overlap would throw most rows away and let the result hang on
the row that one begins with; the overlap is dependence, and the bootstrap's blocks are made for that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.errors import ConfigError, DataError, did_you_mean
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.gate.bootstrap import Bound, draw_blocks, lower_bound
from papertape.engine.model.gate.verdict import Criterion, Verdict
from papertape.engine.model.scores import NEITHER, losses, scores

CHALLENGER: Final = "challenger"
MAJORITY: Final = "majority"
CHAMPION: Final = "champion"
RIVALS: Final = (MAJORITY, "logistic", CHAMPION)


class PlainRule(NamedTuple):
    """
    What to do with a probability.

    even             at which nothing speaks for either answer
    is_about_signal  the answers are to take the signal's trade and to leave it, in place of two sides
    """

    even: float = 0.5
    is_about_signal: bool = False

    def sides(self, p: FloatArray, edge: float) -> FloatArray:
        """Return +1, −1 or 0 for each probability that is `edge` from even; a NaN is 0."""
        takes = np.where(p >= self.even + edge, 1.0, 0.0)
        return takes if self.is_about_signal else np.where(p <= self.even - edge, -1.0, takes)


_SIDES: Final = PlainRule()


class Evidence(NamedTuple):
    """
    What is known of n rows that no contender was trained, stopped or calibrated on.

    bar            index of the row's close among the closes of the timeframe, never falling; symbols share it
    y              1 where the long would have paid more than the short, 0 where less, one half where neither paid and that is
                   a class of its own, NaN where equal or unknown
    long_return    of a trade each way, as a fraction before costs; NaN where unknown
    short_return
    probabilities  by contender: `challenger`, and `logistic` and `champion` where there is one; NaN rows are left out for all
    majority       share of rises in the challenger's training rows, which says the same of every row
    cost           of a round trip, as a fraction
    horizon_bars   over which labels may overlap
    rule           what trades on it
    """

    bar: IntArray
    y: FloatArray
    long_return: FloatArray
    short_return: FloatArray
    probabilities: Mapping[str, FloatArray]
    majority: float
    cost: float
    horizon_bars: int
    rule: PlainRule = _SIDES


@dataclass(frozen=True, slots=True)
class GateOptions:
    """
    How strict the gate is.

    alpha           level of every test and of the whole
    resamples       of the bootstrap; seed: of its draws
    block_horizons  length of a block, in horizons, at least 1
    least_rows      with an outcome, and least_blocks: that fit into them; fewer are refused
    edge            distance from 0.5 from which on the plain rule trades
    rivals          whose log-loss must be beaten, of those in the evidence
    """

    alpha: float = 0.05
    resamples: int = 1_000
    seed: int = 7
    block_horizons: float = 2.0
    least_rows: int = 200
    least_blocks: int = 8
    edge: float = 0.02
    rivals: tuple[str, ...] = RIVALS

    def __post_init__(self) -> None:
        _need(0.0 < self.alpha < 0.5, f"gate: alpha {self.alpha} is not between 0 and 0.5")
        least = int(np.ceil(1.0 / self.alpha))
        _need(
            self.resamples >= least,
            f"gate: resamples {self.resamples} are too few for alpha {self.alpha}; give {least} or more",
        )
        _need(
            self.block_horizons >= 1.0,
            f"gate: block_horizons {self.block_horizons} is below 1: blocks would cut labels that overlap",
        )
        _need(self.least_rows >= 2, f"gate: least_rows {self.least_rows} is below 2")
        _need(self.least_blocks >= 2, f"gate: least_blocks {self.least_blocks} is below 2")
        _need(0.0 <= self.edge < 0.5, f"gate: edge {self.edge} is not between 0 and 0.5")
        for name in self.rivals:
            _need(name in RIVALS, f"gate: unknown rival {name!r}{did_you_mean(name, RIVALS)}")


def _need(is_met: bool, sentence: str) -> None:
    if not is_met:
        raise ConfigError(sentence)


def gate(evidence: Evidence, options: GateOptions | None = None) -> Verdict:
    """
    Return whether the challenger passes, and every number that says why.

    The default is to refuse: too few rows, one outcome only or a single criterion that is not met.

    Raises DataError when the evidence does not fit together.
    """
    options = options or GateOptions()
    _check(evidence)
    held = _usable(evidence)
    span = int(held.bar[-1] - held.bar[0]) + 1 if len(held.bar) else 0
    block = max(round(options.block_horizons * held.horizon_bars), round(span ** (1 / 3)), 1)
    judged = ~np.isnan(held.y)
    says = {**held.probabilities, MAJORITY: np.full(len(held.bar), held.majority)}
    contenders = {name: _numbers(held, judged, p, options.edge) for name, p in sorted(says.items())}
    told: dict[str, Any] = {
        "rows": int(judged.sum()),
        "blocks": span // block,
        "block_bars": block,
        "alpha": options.alpha,
        "edge": options.edge,
        "cost": held.cost,
        "resamples": options.resamples,
        "seed": options.seed,
    }
    if lack := _lack(held.y[judged], told["blocks"], block, options):
        return Verdict(False, f"refused: {lack}", (), contenders, told)
    criteria = _criteria(held, says, judged, contenders, block, options)
    return Verdict.of(criteria, contenders, told)


def _check(evidence: Evidence) -> None:
    """Raise DataError unless every column has the same rows and every number is in its range."""
    n = len(evidence.bar)
    columns = {
        "y": evidence.y,
        "long_return": evidence.long_return,
        "short_return": evidence.short_return,
        **{f"probabilities of {name}": p for name, p in evidence.probabilities.items()},
    }
    for name, column in columns.items():
        if column.shape != (n,):
            raise DataError(f"gate: {name} of shape {column.shape} do not fit {n} rows")
    if CHALLENGER not in evidence.probabilities:
        raise DataError("gate: there are no probabilities of a challenger")
    for name, p in evidence.probabilities.items():
        if name == MAJORITY or name not in (CHALLENGER, *RIVALS):
            raise DataError(f"gate: {name!r} is no contender that brings probabilities")
        if ((p < 0.0) | (p > 1.0)).any():
            raise DataError(f"gate: a probability of the {name} is not between 0 and 1")
    if (np.diff(evidence.bar) < 0).any():
        raise DataError("gate: the rows are not in the order of time")
    if not np.isin(evidence.y[~np.isnan(evidence.y)], (0.0, NEITHER, 1.0)).all():
        raise DataError("gate: an outcome is neither 0, 1, one half nor unknown")
    if not 0.0 <= evidence.majority <= 1.0:
        raise DataError(f"gate: majority {evidence.majority} is not between 0 and 1")
    if not (evidence.cost >= 0.0 and np.isfinite(evidence.cost)):
        raise DataError(f"gate: cost {evidence.cost} is not a number of at least 0")
    if evidence.horizon_bars < 1:
        raise DataError(f"gate: horizon_bars {evidence.horizon_bars} is below 1")


def _usable(evidence: Evidence) -> Evidence:
    """Return the rows at which every contender has an opinion and an outcome or both returns are known."""
    has_return = np.isfinite(evidence.long_return) & np.isfinite(evidence.short_return)
    chosen = ~np.isnan(evidence.y) | has_return
    for p in evidence.probabilities.values():
        chosen &= np.isfinite(p)
    return evidence._replace(
        bar=evidence.bar[chosen],
        y=evidence.y[chosen],
        # A return counts only beside the other one: otherwise one side would be judged on more rows.
        long_return=np.where(has_return, evidence.long_return, np.nan)[chosen],
        short_return=np.where(has_return, evidence.short_return, np.nan)[chosen],
        probabilities={name: p[chosen] for name, p in evidence.probabilities.items()},
    )


def _lack(y: FloatArray, blocks: int, block_bars: int, options: GateOptions) -> str:
    """Return what makes the rows too few to judge by, or nothing."""
    if len(y) < options.least_rows:
        return (
            f"{len(y):,} rows with an outcome are fewer than {options.least_rows:,}; keep more for the gate"
        )
    if blocks < options.least_blocks:
        return (
            f"the rows hold {blocks} blocks of {block_bars} bars, fewer than {options.least_blocks}; "
            "keep more for the gate or shorten the horizon"
        )
    if y.min() == y.max():
        return f"every one of {len(y):,} rows has the same outcome"
    return ""


def _net(held: Evidence, p: FloatArray, edge: float) -> tuple[FloatArray, FloatArray]:
    """Return the plain rule's return after costs at each row, 0 without a trade, and where it traded."""
    side = held.rule.sides(p, edge)
    side[np.isnan(held.long_return)] = 0.0
    gross = np.where(side > 0.0, held.long_return, held.short_return)
    is_traded = side != 0.0
    return np.where(is_traded, gross - held.cost, 0.0), is_traded.astype(np.float64)


def _numbers(held: Evidence, judged: Any, p: FloatArray, edge: float) -> dict[str, float | None]:
    """Return one contender's scores, its trades and what the rule made of it, per trade and per row."""
    net, traded = _net(held, p, edge)
    trades, paid = int(traded.sum()), int((~np.isnan(held.long_return)).sum())
    found: dict[str, float | None] = (
        dict(scores(held.y[judged], p[judged])._asdict()) if judged.any() else {"rows": 0}
    )
    found["trades"] = trades
    found["net_return"] = float(net.sum()) / trades if trades else None
    found["net_per_row"] = float(net.sum()) / paid if paid else None
    return found


def _criteria(
    held: Evidence,
    says: Mapping[str, FloatArray],
    judged: Any,
    contenders: Mapping[str, Mapping[str, float | None]],
    block: int,
    options: GateOptions,
) -> tuple[Criterion, ...]:
    """Return every criterion with its bound, all on the same resampled histories."""
    place = held.bar - held.bar[0]
    n = int(place[-1]) + 1
    draws = draw_blocks(n, block, options.resamples, np.random.Generator(np.random.PCG64(options.seed)))

    # Labels that overlap by a horizon h are correlated 1 − lag/h, of which blocks of b bars miss h/(3b) of the variance.
    widening = (1.0 - held.horizon_bars / (3.0 * block)) ** -0.5

    def bound(values: FloatArray, counted: FloatArray) -> Bound:
        sums, counts = (np.bincount(place, column, n).astype(np.float64) for column in (values, counted))
        return lower_bound(sums, counts, block, draws, options.alpha, widening)

    def loss_of(name: str) -> FloatArray:
        return np.where(judged, losses(held.y, says[name]), 0.0)

    found = []
    own = loss_of(CHALLENGER)
    for rival in options.rivals:
        if rival in says:
            value, lower = bound(loss_of(rival) - own, judged.astype(np.float64))
            found.append(
                Criterion.loss(rival, contenders[CHALLENGER], contenders[rival], value, lower, options.alpha)
            )
    net, traded = _net(held, says[CHALLENGER], options.edge)
    found.append(Criterion.profit(*bound(net, traded), int(traded.sum()), options.alpha))
    if CHAMPION in says:
        found.append(Criterion.earning(contenders[CHALLENGER], contenders[CHAMPION]))
    return tuple(found)
