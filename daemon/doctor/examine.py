"""A whole examination of one venue: REST and sockets at once, then everything is judged."""

import asyncio
from typing import Final

from papertape.daemon.doctor.exam import Exam, OnProgress
from papertape.daemon.doctor.finding import LONG_ROWS, NEVER_RUN, Finding, FindingStatus, finding, not_run
from papertape.daemon.doctor.fixtures import Fixtures
from papertape.daemon.doctor.listen import PING, Heard, listen, subscription
from papertape.daemon.doctor.rest import RestExam, clock_finding
from papertape.daemon.doctor.settlement import judge_lifetime, judge_settlement, settlement_in
from papertape.daemon.doctor.streams import (
    judge_final_frames,
    judge_heartbeats,
    judge_no_trade,
    judge_parsing,
    judge_publishing,
    judge_start_stamps,
)
from papertape.daemon.feeds.delta.messages import CandleFrame, NoTrade, Refusal, parse
from papertape.engine.candles import MINUTE_MS
from papertape.engine.jit import Rows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_http import SeenHeaders
from papertape.replay.sources.delta_parse import number
from papertape.replay.sources.delta_rest import DeltaRest
from papertape.replay.sources.errors import RestError, RestUnavailable

LEGACY_S: Final = 75.0
GLOBAL_S: Final = 10.0
SETTLE_S: Final = 10.0  # the history may trail the stream
RESOLUTIONS: Final = ("5m", "15m", "1h", "1d")
VENUE_ROWS: Final = ("1", "2", "3", "4", "5", "6", "7", "8", "10", "13", "14")


async def examine_venue(
    exam: Exam, clock: Clock, fixtures: Fixtures, on_progress: OnProgress = lambda name, done, total: None
) -> list[Finding]:
    """Return what is found about a venue, in the order of the reference's rows."""
    url = exam.profile.rest_url
    check, expected = "the venue's REST interface", "answers"
    exam_of_rest: list[RestExam] = []

    def see(seen: SeenHeaders) -> None:
        fixtures.answer(seen)
        for asker in exam_of_rest:
            asker.see(seen)

    async with DeltaRest(url, clock, retries=1, on_seen=see) as rest:
        try:
            product = await rest.product(exam.symbol)
        except RestError as error:
            is_away = isinstance(error, RestUnavailable) and not exam.is_required
            status = FindingStatus.NOT_RUN if is_away else FindingStatus.FAILED
            why = "no connection to the venue" if is_away else "the venue did not answer"
            rows = sorted((*VENUE_ROWS, *LONG_ROWS), key=int)
            return [Finding("venue", check, expected, str(error), status), *not_run(rows, why)]
        told = f"{url}; {exam.symbol}: {product.state}, {product.trading_status}"
        found = [Finding("venue", check, expected, told, FindingStatus.OK)]
        exam_of_rest.append(RestExam(rest, clock, exam.symbol))
        found += await _Examination(exam, clock, fixtures, rest, exam_of_rest[0], on_progress).run()
        return found


