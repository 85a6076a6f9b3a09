"""What may be chosen: tapes of the store, strategies with what they declare, and a configuration that is the daemon's own."""

from pathlib import Path

from papertape.daemon.backtests.choices import choices_of
from papertape.daemon.backtests.request import SET_ASIDE, checked
from papertape.engine.strategies import STRATEGIES
from papertape.replay.config import make_config
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize


def test_everything_that_is_offered_is_taken(tmp_path: Path) -> None:
    Store(tmp_path).save(synthesize("noise", 100, "1h"))
    (tmp_path / "broken.parquet").write_bytes(b"no tape")
    own = make_config(
        {
            "data": {"store": str(tmp_path)},
            "strategy": {"name": "ema_cross", "parameters": {"fast": 7}},
            "account": {"capital": 500.0, "sizing": "fraction"},
            "daemon": {"token_file": "a_secret_place"},
            "backtests": {"strategies": ["nowhere.to.be.found:Strategy"]},
        }
    )

    found = choices_of(own)

    assert {tape.name: bool(tape.problem) for tape in found.tapes if not tape.is_sample} == {
        "broken": True,
        "synthetic_SYNTH_1h": False,
    }
    whole = next(tape for tape in found.tapes if tape.name == "synthetic_SYNTH_1h")
    assert (whole.candles, whole.timeframe) == (100, "1h")
    assert not set(SET_ASIDE) & set(found.own)
    names = {one.name: one for one in found.strategies}
    assert set(names) == {*STRATEGIES, "nowhere.to.be.found:Strategy"}
    assert not names["nowhere.to.be.found:Strategy"].is_declared  # nothing of it was imported
    assert [one.name for one in found.strategies if one.is_own] == ["ema_cross"]
    fast = next(one for one in names["ema_cross"].parameters if one.name == "fast")
    assert (fast.type, fast.low is not None) == ("int", True)
    for tape in (tape.name for tape in found.tapes if not tape.problem):
        _, config = checked({**found.own, "data": {"tapes": [tape]}}, own)
        assert config.strategy == own.strategy
        assert config.account == own.account
    for one in (one for one in found.strategies if one.is_declared):
        parameters = {each.name: each.default for each in one.parameters}
        checked({"strategy": {"name": one.name, "parameters": parameters}}, own)
    for sizing in found.sizings:
        make_config({"account": {"sizing": sizing}})
    for timeframe in found.timeframes:
        make_config({"data": {"timeframe": timeframe}})


def test_the_sample_is_offered_where_the_store_has_no_tape_of_its_name(tmp_path: Path) -> None:
    found = choices_of(make_config({"data": {"store": str(tmp_path / "none")}}))

    (sample,) = found.tapes
    assert sample.is_sample
    checked({"data": {"tapes": [sample.name]}}, make_config({"data": {"store": str(tmp_path)}}))
