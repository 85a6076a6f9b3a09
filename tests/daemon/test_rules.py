"""Every alert fires when it must and stays silent when one thing differs: promtool evaluates the rules over given series."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

RULES = sorted((Path(__file__).resolve().parents[2] / "deploy/prometheus/rules").glob("*.yml"))
PROMTOOL = shutil.which("promtool")

pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian package `prometheus`)"
)

JOB = 'job="papertape",instance="a"'
LATENCY = f'papertape_decision_latency_seconds_%s{{{JOB},stage="total"%s}}'


class Case(NamedTuple):
    """Series by name, values in promtool's notation at one a minute, and when to look."""

    alert: str
    is_firing: bool
    at: str
    series: dict[str, str]
    why: str


def pair(
    alert: str, at: str, firing: dict[str, str], silent: dict[str, str], why: str
) -> tuple[Case, Case]:
    """Return the case that fires and the one that does not, which differs in one thing."""
    return Case(alert, True, at, firing, "fires"), Case(alert, False, at, silent, why)


def latency(slow: str, total: str) -> dict[str, str]:
    """Return series of decisions within the objective and of all."""
    return {LATENCY % ("bucket", ',le="0.25"'): slow, LATENCY % ("count", ""): total}


def decided(ready: str, length: str = "60x20") -> dict[str, str]:
    return {
        f'papertape_decision_last_timestamp_seconds{{{JOB},timeframe="1m"}}': "0x20",
        f'papertape_timeframe_seconds{{{JOB},timeframe="1m"}}': length,
        f"papertape_ready{{{JOB}}}": ready,
    }


def candle(close: str, length: str = "60x20") -> dict[str, str]:
    return {
        f'papertape_candle_last_close_timestamp_seconds{{{JOB},symbol="X",timeframe="1m"}}': close,
        f'papertape_timeframe_seconds{{{JOB},timeframe="1m"}}': length,
    }


UP = f"up{{{JOB}}}"
STARTED = f"process_start_time_seconds{{{JOB}}}"
HALTED = f'papertape_trading_halted{{{JOB},reason="manual"}}'
CONNECTED = f'papertape_feed_connected{{{JOB},feed="delta"}}'
HEARD = f'papertape_feed_last_message_timestamp_seconds{{{JOB},feed="delta",symbol="X"}}'
DRAWDOWN = f'papertape_drawdown_ratio{{{JOB},account="paper"}}'
DIVERGED = f'papertape_parity_divergences_total{{{JOB},symbol="X",field="fill"}}'
COMMITS = f'papertape_journal_commits_total{{{JOB},outcome="%s"}}'

CASES = (
    *pair("PapertapeDown", "5m", {UP: "1 0x10"}, {UP: "1 0 1x10"}, "it answers again"),
    *pair("PapertapeAbsent", "5m", {'up{job="other"}': "1x10"}, {UP: "0x10"}, "a target is known"),
    *pair(
        "PapertapeRestartLoop",
        "10m",
        {STARTED: "0 100 200 300 400x20"},
        {STARTED: "0 100 200 300x20"},
        "three starts are allowed",
    ),
    *pair("TradingHalted", "2m", {HALTED: "0 1x10"}, {HALTED: "0 0x10"}, "not halted"),
    *pair("FeedDisconnected", "5m", {CONNECTED: "0x10"}, {CONNECTED: "0 1x10"}, "it came back"),
    *pair("FeedStale", "5m", {HEARD: "0x10"}, {HEARD: "0+60x10"}, "messages go on"),
    *pair("CandleStale", "5m", candle("0x20"), candle("0+60x20"), "candles go on"),
    Case("CandleStale", False, "5m", candle("0x20", "3600x20"), "an hour's candle is not old yet"),
    *pair("NoDecisions", "5m", decided("1x20"), decided("0x20"), "it is not ready"),
    Case("NoDecisions", False, "5m", decided("1x20", "900x20"), "the next one is not due yet"),
    *pair(
        "DecisionLatencyBurnFast",
        "70m",
        latency("0x80", "0+1x80"),
        latency("0+1x80", "0+1x80"),
        "all within the objective",
    ),
    Case(
        "DecisionLatencyBurnFast",
        False,
        "70m",
        latency("0x80", "0x10 1x10 2x10 3x10 4x10 5x30"),
        "fewer than twenty decisions",
    ),
    Case(
        "DecisionLatencyBurnFast",
        False,
        "70m",
        latency("0x30 0+2x50", "0+1x30 30+2x50"),
        "it is over: the last ten minutes are fine",
    ),
    *pair("DrawdownCritical", "1m", {DRAWDOWN: "0.11x5"}, {DRAWDOWN: "0.09x5"}, "below the limit"),
    *pair("ParityDivergence", "5m", {DIVERGED: "0 0 1x10"}, {DIVERGED: "0 0 0x10"}, "none found"),
    Case("ParityDivergence", False, "5m", {DIVERGED: "5 5 0x10"}, "a restart is no divergence"),
    Case(
        "ParityDivergence",
        False,
        "5m",
        {DIVERGED: "_ _ 1x10"},
        "a series that appears at one: why every series begins at zero",
    ),
    *pair(
        "JournalCommitFailing",
        "4m",
        {COMMITS % "failed": "0 0 1x10"},
        {COMMITS % "ok": "0 0 1x10"},
        "a good commit",
    ),
)


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def verdict(case: Case, firing: int) -> dict[str, object]:
    """Return one promtool test, which expects the number of firing alerts (JSON is YAML)."""
    expression = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    return {
        "name": f"{case.alert}: {case.why}",
        "interval": "1m",
        "input_series": [{"series": name, "values": v} for name, v in case.series.items()],
        "promql_expr_test": [
            {
                "expr": expression,
                "eval_time": case.at,
                "exp_samples": [{"labels": "{}", "value": firing}],
            }
        ],
    }


