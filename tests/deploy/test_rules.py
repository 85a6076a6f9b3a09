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


def pair(alert: str, at: str, firing: dict[str, str], silent: dict[str, str], why: str) -> tuple[Case, Case]:
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
CHAMPION = f'{JOB},model="champion"'
SYMBOL = f'{JOB},symbol="X"'


def retraining(**values: str) -> dict[str, str]:
    """Return series of a daemon that retrains every hour, with some of them otherwise; minutes, at one a minute."""
    series = {
        "data_end": "0x400",
        "cadence": "3600x400",
        "version": "3",
        "success": "0x400",
        "progress": "1x400",
        "attempt": "0x400",
        **values,
    }
    info = f'{CHAMPION},version="{series["version"]}",algorithm="lstm",feature_set="a",data_end="b"'
    return {
        f"papertape_model_data_end_timestamp_seconds{{{CHAMPION}}}": series["data_end"],
        f"papertape_retrain_cadence_seconds{{{JOB}}}": series["cadence"],
        f"papertape_model_info{{{info}}}": "1x400",
        f"papertape_retrain_last_success_timestamp_seconds{{{JOB}}}": series["success"],
        f"papertape_retrain_in_progress{{{JOB}}}": series["progress"],
        f"papertape_retrain_last_attempt_timestamp_seconds{{{JOB}}}": series["attempt"],
    }


def scored(family: str, value: str, resolved: str = "2000x100") -> dict[str, str]:
    window = f'{CHAMPION},window="2000"'
    return {f"papertape_{family}{{{window}}}": value, f"papertape_predictions_resolved{{{window}}}": resolved}


def drifted(family: str, value: str, rows: str = "500x60", others: int = 0) -> dict[str, str]:
    """Return series of one symbol's features: one with this value, and others that have not moved."""
    labels = f'{SYMBOL},feature="rsi_14"' if family != "drifted_features" else f'{SYMBOL},level="severe"'
    still = {f'papertape_feature_psi{{{SYMBOL},feature="f{n}"}}': "0x60" for n in range(others)}
    return {
        f"papertape_{family}{{{labels}}}": value,
        f"papertape_drift_window_samples{{{SYMBOL}}}": rows,
        **still,
    }


RETRAINED = f'papertape_retrain_runs_total{{{JOB},trigger="schedule",outcome="%s"}}'
WATCHED = f"papertape_drift_last_run_timestamp_seconds{{{JOB}}}"
WATCH_EVERY = f"papertape_drift_cadence_seconds{{{JOB}}}"

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
    *pair("ModelTooOld", "200m", retraining(), retraining(data_end="0+60x400"), "newer data"),
    Case("ModelTooOld", False, "170m", retraining(), "not yet three cadences old"),
    Case("ModelTooOld", False, "200m", retraining(cadence="0x400"), "retraining is off"),
    Case("ModelTooOld", False, "200m", retraining(version="0"), "there is no model"),
    *pair(
        "RetrainFailed",
        "5m",
        {RETRAINED % "timeout": "0 0 1x10"},
        {RETRAINED % "rejected": "0 0 1x10"},
        "a challenger that the gate refused is no failure",
    ),
    *pair(
        "RecipeDemoted",
        "5m",
        {RETRAINED % "demoted": "0 0 1x10"},
        {RETRAINED % "rejected": "0 0 1x10"},
        "the recipe has not faded",
    ),
    *pair("RetrainOverdue", "140m", retraining(), retraining(success="0+60x400"), "it succeeds"),
    Case("RetrainOverdue", False, "110m", retraining(), "not yet two cadences ago"),
    Case("RetrainOverdue", False, "140m", retraining(cadence="0x400"), "retraining is off"),
    *pair("RetrainStuck", "130m", retraining(), retraining(progress="0x400"), "none runs"),
    Case("RetrainStuck", False, "130m", retraining(attempt="7200x400"), "it began just now"),
    *pair(
        "CalibrationPoor",
        "70m",
        scored("calibration_error_ratio", "0.11x100"),
        scored("calibration_error_ratio", "0.09x100"),
        "within the limit",
    ),
    Case(
        "CalibrationPoor",
        False,
        "70m",
        scored("calibration_error_ratio", "0.11x100", "499x100"),
        "too few predictions to say",
    ),
    *pair(
        "ModelWorseThanChance",
        "70m",
        scored("prediction_log_loss", "0.70x100"),
        scored("prediction_log_loss", "0.69x100"),
        "better than a coin",
    ),
    Case(
        "ModelWorseThanChance",
        False,
        "70m",
        scored("prediction_log_loss", "0.70x100", "499x100"),
        "too few predictions to say",
    ),
    *pair(
        "FeatureDriftSevere",
        "35m",
        drifted("feature_psi", "0.26x60"),
        drifted("feature_psi", "0.24x60"),
        "moderate only",
    ),
    Case("FeatureDriftSevere", False, "35m", drifted("feature_psi", "0.26x60", "499x60"), "few rows"),
    *pair(
        "FeatureDriftBroad",
        "35m",
        drifted("drifted_features", "4x60", others=10),
        drifted("drifted_features", "3x60", others=10),
        "no more than three in ten",
    ),
    Case(
        "FeatureDriftBroad",
        False,
        "35m",
        drifted("drifted_features", "4x60", "499x60", others=10),
        "few rows",
    ),
    *pair(
        "PredictionDrift",
        "35m",
        {f"papertape_prediction_psi{{{CHAMPION}}}": "0.26x60"},
        {f"papertape_prediction_psi{{{CHAMPION}}}": "0.24x60"},
        "moderate only",
    ),
    *pair(
        "DriftMonitorStale",
        "130m",
        {WATCHED: "0x200", WATCH_EVERY: "3600x200"},
        {WATCHED: "0+60x200", WATCH_EVERY: "3600x200"},
        "it goes on",
    ),
    Case(
        "DriftMonitorStale",
        False,
        "130m",
        {WATCHED: "0x200", WATCH_EVERY: "86400x200"},
        "a daily watch is not late yet",
    ),
    *pair(
        "FeatureMissing",
        "20m",
        drifted("feature_missing_ratio", "0.06x60"),
        drifted("feature_missing_ratio", "0.04x60"),
        "a few are normal",
    ),
    Case("FeatureMissing", False, "20m", drifted("feature_missing_ratio", "0.06x60", "99x60"), "warm-up"),
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
            {"expr": expression, "eval_time": case.at, "exp_samples": [{"labels": "{}", "value": firing}]}
        ],
    }


