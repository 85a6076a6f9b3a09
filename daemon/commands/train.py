"""`papertape train`: a model from tapes, a daemon's journal or the newest candles of a venue, through the gate into the store."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from papertape.daemon.commands.fresh import fetch_newest
from papertape.daemon.commands.learning_tables import scores_table
from papertape.daemon.commands.output import console, print_json, progress_bars
from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import export_tapes, identity_of
from papertape.daemon.store import ModelStore
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.model.dataset import Dataset
from papertape.replay.backtest import load_tapes, make_spec
from papertape.replay.config import Config, load_config
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.job import Job
from papertape.replay.learning.process import OnEvent
from papertape.replay.learning.replayed import Progress, rows_of
from papertape.replay.learning.runner import run_attempt
from papertape.replay.learning.settings import LearningSettings, features_of, settings_of
from papertape.replay.stamps import utc_text
from papertape.replay.tape import Tape, read_tape
from papertape.replay.waiting import wait_for


class Material(NamedTuple):
    """What a model is made from: how, and from which rows."""

    settings: LearningSettings
    rows: Dataset


def train_command(
    config: Annotated[
        Path | None, typer.Argument(help="a TOML file; none: the defaults", show_default=False)
    ] = None,
    tape: Annotated[
        list[str] | None,
        typer.Option(help="a name in the store or a file, repeatable; default: the sample"),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="a daemon's state directory, in place of tapes")
    ] = None,
    fresh: Annotated[
        str | None, typer.Option(help="fetch the newest candles of this symbol first")
    ] = None,
    days: Annotated[float, typer.Option(min=1.0, help="with --fresh: how many days")] = 90.0,
    venue: Annotated[str, typer.Option(help="with --fresh: delta, or a ccxt id")] = "delta",
    rest_url: Annotated[
        str | None, typer.Option(help="with --fresh: asked in place of the venue's address")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value, repeatable")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="of models; default: the state's own, $PAPERTAPE_MODELS or models/"),
    ] = None,
    is_promoting: Annotated[
        bool, typer.Option("--promote/--no-promote", help="whether a model that passes takes over")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """
    Train a model, judge it against the champion and its baselines, and promote it only if it passes.

    The newest `learning.gate_days` are kept from training; on them it is judged. A model that does not pass is kept and
    not promoted, and the exit code is 1. A training that was interrupted goes on when the same command is given again.

    Example: papertape train --tape BTCUSDT --set signals.model=lstm
    """
    if sum((bool(tape), state is not None, fresh is not None)) > 1:
        raise ConfigError("train: --tape, --state and --fresh exclude each other; give one of them")
    settings = load_config(config, changes or ())
    models = ModelStore(store or (state / "models" if state else None))
    with progress_bars() as on_progress:
        if state is not None:
            with Journal.read(state) as journal:
                settings = _of_journal(identity_of(journal).config, settings)
                tapes = _journalled(state, journal)
        else:
            names = list(tape or settings.data.tapes)
            if fresh is not None:
                wanted = (venue, fresh, settings.data.timeframe or "1h")
                names = [fetch_newest(*wanted, days, settings.data.store, rest_url, on_progress)]
            data = settings.data.model_copy(update={"tapes": tuple(names)})
            settings = settings.model_copy(update={"data": data})
            tapes = load_tapes(settings)
        material = _material(settings, tapes, on_progress)
        attempt = _train(models, material, on_progress)
    version = _keep(models, attempt, is_promoting)
    if as_json:
        print_json({"version": version, "path": str(models.path(version)), **attempt.to_json()})
    else:
        _show(models, attempt, version, is_promoting)
    if not attempt.is_promoted:
        raise typer.Exit(1)


def _of_journal(kept: Config, given: Config) -> Config:
    """Return a journal's configuration with the way of learning that was asked for now."""
    signals = kept.signals.model_copy(update={"model": given.signals.model})
    return kept.model_copy(update={"signals": signals, "learning": given.learning})


def _journalled(state: Path, journal: Journal) -> list[Tape]:
    with tempfile.TemporaryDirectory(prefix="papertape-") as folder:
        return [read_tape(path) for path in export_tapes(state, journal, Path(folder))]


def _material(config: Config, tapes: Sequence[Tape], on_progress: Progress) -> Material:
    """Return what the model learns from; everything in the configured span is the past."""
    if not config.signals.use_ml:
        raise ConfigError("signals.use_ml: it is off; a model would have nothing to read")
    tapes = sorted(tapes, key=lambda one: one.symbol)
    spec = make_spec(config, tapes)
    spec = make_spec(config, tapes, features_of(config, spec.timeframe))
    settings = settings_of(config, spec, [one.sha256 for one in tapes])
    return Material(settings, rows_of(config, spec, tapes, settings, on_progress))


def _train(models: ModelStore, material: Material, on_progress: Progress) -> Attempt:
    """Return what came of the training; it goes on in the folder of an earlier one that was cut off."""
    settings, rows = material
    version = models.champion()
    champion = models.read(version) if version else b""
    due_ms = int(rows.time_ms[-1])
    job = Job(settings, (due_ms,), rows, "manual", champion=champion, champion_version=version)
    folder = models.folder / ".training" / _digest(job)
    folder.mkdir(parents=True, exist_ok=True)
    attempt = wait_for(run_attempt(folder, job, _epochs(on_progress)))
    shutil.rmtree(folder.parent, ignore_errors=True)
    return attempt


def _digest(job: Job) -> str:
    """Return a name for a job that changes with everything it depends on."""
    found = hashlib.sha256(json.dumps(asdict(job.settings), sort_keys=True).encode())
    for value in (job.rows.x, job.rows.close, job.rows.time_ms):
        found.update(value.tobytes())
    found.update(job.champion)
    return found.hexdigest()[:16]


def _epochs(on_progress: Progress) -> OnEvent:
    """Return what turns the lines of the training process into a bar of epochs."""

    def heard(event: dict[str, Any]) -> None:
        epoch, epochs = event.get("epoch"), event.get("epochs")
        if isinstance(epoch, int) and isinstance(epochs, int):
            on_progress("epochs", epoch, epochs)

    return heard


def _keep(models: ModelStore, attempt: Attempt, is_promoting: bool) -> int:
    """Add a trained model to the store and promote it if it may; return its version."""
    if not attempt.artefact:
        raise DataError(attempt.reason)
    version = models.add(attempt.artefact)
    if attempt.is_promoted and is_promoting:
        models.promote(version)
    return version


def _show(models: ModelStore, attempt: Attempt, version: int, is_promoting: bool) -> None:
    """Print the scores of all contenders on the gate's rows, what the gate says, and where the record is."""
    record, gate = attempt.record, attempt.gate
    console.print(
        f"\n{record['kind']} on {', '.join(record['symbols'])} {record['timeframe']} · learnt from "
        f"{utc_text(record['start_ms'])} … {utc_text(record['end_ms'])} · judged up to {utc_text(attempt.due_ms)}",
        markup=False,
        soft_wrap=True,
    )
    console.print(scores_table("on rows that none of them has seen", gate["contenders"]))
    for criterion in gate["criteria"]:
        sign = "ok  " if criterion["is_passed"] else "not "
        console.print(f"{sign} {criterion['told']}", markup=False, soft_wrap=True)
    console.print(attempt.reason, markup=False, soft_wrap=True)
    told = "not promoted"
    if attempt.is_promoted:
        told = "the champion now" if is_promoting else "not promoted, as asked"
    console.print(
        f"model {version}, {told} · {models.path(version)} · {attempt.wall_s:.1f} s",
        markup=False,
        soft_wrap=True,
    )
