"""The embedded sample: four years of real hourly BTCUSDT candles, with the exchange's outages left as gaps."""

from functools import cache
from importlib import resources

from papertape.replay.importers.build import import_tape
from papertape.replay.importers.options import Options
from papertape.replay.tapes.tape import Tape

SAMPLE = "BTCUSDT_1h_2020_2023.parquet"


@cache
def sample_tape() -> Tape:
    """Return the sample (Binance spot, 2020-01-01 to 2024-01-01), brought in like any user's file."""
    packed = resources.files(__package__).joinpath("sample", SAMPLE)
    with resources.as_file(packed) as path:
        options = Options(venue="binance-spot", symbol="BTCUSDT", timeframe="1h")
        return import_tape(path, options).tape
