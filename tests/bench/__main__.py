"""
`make bench`: candles per second through the asynchronous engine, side by side with a bare loop for the same work.

Each line is the median of several runs, the bare loop and the engine in turn, and their ratio: absolute figures drift
with the machine, the ratio does not. Results are checked against the reference before anything is printed.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from papertape.engine.core import Engine
from papertape.engine.features import perceive, plan_features
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import Rows
from tests.bench import (
    bare,
    calm,
    feed,
    models,
    montecarlo,
    onlookers,
    orders,
    own_features,
    page,
    portfolio,
    processes,
    python_strategy,
    smc,
    sweeps,
    training,
    whole,
)
from tests.bench.candles import make
from tests.bench.work import REFERENCE, TECHNICAL, Batches, drive, everything, w1, w2

# Candles per second that must be reached, and what we aim at; None: no figure is asked for.
GOALS = {
    "W1": (5e6, 20e6),
    "W2": (3e6, 15e6),
    "every technical feature": (0.5e6, 1.5e6),
    "… and market structure": (0.5e6, 1.5e6),
    "1m base, 1h strategy": (4e6, 10e6),
}


def median_of(work: Callable[[], Any], runs: int) -> float:
    """Return the median seconds of several runs after one that is not counted."""
    work()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def compare(
    name: str, n: int, runs: int, ours: Callable[[], Any], theirs: Callable[[], Any]
) -> dict[str, Any]:
    """Measure two ways of doing the same work, in turn."""
    bare_s, engine_s = median_of(theirs, runs), median_of(ours, runs)
    must, aim = GOALS[name]
    return {
        "work": name,
        "candles": n,
        "candles_per_s": n / engine_s,
        "ns_per_candle": engine_s / n * 1e9,
        "bare_ns_per_candle": bare_s / n * 1e9,
        "ratio_to_bare": engine_s / bare_s,
        "must": must,
        "aim": aim,
        "is_met": n / engine_s >= must,
    }


def check_reference(n: int) -> None:
    """Stop unless W1 and W2 give exactly the reference's fills and its equity to 1e-9."""
    candles = make(n)
    want = REFERENCE[n]
    for name, spec, equity, fills in (("W1", w1(), *want[:2]), ("W2", w2(), *want[2:])):
        _, _, counter = drive(spec, Batches(candles, 2048))
        assert counter.last_mark is not None
        found = int(counter.last_mark["equity"][0]) * 1e-9
        if counter.fills != fills or abs(found / equity - 1.0) > 1e-9:
            sys.exit(f"{name} on {n} candles: {found} with {counter.fills} fills, not {equity}, {fills}")


def features_alone(candles: Rows, requests: Sequence[str] = TECHNICAL) -> Callable[[], None]:
    """Return a function that computes features over one array, without an engine."""
    plan = plan_features(requests, 60_000)
    names = ("open_ms", "open", "high", "low", "close", "volume")
    history = np.ascontiguousarray(np.stack([candles[name].astype(float) for name in names]))
    out = np.zeros((len(plan.columns), 2048))
    nobody, written = np.zeros(1, EVENT), np.zeros(1, np.int64)

    def work() -> None:
        slab = plan.initial_state().view(np.float64).reshape(-1)
        for first in range(0, len(candles), 2048):
            last = min(first + 2048, len(candles))
            perceive(history, first, last, first, plan, slab, out, nobody, written)

    return work


def speeds(n: int, runs: int) -> list[dict[str, Any]]:
    """Return the lines of the table."""
    candles = make(n)
    tape = Batches(candles, 2048)
    return [
        compare("W1", n, runs, lambda: drive(w1(), tape), lambda: bare.w1(candles)),
        compare("W2", n, runs, lambda: drive(w2(), tape), lambda: bare.w2(candles)),
        compare(
            "every technical feature", n, runs, lambda: drive(everything(), tape), features_alone(candles)
        ),
        compare(
            "… and market structure",
            n,
            runs,
            lambda: drive(everything(use_smc=True), tape),
            features_alone(candles, (*TECHNICAL, "smc")),
        ),
        compare(
            "1m base, 1h strategy", n, runs, lambda: drive(w1("1h"), tape), lambda: bare.w1_hourly(candles)
        ),
    ]


