"""
The `papertape` command: one entry, a file per group of commands, and one place that turns errors into exit codes.

Exit codes: 0 fine · 1 refused or a failed check · 2 usage · 3 stopped by an invariant.

Little is imported on top: an interrupt during the half second of imports is a sentence, too.
"""

import ast
import errno
import gc
import io
import os
import select
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

if TYPE_CHECKING:
    import typer

_INTERRUPTED = 130
_COMPLETED: Final = "COMP_WORDS"  # what has been typed, where a shell asks how it may go on
# What the system's own words leave open.
_WAYS_OUT: Final = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "check its owner and permissions",
    errno.EROFS: "choose a place that can be written",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}

_TRIALS_KEPT: Final = "finished trials are kept, and the same command goes on with them"
# What an interrupt leaves of commands that have begun.
_KEPT: Final = {
    "run": "what was accepted is kept",
    "sweep": _TRIALS_KEPT,
    "optimize": _TRIALS_KEPT,
    "walkforward": _TRIALS_KEPT,
    "learn-study": _TRIALS_KEPT.replace("trials", "cells"),
}

# Command and where it is: a module of `papertape.daemon.commands`, and the function or group in it. Groups are last.
COMMANDS: Final = {
    "demo": "replay:demo_command",
    "replay": "replay:replay_command",
    "sweep": "sweep:sweep_command",
    "optimize": "optimize:optimize_command",
    "walkforward": "walkforward:walkforward_command",
    "montecarlo": "montecarlo:montecarlo_command",
    "calibrate": "calibrate:calibrate_command",
    "run": "run:run_command",
    "top": "top:top_command",
    "verify": "checks:verify_command",
    "statement": "statement:statement_command",
    "upgrade": "upgrade:upgrade_command",
    "prove": "checks:prove_command",
    "doctor": "doctor:doctor_command",
    "sim": "sim:sim_command",
    "features": "signals:features_command",
    "study": "signals:study_command",
    "train": "train:train_command",
    "windows": "windows:windows_command",
    "drift": "drift:drift_command",
    "learn-study": "learn_study:learn_study_command",
    "recipe-study": "recipe_study:recipe_study_command",
    "honesty": "honesty:honesty_command",
    "trials": "trials:trials_app",
    "ctl": "ctl:ctl_app",
    "tape": "tape:tape_app",
    "models": "models:models_app",
    "config": "configuration:config_app",
    "journal": "journal:journal_app",
}

# What runs an engine, and so needs machine code.
_COMPILES: Final = COMMANDS.keys() - {
    "top", "statement", "doctor", "sim", "trials", "ctl", "tape", "models", "config", "journal",
}  # fmt: skip


def make_app(names: Iterable[str] = COMMANDS) -> "typer.Typer":
    """Return the command line with these commands; what another one needs is not loaded for them."""
    import typer

    app = _empty_app()
    for name in names:
        module, _, entry = COMMANDS[name].partition(":")
        found = getattr(import_module(f"papertape.daemon.commands.{module}"), entry)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def make_listing() -> "typer.Typer":
    """Return the command line for whoever names no command: of each its help out of the source, and nothing of it loaded."""
    app = _empty_app()
    for name, place in COMMANDS.items():
        app.command(name, help=_help_of(place))(lambda: None)
    return app


def _help_of(place: str) -> str:
    """Return the docstring of a command's function, or what its group is called with as `help`."""
    module, _, entry = place.partition(":")
    source = (Path(__file__).parent / "commands" / f"{module}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=name) if name == entry:
                return ast.get_docstring(node) or ""
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(keywords=words)):
                if name == entry:
                    return str(ast.literal_eval(next(w.value for w in words if w.arg == "help")))
    raise AssertionError(place)


def _empty_app() -> "typer.Typer":
    import typer

    app = typer.Typer(
        name="papertape",
        help="Replay recorded candles through the engine that also trades on paper.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def several(
        is_asking: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="and leave")
        ] = False,
    ) -> None:
        """Replay recorded candles through the engine that also trades on paper."""

    return app


