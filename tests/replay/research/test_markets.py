"""Markets that are drawn again: what moved together still does, what was wild comes together, hours are built from their minutes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape import montecarlo
from papertape.engine.candles import DAY_MS, FLAG_SYNTHETIC, HOUR_MS
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.jit import FloatArray
from papertape.replay.config import make_config
from papertape.replay.research.montecarlo.draws import PathOptions
from papertape.replay.research.montecarlo.engines import MARKETS, market_plan
from papertape.replay.research.montecarlo.markets import (
    automatic_block,
    block_places,
    drawn_funding,
    drawn_market,
    joint_market,
    noisy_market,
)
from papertape.replay.tapes.resample import resample
from papertape.replay.tapes.synthetic import synthesize
from papertape.replay.tapes.tape import Tape, write_tape
from tests.support.commands import Inside

DAYS = 12
N = DAYS * 1_440


@pytest.fixture(scope="module")
def pair() -> list[Tape]:
    """Two minutely markets that share four fifths of their variance, with calm and storm, and a hole in the second."""
    first = synthesize("garch", N, "1m", seed=3, symbol="AAA")
    own = synthesize("garch", N, "1m", seed=4, symbol="BBB")
    candles = own.candles.copy()
    for name in ("open", "high", "low", "close"):  # log price: 2 × first + own
        candles[name] = np.exp(2.0 * np.log(first.candles[name] / 20_000.0)) * own.candles[name]
    candles["high"] = np.max([candles[n] for n in ("open", "high", "close")], axis=0)
    candles["low"] = np.min([candles[n] for n in ("open", "low", "close")], axis=0)
    return [first, replace(own, candles=np.delete(candles, slice(5_000, 5_090)))]


def returns(tape: Tape) -> FloatArray:
    result: FloatArray = np.diff(np.log(tape.candles["close"]))
    return result


def correlation(a: FloatArray, b: FloatArray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def clustering(values: FloatArray, lag: int) -> float:
    size = np.abs(values)
    return correlation(size[lag:], size[:-lag])


def shared(tapes: list[Tape]) -> list[FloatArray]:
    """Return returns by the candles that both tapes have, one after the other."""
    common = np.intersect1d(tapes[0].candles["open_ms"], tapes[1].candles["open_ms"])
    rows = [tape.candles[np.isin(tape.candles["open_ms"], common)] for tape in tapes]
    return [np.diff(np.log(row["close"])) for row in rows]


def test_drawn_markets_move_as_their_source_did(pair: list[Tape]) -> None:
    """Bounds: three times what such a sample's own estimate is uncertain by, and (1 − 1/block)^lag that seams may cost."""
    market = joint_market(pair)
    block = automatic_block(market)
    assert block >= 1_440.0

    for number in range(4):
        places = block_places(market, block, np.random.default_rng([1, number]))
        drawn = drawn_market(market, places)

        source, found = shared(pair), shared(drawn)
        assert correlation(*source) == pytest.approx(0.9, abs=0.05)
        assert correlation(*found) == pytest.approx(correlation(*source), abs=0.03)
        for index in range(2):
            assert found[index].std() == pytest.approx(source[index].std(), rel=0.1)
            for lag in (1, 5, 20):
                kept = clustering(source[index], lag) * (1.0 - 1.0 / block) ** lag
                assert clustering(found[index], lag) == pytest.approx(kept, abs=0.05)
        # Drawn apart, the same symbols share a day in twelve by chance: it is the joint draw that keeps them together.
        other = drawn_market(market, block_places(market, block, np.random.default_rng([2, number])))
        assert abs(correlation(*shared([drawn[0], other[1]]))) < 0.3


