"""Models that a replay is given: when they take over by hand, what is said of them, and that each is a trial of its own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from papertape import backtest, hold_out
from papertape.daemon.cli import app
from papertape.daemon.learning.model_store import ModelStore
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.model.artefact import read_artefact, with_version, write_artefact
from papertape.replay.backtesting.verify import verify
from papertape.replay.config import make_config
from papertape.replay.learning.by_hand import fit_from_tape
from papertape.replay.learning.given import given_sentences, takeover_schedule
from papertape.replay.research.trials.holdout import locked
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize
from tests.support.helpers import START_MS

HOUR_MS = 3_600_000
TAPE = synthesize("edge", 1_600, "1h", seed=6, edge=0.3)
QUIET: dict[str, Any] = {
    "use_smc": False,
    "parameters": {"confidence_threshold": 0.1, "weight_technical": 0.2},
    "report": {"sensitivity": False, "random_draws": 0},
}


def model_of(hours: int, feature: str = "log_return_1") -> bytes:
    """Return a model that has learnt from the first hours."""
    return fit_from_tape(TAPE.between(None, START_MS + hours * HOUR_MS - 1), None, 1, (feature,))


@pytest.fixture(scope="module")
def early() -> bytes:
    return model_of(1_000)


@pytest.fixture(scope="module")
def late() -> bytes:
    return model_of(1_200)


def at(hours: int) -> int:
    return START_MS + hours * HOUR_MS


def test_a_model_takes_over_once_all_that_it_has_learnt_from_is_past(early: bytes, late: bytes) -> None:
    """Its last candle closes 1,000 hours after the first one opened; a replay that begins later has it from its first candle on."""
    both = {"late": late, "early": early}

    assert takeover_schedule({}, make_config({}), [TAPE]) == []
    assert takeover_schedule(both, make_config({}), [TAPE]) == [(at(1_000), early), (at(1_200), late)]
    later = make_config({"data": {"start": "2020-02-20"}})
    assert takeover_schedule({"late": late}, later, [TAPE]) == [(at(1_200), late)]
    begun = takeover_schedule({"early": early}, later, [TAPE])
    assert begun == [(at(50 * 24), early)]  # 50 days after the first of January


def test_candles_that_are_only_read_give_a_model_nothing_to_trade(early: bytes) -> None:
    short, long = TAPE.between(None, at(900) - 1), replace(TAPE, symbol="INDEX")
    config = make_config({"markets": {"INDEX": {"read_only": True}}})

    assert takeover_schedule({"m": early}, make_config({}), [short, long]) == [(at(1_000), early)]
    with pytest.raises(DataError, match=r"these end at 2020-02-07 12:00: nothing is left"):
        takeover_schedule({"m": early}, config, [short, long])


def test_what_could_never_trade_or_would_take_over_together_is_refused(early: bytes) -> None:
    with pytest.raises(
        DataError, match=r"model 3 has learnt from candles up to .* these end at .* nothing is left"
    ):
        takeover_schedule({"model 3": early}, make_config({}), [TAPE.between(None, at(1_000) - 1)])
    with pytest.raises(
        ConfigError, match=r"model 3 and model 4 would both take over at 2020-02-11 16:00; leave one"
    ):
        takeover_schedule({"model 3": early, "model 4": early}, make_config({}), [TAPE])


def test_of_two_models_whose_candles_ended_before_the_start_the_later_is_kept_or_the_start_moved(
    early: bytes, late: bytes
) -> None:
    """The earlier would never be in force; a replay that begins before the later's last candle has both."""
    both = {"model 4": late, "model 3": early}
    said = (
        r"model 4 and model 3 would both take over at 2020-02-21 00:00; leave model 3 out, which has learnt from less, or "
        r"begin with data.start before 2020-02-20 00:00, up to when model 3 would be in force"
    )

    with pytest.raises(ConfigError, match=said):
        takeover_schedule(both, make_config({"data": {"start": "2020-02-21"}}), [TAPE])
    begun = takeover_schedule(both, make_config({"data": {"start": "2020-02-19"}}), [TAPE])
    assert begun == [(at(49 * 24), early), (at(1_200), late)]


def test_a_result_says_of_given_models_what_it_cannot_know(early: bytes, tmp_path: Path) -> None:
    found = backtest(tapes=[TAPE], models=[(at(1_000), early)], **QUIET)
    unasked = backtest(tapes=[TAPE], strategy="ema_cross", models=[(at(1_000), early)], use_smc=False)

    given = "1 model given and not trained on the way, in force from 2020-02-11 16:00 on"
    assert (
        f"{given}; whether it was chosen by what these candles show is not known here."
        in found.summary["doubts"]
    )
    assert f"{given}: the strategy asks no model, so it changed nothing." in unasked.summary["doubts"]
    assert verify(found.save(tmp_path / "result"), [TAPE]).is_equal
    artefact = read_artefact(early)
    gated = write_artefact(replace(artefact.record, gate={"rows": 1_234}), artefact.tensors)
    (said,) = given_sentences([(at(1_000), gated)], is_asked=True)
    assert (
        said
        == f"{given}; what judged it, 1,234 rows after those it has learnt from, may be among these candles."
    )


