"""
What the efficiency of several windows says together.

Source: R. Ibragimov and U. K. Müller, t-Statistic Based Correlation and Heterogeneity Robust Inference (2010): means of stretches of
time are nearly independent and normal, and Student's t keeps its level at 5 % however much their deviations differ.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from papertape.engine.performance.significance import student_probability

LEAST_WINDOWS: Final = 5


def probability_of_more(efficiency: Sequence[float]) -> float | None:
    """
    Return the probability that the mean efficiency is above 0, by Student's t over windows whose tests do not overlap.

    None for fewer than LEAST_WINDOWS, and where all are the same.
    """
    values = np.asarray(efficiency, np.float64)
    n = len(values)
    spread = float(values.std(ddof=1)) if n >= LEAST_WINDOWS else 0.0
    if spread == 0.0:
        return None
    return student_probability(float(values.mean()) * math.sqrt(n) / spread, n - 1)
