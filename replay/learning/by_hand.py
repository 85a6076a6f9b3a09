"""A logistic model of one tape, made by hand: the one trainer on the older candles, measured on the newest fifth."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.model import MODEL_FEATURES, read_artefact, write_artefact
from papertape.engine.model.inference.current import read_rows
from papertape.engine.model.scores import scores
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.prepare import labels_of
from papertape.engine.model.training.train import train
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.tapes.tape import Tape

_TEST_SHARE: Final = 0.2
_LEAST_ROWS: Final = 50  # that are measured; fewer say nothing


def fit_from_tape(
    tape: Tape,
    timeframe: str | None = None,
    horizon_bars: int = 12,
    features: Sequence[str] = MODEL_FEATURES,
    l2: float = 1.0,
    parent: int = 0,
) -> bytes:
    """
    Return the artefact of a logistic model of whether a trade entered at the next open is worth more long than short.

    timeframe     of the strategy that will use it; default: the tape's own
    horizon_bars  of that timeframe, after which the trade ends
    parent        version of the champion at the time; 0 = none

    The newest fifth of the rows is in no part of the fit; the record's `metrics` are of those rows, in the names of
    `scores`, with `rows_…`, `log_loss_base_rate` and `accuracy_majority`. The record says that it has seen the whole tape.

    Raises DataError when the tape is too short or a feature never has a value.
    """
    frame = timeframe or tape.timeframe
    options = TrainingOptions(
        kind="logistic", features=tuple(features), label="direction", horizon_bars=horizon_bars, l2=l2
    )
    rows = dataset_of([tape.symbol], [tape.candles], tape.timeframe, frame, features)
    cut = len(rows.time_ms) - round(_TEST_SHARE * len(rows.time_ms))
    older = rows.until(int(rows.time_ms[cut - 1]))
    model = read_artefact(train(older, options, tapes=(tape.sha256,), champion=parent).data)
    p = read_rows(model, tape.symbol, rows.x[0])[0]
    y = labels_of(rows, 0, options).y
    is_test = np.isfinite(p) & ~np.isnan(y) & (np.arange(len(y)) >= cut)
    if is_test.sum() < _LEAST_ROWS:
        raise DataError(
            f"training: {is_test.sum()} rows to measure it on are fewer than {_LEAST_ROWS}; give more candles"
        )
    metrics = dict(model.record.metrics)
    rate = metrics["base_rate"]
    always = scores(y[is_test], np.full(int(is_test.sum()), rate))
    record = replace(
        model.record,
        end_ms=int(tape.candles["open_ms"][-1]) + timeframe_ms(tape.timeframe),
        metrics={
            **{name: metrics[name] for name in metrics if name.startswith("rows_")},
            "rows_test": float(is_test.sum()),
            **{k: v for k, v in scores(y[is_test], p[is_test])._asdict().items() if k != "rows"},
            "log_loss_base_rate": always.log_loss,
            "accuracy_majority": always.accuracy,
        },
    )
    return write_artefact(record, model.tensors)