def test_hours_are_built_from_their_minutes(pair: list[Tape]) -> None:
    market = joint_market(pair)
    drawn = drawn_market(market, block_places(market, 1_440.0, np.random.default_rng(1)))

    for tape, source in zip(drawn, pair, strict=True):
        hours, recorded = resample(tape, "1h"), resample(source, "1h")
        assert len(hours.candles) == DAYS * 24
        stamps, minutes = tape.candles["open_ms"], tape.candles
        for hour in hours.candles[::37]:
            inside = minutes[(stamps >= hour["open_ms"]) & (stamps < hour["open_ms"] + HOUR_MS)]
            assert (hour["open"], hour["close"]) == (inside["open"][0], inside["close"][-1])
            assert (hour["high"], hour["low"]) == (inside["high"].max(), inside["low"].min())
            assert hour["volume"] == pytest.approx(inside["volume"].sum(), rel=1e-12)
        # An hour's variance is that of the source's hours: 288 of them, of which many are drawn twice.
        assert returns(hours).std() == pytest.approx(returns(recorded).std(), rel=0.25)


def test_a_place_is_another_of_the_same_time_of_day(pair: list[Tape]) -> None:
    market = joint_market(pair)

    places = block_places(market, 700.0, np.random.default_rng(5))

    np.testing.assert_array_equal(places % 1_440, np.arange(N) % 1_440)
    seams = int((np.diff(places) != 1).sum())
    assert N / 700.0 * 0.4 < seams < N / 700.0 * 2.0
    # Drawn at its own places, a market is what it was, but for rounding and the flag.
    same = drawn_market(market, np.arange(N))
    for tape, source in zip(same, pair, strict=True):
        np.testing.assert_array_equal(tape.candles["open_ms"], source.candles["open_ms"])
        for name in ("open", "high", "low", "close", "volume"):
            np.testing.assert_allclose(tape.candles[name], source.candles[name], rtol=1e-10)
        assert (tape.candles["flag_bits"] == FLAG_SYNTHETIC).all()
        assert tape.source.startswith("synthetic: drawn again from")


def test_noise_moves_levels_and_not_returns(pair: list[Tape]) -> None:
    """A close is moved by a normal of 30 % of its range, so by hand: log close ÷ log close before ÷ range has that spread."""
    market = joint_market(pair)

    for tape, source in zip(noisy_market(market, 0.3, np.random.default_rng(2)), pair, strict=True):
        candles, before = tape.candles, source.candles
        np.testing.assert_array_equal(candles["open_ms"], before["open_ms"])
        moved = np.log(candles["close"] / before["close"]) / np.log(before["high"] / before["low"])
        assert moved.std() == pytest.approx(0.3, rel=0.05)
        assert abs(correlation(moved[1:], moved[:-1])) < 0.05  # none stays for the next
        np.testing.assert_allclose(candles["open"][1:4_000], candles["close"][: 4_000 - 1], rtol=1e-9)
        assert (candles["high"] >= np.maximum(candles["open"], candles["close"])).all()
        assert (candles["low"] <= np.minimum(candles["open"], candles["close"])).all()


def test_funding_comes_with_its_stretch(tmp_path: Path) -> None:
    """Rates name the settlement's number, and its price is 1 % above the last close: both can be read off by hand."""
    tape = synthesize("noise", 20 * 24, "1h", seed=9, symbol="SYNTH")
    closes_ms = tape.candles["open_ms"] + HOUR_MS
    rows = np.flatnonzero(closes_ms % (8 * HOUR_MS) == 0)
    lines = [
        f"{closes_ms[row]},{(number + 1) / 1e6:.6f},{float(tape.candles['close'][row]) * 1.01!r}"
        for number, row in enumerate(rows)
    ]
    (tmp_path / "rates.csv").write_text("\n".join(["funding_time,funding_rate,mark_price", *lines]))
    config = make_config(
        {"data": {"funding": {"SYNTH": str(tmp_path / "rates.csv")}}, "strategy": {"name": "ema_cross"}},
        "test",
    )
    plan = market_plan(config, [tape], PathOptions(block=3.0))
    places = block_places(plan.market, 72.0, np.random.default_rng(4))

    drawn = drawn_market(plan.market, places)
    (use,) = drawn_funding(plan.market, plan.recorded, drawn, places).funding

    assert [time for time, _ in use.events] == closes_ms[rows].tolist()  # at the venue's hours
    for (_, event), row in zip(use.events, rows.tolist(), strict=True):
        number = int(np.flatnonzero(rows == places[row])[0])
        assert event.rate == pytest.approx((number + 1) / 1e6)
        assert event.price == pytest.approx(drawn[0].candles["close"][row] * 1.01, rel=1e-9)
    assert len({event.rate for _, event in use.events}) < len(rows)  # some were drawn twice


