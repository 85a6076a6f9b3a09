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
ROOMS = ("engine", "replay", "daemon")
GENERATED = (
    "configuration.md",
    "metrics.md",
    "openapi.json",
    "candle.svg",
    *(f"{room}.svg" for room in ROOMS),
)
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "deploy").glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / ".github").rglob("*.md"),
        *(ROOT / room / "README.md" for room in ROOMS),
    ]
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
# Where programs run and people fill in, nothing is there to be checked.
NOT_HERE = {"deploy/secrets"}

CODE = re.compile(r"`([^`\n]+)`")
PLACE = re.compile(r"(?:engine|replay|daemon|tests|deploy|\.ci|\.github)/[\w./-]*(?:::\w+)?")
MODULE = re.compile(r"papertape\.(?:engine|replay|daemon)(?:\.\w+)*")
# "`limit` in `engine/broker/orders.py`", "`a` and `b` in …", "a row in `_ROWS` of `…`"
NAMED = re.compile(
    r"((?:`[A-Za-z_][\w.]*`(?:, | and ))*`[A-Za-z_][\w.]*`)(?: \([^)`]*\))? (?:in|of) `([\w/]+\.py)`"
)
# "2. `engine/model/kinds/__init__.py`: a code, a row in `KINDS`, …", up to the next path
STEP = re.compile(r"^\d\. `([\w/]+\.py)`: ((?:`[^`/\n]+`|[^`\n])*)", re.MULTILINE)
TABLE = re.compile(r"`(_?[A-Z][A-Z_]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PLACE_IN_PAGE = re.compile(r"\]\(([^)#\s]*\.md)?#([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_generated_is_what_the_code_says(name: str) -> None:
    made = builder().FILES

    assert set(made) == set(GENERATED)
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
    for names, place in NAMED.findall(text):
        found += [f"{place}: {name}" for name in CODE.findall(names) if not is_defined(name, place)]
    for place, step in STEP.findall(text):
        found += [f"{place}: {name}" for name in TABLE.findall(step) if not is_defined(name, place)]
    links = [link for link in LINK.findall(text) if "://" not in link]
    return found + [link for link in links if not (folder / link).exists()]


def anchors(text: str) -> set[str]:
    """Return what a page's headings are called in links: lower case, blanks as hyphens, no other signs."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", [*NAMES, "CHANGELOG.md"])
def test_every_place_in_a_page_that_is_linked_is_a_heading_there(name: str) -> None:
    page = ROOT / name
    text = page.read_text(encoding="utf-8")

    for target, anchor in PLACE_IN_PAGE.findall(text):
        there = (page.parent / target).read_text(encoding="utf-8") if target else text
        assert anchor in anchors(there), f"{name}: {target}#{anchor}"


def test_every_page_stands_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")

    pages = {str(page.relative_to(DOCS)) for page in DOCS.glob("*.md")} - {"README.md"}
    assert pages - set(LINK.findall(index)) == set()


def is_there(place: str) -> bool:
    """Return whether a path exists, and the test in it where one is named."""
    path, _, test = place.partition("::")
    if path.rstrip("/") in NOT_HERE:
        return True
    file = ROOT / path.rstrip(".")
    return file.exists() and (not test or f"def {test}(" in file.read_text(encoding="utf-8"))


def is_defined(name: str, place: str) -> bool:
    """Return whether a file of ours has what a document says is in it, as a definition or as a field."""
    path = ROOT / place
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8")
    return all(
        re.search(rf"(?:def|class) {part}\b|^\s*{part}(?:: [^=\n]+)? ?=|^\s*{part}: ", text, re.MULTILINE)
        for part in name.split(".")
    )


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
        "1. `engine/model/kinds/__init__.py`: a row in `KINDS` and one in `GONE`.\n"
        "`Engine.step` and `gone` in `engine/core.py`; "
        "`engine/gone.py`, `tests/test_docs.py::test_gone`, `papertape.engine.gone`, "
        "`papertape.engine.core.Gone`, [a](gone.md), `engine/core.py`, `papertape.engine.core.Engine`"
    )

    assert missing(text, ROOT) == [
        "engine/gone.py",
        "tests/test_docs.py::test_gone",
        "papertape.engine.gone",
        "papertape.engine.core.Gone",
        "engine/core.py: gone",
        "engine/model/kinds/__init__.py: GONE",
        "gone.md",
    ]


def is_on_map(folder: str, table: str) -> bool:
    """Return whether a map has a folder, by its path or as a part of the folder that it is in."""
    return f"`{folder}/`" in table or any(
        f"`{Path(folder).name}/`" in line
        for line in table.splitlines()
        if line.startswith(f"| `{Path(folder).parent.as_posix()}/`")
    )


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_a_map_of_all_its_folders_that_is_read_in_minutes(room: str) -> None:
    text = (ROOT / room / "README.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in text.splitlines() if line.startswith(f"| `{room}/"))

    folders = [path.parent.relative_to(ROOT).as_posix() for path in (ROOT / room).rglob("__init__.py")]
    # Below the first level a folder may be told in its parent's row.
    assert [name for name in folders if name.count("/") and not is_on_map(name, table)] == []
    assert len(text.splitlines()) <= 120


@pytest.mark.parametrize("room", ROOMS)
def test_a_picture_of_a_room_shows_what_is_there(room: str) -> None:
    builder()  # its folder is on the path from now on
    cells = importlib.import_module("rooms").ROOMS[room].cells

    named = [cell.name for cell in cells if re.search(r"/|\.py$", cell.name)]
    assert len(named) > 6
    assert [name for name in named if not (ROOT / room / name).exists()] == []
    assert len({(cell.column, cell.row) for cell in cells}) == len(cells)


def test_versions_of_formats_are_those_of_the_code() -> None:
    text = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| `(papertape[\w.]+)\.(\w+)` \| (\d+) \|", text, re.MULTILINE)

    found = {module: getattr(importlib.import_module(module), name) for module, name, _ in rows}
    assert {module: int(version) for module, _, version in rows} == found
    # Every number of this kind has a row; what is exchanged within one version needs none.
    defined = set()
    for path in sorted(p for room in ("engine", "replay", "daemon") for p in (ROOT / room).rglob("*.py")):
        if re.search(r"^(FORMAT|VERSION): Final = \d+$", path.read_text(encoding="utf-8"), re.MULTILINE):
            defined.add("papertape." + ".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert defined - {"papertape.replay.learning.jobs.job"} == set(found)
    assert len(found) == 8
