"""PyTorch networks to ONNX: by the exporter of ``torch.export``, by the older one where that cannot.

Either way with a free batch, opset 18 and the weights inside; equality with the network itself is shown later.
"""

from __future__ import annotations

import inspect
import io
import logging
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import ExportError, KitError, MissingExtraError, SourceImportError, UsageError
from kit.quiet import silenced
from kit.sources.interface import Arrays, Live, Reference
from kit.types import Model

if TYPE_CHECKING:
    import onnx
    import torch

_OPSET = 18
"""Ultralytics and TensorRT agree on it, and every ONNX Runtime since 1.14 loads it."""

_MAX_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is exported: a module or a program, inputs of batch 1 to run it on, and names.

    ``source`` is what the user wrote, for messages.
    """

    module: Any
    examples: tuple[torch.Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: str
    is_program: bool = False


def require_torch(source: str) -> None:
    """Raise ``MissingExtraError`` where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("torch", "torch", f"the source {source}") from error


@contextmanager
def no_surprises(source: str) -> Iterator[None]:
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
    own = str(Path(__file__).parent)
    users = [f for f in frames if "importlib" not in f.filename and not f.filename.startswith(own)]
    return f" ({Path(users[-1].filename).name}, line {users[-1].lineno})" if users else ""


def examples(module: Any, shape: tuple[int, ...] | None, source: str) -> tuple[torch.Tensor, ...]:
    """Return inputs of batch 1: from ``shape``, else the module's own ``input_shape`` or ``example_inputs``."""
    import torch

    if shape is None and (own := getattr(module, "example_inputs", None)) is not None:
        given = as_tuple(own)
        if not all(isinstance(value, torch.Tensor) and value.ndim for value in given):
            raise SourceImportError(f"{source}: example_inputs must be tensors, each with the batch dimension first")
        return given
    shape = shape or getattr(module, "input_shape", None)
    if shape is None:
        raise UsageError(
            f"{source} does not say what it takes; give --input-shape 3x640x640, or set input_shape = (3, 640, 640) "
            "on the module"
        )
    generator = torch.Generator().manual_seed(0)
    return (torch.rand((1, *shape), generator=generator),)


def answer(module: Any, examples: tuple[torch.Tensor, ...]) -> Any:
    """Return what a network gives for the examples."""
    import torch

    with torch.no_grad():
        return module(*examples)


