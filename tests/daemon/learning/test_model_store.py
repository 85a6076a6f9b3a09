"""The model store: versions, champion, rollback, refusals, and a kill between any two steps."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from typer.testing import CliRunner

from papertape.daemon.cli import app
from papertape.daemon.learning.model_store import ModelStore
from papertape.engine.errors import DataError
from papertape.engine.model import ModelRecord, read_artefact, write_artefact
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize


def artefact(intercept: float = 0.0) -> bytes:
    record = ModelRecord("logistic", ("rsi_14",), "1h", 6, metrics={"log_loss": 0.69})
    one = np.ones(1)
    tensors = {
        "mean": np.array([50 * one]),
        "scale": np.array([10 * one]),
        "coefficients": one,
        "temperature": one,
    }
    return write_artefact(record, {**tensors, "intercept": intercept * one})


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Return a store of three versions, with intercepts 1, 2 and 3, the second of which is the champion."""
    made = ModelStore(tmp_path / "models")
    for number in (1, 2, 3):
        assert made.add(artefact(number)) == number
    made.promote(2)
    return made


def intercept(store: ModelStore, version: int) -> float:
    return float(read_artefact(store.read(version)).tensors["intercept"][0])


def test_versions_count_up_and_hold_what_was_added(store: ModelStore) -> None:
    assert store.versions() == [1, 2, 3]
    assert [intercept(store, version) for version in (1, 2, 3)] == [1.0, 2.0, 3.0]
    assert [entry.is_champion for entry in store.entries()] == [False, True, False]
    assert store.show(3).version == 3


def test_empty_store_has_no_champion_and_is_not_made_by_looking(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "none")

    assert (store.champion(), store.entries(), store.champion_event()) == (0, [], None)
    with pytest.raises(DataError, match="there is no model 1; it holds no model"):
        store.read(1)
    with pytest.raises(DataError, match="artefact: "):
        store.add(b"nonsense")
    assert not (tmp_path / "none").exists()


def test_a_file_that_the_system_does_not_give_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Whether it was there was asked first, and that raises what is no DataError: permission denied, a name too long."""
    with pytest.raises(DataError, match=r"v000001\.safetensors: cannot be read: File name too long"):
        ModelStore(tmp_path / ("x" * 300)).read(1)


def test_rollback_goes_back_through_the_champions(store: ModelStore) -> None:
    store.promote(3)
    store.promote(1)

    assert [store.rollback(), store.champion()] == [3, 3]
    assert [store.rollback(), store.champion()] == [2, 2]
    with pytest.raises(DataError, match="no champion to go back to"):
        store.rollback()
    assert store.champion() == 2


def test_champion_is_the_event_that_an_engine_takes(store: ModelStore) -> None:
    event = store.champion_event()

    assert event is not None
    assert (event.version, event.artefact) == (2, store.read(2))


def test_promoting_what_is_champion_or_missing_is_refused(store: ModelStore) -> None:
    with pytest.raises(DataError, match="model 2 is the champion already"):
        store.promote(2)
    with pytest.raises(DataError, match="there is no model 9; the newest are 1, 2, 3"):
        store.promote(9)
    assert store.champion() == 2


def _flip(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_flip, "checksum does not match"),
        (lambda data: data[:100], "not a whole safetensors file"),
        (lambda data: b"", "not a whole safetensors file"),
        (lambda data: save({"w": np.ones(2)}), "foreign file"),
        (lambda data: data.replace(b'\\"format\\": 2', b'\\"format\\": 9'), "format 9 is newer"),
        (lambda data: artefact(), "its record says version 0; the file was renamed"),
    ],
)
def test_file_that_cannot_be_used_is_refused_and_the_champion_stays(
    store: ModelStore, change: Callable[[bytes], bytes], told: str
) -> None:
    path = store.path(3)
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(DataError, match=told):
        store.promote(3)

    assert store.champion() == 2
    faults = [entry.fault for entry in store.entries()]
    assert faults[:2] == ["", ""]
    assert str(path) in faults[2]
    assert store.add(artefact(4)) == 4  # the number of a damaged file is not given again


def test_rollback_to_a_damaged_model_is_refused_and_the_champion_stays(store: ModelStore) -> None:
    store.promote(3)
    store.path(2).write_bytes(_flip(store.path(2).read_bytes()))

    with pytest.raises(DataError, match="checksum does not match"):
        store.rollback()

    assert store.champion() == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "damaged; remove it and promote a version anew"),
        ("[]", "damaged"),
        ('{"format": 1, "promoted": ["2"]}', "damaged"),
        ('{"format": 0, "promoted": [2]}', "damaged"),
        ('{"format": "1", "promoted": [2]}', "damaged"),
        ('{"format": 2, "promoted": [2]}', "format 2 is newer than 1; update papertape"),
    ],
)
def test_champion_file_that_cannot_be_used_is_refused(store: ModelStore, text: str, told: str) -> None:
    (store.folder / "champion.json").write_text(text)

    for change in (store.champion, store.rollback, lambda: store.promote(3)):
        with pytest.raises(DataError, match=told):
            change()
    assert (store.folder / "champion.json").read_text() == text


# Everything by which the store, or what it uses, changes a disk.
STEPS = ("open", "fsync", "replace", "chmod", "close", "mkdir")


def _killed_at(step: int, change: Callable[[], object]) -> bool:
    """Run a change in a child that dies at once before its step of this number; return whether it died."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) == 9
    count = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count > step:
                os._exit(9)
            return real(*arguments, **named)

        return called

    try:
        for name in STEPS:
            setattr(os, name, dying(getattr(os, name)))
        change()
        os._exit(0)
    except BaseException:
        os._exit(1)


