"""`import papertape`: the names it offers, what a call answers to what it does not know, and how results look."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import papertape
from papertape.engine.errors import ConfigError, DataError, PapertapeError
from papertape.replay import Result, load_config
from papertape.replay.config import Config, Data
from papertape.replay.config.spec import make_spec
from papertape.replay.front.strategy import with_strategy
from papertape.replay.learning.attempt import Attempt
from tests.support.helpers import random_candles

ROOT = Path(__file__).resolve().parents[1]
PROMISED = {
    "backtest", "train", "windows", "prove", "study", "sweep", "optimize", "montecarlo", "walkforward", "fetch",
    "hold_out", "learn_study",
    "parameter", "Config", "Store", "ModelStore", "Tape",
    "Decision", "LONG", "SHORT", "FLAT",
    "table_feature", "kernel_feature", "kernel",
}  # fmt: skip
QUIET: dict[str, Any] = {"use_ml": False, "use_smc": False, "report": {"sensitivity": False}}


def tape(n: int = 300) -> papertape.Tape:
    return papertape.Tape(random_candles(n, 3), "binance-usdm", "T", "1h")


@pytest.fixture(scope="module")
def result() -> Result:
    return papertape.backtest(tape(), **QUIET)


def test_every_promised_name_is_there_and_listed() -> None:
    assert set(papertape.__all__) == PROMISED
    assert set(dir(papertape)) >= PROMISED | {"__version__"}
    for name in PROMISED:
        assert getattr(papertape, name) is not None
    assert set(dir(papertape.engine)) >= set(papertape.engine.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        _ = papertape.optimise  # type: ignore[attr-defined] # that is the point


def test_importing_the_package_loads_nothing_else() -> None:
    program = (
        "import sys, papertape; dir(papertape); "
        "print([n for n in ('numba', 'pandas', 'pydantic', 'torch') if n in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.strip() == "[]", done.stderr


CALLS = {
    "backtest": lambda **more: papertape.backtest(tape(), **more),
    "train": lambda **more: papertape.train(tape(), **more),
    "windows": lambda **more: papertape.windows(tape(), **more),
    "study": lambda **more: papertape.study(tape(), **more),
    "prove": lambda **more: papertape.prove("ema_cross", data=tape(), **more),
    "fetch": lambda **more: papertape.fetch("BTCUSD", "2024-01-01", **more),
}


@pytest.mark.parametrize(
    ("call", "unknown", "answer"),
    [
        ("backtest", {"start_date": "2023-01-01"}, "start_date: write start='2023-01-01'"),
        ("backtest", {"end_date": "2023-12-31"}, "end_date: write end='2023-12-31'"),
        ("backtest", {"model_type": "lstm"}, "model_type: write model='lstm'"),
        ("backtest", {"num_epochs": 9}, "num_epochs: write learning={'epochs': 9}"),
        ("backtest", {"retrain_frequency_days": 30}, "write retrain_every='30d'"),
        ("backtest", {"days_back": 60}, "days_back: write learning={'window_days': 60}"),
        ("backtest", {"sizing": "all_in"}, "sizing: write account={'sizing': 'all_in'}"),
        ("backtest", {"commission": 0.001}, "write market={'taker_fee_rate': 0.001}"),
        ("backtest", {"timefrane": "1h"}, "timefrane: unknown; did you mean 'timeframe'?"),
        ("backtest", {"acount": {}}, "acount: unknown; did you mean 'account'?"),
        ("backtest", {"qqq": 1}, "qqq: unknown; choose one of account, "),
        ("backtest", {"account": 5}, "account=5 is no section"),
        ("train", {"num_epochs": 9}, "num_epochs: write epochs=9"),
        ("train", {"model_type": "lstm"}, "model_type: write model='lstm'"),
        ("train", {"start_date": "2023-01-01"}, "start_date: write start='2023-01-01'"),
        ("windows", {"gaps": "skip"}, "gaps: write config=Config(data={'gaps': 'skip'}, …)"),
        ("windows", {"model_type": "lstm"}, "model_type: write model='lstm'"),
        ("windows", {"retrain_frequency_days": 7}, "write retrain_every='7d'"),
        ("study", {"horizon": (4,)}, "horizon: unknown; did you mean 'horizons'?"),
        ("prove", {"n_cuts": 3}, "n_cuts: unknown; did you mean 'cuts'?"),
        ("fetch", {"start_date": "2023-01-01"}, "start_date: write start='2023-01-01'"),
    ],
)
def test_an_argument_that_does_not_exist_is_answered_with_what_to_write(
    call: str, unknown: dict[str, Any], answer: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        CALLS[call](**unknown)

    assert str(refused.value).startswith(f"{call}: ")
    assert answer in str(refused.value)


@pytest.mark.parametrize(
    "beside",
    [
        {"start": "2020-01-02"},
        {"initial_capital": 10_000.0},  # the default, and yet somebody meant it
        {"use_ml": True},
        {"account": {"sizing": "all_in"}},
        {"confidence_threshold": 0.6},
        {"strategy": "ema_cross"},
        {"parameters": {"fast": 3}},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_nothing_stands_beside_a_configuration(beside: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="beside config=, which says everything"):
        papertape.backtest(tape(), config=Config(), **beside)


@pytest.mark.parametrize("key", sorted(set(Data.model_fields) - {"tapes", "store"}))
def test_every_key_of_the_candles_is_an_argument_as_its_section_is_taken(key: str) -> None:
    """`data=` are the candles, so what the section `[data]` says beside them needs a word of its own."""
    with pytest.raises(ConfigError, match=rf"^backtest: data\.{key}: "):
        papertape.backtest(tape(), **{key: object()})


def test_gaps_are_an_argument() -> None:
    """Ten hours are missing: passed over, ninety instants are left of a hundred."""
    rows = random_candles(100, 3)
    holed = papertape.Tape(np.delete(rows, slice(40, 50)), "binance-usdm", "T", "1h")

    found = {gaps: papertape.backtest(holed, gaps=gaps, **QUIET) for gaps in ("absent", "skip")}

    assert {gaps: len(one.equity) for gaps, one in found.items()} == {"absent": 100, "skip": 90}
    configured = Config(data={"gaps": "skip"}, signals={"use_ml": False, "use_smc": False})  # type: ignore[arg-type]
    assert found["skip"].digest == papertape.backtest(holed, config=configured).digest


def test_a_tape_without_volume_is_traded_and_a_store_is_looked_in_when_so_asked(tmp_path: Path) -> None:
    rows = random_candles(60, 3)
    rows["volume"] = 0.0
    store = papertape.Store(tmp_path)
    store.save(papertape.Tape(rows, "binance-usdm", "QUIET", "1h"))

    with pytest.raises(ConfigError, match="in Python no_volume='trade'"):
        papertape.backtest("QUIET", store=tmp_path, **QUIET)
    assert len(papertape.backtest("QUIET", store=tmp_path, no_volume="trade", **QUIET).equity) == 60


def test_a_configuration_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "[account]\ncapital = 5000\n[signals]\nuse_ml = false\nuse_smc = false\n"
        "[report]\nsensitivity = false\n"
    )

    by_file = papertape.backtest(tape(), config=path)
    by_value = papertape.backtest(tape(), config=load_config(path))

    assert by_file.summary["capital"] == 5_000.0
    assert by_file.digest == by_value.digest


def test_the_defaults_are_the_configurations_own(result: Result) -> None:
    quiet = [
        "signals.use_ml=false",
        "signals.use_smc=false",
        "report.sensitivity=false",
        f"data.tapes=[{tape().name!r}]",
    ]

    assert result.summary["config"] == load_config(None, quiet).model_dump(mode="json")


@pytest.mark.parametrize("name", ["BTCUSDT", "btcusdt", "binance-spot_BTCUSDT_1h", None])
def test_the_sample_answers_to_its_name(name: str | None) -> None:
    span = {"start": "2023-11-01", "end": "2023-12-31"}

    found = papertape.backtest(symbol=name, **span, **QUIET)

    assert (
        found.summary["tapes"][0]["sha256"]
        == papertape.backtest(**span, **QUIET).summary["tapes"][0]["sha256"]
    )


def test_a_wrong_name_is_told() -> None:
    with pytest.raises(PapertapeError, match="NOSUCH"):
        papertape.backtest("NOSUCH", **QUIET)


class Buyer:
    """Buy once, at the fifth close, and hold."""

    features = ()

    def __init__(self, at: int = 5) -> None:
        self.at = at

    def decide(self, view: Any) -> papertape.Decision | None:
        if view.position == 0 and view.time_ms // 3_600_000 % 24 == self.at:
            return papertape.Decision(papertape.LONG, stop_distance=0.2 * view.close)
        return None


def test_a_class_an_instance_and_a_name_are_one_strategy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_class = papertape.backtest(tape(), strategy=Buyer, parameters={"at": 7}, **QUIET)
    as_instance = papertape.backtest(tape(), strategy=Buyer(7), **QUIET)
    other = papertape.backtest(tape(), strategy=Buyer, **QUIET)
    monkeypatch.setitem(sys.modules, "buyer_here", sys.modules[__name__])
    as_name = papertape.backtest(tape(), strategy="buyer_here:Buyer", parameters={"at": 7}, **QUIET)

    assert as_class.digest == as_instance.digest == as_name.digest != other.digest
    assert as_class.summary["strategy"] == f"{__name__}:Buyer"
    assert len(as_class.trades) >= 1


def test_every_engine_gets_a_strategy_of_its_own_as_it_was_when_given() -> None:
    mine = Buyer(7)
    config = with_strategy(Config(), mine)
    mine.at = 9

    first, second = make_spec(config, [tape()]).strategy, make_spec(config, [tape()]).strategy

    assert len({id(one) for one in (mine, first, second)}) == 3
    assert {vars(one)["at"] for one in (first, second)} == {7}
    kept = with_strategy(Config(), Buyer).model_dump()["strategy"]
    assert kept["name"] == f"{__name__}:Buyer"
    assert kept["parameters"] == {}


@pytest.mark.parametrize("nonsense", [3, int, lambda view: None, object()])
def test_what_is_no_strategy_is_refused(nonsense: Any) -> None:
    with pytest.raises(ConfigError, match="it is none; give a built-in name"):
        papertape.backtest(tape(), strategy=nonsense, **QUIET)


def test_parameters_beside_an_instance_are_refused() -> None:
    with pytest.raises(ConfigError, match="an instance has its own already"):
        papertape.backtest(tape(), strategy=Buyer(), parameters={"at": 3}, **QUIET)


@pytest.mark.parametrize("room", ["engine", "daemon"])
def test_an_import_from_before_is_answered_with_the_new_one(
    room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = [path for path in sys.path if path not in ("", str(ROOT))]  # where the rooms lie bare
    monkeypatch.setattr(sys, "path", here)
    (tmp_path / f"old_{room}.py").write_text(f"from {room} import Decision\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match="write `from papertape import Decision, LONG, FLAT`"):
        papertape.backtest(tape(), strategy=f"old_{room}:Old", **QUIET)


@pytest.mark.slow
def test_a_feature_that_knows_tomorrow_is_found_and_a_plain_one_is_not() -> None:
    def centred(candles: Any) -> Any:
        return candles["close"].rolling(5, center=True).mean()

    def trailing(candles: Any) -> Any:
        return candles["close"].rolling(5).mean()

    assert papertape.prove(feature=centred, data=tape(), cuts=5).leak is not None
    assert papertape.prove(feature=trailing, data=tape(), cuts=5).leak is None
    assert papertape.prove(Buyer, data=tape(), cuts=3).leak is None
    with pytest.raises(ConfigError, match="either a strategy or a feature"):
        papertape.prove(data=tape())


def test_a_study_is_the_table_of_the_command() -> None:
    source = tape(400)

    found = papertape.study(source, "4h", horizons=(4, 1), resamples=100)
    again = papertape.study([source], ["4h"], horizons=(1, 4), resamples=100)

    assert set(found["horizon_bars"]) == {1, 4}
    assert set(found["timeframe"]) == {"4h"}
    assert found.equals(again)


def test_a_result_is_short_in_words_and_whole_in_tables(result: Result) -> None:
    assert len(repr(result)) < 200
    assert "T 1h" in repr(result)
    assert len(result.fill_table) == len(result.fills)
    assert len(result.decision_table) == len(result.decisions)
    assert list(result.candle_table().columns) == ["open", "high", "low", "close", "volume"]
    assert len(result.monthly) == len(result.summary["monthly"])
    assert result.retrainings.empty
    with pytest.raises(DataError, match="there is no symbol 'U'"):
        result.candle_table("U")


def test_the_card_escapes_what_comes_from_outside(result: Result) -> None:
    nasty = '<script>alert("x")</script>'
    summary = {**result.summary, "symbols": [nasty], "warnings": [nasty]}
    changed = Result(summary, result.traded, result.marks, result.fills, result.decisions)

    shown = changed._repr_html_()

    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 2


def test_a_plot_stands_in_the_cell_and_on_the_disk(result: Result, tmp_path: Path) -> None:
    page = result.plot(tmp_path / "page.html")

    assert page.read_text(encoding="utf-8") == result.report()
    inline = page._repr_html_()
    assert inline.startswith('<iframe srcdoc="')
    assert inline.count("<") == 2  # nothing of the page stands outside the attribute
    assert "sandbox=" in inline


def test_a_plot_that_is_too_large_says_where_it_is(tmp_path: Path) -> None:
    from papertape.replay.report.notebook import Page

    path = tmp_path / "<large>.html"
    with path.open("wb") as file:
        file.truncate(20 << 20)

    assert "20 MB" in Page(path)._repr_html_()
    assert "&lt;large&gt;" in Page(path)._repr_html_()


def test_a_configuration_shows_what_is_not_the_default() -> None:
    config = load_config(None, ["data.timeframe=4h", "account.sizing=all_in"])

    assert repr(config) == "Config({'data': {'timeframe': '4h'}, 'account': {'sizing': 'all_in'}})"
    assert repr(Config()) == "Config({})"


def test_an_attempt_does_not_show_the_bytes_of_its_model() -> None:
    attempt = Attempt(0, 0, "manual", "rejected", "", artefact=b"x" * 10_000, baseline=b"y" * 10_000)

    assert len(repr(attempt)) < 300
