"""What may be asked of a backtest: nothing outside the folders, no code that the daemon does not name, nothing malformed."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.daemon.backtests.request import checked
from papertape.engine.errors import ConfigError
from papertape.replay.config import Config, make_config
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a store, a folder beside it that is allowed, and one that is not."""
    root = tmp_path_factory.mktemp("requests")
    Store(root / "tapes").save(synthesize("noise", 30, "1h"))
    for name in ("allowed", "secret"):
        (root / name).mkdir()
        (root / name / "rates.csv").write_text("fundingTime,fundingRate\n0,0.1\n")
    (root / "allowed" / "link.csv").symlink_to(root / "secret" / "rates.csv")
    return root


def host(place: Path, **sections: Any) -> Config:
    return make_config(
        {
            "data": {"store": str(place / "tapes")},
            "backtests": {"folders": [str(place / "allowed")], "strategies": ["mine:Second"]},
            "strategy": {"name": "tests.support.every_order:AskingEveryOrder"},
            "signals": {"own_features": ["tests.support.own_features:stretch"]},
            **sections,
        }
    )


def test_what_a_replay_reads_is_kept_and_the_daemons_store_is_the_default(place: Path) -> None:
    asked = {
        "data": {"tapes": ["SYNTH"], "funding": {"SYNTH": str(place / "allowed" / "rates.csv")}},
        "strategy": {"name": "ema_cross", "parameters": {"fast": 5}},
        "daemon": {"token_file": "/etc/passwd"},
        "live": {"venue": "delta"},
    }

    kept, config = checked(asked, host(place))

    assert sorted(kept) == ["data", "strategy"]
    assert kept["data"]["store"] == str(place / "tapes")
    assert config.strategy.parameters == {"fast": 5}
    assert config.daemon.token_file is None


@pytest.mark.parametrize(
    "asked",
    [
        {"data": {"tapes": ["{root}/secret/rates.csv"]}},
        {"data": {"tapes": ["{root}/allowed/../secret/rates.csv"]}},
        {"data": {"tapes": ["{root}/allowed/link.csv"]}},
        {"data": {"tapes": ["../x.parquet"]}},
        {"data": {"tapes": ["/etc/passwd"]}},
        {"data": {"store": "{root}/secret"}},
        {"data": {"store": "/"}},
        *(
            {"data": {name: {"SYNTH": "/etc/passwd"}}}
            for name in ("funding", "mark", "index", "open_interest", "long_short_ratio")
        ),
    ],
)
def test_no_file_outside_the_folders_is_looked_at(place: Path, asked: dict[str, Any]) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner) for inner in value]
        return value.replace("{root}", str(place))

    with pytest.raises(ConfigError, match=r"is not in a folder that backtests may read.*backtests\.folders"):
        checked(filled(asked), host(place))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"strategy": {"name": "os:system"}}, "neither built in nor named"),
        ({"strategy": {"name": "ema_cros"}}, "did you mean 'ema_cross'"),
        ({"signals": {"own_features": ["os:system"]}}, "not one of the daemon's own"),
        (
            {"account": {"fee_function": "os:system"}},
            "account.fee_function: 'os:system' is not that of the daemon's",
        ),
        ({"strategy": {"name": "ema_cross", "parameters": {"fast": "x"}}}, "fast"),
        ({"strategy": {"name": "ema_cross", "parameters": {"nonsense": 1}}}, "nonsense"),
        ({"data": {"tapes": ["NOPE"]}}, "no tape 'NOPE'"),
        ({"data": {"tapes": ["x" * 300]}}, "at most 255 characters"),
        ({"data": {"tapes": [f"{'x' * 300}/y"]}}, "at most 255 characters"),
        ({"data": {"store": "x" * 5_000}}, "too long"),
        ({"account": {"capital": float("nan")}}, "cannot be read"),
        ({"strategy": {"parameters": {"x": float("inf")}}}, "cannot be read"),
        ({"account": {"capital": -1, "margin": "both"}}, r"capital.*\n.*margin"),
        ({"daemon": {"port": -1}}, r"daemon\.port"),
        ({"nothing": 1}, "unknown key"),
        ({"account": []}, "account"),
        ({"data": "x"}, "data"),
        ({"markets": {"NOPE": 3}}, "markets"),
    ],
)
def test_what_is_wrong_is_a_sentence(place: Path, asked: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        checked(asked, host(place))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SECTIONS = st.sampled_from([*Config.model_fields, "x"])
KEYS = st.sampled_from(
    ["tapes", "store", "name", "parameters", "funding", "start", "schedule", "capital", "y"]
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(SECTIONS, VALUES | st.dictionaries(KEYS, VALUES, max_size=3), max_size=3))
def test_any_json_is_a_configuration_or_refused(place: Path, asked: dict[str, Any]) -> None:
    try:
        _, config = checked(asked, host(place))
    except ConfigError:
        return
    # Nothing else may come out of it, whatever went in.
    assert ":" not in config.strategy.name or config.strategy.name.startswith("tests.")
