"""The examples in docstrings run, and what users touch has one."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("engine", "replay", "daemon")
# Where users begin; each has an example.
SHOWN = {
    "engine/spec.py": ("Market",),
    "engine/strategies/protocol.py": ("Decision",),
    "replay/backtesting/result.py": ("Result",),
    "replay/config/__init__.py": ("load_config",),
    "replay/front/backtest.py": ("backtest",),
    "replay/front/data.py": ("tape_of_table",),
    "replay/importers/build.py": ("import_tape",),
    "replay/tapes/resample.py": ("resample",),
    "replay/tapes/store.py": ("Store",),
    "replay/tapes/synthetic.py": ("synthesize",),
    "replay/tapes/tape.py": ("Tape", "tape_name", "time_ms"),
}
WITH_EXAMPLES = [
    str(path.relative_to(ROOT))
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def examples_of(place: str) -> list[doctest.DocTest]:
    name = "papertape." + place.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    module = import_module(name)
    return [test for test in doctest.DocTestFinder().find(module, name) if test.examples]


@pytest.mark.parametrize("place", WITH_EXAMPLES)
def test_examples_print_what_they_show(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []

    for test in examples_of(place):
        doctest.DocTestRunner().run(test, out=told.append)

    assert told == []


def test_what_users_touch_has_an_example() -> None:
    for place, names in SHOWN.items():
        found = {test.name.rpartition(".")[2] for test in examples_of(place)}

        assert set(names) <= found, place
