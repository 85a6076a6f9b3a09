"""
Many shifts of the same positions over one tape: the product behind the random-entry benchmark.

A lane is one shift. Candles on which nothing is held and nothing is paid have the factor 1 and are left out; the rest
are read once for eight lanes, whose products are independent of each other, so the processor works on them at once.
Every product is taken in the order of the candles, so a lane has the bits of a run of its own.
"""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, kernel

_LANES: Final = 8  # as many independent products keep a core busy


class Busy(NamedTuple):
    """The candles on which something is held or paid, in order."""

    candles: IntArray
    held: FloatArray  # share of equity, shape (n_symbols, n_busy)
    kept: FloatArray  # 1 less the share of equity that is paid


def busy_candles(weights: FloatArray, charge: FloatArray) -> Busy:
    """
    Return what is not flat.

    weights  share of equity held through each candle, shape (n_symbols, n_candles)
    charge   share of equity paid in each candle, shape (n_candles,)
    """
    is_busy = charge != 0.0
    for row in weights:
        is_busy |= row != 0.0
    busy = np.flatnonzero(is_busy)
    return Busy(busy, np.ascontiguousarray(weights[:, busy]), 1.0 - charge[busy])


def lane_products(lanes: Busy, moves: FloatArray, shifts: IntArray) -> FloatArray:
    """
    Return the product over all candles of max(1 − charge + Σ weight × move some candles later, 0), one per shift.

    moves    return of each candle, twice in a row, shape (n_symbols, 2 × n_candles)
    shifts   candles, each at least 0 and below n_candles
    """
    busy, held, kept = lanes
    # The last group is filled up with its last shift.
    asked = np.pad(shifts, (0, -len(shifts) % _LANES), mode="edge")
    products = np.empty(len(asked))
    if len(held) == 1:
        run_one(busy, held[0], kept, moves[0], asked, products)
    else:
        run_several(busy, held, kept, moves, asked, np.empty((2, _LANES)), products)
    return products[: len(shifts)]


@kernel
def run_one(
    busy: IntArray,
    held: FloatArray,
    kept: FloatArray,
    moves: FloatArray,
    shifts: IntArray,
    products: FloatArray,
) -> None:
    """Write the products of one symbol: eight scalars stay in registers, an array of them would not."""
    for group in range(0, len(shifts), 8):
        p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = 1.0
        s0, s1, s2, s3 = shifts[group], shifts[group + 1], shifts[group + 2], shifts[group + 3]
        s4, s5, s6, s7 = shifts[group + 4], shifts[group + 5], shifts[group + 6], shifts[group + 7]
        for k in range(len(busy)):
            at, share, base = busy[k], held[k], kept[k]
            # Nothing is left to lose below zero.
            p0 *= max(base + share * moves[s0 + at], 0.0)
            p1 *= max(base + share * moves[s1 + at], 0.0)
            p2 *= max(base + share * moves[s2 + at], 0.0)
            p3 *= max(base + share * moves[s3 + at], 0.0)
            p4 *= max(base + share * moves[s4 + at], 0.0)
            p5 *= max(base + share * moves[s5 + at], 0.0)
            p6 *= max(base + share * moves[s6 + at], 0.0)
            p7 *= max(base + share * moves[s7 + at], 0.0)
        products[group], products[group + 1], products[group + 2] = p0, p1, p2
        products[group + 3], products[group + 4], products[group + 5] = p3, p4, p5
        products[group + 6], products[group + 7] = p6, p7


@kernel
def run_several(
    busy: IntArray,
    held: FloatArray,
    kept: FloatArray,
    moves: FloatArray,
    shifts: IntArray,
    room: FloatArray,
    products: FloatArray,
) -> None:
    """Write the products of several symbols, eight lanes at a time; `room` is a place to work in, shape (2, 8)."""
    factor, product = room[0], room[1]
    for group in range(0, len(shifts), 8):
        for lane in range(8):
            product[lane] = 1.0
        for k in range(len(busy)):
            for lane in range(8):
                factor[lane] = kept[k]
            for symbol in range(len(held)):
                share = held[symbol, k]
                for lane in range(8):
                    factor[lane] += share * moves[symbol, shifts[group + lane] + busy[k]]
            for lane in range(8):
                product[lane] *= max(factor[lane], 0.0)
        for lane in range(8):
            products[group + lane] = product[lane]
