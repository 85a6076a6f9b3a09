"""`papertape sim`: the local exchange alone, for a client under development or a look at the protocol."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from daemon.commands.output import console, print_json, progress_bars
from engine.errors import ConfigError
from engine.jit import copy_rows
from replay.backtest import load_tapes
from replay.clock import Clock, WallClock
from replay.config import Config, Data
from replay.stamps import utc_text
from replay.tape import Tape
from replay.venue import Faults, Venue

_REPORT_EVERY_S = 0.5


def sim_command(
    tape: Annotated[
        list[str] | None,
        typer.Option(help="a name in the store or a file, repeatable; none: the embedded sample"),
    ] = None,
    speed: Annotated[float, typer.Option(help="venue seconds per second")] = 1.0,
    faults: Annotated[
        int | None, typer.Option(help="seed of what goes wrong; none: nothing")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="REST and websocket; 0: any")] = 0,
    legacy_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="the legacy websocket; 0: any")
    ] = 0,
    history: Annotated[int, typer.Option(min=0, help="candles that lie in the past")] = 1000,
    candles: Annotated[
        int | None, typer.Option(min=1, help="to stream; default: the whole rest of the tape")
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
    tapes = load_tapes(Config(data=Data(tapes=tuple(tape or ()))))
    start_ms, tapes = _placed(tapes, history, candles, is_now)
    asyncio.run(_serve(tapes, start_ms, speed, faults, (port, legacy_port), is_now, as_json))


def _placed(
    tapes: Sequence[Tape], history: int, candles: int | None, is_now: bool
) -> tuple[int, list[Tape]]:
    """Return when the stream starts and the tapes, cut and moved as asked."""
    first = tapes[0]
    if history >= len(first.candles):
        raise ConfigError(
            f"--history {history}: {first.name} has {len(first.candles):,} candles; give fewer"
        )
    start_ms = int(first.candles["open_ms"][history])
    if candles is not None:
        last_ms = start_ms + (candles - 1) * first.length_ms
        tapes = [tape.between(None, last_ms) for tape in tapes]
    if not is_now:
        return start_ms, list(tapes)
    longest_ms = max(tape.length_ms for tape in tapes)
    moved_ms = (time.time_ns() // 1_000_000 - start_ms) // longest_ms * longest_ms
    return start_ms + moved_ms, [_moved(tape, moved_ms) for tape in tapes]


def _moved(tape: Tape, by_ms: int) -> Tape:
    rows = copy_rows(tape.candles)
    rows["open_ms"] += by_ms
    return replace(tape, candles=rows, notes=(*tape.notes, f"dates moved by {by_ms} ms"))


async def _serve(
    tapes: Sequence[Tape],
    start_ms: int,
    speed: float,
    seed: int | None,
    ports: tuple[int, int],
    is_now: bool,
    as_json: bool,
) -> None:
    """Serve until the tapes are over."""
    clock = WallClock() if is_now else Clock(start_ms, speed)
    symbols = [tape.symbol for tape in tapes]
    end_ms = max(int(tape.candles["open_ms"][-1]) + tape.length_ms for tape in tapes)
    faults = (
        Faults.none() if seed is None else Faults.seeded(seed, start_ms, end_ms, symbols=symbols)
    )
    venue = Venue(tapes, clock, faults=faults, start_ms=start_ms)
    await venue.start(port=ports[0], legacy_port=ports[1])
    try:
        _announce(venue, symbols, faults, end_ms, as_json)
        with progress_bars() as on_progress:
            over = asyncio.create_task(venue.finished())
            while not over.done():
                await asyncio.wait({over}, timeout=_REPORT_EVERY_S)
                done_s = (min(clock.now_ms(), end_ms) - start_ms) // 1000
                on_progress("streamed, in seconds", done_s, (end_ms - start_ms) // 1000)
            over.result()
    finally:
        await venue.stop()
    if not as_json:
        console.print(f"the tape is over: {utc_text(end_ms)}; {venue.n_frames:,} frames sent")


def _announce(
    venue: Venue, symbols: Sequence[str], faults: Faults, end_ms: int, as_json: bool
) -> None:
    urls = {
        "rest_url": venue.rest_url,
        "compact_url": venue.compact_url,
        "legacy_url": venue.legacy_url,
    }
    if as_json:
        planned = [fault._asdict() for fault in faults]
        print_json({**urls, "symbols": list(symbols), "end_ms": end_ms, "faults": planned})
        return
    for name, url in urls.items():
        console.print(f"{name:12} {url}", markup=False, soft_wrap=True)
    console.print(f"{', '.join(symbols)} until {utc_text(end_ms)}", markup=False, soft_wrap=True)
    for fault in faults:
        text = f"{utc_text(fault.time_ms)} {fault.kind} {fault.duration_ms / 1000:g} s"
        console.print(f"fault {text} {fault.symbol}".rstrip(), markup=False, soft_wrap=True)
