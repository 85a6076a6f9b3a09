"""A configuration replayed on markets that are drawn again, on candles with noise and with later fills; each path in any process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.candles import DAY_MS
from papertape.engine.errors import DataError, PapertapeError
from papertape.engine.jit import FloatArray
from papertape.engine.performance import paths as drawn
from papertape.engine.performance.daily import daily_returns
from papertape.engine.performance.placebo import drawn_placebos, placed_among
from papertape.replay.backtesting.prepare import prepared
from papertape.replay.backtesting.run import replay, run_backtest
from papertape.replay.config import Config
from papertape.replay.config.series import RecordedSeries, recorded_series
from papertape.replay.config.spec import make_spec
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.settings import cadence_of
from papertape.replay.research.montecarlo.draws import (
    Kind,
    MonteCarlo,
    PathOptions,
    check_options,
    draw_paths,
    source_of,
)
from papertape.replay.research.montecarlo.fans import fan_of, own_path
from papertape.replay.research.montecarlo.markets import (
    JointMarket,
    automatic_block,
    block_places,
    drawn_funding,
    drawn_market,
    joint_market,
    noisy_market,
)
from papertape.replay.research.montecarlo.placebo import placed_trades, why_no_placebo
from papertape.replay.research.sweep.workers import in_workers
from papertape.replay.research.trials.holdout import admitted
from papertape.replay.research.trials.recording import on_record
from papertape.replay.runtime.compile import compile_kernels
from papertape.replay.tapes.store import Tape

Progress = Callable[[str, int, int], None]
MARKETS: Final = "whole markets"
NOISE: Final = "noise on candles"
DELAYS: Final = "delays"
_NUMBERS: Final = {MARKETS: 10, NOISE: 11, DELAYS: 12}  # of a kind, in seeds
_MODELS: Final = {
    "none": (
        "No model takes part, neither in the run nor on a path: training takes a path as long as a whole replay. "
        "--training run carries the models of the run over, --training anew trains on every path."
    ),
    "run": (
        "The models of the run itself take over on every path, at the times at which they did: none has learned on a drawn "
        "market, and where one did take over it may have learned from candles that a path shows later, which flatters the path."
    ),
    "anew": "Models are trained anew on every path, as in a replay.",
}  # by how paths have models, where a replay would train some
_DONE: Final = b"+"
_FAILED: Final = b"!"


class MarketPlan(NamedTuple):
    """
    What is replayed: a configuration, the market that others are drawn from, and how.

    learned  of the run itself, whose models take over on every path; None: what the configuration has trained is trained anew
    """

    config: Config
    market: JointMarket
    recorded: RecordedSeries
    block: float
    options: PathOptions
    learned: Learned | None = None

    def returns(self, kind: str, number: int) -> FloatArray:
        """Return the daily returns of the account on one path, which depends on the seed, the kind and its number alone."""
        config, tapes, recorded = self.config, self.market.tapes, self.recorded
        generator = np.random.default_rng([self.options.seed, _NUMBERS[kind], number])
        if kind == MARKETS:
            places = block_places(self.market, self.block, generator)
            tapes = drawn_market(self.market, places)
            recorded = drawn_funding(self.market, self.recorded, tapes, places)
        elif kind == NOISE:
            tapes = noisy_market(self.market, self.options.noise, generator)
        else:
            config = config.changed(account={"latency_bars": config.account.latency_bars + number + 1})
        learned = self.learned
        models = learned.schedule if learned is not None else None
        ready = prepared(config, tapes, None, models, learned, recorded)
        run = replay(ready.spec, ready.cuts, config.data.gaps, models=ready.models, events=ready.events)
        return daily_returns(run.marks, config.account.capital).returns


def market_plan(
    config: Config, tapes: Sequence[Tape], options: PathOptions, learned: Learned | None = None
) -> MarketPlan:
    """Return what is replayed for a configuration; raises ConfigError or DataError for what cannot be."""
    ordered = sorted(tapes, key=lambda tape: tape.symbol)
    spec = make_spec(config, ordered)
    data = config.data
    cuts = [tape.between(data.start, data.end) for tape in ordered]
    recorded = recorded_series(config, spec, [cut.candles for cut in cuts])
    market = joint_market(cuts)
    days = options.block * DAY_MS / cuts[0].length_ms
    block = max(days, 1.0) if options.block else automatic_block(market)
    compile_kernels(spec)
    return MarketPlan(config, market, recorded, block, options, learned)


def run_montecarlo(
    config: Config,
    tapes: Sequence[Tape],
    options: PathOptions,
    workers: int,
    on_progress: Progress | None = None,
) -> MonteCarlo:
    """
    Return what a configuration could have been: its result drawn again, and itself replayed on markets that are drawn again.

    The one replay of the recorded market is put on record as any other. No number of workers changes anything.
    """
    check_options(options, 0)
    admitted(config, tapes)
    is_trained = cadence_of(config, make_spec(config, sorted(tapes, key=lambda t: t.symbol))) is not None
    if options.training == "none":
        config = config.changed(signals={"use_ml": False})
    ready = prepared(config, tapes, on_progress)
    learned = ready.learned if options.training == "run" else None
    plan = market_plan(config, tapes, options, learned)
    run = run_backtest(config, tapes, on_progress, ready.models, ready.learned)
    result = on_record(config, run)
    source = source_of(result.summary, result.trades, result.equity)
    found = draw_paths(source, options)
    legs = placed_trades(result.trades, plan.market.tapes)
    found.placebos = drawn_placebos(legs, options.paths, options.seed)
    if found.placebos is None:
        found.missing["placebo strategies"] = why_no_placebo(legs)
    else:
        found.placebo = placed_among(legs, found.placebos)
    found.kinds += _kinds(plan, source.days, workers, on_progress)
    found.notes += _notes(plan)
    if is_trained:
        found.notes.append(_MODELS[options.training])
    return found


def _kinds(plan: MarketPlan, own: FloatArray, workers: int, on_progress: Progress | None) -> list[Kind]:
    """Return every kind that replays a configuration; own: daily returns of the run itself."""
    options, days = plan.options, plan.block * plan.market.tapes[0].length_ms / DAY_MS
    told = {
        MARKETS: (
            f"what this configuration earns where candles come in another order, all symbols together in blocks of {days:.1f} days "
            "on average; nothing of what takes longer than a block, and the drift of the candles stays"
        ),
        NOISE: (
            f"how much hangs on the very prices, with closes moved by {options.noise:.0%} of their candle's range; nothing of another market"
        ),
        DELAYS: f"what fills cost that come 1 to {options.delay} base candles later, each once; nothing of other candles",
    }
    counts = {MARKETS: options.markets, NOISE: options.markets if options.noise else 0, DELAYS: options.delay}
    jobs = [(kind, number) for kind, count in counts.items() for number in range(count)]
    rows = dict(_answers(plan, jobs, workers, on_progress))
    found = []
    for kind, count in counts.items():
        if not count:
            continue
        returns = np.stack([rows[kind, number] for number in range(count)])
        out = np.empty((count, len(drawn.Paths._fields)))
        drawn.walk(returns, 1.0 - options.ruin, out)
        paths = drawn.Paths(*np.ascontiguousarray(out.T))
        curves = drawn.Curves.over(count, returns.shape[1])
        drawn.equity_at(returns, curves.places, curves.equity)
        has_same_days = returns.shape[1] == len(own)
        fan = fan_of(curves, own if has_same_days else None)
        one = own_path(own, options.ruin) if has_same_days else None
        found.append(Kind(kind, paths, "days", told[kind], fan, one, kind != DELAYS))
    return found


def _answers(
    plan: MarketPlan, jobs: Sequence[tuple[str, int]], workers: int, on_progress: Progress | None
) -> Iterator[tuple[tuple[str, int], FloatArray]]:
    """Yield the returns of every path, as they are done; DataError for the first that cannot be replayed."""

    def work(job: int) -> bytes:
        try:
            return job.to_bytes(8, "little") + _DONE + plan.returns(*jobs[job]).tobytes()
        except PapertapeError as error:
            return job.to_bytes(8, "little") + _FAILED + str(error).encode()

    def lost(job: int, how: str) -> bytes:
        return job.to_bytes(8, "little") + _FAILED + how.encode()

    with closing(in_workers(iter(range(len(jobs))), work, workers, lost)) as answers:
        for done, answer in enumerate(answers):
            job, outcome, body = int.from_bytes(answer[:8], "little"), answer[8:9], answer[9:]
            kind, number = jobs[job]
            if outcome == _FAILED:
                raise DataError(f"{kind}, path {number}: {body.decode()}")
            if on_progress is not None:
                on_progress("markets", done + 1, len(jobs))
            yield (kind, number), np.frombuffer(body, np.float64)


def _notes(plan: MarketPlan) -> list[str]:
    """Return what a reader must know of the markets."""
    said = [f"SYNTHETIC DATA: the candles of {MARKETS} and of {NOISE} were never traded anywhere."]
    left_out = sorted({use.name for use in plan.recorded.others} - {"funding"})
    if left_out:
        said.append(
            f"Of the series beside candles only funding is drawn: {MARKETS} have no {', '.join(left_out)}."
        )
    spans = [len(tape.candles) for tape in plan.market.tapes]
    if len(spans) > 1 and max(spans) > len(plan.market.open_ms):
        said.append("Markets are drawn from the span that all tapes cover.")
    return said
