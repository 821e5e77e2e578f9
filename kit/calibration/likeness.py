"""Which pictures are the same picture: scaled, stored again, lit otherwise, mirrored or turned by quarters.

Two steps, measured in docs/adr/0013: prints that differ in at most 44 of 255 bits, then 32 x 32 pixels of luminance
that, brought to the same light, differ nowhere by more than the picture's own deviation. The second tells pictures
of one fixed camera apart in which something has moved.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kit.calibration.features import PRINT, Bytes, Floats, Looks

BITS_APART = 44
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
            near = (apart <= BITS_APART) & ~found[rows, None]
            for row in np.flatnonzero(near.any(axis=1)):
                known_smalls = _changed(others.smalls[near[row]], symmetry)
                found[begin + row] = _alike(pictures.smalls[begin + row], known_smalls).any()
    return found


def different(pictures: Looks) -> int:
    """Return how many there are of which no two are the same picture, taken in their order."""
    signs = _signs(pictures.prints)
    known = np.empty((len(_SYMMETRIES), len(signs), PRINT * PRINT), np.float32)
    kept: list[int] = []
    for number, own in enumerate(signs):
        agreeing = known[:, : len(kept)] @ own.ravel()
        near = (PRINT * PRINT - agreeing) / 2 <= BITS_APART
        leaders = pictures.smalls[kept]
        if not any(
            _alike(pictures.smalls[number], _changed(leaders[rows], symmetry)).any()
            for rows, symmetry in zip(near, _SYMMETRIES, strict=True)
            if rows.any()
        ):
            known[:, len(kept)] = [_mirrored(own[None], symmetry).ravel() for symmetry in _SYMMETRIES]
            kept.append(number)
    return len(kept)


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


def _changed(smalls: Bytes, symmetry: tuple[bool, bool, bool]) -> Bytes:
    """Do the same to the pixels [..., 32, 32]."""
    turned, left, up = symmetry
    made = np.swapaxes(smalls, -1, -2) if turned else smalls
    made = made[..., ::-1] if left else made
    return made[..., ::-1, :] if up else made


def _alike(small: Bytes, others: Bytes) -> npt.NDArray[np.bool_]:
    """Return which of [K, 32, 32] differ nowhere by much from one square of luminance brought to their light."""
    a, b = small.astype(np.float32).ravel(), others.reshape(len(others), -1).astype(np.float32)
    a, b = a - a.mean(), b - b.mean(axis=1, keepdims=True)
    gains = np.clip(b @ a / max(float(a @ a), 1e-6), 0.5, 2)
    apart = np.abs(gains[:, None] * a - b).max(axis=1)
    alike: npt.NDArray[np.bool_] = apart <= _PIXELS_APART * np.maximum(b.std(axis=1), _LEAST_DEVIATION)
    return alike
