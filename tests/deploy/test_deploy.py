"""What can be known of deploy/ without a container engine: everything parses, every path is there, nothing listens to the world."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from papertape.daemon.metrics import CATALOGUE, PREFIX
from papertape.daemon.metrics.definitions import MetricKind
from papertape.daemon.monitoring.access import is_loopback
from papertape.engine.strategies import make_strategy
from papertape.replay.config import load_config

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
LIBRARY_METRICS = {"process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def read_yaml(path: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML (extra `test`) reads deploy/*.yml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def load_builder() -> ModuleType:
    """Return the builder as its own command line would have it: its folder on the path."""
    folder = str(DEPLOY / "grafana")
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location("build", DEPLOY / "grafana" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def panels(path: Path) -> list[dict[str, Any]]:
    """Return every panel of one dashboard, those of folded rows included."""
    found = read(path)["panels"]
    inside = [panel for row in found if row["type"] == "row" for panel in row["panels"]]
    return [*(panel for panel in found if panel["type"] != "row"), *inside]


def expressions() -> list[str]:
    every = [panel for path in DASHBOARDS for panel in panels(path)]
    return [target["expr"] for panel in every for target in panel["targets"]]


def rules() -> str:
    files = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
    assert files
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.toml")), ids=lambda path: path.name)
def test_example_configurations_load(path: Path) -> None:
    config = load_config(path)

    make_strategy(config.strategy.name, config.strategy.parameters)
    if path.name.startswith("run-"):
        assert config.live.symbols
        assert is_loopback(config.daemon.host) or config.daemon.token_file is not None


def test_the_containers_configuration_differs_only_in_its_surroundings() -> None:
    host = tomllib.loads((DEPLOY / "run-delta.toml").read_text(encoding="utf-8"))
    container = tomllib.loads((DEPLOY / "run-container.toml").read_text(encoding="utf-8"))

    surroundings = {key: container["daemon"].pop(key) for key in ("state", "host", "hosts", "token_file")}
    del host["daemon"]["state"], host["daemon"]["host"]
    assert container == host
    assert surroundings == {
        "state": "/var/lib/papertape",
        "host": "0.0.0.0",  # noqa: S104 # of the container
        "hosts": ["papertape"],  # as Prometheus asks for it
        "token_file": "/run/secrets/papertape_token",
    }


def test_compose_publishes_on_loopback_only_and_drops_what_it_can() -> None:
    compose = read_yaml(DEPLOY / "compose.yml")

    assert set(compose["services"]) == {"papertape", "prometheus", "alertmanager", "grafana"}
    for name, service in compose["services"].items():
        assert service["ports"], name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "mem_limit" in service, name
        assert not service.get("privileged"), name
        assert "network_mode" not in service, name
        image = service["image"]
        assert "build" in service or re.fullmatch(r"\S+:v?\d+\.\d+\.\d+", image), f"{name}: unpinned"


def test_every_path_and_name_in_compose_exists() -> None:
    compose = read_yaml(DEPLOY / "compose.yml")

    for name, service in compose["services"].items():
        for mount in service["volumes"]:
            source, target, *_ = mount.split(":")
            assert target.startswith("/"), mount
            if source.startswith("."):
                assert (DEPLOY / source).exists(), mount
                assert mount.endswith(":ro"), mount
            else:
                assert source in compose["volumes"], mount
        assert set(service.get("secrets", [])) <= set(compose["secrets"]), name
        build = service.get("build")
        if build is not None:
            assert (DEPLOY / build["context"]).resolve() == ROOT
            assert (ROOT / build["dockerfile"]).is_file()


def test_secrets_come_from_files_outside_the_repository() -> None:
    compose = read_yaml(DEPLOY / "compose.yml")

    for secret in compose["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    tracked = subprocess.run(
        ["git", "ls-files", "deploy/secrets"],  # noqa: S607 # the user's own git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tracked.stdout == ""
    config = load_config(DEPLOY / "run-container.toml")
    assert str(config.daemon.token_file) == "/run/secrets/papertape_token"
    assert "papertape_token" in compose["services"]["papertape"]["secrets"]
    assert "papertape_token" in compose["services"]["prometheus"]["secrets"]


def test_grafana_finds_its_source_and_its_dashboard_where_compose_mounts_them() -> None:
    compose = read_yaml(DEPLOY / "compose.yml")
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = read_yaml(provisioning / "datasources" / "prometheus.yml")["datasources"]
    (provider,) = read_yaml(provisioning / "dashboards" / "papertape.yml")["providers"]
    grafana = compose["services"]["grafana"]
    mounts = dict(mount.split(":")[:2] for mount in grafana["volumes"])

    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(provider["options"]["path"])
    assert (DEPLOY / "grafana" / "dashboards" / home.name).is_file()
    host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
    assert f":{port}:{port}" in compose["services"][host]["ports"][0]
    for path in DASHBOARDS:
        variables = read(path)["templating"]["list"]
        assert variables[0]["current"]["value"] == source["uid"]


def test_prometheus_scrapes_the_service_with_the_token_and_reads_the_rules() -> None:
    compose = read_yaml(DEPLOY / "compose.yml")
    config = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")
    (scrape,) = config["scrape_configs"]

    assert scrape["job_name"] == "papertape"  # what the alerts ask for
    (target,) = scrape["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert name in load_config(DEPLOY / "run-container.toml").daemon.hosts
    assert int(port) == load_config(DEPLOY / "run-container.toml").daemon.port
    assert compose["services"][name]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert scrape["authorization"]["credentials_file"] == "/run/secrets/papertape_token"
    for pattern in config["rule_files"]:
        assert list((DEPLOY / "prometheus").glob(pattern))


def test_the_image_is_pinned_runs_without_root_and_copies_what_exists() -> None:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]

    base = next(line[1] for line in words if line[0] == "ARG")
    assert re.fullmatch(r"BASE=python:3\.11-slim-\w+", base)
    for line in words:
        if line[0] == "FROM":
            assert line[1] == "${BASE}"
        if line[0] == "COPY" and not line[1].startswith("--from"):
            for source in line[1:-1]:
                assert (ROOT / source).exists(), source
    users = [line[1] for line in words if line[0] == "USER"]
    assert users
    assert users[-1].split(":")[0].isdigit()
    assert int(users[-1].split(":")[0]) > 0
    text = "\n".join(lines)
    assert "python deploy/install.py" in text  # which keeps to constraints.txt
    assert "HEALTHCHECK" in text
    assert "/healthz" in text
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {s for w in words if w[0] == "COPY" and not w[1].startswith("--") for s in w[1:-1]}
    assert {line[1:] for line in kept if line.startswith("!")} == copied
    sent = re.search(r"^tar .* -c ([^|]+)", (DEPLOY / "image.sh").read_text("utf-8"), re.MULTILINE)
    assert sent is not None
    assert set(sent[1].replace("\\", " ").split()) == copied | {"deploy/Dockerfile"}


def test_the_unit_notifies_watches_and_is_hardened() -> None:
    text = (DEPLOY / "papertape.service").read_text(encoding="utf-8")
    pairs = [line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Za-z]+=", line)]
    unit = dict(pairs)

    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) >= 30
    assert unit["DynamicUser"] == unit["NoNewPrivileges"] == "yes"
    assert unit["ProtectSystem"] == "strict"
    assert unit["CapabilityBoundingSet"] == ""
    assert "AF_UNIX" in unit["RestrictAddressFamilies"]  # else it could not notify
    assert "3" in unit["RestartPreventExitStatus"].split()  # a broken invariant is not traded on
    assert "MemoryDenyWriteExecute" not in unit  # kernels are compiled at run time


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "papertape.service").read_text(encoding="utf-8")
    unit = tmp_path / "papertape.service"
    # The command is where a user installs it; here only that some command is named can be checked.
    unit.write_text(text.replace("/opt/papertape/bin/papertape", "/bin/true"), encoding="utf-8")

    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    # How far what runs in it could reach, of 10; in tenths.
    security = [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)]
    done = subprocess.run(security, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


def test_every_alert_leads_to_a_page_that_exists_and_no_page_is_left_over() -> None:
    text = rules()
    runbook = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
    slugs = [line[3:].lower() for line in runbook.splitlines() if line.startswith("## ")]

    alerts = re.findall(r"- alert: (\w+)", text)
    links = re.findall(r"runbook: (\S+)#(\S+)", text)
    assert len(links) == len(alerts) == len(set(alerts))
    assert {file for file, _ in links} == {"deploy/runbook.md"}
    assert [slug for _, slug in links] == [alert.lower() for alert in alerts]
    assert sorted(slugs) == sorted(alert.lower() for alert in alerts)
    for target in re.findall(r"\]\(#(\w+)\)", runbook):
        assert target in slugs
    for section in runbook.split("\n## ")[1:]:
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in section, section[:30]


def test_every_alert_says_how_bad_where_and_what() -> None:
    for block in rules().split("- alert: ")[1:]:
        assert re.search(r"severity: (critical|warning), area: \w+", block), block
        assert re.search(r"summary: \S", block), block


def test_what_is_critical_says_so_by_its_file() -> None:
    for block in (DEPLOY / "prometheus/rules/critical.yml").read_text().split("- alert: ")[1:]:
        assert "severity: critical" in block, block


def test_the_dashboards_are_what_their_builder_builds() -> None:
    builder = load_builder()

    assert {path.stem for path in DASHBOARDS} == set(builder.VIEWS)
    for path in DASHBOARDS:
        assert path.read_text(encoding="utf-8") == builder.text(path.stem), path
        found = read(path)
        assert (found["uid"], found["schemaVersion"], found["editable"]) == (path.stem, 42, False)
        (link,) = found["links"]
        assert link["keepTime"]
        assert link["includeVars"]
        assert link["tags"] == found["tags"]


def test_what_is_built_survives_grafanas_own_reader() -> None:
    """What its typed model does not know is lost on the way, so a misspelt key would show."""
    models = load_builder().models
    for path in DASHBOARDS:
        again = models.dashboard.Dashboard.from_json(read(path))
        told = json.loads(json.dumps(again, cls=load_builder().JSONEncoder))
        assert told == read(path)


def test_dashboard_and_rules_know_only_metrics_that_exist() -> None:
    known = set(LIBRARY_METRICS)
    for definition in CATALOGUE:
        known.add(definition.full_name)
        if definition.kind is MetricKind.HISTOGRAM:
            known |= {f"{definition.full_name}_{end}" for end in ("bucket", "count", "sum")}
    recorded = set(re.findall(r"record: (\S+)", rules()))

    asked = set()
    for expression in [*expressions(), rules()]:
        asked |= set(re.findall(r"(?<![\w:$])(?:papertape|process)_\w+(?![\w:])", expression))
        asked |= set(re.findall(r"instance\w*:\w+:\w+", expression))
    asked = {name for name in asked if not name.startswith("papertape_token")}
    assert len(asked) > 40
    assert asked <= known | recorded


def test_labels_in_queries_are_labels_of_their_metrics() -> None:
    labels = {definition.full_name: set(definition.label_names) for definition in CATALOGUE}
    pattern = re.compile(r"(papertape_\w+?)(?:_bucket|_count|_sum)?\{([^}]*)\}")

    checked = 0
    for expression in expressions():
        for name, inner in pattern.findall(expression):
            used = set(re.findall(r"(\w+)\s*=", inner)) - {"job", "instance", "le"}
            assert used <= labels[name], expression
            checked += 1
    assert checked > 50


def test_every_selector_is_matched_to_job_and_instance() -> None:
    for expression in expressions():
        selectors = re.findall(
            r"(?:(?:papertape|process)_\w+|instance\w*:\w+:\w+|\bup\b)(?:\{([^}]*)\})?", expression
        )
        assert selectors
        for inner in selectors:
            assert 'job=~"$job",instance=~"$instance"' in inner, expression


def test_counters_stand_only_inside_rates() -> None:
    for expression in [*expressions(), rules()]:
        for found in re.finditer(r"(?:papertape|process)\w+(_total|_bucket|_count)\b", expression):
            before = expression[: found.start()]
            assert re.search(r"(rate|increase|changes)\($", before), expression


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_say_what_they_show_and_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    found = panels(path)
    titles = [panel["title"] for panel in found]
    rows = [p for p in read(path)["panels"] if p["type"] == "row"]
    numbers = [panel["id"] for panel in [*rows, *found]]

    assert len(set(numbers)) == len(numbers)
    assert len(set(titles)) == len(titles)
    for panel in found:
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] not in ("", "none", "short")
        assert panel["targets"]
        assert panel["datasource"]["uid"] == "${datasource}"
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_rows_are_folded_but_for_what_is_looked_at_first(path: Path) -> None:
    """Eighty open panels asked Prometheus eighty questions at every look."""
    found = read(path)["panels"]
    rows = {panel["title"]: panel for panel in found if panel["type"] == "row"}

    unfolded = [title for title, row in rows.items() if not row["collapsed"]]
    assert unfolded == list(rows)[:2]
    assert all(bool(row["panels"]) == row["collapsed"] for row in rows.values())
    assert sum(panel["type"] != "row" for panel in found) <= 24


def test_prices_show_entries_and_exits_and_positions_are_a_table() -> None:
    by_title = {panel["title"]: panel for path in DASHBOARDS for panel in panels(path)}
    price, table = by_title["Price of $symbol"], by_title["Positions"]

    assert price["repeat"] == "symbol"
    drawn = {o["matcher"]["options"]: o["properties"] for o in price["fieldConfig"]["overrides"]}
    legends = {target["legendFormat"] for target in price["targets"]}
    assert set(drawn) <= legends
    for dot in ("entry, buy", "entry, sell", "exit"):
        assert {"id": "custom.drawStyle", "value": "points"} in drawn[dot]
    assert all(target["format"] == "table" and target["instant"] for target in table["targets"])
    organize = next(t for t in table["transformations"] if t["id"] == "organize")["options"]
    assert list(organize["renameByName"].values()) == [
        "Symbol",
        "Size",
        "Entry",
        "Price",
        "Stop",
        "Target",
        "Notional",
        "Open PnL",
    ]
    assert len(organize["renameByName"]) == len(table["targets"]) + 1


def test_alerts_reach_the_alertmanager_that_compose_starts() -> None:
    compose = read_yaml(DEPLOY / "compose.yml")
    prometheus = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")
    manager = read_yaml(DEPLOY / "alertmanager" / "alertmanager.yml")

    (target,) = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert compose["services"][host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    mounts = dict(mount.split(":")[:2] for mount in compose["services"][host]["volumes"])
    assert mounts["./alertmanager"] == "/etc/alertmanager"
    receivers = {receiver["name"] for receiver in manager["receivers"]}
    routes = [manager["route"], *manager["route"]["routes"]]
    assert {route["receiver"] for route in routes} == receivers
    # What it tells alerts apart by is what every alert has.
    severities = set(re.findall(r"severity: (\w+)", rules()))
    asked = set(re.findall(r'severity = "(\w+)"', json.dumps(manager).replace("\\", "")))
    assert asked == severities
    for name in re.findall(r'alertname = "(\w+)"', json.dumps(manager).replace("\\", "")):
        assert f"- alert: {name}\n" in rules()


@pytest.mark.parametrize(
    ("tool", "path"), [("promtool", "prometheus/prometheus.yml"), ("amtool", "alertmanager/alertmanager.yml")]
)
def test_their_own_tools_accept_the_configurations(tool: str, path: str, tmp_path: Path) -> None:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed (Debian packages prometheus, prometheus-alertmanager)")
    shutil.copytree((DEPLOY / path).parent, tmp_path / "here")
    copy = tmp_path / "here" / Path(path).name
    token = tmp_path / "token"
    token.write_text("t" * 32)
    copy.write_text(copy.read_text().replace("/run/secrets/papertape_token", str(token)))
    words = ["check", "config"] if tool == "promtool" else ["check-config"]

    done = subprocess.run([found, *words, str(copy)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 4), (70, 70), (137, 137)])
def test_the_containers_entry_starts_again_after_a_crash_only(code: int, ends: int, tmp_path: Path) -> None:
    """`restart: on-failure` restarts after every code but 0."""
    process = run_entry(tmp_path, f"exit {code}")
    _, err = process.communicate(timeout=20)

    assert process.returncode == ends
    assert ("is not started again" in err) is (code in (1, 2, 3))


def test_the_containers_entry_passes_signals_on_and_waits(tmp_path: Path) -> None:
    process = run_entry(
        tmp_path, "trap 'sleep 0.2; echo finished; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err) == (0, "finished\n", "")


def test_a_signal_at_the_very_start_reaches_papertape(tmp_path: Path) -> None:
    """The entry was killed alone when it came before its traps, and papertape went on without anybody."""
    for _ in range(20):
        process = run_entry(tmp_path, "trap 'exit 0' TERM; kill -TERM $PPID; while :; do sleep 0.05; done")
        out, err = process.communicate(timeout=20)

        assert (process.returncode, out, err) == (0, "", "")


def run_entry(folder: Path, script: str) -> subprocess.Popen[str]:
    """Start the entry over a stand-in for papertape."""
    fake = folder / "papertape"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return subprocess.Popen(
        ["/bin/sh", str(DEPLOY / "entry.sh"), "run", "/etc/papertape/run.toml"],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_dashboards_answer_what_the_issue_asks() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DASHBOARDS)

    for family in (
        "equity", "drawdown_ratio", "attributed_profit_total", "positions_open", "exposure",
        "feed_last_message_timestamp_seconds", "candle_gaps_total", "decisions_total",
        "decision_latency_seconds", "job_runs_total", "parity_checks_total", "event_loop_lag_seconds",
        "model_info", "retrain_runs_total", "retrain_validation_score", "prediction_log_loss",
        "prediction_outcomes_total", "feature_psi", "drift_level", "drift_events_total",
    ):  # fmt: skip
        assert PREFIX + family in text, family
