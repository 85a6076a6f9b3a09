"""`papertape config init`: a file that means the defaults and shows every key."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from papertape.daemon.cli import make_app
from papertape.replay.config import Config, load_config, make_config
from papertape.replay.config.template import config_template


def test_the_file_means_the_defaults_and_names_every_key(tmp_path: Path) -> None:
    path = tmp_path / "papertape.toml"

    done = CliRunner().invoke(make_app(["config"]), ["config", "init", str(path)])

    assert done.exit_code == 0
    assert load_config(path) == Config()
    text = path.read_text()
    for section, field in Config.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        assert f"[{section}" in text
        for key in keys:
            assert re.search(rf"(?m)^# {key} =", text), f"{section}.{key}"


def test_every_default_is_toml_that_means_itself(tmp_path: Path) -> None:
    """Without the signs of a comment it is the same configuration; keys without a default stay comments."""
    lines = [
        line.removeprefix("# ")
        for line in config_template().splitlines()
        if re.match(r"# [a-z_]+ = [^ ]|\[", line) and "BTCUSDT" not in line
    ]
    path = tmp_path / "a.toml"
    path.write_text("\n".join(lines))

    config = load_config(path)

    assert len(lines) > 70
    assert config == make_config({})


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("# mine")

    done = CliRunner().invoke(make_app(["config"]), ["config", "init", str(path)])

    assert done.exit_code != 0
    assert "it is there already; name another file" in str(done.exception)
    assert path.read_text() == "# mine"


def test_a_full_disk_leaves_no_part_that_would_be_in_the_way(tmp_path: Path) -> None:
    """The limit on a file's size stands for it: what is written fails in the middle, in a process of its own."""
    path = tmp_path / "papertape.toml"
    command = ["config", "init", str(path)]
    full = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "from papertape.daemon.cli import main; main()"
    )

    refused = subprocess.run([sys.executable, "-c", full, *command], capture_output=True, text=True)

    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(make_app(["config"]), command).exit_code == 0


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("papertape rep", "replay"), ("papertape tape im", "import"), ("papertape replay --ta", "--tape")],
)
def test_a_shell_completes_commands_and_options(typed: str, offered: str) -> None:
    environment = {
        "_PAPERTAPE_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }

    done = CliRunner().invoke(make_app(), [], env=environment, prog_name="papertape")

    assert offered in done.stdout.split()
