"""`papertape train`: a model from tapes, a daemon's journal or the newest candles of a venue, through the gate into the store."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from papertape.daemon.commands.learning_tables import judgement, scores_table, worth_table
from papertape.daemon.commands.options import AsJson, Changes, ConfigFile, with_tapes
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.commands.tape_fetch import fetch
from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import export_tapes, identity_of
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.learning.train import train_attempt
from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError, DataError
from papertape.replay.config import Config, load_config
from papertape.replay.config.spec import load_tapes
from papertape.replay.importers.options import is_symbol
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.learning_pass import Progress
from papertape.replay.runtime.clock import WallClock
from papertape.replay.tapes.store import Store, Tape, read_tape
from papertape.replay.tapes.timestamps import utc_text

_DAY_MS: Final = 86_400_000
_LATEST_MS: Final = 1 << 52


def train_command(
    config: ConfigFile = None,
    tape: Annotated[
        list[str] | None, typer.Option(help="a name in the store or a file, repeatable; default: the sample")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="a daemon's state directory, in place of tapes")] = None,
    fresh: Annotated[str | None, typer.Option(help="fetch the newest candles of this symbol first")] = None,
    days: Annotated[
        float | None, typer.Option(min=1.0, help="with --fresh: how many days; default: 90")
    ] = None,
    venue: Annotated[str | None, typer.Option(help="with --fresh: delta (default), or a ccxt id")] = None,
    rest_url: Annotated[
        str | None, typer.Option(help="with --fresh: asked in place of the venue's address")
    ] = None,
    changes: Changes = None,
    store: Annotated[
        Path | None, typer.Option(help="of models; default: the state's own, $PAPERTAPE_MODELS or models/")
    ] = None,
    is_promoting: Annotated[
        bool, typer.Option("--promote/--no-promote", help="whether a model that passes takes over")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """
    Train a model, judge it against the champion and its baselines, and promote it only if it passes.

    The newest `learning.gate_days` are kept from training; on them it is judged. A model that does not pass is kept and
    not promoted, and the exit code is 1. A training that was interrupted goes on when the same command is given again
    within thirty days.

    Example: papertape train --tape BTCUSDT --set signals.model=lstm
    """
    _refuse_mixed(tape, state, fresh, {"--days": days, "--venue": venue, "--rest-url": rest_url})
    settings = load_config(config, changes or ())
    models = ModelStore(store or (state / "models" if state else None))
    with progress_bars() as on_progress:
        if state is not None:
            settings, tapes = _journalled(state, settings)
        else:
            if fresh is not None:
                wanted = (venue or "delta", fresh, settings.data.timeframe or "1h")
                where = (settings.data.store, rest_url, on_progress)
                tape = [fetch_newest(*wanted, days or 90.0, *where)]
            settings = with_tapes(settings, tape)
            tapes = load_tapes(settings)
        attempt, version = train_attempt(models, settings, tapes, on_progress, is_promoting)
    if as_json:
        print_json({"version": version, "path": str(models.path(version)), **attempt.to_json()})
    else:
        _show(models, attempt, version, is_promoting)
    if not attempt.is_promoted:
        raise typer.Exit(1)


def _refuse_mixed(
    tape: list[str] | None, state: Path | None, fresh: str | None, asked: Mapping[str, object]
) -> None:
    """Raise ConfigError when more than one source is named, or a detail of one that is not."""
    if sum((bool(tape), state is not None, fresh is not None)) > 1:
        raise ConfigError("train: --tape, --state and --fresh exclude each other; give one of them")
    if fresh is None and (alone := [name for name, value in asked.items() if value is not None]):
        raise ConfigError(
            f"train: {', '.join(alone)} without --fresh SYMBOL; say what is fetched, or leave it out "
            "(the days that a model learns from are --set learning.window_days=…)"
        )


def _journalled(state: Path, given: Config) -> tuple[Config, list[Tape]]:
    """Return a journal's configuration, with the way of learning that was asked for now, and its candles."""
    with Journal.read(state) as journal:
        kept = identity_of(journal).config
        signals = kept.signals.model_copy(update={"model": given.signals.model})
        settings = kept.model_copy(update={"signals": signals, "learning": given.learning})
        with tempfile.TemporaryDirectory(prefix="papertape-") as folder:
            paths = export_tapes(state, journal, Path(folder))
            return settings, [read_tape(path) for path in paths]


def _show(models: ModelStore, attempt: Attempt, version: int, is_promoting: bool) -> None:
    """Print the scores of all contenders on the gate's rows, what the gate says, where the record is, and what inputs are worth."""
    record, gate = attempt.record, attempt.gate
    say(
        f"\n{record['kind']} on {', '.join(record['symbols'])} {record['timeframe']} · learnt from "
        f"{utc_text(record['start_ms'])} … {utc_text(record['end_ms'])} · judged up to {utc_text(attempt.due_ms)}"
    )
    console.print(scores_table("on rows that none of them has seen", gate["contenders"]))
    for line in judgement(gate):
        say(line)
    say(attempt.reason)
    told = "not promoted"
    if attempt.is_promoted:
        told = "the champion now" if is_promoting else "not promoted, as asked"
    say(f"model {version}, {told} · {models.path(version)} · {attempt.wall_s:.1f} s")
    if selection := record.get("selection"):
        told = f"reads {len(record['inputs'])} of {len(selection)} inputs: {', '.join(record['inputs'])}"
        say(told)
    if worth := gate.get("worth"):
        console.print(worth_table(worth))


def fetch_newest(
    venue: str,
    symbol: str,
    timeframe: str,
    days: float,
    store: str | None,
    rest_url: str | None,
    on_progress: Progress,
) -> str:
    """Fetch the candles of the last days and return the tape's file; what is stored already is kept."""
    if not is_symbol(symbol):
        raise DataError(f"{symbol!r} is no symbol; write it like BTCUSD or BTC/USDT:USDT")

    async def newest() -> str:
        length_ms = timeframe_ms(timeframe)
        first_ms = (WallClock().now_ms() - round(days * _DAY_MS)) // length_ms * length_ms
        wanted = (timeframe, first_ms, _LATEST_MS)
        place = [(venue, symbol)]
        found = await fetch(place, wanted, Store(store), "india", rest_url, False, on_progress)
        return str(found.path)

    try:
        return asyncio.run(newest())
    except KeyboardInterrupt:
        console.print("interrupted; what came is kept, and the same command goes on from there")
        raise typer.Exit(130) from None