@pytest.mark.parametrize("what", ["add", "promote", "rollback"])
def test_kill_between_any_two_steps_leaves_the_state_before_or_after(tmp_path: Path, what: str) -> None:
    seen = set()
    for step in range(100):
        store = ModelStore(tmp_path / f"{what}{step}")
        for number in (1, 2, 3):
            store.add(artefact(number))
        store.promote(1)
        store.promote(2)
        changes = {
            "add": lambda store=store: store.add(artefact(4)),
            "promote": lambda store=store: store.promote(3),
            "rollback": store.rollback,
        }

        was_killed = _killed_at(step, changes[what])

        entries = ModelStore(store.folder).entries()
        assert [entry.fault for entry in entries] == [""] * len(entries)
        assert [intercept(store, entry.version) for entry in entries[:3]] == [1.0, 2.0, 3.0]
        seen.add((len(entries), store.champion()))
        # whatever happened, the next change goes through
        assert store.add(artefact(5)) == len(entries) + 1
        if not was_killed:
            break
    else:
        pytest.fail("the change never came to its end")
    assert step > 4
    after = {"add": (4, 2), "promote": (3, 3), "rollback": (3, 1)}[what]
    assert seen == {(3, 2), after}


def papertape(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["models", *arguments])


def test_commands_fit_list_show_promote_and_roll_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Store(tmp_path / "tapes").save(synthesize("edge", 1_500, "1h", seed=4, edge=0.3))

    for horizon in ("1", "2"):
        fitted = papertape("fit", "--tape", "SYNTH", "--horizon", horizon, "--feature", "log_return_1")
        assert fitted.exit_code == 0, fitted.output
        assert "log_loss_base_rate" in fitted.output
    assert papertape("promote", "1").output.startswith("model 1 is the champion of models")
    papertape("promote", "2")
    assert papertape("rollback").output.startswith("model 1 is the champion of models again")
    listed = json.loads(papertape("list", "--json").output)
    shown = json.loads(papertape("show", "2", "--json").output)

    assert [(row["version"], row["is_champion"], row["fault"]) for row in listed] == [
        (1, True, None),
        (2, False, None),
    ]
    assert listed[1]["record"] == shown
    assert shown["symbols"] == ["SYNTH"]
    assert shown["tapes"] == [Store(tmp_path / "tapes").find("SYNTH").sha256]
    assert (shown["horizon_bars"], shown["parent"]) == (2, 0)
    assert "champion" in papertape("list").output
    read = papertape("show", "2").output
    assert re.search(r"horizon_bars +2\b", read)
    assert "later parts" not in read  # one made by hand has no scores of those: two rows of dashes
    refused = papertape("promote", "7")
    assert isinstance(refused.exception, DataError)
    assert "there is no model 7" in str(refused.exception)


def test_what_a_killed_process_left_is_removed_and_the_rest_stays(store: ModelStore) -> None:
    (store.folder / ".champion.json.1234.tmp").write_text("half of it")

    store.tidy()

    assert not list(store.folder.glob(".*.tmp"))
    assert (store.versions(), store.champion()) == ([1, 2, 3], 2)


def test_tidying_makes_no_folder(tmp_path: Path) -> None:
    ModelStore(tmp_path / "models").tidy()

    assert not (tmp_path / "models").exists()
