"""The kernel cache: what makes a cold start, who compiles at one, and what is thrown away."""

import fcntl
import os
import pwd
from pathlib import Path

import pytest

from papertape import engine
from papertape.engine.jit import cache
from papertape.engine.jit.cache import (
    KEPT_DAYS,
    KernelTurn,
    cache_directory,
    forget_unused,
    is_plain,
    kernel_digest,
    kernel_sources,
    source_digest,
    users_folder,
)

ENGINE = Path(str(engine.__file__)).parent
FILES = {
    "__init__.py": '"""Everything."""\nfrom papertape.engine.report import table\n',
    "step.py": "from papertape.engine.jit import kernel\nfrom papertape.engine.parts import (\n    sums,\n)\n\n\n@kernel\ndef f(): ...\n",
    "loop.py": "from papertape.engine.jit import inlined_kernel\n\n\n@inlined_kernel\ndef g(): ...\n",
    "jit.py": "",
    "parts/__init__.py": "",
    "parts/sums.py": "import papertape.engine.numbers\n",
    "numbers.py": "LIMIT = 3\n",
    "report.py": "from papertape.engine.step import f\n\nWIDTH = 80\n",
}


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A small engine: a kernel, what it imports through a package, and a report that imports the kernel."""
    folder = tmp_path / "engine"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_kernels_see_their_files_and_what_those_import_directly_or_not(room: Path) -> None:
    found = [str(path.relative_to(room)) for path in kernel_sources(room)]

    assert found == ["jit.py", "loop.py", "numbers.py", "parts/__init__.py", "parts/sums.py", "step.py"]


@pytest.mark.parametrize("name", ["step.py", "loop.py", "jit.py", "parts/sums.py", "numbers.py"])
def test_a_change_of_a_file_that_kernels_see_is_a_cold_start(room: Path, name: str) -> None:
    before = kernel_digest(room)

    (room / name).write_text(FILES[name] + "LIMIT = 4\n", encoding="utf-8")

    assert kernel_digest(room) != before


@pytest.mark.parametrize("name", ["__init__.py", "report.py"])
def test_a_change_of_another_file_is_none(room: Path, name: str) -> None:
    before = kernel_digest(room)

    (room / name).write_text(FILES[name] + "LIMIT = 4\n", encoding="utf-8")

    assert kernel_digest(room) == before


def test_our_kernels_see_their_constants_and_not_our_reports() -> None:
    found = {str(path.relative_to(ENGINE)) for path in kernel_sources(ENGINE)}

    seen = ("jit/__init__.py", "jit/dispatch.py", "candles.py", "records.py", "features/smc/events.py")
    assert found.issuperset(seen)
    assert not found & {"report.py", "performance/tables.py", "core.py", "loop.py"}
    assert cache_directory().name == f"kernels-{kernel_digest()}" + ("-plain" if is_plain() else "")
    assert source_digest() != kernel_digest()  # a snapshot asks for every file


def test_relative_paths_of_the_environment_are_no_places_of_a_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They made a folder of kernels in whatever folder was the current one; XDG says to ignore them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    at_home = tmp_path / "home" / ".cache"
    listed = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert users_folder("XDG_CACHE_HOME", ".cache") == tmp_path / "caches"
    for value in ("", "caches", "./caches", "../caches"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert users_folder("XDG_CACHE_HOME", ".cache") == at_home
    monkeypatch.setenv("HOME", "home")
    assert users_folder("XDG_CACHE_HOME", ".cache") == listed
    monkeypatch.delenv("PAPERTAPE_CACHE_DIR", raising=False)
    assert cache_directory.__wrapped__().parent == listed / "papertape"


NAMES = ("f-1.py311.nbi", "f-1.py311.1.nbc", "f-1.py311.1.nbc.tmp.00ff", "f-1.py311.turn")


def test_folders_that_nobody_used_for_thirty_days_go_and_nothing_else(tmp_path: Path) -> None:
    now_s, day_s = 1_700_000_000, 86_400
    ages = {
        "kernels-00000000000000aa": 0,
        "kernels-00000000000000bb": KEPT_DAYS - 1,
        "kernels-00000000000000cc": KEPT_DAYS + 1,
        "kernels-00000000000000dd": KEPT_DAYS + 1,
        "kernels-00000000000000aa-plain": KEPT_DAYS - 1,
        "kernels-00000000000000cc-plain": KEPT_DAYS + 1,
        "kernels-mine": KEPT_DAYS + 1,
        "tapes": KEPT_DAYS + 1,
    }
    for name in ages:
        inner = tmp_path / name / "orders_0123"
        inner.mkdir(parents=True)
        for file in NAMES:
            (inner / file).write_bytes(b"x")
    (tmp_path / "kernels-00000000000000dd" / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "kernels-00000000000000ee").symlink_to(tmp_path / "tapes")
    for name, days in ages.items():
        os.utime(tmp_path / name, (now_s - days * day_s,) * 2)

    forget_unused(tmp_path / "kernels-00000000000000aa")

    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    kept = (
        "kernels-00000000000000aa",
        "kernels-00000000000000bb",
        "kernels-00000000000000aa-plain",
        "kernels-mine",
        "tapes",
    )
    want = {f"{folder}/orders_0123/{name}" for folder in kept for name in NAMES}
    assert left == want | {"kernels-00000000000000dd/notes.txt"}
    assert not (tmp_path / "kernels-00000000000000cc").exists()
    assert not (tmp_path / "kernels-00000000000000cc-plain").exists()
    assert (tmp_path / "kernels-00000000000000ee").is_symlink()


def is_free(path: Path) -> bool:
    """Return whether somebody else could have the turn."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Count how often somebody looks whether it is their turn, without waiting in between."""
    found: list[float] = []
    monkeypatch.setattr(cache.select, "select", lambda *told: found.append(told[-1]))
    return found


def test_a_turn_is_had_by_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.turn"
    one, two = KernelTurn(str(path)), KernelTurn(str(path))
    waited: list[str] = []

    def ends(*_: object) -> None:
        waited.append("for the first")
        one.end()

    monkeypatch.setattr(cache.select, "select", ends)
    one.take()
    assert not is_free(path)
    two.take()

    assert waited == ["for the first"]
    assert not is_free(path)
    two.end()
    assert is_free(path)


def test_who_takes_five_minutes_is_not_waited_for(tmp_path: Path, looks: list[float]) -> None:
    path = tmp_path / "f.turn"
    one, two = KernelTurn(str(path)), KernelTurn(str(path))
    one.take()

    two.take()

    assert sum(looks) == pytest.approx(300.0)
    two.end()
    assert not is_free(path)


def test_a_turn_that_is_over_is_over_for_who_was_forked_in_it(tmp_path: Path) -> None:
    path = tmp_path / "f.turn"
    one = KernelTurn(str(path))
    one.take()
    of_a_fork = os.dup(one._file)

    one.end()

    assert is_free(path)
    os.close(of_a_fork)


def test_where_nothing_can_be_locked_nobody_waits(tmp_path: Path, looks: list[float]) -> None:
    turn = KernelTurn(str(tmp_path / "nowhere" / "f.turn"))

    turn.take()
    turn.end()

    assert not looks
