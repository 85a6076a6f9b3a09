"""The configuration: every fault at once, with its path and a way out."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from papertape.engine.errors import ConfigError
from papertape.replay.config import Config, load_config, make_config
from papertape.replay.config.spec import check_names, make_spec
from papertape.replay.importers.sample import sample_tape
from papertape.replay.tapes.store import Store, Tape
from tests.support.commands import invoke
from tests.support.helpers import random_candles


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


def test_a_symbol_with_a_dot_is_named_in_quotes_as_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[data.funding]\n"BTC.P" = "f.csv"\n[markets."BTC.P"]\ntick_size = 0.5\n')

    made = load_config(None, ['data.funding."BTC.P"=f.csv', 'markets."BTC.P".tick_size=0.5'])

    assert made == load_config(path)
    assert made.data.funding == {"BTC.P": Path("f.csv")}


@pytest.mark.parametrize("change", ["data.funding.BTC.P=f.csv", "markets.BTC.P.tick_size=0.5"])
def test_a_symbol_with_a_dot_and_no_quotes_is_told_of_them(change: str) -> None:
    with pytest.raises(ConfigError, match="a symbol with a dot in it stands in quotes, as in markets"):
        load_config(None, [change])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.tapes=BTCUSDT", "data.tapes: input should be a list, as in"),
        ("markets.BTCUSDT=5", "markets.BTCUSDT: input should be a section with keys of its own, not 5"),
        (
            "data.funding.BTCUSDT=5",
            "data.funding.BTCUSDT: input should be the path of a file or folder, in quotes, not 5",
        ),
        # As 1 it would be all of the equity.
        (
            "account.risk_fraction=true",
            "^configuration: account.risk_fraction: input should be a number, not true",
        ),
        ("markets.A.leverage=true", "^configuration: markets.A.leverage: input should be a number, not true"),
        (
            "market.fee_tiers=[{volume=true, maker_fee_rate=0, taker_fee_rate=0}]",
            "fee_tiers.0.volume: input should be a number, not true or false",
        ),
    ],
)
def test_a_value_of_another_kind_is_told_as_toml_has_it(change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(None, [change])


def test_dates_are_whole_days_in_utc() -> None:
    data = load_config(None, ["data.start=2023-01-01", "data.end=2023-12-31"]).data

    assert data.start == datetime(2023, 1, 1, tzinfo=UTC)
    assert data.end == datetime(2023, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)


SPELLINGS = [
    '"2023-01-30"',
    '"20230130"',
    "2023-01-30",
    '"2023-01-30T00:00:00Z"',
    '"2023-01-30 01:00+01:00"',
    "2023-01-30T00:00:00",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_date_may_be_written_as_iso_and_toml_write_it(spelling: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f"[data]\nstart = {spelling}\nend = {spelling}\n")

    data = load_config(path).data

    is_day = ":" not in spelling
    assert data.start == datetime(2023, 1, 30, tzinfo=UTC)
    assert data.end == (datetime(2023, 1, 30, 23, 59, 59, 999_000, tzinfo=UTC) if is_day else data.start)


@pytest.mark.parametrize("value", ["20230130", "1675036800", "1675036800000", "2023", "1.5", "true", '"1675036800"', '"soon"', '"30.01.2023"', "[2023]"])  # fmt: skip
def test_a_number_or_a_word_is_no_date(value: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f"[data]\nend = {value}\n")

    with pytest.raises(ConfigError, match=r'data\.end: .* write a day or a time like "2023-01-30"'):
        load_config(path)


def test_a_span_that_ends_before_it_begins_is_refused_with_both_dates() -> None:
    with pytest.raises(ConfigError, match="data: start 2023-06-01 is after end 2023-05-01 23:59"):
        load_config(None, ["data.start=2023-06-01", "data.end=2023-05-01"])

    assert load_config(None, ["data.start=2023-06-01", "data.end=2023-06-01"])


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b'\xef\xbb\xbf[data]\ntimeframe = "4h"\n')

    assert load_config(path).data.timeframe == "4h"


def test_a_market_that_nothing_would_read_is_refused_by_check_and_replay(tmp_path: Path) -> None:
    wrong = load_config(None, ["markets.BTCUSDTT.taker_fee_rate=0.01"])
    right = load_config(None, ["markets.BTCUSDT.taker_fee_rate=0.01"])

    for refuse in (check_names, lambda config: make_spec(config, [sample_tape()])):
        with pytest.raises(
            ConfigError, match="BTCUSDTT: no tape or symbol has that name: did you mean 'BTCUSDT'"
        ):
            refuse(wrong)
    check_names(right)
    assert make_spec(right, [sample_tape()]).markets[0].taker_fee_rate == 0.01


def test_unknown_symbols_of_all_sections_are_told_at_once(tmp_path: Path) -> None:
    """They were told a section at a time: mended one by one, the check was run five times."""
    path = tmp_path / "a.toml"
    path.write_text(
        """
        [markets.AUSDT]
        tick_size = 0.1
        [[limits.groups]]
        symbols = ["BTCUSDT", "BUSDT", "CUSDT"]
        gross = 1.0
        [strategy]
        name = "ema_cross"
        [strategy.symbols.DUSDT]
        fast = 5
        [[strategy.schedule]]
        start = 2022-01-01
        symbols = { EUSDT = { fast = 5 } }
        [portfolio]
        allocation = "shares"
        shares = { BTCUSDT = 0.2, FUSDT = 0.2, GUSDT = 0.2 }
        [data.funding]
        HUSDT = "h.csv"
        [signals]
        extra_features = ["smc"]
        [live]
        symbols = ["BTCUSDT"]
        [[notifications.rules]]
        when = "enters_order_block"
        symbol = "IUSDT"
        """
    )

    with pytest.raises(ConfigError) as caught:
        invoke("config", "check", str(path))

    lines = str(caught.value).splitlines()
    named = [re.findall(r"\b[A-I]USDT", line.partition(": did you mean")[0]) for line in lines]
    assert named == [[f"{letter}USDT"] for letter in "ABCDEFGHI"]


def test_markets_are_checked_against_the_tapes_that_are_named(tmp_path: Path) -> None:
    tape = Tape(random_candles(10, 1), "a-spot", "ETHUSDT", "1h", source="made in a test")
    path = Store(tmp_path).save(tape)
    changes = ["markets.ETHUSDT.tick_size=0.1", f"data.store={tmp_path}"]

    check_names(load_config(None, [*changes, 'data.tapes=["ETHUSDT"]']))
    check_names(load_config(None, [*changes, f'data.tapes=["{path}"]']))
    check_names(load_config(None, [*changes, 'live.symbols=["ETHUSDT"]']))
    with pytest.raises(ConfigError, match=r"markets.ETHUSDT: .* there is BTCUSDT$"):
        check_names(load_config(None, changes))


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
        make_config({"account": {"risk_level": level}}).account.risk for level in ("low", "medium", "high")
    ]

    assert levels == [0.005, 0.01, 0.02]
    assert make_config({"account": {"risk_fraction": 0.03}}).account.risk == 0.03


def test_configuration_comes_back_from_its_own_json() -> None:
    config = load_config(None, ["data.start=2023-01-01", "account.capital=5"])

    assert make_config(config.model_dump(mode="json")) == config
    assert Config.model_json_schema()["additionalProperties"] is False


def test_what_a_model_is_used_for_reaches_the_default_strategy_unless_its_parameters_say() -> None:
    changes = ["signals.model_use=filter", "signals.use_smc=false"]
    said = make_spec(load_config(None, changes), [sample_tape()]).strategy
    own = make_spec(
        load_config(None, [*changes, "strategy.parameters={model_use='sizer'}"]), [sample_tape()]
    ).strategy

    assert (said.model_use, own.model_use) == ("filter", "sizer")  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"signals\.model_use: input should be 'component', 'filt"):
        load_config(None, ["signals.model_use=filters"])