QUIET: dict[str, Any] = {"use_ml": False, "report": {"sensitivity": False, "random_draws": 0}}
SMALL: dict[str, Any] = {"paths": 50, "markets": 6, "delay": 2, "strategy": "ema_cross", **QUIET}


@pytest.fixture(scope="module")
def hours() -> Tape:
    return synthesize("regimes", 1_000, "1h", seed=5, symbol="SYNTH")


def test_one_seed_is_one_digest_for_any_workers(hours: Tape) -> None:
    def drawn(**more: Any) -> Any:
        return montecarlo(data=hours, account={"sizing": "all_in"}, **{**SMALL, **more})

    one, three, other = drawn(workers=1), drawn(workers=3), drawn(workers=2, seed=2)

    assert one.digest == three.digest != other.digest
    kinds = {kind.name: kind for kind in one.kinds}
    assert [len(kinds[name].paths.total) for name in (MARKETS, "noise on candles", "delays")] == [6, 6, 2]
    assert one.table.groupby("kind")["is_synthetic"].all().to_dict()[MARKETS]
    assert not kinds["delays"].is_synthetic
    # The first markets are the same however many follow.
    np.testing.assert_array_equal(
        drawn(markets=3, delay=0).kinds[4].paths.total, kinds[MARKETS].paths.total[:3]
    )


def test_a_delay_is_a_replay_with_that_latency(hours: Tape, tmp_path: Path, inside: Inside) -> None:
    from papertape import backtest

    write_tape(hours, tmp_path / "hours.parquet")
    (tmp_path / "run.toml").write_text(
        '[data]\ntapes = ["hours.parquet"]\n[strategy]\nname = "ema_cross"\n[account]\nsizing = "all_in"\n'
    )

    told = inside(
        "montecarlo", "run.toml", "--markets", "3", "--delay", "2", "--paths", "50", "--json", cwd=tmp_path
    )
    shown = inside("montecarlo", "run.toml", "--markets", "3", "--delay", "2", "--paths", "50", cwd=tmp_path)

    assert told.returncode == shown.returncode == 0
    values = json.loads(told.stdout)
    by_kind = {row["kind"]: row for row in values["kinds"]}
    later = [
        backtest(
            hours, strategy="ema_cross", account={"sizing": "all_in", "latency_bars": n}, **QUIET
        ).metrics["total_return"]
        for n in (1, 2)
    ]
    expected = np.quantile(later, [0.05, 0.5, 0.95])
    assert by_kind["delays"]["total"] == pytest.approx(list(expected), rel=1e-9)
    assert by_kind[MARKETS]["is_synthetic"]
    assert "whole markets (synthetic)" in shown.stdout
    assert "! SYNTHETIC DATA" in shown.stdout
    assert (tmp_path / "results" / "montecarlo" / "montecarlo.parquet").is_file()


def test_too_little_is_refused() -> None:
    short = synthesize("noise", 10 * 24 - 1, "1h", symbol="SYNTH")
    with pytest.raises(DataError, match="239 candles that all tapes cover are too few"):
        joint_market([short])
    days = joint_market([synthesize("noise", 10, "1d", symbol="SYNTH")])
    assert (days.period, len(days.open_ms), int(np.diff(days.open_ms)[0])) == (1, 10, DAY_MS)


