"""Kernels: one source, the same bits however they are called, and refusals where they break the rules."""

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from llvmlite.binding import Linkage
from numba.core.bytecode import FunctionIdentity
from numba.core.compiler_lock import global_compiler_lock

from papertape.engine.features.trend import AVERAGE
from papertape.engine.jit import FloatArray, IntArray, Row, Rows, expanded_kernel, kernel, record
from papertape.engine.jit.cache import KernelTurn, cache_directory, is_plain, kernel_digest
from papertape.engine.model.functions import sigmoid

ROOT = Path(__file__).resolve().parents[3]
PAIR = record(("total", "f8"), ("n", "i8"))


def scaled(value: float, power: int) -> float:
    for _ in range(power):
        value *= 1.5
    return value


def add(pair: Row, value: float, power: int) -> int:
    pair.total += scaled_kernel(value, power)
    pair.n += 1
    return int(pair.n)


def add_all(pairs: FloatArray, values: FloatArray) -> int:
    pair = pairs[0]
    for value in values:
        add_kernel(pair, value, 2)
        add_kernel(pair, value, 3)
    return add_kernel(pair, 0.0, len(values))


def compiled(function: Callable[..., Any]) -> Any:
    """Return a kernel that is not stored on disk: what is loaded from there has no parts to count."""
    if numba.config.DISABLE_JIT or is_plain():
        return function if numba.config.DISABLE_JIT else numba.njit(function)
    from papertape.engine.jit.dispatch import Kernel

    return Kernel(function)


needs_dispatch = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT) or is_plain(), reason="nothing is compiled in our way"
)
scaled_kernel, add_kernel, add_all_kernel = compiled(scaled), compiled(add), compiled(add_all)


@needs_dispatch
def test_a_kernel_called_by_kernels_is_compiled_once_whatever_constants_it_is_given() -> None:
    from papertape.engine.jit.dispatch import Kernel

    pairs = np.zeros(1, PAIR)

    assert add_all_kernel(pairs, np.array([1.0, 2.0])) == 5

    # 2.25 and 3.375 of each, by hand
    assert pairs[0].total == 3.0 * (2.25 + 3.375)
    assert isinstance(add_kernel, Kernel)
    assert len(add_kernel._part.overloads) == 1
    assert len(add_kernel.overloads) == 0  # no machine code of its own


@needs_dispatch
def test_only_an_inlined_kernel_has_to_become_code_of_who_calls_it() -> None:
    from papertape.engine.jit.dispatch import Kernel

    found = {}
    for is_inlined in (True, False):
        part = Kernel(scaled, is_inlined=is_inlined)
        part.get_call_template((numba.float64, numba.int64), {})
        (made,) = part._part.overloads.values()
        found[is_inlined] = "alwaysinline" in made.library.get_llvm_str()

    assert found == {True: True, False: False}
    assert Kernel(scaled, is_inlined=True)(4.0, 2) == 9.0


class Twin(NamedTuple):
    own: Row
    other: Row
    n: int


@expanded_kernel
def twin_of(pairs: Rows, index: int) -> Twin:
    """Return what no call between kernels can give back."""
    return Twin(pairs[index], pairs[1 - index], index)


@kernel
def count_twice(pairs: Rows) -> None:
    """Count each pair once for itself and its index for the other."""
    for index in range(2):
        twin = twin_of(pairs, index)
        twin.own.n += 1
        twin.other.n += twin.n


def test_an_expanded_kernel_gives_a_bundle_of_the_records_themselves() -> None:
    pairs = np.zeros(2, PAIR)

    count_twice(pairs)

    assert pairs["n"].tolist() == [2, 1]


def mixed_by(factor: int) -> Callable[[Any, int], Any]:
    """Return a sum that is too long to be put into who asks for it three times."""

    def mixed(values: Any, n: int) -> Any:
        found = values[0] - values[0]
        for k in range(n):
            for value in values:
                if value > 2:
                    found += value * 3
                elif value > 1:
                    found -= value
                else:
                    found += value * value
            found = found + values[k % len(values)] * factor
        for k in range(n):
            for value in values:
                if value > 4:
                    found -= value * 3
                elif value > 3:
                    found += value
                else:
                    found -= value * value
            found = found + values[k % len(values)]
        return found

    return mixed


