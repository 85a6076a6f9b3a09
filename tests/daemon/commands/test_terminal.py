"""What the terminal shows: names as text, and tables as wide as it is."""

import io
import re

import pytest
from rich.table import Table

from papertape.daemon.commands.terminal import Terminal, folded, name_table, printable


def shown(*objects: object, width: int = 80) -> str:
    file = io.StringIO()
    Terminal(file=file, width=width, highlight=False).print(*objects, markup=False)
    return file.getvalue()


def wide(columns: int = 14, rows: int = 3) -> Table:
    table = Table(title="a title", title_justify="left", box=None, pad_edge=False)
    table.add_column("event", no_wrap=True)
    for index in range(columns):
        table.add_column(f"column {index}", justify="right")
    for row in range(rows):
        table.add_row(f"name {row}", *(f"{row}.{index:02}" for index in range(columns)))
    return table


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BTCUSDT", "BTCUSDT"),
        ("币安人生USDT · é …", "币安人生USDT · é …"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\rb\x08\x07\x9b", "a\\x0db\\x08\\x07\\x9b"),
        ("a\u202eb\u200f\ue000", "a\\u202eb\\u200f\\ue000"),
        ("two\nlines\t", "two\nlines\t"),
    ],
)
def test_control_and_direction_signs_are_shown_and_not_obeyed(name: str, text: str) -> None:
    assert printable(name) == text


def test_no_way_to_the_terminal_lets_a_control_character_through() -> None:
    evil = "x\x1b]0;title\x07\u202e"
    table = Table(evil, "b", title=evil)
    table.add_row(evil, "1")
    grid = name_table({evil: evil, "nested": {evil: [evil]}, "list": [{evil: evil}]})

    found = shown(evil, table, grid, width=200)

    assert "\x1b" not in found
    assert "\x07" not in found
    assert "\u202e" not in found
    assert found.count("x\\x1b]0;title\\x07\\u202e") == 10  # 1 + 3 of the table + 6 of the names


def test_colons_around_a_word_make_no_picture() -> None:
    table = Table("fees:key: a")
    table.add_row("BTC:key:x")

    found = shown("mine:key: it has", table)

    assert found.count(":key:") == 3


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_a_table_is_folded_and_nothing_of_it_is_cut(width: int) -> None:
    text = shown(wide(), width=width)

    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert text.count("a title") == 1
    for row in range(3):
        for index in range(14):
            assert text.count(f"{row}.{index:02}") == 1
    parts = len(re.findall("event", text))
    assert text.count("name 1") == parts  # every part says which row it is
    assert (parts == 1) == (width == 200)


def test_what_fits_stays_as_it_is() -> None:
    table = wide(columns=3)

    assert folded(table, 80) == [table]


def test_names_and_values_wrap_and_what_is_nested_stands_below() -> None:
    values = {
        "kind": "cnn_lstm",
        "metrics": {"log_loss": 0.693147180559945, "rows": 720},
        "positions": [{"symbol": "A", "quantity": 1.5}, {"symbol": "B", "quantity": -2.0}],
        "features": ["ema_12", "rsi_14"],
        "parent": None,
        "is_ready": True,
        "long": "word " * 40,
        "empty": {},
    }

    lines = [line.rstrip() for line in shown(name_table(values)).splitlines()]

    assert max(map(len, lines)) <= 80
    assert lines[:11] == [
        "kind         cnn_lstm",
        "metrics",
        "  log_loss   0.6931471806",
        "  rows       720",
        "positions 1",
        "  symbol     A",
        "  quantity   1.5",
        "positions 2",
        "  symbol     B",
        "  quantity   -2",
        "features     ema_12, rsi_14",
    ]
    assert lines[11:13] == ["parent       –", "is_ready     yes"]
    assert " ".join(lines[13:-1]).split().count("word") == 40
    assert lines[-1] == "empty        –"
