"""`papertape config`: begin a configuration, check one, or print its JSON Schema."""

from pathlib import Path
from typing import Annotated

import typer

from papertape.daemon.commands.output import console, print_json
from papertape.engine.errors import ConfigError
from papertape.replay.config import Config, load_config
from papertape.replay.config.spec import check_names
from papertape.replay.config.template import config_template
from papertape.replay.config.user_code import check_strategy
from papertape.replay.learning.feasible import check_learning

config_app = typer.Typer(help="Begin a configuration, check or describe it.", no_args_is_help=True)


@config_app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(help="a TOML file", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """
    Check a configuration file and tell all its faults at once; a strategy of your own is read, not run.

    Example: papertape config check deploy/replay.toml
    """
    config = load_config(file)
    check_names(config)
    check_strategy(config.strategy.name, config.strategy.parameters)
    check_learning(config, str(file))
    if as_json:
        print_json(config.model_dump(mode="json"))
    else:
        console.print(f"{file}: fine")


@config_app.command("init")
def init_command(
    file: Annotated[Path, typer.Argument(help="the file to write")] = Path("papertape.toml"),
) -> None:
    """
    Write a configuration with every key, its default and its meaning, to change what you need.

    Example: papertape config init
    """
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(config_template())
    except FileExistsError:
        raise ConfigError(f"{file}: it is there already; name another file") from None
    console.print(f"wrote {file}; next: papertape replay {file}", markup=False, soft_wrap=True)


@config_app.command("schema")
def schema_command() -> None:
    """
    Print the JSON Schema of a configuration.

    Example: papertape config schema > papertape.schema.json
    """
    print_json(Config.model_json_schema())