def output_names(made: Any, given: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return the names of what a network gave: ``given``, else a dict's keys, else ``output0`` ..."""
    import torch

    values = as_tuple(made)
    if not values or not all(isinstance(value, torch.Tensor) for value in values):
        kinds = ", ".join(type(value).__name__ for value in values) or "nothing"
        raise SourceImportError(f"{source} gives {kinds}; it must give a tensor, or a tuple or a dict of tensors")
    keys = tuple(made) if isinstance(made, dict) else tuple(f"output{index}" for index in range(len(values)))
    return given or keys


def export(network: Network) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return the network as ONNX, and a remark where the older exporter had to do it. Raises ``ExportError``."""
    import torch

    try:
        return _by_program(network), ()
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = shortened(error.__cause__ or error, 300)
        refused = f"torch.onnx.export could not convert {network.source}: {reason}"
        if network.is_program:  # a program has no code that could be traced
            raise ExportError(refused) from error
        proto = _by_trace(network, refused, decided="data-dependent" in reason.lower())
    return proto, (f"exported by PyTorch's older exporter, because the newer one could not: {shortened(reason)}",)


def _by_program(network: Network) -> onnx.ModelProto:
    import torch

    names: dict[str, Any] = {"input_names": list(network.inputs), "output_names": list(network.outputs)}
    if not network.is_program:
        batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
        names["dynamic_shapes"] = tuple({0: batch} for _ in network.examples)
    with quiet():
        program = torch.onnx.export(
            network.module, () if network.is_program else network.examples, dynamo=True, opset_version=_OPSET,
            external_data=False, verbose=False, **names,
        )  # fmt: skip
    return program.model_proto


def _by_trace(network: Network, refused: str, *, decided: bool) -> onnx.ModelProto:
    """Record what the network does with the examples.

    ``decided``: the newer exporter met a decision by the values of a tensor. A recording holds only one of the ways
    then; where it says that it followed one, it is refused, for no comparison on a few inputs would show it.
    """
    import onnx
    import torch

    class Flat(torch.nn.Module):  # type: ignore[misc]
        """The network with its outputs in one tuple: the recorder takes no dict."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network.module

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return as_tuple(self.network(*inputs))

    module = network.module if isinstance(network.module, torch.jit.ScriptModule) else Flat().eval()
    file = io.BytesIO()
    free = {name: {0: "batch"} for name in (*network.inputs, *network.outputs)}
    try:
        with quiet() as told:
            torch.onnx.export(
                module, network.examples, file, dynamo=False, opset_version=_OPSET, dynamic_axes=free, verbose=False,
                input_names=list(network.inputs), output_names=list(network.outputs),
            )  # fmt: skip
    except Exception as error:  # what the user's forward raises under the recorder is anything
        raise ExportError(refused if decided else f"{refused}; the older exporter: {shortened(error)}") from error
    if decided and any("Python boolean" in str(w.message) for w in told):
        raise ExportError(refused)
    return onnx.load_model_from_string(file.getvalue())


def by_trace(network: Network) -> onnx.ModelProto:
    """Return a TorchScript module as ONNX. Raises ``ExportError``."""
    return _by_trace(network, f"torch.onnx.export could not convert {network.source}", decided=False)


def finish(
    proto: onnx.ModelProto,
    folder: Path,
    name: str,
    notes: tuple[str, ...] = (),
    metadata: Mapping[str, str] | None = None,
) -> Model:
    """Write a model, stripped of paths and dates, into ``folder`` and describe it; messages call it ``name``.

    Raises ``UnsupportedModelError``.
    """
    import kit.graph
    from kit import dialect

    kit.graph.strip(proto)
    present = {p.key for p in proto.metadata_props}
    for key, value in sorted((metadata or {}).items()):
        if key not in present:
            proto.metadata_props.add(key=key, value=value)
    path = folder / "model.onnx"
    model = kit.graph.save(proto, path, name)
    if dialect.fix_false_batch(proto, model.signature):
        model = kit.graph.save(proto, path, name)
        notes = (*notes, "the batch is called variable, and a batch of 1 is fixed inside")
    return replace(model, notes=notes)


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Keep the exporter's remarks (warnings, logs, the graphs that it prints when it fails) off the terminal.

    Yields the warnings.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with silenced():
                yield told
        finally:
            logging.disable(disabled)


def reference(run: Callable[..., Any], inputs: tuple[str, ...], outputs: tuple[str, ...], source: str) -> Reference:
    """Return a function that runs the network itself; what it raises is told as the network's."""
    import torch

    def run_it(feeds: Arrays) -> Arrays:
        with torch.no_grad(), redirect_stdout(sys.stderr), no_surprises(source):
            made = run(*(torch.from_numpy(feeds[name]) for name in inputs))
        return {name: value.numpy() for name, value in zip(outputs, as_tuple(made), strict=True)}

    return run_it


def live(network: Network) -> Live:
    """Return a network that is not to be exported."""
    return Live(
        module=network.module,
        examples=network.examples,
        inputs=network.inputs,
        outputs=network.outputs,
        run=reference(network.module, network.inputs, network.outputs, network.source),
    )


def later(make: Callable[[], Reference]) -> Reference:
    """Return a reference that is made when it is first called: where all is known, PyTorch is not even imported."""
    made: list[Reference] = []

    def answer(feeds: Arrays) -> Arrays:
        if not made:
            made.append(make())
        return made[0](feeds)

    return answer


def shortened(error: object, width: int = 160) -> str:
    """Return a foreign message in one line."""
    return textwrap.shorten(str(error), width, placeholder=" ...") or type(error).__name__


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return what a network takes or gives as a tuple; a dict's values in its order."""
    if isinstance(value, dict):
        return tuple(value.values())
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
