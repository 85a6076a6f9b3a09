"""`papertape run`: the daemon."""

import asyncio
import importlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from papertape.daemon.app import serve
from papertape.daemon.chapters.opening import Opening, opening_of
from papertape.daemon.commands.options import Changes, ConfigFile, with_tapes
from papertape.daemon.commands.output import console, progress_bars, say
from papertape.daemon.journal.identity import Identity
from papertape.daemon.monitoring.observer import Operation
from papertape.daemon.notifications.account import AccountNotifications, hang_notifications
from papertape.daemon.notifications.addresses import VARIABLE, Addresses, load_addresses
from papertape.daemon.notifications.messenger import Messenger
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon, wall_ms
from papertape.daemon.runtime.recovery import Recovered
from papertape.daemon.runtime.tape_time import placed
from papertape.daemon.venues import SIM, live_identity, opener, sim_identity, unlike_tapes
from papertape.engine.broker.ledger import shown_decimals
from papertape.engine.errors import ConfigError
from papertape.replay.backtesting.spans import common_span_sentences
from papertape.replay.config import Config, load_config
from papertape.replay.config.spec import load_tapes
from papertape.replay.learning.feasible import learning_faults
from papertape.replay.runtime.loops import PacedLoop
from papertape.replay.tapes.quality import counted
from papertape.replay.tapes.store import Tape


def run_command(
    config: ConfigFile = None,
    venue: Annotated[
        str | None, typer.Option(help="in place of live.venue; sim: the local exchange, offline")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="in place of daemon.state")] = None,
    tape: Annotated[
        list[str] | None, typer.Option(help="what the local exchange streams, repeatable; none: the sample")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="of the local exchange's clock; in place of live.speed")
    ] = None,
    chapter: Annotated[
        str | None, typer.Option(help="go on with a configuration that decides otherwise, under this name")
    ] = None,
    chapter_positions: Annotated[
        Literal["keep", "close"] | None,
        typer.Option(help="what a chapter does with positions [default: keep]"),
    ] = None,
    changes: Changes = None,
) -> None:
    """
    Trade on paper until told to stop (SIGTERM finishes the candle, a second one ends at once).

    Everything is in the state directory; started again on it, the daemon goes on where it was, whatever ended it.

    Example: papertape run --venue sim --speed 36000 --state state/demo
    """
    opening = opening_of(chapter, chapter_positions)
    settings = _settings(config, venue, state, tape, speed, changes or [])
    tapes = _streamed(settings) if settings.live.venue == SIM else []
    if tapes:
        for line in unlike_tapes(settings.live, tapes):
            _warn(line)
        tapes, told = placed(settings, tapes, wall_ms())
        if told:
            _warn(told)
    base = tapes[0].timeframe if tapes else settings.live.timeframe
    for fault in learning_faults(settings, settings.data.timeframe or base):
        _warn(f"no model can ever trade so: {fault}")
    with progress_bars() as on_progress:
        daemon = _run(settings, tapes, Hooks(on_progress=on_progress, on_recovered=_tell), opening)
    status, decimals = daemon.status(), daemon.engine.spec.money_decimals
    places = shown_decimals(decimals, daemon.identity.config.account.quote)
    console.print(
        f"stopped after input {status['sequence']}: "
        f"{counted(int(daemon.engine.account[0].trades), 'trade')} opened, "
        f"equity {status['equity']:,.{places}f}, digest {status['digest'][:16]}",
        markup=False,
    )


def _settings(
    path: Path | None,
    venue: str | None,
    state: Path | None,
    tape: list[str] | None,
    speed: float | None,
    changes: list[str],
) -> Config:
    """Return the configuration with the command line's words applied to it."""
    given = {"live.venue": venue, "daemon.state": state, "live.speed": speed}
    words = [f"{key}={value}" for key, value in given.items() if value is not None]
    settings = load_config(path, [*changes, *words])
    if tape and settings.live.venue != SIM:
        raise ConfigError("--tape: only the local exchange streams tapes; add --venue sim")
    return with_tapes(settings, tape)


def _streamed(settings: Config) -> list[Tape]:
    """Return what the local exchange streams: the configured tapes within the configured span."""
    data, tapes = settings.data, load_tapes(settings)
    for line in common_span_sentences(data, tapes):
        _warn(line)
    if data.start is None and data.end is None:
        return tapes
    return [tape.between(data.start, data.end) for tape in tapes]


def _run(settings: Config, tapes: list[Tape], hooks: Hooks, chapter: Opening | None = None) -> RunningDaemon:
    """Run a daemon in a loop of the configured kind."""
    is_paced = bool(tapes) and settings.live.speed != 1.0

    async def work() -> RunningDaemon:
        identity = sim_identity(settings, tapes) if tapes else await live_identity(settings, _warn)
        told = load_addresses(settings.notifications.addresses_file, os.environ)
        secrets = told.secrets if told is not None else ()
        operation = Operation(settings, identity, is_paced=is_paced, secrets=secrets)
        open_feed = opener(identity, tapes)
        hung = _notifying(operation.hang_on(hooks), identity, told, operation)
        return await serve(identity, open_feed, hung, is_virtual=is_paced, has_jobs=True, chapter=chapter)

    make_loop = partial(PacedLoop, settings.live.speed) if is_paced else _loop_factory(settings)
    with asyncio.Runner(loop_factory=make_loop) as runner:
        daemon = runner.run(work())
        loop = runner.get_loop()
        if isinstance(loop, PacedLoop):
            console.print(
                f"speed: asked for {settings.live.speed:,.6g} times, got {loop.effective_speed:,.3g}",
                markup=False,
            )
        return daemon


def _notifying(hooks: Hooks, identity: Identity, told: Addresses | None, operation: Operation) -> Hooks:
    """Return the hooks with notifications added, where there are addresses to send them to."""
    settings = identity.config.notifications
    if told is None:
        if settings.rules:
            _warn(
                f"notifications.rules: there is no address to notify; put one into ${VARIABLE} or into notifications.addresses_file"
            )
        return hooks
    title = f"papertape {identity.venue}: {', '.join(identity.symbols)}"
    outcome = operation.metrics.on_notified
    messenger = Messenger(told.send, title, settings.group_s, settings.per_hour, outcome)
    return hang_notifications(hooks, AccountNotifications(settings, messenger))


def _loop_factory(settings: Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the configured event loop; None: asyncio's own."""
    if settings.daemon.loop == "asyncio":
        return None
    try:
        make_loop: Callable[[], asyncio.AbstractEventLoop]
        make_loop = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        raise ConfigError(
            "daemon.loop: uvloop is not installed; `pip install uvloop` or write asyncio"
        ) from None
    return make_loop


def _warn(trouble: str) -> None:
    """Say what is waited for, before there is a log."""
    say(f"! {trouble}")


def _tell(recovered: Recovered) -> None:
    """Say what recovery found."""
    for line in recovered.told:
        say(f"! {line}")
    if recovered.stepped and recovered.after_ms is not None:
        console.print(f"recovered: {recovered.stepped:,} inputs stepped again", markup=False)
