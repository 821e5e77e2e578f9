"""An ``.onnx`` file, with its external data where it has some."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from kit import external
from kit.errors import SourceNotFoundError
from kit.sources import _export, _kinds
from kit.sources._kind import File
from kit.sources.interface import Loaded


class OnnxFile(File):
    """Reads a file; weights that it keeps in others are brought inside."""

    name = "onnx"
    tools = ("onnx", "onnxruntime")
    needs_shape = False

    def fingerprint(self, source: str) -> str:
        """Return the digest of the file's bytes and of those that it names: its external data."""
        path = Path(source)
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
                raise SourceNotFoundError(f"{source} is {what}; give the path of an .onnx file")
            external.require_readable_size(path.stat().st_size, path.name)
            return _digest(path)
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"{source} does not exist{_kinds.neighbours(path)}") from error
        except OSError as error:
            raise SourceNotFoundError(f"{source} cannot be read: {error.strerror}") from error

    def load(
        self,
        source: str,
        folder: Path,
        input_shape: tuple[int, ...] | None,  # noqa: ARG002
        weights: str | None = None,  # noqa: ARG002
    ) -> Loaded:
        """Write the model into ``folder``: stripped of paths and dates, with all weights inside, not too old or new."""
        import kit.graph
        from kit import dialect

        given = Path(source)
        try:
            data = given.read_bytes()
        except OSError as error:
            raise SourceNotFoundError(f"{source} cannot be read: {error.strerror}") from error
        proto = kit.graph.parse(data, given.name)
        digest = external.embed(proto, given.parent, given.name, hashlib.sha256(data).hexdigest(), len(data))
        proto, notes = dialect.bring_up(proto, given.name)
        return Loaded(model=_export.finish(proto, folder, given.name, notes), digest=digest)


def _digest(path: Path) -> str:
    """Return the digest of a file and of its external data; onnx is imported where there may be some."""
    whole, marked, tail = hashlib.sha256(), False, b""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            whole.update(block)
            marked = marked or external.mentions(tail + block)
            tail = block[-16:]
    if not marked:
        return whole.hexdigest()
    import kit.graph

    data = path.read_bytes()
    proto = kit.graph.parse(data, path.name)
    return external.digest(proto, path.parent, path.name, whole.hexdigest(), len(data))


MEMBER = OnnxFile()
