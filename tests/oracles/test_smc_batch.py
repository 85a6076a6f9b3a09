"""The batch definitions, one candle at a time: their fold equals the package cell by cell, their stream is causal."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd
import pytest

from papertape.engine.features.smc.events import EVENT
from papertape.engine.jit import Rows
from papertape.replay.importers.sample import sample_tape
from tests.oracles.smc_batch import SESSIONS, PreviousLevels, Session, SmcBatch, events
from tests.oracles.smc_batch.blocks import batch_blocks
from tests.oracles.smc_batch.series import Series, View, rounding
from tests.oracles.smc_package import STEP_MS, Package, recorded_candles, recorded_result
from tests.support.helpers import make_candles, needs_shared, random_candles

SINGLE = {"bos_choch": ("Level",), "ob": ("Top", "Bottom", "OBVolume", "Percentage")}


def stepped(candles: Rows, swing_length: int, **options: bool) -> tuple[SmcBatch, Rows]:
    """Return the trackers after all candles, and everything they said."""
    batch = SmcBatch(STEP_MS, swing_length, single_precision=True, **options)
    said = [batch.step(candle) for candle in candles]
    return batch, np.concatenate(said) if said else np.zeros(0, EVENT)


@cache
def recorded(name: str, *, join: bool = False) -> tuple[SmcBatch, Rows]:
    """Return the trackers after a whole recorded series, and everything they said."""
    return stepped(recorded_candles(name), 5, join=join)


def views(candles: Rows, swing_length: int, **options: bool) -> dict[str, View]:
    """Return every fold, by the names of the package's results."""
    batch, _ = stepped(candles, swing_length, **options)
    joined, _ = stepped(candles, swing_length, join=True)
    return {
        "fvg": batch.view_gaps(),
        "fvg joined": joined.view_gaps(),
        "swings": batch.view_swings(),
        "bos_choch": batch.view_structure(),
        "ob": batch.view_blocks(),
        "liquidity": batch.view_liquidity(),
        "retracements": batch.view_retracements(),
    }


def assert_equal(found: View, wanted: pd.DataFrame, single: tuple[str, ...] = ()) -> None:
    """Compare cell by cell, exactly; columns that the package records as float32 after casting both sides."""
    assert set(found) == set(wanted.columns)
    for name in wanted.columns:
        kind = np.float32 if name in single else np.float64
        np.testing.assert_array_equal(
            found[name].astype(kind), wanted[name].to_numpy(np.float64).astype(kind), name
        )


def coarse(n: int, seed: int) -> Rows:
    """Return candles on so coarse a grid that ties are everywhere."""
    return random_candles(n, seed=seed, timeframe="15m", tick=(1.0, 0.5, 0.1)[seed % 3])


@needs_shared
@pytest.mark.parametrize(("name", "suffix"), [("EURUSD_15M", "_result_data"), ("SYNTH_A_15M", "")])
def test_folds_equal_every_recorded_file(name: str, suffix: str) -> None:
    prefix = "" if name == "EURUSD_15M" else f"{name}_"
    batch, _ = recorded(name)
    joined, _ = recorded(name, join=True)

    for file, view in {
        "fvg": batch.view_gaps(),
        "fvg_consecutive": joined.view_gaps(),
        "swing_highs_lows": batch.view_swings(),
        "bos_choch": batch.view_structure(),
        "ob": batch.view_blocks(),
    }.items():
        wanted = recorded_result(f"{prefix}{file}{suffix}")
        assert len(wanted) == len(batch.series)
        assert_equal(view, wanted, SINGLE.get(file, ()))


