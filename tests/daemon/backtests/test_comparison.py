"""Two sides beside one another: what is undefined has no difference, and no more settings are told than an answer holds."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

from papertape.daemon.backtests.answers import ComparedSide
from papertape.daemon.backtests.comparison import Side, compare, read_marks, read_trades, side_of_account
from papertape.daemon.backtests.curves import Curve
from papertape.daemon.chapters.opening import Opening
from papertape.daemon.journal import Journal
from tests.daemon.chapters.test_chapters import CROSS, ROWS, WIDER, lived
from tests.support.api import multiply
from tests.support.journals import SYMBOLS, candles, filled


def side(metrics: dict[str, float | None], config: dict[str, Any], end_ms: int = 9) -> Side:
    about = ComparedSide(source="1", name="a", digest="", start_ms=1, end_ms=end_ms)
    curve = Curve(np.array([1, end_ms]), np.array([5.0, 10.0]))
    undefined = dict.fromkeys((name for name, value in metrics.items() if value is None), "a reason")
    return Side(about, metrics, undefined, config, curve)


def test_metrics_of_either_side_are_there_and_what_is_undefined_has_no_difference() -> None:
    first = side({"sharpe": 1.0, "sortino": None, "calmar": 2.0}, {})
    second = side({"sharpe": 0.25, "sortino": 3.0, "days": 7.0}, {}, end_ms=10)

    found = compare(first, second)

    assert [(m.name, m.first, m.second, m.difference) for m in found.metrics] == [
        ("sharpe", 1.0, 0.25, -0.75),
        ("sortino", None, 3.0, None),
        ("calmar", 2.0, None, None),
        ("days", None, 7.0, None),
    ]
    assert [(m.label, m.kind, m.first_missing, m.second_missing) for m in found.metrics] == [
        ("Sharpe", "number", "", ""),
        ("Sortino", "number", "a reason", ""),
        ("", "", "", "it was not measured there"),
        ("", "", "it was not measured there", ""),
    ]
    assert (found.curves.first.growth, found.curves.second.growth) == ((1.0, 2.0), (1.0,))
    assert not found.is_same_span
    assert compare(first, first).is_same_span


def test_settings_that_differ_are_told_by_key_but_for_what_no_replay_reads() -> None:
    first = {
        "account": {"capital": 1.0, "quote": "USD"},
        "strategy": {"parameters": {}},
        "live": {"venue": "a"},
    }
    second = {
        "account": {"capital": 2.0, "quote": "USD"},
        "strategy": {"parameters": {"fast": 3}},
        "live": {"venue": "b"},
    }

    found = compare(side({}, first), side({}, second))

    assert [(each.key, each.first, each.second) for each in found.settings] == [
        ("account.capital", "1.0", "2.0"),
        ("strategy.parameters", "{}", ""),
        ("strategy.parameters.fast", "", "3"),
    ]


def test_of_many_and_long_settings_the_first_are_told_and_cut() -> None:
    config = {"markets": {f"M{number:03}": {"kind": "x" * 5_000} for number in range(150)}}

    found = compare(side({}, config), side({}, {}))

    assert (len(found.settings), found.more_settings) == (100, 50)
    assert len(found.model_dump_json()) < 256_000


def test_an_account_with_chapters_says_which_and_since_when(tmp_path: Path) -> None:
    lived(tmp_path, 60)
    plain = account_beside(tmp_path)
    lived(tmp_path, 80, Opening("wider stop"), **WIDER)
    lived(tmp_path, 100, Opening("cross"), **CROSS)

    found = account_beside(tmp_path)

    hour = 4 * 900_000
    begun = int(ROWS["open_ms"][0])
    assert plain.chapters == ()
    assert plain.told == ""
    assert [(each.name, each.since_ms) for each in found.chapters] == [
        ("wider stop", begun + 15 * hour),
        ("cross", begun + 20 * hour),
    ]
    assert found.told == (
        "its curve and figures are of several configurations, chapter 'wider stop' from 2020-01-01 15:00 on, chapter 'cross' "
        "from 2020-01-01 20:00 on; the keys that are compared are those of the newest"
    )


def test_of_many_chapters_the_newest_are_told(tmp_path: Path) -> None:
    lived(tmp_path, 60)
    lived(tmp_path, 80, Opening("wider stop"), **WIDER)
    with Journal.open(tmp_path, 0) as journal:
        columns = [row[1] for row in journal.all("PRAGMA table_info(chapters)")]
        (first,) = journal.all("SELECT * FROM chapters")
        made = [
            {**dict(zip(columns, first, strict=True)), "input": n, "name": f"wider by {n}"}
            for n in range(1_000, 1_299)
        ]
        marks = ", ".join(f":{column}" for column in columns)
        journal.commit(
            [
                lambda j: j.connection.executemany(f"INSERT INTO chapters VALUES ({marks})", made)  # noqa: S608
            ]
        )

    found = account_beside(tmp_path)

    assert len(found.chapters) == 50
    assert "250 earlier chapters" in found.told
    assert len(found.model_dump_json()) < 25_000


def test_a_long_account_is_read_in_columns(tmp_path: Path) -> None:
    filled(tmp_path, candles(500))
    for table, n in (("equity", 20_000), ("trades", 6_000)):
        multiply(tmp_path, table, n)
    with Journal.read(tmp_path) as journal:
        stored = journal.all("SELECT time_ms, equity FROM equity ORDER BY time_ms")
        numbers = [row[0] for row in journal.all("SELECT number FROM trades ORDER BY number")]
        profits = journal.one("SELECT sum(pnl) FROM trades")
        held = {}
        for name, read in (("marks", read_marks), ("trades", lambda j: read_trades(j, SYMBOLS))):
            tracemalloc.start()
            held[name] = read(journal)
            held[f"{name} at once"] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()

    assert list(zip(*(column.tolist() for column in held["marks"]), strict=True)) == stored
    assert len(numbers) > 6_000
    assert held["trades"]["number"].tolist() == numbers
    assert int(held["trades"]["pnl"].sum()) == profits[0]
    assert held["marks at once"] < 64 * len(stored)  # of rows as a list twice as much
    assert held["trades at once"] < 5_000_000  # 1.4 MB of records and a page of rows


def account_beside(state: Path) -> ComparedSide:
    with Journal.read(state) as journal:
        return compare(side({}, {}), side_of_account(journal, "")).second
