"""Finality, rule by rule: what is seen, what history says and when, and what must come out; expectations by hand."""

from typing import NamedTuple

import numpy as np
import pytest

from papertape.daemon.feeds.finality.bars import Bar, FinalCandle, HistoryRequest
from papertape.daemon.feeds.finality.finality import Finality, Rules
from papertape.daemon.feeds.finality.rules import HistoryEvidence, HistoryVerdict, judge
from papertape.daemon.feeds.protocol import NoticeKind
from papertape.engine.candles import CANDLE, FLAG_ABSENT, FLAG_FILLED
from papertape.engine.jit import Rows
from papertape.replay.config.live import Live
from tests.support.feed_market import LENGTH_MS, START_MS, Simulation

T = START_MS
END = T + LENGTH_MS
SECOND = 1_000
LAST_CLOSE = 95.0

PART = Bar(T, 100.0, 103.0, 99.0, 101.0, 4.0)  # an older state of
WHOLE = Bar(T, 100.0, 105.0, 99.0, 104.0, 6.0)
FLAT = Bar.flat(T, LAST_CLOSE)
BEFORE = Bar(T - LENGTH_MS, 95.0, 95.0, 95.0, 95.0, 1.0)  # the candle before
MUCH_BEFORE = BEFORE._replace(open_ms=T - 4 * LENGTH_MS)
NEXT = Bar(END, 104.0, 104.0, 104.0, 104.0, 1.0)  # the first trade of the next candle
NEXT_FLAT = Bar.flat(END, 104.0)


def rows_of(*bars: Bar) -> Rows:
    return np.array([(bar.open_ms, 0, *bar[1:], 0) for bar in bars], CANDLE)


class History:
    """Answers by the time that it is asked, in seconds after the end of the candle: the last one that is due."""

    def __init__(self, said: dict[float, tuple[Bar, ...] | None]) -> None:
        self.said = said
        self.asked_s: list[float] = []

    def __call__(self, request: HistoryRequest) -> Rows | None:
        after_s = (request.asked_ms - END) / SECOND
        self.asked_s.append(after_s)
        bars = [self.said[s] for s in sorted(self.said) if s <= after_s]
        if not bars or bars[-1] is None:
            return None
        return rows_of(*(bar for bar in bars[-1] if request.first_ms <= bar.open_ms <= request.last_ms))


def follow(
    said: dict[float, tuple[Bar, ...] | None],
    seen: tuple[tuple[int, Bar], ...] = (),
    *,
    is_up: bool = True,
    traded_ms: int = T - LENGTH_MS,
    until_s: int = 50,
    source: str = "stream",
    rules: Rules = Rules(LENGTH_MS),  # noqa: B008 # a value
) -> tuple[Simulation, History]:
    """Return what became of one candle: `seen` in ms after its opening, `said` in s after its end."""
    table = Finality(["X"], rules, source)
    table.start("X", T - LENGTH_MS, LAST_CLOSE, traded_ms)
    history = History(said)
    simulation = Simulation(table, history)
    if is_up:
        table.connect(T)
    for after_ms, bar in seen:
        stamp_us = (T + after_ms) * 1000
        simulation.at(T + after_ms, lambda now_ms, b=bar, us=stamp_us: table.see("X", b, us, now_ms))
    simulation.run(END + until_s * SECOND)
    return simulation, history


class Case(NamedTuple):
    """What is seen (ms after the opening), said (s after the end), and must come out, and when (s after the end)."""

    name: str
    seen: tuple[tuple[int, Bar], ...]
    said: dict[float, tuple[Bar, ...] | None]
    bar: Bar | None
    after_s: float
    source: str = "stream"
    is_confirmed: bool = True
    notices: tuple[NoticeKind, ...] = ()
    is_up: bool = True
    traded_ms: int = T - LENGTH_MS


