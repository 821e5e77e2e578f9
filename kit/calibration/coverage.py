"""Which pictures to take, so that few show what many would: kinds of scenes found, each of them asked in turn.

The order is such that any beginning of it covers as well as its length allows. Why so: docs/adr/0013.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kit.calibration.features import Floats, Looks

_FEWEST_KINDS, _MOST_KINDS = 8, 64
_ROUNDS = 25
_NEW = 0.005
"""The squared distance beyond which a picture shows something new: one picture stored in two ways lies nearer."""
_TIME_WEIGHT = 0.15
"""How far the beginning of a video is from its end where both look the same; different scenes are about 1 apart."""

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """``of`` [P]: the kind of each picture, numbered by size, the commonest first."""

    count: int
    of: Numbers


def points(looks: Looks, moments: Floats) -> Floats:
    """Return where pictures lie [P, 133]: their looks, and when they were taken, from 0 to 1 (0 for single images)."""
    return np.hstack((looks.vectors, moments[:, None] * np.float32(_TIME_WEIGHT)))


def kinds(places: Floats) -> Kinds:
    """Return clusters by k-means (Lloyd), begun with pictures that lie far from each other: no chance in it."""
    count = int(np.clip(round(len(places) ** 0.5), min(_FEWEST_KINDS, len(places)), _MOST_KINDS))
    centres = places[_spread(places, _middle(places), count)]
    nearest = np.zeros(len(places), np.intp)
    for _ in range(_ROUNDS):
        before, nearest = nearest, _squares(places, centres).argmin(axis=1)
        if np.array_equal(before, nearest):
            break
        centres = np.stack([places[nearest == k].mean(axis=0) for k in np.unique(nearest)])
    return _by_size(_squares(places, centres).argmin(axis=1))


def order(places: Floats, found: Kinds, measures: Floats, count: int) -> Numbers:
    """Return ``count`` pictures in the order of choice: extremes, then kinds in turn, each by what is new in it.

    The lowest and highest of each of ``measures`` [P, 6] come first. Then the kind is asked whose root of size,
    divided by what was taken of it, is largest (Adams' method: every kind once before any twice, and no picture
    leaves where more are taken); kinds with nothing new left are asked when no other is left either.
    """
    taken = list(dict.fromkeys(np.concatenate((measures.argmin(axis=0), measures.argmax(axis=0))).tolist()))[:count]
    members = [np.flatnonzero(found.of == kind) for kind in range(found.count)]
    waiting = [_Queue(places, rows, taken) for rows in members]
    weights = np.sqrt([len(rows) for rows in members])
    seats = np.array([len(set(rows.tolist()) & set(taken)) for rows in members], np.float64)
    while len(taken) < min(count, len(places)):
        wanted = weights / np.maximum(seats, 1e-9)
        has_new = np.array([queue.novelty > _NEW for queue in waiting])
        wanted[~has_new if has_new.any() else [queue.novelty < 0 for queue in waiting]] = -1
        kind = int(wanted.argmax())
        taken.append(waiting[kind].take())
        seats[kind] += 1
    return np.array(taken, np.intp)


def variety(places: Floats, found: Kinds, chosen: Numbers) -> float:
    """Return how much of the differences between pictures the chosen ones show, 0 to 1.

    1 - D / V: D is the squared distance of a picture to the nearest chosen one, V that to the middle of all kinds, both
    averaged within each kind first, so that a rare kind counts as much as a common one.
    """
    middle = np.stack([places[found.of == k].mean(axis=0) for k in range(found.count)]).mean(axis=0)
    near, far = _nearest(places, places[chosen]), _squares(places, middle[None])[:, 0]
    unseen, all_of_it = (np.mean([d[found.of == k].mean() for k in range(found.count)]) for d in (near, far))
    return float(np.clip(1 - unseen / max(float(all_of_it), 1e-12), 0, 1))


class _Queue:
    """The pictures of one kind: the most typical first, then always the one that is farthest from those before."""

    def __init__(self, places: Floats, rows: Numbers, taken: list[int]) -> None:
        self._places, self._rows = places[rows], rows
        self._apart = np.full(len(rows), np.inf, np.float32)
        for position in np.flatnonzero(np.isin(rows, taken)):
            self._leave(int(position))

    @property
    def novelty(self) -> float:
        """How far the next picture is from those that were taken, squared; -1 where none is left."""
        return float(self._apart.max())

    def take(self) -> int:
        fresh = bool(np.isinf(self._apart).all())
        position = _middle(self._places) if fresh else int(self._apart.argmax())
        self._leave(position)
        return int(self._rows[position])

    def _leave(self, position: int) -> None:
        self._apart = np.minimum(self._apart, _squares(self._places, self._places[position][None])[:, 0])
        self._apart[position] = -1


def _spread(places: Floats, first: int, count: int) -> Numbers:
    """Return pictures each of which is as far as can be from those before it."""
    chosen = [first]
    apart = _squares(places, places[first][None])[:, 0]
    while len(chosen) < count:
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, _squares(places, places[chosen[-1]][None])[:, 0])
    return np.array(chosen, np.intp)


def _middle(places: Floats) -> int:
    return int(_squares(places, places.mean(axis=0)[None])[:, 0].argmin())


def _squares(places: Floats, centres: Floats) -> Floats:
    """Return squared distances [P, K]."""
    own, others = (places * places).sum(axis=1), (centres * centres).sum(axis=1)
    made: Floats = np.maximum(own[:, None] + others[None] - 2 * places @ centres.T, 0)
    return made


def _nearest(places: Floats, centres: Floats, rows: int = 4096) -> Floats:
    return np.concatenate([_squares(places[at : at + rows], centres).min(axis=1) for at in range(0, len(places), rows)])


def _by_size(of: Numbers) -> Kinds:
    """Number kinds anew, the largest first; of equally large ones, that of the earliest picture."""
    names, firsts, sizes = np.unique(of, return_index=True, return_counts=True)
    ranked = names[np.lexsort((firsts, -sizes))]
    places = np.empty(int(names.max()) + 1, np.intp)
    places[ranked] = np.arange(len(ranked))
    return Kinds(count=len(names), of=places[of])
