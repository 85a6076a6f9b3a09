"""
Seeded markets that never traded: for tests of the machinery and of honesty. Always flagged synthetic, venue "synthetic".

A candle's log return r comes from its kind; inside the candle the price walks from open to close along a Brownian
bridge, which gives high and low; the open is the close before. Volume is log-normal and grows with the size of r.
With σ the volatility per candle and ε standard normal, all drawn from one PCG64 stream:

    noise     r = σ ε                        nothing to find: whoever finds something is wrong
    regimes   r = σ_k (m_k + ε)              calm, up, down and storm, which last 300 candles on average
    jumps     r = σ ε + a jump               1 in 200 candles jumps by a normal of 12 σ
    garch     r = σ_t ε                      calm and storm follow themselves: σ_t² = σ² (1 - α - β) + α r₋₁² + β σ_{t-1}²
    edge      r = φ r₋₁ + σ √(1 - φ²) ε      the sign of the last return tells the next one's with probability
                                             1/2 + asin(φ)/π: 0.58 for the default φ = 0.25
    pattern   r = ± σ |ε|                    the sign is the product of the last two with probability (1 + φ)/2, the other
                                             one otherwise: nothing that one return or a sum of them tells
"""

from typing import Final

import numpy as np

from papertape.engine.candles import FLAG_SYNTHETIC, HOUR_MS, empty_candles, timeframe_ms
from papertape.engine.errors import DataError, did_you_mean
from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.tapes.quality import measure
from papertape.replay.tapes.tape import Tape
from papertape.replay.tapes.timestamps import floor_to, utc_text

KINDS: Final = ("noise", "regimes", "jumps", "garch", "edge", "pattern")
VENUE: Final = "synthetic"  # of these alone, also of a daemon that is streamed them
START_MS: Final = 1_577_836_800_000  # 2020-01-01 00:00 UTC
HOURLY_VOLATILITY: Final = 0.008  # about what BTC had from 2020 to 2023
EDGE: Final = 0.25
ROWS_MAX: Final = 10_000_000

REGIME_CANDLES: Final = 300  # mean length
REGIME_DRIFTS: Final = (0.0, 0.15, -0.15, 0.0)  # in σ: calm, up, down, storm
REGIME_SCALES: Final = (0.5, 1.0, 1.0, 2.5)
JUMP_CHANCE: Final = 1 / 200
JUMP_SCALE: Final = 12.0
GARCH_SHOCK: Final = 0.1  # α
GARCH_MEMORY: Final = 0.85  # β

_STEPS = 8  # of the walk inside a candle
_BLOCK = 65_536  # candles walked at once, so that memory stays flat


def synthesize(
    kind: str,
    n: int,
    timeframe: str = "1h",
    seed: int = 1,
    *,
    symbol: str = "SYNTH",
    start_ms: int = START_MS,
    price: float = 20_000.0,
    volatility: float | None = None,
    edge: float = EDGE,
) -> Tape:
    """
    Return `n` synthetic candles without gaps; equal arguments give equal bytes.

    kind        one of KINDS, explained at the top of the module
    start_ms    floored to the grid
    volatility  σ of log returns per candle; None scales 0.8 % per hour by the square root of time
    edge        φ of the kinds `edge` and `pattern`, between -1 and 1

    >>> synthesize("noise", 24, "1h", seed=7).sha256 == synthesize("noise", 24, "1h", seed=7).sha256
    True
    """
    if kind not in KINDS:
        raise DataError(f"unknown synthetic market {kind!r}{did_you_mean(kind, KINDS)}")
    if not 1 <= n <= ROWS_MAX:
        raise DataError(f"rows: {n} is not between 1 and {ROWS_MAX:,}")
    if not -1.0 < edge < 1.0:
        raise DataError(f"edge: {edge} is not between -1 and 1")
    if not 0.0 < price < 1e9 or (volatility is not None and not 0.0 < volatility < 0.5):
        raise DataError("price must be above 0 and volatility between 0 and 0.5")
    length_ms = timeframe_ms(timeframe)
    sigma = volatility or HOURLY_VOLATILITY * float(np.sqrt(length_ms / HOUR_MS))
    random = np.random.Generator(np.random.PCG64(seed))
    returns, scales = _returns(kind, n, sigma, edge, random)
    candles = empty_candles(n)
    first_ms = int(floor_to(start_ms, length_ms))
    candles["open_ms"] = first_ms + length_ms * np.arange(n, dtype=np.int64)
    logs = np.log(price) + np.concatenate([[0.0], np.cumsum(returns)])
    edges = np.exp(logs)
    candles["open"], candles["close"] = edges[:-1], edges[1:]
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        high, low = _walk(returns[block], scales[block], random)
        candles["high"][block] = np.exp(logs[:-1][block] + high)
        candles["low"][block] = np.exp(logs[:-1][block] + low)
    # The exponential of a sum is not the sum's own rounding: the edges have the last word.
    candles["high"] = np.maximum(candles["high"], np.maximum(candles["open"], candles["close"]))
    candles["low"] = np.minimum(candles["low"], np.minimum(candles["open"], candles["close"]))
    candles["volume"] = np.exp(random.normal(3.0, 0.5, n)) * (0.5 + np.abs(returns) / scales)
    candles["flag_bits"] = FLAG_SYNTHETIC
    told = f"kind {kind}, seed {seed}, σ {sigma:.6g} per candle, price {price:g}"
    return Tape(
        candles,
        VENUE,
        symbol,
        timeframe,
        f"synthetic {kind}, seed {seed}",
        "linear",
        (f"{told}, φ {edge:g}" if kind in ("edge", "pattern") else told, f"from {utc_text(first_ms)}"),
        measure(candles, timeframe).as_dict(),
    )