LATE = 59_900
EARLY = 15_000  # a quarter of the candle
CONFLICT, UNCONFIRMED, ABSENT = NoticeKind.CONFLICT, NoticeKind.UNCONFIRMED, NoticeKind.ABSENT
CASES = [
    Case("stream and history agree", ((LATE, WHOLE),), {0: (WHOLE, NEXT)}, WHOLE, 1.1),
    Case("the last frame was missing", ((LATE, PART),), {0: (WHOLE, NEXT)}, WHOLE, 1.1, "backfill"),
    Case("nothing was seen", (), {0: (WHOLE, NEXT)}, WHOLE, 1.1, "backfill"),
    Case("agreement without a later trade waits for the last look", ((LATE, WHOLE),),
         {0: (WHOLE, NEXT_FLAT)}, WHOLE, 8.1),
    Case("a later trade ends the wait", ((LATE, WHOLE),), {0: (WHOLE, NEXT_FLAT), 2: (WHOLE, NEXT)}, WHOLE, 3.1),
    Case("history lags: missing, then there", ((LATE, WHOLE),), {0: (), 2: (WHOLE, NEXT)}, WHOLE, 3.1),
    Case("history lags: flat, then right", ((LATE, WHOLE),), {0: (FLAT, NEXT_FLAT), 2: (WHOLE, NEXT)}, WHOLE, 3.1),
    Case("history lags: partial, then right", ((LATE, WHOLE),), {0: (PART,), 5: (WHOLE, NEXT)}, WHOLE, 8.1),
    Case("history lags: partial as the stream is, then whole", ((LATE, PART),),
         {0: (PART, NEXT_FLAT), 5: (WHOLE, NEXT)}, WHOLE, 8.1, "backfill"),
    Case("flat never overrules a candle that traded", ((LATE, WHOLE),), {0: (FLAT, NEXT)},
         WHOLE, 8.1, "stream", False, (CONFLICT, UNCONFIRMED)),
    Case("less volume, history past it: history wins at the last look", ((LATE, WHOLE),), {0: (PART, NEXT)},
         PART, 8.1, "backfill", True, (CONFLICT,)),
    Case("less volume, history not past it: the stream is kept", ((LATE, WHOLE),), {0: (PART, NEXT_FLAT)},
         WHOLE, 8.1, "stream", False, (CONFLICT, UNCONFIRMED)),
    Case("other prices, same volume: history wins", ((LATE, WHOLE._replace(high=900.0)),), {0: (WHOLE, NEXT)},
         WHOLE, 1.1, "backfill", True, (CONFLICT,)),
    Case("history fails: emitted at the deadline", ((LATE, WHOLE),), {0: None},
         WHOLE, 10.0, "stream", False, (UNCONFIRMED,)),
    Case("history fails, then answers in time", ((LATE, WHOLE),), {0: None, 8: (WHOLE, NEXT)}, WHOLE, 8.1),
    Case("history has it only in part, stream none: after the grace period", (), {0: (PART, NEXT_FLAT), 3: None},
         PART, 30.1, "backfill", False, (UNCONFIRMED,)),
    Case("heard a while before the end: no answer at the deadline, emitted after the grace period",
         ((EARLY, PART),), {0: None}, PART, 30.1, "stream", False, (UNCONFIRMED,)),
    Case("heard a while before the end: history that answers late counts", ((EARLY, PART),),
         {0: None, 12: (WHOLE, NEXT)}, WHOLE, 13.1, "backfill"),
    Case("heard a while before the end, history lacks it: after the grace period", ((EARLY, PART),), {0: ()},
         PART, 30.1, "stream", False, (UNCONFIRMED,)),
    Case("heard a while before the end, history has less: after the grace period", ((EARLY, WHOLE),),
         {0: (PART, NEXT_FLAT)}, WHOLE, 30.1, "stream", False, (CONFLICT, UNCONFIRMED)),
    Case("heard just before the end: history lacks it, the stream counts", ((LATE, PART),), {0: ()},
         PART, 8.1, "stream", False, (UNCONFIRMED,)),
    Case("no trade, history flat and past it", (), {0: (FLAT, NEXT)}, FLAT, 1.1, "backfill"),
    Case("no trade, history flat and quiet", (), {0: (FLAT, NEXT_FLAT)}, FLAT, 8.1, "backfill"),
    Case("no trade, flat frame", ((LATE, FLAT),), {0: (FLAT, NEXT)}, FLAT, 1.1),
    Case("no trade, flat frame, history fails", ((LATE, FLAT),), {0: None},
         FLAT, 10.0, "stream", False, (UNCONFIRMED,)),
    Case("a later trade in the same answer proves a hole", (), {0: (NEXT,)}, FLAT, 1.1, "absent", False, (ABSENT,)),
    Case("a hole although the stream said that nothing traded", ((LATE, FLAT),), {0: (NEXT,)},
         FLAT, 1.1, "absent", False, (ABSENT,)),
    Case("no hole where the stream saw a trade", ((LATE, WHOLE),), {0: (NEXT,)},
         WHOLE, 8.1, "stream", False, (UNCONFIRMED,)),
    Case("nothing anywhere: absent after the grace period", (), {0: (BEFORE,)},
         FLAT, 30.1, "absent", False, (ABSENT,)),
    Case("nothing anywhere, history known to leave out what did not trade: absent at the last look",
         (), {0: (MUCH_BEFORE,)}, FLAT, 8.1, "absent", False, (ABSENT,), traded_ms=MUCH_BEFORE.open_ms),
    Case("the same while the stream is down: after the grace period",
         (), {0: (MUCH_BEFORE,)}, FLAT, 30.1, "absent", False, (ABSENT,), is_up=False, traded_ms=MUCH_BEFORE.open_ms),
    Case("a trade that the stream shows of the next candle is a reason to look",
         ((LATE, WHOLE), (LENGTH_MS + 1_400, NEXT)), {0: (WHOLE, NEXT_FLAT), 1.5: (WHOLE, NEXT)}, WHOLE, 2.0),
    Case("nothing seen, history fails: absent after the grace period", (), {0: None},
         FLAT, 30.1, "absent", False, (ABSENT,)),
    Case("the stream shows later trades that history lacks: its flat is padding",
         ((LENGTH_MS + 4_000, NEXT),), {0: (FLAT, NEXT_FLAT), 12: (WHOLE, NEXT)}, WHOLE, 13.1, "backfill"),
    Case("stream down, history fails: nothing is decided", ((LATE, PART),), {0: None}, None, 0.0, is_up=False),
    Case("stream down, history answers much later", ((LATE, PART),), {0: None, 40: (WHOLE, NEXT)},
         WHOLE, 40.1, "backfill", is_up=False),
    Case("stream down, history answers without it", (), {0: (BEFORE,)},
         FLAT, 30.1, "absent", False, (ABSENT,), is_up=False),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    simulation, _ = follow(case.said, case.seen, is_up=case.is_up, traded_ms=case.traded_ms)
    told = tuple(n.kind for n in simulation.notices if n.open_ms == T)

    assert told == case.notices
    if case.bar is None:
        assert simulation.finals == []
    else:
        final, at_ms = simulation.finals[0], simulation.final_at[0]
        assert final.bar == case.bar
        assert (at_ms - END) / SECOND == case.after_s
        assert (final.source, final.is_confirmed) == (case.source, case.is_confirmed)


def test_history_is_asked_at_one_three_and_eight_seconds_then_less_often() -> None:
    _, history = follow({0: None}, until_s=55, is_up=False)

    assert history.asked_s == [1, 3, 8, 13, 18, 23, 28, 30, 40, 50]


def test_polling_needs_no_stream_and_asks_alike() -> None:
    simulation, history = follow({0: (WHOLE, NEXT)}, is_up=False, source="poll")

    assert history.asked_s[0] == 1
    assert simulation.finals[0] == FinalCandle("X", WHOLE, 0, "poll", True, END + 1_100)


def test_delays_are_the_configurations() -> None:
    live = Live(timeframe="1m", confirm_s=0.5, close_s=1.0, deadline_s=5.0, grace_s=7.0)

    assert Rules.of(live) == Rules(60_000, 500, 1_000, 5_000, 7_000)
    simulation, history = follow({0: None}, ((LATE, WHOLE),), rules=Rules.of(live))
    assert history.asked_s[:2] == [0.5, 3]
    assert simulation.final_at[0] == END + 5 * SECOND


def test_flags_say_what_a_flat_candle_is() -> None:
    filled, _ = follow({0: (FLAT, NEXT)})
    absent, _ = follow({0: (NEXT,)})

    assert filled.finals[0].flag_bits == FLAG_FILLED
    assert absent.finals[0].flag_bits == FLAG_ABSENT
    assert absent.finals[0].bar.close == LAST_CLOSE


def test_states_are_ordered_by_the_venues_stamp() -> None:
    seen = ((100, PART), (200, WHOLE))
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, LAST_CLOSE)
    for stamp_ms, bar in (seen[1], seen[0], seen[1]):  # swapped, then again
        table.see("X", bar, (T + stamp_ms) * 1000, T + 300)
    table.connect(T)

    finals = _emit_by_deadline(table)

    assert [final.bar for final in finals] == [WHOLE]
    assert table.counts == {"out_of_order": 1, "duplicate": 1}


