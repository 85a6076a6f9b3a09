"""Models given to a replay in place of those it would train: when each takes over, and what its report says of them."""

from collections.abc import Mapping, Sequence

from papertape.engine.errors import ConfigError, DataError
from papertape.engine.model import read_artefact
from papertape.engine.model.artefact import with_version
from papertape.replay.config import Config
from papertape.replay.tapes.quality import counted
from papertape.replay.tapes.tape import Tape
from papertape.replay.tapes.timestamps import utc_text


def takeover_schedule(
    models: Mapping[str, bytes], config: Config, tapes: Sequence[Tape]
) -> list[tuple[int, bytes]]:
    """
    Return (close in ms, artefact) of each model: it takes over at the first close after its training data.

    models  artefacts by the names that messages use

    Raises DataError if a model was trained on all of the candles that are traded, ConfigError if two would take over together.
    """
    if not models:
        return []
    only_read = {symbol for symbol, market in config.markets.items() if market.read_only}
    traded = [tape for tape in tapes if tape.symbol not in only_read]
    cuts = [tape.between(config.data.start, config.data.end) for tape in traded or tapes]
    first_ms = min(int(cut.candles["open_ms"][0]) for cut in cuts)
    last_ms = max(int(cut.candles["open_ms"][-1]) + cut.length_ms for cut in cuts)
    taken: dict[int, tuple[str, bytes]] = {}
    for name, data in models.items():
        end_ms = read_artefact(data).record.end_ms
        if end_ms >= last_ms:
            raise DataError(
                f"{name} has learnt from candles up to {utc_text(end_ms)}, and these end at {utc_text(last_ms)}: nothing is "
                "left to replay it on; give later candles or an earlier model"
            )
        other, known = taken.setdefault(max(end_ms, first_ms), (name, data))
        if other != name:
            ends = {other: read_artefact(known).record.end_ms, name: end_ms}
            raise ConfigError(
                f"{other} and {name} would both take over at {utc_text(max(end_ms, first_ms))}; {_way_out(ends)}"
            )
    return [(at_ms, data) for at_ms, (_, data) in sorted(taken.items())]


def _way_out(ends: Mapping[str, int]) -> str:
    """Return what to do with two models that would take over together, by the newest candle that each has learnt from."""
    earlier = min(ends, key=lambda name: ends[name])
    if len(set(ends.values())) == 1:
        return "leave one of them out"
    return (
        f"leave {earlier} out, which has learnt from less, or begin with data.start before "
        f"{utc_text(max(ends.values()))}, up to when {earlier} would be in force"
    )


def given_sentences(models: Sequence[tuple[int, bytes]], *, is_asked: bool) -> list[str]:
    """
    Return the sentences of a report about models that a run was given.

    models  (close in ms at which it took over, artefact); is_asked: whether the strategy looks at what a model says
    """
    taken = [at_ms for at_ms, data in models if data]
    if not taken:
        return []
    said = f"{counted(len(taken), 'model')} given and not trained on the way, in force from {utc_text(min(taken))} on"
    if not is_asked:
        return [f"{said}: the strategy asks no model, so it changed nothing."]
    judged = sum(int(read_artefact(data).record.gate.get("rows", 0)) for _, data in models if data)
    known = (
        f"what judged it, {judged:,} rows after those it has learnt from, may be among these candles"
        if judged
        else "whether it was chosen by what these candles show is not known here"
    )
    return [f"{said}; {known}.", *_shared_versions([data for _, data in models if data])]


def _shared_versions(artefacts: Sequence[bytes]) -> list[str]:
    """Return a sentence for every version that different models have."""
    of_version: dict[int, set[bytes]] = {}
    for place, data in enumerate(artefacts, 1):
        version = read_artefact(data).record.version or place
        of_version.setdefault(version, set()).add(with_version(data, 0))  # one model in and outside its store
    return [
        f"{len(found)} different models are version {version} (of stores of their own, or of none): rows by version are of all "
        "of them."
        for version, found in of_version.items()
        if len(found) > 1
    ]
