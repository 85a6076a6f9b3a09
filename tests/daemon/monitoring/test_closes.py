"""
What was seen at each close survives a restart, an upgrade and a death, and the API tells it as an engine beside it saw it.

Everything here is compared with an engine that stepped the same candles in one batch, watched by this test itself.
"""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal, closes, tables
from papertape.daemon.monitoring.api.closes import SeenFeatures, close_of, lines_of
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.windows.candles import CandleHistory
from papertape.daemon.monitoring.windows.structure import MOST_PIECES, structure_window
from papertape.daemon.runtime import restep
from papertape.daemon.runtime.audit import answer
from papertape.daemon.runtime.daemon import Hooks
from papertape.daemon.runtime.recovery import Recovered
from papertape.daemon.runtime.restep import Again, verify_state
from papertape.engine.candles import HOUR_MS
from papertape.engine.core import Engine
from papertape.replay.report.features import drawn_columns
from papertape.replay.report.structure import GROUPS, name_of, structure_of
from tests.daemon.monitoring.test_api import get, serving
from tests.support.api import account, no_status
from tests.support.browser import browser_tab, needs_browser
from tests.support.journals import candles, change_to_version_3, derived, identity, recorded, served

ROWS = candles(3_000)
ABOUT = identity(signals={"use_smc": True, "retrain_every": "never"})
SYMBOL = "BBB"


class Watched:
    """The same candles, stepped at once and watched by hand."""

    def __init__(self) -> None:
        self.features: dict[tuple[int, int], Any] = {}
        self.answers: dict[tuple[int, int], Any] = {}
        self.engine = engine = Engine(ABOUT.spec)
        engine.watch, engine.watch_answers = self._watch, self._watch_answers
        self.report = engine.step(ROWS)
        self.columns = engine.frames.columns
        drawn = drawn_columns(engine.spec.requests, self.columns)
        self.drawn = SeenFeatures(tuple(self.columns), tuple(drawn))
        self.own = self.report.events[self.report.events["symbol"] == 1]

    def _watch(self, symbol: int, matrix: Any, bars: Any) -> None:
        for place, open_ms in enumerate(bars["open_ms"].tolist()):
            self.features[symbol, open_ms + HOUR_MS] = matrix[:, place].copy()

    def _watch_answers(self, symbol: int, answers: Any, bars: Any) -> None:
        for row, open_ms in zip(answers, bars["open_ms"].tolist(), strict=True):
            self.answers[symbol, open_ms + HOUR_MS] = row.copy()


Seen = Watched()


