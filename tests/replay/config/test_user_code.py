"""Files that are only checked run nobody's code: it is read, refused, or asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import papertape
from papertape.daemon.doctor.finding import FindingStatus
from papertape.daemon.doctor.machine import examine_config
from papertape.daemon.journal import Journal
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.errors import ConfigError, PapertapeError
from papertape.engine.strategies import make_strategy
from papertape.replay.backtesting.verify import verify
from papertape.replay.config import make_config
from papertape.replay.config.user_code import check_code, check_strategy, file_of
from papertape.replay.tapes.store import Tape
from tests.support.helpers import random_candles
from tests.support.journals import candles, filled

TELLS = """
from pathlib import Path
from papertape import Decision

Path(__file__).with_name("ran").touch()


class Base:
    def decide(self, view):
        return None


class Mine(Base):
    features = ("ema_12",)

    def __init__(self, length=3, *, side=1):
        Path(__file__).with_name("made").touch()


class Late(Mine):
    def __init__(self):
        self.features = ()


class Undecided:
    features = ()


class Featureless:
    def decide(self, view):
        return None


class Elsewhere(Path):
    pass


def make(length):
    Path(__file__).with_name("called").touch()


made = make
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "pack_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text(TELLS + "from .inner import Deep as Renamed\n")
    (package / "inner.py").write_text(TELLS + "class Deep(Mine):\n    pass\n")
    (tmp_path / "tells_it.py").write_text(TELLS)
    (tmp_path / "broken_one.py").write_text("class Mine(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("tells_it", "pack_of_mine", "pack_of_mine.inner"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def traces(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.name in ("ran", "made", "called"))


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("tells_it:Mine", {"length": 4, "side": 2}, ""),
        ("tells_it:Late", {}, ""),
        ("tells_it:Elsewhere", {"anything": 1}, ""),  # its base is another module's: left to the run
        ("pack_of_mine.inner:Deep", {"length": 1}, ""),
        ("pack_of_mine:Renamed", {"length": 1}, ""),
        ("ema_cross", {"fast": 5, "slow": 9}, ""),
        ("tells_it:Mine", {"lenght": 4}, "parameters.lenght: unknown: did you mean 'length'"),
        ("tells_it:Mime", {}, "has no 'Mime': did you mean 'Mine'"),
        ("tells_it:make", {}, "is not a class"),
        ("tells_it:made", {}, "is not a class"),
        ("tells_it:Path", {}, "there is no Python file|is not a class|has no"),
        ("tells_it:Undecided", {}, r"has no `decide\(view\)`"),
        ("tells_it:Featureless", {}, "names no `features`"),
        ("broken_one:Mine", {}, "broken_one.py cannot be read"),
        ("no_such_module:Mine", {}, "no Python file of module 'no_such_module'"),
        ("tells_it.sub:Mine", {}, "no Python file"),
        ("os:system", {}, "os.py has no 'system'"),
        ("subprocess:Popen", {"args": "touch called"}, r"has no `decide\(view\)`"),
        ("sys:exit", {}, "no Python file"),
    ],
)
def test_strategy_is_checked_without_running_anything(
    folder: Path, name: str, parameters: dict[str, Any], told: str
) -> None:
    before = set(sys.modules)
    if told:
        with pytest.raises(ConfigError, match=told):
            check_strategy(name, parameters)
    else:
        check_strategy(name, parameters)

    config = make_config({"strategy": {"name": name, "parameters": parameters}})
    assert (examine_config(config, "x.toml").status is FindingStatus.OK) == (not told)
    assert traces(folder) == []
    assert not {module for module in set(sys.modules) - before if "mine" in module or "tells" in module}


@pytest.mark.parametrize("name", ["os:system", "tells_it:make", "subprocess:Popen", "tells_it:Featureless"])
def test_what_is_no_strategy_is_not_called_when_it_is_run_either(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="it was not called"):
        make_strategy(name, {"args": "touch called"} if "Popen" in name else {})

    assert "called" not in traces(folder)


@pytest.mark.parametrize("module", ["json", "math", "sched"])  # a package, one without a file, one file
def test_a_file_of_the_name_of_one_of_pythons_modules_is_told_to_have_another(
    folder: Path, module: str
) -> None:
    (folder / f"{module}.py").write_text(
        "class S:\n    features = ()\n\n    def decide(self, view):\n        return None\n"
    )
    sys.path.append(sys.path.pop(sys.path.index(str(folder))))  # where a command has its current folder
    told = f"; {module} is a module of Python itself, found before a file of yours: give {module}.py another name$"

    for look in (check_strategy, make_strategy):
        with pytest.raises(ConfigError, match=told):
            look(f"{module}:S", {})


def test_a_file_of_such_a_name_that_is_found_first_is_its_users(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sched.py").write_text("class S:\n    features = ()\n")
    monkeypatch.delitem(sys.modules, "sched", raising=False)

    for look in (check_strategy, make_strategy):
        with pytest.raises(ConfigError, match="has no 'T': ") as refused:
            look("sched:T", {})
        assert "Python itself" not in str(refused.value)
    monkeypatch.delitem(sys.modules, "sched", raising=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise NameError('x')", "cannot be imported: NameError"),
        ("raise SystemExit(0)", "cannot be imported: SystemExit: 0"),  # as a script without a main guard ends
        (
            "class S:\n  features = ()\n  def decide(self, v): ...\n  def __init__(self): 1 / 0",
            "ZeroDivisionError",
        ),
        (
            "class S:\n  features = ()\n  def decide(self, v): ...\n  def __init__(self): exit(0)",
            "cannot be made with {}: SystemExit: 0",
        ),
        (
            "class S:\n  features = ()\n  def decide(self, v): ...\n  def __init__(self, a): ...",
            "cannot be made",
        ),
    ],
)
def test_code_that_fails_before_it_decides_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    (folder / "fails_early.py").write_text(text)
    monkeypatch.delitem(sys.modules, "fails_early", raising=False)

    with pytest.raises(ConfigError, match=told):
        make_strategy("fails_early:S", {})


