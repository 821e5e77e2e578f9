"""Whether TensorRT will take what an engine is to be built from: asked before anything is published."""

from __future__ import annotations

from kit.cache import Key
from kit.engines import library, parser
from kit.engines.parser import Read
from kit.errors import EngineBuildError, ToolEnvironmentError
from kit.stages import Stages
from kit.types import Artifact

STAGE = "parse"


def require(artifact: Artifact, stages: Stages) -> None:
    """Have TensorRT-RTX read the graph, and build an engine of it that nobody keeps.

    Where its environment cannot be made, that is told, and the device will find out. Raises ``EngineBuildError``.
    """
    key = Key(stage=STAGE, inputs=(artifact.digest,), parameters=artifact.signature, tools=(library.RTX_TOOL, "onnx"))
    try:
        seen = stages.cached(
            key, Read, lambda _: parser.read(artifact.path, artifact.signature, stages.progress.note), _told
        )
    except ToolEnvironmentError as error:
        stages.progress.note(f"not read by TensorRT's parser: {error}; kit build will, on the device")
        return
    if seen.refused is not None:
        raise EngineBuildError(f"{seen.refused} (asked of TensorRT-RTX, on this machine)")


def _told(seen: Read) -> str:
    if seen.refused is not None:
        return f"TensorRT-RTX refuses it: {seen.refused}"
    if seen.skipped:
        names = ", ".join(seen.skipped)
        return (
            f"TensorRT-RTX reads it, {seen.layers} layers; it has no {names}, TensorRT has, and is slow with it: "
            "export the network without"
        )
    return f"TensorRT-RTX reads it, {seen.layers} layers, and builds it"