def _emit_by_deadline(table: Finality) -> list[FinalCandle]:
    """Return what the table emits when history never answers."""
    simulation = Simulation(table, lambda request: None)
    simulation.run(END + 31 * SECOND)
    return simulation.finals


def test_a_candle_from_the_future_is_ignored() -> None:
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, LAST_CLOSE)

    table.see("X", NEXT, 0, T + 100)

    assert table.counts == {"future": 1}


def test_a_change_after_emission_is_told_and_not_applied() -> None:
    changed = WHOLE._replace(close=102.0)
    simulation, _ = follow(
        {0: (WHOLE, NEXT), 60: (changed, NEXT, NEXT._replace(open_ms=END + LENGTH_MS))},
        ((LATE, WHOLE),),
        until_s=75,
    )

    corrections = [n for n in simulation.notices if n.kind is NoticeKind.CORRECTION]
    assert [(n.open_ms, n.detail) for n in corrections] == [(T, "history")]
    assert [final.bar for final in simulation.finals if final.bar.open_ms == T] == [WHOLE]


def test_padding_after_emission_is_no_correction() -> None:
    later = NEXT._replace(open_ms=END + LENGTH_MS)
    simulation, _ = follow({0: None, 60: (FLAT, NEXT, later)}, ((LATE, WHOLE),), until_s=75)

    assert [n for n in simulation.notices if n.kind is NoticeKind.CORRECTION] == []


