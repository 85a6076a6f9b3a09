"""
The exponential and the logistic function, from additions, products and divisions alone.

The compiler's `exp` and numpy's differ in the last bit, and both differ between machines. These do not: the same bits
jitted, plain, anywhere.
"""

import math

import numpy as np

from engine.jit import kernel


@kernel
def exponential(x: float) -> float:
    """
    Return e to the power x for |x| <= 700, within one unit in the last place.

    Source: Sun Microsystems' fdlibm 5.3, e_exp.c: x = k ln 2 + r with |r| <= ln 2 / 2 held in two parts, a Remez
    polynomial of degree 5 in r² and one division.
    """
    k = math.floor(1.44269504088896338700 * x + 0.5)
    high = x - k * 6.93147180369123816490e-01
    low = k * 1.90821492927058770002e-10
    r = high - low
    t = r * r
    tail = 6.61375632143793436117e-05 + t * (
        -1.65339022054652515390e-06 + t * 4.13813679705723846039e-08
    )
    tail = 1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 + t * tail)
    c = r - t * tail
    return math.ldexp(1.0 - ((low - (r * c) / (2.0 - c)) - high), k)


@kernel
def sigmoid(z: float) -> float:
    """Return 1 / (1 + e^-z) without overflow on either side; beyond ±700 it is 0 or 1, and NaN stays NaN."""
    if np.isnan(z):
        return np.nan
    if z >= 0.0:
        return 1.0 / (1.0 + exponential(-min(z, 700.0)))
    small = exponential(max(z, -700.0))
    return small / (1.0 + small)
