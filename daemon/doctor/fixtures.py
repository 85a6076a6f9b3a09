"""Raw frames and answers into a folder, from which tests and the reference can be mended."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from papertape.daemon.feeds.delta.recorder import FrameRecorder
from papertape.replay.sources.delta_http import SeenHeaders


class Fixtures:
    """
    A folder of what a venue said; without one, nothing is kept. Use it as a context manager.

    `compact.jsonl`, `legacy.jsonl`   every frame with the time it came
    `rest-001.json`, …                every answer: path, parameters, status, headers, text
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._recorders: dict[str, FrameRecorder] = {}
        self._n_answers = 0

    def __enter__(self) -> Self:
        """Make the folder."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files."""
        for recorder in self._recorders.values():
            recorder.close()

    def frame(self, stream: str, time_ms: int, text: str) -> None:
        """Keep a frame of a stream."""
        if self.folder is None:
            return
        if stream not in self._recorders:
            self._recorders[stream] = FrameRecorder(self.folder / f"{stream}.jsonl")
        self._recorders[stream].write(time_ms, "in", text)

    def answer(self, seen: SeenHeaders) -> None:
        """Keep an answer."""
        if self.folder is None:
            return
        self._n_answers += 1
        values = {
            "path": seen.path,
            "parameters": dict(seen.parameters),
            "status": seen.status,
            "headers": dict(seen.headers),
            "text": seen.text.decode("utf-8", "replace"),
        }
        path = self.folder / f"rest-{self._n_answers:03}.json"
        path.write_text(json.dumps(values, indent=1), encoding="utf-8")