def test_an_older_state_after_emission_is_no_correction() -> None:
    simulation, _ = follow({0: None, 60: (PART,)}, ((LATE, WHOLE),), until_s=75)

    assert simulation.finals[0].bar == WHOLE
    assert [n for n in simulation.notices if n.kind is NoticeKind.CORRECTION] == []


def test_sums_of_the_same_trades_in_another_order_agree() -> None:
    total, other = 0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1
    assert total > other

    verdict = judge(WHOLE._replace(volume=total), WHOLE._replace(volume=other), HistoryEvidence(is_past=True))

    assert verdict is HistoryVerdict.HISTORY


def test_a_gap_is_closed_in_order_and_told_once() -> None:
    bars = [WHOLE._replace(open_ms=T + i * LENGTH_MS) for i in range(6)]
    simulation, _ = follow({-60: None, 300: tuple(bars)}, is_up=False, until_s=303)

    assert [final.bar for final in simulation.finals] == bars[:5]
    gaps = [n for n in simulation.notices if n.kind is NoticeKind.GAP]
    assert [(n.open_ms, n.value) for n in gaps] == [(T, 2.0)]


def test_a_very_long_gap_is_closed_page_by_page() -> None:
    n = 4_500
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, LAST_CLOSE)
    asked: list[HistoryRequest] = []

    def answer(request: HistoryRequest) -> Rows:
        asked.append(request)
        stamps = range(request.first_ms, request.last_ms + 1, LENGTH_MS)
        return rows_of(*(WHOLE._replace(open_ms=ms) for ms in stamps))

    simulation = Simulation(table, answer)
    simulation.now_ms = T + n * LENGTH_MS
    simulation.run(simulation.now_ms + 2 * SECOND)

    assert [f.bar.open_ms for f in simulation.finals] == [T + i * LENGTH_MS for i in range(n)]
    assert max((r.last_ms - r.first_ms) // LENGTH_MS + 1 for r in asked) == 2_000
    assert len(asked) <= 5


def test_reconnecting_gives_the_history_its_full_time() -> None:
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, LAST_CLOSE)
    simulation = Simulation(table, lambda request: None)
    simulation.at(END + 100 * SECOND, table.connect)
    simulation.run(END + 129 * SECOND)
    assert simulation.finals == []

    simulation.run(END + 141 * SECOND)

    # Declared together, after the grace period and the question that follows it.
    assert next(f.bar.open_ms for f in simulation.finals) == T
    assert END + 130 * SECOND <= simulation.final_at[0] <= END + 140 * SECOND


