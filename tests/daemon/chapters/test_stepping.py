"""An engine that looks on: what it sees of a journal, and that joining its inputs changes nothing."""

from pathlib import Path

from papertape.daemon.chapters.stepping import look_on
from papertape.daemon.journal import Journal, encode
from papertape.engine.chapters import from_then_on
from papertape.engine.core import Engine
from papertape.engine.events import Action, Command, Funding, NewModel
from tests.support.journals import candles, identity, model_bytes

ROWS = candles(120)
CLOSE_MS = int(ROWS["open_ms"][-1]) + 900_000


def test_it_sees_candles_settlements_and_models_and_nothing_of_the_account(tmp_path: Path) -> None:
    about = identity(signals={"use_ml": True, "retrain_every": "never", "use_smc": False})
    spec = from_then_on(about.spec, CLOSE_MS)
    events = [
        ROWS[:100],
        Command(Action.PAUSE),
        NewModel(4, model_bytes(4)),
        ROWS[100:130],
        Funding(int(ROWS["open_ms"][130]), 0, 1e-4, 100.0),
        Command(Action.SCALE, 0.5),
        ROWS[130:],
    ]
    with Journal.open(tmp_path, 0) as journal:
        for event in events:
            journal.commit([lambda j, e=event: j.add_input(encode(e), 0)])
        looking = Engine(spec)
        look_on(looking, journal.inputs())

    expected = Engine(spec)
    for event in events:
        if not isinstance(event, Command):
            expected.step(event)
    assert looking.snapshot() == expected.snapshot()
    assert looking.account[0].model_version == 4
    assert looking.account[0].is_paused == 0
    assert looking.account[0].trades == 0


def test_a_model_that_it_cannot_read_leaves_it_without_one(tmp_path: Path) -> None:
    blind = identity(signals={"use_ml": False, "retrain_every": "never", "use_smc": False})
    with Journal.open(tmp_path, 0) as journal:
        for event in (ROWS[:100], NewModel(4, model_bytes(4)), ROWS[100:]):
            journal.commit([lambda j, e=event: j.add_input(encode(e), 0)])
        engine = Engine(from_then_on(blind.spec, CLOSE_MS))
        look_on(engine, journal.inputs())

    assert engine.model.artefact is None
    assert engine.account[0].instants == 120
