"""A schedule of models: artefacts, each with the close at which it takes over, as events of a replay."""

from collections.abc import Sequence

from papertape.engine.errors import DataError
from papertape.engine.events import NewModel
from papertape.engine.model import read_artefact
from papertape.replay.tapes.timestamps import utc_text


def model_events(models: Sequence[tuple[int, bytes]]) -> list[tuple[int, NewModel]]:
    """
    Return a schedule of artefacts, each with the close at which it takes over, as events for a feed.

    A model outside a store is numbered by its place in the schedule.

    Raises DataError for a model that has seen candles which close after it takes over.
    """
    events = []
    for number, (effective_ms, data) in enumerate(models, start=1):
        record = read_artefact(data).record
        if record.end_ms > effective_ms:
            raise DataError(
                f"model {record.version or number}: it has seen candles up to {utc_text(record.end_ms)} and cannot take over "
                f"at {utc_text(effective_ms)}; train it on earlier ones"
            )
        events.append((effective_ms, NewModel(record.version or number, data)))
    return events


def model_features(models: Sequence[tuple[int, bytes]]) -> tuple[str, ...]:
    """Return every feature that these models read, each once."""
    records = [read_artefact(data).record for _, data in models]
    return tuple(dict.fromkeys(name for record in records for name in record.features))
