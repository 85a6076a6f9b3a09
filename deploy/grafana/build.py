"""
Build `dashboards/papertape.json`: `python deploy/grafana/build.py`. A test builds it again and compares bytes.

Panels are rows of this file; what all of them share (matchers of job and instance, data source, ids, places) is put in here.
Thresholds are those of the alerts in `prometheus/rules`.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parent / "dashboards" / "papertape.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
MATCHERS = 'job=~"$job",instance=~"$instance"'
# A selector: a name of ours or of the library, and perhaps labels.
SELECTOR = re.compile(r"\b((?:papertape|process)_\w+|instance\w*:\w+:\w+)(\{[^}]*\})?")

GREEN, ORANGE, RED = "green", "orange", "red"
Steps = tuple[tuple[float | None, str], ...]


class Panel(NamedTuple):
    """One panel: `queries` are (expression, legend)."""

    title: str
    kind: str  # stat, timeseries, bargauge, heatmap
    width: int  # of 24
    unit: str
    text: str
    queries: tuple[tuple[str, str], ...]
    steps: Steps = ((None, GREEN),)
    decimals: int | None = None


LATENCY = "papertape_decision_latency_seconds_bucket"
SYMBOL = '{symbol=~"$symbol"}'

NOW = (
    Panel("Equity", "stat", 3, "none", "Cash plus open positions at the last mark.",
          (("papertape_equity", "{{currency}}"),), decimals=2),
    Panel("Realised PnL", "stat", 3, "none", "Net of all costs, since the journal began.",
          (("papertape_realized_pnl", "{{currency}}"),), ((None, RED), (0, GREEN)), 2),
    Panel("Unrealised PnL", "stat", 3, "none", "Of open positions, costs of closing included.",
          (("sum by (currency) (papertape_unrealized_pnl" + SYMBOL + ")", "{{currency}}"),),
          ((None, RED), (0, GREEN)), 2),
    Panel("Drawdown", "stat", 3, "percentunit", "Fall from the highest equity; the alert is at 10 %.",
          (("papertape_drawdown_ratio", "{{account}}"),), ((None, GREEN), (0.05, ORANGE), (0.1, RED)), 2),
    Panel("Halted", "stat", 3, "none", "Reasons for which no new position is entered; 0 is normal.",
          (("sum(papertape_trading_halted)", "halted"),), ((None, GREEN), (1, RED))),
    Panel("Ready", "stat", 3, "none", "1 when warmed up and able to decide.",
          (("min(papertape_ready)", "ready"),), ((None, RED), (1, GREEN))),
    Panel("Oldest feed message", "stat", 3, "s", "Silence of the quietest symbol; the alert is at 60 s.",
          (("max(time() - papertape_feed_last_message_timestamp_seconds" + SYMBOL + ")", "age"),),
          ((None, GREEN), (30, ORANGE), (60, RED))),
    Panel("Divergences 24h", "stat", 3, "none", "Differences between live and replay; any is an alarm.",
          (("sum(increase(papertape_parity_divergences_total" + SYMBOL + "[1d]))", "divergences"),),
          ((None, GREEN), (0.5, RED)), 0),
)  # fmt: skip

EQUITY = (
    Panel("Equity and peak", "timeseries", 16, "none", "The distance between the two lines is the drawdown.",
          (("papertape_equity", "equity {{currency}}"), ("papertape_equity_peak", "peak {{currency}}"))),
    Panel("Drawdown under water", "timeseries", 8, "percentunit", "Zero at the peak, below it the fall.",
          (("-papertape_drawdown_ratio", "{{account}}"),)),
    Panel("Realised and unrealised PnL", "timeseries", 12, "none", "Realised is a staircase, one step a trade.",
          (("papertape_realized_pnl", "realised {{currency}}"),
           ("papertape_unrealized_pnl" + SYMBOL, "open {{symbol}}"))),
    Panel("Exposure by symbol and side", "timeseries", 12, "none", "Notional; shorts lie below zero.",
          (('papertape_exposure{side="long",symbol=~"$symbol"}', "long {{symbol}}"),
           ('-papertape_exposure{side="short",symbol=~"$symbol"}', "short {{symbol}}"))),
)  # fmt: skip

PROFIT = (
    Panel("PnL by component", "bargauge", 8, "none",
          "Results of trades closed in the window, split by what each component argued; the bars add up to the net PnL.",
          (("sum by (component, currency) (increase(papertape_attributed_profit_total[$__range]))"
            " - sum by (component, currency) (increase(papertape_attributed_loss_total[$__range]))",
            "{{component}} {{currency}}"),), ((None, RED), (0, GREEN)), 2),
    Panel("Win rate by primary cause", "bargauge", 8, "percentunit",
          "Winners among the trades closed in the window; look at the number of trades beside it.",
          (('sum by (signal) (increase(papertape_trades_closed_total{outcome="win",symbol=~"$symbol"}[$__range]))'
            " / (sum by (signal) (increase(papertape_trades_closed_total" + SYMBOL + "[$__range])) > 0)",
            "{{signal}}"),), decimals=1),
    Panel("Trades by primary cause", "bargauge", 8, "none", "How many trades the figures beside rest on.",
          (("sum by (signal) (increase(papertape_trades_closed_total" + SYMBOL + "[$__range]))", "{{signal}}"),),
          decimals=0),
    Panel("Open positions", "timeseries", 8, "none", "Number of open positions by side.",
          (("sum by (side) (papertape_positions_open" + SYMBOL + ")", "{{side}}"),)),
    Panel("Exits by reason", "bargauge", 8, "none", "What ended the trades of the window.",
          (("sum by (reason) (increase(papertape_exits_total" + SYMBOL + "[$__range]))", "{{reason}}"),),
          decimals=0),
    Panel("Fees per hour", "timeseries", 8, "none", "Fees charged by the simulator.",
          (("sum by (symbol, currency) (increase(papertape_fees_total" + SYMBOL + "[1h]))",
            "{{symbol}} {{currency}}"),)),
)  # fmt: skip

FEED = (
    Panel("Feeds connected", "timeseries", 8, "none", "1 while the stream is connected.",
          (("papertape_feed_connected", "{{feed}}"),)),
    Panel("Age of the newest message", "timeseries", 8, "s", "Silence by symbol; the alert is at 60 s.",
          (("time() - papertape_feed_last_message_timestamp_seconds" + SYMBOL, "{{symbol}}"),)),
    Panel("Age of the newest candle, in candles", "timeseries", 8, "none",
          "Between 0 and 1 plus the delay in calm operation; the alert is at 2.",
          (("max by (symbol, timeframe) ((time() - papertape_candle_last_close_timestamp_seconds" + SYMBOL + ")"
            " / on (instance, timeframe) group_left papertape_timeframe_seconds)", "{{symbol}} {{timeframe}}"),)),
    Panel("Candle gaps and refusals per hour", "timeseries", 8, "none",
          "Missing candles that had to be fetched, and candles that no rule let in.",
          (("sum by (symbol) (increase(papertape_candle_gaps_total" + SYMBOL + "[1h]))", "gap {{symbol}}"),
           ("sum by (reason) (increase(papertape_candles_rejected_total" + SYMBOL + "[1h]))", "{{reason}}"))),
    Panel("Candles by source per hour", "timeseries", 8, "none", "Absent ones are declared, not received.",
          (("sum by (source) (increase(papertape_candles_total" + SYMBOL + "[1h]))", "{{source}}"),)),
    Panel("Candle arrival delay", "timeseries", 8, "s", "Receipt of a final candle minus its close.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_candle_arrival_delay_seconds_bucket[1h])))", "p50"),
           ("histogram_quantile(0.95, sum by (le) (rate(papertape_candle_arrival_delay_seconds_bucket[1h])))", "p95"))),
    Panel("Waits for a symbol", "timeseries", 8, "s",
          "By symbol, a minute: how long instants waited for its candle when every other one was there.",
          (("60 * sum by (symbol) (rate(papertape_candle_wait_seconds_total" + SYMBOL + "[1h]))", "{{symbol}}"),
           ("max by (symbol) (papertape_candle_waiting_seconds" + SYMBOL + ")", "now {{symbol}}"))),
    Panel("Messages", "timeseries", 8, "ops", "Received per second, by kind.",
          (("sum by (feed, kind) (rate(papertape_feed_messages_total[$__rate_interval]))", "{{feed}} {{kind}}"),)),
    Panel("Lag of messages", "timeseries", 8, "s", "Receipt minus the venue's publish time.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_feed_lag_seconds_bucket[$__rate_interval])))", "p50"),
           ("histogram_quantile(0.99, sum by (le) (rate(papertape_feed_lag_seconds_bucket[$__rate_interval])))", "p99"))),
    Panel("Reconnects and notices per hour", "timeseries", 8, "none", "What the feed had to cope with.",
          (("sum by (feed, reason) (increase(papertape_feed_reconnects_total[1h]))", "{{feed}} {{reason}}"),
           ("sum by (kind) (increase(papertape_feed_notices_total[1h])) > 0", "{{kind}}"))),
)  # fmt: skip

DECISIONS = (
    Panel("Decisions per hour", "timeseries", 8, "none", "One per symbol and closed strategy candle.",
          (("sum by (action) (increase(papertape_decisions_total" + SYMBOL + "[1h]))", "{{action}}"),)),
    Panel("Decision latency", "heatmap", 8, "s", "From receipt of a final candle to the report.",
          (("sum by (le) (increase(" + LATENCY + '{stage="total"}[$__rate_interval]))', "{{le}}"),)),
    Panel("Decision latency by stage", "timeseries", 8, "s", "The objective is 99 % within 250 ms.",
          (("histogram_quantile(0.5, sum by (stage, le) (rate(" + LATENCY + "[1h])))", "p50 {{stage}}"),
           ("histogram_quantile(0.99, sum by (stage, le) (rate(" + LATENCY + "[1h])))", "p99 {{stage}}"))),
    Panel("Signals per hour", "timeseries", 8, "none", "Entries accepted and refused.",
          (("sum by (signal) (increase(papertape_signals_total" + SYMBOL + "[1h]))", "{{signal}}"),
           ("sum by (reason) (increase(papertape_signals_rejected_total[1h])) > 0", "refused: {{reason}}"))),
    Panel("Orders per hour", "timeseries", 8, "none", "Simulated orders by type and final status.",
          (("sum by (type, status) (increase(papertape_orders_total" + SYMBOL + "[1h]))", "{{type}} {{status}}"),)),
    Panel("Slippage", "timeseries", 8, "percentunit", "Half spread and slippage on notional, over six hours.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_fill_slippage_ratio_bucket" + SYMBOL + "[6h])))", "p50"),
           ("histogram_quantile(0.95, sum by (le) (rate(papertape_fill_slippage_ratio_bucket" + SYMBOL + "[6h])))", "p95"))),
)  # fmt: skip

JOBS = (
    Panel("Job runs per hour", "timeseries", 8, "none", "Scheduled jobs by outcome.",
          (("sum by (job_name, outcome) (increase(papertape_job_runs_total[1h]))", "{{job_name}} {{outcome}}"),)),
    Panel("Time since a job's last success", "timeseries", 8, "s", "Grows in between, falls back at each success.",
          (("time() - papertape_job_last_success_timestamp_seconds", "{{job_name}}"),)),
    Panel("Parity checks per hour", "timeseries", 8, "none", "Audits: live inputs stepped again and compared.",
          (("sum by (outcome) (increase(papertape_parity_checks_total[1h]))", "{{outcome}}"),)),
    Panel("Time since the last parity check", "stat", 8, "s", "Of the latest audit that finished.",
          (("max(time() - papertape_parity_last_check_timestamp_seconds)", "age"),),
          ((None, GREEN), (3600, ORANGE), (10800, RED))),
    Panel("Divergences per hour", "timeseries", 8, "none", "By the kind of record that differed first.",
          (("sum by (field) (increase(papertape_parity_divergences_total" + SYMBOL + "[1h]))", "{{field}}"),)),
    Panel("Job duration", "timeseries", 8, "s", "95th percentile of the wall time over a day.",
          (("histogram_quantile(0.95, sum by (job_name, le) (rate(papertape_job_duration_seconds_bucket[1d])))",
            "{{job_name}}"),)),
)  # fmt: skip

RUNTIME = (
    Panel("Event-loop lag", "timeseries", 8, "s", "Lateness of a 100 ms timer; must stay below 25 ms at p99.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_event_loop_lag_seconds_bucket[$__rate_interval])))", "p50"),
           ("histogram_quantile(0.99, sum by (le) (rate(papertape_event_loop_lag_seconds_bucket[$__rate_interval])))", "p99"),
           ("instance:papertape_event_loop_lag_seconds:p99_5m", "p99 over 5 m"))),
    Panel("Journal commit time", "timeseries", 8, "s", "Every input waits for its commit.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_journal_commit_duration_seconds_bucket[$__rate_interval])))", "p50"),
           ("histogram_quantile(0.99, sum by (le) (rate(papertape_journal_commit_duration_seconds_bucket[$__rate_interval])))", "p99"))),
    Panel("Memory", "timeseries", 8, "bytes", "Resident, the daemon and its child processes.",
          (("process_resident_memory_bytes", "daemon"), ("papertape_worker_resident_memory_bytes", "{{worker}}"))),
    Panel("CPU", "timeseries", 8, "percentunit", "Of one core.",
          (("rate(process_cpu_seconds_total[$__rate_interval])", "{{instance}}"),)),
    Panel("Errors and warnings per hour", "timeseries", 8, "none", "Handled errors, and log records by level.",
          (("sum by (component) (increase(papertape_errors_total[1h]))", "{{component}}"),
           ("sum by (level) (increase(papertape_log_messages_total[1h]))", "log {{level}}"))),
    Panel("API requests", "timeseries", 8, "reqps", "By route and status.",
          (("sum by (route, status) (rate(papertape_http_requests_total[$__rate_interval])) > 0", "{{route}} {{status}}"),)),
)  # fmt: skip

CHAMPION = '{model="champion"}'
LONG_WINDOW = '{model="champion",window="2000"}'
OUTCOMES = "papertape_prediction_outcomes_total"
RESOLVED = "sum by (confidence_bucket) (increase(" + OUTCOMES + CHAMPION + "[$__range]))"
HITS = (
    "sum by (confidence_bucket) (increase("
    + OUTCOMES
    + '{model="champion",outcome="hit"}[$__range]))'
)
STATED = (
    "sum by (confidence_bucket) (increase(papertape_prediction_confidence_resolved_total"
    + CHAMPION
    + "[$__range]))"
)
CADENCE = "papertape_retrain_cadence_seconds"

MODEL = (
    Panel("Model in force", "stat", 6, "none", "Version, kind and the end of its training data; version 0 is none.",
          (("papertape_model_info" + CHAMPION, "v{{version}} {{algorithm}} up to {{data_end}}"),)),
    Panel("Age of the training data", "stat", 3, "s", "Of the model in force; the alert is at three cadences.",
          (("max(time() - papertape_model_data_end_timestamp_seconds" + CHAMPION + ")", "age"),)),
    Panel("Last good retrain", "stat", 3, "s", "Promoted or not; the alert is at two cadences.",
          (("max(time() - papertape_retrain_last_success_timestamp_seconds)", "age"),)),
    Panel("Retrain running", "stat", 3, "none", "1 while the training process is at work.",
          (("sum(papertape_retrain_in_progress)", "running"),)),
    Panel("Retrain cadence", "stat", 3, "s", "From one scheduled attempt to the next; 0 is off.",
          (("max(" + CADENCE + ")", "cadence"),)),
    Panel("Drift level", "stat", 3, "none", "0 nothing, 1 warning, 2 smaller positions, 3 retrain, 4 no entries.",
          (("max(papertape_drift_level)", "level"),), ((None, GREEN), (1, ORANGE), (3, RED))),
    Panel("Size factor", "stat", 3, "percentunit", "What the drift policy leaves of the size of new entries.",
          (("min(papertape_size_factor_ratio)", "factor"),), ((None, RED), (1, GREEN)), 0),
    Panel("Retrain outcomes per day", "timeseries", 8, "none", "Attempts: promoted, rejected by the gate, failed, timed out.",
          (("sum by (outcome) (increase(papertape_retrain_runs_total[1d]))", "{{outcome}}"),)),
    Panel("Retrain duration", "timeseries", 8, "s", "Wall time of the attempts of a day, mean and 95th percentile.",
          (("sum(increase(papertape_retrain_duration_seconds_sum[1d])) / (sum(increase(papertape_retrain_duration_seconds_count[1d])) > 0)",
            "mean"),
           ("histogram_quantile(0.95, sum by (le) (increase(papertape_retrain_duration_seconds_bucket[1d])))", "p95"))),
    Panel("Log-loss at the gate", "timeseries", 8, "none",
          "Of the latest gate, on candles that no contender saw; lower is better, a coin has 0.693.",
          (('papertape_retrain_validation_score{metric="log_loss"}', "{{model}}"),)),
    Panel("Accuracy at the gate", "timeseries", 8, "percentunit", "Of the latest gate, on candles that no contender saw.",
          (('papertape_retrain_validation_score{metric="accuracy"}', "{{model}}"),)),
    Panel("Net return at the gate", "timeseries", 8, "percentunit", "Mean per trade of each contender's plain rule, after costs.",
          (('papertape_retrain_validation_score{metric="net_return"}', "{{model}}"),)),
    Panel("Criteria of the gate", "timeseries", 8, "none", "1 where the latest challenger met the criterion; all are needed.",
          (("papertape_gate_criterion_passed", "{{criterion}}"),)),
    Panel("Predictions per hour", "timeseries", 16, "none", "One per symbol and closed strategy candle.",
          (("sum by (symbol) (increase(papertape_predictions_total" + SYMBOL + "[1h]))", "{{symbol}}"),)),
)  # fmt: skip

CALIBRATION = (
    Panel("Hit rate by confidence", "bargauge", 8, "percentunit",
          "A calibrated model hits as often as it says; look at the number beside it.",
          ((HITS + " / (" + RESOLVED + " > 0)", "{{confidence_bucket}}"),), decimals=1),
    Panel("Over-confidence by bucket", "bargauge", 8, "percentunit", "Stated minus realised; above zero it claims too much.",
          (("(" + STATED + " - " + HITS + ") / (" + RESOLVED + " > 0)", "{{confidence_bucket}}"),),
          ((None, GREEN), (0.05, ORANGE), (0.1, RED)), 1),
    Panel("Resolved predictions by bucket", "bargauge", 8, "none", "How many outcomes the figures beside rest on.",
          ((RESOLVED, "{{confidence_bucket}}"),), decimals=0),
    Panel("Confidence", "heatmap", 8, "none", "How sure the model was, over time.",
          (("sum by (le) (increase(papertape_prediction_confidence_bucket" + CHAMPION + "[$__rate_interval]))", "{{le}}"),)),
    Panel("Log-loss live", "timeseries", 8, "none", "Over the latest resolved predictions; the alert is at a coin's 0.693.",
          (("papertape_prediction_log_loss" + CHAMPION, "latest {{window}}"),)),
    Panel("Brier score and calibration error", "timeseries", 8, "none", "Over the latest 2,000 resolved predictions.",
          (("papertape_prediction_brier_score" + LONG_WINDOW, "brier"),
           ("papertape_calibration_error_ratio" + LONG_WINDOW, "calibration error"))),
    Panel("Hit rate over a day", "timeseries", 12, "percentunit", "By stated confidence.",
          (("instance_bucket:papertape_hit_ratio:1d", "{{confidence_bucket}}"),)),
    Panel("Predictions behind the scores", "timeseries", 12, "none", "Alerts on scores ask for 500.",
          (("papertape_predictions_resolved" + CHAMPION, "latest {{window}}"),)),
)  # fmt: skip

DRIFT = (
    Panel("Features that have moved most", "bargauge", 8, "none", "Population stability index; severe from 0.25.",
          (("topk(10, max by (feature) (papertape_feature_psi" + SYMBOL + "))", "{{feature}}"),),
          ((None, GREEN), (0.1, ORANGE), (0.25, RED)), 2),
    Panel("Feature PSI", "timeseries", 16, "none", "The worst symbol of each feature; moderate from 0.1, severe from 0.25.",
          (("max by (feature) (papertape_feature_psi" + SYMBOL + ")", "{{feature}}"),)),
    Panel("Prediction and outcome PSI", "timeseries", 8, "none", "Probabilities and outcomes against those of training.",
          (("papertape_prediction_psi" + CHAMPION, "predictions"), ("papertape_target_psi" + CHAMPION, "outcomes"))),
    Panel("Drifted features", "timeseries", 8, "none", "Number of features at or over a level.",
          (("sum by (level, symbol) (papertape_drifted_features" + SYMBOL + ")", "{{level}} {{symbol}}"),)),
    Panel("Missing values", "timeseries", 8, "percentunit", "The worst feature of each symbol; the alert is at 5 %.",
          (("max by (symbol) (papertape_feature_missing_ratio" + SYMBOL + ")", "{{symbol}}"),)),
    Panel("Drift alarms per day", "timeseries", 8, "none", "Of the detectors, by what they watch.",
          (("sum by (kind) (increase(papertape_drift_events_total[1d]))", "{{kind}}"),)),
    Panel("Policy", "timeseries", 8, "none", "Level that drift asks for, and what is left of the size.",
          (("papertape_drift_level", "level"), ("papertape_size_factor_ratio", "size factor"))),
    Panel("Drift computed", "stat", 4, "s", "Age of the latest computation; the alert is at two cadences.",
          (("max(time() - papertape_drift_last_run_timestamp_seconds)", "age"),)),
    Panel("Live rows", "stat", 4, "none", "Of the symbol with the fewest; alerts on features ask for 500.",
          (("min(papertape_drift_window_samples" + SYMBOL + ")", "rows"),)),
    Panel("Age of the reference", "stat", 4, "s", "End of the training data that live rows are compared with.",
          (("max(time() - papertape_drift_reference_timestamp_seconds)", "age"),)),
    Panel("Watch cadence", "stat", 4, "s", "From one computation to the next; 0 is off.",
          (("max(papertape_drift_cadence_seconds)", "cadence"),)),
)  # fmt: skip

ROWS = {
    "Now": NOW,
    "Equity and exposure": EQUITY,
    "Profit and trades": PROFIT,
    "Feed": FEED,
    "Decisions": DECISIONS,
    "Model": MODEL,
    "Predictions and calibration": CALIBRATION,
    "Drift": DRIFT,
    "Jobs and parity": JOBS,
    "Runtime": RUNTIME,
}
HEIGHTS = {"stat": 4, "timeseries": 8, "bargauge": 8, "heatmap": 8}


def matched(expression: str) -> str:
    """Return an expression with the matchers of job and instance in every selector."""

    def add(found: re.Match[str]) -> str:
        inner = (found[2] or "{}")[1:-1]
        return f"{found[1]}{{{MATCHERS}{',' if inner else ''}{inner}}}"

    return SELECTOR.sub(add, expression)


def panel_json(panel: Panel, number: int, x: int, y: int, height: int) -> dict[str, Any]:
    """Return one panel; ids are explicit, so that links to it survive."""
    is_instant = panel.kind in ("stat", "bargauge")
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": matched(expression),
            "legendFormat": legend,
            "range": not is_instant,
            "instant": is_instant,
            "format": "heatmap" if panel.kind == "heatmap" else "time_series",
        }
        for index, (expression, legend) in enumerate(panel.queries)
    ]
    steps = [{"value": value, "color": colour} for value, colour in panel.steps]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    options: dict[str, Any] = {}
    if panel.kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 0, "showPoints": "never"}
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    elif panel.kind == "heatmap":
        options = {
            "calculate": False,
            "color": {"mode": "scheme", "scheme": "Oranges"},
            "yAxis": {"unit": panel.unit},
        }
    else:
        reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        options = {
            "reduceOptions": reduce,
            "orientation": "horizontal" if panel.kind == "bargauge" else "auto",
        }
    return {
        "id": number,
        "title": panel.title,
        "description": panel.text,
        "type": panel.kind,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def panels() -> list[dict[str, Any]]:
    """Return rows and panels in their places: from left to right, then down."""
    built: list[dict[str, Any]] = []
    y = number = 0
    for title, row in ROWS.items():
        number += 1
        place = {"x": 0, "y": y, "w": 24, "h": 1}
        built.append(
            {
                "id": number,
                "title": title,
                "type": "row",
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        y += 1
        x = 0
        height = max(HEIGHTS[panel.kind] for panel in row)
        for panel in row:
            if x + panel.width > 24:
                x, y = 0, y + height
            number += 1
            built.append(panel_json(panel, number, x, y, height))
            x += panel.width
        y += height
    return built


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    """Return a variable of label values: several may be chosen, all by default."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def dashboard() -> dict[str, Any]:
    """Return the whole dashboard in the classic JSON model."""
    restarts = matched("changes(process_start_time_seconds[$__interval]) > 0")
    promotions = matched("changes(papertape_model_loaded_timestamp_seconds[$__interval]) > 0")
    return {
        "uid": "papertape",
        "title": "Papertape",
        "description": "A paper-trading daemon: money, feed, decisions, model, drift, jobs, parity, process.",
        "tags": ["papertape"],
        "schemaVersion": 42,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data Source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {"text": "Prometheus", "value": "papertape-prometheus"},
                },
                variable("job", "Job", "label_values(papertape_build_info, job)"),
                variable(
                    "instance",
                    "Instance",
                    'label_values(papertape_build_info{job=~"$job"}, instance)',
                ),
                variable(
                    "symbol",
                    "Symbol",
                    f"label_values(papertape_positions_open{{{MATCHERS}}}, symbol)",
                ),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Restarts",
                    "enable": True,
                    "datasource": SOURCE,
                    "expr": restarts,
                    "iconColor": "blue",
                    "titleFormat": "started",
                    "step": "60s",
                },
                {
                    "name": "Promotions",
                    "enable": True,
                    "datasource": SOURCE,
                    "expr": promotions,
                    "iconColor": "green",
                    "titleFormat": "model promoted",
                    "step": "60s",
                },
            ]
        },
        "links": [],
        "panels": panels(),
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
