"""What could have been: a result's trades and days drawn again; every kind says what it can tell and what it cannot."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.errors import ConfigError, DataError, did_you_mean
from papertape.engine.jit import FloatArray
from papertape.engine.performance import paths as drawn
from papertape.engine.performance.placebo import Placebo, PlaceboDraws
from papertape.engine.performance.resampling import block_length, stretched
from papertape.engine.performance.times import day_ends
from papertape.replay.backtesting.verify import read_summary
from papertape.replay.research.montecarlo.fans import Fan, fan_of, own_path
from papertape.replay.runtime.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

LEAST: Final = 10  # trades or days; of fewer no interval means anything
MOST_CELLS: Final = 10**10  # paths × returns
MOST_MARKETS: Final = 100_000
TABLE: Final = "montecarlo.parquet"
FOLDER: Final = "montecarlo"
TRAINING: Final = ("none", "run", "anew")
_LEVELS: Final = (0.05, 0.5, 0.95)
_COSTS: Final = ("fees", "spread", "slippage")


class PathOptions(NamedTuple):
    """
    How paths are drawn.

    paths    of each kind that draws a result; ruin: the loss of capital that is called so; seed: of everything
    skip     share of trades that a path leaves out; costs: the most times that costs are paid once more
    markets  that are drawn for a configuration, of each kind; block: days of a block on average, 0: by itself
    noise    by which closes are moved, a share of the candle's range; delay: the most base candles that fills come later
    training none: no model takes part; run: those of the run itself take over on every path; anew: trained on every path
    """

    paths: int = 10_000
    ruin: float = 0.5
    skip: float = 0.1
    costs: float = 2.0
    seed: int = 1
    markets: int = 100
    block: float = 0.0
    noise: float = 0.1
    delay: int = 5
    training: str = "none"


class Kind(NamedTuple):
    """
    One way of drawing: what its paths went through, and what that can and cannot tell; under water in `unit`s.

    fan  how they went; own: the run itself as one path, None where it has other days
    is_synthetic  the candles were never traded anywhere
    """

    name: str
    paths: drawn.Paths
    unit: str
    tells: str
    fan: Fan
    own: drawn.Paths | None
    is_synthetic: bool = False

    def intervals(self) -> dict[str, list[float]]:
        """Return the 5 %, 50 % and 95 % quantiles by figure."""
        figures = self.paths._asdict()
        names = ("total", "drawdown", "underwater")
        return {name: [float(q) for q in np.quantile(figures[name], _LEVELS)] for name in names}


@dataclass(slots=True)
class MonteCarlo:
    """
    What was drawn: its kinds, and what could not be drawn, with the reason.

    notes    what a reader must know beside that
    placebo  how the recorded trades stand among placebos; None where no market is known, or there are none
    placebos  what each of them came to
    """

    title: str
    options: PathOptions
    kinds: list[Kind]
    missing: dict[str, str]
    notes: list[str] = field(default_factory=list)
    placebo: Placebo | None = None
    placebos: PlaceboDraws | None = None

    @property
    def digest(self) -> str:
        """Return the digest of every path: the same for a seed, whatever machine or number of processes drew it."""
        found = hashlib.sha256()
        for kind in self.kinds:
            found.update(kind.name.encode())
            for values in kind.paths:
                found.update(values.tobytes())
        return found.hexdigest()

    @property
    def table(self) -> "pd.DataFrame":
        """Return one row per path."""
        found: pd.DataFrame = self._arrow().to_pandas()
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the intervals as plain values."""
        kinds = [
            {
                "kind": kind.name,
                **kind.intervals(),
                "underwater_unit": kind.unit,
                "ruin": float(kind.paths.ruined.mean()),
                "loss": float(np.mean(kind.paths.total < 0.0)),
                "paths": len(kind.paths.total),
                "is_synthetic": kind.is_synthetic,
                "tells": kind.tells,
            }
            for kind in self.kinds
        ]
        options = self.options._asdict()
        placebo = None if self.placebo is None else self.placebo._asdict()
        return {
            "result": self.title,
            **options,
            "placebo": placebo,
            "levels": list(_LEVELS),
            "kinds": kinds,
            "missing": self.missing,
            "notes": self.notes,
            "digest": self.digest,
        }

    def save(self, path: Path) -> None:
        """Write every path as a row of a Parquet file; DataError when it cannot be written."""
        write_whole(path, lambda file: pq.write_table(self._arrow(), file, compression="zstd"))

    def _arrow(self) -> pa.Table:
        columns = {
            "kind": np.repeat(
                [kind.name for kind in self.kinds], [len(kind.paths.total) for kind in self.kinds]
            ),
            "is_synthetic": np.repeat(
                [kind.is_synthetic for kind in self.kinds], [len(kind.paths.total) for kind in self.kinds]
            ),
            **{
                name: np.concatenate([getattr(kind.paths, name) for kind in self.kinds])
                for name in drawn.Paths._fields
            },
        }
        return pa.table(columns)


class Source(NamedTuple):
    """
    What is drawn from: the returns of trades on the equity at their entry, their costs in the same measure, and of days.

    warnings  what the result says of itself
    """

    title: str
    trades: FloatArray
    costs: FloatArray
    days: FloatArray
    warnings: Sequence[str] = ()


