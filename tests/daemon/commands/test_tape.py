"""`papertape tape`: what a user types and sees, and that a refusal changes nothing."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner, Result

from papertape.daemon.commands.tape import tape_app
from papertape.daemon.commands.tape_options import file_options
from papertape.engine.errors import DataError
from papertape.replay.importers.options import Options
from papertape.replay.tapes.store import Store
from tests.support.helpers import SHARED, needs_shared

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = ("import", "check", "list", "resample", "synth")
JAN_MS = 1_672_531_200_000
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_TAPES", str(tmp_path / "store"))


def tape(*arguments: object) -> Result:
    """Run a command; what it refuses is raised as it is."""
    done = CliRunner().invoke(tape_app, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def put_table(folder: Path, name: str = "binance-spot_BTCUSDT_1h.csv", n: int = 48, **change: str) -> Path:
    """Write hourly candles; `change` replaces the volume of a row, named `row12`."""
    lines = ["open_time,open,high,low,close,volume"]
    for i in range(n):
        volume = change.get(f"row{i}", "5")
        lines.append(f"{JAN_MS + i * HOUR_MS},100,101,99,{100 + i % 2},{volume}")
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = tape(command, "--help")

    assert shown.exit_code == 0
    assert f"Example: papertape tape {command}" in shown.output


def test_import_then_list_check_and_resample(tmp_path: Path) -> None:
    imported = tape("import", put_table(tmp_path))
    listed = tape("list")
    checked = tape("check", "BTCUSDT")
    longer = tape("resample", "BTCUSDT", "4h", "--json")
    names = [entry["name"] for entry in json.loads(tape("list", "--json").output)]

    assert "(48 candles)" in imported.output
    assert "binance-spot_BTCUSDT_1h" in listed.output
    assert "no gap, no doubt" in checked.output
    assert json.loads(longer.output)["rows"] == 12
    assert names == ["binance-spot_BTCUSDT_1h", "binance-spot_BTCUSDT_4h"]


def test_import_in_json_says_what_was_stored(tmp_path: Path) -> None:
    (made,) = json.loads(tape("import", put_table(tmp_path), "--json").output)

    assert (made["dialect"], made["venue"], made["rows"]) == ("table", "binance-spot", 48)
    assert Path(made["path"]).is_file()
    assert made["sha256"] == Store().find("BTCUSDT").sha256
    assert made["quality"]["repairs"]["dropped"] == 0


def test_files_of_several_markets_become_several_tapes_and_parts_of_one_are_joined(tmp_path: Path) -> None:
    whole = put_table(tmp_path, "binance-spot_BTCUSDT_1h_a.csv").read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    first = tmp_path / "binance-spot_ETHUSDT_1h_a.csv"
    second = tmp_path / "binance-spot_ETHUSDT_1h_b.csv"
    first.write_text("".join(lines[:20]), encoding="utf-8")
    second.write_text("".join(lines[:1] + lines[20:]), encoding="utf-8")

    made = json.loads(
        tape("import", tmp_path / "binance-spot_BTCUSDT_1h_a.csv", second, first, "--json").output
    )

    assert [(m["symbol"], m["rows"]) for m in made] == [("BTCUSDT", 48), ("ETHUSDT", 48)]


def test_a_refused_file_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    good = put_table(tmp_path)
    bad = put_table(tmp_path, "binance-spot_ETHUSDT_1h.csv", row7="-1")

    with pytest.raises(DataError, match=r"row 9: the volume is negative"):
        tape("import", good, bad)
    assert Store().entries() == []
    tape("import", good, bad, "--drop-bad")

    assert len(Store().find("ETHUSDT").candles) == 47


def test_another_tape_of_that_name_needs_replace_or_merge(tmp_path: Path) -> None:
    tape("import", put_table(tmp_path, n=24))
    path = put_table(tmp_path, n=48)

    with pytest.raises(DataError, match="holds another tape"):
        tape("import", path)
    tape("import", path, "--merge")

    assert len(Store().find("BTCUSDT").candles) == 48
    tape("import", put_table(tmp_path, n=24), "--replace")
    assert len(Store().find("BTCUSDT").candles) == 24


def test_nothing_is_stored_when_the_store_refuses_one_of_several(tmp_path: Path) -> None:
    tape("import", put_table(tmp_path, n=24))
    new = put_table(tmp_path, "binance-spot_AAAUSDT_1h.csv")

    with pytest.raises(DataError, match="holds another tape"):
        tape("import", new, put_table(tmp_path, n=48))

    assert [entry.name for entry in Store().entries()] == ["binance-spot_BTCUSDT_1h"]


def test_conflicting_rows_are_decided_by_keep(tmp_path: Path) -> None:
    path = put_table(tmp_path, n=4)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{JAN_MS},10,12,9,10,99")

    with pytest.raises(DataError, match="--keep first or --keep last"):
        tape("import", path)
    tape("import", path, "--keep", "last")

    assert Store().find("BTCUSDT").candles["volume"][0] == 99.0


def test_check_fails_for_what_an_import_would_refuse(tmp_path: Path) -> None:
    good, bad = put_table(tmp_path), put_table(tmp_path, "bad.csv", row7="nan")

    fine = tape("check", good)
    done = tape("check", good, bad)
    told = json.loads(tape("check", bad, "--json").output)

    assert fine.exit_code == 0
    assert done.exit_code == 1
    assert "REFUSED bad.csv row 9" in done.output
    assert told[0]["quality"]["not_finite"] == 1
    assert "not a finite number" in told[0]["refusal"]


def test_columns_format_and_names_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("t,a,b,c,d,e\n1672531200,1,3,1,2,9\n1672534800,2,3,1,2,9\n", encoding="utf-8")
    columns = "time=t,open=a,high=b,low=c,close=d,volume=e"

    tape("import", path, "--columns", columns, "--venue", "my-spot", "--symbol", "A/B")

    assert Store().find("my-spot:A/B").candles["high"].tolist() == [3.0, 3.0]


@pytest.mark.parametrize("command", ["import", "check"])
def test_what_may_be_said_of_a_file_is_one_list_for_both_commands(command: str) -> None:
    """Every field of Options is an option there; `format_` is the list's name of `format`, a word of Python's."""
    shown = getattr(typer.main.get_command(tape_app), "commands")[command].params  # noqa: B009
    offered = [parameter.name for parameter in shown]
    ours = list(signature(file_options).parameters)

    assert {name.rstrip("_") for name in ours} == {field.name for field in fields(Options)}
    at = offered.index(ours[0])
    assert offered[at : at + len(ours)] == ours
    assert all(parameter.help for parameter in shown if parameter.name in ours)


@pytest.mark.parametrize(
    "arguments",
    [
        ("import",),
        ("import", "x", "--replace", "--merge"),
        ("import", "x", "--columns", "time"),
        ("import", "x", "--keep", "both"),
        ("synth", "noise", "--rows", "many"),
        ("fly",),
    ],
)
def test_usage_errors_end_with_2(arguments: tuple[str, ...]) -> None:
    assert tape(*arguments).exit_code == 2


def test_synthetic_markets_are_stored_under_their_own_venue() -> None:
    shown = tape("synth", "edge", "--rows", 100, "--timeframe", "15m", "--seed", 7)
    made = Store().find("EDGE")

    assert (made.venue, made.timeframe, len(made.candles)) == ("synthetic", "15m", 100)
    assert "100 synthetic" in shown.output
    with pytest.raises(DataError, match="--replace puts the new one in its place"):
        tape("synth", "edge", "--rows", 100, "--timeframe", "15m", "--seed", 8)


def test_the_entry_turns_a_refusal_into_one_line_and_exit_code_1(tmp_path: Path) -> None:
    page = tmp_path / "page.csv"
    page.write_text("<html>404</html>", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "papertape.daemon.cli", "tape", "import", str(page)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PAPERTAPE_TAPES": str(tmp_path)},
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("papertape: page.csv: seems to be a web page")
    assert done.stderr.count("\n") == 1


@needs_shared
def test_check_reads_the_shared_layout_and_originals() -> None:
    candles = SHARED / "data/candles/binance-spot_BRDBTC_1m_20200207_20200308_dirty.parquet"
    kraken = SHARED / "data/raw/rest/kraken_ohlc_XBTUSDT_1m.json"

    layout, rest = json.loads(tape("check", candles, kraken, "--json").output)

    assert (layout["quality"]["duplicates"], layout["quality"]["missing"]) == (542, 542)
    assert rest["dialect"] == "kraken-rest"
