"""
What models are worth on real tapes: every kind under every policy on every recorded tape, on rows that no model had seen.

    python -m tests.bench.learning [--out FILE] [--kind cnn_lstm …] [--policy recipe …] [--only NAME] [--shrink] [--seeds 5] [--signals filter]
    [--by-tape]

Whatever the numbers are, they are printed as they are: log-loss in nats on the candles between one retraining and the next,
what the gate and the recipe's evidence said, and what the whole strategy made of it after costs. A model is trained once
and judged under each policy, for no policy changes how models are made. With --out every line is kept as it is made, and
a second run goes on where the first one ended. With --signals models are asked whether the strategy's own signals pay, and
learn from twice the days, and the strategy enters at lower scores. The tapes are those of ../shared/data/candles.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from papertape.engine.candles import CANDLE, timeframe_ms
from papertape.engine.errors import PapertapeError
from papertape.engine.model.kinds import KINDS
from papertape.replay.backtesting.run import run_backtest
from papertape.replay.config import make_config
from papertape.replay.learning import learning_pass
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.comparison import Interval, Intervals, losses
from papertape.replay.learning.evidence import outcomes
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.settings import DAY_MS
from papertape.replay.learning.walk_forward import said_of, walk
from papertape.replay.tapes.store import Tape

CANDLES: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "candles"
TIMEFRAMES: Final = ("4h", "1h", "15m")
POLICIES: Final = ("model", "recipe", "newest")  # a shadow trades as little as no model at all
_OFTEN: Final = 0.2  # with the strategy's own threshold hardly a close in thirty has a signal, too few to judge a model by
_MARKS: Final = "-mark_"  # prices of a venue's own that nobody trades at


class Case(NamedTuple):
    """One tape at one timeframe, how much of it a model learns from and is judged on, and how often."""

    path: Path
    timeframe: str
    window_days: float
    gate_days: float
    retrain_every: str

    @property
    def name(self) -> str:
        """Return what the table calls it."""
        venue, symbol, base, start, *_ = self.path.stem.split("_")
        return f"{symbol} {self.timeframe} ({venue} {base} {start})"


def cases() -> Iterator[Case]:
    """Yield every tape at every timeframe that it can be put together to: long ones monthly, short ones as they allow."""
    for timeframe in TIMEFRAMES:
        for path in sorted(CANDLES.glob("*.parquet")):
            base = path.stem.split("_")[2]
            if _MARKS in path.name or timeframe_ms(base) > timeframe_ms(timeframe):
                continue
            times = pd.read_parquet(path, columns=["open_time"])["open_time"]
            days = float(times.max() - times.min()) / DAY_MS
            if timeframe == "4h" and days > 700:
                yield Case(path, timeframe, 365.0, 90.0, "monthly")
            elif days > 240:
                yield Case(path, timeframe, 90.0, 30.0, "monthly")
            else:
                every = f"{max(round(days / 15), 1)}d"
                yield Case(path, timeframe, round(days / 3), round(days / 6), every)


def tape_of(case: Case) -> Tape:
    """Return the recorded candles of a case, each time once and in order."""
    venue, symbol, timeframe, *_ = case.path.stem.split("_")
    frame = pd.read_parquet(case.path).drop_duplicates("open_time").sort_values("open_time")
    rows = np.zeros(len(frame), CANDLE)
    rows["open_ms"] = frame["open_time"]
    for column in ("open", "high", "low", "close", "volume"):
        rows[column] = frame[column]
    return Tape(rows, venue, symbol, timeframe, source="recorded")


class Trainer:
    """Trains in this process, each model once."""

    def __init__(self, *, shrink: bool = False, seeds: int = 1, signals: str = "") -> None:
        self.shrink, self.seeds, self.signals = shrink, seeds, signals
        self.gain: Interval | None = None  # of the last walk
        self._kept: dict[tuple[Any, ...], bytes] = {}

    def __call__(self, rows: Any, settings: Any, kind: str, *rest: Any) -> bytes:
        key = (kind, int(rows.time_ms[0]), int(rows.time_ms[-1]), len(rows.time_ms))
        if key not in self._kept:
            self._kept[key] = train_model(rows, settings, kind, *rest)
        return self._kept[key]

    async def walk(self, folder: object, job: TrainingJob, *_: object) -> Learned:
        """Do as `run_walk` does, here."""
        learned = Learned(*walk(job, self), 0.0)
        self.gain = gain_of(job, learned)
        return learned


def gain_of(job: TrainingJob, learned: Learned) -> Interval | None:
    """Return by how much the models' log-loss lay below that of the share of rises known when each was trained, in nats."""
    followed = outcomes(job.rows, job.settings)
    ends = [attempt.due_ms for attempt in learned.attempts[1:]] + [None]
    bars, gains = [], []
    for attempt, end_ms in zip(learned.attempts, ends, strict=True):
        if not attempt.artefact:
            continue
        said = said_of(job.rows, attempt, end_ms, None)
        y, p = followed.y[:, said.chosen].T, said.contenders["challenger"].T
        judged = np.isfinite(y) & np.isfinite(p)
        always = np.full(int(judged.sum()), said.majority)
        gains.append(losses(y[judged], always) - losses(y[judged], p[judged]))
        bars.append(said.chosen.start + np.nonzero(judged)[0])
    if not gains or len(np.concatenate(gains)) == 0:
        return None
    settings = job.settings
    intervals = Intervals(np.concatenate(bars), settings.horizon_bars, settings.seed)
    return intervals.of(np.concatenate(gains))


