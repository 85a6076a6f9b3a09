"""A logistic model from a tape: an edge of known size is found, the newest fifth is only measured, short tapes are refused."""

import numpy as np
import pytest

from papertape.engine.errors import PapertapeError
from papertape.engine.model import read_artefact
from papertape.replay import Tape
from papertape.replay.learning.by_hand import fit_from_tape
from papertape.replay.tapes.synthetic import synthesize

TAPE = synthesize("edge", 3_000, "1h", seed=6, edge=0.3)
INPUTS = ("log_return_1", "rsi_14")


def test_a_planted_edge_is_found_on_candles_that_it_did_not_see() -> None:
    record = read_artefact(fit_from_tape(TAPE, None, 1, INPUTS)).record

    assert record.metrics["log_loss"] < record.metrics["log_loss_base_rate"] - 0.01
    assert record.metrics["accuracy"] > record.metrics["accuracy_majority"] + 0.03
    # 3,000 closes less a fifth train, stop and calibrate; the outcome of the newest row is not known yet
    assert record.metrics["rows_test"] == 599
    assert record.tapes == (TAPE.sha256,)
    assert record.end_ms == int(TAPE.candles["open_ms"][-1]) + 3_600_000


def test_noise_shows_no_edge() -> None:
    noise = synthesize("edge", 3_000, "1h", seed=6, edge=0.0)

    metrics = read_artefact(fit_from_tape(noise, None, 1, INPUTS)).record.metrics

    assert metrics["log_loss"] > metrics["log_loss_base_rate"] - 0.01


def test_the_newest_fifth_changes_no_weight() -> None:
    changed = TAPE.candles.copy()
    for name in ("open", "high", "low", "close"):
        changed[name][2_400:] = changed[name][2_400]
    other = Tape(changed, TAPE.venue, TAPE.symbol, TAPE.timeframe, source="changed in a test")

    first, second = (read_artefact(fit_from_tape(t, None, 1, INPUTS)) for t in (TAPE, other))

    assert set(first.tensors) == {"mean", "scale", "coefficients", "intercept", "temperature"}
    for name, tensor in first.tensors.items():
        assert np.array_equal(tensor, second.tensors[name]), name


@pytest.mark.parametrize(
    ("n", "horizon_bars", "said"),
    [
        (60, 1, "usable rows are fewer than 150"),
        (3_000, 0, "horizon_bars: 0 is not at least 1"),
        (220, 12, "leave no row in part 2"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(n: int, horizon_bars: int, said: str) -> None:
    short = Tape(TAPE.candles[:n], TAPE.venue, TAPE.symbol, TAPE.timeframe, source="cut in a test")

    with pytest.raises(PapertapeError, match=said):
        fit_from_tape(short, None, horizon_bars, INPUTS)
