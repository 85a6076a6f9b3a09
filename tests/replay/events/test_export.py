"""Features and events as files: the same in any row group, whole or absent, and readable by anyone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.features.smc import EVENT, SmartMoney
from papertape.engine.features.smc.events import BOS, SWING
from papertape.replay.events import events as market_events
from papertape.replay.events import export
from papertape.replay.events.events import event_table
from papertape.replay.events.export import write_events, write_features
from papertape.replay.tapes.synthetic import synthesize

TAPE = synthesize("regimes", 1_000, "15m", seed=2)
REQUESTS = ("ema_12", "bollinger", "obv", "smc")


def test_row_groups_and_batches_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = write_features(tmp_path / "f1.parquet", TAPE, REQUESTS)
    counts = write_events(tmp_path / "e1.parquet", TAPE)
    monkeypatch.setattr(export, "ROW_GROUP_ROWS", 137)
    monkeypatch.setattr(market_events, "BATCH", 211)

    assert write_features(tmp_path / "f2.parquet", TAPE, REQUESTS) == names
    assert write_events(tmp_path / "e2.parquet", TAPE) == counts

    assert pq.ParquetFile(tmp_path / "f1.parquet").num_row_groups == 1
    assert pq.ParquetFile(tmp_path / "f2.parquet").num_row_groups == 8
    assert pq.ParquetFile(tmp_path / "e2.parquet").num_row_groups == 5
    for kind in "fe":
        one, two = (pd.read_parquet(tmp_path / f"{kind}{i}.parquet") for i in (1, 2))
        pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert sum(counts.values()) == len(SmartMoney("15m").update(TAPE.candles)) > 500


def test_progress_reaches_the_end_and_files_are_whole_or_absent(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    write_features(tmp_path / "f.parquet", TAPE, REQUESTS, lambda *told: seen.append(told))
    write_events(tmp_path / "e.parquet", TAPE, lambda *told: seen.append(told))

    assert seen == [("features", 1_000, 1_000), ("events", 1_000, 1_000)]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for write in (
        lambda path: write_features(path, TAPE, REQUESTS, stop),
        lambda path: write_events(path, TAPE, stop),
    ):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "never.parquet")
    with pytest.raises(ConfigError, match="unknown feature"):
        write_features(tmp_path / "never.parquet", TAPE, ("emma_12",))
    assert {path.name for path in tmp_path.iterdir()} == {"f.parquet", "e.parquet"}


def test_event_table_names_kinds_of_both_families_and_holds_empty_input() -> None:
    events = np.zeros(2, EVENT)
    events["kind"] = [SWING, BOS]
    events["timeframe_ms"] = 900_000
    events["known_ms"], events["formed_ms"] = 1_577_837_700_000, 1_577_836_800_000

    table = event_table(events, "X")

    assert table["kind"].tolist() == ["SWING", "BOS"]
    assert table["timeframe"].tolist() == ["15m", "15m"]
    assert table["known_time"].tolist() == [pd.Timestamp("2020-01-01 00:15", tz="UTC")] * 2
    assert table["time"].tolist() == [pd.Timestamp("2020-01-01", tz="UTC")] * 2
    assert list(event_table(events[:0], "X")) == list(table)
