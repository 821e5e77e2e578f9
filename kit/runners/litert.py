"""A ``.tflite`` file, run by LiteRT's own interpreter, in its own environment."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from kit.errors import SourceNotFoundError
from kit.runners import _elsewhere
from kit.runners.interface import Running

_SCRIPT = Path(__file__).with_name("_litert_script.py")


class LiteRt:
    """Runs what ``kit export --format litert`` writes: pictures are NHWC there.

    INT8 inputs and outputs are given and taken as the numbers that they stand for.
    """

    name = "litert"
    tools = ("litert/ai-edge-litert",)

    def reads(self, reference: str) -> bool:
        """Tell whether it is a path that ends in ``.tflite``."""
        return reference.lower().endswith(".tflite")

    def open(self, reference: str, *, threads: int = 0) -> AbstractContextManager[Running]:
        """Open the file. Raises ``SourceNotFoundError``, ``UnsupportedModelError`` and ``ToolEnvironmentError``."""
        if not Path(reference).is_file():
            raise SourceNotFoundError(f"{reference} is not there; give the path of a .tflite file")
        return _elsewhere.opened(self.name, _SCRIPT, "LiteRT", Path(reference), threads=threads)


MEMBER = LiteRt()