def test_models_of_one_replay_are_not_taken_for_those_of_many() -> None:
    """They were accepted and never looked at."""
    from papertape import sweep

    models = [(1, b"a model")]
    with pytest.raises(ConfigError, match=r"montecarlo: models: unknown"):
        montecarlo(strategy="ema_cross", markets=1, models=models)
    with pytest.raises(ConfigError, match=r"sweep: models: unknown"):
        sweep(strategy="ema_cross", grid={"strategy.parameters.fast": [3, 5]}, models=models)


def test_trades_stand_among_placebos_with_their_own_sizes_and_costs(hours: Tape) -> None:
    from papertape import backtest
    from papertape.replay.research.montecarlo.placebo import placed_trades, why_no_placebo

    given: dict[str, Any] = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, **QUIET}
    found = montecarlo(data=hours, paths=300, markets=1, delay=0, workers=1, **given)
    result = backtest(hours, **given)

    (leg,) = placed_trades(result.trades, [hours])
    assert len(leg.held) == result.metrics["trades"]
    np.testing.assert_array_equal(np.sign(leg.weight), np.where(result.trades["side"] == "long", 1, -1))
    # One after the other, all in: together they are the account, and each spans the candles that lie between its times.
    assert found.placebo is not None
    assert found.placebo.own == pytest.approx(result.metrics["total_return"], rel=1e-9)
    hours_held = (result.trades["exit_time"] - result.trades["entry_time"]).dt.total_seconds() / 3_600
    np.testing.assert_array_equal(leg.held, np.maximum(hours_held, 1))
    assert found.to_json()["placebo"]["draws"] == 300
    assert found.placebo.low < found.placebo.middle < found.placebo.high
    assert why_no_placebo([leg]) == "fewer than 2 trades"
    overlapping = leg._replace(held=np.full(len(leg.held), 100))
    assert why_no_placebo([overlapping]).startswith("trades of one symbol overlap")


def test_models_on_paths_are_none_those_of_the_run_or_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A fill one candle later is the recorded market, so each way of having models is a replay that can be made by hand."""
    from papertape import backtest
    from papertape.replay.learning import learning_pass
    from tests.replay.learning.test_learning_pass import LEARNING, trending, walk_here

    trained = tmp_path / "trained"  # a file: paths are replayed in other processes

    def counted(*given: Any) -> Any:
        with trained.open("a") as file:
            file.write("x")
        return walk_here(*given)

    monkeypatch.setattr(learning_pass, "run_walk", counted)
    given: dict[str, Any] = {
        "data": trending(1_500),
        "model": "logistic",
        "retrain_every": "15d",
        "use_smc": False,
        "learning": {**LEARNING, "window_days": 20, "gate_days": 10, "policy": "newest"},
        "signals": {"model_features": ["log_return_1", "rsi_14"]},
        "report": {"sensitivity": False, "random_draws": 0},
    }
    later = {"account": {"latency_bars": 1}}
    run = backtest(**given)
    own = [
        (int(entry["effective_ms"]), data)
        for entry, data in zip(run.summary["model"]["lineage"], run.models, strict=True)
    ]
    assert own
    expected = {
        "none": backtest(**given, **later, **{"use_ml": False}),
        "run": backtest(**given, **later, models=own),
        "anew": backtest(**given, **later),
    }
    assert expected["none"].digest != expected["run"].digest == expected["anew"].digest
    said = {0: "nor on a path", 1: "of the run itself", 3: "anew on every path, as"}
    for training, times in (("none", 0), ("run", 1), ("anew", 3)):
        trained.write_text("")

        found = montecarlo(**given, paths=10, markets=1, noise=0, delay=1, workers=1, training=training)

        assert len(trained.read_text()) == times
        total = expected[training].metrics["total_return"]
        assert found.kinds[-1].paths.total == pytest.approx([total], rel=1e-9)
        assert [word for word in said.values() if any(word in note for note in found.notes)] == [said[times]]
