"""An exception of a user's code in words: what, and the last line of theirs that it passed."""

from inspect import getfile
from traceback import extract_tb
from typing import Final

from papertape.engine.errors import PapertapeError

_OURS: Final = getfile(PapertapeError).removesuffix("errors.py")  # whatever of the engine


def told(error: BaseException) -> str:
    """Return an exception of a user's code in words: what, and the last line of theirs that it passed."""
    said = " ".join(str(error).split())[:300]
    if not isinstance(error, PapertapeError):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    frames = [f for f in extract_tb(error.__traceback__) if not f.filename.startswith(_OURS)]
    if not frames:
        return said
    file = frames[-1].filename.replace("\\", "/").rpartition("/")[2]
    return f"{said} ({file}, line {frames[-1].lineno})"
