"""`papertape montecarlo`: what one result, or a configuration, could have been."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from papertape.daemon.commands.options import AsJson, Changes, Tapes, Workers, with_tapes
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.commands.terminal import plain_table
from papertape.engine.errors import ConfigError
from papertape.replay.config import Config, load_config
from papertape.replay.config.spec import load_tapes
from papertape.replay.research.montecarlo.draws import (
    FOLDER,
    TABLE,
    MonteCarlo,
    PathOptions,
    draw_paths,
    read_source,
)
from papertape.replay.research.montecarlo.engines import run_montecarlo
from papertape.replay.research.montecarlo.page import PLACEBO, placebo_sentence, write_montecarlo
from papertape.replay.research.sweep.run import processes
from papertape.replay.runtime.allocation import return_large_arrays
from papertape.replay.runtime.files import own_folder

_DEFAULTS = PathOptions()


def montecarlo_command(
    source: Annotated[
        Path | None,
        typer.Argument(help="a TOML file, or a result folder; none: the defaults", show_default=False),
    ] = None,
    paths: Annotated[int, typer.Option(min=1, help="of each kind that draws a result")] = _DEFAULTS.paths,
    markets: Annotated[
        int, typer.Option(min=1, help="of each kind that replays a configuration")
    ] = _DEFAULTS.markets,
    ruin: Annotated[float, typer.Option(help="the loss of capital that is called ruin")] = _DEFAULTS.ruin,
    skip: Annotated[float, typer.Option(help="share of trades that a path leaves out")] = _DEFAULTS.skip,
    costs: Annotated[
        float, typer.Option(help="the most times that costs are paid once more")
    ] = _DEFAULTS.costs,
    block: Annotated[
        float, typer.Option(help="days of a block of markets on average; 0: by their dependence")
    ] = _DEFAULTS.block,
    noise: Annotated[
        float, typer.Option(help="by which closes are moved, a share of the candle's range")
    ] = _DEFAULTS.noise,
    delay: Annotated[
        int, typer.Option(min=0, help="the most base candles that fills come later")
    ] = _DEFAULTS.delay,
    training: Annotated[
        str, typer.Option(help="of models: none take part; run: the run's on every path; anew: each")
    ] = _DEFAULTS.training,
    seed: Annotated[int, typer.Option(min=0, help="the same one draws the same paths")] = _DEFAULTS.seed,
    tape: Tapes = None,
    changes: Changes = None,
    out: Annotated[
        Path | None, typer.Option(help="folder; default: the result's, results/montecarlo of a configuration")
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """
    Draw a result again, or replay a configuration on markets drawn again: intervals for return, drawdown, time under water and ruin.

    Example: papertape montecarlo --set strategy.name=ema_cross --set account.sizing=all_in --markets 20
    """
    options = PathOptions(paths, ruin, skip, costs, seed, markets, block, noise, delay, training)
    if out is not None:
        own_folder(out)
    if source is not None and source.is_dir():
        if tape or changes:
            raise ConfigError(
                f"{source}: it is a result, which has its tapes and settings; name a TOML file, or leave --tape and --set out"
            )
        found, folder = draw_paths(read_source(source), options), out or source
    else:
        settings = with_tapes(load_config(source, changes or ()), tape)
        found, folder = _replayed(settings, options, workers), out or Path("results") / FOLDER
    page = write_montecarlo(folder, found)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found, folder, page)


def _replayed(config: Config, options: PathOptions, workers: int | None) -> MonteCarlo:
    return_large_arrays()
    tapes = load_tapes(config)
    with progress_bars() as on_progress:
        return run_montecarlo(config, tapes, options, processes(workers), on_progress)


def _show(found: MonteCarlo, folder: Path, page: Path | None) -> None:
    console.print(f"{found.title}: 5 % · 50 % · 95 % of all paths", markup=False)
    console.print(_table(found))
    for kind in found.kinds:
        say(f"{kind.name}: {kind.tells}")
    if found.placebo is not None:
        say(f"{PLACEBO}: {placebo_sentence(found)}")
    for line in found.notes:
        say(f"! {line}")
    for name, reason in found.missing.items():
        say(f"! {name}: not drawn, {reason}")
    console.print(f"digest {found.digest[:16]}, seed {found.options.seed}", markup=False)
    if page is not None:
        say(f"paths {folder / TABLE}")
        say(f"report {page}")


def _table(found: MonteCarlo) -> Table:
    ruined = f"ruin at −{found.options.ruin:.0%}"
    heads = ("paths", "total return", "max drawdown", "longest under water", "loss", ruined)
    table = plain_table(["drawn"], heads)
    for row in found.to_json()["kinds"]:
        table.add_row(
            row["kind"] + (" (synthetic)" if row["is_synthetic"] else ""),
            f"{row['paths']:,}",
            " · ".join(f"{value:+.1%}" for value in row["total"]),
            " · ".join(f"{value:.1%}" for value in row["drawdown"]),
            " · ".join(f"{value:,.0f}" for value in row["underwater"]) + f" {row['underwater_unit']}",
            f"{row['loss']:.1%}",
            f"{row['ruin']:.1%}",
        )
    return table
