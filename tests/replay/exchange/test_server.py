"""The venue as a whole: it streams a tape exactly, the same for the same seed, in virtual and in real time, and quickly."""

import ast
import asyncio
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from papertape.engine.candles import CANDLE
from papertape.engine.errors import ConfigError, DataError
from papertape.replay import exchange as venue_package
from papertape.replay.exchange import Faults, Switches, Venue
from papertape.replay.exchange.market import own_candles
from papertape.replay.importers.sample import sample_tape
from papertape.replay.runtime.clock import Clock
from papertape.replay.tapes.store import Tape
from tests.support.venue_client import (
    AGENT,
    HISTORY,
    MINUTE_MS,
    START_MS,
    Client,
    Socket,
    in_virtual_time,
    make_market,
    make_tape,
    of_type,
    with_venue,
)

NAMES = ("open", "high", "low", "close", "volume")
SHORT = ("o", "h", "l", "c", "v")
LONG = ("open", "high", "low", "close", "volume")


def values(rows: Any) -> dict[int, tuple[float, ...]]:
    return {int(row["open_ms"]): tuple(float(row[name]) for name in NAMES) for row in rows}


def last_states(frames: list[dict[str, Any]], is_legacy: bool) -> dict[int, tuple[float, ...]]:
    """Return what the stream said last of each candle, by its start."""
    start, names = ("candle_start_time", LONG) if is_legacy else ("cst", SHORT)
    return {frame[start] // 1000: tuple(float(frame[n]) for n in names) for frame in frames}


@pytest.mark.parametrize("is_legacy", [False, True])
@pytest.mark.parametrize("publishing", ["if_changed", "always", "every_trade"])
def test_the_stream_and_the_history_are_the_tape_bit_for_bit(is_legacy: bool, publishing: Any) -> None:
    tape = make_tape(n=20)

    async def use(client: Client) -> tuple[Any, Any, Any]:
        venue = client.venue
        socket = await client.connect(venue.legacy_url if is_legacy else venue.compact_url)
        await socket.subscribe(("candlestick_1m", ["BTCUSDT"]))
        frames, _ = await asyncio.gather(socket.listen(START_MS + 20 * MINUTE_MS), venue.finished())
        history = await client.candles(START_MS, START_MS + 19 * MINUTE_MS)
        return frames, history, venue.truth("BTCUSDT")

    frames, history, truth = with_venue(use, [tape], Switches(publishing=publishing))

    expected = values(tape.candles[HISTORY:])
    assert values(truth) == expected
    assert last_states(of_type(frames, "candlestick_1m"), is_legacy) == expected
    assert {c["time"] * 1000: tuple(c[name] for name in NAMES) for c in history} == expected


def test_the_embedded_sample_streams_as_it_is() -> None:
    tape = sample_tape().between("2020-01-01", "2020-01-03")
    start_ms = int(tape.candles["open_ms"][24])

    async def use(client: Client) -> dict[int, tuple[float, ...]]:
        await client.clock.sleep_until(start_ms)
        socket = await client.connect()
        await socket.subscribe(("candlestick_1h", ["BTCUSDT"]))
        frames = await socket.listen(start_ms + 48 * 3_600_000)
        return last_states(of_type(frames, "candlestick_1h"), False)

    async def run() -> dict[int, tuple[float, ...]]:
        clock = Clock(start_ms)
        venue = Venue([tape], clock)
        await venue.start()
        async with aiohttp.ClientSession(headers=AGENT) as http:
            found = await use(Client(venue, clock, http))
        await venue.stop()
        return found

    assert in_virtual_time(run()) == values(tape.candles[24:])


def gappy_tape(symbol: str = "THINUSDT") -> Tape:
    """Return a tape with missing minutes and minutes of no volume."""
    tape = make_tape(n=12, symbol=symbol)
    rows = tape.candles.copy()
    rows["volume"][HISTORY + 2] = rows["volume"][HISTORY + 7] = 0.0
    kept = np.ones(len(rows), dtype=np.bool_)
    kept[[HISTORY + 4, HISTORY + 5]] = False
    return Tape(rows[kept], "test", symbol, "1m")


@pytest.mark.parametrize("has_padding", [True, False])
def test_a_thin_symbol_has_minutes_without_trades(has_padding: bool) -> None:
    async def use(client: Client) -> tuple[Any, Any]:
        await client.venue.finished()
        span = (START_MS, START_MS + 11 * MINUTE_MS)
        return await client.candles(*span, symbol="THINUSDT"), client.venue.truth("THINUSDT")

    history, truth = with_venue(use, [gappy_tape()], Switches(has_padding=has_padding))

    minutes = [(c["time"] * 1000 - START_MS) // MINUTE_MS for c in reversed(history)]
    empty = [2, 4, 5, 7]
    assert minutes == [k for k in range(12) if has_padding or k not in empty]
    # What the tape has without volume is the venue's flat candle; what it lacks is nobody's.
    own = (truth["open_ms"] - START_MS) // MINUTE_MS
    assert own.tolist() == [k for k in range(12) if k not in (4, 5)]
    quiet, before = truth[own == 2][0], truth[own == 1][0]
    assert {float(quiet[name]) for name in NAMES[:4]} == {float(before["close"])}


def test_nothing_exists_before_the_first_trade() -> None:
    rows = np.zeros(4, CANDLE)
    rows["open_ms"] = START_MS + MINUTE_MS * np.arange(4)
    for name in NAMES[:4]:
        rows[name] = [5.0, 6.0, 7.0, 8.0]
    rows["volume"] = [0.0, 1.0, 0.0, 2.0]

    own = own_candles(rows)

    assert own["open_ms"].tolist() == rows["open_ms"][1:].tolist()
    assert own["close"].tolist() == [6.0, 6.0, 8.0]


def test_volumes_are_contracts_on_the_wire_and_base_units_in_truth() -> None:
    async def use(client: Client) -> list[Any]:
        socket = await client.connect()
        await socket.subscribe(("candlestick_1m", ["BTCUSDT"]))
        frames = await socket.listen(START_MS + MINUTE_MS)
        (candle,) = await client.candles(START_MS, START_MS)
        ticker = (await client.get("/v2/tickers/BTCUSDT"))[1]["result"]
        product = (await client.get("/v2/products/BTCUSDT"))[1]["result"]
        truth = float(client.venue.truth("BTCUSDT")["volume"][0])
        return [frames[-1]["v"], candle["volume"], truth, ticker, product["contract_value"]]

    streamed, asked, truth, ticker, contract = with_venue(use, contract_values={"BTCUSDT": 0.25})

    volume = float(make_tape().candles["volume"][HISTORY])
    assert streamed == asked == volume / 0.25
    assert truth == volume
    assert float(contract) == 0.25
    day = make_tape().candles[: HISTORY + 1]
    assert ticker["volume"] == pytest.approx(float(day["volume"].sum()))
    assert ticker["turnover"] == pytest.approx(float((day["volume"] * day["close"]).sum()))


def test_several_markets_and_clients_share_one_venue() -> None:
    tapes = [make_tape(6, f"S{i}USDT", seed=i) for i in range(4)]
    symbols = [tape.symbol for tape in tapes]

    async def use(client: Client) -> list[list[dict[str, Any]]]:
        sockets = [await client.connect() for _ in range(3)]
        for socket in sockets:
            await socket.subscribe(("candlestick_1m", symbols))
        end_ms = START_MS + 6 * MINUTE_MS
        return list(await asyncio.gather(*(socket.listen(end_ms) for socket in sockets)))

    heard = with_venue(use, tapes)

    assert heard[0] == heard[1] == heard[2]
    for tape in tapes:
        frames = [f for f in of_type(heard[0], "candlestick_1m") if f["sy"] == tape.symbol]
        assert last_states(frames, False) == values(tape.candles[HISTORY:])


async def everything(client: Client) -> list[tuple[int, str]]:
    socket = await client.connect()
    await socket.tell({"type": "enable_heartbeat"})
    await socket.subscribe(
        ("candlestick_1m", ["BTCUSDT"]),
        ("trades", ["BTCUSDT"]),
        ("ticker", ["BTCUSDT"]),
        ("ob_updates", ["BTCUSDT"]),
        ("system_status", None),
    )
    await socket.listen(START_MS + 5 * MINUTE_MS)
    return socket.texts


def test_a_seed_gives_the_same_bytes_at_the_same_times() -> None:
    def run(seed: int, fault_seed: int) -> list[tuple[int, str]]:
        kinds = ("swap", "drop", "duplicate", "silence", "late_final", "stall")
        faults = Faults.seeded(fault_seed, START_MS, START_MS + 3 * MINUTE_MS, kinds=kinds)
        return with_venue(everything, faults=faults, seed=seed)

    first = run(1, 1)

    assert len(first) > 50
    assert first == run(1, 1)
    assert first != run(2, 1)
    assert first != run(1, 2)


def test_two_hours_stream_in_well_under_a_second_or_two() -> None:
    async def use(client: Client) -> tuple[int, float]:
        socket = await client.connect()
        await socket.tell({"type": "enable_heartbeat"})
        await socket.subscribe(("candlestick_1m", ["BTCUSDT"]))
        started = time.perf_counter()
        frames = await socket.listen(START_MS + 120 * MINUTE_MS)
        return len(of_type(frames, "candlestick_1m")), time.perf_counter() - started

    n, seconds = with_venue(use, [make_tape(n=120)])

    assert n >= 240
    assert seconds < 2.0, f"{seconds:.2f} s"


@pytest.mark.asyncio
async def test_the_same_stream_in_real_time_at_speed() -> None:
    tape = make_tape(n=3)

    async def run() -> dict[int, tuple[float, ...]]:
        clock = Clock(START_MS - 2 * MINUTE_MS, speed=600.0)
        venue = Venue([tape], clock, start_ms=START_MS)
        await venue.start()
        try:
            async with aiohttp.ClientSession(headers=AGENT) as http:
                socket = Socket(Client(venue, clock, http), await http.ws_connect(venue.compact_url))
                await socket.subscribe(("candlestick_1m", ["BTCUSDT"]))
                frames, _ = await asyncio.gather(socket.listen(START_MS + 3 * MINUTE_MS), venue.finished())
                # What a busy machine has not read yet is in the socket.
                frames += await socket.listen(clock.now_ms() + MINUTE_MS)
        finally:
            await venue.stop()
        return last_states(of_type(frames, "candlestick_1m"), False)

    found, expected = (await run()), values(tape.candles)

    # The first candles may have passed before the subscription did.
    assert found.items() <= expected.items()
    assert max(found) == max(expected)


def test_a_venue_can_be_stopped_and_started_again() -> None:
    async def use(client: Client) -> list[int]:
        statuses = [(await client.get("/v2/settings"))[0]]
        await client.venue.stop()
        again = Venue([make_tape()], client.clock, start_ms=START_MS)
        await again.start(port=int(client.venue.rest_url.rpartition(":")[2]))
        statuses.append((await client.get("/v2/settings"))[0])
        await again.stop()
        return statuses

    assert with_venue(use) == [200, 200]


@pytest.mark.parametrize("is_awaited", [True, False])
def test_a_stream_that_dies_is_not_taken_for_the_end(is_awaited: bool) -> None:
    async def use(client: Client) -> None:
        def fail(_: int) -> None:
            raise AssertionError("planted")

        client.venue.world.schedule.put(START_MS + 1000, fail)
        await client.clock.sleep(2.0)
        with pytest.raises(AssertionError, match="planted"):
            await (client.venue.finished() if is_awaited else client.venue.stop())

    with_venue(use)


def test_what_cannot_be_served_is_refused() -> None:
    async def use(client: Client) -> None:
        with pytest.raises(DataError, match="two tapes have it"):
            Venue([make_tape(), make_tape()], client.clock)
        with pytest.raises(DataError, match="at least one tape"):
            Venue([], client.clock)
        with pytest.raises(ConfigError, match="loopback only"):
            await Venue([make_tape()], client.clock).start(host="0.0.0.0")  # noqa: S104 - refused

    with_venue(use)


def test_finality_has_every_combination_once_and_only_those_that_differ() -> None:
    found = list(Switches.combinations())

    # cst 2, first frame 2, publishing 3, final frame 4; without trades: silent, or null and flat in three places.
    assert len(found) == len(set(found)) == 2 * 2 * 3 * 4 * (1 + 2 * 3)
    assert Switches() in found
    lags = list(Switches.combinations("rest_lag_s", "rest_lag", "has_padding"))
    assert len(lags) == 2 * (1 + 3)
    with pytest.raises(ConfigError, match="did you mean 'final_frame'"):
        list(Switches.combinations("final_frames"))


def test_the_venue_shares_no_code_with_the_client() -> None:
    for path in Path(str(venue_package.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            assert not [name for name in names if name.startswith("papertape.daemon")], path


def test_a_market_answers_for_any_instant() -> None:
    market = make_market([1.0, 2.0, 3.0])
    trades = [t for stamp in market.stamps.tolist() for t in market.trades(stamp)]

    assert market.last_price(trades[0].time_ms - 1) is None
    for before, after in pairwise(trades):
        assert market.last_price(after.time_ms - 1) == before.price
        assert market.last_price(after.time_ms) == after.price
    assert market.last_trades(trades[-1].time_ms, 1000) == trades[::-1]
    assert json.loads(json.dumps(trades[0].price)) == trades[0].price
