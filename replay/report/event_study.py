"""The event study as plain values: what a report or a page needs to show it, small enough to embed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from papertape.replay.events.study import BLOCKS_LEAST, EVENTS_LEAST, StudyOptions
from papertape.replay.tapes.tape import Tape

_DIGITS: Final = 6  # significant; more is noise


def study_section(table: pd.DataFrame, options: StudyOptions, tapes: Sequence[Tape] = ()) -> dict[str, Any]:
    """
    Return the study for JSON: its rules in words, its tapes, a summary, and every row; NaN as None.

    rows  by column, in the order of the table, the surest first
    """
    tested = int(table["p_value"].notna().sum())
    found = table[table["is_discovery"]]
    return {
        "rules": _rules(options),
        "tapes": [{"name": tape.name, "sha256": tape.sha256, "candles": len(tape.candles)} for tape in tapes],
        "options": {"horizons_bars": list(options.horizons_bars), "resamples": options.resamples,
            "seed": options.seed, "cost_bps": options.cost_bps, "rate": options.rate},
        "summary": {"rows": len(table), "tested": tested, "discoveries": len(found),
            "discoveries_after_costs": int((found["net_bps"] > 0.0).sum()),
            "smallest_q": _plain(table["q_value"].min()) if tested else None},
        "rows": {name: [_plain(value) for value in table[name]] for name in table.columns},
    }  # fmt: skip


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


def series_section(table: pd.DataFrame, options: StudyOptions, tapes: Sequence[Tape] = ()) -> dict[str, Any]:
    """Return a study of series for JSON: as `study_section`, and `series`, one verdict each."""
    section = study_section(table, options, tapes)
    over = table["net_q_value"] <= options.rate
    section["summary"]["discoveries_after_costs"] = int(over.sum())
    section["rules"] = [_SERIES_RULE, *section["rules"], _SERIES_COSTS.format(options.rate)]
    return {**section, "series": verdicts(table, options)}


_SERIES_RULE: Final = (
    "An event: a reading comes above, or below, nine tenths of those of the thirty days before; its side is the one that had "
    "more than any candle."
)
_SERIES_COSTS: Final = (
    "It adds something where a test of more than the costs, beside any candle, has q ≤ {:g} as well; settlements that are "
    "given are paid by every outcome."
)


def verdicts(table: pd.DataFrame, options: StudyOptions) -> list[dict[str, Any]]:
    """
    Return whether each series adds anything, one record per symbol, timeframe and series, in their order.

    tests, discoveries  how many rows were tested, and how many of these differ from any candle
    after_costs         how many have more than any candle by more than the costs; above 0 the series adds something
    best                the surest row: high or low, long or short, bars, excess in bps; None without a test
    """
    found = []
    for (symbol, timeframe, series), rows in table.groupby(["symbol", "timeframe", "kind"]):
        tested = rows[rows["p_value"].notna()].sort_values(["net_p_value", "p_value"])
        one: dict[str, Any] = {
            "symbol": symbol,
            "timeframe": timeframe,
            "series": series,
            "tests": len(tested),
        }
        one["discoveries"] = int(rows["is_discovery"].sum())
        one["after_costs"] = int((tested["net_q_value"] <= options.rate).sum())
        one["best"] = _best(tested.iloc[0]) if len(tested) else None
        found.append(one)
    return found


def _best(row: Any) -> dict[str, Any]:
    side = "long" if row["long_share"] > 0.0 else "short"
    names = ("horizon_bars", "count", "excess_bps", "net_bps", "q_value", "net_q_value")
    return {"reading": row["scale"], "side": side, **{name: _plain(row[name]) for name in names}}


def verdict_sentence(verdict: Mapping[str, Any], cost_bps: float) -> str:
    """Return what a study says of one series."""
    about = f"{verdict['symbol']} {verdict['timeframe']} {verdict['series']}"
    tests, found, best = verdict["tests"], verdict["discoveries"], verdict["best"]
    if best is None:
        return f"{about}: not tested, it was unusual too seldom"
    surest = (
        f"the surest: {best['reading']}, {best['side']} for {best['horizon_bars']} bars, {best['excess_bps']:+.1f} bps beside "
        f"any candle, q {best['q_value']:.2g}"
    )
    if verdict["after_costs"]:
        what = f"adds something after costs of {cost_bps:g} bps in {verdict['after_costs']} of {tests} tests"
    else:
        what = f"adds nothing after costs of {cost_bps:g} bps in {tests} tests, {found or 'none'} of which differ from any candle"
    return f"{about}: {what}; {surest}"


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it."""
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(f"{float(value):.{_DIGITS}g}")
    return value.item() if isinstance(value, np.generic) else value