def _returns(
    kind: str, n: int, sigma: float, edge: float, random: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return every candle's log return and its σ."""
    noise = random.standard_normal(n)
    scales = np.full(n, sigma)
    if kind == "regimes":
        regime = _regimes(n, random)
        scales = sigma * np.asarray(REGIME_SCALES)[regime]
        return scales * (np.asarray(REGIME_DRIFTS)[regime] + noise), scales
    if kind == "jumps":
        jumps = np.where(random.random(n) < JUMP_CHANCE, random.standard_normal(n), 0.0)
        return sigma * (noise + JUMP_SCALE * jumps), scales
    if kind == "garch":
        scales = sigma * _garch(noise)
        return scales * noise, scales
    if kind == "edge":
        return sigma * _autoregressive(noise, edge), scales
    if kind == "pattern":
        return sigma * np.abs(noise) * _pattern(random.random(n), edge), scales
    return sigma * noise, scales


def _regimes(n: int, random: np.random.Generator) -> IntArray:
    """Return a regime per candle; each lasts a geometric time and gives way to any other with equal chance."""
    lengths, regimes, current, total = [], [], 0, 0
    while total < n:
        lengths.append(int(random.geometric(1.0 / REGIME_CANDLES)))
        regimes.append(current)
        total += lengths[-1]
        current = (current + int(random.integers(1, len(REGIME_DRIFTS)))) % len(REGIME_DRIFTS)
    return np.repeat(np.asarray(regimes, dtype=np.int64), lengths)[:n]


def _autoregressive(noise: FloatArray, edge: float) -> FloatArray:
    """Return a stationary series of variance 1 with lag-one correlation `edge`."""
    fresh = (float(np.sqrt(1.0 - edge * edge)) * noise).tolist()
    value = float(noise[0])
    values = [value]
    for shock in fresh[1:]:
        value = edge * value + shock
        values.append(value)
    return np.asarray(values)


def _garch(noise: FloatArray) -> FloatArray:
    """Return the volatility at each shock, in units of the long-run one; starts there."""
    variance, values = 1.0, []
    for shock in noise.tolist():
        values.append(variance)
        variance *= GARCH_MEMORY + GARCH_SHOCK * shock * shock
        variance += 1.0 - GARCH_SHOCK - GARCH_MEMORY
    scales: FloatArray = np.sqrt(np.asarray(values))
    return scales


def _pattern(uniform: FloatArray, edge: float) -> FloatArray:
    """Return signs, each the product of the two before it with probability (1 + edge)/2; two rises begin."""
    chance = 0.5 * (1.0 + edge)
    before, last = 1.0, 1.0
    signs = []
    for value in uniform.tolist():
        sign = before * last if value < chance else -before * last
        before, last = last, sign
        signs.append(sign)
    return np.asarray(signs)


def _walk(
    returns: FloatArray, scales: FloatArray, random: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return the highest and lowest log price inside each candle, measured from its open."""
    steps = random.standard_normal((len(returns), _STEPS)) * (scales[:, None] / np.sqrt(_STEPS))
    path = np.cumsum(steps, axis=1)  # (n, _STEPS)
    share = np.arange(1, _STEPS + 1) / _STEPS
    path += share * (returns - path[:, -1])[:, None]
    return np.maximum(path.max(axis=1), 0.0), np.minimum(path.min(axis=1), 0.0)
