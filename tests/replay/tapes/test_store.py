"""The tape's file and the store: what is written is read back, and nothing half or changed is ever read."""

import errno
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.candles import CANDLE, FLAG_REPAIRED
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows
from papertape.replay.tapes.store import (
    Store,
    Tape,
    iter_candles,
    merge_tapes,
    read_metadata,
    read_tape,
    write_tape,
)
from tests.support.helpers import START_MS, make_candles, random_candles

HOUR_MS = 3_600_000


def make_tape(candles: Rows, symbol: str = "BTCUSDT", timeframe: str = "1h") -> Tape:
    return Tape(candles, "test-spot", symbol, timeframe, "made by hand")


def write_with_metadata(tape: Tape, path: Path, **changes: object) -> None:
    """Write a tape's file whose metadata says something else."""
    write_tape(tape, path)
    table = pq.read_table(path)
    values = {**tape.metadata(), **changes}
    pq.write_table(table.replace_schema_metadata({b"papertape": json.dumps(values)}), path)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 10_000), st.floats(0.01, 1e6), st.floats(0, 1e9)),
        min_size=1,
        max_size=30,
        unique_by=lambda row: row[0],
    ),
    st.integers(0, 15),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float, float]], flags: int
) -> None:
    candles = np.zeros(len(rows), CANDLE)
    for i, (hour, price, volume) in enumerate(sorted(rows)):
        candles[i] = (hour * HOUR_MS, 0, price, price, price, price, volume, flags)
    tape = Tape(candles, "v", "S", "1h", "source ü", "linear", ("a note",), {"gaps": 3})
    path = tmp_path_factory.mktemp("tape") / "x.parquet"

    write_tape(tape, path)
    again = read_tape(path)

    assert again.candles.tobytes() == candles.tobytes()
    assert again.sha256 == tape.sha256
    for name in ("venue", "symbol", "timeframe", "source", "kind", "notes", "quality"):
        assert getattr(again, name) == getattr(tape, name)


def test_hash_is_sha256_over_the_columns_one_after_the_other() -> None:
    tape = make_tape(make_candles([(1.0, 3.0, 0.5, 2.0), (2.0, 2.5, 1.5, 1.75)]))

    by_hand = hashlib.sha256()
    by_hand.update(struct.pack("<qq", START_MS, START_MS + HOUR_MS))
    for pair in ((1.0, 2.0), (3.0, 2.5), (0.5, 1.5), (2.0, 1.75), (1.0, 1.0)):
        by_hand.update(struct.pack("<dd", *pair))
    by_hand.update(struct.pack("<qq", 0, 0))

    assert tape.sha256 == by_hand.hexdigest()


def test_file_has_the_documented_columns_and_any_reader_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_tape(make_tape(random_candles(10)), path)

    frame = pd.read_parquet(path)
    about = json.loads(pq.read_schema(path).metadata[b"papertape"])

    names = ["open_time", "open", "high", "low", "close", "volume", "flags"]
    assert list(frame.columns) == names
    assert [str(t) for t in frame.dtypes] == ["int64", *["float64"] * 5, "int64"]
    assert about["format"] == 1
    assert (about["venue"], about["symbol"], about["rows"]) == ("test-spot", "BTCUSDT", 10)
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_candles_of_a_tape_cannot_be_changed() -> None:
    tape = make_tape(random_candles(5))

    with pytest.raises(ValueError, match="read-only"):
        tape.candles["close"][0] = 1.0


@pytest.mark.parametrize("stamps", [[0, 0], [HOUR_MS, 0], [0, HOUR_MS + 1]])
def test_stamps_that_repeat_go_back_or_leave_the_grid_are_refused(stamps: list[int]) -> None:
    candles = make_candles([(1.0, 1.0, 1.0, 1.0)] * 2)
    candles["open_ms"] = stamps

    with pytest.raises(DataError, match="must rise and lie on the grid"):
        make_tape(candles)


def test_an_empty_tape_is_refused() -> None:
    with pytest.raises(DataError, match="at least one candle"):
        make_tape(np.zeros(0, CANDLE))


def test_between_includes_both_ends_and_a_bare_date_is_its_whole_day() -> None:
    tape = make_tape(random_candles(72))  # 2020-01-01 … 2020-01-03 23:00

    day = tape.between("2020-01-02", "2020-01-02")
    hours = tape.between("2020-01-02 03:00", START_MS + 28 * HOUR_MS)

    assert [int(day.candles["open_ms"][i]) for i in (0, -1)] == [
        START_MS + 24 * HOUR_MS,
        START_MS + 47 * HOUR_MS,
    ]
    assert len(hours.candles) == 2
    with pytest.raises(DataError, match="no candle between 2021-01-01 00:00 and its last; it has "):
        tape.between("2021-01-01")
    with pytest.raises(DataError, match="no candle between its first and 2019-01-01 23:59:59"):
        tape.between(end="2019-01-01")
    with pytest.raises(DataError, match="write 2023-01-31"):
        tape.between("yesterday")