def measure(case: Case, kind: str, policy: str, trainer: Trainer) -> dict[str, Any]:
    """Return one line of the table."""
    asked = {"model_use": trainer.signals, "model_asks": "signal"} if trainer.signals else {}
    longer = 2.0 if asked else 1.0
    often = {"confidence_threshold": _OFTEN, "exit_threshold": _OFTEN / 2.0} if asked else {}
    values = {
        "data": {"timeframe": case.timeframe},
        "strategy": {"parameters": often},
        "signals": {"model": kind, "retrain_every": case.retrain_every, **asked},
        "learning": {
            "shrink": trainer.shrink, "seeds": trainer.seeds,
            "window_days": longer * case.window_days, "gate_days": longer * case.gate_days, "policy": policy,
            "time_limit_s": 3_600.0,
        },
        "report": {"sensitivity": False, "random_draws": 0},
    }  # fmt: skip
    line = {"case": case.name, "timeframe": case.timeframe, "kind": kind, "policy": policy}
    started = time.perf_counter()
    learning_pass.run_walk = trainer.walk
    try:
        found = run_backtest(make_config(values), [tape_of(case)])
    except PapertapeError as error:
        return {**line, "refused": str(error).split("\n")[0]}
    model = found.summary["model"]
    recipes = [attempt["gate"].get("recipe", {}) for attempt in model["attempts"]]
    outcomes = [attempt["outcome"] for attempt in model["attempts"]]
    return {
        **line,
        "outcomes": {name: outcomes.count(name) for name in dict.fromkeys(outcomes)},
        "passed": any(recipe["state"]["is_passed"] for recipe in recipes if recipe),
        "capital": max((recipe["capital"] for recipe in recipes if recipe), default=1.0),
        "contenders": model["out_of_sample"].get("contenders", {}),
        "gain": trainer.gain,
        "total_return": found.metrics["total_return"],
        "buy_and_hold": found.metrics["buy_and_hold_return"],
        "trades": int(found.metrics["trades"]),
        "seconds": time.perf_counter() - started,
    }


def table(lines: list[dict[str, Any]]) -> Table:
    """Return one row a timeframe, kind and policy, over all tapes on which it could be measured."""
    told = Table(box=None)
    for title in (
        "timeframe", "kind", "policy", "tapes", "models", "promoted", "demoted", "recipes passed", "best capital", "rows",
        "log-loss", "logistic", "majority", "accuracy", "AUC", "worst − majority", "median return", "above 0", "buy and hold",
    ):  # fmt: skip
        told.add_column(
            title, justify="left" if title in ("timeframe", "kind", "policy") else "right"
        )
    groups = dict.fromkeys((x["timeframe"], x["kind"], x["policy"]) for x in lines)
    for group in groups:
        chosen = [x for x in lines if (x["timeframe"], x["kind"], x["policy"]) == group]
        judged = [x for x in chosen if x.get("contenders")]
        if judged:
            told.add_row(*group, *cells(judged))
    return told


def by_tape(lines: list[dict[str, Any]]) -> list[str]:
    """Return Markdown, one row a tape and kind: what its models were worth, and what each policy made of them."""
    titles = (
        "tape", "kind", "models", "rows", "log-loss", "majority", "better by, in 90 %",
        *(f"{policy}: promoted, return" for policy in POLICIES), "recipe passed",
    )  # fmt: skip
    told = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    measured = [x for x in lines if x.get("contenders")]
    for case, kind in dict.fromkeys((x["case"], x["kind"]) for x in measured):
        policies = {x["policy"]: x for x in measured if (x["case"], x["kind"]) == (case, kind)}
        first = next(iter(policies.values()))
        scores, (gain, low, high) = first["contenders"], first["gain"]
        judged = policies.get("recipe", first)
        row = (
            case, kind, str(n_models(first)), f"{scores['challenger']['rows']:,}",
            f"{scores['challenger']['log_loss']:.4f}", f"{scores['majority']['log_loss']:.4f}",
            f"{gain:+.4f} ({low:+.4f} … {high:+.4f})", *(under(policies.get(name)) for name in POLICIES),
            f"{'yes' if judged['passed'] else 'no'}, {judged['capital']:.3g} of 20",
        )  # fmt: skip
        told.append(f"| {' | '.join(row)} |")
    return told