def _loaded(words: Sequence[str]) -> "typer.Typer":
    """Return the command line that these words need; a third of a start would be looking for garbage among modules."""
    gc.disable()
    try:
        if words and words[0] in COMMANDS:
            return make_app(words[:1])
        return make_app() if COMMANDS.keys() & set(words) else make_listing()
    finally:
        gc.freeze()  # modules stay as long as the process: no later collection goes through them
        gc.enable()


def _version(is_asked: bool) -> None:
    import typer

    if is_asked:
        typer.echo(f"papertape {version('papertape')}")
        raise typer.Exit


def __getattr__(name: str) -> "typer.Typer":
    """Return `app`: the whole command line, made when somebody asks for it."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make_app()


def _sentence(error: OSError) -> str:
    """Return what the system refused, as one sentence with the way out where there is one."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    place = f"{error.filename}: " if error.filename is not None else ""
    way = _WAYS_OUT.get(error.errno or 0)
    return f"{place}{reason}; {way}" if way else f"{place}{reason}"


def main() -> None:
    """Run the command line; every refusal is one clear sentence on stderr and an exit code."""
    _open_streams()
    if sys.platform == "win32":
        sys.exit("papertape: Windows has no locks and processes as it needs them; run it in WSL 2")
    try:
        _run()
    except KeyboardInterrupt:
        # Before the command framework looks after it: most of a start is imports.
        sys.stderr.write("papertape: interrupted; nothing was written\n")
        sys.exit(_INTERRUPTED)


def _open_streams() -> None:
    """
    Let whatever is printed be printable: into nothing where a stream is closed, with `?` for a letter that stdout has not.

    The number of a closed stream is taken at once, before a file of ours has it and is written into, here or in a process
    of ours.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def _is_unread(stream: TextIO | None) -> bool:
    """Return whether nobody reads a stream any more."""
    if stream is None:
        return False
    asked = select.poll()
    asked.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


def _unkept(words: Sequence[str]) -> str:
    """Return a sentence where a command makes machine code that cannot be kept; otherwise nothing."""
    if not words or words[0] not in _COMPILES or "--help" in words:
        return ""
    import numba

    from papertape.engine.jit.cache import cache_directory, can_store

    config: Any = numba.config
    if config.DISABLE_JIT or can_store():
        return ""
    return (
        f"machine code cannot be kept in {cache_directory().parent}, so every start compiles for some 15 s: set "
        "PAPERTAPE_CACHE_DIR to a folder that can be written"
    )


def _run() -> None:
    from papertape.daemon.commands.terminal import Terminal
    from papertape.engine.errors import PapertapeError

    error_console = Terminal(stderr=True, highlight=False, soft_wrap=True)
    # `module:Class` means a file beside the user, as it does for every tool that takes one. Last, not first: a file that
    # lies there by the name of a library must not run because somebody looks at a folder from within.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    given = sys.argv[1:] or os.environ.get(_COMPLETED, "").split()[1:]
    try:
        command = _loaded(given)
        if told := _unkept(sys.argv[1:]):
            error_console.print(f"papertape: {told}", markup=False)
        command()
    except PapertapeError as error:
        error_console.print(f"papertape: {error}", markup=False)
        sys.exit(error.exit_code)
    except AssertionError as error:
        error_console.print(f"papertape: an invariant is broken: {error!r}", markup=False)
        sys.exit(3)
    except OSError as error:
        error_console.print(f"papertape: {_sentence(error)}", markup=False)
        sys.exit(1)
    except SystemExit as end:
        # `| head` has read enough; the command framework calls that a failure, as it does any broken pipe.
        if isinstance(end.__context__, BrokenPipeError) and _is_unread(sys.__stdout__):
            sys.exit(0)
        # The command framework has turned the interrupt into its exit code and says nothing.
        if end.code == _INTERRUPTED:
            kept = _KEPT.get(given[0] if given else "", "nothing was written")
            error_console.print(f"papertape: interrupted; {kept}", markup=False)
        raise


if __name__ == "__main__":
    main()
