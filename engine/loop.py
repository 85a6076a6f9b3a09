"""The run loop: the only asynchronous code of the engine."""

from collections.abc import Sequence

from papertape.engine.core import Engine
from papertape.engine.events import Feed
from papertape.engine.report import Sink


async def run(engine: Engine, feed: Feed, sinks: Sequence[Sink] = ()) -> None:
    """Step the engine through a feed until it ends; every sink sees every report, in order."""
    async for event in feed:
        report = engine.step(event)
        for sink in sinks:
            sink(report)
