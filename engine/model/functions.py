"""
The exponential, the logistic function and tanh, from additions, products and divisions alone, and the sum of products.

The compiler's `exp` and numpy's differ in the last bit, and both differ between machines. These do not: the same bits
jitted, plain, anywhere. `tanh` and `decay` have no branch, no call and no table, so a loop over them becomes vector
instructions, and no fast maths is needed for it: every lane does what the single number would.
"""

import math

import numpy as np

from papertape.engine.jit import FloatArray, kernel


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
    tail = 6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08)
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


@kernel
def tanh(x: float) -> float:
    """
    Return the hyperbolic tangent within 1e-14, never beyond ±1; beyond ±17 it is what it is there.

    Source: J. H. Lambert's continued fraction, x / (1 + x² / (3 + x² / (5 + …))), to its sixth term, at an eighth of x,
    and tanh 2y = 2 tanh y / (1 + tanh² y) three times, carried as a fraction so that one division is left.
    """
    y = min(max(x, -17.0), 17.0) * 0.125
    s = y * y
    n = y * (10395.0 + s * (1260.0 + s * 21.0))
    d = 10395.0 + s * (4725.0 + s * (210.0 + s))
    n, d = 2.0 * n * d, d * d + n * n
    n, d = 2.0 * n * d, d * d + n * n
    n, d = 2.0 * n * d, d * d + n * n
    return n / d


@kernel
def decay(x: float) -> float:
    """
    Return e to the power x for x <= 0 within 1e-13; below -64 it is what it is there, 1.6e-28.

    For the many exponentials of a softmax: `exponential` ends in `ldexp`, which no vector instruction does.
    Source: e^2u = (1 + tanh u) / (1 - tanh u) with Lambert's fraction to its fifth term at u = x / 128, squared six times.
    """
    u = max(x, -64.0) * 0.0078125
    s = u * u
    n = u * (945.0 + s * (105.0 + s))
    d = 945.0 + s * (420.0 + s * 15.0)
    e = (d + n) / (d - n)
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    return e * e


@kernel
def add_products(out: FloatArray, x: FloatArray, weights: FloatArray) -> None:
    """
    Add to every output the sum of inputs times weights: out[i] += x[j] w[j, i], input after input.

    weights  flat, shape (n_inputs x n_outputs): all outputs of one input lie side by side. The inner loop runs over the
             outputs, so vector lanes are different sums, and each sum is added in one order whatever the lanes. Eight
             inputs at a time, because loading and storing the sums costs as much as a product.
    """
    n, n_inputs = len(out), len(x)
    w = weights.reshape(n_inputs, n)
    whole = n_inputs - n_inputs % 8
    for j in range(0, whole, 8):
        a, b, c, d = x[j], x[j + 1], x[j + 2], x[j + 3]
        e, f, g, h = x[j + 4], x[j + 5], x[j + 6], x[j + 7]
        for i in range(n):
            total = out[i] + a * w[j, i] + b * w[j + 1, i] + c * w[j + 2, i] + d * w[j + 3, i]
            out[i] = total + e * w[j + 4, i] + f * w[j + 5, i] + g * w[j + 6, i] + h * w[j + 7, i]
    for j in range(whole, n_inputs):
        a = x[j]
        for i in range(n):
            out[i] += a * w[j, i]
