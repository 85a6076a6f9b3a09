"""`papertape models`: what is in the store, which model is the champion, two of them compared, a logistic one from a tape."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from papertape.daemon.commands.learning_tables import judgement, scores_table, worth_table
from papertape.daemon.commands.options import AsJson, Changes, ModelFolder, OneTape, with_tapes
from papertape.daemon.commands.output import console, print_json, say
from papertape.daemon.commands.terminal import name_table
from papertape.daemon.learning.model_store import ModelEntry, ModelStore
from papertape.engine.errors import DataError
from papertape.engine.model import MODEL_FEATURES, ModelRecord, read_artefact
from papertape.replay.backtesting.run import load_tapes, make_spec
from papertape.replay.config import load_config
from papertape.replay.learning.by_hand import fit_from_tape
from papertape.replay.learning.learning_pass import rows_of
from papertape.replay.learning.settings import settings_of
from papertape.replay.learning.unseen.comparison import compare_models, settings_for
from papertape.replay.tapes.timestamps import utc_text

models_app = typer.Typer(help="The model store: versions, the champion, rollback.", no_args_is_help=True)

_PARTS: Final = ("validate_", "calibrate_")
Version = Annotated[int, typer.Argument(help="a version in the store", min=1, show_default=False)]


@models_app.command("compare")
def compare_command(
    first: Annotated[int, typer.Argument(help="a version in the store", min=1)],
    second: Annotated[int, typer.Argument(help="another one", min=1)],
    tape: Annotated[
        list[str] | None, typer.Option(help="a name or a file, repeatable; default: the sample")
    ] = None,
    changes: Changes = None,
    store: ModelFolder = None,
    as_json: AsJson = False,
) -> None:
    """
    Compare two models on the rows after the newest that either has learnt from.

    Example: papertape models compare 3 4 --tape BTCUSDT
    """
    models = ModelStore(store)
    artefacts = [read_artefact(models.read(version)) for version in (first, second)]
    frames = {model.record.timeframe for model in artefacts}
    if len(frames) != 1:
        raise DataError(f"compare: the models read different timeframes: {', '.join(sorted(frames))}")
    config = load_config(None, [f'data.timeframe="{frames.pop()}"', *(changes or ())])
    config = with_tapes(config, tape)
    tapes = sorted(load_tapes(config), key=lambda one: one.symbol)
    spec = make_spec(config, tapes)
    features = tuple(dict.fromkeys(n for model in artefacts for n in model.record.features))
    config = config.changed(signals={"model_features": features})
    settings = settings_for(artefacts[0], settings_of(config, spec))
    found = compare_models(artefacts[0], artefacts[1], rows_of(config, spec, tapes, settings), settings)
    if as_json:
        values = {**found._asdict(), "difference": found.difference._asdict()}
        print_json({**values, "versions": [first, second]})
        return
    names = (f"model {first}", f"model {second}", "share of rises")
    span = f"{utc_text(found.start_ms)} … {utc_text(found.end_ms)}"
    console.print(scores_table(f"{span}, seen by neither", dict(zip(names, found.scores, strict=True))))
    better = found.difference
    sure = "" if better.lower <= 0.0 <= better.upper else ", surely"
    winner = first if better.value > 0.0 else second
    say(
        f"log-loss of model {winner} is lower by {abs(better.value):.4f}{sure} (second minus first, in 90 %: "
        f"{better.lower:+.4f} … {better.upper:+.4f})"
    )


@models_app.command("list")
def list_command(store: ModelFolder = None, as_json: AsJson = False) -> None:
    """
    List every version; the champion is marked, and a file that cannot be used says why.

    Example: papertape models list --store state/models
    """
    models = ModelStore(store)
    entries = models.entries()
    if as_json:
        print_json([_plain(entry) for entry in entries])
        return
    if not entries:
        say(f"no models in {models.folder}")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("version", "", "kind", "trained up to", "horizon", "log-loss", "base rate"):
        table.add_column(name, justify="right" if name in ("version", "horizon") else "left")
    for entry in entries:
        table.add_row(str(entry.version), "champion" if entry.is_champion else "", *_cells(entry))
    console.print(table)
    for entry in entries:
        if entry.fault:
            say(f"! {entry.fault}")


@models_app.command("show")
def show_command(version: Version, store: ModelFolder = None, as_json: AsJson = False) -> None:
    """
    Show a version: what it reads and has learnt from, its scores, its gate, and what its inputs are worth on unseen rows.

    With --json the whole record: its options, importance, reliability and what drift is measured against as well.

    Example: papertape models show 3
    """
    record = ModelStore(store).show(version)
    if as_json:
        print_json(record.to_json())
        return
    console.print(name_table(_summary(record)))
    parts = _scores_by_part(record.metrics)
    if parts:
        console.print(scores_table("on the later parts of its window", parts))
    gate = record.gate
    if gate.get("contenders"):
        console.print(scores_table("on the gate's rows, which none of them has seen", gate["contenders"]))
        for line in judgement(gate):
            say(line)
        say(gate["reason"])
    if worth := gate.get("worth"):
        console.print(worth_table(worth))


@models_app.command("promote")
def promote_command(version: Version, store: ModelFolder = None) -> None:
    """
    Make a version the champion.

    Example: papertape models promote 3
    """
    found = ModelStore(store)
    found.promote(version)
    say(f"model {version} is the champion of {found.folder}")


@models_app.command("rollback")
def rollback_command(store: ModelFolder = None) -> None:
    """
    Go back to the champion before this one.

    Example: papertape models rollback
    """
    found = ModelStore(store)
    version = found.rollback()
    say(f"model {version} is the champion of {found.folder} again")


@models_app.command("fit")
def fit_command(
    tape: OneTape = None,
    until: Annotated[str | None, typer.Option(help="last day or time it may see, UTC")] = None,
    timeframe: Annotated[str | None, typer.Option(help="of the strategy; default: the tape's")] = None,
    horizon: Annotated[int, typer.Option(min=1, help="bars ahead that it looks")] = 12,
    feature: Annotated[list[str] | None, typer.Option(help="repeatable; default: the built-in list")] = None,
    l2: Annotated[float, typer.Option(help="penalty on the coefficients")] = 1.0,
    store: ModelFolder = None,
    as_json: AsJson = False,
) -> None:
    """
    Fit a logistic model to a tape and add it to the store; it is not promoted by this.

    The newest fifth of the tape is kept out of the fit and measured.

    Example: papertape models fit --tape BTCUSDT --timeframe 1h --until 2023-06-30
    """
    chosen = load_tapes(load_config(None, [f'data.tapes=["{tape}"]'] if tape else []))[0]
    if until is not None:
        chosen = chosen.between(None, until)
    found = ModelStore(store)
    data = fit_from_tape(
        chosen, timeframe, horizon, tuple(feature or MODEL_FEATURES), l2, parent=found.champion()
    )
    version = found.add(data)
    record = found.show(version)
    if as_json:
        print_json(record.to_json())
        return
    say(f"model {version} → {found.path(version)}")
    for name, value in record.metrics.items():
        shown = f"{value:,.0f}" if name.startswith("rows_") else f"{value:.4f}"
        console.print(f"{name:20} {shown}")
    if record.metrics["log_loss"] >= record.metrics["log_loss_base_rate"]:
        console.print("! no better than the base rate on candles that it did not see")


def _summary(record: ModelRecord) -> dict[str, Any]:
    """Return what a model is, without what tables show and what only machines ask for."""
    values = record.to_json()
    for name in ("options", "reference", "curve", "importance", "gate", "format"):
        values.pop(name, None)
    for name in ("start_ms", "end_ms"):
        values[name] = utc_text(values[name])
    if record.inputs == record.columns:
        values["inputs"] = f"all {len(record.inputs)} columns of its features"
    values["metrics"] = {name: value for name, value in record.metrics.items() if not name.startswith(_PARTS)}
    return values


def _scores_by_part(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return the scores of the two later parts of a training window, which stopped and calibrated it, where they were scored."""
    return {
        part: {"rows": int(metrics[f"rows_{part}"])}
        | {
            name.removeprefix(f"{part}_"): value
            for name, value in metrics.items()
            if name.startswith(f"{part}_")
        }
        for part in ("validate", "calibrate")
        if {f"rows_{part}", f"{part}_log_loss"} <= metrics.keys()
    }


def _plain(entry: ModelEntry) -> dict[str, Any]:
    return {
        "version": entry.version,
        "is_champion": entry.is_champion,
        "fault": entry.fault or None,
        "record": entry.record.to_json() if entry.record else None,
    }


def _cells(entry: ModelEntry) -> list[str]:
    if entry.record is None:
        return ["cannot be used", "", "", "", ""]
    record = entry.record
    judged = record.gate.get("contenders", {})  # a model made by hand has its own test rows instead
    losses = [
        judged.get("challenger", {}).get("log_loss", record.metrics.get("log_loss")),
        judged.get("majority", {}).get("log_loss", record.metrics.get("log_loss_base_rate")),
    ]
    return [
        record.kind,
        utc_text(record.end_ms),
        f"{record.horizon_bars} × {record.timeframe}",
        *("–" if loss is None else f"{loss:.4f}" for loss in losses),
    ]
