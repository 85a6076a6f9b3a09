"""The configuration: every fault at once, with its path and a way out."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from papertape.engine.errors import ConfigError
from papertape.replay.config import Config, load_config, make_config


def test_every_fault_is_told_at_once_with_its_path_and_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(
            {
                "data": {"tape": ["x"], "timeframe": "2x"},
                "acount": {},
                "markets": {"BTC": {"tik_size": 1}},
                "account": {"capital": -1},
            }
        )

    message = str(caught.value)
    assert "data.tape: unknown key: did you mean 'tapes'?" in message
    assert "acount: unknown key: did you mean 'account'?" in message
    assert "markets.BTC.tik_size: unknown key: did you mean 'tick_size'?" in message
    assert "account.capital: input should be greater than 0, not -1" in message
    assert "data.timeframe" in message
    assert message.count("\n") == 4


def test_dates_are_whole_days_in_utc() -> None:
    data = load_config(None, ["data.start=2023-01-01", "data.end=2023-12-31"]).data

    assert data.start == datetime(2023, 1, 1, tzinfo=UTC)
    assert data.end == datetime(2023, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)


def test_set_values_are_toml_and_other_words_are_text() -> None:
    config = load_config(
        None, ["account.capital=5", "strategy.name=ema_cross", 'strategy.parameters={"fast"=3}']
    )

    assert config.account.capital == 5.0
    assert config.strategy.name == "ema_cross"
    assert config.strategy.parameters == {"fast": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["account.capital"], "write section.key=value"),
        (["account.capital=2", "account.capital.x=1"], "'capital' is a value"),
        (["data.start=yesterday"], "data.start"),
    ],
)
def test_bad_change_is_refused(changes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, changes)


def test_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[data\n")

    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(bad)
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")


def test_risk_level_is_a_stated_fraction() -> None:
    levels = [
        make_config({"account": {"risk_level": level}}).account.risk
        for level in ("low", "medium", "high")
    ]

    assert levels == [0.005, 0.01, 0.02]
    assert make_config({"account": {"risk_fraction": 0.03}}).account.risk == 0.03


def test_configuration_comes_back_from_its_own_json() -> None:
    config = load_config(None, ["data.start=2023-01-01", "account.capital=5"])

    assert make_config(config.model_dump(mode="json")) == config
    assert Config.model_json_schema()["additionalProperties"] is False
