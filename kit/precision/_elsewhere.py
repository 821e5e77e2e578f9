"""INT8 by a tool in an environment of its own: it gets the graph as a file, what must stay as it is, and pictures."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kit.environments import ScriptError, Worker
from kit.errors import QuantizationError
from kit.precision import _calibrated, _structure, _writing
from kit.precision._calibrated import Work
from kit.precision.interface import Lowered, Pictures

if TYPE_CHECKING:
    import onnx


def staying(work: Work) -> list[str]:
    """Return the nodes that keep their precision: pre-processing, decoding, and what was reverted."""
    undone = {n for g in work.plan.groups if g.name in work.ask.reverted for n in g.nodes}
    return sorted({*work.end.nodes, *undone, *_structure.before_layers(work.network)})


def quantised(
    tool: str, work: Work, worker: Worker, words: Mapping[str, object], pictures: Pictures, folder: Path
) -> onnx.ModelProto:
    """Return what a tool's script makes of the graph; it is told ``words``. Raises ``QuantizationError``."""
    import onnx

    folder.mkdir()
    source, made = folder / "before.onnx", folder / "after.onnx"
    onnx.save(work.network.proto, str(source))
    given = {"onnx": str(source), "made": str(made), **words}
    try:
        worker.call("quantise", given, streams={"feeds": lambda: pictures.feeds(work.ask.model.signature)})
    except ScriptError as error:
        raise QuantizationError(f"{tool} does not take this graph: {error}; use --precision int8") from error
    proto = onnx.load(str(made))
    shutil.rmtree(folder)  # what the stage leaves is kept in the cache
    return proto


def nearest(tool: str, work: Work, made: dict[str, onnx.ModelProto], folder: Path) -> Lowered:
    """Write the one of the graphs whose answers are nearest on pictures held out."""
    trials = _calibrated.tried(work, made)
    best = _calibrated.nearest(trials)
    return Lowered(
        model=_writing.finish(made[best.name], work.ask.model, folder),
        method=f"{tool}, {_calibrated.told(trials, best)}",
        groups=work.plan.groups,
        kept=_calibrated.kept(work),
    )
