"""The catalogue: names and labels by the rules, every series there from the start, within budget, and nothing else."""

import re
from collections.abc import Iterable

import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

from papertape.daemon.metrics import CATALOGUE, PREFIX, Metrics, Scope, exposed_features, markdown
from papertape.daemon.metrics.catalogue import AREAS, FAMILY_BUDGET
from papertape.daemon.metrics.definitions import Definition, MetricKind, Scoped
from papertape.daemon.metrics.trading_families import (
    ENTRIES,
    EXIT_REASONS,
    ORDER_ENDS,
    ORDER_EVENTS,
    ORDER_TYPES,
    REJECTIONS,
)
from papertape.daemon.monitoring.server import Server
from papertape.engine.broker.working.orders import CAUSE_NAMES, STATUS_NAMES
from papertape.engine.records import REASON_END, REASON_NAMES, REFUSED_NAMES, REFUSED_NO

# As large as a daemon is meant to be: the budget of monitoring.md 2 holds up to here.
SCOPE = Scope(
    symbols=("ADAUSD", "BTCUSD", "ETHUSD", "SOLUSD", "XRPUSD"),
    base_timeframe="1m",
    timeframe="15m",
    currency="USD",
    feeds=("delta",),
    jobs=("audit", "backup", "compaction", "snapshot", "summary"),
    workers=("audit",),
    endpoints=Server.ENDPOINTS,
    features=exposed_features([f"feature_{number}" for number in range(40)], 5),
)
START_S = 1_700_000_000.0
UNITS = ("_seconds", "_bytes", "_ratio", "_total", "_info")
# Counts, sums of money and states have no unit of their own (monitoring.md 2 and 3).
WITHOUT_UNIT = {
    "equity", "equity_peak", "equity_day_start", "cash", "unrealized_pnl", "realized_pnl", "funding_paid", "exposure",
    "positions_open", "trading_halted", "feed_connected", "parity_pnl_difference", "ready",
    "event_loop_tasks", "queue_depth", "prediction_brier_score", "prediction_log_loss",
    "prediction_confidence", "predictions_resolved", "retrain_in_progress", "retrain_validation_score", "feature_psi",
    "prediction_psi", "target_psi", "drifted_features", "drift_window_samples", "drift_level",
    "gate_criterion_passed", "market_price", "position_price", "position_quantity", "fill_price",
    "orders_working", "recipe_evidence", "recipe_boundary", "recipe_passed", "shadow_trades", "shadow_log_loss",
}  # fmt: skip
MONEY = {
    "equity", "equity_peak", "equity_day_start", "cash", "unrealized_pnl", "realized_pnl", "funding_paid", "exposure",
    "gross_profit_total", "gross_loss_total", "attributed_profit_total", "attributed_loss_total",
    "fees_total", "parity_pnl_difference", "market_price", "position_price", "fill_price",
}  # fmt: skip


def exposed(metrics: Metrics) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    """Return every sample on the wire by family, names as promised in the catalogue."""
    text = generate_latest(metrics.registry).decode()
    return {
        family.name + ("_total" if family.type == "counter" else ""): [
            (sample.name, sample.labels, sample.value) for sample in family.samples
        ]
        for family in text_string_to_metric_families(text)
    }


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(SCOPE, START_S)
    made.identify("0.1.0", "abc", "paper")
    return made


@pytest.mark.parametrize("definition", CATALOGUE, ids=lambda definition: definition.name)
def test_names_and_labels_keep_the_conventions(definition: Definition) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", definition.name)
    assert definition.name.endswith("_total") == (definition.kind is MetricKind.COUNTER)
    assert definition.name.endswith(UNITS) or definition.name in WITHOUT_UNIT
    assert not re.search(r"_(ms|millis|percent|pct|usd|count|bucket|sum)(_|$)", definition.name)
    assert ("currency" in definition.label_names) == (definition.name in MONEY)
    assert not {"job", "instance", "le", "quantile"} & set(definition.label_names)
    assert len(set(definition.label_names)) == len(definition.label_names)
    assert re.fullmatch(r"[A-Z0-9].*\.", definition.help)
    for label in definition.labels:
        if isinstance(label.values, tuple):
            assert label.values
            assert len(set(label.values)) == len(label.values)


