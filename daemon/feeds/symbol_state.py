"""One symbol's row of the finality table: what was seen, what is asked, what comes next. See `finality.py`."""

from collections import Counter
from dataclasses import dataclass

from papertape.daemon.feeds.bars import Bar, Final, Request
from papertape.daemon.feeds.protocol import Notice, NoticeKind
from papertape.daemon.feeds.rules import Rules, Verdict, judge
from papertape.engine.candles import FLAG_ABSENT

REQUEST_BARS = 2_000  # the history's page
# A history answers an empty span with nothing, so a request reaches back to a candle that traded, within reason.
REACH_BARS = 240
KEPT_FINALS = 16  # asked for again and compared with every answer, to tell corrections
KEPT_SEEN = 64  # states of candles that are not final; a backfill may take hours
LAG_MS = 1_000  # a history that lacks what the stream showed this long ago is behind
MAX_FUTURE_MS = 5_000  # how far ahead of our idea of the venue's time a candle may open


@dataclass(slots=True)
class _Seen:
    """The newest state of a candle from the stream."""

    bar: Bar
    published_us: int  # the stamp that it bore
    is_derived: bool  # its sender did not say which candle it is
    traded_ms: int | None  # when it was first seen to have traded


class SymbolState:
    """Forming, closed and final candles of one symbol."""

    def __init__(
        self,
        symbol: str,
        rules: Rules,
        source: str,
        counts: Counter[str],
        notices: list[Notice],
    ) -> None:
        self.symbol, self.rules, self.source = symbol, rules, source
        self.counts, self.notices = counts, notices
        self.next_ms = 0  # 0: not started, states are kept for later
        self.last_close = 0.0
        self.patient_since_ms: int | None = None  # None: the stream is down
        self._traded_ms = 0  # newest final candle that traded
        self._seen: dict[int, _Seen] = {}
        self._row: Bar | None = None  # what the history last said about the next candle
        self._asked_ms = 0
        self._in_flight: Request | None = None
        self._gap_end_ms = 0
        self._kept: dict[int, Final] = {}
        self._finals: list[Final] = []

    def start(self, after_ms: int, last_close: float) -> None:
        """Want candles after `after_ms`."""
        self.next_ms = after_ms + self.rules.length_ms
        self._traded_ms = after_ms
        self.last_close = last_close
        self._seen = {ms: seen for ms, seen in self._seen.items() if ms > after_ms}
        self._row, self._asked_ms, self._in_flight = None, 0, None
        self._kept.clear()

    def take(self) -> list[Final]:
        """Return what became final since the last call."""
        finals, self._finals = self._finals, []
        return finals

    def see(self, bar: Bar, published_us: int, now_ms: int) -> None:
        """Take one state of a candle."""
        is_derived = not bar.open_ms
        if is_derived:
            bar = bar._replace(open_ms=self._derive_open_ms(bar, published_us))
        if bar.open_ms < self.next_ms:
            self._see_late(bar, now_ms)
            return
        if bar.open_ms > now_ms + MAX_FUTURE_MS:
            self.counts["future"] += 1
            return
        seen = self._seen.get(bar.open_ms)
        if seen is None:
            traded_ms = now_ms if bar.has_traded else None
            self._seen[bar.open_ms] = _Seen(bar, published_us, is_derived, traded_ms)
            if len(self._seen) > KEPT_SEEN:
                del self._seen[min(self._seen)]
        elif not published_us or published_us > seen.published_us:
            seen.bar, seen.published_us = bar, published_us
            if seen.traded_ms is None and bar.has_traded:
                seen.traded_ms = now_ms
        else:
            self.counts["duplicate" if bar == seen.bar else "out_of_order"] += 1

    def _derive_open_ms(self, bar: Bar, published_us: int) -> int:
        """
        Return the candle that a frame without one belongs to.

        The last frame of a candle may be stamped after its end: one that continues the candle before and contradicts
        the one that its stamp names belongs to the former. A candle that has not traded is continued by anything, so
        it claims nothing; but a frame that repeats the last candle that has traded, minutes without a trade ago, is
        that candle's last one, held up until something else was sent.
        """
        length_ms = self.rules.length_ms
        open_ms = published_us // 1000 // length_ms * length_ms
        current = self._seen.get(open_ms)
        if current is not None and current.bar.has_traded and current.bar.may_become(bar):
            return open_ms
        before = self._seen.get(open_ms - length_ms)
        if before is not None and before.bar.has_traded:
            return open_ms - length_ms if before.bar.may_become(bar) else open_ms
        traded = [ms for ms, final in self._kept.items() if ms < open_ms and final.bar.has_traded]
        if not traded or any(
            traded[-1] < ms < open_ms and seen.bar.has_traded for ms, seen in self._seen.items()
        ):
            return open_ms
        return traded[-1] if self._kept[traded[-1]].bar.equals(bar) else open_ms

    def _see_late(self, bar: Bar, now_ms: int) -> None:
        """Take a state of a candle that is final: it changes nothing, and is news only if it knows more."""
        self.counts["late"] += 1
        final = self._kept.get(bar.open_ms)
        if final is not None and not final.is_confirmed and bar.volume > final.bar.volume:
            self._correct(final, bar, now_ms, "stream")

    def fail(self, request: Request) -> None:
        """Take note that a request has no answer."""
        if request is self._in_flight:
            self._in_flight = None

    def answer(
        self, request: Request, bars: list[Bar], now_ms: int, left_ms: int | None = None
    ) -> None:
        """Take the history's candles, asked for at `left_ms` if that was later; make final what they prove."""
        if request is self._in_flight:
            self._in_flight = None
        if left_ms is not None and left_ms > request.asked_ms:
            queued_ms = left_ms - request.asked_ms
            request = request._replace(asked_ms=left_ms, queued_ms=queued_ms)
            self._asked_ms = max(self._asked_ms, left_ms)
        rows = {bar.open_ms: bar for bar in bars if bar.open_ms <= now_ms}
        traded_ms = max((ms for ms, bar in rows.items() if bar.has_traded), default=-1)
        self._compare_finals(rows, traded_ms, now_ms)
        while request.first_ms <= self.next_ms <= request.last_ms:
            if not self._settle(request, rows.get(self.next_ms), traded_ms, now_ms):
                break
        if request.last_ms < self.next_ms:
            self._asked_ms = min(self._asked_ms, self.next_ms)  # the rest has not been asked for

    def _settle(self, request: Request, row: Bar | None, traded_ms: int, now_ms: int) -> bool:
        """Make the next candle final if an answer says enough; return whether it did."""
        age_ms = request.asked_ms - self._end_ms
        if age_ms < 0:
            return False  # it was still forming
        self._row = row
        if row is not None:
            self._forget_echo(row)
        seen = self._seen.get(self.next_ms)
        bar = seen.bar if seen is not None else None
        is_past = traded_ms > self.next_ms
        is_behind = not is_past and self._is_behind(request.asked_ms)
        is_same = bar is not None and row is not None and bar.equals(row)
        is_late = age_ms >= self.rules.grace_ms
        is_last = self._is_last_look(request) and (is_same or not is_behind)
        is_sum = self.source == "trades"
        match judge(bar, row, is_past=is_past, is_last_look=is_last or is_late, is_sum=is_sum):
            case Verdict.HISTORY if row is not None:
                if bar is not None and bar.has_traded and not bar.may_become(row):
                    self._tell(NoticeKind.CONFLICT, now_ms, bar.volume - row.volume)
                is_ours = is_same or self.source == "poll"
                self._finish(row, self.source if is_ours else "backfill", is_confirmed=True)
            case Verdict.CONFLICT if bar is not None and row is not None:
                self._tell(NoticeKind.CONFLICT, now_ms, bar.volume - row.volume)
                self._finish(row, "backfill", is_confirmed=True)
            case Verdict.STREAM if bar is not None:
                if row is not None:
                    self._tell(NoticeKind.CONFLICT, now_ms, bar.volume - row.volume, "stream kept")
                self._tell(NoticeKind.UNCONFIRMED, now_ms)
                self._finish(bar, self.source, is_confirmed=False)
            case _ if is_late and row is None:
                self._finish_absent(now_ms)
            case _:
                return False
        return True

    def _is_last_look(self, request: Request) -> bool:
        """Return whether no later question could leave before the deadline: one would wait as long as this one did."""
        age_ms, looks_ms = request.asked_ms - self._end_ms, self.rules.looks_ms
        next_ms = next((ms for ms in looks_ms if ms > age_ms), None)
        return next_ms is None or (
            request.queued_ms > 0 and next_ms + request.queued_ms >= self.rules.deadline_ms
        )

    def _is_behind(self, asked_ms: int) -> bool:
        """Return whether the stream had shown later trades, well before an answer that does not have them."""
        return any(
            seen.traded_ms is not None and seen.traded_ms + LAG_MS <= asked_ms
            for open_ms, seen in self._seen.items()
            if open_ms > self.next_ms
        )

    def _forget_echo(self, row: Bar) -> None:
        """Drop the first frame after a candle when it was that candle's late last one, as the history shows now."""
        after_ms = row.open_ms + self.rules.length_ms
        seen = self._seen.get(after_ms)
        if seen is not None and seen.is_derived and seen.bar.equals(row):
            del self._seen[after_ms]

    def _compare_finals(self, rows: dict[int, Bar], traded_ms: int, now_ms: int) -> None:
        """Tell what the history has changed since it was emitted; padding and what it still lacks is no change."""
        for open_ms, final in self._kept.items():
            row = rows.get(open_ms)
            if row is None or open_ms >= traded_ms:
                continue
            if row.equals(final.bar):
                self._kept[open_ms] = final._replace(is_confirmed=True)
            elif row.has_traded:
                self._correct(final, row, now_ms, "history")

    def _correct(self, final: Final, bar: Bar, now_ms: int, detail: str) -> None:
        change = bar.volume - final.bar.volume
        self.notices.append(
            Notice(NoticeKind.CORRECTION, now_ms, self.symbol, final.bar.open_ms, change, detail)
        )
        self._kept[final.bar.open_ms] = final._replace(bar=bar, is_confirmed=True)

    def advance(self, now_ms: int) -> Request | None:
        """Emit what is due without the history; return what to ask it."""
        if not self.next_ms:
            return None
        while self._emit_due(now_ms):
            pass
        if self._in_flight is not None or now_ms < self._ask_at_ms:
            return None
        self._tell_gap(now_ms)
        self._asked_ms = now_ms
        self._in_flight = self._make_request(now_ms)
        return self._in_flight

    def next_deadline_ms(self) -> int | None:
        """Return when `advance` has something to do, None when that depends on an answer only."""
        if not self.next_ms:
            return None
        times = [] if self._in_flight is not None else [self._ask_at_ms]
        if (due_ms := self._due_ms()) is not None:
            times.append(due_ms)
        return min(times, default=None)

    def _tell_gap(self, now_ms: int) -> None:
        """Tell once when more than the newest closed candle is asked for."""
        n_missing = (now_ms - self.next_ms) // self.rules.length_ms
        if n_missing > 1 and self._gap_end_ms <= self.next_ms:
            self._gap_end_ms = self.next_ms + n_missing * self.rules.length_ms
            self._tell(NoticeKind.GAP, now_ms, n_missing)

    @property
    def _end_ms(self) -> int:
        """Return the end of the next candle."""
        return self.next_ms + self.rules.length_ms

    @property
    def _ask_at_ms(self) -> int:
        return self.rules.next_ask_ms(self._end_ms, self._asked_ms)

    def _make_request(self, now_ms: int) -> Request:
        length_ms = self.rules.length_ms
        first_ms = min(self.next_ms - length_ms, self._traded_ms, *self._kept)
        first_ms = max(first_ms, self.next_ms - REACH_BARS * length_ms, 0)
        last_ms = min(now_ms // length_ms * length_ms, first_ms + (REQUEST_BARS - 1) * length_ms)
        return Request(self.symbol, first_ms, last_ms, now_ms)

    def _provisional(self) -> tuple[Bar, str] | None:
        """Return the best that is known of the next candle, and where it is from."""
        seen, row = self._seen.get(self.next_ms), self._row
        if row is not None and row.has_traded and (seen is None or row.volume > seen.bar.volume):
            return row, "backfill"
        return (seen.bar, self.source) if seen is not None else None

    def _due_ms(self) -> int | None:
        """Return when the next candle is emitted without the history, None while that cannot be said."""
        if self.patient_since_ms is None:
            return None
        from_ms = max(self._end_ms, self.patient_since_ms)
        if self._provisional() is not None:
            return from_ms + max(self.rules.deadline_ms, self.rules.close_ms)
        # The history gets its last chance first.
        if self._in_flight is not None or self._asked_ms < self._end_ms + self.rules.grace_ms:
            return None
        return from_ms + self.rules.grace_ms

    def _emit_due(self, now_ms: int) -> bool:
        """Emit the next candle if its deadline or grace period is over; return whether it was."""
        due_ms = self._due_ms()
        if due_ms is None or now_ms < due_ms:
            return False
        provisional = self._provisional()
        if provisional is None and self._row is not None:
            provisional = self._row, "backfill"
        if provisional is None:
            self._finish_absent(now_ms)
        else:
            self._tell(NoticeKind.UNCONFIRMED, now_ms)
            self._finish(*provisional, is_confirmed=False)
        return True

    def _finish_absent(self, now_ms: int) -> None:
        """Declare the next candle absent: flat at the last close; nothing at all before there was a price."""
        known = self.last_close > 0.0
        self._tell(NoticeKind.ABSENT, now_ms, detail="" if known else "no price yet")
        if known:
            bar = Bar.flat(self.next_ms, self.last_close)
            self._finals.append(Final(self.symbol, bar, FLAG_ABSENT, "absent", False))
            self._keep(self._finals[-1])
        self._move_on()

    def _finish(self, bar: Bar, source: str, *, is_confirmed: bool) -> None:
        """Make the next candle final."""
        final = Final(self.symbol, bar, bar.flag_bits, source, is_confirmed)
        self._finals.append(final)
        self._keep(final)
        self.last_close = bar.close
        if bar.has_traded:
            self._traded_ms = bar.open_ms
        self._move_on()

    def _keep(self, final: Final) -> None:
        self._kept[final.bar.open_ms] = final
        if len(self._kept) > KEPT_FINALS:
            del self._kept[next(iter(self._kept))]

    def _move_on(self) -> None:
        self._seen.pop(self.next_ms, None)
        self._row = None
        self.next_ms += self.rules.length_ms

    def _tell(self, kind: NoticeKind, now_ms: int, value: float = 0.0, detail: str = "") -> None:
        self.notices.append(Notice(kind, now_ms, self.symbol, self.next_ms, value, detail))
