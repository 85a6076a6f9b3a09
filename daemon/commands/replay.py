"""`papertape replay` and `papertape demo`: from a configuration or nothing at all to a table and a report."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.learning_tables import attempts_table, decisions, scores_table, shadow_lines
from papertape.daemon.commands.options import Changes, ConfigFile, Tapes, with_tapes
from papertape.daemon.commands.output import console, print_json, progress_bars, say, since_start_s
from papertape.daemon.commands.terminal import plain_table
from papertape.daemon.learning.model_store import ModelStore, read_model
from papertape.engine.errors import ConfigError
from papertape.replay.backtesting.figures import FIGURES, written
from papertape.replay.backtesting.result import Result
from papertape.replay.backtesting.run import load_tapes, run_backtest
from papertape.replay.config import Config, load_config
from papertape.replay.learning.given import takeover_schedule
from papertape.replay.report.account_events import FORCED
from papertape.replay.report.page import money_places
from papertape.replay.research.trials.holdout import admitted
from papertape.replay.research.trials.recording import on_record
from papertape.replay.runtime.allocation import return_large_arrays
from papertape.replay.runtime.files import own_folder
from papertape.replay.tapes.quality import counted

_Out = Annotated[Path, typer.Option(help="folder for the result")]
_AsJson = Annotated[bool, typer.Option("--json", help="print result.json")]


def replay_command(
    config: ConfigFile = None,
    tape: Tapes = None,
    changes: Changes = None,
    out: _Out = Path("results/latest"),
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="a version in --models or a file: takes over once what it learnt is past; repeatable"
        ),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="the store of --model; default: $PAPERTAPE_MODELS or models/")
    ] = None,
    holdout: Annotated[
        bool, typer.Option("--holdout", help="read what is held out: once, and put on record before")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """
    Replay tapes through the engine, print the result and write it with its report.

    Example: papertape replay --set strategy.name=ema_cross --set account.sizing=all_in --out results/cross
    """
    settings = load_config(config, changes or ())
    settings = with_tapes(settings, tape)
    show(run(settings, _artefacts(model or (), models), reads_holdout=holdout), out, as_json)


def demo_command(out: _Out = Path("results/demo"), as_json: _AsJson = False) -> None:
    """
    Replay the last two of four embedded years, real BTCUSDT, offline, with what a sweep over the first two chose.

    A network is trained and judged every second month.

    Example: papertape demo
    """
    with resources.as_file(resources.files("papertape.replay.config").joinpath("demo.toml")) as path:
        config = load_config(path)
    show(run(config), out, as_json)


def run(config: Config, models: Mapping[str, bytes] | None = None, *, reads_holdout: bool = False) -> Result:
    """Run a configuration with progress on the terminal; models: by name, in place of those that it would train."""
    return_large_arrays()
    tapes = load_tapes(config)
    given = takeover_schedule(models or {}, config, tapes)
    held_out = admitted(config, tapes, reads_holdout=reads_holdout, models=given)
    with progress_bars() as on_progress:
        result = run_backtest(config, tapes, on_progress, given or None)
    return on_record(config, result, held_out=held_out, models=given)


def _artefacts(names: Sequence[str], folder: Path | None) -> dict[str, bytes]:
    """Return the models that the command line names: versions in a store, or files."""
    if folder is not None and not names:
        raise ConfigError("--models says where --model is looked for; give a version: --model 3")
    store = ModelStore(folder)
    return {
        f"model {name}": store.read(int(name)) if name.isdecimal() else read_model(Path(name))[0]
        for name in names
    }


def show(result: Result, out: Path, as_json: bool) -> None:
    """Write the result and print what matters of it."""
    folder = result.save(own_folder(out))
    if as_json:
        print_json(result.summary)
        return
    summary = result.summary
    title = f"{summary['strategy']} on {', '.join(summary['symbols'])} {summary['timeframe']}"
    console.print(f"\n{title} · {summary['start'][:10]} … {summary['end'][:10]}", markup=False)
    if origin := summary["config"]["report"]["origin"]:
        say(origin)
    console.print(_metric_table(result))
    if summary["sensitivity"]:
        console.print(_sensitivity_table(result))
    if "orders" in summary:
        counts = ", ".join(f"{count:,} {what}" for what, count in summary["orders"].items())
        say(f"orders                 {counts}")
    for line in _account_lines(result):
        say(line)
    if "conditions" in summary:
        console.print(_conditions_table(summary["conditions"]))
    if "strategy_notes" in summary:
        noted = summary["strategy_notes"]
        newest = noted["newest"][-1]["text"]
        say(f"notes                  {noted['count']:,}, the newest: {newest}")
    _show_learning(summary["model"])
    for line in summary["doubts"]:
        say(f"! {line}")
    console.print(f"digest {result.digest[:16]} · {_speed(summary)}", markup=False)
    say(f"report {folder / 'report.html'}")


def _account_lines(result: Result) -> Iterator[str]:
    """Yield how many positions something else than the strategy closed, and what funding came to; the report lists each."""
    reasons = Counter(result.traded["exit_reason"].tolist() if result.traded else ())
    forced = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common() if reason in FORCED)
    if forced:
        yield f"forced exits           {forced}"
    paid = result.metrics["funding_quote"]
    if len(result.payments) and paid is not None:
        places = money_places(result.summary) or 0
        amount = f"{abs(paid):,.{places}f} {result.summary['quote']}"
        done = "paid" if paid >= 0.0 else "received"
        yield f"funding                {amount} {done} in {counted(len(result.payments), 'settlement')}"


def _conditions_table(conditions: Mapping[str, Any]) -> Table:
    heads = ("candles", "newest", "value", "threshold")
    table = plain_table(["condition"], heads, "first unmet condition")
    newest = {row["condition"]: row for row in conditions["newest"]}
    for text, count in conditions["counts"].items():
        row = newest.get(text, {})
        when = str(np.datetime64(row["time_ms"], "ms"))[:16].replace("T", " ") if row else "–"
        numbers = [row.get(name) for name in ("value", "threshold")]
        shown = ["–" if number is None else f"{number:.6g}" for number in numbers]
        table.add_row(escape(text), f"{count:,}", when, *shown)
    return table


def _show_learning(model: Mapping[str, Any]) -> None:
    """Print each decision of the gate, why, and how the challengers did afterwards."""
    attempts = model["attempts"]
    if not attempts:
        return
    console.print(attempts_table(attempts))
    for line in decisions(attempts):
        say(f"  {line}")
    found = model["out_of_sample"].get("contenders")
    if found:
        console.print(scores_table("until the next retraining, not seen in training", found))
    for line in shadow_lines(attempts, found or {}):
        say(line)


def _speed(summary: Mapping[str, Any]) -> str:
    timings = summary["timings"]
    learning = f", training {timings['learning_s']:.2f} s" if timings["learning_s"] else ""
    engine = f"{summary['candles']:,} candles in {timings['replay_s']:.2f} s{learning}"
    return f"{engine}, whole command {since_start_s():.1f} s"


def _metric_table(result: Result) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for label, name, kind in FIGURES:
        value = result.metrics.get(name)
        undefined = f"– ({result.undefined.get(name, 'undefined')})"
        table.add_row(label, undefined if value is None else written(value, kind))
    return table


def _sensitivity_table(result: Result) -> Table:
    heads = ("total return", "Sharpe", "max drawdown", "trades")
    table = plain_table(["run"], heads, "sensitivity")
    for row in result.summary["sensitivity"]:
        cells = [row["total_return"], row["sharpe"], row["max_drawdown"]]
        shown = [
            written(value, kind) for value, kind in zip(cells, ("percent", "number", "percent"), strict=True)
        ]
        table.add_row(row["name"], *shown, f"{int(row['trades']):,}")
    return table