def test_different_models_of_one_version_are_said_to_share_it(early: bytes, late: bytes) -> None:
    """Versions are counted per store; in the lineage and in the rows by version two of them looked like one."""
    said = "2 different models are version 2 (of stores of their own, or of none): rows by version are of all of them."
    two = [(at(1_000), with_version(early, 2)), (at(1_200), with_version(late, 2))]
    second = [
        (at(1_000), with_version(early, 2)),
        (at(1_200), late),
    ]  # outside a store, numbered by its place
    again = [(at(1_000), early), (at(1_200), b""), (at(1_300), with_version(early, 1))]

    found = backtest(tapes=[TAPE], models=two, **QUIET)

    assert [one["version"] for one in found.summary["model"]["lineage"]] == [2, 2]
    assert said in found.summary["doubts"]
    assert said in given_sentences(second, is_asked=True)
    assert len(given_sentences([(at(1_000), early), (at(1_200), late)], is_asked=True)) == 1
    assert len(given_sentences(two[:1] * 2, is_asked=True)) == 1
    assert len(given_sentences(again, is_asked=True)) == 1


def test_every_given_model_is_a_trial_of_its_own(early: bytes, late: bytes) -> None:
    """Whoever tries a hundred models on one configuration has tried a hundred times; the same one again is no trial more."""
    schedules = ([(at(1_000), early)], [(at(1_200), late)], [(at(1_100), early)], [(at(1_000), early)])
    counts = [backtest(tapes=[TAPE], models=one, **QUIET).summary["trials"]["trials"] for one in schedules]

    assert counts == [1, 2, 3, 3]


def test_what_is_held_out_is_read_with_one_model(early: bytes, late: bytes) -> None:
    hold_out("2020-02-21", TAPE)

    first = backtest(tapes=[TAPE], models=[(at(1_000), early)], holdout=True, **QUIET)
    again = backtest(tapes=[TAPE], models=[(at(1_000), early)], holdout=True, **QUIET)

    assert again.digest == first.digest
    with pytest.raises(DataError, match=r"they were read on .* and are read once"):
        backtest(tapes=[TAPE], models=[(at(1_200), late)], holdout=True, **QUIET)


def test_a_replay_that_could_not_begin_has_read_nothing_held_out(early: bytes) -> None:
    """The reading was put down before the engine had seen the model: after a wrong one the right one was refused."""
    lock = hold_out("2020-02-21", TAPE)
    older = fit_from_tape(TAPE.between(None, at(1_000) - 1), "2h", 1, ("log_return_1",))

    with pytest.raises(DataError, match="trained on 2h candles, not on the strategy's 1h"):
        backtest(tapes=[TAPE], models=[(at(1_000), older)], holdout=True, **QUIET)
    with pytest.raises(ConfigError, match=r"signals\.use_ml: it is off, but there are models"):
        backtest(tapes=[TAPE], models=[(at(1_000), early)], holdout=True, use_ml=False, **QUIET)

    assert [each.reading for each in locked()] == [None]
    backtest(tapes=[TAPE], models=[(at(1_000), early)], holdout=True, **QUIET)
    (read,) = locked()
    assert (read.sequence, read.reading is None) == (lock.sequence, False)


def test_the_command_replays_a_version_or_a_file_as_python_does(
    early: bytes, late: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Store(tmp_path / "tapes").save(TAPE)
    ModelStore("models").add(early)
    (tmp_path / "late.safetensors").write_bytes(late)
    changes = ["signals.use_smc=false", "strategy.parameters.confidence_threshold=0.1"]
    changes += ["strategy.parameters.weight_technical=0.2", "report.sensitivity=false"]
    asked = [word for change in changes for word in ("--set", change)]

    def replayed(*models: str) -> dict[str, Any]:
        named = [word for model in models for word in ("--model", model)]
        done = CliRunner().invoke(app, ["replay", "--tape", "SYNTH", *asked, *named, "--json"])
        assert done.exit_code == 0, done.exception
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    both = replayed("1", "late.safetensors")

    taken = [(one["effective_ms"], one["version"]) for one in both["model"]["lineage"]]
    assert taken == [(at(1_000), 1), (at(1_200), 2)]
    schedule = [(at(1_000), ModelStore("models").read(1)), (at(1_200), late)]
    assert both["digest"] == backtest(tapes=[TAPE], models=schedule, **QUIET).digest
    assert replayed("1")["digest"] != both["digest"]
    alone = CliRunner().invoke(app, ["replay", "--tape", "SYNTH", "--models", "models"])
    assert "--models says where --model is looked for" in str(alone.exception)
    for name, said in (("9", "there is no model 9"), ("gone", "cannot be read"), ("1", "both take over")):
        again = ["--model", "1", "--model", str(ModelStore("models").path(1))] if name == "1" else []
        done = CliRunner().invoke(app, ["replay", "--tape", "SYNTH", *(again or ["--model", name])])
        assert said in str(done.exception)
