"""Fields that sections and dataclasses share: written once, so that neither can forget one of the other's."""

from dataclasses import asdict, dataclass, field, fields

import pytest
from pydantic import BaseModel, ValidationError

from papertape.engine.errors import ConfigError
from papertape.engine.model.drift.policy import DriftOptions
from papertape.engine.spec import Settings
from papertape.replay.config import Config
from papertape.replay.config.fields import key_part, key_parts, keys_of, shared


@dataclass(frozen=True)
class Options:
    share: float = field(default=0.5, metadata={"description": "of it all", "gt": 0.0, "le": 1.0})
    count: int = 3


@keys_of(Options)
class Section(BaseModel):
    """What it says."""

    is_on: bool = True


def test_section_has_its_own_fields_then_those_of_the_options() -> None:
    assert list(Section.model_fields) == ["is_on", "share", "count"]
    assert Section.__doc__ == "What it says."
    assert Section.model_fields["share"].description == "of it all"
    assert shared(Section(), Options) == {"share": 0.5, "count": 3}


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_section_keeps_the_bounds_of_the_options(share: float) -> None:
    with pytest.raises(ValidationError, match="share"):
        Section(share=share)  # type: ignore[call-arg] # the decorator adds it


def test_every_setting_of_the_account_reaches_the_engine() -> None:
    """A setting that is added to both is carried over; one that only the engine has would be a hidden one."""
    assert set(shared(Config().account, Settings)) == {entry.name for entry in fields(Settings)}


def test_every_option_of_drift_is_a_key() -> None:
    assert shared(Config().drift, DriftOptions) == asdict(DriftOptions())


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("account.capital", ["account", "capital"]),
        ("markets.BTC/USDT:USDT.tick_size", ["markets", "BTC/USDT:USDT", "tick_size"]),
        ('markets."BRK.B".tick_size', ["markets", "BRK.B", "tick_size"]),
        ("data.funding.'BTC.P'", ["data", "funding", "BTC.P"]),
        ('data.funding."BTC-P"', ["data", "funding", "BTC-P"]),
        ('data.funding."BTC/USD.P"', ["data", "funding", "BTC/USD.P"]),
    ],
)
def test_a_part_of_a_key_that_has_a_dot_stands_in_quotes(key: str, parts: list[str]) -> None:
    assert key_parts(key) == parts
    assert key_parts(".".join(map(key_part, parts))) == parts


@pytest.mark.parametrize("key", ['markets."BRK.B.tick_size', 'markets."BRK".B/C.tick_size', '"a" b.c'])
def test_quotes_that_do_not_end_or_are_not_of_toml_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="a symbol with a dot in it stands in quotes, as in markets"):
        key_parts(key)
