"""
Where compiled kernels are kept: a folder per state of the sources that kernels see.

numba does not notice that a callee in another file was edited, so the folder's name is a digest: of the files that
define kernels, of every file of the engine that those import, directly or through others, and of the compiler. Other
files can change without a cold start. Folders that nobody used for thirty days go when a new one is made.
Kernels that plain numba compiled (`PAPERTAPE_PLAIN_JIT=1`) are kept beside the others, never among them.

Of several processes that need a kernel that is not there one compiles it (`KernelTurn`) and the others read it. That is not only
half the time: numba numbers the files of a kernel by the index that it has read, so that two processes which store code for
other arguments at once can leave the one's code under the other's name.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import select
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np

KEPT_DAYS: Final = 30
# For how long somebody who compiles is waited for: the largest kernel takes half a minute beside much else, and who was
# stopped in the middle (Ctrl-Z) must not stop others.
_LOOKS: Final = 6_000
_LOOK_S: Final = 0.05
_ENGINE: Final = Path(__file__).parents[1]
_PLAIN_SUFFIX: Final = "-plain"
_FOLDER: Final = re.compile(rf"kernels-[0-9a-f]{{16}}({_PLAIN_SUFFIX})?")
_FROM: Final = re.compile(r"^[ \t]*from papertape\.(engine[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
_DEFINES: Final = re.compile(r"^@(?:inlined_|expanded_)?kernel$", re.MULTILINE)
_IMPORT: Final = re.compile(r"^[ \t]*import papertape\.(engine[\w.]*)", re.MULTILINE)


@cache
def source_digest() -> str:
    """Return the digest of all of the engine's sources and of the compiler's version."""
    return _digest(sorted(_ENGINE.rglob("*.py")))


def kernel_digest(engine: Path = _ENGINE) -> str:
    """Return the digest of the sources that kernels see, and of the compiler's version."""
    return _digest(kernel_sources(engine))


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256(f"numba {numba.__version__} numpy {np.__version__}".encode())
    for path in paths:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def kernel_sources(engine: Path) -> list[Path]:
    """Return the files of an engine that define kernels, and those that they import, in order."""
    # By their text, for every start asks: a path that pathlib has taken apart costs more than the file that is read.
    texts = {str(path): path.read_text(encoding="utf-8") for path in engine.rglob("*.py")}
    # A line of its own: text that speaks of kernels defines none.
    waiting = [path for path, text in texts.items() if _DEFINES.search(text)]
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [other for other in _imported(engine, texts[path]) if other in texts]
    return sorted(map(Path, found))


def _imported(engine: Path, text: str) -> list[str]:
    """Return where the modules that a file imports could lie; names from a package may be modules of it."""
    modules: list[str] = _IMPORT.findall(text) if "import papertape." in text else []
    for module, names in _FROM.findall(text):
        modules += [module, *(f"{module}.{name}" for name in re.findall(r"\w+", names))]
    places = [os.path.join(engine.parent, module.replace(".", os.sep)) for module in modules]
    return [file for at in places for file in (f"{at}.py", os.path.join(at, "__init__.py"))]


@cache
def is_plain() -> bool:
    """Return whether numba compiles in its own way, as `PAPERTAPE_PLAIN_JIT=1` asks for."""
    return os.environ.get("PAPERTAPE_PLAIN_JIT") == "1"


def users_folder(variable: str, below_home: str) -> Path:
    """
    Return the folder that an XDG variable names, else one below the home folder.

    A relative path is no place of a user's but one in whatever folder is the current one, and counts for nothing; a
    relative $HOME neither: then it is the home folder of the system's list of users.

    Raises RuntimeError where there is no home folder.
    Source: XDG Base Directory Specification 0.8, "All paths set in these environment variables must be absolute".
    """
    named = Path(os.environ.get(variable, ""))
    if named.is_absolute():
        return named
    home = Path.home()
    if home.is_absolute():
        return home / below_home
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir) / below_home
    except KeyError as error:
        raise RuntimeError("there is no home folder") from error


@cache
def cache_directory() -> Path:
    """Return where kernels live that were compiled of exactly these sources in the way that is asked for."""
    base = os.environ.get("PAPERTAPE_CACHE_DIR")
    root = Path(base) if base else users_folder("XDG_CACHE_HOME", ".cache")
    return root / "papertape" / f"kernels-{kernel_digest()}{_PLAIN_SUFFIX if is_plain() else ''}"


@contextlib.contextmanager
def numba_keeps_in(folder: str) -> Iterator[None]:
    """Let numba keep machine code in a folder meanwhile; a user's own numba code keeps its own folder."""
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = folder
    try:
        yield
    finally:
        config.CACHE_DIR = before


def place_in_engine(file: str) -> str:
    """Return what the folder of a file of the engine is called, wherever the engine lies; empty for another file."""
    folder = Path(file).parent
    is_ours = folder.is_relative_to(_ENGINE)
    return ".".join(("engine", *folder.relative_to(_ENGINE).parts)) if is_ours else ""


@cache
def can_store() -> bool:
    """Return whether compiled kernels can be kept, after marking their folder as used."""
    folder = cache_directory()
    try:
        is_new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        if is_new:
            forget_unused(folder)
    except OSError:
        return False
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK)


def forget_unused(folder: Path) -> None:
    """Remove the kernels of folders beside this one that were last used thirty days before it; nothing else."""
    oldest_s = folder.stat().st_mtime - KEPT_DAYS * 86_400
    for other in folder.parent.iterdir():
        is_ours = _FOLDER.fullmatch(other.name) and other.is_dir() and not other.is_symlink()
        if is_ours and other != folder and other.stat().st_mtime < oldest_s:
            for pattern in ("*/*.nb[ci]", "*/*.nb[ci].tmp.*", "*/*.turn"):
                for file in other.glob(pattern):
                    with contextlib.suppress(OSError):
                        file.unlink()
            for empty in (*other.iterdir(), other):
                with contextlib.suppress(OSError):  # not empty, or no folder: not ours
                    empty.rmdir()


class KernelTurn:
    """
    Whose turn it is to compile one kernel: of all processes that share the folder, one at a time.

    Where files cannot be locked, and when somebody takes longer than five minutes, it is everybody's turn.
    """

    def __init__(self, path: str) -> None:
        """Make it for a file of its own, which stays empty."""
        self._path, self._file = path, -1

    def take(self) -> None:
        """Wait for the turn, which ends with the process at the latest."""
        with contextlib.suppress(OSError):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            for _ in range(_LOOKS):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                select.select((), (), (), _LOOK_S)

    def end(self) -> None:
        """Let the next one have it; nothing happens where it was not taken."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                # Said, and not left to the closing: a process that was forked meanwhile holds the file as well.
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = -1
