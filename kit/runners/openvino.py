"""OpenVINO's IR, run by OpenVINO on the CPU, in its own environment.

``model.xml`` is computed as Triton's backend computes it: in BF16 where the processor has instructions for that, which
is OpenVINO's choice and cannot be turned off there. ``model.xml@f32`` is computed in FP32 everywhere, and
``model.xml@dynamic`` with sizes left variable, as the backend does where ``max_batch_size`` is 0.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from kit.errors import SourceNotFoundError
from kit.runners import _elsewhere
from kit.runners.interface import Running

_SCRIPT = Path(__file__).with_name("_openvino_script.py")
_EXACT, _DYNAMIC = "f32", "dynamic"


class OpenVino:
    """Runs what Triton's OpenVINO backend serves."""

    name = "openvino"
    tools = ("openvino/openvino",)

    def reads(self, reference: str) -> bool:
        """Tell whether it is a path that ends in ``.xml``, ``.xml@f32`` or ``.xml@dynamic``."""
        path, *options = reference.split("@")
        return path.lower().endswith(".xml") and set(options) <= {_EXACT, _DYNAMIC}

    def open(self, reference: str, *, threads: int = 0) -> AbstractContextManager[Running]:
        """Open the file. Raises ``SourceNotFoundError``, ``UnsupportedModelError`` and ``ToolEnvironmentError``."""
        name, *options = reference.split("@")
        path = Path(name)
        for file in (path, path.with_suffix(".bin")):
            if not file.is_file():
                raise SourceNotFoundError(f"{file} is not there; give the path of an .xml file with its .bin beside it")
        return _elsewhere.opened(
            self.name,
            _SCRIPT,
            "OpenVINO",
            path,
            threads=threads,
            precision=_EXACT if _EXACT in options else "",
            dynamic=_DYNAMIC in options,
        )


MEMBER = OpenVino()
