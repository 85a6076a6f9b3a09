"""Options and arguments that commands share, each written once."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from papertape.replay.config import Config

ConfigFile = Annotated[
    Path | None, typer.Argument(help="a TOML file; none: the defaults", show_default=False)
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help='section.key=value, repeatable; a symbol with a dot in quotes: markets."BRK.B".tick_size=0.01',
    ),
]
DaemonFile = Annotated[
    Path | None, typer.Option("--config", help="the daemon's TOML file; none: the defaults")
]
DaemonUrl = Annotated[
    str | None, typer.Option("--url", help="of the daemon, in place of daemon.host and port")
]
AsJson = Annotated[bool, typer.Option("--json", help="for machines")]
OneTape = Annotated[str | None, typer.Option(help="a tape; default: the embedded sample")]
Tapes = Annotated[
    list[str] | None, typer.Option("--tape", help="a name in the store or a file; repeat for a portfolio")
]
DrawCount = Annotated[int | None, typer.Option(help="so many at random in place of all")]
Top = Annotated[int, typer.Option(min=1, max=1_000, help="how many are shown")]
TrialLimit = Annotated[int, typer.Option(min=1, help="the most trials")]
DrawSeed = Annotated[int, typer.Option(min=0, help="of the draws")]
Workers = Annotated[int | None, typer.Option(min=1, help="processes; default: one per core")]
Dask = Annotated[
    str | None, typer.Option(help="a Dask scheduler, tcp://HOST:8786: its workers in place of processes here")
]
Shared = Annotated[
    bool,
    typer.Option(
        "--shared", help="share the trials with every shell that runs this command into the same --out"
    ),
]
State = Annotated[Path, typer.Argument(help="a state directory", show_default=False)]
ResultOrState = Annotated[
    Path, typer.Argument(help="a result folder or a state directory", show_default=False)
]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="run the strategy that it names, if not built in")
]
TapeFolder = Annotated[
    Path | None, typer.Option("--store", help="the store; default: $PAPERTAPE_TAPES or tapes/")
]
ModelFolder = Annotated[
    Path | None, typer.Option("--store", help="the store; default: $PAPERTAPE_MODELS or models/")
]


def with_tapes(config: "Config", tapes: Sequence[str] | None) -> "Config":
    """Return a configuration with the tapes that were named on the command line, if any were."""
    if not tapes:
        return config
    return config.changed(data={"tapes": tuple(tapes)})
