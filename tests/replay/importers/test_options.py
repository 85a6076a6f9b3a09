"""What spreadsheets and charting programs write: readable with options that the refusal names; lines counted right."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from papertape.engine.errors import DataError
from papertape.replay.importers.build import Imported, import_tape
from papertape.replay.importers.options import Options
from papertape.replay.tapes.store import Store

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
JAN_MS = 1_735_689_600_000  # 2025-01-01 00:00 UTC
NOW_MS = 1_767_225_600_000  # 2026-01-01
HEAD = "time,open,high,low,close,volume\n"
KNOWN = {"venue": "a-spot", "symbol": "B"}
CLOSES = [1050.5, 1051.5, 1052.5]


def imported(folder: Path, content: str, name: str = "a.csv", **given: object) -> Imported:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return import_tape(path, Options(**{**KNOWN, **given}), now_ms=NOW_MS)  # type: ignore[arg-type]


def refusal(folder: Path, content: str, name: str = "a.csv", **given: object) -> str:
    with pytest.raises(DataError) as caught:
        imported(folder, content, name, **given)
    text = str(caught.value)
    assert "\n" not in text
    return text


def table(form: str, *, head: str = HEAD) -> str:
    """Return three hours; `form` places {s}: seconds, {i}: the number of the hour, in whose close it stands."""
    made = (form.format(s=JAN_MS // 1000 + 3600 * i, i=i) for i in range(3))
    return head + "\n".join(made) + "\n"


SEMICOLONS = HEAD.replace(",", ";")
STYLES = {
    "thousands": (table('{s},"1,050.00","1,060","1,000.00","1,05{i}.50","2,000.25"'), {"thousands": ","}, "--thousands ,"),
    "decimal comma": (table("{s};1050;1060;1000;105{i},5;2000,25", head=SEMICOLONS), {"decimal": ","}, "--decimal ,"),
    "both": (table("{s};1.050;1.060,0;1.000;1.05{i},50;2.000,25", head=SEMICOLONS), {"decimal": ",", "thousands": "."}, "--decimal , --thousands ."),
    "apostrophes": (table("{s},1'050,1'060,1'000,1'05{i}.5,2'000.25"), {"thousands": "'"}, "--thousands \"'\""),
    "no header": (table("{s};1050;1060;1000;105{i},5;2000,25", head=""), {"decimal": ",", "columns": dict(zip(("time", "open", "high", "low", "close", "volume"), "012345", strict=True))}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", STYLES)
def test_numbers_of_other_styles_are_read_when_the_named_option_is_given(name: str, tmp_path: Path) -> None:
    content, given, said = STYLES[name]
    if said is not None:
        without = {k: v for k, v in given.items() if k == "columns"}
        assert refusal(tmp_path, content, **without).endswith(f"if it is one, say {said}")

    candles = imported(tmp_path, content, **given).tape.candles

    assert candles["open_ms"].tolist() == [JAN_MS + i * HOUR_MS for i in range(3)]
    assert candles["close"].tolist() == CLOSES
    assert candles["volume"].tolist() == [2000.25] * 3


@pytest.mark.parametrize("cell", ["1,23", "12,34,567", "1,0500", ",", "1.5,0"])
def test_thousands_stand_in_threes_or_are_refused(cell: str, tmp_path: Path) -> None:
    content = table('{s},1050,1060,1000,"' + cell + '",1')

    assert f"close '{cell}' is not a number" in refusal(tmp_path, content, thousands=",")


@pytest.mark.parametrize(
    "given",
    [
        {"decimal": "12"},
        {"decimal": "3"},
        {"thousands": "-"},
        {"thousands": "."},
        {"decimal": ",", "thousands": ","},
    ],
)
def test_a_sign_that_cannot_be_one_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(DataError, match=f"--{list(given)[-1]}"):
        Options(**given)  # type: ignore[arg-type]


DMY = HEAD + "".join(f"01.01.2025 {1 + i:02}:00,1050,1060,1000,{c},1\n" for i, c in enumerate(CLOSES))
TWO = "date,time,open,high,low,close,volume\n" + "".join(
    f"2025-01-01,{i:02}:00:00,1050,1060,1000,{c},1\n" for i, c in enumerate(CLOSES)
)


def test_dates_of_another_form_are_read_with_their_format_and_zone(tmp_path: Path) -> None:
    assert "--date-format '%d.%m.%Y %H:%M'" in refusal(tmp_path, DMY)
    wrong = refusal(tmp_path, DMY, date_format="%m/%d/%Y")
    assert "is not of the form --date-format '%m/%d/%Y'" in wrong

    utc = imported(tmp_path, DMY, date_format="%d.%m.%Y %H:%M").tape
    berlin = imported(tmp_path, DMY, date_format="%d.%m.%Y %H:%M", time_zone="Europe/Berlin").tape

    assert utc.candles["open_ms"][0] == JAN_MS + HOUR_MS
    assert berlin.candles["open_ms"][0] == JAN_MS  # Berlin is one hour ahead in winter
    assert "times are dates in Europe/Berlin" in berlin.notes


def test_a_zone_that_is_none_or_not_needed_is_refused(tmp_path: Path) -> None:
    iso = HEAD + "2025-01-01T00:00Z,1,1,1,1,1\n2025-01-01T01:00Z,1,1,1,1,1\n"

    assert "did you mean 'Europe/Berlin'" in refusal(tmp_path, TWO, time_zone="Europe/Berln")
    none = refusal(tmp_path, TWO, time_zone="Mars/Base")
    assert none.endswith(
        "--time-zone 'Mars/Base': unknown; write one like Europe/Berlin"
    )  # not all six hundred
    assert "name their zone themselves" in refusal(tmp_path, iso, time_zone="Europe/Berlin")
    assert "are UTC; leave --time-zone out" in refusal(
        tmp_path, table("{s},1,1,1,1,1"), time_zone="Europe/Berlin"
    )


def test_the_hour_that_clocks_show_twice_is_told_by_its_order_or_refused(tmp_path: Path) -> None:
    hours = ["01:00", "02:00", "02:00", "03:00"]  # 2025-10-26 in Berlin, from 23:00 UTC on
    both = HEAD + "".join(f"2025-10-26 {hour},1,1,1,1,1\n" for hour in hours)
    one = HEAD + "".join(f"2025-10-26 {hour},1,1,1,1,1\n" for hour in hours[1:2] + hours[3:])
    never = HEAD + "2025-03-30 02:00,1,1,1,1,1\n2025-03-30 03:00,1,1,1,1,1\n"

    stamps = imported(tmp_path, both, time_zone="Europe/Berlin").tape.candles["open_ms"]

    first = int(np.datetime64("2025-10-25T23:00", "ms").astype(np.int64))
    assert stamps.tolist() == [first + i * HOUR_MS for i in range(4)]
    for content in (one, never):
        told = refusal(tmp_path, content, time_zone="Europe/Berlin")
        assert "not times of Europe/Berlin" in told
        assert "argument" not in told
        assert told.endswith("; if they are UTC, leave --time-zone out")


@pytest.mark.parametrize("given", [{}, {"columns": {"time": "date+time"}}])
def test_date_and_clock_in_two_columns_are_one_time(given: dict[str, dict[str, str]], tmp_path: Path) -> None:
    candles = imported(tmp_path, TWO, **given).tape.candles

    assert candles["open_ms"].tolist() == [JAN_MS + i * HOUR_MS for i in range(3)]
    assert "no column 'clok': did you mean" in refusal(
        tmp_path, TWO.replace("time", "clock"), columns={"time": "date+clok"}
    )


def test_without_volume_a_table_is_read_when_that_is_said(tmp_path: Path) -> None:
    content = table("{s},1050,1060,1000,105{i}.5", head="time,open,high,low,close\n")

    assert "or say --no-volume if none was recorded" in refusal(tmp_path, content)
    tape = imported(tmp_path, content, no_volume=True).tape

    assert tape.candles["close"].tolist() == CLOSES
    assert not tape.candles["volume"].any()
    assert "no volume was recorded: it stands as zero" in tape.notes


def test_table_options_are_refused_beside_another_format(tmp_path: Path) -> None:
    told = refusal(tmp_path, TWO, format="kraken", no_volume=True, decimal=",")

    assert told == "--decimal and --no-volume: for tables, not with --format kraken"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (HEAD + "1704067200,1,1,1,1,1\n\n\n1704070800,1,1,1,x,1\n", 5),
        ("\n\n" + HEAD + "1704067200,1,1,1,x,1\n1704070800,1,1,1,1,1\n", 4),
        (HEAD + "\r\n1704067200,1,1,1,1,1\r\n  \r\n1704070800,1,1,1,x,1\r\n", 5),
        (HEAD + "1704067200,1,1,1,1,1\n\n1704070800,1,1,1,1\n", 4),  # a cell is missing
        (HEAD + "1704067200,1,1,1,1,1\n\n1704070800,1,1,2,1,1\n", 4),  # the low is above the high
        (HEAD + "1704067200,1,1,1,1,1\n\n1704070800000,1,1,1,1,1\n", 4),  # another unit
        (HEAD + "1704067200,1,1,1,1,1\n\nx,1,1,1,1,1\n", 4),
        (HEAD + "\n1704067200,1,1,1,1,1\n\n1704067200,1,2,1,1,1\n1704070800,1,1,1,1,1\n", 5),  # twice
        ("\n1704067200,1,1,1,1,1\n\n1704070800,1,1,1,x,1\n", 4),  # no header
    ],
)
def test_messages_count_lines_as_an_editor_does(content: str, line: int, tmp_path: Path) -> None:
    assert refusal(tmp_path, content).startswith(f"a.csv row {line}")


def test_months_and_weeks_of_another_day_get_a_sentence(tmp_path: Path) -> None:
    months = HEAD + "".join(f"2019-{m:02}-01,1,1,1,1,1\n" for m in range(1, 13))
    weeks = HEAD + "".join(f"2024-01-{d:02},1,1,1,1,1\n" for d in (4, 11, 18, 25))
    local = HEAD + "".join(f"2024-01-0{d} 05:30,1,1,1,1,1\n" for d in range(1, 8))

    assert "candles are months, whose lengths differ" in refusal(tmp_path, months)
    assert "its weeks begin on Thursday, and weeks begin on Monday here" in refusal(tmp_path, weeks)
    assert "every one is 5:30:00 after it: if they are local times say --time-zone" in refusal(
        tmp_path, local
    )


def test_the_last_candle_is_left_out_while_it_forms_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table("{s},1050,1060,1000,105{i}.5,1"))
    end_ms = JAN_MS + 3 * HOUR_MS

    whole = import_tape(path, Options(**KNOWN), now_ms=end_ms)  # type: ignore[arg-type]
    forming = import_tape(path, Options(**KNOWN), now_ms=end_ms - 1)  # type: ignore[arg-type]

    assert len(whole.tape.candles) == 3
    assert forming.tape.candles["close"].tolist() == CLOSES[:2]
    assert forming.repairs.forming == 1
    assert "candles left out because they were not final: 1" in forming.tape.notes
    with pytest.raises(DataError, match=r"a.csv row 3: opens at 2025-01-01 01:00 UTC, .* \(2 such\)"):
        import_tape(path, Options(**KNOWN), now_ms=JAN_MS + HOUR_MS // 2)  # type: ignore[arg-type]
    path.write_text(HEAD + f"{JAN_MS // 1000},1,1,1,1,1\n")
    with pytest.raises(DataError, match="its only candle is not over yet"):
        import_tape(path, Options(**KNOWN, timeframe="1h"), now_ms=JAN_MS)  # type: ignore[arg-type]


@pytest.mark.parametrize("symbol", ["币安人生USDT", "ÖLUSD", "ルナUSDT"])
def test_markets_of_any_script_are_imported_and_found(symbol: str, tmp_path: Path) -> None:
    row = "{s}000,1050,1060,1000,105{i}.5,28.5,{e}999,0,1,0,0,0"
    content = "".join(
        row.format(s=JAN_MS // 1000 + 3600 * i, e=JAN_MS // 1000 + 3600 * (i + 1) - 1, i=i) + "\n"
        for i in range(3)
    )
    path = tmp_path / f"{symbol}-1h-2025-10.csv"
    path.write_text(content)

    tape = import_tape(path, Options(venue="binance-spot"), now_ms=NOW_MS).tape
    store = Store(tmp_path / "store")
    kept = store.save(tape)

    assert tape.symbol == symbol
    assert kept.name == f"binance-spot_{symbol}_1h.parquet"
    assert store.find(symbol).sha256 == tape.sha256
    assert import_tape(kept, now_ms=NOW_MS).tape.symbol == symbol


@pytest.mark.parametrize("symbol", ["A\x1b[31m", "A\u202eB", "A B", "A\u0308", "../A", "A/../B", "_", ""])
def test_names_that_could_deceive_are_refused(symbol: str) -> None:
    with pytest.raises(DataError, match="--symbol"):
        Options(symbol=symbol)


@pytest.mark.parametrize(
    ("venue", "kind", "whole"),
    [
        ("binance", None, "binance-spot"),
        ("binance", "linear", "binance-usdm"),
        ("binance", "inverse", "binance-coinm"),
        ("bybit", "linear", "bybit-linear"),
        ("okx", "linear", "okx-swap"),
        ("mine", None, "mine"),
    ],
)
def test_a_bare_exchange_means_the_market_that_fetch_names(
    venue: str, kind: str | None, whole: str, tmp_path: Path
) -> None:
    made = imported(tmp_path, table("{s},1,1,1,1,1"), venue=venue, kind=kind, contract_value=1.0)

    assert made.tape.venue == whole


def test_lean_seconds_become_minutes(tmp_path: Path) -> None:
    """Four seconds of two minutes: 10 11 | 12 9, worked out by hand."""
    seconds = ["1000,10,11,9.5,11,1", "59000,11,12,10,10.5,2", "60000,12,12.5,11,12,4", "61000,9,9,8,8.5,8"]
    path = tmp_path / "20161009_trade.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("20161009_btcusd_second_trade.csv", "\n".join(seconds) + "\n")

    made = import_tape(path, Options(venue="gdax-spot"), now_ms=NOW_MS)

    candles = made.tape.candles
    assert made.tape.timeframe == "1m"
    assert [
        list(row)
        for row in zip(
            *(candles[n].tolist() for n in ("open", "high", "low", "close", "volume")), strict=True
        )
    ] == [[10.0, 12.0, 9.5, 10.5, 3.0], [12.0, 12.5, 8.0, 8.5, 12.0]]
    assert "minutes made of 4 candles of a second" in made.tape.notes
