"""The event study as plain values: what a report or a page needs to show it, small enough to embed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from papertape.replay.events.study import BLOCKS_LEAST, EVENTS_LEAST, StudyOptions
from papertape.replay.tapes.tape import Tape

_DIGITS: Final = 6  # significant; more is noise


def study_section(
    table: pd.DataFrame, options: StudyOptions, tapes: Sequence[Tape] = ()
) -> dict[str, Any]:
    """
    Return the study for JSON: its rules in words, its tapes, a summary, and every row; NaN as None.

    rows  by column, in the order of the table, the surest first
    """
    tested = int(table["p_value"].notna().sum())
    found = table[table["is_discovery"]]
    return {
        "rules": _rules(options),
        "tapes": [
            {"name": tape.name, "sha256": tape.sha256, "candles": len(tape.candles)}
            for tape in tapes
        ],
        "options": {
            "horizons_bars": list(options.horizons_bars),
            "resamples": options.resamples,
            "seed": options.seed,
            "cost_bps": options.cost_bps,
            "rate": options.rate,
        },
        "summary": {
            "rows": len(table),
            "tested": tested,
            "discoveries": len(found),
            "discoveries_after_costs": int((found["net_bps"] > 0.0).sum()),
            "smallest_q": _plain(table["q_value"].min()) if tested else None,
        },
        "rows": {name: [_plain(value) for value in table[name]] for name in table.columns},
    }


def _rules(options: StudyOptions) -> list[str]:
    return [
        "Entry at the open of the candle after the one that made the event known; exit at the close of the horizon.",
        "Mean log returns in bps in the expected direction; excursions in ATR(14) as known at the event.",
        "Random: the average over every candle of the tape with the same share of long and short.",
        f"Intervals (95 %) and p from a stationary block bootstrap over time, {options.resamples:,} resamples, "
        f"seed {options.seed}.",
        f"q: Benjamini–Hochberg over everything tested; a discovery has q ≤ {options.rate:g}.",
        f"Not tested: fewer than {EVENTS_LEAST} events, or all in fewer than {BLOCKS_LEAST} stretches of time.",
        f"Net: the mean less {options.cost_bps:g} bps for a round trip.",
    ]


def sentence(section: Mapping[str, Any]) -> str:
    """Return what the study found in one sentence."""
    summary, rate = section["summary"], section["options"]["rate"]
    if not summary["discoveries"]:
        least = summary["smallest_q"]
        told = "" if least is None else f"; the smallest q is {least:.2g}"
        return (
            f"nothing found: none of {summary['tested']:,} tests is a discovery at a false-discovery rate of "
            f"{rate:g}{told}"
        )
    return (
        f"{summary['discoveries']:,} of {summary['tested']:,} tests are discoveries at a false-discovery rate of "
        f"{rate:g}; {summary['discoveries_after_costs']:,} of them earn more than the costs"
    )


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it."""
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(f"{float(value):.{_DIGITS}g}")
    return value.item() if isinstance(value, np.generic) else value
