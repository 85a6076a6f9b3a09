"""
Modules of users as their files say at this moment.

Python keeps what it has compiled of a module beside it and goes on with that while the file's time and size are the same:
an edit of one digit in a file whose time is kept (an archive, a clock that was set back) would run the old code under the
digest of the new.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final

from papertape.engine.user_code.definition import is_library, is_users

_PYTHONS: Final = contextlib.__file__.removesuffix("contextlib.py")  # the folder of its modules


def import_as_written(name: str) -> ModuleType:
    """Return a module, and load it and what it imports of its user's from their text; what is loaded already stays."""
    with _read_from_text():
        return import_module(name)


def if_pythons_own(module: str, file: object) -> str:
    """
    Return, as the end of a sentence, that a module is one of Python's and not its user's; nothing for any other.

    file  where it lies; None where it has no file of Python
    """
    top = module.partition(".")[0]
    if top not in sys.stdlib_module_names or not (file is None or str(file).startswith(_PYTHONS)):
        return ""
    return f"; {top} is a module of Python itself, found before a file of yours: give {top}.py another name"


@contextlib.contextmanager
def _read_from_text() -> Iterator[None]:
    finder = _Finder()
    # Before Python's own, and behind those that others have put before that.
    place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
    sys.meta_path.insert(place, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Finds what Python finds, and has files of users read."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module lies and what loads it."""
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader and is_users(name):
            file = spec.loader.path
            spec.loader = spec.loader if is_library(file) else _Text(name, file)
        return spec


class _Text(SourceFileLoader):
    """Loads a module from its text alone."""

    def get_code(self, fullname: str) -> CodeType:
        """Return what the text says."""
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code