def n_models(line: dict[str, Any]) -> int:
    """Return how many models were trained."""
    return sum(line["outcomes"].get(name, 0) for name in ("promoted", "rejected", "demoted"))


def under(line: dict[str, Any] | None) -> str:
    """Return how many models a policy let in, and the return of the whole strategy after costs."""
    if line is None:
        return "not measured"
    return f"{line['outcomes'].get('promoted', 0)}, {line['total_return']:+.1%}"


def cells(judged: list[dict[str, Any]]) -> list[str]:
    """Return what a group's row says; scores are means over rows."""
    rows = np.array([x["contenders"]["challenger"]["rows"] for x in judged])

    def mean(name: str, measure: str) -> str:
        values = [x["contenders"][name][measure] for x in judged]
        return f"{np.average(values, weights=rows):.4f}"

    count = {
        name: sum(x["outcomes"].get(name, 0) for x in judged)
        for name in ("promoted", "rejected", "demoted")
    }
    excess = [
        x["contenders"]["challenger"]["log_loss"] - x["contenders"]["majority"]["log_loss"]
        for x in judged
    ]
    returns = np.array([x["total_return"] for x in judged])
    return [
        str(len(judged)), f"{sum(count.values()):,}", str(count["promoted"]), str(count["demoted"]),
        f"{sum(x['passed'] for x in judged)} of {len(judged)}", f"{max(x['capital'] for x in judged):.3g}", f"{rows.sum():,}",
        mean("challenger", "log_loss"), mean("logistic", "log_loss"), mean("majority", "log_loss"),
        mean("challenger", "accuracy"), mean("challenger", "auc"), f"{max(excess):+.4f}", f"{np.median(returns):+.1%}",
        f"{(returns > 0.0).sum()} of {len(judged)}", f"{np.median([x['buy_and_hold'] for x in judged]):+.1%}",
    ]  # fmt: skip


def main() -> None:
    """Make every line that is not there yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", nargs="+", default=sorted(KINDS), choices=sorted(KINDS))
    parser.add_argument("--policy", nargs="+", default=list(POLICIES), choices=POLICIES)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--out", type=Path, help="a file of lines, each JSON, that is gone on with")
    parser.add_argument(
        "--shrink", action="store_true", help="learning.shrink, in a FILE of its own"
    )
    parser.add_argument("--by-tape", action="store_true", help="Markdown of every tape, too")
    parser.add_argument("--seeds", type=int, default=1, help="learning.seeds, in a FILE of its own")
    parser.add_argument(
        "--signals", default="", choices=("filter", "sizer"), help="signals.model_use, likewise"
    )
    asked = parser.parse_args()
    if not CANDLES.is_dir():
        sys.exit(f"{CANDLES}: the recorded candles are not here")
    lines = []
    if asked.out is not None and asked.out.is_file():
        lines = [json.loads(line) for line in asked.out.read_text().splitlines()]
    done = {(x["case"], x["kind"], x["policy"]) for x in lines}
    console = Console(width=260)
    for kind in asked.kind:
        for case in cases():
            wanted = [p for p in asked.policy if (case.name, kind, p) not in done]
            if asked.only not in case.name or not wanted:
                continue
            trainer = Trainer(shrink=asked.shrink, seeds=asked.seeds, signals=asked.signals)
            for policy in wanted:
                lines.append(measure(case, kind, policy, trainer))
                console.print(f"… {case.name} {kind} {policy}", style="dim", highlight=False)
                if asked.out is not None:
                    with asked.out.open("a") as file:
                        file.write(json.dumps(lines[-1]) + "\n")
    console.print(table(lines))
    if asked.by_tape:
        console.print("\n".join(by_tape(lines)), highlight=False, soft_wrap=True)
    for refused in dict.fromkeys((x["case"], x["refused"]) for x in lines if "refused" in x):
        console.print(f"not measured: {refused[0]}: {refused[1]}", highlight=False)


if __name__ == "__main__":
    main()