class _Examination:
    """One venue that answers."""

    def __init__(
        self,
        exam: Exam,
        clock: Clock,
        fixtures: Fixtures,
        rest: DeltaRest,
        asker: RestExam,
        on_progress: OnProgress,
    ) -> None:
        self._exam = exam
        self._clock = clock
        self._fixtures = fixtures
        self._rest = rest
        self._asker = asker
        self._on_progress = on_progress

    async def run(self) -> list[Finding]:
        """Return every finding."""
        thin = self._exam.thin or await self._thinnest()
        async with asyncio.TaskGroup() as tasks:
            heard = tasks.create_task(self._listen(thin))
            legacy = tasks.create_task(self._legacy())
            other = tasks.create_task(self._global())
            lag = tasks.create_task(self._asker.lag(self._exam.minutes * 60.0))
            asked = [await self._asker.products(), await self._asker.weeks(), await self._asker.trades()]
            asked.insert(0, await self._asker.candles(await lag))
        streams = await self._judge(heard.result(), thin)
        short, long = streams[:6], streams[6:]
        rows = [*short[1:], legacy.result(), *asked, other.result(), *long]
        rows += [finding(row, FindingStatus.NOT_RUN, why) for row, why in NEVER_RUN.items()]
        clock = clock_finding(self._rest.clock_offset_ms)
        return [clock, short[0], *sorted(rows, key=lambda found: int(found.row))]

    async def _thinnest(self) -> str:
        """Return the live contract with the least turnover, "" when that is not told."""
        parameters = {"contract_types": "perpetual_futures"}
        try:
            body = (await self._rest.get("/v2/tickers", parameters)).body
        except RestError:
            return ""
        tickers = body.get("result") if isinstance(body, dict) else None
        turnovers = {
            str(ticker.get("symbol")): number(ticker.get("turnover_usd"))
            for ticker in (tickers if isinstance(tickers, list) else [])
            if isinstance(ticker, dict)
        }
        turnovers.pop(self._exam.symbol, None)
        known = {symbol: turnover for symbol, turnover in turnovers.items() if turnover >= 0.0}
        return min(known, key=lambda symbol: known[symbol], default="")

    async def _listen(self, thin: str) -> Heard:
        symbol = self._exam.symbol
        minute_symbols = [symbol, f"MARK:{symbol}", *([thin] if thin else [])]
        channels = {"candlestick_1m": minute_symbols, "funding_rate": [symbol]}
        channels |= {f"candlestick_{name}": [symbol] for name in RESOLUTIONS}
        seconds = self._exam.minutes * 60.0
        began_ms = self._clock.now_ms()

        def on_frame(time_ms: int, text: str) -> None:
            self._fixtures.frame("compact", time_ms, text)
            self._on_progress("listening", (time_ms - began_ms) // 1000, int(seconds))

        return await listen(
            self._exam.profile.compact_url, [subscription(channels)], seconds, self._clock, on_frame=on_frame
        )

    async def _legacy(self) -> Finding:
        """Row 6."""
        url = self._exam.profile.legacy_url
        if not url:
            return finding("6", FindingStatus.NOT_RUN, "no legacy address was given")
        heard = await listen(
            url,
            [subscription({"candlestick_1m": [self._exam.symbol]})],
            LEGACY_S,
            self._clock,
            on_frame=lambda time_ms, text: self._fixtures.frame("legacy", time_ms, text),
            enough=lambda text: isinstance(parse(text), CandleFrame | NoTrade | Refusal),
        )
        last = parse(heard.frames[-1].text) if heard.frames else None
        if isinstance(last, CandleFrame | NoTrade):
            is_long = '"candle_start_time"' in heard.frames[-1].text
            told = f"still serves candles, {'long' if is_long else 'short'} keys"
            return finding("6", FindingStatus.DIFFERS, told)
        why = last.message if isinstance(last, Refusal) else heard.ended or "no candle came"
        return finding("6", FindingStatus.OK, f"no: {why}")

    async def _global(self) -> Finding:
        """Row 14."""
        if not self._exam.global_url:
            return finding("14", FindingStatus.NOT_RUN, "another venue than Delta's own was given")
        heard = await listen(self._exam.global_url, [PING], GLOBAL_S, self._clock, enough=lambda text: True)
        if heard.frames:
            return finding("14", FindingStatus.OK, f"{self._exam.global_url} answers")
        return finding("14", FindingStatus.DIFFERS, f"{self._exam.global_url}: {heard.ended or 'silent'}")

    async def _judge(self, heard: Heard, thin: str) -> list[Finding]:
        """Return the row about parsing, rows 1 to 5, and the long ones."""
        symbol = self._exam.symbol
        found = [judge_parsing(heard)]
        await self._clock.sleep(min(SETTLE_S, self._exam.minutes * 60.0))
        try:
            history = await self._minutes(heard, symbol)
            quiet = (
                judge_no_trade(heard, thin, await self._minutes(heard, thin))
                if thin
                else finding("3", FindingStatus.NOT_RUN, "no thin market is known; give --thin")
            )
            final = judge_final_frames(heard, symbol, history)
        except RestError as error:
            quiet = finding("3", FindingStatus.NOT_RUN, str(error))
            final = finding("2", FindingStatus.FAILED, str(error))
        found += [judge_start_stamps(heard), final, quiet]
        found += [judge_publishing(heard, symbol), judge_heartbeats(heard)]
        if not self._exam.is_long:
            return [*found, *not_run(LONG_ROWS, "only with --long")]
        return [*found, await self._settlement(heard), judge_lifetime(heard)]

    async def _minutes(self, heard: Heard, symbol: str) -> Rows:
        """Return the history of what was heard, volume in contracts."""
        first_ms = heard.opened_ms - MINUTE_MS
        return await self._rest.candles(symbol, "1m", first_ms, heard.ended_ms)

    async def _settlement(self, heard: Heard) -> Finding:
        time_ms = settlement_in(heard, self._exam.symbol)
        try:
            charged = (
                await self._rest.funding(self._exam.symbol, time_ms, time_ms, interval_s=3600)
                if time_ms is not None
                else []
            )
        except RestError as error:
            return finding("11", FindingStatus.NOT_RUN, str(error))
        return judge_settlement(heard, self._exam.symbol, charged)
