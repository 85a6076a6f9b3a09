"""Modules of users: what their files say is what runs."""

import os
import py_compile
import sys
from pathlib import Path

import pytest

from papertape.engine.strategies import load_object

TEXTS = {
    "edited_by_its_user": "from helper_of_its_user import FACTOR\n\nVALUE = 10 * FACTOR + {}\n",
    "helper_of_its_user": "FACTOR = {}\n",
}


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are imported from, and forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in TEXTS:
        monkeypatch.setitem(sys.modules, name, sys)  # so that it is taken out again afterwards
        del sys.modules[name]
    return tmp_path


def written(folder: Path, number: int) -> None:
    """Write both modules, each as long as before and with the same time."""
    for name, text in TEXTS.items():
        path = folder / f"{name}.py"
        path.write_text(text.format(number), encoding="utf-8")
        os.utime(path, (1_700_000_000, 1_700_000_000))


def test_an_edit_that_keeps_time_and_size_is_one(users: Path) -> None:
    written(users, 1)
    for name in TEXTS:
        py_compile.compile(str(users / f"{name}.py"), doraise=True)
    written(users, 2)

    found = load_object("edited_by_its_user:VALUE")

    assert found == 22  # 10 × 2 + 2


def test_libraries_and_what_is_loaded_stay_as_they_are(users: Path) -> None:
    before = list(sys.meta_path)
    written(users, 1)
    assert load_object("edited_by_its_user:VALUE") == 11
    written(users, 2)

    assert load_object("edited_by_its_user:VALUE") == 11
    assert load_object("json:loads") is __import__("json").loads
    assert sys.meta_path == before
