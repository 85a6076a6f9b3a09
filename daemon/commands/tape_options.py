"""What a user may say about a file of candles, as options of `tape import` and `tape check` alike."""

from typing import Annotated, Any, Literal

import typer

from papertape.replay.importers import IMPORTERS, Options

Format = Annotated[
    str | None, typer.Option("--format", help=f"in place of detection: {', '.join(IMPORTERS)}")
]
Venue = Annotated[str | None, typer.Option(help="for example binance-spot; binance means the same")]
Symbol = Annotated[str | None, typer.Option(help="for example BTCUSDT")]
Timeframe = Annotated[str | None, typer.Option(help="must agree with the stamps, for example 1h")]
Columns = Annotated[
    str | None,
    typer.Option(help="tables: time=ts,open=o,high=h,low=l,close=c,volume=v; time=day+clock"),
]
Decimal = Annotated[str | None, typer.Option(help="tables: the sign before the fraction")]
Thousands = Annotated[str | None, typer.Option(help="tables: the sign between thousands")]
DateFormat = Annotated[
    str | None, typer.Option(help="tables: as strptime has it, for example '%d.%m.%Y %H:%M'")
]
TimeZone = Annotated[
    str | None, typer.Option(help="tables: of times that name none, for example Europe/Berlin")
]
NoVolume = Annotated[
    bool, typer.Option("--no-volume", help="tables: none was recorded; it stands as zero")
]
KeepOf = Annotated[
    Literal["first", "last"] | None,
    typer.Option("--keep", help="of different candles of one stamp"),
]
DropBad = Annotated[
    bool, typer.Option("--drop-bad", help="leave out rows that break a candle's rules")
]
Kind = Annotated[
    Literal["spot", "linear", "inverse"] | None, typer.Option(help="default: by the venue")
]
VolumeIn = Annotated[
    Literal["base", "contracts", "quote"] | None,
    typer.Option("--volume-unit", help="what the file counts"),
]
ContractValue = Annotated[
    float | None, typer.Option(help="base units per contract, with --volume-unit contracts")
]


def make_options(columns: str | None, **given: Any) -> Options:
    """Return the options of a command; `columns` is `time=ts,open=o`."""
    pairs = [pair.partition("=") for pair in (columns or "").split(",") if pair.strip()]
    if any(not separator or not value.strip() for _, separator, value in pairs):
        raise typer.BadParameter(f"--columns {columns!r}: write time=ts,open=o,…")
    named = {name.strip(): value.strip() for name, _, value in pairs}
    return Options(columns=named, **given)