@pytest.mark.parametrize("rows", [1, 7, 100, 1_000_000])
def test_reading_in_pieces_gives_the_same_candles(tmp_path: Path, rows: int) -> None:
    tape = make_tape(random_candles(300))
    write_tape(tape, tmp_path / "t.parquet")

    parts = list(iter_candles(tmp_path / "t.parquet", rows))

    assert b"".join(part.tobytes() for part in parts) == tape.candles.tobytes()
    assert max(len(part) for part in parts) <= rows


def test_a_changed_candle_is_found_by_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    tape = make_tape(random_candles(50))
    other = tape.candles.copy()
    other["close"][30] = np.nextafter(other["close"][30], 0.0)
    write_with_metadata(make_tape(other), path, sha256=tape.sha256)

    with pytest.raises(DataError, match="hash"):
        read_tape(path)
    with pytest.raises(DataError, match="hash"):
        next(iter_candles(path))


def test_a_flipped_byte_anywhere_is_an_error_or_changes_no_candle(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    tape = make_tape(random_candles(40))
    write_tape(tape, path)
    data = path.read_bytes()
    refused = 0

    for place in range(0, len(data), max(len(data) // 150, 1)):
        broken = bytearray(data)
        broken[place] ^= 0x55
        path.write_bytes(broken)
        try:
            again = read_tape(path)
        except DataError:
            refused += 1
        else:  # a byte of padding, statistics or a note
            assert again.candles.tobytes() == tape.candles.tobytes()

    assert refused > 75


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_tape(make_tape(random_candles(40)), path)
    data = path.read_bytes()

    for size in (0, 3, 200, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(DataError, match=r"t\.parquet"):
            read_tape(path)


def test_parquet_without_metadata_says_to_import_it(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    pd.DataFrame({"open_time": [0], "open": [1.0]}).to_parquet(path)

    with pytest.raises(DataError, match="papertape tape import"):
        read_tape(path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_with_metadata(make_tape(random_candles(3)), path, format=2)

    with pytest.raises(DataError, match="format 2 is newer than 1; update papertape"):
        read_tape(path)


@pytest.mark.parametrize("number", [0, True, "1", 1.5])
def test_a_format_that_never_was_is_damage(tmp_path: Path, number: object) -> None:
    path = tmp_path / "t.parquet"
    write_with_metadata(make_tape(random_candles(3)), path, format=number)

    with pytest.raises(DataError, match="metadata is damaged; import it again"):
        read_tape(path)


def test_damaged_metadata_and_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"open_time": [1]})
    about = make_tape(random_candles(3)).metadata()
    for text, reason in ((b"{", "damaged"), (b"[]", "damaged"), (b"{}", "damaged")):
        pq.write_table(table.replace_schema_metadata({b"papertape": text}), path)
        with pytest.raises(DataError, match=reason):
            read_metadata(path)
    pq.write_table(table.replace_schema_metadata({b"papertape": json.dumps(about)}), path)
    with pytest.raises(DataError, match="columns"):
        read_metadata(path)


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_tape(tmp_path / "nothing.parquet")


def test_a_full_disk_leaves_the_old_tape_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    old = make_tape(random_candles(5))
    write_tape(old, path)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="no space left on device; nothing was changed"):
        write_tape(make_tape(random_candles(9)), path)
    monkeypatch.undo()

    assert read_tape(path).sha256 == old.sha256
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_a_kill_before_the_rename_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old = make_tape(random_candles(5))
    store.save(old)
    script = """
        import os, signal, sys
        import numpy as np
        from papertape.engine.candles import empty_candles
        from papertape.replay.tapes.store import Store, Tape
        candles = empty_candles(2)
        candles["open_ms"] = [0, 3600000]
        os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
        Store(sys.argv[1]).save(Tape(candles, "test-spot", "BTCUSDT", "1h"), replace=True)
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        check=False,
        cwd=Path(__file__).resolve().parents[3],
    )

    assert done.returncode == -signal.SIGKILL
    assert [entry.name for entry in store.entries()] == ["test-spot_BTCUSDT_1h"]
    assert store.find("BTCUSDT").sha256 == old.sha256


def test_store_finds_by_any_clear_name_and_explains_the_others(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "tapes")
    with pytest.raises(DataError, match="holds no tape"):
        store.find("BTCUSDT")
    hourly = make_tape(random_candles(5))
    store.save(hourly)
    store.save(make_tape(random_candles(5), "ETHUSDT"))
    names = ("BTCUSDT", "btcusdt", "test-spot:BTCUSDT", "test-spot_BTCUSDT_1h", "BTCUSDT_1h")

    for name in (*names, "test-spot_BTCUSDT_1h.parquet"):
        assert store.find(name).sha256 == hourly.sha256
    with pytest.raises(DataError, match="did you mean 'test-spot_BTCUSDT_1h'"):
        store.find("test-spot_BTCUSD_1h")
    store.save(make_tape(random_candles(5, timeframe="4h"), timeframe="4h"))
    with pytest.raises(DataError, match="say which: test-spot_BTCUSDT_1h, test-spot_BTCUSDT_4h"):
        store.find("BTCUSDT")


def test_store_takes_its_folder_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store().directory == Path("tapes")
    monkeypatch.setenv("PAPERTAPE_TAPES", str(tmp_path / "mine"))
    assert Store().directory == tmp_path / "mine"


def test_store_refuses_to_overwrite_another_tape_unless_asked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = make_tape(random_candles(5)), make_tape(random_candles(6, seed=2))
    path = store.save(first)

    assert store.save(first) == path  # the same again is fine
    with pytest.raises(DataError, match="holds another tape"):
        store.save(second)
    assert store.find("BTCUSDT").sha256 == first.sha256
    store.save(second, replace=True)
    assert store.find("BTCUSDT").sha256 == second.sha256


def test_merging_joins_what_overlaps_equally(tmp_path: Path) -> None:
    whole = random_candles(10)
    store = Store(tmp_path)
    store.save(make_tape(whole[:7]))

    store.save(make_tape(whole[4:]), merge=True)
    merged = store.find("BTCUSDT")

    assert merged.candles.tobytes() == whole.tobytes()  # no flag: nothing was repaired
    assert "merged: 3 candles in both, 0 of them different" in merged.notes


def test_merging_different_candles_needs_a_word(tmp_path: Path) -> None:
    whole = random_candles(10)
    other = whole[4:].copy()
    other["volume"][0] += 1.0
    old, new = make_tape(whole[:7]), make_tape(other)

    with pytest.raises(DataError, match=r"--keep first or --keep last"):
        merge_tapes(old, new)
    kept = merge_tapes(old, new, keep="last")

    assert kept.candles["volume"][4] == other["volume"][0]
    assert merge_tapes(old, new, keep="first").candles["volume"][4] == whole["volume"][4]
    assert kept.candles["flag_bits"].tolist() == [0, 0, 0, 0, FLAG_REPAIRED, 0, 0, 0, 0, 0]


def test_an_unreadable_file_is_listed_with_its_problem(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(make_tape(random_candles(5)))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")

    good, bad = store.entries()

    assert good.problem is None
    assert bad.problem is not None
    assert "not a whole Parquet file" in bad.problem
    with pytest.raises(DataError, match="not a whole Parquet file"):
        store.find("torn")


def test_symbols_with_slashes_make_safe_file_names(tmp_path: Path) -> None:
    path = Store(tmp_path).save(make_tape(random_candles(3), "BTC/USDT:USDT"))

    assert path.name == "test-spot_BTC-USDT-USDT_1h.parquet"
    assert Store(tmp_path).find("BTC/USDT:USDT").symbol == "BTC/USDT:USDT"


def test_row_groups_are_read_one_at_a_time(tmp_path: Path) -> None:
    n = 300_000  # more than two row groups
    candles = make_candles([(1.0, 1.0, 1.0, 1.0)] * n, "1m")
    tape = make_tape(candles, timeframe="1m")
    write_tape(tape, tmp_path / "t.parquet")

    sizes = [len(part) for part in iter_candles(tmp_path / "t.parquet")]

    assert sizes == [131_072, 131_072, n - 2 * 131_072]
    with pytest.raises(DataError, match="rows: 0 is not at least 1"):
        next(iter_candles(tmp_path / "t.parquet", 0))


def test_two_that_merge_at_once_lose_no_candle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candles = make_candles([(100.0, 101.0, 99.0, 100.0)] * 3)
    store = Store(tmp_path)
    store.save(make_tape(candles[:1]))
    other = threading.Thread(target=lambda: Store(tmp_path).save(make_tape(candles[2:]), merge=True))
    write, begun = write_tape, []

    def between(tape: Tape, path: Path) -> None:
        if not begun:  # the first has read what is stored, and not written yet
            begun.append(other.start())
            other.join(0.3)
        write(tape, path)

    monkeypatch.setattr("papertape.replay.tapes.store.write_tape", between)
    store.save(make_tape(candles[:2]), merge=True)
    other.join()

    assert list(store.find("BTCUSDT").candles["open_ms"]) == list(candles["open_ms"])