@needs_shared
def test_totals_are_those_of_the_reference() -> None:
    batch, said = recorded("EURUSD_15M")
    joined, _ = recorded("EURUSD_15M", join=True)
    gaps, patterns = batch.gaps.gaps.values(), batch.structure.patterns
    standing = batch.structure.standing

    # Reference section 6, rule 4.
    assert sum(gap.side > 0 for gap in gaps) == 2_559
    assert sum(gap.side < 0 for gap in gaps) == 2_461
    assert sum(not gap.touched for gap in gaps) == 37
    assert len(joined.gaps.gaps) == 3_756
    assert (batch.swings.n_raw, len(batch.swings.folded())) == (3_462, 2_708)
    assert (len(patterns), sum(p.broken > 0 for p in patterns)) == (1_304, 1_296)
    assert (len(standing), sum(p.is_choch for p in standing)) == (1_129, 453)
    # Section 2.2: shown as NEW or MOVE, withdrawn by a MOVE.
    shown = np.isin(said["kind"], (events.SWING_NEW, events.SWING_MOVE))
    assert (shown.sum(), (said["kind"] == events.SWING_MOVE).sum()) == (2_922, 216)


@needs_shared
def test_two_schedules_of_order_blocks_differ_as_the_reference_counts() -> None:
    batch, _ = recorded("EURUSD_15M")
    folded = batch_blocks(batch.series, batch.swings.folded(), batch.hold, close_mitigation=False)

    def named(*sides: object) -> set[tuple[int, int, int]]:
        return {(b.row, b.side, b.known) for side in sides for b in side.blocks}  # type: ignore[attr-defined]

    live, afterwards = named(batch.bullish, batch.bearish), named(*folded)

    # Reference section 2.4.
    assert len(afterwards) == 1_085
    assert sum(not b.ended for side in folded for b in side.blocks) == 66
    assert (len(live), len(live & afterwards)) == (1_215, 1_054)
    assert (len(live - afterwards), len(afterwards - live)) == (161, 31)


@pytest.mark.parametrize("swing_length", [1, 2, 3, 5, 8, 11])
def test_folds_equal_the_package_on_ties_and_on_prefixes(swing_length: int) -> None:
    for seed in (swing_length, swing_length + 20):
        candles = coarse(260, seed)
        for n in (3 * swing_length + 2, 90, 171, 260):
            options = {"close_break": seed % 2 == 0, "close_mitigation": n % 2 == 0}
            wanted = Package(candles[:n], swing_length).all(**options)
            found = views(candles[:n], swing_length, **options)

            for name, table in wanted.items():
                assert_equal(found[name], table)


@needs_shared
def test_liquidity_and_retracements_equal_the_package_on_real_candles() -> None:
    candles = recorded_candles("EURUSD_15M")[:2_500]
    wanted = Package(candles, 5).all()
    found = views(candles, 5)

    assert_equal(found["liquidity"], wanted["liquidity"])
    assert_equal(found["retracements"], wanted["retracements"])
    assert (~np.isnan(found["liquidity"]["Level"])).sum() > 20


def test_previous_levels_equal_the_package_for_every_period() -> None:
    # 75 days of quarter hours with a hole every week, so that days, weeks and months are cut anywhere.
    candles = random_candles(7_200, seed=3, timeframe="15m")
    hour = candles["open_ms"] // 3_600_000
    gapped = candles[(hour % (7 * 24) < 110) | (hour % (7 * 24) > 141)]
    package = Package(gapped, 5)

    for period in ("15min", "1h", "4h", "1D", "1W", "1ME"):
        series = Series()
        levels = PreviousLevels(series, rounding(True), period)
        for candle in gapped:
            series.add(candle)
            levels.step()

        assert_equal(levels.view(), package.previous(period))


def test_sessions_equal_the_package_with_its_reversed_zone() -> None:
    candles = random_candles(700, seed=5, timeframe="15m")
    package = Package(candles, 5)

    for name, (start, end) in SESSIONS.items():
        for zone, hours in (("UTC", 0), ("UTC+5", 5)):
            series = Series()
            session = Session(series, rounding(True), start, end, hours_added=hours)
            for candle in candles:
                series.add(candle)
                session.step()

            assert_equal(session.view(), package.session(name, zone))


def test_stream_of_a_prefix_is_the_prefix_of_the_stream() -> None:
    for join in (False, True):
        candles = coarse(400, 7)
        _, whole = stepped(candles, 3, join=join)
        assert set(whole["kind"]) <= set(events.KIND_NAMES)
        for n in (0, 1, 8, 57, 200, 399):
            _, part = stepped(candles[:n], 3, join=join)

            assert part.tobytes() == whole[whole["known_bar"] < n].tobytes()


