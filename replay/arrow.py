"""Columns of Arrow tables as plain arrays, without pandas: a daemon that reads one tape would keep 50 MB of it for ever."""

from typing import Any

import numpy as np
import numpy.typing as npt


def plain_column(column: Any) -> npt.NDArray[Any]:
    """Return a column as an array; only one with missing values takes the way through pandas, which makes them NaN."""
    if column.null_count or not column.num_chunks:
        values: npt.NDArray[Any] = column.to_numpy()
        return values
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])