def one_at_a_time(n: int) -> dict[str, float]:
    """Return how long one candle takes from the call to the report, every feature on, in microseconds."""
    candles = make(20_000)[: n + 500]
    engine = Engine(everything(use_smc=True))
    engine.step(candles[:500])
    taken = []
    for number in range(500, len(candles)):
        started = time.perf_counter_ns()
        engine.step(candles[number : number + 1])
        taken.append(time.perf_counter_ns() - started)
    p50, p99 = np.percentile(taken, [50, 99]) / 1e3
    return {"p50_us": float(p50), "p99_us": float(p99)}


def main() -> None:
    """Measure, print a table or JSON, and fail when a figure that must be reached is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--quick", action="store_true", help="a smoke test: fewer candles, no processes")
    options = parser.parse_args()
    n, runs = (100_000, 3) if options.quick else (1_000_000, 5)
    check_reference(n)
    result: dict[str, Any] = {"speeds": speeds(n, runs), "one_candle": one_at_a_time(5_000)}
    result["python"] = [python_strategy.per_candle(n // 10, runs), *orders.speeds(n, runs)]
    result["own"] = own_features.costs(n, runs)
    result["structure"] = smc.speeds(n)
    result["feed"] = [feed.parser(), feed.thousand_symbols()]
    result["models"] = models.speeds(n // 10)
    result["whole"] = [whole.beside_backtesting(n, runs)]
    trials = 20 if options.quick else 500
    result["sweeps"] = [sweeps.pairs(trials), sweeps.brackets(trials)]
    result["portfolio"] = [portfolio.ten_beside_one(n // 10, runs)]
    result["snapshot"] = processes.snapshots()
    result["training"] = [training.fifty_epochs(), montecarlo.paths()]
    if not options.quick:
        result["training"].append(training.year())
        result["calm"] = [
            calm.calm(3),
            calm.calm(10),
            calm.in_a_process(),
            onlookers.beside(),
            page.years_of_minutes(),
        ]
        result["whole"].append(whole.report_of_a_year())
        result["sweeps"].append(sweeps.walk())
        result["portfolio"].append(portfolio.year_of_many())
        result["command"] = whole.command(n)
        result["fill"] = processes.fill_costs()
        result["start"] = processes.start_times()
        result["memory"] = processes.memory()
    print(json.dumps(result, indent=1) if options.json else table(result))  # noqa: T201
    lines = [*result["speeds"], result["structure"], *result["feed"], *result["models"]]
    lines += [*result["python"], *result["own"], *result["whole"], *result["training"]]
    lines += [*result["sweeps"], *result["portfolio"]]
    lines += result.get("calm", ())
    if not options.quick and not all(line["is_met"] for line in lines):
        sys.exit(1)


def table(result: dict[str, Any]) -> str:
    """Return the result as text."""
    lines = ["work                       candles/s   ns/candle   bare ns   ratio   must      aim"]
    lines += [
        f"{row['work']:<24} {row['candles_per_s'] / 1e6:9.2f} M {row['ns_per_candle']:11.1f} "
        f"{row['bare_ns_per_candle']:9.1f} {row['ratio_to_bare']:7.1f} "
        f"{row['must'] / 1e6:5.1f} M {row['aim'] / 1e6:6.1f} M{'' if row['is_met'] else '  NOT MET'}"
        for row in result["speeds"]
    ]
    one = result["one_candle"]
    lines.append(f"one candle, every feature   p50 {one['p50_us']:.1f} µs, p99 {one['p99_us']:.1f} µs")
    told = result["structure"]
    each = ", ".join(f"{us:.2f} at {n:,}" for n, us in zip(told["sizes"], told["replay_us"], strict=True))
    lines.append(f"structure  µs per candle: {each}; exponent {told['exponent']:.2f}")
    lines.append(
        f"structure  one candle from Python {told['one_at_a_time_us']:.1f} µs, "
        f"the batch package {told['batch_package_us'] / 1e3:.0f} ms: {told['times_faster']:,.0f} times faster"
    )
    for row in (
        *result["python"],
        *result["own"],
        *result["whole"],
        *result["sweeps"],
        *result["portfolio"],
        *result["feed"],
        *result["models"],
        *result["training"],
        *result.get("calm", ()),
    ):
        values = ", ".join(
            f"{k} {v:,.2f}"
            for k, v in row.items()
            if isinstance(v, int | float) and k not in ("must", "aim", "is_met")
        )
        lines.append(f"{row['work']:<36} {values}{'' if row['is_met'] else '  NOT MET'}")
    for name, values in result.items():
        if name in ("snapshot", "fill", "start", "memory", "command"):
            told = ", ".join(f"{key} {value:,.2f}" for key, value in values.items())
            lines.append(f"{name:<10} {told}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
