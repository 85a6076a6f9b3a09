"""Columns of Arrow tables as plain arrays and back, without pandas: whoever reads one tape would keep 50 MB of it for ever."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def plain_column(column: Any) -> npt.NDArray[Any]:
    """Return a column as an array; only one with missing values takes the way through pandas, which makes them NaN."""
    if column.null_count or not column.num_chunks:
        values: npt.NDArray[Any] = column.to_numpy()
        return values
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])


def arrow_table(columns: Mapping[str, npt.NDArray[Any]], *, is_plain: bool = False) -> Any:
    """
    Return columns of numbers, truth, text and times (UTC, kept in ms) as an Arrow table.

    is_plain  NaN is a number like others; otherwise it is a missing one, as tables of pandas have it
    """
    import pyarrow as pa

    return pa.table({name: _arrow_column(values, is_plain) for name, values in columns.items()})


def _arrow_column(values: npt.NDArray[Any], is_plain: bool) -> Any:
    """Return one column; `pa.array` would load pandas to ask whether this is something of it."""
    import pyarrow as pa

    n, kind, known = len(values), values.dtype.kind, None
    if kind == "U":
        text = [value.encode() for value in values.tolist()]
        ends = np.cumsum([0, *map(len, text)], dtype=np.int64)
        buffers, name = [ends, b"".join(text)], pa.large_string()
    elif kind == "b":
        buffers, name = [np.packbits(values, bitorder="little")], pa.bool_()
    elif kind == "M":
        buffers, name = [values.astype("datetime64[ms]").view(np.int64)], pa.timestamp("ms", "UTC")
    else:
        buffers, name = [np.ascontiguousarray(values)], pa.from_numpy_dtype(values.dtype)
        if kind == "f" and not is_plain and np.isnan(values).any():
            known = pa.py_buffer(np.packbits(~np.isnan(values), bitorder="little"))
    return pa.Array.from_buffers(name, n, [known, *map(pa.py_buffer, buffers)])
