"""Every dialect from a small file written here, then the recorded originals; and what must be refused, in words."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from papertape.engine.candles import FLAG_SYNTHETIC
from papertape.engine.errors import DataError
from papertape.replay.importers.build import import_tape, kind_of
from papertape.replay.importers.detect import IMPORTERS, read_raw
from papertape.replay.importers.options import Options
from papertape.replay.importers.sample import sample_tape
from papertape.replay.tapes.store import Tape, write_tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.helpers import SHARED, needs_shared

RAW = SHARED / "data" / "raw"
JAN_MS = 1_672_531_200_000  # 2023-01-01 00:00 UTC
HOUR_MS = 3_600_000
# open, high, low, close, volume of three hours
BARS = ((10.0, 12.0, 9.0, 11.0, 5.0), (11.0, 13.0, 10.5, 12.5, 6.0), (12.5, 12.75, 8.0, 8.5, 7.0))
BINANCE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n"
)


def binance_rows(unit: int = 1, decimals: int = 8) -> str:
    """Return Binance rows; `unit` is how many stamps make a millisecond."""
    lines = []
    for i, bar in enumerate(BARS):
        opened = JAN_MS + i * HOUR_MS
        prices = ",".join(f"{price:.{decimals}f}" for price in bar)
        lines.append(f"{opened * unit},{prices},{(opened + HOUR_MS) * unit - 1},77,3,1,1,0")
    return "\n".join(lines) + "\n"


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def put_zip(folder: Path, name: str, **members: str) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return path


def check_bars(tape: Tape, step_ms: int = HOUR_MS, first_ms: int = JAN_MS, n: int = 3) -> None:
    """Assert that a tape holds the first `n` of BARS."""
    assert tape.candles["open_ms"].tolist() == [first_ms + i * step_ms for i in range(n)]
    for i, name in enumerate(("open", "high", "low", "close", "volume")):
        assert tape.candles[name].tolist() == [bar[i] for bar in BARS[:n]]


def who(tape: Tape) -> tuple[str, str, str, str]:
    return tape.venue, tape.symbol, tape.timeframe, tape.kind


@pytest.mark.parametrize(("unit", "header"), [(1, ""), (1000, ""), (1, BINANCE_HEADER)])
def test_binance_spot_by_eight_decimals_in_ms_and_us(tmp_path: Path, unit: int, header: str) -> None:
    path = put_zip(tmp_path, "x.zip", **{"BTCUSDT-1h-2023-01.csv": header + binance_rows(unit)})

    tape = import_tape(path).tape

    check_bars(tape)
    assert who(tape) == ("binance-spot", "BTCUSDT", "1h", "spot")


def test_binance_futures_by_header_and_own_decimals(tmp_path: Path) -> None:
    path = put(tmp_path, "BTCUSDT-1h-2023-01.csv", BINANCE_HEADER + binance_rows(decimals=2))

    tape = import_tape(path).tape

    check_bars(tape)
    assert who(tape) == ("binance-usdm", "BTCUSDT", "1h", "linear")


def test_binance_coin_margined_takes_the_base_volume(tmp_path: Path) -> None:
    path = put(tmp_path, "BTCUSD_PERP-1h-2023-01.csv", BINANCE_HEADER + binance_rows(decimals=1))

    tape = import_tape(path, Options(symbol="BTCUSD_PERP")).tape

    assert who(tape) == ("binance-coinm", "BTCUSD_PERP", "1h", "inverse")
    assert tape.candles["volume"].tolist() == [77.0, 77.0, 77.0]


def test_binance_without_any_sign_of_its_market_asks_for_the_venue(tmp_path: Path) -> None:
    path = put(tmp_path, "BTCUSDT-1h-2023-01.csv", binance_rows(decimals=2))

    with pytest.raises(DataError, match="give --venue, for example --venue binance-spot"):
        import_tape(path)
    assert import_tape(path, Options(venue="binance-usdm")).tape.kind == "linear"


def test_what_macos_puts_into_a_zip_is_no_file_of_candles(tmp_path: Path) -> None:
    name = "BTCUSDT-1h-2023-01.csv"
    path = put_zip(tmp_path, "x.zip", **{name: binance_rows(), f"__MACOSX/._{name}": "\0\5\x16\7\0"})

    check_bars(import_tape(path).tape)


def test_a_folder_of_zips_is_one_tape(tmp_path: Path) -> None:
    lines = binance_rows().splitlines(keepends=True)
    for day, line in enumerate(lines):
        put_zip(tmp_path, f"d{day}.zip", **{f"BTCUSDT-1h-2023-01-0{day + 1}.csv": line})
    put(tmp_path, "d0.zip.CHECKSUM", "abc  d0.zip")

    check_bars(import_tape(tmp_path).tape)


def test_files_of_two_markets_are_not_joined(tmp_path: Path) -> None:
    put(tmp_path, "BTCUSDT-1h-2023-01.csv", binance_rows())
    put(tmp_path, "ETHUSDT-1h-2023-01.csv", binance_rows())

    with pytest.raises(DataError, match="symbol ETHUSDT is not BTCUSDT as in BTCUSDT-1h-2023-01"):
        import_tape(tmp_path)


def test_freqtrade_feather_with_exchange_and_market_from_its_folders(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "binance" / "futures"
    folder.mkdir(parents=True)
    frame = pd.DataFrame(BARS, columns=["open", "high", "low", "close", "volume"])
    frame.insert(0, "date", pd.to_datetime([JAN_MS + i * HOUR_MS for i in range(3)], unit="ms", utc=True))
    frame.to_feather(folder / "BTC_USDT_USDT-1h-futures.feather")

    tape = import_tape(folder / "BTC_USDT_USDT-1h-futures.feather").tape

    check_bars(tape)
    assert who(tape) == ("binance-usdm", "BTCUSDT", "1h", "linear")


def test_freqtrade_json_and_bitfinex_are_told_apart_by_their_candles(tmp_path: Path) -> None:
    usual = [[JAN_MS + i * HOUR_MS, *bar] for i, bar in enumerate(BARS)]
    swapped = [[t, o, c, h, low, v] for t, o, h, low, c, v in usual]
    options = Options(venue="a-spot", symbol="B")

    first = import_tape(put(tmp_path, "a.json", json.dumps(usual)), options)
    second = import_tape(put(tmp_path, "b.json", json.dumps(swapped)), options)
    rows = "\n".join(",".join(map(str, row)) for row in swapped)
    third = import_tape(put(tmp_path, "c.csv", rows), Options(symbol="B"))

    for made, dialect in ((first, "freqtrade-json"), (second, "bitfinex"), (third, "bitfinex")):
        check_bars(made.tape)
        assert made.dialect == dialect
    assert third.tape.venue == "bitfinex-spot"


def test_lean_minutes_take_date_and_symbol_from_the_inner_name(tmp_path: Path) -> None:
    rows = "\n".join(f"{60_000 * i}," + ",".join(map(str, bar)) for i, bar in enumerate(BARS))
    path = put_zip(tmp_path, "coinbase_x.zip", **{"20230101_btcusd_minute_trade.csv": rows})

    tape = import_tape(path).tape

    check_bars(tape, 60_000)
    assert who(tape) == ("coinbase-spot", "BTCUSD", "1m", "spot")


def test_lean_hours_carry_their_dates(tmp_path: Path) -> None:
    rows = "\n".join(f"20230101 0{i}:00," + ",".join(map(str, bar)) for i, bar in enumerate(BARS))

    tape = import_tape(put_zip(tmp_path, "kraken_h.zip", **{"btcusdt.csv": rows})).tape

    check_bars(tape)
    assert who(tape) == ("kraken-spot", "BTCUSDT", "1h", "spot")


def test_lean_coin_margined_volume_is_turned_into_base_units(tmp_path: Path) -> None:
    rows = "0,20000,20000,20000,20000,400\n60000,20000,20000,16000,16000,400"
    path = put_zip(tmp_path, "binance_f.zip", **{"20230101_btcusd_minute_trade_perp.csv": rows})

    tape = import_tape(path).tape

    # 400 contracts of 100 USD: 2 BTC at 20,000 and 2.5 BTC at 16,000.
    assert tape.candles["volume"].tolist() == [2.0, 2.5]
    assert who(tape) == ("binance-coinm", "BTCUSD", "1m", "inverse")


def test_lean_quotes_are_refused(tmp_path: Path) -> None:
    path = put_zip(tmp_path, "q.zip", **{"20230101_btcusd_minute_quote.csv": "0,1,1,1,1,5,2,2,2,2,5"})

    with pytest.raises(DataError, match=r"quote bars .* no trades"):
        import_tape(path)


def test_cryptodatadownload_old_newest_first_with_a_12_hour_clock(tmp_path: Path) -> None:
    text = "Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USD\n"
    for i, hour in ((2, "02-AM"), (1, "01-AM"), (0, "12-AM")):
        text += f"2023-01-01 {hour},BTCUSD,{','.join(map(str, BARS[i]))},999\n"

    made = import_tape(put(tmp_path, "Coinbase_BTCUSD_1h.csv", text))

    check_bars(made.tape)
    assert who(made.tape) == ("coinbase-spot", "BTCUSD", "1h", "spot")
    assert made.repairs.reversed == 3


def test_cryptodatadownload_new_with_address_line_and_mixed_unix_stamps(tmp_path: Path) -> None:
    text = "https://www.CryptoDataDownload.com\n"
    text += "unix,date,symbol,open,high,low,close,Volume USDT,Volume BTC\n"
    for i, unit in ((2, 1), (1, 1), (0, 1000)):
        stamp = (JAN_MS + i * HOUR_MS) // unit
        *prices, volume = BARS[i]
        cells = ",".join(map(str, prices))
        text += f"{stamp},2023-01-01 0{i}:00:00,BTC/USDT,{cells},999,{volume}\n"

    tape = import_tape(put(tmp_path, "Binance_BTCUSDT_1h.csv", text)).tape

    check_bars(tape)
    assert who(tape) == ("binance-spot", "BTCUSDT", "1h", "spot")


def test_kraken_csv_and_rest_whose_last_entry_is_forming(tmp_path: Path) -> None:
    seconds = [JAN_MS // 1000 + i * 3600 for i in range(3)]
    csv = "\n".join(f"{t}," + ",".join(map(str, bar)) + ",9" for t, bar in zip(seconds, BARS, strict=True))
    entries = [[t, *map(str, bar[:4]), "10.0", str(bar[4]), 9] for t, bar in zip(seconds, BARS, strict=True)]
    answer = {"error": [], "result": {"XBTUSD": entries, "last": seconds[1]}}

    table = import_tape(put(tmp_path, "XBTUSD_60.csv", csv)).tape
    rest = import_tape(put(tmp_path, "ohlc.json", json.dumps(answer)))

    check_bars(table)
    check_bars(rest.tape, n=2)
    assert who(table) == who(rest.tape) == ("kraken-spot", "XBTUSD", "1h", "spot")
    assert rest.repairs.forming == 1


@pytest.mark.parametrize(
    "stamp",
    [
        lambda ms: ms // 1000,
        lambda ms: ms,
        lambda ms: ms * 1000,
        lambda ms: ms * 1_000_000,
        lambda ms: str(np.datetime64(ms, "ms")) + "Z",
        lambda ms: str(np.datetime64(ms, "ms"))[:16].replace("T", " "),
        lambda ms: str(np.datetime64(ms + 7_200_000, "ms")) + "+02:00",
    ],
    ids=["s", "ms", "us", "ns", "iso", "plain", "zone"],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_by_column_names_with_any_time_and_delimiter(
    tmp_path: Path, stamp: object, delimiter: str
) -> None:
    lines = [delimiter.join(("Volume", "Close", "Open", "Low", "High", "Extra", "Timestamp"))]
    for i, (o, h, low, c, v) in enumerate(BARS):
        time = stamp(JAN_MS + i * HOUR_MS)  # type: ignore[operator] # a lambda above
        lines.append(delimiter.join(map(str, (v, c, o, low, h, "x", time))))
    path = put(tmp_path, "a.csv", b"\xef\xbb\xbf" + "\r\n".join(lines).encode())

    check_bars(import_tape(path, Options(venue="a-spot", symbol="B")).tape)


def test_columns_can_be_named_or_counted(tmp_path: Path) -> None:
    rows = "\n".join(
        f"{i},{JAN_MS + i * HOUR_MS},x,{o},{h},{low},{c},{v}" for i, (o, h, low, c, v) in enumerate(BARS)
    )
    named = "row,when,what,a,b,c,d,e\n" + rows
    fields = ("time", "open", "high", "low", "close", "volume")
    by_name = dict(zip(fields, ("when", "a", "b", "c", "d", "e"), strict=True))
    by_place = dict(zip(fields, "134567", strict=True))
    known = {"venue": "a-spot", "symbol": "B"}

    check_bars(import_tape(put(tmp_path, "n.csv", named), Options(columns=by_name, **known)).tape)
    check_bars(import_tape(put(tmp_path, "p.csv", rows), Options(columns=by_place, **known)).tape)
    with pytest.raises(DataError, match="no column 'dd'"):
        read_raw(tmp_path / "n.csv", Options(columns={**by_name, "close": "dd"}))
    with pytest.raises(DataError, match="--columns opn: unknown field: did you mean 'open'"):
        read_raw(tmp_path / "n.csv", Options(columns={"opn": "a"}))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_table_of_two_markets_is_refused_and_another_name_is_said(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame(BARS, columns=["open", "high", "low", "close", "volume"])
    frame["time"] = [JAN_MS + i * HOUR_MS for i in range(3)]
    path, known = tmp_path / name, Options(venue="a-spot", symbol="BTCUSDT")

    def write(*symbols: str) -> None:
        frame["symbol"] = symbols
        frame.to_csv(path, index=False) if name == "a.csv" else frame.to_parquet(path)

    write("BTCUSDT", "ETHUSDT", "BTCUSDT")
    with pytest.raises(DataError, match="these are candles of BTCUSDT, ETHUSDT; a tape is of one market"):
        import_tape(path, known)
    write("XBT/USDT", "XBT/USDT", "XBT-USDT")
    assert "the file calls its market XBT-USDT" in import_tape(path, known).tape.notes
    write("BTC/USDT", "BTC/USDT", "BTC/USDT")
    assert not any("calls" in note for note in import_tape(path, known).tape.notes)


TWICE = ("time", "open", "high", "low", "close", "volume")


@pytest.mark.parametrize("again", ["close", " Close ", "CLOSE", "time", "Volume"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_column_that_stands_twice_is_refused_and_can_be_counted(
    tmp_path: Path, again: str, suffix: str
) -> None:
    rows = [(JAN_MS + i * HOUR_MS, *bar) for i, bar in enumerate(BARS)]
    path = tmp_path / f"x.{suffix}"
    if suffix == "csv":
        lines = [",".join((*TWICE, again)), *(",".join(map(str, (*row, 1))) for row in rows)]
        put(tmp_path, path.name, "\n".join(lines) + "\n")
    else:
        columns = [*map(pa.array, zip(*rows, strict=True)), pa.array([1, 1, 1])]
        pq.write_table(pa.table(columns, names=[*TWICE, again]), path)
    field = again.strip().lower()
    place = TWICE.index(field)

    with pytest.raises(
        DataError, match=rf"x\.{suffix}: 2 columns are called '{field}'.* columns {place} and 6$"
    ):
        import_tape(path, Options(venue="v", symbol="BTCUSDT"))
    counted = Options(venue="v", symbol="BTCUSDT", columns={field: str(place)})

    check_bars(import_tape(path, counted).tape)


def test_a_column_that_stands_twice_is_refused_in_files_of_other_tools(tmp_path: Path) -> None:
    head = "unix,date,symbol,open,high,low,close,Volume BTC,Close\n"
    first = f"{JAN_MS},2023-01-01 00:00:00,BTCUSD,1,1,1,1,1,1\n"
    put(tmp_path, "Gemini_BTCUSD_1h.csv", head + first)
    columns = [pa.array([JAN_MS], pa.timestamp("ms")), *(pa.array([1.0]) for _ in range(6))]
    names = ["date", "open", "high", "low", "close", "volume", "close"]
    feather.write_feather(pa.table(columns, names=names), tmp_path / "BTC_USDT-1h.feather")

    for name in ("Gemini_BTCUSD_1h.csv", "BTC_USDT-1h.feather"):
        with pytest.raises(DataError, match=f"{name}: 2 columns are called 'close'; leave one$"):
            read_raw(tmp_path / name, Options())


def test_a_column_that_is_not_read_may_stand_twice(tmp_path: Path) -> None:
    lines = ["time,open,high,low,close,volume,note,note"]
    lines += [f"{JAN_MS + i * HOUR_MS},{','.join(map(str, bar))},a,b" for i, bar in enumerate(BARS)]
    path = put(tmp_path, "x.csv", "\n".join(lines) + "\n")

    check_bars(import_tape(path, Options(venue="v", symbol="BTCUSDT")).tape)


def test_parquet_with_named_columns_and_our_name(tmp_path: Path) -> None:
    frame = pd.DataFrame(BARS, columns=["open", "high", "low", "close", "volume"])
    frame["open_time"] = [JAN_MS + i * HOUR_MS for i in range(3)]
    path = tmp_path / "binance-usdm_BTCUSDT-mark_1h_20230101_20230101.parquet"
    frame.to_parquet(path)

    tape = import_tape(path).tape

    check_bars(tape)
    assert who(tape) == ("binance-usdm", "BTCUSDT-mark", "1h", "linear")


def test_a_tape_is_imported_with_its_flags(tmp_path: Path) -> None:
    tape = synthesize("noise", 20)
    write_tape(tape, tmp_path / "t.parquet")

    again = import_tape(tmp_path / "t.parquet").tape

    assert again.sha256 == tape.sha256
    assert (again.candles["flag_bits"] == FLAG_SYNTHETIC).all()


def test_contracts_become_base_units_or_the_value_is_asked_for(tmp_path: Path) -> None:
    frame = pd.DataFrame(BARS, columns=["open", "high", "low", "close", "volume"])
    frame["open_time"] = [JAN_MS + i * HOUR_MS for i in range(3)]
    frame.to_parquet(tmp_path / "delta-india_BTCUSD_1h.parquet")
    frame.to_parquet(tmp_path / "delta-india_XYZUSD_1h.parquet")
    known = import_tape(tmp_path / "delta-india_BTCUSD_1h.parquet").tape

    with pytest.raises(DataError, match="contract value of XYZUSD is not known"):
        import_tape(tmp_path / "delta-india_XYZUSD_1h.parquet")
    told = import_tape(tmp_path / "delta-india_XYZUSD_1h.parquet", Options(contract_value=2.0)).tape

    assert known.candles["volume"].tolist() == [0.005, 0.006, 0.007]
    assert told.candles["volume"].tolist() == [10.0, 12.0, 14.0]
    assert "volume turned from contracts of 0.001 into base units" in known.notes


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    path = put(tmp_path, "BTCUSDT-1h-2023-01.csv.gz", gzip.compress(binance_rows().encode()))

    check_bars(import_tape(path).tape)


def test_content_wins_over_the_name_and_a_declared_timeframe_must_agree(tmp_path: Path) -> None:
    path = put(tmp_path, "BTCUSDT-5m-2023-01.csv", binance_rows())

    assert import_tape(path).tape.timeframe == "1h"
    with pytest.raises(DataError, match="are 1h apart, not 5m as declared"):
        import_tape(path, Options(timeframe="5m"))


HTML = "<!DOCTYPE html><html><body>404</body></html>"
TABLE_HEAD = "time,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b" \n \n", "the file is empty"),
        ("a.csv", HTML.encode(), "seems to be a web page"),
        ("a.zip", b"PK\x03\x04 broken", "zip file is truncated, damaged or locked"),
        ("a.gz", gzip.compress(b"x" * 1000, mtime=0)[:-5], "gzip file is truncated or damaged"),
        ("a.csv", "timé".encode("latin-1"), "neither UTF-8 text nor a known binary format"),
        ("a.csv", "time,open".encode("utf-16"), "neither UTF-8 text"),
        ("a.bin", bytes(range(256)), "neither UTF-8 text"),
        ("a.parquet", b"PAR1 torn", "Parquet file is truncated or damaged"),
        ("a.feather", b"ARROW1 torn", "feather file is truncated or damaged"),
        ("a.csv", TABLE_HEAD.encode(), "no row of data"),
        ("a.csv", f"{TABLE_HEAD}1672531200,1,2,1,1,5\n1672534800,1,2,x,1,5".encode(), "row 3: low 'x' is not a number"),
        ("a.csv", f"{TABLE_HEAD}1672531200,1,2,1,1,5\n1672534800,1,2".encode(), "row 3 has 3 columns, the rows before 6"),
        ("a.csv", f"{TABLE_HEAD}yesterday,1,2,1,1,5\n".encode(), "row 2: time 'yesterday' is neither"),
        ("a.csv", f"{TABLE_HEAD}1672531200,1,2,1,1,5\n16725348000,1,2,1,1,5\n1672531200000,1,2,1,1,5".encode(), "row 4: 1672531200000 is no time"),
        ("a.csv", b"time,open,close\n1,2,3", "text in no known form of candles; it begins 'time,open,close'"),
        ("a.json", b"[[1672531200000,1,2,1,1", "JSON list in no known form"),
        ("a.json", b'{"a": 1}', "JSON object in no known form"),
        ("a.json", b"[" * 100_000, "JSON list in no known form"),
        ("a.json", b'{"error":["EQuery:Unknown asset pair"]}', "error answer of Kraken"),
        ("a.csv", b"time,price,qty,side\n1,2,3,buy", "seems to be a list of trades"),
        ("a.csv", b"20230101 00:00:00,0.0001\n20230101 08:00:00,0.0001", "funding or margin interest"),
        ("a.txt", b"wss://stream <-> 1.5\n", "websocket recording"),
    ],
)  # fmt: skip
def test_what_is_no_candles_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = put(tmp_path, name, content)

    with pytest.raises(DataError) as caught:
        import_tape(path, Options(venue="a-spot", symbol="B"))

    assert words in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_zip_is_refused_at_every_length(tmp_path: Path) -> None:
    whole = put_zip(tmp_path, "w.zip", **{"BTCUSDT-1h-2023-01.csv": binance_rows()}).read_bytes()

    for size in range(1, len(whole), 23):
        with pytest.raises(DataError):
            import_tape(put(tmp_path, "t.zip", whole[:size]), Options(venue="v", symbol="S"))


def test_an_empty_zip_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no file"):
        import_tape(put_zip(tmp_path, "e.zip"))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="the folder holds no file"):
        import_tape(tmp_path / "none")
    with pytest.raises(DataError, match="no such file"):
        import_tape(tmp_path / "gone.csv")


def test_options_that_cannot_be_are_refused() -> None:
    for options, words in (
        ({"venue": "Binance Spot"}, "--venue"),
        ({"symbol": "../up"}, "--symbol"),
        ({"symbol": "a..b"}, "--symbol"),
        ({"kind": "option"}, "--kind"),
        ({"contract_value": 0.0}, "--contract-value"),
    ):
        with pytest.raises(DataError, match=words):
            Options(**options)  # type: ignore[arg-type] # wrong on purpose


def test_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'binance'"):
        read_raw(put(tmp_path, "a.csv", "x"), Options(format="binanse"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text('0123456789.,;-\n\t "[]{}:eEaopentimhglcsvu<>', max_size=300).map(str.encode),
        st.lists(
            st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=3)), max_size=13), max_size=6
        ).map(lambda rows: "\n".join(",".join(map(str, row)) for row in rows).encode()),
        st.recursive(
            st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=4)),
            lambda inner: (
                st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
            ),
            max_leaves=30,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    st.sampled_from([None, *IMPORTERS]),
    st.sampled_from([b"", b"PK\x03\x04", b"PAR1", b"ARROW1", b"\x1f\x8b", b'{"result":']),
    st.booleans(),
)
def test_no_bytes_make_anything_but_a_data_error(
    tmp_path: Path, data: bytes, name: str | None, magic: bytes, is_zipped: bool
) -> None:
    content = magic + data
    if is_zipped:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("20230101_btcusd_minute_trade.csv", content)
        content = packed.getvalue()
    path = put(tmp_path, "x", content)

    try:
        tape = import_tape(path, Options(format=name, venue="v", symbol="S", timeframe="1m")).tape
    except DataError:
        return
    assert len(tape.candles)


def test_kinds_follow_from_venues() -> None:
    assert [kind_of(v) for v in ("binance-spot", "okx-swap", "binance-coinm", "delta-india")] == [
        "spot",
        "linear",
        "inverse",
        "linear",
    ]


def test_sample_is_the_documented_one() -> None:
    tape = sample_tape()

    assert who(tape) == ("binance-spot", "BTCUSDT", "1h", "spot")
    assert len(tape.candles) == 35_057
    assert tape.candles["open_ms"][0] == 1_577_836_800_000  # 2020-01-01
    assert tape.candles["open_ms"][-1] == 1_704_150_000_000  # 2024-01-01 23:00
    # 1,462 days and a gap-free grid would be 35,088 hours.
    assert tape.quality["missing"] == 35_088 - 35_057
    assert not tape.candles["flag_bits"].any()


# file, dialect, venue, symbol, timeframe, rows after cleaning, first open, from the folder's README
ORIGINALS = (
    ("binance_vision/spot-klines-BTCUSDT-1h-2024-10-28.zip", "binance", "binance-spot", "BTCUSDT", "1h", 24, "2024-10-28T00"),
    ("binance_vision/futures-um-klines-BTCUSDT-1h-2024-10-28.zip", "binance", "binance-usdm", "BTCUSDT", "1h", 24, "2024-10-28T00"),
    ("binance_vision/BTCUSDT-1h-2023-01.csv", "binance", "binance-spot", "BTCUSDT", "1h", 744, "2023-01-01T00"),
    ("binance_vision/ADABTC-1m-2021-11-27.csv", "binance", "binance-spot", "ADABTC", "1m", 10, "2021-11-27T00"),
    ("freqtrade/BTC_USDT-1h.feather", "freqtrade", None, "BTCUSDT", "1h", 58_419, "2017-08-17T04"),
    ("freqtrade/BRD_BTC-5m.json", "freqtrade-json", None, "BRDBTC", "5m", 8_533, "2020-02-07T11"),
    ("lean/coinbase_minute_btcusd_20161009_trade.zip", "lean", "coinbase-spot", "BTCUSD", "1m", 1_397, "2016-10-09T00"),
    ("lean/binance_hour_btcusdt_trade.zip", "lean", "binance-spot", "BTCUSDT", "1h", 120, "2018-05-01T00"),
    ("lean/binance_cryptofuture_minute_btcusd_20221213_trade.zip", "lean", "binance-coinm", "BTCUSD", "1m", 1_439, "2022-12-13T00"),
    ("cryptodatadownload/Coinbase_BTCUSD_1h.csv", "cryptodatadownload", "coinbase-spot", "BTCUSD", "1h", 15_853, "2017-07-01T11"),
    ("rest/kraken_ohlc_XBTUSDT_1m.json", "kraken-rest", "kraken-spot", "XBTUSDT", "1m", 720, "2025-11-10T12"),
    ("ws/hftbacktest_binance-spot_btcusdt_20240808.expected_1m.csv", "table", None, None, "1m", 5, "2024-08-08T23"),
)  # fmt: skip


@needs_shared
@pytest.mark.parametrize("original", ORIGINALS, ids=lambda row: str(row[0]).rpartition("/")[2])
def test_recorded_originals(original: tuple[str, str, str | None, str | None, str, int, str]) -> None:
    name, dialect, venue, symbol, timeframe, rows, first = original
    raw = read_raw(RAW / name)

    made = import_tape(RAW / name, Options(venue=venue or "given-spot", symbol=symbol or "GIVEN"))

    assert (raw.dialect, raw.venue, raw.symbol) == (dialect, venue, symbol)
    assert made.tape.timeframe == timeframe
    assert len(made.tape.candles) == rows
    assert str(np.datetime64(int(made.tape.candles["open_ms"][0]), "ms"))[:13] == first


@needs_shared
def test_the_dirty_freqtrade_file_has_its_documented_defects() -> None:
    options = Options(venue="binance-spot")
    made = import_tape(RAW / "freqtrade/BRD_BTC-5m.json", options)

    assert (made.quality.duplicates, made.quality.missing) == (107, 107)
    assert made.repairs.folded == 107
    assert round(made.quality.zero_volume / made.quality.rows, 2) == 0.30


@needs_shared
def test_two_dialects_of_the_same_market_give_the_same_candles() -> None:
    feather = import_tape(RAW / "freqtrade/BTC_USDT-1h.feather", Options(venue="binance-spot"))
    layout = import_tape(SHARED / "data/candles/binance-spot_BTCUSDT_1h_20170817_20240421.parquet")
    january = import_tape(RAW / "binance_vision/BTCUSDT-1h-2023-01.csv").tape

    assert feather.tape.sha256 == layout.tape.sha256
    assert january.sha256 == layout.tape.between("2023-01-01", "2023-01-31").sha256


@needs_shared
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lean/coinbase_minute_btcusd_20180405_quote.zip", "quote bars"),
        ("lean/binance_margin_interest_btcusd.csv", "margin interest rate file"),
        ("rest/cryptofeed_DELTA.0.gz", "product list"),
        ("ws/cryptofeed_DELTA.ws.1.0", "websocket recording"),
        ("ws/cryptofeed_BINANCE.ws.1.0", "websocket recording"),
        ("ws/cryptofeed_BINANCE_FUTURES.ws.1.0", "websocket recording"),
        ("ws/hftbacktest_binance-spot_btcusdt_20240808.gz", "websocket recording"),
        ("../funding/binance-usdm_BTCUSDT_funding_20220101_20250630.parquet", "funding rate file"),
    ],
)
def test_recorded_files_that_are_no_candles_are_refused(name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        import_tape(RAW / name)
