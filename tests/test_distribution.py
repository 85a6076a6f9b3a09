"""What is installed: the wheel and the source distribution hold the tree, and nothing of another distribution is overwritten."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # it builds three times

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("engine", "replay", "daemon")
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "constraints.txt", *ROOMS, "deploy/package")
TEXTS = {".py", ".typed", ".toml", ".parquet", ".js", ".css", ".html", ".svg", ".NOTICE", ".LICENSE"}
TEXTS |= {".gapless-crypto-data"}


def build(kind: str, tree: Path, folder: Path) -> Path:
    """Build with the tree's own backend, in a process of its own."""
    folder.mkdir(exist_ok=True)
    program = f"import setuptools.build_meta as b; print(b.build_{kind}({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=tree, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree, links as links."""
    folder = tmp_path_factory.mktemp("tree")
    for name in BUILT_FROM:
        source, target = ROOT / name, folder / name
        if source.is_file():
            shutil.copy(source, target)
        else:
            left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, target, symlinks=True, ignore=left_out)
    return folder


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


def contents(path: Path) -> dict[str, bytes]:
    """Return what a wheel installs, without what it says about itself."""
    with zipfile.ZipFile(path) as packed:
        return {n: packed.read(n) for n in packed.namelist() if ".dist-info/" not in n}


def test_the_wheel_holds_the_tree(tree: Path, wheel: Path) -> None:
    package = {
        f"papertape/{path.name}": path.read_bytes()
        for path in (tree / "deploy/package/papertape").iterdir()
        if path.is_file()
    }
    rooms = {
        f"papertape/{path.relative_to(tree)}": path.read_bytes()
        for room in ROOMS
        for path in (tree / room).rglob("*")
        if path.is_file() and path.suffix in TEXTS
    }

    found = contents(wheel)

    assert set(found) == set(package | rooms)
    assert found == package | rooms


def test_the_source_distribution_builds_the_same_wheel(tree: Path, wheel: Path, tmp_path: Path) -> None:
    packed = build("sdist", tree, tmp_path / "sdist")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()

    again = build("wheel", unpacked, tmp_path / "again")

    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_python_daemon_and_papertape_live_in_one_folder(is_first: bool, wheel: Path, tmp_path: Path) -> None:
    """python-daemon has a package `daemon`, as one of our rooms is called; both are whole whichever came last."""
    folder = tmp_path / "site"
    other = distribution("python-daemon")
    files = [file for file in other.files or () if file.parts[0] != ".."]

    def install_other() -> None:
        for file in files:
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(str(file.locate())).is_file():
                shutil.copy(file.locate(), target)

    if is_first:
        install_other()
    pip = ["pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", *pip, "--target", str(folder), str(wheel)], check=True, capture_output=True
    )
    if not is_first:
        install_other()

    with zipfile.ZipFile(wheel) as packed:
        assert {n.split("/")[0].split("-")[0] for n in packed.namelist()} == {"papertape"}
    program = (
        "import daemon, daemon.daemon, papertape.daemon.cli, papertape.engine, papertape.replay, sys;"
        "print(daemon.__file__, papertape.daemon.__file__, daemon.DaemonContext.__module__)"
    )
    environment = {"PYTHONPATH": str(folder), "PATH": "", "HOME": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True
    )
    assert said.stdout.split() == [
        f"{folder}/daemon/__init__.py",
        f"{folder}/papertape/daemon/__init__.py",
        "daemon.daemon",
    ], said.stderr
    command = subprocess.run(
        [sys.executable, "-P", str(folder / "bin" / "papertape"), "--version"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert command.stdout.strip() == f"papertape {version('papertape')}", command.stderr
