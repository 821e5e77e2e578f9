"""What sources of one sort have in common: those that are a file, and those that somebody's code makes."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from kit.cache import file_digest
from kit.errors import SourceNotFoundError
from kit.sources import _export, _kinds
from kit.sources.interface import Live, Loaded, Reference

if TYPE_CHECKING:
    from kit.sources._export import Network


class _OfItsKind:
    """Tells its own by what ``_kinds`` makes of it; its ``name`` is the word for it there."""

    name: str
    elsewhere = False

    def claims(self, source: str) -> bool:
        """Tell whether the source is of this kind."""
        return _kinds.kind(source) == self.name

    def reference(self, source: str, input_shape: tuple[int, ...] | None) -> Reference | None:  # noqa: ARG002
        """Return None: there is nothing beside the file that could run, or ``load`` gives it."""
        return None


class File(_OfItsKind):
    """A source that is a file; known by its bytes."""

    takes_weights = False

    def origin(self, source: str) -> str:
        """Return the file's name without its folder, as Unicode."""
        return _kinds.file_name(source)

    def model_name(self, source: str) -> str:
        """Return the file's name without its ending."""
        return Path(source).stem

    def fingerprint(self, source: str) -> str:
        """Return the digest of the file. Raises ``SourceNotFoundError``."""
        try:
            return file_digest(Path(source))
        except OSError as error:
            raise SourceNotFoundError(f"{source} cannot be read: {error.strerror}") from error


class Code(_OfItsKind, ABC):
    """A network that Python code makes: only running it tells which weights and which network that is."""

    tools = ("torch", "onnxscript", "onnx", "onnxruntime")
    needs_shape = True
    takes_weights = True

    def origin(self, source: str) -> str:
        """Return it as it stands."""
        return source

    def fingerprint(self, source: str) -> None:  # noqa: ARG002
        """Return None: it is made each time."""
        return

    def load(
        self, source: str, folder: Path, input_shape: tuple[int, ...] | None, weights: str | None = None
    ) -> Loaded:
        """Export into ``folder``; ``reference`` runs the network itself. What the code prints is no result.

        Raises as ``network`` and ``metadata`` do, ``ExportError`` and ``UnsupportedModelError``.
        """
        with self.surroundings(), redirect_stdout(sys.stderr):
            network, found = self.network(source, input_shape, weights)
            metadata = self.metadata(network)
            proto, notes = _export.export(network)
            given = tuple(output.name for output in proto.graph.output)
            model = _export.finish(proto, folder, source, (*found, *notes), metadata)
            run = _export.reference(network.module, network.inputs, given, source)
            return Loaded(model=model, digest=model.digest, reference=run)

    def live(self, source: str, input_shape: tuple[int, ...] | None, weights: str | None = None) -> Live:
        """Return the network as it is. Raises as ``network`` does."""
        with self.surroundings(), redirect_stdout(sys.stderr):
            return _export.live(self.network(source, input_shape, weights)[0])

    def surroundings(self) -> AbstractContextManager[None]:
        """Return what the code runs in."""
        return nullcontext()

    @abstractmethod
    def network(
        self, source: str, shape: tuple[int, ...] | None, weights: str | None
    ) -> tuple[Network, tuple[str, ...]]:
        """Return the network with its weights, run once, and remarks on them. Raises a ``SourceError``."""

    @abstractmethod
    def metadata(self, network: Network) -> Mapping[str, str]:
        """Return what it says of itself, by the keys that the kit reads: see docs/sources.md."""
