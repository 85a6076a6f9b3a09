"""The statement of a result: on request in its folder, always at hand, balanced, and the sums are the report's."""

from pathlib import Path

import pandas as pd
import pytest

from papertape.replay import backtest
from papertape.replay.importers.sample import sample_tape


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_folder_has_it_where_it_is_asked_for(tmp_path: Path, is_asked: bool) -> None:
    report = {"sensitivity": False, "random_draws": 0, "statement": is_asked}
    result = backtest(
        sample_tape(),
        strategy="ema_cross",
        use_ml=False,
        end="2020-06-30",
        account={"sizing": "fraction"},
        report=report,
    )

    folder = result.save(tmp_path / "out")

    statement = result.statement
    assert (folder / "statement.parquet").is_file() == is_asked
    if is_asked:
        read = pd.read_parquet(folder / "statement.parquet")
        assert len(read) == len(statement) > 100
        assert read["amount"].tolist() == statement["amount"].tolist()
    each = statement.groupby("transaction")["amount"].sum()
    assert each.abs().max() < 1e-6
    fees = statement[statement["account"].str.contains("fee")]["amount"].sum()
    assert fees == pytest.approx(result.trades["fees"].sum(), abs=1e-6)
