"""Rows with an edge that was put there, and settings under which the quickest real model finds it."""

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.dataset import Dataset
from papertape.replay.learning.settings import DAY_MS, LearningSettings
from tests.support.helpers import START_MS

HOUR_MS = 3_600_000
COLUMNS = ("log_return_1", "rsi_14")


def planted_rows(n: int = 2_400, seed: int = 1, edge: float = 0.6, n_symbols: int = 1) -> Dataset:
    """
    Return hourly rows whose first column says where the next candle goes.

    edge  correlation of the column with the next return; 0: nothing can be learnt
    """
    random = np.random.default_rng(seed)
    said = random.normal(size=(n_symbols, n))
    noise = random.normal(size=(n_symbols, n))
    moves = np.zeros((n_symbols, n))
    moves[:, 1:] = 0.004 * (edge * said[:, :-1] + np.sqrt(1.0 - edge**2) * noise[:, :-1])
    close = 100.0 * np.exp(np.cumsum(moves, axis=1))
    opens = np.concatenate([np.full((n_symbols, 1), 100.0), close[:, :-1]], axis=1)
    x: FloatArray = np.stack([said, random.normal(size=(n_symbols, n))], axis=2)
    return Dataset(
        symbols=tuple(f"S{number}" for number in range(n_symbols)),
        columns=COLUMNS,
        timeframe="1h",
        time_ms=START_MS + HOUR_MS * np.arange(1, n + 1),
        x=x,
        open=opens,
        high=np.maximum(opens, close),
        low=np.minimum(opens, close),
        close=close,
        atr=0.004 * close,
    )


def quick_settings(**changes: object) -> LearningSettings:
    """Return settings of the logistic kind: 40 days to learn from, 15 to be judged by, the direction of two hours."""
    values = {
        "kind": "logistic",
        "timeframe": "1h",
        "features": COLUMNS,
        "window_ms": 40 * DAY_MS,
        "gate_ms": 15 * DAY_MS,
        "policy": "model",
        "cost": 0.0002,
        "label": "direction",
        "horizon_bars": 2,
        **changes,
    }
    return LearningSettings(**values)  # type: ignore[arg-type]


def due_times(first_day: int = 60, last_day: int = 100, step: int = 10) -> tuple[int, ...]:
    """Return due times at midnight."""
    return tuple(START_MS + day * DAY_MS for day in range(first_day, last_day + 1, step))
