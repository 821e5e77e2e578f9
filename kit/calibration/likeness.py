"""Which pictures are the same picture: scaled, stored again, lit otherwise, mirrored or turned by quarters.

Two steps, measured in docs/adr/0013: prints that differ in at most 28 of 255 bits, then 32 x 32 pixels of luminance
that, brought to the same light, differ nowhere by more than the picture's own deviation. The second tells pictures
of one fixed camera apart in which something has moved.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kit.calibration.features import PRINT, Bytes, Floats, Looks

BITS_APART = 28
_PIXELS_APART = 1.0
_ROWS = 4096
"""Pictures that are held against all others at a time: 4096 of them take 16 kB for each of the others."""
_LEAST_DEVIATION = 4.0

_SYMMETRIES = tuple((turned, left, up) for turned in (False, True) for left in (False, True) for up in (False, True))
_ODD = np.where(np.arange(PRINT) % 2 == 1, np.float32(-1), np.float32(1))


def same_as(pictures: Looks, others: Looks) -> npt.NDArray[np.bool_]:
    """Return for each of ``pictures`` whether one of ``others`` is the same picture: [P] bool."""
    found = np.zeros(len(pictures), np.bool_)
    if not len(pictures) or not len(others):
        return found
    signs = _signs(others.prints)
    for begin in range(0, len(pictures), _ROWS):
        rows = slice(begin, begin + _ROWS)
        own = _signs(pictures.prints[rows])
        for symmetry in _SYMMETRIES:
            known = _mirrored(signs, symmetry).reshape(len(signs), -1)
            apart = (PRINT * PRINT - own.reshape(len(own), -1) @ known.T) / 2
            for row, other in np.argwhere(apart <= BITS_APART):
                if not found[begin + row]:
                    changed = _changed(others.smalls[other], symmetry)
                    found[begin + row] = _alike(pictures.smalls[begin + row], changed)
    return found


def different(pictures: Looks) -> int:
    """Return how many there are of which no two are the same picture, taken in their order."""
    signs, kept = _signs(pictures.prints), 0
    known = np.empty((len(signs) * len(_SYMMETRIES), PRINT * PRINT), np.float32)
    whose = np.empty(len(known), np.intp)
    for number, own in enumerate(signs):
        rows = slice(kept * len(_SYMMETRIES), (kept + 1) * len(_SYMMETRIES))
        apart = (PRINT * PRINT - known[: rows.start] @ own.ravel()) / 2
        near = np.flatnonzero(apart <= BITS_APART)
        small = pictures.smalls[number]
        turned = (_changed(pictures.smalls[whose[at]], _SYMMETRIES[at % len(_SYMMETRIES)]) for at in near)
        if not any(_alike(small, other) for other in turned):
            known[rows] = [_mirrored(own[None], symmetry).ravel() for symmetry in _SYMMETRIES]
            whose[rows] = number
            kept += 1
    return kept


def _signs(prints: Bytes) -> Floats:
    """Return [P, 16, 16] of -1 and 1, so that a product of two counts the bits that agree."""
    bits = np.unpackbits(prints, axis=1).reshape(-1, PRINT, PRINT)
    signs: Floats = bits.astype(np.float32) * 2 - 1
    return signs


def _mirrored(signs: Floats, symmetry: tuple[bool, bool, bool]) -> Floats:
    """Return the prints of the turned or mirrored pictures, from theirs."""
    turned, left, up = symmetry
    made: Floats = signs.transpose(0, 2, 1) if turned else signs
    made = made * _ODD if left else made
    made = made * _ODD[:, None] if up else made
    return np.ascontiguousarray(made, np.float32)


def _changed(small: Bytes, symmetry: tuple[bool, bool, bool]) -> Bytes:
    """Do the same to the pixels."""
    turned, left, up = symmetry
    made = small.T if turned else small
    made = made[:, ::-1] if left else made
    return made[::-1] if up else made


def _alike(first: Bytes, second: Bytes) -> bool:
    """Tell whether two squares of luminance, the first brought to the light of the second, differ nowhere by much."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    a, b = a - a.mean(), b - b.mean()
    gain = np.clip((a * b).sum() / max(float((a * a).sum()), 1e-6), 0.5, 2)
    return bool(np.abs(a * gain - b).max() <= _PIXELS_APART * max(float(b.std()), _LEAST_DEVIATION))
