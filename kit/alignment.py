"""Rows that a network chose by itself, brought into the order of another run's.

Networks that end in TopK or NMS give lists, best first. Two libraries round otherwise, and where two scores are as good
as equal they swap two rows, or the last place goes to another one: no fault of either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"
Arrays: TypeAlias = "dict[str, Array]"

_MOST_ROWS = 1000
_SHARE = 0.05
"""So many rows of a list may have nothing like them in the other: what came in last, by a hair."""


def aligned(expected: Mapping[str, Array], got: Mapping[str, Array], tolerance: float) -> Arrays:
    """Return ``got`` with its rows in the order of ``expected``'s; as it is where they are not the same rows.

    Outputs [N, R, ...] with the same R are one list, or [R, ...] where one has no more than one dimension. A row is
    found again where no number of it is further away than ``tolerance`` of its output's range. At most 5 % of them may
    be missing.
    """
    axis = 0 if any(value.ndim < 2 for value in expected.values()) else 1
    groups: dict[int, list[str]] = {}
    for name, value in expected.items():
        if value.shape == got[name].shape:
            groups.setdefault(value.shape[axis], []).append(name)
    made = dict(got)
    for rows, names in groups.items():
        if 1 < rows <= _MOST_ROWS:
            made |= _aligned({n: expected[n] for n in names}, {n: got[n] for n in names}, axis, rows, tolerance)
    return made


def _aligned(expected: Arrays, got: Arrays, axis: int, rows: int, tolerance: float) -> Arrays:
    """Bring one list into order."""
    import numpy as np

    lists = 1 if axis == 0 else next(iter(got.values())).shape[0]
    before, after = _table(expected, lists, rows, expected), _table(got, lists, rows, expected)
    order = np.stack([_order(a, b, tolerance) for a, b in zip(before, after, strict=True)])
    if (order < 0).mean() > _SHARE:
        return got
    return {name: _taken(expected[name], got[name], order, (lists, rows)) for name in got}


def _table(arrays: Mapping[str, Array], lists: int, rows: int, scales: Mapping[str, Array]) -> npt.NDArray[np.float64]:
    """Return all numbers of each row, as shares of their output's range: [lists, rows, numbers]."""
    import numpy as np

    parts = []
    for name, value in arrays.items():
        wide = value.astype(np.float64).reshape(lists, rows, -1)
        parts.append(wide / max(float(np.abs(scales[name].astype(np.float64)).max()), 1e-6))
    return np.concatenate(parts, axis=2)


def _order(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], tolerance: float) -> npt.NDArray[np.int64]:
    """Return for each row before the row after that is it, each once; -1 where none is."""
    import numpy as np

    found = np.full(len(before), -1, np.int64)
    free = np.ones(len(after), bool)
    for index, row in enumerate(before):
        distance = np.where(free, np.abs(after - row).max(axis=1), np.inf)
        distance[index] -= tolerance / 2  # of rows that are the same, the one in its place
        nearest = int(distance.argmin())
        if distance[nearest] <= tolerance:
            found[index] = nearest
            free[nearest] = False
    return found


def _taken(expected: Array, got: Array, order: npt.NDArray[np.int64], shape: tuple[int, int]) -> Array:
    """Return the rows in that order; where none was found again, the expected one."""
    import numpy as np

    rows, wanted = got.reshape(*shape, -1), expected.reshape(*shape, -1)
    made = np.take_along_axis(rows, np.maximum(order, 0)[:, :, np.newaxis], axis=1)
    return np.where((order < 0)[:, :, np.newaxis], wanted, made).reshape(got.shape)
