"""
How good probabilities were, by the usual measures; each is one number of the outcomes and the probabilities.

    accuracy   share of rows on whose right side of 0.5 the probability was; an outcome of one half is half a hit
    log_loss   mean negative log-likelihood, nats          brier   mean squared distance from the outcome
    ece        expected calibration error, ten bins         auc     chance that a rise was given more than a fall
    mcc        Matthews correlation of the sides, -1 … 1

Where rows at which neither side pays are a class of their own, their outcome is one half; auc and mcc leave them out.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray

# Outcome of a row at which neither side pays, where that is a class of its own.
NEITHER: Final = 0.5
_BINS: Final = 10
_LEAST: Final = 1e-15  # a probability of 0 or 1 that was wrong costs this much rather than infinity


class Scores(NamedTuple):
    """The measures over some rows; one that is not defined has the value that says nothing (auc 0.5, mcc 0)."""

    rows: int
    accuracy: float
    log_loss: float
    brier: float
    ece: float
    auc: float
    mcc: float


def scores(y: FloatArray, p: FloatArray) -> Scores:
    """
    Return every measure of probabilities `p` for outcomes `y`, each 0, 1 or one half.

    Source of ece: M. P. Naeini, G. Cooper, M. Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning
    (2015); of mcc: B. W. Matthews (1975); auc is Mann and Whitney's U over the number of pairs, ties counting half.
    """
    assert y.shape == p.shape
    assert len(y) > 0
    return Scores(
        rows=len(y),
        accuracy=float(np.mean(hits(y, p))),
        log_loss=float(np.mean(losses(y, p))),
        brier=float(np.mean((p - y) ** 2)),
        ece=sum(row["rows"] * abs(row["probability"] - row["share"]) for row in _bins(y, p)) / len(y),
        auc=_auc(y, p),
        mcc=_mcc(y, p),
    )


def losses(y: FloatArray, p: FloatArray) -> FloatArray:
    """Return the log-loss of each row."""
    safe = np.clip(p, _LEAST, 1.0 - _LEAST)
    return -(y * np.log(safe) + (1.0 - y) * np.log1p(-safe))


def hits(y: FloatArray, p: FloatArray) -> FloatArray:
    """Return 1 for each row on whose right side of 0.5 the probability was, 0 for the others, one half where neither was right."""
    return np.where(p >= 0.5, y, 1.0 - y)


def reliability_curve(y: FloatArray, p: FloatArray) -> list[dict[str, Any]]:
    """
    Return, for each of ten equal bins of probability that has rows, the mean probability, the share of rises and the rows.

    Each row is `{"probability": …, "share": …, "rows": …}`, lowest bin first.
    """
    return _bins(y, p)


def spread_over_seeds(y: FloatArray, p: FloatArray) -> dict[str, float]:
    """
    Return how far the members of an ensemble are apart on the same rows.

    y  shape (n,), outcomes; p: shape (n_members, n), what each says alone

        seeds            how many
        seed_spread      standard deviation over members of what they say of a row, the mean of all rows
        seed_log_loss    of a member alone, the mean of all; seed_log_loss_highest: of the worst
    """
    alone = [scores(y, one).log_loss for one in p]
    return {
        "seeds": float(len(p)),
        "seed_spread": float(p.std(axis=0).mean()),
        "seed_log_loss": float(np.mean(alone)),
        "seed_log_loss_highest": max(alone),
    }


def _bins(y: FloatArray, p: FloatArray) -> list[dict[str, Any]]:
    number = np.clip((p * _BINS).astype(np.int64), 0, _BINS - 1)
    counts = np.bincount(number, minlength=_BINS)
    sums = np.bincount(number, p, _BINS), np.bincount(number, y, _BINS)
    return [
        {
            "probability": float(sums[0][bin] / counts[bin]),
            "share": float(sums[1][bin] / counts[bin]),
            "rows": int(counts[bin]),
        }
        for bin in np.flatnonzero(counts)
    ]


def _auc(y: FloatArray, p: FloatArray) -> float:
    y, p = (values[y != NEITHER] for values in (y, p))
    n_up = int((y == 1.0).sum())
    n_down = len(y) - n_up
    if n_up == 0 or n_down == 0:
        return 0.5
    _, place, counts = np.unique(p, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - 0.5 * (counts - 1))[place]  # the mean rank of those that tie
    return float((ranks[y == 1.0].sum() - 0.5 * n_up * (n_up + 1)) / (n_up * n_down))


def _mcc(y: FloatArray, p: FloatArray) -> float:
    said, was, was_not = p >= 0.5, y == 1.0, y == 0.0
    tp, tn = float((said & was).sum()), float((~said & was_not).sum())
    fp, fn = float((said & was_not).sum()), float((~said & was).sum())
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / float(np.sqrt(product)) if product > 0.0 else 0.0
