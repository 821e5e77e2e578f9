"""An ``.mlpackage``: its program is read back and computed by PyTorch, for only macOS runs it itself.

What Apple's compiler and its Neural Engine make of it is not seen here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from kit.errors import SourceNotFoundError
from kit.runners import _elsewhere
from kit.runners.interface import Running

_SCRIPT = Path(__file__).with_name("_coreml_script.py")


class CoreMl:
    """Runs what ``kit export --format coreml`` writes, in FP32 with the weights that are in it."""

    name = "coreml"
    tools = ("coreml/coremltools", "coreml/torch")

    def reads(self, reference: str) -> bool:
        """Tell whether it is a path that ends in ``.mlpackage``."""
        return reference.lower().rstrip("/").endswith(".mlpackage")

    def open(self, reference: str, *, threads: int = 0) -> AbstractContextManager[Running]:
        """Open the package. Raises ``SourceNotFoundError``, ``UnsupportedModelError`` and ``ToolEnvironmentError``."""
        if not Path(reference).is_dir():
            raise SourceNotFoundError(f"{reference} is not there; give the path of an .mlpackage folder")
        return _elsewhere.opened(self.name, _SCRIPT, "coremltools", Path(reference), threads=threads)


MEMBER = CoreMl()