@pytest.mark.parametrize("named", ["mine.py", "./mine.py"])
def test_a_file_in_a_module_s_place_is_told_how_it_is_named(folder: Path, named: str) -> None:
    (folder / "mine.py").write_text("class S:\n    features = ()\n")

    with pytest.raises(
        ConfigError, match=r"a module is named without \.py: mine:S, from the folder that it is in"
    ):
        make_strategy(f"{named}:S", {})


def test_command_that_checks_imports_nothing(folder: Path) -> None:
    (folder / "c.toml").write_text('[strategy]\nname = "tells_it:Mine"\n')
    (folder / "pandas.py").write_text(TELLS)  # by the name of a library, where somebody looks from

    for arguments in (("config", "check", "c.toml"), ("verify", "nowhere")):
        subprocess.run(
            [sys.executable, "-c", "from papertape.daemon.cli import main; main()", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            capture_output=True,
            timeout=100,
        )

    assert traces(folder) == []


def result_of(folder: Path, name: str) -> tuple[Path, Tape]:
    tape = Tape(random_candles(80), "test", "X", "1h")
    result = papertape.backtest(tape, strategy="rsi_reversion", use_ml=False)
    saved = folder / "result"
    result.save(saved)
    path = saved / "result.json"
    summary = json.loads(path.read_text())
    summary["config"]["strategy"]["name"] = name
    path.write_text(json.dumps(summary))
    return saved, tape


def test_result_that_names_code_is_not_run_until_it_is_trusted(folder: Path) -> None:
    saved, tape = result_of(folder, "tells_it:Mine")

    with pytest.raises(ConfigError, match=r"strategy tells_it:Mine \(in .*tells_it.py\).*--trust-code"):
        verify(saved, [tape])
    assert traces(folder) == []
    assert not verify(saved, [tape], trust_code=True).is_equal  # other than what was saved, and run
    assert traces(folder) != []


def test_state_that_names_code_is_not_run_until_it_is_trusted(folder: Path) -> None:
    state = folder / "state"
    filled(state, candles(40))
    with Journal.open(state, 0) as journal:
        about = json.loads(journal.meta("identity") or "")
        about["config"]["strategy"] = {"name": "tells_it:Mine", "parameters": {}}
        journal.commit([lambda j: j.set_meta(identity=json.dumps(about))])

    with pytest.raises(ConfigError, match="--trust-code"):
        verify_state(state)
    assert traces(folder) == []


def test_builtin_result_needs_no_trust(folder: Path) -> None:
    saved, tape = result_of(folder, "rsi_reversion")

    assert verify(saved, [tape]).is_equal


def test_file_of_a_module_is_found_as_python_would() -> None:
    assert file_of("papertape.replay.config.user_code") is not None
    assert file_of("json.decoder") == Path(json.decoder.__file__)
    assert file_of("sys") is None
    with pytest.raises(PapertapeError):
        check_strategy("..:x", {})


OWN = (
    TELLS
    + """
from papertape import table_feature

@table_feature(look_back=3)
def mean(candles):
    return candles["close"].rolling(3).mean()

class Plain:
    name = "plain"
    def update(self, candle):
        return candle.close

plain = Plain()
"""
)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("has_features:mean", ""),
        ("has_features:plain", ""),
        ("has_features:Plain", "is a class; write plain = Plain.. in the module and name has_features:plain"),
        ("has_features:make", "has to say how far it looks back; write @table_feature"),
        ("has_features:meen", "has_features.py has no 'meen': did you mean 'mean'"),
        ("no_such_module:mean", "no Python file of module 'no_such_module'"),
    ],
)
def test_features_are_checked_without_running_anything(folder: Path, path: str, told: str) -> None:
    (folder / "has_features.py").write_text(OWN)
    config = make_config({"signals": {"own_features": [path]}})
    if told:
        with pytest.raises(ConfigError, match=f"signals.own_features: {path}.* {told}|{told}"):
            check_code(config)
    else:
        check_code(config)

    assert traces(folder) == []


def test_result_that_names_a_feature_is_not_run_until_it_is_trusted(folder: Path) -> None:
    (folder / "has_features.py").write_text(OWN)
    saved, tape = result_of(folder, "rsi_reversion")
    path = saved / "result.json"
    summary = json.loads(path.read_text())
    summary["config"]["signals"]["own_features"] = ["has_features:mean"]
    path.write_text(json.dumps(summary))

    with pytest.raises(ConfigError, match=r"feature has_features:mean \(in .*\).*--trust-code"):
        verify(saved, [tape])
    assert traces(folder) == []
    assert verify(saved, [tape], trust_code=True).is_equal


@pytest.mark.parametrize("bad", ["mean", "has_features:", ":mean", "a b:mean", "x:y:z"])
def test_what_is_no_path_of_a_feature_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"signals\.own_features"):
        make_config({"signals": {"own_features": [bad]}})