class Saying:
    """A strategy that only says why it does nothing."""

    features = ("rsi_14",)

    def decide(self, view: Any) -> None:
        view.why("rsi below -1", view["rsi_14"], -1.0)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state directory of a daemon that was stopped and started twice."""
    state = tmp_path_factory.mktemp("stopped")
    for last in (700, 1_900, 3_000):
        served(state, recorded(ROWS[: 2 * last]), about=_about(state))
    return state


def _about(state: Path) -> Any:
    return identity(signals={"use_smc": True, "retrain_every": "never"}, daemon={"state": str(state)})


def test_what_was_seen_before_a_restart_is_told_after_it(stopped: Path) -> None:
    random = np.random.default_rng(1)
    with Journal.read(stopped) as journal:
        for key in random.permutation(sorted(Seen.features))[:40].tolist():
            symbol, time_ms = Seen.engine.symbols[key[0]], key[1]
            found = close_of(journal, Seen.drawn, symbol, time_ms)
            expected = Seen.features[*key]
            assert found.is_kept
            assert [each.name for each in found.features] == list(Seen.columns)
            told = [np.nan if each.value is None else each.value for each in found.features]
            assert told == pytest.approx(expected.tolist(), rel=1e-6, nan_ok=True)
            said = Seen.answers[*key]
            assert found.answer is not None
            assert found.answer.score_smc == pytest.approx(float(said["score_smc"]), abs=1e-6)
            assert found.answer.target == {-1: "short", 0: "flat", 1: "long", 2: "keep"}[int(said["target"])]
        assert journal.one("SELECT count(*) FROM closes")[0] == len(Seen.features)
        assert not close_of(journal, Seen.drawn, SYMBOL, 7).is_kept


def test_the_first_condition_that_was_not_met_is_told_with_what_was_seen(tmp_path: Path) -> None:
    name = f"{__name__}:Saying"
    about = identity(strategy={"name": name}, daemon={"state": str(tmp_path)})
    for last in (200, 400):
        served(tmp_path, recorded(ROWS[: 2 * last]), about=about)
    seen = SeenFeatures(tuple(Engine(about.spec).frames.columns))
    with Journal.read(tmp_path) as journal:
        first_ms = journal.one("SELECT min(time_ms) FROM closes WHERE value NOT NULL")[0]
        found = close_of(journal, seen, SYMBOL, first_ms)
    assert found.unmet is not None
    value = next(each.value for each in found.features if each.name == "rsi_14")
    assert value is not None
    assert (found.unmet.condition, found.unmet.threshold) == ("rsi below -1", -1.0)
    assert found.unmet.value == pytest.approx(value, rel=1e-6)
    assert found.unmet.distance == pytest.approx(value + 1.0, rel=1e-6)
    assert found.answer is None


@pytest.mark.parametrize("span", [(0.0, 1.0), (0.3, 0.5), (0.7, 0.72), (0.9, 1.0)])
def test_structure_of_a_window_is_what_the_report_folds(stopped: Path, span: tuple[float, float]) -> None:
    times = np.unique(ROWS["open_ms"])
    from_ms, to_ms = (int(times[min(int(part * len(times)), len(times) - 1)]) for part in span)
    whole = structure_of(Seen.own, HOUR_MS)
    expected = {
        (kind, side, swing, formed, known): (None if ended < 0 else ended, top, bottom)
        for kind, side, swing, formed, known, ended, top, bottom in zip(
            *(column.tolist() for column in whole[:-1]), strict=True
        )
    }
    inside = {key for key in expected if from_ms <= key[4] <= to_ms}
    assert len(expected) > 300

    with Journal.read(stopped) as journal:
        found = structure_window(journal, SYMBOL, HOUR_MS, from_ms, to_ms)

    kinds = {name_of(kind): kind for kind in set(whole.kind.tolist())}
    told = {}
    for place, group in enumerate(found.group):
        kind = kinds[GROUPS[group], found.labels[found.label[place]]]
        key = (kind, found.side[place], found.is_swing[place], found.formed_ms[place], found.known_ms[place])
        told[key] = (found.ended_ms[place], found.top[place], found.bottom[place])
    assert inside <= set(told)
    assert all(key[4] <= to_ms for key in told)
    for key, (ended, top, bottom) in told.items():
        assert ended == expected[key][0]
        assert (top, bottom) == pytest.approx(expected[key][1:], rel=1e-8)
    assert found.left_out == 0


@pytest.mark.parametrize(("n", "joined"), [(100, 1), (700, 1), (700, 4)])
def test_lines_have_the_last_value_of_every_stretch(stopped: Path, n: int, joined: int) -> None:
    times = sorted(time for symbol, time in Seen.features if symbol == 1)[-n:]
    history = CandleHistory(Seen.engine.symbols, HOUR_MS)
    with Journal.read(stopped) as journal:
        window = history.window(journal, SYMBOL, times[0] - HOUR_MS, times[-1], 1_500)
        found = lines_of(journal, Seen.drawn, HOUR_MS, joined * HOUR_MS, window)

    last: dict[int, int] = {}
    for time in times:
        last[(time - HOUR_MS) // (joined * HOUR_MS)] = time
    assert list(found.open_ms) == [place * joined * HOUR_MS for place in last]
    assert [each.name for each in found.columns] == [each.name for each in Seen.drawn.drawn]
    assert len(found.columns) > 3
    for line, drawn in zip(found.columns, Seen.drawn.drawn, strict=True):
        expected = [Seen.features[1, time][drawn.row] for time in last.values()]
        told = [np.nan if value is None else value for value in line.values]
        assert told == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert {line.name.split("_")[0]: line.is_over for line in found.columns}.items() >= {
        ("ema", True),
        ("rsi", False),
    }


def test_a_journal_of_the_version_before_gets_what_it_did_not_keep(stopped: Path, tmp_path: Path) -> None:
    served(tmp_path, recorded(ROWS[:2_000]), about=_about(tmp_path))
    change_to_version_3(tmp_path)
    heard: list[Recovered] = []

    served(tmp_path, recorded(ROWS), Hooks(on_recovered=heard.append), _about(tmp_path))

    assert "the tables are made again" in heard[0].told
    assert derived(tmp_path) == derived(stopped)
    assert verify_state(tmp_path).is_equal


def test_an_event_that_was_changed_is_named_by_the_audit(tmp_path: Path) -> None:
    served(tmp_path, recorded(ROWS[:1_200]), about=_about(tmp_path))
    with Journal.open(tmp_path, 0) as journal:
        sequence, number = journal.one(
            "SELECT input, sequence FROM events WHERE symbol = 'AAA' ORDER BY known_ms DESC LIMIT 1"
        )
        journal.commit(
            [
                lambda j: j.connection.execute(
                    "UPDATE events SET level = level + 1 WHERE symbol = 'AAA' AND sequence = ?", (number,)
                )
            ]
        )
        again = Again(tmp_path, journal)
        finding = answer(again, {"sequence": journal.sequence, "digest": "", "sha256": ""})

    assert finding.difference.startswith(f"input {sequence}, events AAA {HOUR_MS} {number}, field level")


def test_the_newest_closes_are_kept_and_older_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closes, "MOST_CLOSES", 30)
    served(tmp_path, recorded(ROWS[:2_000]), about=_about(tmp_path))

    with Journal.read(tmp_path) as journal:
        found = journal.all("SELECT symbol, count(*), max(time_ms) FROM closes GROUP BY symbol")
    newest = int(ROWS["open_ms"][1_999]) + HOUR_MS // 4
    assert found == [("AAA", 30, newest), ("BBB", 30, newest)]


def test_structure_is_kept_as_far_back_as_closes_and_an_audit_knows_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST_CLOSES", 30)
    served(tmp_path, recorded(ROWS[:2_000]), about=_about(tmp_path))

    with Journal.read(tmp_path) as journal:
        found = journal.all("SELECT symbol, sequence, known_ms FROM events ORDER BY symbol, sequence")
        newest = dict(journal.all("SELECT symbol, max(known_ms) FROM events GROUP BY symbol"))
    table = next(each for each in tables.TABLES if each.name == "events")
    every = tables.kept(table, Seen.report)
    expected = [
        (symbol, int(row["sequence"]), int(row["known_ms"]))
        for place, symbol in enumerate(("AAA", "BBB"))
        for row in every[every["symbol"] == place]
        if newest[symbol] - 30 * HOUR_MS < row["known_ms"] <= newest[symbol]
    ]
    assert found == expected
    assert 10 < len(found) < len(every) // 4
    asked: list[Any] = []
    monkeypatch.setattr(restep, "events_since", lambda c: asked.append(c) or tables.events_since(c))
    assert verify_state(tmp_path).is_equal  # what was let go of is no difference
    assert len(asked) == 1  # all inputs here are compared at once
    symbol, sequence, _ = found[-2]  # one that is kept is missed
    with Journal.open(tmp_path, 0) as journal:
        journal.commit(
            [
                lambda j: j.connection.execute(
                    "DELETE FROM events WHERE symbol = ? AND sequence = ?", (symbol, sequence)
                )
            ]
        )
    difference = verify_state(tmp_path).difference
    assert difference is not None
    assert difference.record == f"events {symbol} {HOUR_MS} {sequence}"


@pytest.mark.asyncio
async def test_answers_and_deltas_stay_within_their_budget(stopped: Path, tmp_path: Path) -> None:
    """A window of twenty times what an answer holds, and lines of every feature at every close."""
    shutil.copy(stopped / "journal.db", tmp_path)
    with Journal.open(tmp_path, 0) as journal:
        journal.commit(
            [
                lambda j: j.connection.execute(
                    "INSERT INTO events SELECT input, sequence + 1000000 * n, symbol, timeframe_ms, known_ms, formed_ms, known_bar, "
                    "bar + 10000 * n, kind, scale, side, top, bottom, level, strength, reference, tag FROM events, "
                    "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20) SELECT n FROM c)"
                )
            ]
        )
    facts = account(tmp_path, frame_ms=HOUR_MS)._replace(features=Seen.drawn)
    async with serving(Api(facts, no_status)) as http:
        status, body = await get(http, "structure", symbol=SYMBOL)
        assert (status, len(json.loads(body)["group"])) == (200, MOST_PIECES)
        assert json.loads(body)["left_out"] > MOST_PIECES
        status, body = await get(http, "features", symbol=SYMBOL, from_ms=0)
        assert status == 200
        assert len(json.loads(body)["columns"]) == len(Seen.drawn.drawn)
        status, body = await get(http, "events", symbol=SYMBOL, limit=500)
        assert {"kind", "level"} <= set(json.loads(body)["rows"][0])
        assert (await get(http, "close", symbol="AAB", time_ms=0))[0] == 404
        assert (await get(http, "structure", symbol=SYMBOL, from_ms=5, to_ms=5))[0] == 400


def _shown_of_a_position(symbol: str) -> str:
    """Return what asks a page whether size and result of a position stand whole beside a name of any length."""
    prices = ", ".join(f"{name}_price: 1" for name in ("entry", "last", "stop", "target"))
    held = f"{{ symbol: '{symbol}', quantity: -0.01608, unrealised_pnl: -12.5, {prices} }}"
    return (
        f"(() => {{ $('positions').replaceChildren(position({held}));"
        " const line = $('positions').querySelector('p'), edge = line.getBoundingClientRect().right + 0.5;"
        " return [...line.children].every((e) => e.getBoundingClientRect().right <= edge); })()"
    )


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_page_draws_what_the_strategy_saw_and_goes_on_with_the_stream(tmp_path: Path) -> None:
    await asyncio.to_thread(served, tmp_path, recorded(ROWS[: 2 * 2_960]), None, _about(tmp_path))
    facts = account(tmp_path, frame_ms=HOUR_MS)._replace(features=Seen.drawn)
    api = Api(facts, no_status)
    with Journal.read(tmp_path) as journal:
        window = CandleHistory(Seen.engine.symbols, HOUR_MS).window(journal, "AAA", None, None, 500)
        expected = structure_window(journal, "AAA", HOUR_MS, window.open_ms[0], 2**62)
    async with serving(api) as http, browser_tab(tmp_path / "profile") as tab:
        await tab.open(str(http._base_url), 1280)
        assert await tab.value("PAGE.candles.structure.items.n") == len(expected.group) > 100
        alive = [ms for ms in expected.ended_ms if ms is None]
        assert await tab.value(
            "PAGE.candles.structure.items.ended.filter((t) => t === Infinity).length"
        ) == len(alive)
        # Put away and shown again; a zone that is over is drawn as a trace.
        drawn = "PAGE.candles.structure.inSight().chosen.length"
        before = await tab.value(drawn)
        await tab.value("[...$('structure').querySelectorAll('input')][0].click()")
        assert 0 < await tab.value(drawn) < before
        assert await tab.value(
            "PAGE.candles.structure.isOver(PAGE.candles.structure.items.ended.findIndex((t) => t !== Infinity))"
        )
        # A price lies on the candles, an oscillator has a pane of its own.
        await tab.value("for (const box of $('features').querySelectorAll('input')) box.click()")
        panes = await tab.value(
            "PAGE.candles.features.lines.map((l) => [l.column.name, l.series.getPane().paneIndex()])"
        )
        assert {name for name, pane in panes if pane == 0} == {"ema_20", "ema_50"}
        assert len({pane for _, pane in panes}) == 5
        values = await tab.value(
            "PAGE.candles.features.values(PAGE.candles.rows.length - 1).map(([name]) => name)"
        )
        assert values == [each.name for each in Seen.drawn.drawn]
        # Ten closes later: candles, their features, and structure.
        n = await tab.value("PAGE.candles.features.times.length")
        await asyncio.to_thread(served, tmp_path, recorded(ROWS), None, _about(tmp_path))
        api.stream.on_step()
        await tab.until(f"PAGE.candles.features.times.length === {n} + 10")
        newest = [
            Seen.features[0, int(ROWS["open_ms"][-1]) + HOUR_MS // 4][each.row] for each in Seen.drawn.drawn
        ]
        told = await tab.value("PAGE.candles.features.data.columns.map((c) => c.values.at(-1))")
        assert told == pytest.approx(newest, rel=1e-6)
        assert await tab.value("document.documentElement.scrollWidth <= innerWidth")
        assert await tab.value(_shown_of_a_position("AMARKETOFAVERYLONGNAME/USDT:USDT-271231-100000-C"))
        assert not await tab.value(
            "document.documentElement.dataset.errors ?? document.documentElement.dataset.trouble"
        )
    assert tab.errors == []
