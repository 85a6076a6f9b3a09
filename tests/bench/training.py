"""What learning costs: fifty epochs on ninety days of hours, and a year of hours that is retrained every month."""

import time
from typing import Any, Final

from papertape.engine.model import TrainingOptions, default_inputs, train
from papertape.replay import backtest
from papertape.replay.importers.sample import sample_tape
from papertape.replay.learning.dataset import dataset_of

ROWS: Final = 2_160  # ninety days of hours
EPOCHS: Final = 50
EPOCHS_MUST_S: Final = 30.0
YEAR_MUST_S: Final = 300.0


def fifty_epochs() -> dict[str, Any]:
    """Measure training of a cnn_lstm on the last ninety days of the embedded hours, no epoch spared."""
    tape = sample_tape()
    features, inputs = default_inputs(True, (), "1h")
    candles = tape.candles[-ROWS - 500 :]
    rows = dataset_of(("BTCUSDT",), [candles], "1h", "1h", features)
    last_ms = int(rows.time_ms[-1])
    learnt = rows.between(last_ms - ROWS * 3_600_000, last_ms)
    options = TrainingOptions(features=features, inputs=inputs, epochs=EPOCHS, patience=EPOCHS)
    train(learnt, TrainingOptions(features=features, inputs=inputs, epochs=1))  # loads what it needs
    started = time.perf_counter()
    trained = train(learnt, options)
    seconds = time.perf_counter() - started
    assert trained.data
    return {
        "work": f"cnn_lstm, {len(learnt.time_ms):,} rows, {EPOCHS} epochs",
        "seconds": seconds,
        "must": EPOCHS_MUST_S,
        "is_met": seconds <= EPOCHS_MUST_S,
    }


def year() -> dict[str, Any]:
    """Measure a replay of a year of hours with a cnn_lstm retrained and judged every month, in a process of its own."""
    started = time.perf_counter()
    result = backtest(
        start="2023-01-01", end="2023-12-31", retrain_every="monthly", report={"sensitivity": False}
    )
    seconds = time.perf_counter() - started
    timings = result.summary["timings"]
    return {
        "work": f"a year of hours, {len(result.summary['model']['attempts'])} retrains",
        "seconds": seconds,
        "training_s": timings["learning_s"],
        "replay_s": timings["replay_s"],
        "must": YEAR_MUST_S,
        "is_met": seconds <= YEAR_MUST_S,
    }
