"""The models of a run in its result: outcomes by hand, versions, and the page that shows them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape.engine.candles import CANDLE
from papertape.engine.model.buckets import CONFIDENCE_BUCKETS, confidence_buckets
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.performance.curve import CurveColumns
from papertape.engine.records import PREDICTION, TRADE
from papertape.replay.backtesting.models import model_section, note, resolve
from papertape.replay.learning.attempt import Attempt, Learned
from papertape.replay.report.page import report_parts, write_report
from tests.support.browser import needs_browser, open_in_browser

HOUR_MS = 3_600_000
CLOSES = [100.0, 101.0, 103.0, 102.0, 100.0, 99.0, 104.0, 105.0]
DIRECTION = {"kind": "direction", "horizon_bars": 2}
RISES = TrainingOptions(label="direction", horizon_bars=2)


def bars() -> Any:
    """Return hours that open where the last one closed."""
    rows = np.zeros(len(CLOSES), CANDLE)
    rows["open_ms"] = np.arange(len(CLOSES)) * HOUR_MS
    rows["close"] = CLOSES
    rows["open"] = [100.0, *CLOSES[:-1]]
    rows["high"] = np.maximum(rows["open"], rows["close"])
    rows["low"] = np.minimum(rows["open"], rows["close"])
    return rows


def predictions(probabilities: list[float], versions: list[int], symbol: int = 0) -> Any:
    """Return what was said at the first closes."""
    rows = np.zeros(len(probabilities), PREDICTION)
    rows["time_ms"] = (1 + np.arange(len(rows))) * HOUR_MS
    rows["symbol"] = symbol
    rows["probability"] = probabilities
    rows["version"] = versions
    rows["atr"] = 1.0
    return rows


def record(version: int) -> dict[str, Any]:
    return {"version": version, "label": DIRECTION, "metrics": {"base_rate": 0.6}}


def test_outcomes_are_those_that_models_are_taught() -> None:
    said = predictions([0.6, 0.7, np.nan, 0.4, 0.2, 0.5, 0.5, 0.5], [1] * 8)

    found = resolve(RISES, said, {"X": bars()})

    # entry, the open of t + 1:  100 101 103 102 100  99
    # exit, the close of t + 2:  103 102 100  99 104 105; row 2 has no probability
    assert found.y.tolist() == [1.0, 1.0, 0.0, 1.0, 1.0]
    assert found.p.tolist() == [0.6, 0.7, 0.4, 0.2, 0.5]


def test_a_brackets_outcome_needs_its_atr() -> None:
    rule = TrainingOptions(label="bracket", horizon_bars=2, stop_atr=2.0, target_atr=1.0)
    said = predictions([0.6, 0.6, 0.6], [1] * 3)
    said["atr"][1] = np.nan

    found = resolve(rule, said, {"X": bars()})

    assert len(found.y) == 2
    assert found.y[0] == 1.0  # 100 → 101 is a long's target


def test_symbols_are_joined_in_the_order_of_time() -> None:
    said = np.concatenate([predictions([0.6, 0.7], [1, 1]), predictions([0.1, 0.2], [1, 1], 1)])

    found = resolve(RISES, said, {"X": bars(), "Y": bars()})

    assert found.p.tolist() == [0.6, 0.1, 0.7, 0.2]
    assert found.time_ms.tolist() == [HOUR_MS, HOUR_MS, 2 * HOUR_MS, 2 * HOUR_MS]


def test_versions_carry_their_predictions_and_their_trades() -> None:
    trades = np.zeros(3, TRADE)
    trades["model_version"] = [0, 2, 2]
    trades["pnl"] = np.array([5, 7, -3]) * 10**9
    said = predictions([0.6, 0.7, 0.4, 0.4], [1, 1, 2, 2])

    section = model_section([record(1), record(2)], None, said, {"X": bars()}, trades, 1e9)

    rows = {row["name"]: row for row in section["versions"]}
    assert [rows["1"]["rows"], rows["1"]["accuracy"], rows["1"]["trades"]] == [2, 1.0, 0]
    assert [rows["2"]["rows"], rows["2"]["accuracy"], rows["2"]["trades"]] == [2, 1.0, 2]
    assert rows["2"]["pnl_quote"] == pytest.approx(4.0)
    assert [rows["0"]["trades"], rows["0"]["accuracy"]] == [1, None]
    in_force = section["in_force"]
    assert in_force["contenders"]["model"]["accuracy"] == 1.0
    assert in_force["contenders"]["majority"]["accuracy"] == 0.5  # it says 0.6 of every row
    json.dumps(section, allow_nan=False)


def test_stated_and_realised_by_hand() -> None:
    found = confidence_buckets(np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.52, 0.54, 0.3, 1.0]))

    rows = {row["name"]: row for row in found}
    assert list(rows) == list(CONFIDENCE_BUCKETS)
    assert rows["0.50-0.55"]["rows"] == 2
    assert rows["0.50-0.55"]["stated"] == pytest.approx(0.53)
    assert rows["0.50-0.55"]["realised"] == 0.5
    assert rows["0.70-0.80"] == {
        "name": "0.70-0.80",
        "rows": 1,
        "stated": pytest.approx(0.7),
        "realised": 1.0,
    }
    assert rows["0.80-1.00"]["rows"] == 1
    (even,) = (row for row in confidence_buckets(np.full(1, 0.5), np.full(1, 0.3)) if row["rows"])
    assert (even["name"], even["realised"]) == ("0.70-0.80", 0.5)
    assert rows["0.60-0.65"] == {"name": "0.60-0.65", "rows": 0, "stated": None, "realised": None}


def attempt(month: int, outcome: str, log_loss: float) -> Attempt:
    due_ms = int(pd.Timestamp(2023, month, 1).timestamp() * 1000)
    scored = {"rows": 700, "accuracy": 0.5, "log_loss": log_loss, "brier": 0.25, "ece": 0.01}
    contenders = {"challenger": {**scored, "net_return": -0.001}, "majority": scored}
    return Attempt(
        due_ms,
        due_ms,
        "schedule",
        outcome,
        f"said the gate in month {month}",
        kind="logistic",
        gate={"contenders": contenders},
        record={"metrics": {"rows_train": 1400}},
        shadow={name: {**scored, "auc": 0.5, "mcc": 0.0} for name in ("challenger", "majority")},
    )


LEARNED = Learned(
    [attempt(1, "rejected", 0.71), attempt(2, "promoted", 0.68), attempt(3, "failed", 0.7)],
    [],
    {"contenders": {"challenger": {"rows": 2100, "log_loss": 0.6967}}, "buckets": []},
    12.5,
)


def test_the_note_says_what_came_of_retraining() -> None:
    assert note([], None) == "no model: the ML component is absent"
    assert note([record(1)], LEARNED) == "3 retrains: 1 rejected, 1 promoted, 1 failed"
    assert note([], LEARNED).endswith("no model earned its place, so the ML component is absent")


NO_MARKS = CurveColumns(time_ms=np.zeros(0, np.int64), equity=np.zeros(0, np.int64))


def test_records_of_models_stay_out_of_the_page() -> None:
    empty = np.zeros(0, TRADE)
    section = model_section([], LEARNED, np.zeros(0, PREDICTION), {"X": bars()}, empty, 1e9)

    text = "".join(report_parts({"model": section}, {}, NO_MARKS, {}))

    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    attempts = json.loads(found[1])["summary"]["model"]["attempts"]
    assert [row["record"] for row in attempts] == [None] * 3
    assert [row["rows_train"] for row in attempts] == [1400] * 3
    assert section["attempts"][0]["record"]  # the result itself keeps them


@needs_browser
def test_a_real_browser_draws_the_models(tmp_path: Path) -> None:
    said = predictions([0.6, 0.7, 0.4, 0.4], [1, 1, 2, 2])
    section = model_section([record(1), record(2)], LEARNED, said, {"X": bars()}, np.zeros(0, TRADE), 1e9)
    page = tmp_path / "page.html"
    write_report(page, {"model": section}, {}, NO_MARKS, {})

    dom = open_in_browser(page, tmp_path / "profile")

    assert "data-errors" not in dom
    assert "3 retrains: 1 rejected, 1 promoted, 1 failed" in dom
    assert dom.count('class="picture"') == 2
    assert "said the gate in month 2" in dom
    assert "0.6800" in dom
