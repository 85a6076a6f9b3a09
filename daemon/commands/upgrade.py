"""`papertape upgrade`: what a new version would decide otherwise, before it takes over."""

from typing import Annotated, Final

import typer

from papertape.daemon.commands.options import AsJson, State, TrustCode
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.runtime.upgrade.comparison import compare_versions
from papertape.engine.errors import ConfigError

_DIFFERS: Final = 1
_SHOWN: Final = 20  # of each table


def upgrade_command(
    state: State,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="on a copy; nothing in the directory is touched")
    ] = False,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """
    Step a copy of a journal with this version and list every decision, fill and figure that would differ.

    The upgrade itself is a start: `papertape run` brings the journal forward, steps it again where the engine has changed, and
    says from which input on it decides otherwise. Exit code 1 when something would differ.

    Example: papertape upgrade state --dry-run
    """
    if not dry_run:
        raise ConfigError(
            "upgrade: say --dry-run to see what would differ; the upgrade itself is done by the next `papertape run`"
        )
    with progress_bars() as on_progress:
        found = compare_versions(state, on_progress, trust_code=trust_code)
    if as_json:
        changes = [change._asdict() for change in found.changes]
        print_json({**found._asdict(), "changes": changes, "is_equal": found.is_equal})
    else:
        for name in found.not_kept:
            console.print(f"! the version before kept no table {name}: it is not compared")
        if found.is_equal:
            rows = ", ".join(f"{n:,} {name}" for name, n in found.rows.items() if n)
            say(f"equal: {found.inputs:,} inputs lead to the same {rows}; digest {found.digest[:16]}")
        for name, n in found.rows.items():
            changes_of = [change for change in found.changes if change.table == name]
            if changes_of:
                console.print(f"{name}: {len(changes_of):,} would differ, of {n:,}")
            for change in changes_of[:_SHOWN]:
                say(f"  {change}")
            if len(changes_of) > _SHOWN:
                console.print(f"  … and {len(changes_of) - _SHOWN:,} more; --json lists all of them")
    if not found.is_equal:
        raise typer.Exit(_DIFFERS)
