"""Tables of what came of training: each gate's decision with its numbers, and scores beside their baselines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.terminal import plain_table
from papertape.replay.config.learning import FIRST_POLICY
from papertape.replay.tapes.quality import counted
from papertape.replay.tapes.timestamps import utc_text

CONTENDERS: Final = ("challenger", "champion", "logistic", "majority")
MOST_GROUPS: Final = 12  # of inputs that a table shows
_SCORES: Final = ("accuracy", "log_loss", "brier", "ece", "auc", "mcc")
_TITLES: Final = {"log_loss": "log-loss", "brier": "Brier", "ece": "ECE", "auc": "AUC", "mcc": "MCC"}


def attempts_table(attempts: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row per retraining: log-losses on rows that none had seen, what trading on it earned, the decision."""
    table = plain_table(["due"], (*CONTENDERS, "net per trade"), "retraining")
    table.add_column("decision")
    for attempt in attempts:
        contenders = attempt["gate"].get("contenders", {})
        losses = [_number(contenders.get(name, {}).get("log_loss")) for name in CONTENDERS]
        net = contenders.get("challenger", {}).get("net_return")
        decision = attempt["outcome"]
        if attempt["trigger"] != "schedule":
            decision += f" ({attempt['trigger']})"
        shown = "–" if net is None else f"{net:+.3%}"
        table.add_row(utc_text(attempt["due_ms"])[:10], *losses, shown, decision)
    return table


def decisions(attempts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what attempts were refused for, by the gate where it decides or not, with how many were, the most frequent first."""
    counts: dict[str, int] = {}
    for attempt in attempts:
        policy = attempt["gate"].get("recipe", {}).get("policy", FIRST_POLICY)
        judge = "" if policy == FIRST_POLICY else "by its own gate, "
        failed = [c["name"] for c in attempt["gate"].get("criteria", ()) if not c["is_passed"]]
        if failed:
            for name in failed:
                text = f"{judge}not met: {name.replace('_', ' ')}"
                counts[text] = counts.get(text, 0) + 1
        else:
            counts[attempt["reason"]] = counts.get(attempt["reason"], 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [f"{count} × {text}" for text, count in ordered]


def scores_table(title: str, contenders: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return one row per contender with its scores; all are of the same rows."""
    table = plain_table([""], [_TITLES.get(name, name) for name in ("rows", *_SCORES)], title)
    for name in sorted(contenders, key=lambda n: CONTENDERS.index(n) if n in CONTENDERS else 9):
        scores = contenders[name]
        table.add_row(name, f"{scores.get('rows', 0):,}", *(_number(scores.get(score)) for score in _SCORES))
    return table


def judgement(gate: Mapping[str, Any]) -> list[str]:
    """Return a gate's criteria, one a line, each with whether it was met."""
    return [f"{'ok ' if one['is_passed'] else 'not'}  {one['told']}" for one in gate["criteria"]]


def worth_table(worth: Mapping[str, Any]) -> Table:
    """Return what groups of inputs are worth on unseen rows, the most first: by how much log-loss rises without them."""
    groups = worth["groups"]
    title = f"worth of inputs that say the same thing, on {worth['rows']:,} rows not seen in training"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("inputs", overflow="fold")
    table.add_column("worth × 1,000", justify="right")
    table.add_column("in 90 %", justify="right")
    for group in groups[:MOST_GROUPS]:
        limits = (group["lower"], group["upper"])
        shown = [f"{1_000.0 * limit:+.2f}" if limit is not None else "–" for limit in limits]
        table.add_row(
            escape(", ".join(group["inputs"])), f"{1_000.0 * group['value']:+.2f}", " … ".join(shown)
        )
    if len(groups) > MOST_GROUPS:
        rest = sum(group["value"] for group in groups[MOST_GROUPS:])
        table.add_row(counted(len(groups) - MOST_GROUPS, "other"), f"{1_000.0 * rest:+.2f}", "")
    return table


def shadow_lines(attempts: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> list[str]:
    """Return what the models would have done, traded or not, and what their recipe has shown; found: by contender."""
    lines = []
    if (trades := found.get("challenger", {}).get("paper_trades")) is not None:
        total = found["challenger"]["paper_return"]
        each = f", {total / trades:+.3%} each" if trades else ""
        lines.append(f"in the shadow: {trades:,} paper trades after costs{each}, {total:+.2%} together")
    if (seeds := found.get("challenger", {}).get("seeds")) is not None:
        challenger = found["challenger"]
        lines.append(
            f"{seeds:.0f} models as one: log-loss {challenger['log_loss']:.4f} together, {challenger['seed_log_loss']:.4f} alone, "
            f"the worst of each retrain {challenger['seed_log_loss_highest']:.4f}; apart by {challenger['seed_spread']:.4f} "
            "(standard deviation of probabilities)"
        )
    recipes = [attempt["gate"]["recipe"] for attempt in attempts if "recipe" in attempt["gate"]]
    if recipes:
        newest = recipes[-1]
        points = [capital for recipe in recipes for _, capital, _ in recipe["points"]]
        verdict = "passed" if newest["state"]["is_passed"] else "not passed"
        lines.append(
            f"evidence of the recipe: {newest['capital']:.3g} of {newest['boundary']:.3g}, at most "
            f"{max(points, default=1.0):.3g}; {verdict} (learning.policy = {newest['policy']})"
        )
    return lines


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