def run_tests(folder: Path, tests: list[dict[str, object]]) -> subprocess.CompletedProcess[str]:
    document = {"rule_files": [str(path) for path in RULES], "evaluation_interval": "30s", "tests": tests}
    (folder / "tests.json").write_text(json.dumps(document), encoding="utf-8")
    return promtool("test", "rules", "tests.json", cwd=folder)


def test_rules_pass_the_linter(tmp_path: Path) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES), cwd=tmp_path)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(  # a quarter of a second each
    "cases", [CASES[::8], pytest.param(CASES, marks=pytest.mark.slow)], ids=["some", "every"]
)
def test_every_alert_fires_and_stays_silent(cases: tuple[Case, ...], tmp_path: Path) -> None:
    assert {case.is_firing for case in cases} == {True, False}

    done = run_tests(tmp_path, [verdict(case, int(case.is_firing)) for case in cases])

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
            "severity": "critical",
            "area": "feed",
            "job": "papertape",
            "instance": "a",
            "symbol": "X",
            "timeframe": "1m",
        },
        "exp_annotations": {
            "summary": "a: the newest 1m candle of X is 5 candles old",
            "runbook": "deploy/runbook.md#candlestale",
        },
    }
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
        "promql_expr_test": [{"expr": f"round({name}, 0.0001)", "eval_time": "25m", "exp_samples": [sample]}],
    }

    done = run_tests(tmp_path, [test])

    assert done.returncode == 0, done.stdout + done.stderr


def test_recorded_hit_ratio_is_hits_over_all(tmp_path: Path) -> None:
    """Three hits and one miss a minute, over a day of which only the last hours exist."""
    name = f'papertape_prediction_outcomes_total{{{CHAMPION},confidence_bucket="0.55-0.60",outcome="%s"}}'
    labels = f'{{confidence_bucket="0.55-0.60",{CHAMPION}}}'
    test: dict[str, object] = {
        "interval": "1m",
        "input_series": [
            {"series": name % "hit", "values": "0+3x120"},
            {"series": name % "miss", "values": "0+1x120"},
        ],
        "promql_expr_test": [
            {
                "expr": "round(instance_bucket:papertape_hit_ratio:1d, 0.0001)",
                "eval_time": "110m",
                "exp_samples": [{"labels": labels, "value": 0.75}],
            }
        ],
    }

    done = run_tests(tmp_path, [test])

    assert done.returncode == 0, done.stdout + done.stderr
