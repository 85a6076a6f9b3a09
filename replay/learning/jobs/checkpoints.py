"""Where a training keeps what it needs to go on: one file per fit, whole or absent, never unpickled."""

import json
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from papertape.replay.runtime.files import write_whole

Arrays = dict[str, npt.NDArray[Any]]
_VALUES: Final = "values.json"  # entry of the archive that holds the plain values


class Checkpoints:
    """The `papertape.engine.model.training.torch_fit.CheckpointStore` of a folder; what is damaged counts as absent: training begins anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, name: str, arrays: Arrays, values: dict[str, Any]) -> None:
        """Keep arrays and plain values in place of those before."""
        text = np.frombuffer(json.dumps(values).encode(), np.uint8)
        kept: dict[str, Any] = {**arrays, _VALUES: text}
        write_whole(self._path(name), lambda file: np.savez(file, **kept))

    def load(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Return what was kept last, None when there is nothing."""
        try:
            with np.load(self._path(name), allow_pickle=False) as kept:
                arrays = {key: kept[key] for key in kept.files}
            values = json.loads(arrays.pop(_VALUES).tobytes())
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        return arrays, values

    def remove(self) -> None:
        """Remove what was kept."""
        for path in self.folder.glob("*.npz"):
            path.unlink()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.encode().hex()}.npz"  # symbols hold what no file name may