def thrice(part: Callable[[Any, int], Any]) -> Callable[[Any], Any]:
    def mixed_thrice(values: Any) -> Any:
        return part(values, 3) + part(values, 4) + part(values, 5)

    return mixed_thrice


@needs_dispatch
def test_code_of_one_process_is_not_taken_for_that_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each numbers what it compiles from 1 on, and a third one loads the code of all."""
    floats, integers = np.array([0.5, 1.5, 4.0]), np.array([1, 2, 7])
    for factor, values in ((2, floats), (2, integers), (3, floats)):
        monkeypatch.setattr(FunctionIdentity, "_unique_ids", itertools.count(10**6))
        mixed = mixed_by(factor)

        found = compiled(thrice(compiled(mixed)))(values)

        assert found == thrice(mixed)(values)


@needs_dispatch
def test_what_a_part_does_not_read_of_an_array_is_not_handed_to_it() -> None:
    entry = compiled(thrice(compiled(mixed_by(2))))
    entry(np.array([0.5, 1.5, 4.0]))

    (made,) = entry.overloads.values()
    (part,) = (each for each in made.library.get_defined_functions() if each.linkage == Linkage.internal)

    # A call has where its result and its error go, an array of seven words, and n; two of the seven are read.
    assert len(list(part.arguments)) <= 2 + 2 + 1


def test_a_kernel_that_was_a_part_can_be_called_from_python_too() -> None:
    pairs = np.zeros(1, PAIR)
    add_all_kernel(pairs, np.array([1.0]))
    before = pairs[0].total

    assert add_kernel(pairs[0], 4.0, 1) == 4
    assert scaled_kernel(4.0, 1) == 6.0

    assert pairs[0].total == before + 6.0


def allocate(n: int) -> float:
    return float(np.empty(n)[0])


@needs_dispatch
def test_a_kernel_that_allocates_is_refused() -> None:
    with pytest.raises(numba.TypingError, match="empty"):
        kernel(allocate)(3)


def hold(values: FloatArray, places: IntArray) -> float:
    part = values[1:]
    words = part.view(AVERAGE)
    total = 0.0
    for place in places:
        total += part[place]
    return total + len(words)


def test_a_kernel_leaves_the_count_of_its_arrays_alone() -> None:
    n_words = AVERAGE.itemsize // 8
    values, places = np.arange(1.0 + n_words), np.zeros(1, np.int64)
    before = sys.getrefcount(values), sys.getrefcount(places)

    for _ in range(1_000):
        assert kernel_hold(values, places) == 2.0

    assert (sys.getrefcount(values), sys.getrefcount(places)) == before


kernel_hold = kernel(hold)


def test_without_the_compiler_a_kernel_is_its_function() -> None:
    program = "from papertape.engine.broker.orders import mute_absent; print(type(mute_absent).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"NUMBA_DISABLE_JIT": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.strip() == "function"


PLAIN = """
import sys
from papertape.engine.jit.cache import cache_directory
from papertape.engine.jit import is_stored, kernel
from papertape.engine.model.functions import sigmoid

@kernel
def times(value, by):
    return value * by

@kernel
def five_times(value):
    return times(value, 2) + times(value, 3)

