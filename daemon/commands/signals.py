"""`papertape features` and `papertape study`: what the engine sees on a tape, and what it has been worth."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.options import AsJson
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.features import FEATURES, plan_features, split_request
from papertape.engine.records import SERIES_NAMES
from papertape.replay.backtesting.run import load_tapes
from papertape.replay.config import Config, make_config
from papertape.replay.config.fields import key_parts
from papertape.replay.events.events import in_timeframe, market_events
from papertape.replay.events.export import EVENTS_FILE, FEATURES_FILE, write_events, write_features
from papertape.replay.events.study import HORIZONS, StudyOptions, StudySeries, study
from papertape.replay.report.event_study import sentence, series_section, study_section, verdict_sentence
from papertape.replay.research.series_study import series_lanes, study_series
from papertape.replay.runtime.files import write_whole
from papertape.replay.tapes.own_features import with_own
from papertape.replay.tapes.store import Tape

_STUDY_FILE = "study.parquet"
_SECTION_FILE = "study.json"  # what a report shows of it
_SHOWN = 20  # rows of the study on the terminal; the file has all
Timeframes = Annotated[list[str] | None, typer.Option(help="longer than the tape's; repeat for several")]


def features_command(
    out: Annotated[Path, typer.Option(help="folder for the files", show_default=False)],
    tape: Annotated[
        str | None, typer.Option(help="a name in the store or a file; default: the embedded sample")
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(help="such as ema_12, or module:name of yours; repeatable; default: every built-in one"),
    ] = None,
    timeframe: Annotated[str | None, typer.Option(help="longer than the tape's")] = None,
    events: Annotated[bool, typer.Option(help="market structure as well")] = True,
    as_json: AsJson = False,
) -> None:
    """
    Write every feature at every candle, and every market event with the candle that made it known, to Parquet.

    Example: papertape features --tape BTCUSDT --feature rsi_14 --feature macd --out seen
    """
    requests, own = with_own(feature or [name for name, row in FEATURES.items() if not row.is_series])
    for request in requests:
        _refuse_joined(request)
    plan_features(requests, own=own)
    source = in_timeframe(load_tapes(_named([tape] if tape else [], []))[0], timeframe)
    with progress_bars() as show:
        columns = write_features(out / FEATURES_FILE, source, requests, show, own)
        counts = write_events(out / EVENTS_FILE, source, show) if events else {}
    if as_json:
        print_json(
            {
                "tape": source.name,
                "tape_sha256": source.sha256,
                "candles": len(source.candles),
                "features": str(out / FEATURES_FILE),
                "columns": list(columns),
                "events": str(out / EVENTS_FILE) if events else None,
                "event_counts": counts,
            }
        )
        return
    told = f"{len(columns):,} columns at {len(source.candles):,} candles of {source.name}"
    say(f"{out / FEATURES_FILE}: {told}")
    if events:
        told = f"{sum(counts.values()):,} events of {len(counts):,} kinds"
        say(f"{out / EVENTS_FILE}: {told}")


def _refuse_joined(request: str) -> None:
    """Raise ConfigError for a feature of another symbol or timeframe: a file holds what one tape says by itself."""
    parts = split_request(request)
    if parts.symbol or parts.timeframe:
        tape = f"--tape {parts.symbol} " if parts.symbol else ""
        frame = f"--timeframe {parts.timeframe} " if parts.timeframe else ""
        raise ConfigError(
            f"feature {request!r}: a file holds one tape on one timeframe; write {tape}{frame}--feature {parts.name} and "
            "join the files on known_time"
        )


def study_command(
    tape: Annotated[
        list[str] | None, typer.Option(help="a name in the store or a file; repeatable; default: the sample")
    ] = None,
    timeframe: Timeframes = None,
    horizon: Annotated[
        list[int] | None, typer.Option(help=f"bars; default: {', '.join(map(str, HORIZONS))}")
    ] = None,
    cost_bps: Annotated[float, typer.Option(min=0.0, help="of a round trip")] = 10.0,
    resamples: Annotated[int, typer.Option(help="of the bootstrap, at least 100")] = 1_000,
    seed: Annotated[int, typer.Option(help="of the bootstrap")] = 1,
    rate: Annotated[float, typer.Option(help="of false discoveries that is accepted")] = 0.1,
    series: Annotated[
        list[str] | None,
        typer.Option(
            help="in place of events: a file of a series, such as funding.BTCUSDT=funding.csv; repeatable"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for study.parquet and study.json")] = Path(
        "results/study"
    ),
    as_json: AsJson = False,
) -> None:
    """
    Measure what followed every kind of market event, or what series beside the candles said, beside random times.

    Example: papertape study --tape BTCUSDT --timeframe 1h --timeframe 4h --horizon 12
    """
    horizons = tuple(sorted(set(horizon))) if horizon else HORIZONS
    options = StudyOptions(horizons, resamples, seed, cost_bps, rate)
    config = _named(tape or [], series or [])
    sources = [
        in_timeframe(source, wanted)
        for source in load_tapes(config)
        for wanted in dict.fromkeys(timeframe or [source.timeframe])
    ]
    names = _labels(sources)
    with progress_bars() as show:
        if series:
            table = study_series(series_lanes(config, sources, names), options, show)
        else:
            lanes = [
                StudySeries(name, s.candles, market_events(s, partial(show, f"events of {s.name}")))
                for name, s in zip(names, sources, strict=True)
            ]
            table = study(lanes, options, show)
    section = (series_section if series else study_section)(table, options, sources)
    path = out / _STUDY_FILE
    write_whole(path, lambda file: table.to_parquet(file, index=False, compression="zstd"))
    text = json.dumps(section, allow_nan=False)
    write_whole(out / _SECTION_FILE, lambda file: file.write(text.encode()))
    if as_json:
        print_json({"file": str(path), **section})
        return
    console.print(_study_table(table))
    told = [verdict_sentence(one, cost_bps) for one in section.get("series", ())]
    for line in (*(told or [sentence(section)]), *section["rules"]):
        say(line)
    say(f"every row: {path}")


def _named(tapes: list[str], series: list[str]) -> Config:
    """Return a configuration of these tapes, or the embedded sample, and of files such as funding.BTCUSDT=funding.csv."""
    if len(set(tapes)) != len(tapes):
        raise ConfigError(f"--tape: {', '.join(tapes)} names a tape twice")
    data: dict[str, Any] = {"tapes": tuple(tapes)}
    for word in series:
        key, _, path = word.partition("=")
        name, *symbol_parts = key_parts(key)
        symbol = ".".join(symbol_parts)
        if not (symbol and path):
            raise ConfigError(f"--series {word}: write it like funding.BTCUSDT=funding.csv")
        if name not in SERIES_NAMES:
            raise ConfigError(f"--series {word}: {name!r} is no series{did_you_mean(name, SERIES_NAMES)}")
        if symbol in data.setdefault(name, {}):
            raise ConfigError(f"--series: {name} of {symbol} is named twice")
        data[name][symbol] = path
    return make_config({"data": data})


def _labels(sources: list[Tape]) -> list[str]:
    """Return the symbols, with their venues where two tapes would otherwise look the same."""
    venues = {source.venue for source in sources}
    return [s.symbol if len(venues) == 1 else f"{s.venue}:{s.symbol}" for s in sources]


def _study_table(table: pd.DataFrame) -> Table:
    """Return the surest rows for the terminal."""
    shown = Table(
        title=f"the {min(_SHOWN, len(table))} surest of {len(table):,} rows",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("symbol", "frame", "event", "bars"):
        shown.add_column(name, no_wrap=True)
    for name in (
        "count",
        "mean bps",
        "random",
        "excess (95 %)",
        "hit",
        "random",
        "fav ATR",
        "adv ATR",
        "net",
        "q",
    ):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in table.head(_SHOWN).to_dict("records"):
        shown.add_row(*map(escape, _cells({str(name): value for name, value in row.items()})))
    return shown


def _cells(row: dict[str, Any]) -> list[str]:
    event = f"{row['kind']} {row['scale']}".strip()
    interval = f"{row['excess_bps']:+.1f} ({row['excess_low_bps']:+.1f} … {row['excess_high_bps']:+.1f})"
    q_value = "–" if pd.isna(row["q_value"]) else f"{row['q_value']:.3f}"
    return [
        row["symbol"],
        row["timeframe"],
        event,
        str(row["horizon_bars"]),
        f"{row['count']:,}",
        f"{row['mean_bps']:+.1f}",
        f"{row['random_bps']:+.1f}",
        interval,
        f"{row['hit_rate']:.1%}",
        f"{row['random_hit_rate']:.1%}",
        f"{row['favourable_atr']:.2f}",
        f"{row['adverse_atr']:.2f}",
        f"{row['net_bps']:+.1f}",
        q_value + ("*" if row["is_discovery"] else ""),
    ]
