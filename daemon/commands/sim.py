"""`papertape sim`: the local exchange alone, for a client under development or a look at the protocol."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Annotated

import typer

from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.runtime.tape_time import moved
from papertape.engine.errors import ConfigError
from papertape.replay.backtesting.run import load_tapes
from papertape.replay.backtesting.spans import streamed_sentences
from papertape.replay.config import Config, Data
from papertape.replay.exchange import FAULT_KINDS, Faults, Switches, Venue
from papertape.replay.runtime.clock import Clock, WallClock
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.timestamps import utc_text

_REPORT_EVERY_S = 0.5
_HISTORY = 1000


def sim_command(
    tape: Annotated[
        list[str] | None,
        typer.Option(help="a name in the store or a file, repeatable; none: the embedded sample"),
    ] = None,
    speed: Annotated[float, typer.Option(help="venue seconds per second")] = 1.0,
    faults: Annotated[int | None, typer.Option(help="seed of what goes wrong; none: nothing")] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="one more by name, kind[@seconds][:symbol][=amount], repeatable, such as delisting@0:BTCUSDT; "
            f"kinds: {', '.join(FAULT_KINDS)}"
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="REST and websocket; 0: any")] = 0,
    legacy_port: Annotated[int, typer.Option(min=0, max=65_535, help="the legacy websocket; 0: any")] = 0,
    history: Annotated[
        int | None, typer.Option(min=0, help="candles in the past; default: 1,000, at most half the tape")
    ] = None,
    candles: Annotated[
        int | None, typer.Option(min=1, help="to stream; default: the whole rest of the tape")
    ] = None,
    switches: Annotated[
        list[str] | None,
        typer.Option(
            "--switch",
            help="name=value of an open question, such as no_trade=flat; names: "
            f"{', '.join(field.name for field in fields(Switches))}",
        ),
    ] = None,
    is_now: Annotated[
        bool, typer.Option("--now", help="move the tape's dates so that it goes on now")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the URLs as JSON")] = False,
) -> None:
    """
    Stream tapes as if they were live: a local exchange with Delta's REST and websocket, on loopback only.

    It ends with the tape. Faults can also be sent to POST /_fake/fault while it runs.

    Example: papertape sim --speed 3600 --faults 7
    """
    if not 0.0 < speed <= 1e6:
        raise ConfigError(f"--speed {speed:g}: it must be above 0 and at most 1,000,000")
    if is_now and speed != 1.0:
        raise ConfigError("--now follows the wall clock: leave --speed out")
    settings = Switches.parse(switches or ())
    tapes = load_tapes(Config(data=Data(tapes=tuple(tape or ()))))
    start_ms, tapes = _placed(tapes, history, candles, is_now)
    planned = _planned(tapes, start_ms, faults) | Faults.named(fault or (), start_ms)

    def make_venue() -> Venue:
        clock = WallClock() if is_now else Clock(start_ms, speed)
        return Venue(tapes, clock, switches=settings, faults=planned, start_ms=start_ms)

    asyncio.run(_serve(make_venue, tapes, start_ms, planned, (port, legacy_port), as_json))


async def _serve(
    make_venue: Callable[[], Venue],
    tapes: Sequence[Tape],
    start_ms: int,
    planned: Faults,
    ports: tuple[int, int],
    as_json: bool,
) -> None:
    """Run an exchange until its tapes end or it is interrupted."""
    venue, end_ms = make_venue(), _end_ms(tapes)
    await venue.start(port=ports[0], legacy_port=ports[1])
    try:
        _announce(venue, tapes, planned, streamed_sentences(tapes, start_ms), as_json)
        is_over = await _follow(venue, start_ms, end_ms)
        ended = f"the tape is over: {utc_text(end_ms)}"
        ended = ended if is_over else f"stopped at {utc_text(venue.clock.now_ms())}"
    finally:
        await venue.stop()
    if not as_json:
        console.print(f"{ended}; {venue.n_frames:,} frames sent", markup=False)


def _placed(
    tapes: Sequence[Tape], history: int | None, candles: int | None, is_now: bool
) -> tuple[int, list[Tape]]:
    """Return when the stream starts and the tapes, cut and moved as asked."""
    first = tapes[0]
    if history is None:
        history = min(_HISTORY, len(first.candles) // 2)
    if history >= len(first.candles):
        raise ConfigError(f"--history {history}: {first.name} has {len(first.candles):,} candles; give fewer")
    start_ms = int(first.candles["open_ms"][history])
    if candles is not None:
        last_ms = start_ms + (candles - 1) * first.length_ms
        tapes = [tape.between(None, last_ms) for tape in tapes]
    if not is_now:
        return start_ms, list(tapes)
    longest_ms = max(tape.length_ms for tape in tapes)
    moved_ms = (time.time_ns() // 1_000_000 - start_ms) // longest_ms * longest_ms
    return start_ms + moved_ms, [moved(tape, moved_ms) for tape in tapes]


def _planned(tapes: Sequence[Tape], start_ms: int, seed: int | None) -> Faults:
    if seed is None:
        return Faults.none()
    symbols = [tape.symbol for tape in tapes]
    return Faults.seeded(seed, start_ms, _end_ms(tapes), symbols=symbols)


def _end_ms(tapes: Sequence[Tape]) -> int:
    return max(int(tape.candles["open_ms"][-1]) + tape.length_ms for tape in tapes)


async def _follow(venue: Venue, start_ms: int, end_ms: int) -> bool:
    """Show the progress of the stream until its end or an interrupt; return whether it came to its end."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with progress_bars() as on_progress:
        over, stopped = asyncio.create_task(venue.finished()), asyncio.create_task(stop.wait())
        while not (over.done() or stopped.done()):
            await asyncio.wait({over, stopped}, timeout=_REPORT_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            done_s = (min(venue.clock.now_ms(), end_ms) - start_ms) // 1000
            on_progress("streamed, in seconds", done_s, (end_ms - start_ms) // 1000)
        if over.done():
            over.result()
        is_over = over.done()
        over.cancel()
        stopped.cancel()
        await asyncio.wait({over, stopped})
        return is_over


def _announce(
    venue: Venue, tapes: Sequence[Tape], faults: Faults, spans: Sequence[str], as_json: bool
) -> None:
    symbols, end_ms = [tape.symbol for tape in tapes], _end_ms(tapes)
    urls = {"rest_url": venue.rest_url, "compact_url": venue.compact_url, "legacy_url": venue.legacy_url}
    if as_json:
        planned = [fault._asdict() for fault in faults]
        told = {"symbols": symbols, "end_ms": end_ms, "spans": list(spans), "faults": planned}
        print_json({**urls, **told})
        return
    for name, url in urls.items():
        say(f"{name:12} {url}")
    say(f"{', '.join(symbols)} until {utc_text(end_ms)}")
    for line in spans:
        say(f"! {line}")
    for fault in faults:
        text = f"{utc_text(fault.time_ms)} {fault.kind} {fault.duration_ms / 1000:g} s"
        say(f"fault {text} {fault.symbol}".rstrip())
