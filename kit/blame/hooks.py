"""The outputs of a PyTorch network's modules, by hooks; a layer is a call of a module with none inside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit.blame.instrument import Array, Arrays, Tapping
from kit.blame.layers import Layer, Network, folded

if TYPE_CHECKING:
    import torch

    from kit.sources.interface import Live

_OPERATORS = {
    "Conv1d": "Conv", "Conv2d": "Conv", "Conv3d": "Conv", "ConvTranspose2d": "ConvTranspose", "Linear": "Gemm",
    "BatchNorm1d": "BatchNormalization", "BatchNorm2d": "BatchNormalization", "ReLU": "Relu", "ReLU6": "Clip",
}  # fmt: skip
"""What ONNX calls what a module does."""

_AGAIN = re.compile(r"@\d+")
"""What torch.export.unflatten writes behind a module's name from its second call on."""


@dataclass
class _Seen:
    """What a run of the network showed: a layer for each call, and how large its output is for one element."""

    layers: list[Layer] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    makers: dict[int, str] = field(default_factory=dict)
    alive: list[Any] = field(default_factory=list)


class TorchHooks:
    """Runs the network with hooks on its innermost modules."""

    by_module = True

    def __init__(self, live: Live) -> None:
        self._live = live
        seen = _Seen()
        feeds = {name: value.numpy() for name, value in zip(live.inputs, live.examples, strict=True)}
        with self._hooked(lambda name, module, given, made: _note(seen, name, module, given, made)):
            live.run(feeds)
        self._sizes = seen.sizes
        self.network = folded(Network(inputs=live.inputs, layers=tuple(seen.layers)))

    def sizes(self, names: Iterable[str], feeds: Mapping[str, Array]) -> Mapping[str, int]:
        """Return the bytes of each output, as seen with one element."""
        batch = max((len(value) for value in feeds.values() if value.ndim), default=1)
        return {name: batch * self._sizes[name] for name in names}

    @contextmanager
    def tapping(self, names: Sequence[str]) -> Iterator[Tapping]:
        """Run the whole network and keep these outputs."""
        wanted, kept = set(names), {}

        def keep(name: str, module: torch.nn.Module, given: tuple[Any, ...], made: torch.Tensor) -> None:  # noqa: ARG001
            if name in wanted:
                kept[name] = made.detach().numpy().copy()  # what comes next may write into it

        def run(feeds: Mapping[str, Array]) -> Arrays:
            kept.clear()
            with self._hooked(keep):
                self._live.run(dict(feeds))
            return dict(kept)

        yield run

    @contextmanager
    def _hooked(self, tell: Callable[[str, torch.nn.Module, tuple[Any, ...], torch.Tensor], None]) -> Iterator[None]:
        """Call ``tell`` with each layer's name as it is computed; the second call of a module is ``path#2``."""
        import torch

        calls: Counter[str] = Counter()

        def hook_of(path: str) -> Callable[..., None]:
            def hook(module: torch.nn.Module, given: tuple[Any, ...], made: Any) -> None:
                if isinstance(made, torch.Tensor):
                    calls[path] += 1
                    tell(path if calls[path] == 1 else f"{path}#{calls[path]}", module, given, made)

            return hook

        module = self._live.module
        leaves = [(name, part) for name, part in module.named_modules() if name and not any(part.children())]
        handles = [part.register_forward_hook(hook_of(_AGAIN.sub("", name))) for name, part in leaves]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def shows_layers(module: Any) -> bool:
    """Tell whether hooks can be put on a network's modules: TorchScript's run without Python."""
    import torch

    return not isinstance(module, torch.jit.ScriptModule)


def _kind(module: Any) -> str:
    """Return the class of a module; of an unflattened program's, the class that it was exported from."""
    exported = module.type_name() if hasattr(module, "type_name") else None
    return str(exported).rpartition(".")[2] if exported else type(module).__name__


def _note(seen: _Seen, name: str, module: torch.nn.Module, given: tuple[Any, ...], made: torch.Tensor) -> None:
    """Add a layer. What functions between modules did is not seen: then it follows the layer before it."""
    found = [seen.makers[id(value)] for value in given if id(value) in seen.makers]
    before = (seen.layers[-1].name,) if seen.layers and not found else ()
    kind = _kind(module)
    parameters = dict(module.named_parameters(recurse=False))
    seen.layers.append(
        Layer(
            name=name,
            operator=_OPERATORS.get(kind, kind),
            inputs=tuple(dict.fromkeys(found)) or before,
            module=name.partition("#")[0],
            weights=tuple(parameters),
            shapes=tuple(tuple(value.shape) for value in parameters.values()),
        )
    )
    seen.makers[id(made)] = name
    seen.alive.append(made)  # or its id would be another's
    seen.sizes[name] = made.numel() * made.element_size()
