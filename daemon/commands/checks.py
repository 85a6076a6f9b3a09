"""`papertape verify` and `papertape prove`: checks that can fail."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from papertape.daemon.commands.options import AsJson, ResultOrState, TrustCode
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.journal import NAME as JOURNAL
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError
from papertape.engine.features import FEATURES
from papertape.engine.spec import EngineSpec
from papertape.engine.strategies import STRATEGIES
from papertape.replay.backtesting.run import load_tapes, make_spec
from papertape.replay.backtesting.verify import read_summary, verify
from papertape.replay.config import load_config, make_config
from papertape.replay.research.feature_subjects import feature_subject
from papertape.replay.research.lookahead import LIMITS, Proof, prove
from papertape.replay.research.subjects import Foreign, Subject, Tapes, strategy_subject, together
from papertape.replay.research.trials.recording import standing_faults

_FAILED = 1


def verify_command(result: ResultOrState, trust_code: TrustCode = False, as_json: AsJson = False) -> None:
    """
    Run a result or a daemon's inputs again and compare; name the first record and field that differ.

    A result with a strategy of somebody's own is refused until you say --trust-code: running it again runs that code.

    Example: papertape verify results/latest
    """
    if (result / JOURNAL).is_file():
        _verify_state(result, as_json, trust_code)
        return
    with progress_bars() as on_progress:
        verdict = verify(result, on_progress=on_progress, trust_code=trust_code)
    faults, note = standing_faults(read_summary(result))
    verdict = verdict._replace(differences=(*verdict.differences, *faults))
    if as_json:
        print_json({**verdict._asdict(), "is_equal": verdict.is_equal, "ledger": note})
    elif verdict.is_equal:
        console.print(f"equal: {', '.join(verdict.compared)}; digest {verdict.digest_now[:16]}")
    else:
        for line in verdict.differences:
            say(f"differs: {line}")
    if note and not as_json:
        say(f"trial ledger not compared: {note}")
    if not verdict.is_equal:
        raise typer.Exit(_FAILED)


def _verify_state(state: Path, as_json: bool, trust_code: bool) -> None:
    """Step every input of a state directory again and compare with what the daemon wrote."""
    with progress_bars() as on_progress:
        verdict = verify_state(state, on_progress, trust_code=trust_code)
    difference = None if verdict.difference is None else str(verdict.difference)
    if as_json:
        told = {**verdict._asdict(), "difference": difference, "is_equal": verdict.is_equal}
        print_json(told)
    else:
        for line in verdict.told:
            say(f"! {line}")
        if difference is None:
            console.print(
                f"equal: {verdict.inputs:,} inputs, their hash chain, every record and snapshot; "
                f"digest {verdict.digest[:16]}"
            )
        else:
            say(f"differs: {difference}")
    if difference is not None:
        raise typer.Exit(_FAILED)


def prove_command(
    strategy: Annotated[
        str | None, typer.Option(help="a built-in strategy or module:Class; `all`: every one")
    ] = None,
    feature: Annotated[
        str | None, typer.Option(help="a feature such as ema_12, module:name of yours, or `all`")
    ] = None,
    tape: Annotated[
        list[str] | None,
        typer.Option(help="repeat it for a strategy that reads several; default: the sample"),
    ] = None,
    candles: Annotated[int, typer.Option(min=50, help="how many of the newest candles")] = 1500,
    cuts: Annotated[int, typer.Option(min=2, max=1000, help="how many cuts")] = 25,
    seed: Annotated[int, typer.Option(help="of the cuts and of the scrambled futures")] = 1,
    as_json: AsJson = False,
) -> None:
    """
    Prove that a strategy or a feature neither looks ahead nor repaints, or show where it does.

    A strategy that reads several symbols gets a --tape of each: all are cut at one time.

    The tape is cut at many places and what follows is removed or scrambled; nothing said before the cut may change. Code of
    your own runs in a new process each time, and is cut behind every candle as far as ten seconds reach.

    What cannot be proven: what your code reads beside its candles. Files, databases and the network are noticed, and then it
    says so and fails; what is opened outside Python's own sight, what a library keeps in machine code and data that is written
    in the code itself are not seen.

    Example: papertape prove --feature all --strategy my_signals:Breakout
    """
    if strategy is None and feature is None:
        raise ConfigError("prove: name a --strategy or a --feature; `all` means every built-in one")
    sources = load_tapes(make_config({"data": {"tapes": tuple(tape or ())}}))
    step_ms = timeframe_ms(sources[0].timeframe)
    one: Tapes = sources[0].candles[-candles:]
    subjects: dict[str, Subject | Foreign] = {}
    for name in _names(feature, FEATURES):
        subjects[f"feature {name}"] = feature_subject(name, step_ms)
    for name in _names(strategy, STRATEGIES):

        def build(name: str = name) -> EngineSpec:
            return make_spec(load_config(None, [f"strategy.name={name}"]), sources)

        subjects[f"strategy {name}"] = strategy_subject(build, is_ours=":" not in name)
    sources.sort(key=lambda source: source.symbol)
    every = together([source.candles for source in sources], candles)
    with progress_bars() as show:
        proofs = [
            prove(
                name, subject, every if name.startswith("strategy") else one, cuts, seed, partial(show, name)
            )
            for name, subject in subjects.items()
        ]
    _print(proofs, as_json)


def _names(wanted: str | None, known: Iterable[str]) -> list[str]:
    if wanted is None:
        return []
    return sorted(known) if wanted == "all" else [wanted]


def _print(proofs: list[Proof], as_json: bool) -> None:
    """Print the proofs and fail when one found a leak."""
    if as_json:
        print_json([{**p._asdict(), "leak": p.leak and p.leak._asdict()} for p in proofs])
    for proof in [] if as_json else proofs:
        mark = "LEAK" if proof.leak else "ok  " if proof.is_proven else "open"
        say(f"{mark} {proof.subject}: {_told(proof)}")
    if not as_json and any(proof.cut_off for proof in proofs):
        say(LIMITS)
    if not all(proof.is_proven for proof in proofs):
        raise typer.Exit(_FAILED)


def _told(proof: Proof) -> str:
    """Return what a proof came to."""
    if proof.leak is not None:
        return str(proof.leak)
    where = f"{len(proof.cuts)} cuts"
    if proof.cut_off:
        where += f" and behind {proof.cut_off:,} of {proof.candles:,} candles"
    told = f"{proof.compared:,} statements compared at {where}, none changed"
    if proof.reads:
        told += f"; nothing is proven, as it reads {', '.join(proof.reads)}, which no cut reaches"
    return told
