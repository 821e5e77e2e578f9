"""What values a network's tensors take on real pictures: seen once, kept, and used for every method and precision.

Pictures are read one at a time, and of each tensor only a histogram is kept, so that the memory does not depend on
their number. Where a picture's tensors together are large, the pictures are gone through several times, with a part of
the tensors each: what is held at once stays below ``_ROOM``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.cache import Cache, Key
from kit.errors import QuantizationError
from kit.precision._network import Network
from kit.precision.interface import Arrays, Pictures
from kit.types import Model, Signature

if TYPE_CHECKING:
    import onnx

    from kit.precision._histogram import Seen

_ROOM = 512 << 20
"""Bytes of activations that are held at once."""

_SAMPLE = 1 << 14
"""Values of a tensor that are counted of each picture, spread evenly; its limits are those of all values."""

_FREE_SIZE = 640
TOOLS = ("onnx", "onnxruntime", "numpy")


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What was seen of a network's tensors, in a file of numpy's; ``pictures`` is their number."""

    file: Path
    pictures: int

    def read(self) -> dict[str, Seen]:
        """Return what was seen, by tensor."""
        import numpy as np

        from kit.precision._histogram import Seen

        with np.load(self.file, allow_pickle=False) as stored:
            names, limits, counts = stored["names"], stored["limits"], stored["counts"]
        return {
            str(name): Seen(low=float(low), high=float(high), reach=float(reach), counts=row)
            for name, (low, high, reach), row in zip(names, limits, counts, strict=True)
        }


@dataclass(frozen=True, kw_only=True)
class Part:
    """Every ``every``-th of some pictures, from ``first`` on; with ``but`` all others."""

    pictures: Pictures
    every: int
    first: int = 0
    but: bool = False

    @property
    def digest(self) -> str:
        """The whole set's, and which part of it."""
        return f"{self.pictures.digest} {self.every} {self.first} {self.but}"

    def __len__(self) -> int:
        """How many there are."""
        return sum(self._holds(index) for index in range(len(self.pictures)))

    def feeds(self, signature: Signature, batch: int = 1) -> Iterator[Arrays]:
        """Yield them, one at a time."""
        assert batch == 1
        return (feed for i, feed in enumerate(self.pictures.feeds(signature)) if self._holds(i))

    def _holds(self, index: int) -> bool:
        return (index % self.every == self.first) is not self.but


def observe(model: Model, network: Network, pictures: Pictures, cache: Cache) -> Observation:
    """Return what was seen of every FP32 tensor of ``network``, from the cache where it was seen before.

    Raises ``QuantizationError`` where a value is no number, and ``UnsupportedModelError`` where the model does not run.
    """
    key = Key(stage="observe", inputs=(model.digest, pictures.digest), tools=TOOLS)
    found = cache.find(key, Observation)
    return found or cache.make(key, Observation, lambda folder: _observed(model, network, pictures, folder))


def _observed(model: Model, network: Network, pictures: Pictures, folder: Path) -> Observation:
    import numpy as np

    names = [n for node in network.nodes for n in node.output if n and network.is_float(n)]
    names += [n for n in (value.name for value in network.proto.graph.input) if network.is_float(n)]
    seen: dict[str, Seen] = {}
    count = 0
    for part in _parts(network, list(dict.fromkeys(names))):
        seen |= (found := _watch(network.proto, part, pictures, model.signature))[0]
        count = found[1]
    file = folder / "seen.npz"
    np.savez_compressed(
        file,
        names=np.array(list(seen), dtype=np.str_),
        limits=np.array([(s.low, s.high, s.reach) for s in seen.values()], np.float64).reshape(-1, 3),
        counts=np.array([s.counts for s in seen.values()], np.int64),
    )
    return Observation(file=file, pictures=count)


def _parts(network: Network, names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the tensors in as many parts as are small enough for one picture."""
    part: list[str] = []
    size = 0
    for name in names:
        own = 4 * math.prod(1 if axis == 0 and d == -1 else abs(d) if d != -1 else _FREE_SIZE
                            for axis, d in enumerate(network.shapes.get(name, ())))  # fmt: skip
        if part and size + own > _ROOM:
            yield part
            part, size = [], 0
        part.append(name)
        size += own
    yield part


def _watch(
    proto: onnx.ModelProto, names: Sequence[str], pictures: Pictures, signature: Signature
) -> tuple[dict[str, Seen], int]:
    """Run all pictures and return what was seen of the named tensors, and how many pictures there were."""
    import numpy as np

    from kit.precision import _histogram

    seen = {name: _histogram.nothing() for name in names}
    count = 0
    for count, values in enumerate(answers(proto, names, pictures, signature), start=1):
        for name, array in values.items():
            low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
            if not (math.isfinite(low) and math.isfinite(high)):
                raise QuantizationError(
                    f"tensor {name} is NaN or infinite on picture {count} of the calibration set already in FP32: the "
                    "model itself is at fault there; leave that picture out, or mend the model"
                )
            flat = np.ascontiguousarray(array).reshape(-1)
            step = max(1, flat.size // _SAMPLE)
            seen[name] = _histogram.added(seen[name], flat[count % step :: step], low, high)
    if not count:
        raise QuantizationError("the calibration set yields no pictures; give --calibration a folder of images")
    return seen, count


def answers(proto: onnx.ModelProto, names: Sequence[str], pictures: Pictures, signature: Signature) -> Iterator[Arrays]:
    """Yield the named tensors for each picture. Raises ``UnsupportedModelError`` where the graph does not run."""
    import onnx

    import kit.graph
    from kit.errors import UnsupportedModelError

    opened = onnx.ModelProto()
    opened.CopyFrom(proto)
    given = [value.name for value in proto.graph.input]
    wanted = [name for name in names if name not in given]
    known = {value.name for value in proto.graph.output}
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in known)
    running = kit.graph.session(opened.SerializeToString())
    for feeds in pictures.feeds(signature):
        try:
            results = running.run(wanted, feeds) if wanted else []
        except kit.graph.refusals() as error:
            raise UnsupportedModelError(f"the model does not run on a picture: {kit.graph.one_line(error)}") from error
        yield {name: feeds[name] for name in names if name in given} | dict(zip(wanted, results, strict=True))
