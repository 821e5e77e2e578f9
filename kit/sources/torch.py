"""A PyTorch network: ``package.module:callable`` that returns an ``nn.Module``, with a file of weights or its own."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import SourceImportError, SourceNotFoundError
from kit.sources import _export, _weights
from kit.sources._kind import Code

if TYPE_CHECKING:
    import torch


class TorchCallable(Code):
    """Imports the module with the current folder on the path, calls it, puts the weights in, exports it."""

    name = "torch"

    def model_name(self, source: str) -> str:
        """Return the callable's name."""
        return source.rpartition(":")[2].rpartition(".")[2]

    def surroundings(self) -> AbstractContextManager[None]:
        """Return what lets modules of the current folder be imported."""
        return _on_path(Path.cwd())

    def network(
        self, source: str, shape: tuple[int, ...] | None, weights: str | None
    ) -> tuple[_export.Network, tuple[str, ...]]:
        """Return the module with its weights, run once, and remarks on where the weights were found."""
        module = _build(source)
        found = _weights.load_into(module, weights, source) if weights is not None else ()
        with _export.no_surprises(source):  # the module may say anything of itself
            examples = _export.examples(module, shape, source)
            names = _input_names(module, len(examples))
            made = _export.answer(module, examples)
            outputs = _export.output_names(made, _names(module, "output_names"), source)
        return _export.Network(module=module, examples=examples, inputs=names, outputs=outputs, source=source), found

    def metadata(self, network: _export.Network) -> dict[str, str]:
        """Return the module's own ``metadata``."""
        with _export.no_surprises(network.source):
            return {str(key): str(value) for key, value in dict(getattr(network.module, "metadata", {})).items()}


def _build(source: str) -> torch.nn.Module:
    _export.require_torch(source)
    import torch

    with _export.no_surprises(source):
        made = _find(source)()
    if not isinstance(made, torch.nn.Module):
        raise SourceImportError(f"{source} returned a {type(made).__name__}; it must return a torch.nn.Module")
    return made.eval()


def _find(source: str) -> Any:
    """Import the module and return the callable; names what is missing."""
    module_name, _, attribute = source.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise
        raise SourceNotFoundError(
            f"no module {error.name} here or in the environment; run from the folder that holds it"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise SourceNotFoundError(f"{module_name} has no {part}; the form is package.module:callable")
        found = getattr(found, part)
    if not callable(found):
        raise SourceImportError(f"{source} is a {type(found).__name__}, not a callable that returns a torch.nn.Module")
    return found


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have taken it out
            sys.path.remove(str(folder))


def _input_names(module: torch.nn.Module, count: int) -> tuple[str, ...]:
    named = _names(module, "input_names")
    parameters = tuple(inspect.signature(module.forward).parameters)
    return named or (("images",) if count == 1 else parameters[:count])


def _names(module: torch.nn.Module, attribute: str) -> tuple[str, ...]:
    return tuple(getattr(module, attribute, ()))


MEMBER = TorchCallable()
