"""What a user may say about a file of candles, as options of `tape import` and `tape check` alike."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Annotated, Any, Literal

import typer

from papertape.replay.importers.detect import IMPORTERS
from papertape.replay.importers.options import Options

Format = Annotated[
    str | None, typer.Option("--format", help=f"in place of detection: {', '.join(IMPORTERS)}")
]
Venue = Annotated[str | None, typer.Option(help="for example binance-spot; binance means the same")]
Symbol = Annotated[str | None, typer.Option(help="for example BTCUSDT")]
Timeframe = Annotated[str | None, typer.Option(help="must agree with the stamps, for example 1h")]
Columns = Annotated[
    str | None, typer.Option(help="tables: time=ts,open=o,high=h,low=l,close=c,volume=v; time=day+clock")
]
Decimal = Annotated[str | None, typer.Option(help="tables: the sign before the fraction")]
Thousands = Annotated[str | None, typer.Option(help="tables: the sign between thousands")]
DateFormat = Annotated[
    str | None, typer.Option(help="tables: as strptime has it, for example '%d.%m.%Y %H:%M'")
]
TimeZone = Annotated[
    str | None, typer.Option(help="tables: of times that name none, for example Europe/Berlin")
]
NoVolume = Annotated[bool, typer.Option("--no-volume", help="tables: none was recorded; it stands as zero")]
KeepOf = Annotated[
    Literal["first", "last"] | None, typer.Option("--keep", help="of different candles of one stamp")
]
DropBad = Annotated[bool, typer.Option("--drop-bad", help="leave out rows that break a candle's rules")]
Kind = Annotated[Literal["spot", "linear", "inverse"] | None, typer.Option(help="default: by the venue")]
VolumeIn = Annotated[
    Literal["base", "contracts", "quote"] | None, typer.Option("--volume-unit", help="what the file counts")
]
ContractValue = Annotated[
    float | None, typer.Option(help="base units per contract, with --volume-unit contracts")
]


def file_options(
    format_: Format = None,
    venue: Venue = None,
    symbol: Symbol = None,
    timeframe: Timeframe = None,
    columns: Columns = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    date_format: DateFormat = None,
    time_zone: TimeZone = None,
    no_volume: NoVolume = False,
    keep: KeepOf = None,
    drop_bad: DropBad = False,
    kind: Kind = None,
    volume_unit: VolumeIn = None,
    contract_value: ContractValue = None,
) -> Options:
    """Return the options given; `columns` is `time=ts,open=o`. The parameters are the options, and their only list."""
    pairs = [pair.partition("=") for pair in (columns or "").split(",") if pair.strip()]
    if any(not separator or not value.strip() for _, separator, value in pairs):
        raise typer.BadParameter(f"--columns {columns!r}: write time=ts,open=o,…")
    return Options(
        format=format_,
        venue=venue,
        symbol=symbol,
        timeframe=timeframe,
        columns={name.strip(): value.strip() for name, _, value in pairs},
        decimal=decimal,
        thousands=thousands,
        date_format=date_format,
        time_zone=time_zone,
        no_volume=no_volume,
        keep=keep,
        drop_bad=drop_bad,
        kind=kind,
        volume_unit=volume_unit,
        contract_value=contract_value,
    )


def with_file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes every option of a file where this one takes `options`."""
    own = signature(command, eval_str=True)
    ours = signature(file_options, eval_str=True).parameters
    shown = [
        given
        for name, parameter in own.parameters.items()
        for given in (ours.values() if name == "options" else (parameter,))
    ]

    @wraps(command)
    def run(**given: Any) -> None:
        options = file_options(**{name: given.pop(name) for name in ours})
        command(options=options, **given)

    run.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined] # typer reads these two
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run
