"""The engines of the comparison, what they answered when they were last asked, and how they are asked again."""

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.bench.conformance import backtesting_differences, jesse_differences, nautilus_differences
from tests.bench.conformance.differences import Difference, names_by_row
from tests.bench.conformance.rows import Fills, Row
from tests.bench.conformance.table import ROWS, ours

ROOT: Final = Path(__file__).resolve().parents[3]
RECORD: Final = Path(__file__).parent / "answers.json"
OTHERS: Final = (
    ROOT / ".venv-conformance"
)  # an environment for each engine that cannot live with our packages
ANSWER_S: Final = 600  # for all rows of an engine
# As `python -m` in our root, but in a folder that goes: jesse leaves folders where it runs. It installs a package `tests`,
# too, which would be found before ours.
START: Final = """
import runpy, sys
root, module = sys.argv[1:3]
sys.argv[1:3] = []
sys.path.append(root)
import tests
tests.__path__ = [root + "/tests", *tests.__path__]
runpy.run_module(module, run_name="__main__")
"""


@dataclass(frozen=True)
class Engine:
    """Another engine: `python` runs `module`, which says rows to it."""

    name: str
    version: str
    module: str
    python: Path
    differences: tuple[Difference, ...]

    @property
    def is_installed(self) -> bool:
        if self.python == Path(sys.executable):
            return find_spec("backtesting") is not None
        return self.python.exists()

    def ask(self, rows: list[Row]) -> dict[str, Fills | str]:
        """Return its fills of each row, or what it has no words for, by title."""
        with tempfile.TemporaryDirectory() as folder:
            asked, told = Path(folder) / "rows.json", Path(folder) / "answers.json"
            asked.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")
            module = f"tests.bench.conformance.{self.module}"
            command = (self.python, "-c", START, ROOT, module, asked, told)
            subprocess.run(command, cwd=folder, check=True, timeout=ANSWER_S, stdout=sys.stderr)
            return read(json.loads(told.read_text(encoding="utf-8")))


ENGINES: Final = (
    Engine(
        "backtesting.py", "0.6.6", "backtesting_py", Path(sys.executable), backtesting_differences.DIFFERENCES
    ),
    Engine(
        "nautilus_trader",
        "1.221.0",
        "nautilus",
        OTHERS / "nautilus" / "bin" / "python",
        nautilus_differences.DIFFERENCES,
    ),
    Engine("jesse", "3.5.3", "jesse", OTHERS / "jesse" / "bin" / "python", jesse_differences.DIFFERENCES),
)


def read(answers: dict[str, list[list[float]] | str]) -> dict[str, Fills | str]:
    """Return answers as they were before they were JSON."""
    return {
        title: told if isinstance(told, str) else [(int(c), q, p) for c, q, p in told]
        for title, told in answers.items()
    }


def digest() -> str:
    """Return what changes when a row is asked otherwise."""
    rows = json.dumps([asdict(row) for row in ROWS])
    return hashlib.sha256(rows.encode()).hexdigest()[:16]


def recorded() -> dict[str, dict[str, Fills | str]]:
    """Return what each engine answered; raises ValueError if the rows have changed since."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    if record.pop("rows") != digest():
        raise ValueError(f"{RECORD.name}: the rows have changed since; run `make conformance`")
    return {name: read(answers) for name, answers in record.items()}


def keep(answers: dict[str, dict[str, Fills | str]]) -> None:
    """Write down what the engines answered, a row a line."""
    parts = [f' "rows": {json.dumps(digest())}']
    for name, told in answers.items():
        lines = [f"  {json.dumps(title)}: {json.dumps(answer)}" for title, answer in told.items()]
        parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    RECORD.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def faults(engine: Engine, answers: dict[str, Fills | str]) -> list[str]:
    """Return the rows that are answered otherwise without a named reason, or have a reason without being so."""
    otherwise = {
        title for title, told in answers.items() if not isinstance(told, str) and told != ours()[title]
    }
    named = names_by_row(engine.differences).keys()
    return [
        *(f"{engine.name}: {title}: otherwise without a reason" for title in sorted(otherwise - named)),
        *(f"{engine.name}: {title}: a reason without a difference" for title in sorted(named - otherwise)),
    ]