def test_a_clock_that_jumps_is_told_and_what_was_due_gets_its_time() -> None:
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, LAST_CLOSE)
    table.connect(T)
    table.see("X", WHOLE, T * 1000 + 1, T)
    table.advance(T)

    step = table.advance(T + 3_600 * SECOND)

    assert [(n.kind, n.value) for n in step.notices if n.kind is NoticeKind.CLOCK] == [
        (NoticeKind.CLOCK, 3_600 * SECOND - 61 * SECOND)  # it had asked to be called a second after the end
    ]
    assert step.finals == []
    assert len(step.wanted) == 1

    back = table.advance(T)
    assert [n.value for n in back.notices if n.kind is NoticeKind.CLOCK] == [-3_600 * SECOND]


def test_before_the_first_price_nothing_is_invented() -> None:
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS)
    table.connect(T)
    simulation = Simulation(table, lambda request: rows_of(NEXT))

    simulation.run(END + 31 * SECOND)

    assert simulation.finals == []
    assert [(n.kind, n.detail) for n in simulation.notices] == [(NoticeKind.ABSENT, "no price yet")]
    assert table.next_open_ms("X") == END


@pytest.mark.parametrize("n_bars", [1, 2, 20, 239])
def test_a_quiet_market_is_asked_back_to_its_last_trade(n_bars: int) -> None:
    """A padded history begins at a trade: asked from later on it says nothing, and nothing would be declared absent."""
    traded = BEFORE._replace(open_ms=T - n_bars * LENGTH_MS)

    def history(request: HistoryRequest) -> Rows:
        if request.first_ms > traded.open_ms:
            return rows_of()
        stamps = range(traded.open_ms + LENGTH_MS, request.last_ms + 1, LENGTH_MS)
        return rows_of(traded, *(Bar.flat(ms, LAST_CLOSE) for ms in stamps))

    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, LAST_CLOSE, traded.open_ms)
    table.connect(T)
    simulation = Simulation(table, history)
    simulation.run(END + 31 * SECOND)

    assert simulation.finals == [FinalCandle("X", FLAT, FLAG_FILLED, "backfill", True, END + 8_100)]
    assert simulation.notices == []


@pytest.mark.parametrize("last_close", [LAST_CLOSE, 0.0])
def test_a_market_silent_for_longer_than_the_look_back_has_not_traded(last_close: float) -> None:
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, last_close)
    table.connect(T)
    simulation = Simulation(table, lambda request: rows_of())

    simulation.run(END + 31 * SECOND)

    flat = FinalCandle("X", FLAT, FLAG_FILLED, "backfill", True, END + 8_100)
    assert simulation.finals == ([flat] if last_close else [])
    assert [(n.kind, n.detail) for n in simulation.notices] == (
        [] if last_close else [(NoticeKind.ABSENT, "no price yet")]
    )
    assert table.next_open_ms("X") == END


