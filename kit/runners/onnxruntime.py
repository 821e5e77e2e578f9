"""An ONNX file, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import kit.graph
from kit.errors import SourceNotFoundError
from kit.runners.interface import Array, Arrays, Running

if TYPE_CHECKING:
    import onnxruntime


class _Session:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.signature = kit.graph.session_signature(session)
        self._session = session

    def run(self, feeds: Mapping[str, Array]) -> Arrays:
        names = [tensor.name for tensor in self.signature.outputs]
        return dict(zip(names, kit.graph.answer(self._session, feeds), strict=True))


class OnnxRuntime:
    """Runs what Triton's ONNX Runtime backend serves."""

    name = "onnxruntime"
    tools = ("onnxruntime",)

    def reads(self, reference: str) -> bool:
        """Tell whether it is a path that ends in ``.onnx``."""
        return reference.lower().endswith(".onnx")

    @contextmanager
    def open(self, reference: str, *, threads: int = 0) -> Iterator[Running]:
        """Open the file. Raises ``SourceNotFoundError`` and ``UnsupportedModelError``."""
        if not Path(reference).is_file():
            raise SourceNotFoundError(f"{reference} is not there; give the path of an .onnx file")
        yield _Session(kit.graph.session(Path(reference), threads))


MEMBER = OnnxRuntime()
