"""A PyTorch network: ``package.module:callable`` that returns an ``nn.Module``."""

from __future__ import annotations

import importlib
import inspect
import io
import logging
import re
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import ExportError, KitError, MissingExtraError, SourceImportError, SourceNotFoundError, UsageError
from kit.sources.interface import Arrays, Loaded, Reference

if TYPE_CHECKING:
    import torch

_OPSET = 18
"""Ultralytics and TensorRT agree on it, and every ONNX Runtime since 1.14 loads it."""

_MAX_BATCH = 1024
_FORM = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")


class TorchCallable:
    """Imports the module with the current folder on the path, calls it, exports with ``dynamo=True``."""

    name = "torch"
    tools = ("torch", "onnxscript", "onnx", "onnxruntime")
    needs_shape = True

    def claims(self, source: str) -> bool:
        """Tell whether it reads ``package.module:callable``."""
        return bool(_FORM.match(source))

    def origin(self, source: str) -> str:
        """Return it as it stands."""
        return source

    def model_name(self, source: str) -> str:
        """Return the callable's name."""
        return source.rpartition(":")[2].rpartition(".")[2]

    def fingerprint(self, source: str) -> None:  # noqa: ARG002
        """Return None: only running the user's code tells which weights and which network it makes."""
        return

    def load(self, source: str, folder: Path, input_shape: tuple[int, ...] | None) -> Loaded:
        """Export into ``folder``; ``reference`` runs the module itself. What the user's code prints is no result."""
        with _on_path(Path.cwd()), redirect_stdout(sys.stderr):
            return self._load(source, folder, input_shape)

    def _load(self, source: str, folder: Path, input_shape: tuple[int, ...] | None) -> Loaded:
        import kit.graph

        module = _build(source)
        with _no_surprises(source):  # the module may say anything of itself
            examples = _examples(module, input_shape, source)
            names = _input_names(module, len(examples))
            outputs = _output_names(module, examples, source)
            metadata = {str(key): str(value) for key, value in dict(getattr(module, "metadata", {})).items()}
        proto = _export(module, examples, names, outputs, source)
        kit.graph.strip(proto)
        for key, value in sorted(metadata.items()):
            proto.metadata_props.add(key=key, value=value)
        path = folder / "model.onnx"
        model = kit.graph.describe(path, kit.graph.write(proto, path))
        return Loaded(
            model=model, digest=model.digest, reference=_reference(module, names, [o.name for o in proto.graph.output])
        )


def _build(source: str) -> torch.nn.Module:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "torch", f"the source {source}") from error
    with _no_surprises(source):
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


@contextmanager
def _no_surprises(source: str) -> Iterator[None]:
    """Turn whatever the user's code raises into one line that names their file and line."""
    try:
        yield
    except KitError:
        raise
    except (Exception, SystemExit) as error:
        place = _place(error)
        reason = " ".join(str(error).split())
        raise SourceImportError(f"{source} raised {type(error).__name__}: {reason}{place}") from error


def _place(error: BaseException) -> str:
    """Return `` (file.py, line 3)`` of the innermost frame that is not an importer's."""
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    users = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
    return f" ({Path(users[-1].filename).name}, line {users[-1].lineno})" if users else ""


def _examples(module: torch.nn.Module, shape: tuple[int, ...] | None, source: str) -> tuple[torch.Tensor, ...]:
    """Return inputs of batch 1: from ``shape``, else the module's own ``input_shape`` or ``example_inputs``."""
    import torch

    if shape is None and (own := getattr(module, "example_inputs", None)) is not None:
        examples = _as_tuple(own)
        if not all(isinstance(value, torch.Tensor) and value.ndim for value in examples):
            raise SourceImportError(f"{source}: example_inputs must be tensors, each with the batch dimension first")
        return examples
    shape = shape or getattr(module, "input_shape", None)
    if shape is None:
        raise UsageError(
            f"{source} does not say what it takes; give --input-shape 3x640x640, or set input_shape = (3, 640, 640) "
            "on the module"
        )
    generator = torch.Generator().manual_seed(0)
    return (torch.rand((1, *shape), generator=generator),)


def _input_names(module: torch.nn.Module, count: int) -> list[str]:
    named = _attribute_names(module, "input_names")
    parameters = list(inspect.signature(module.forward).parameters)
    return named or (["images"] if count == 1 else parameters[:count])


def _attribute_names(module: torch.nn.Module, attribute: str) -> list[str]:
    return list(getattr(module, attribute, ()))


def _output_names(module: torch.nn.Module, examples: tuple[torch.Tensor, ...], source: str) -> list[str]:
    """Return the module's own names, else a dict's keys, else ``output0`` ..."""
    import torch

    with torch.no_grad():
        made = module(*examples)
    values = _as_tuple(made)
    if not values or not all(isinstance(value, torch.Tensor) for value in values):
        kinds = ", ".join(type(value).__name__ for value in values) or "nothing"
        raise SourceImportError(f"{source} gives {kinds}; it must give a tensor, or a tuple or a dict of tensors")
    given = list(made) if isinstance(made, dict) else [f"output{index}" for index in range(len(values))]
    return _attribute_names(module, "output_names") or given


def _export(
    module: torch.nn.Module, examples: tuple[torch.Tensor, ...], names: list[str], outputs: list[str], source: str
) -> Any:
    """Export with a batch dimension of variable size and the weights inside."""
    import torch

    batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
    with _quiet():
        try:
            program = torch.onnx.export(
                module, examples, dynamo=True, opset_version=_OPSET, input_names=names, output_names=outputs,
                dynamic_shapes=tuple({0: batch} for _ in examples), external_data=False, verbose=False,
            )  # fmt: skip
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            reason = textwrap.shorten(str(error.__cause__ or error), 300, placeholder=" ...")
            raise ExportError(f"torch.onnx.export could not convert {source}: {reason}") from error
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks (warnings, logs, the graphs that it prints when it fails) off the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(disabled)


def _reference(module: torch.nn.Module, inputs: list[str], outputs: list[str]) -> Reference:
    import torch

    def run(feeds: Arrays) -> dict[str, Any]:
        with torch.no_grad(), redirect_stdout(sys.stderr):
            made = module(*(torch.from_numpy(feeds[name]) for name in inputs))
        return {name: value.numpy() for name, value in zip(outputs, _as_tuple(made), strict=True)}

    return run


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if isinstance(value, dict):
        return tuple(value.values())
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


MEMBER = TorchCallable()
