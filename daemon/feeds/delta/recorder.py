"""Raw frames to a JSONL file, on demand: what a bug report or a fixture is made of."""

from pathlib import Path
from typing import Self

import orjson

MAX_BYTES = 256 * 1024 * 1024


class FrameRecorder:
    """Writes every frame with the time and direction it had; stops, and says so, at `max_bytes`."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.n_frames = 0
        self.is_full = False
        self._max_bytes = max_bytes
        self._n_bytes = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, time_ms: int, direction: str, data: str | bytes) -> None:
        """Append a frame; `direction` is `in` or `out`."""
        text = data if isinstance(data, str) else data.decode(errors="replace")
        line = orjson.dumps({"time_ms": time_ms, "direction": direction, "text": text}) + b"\n"
        self.is_full = self.is_full or self._n_bytes + len(line) > self._max_bytes
        if not self.is_full:
            self._n_bytes += self._file.write(line)
            self.n_frames += 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()
