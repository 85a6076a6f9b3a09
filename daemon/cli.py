"""
The `papertape` command: one entry, a file per group of commands, and one place that turns errors into exit codes.

Exit codes: 0 fine · 1 refused or a failed check · 2 usage · 3 stopped by an invariant.
"""

import errno
import sys
from pathlib import Path

import typer
from rich.console import Console

from daemon.commands.checks import prove_command, verify_command
from daemon.commands.configuration import config_app
from daemon.commands.ctl import ctl_command
from daemon.commands.doctor import doctor_command
from daemon.commands.drift import drift_command
from daemon.commands.honesty import honesty_command
from daemon.commands.journal import journal_app
from daemon.commands.models import models_app
from daemon.commands.replay import demo_command, replay_command
from daemon.commands.run import run_command
from daemon.commands.signals import features_command, study_command
from daemon.commands.sim import sim_command
from daemon.commands.tape import tape_app
from daemon.commands.train import train_command
from daemon.commands.windows import windows_command
from engine.errors import PapertapeError

_INTERRUPTED = 130

app = typer.Typer(
    name="papertape",
    help="Replay recorded candles through the engine that also trades on paper.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo_command)
app.command("replay")(replay_command)
app.command("run")(run_command)
app.command("ctl")(ctl_command)
app.command("verify")(verify_command)
app.command("prove")(prove_command)
app.command("doctor")(doctor_command)
app.command("sim")(sim_command)
app.command("features")(features_command)
app.command("study")(study_command)
app.command("train")(train_command)
app.command("windows")(windows_command)
app.command("drift")(drift_command)
app.command("honesty")(honesty_command)
app.add_typer(tape_app, name="tape")
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")
app.add_typer(journal_app, name="journal")


def main() -> None:
    """Run the command line; every refusal is one clear sentence on stderr and an exit code."""
    error_console = Console(stderr=True, highlight=False, soft_wrap=True)
    # `module:Class` means a file beside the user, as it does for every tool that takes one.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        app()
    except PapertapeError as error:
        error_console.print(f"papertape: {error}", markup=False)
        sys.exit(error.exit_code)
    except AssertionError as error:
        error_console.print(f"papertape: an invariant is broken: {error!r}", markup=False)
        sys.exit(3)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            raise
        error_console.print(f"papertape: {error.filename}: {error.strerror}", markup=False)
        sys.exit(1)
    except SystemExit as end:
        # The command framework has turned the interrupt into its exit code and says nothing.
        if end.code == _INTERRUPTED:
            error_console.print("papertape: interrupted; nothing was written", markup=False)
        raise


if __name__ == "__main__":
    main()