def run_tests(folder: Path, tests: list[dict[str, object]]) -> subprocess.CompletedProcess[str]:
    document = {
        "rule_files": [str(path) for path in RULES],
        "evaluation_interval": "30s",
        "tests": tests,
    }
    (folder / "tests.json").write_text(json.dumps(document), encoding="utf-8")
    return promtool("test", "rules", "tests.json", cwd=folder)


def test_rules_pass_the_linter(tmp_path: Path) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES), cwd=tmp_path)

    assert done.returncode == 0, done.stderr


def test_every_alert_fires_and_stays_silent(tmp_path: Path) -> None:
    done = run_tests(tmp_path, [verdict(case, int(case.is_firing)) for case in CASES])

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_expectation_is_found(tmp_path: Path) -> None:
    """Otherwise the test above would say nothing."""
    for case in (CASES[0], CASES[1]):
        done = run_tests(tmp_path, [verdict(case, 1 - int(case.is_firing))])

        assert done.returncode != 0


def test_every_alert_has_both_cases() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in RULES)
    alerts = set(re.findall(r"- alert: (\w+)", text))

    assert {case.alert for case in CASES if case.is_firing} == alerts
    assert {case.alert for case in CASES if not case.is_firing} == alerts


def test_texts_of_alerts_are_filled_in(tmp_path: Path) -> None:
    expected = {
        "exp_labels": {
            "severity": "critical", "area": "feed", "job": "papertape", "instance": "a",
            "symbol": "X", "timeframe": "1m",
        },
        "exp_annotations": {
            "summary": "a: the newest 1m candle of X is 5 candles old",
            "runbook": "deploy/runbook.md#candlestale",
        },
    }  # fmt: skip
    check = {"alertname": "CandleStale", "eval_time": "5m", "exp_alerts": [expected]}
    test = verdict(next(case for case in CASES if case.alert == "CandleStale"), 1)

    done = run_tests(tmp_path, [{**test, "alert_rule_test": [check]}])

    assert done.returncode == 0, done.stdout + done.stderr


def test_recorded_quantiles_are_those_of_the_buckets(tmp_path: Path) -> None:
    """A hundred decisions a minute, 98 within 0.1 s and all within 0.25 s: p99 lies half-way between the two."""
    name = "instance:papertape_decision_latency_seconds:p99_15m"
    series = {
        LATENCY % ("bucket", ',le="0.1"'): "0+98x30",
        LATENCY % ("bucket", ',le="0.25"'): "0+100x30",
        LATENCY % ("bucket", ',le="+Inf"'): "0+100x30",
    }
    value = 0.1 + (0.25 - 0.1) * (99 - 98) / (100 - 98)
    sample = {"labels": f"{{{JOB}}}", "value": round(value, 4)}
    test: dict[str, object] = {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {"expr": f"round({name}, 0.0001)", "eval_time": "25m", "exp_samples": [sample]}
        ],
    }

    done = run_tests(tmp_path, [test])

    assert done.returncode == 0, done.stdout + done.stderr
