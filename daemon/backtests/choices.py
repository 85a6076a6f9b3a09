"""What a backtest may be made of here: strategies with what they declare, tapes, and the daemon's own configuration to begin with."""

from typing import Any, Final, get_args

from papertape.daemon.backtests.answers import BacktestChoices, ParameterChoice, StrategyChoice, TapeChoice
from papertape.daemon.backtests.request import SET_ASIDE
from papertape.engine.strategies import STRATEGIES, class_of, declared_parameters
from papertape.replay.config import Config, Timeframe
from papertape.replay.config.limits import Account
from papertape.replay.importers.named import sample_about
from papertape.replay.tapes.store import Store, TapeEntry
from papertape.replay.tapes.tape import tape_name

_MOST_TAPES: Final = 200
_CHARACTERS: Final = 200  # of a problem


def choices_of(own: Config) -> BacktestChoices:
    """
    Return what may be asked for; reads the heads of the tapes in the daemon's store.

    own  the daemon's configuration
    """
    entries = Store(own.data.store).entries()
    fields = Account.model_fields
    return BacktestChoices(
        strategies=tuple(_strategies(own)),
        tapes=(*map(_tape, entries[:_MOST_TAPES]), *_sample(entries)),
        more_tapes=max(0, len(entries) - _MOST_TAPES),
        timeframes=get_args(Timeframe),
        sizings=get_args(fields["sizing"].annotation),
        own=own.model_dump(mode="json", exclude_defaults=True, exclude=set(SET_ASIDE)),
    )


def _strategies(own: Config) -> list[StrategyChoice]:
    """Return the strategies; of code that the daemon does not run itself nothing is imported, so nothing of it is known."""
    names = dict.fromkeys([*STRATEGIES, own.strategy.name, *own.backtests.strategies])
    runs = {*STRATEGIES, own.strategy.name}
    return [
        StrategyChoice(
            name=name,
            is_own=name == own.strategy.name,
            is_declared=name in runs,
            parameters=tuple(
                ParameterChoice(**_plain(one.to_json()), range=one.range)
                for one in (declared_parameters(class_of(name)).values() if name in runs else ())
            ),
        )
        for name in names
    ]


def _plain(declared: dict[str, Any]) -> dict[str, Any]:
    return {**declared, "choices": tuple(declared["choices"])}


def _tape(entry: TapeEntry) -> TapeChoice:
    about = entry.about
    return TapeChoice(
        name=entry.name,
        symbol=str(about.get("symbol", "")),
        timeframe=str(about.get("timeframe", "")),
        first_ms=about.get("first_ms"),
        last_ms=about.get("last_ms"),
        candles=about.get("rows"),
        problem=(entry.problem or "")[:_CHARACTERS],
    )


def _sample(entries: list[TapeEntry]) -> list[TapeChoice]:
    """Return the embedded sample, where the store has no tape that answers to its name."""
    about = sample_about()
    name = tape_name(**about)
    if any(entry.answers_to(name) for entry in entries):
        return []
    return [TapeChoice(name=name, symbol=about["symbol"], timeframe=about["timeframe"], is_sample=True)]
