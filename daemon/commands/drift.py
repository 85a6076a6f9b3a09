"""`papertape drift`: how often the watch on drift and the gate err, and how soon they see what is there, measured."""

from typing import Annotated, Any

import typer
from rich.table import Table

from papertape.daemon.commands.options import AsJson
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.commands.terminal import plain_table
from papertape.engine.model.drift.policy import DriftOptions
from papertape.engine.model.gate.gate import GateOptions
from papertape.replay.research.drift_study import DriftRow, DriftStudyOptions, drift_study
from papertape.replay.research.gate_study import GateRow, GateStudyOptions, gate_study


def drift_command(
    runs: Annotated[int, typer.Option(min=1, help="histories per case")] = 12,
    rows: Annotated[int, typer.Option(min=1_200, help="watched in each, hours")] = 4_320,
    horizon: Annotated[int, typer.Option(min=1, help="of the labels, bars")] = 12,
    gate: Annotated[bool, typer.Option("--gate", help="the gate's errors and power as well")] = False,
    gate_runs: Annotated[int, typer.Option(min=10, help="gates per case")] = 400,
    seed: Annotated[int, typer.Option(help="of every history")] = 1,
    as_json: AsJson = False,
) -> None:
    """
    Measure false alarms of the drift detectors on still data and their delay on injected drift.

    With --gate also how often the promotion gate lets noise pass, and edges of known strength; exit code 1 when
    noise passes more often than the gate's level allows.

    Example: papertape drift --gate
    """
    watch, rules = DriftOptions(), GateOptions()
    still = DriftStudyOptions(runs=runs, rows=rows, horizon_bars=horizon, seed=seed)
    noise = GateStudyOptions(runs=gate_runs, horizon_bars=horizon, seed=seed)
    with progress_bars() as show:
        drifts = list(drift_study(still, watch, show))
        gates = list(gate_study(noise, rules, show)) if gate else []
    is_fine = all(row.is_fine for row in gates)
    if as_json:
        print_json(_values(drifts, gates, rules, is_fine))
    else:
        console.print(_drift_table(drifts, still))
        for line in _notes(watch):
            say(line)
        if gates:
            console.print(_gate_table(gates, rules))
    if not is_fine:
        raise typer.Exit(1)


def _values(
    drifts: list[DriftRow], gates: list[GateRow], rules: GateOptions, is_fine: bool
) -> dict[str, Any]:
    """Return everything as plain values."""
    values: dict[str, Any] = {"drift": [row._asdict() for row in drifts]}
    if gates:
        values |= {"gate": [row._asdict() for row in gates], "gate_alpha": rules.alpha}
        values["is_fine"] = is_fine
    return values


def _drift_table(rows: list[DriftRow], options: DriftStudyOptions) -> Table:
    """Return a line per detector: false alarms, and for each drift the median delay and how often it was seen."""
    cases = [case for case in dict.fromkeys(row.case for row in rows) if case != "stationary"]
    title = (
        f"drift detectors: {options.runs} histories of {options.rows:,} rows per case, labels over "
        f"{options.horizon_bars} bars"
    )
    table = plain_table(["detector"], ["false per 1,000", *cases], title, no_wrap=True)
    by_place = {(row.detector, row.case): row for row in rows}
    for detector in dict.fromkeys(row.detector for row in rows):
        still = by_place[detector, "stationary"].alarms_per_1000
        cells = [_seen(by_place[detector, case]) for case in cases]
        table.add_row(detector.replace("_", " "), f"{still:.3f}", *cells)
    return table


def _seen(row: DriftRow) -> str:
    if row.delay_rows is None:
        return "–"
    return f"{row.delay_rows:,.0f} rows, {row.seen:.0%}"


def _notes(watch: DriftOptions) -> tuple[str, ...]:
    return (
        "under a drift: median rows until the first alarm, and the share of histories in which there was one",
        f"an index alarms at {watch.severe_psi:g} if that is more than stationary data as slow reach with chance "
        f"{watch.chance:g}; feature psi counts all eight inputs",
    )


def _gate_table(rows: list[GateRow], rules: GateOptions) -> Table:
    """Return a line per case: how often the gate promoted."""
    title = f"gate: {rows[0].runs:,} challengers per case on {rows[0].rows:,} rows, level {rules.alpha:g}"
    heads = ("best accuracy", "promoted", "rate", "")
    table = plain_table(["challenger"], heads, title, no_wrap=True)
    for row in rows:
        is_noise = row.accuracy == 0.5
        verdict = "power" if not is_noise else "within the level" if row.is_fine else "ABOVE THE LEVEL"
        table.add_row(row.case, f"{row.accuracy:.0%}", f"{row.promotions:,}", f"{row.rate:.1%}", verdict)
    return table
