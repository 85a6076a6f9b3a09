"""One symbol's row of the finality table: what was seen, what is asked, what comes next. See `finality.py`."""

from collections import Counter
from functools import cached_property

from papertape.daemon.feeds.answers import REACH_BARS, HistoryAnswer
from papertape.daemon.feeds.finality.bars import Bar, FinalCandle, HistoryRequest, Seen, derive_open_ms
from papertape.daemon.feeds.finality.rules import (
    HEARD_MS,
    NEWS_MS,
    Choice,
    HistoryEvidence,
    HistoryVerdict,
    Rules,
    judge,
)
from papertape.daemon.feeds.protocol import Notice, NoticeKind
from papertape.engine.candles import FLAG_ABSENT

REQUEST_BARS = 2_000  # the history's page
KEPT_FINALS = 16  # asked for again and compared with every answer, to tell corrections
KEPT_SEEN = 64  # states of candles that are not final; a backfill may take hours
LAG_MS = 1_000  # a history that lacks what the stream showed this long ago is behind
MAX_FUTURE_MS = 5_000  # how far ahead of our idea of the venue's time a candle may open


class SymbolState:
    """
    Forming, closed and final candles of one symbol; the next one (`next_ms`) is in one of these states:

        forming   now is before its end; left by its end and the first look, `_ask_at_ms`
        asked     `_in_flight`: a question is out; left by `answer`, or by `fail`: asked again by schedule
        proven    `_judge` says so; `_settle` makes it final at once
        ready     `_judge` is not sure, or `_due_ms` (None while the stream is down) is over: left by `decide`
        gone      it begins at `gone_ms` or later: nothing is asked, and `decide` makes it absent

    `decide` is for the best that is known: the table calls it when every symbol of the instant `can_decide`, for until
    then something better may come.

    The times of the next question and of the decision are remembered, as tables are asked every second and at every
    answer: whatever changes what they come from calls `_forget_times`.
    """

    def __init__(
        self, symbol: str, rules: Rules, source: str, counts: Counter[str], notices: list[Notice]
    ) -> None:
        self.symbol, self.rules, self.source = symbol, rules, source
        self.counts, self.notices = counts, notices
        self.next_ms = 0  # 0: not started, states are kept for later
        self.last_close = 0.0
        self.patient_since_ms: int | None = None  # None: the stream is down
        self.gone_ms: int | None = None  # from here on there are no candles; None: it is listed
        self._traded_ms = 0  # newest final candle that traded
        self._seen: dict[int, Seen] = {}
        self._answer: HistoryAnswer | None = None  # the history's last
        self._leaves_out: bool | None = None  # whether it leaves out what did not trade
        self._ready_ms = 0  # since when the next candle can be decided
        self._asked_ms = 0
        self._asked_last_ms = 0  # newest candle that was asked for
        self._in_flight: HistoryRequest | None = None
        self._gap_end_ms = 0
        self._kept: dict[int, FinalCandle] = {}
        self._finals: list[FinalCandle] = []

    def start(self, after_ms: int, last_close: float, traded_ms: int) -> None:
        """Want candles after `after_ms`; the last one that traded opened at `traded_ms`, 0 when not known."""
        self.next_ms = after_ms + self.rules.length_ms
        self._traded_ms = traded_ms
        self.last_close = last_close
        self._seen = {ms: seen for ms, seen in self._seen.items() if ms > after_ms}
        self._answer, self._asked_ms, self._ready_ms, self._in_flight = None, 0, 0, None
        self._kept.clear()
        self._forget_times()

    def be_patient(self, since_ms: int | None) -> None:
        """Let deadline and grace count from a time on at the earliest; None: they stand still."""
        self.patient_since_ms = since_ms
        self._forget_times()

    def lose(self, from_ms: int | None) -> None:
        """Let there be no candles that open at `from_ms` or later; None: there are."""
        self.gone_ms = from_ms
        self._forget_times()

    def _forget_times(self) -> None:
        for name in ("next_ask_ms", "decide_at_ms"):
            self.__dict__.pop(name, None)

    def take(self) -> list[FinalCandle]:
        """Return what became final since the last call."""
        finals, self._finals = self._finals, []
        return finals

    def see(self, bar: Bar, published_us: int, now_ms: int) -> None:
        """Take one state of a candle."""
        self._forget_times()
        is_derived = not bar.open_ms
        if is_derived:
            bar = bar._replace(
                open_ms=derive_open_ms(bar, published_us, self.rules.length_ms, self._seen, self._kept)
            )
        if bar.open_ms < self.next_ms:
            self._see_late(bar, now_ms)
            return
        if bar.open_ms > now_ms + MAX_FUTURE_MS:
            self.counts["future"] += 1
            return
        seen = self._seen.get(bar.open_ms)
        heard_ms = published_us // 1000 or now_ms
        if seen is None:
            traded_ms = now_ms if bar.has_traded else None
            self._seen[bar.open_ms] = Seen(bar, published_us, is_derived, traded_ms, heard_ms)
            if len(self._seen) > KEPT_SEEN:
                del self._seen[min(self._seen)]
        elif not published_us or published_us > seen.published_us:
            seen.bar, seen.published_us, seen.heard_ms = bar, published_us, heard_ms
            if seen.traded_ms is None and bar.has_traded:
                seen.traded_ms = now_ms
        else:
            self.counts["duplicate" if bar == seen.bar else "out_of_order"] += 1

    def _see_late(self, bar: Bar, now_ms: int) -> None:
        """Take a state of a candle that is final: it changes nothing, and is news only if it knows more."""
        self.counts["late"] += 1
        final = self._kept.get(bar.open_ms)
        if final is not None and not final.is_confirmed and bar.volume > final.bar.volume:
            self._correct(final, bar, now_ms, "stream")

    def fail(self, request: HistoryRequest) -> None:
        """Take note that a request has no answer."""
        self._forget_times()
        if request is self._in_flight:
            self._in_flight = None

    def answer(
        self, request: HistoryRequest, bars: list[Bar], now_ms: int, left_ms: int | None = None
    ) -> None:
        """Take the history's candles, asked for at `left_ms` if that was later; make final what they prove."""
        self._forget_times()
        if request is self._in_flight:
            self._in_flight = None
        if left_ms is not None and left_ms > request.asked_ms:
            queued_ms = left_ms - request.asked_ms
            request = request._replace(asked_ms=left_ms, queued_ms=queued_ms)
            self._asked_ms = max(self._asked_ms, left_ms)
        self._answer = answer = HistoryAnswer.of(request, bars, now_ms)
        settled_ms = request.asked_ms - self.rules.grace_ms
        leaves_out = answer.leaves_out(self.rules.length_ms, settled_ms)
        self._leaves_out = self._leaves_out if leaves_out is None else leaves_out
        self._compare_finals(answer, now_ms)
        self._settle(now_ms)

    def _settle(self, now_ms: int) -> None:
        """Make final, one after the other, what the last answer proves."""
        while (choice := self._judge()) is not None and choice.is_proven:
            self._finish(choice, now_ms, now_ms)
        if self._asked_last_ms < self.next_ms:
            self._asked_ms = min(self._asked_ms, self.next_ms)  # the rest has not been asked for

    def _judge(self) -> Choice | None:
        """Return what the last answer makes of the next candle; None: nothing yet."""
        answer = self._answer
        if answer is None or not answer.covers(self.next_ms) or self.is_gone:
            return None
        asked_ms = answer.request.asked_ms
        if asked_ms < self._end_ms:
            return None  # it was still forming
        row = self._row(answer)
        if row is not None:
            self._forget_echo(row)
        seen = self._seen.get(self.next_ms)
        bar = seen.bar if seen is not None else None
        is_past = answer.traded_ms > self.next_ms
        is_same = bar is not None and row is not None and bar.equals(row)
        is_behind = not is_past and self._is_behind(asked_ms)
        look = HistoryEvidence(
            is_past=is_past,
            is_last=self._is_last_look(answer.request) and (is_same or not is_behind),
            is_late=asked_ms >= self._end_ms + self.rules.grace_ms,
            is_heard=self._is_heard,
            is_quiet=bool(self._leaves_out) and self._has_listened,
            is_sum=self.source == "trades",
        )
        return self._choose(judge(bar, row, look), bar, row, is_past=is_past)

    def _choose(
        self, verdict: HistoryVerdict, bar: Bar | None, row: Bar | None, *, is_past: bool
    ) -> Choice | None:
        """Return the choice that a verdict means."""
        change = bar.volume - row.volume if bar is not None and row is not None else 0.0
        match verdict:
            case HistoryVerdict.HISTORY if row is not None:
                if not row.close:
                    return Choice(None, "absent", is_proven=is_past)
                is_same = bar is not None and bar.equals(row)
                source = self.source if is_same or self.source == "poll" else "backfill"
                is_other = bar is not None and bar.has_traded and not bar.may_become(row)
                return Choice(row, source, True, is_past, "" if is_other else None, change)
            case HistoryVerdict.CONFLICT:
                return Choice(row, "backfill", True, is_past, "", change)
            case HistoryVerdict.STREAM:
                told = "stream kept" if row is not None else None
                return Choice(bar, self.source, conflict=told, change=change)
            case HistoryVerdict.HOLE:
                return Choice(None, "absent", is_proven=is_past)
        return None

    def _row(self, answer: HistoryAnswer) -> Bar | None:
        """Return what an answer says of the next candle, None when it has none."""
        row = answer.rows.get(self.next_ms)
        if row is None and not self._leaves_out:
            is_silent = answer.is_silent_at(self.next_ms, self.rules.length_ms, self._traded_ms)
            return Bar.flat(self.next_ms, self.last_close) if is_silent else None
        return row

    @property
    def _is_heard(self) -> bool:
        """Return whether the stream showed something of the next candle around its end."""
        seen = self._seen.get(self.next_ms)
        return seen is not None and seen.heard_ms >= self._end_ms - HEARD_MS

    @property
    def _has_listened(self) -> bool:
        """Return whether the stream was up for all of the next candle."""
        return self.patient_since_ms is not None and self.patient_since_ms <= self.next_ms

    def _is_last_look(self, request: HistoryRequest) -> bool:
        """Return whether no later question could leave before the deadline: one would wait as long as this one did."""
        age_ms, looks_ms = request.asked_ms - self._end_ms, self.rules.looks_ms
        next_ms = next((ms for ms in looks_ms if ms > age_ms), None)
        return next_ms is None or (
            request.queued_ms > 0 and next_ms + request.queued_ms >= self.rules.deadline_ms
        )

    def _is_behind(self, asked_ms: int) -> bool:
        """Return whether the stream had shown later trades, well before an answer that does not have them."""
        news_ms = self._news_ms
        return news_ms is not None and news_ms + LAG_MS <= asked_ms

    def _forget_echo(self, row: Bar) -> None:
        """Drop the first frame after a candle when it was that candle's late last one, as the history shows now."""
        after_ms = row.open_ms + self.rules.length_ms
        seen = self._seen.get(after_ms)
        if seen is not None and seen.is_derived and seen.bar.equals(row):
            del self._seen[after_ms]
            self.__dict__.pop("next_ask_ms", None)

    def _compare_finals(self, answer: HistoryAnswer, now_ms: int) -> None:
        """Tell what the history has changed since it was emitted; padding and what it still lacks is no change."""
        for open_ms, final in self._kept.items():
            row = answer.rows.get(open_ms)
            if row is None or open_ms >= answer.traded_ms:
                continue
            if row.equals(final.bar):
                self._kept[open_ms] = final._replace(is_confirmed=True)
            elif row.has_traded:
                self._correct(final, row, now_ms, "history")

    def _correct(self, final: FinalCandle, bar: Bar, now_ms: int, detail: str) -> None:
        change = bar.volume - final.bar.volume
        self.notices.append(
            Notice(NoticeKind.CORRECTION, now_ms, self.symbol, final.bar.open_ms, change, detail)
        )
        self._kept[final.bar.open_ms] = final._replace(bar=bar, is_confirmed=True)

    def ask(self, now_ms: int) -> HistoryRequest | None:
        """Return what to ask the history now."""
        if self.next_ask_ms is None or now_ms < self.next_ask_ms:
            return None
        self._tell_gap(now_ms)
        self._forget_times()
        self._asked_ms = now_ms
        self._in_flight = self._make_request(now_ms)
        self._asked_last_ms = self._in_flight.last_ms
        return self._in_flight

    @cached_property
    def next_ask_ms(self) -> int | None:
        """Return when there is something to ask; None while an answer is awaited."""
        return self._ask_at_ms if self._in_flight is None and not self.is_gone else None

    def can_decide(self, now_ms: int) -> bool:
        """Return whether the next candle can be decided without further proof."""
        due_ms = self.decide_at_ms
        is_ready = due_ms is not None and due_ms <= now_ms
        self._ready_ms = (self._ready_ms or now_ms) if is_ready else 0
        return is_ready

    @cached_property
    def decide_at_ms(self) -> int | None:
        """Return since when, or from when on, that is so; None: it depends on an answer."""
        return 0 if self._judge() is not None else self._due_ms()

    def decide(self, now_ms: int) -> None:
        """Make the next candle final with the best that is known of it."""
        self._finish(self._judge() or self._fallback(), self._ready_ms or now_ms, now_ms)
        self._settle(now_ms)

    def _tell_gap(self, now_ms: int) -> None:
        """Tell once when more than the newest closed candle is asked for."""
        n_missing = (now_ms - self.next_ms) // self.rules.length_ms
        is_waiting = self._judge() is not None  # for other symbols: there is no gap
        if n_missing > 1 and self._gap_end_ms <= self.next_ms and not is_waiting:
            self._gap_end_ms = self.next_ms + n_missing * self.rules.length_ms
            self._tell(NoticeKind.GAP, now_ms, n_missing)

    @property
    def is_gone(self) -> bool:
        """Return whether the next candle does not exist, because the symbol did not any more."""
        return self.gone_ms is not None and self.next_ms >= self.gone_ms

    @property
    def _end_ms(self) -> int:
        """Return the end of the next candle."""
        return self.next_ms + self.rules.length_ms

    @property
    def _ask_at_ms(self) -> int:
        at_ms = self.rules.next_ask_ms(self._end_ms, self._asked_ms)
        news_ms = self._news_ms
        if news_ms is None or self._asked_ms >= news_ms + NEWS_MS:
            return at_ms
        return min(at_ms, max(news_ms + NEWS_MS, self._end_ms + self.rules.confirm_ms))

    @property
    def _news_ms(self) -> int | None:
        """Return when the stream first showed a trade after the next candle, None when it has shown none."""
        later = (seen for open_ms, seen in self._seen.items() if open_ms > self.next_ms)
        return min((seen.traded_ms for seen in later if seen.traded_ms is not None), default=None)

    def _make_request(self, now_ms: int) -> HistoryRequest:
        length_ms = self.rules.length_ms
        first_ms = min(self.next_ms - length_ms, self._traded_ms, *self._kept)
        first_ms = max(first_ms, self.next_ms - REACH_BARS * length_ms, 0)
        last_ms = min(now_ms // length_ms * length_ms, first_ms + (REQUEST_BARS - 1) * length_ms)
        return HistoryRequest(self.symbol, first_ms, last_ms, now_ms)

    def _due_ms(self) -> int | None:
        """Return when the next candle is decided without the history, None while that cannot be said."""
        if self.is_gone:
            return self._end_ms + self.rules.close_ms
        if self.patient_since_ms is None:
            return None
        from_ms = max(self._end_ms, self.patient_since_ms)
        if self._is_heard:
            return from_ms + max(self.rules.deadline_ms, self.rules.close_ms)
        # The history gets its last chance first.
        if self._in_flight is not None or self._asked_ms < self._end_ms + self.rules.grace_ms:
            return None
        return from_ms + self.rules.grace_ms

    def _fallback(self) -> Choice:
        """Return the best that is known of a candle about which the history has said nothing that counts."""
        if self.is_gone:
            return Choice(None, "absent")
        answer, seen = self._answer, self._seen.get(self.next_ms)
        row = self._row(answer) if answer is not None and answer.covers(self.next_ms) else None
        if seen is not None and (row is None or row.volume <= seen.bar.volume):
            return Choice(seen.bar, self.source)
        if row is not None and row.close:
            return Choice(row, "backfill")
        return Choice(None, "absent")

    def _finish(self, choice: Choice, ready_ms: int, now_ms: int) -> None:
        """Make the next candle final; an absent one is flat at the last close, nothing before there was a price."""
        self._forget_times()
        bar, flag_bits = choice.bar, FLAG_ABSENT
        if choice.conflict is not None:
            self._tell(NoticeKind.CONFLICT, now_ms, choice.change, choice.conflict)
        if bar is None:
            known = self.last_close > 0.0
            if not self.is_gone:  # which was told once
                self._tell(NoticeKind.ABSENT, now_ms, detail="" if known else "no price yet")
            bar = Bar.flat(self.next_ms, self.last_close) if known else None
        else:
            flag_bits = bar.flag_bits
            if not choice.is_confirmed:
                self._tell(NoticeKind.UNCONFIRMED, now_ms)
        if bar is not None:
            final = FinalCandle(self.symbol, bar, flag_bits, choice.source, choice.is_confirmed, ready_ms)
            self._finals.append(final)
            self._keep(final)
            self.last_close = bar.close
            if bar.has_traded:
                self._traded_ms = bar.open_ms
        self._seen.pop(self.next_ms, None)
        self._ready_ms = 0
        self.next_ms += self.rules.length_ms

    def _keep(self, final: FinalCandle) -> None:
        self._kept[final.bar.open_ms] = final
        if len(self._kept) > KEPT_FINALS:
            del self._kept[next(iter(self._kept))]

    def _tell(self, kind: NoticeKind, now_ms: int, value: float = 0.0, detail: str = "") -> None:
        self.notices.append(Notice(kind, now_ms, self.symbol, self.next_ms, value, detail))
