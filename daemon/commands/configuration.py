"""`papertape config`: begin a configuration, check one, print its JSON Schema, or list what can be set of a strategy."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.options import AsJson
from papertape.daemon.commands.output import console, print_json, say
from papertape.daemon.notifications.rules import check_rules
from papertape.engine.errors import ConfigError
from papertape.engine.strategies import class_of, declared_parameters
from papertape.replay.config import Config, load_config
from papertape.replay.config.spec import check_names, check_together
from papertape.replay.config.template import config_template
from papertape.replay.config.user_code import check_code
from papertape.replay.learning.feasible import check_learning
from papertape.replay.runtime.files import write_whole

config_app = typer.Typer(help="Begin a configuration, check or describe it.", no_args_is_help=True)


@config_app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(help="a TOML file", show_default=False)], as_json: AsJson = False
) -> None:
    """
    Check a configuration file and tell all its faults at once; a strategy of your own is read, not run.

    Example: papertape config check deploy/replay.toml
    """
    config = load_config(file)
    check_together(
        partial(check_names, config),
        partial(_check_code_and_rules, config),
        partial(check_learning, config, str(file)),
    )
    if as_json:
        print_json(config.model_dump(mode="json"))
    else:
        say(f"{file}: fine")


def _check_code_and_rules(config: Config) -> None:
    check_code(config)
    check_rules(config)  # which reads what strategies compute


@config_app.command("init")
def init_command(
    file: Annotated[Path, typer.Argument(help="the file to write")] = Path("papertape.toml"),
) -> None:
    """
    Write a configuration with every key, its default and its meaning, to change what you need.

    Example: papertape config init
    """
    if os.path.lexists(file):
        raise ConfigError(f"{file}: it is there already; name another file")
    write_whole(file, lambda new: new.write(config_template().encode()))
    say(f"wrote {file}; next: papertape replay {file}")


@config_app.command("schema")
def schema_command() -> None:
    """
    Print the JSON Schema of a configuration.

    Example: papertape config schema > papertape.schema.json
    """
    print_json(Config.model_json_schema())


@config_app.command("parameters")
def parameters_command(
    strategy: Annotated[
        str, typer.Argument(help="a built-in strategy or module:Class, which is imported")
    ] = "confluence",
    as_json: AsJson = False,
) -> None:
    """
    List the parameters that a strategy declares, with default, range and meaning.

    Example: papertape config parameters ema_cross
    """
    declared = declared_parameters(class_of(strategy))
    if as_json:
        print_json([one.to_json() for one in declared.values()])
    elif not declared:
        console.print(f"{strategy} declares no parameters", markup=False)
    else:
        table = Table(box=None, pad_edge=False)
        for heading in ("parameter", "default", "allowed", "meaning"):
            table.add_column(heading, overflow="fold")
        for name, one in declared.items():
            table.add_row(*map(escape, (name, str(one.default), one.range, one.help)))
        console.print(table)
