"""Recorded event files, whole: every event of sections 3 and 4 of the reference, at its candle, to the last bit."""

from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd

from papertape.engine.features.smc import SmartMoney
from papertape.engine.features.smc.columns import zone_of
from tests.oracles.recorded_smc import FOLDER, Line, as_dicts, eurusd, lines_of_file
from tests.support.helpers import needs_shared

pytestmark = needs_shared

Row = dict[str, object]
CHART_COLUMNS = ("known_at", "kind", "scale", "dir", "bar", "level", "top", "bottom", "bar2", "level2", "tag")
ICT_COLUMNS = ("known_at", "kind", "dir", "bar", "level", "top", "bottom", "bar2", "tag")


@cache
def told() -> list[Row]:
    """Return every event of the recorded candles, with the reference's defaults."""
    return as_dicts(SmartMoney("15m").update(eurusd()))


def chart_row(row: Row) -> Row:
    """Return an event as the chart file writes it: the other pivot only for blocks and equal levels."""
    row = {**row, "level2": None}
    if row["kind"] not in ("OB", "EQH", "EQL"):
        row["bar2"] = None
    if row["kind"] in ("EQH", "EQL"):
        row["level2"] = row["top"] if row["level"] == row["bottom"] else row["bottom"]
        row["top"] = row["bottom"] = None
    return row


def ict_row(row: Row) -> Row:
    """Return an event as the file of section 4 writes it: the passing candle only for sweeps and runs."""
    row = dict(row)
    if row["kind"] not in ("SWEEP", "RUN"):
        row["bar2"] = None
    if row["kind"] == "DISPLACEMENT":
        row["level"] = row["strength"]
    if row["kind"] in ("KZ_OPEN", "HTF_BIAS"):
        row["bar"] = None
    return row


def lines_of(write: Callable[[Row], Row], columns: tuple[str, ...], kinds: set[object]) -> Counter[Line]:
    """Return our events of some kinds, those of the higher timeframe's own structure left out."""
    rows = (
        write(row)
        for row in told()
        if row["kind"] in kinds and (row["scale"] != "htf" or row["kind"] == "HTF_BIAS")
    )
    return Counter(tuple(row[column] for column in columns) for row in rows)


def test_chart_structure_file_is_reproduced_whole() -> None:
    want = lines_of_file("chart_structure_events.csv", CHART_COLUMNS)

    found = lines_of(chart_row, CHART_COLUMNS, {line[1] for line in want})

    assert want.total() == 10_439
    assert found == want


def test_further_concepts_file_is_reproduced_whole() -> None:
    want = lines_of_file("ict_events.csv", ICT_COLUMNS)

    found = lines_of(ict_row, ICT_COLUMNS, {line[1] for line in want})

    assert want.total() == 39_862
    assert found == want


def test_chart_state_file_is_reproduced_row_by_row() -> None:
    table = pd.read_csv(FOLDER / "chart_structure_state.csv", keep_default_na=False)
    names = {0: "", 1: "premium", -1: "discount", 2: "equilibrium"}
    candles = eurusd()
    market = SmartMoney("15m")
    state = market.state
    found = []

    for number in range(len(candles)):
        market.update(candles[number : number + 1])
        trail = state.trail
        has_top, has_bottom = trail.is_known.tolist()
        zone = zone_of(trail.top, trail.bottom, candles[number]["close"])
        found.append(
            (
                int(state.main.swing.trend),
                int(state.main.internal.trend),
                repr(float(trail.top)) if has_top else "",
                repr(float(trail.bottom)) if has_bottom else "",
                names[zone] if has_top and has_bottom else "",
            )
        )

    columns = ("swing_trend", "internal_trend", "trail_top", "trail_bottom", "zone_of_close")
    want = list(zip(*(table[column] for column in columns), strict=True))
    as_numbers = [(a, b, c and float(c), d and float(d), e) for a, b, c, d, e in found]
    assert as_numbers == [(a, b, c and float(c), d and float(d), e) for a, b, c, d, e in want]


def test_touch_of_a_gap_is_the_batch_package_s_mitigation() -> None:
    table = pd.read_csv(FOLDER / "fvg_result_data.csv")
    gaps = np.flatnonzero(table["FVG"].notna())
    touched = {
        row["bar"]: row["known_at"] for row in told() if row["kind"] == "FVG_TOUCH" and row["scale"] == ""
    }

    found = [touched.get(int(bar), 0) for bar in gaps]

    assert found == table["MitigatedIndex"][gaps].astype(int).tolist()
