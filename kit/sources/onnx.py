"""An ``.onnx`` file."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from kit.cache import file_digest
from kit.errors import SourceNotFoundError
from kit.sources.interface import Loaded


class OnnxFile:
    """Reads a file with its weights inside."""

    name = "onnx"
    tools = ("onnx", "onnxruntime")
    needs_shape = False

    def claims(self, source: str) -> bool:
        """Any existing path, and whatever ends like a file: a mistyped path is no Python module."""
        return os.path.exists(source) or source.endswith(".onnx") or ("/" in source and ":" not in source)  # noqa: PTH110

    def origin(self, source: str) -> str:
        """Return the file's name without its folder, as Unicode."""
        return os.fsencode(Path(source).name).decode(errors="replace")

    def model_name(self, source: str) -> str:
        """Return the file's name without its ending."""
        return Path(source).stem

    def fingerprint(self, source: str) -> str:
        """Return the digest of the file's bytes."""
        path = Path(source)
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
                raise SourceNotFoundError(f"{source} is {what}; give the path of an .onnx file")
            return file_digest(path)
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"{source} does not exist{_neighbours(path)}") from error
        except OSError as error:
            raise SourceNotFoundError(f"{source} cannot be read: {error.strerror}") from error

    def load(self, source: str, folder: Path, input_shape: tuple[int, ...] | None) -> Loaded:  # noqa: ARG002
        """Write the model, stripped of paths and dates, into ``folder``."""
        import kit.graph

        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise SourceNotFoundError(f"{source} cannot be read: {error.strerror}") from error
        proto = kit.graph.parse(data, Path(source).name)
        kit.graph.strip(proto)
        path = folder / "model.onnx"
        model = kit.graph.describe(path, kit.graph.write(proto, path))
        return Loaded(model=model, digest=hashlib.sha256(data).hexdigest())


def _neighbours(path: Path) -> str:
    """Name the ONNX files beside a path that does not exist."""
    folder = path.parent
    near = sorted(p.name for p in folder.glob("*.onnx"))[:5] if folder.is_dir() else []
    return f"; {folder}/ holds {', '.join(near)}" if near else "; give the path of an .onnx file"


MEMBER = OnnxFile()
