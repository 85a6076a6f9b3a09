"""
Recorded data: tapes in, trustworthy backtests out.

    tape tape_file quality cleaning importers resample synthetic sample   candles on disk, and how they get there
    sources download delta_rest ccxt_…  history from venues
    config config_live markets          one configuration; market data
    feed sinks backtest summary         one engine over one tape
    training                            from a tape to a model, and models as events of a replay
    result tables report                what is found, as files and as a page
    market_events columns study         market structure over a tape, as files, and what followed each event
    venue clock                         the local exchange, and the clocks that it goes by
    prove verify                        look-ahead and repaint proof; run again and compare
    honesty                             the whole learning pipeline on markets whose truth is known
    gate_study drift_study planted      how often gate and drift watch err, measured on rows of a known law
"""

from replay.backtest import backtest
from replay.config import Config, load_config
from replay.result import Result
from replay.tape import Store, Tape, read_tape

__all__ = ["Config", "Result", "Store", "Tape", "backtest", "load_config", "read_tape"]