def source_of(summary: Mapping[str, Any], trades: "pd.DataFrame", equity: "pd.DataFrame") -> Source:
    """Return what a result holds to be drawn from."""
    capital = float(summary["capital"])
    before = trades["equity_before"].to_numpy(np.float64)
    order = np.argsort(trades["exit_time"].to_numpy(), kind="stable")
    if min([*before, *equity["equity"]], default=1.0) <= 0.0:
        raise DataError("montecarlo: the account was ruined, so its returns have no meaning")
    paid = trades[list(_COSTS)].to_numpy(np.float64).sum(axis=1)
    times = equity["time"].dt.tz_convert(None).to_numpy("datetime64[ms]").astype(np.int64)
    marks = equity["equity"].to_numpy(np.float64)
    worth = np.append(capital, marks[day_ends(times).mark_index]) if len(times) else np.zeros(1)
    title = f"{summary['strategy']} on {', '.join(summary['symbols'])} {summary['timeframe']}"
    pnl = trades["pnl"].to_numpy(np.float64)
    days = worth[1:] / worth[:-1] - 1.0
    return Source(title, (pnl / before)[order], (paid / before)[order], days, summary["warnings"])


def read_source(folder: Path) -> Source:
    """Return what a result folder holds to be drawn from, or raise DataError."""
    import pandas as pd

    summary = read_summary(folder)
    try:
        trades, equity = (pd.read_parquet(folder / f"{name}.parquet") for name in ("trades", "equity"))
        return source_of(summary, trades, equity)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{folder}: damaged: {str(error).splitlines()[0]}") from error


def draw_paths(source: Source, options: PathOptions) -> MonteCarlo:
    """Return the paths of every kind that draws a result; raises ConfigError for options that mean nothing."""
    check_options(options, max(len(source.trades), len(source.days)))
    block = block_length(source.days) if len(source.days) else 1.0
    kinds: list[Kind] = []
    missing: dict[str, str] = {}
    for number, (name, make, unit, tells) in enumerate(_ways(source, options, block)):
        own = source.days if unit == "days" else source.trades
        n = len(own)
        if n < LEAST:
            missing[name] = f"{n} {unit} are fewer than {LEAST}"
            continue
        curves = drawn.Curves.over(options.paths, n)
        found = drawn.drawn_paths(make(), options.paths, options.ruin, options.seed, number, curves)
        fan = fan_of(curves, own)
        kinds.append(Kind(name, found, unit, tells, fan, own_path(own, options.ruin)))
    return MonteCarlo(source.title, options, kinds, missing, list(source.warnings))


def _ways(
    source: Source, options: PathOptions, block: float
) -> list[tuple[str, Callable[[], drawn.Draw], str, str]]:
    """Return every kind: its name, what draws it, in what time passes, and what it can and cannot tell."""
    trades = source.trades
    return [
        ("order of trades", lambda: drawn.in_another_order(trades), "trades",
         "how deep these very trades could have fallen in another order; nothing of other trades, and the return stays"),
        ("skipped trades", lambda: drawn.some_skipped(trades, options.skip), "trades",
         f"how much hangs on few trades, with {options.skip:.0%} left out; nothing of what would have come in their place"),
        ("worse costs", lambda: drawn.worse_costs(trades, source.costs, options.costs), "trades",
         f"what up to {1 + options.costs:g} times the fees, spread and slippage leave; nothing of fills that would not have come"),
        ("blocks of days", lambda: drawn.in_blocks(stretched(source.days, block), block), "days",
         f"the spread of returns that days like these allow, in blocks of {block:.1f} on average; nothing of markets unlike these"),
    ]  # fmt: skip


def check_options(options: PathOptions, n: int) -> None:
    """Raise ConfigError for options that mean nothing, or that no machine here could do."""
    for name, value, low, high in (("ruin", options.ruin, 0.0, 1.0), ("skip", options.skip, 0.0, 1.0)):
        if not low < value < high:
            raise ConfigError(f"--{name} {value:g}: it is not between {low:g} and {high:g}")
    if not 0.0 < options.costs <= 100.0:
        raise ConfigError(f"--costs {options.costs:g}: it is not above 0 and at most 100")
    if min(options.paths, options.markets) < 1 or min(options.seed, options.delay) < 0:
        raise ConfigError("montecarlo: at least one path and one market; a seed and a delay of at least 0")
    if not 0.0 <= options.noise <= 1.0:
        raise ConfigError(f"--noise {options.noise:g}: it is not between 0 and 1 of a candle's range")
    if not 0.0 <= options.block <= 3_650.0:
        raise ConfigError(f"--block {options.block:g}: it is not between 0 and 3,650 days")
    if max(options.markets, options.delay) > MOST_MARKETS:
        raise ConfigError(f"montecarlo: more than {MOST_MARKETS:,} markets or delays; draw fewer")
    if options.training not in TRAINING:
        near = did_you_mean(options.training, TRAINING)
        raise ConfigError(f"--training {options.training}: it is none of {', '.join(TRAINING)}{near}")
    if options.paths * max(n, 1) > MOST_CELLS:
        raise ConfigError(
            f"--paths {options.paths:,}: with {n:,} returns each that is more than {MOST_CELLS:,}; draw fewer"
        )
