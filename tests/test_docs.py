"""The documents: what is generated is what the code says, and every path, module, test and link in them is there."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from papertape.replay.config import Config

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "deploy" / "docs"
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "deploy").glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / ".github").rglob("*.md"),
        *(ROOT / room / "README.md" for room in ("engine", "replay", "daemon")),
    ]
)
DOCUMENTS = [path for path in DOCUMENTS if path.is_file()]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
# Where programs run and people fill in, nothing is there to be checked.
NOT_HERE = {"deploy/secrets"}

CODE = re.compile(r"`([^`\n]+)`")
PLACE = re.compile(r"(?:engine|replay|daemon|tests|deploy|\.ci|\.github)/[\w./-]*(?:::\w+)?")
MODULE = re.compile(r"papertape\.(?:engine|replay|daemon)(?:\.\w+)*")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def builder() -> ModuleType:
    """Return the builder as its own command line would have it: its folder on the path."""
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["configuration.md", "metrics.md", "candle.svg"])
def test_what_is_generated_is_what_the_code_says(name: str) -> None:
    made = builder().FILES

    assert set(made) == {"configuration.md", "metrics.md", "candle.svg"}
    assert (DOCS / name).read_text(encoding="utf-8") == made[name](), (
        f"deploy/docs/{name} is not what the code says now: run `python deploy/docs/build.py`"
    )


def test_every_key_has_a_row_and_a_meaning() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([^|]+) \|$", text, re.MULTILINE)
    sections = [field.annotation for field in Config.model_fields.values()]

    keys: list[str] = []
    for section in sections:
        keys += getattr(section, "model_fields", {})  # [markets.SYMBOL] is a table of [market]
    assert [key for key, _ in rows] == keys
    assert all(meaning.strip() for _, meaning in rows)


def missing(text: str, folder: Path) -> list[str]:
    """Return every path, test, module and link of a document that is not there."""
    found = []
    for code in CODE.findall(text):
        found += [place for place in PLACE.findall(code) if not is_there(place)]
        found += [module for module in MODULE.findall(code) if not is_importable(module)]
    links = [link for link in LINK.findall(text) if "://" not in link]
    return found + [link for link in links if not (folder / link).exists()]


def is_there(place: str) -> bool:
    """Return whether a path exists, and the test in it where one is named."""
    path, _, test = place.partition("::")
    if path.rstrip("/") in NOT_HERE:
        return True
    file = ROOT / path.rstrip(".")
    return file.exists() and (not test or f"def {test}(" in file.read_text(encoding="utf-8"))


def is_importable(name: str) -> bool:
    """Return whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[n:]:
            value = getattr(value, attribute, None)
        return value is not None
    return False


@pytest.mark.parametrize("name", NAMES)
def test_what_a_document_names_is_there(name: str) -> None:
    path = ROOT / name

    assert missing(path.read_text(encoding="utf-8"), path.parent) == []


def test_what_is_not_there_is_found() -> None:
    text = (
        "`engine/gone.py`, `tests/test_docs.py::test_gone`, `papertape.engine.gone`, "
        "`papertape.engine.core.Gone`, [a](gone.md), `engine/core.py`, `papertape.engine.core.Engine`"
    )

    assert missing(text, ROOT) == [
        "engine/gone.py",
        "tests/test_docs.py::test_gone",
        "papertape.engine.gone",
        "papertape.engine.core.Gone",
        "gone.md",
    ]


def test_versions_of_formats_are_those_of_the_code() -> None:
    text = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| `(papertape[\w.]+)\.(\w+)` \| (\d+) \|", text, re.MULTILINE)

    found = {module: getattr(importlib.import_module(module), name) for module, name, _ in rows}
    assert {module: int(version) for module, _, version in rows} == found
    # Every number of this kind has a row; what is exchanged within one version needs none.
    defined = set()
    for path in sorted(
        p for room in ("engine", "replay", "daemon") for p in (ROOT / room).rglob("*.py")
    ):
        if re.search(
            r"^(FORMAT|VERSION): Final = \d+$", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            defined.add("papertape." + ".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert defined - {"papertape.replay.learning.job"} == set(found)
    assert len(found) == 6
