"""The honesty study in a process of its own: torch is loaded there, and whoever asked keeps his memory and his time."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from papertape.engine.errors import DataError
from papertape.replay.honesty.experiment import HonestyOptions, HonestyRow, Show
from papertape.replay.learning.jobs.job import write_json
from papertape.replay.runtime.process import command_of
from papertape.replay.runtime.sync import wait_for
from papertape.replay.runtime.worker import follow

CHILD: Final = command_of("papertape.replay.honesty.worker")
ASKED: Final = "honesty.json"
ANSWERED: Final = "rows.json"
_LIMIT_S: Final = 3_600.0


def run_honesty(
    options: HonestyOptions,
    on_row: Callable[[HonestyRow], None] | None = None,
    show: Show | None = None,
    *,
    plant: str | None = None,
    command: Sequence[str] = CHILD,
) -> list[HonestyRow]:
    """
    Return the rows of a study that ran in another process, each told to `on_row` as it ends.

    Raises DataError when the process fails.
    """
    rows: list[HonestyRow] = []

    def heard(event: dict[str, Any]) -> None:
        if event["event"] == "row":
            rows.append(HonestyRow(**event["row"]))
            if on_row is not None:
                on_row(rows[-1])
        elif event["event"] == "progress" and show is not None:
            show(event["what"], event["done"], event["of"])

    with tempfile.TemporaryDirectory(prefix="papertape-") as name:
        folder = Path(name)
        write_json(folder / ASKED, {"options": options.to_json(), "plant": plant})
        ended = wait_for(follow(folder, _LIMIT_S, heard, command))
        if ended.outcome != "done":
            raise DataError(ended.reason)
        written = [HonestyRow(*row) for row in json.loads((folder / ANSWERED).read_bytes())]
    if written != rows:
        raise DataError("honesty: the process did not tell the rows that it wrote")
    return rows