@pytest.mark.parametrize("definition", CATALOGUE, ids=lambda definition: definition.name)
def test_buckets_ascend_and_belong_to_histograms(definition: Definition) -> None:
    assert bool(definition.buckets) == (definition.kind is MetricKind.HISTOGRAM)
    assert list(definition.buckets) == sorted(set(definition.buckets))


def test_latency_has_a_bound_at_its_objective() -> None:
    by_name = {definition.name: definition for definition in CATALOGUE}

    assert 0.25 in by_name["decision_latency_seconds"].buckets


def test_families_are_named_once() -> None:
    names = [definition.name for definition in CATALOGUE]

    assert len(set(names)) == len(names)


def test_what_is_exposed_is_the_catalogue_and_the_librarys_own(metrics: Metrics) -> None:
    families = exposed(metrics)

    ours = {name for name in families if name.startswith(PREFIX)}
    # A family without labels is there as soon as it was measured.
    waiting = {d.full_name for d in CATALOGUE if d.is_measured and not d.labels}
    recipe = {f"papertape_recipe_{name}" for name in ("evidence", "boundary", "passed")}
    shadow = {
        f"papertape_shadow_{name}" for name in ("trades", "return_ratio", "last_close_timestamp_seconds")
    }
    assert waiting == {"papertape_drift_level", *recipe, *shadow}
    assert ours == {definition.full_name for definition in CATALOGUE} - waiting
    others = {name.split("_")[0] for name in families if not name.startswith(PREFIX)}
    assert others == {"process", "python"}


def test_every_series_is_there_at_zero_from_the_start(metrics: Metrics) -> None:
    families = exposed(metrics)

    for definition in CATALOGUE:
        if definition.is_measured:
            assert not families.get(definition.full_name), definition.name
            continue
        samples = families[definition.full_name]
        keys = {tuple(labels[name] for name in definition.label_names) for _, labels, _ in samples}
        if definition.is_info:
            assert [value for _, _, value in samples] == [1.0]
            continue
        assert keys == set(SCOPE.combinations(definition)), definition.name
        values = {value for _, _, value in samples}
        if definition.name.endswith("_timestamp_seconds"):
            assert values == {START_S}, definition.name
        elif definition.name == "timeframe_seconds":
            assert values == {60.0, 900.0}
        else:
            assert values == {0.0}, definition.name


# Gauges that begin at 0 and mean it; any other that could be read as a result must be absent until it was measured.
ZERO_IS_SO = {
    "account": {"equity", "equity_peak", "equity_day_start", "cash", "unrealized_pnl", "realized_pnl", "funding_paid",
                "drawdown_ratio", "exposure", "leverage_ratio", "positions_open", "position_quantity", "risk_limit_usage_ratio"},  # set when the engine is there
    "states": {"candle_waiting_seconds", "trading_halted", "feed_connected", "ready", "retrain_in_progress", "size_factor_ratio"},
    "counts": {"event_loop_tasks", "queue_depth", "predictions_resolved", "drift_window_samples", "orders_working"},
    "sizes": {"journal_size_bytes", "worker_resident_memory_bytes"},
    "0 is off": {"retrain_cadence_seconds", "drift_cadence_seconds"},
    "constants": {"timeframe_seconds"},
}  # fmt: skip


def test_no_gauge_says_0_for_what_was_not_measured() -> None:
    known = set().union(*ZERO_IS_SO.values())

    for definition in CATALOGUE:
        is_told = definition.is_measured or definition.is_info
        is_time = definition.name.endswith("_timestamp_seconds")  # of events: they age from the start
        if definition.kind is MetricKind.GAUGE and not is_told and not is_time:
            assert definition.name in known, definition.name


def observe_everything(metrics: Metrics) -> None:
    """Give every series a value, exemplars too, as a daemon would that has seen everything."""
    series = metrics._series
    for definition in CATALOGUE:
        if definition.is_info:
            continue
        for number, key in enumerate(SCOPE.combinations(definition)):
            if definition.kind is MetricKind.COUNTER:
                series.counters(definition.name)[key].inc(0.5 * number, {"decision_id": "7"})
            elif definition.kind is MetricKind.HISTOGRAM:
                for bound in (-1e9, *definition.buckets, 1e9):
                    series.histograms(definition.name)[key].observe(bound, {"decision_id": "7"})
            elif definition.is_measured:
                series.measure(definition.name, -1.5, *key)
            else:
                series.gauges(definition.name)[key].set(float(number))


