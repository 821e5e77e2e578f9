"""What a model answered to every picture of a set, in as few numbers as judging it needs; kept in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from kit.accuracy.types import Array, Arrays, Company, Fault

_HEAD = "head"
_COUNTS = "counts "
_ROWS = "rows "


@dataclass(frozen=True, kw_only=True)
class Head:
    """What holds for all answers: the task whose metric keeps them, and how they were asked for.

    ``frame`` is the height and width of the model's frames, ``threshold`` the served score threshold (None: the task
    has none), ``floor`` the lowest score that could be in an answer.
    """

    task: str
    frame: tuple[int, int]
    pictures: int
    threshold: float | None = None
    floor: float = 0.0
    faults: tuple[Fault, ...] = ()
    company: tuple[Company, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers to N pictures. ``columns`` hold the rows of all pictures, ``counts`` [N] how many are of each."""

    head: Head
    columns: Mapping[str, Array]
    counts: Mapping[str, Array]

    def __len__(self) -> int:
        """Return how many pictures were answered."""
        return self.head.pictures

    def each(self) -> Iterator[Arrays]:
        """Yield the kept answer to each picture."""
        import numpy as np

        ends = {name: np.cumsum(counts) for name, counts in self.counts.items()}
        for index in range(len(self)):
            yield {
                name: column[int(ends[name][index] - self.counts[name][index]) : int(ends[name][index])]
                for name, column in self.columns.items()
            }

    def save(self, path: Path) -> None:
        """Write them as ``.npz``: plain arrays, no pickle. The same answers give the same content."""
        import numpy as np

        columns: dict[str, Any] = {_HEAD: np.frombuffer(msgspec.json.encode(self.head), np.uint8)}
        columns |= {f"{_ROWS}{name}": value for name, value in self.columns.items()}
        columns |= {f"{_COUNTS}{name}": value for name, value in self.counts.items()}
        with path.open("wb") as file:
            np.savez_compressed(file, **columns)


def load(path: Path) -> Answers:
    """Return what ``Answers.save`` wrote. Raises ``OSError`` and ``ValueError``."""
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    head = msgspec.json.decode(arrays.pop(_HEAD).tobytes(), type=Head)
    return Answers(head=head, columns=_named(arrays, _ROWS), counts=_named(arrays, _COUNTS))


def gather(head: Head, kept: Iterable[Arrays]) -> Answers:
    """Return the kept answers to each picture, one after another, as columns."""
    import numpy as np

    each = list(kept)
    names = list(each[0]) if each else []
    return Answers(
        head=head,
        columns={name: np.concatenate([one[name] for one in each]) for name in names},
        counts={name: np.array([len(one[name]) for one in each], np.int64) for name in names},
    )


def _named(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