def test_nothing_is_said_before_the_candles_it_depends_on() -> None:
    """Perturb candle k: no statement known before k may change (reference section 6)."""
    candles = coarse(300, 4)
    _, before = stepped(candles, 3)
    for k in (40, 155, 280):
        changed = candles.copy()
        for name in ("open", "high", "low", "close"):
            changed[name][k] *= 1.5
        _, after = stepped(changed, 3)

        known = before[before["known_bar"] < k]
        assert known.tobytes() == after[after["known_bar"] < k].tobytes()
        assert len(known) > 20


def test_every_statement_carries_when_it_formed_and_when_it_was_known() -> None:
    candles = coarse(400, 5)
    _, said = stepped(candles, 4)

    assert (said["sequence"] == np.arange(len(said))).all()
    assert (said["known_bar"] >= said["bar"]).all()
    assert (said["formed_ms"] == candles["open_ms"][said["bar"]]).all()
    assert (said["known_ms"] == candles["open_ms"][said["known_bar"]] + STEP_MS).all()
    delays = {
        kind: set((said["known_bar"] - said["bar"])[said["kind"] == kind].tolist())
        for kind in (events.GAP, events.SWING_NEW, events.SWING_MOVE)
    }
    assert delays == {events.GAP: {1}, events.SWING_NEW: {4}, events.SWING_MOVE: {4}}


def test_folded_rows_have_a_statement_each() -> None:
    """A row of the view without a statement would be a bug (reference section 6, rule 3); bookends are decoration."""
    batch, said = stepped(coarse(500, 9), 3)
    rows: Mapping[str, set[int]] = {
        name: set(said["bar"][np.isin(said["kind"], kinds)].tolist())
        for name, kinds in {
            "gaps": (events.GAP,),
            "swings": (events.SWING_NEW, events.SWING_MOVE),
            "breaks": (events.BOS, events.CHOCH),
        }.items()
    }

    stamped = np.flatnonzero(~np.isnan(batch.view_swings()["HighLow"]))[1:-1]
    assert set(stamped.tolist()) <= rows["swings"]
    assert set(np.flatnonzero(~np.isnan(batch.view_gaps()["FVG"])).tolist()) == rows["gaps"]
    assert {p.row for p in batch.structure.standing} <= rows["breaks"]


def test_single_precision_is_a_switch_that_is_off() -> None:
    # A swing high of 16777217 rounds to 16777216 in float32, so a close at 16777217 is beyond the rounded level only.
    assert rounding(True)(16_777_217.0) == 16_777_216.0
    assert rounding(False)(16_777_217.0) == 16_777_217.0
    assert SmcBatch(STEP_MS).hold(0.1) == 0.1


def test_empty_and_constant_input_say_nothing() -> None:
    flat = make_candles([(5.0, 5.0, 5.0, 5.0)] * 40, "15m")
    for candles in (flat[:0], flat[:1]):
        batch, said = stepped(candles, 2)
        assert not len(said)
        assert all(np.isnan(column).all() for column in batch.view_swings().values())

    _, said = stepped(flat, 2)
    assert set(said["kind"]) == {events.SWING_NEW}
    assert len(said) == 1


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_a_crash_or_a_spike_of_one_candle_is_folded_as_the_package_folds_it(factor: float) -> None:
    candles = coarse(160, 8)
    candles["low" if factor < 1.0 else "high"][80] *= factor

    found, wanted = views(candles, 3), Package(candles, 3).all()

    for name, table in wanted.items():
        assert_equal(found[name], table)


def test_a_candle_that_makes_two_blocks_keeps_both() -> None:
    """The embedded hours have such candles; each block is said once, at a candle of its own."""
    candles = sample_tape().candles
    batch = SmcBatch(3_600_000, 5)

    said = np.concatenate([batch.step(candle) for candle in candles])

    made = said[said["kind"] == events.BLOCK]
    keys = list(zip(made["bar"].tolist(), made["side"].tolist(), strict=True))
    assert len(keys) > len(set(keys))
    assert len(made) == len(np.unique(made[["known_bar", "side"]]))