@pytest.mark.parametrize("is_busy", [False, True])
def test_strict_parsers_of_both_formats_read_the_whole_page(metrics: Metrics, is_busy: bool) -> None:
    if is_busy:
        observe_everything(metrics)

    plain = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
    strict = list(open_metrics_families(open_metrics(metrics.registry).decode()))

    def told(families: Iterable[Metric]) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
        return {
            (sample.name, tuple(sorted(sample.labels.items())), sample.value)
            for family in families
            for sample in family.samples
            if sample.name.startswith(PREFIX)
        }

    assert told(plain) == told(strict)
    assert len(told(strict)) > 1_000


def test_a_sum_that_may_fall_is_not_told_and_a_count_not_without_it(metrics: Metrics) -> None:
    """As OpenMetrics has it: histogram buckets below zero forbid a sum, and there is no count without one."""
    families = exposed(metrics)

    for definition in CATALOGUE:
        if definition.kind is MetricKind.HISTOGRAM:
            ends = {name.rsplit("_", 1)[1] for name, _, _ in families[definition.full_name]}
            is_signed = definition.buckets[0] < 0.0
            assert ends == ({"bucket"} if is_signed else {"bucket", "count", "sum"}), definition.name


def test_label_sets_multiply_out() -> None:
    by_name = {definition.name: definition for definition in CATALOGUE}

    found = SCOPE.combinations(by_name["trades_closed_total"])

    assert len(found) == len(set(found)) == 5 * 4 * 2 * 3  # symbols, signals, sides, outcomes
    assert SCOPE.combinations(by_name["ready"]) == [()]
    endpoints = SCOPE.combinations(by_name["http_request_duration_seconds"])
    assert ("other", "other") in endpoints
    assert len(endpoints) == len(Server.ENDPOINTS) + 1  # pairs as declared, never every method on every route


SERIES_BUDGET = 3_000  # of one daemon with up to five symbols


def test_series_stay_within_the_budget(metrics: Metrics) -> None:
    families = exposed(metrics)

    assert sum(len(samples) for samples in families.values()) <= SERIES_BUDGET
    for name, samples in families.items():
        assert len(samples) <= FAMILY_BUDGET, name


def test_no_created_series(metrics: Metrics) -> None:
    assert b"_created" not in generate_latest(metrics.registry)


def test_two_daemons_of_one_process_share_nothing() -> None:
    one, other = Metrics(SCOPE, START_S), Metrics(SCOPE, START_S)

    one.on_journal_commit(0.01)

    name = PREFIX + "journal_commits_total"
    assert sum(value for _, _, value in exposed(one)[name]) == 1.0
    assert sum(value for _, _, value in exposed(other)[name]) == 0.0


def test_a_symbol_that_is_no_longer_traded_leaves_no_series(metrics: Metrics) -> None:
    metrics.remove("ETHUSD")

    for name, samples in exposed(metrics).items():
        assert all(labels.get("symbol") != "ETHUSD" for _, labels, _ in samples), name
    kept = exposed(metrics)[PREFIX + "candle_gaps_total"]
    assert {labels["symbol"] for _, labels, _ in kept} == set(SCOPE.symbols) - {"ETHUSD"}


def test_documentation_has_a_row_for_every_family() -> None:
    text = markdown()

    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [d.full_name for d in CATALOGUE]
    assert all(row.count("|") == 5 for row in rows)
    assert [line[4:] for line in text.splitlines() if line.startswith("### ")] == list(AREAS)


def test_every_code_of_the_engine_has_a_label_value() -> None:
    """A code that is missing here would end the daemon at its first fill or refusal."""
    assert set(REJECTIONS) == set(REFUSED_NAMES) - {REFUSED_NO}
    assert set(ORDER_TYPES) == set(REASON_NAMES) - {REASON_END}
    assert set(EXIT_REASONS) == set(ORDER_TYPES) - set(ENTRIES)
    for names in (REJECTIONS, EXIT_REASONS):
        assert len(set(names.values())) == len(names)


def test_sets_from_the_configuration_all_exist() -> None:
    for scoped in Scoped:
        assert SCOPE.values(scoped)


def test_every_order_event_and_every_end_has_a_label() -> None:
    assert set(ORDER_EVENTS) == set(STATUS_NAMES)
    assert set(ORDER_ENDS) == {*CAUSE_NAMES, 0, *REJECTIONS}
