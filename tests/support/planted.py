"""Rows with a planted edge of known size: the first input leans the next candle, the others are noise."""

import numpy as np
from scipy.special import expit

from papertape.engine.features import columns_of
from papertape.engine.model import Dataset

FEATURES = ("rsi_14", "stochastic_5_3_3")  # three columns; what is in them here is not what their names say
HOUR_MS = 3_600_000


def planted(
    n: int = 600, edge: float = 1.5, seed: int = 1, n_symbols: int = 1, move: float = 0.01
) -> Dataset:
    """Return hours whose candle after row t rises with probability sigmoid(edge × input 0 of row t)."""
    random = np.random.default_rng(seed)
    columns = tuple(name for feature in FEATURES for name in columns_of(feature))
    lean = random.normal(0.0, 1.0, (n_symbols, n, len(columns)))
    rises = random.random((n_symbols, n)) < expit(edge * lean[..., 0])
    steps = np.zeros((n_symbols, n))
    steps[:, 1:] = np.where(rises, move, -move)[:, :-1]
    close = 100.0 * np.exp(np.cumsum(steps, axis=1))
    open = np.concatenate([np.full((n_symbols, 1), 100.0), close[:, :-1]], axis=1)
    return Dataset(
        ("AAAUSDT", "BBBUSDT", "CCCUSDT")[:n_symbols],
        columns,
        "1h",
        HOUR_MS * np.arange(1, n + 1),
        5.0 + 3.0 * lean,
        open,
        np.maximum(open, close),
        np.minimum(open, close),
        close,
        move * close,
    )


def bayes_log_loss(edge: float) -> float:
    """Return the expected log-loss of the true probabilities, by quadrature over the standard normal input."""
    x, w = np.polynomial.hermite_e.hermegauss(80)
    p = expit(edge * x)
    entropy = -(p * np.log(p) + (1.0 - p) * np.log1p(-p))
    return float((w * entropy).sum() / w.sum())
