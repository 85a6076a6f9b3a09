"""A result as version 0.2.0 saved it, verified by this one: what it did is found again, and what is measured otherwise now is named."""

import json
import shutil
from pathlib import Path

import pytest

from papertape.engine.errors import DataError
from papertape.replay.backtesting.verify import verify

# `papertape replay --set data.start=2023-10-15 --set data.timeframe=1h --set signals.use_ml=false`, without its report.
SAVED = Path(__file__).parent / "older" / "0.2.0"
# Days were taken as independent then.
MEASURED_OTHERWISE = "result.json: metrics.sharpe_standard_error: saved "


def test_what_it_did_is_found_again() -> None:
    found = verify(SAVED)

    assert found.digest_saved == found.digest_now
    assert found.digest_now.startswith("bcef48410138ea5f")
    assert [said[: len(MEASURED_OTHERWISE)] for said in found.differences] == [MEASURED_OTHERWISE]


def test_a_market_that_was_another_is_named(tmp_path: Path) -> None:
    folder = shutil.copytree(SAVED, tmp_path / "result")
    summary = json.loads((folder / "result.json").read_text())
    summary["markets"]["BTCUSDT"]["tick_size"] = 0.5
    (folder / "result.json").write_text(json.dumps(summary))

    assert verify(folder).differences == ("result.json: markets.BTCUSDT.tick_size: saved 0.5, now 0.01",)


@pytest.mark.parametrize("markets", [None, {"BTCUSDT": {"colour": 1}}, {"BTCUSDT": None}, []])
def test_markets_that_are_none_are_damage(tmp_path: Path, markets: object) -> None:
    folder = shutil.copytree(SAVED, tmp_path / "result")
    summary = json.loads((folder / "result.json").read_text())
    summary["markets"] = markets
    (folder / "result.json").write_text(json.dumps(summary))

    with pytest.raises(DataError, match=r"result\.json: damaged: markets: "):
        verify(folder)
