"""What scenes are made of: real handwritten digits and real photographs, split so that nothing is shared.

Everything is read from the wheels of scikit-learn and scikit-image; nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np
from numpy.typing import NDArray
from skimage import data as skimage_data
from sklearn.datasets import load_digits, load_sample_image

SPLIT_SEED = 1797
_TRAIN_SHARE, _CALIBRATION_SHARE = 0.65, 0.10


class Split(Enum):
    """A purpose. No digit sample and no photograph serves two of them."""

    TRAIN = 0
    CALIBRATION = 1
    TEST = 2


PHOTOGRAPHS: dict[Split, tuple[str, ...]] = {
    Split.TRAIN: ("china.jpg", "chelsea", "hubble_deep_field", "immunohistochemistry", "brick", "gravel", "coins"),
    Split.CALIBRATION: ("flower.jpg", "rocket"),
    Split.TEST: ("astronaut", "coffee", "camera", "grass"),
}


@dataclass(frozen=True, kw_only=True)
class Materials:
    """One split's digits and photographs."""

    glyphs: NDArray[np.float32]
    """`[G, 8, 8]`, ink from 0 (none) to 1."""
    labels: NDArray[np.int64]
    """`[G]`, 0 to 9."""
    samples: NDArray[np.int64]
    """`[G]`, each glyph's row in scikit-learn's `load_digits`."""
    photographs: tuple[NDArray[np.uint8], ...]
    """Each `[H, W, 3]`, RGB."""


def photograph(name: str) -> NDArray[np.uint8]:
    """One photograph, `[H, W, 3]`, RGB. A name that ends in `.jpg` is scikit-learn's, any other scikit-image's."""
    if name.endswith(".jpg"):
        return np.asarray(load_sample_image(name), dtype=np.uint8)
    loaded = getattr(skimage_data, name)()
    pixels = np.asarray(loaded[0] if isinstance(loaded, tuple) else loaded, dtype=np.uint8)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def sample_rows(split: Split) -> NDArray[np.int64]:
    """The split's rows of `load_digits`, ascending. Every class is divided in the same shares."""
    rng = np.random.default_rng(SPLIT_SEED)
    labels = load_digits().target
    chosen = []
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(labels == digit))
        cuts = (round(len(rows) * _TRAIN_SHARE), round(len(rows) * (_TRAIN_SHARE + _CALIBRATION_SHARE)))
        chosen.append(np.split(rows, cuts)[split.value])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


@cache
def materials(split: Split) -> Materials:
    """Everything that scenes of this split may be made of."""
    digits = load_digits()
    rows = sample_rows(split)
    return Materials(
        glyphs=(digits.images[rows] / 16.0).astype(np.float32),
        labels=digits.target[rows].astype(np.int64),
        samples=rows,
        photographs=tuple(photograph(name) for name in PHOTOGRAPHS[split]),
    )
