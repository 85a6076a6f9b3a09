"""What runs on every push and what people fill in: it parses, is pinned, asks for little, and calls what a desk calls."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
GITHUB = ROOT / ".github"
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def read_yaml(path: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML (extra `test`) reads YAML")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def targets() -> set[str]:
    """Return what `make` can be asked for."""
    return set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_workflow_runs_what_a_desk_runs_with_few_rights() -> None:
    workflow = read_yaml(GITHUB / "workflows" / "ci.yml")
    jobs = workflow["jobs"].values()
    steps = [step for job in jobs for step in job["steps"]]

    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in jobs)
    assert workflow["concurrency"]["group"].startswith("ci-")
    assert all(job["timeout-minutes"] <= 120 for job in jobs)


def test_what_a_desk_runs_is_every_kind_of_check_and_ends_at_the_first_that_fails() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    asked = [line.split() for line in script.splitlines() if line.lstrip().startswith("make ")]
    words = {word for line in asked for word in line[1:] if not word.startswith("--")}

    checks = {"lint", "test", "test-slow", "test-plain", "bench-quick"}
    assert checks < words <= targets()
    (together,) = (line for line in asked if "test" in line)  # the README's own command
    assert together[-1] == "test"  # behind what compiles its kernels
    assert "set -euo pipefail" in script


@pytest.mark.parametrize("failing", ["apt-get update", "make venv", "make test-slow", ""])
def test_what_fails_beside_or_before_the_checks_is_no_success(failing: str, tmp_path: Path) -> None:
    (tmp_path / "id").write_text("echo 0")
    for name in ("make", "apt-get", "docker"):
        lines = f'echo "{name} $@"; [ "{name} $1" != "{failing}" ] && [ {name} != docker ]'
        (tmp_path / name).write_text(lines)
    for file in tmp_path.iterdir():
        file.write_text(f"#!/bin/sh\n{file.read_text()}\n")
        file.chmod(0o755)

    done = subprocess.run(
        [ROOT / ".ci" / "run"],
        env={**os.environ, "CI": "1", "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )

    assert (done.returncode == 0) is (failing == "")
    assert ("lint test" in done.stdout) is (failing in ("", "make test-slow"))
    assert ("apt-get failed" in done.stderr) is (failing == "apt-get update")


def test_everything_that_a_workflow_takes_from_others_is_pinned() -> None:
    for path in (GITHUB / "workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        for job in read_yaml(path)["jobs"].values():
            assert re.fullmatch(r"ubuntu-\d\d\.\d\d", job["runs-on"])
            assert re.search(r":\d+\.\d+\.\d+-\w+$", job["container"])
        for name in re.findall(r"uses: (.*)", text):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", name)


@pytest.mark.parametrize("name", ["bug", "idea"])
def test_an_issue_form_asks_for_something_and_says_what(name: str) -> None:
    form = read_yaml(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    asked = [field for field in form["body"] if field["type"] != "markdown"]

    assert form["name"]
    assert form["description"]
    assert {field["type"] for field in form["body"]} <= FIELDS
    assert len({field["id"] for field in asked}) == len(asked) >= 3
    assert all(field["attributes"]["label"] for field in asked)
    assert any(field["validations"]["required"] for field in asked if "validations" in field)


def test_hooks_are_the_tools_of_the_environment() -> None:
    (local,) = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    assert local["repo"] == "local"  # from anywhere else it would be of another version
    assert [hook["id"] for hook in local["hooks"]] == ["ruff", "ruff-format", "mypy"]
    for hook in local["hooks"]:
        folder, _, program = hook["entry"].split()[0].rpartition("/")
        assert (folder, hook["language"]) == (".venv/bin", "system")
        assert program in pinned


def test_the_style_of_the_guide_is_what_tests_and_tools_hold() -> None:
    text = (GITHUB / "CONTRIBUTING.md").read_text(encoding="utf-8")
    layout = (ROOT / "tests" / "test_layout.py").read_text(encoding="utf-8")

    assert "never over 400" in text
    assert "lines <= 400" in layout
    assert set(re.findall(r"\bmake (\w+)\b(?= +#)", text)) == {"test", "lint"} <= targets()