def test_an_empty_answer_about_a_market_that_has_traded_proves_nothing() -> None:
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, LAST_CLOSE, T - 3 * LENGTH_MS)
    simulation = Simulation(table, lambda request: rows_of())

    simulation.run(END + 31 * SECOND)

    assert [final.source for final in simulation.finals] == ["absent"]
    assert simulation.final_at == [END + 30_100]


def together(
    said: dict[str, dict[float, tuple[Bar, ...] | None]], seen: dict[str, tuple[int, Bar]], until_s: int = 45
) -> Simulation:
    """Return what became of the same candle of several symbols."""
    table = Finality(list(said), Rules(LENGTH_MS))
    histories = {symbol: History(answers) for symbol, answers in said.items()}
    for symbol in said:
        table.start(symbol, T - LENGTH_MS, LAST_CLOSE)
    table.connect(T)
    simulation = Simulation(table, lambda request: histories[request.symbol](request))
    for symbol, (after_ms, bar) in seen.items():
        us = (T + after_ms) * 1000
        simulation.at(T + after_ms, lambda now_ms, s=symbol, b=bar, u=us: table.see(s, b, u, now_ms))
    simulation.run(END + until_s * SECOND)
    return simulation


def test_what_is_not_proven_is_decided_when_nothing_else_is_waited_for() -> None:
    """X could go out at its deadline, after 10 s; its instant waits for Y, and meanwhile the history has X after all."""
    simulation = together(
        {"X": {0: None, 13: (WHOLE, NEXT)}, "Y": {0: None}}, {"X": (LATE, PART), "Y": (EARLY, PART)}
    )

    assert simulation.finals == [
        FinalCandle("X", WHOLE, 0, "backfill", True, END + 13_100),
        FinalCandle("Y", PART, 0, "stream", False, END + 30_100),
    ]


def test_a_late_last_frame_is_used_while_its_instant_waits() -> None:
    simulation = together(
        {"X": {0: None}, "Y": {0: None}}, {"X": (LENGTH_MS + 12_000, WHOLE), "Y": (EARLY, PART)}
    )

    assert [(f.symbol, f.bar, f.is_confirmed) for f in simulation.finals] == [
        ("X", WHOLE, False),
        ("Y", PART, False),
    ]
    assert simulation.final_at == [END + 30_100] * 2
    assert [n.kind for n in simulation.notices] == [NoticeKind.UNCONFIRMED] * 2


def test_what_is_proven_waits_for_nobody() -> None:
    simulation = together(
        {"X": {0: (WHOLE, NEXT)}, "Y": {0: None}}, {"X": (LATE, WHOLE), "Y": (EARLY, PART)}, until_s=20
    )

    assert [(f.symbol, f.bar, at) for f, at in zip(simulation.finals, simulation.final_at, strict=True)] == [
        ("X", WHOLE, END + 1_100)
    ]
    assert simulation.table.waiting(simulation.now_ms) == {"Y": simulation.now_ms - END}


def test_a_silent_symbol_waits_while_the_others_go_on() -> None:
    table = Finality(["X", "Y"], Rules(LENGTH_MS))
    for symbol in ("X", "Y"):
        table.start(symbol, T - LENGTH_MS, LAST_CLOSE)
    table.connect(T)
    table.disconnect("Y")
    simulation = Simulation(table, lambda request: rows_of(WHOLE, NEXT) if request.symbol == "X" else None)

    simulation.run(END + 40 * SECOND)

    assert {final.symbol for final in simulation.finals} == {"X"}
    assert table.is_connected


# Without a candle's start in the frame it is derived from the stamp (3.8, 11).

