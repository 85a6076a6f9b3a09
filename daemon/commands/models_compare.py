"""`papertape models compare`: two versions of a store on candles that neither has learnt from."""

from typing import Annotated

import typer

from papertape.daemon.commands.learning_tables import scores_table
from papertape.daemon.commands.options import AsJson, Changes, ModelFolder, with_tapes
from papertape.daemon.commands.output import console, print_json
from papertape.daemon.learning.model_store import ModelStore
from papertape.engine.errors import DataError
from papertape.engine.model import read_artefact
from papertape.replay.backtesting.run import load_tapes, make_spec
from papertape.replay.config import load_config
from papertape.replay.learning.comparison import compare_models, settings_for
from papertape.replay.learning.learning_pass import rows_of
from papertape.replay.learning.settings import settings_of
from papertape.replay.tapes.timestamps import utc_text


def compare_command(
    first: Annotated[int, typer.Argument(help="a version in the store", min=1)],
    second: Annotated[int, typer.Argument(help="another one", min=1)],
    tape: Annotated[
        list[str] | None, typer.Option(help="a name or a file, repeatable; default: the sample")
    ] = None,
    changes: Changes = None,
    store: ModelFolder = None,
    as_json: AsJson = False,
) -> None:
    """
    Compare two models on the rows after the newest that either has learnt from.

    Example: papertape models compare 3 4 --tape BTCUSDT
    """
    models = ModelStore(store)
    artefacts = [read_artefact(models.read(version)) for version in (first, second)]
    frames = {model.record.timeframe for model in artefacts}
    if len(frames) != 1:
        raise DataError(
            f"compare: the models read different timeframes: {', '.join(sorted(frames))}"
        )
    config = load_config(None, [f'data.timeframe="{frames.pop()}"', *(changes or ())])
    config = with_tapes(config, tape)
    tapes = sorted(load_tapes(config), key=lambda one: one.symbol)
    spec = make_spec(config, tapes)
    features = tuple(dict.fromkeys(n for model in artefacts for n in model.record.features))
    signals = config.signals.model_copy(update={"model_features": features})
    config = config.model_copy(update={"signals": signals})
    settings = settings_for(artefacts[0], settings_of(config, spec))
    found = compare_models(
        artefacts[0], artefacts[1], rows_of(config, spec, tapes, settings), settings
    )
    if as_json:
        values = {**found._asdict(), "difference": found.difference._asdict()}
        print_json({**values, "versions": [first, second]})
        return
    names = (f"model {first}", f"model {second}", "share of rises")
    span = f"{utc_text(found.start_ms)} … {utc_text(found.end_ms)}"
    console.print(
        scores_table(f"{span}, seen by neither", dict(zip(names, found.scores, strict=True)))
    )
    better = found.difference
    sure = "" if better.lower <= 0.0 <= better.upper else ", surely"
    winner = first if better.value > 0.0 else second
    console.print(
        f"log-loss of model {winner} is lower by {abs(better.value):.4f}{sure} (second minus first, in 90 %: "
        f"{better.lower:+.4f} … {better.upper:+.4f})",
        markup=False,
        soft_wrap=True,
    )