value = sigmoid(0.5)
print(cache_directory().name, "papertape.engine.jit.dispatch" in sys.modules, is_stored(sigmoid), value.hex())
print(five_times(1.5), len(times.signatures))  # once for both constants
"""


def test_the_switch_compiles_without_numbas_insides_into_a_folder_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PLAIN],
        cwd=ROOT,
        env={**os.environ, "PAPERTAPE_PLAIN_JIT": "1", "PAPERTAPE_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    folder = f"kernels-{kernel_digest()}-plain"
    value = float(sigmoid(0.5)).hex()
    assert done.stdout.split() == [folder, "False", "True", value, "7.5", "1"]


def test_numba_code_that_is_not_ours_may_call_a_kernel() -> None:
    loop = numba.njit(error_model="numpy")(lambda x: sigmoid(x) + sigmoid(2.0 * x))

    assert loop(0.5) == sigmoid(0.5) + sigmoid(1.0)


LOADED = """
import sys
import numba
from papertape.engine.broker.ledger import money
COMPILER = "numba.np.linalg"  # one of the modules that only compiling needs
print(money(2.5, 1e9), COMPILER in sys.modules)
print(numba.njit(lambda x: money(x, 1e9) + 1)(2.5), COMPILER in sys.modules)
"""


@needs_dispatch
def test_machine_code_from_disk_is_loaded_without_the_compiler(tmp_path: Path) -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", LOADED],
            cwd=ROOT,
            env={**os.environ, "PAPERTAPE_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.split()
        for _ in range(2)
    ]

    # 2.5 quote are 2.5e9 units. What is compiled later finds the compiler as ever.
    assert said[0] == ["2500000000", "True", "2500000001", "True"]
    assert said[1] == ["2500000000", "False", "2500000001", "True"]


@needs_dispatch
def test_code_of_an_earlier_state_is_not_found_where_a_kill_left_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from papertape.engine.jit.dispatch import _CodeFile  # with the switch nothing of it is loaded

    def code_of(sources: str) -> _CodeFile:
        return _CodeFile(str(tmp_path), "kernel", sources)

    code_of("before").save("types", "code before")
    assert code_of("before").load("types") == "code before"

    with monkeypatch.context() as patch:
        patch.setattr(_CodeFile, "_save_data", interrupted)
        with pytest.raises(KeyboardInterrupt):
            code_of("after").save("types", "code after")
    assert code_of("after").load("types") is None

    code_of("after").save("types", "code after")
    assert code_of("after").load("types") == "code after"
    assert code_of("before").load("types") is None


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@needs_dispatch
def test_machine_code_has_its_name_when_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from papertape.engine.jit.dispatch import _CodeFile

    told: list[str] = []
    for name in ("fsync", "replace"):
        by_itself = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *x, n=name, f=by_itself: (told.append(n), f(*x)))

    _CodeFile(str(tmp_path), "kernel", "sources").save("types", "code")

    assert told == ["fsync", "replace"] * 2  # the index, and the code


def twofold(value: float) -> float:
    return 2.0 * value


def threefold(value: float) -> float:
    return 3.0 * value


def called_and_one(value: float) -> float:
    return called(value) + 1.0  # type: ignore[name-defined, no-any-return] # noqa: F821 # of each copy


def stored_caller(called: Any) -> Any:
    """Return a kernel of the same file, line and name each time, that calls what it is told."""
    from papertape.engine.jit.dispatch import Kernel

    known = {"__name__": __name__, "called": called}
    stored = Kernel(FunctionType(called_and_one.__code__, known, "called_and_one"))
    stored.enable_caching()
    return stored


def answers_and_hits(kernels: Iterable[Any]) -> list[tuple[float, int]]:
    """Return what each makes of 5, one made after the other, and how often its machine code was found on disk."""
    return [(each(5.0), sum(each._cache_hits.values())) for each in kernels]


@needs_dispatch
def test_machine_code_of_a_users_kernel_counts_for_what_it_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper in another file that was edited ran on as it had been."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    made = (stored_caller(compiled(called)) for called in (twofold, twofold, threefold))

    assert answers_and_hits(made) == [(11.0, 0), (11.0, 1), (16.0, 0)]


def stored_in_closure(factor: float) -> Any:
    from papertape.engine.jit.dispatch import Kernel

    def scaled(value: float) -> float:
        return factor * value

    stored = Kernel(scaled)
    stored.enable_caching()
    return stored


@needs_dispatch
def test_kernels_that_one_line_makes_are_all_found_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each put its own in the place of the others, and every start compiled all of them."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    made = (stored_in_closure(factor) for factor in (2.0, 3.0, 2.0, 3.0))

    assert answers_and_hits(made) == [(10.0, 0), (15.0, 0), (10.0, 1), (15.0, 1)]


def stored_with_a_kernel_in_closure(called: Any, factor: float) -> Any:
    from papertape.engine.jit.dispatch import Kernel

    def scaled(value: float) -> float:
        return factor * called(value)  # type: ignore[no-any-return]

    stored = Kernel(scaled)
    stored.enable_caching()
    return stored


@needs_dispatch
def test_a_kernel_with_another_in_its_closure_is_found_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process compiled it again and left one more file: numba's name for the other one is new each time."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    pairs = (
        (twofold, 1.0),
        (threefold, 1.0),
        (twofold, 10.0),
        (twofold, 1.0),
        (threefold, 1.0),
        (twofold, 10.0),
    )
    made = (stored_with_a_kernel_in_closure(compiled(called), factor) for called, factor in pairs)

    found = [(10.0, 0), (15.0, 0), (100.0, 0), (10.0, 1), (15.0, 1), (100.0, 1)]
    assert answers_and_hits(made) == found
    assert len(list(tmp_path.glob("*/*.nbc"))) == 3


@pytest.mark.parametrize("named", [{}, {"__name__": "module_that_was_here_once"}])
def test_code_that_belongs_to_no_module_is_a_kernel(
    monkeypatch: pytest.MonkeyPatch, named: dict[str, Any]
) -> None:
    """At a second start as well, which asks what is on disk for the module of its globals."""
    monkeypatch.setattr("numba.core.environment.lookup_environment", lambda _: None)
    for _ in range(2):
        made = FunctionType(twofold.__code__, dict(named))
        assert made.__module__ == named.get("__name__")

        assert kernel(made)(5.0) == 10.0


@needs_dispatch
def test_what_cannot_be_kept_is_compiled_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from papertape.engine.jit.dispatch import _CodeFile

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_CodeFile, "_open_for_write", full)

    assert stored_caller(compiled(twofold))(5.0) == 11.0
    monkeypatch.setattr(_CodeFile, "_load_index", full)
    assert stored_caller(compiled(threefold))(5.0) == 16.0


@needs_dispatch
def test_copies_of_the_engine_share_machine_code_and_kernels_of_others_do_not() -> None:
    ours: Any = sigmoid
    mine: Any = kernel_hold

    assert Path(ours._cache.cache_path) == cache_directory() / "engine.model"
    assert Path(mine._cache.cache_path).parent == cache_directory()
    assert Path(mine._cache.cache_path).name.startswith(
        "jit_"
    )  # with a digest of the folder that this file lies in


@needs_dispatch
def test_what_a_kernel_is_not_asked_for_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds are imported at every start: their files were looked for, and a second one made of each."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    made = stored_in_closure(2.0)
    assert not {"_cache", "_part"} & set(vars(made))
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "of somebody else"))

    assert made(5.0) == 10.0

    assert "_part" not in vars(made)  # no kernel calls it
    assert list(tmp_path.glob("*/*.nbi"))


@needs_dispatch
def test_a_turn_begins_and_ends_while_no_other_thread_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that compile the same kernel at once closed its file twice, the second time that of somebody else."""
    from papertape.engine.jit.dispatch import Kernel

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    told: list[tuple[str, bool]] = []
    for name in ("take", "end"):
        by_itself = getattr(KernelTurn, name)

        def looked_at(turn: KernelTurn, name: str = name, by_itself: Any = by_itself) -> None:
            told.append((name, global_compiler_lock.is_locked()))
            by_itself(turn)

        monkeypatch.setattr(KernelTurn, name, looked_at)
    stored = Kernel(scaled)
    stored.enable_caching()

    assert stored(1.0, 2) == 2.25
    assert told == [("take", True), ("end", True)]