ONE = Bar(0, 100.0, 103.0, 99.0, 101.0, 4.0)
DERIVED = [
    ("a frame belongs to its stamp", [(100, ONE)], {0: ONE}),
    ("the first frame after the end that repeats the candle is its last", [(100, ONE), (60_050, ONE)], {0: ONE}),
    ("it may add volume", [(100, ONE), (60_050, ONE._replace(volume=9.0))], {0: ONE._replace(volume=9.0)}),
    ("it may set a new high and low", [(100, ONE), (60_050, Bar(0, 100.0, 104.0, 98.0, 101.0, 5.0))],
     {0: Bar(0, 100.0, 104.0, 98.0, 101.0, 5.0)}),
    ("another open is the next candle", [(100, ONE), (60_050, Bar(0, 101.0, 104.0, 98.0, 101.0, 5.0))],
     {0: ONE, 1: Bar(0, 101.0, 104.0, 98.0, 101.0, 5.0)}),
    ("less volume is the next candle", [(100, ONE), (60_050, ONE._replace(volume=3.0))],
     {0: ONE, 1: ONE._replace(volume=3.0)}),
    ("a narrower range is the next candle", [(100, ONE), (60_050, Bar(0, 100.0, 102.0, 99.5, 101.0, 5.0))],
     {0: ONE, 1: Bar(0, 100.0, 102.0, 99.5, 101.0, 5.0)}),
    ("a late last frame after the next one's first",
     [(100, ONE), (60_500, Bar(0, 101.0, 101.0, 101.0, 101.0, 1.0)), (60_700, ONE._replace(volume=6.0))],
     {0: ONE._replace(volume=6.0), 1: Bar(0, 101.0, 101.0, 101.0, 101.0, 1.0)}),
    ("what continues its own candle stays there, even if it would fit the one before",
     [(100, ONE), (60_500, Bar(0, 100.0, 100.0, 100.0, 100.0, 1.0)), (60_900, Bar(0, 100.0, 104.0, 98.0, 101.0, 5.0))],
     {0: ONE, 1: Bar(0, 100.0, 104.0, 98.0, 101.0, 5.0)}),
    ("a candle that has not traded claims nothing",
     [(100, Bar.flat(0, 100.0)), (60_050, ONE)], {0: Bar.flat(0, 100.0), 1: ONE}),
    ("a flat opening frame gives way to the first trade",
     [(20, Bar.flat(0, 95.0)), (900, ONE)], {0: ONE}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "frames", "expected"), DERIVED, ids=[name for name, *_ in DERIVED])
def test_derived_candle(name: str, frames: list[tuple[int, Bar]], expected: dict[int, Bar]) -> None:
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, LAST_CLOSE)
    simulation = Simulation(table, lambda request: None)
    table.connect(T)
    for after_ms, bar in frames:
        simulation.at(
            T + after_ms, lambda now_ms, b=bar, ms=after_ms: table.see("X", b, (T + ms) * 1000, now_ms)
        )

    simulation.run(END + LENGTH_MS + 31 * SECOND)

    found = {f.bar.open_ms: f.bar for f in simulation.finals if f.source == "stream"}
    assert found == {
        T + number * LENGTH_MS: bar._replace(open_ms=T + number * LENGTH_MS)
        for number, bar in expected.items()
    }


@pytest.mark.parametrize(("again", "late"), [(ONE, 1), (ONE._replace(volume=5.0), 0)])
def test_a_last_frame_held_up_over_a_minute_without_a_trade_is_late(again: Bar, late: int) -> None:
    """The same frame once more, two minutes on, is the old candle's; anything else begins the new one."""
    table = Finality(["X"], Rules(LENGTH_MS))
    table.start("X", T - LENGTH_MS, LAST_CLOSE)
    simulation = Simulation(table, lambda request: None)
    table.connect(T)
    for after_ms, bar in ((100, ONE), (2 * LENGTH_MS + 50, again)):
        simulation.at(
            T + after_ms, lambda now_ms, b=bar, ms=after_ms: table.see("X", b, (T + ms) * 1000, now_ms)
        )

    simulation.run(T + 2 * LENGTH_MS + SECOND)

    assert table.counts["late"] == late
