"""Weights read from a file and put into a network: tensors only, never code; what does not fit is named."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kit.errors import CheckpointError, MissingExtraError
from kit.sources import _kinds

if TYPE_CHECKING:
    import torch

    State: TypeAlias = "Mapping[str, torch.Tensor]"

_NESTS = ("state_dict_ema", "model_ema", "ema", "params_ema", "state_dict", "model_state_dict", "model", "net",
          "network", "params", "weights", "module")  # fmt: skip
"""Where trainers put the weights of the network; averaged ones (EMA) first, because they are what is evaluated."""

_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
"""What DataParallel, torch.compile and Lightning put in front of every name."""

_COUNTERS = ("num_batches_tracked", "total_ops", "total_params")
"""What no answer depends on."""

_DAMAGED = (
    "weights {name} is no file of torch.save, or is damaged; copy it again, or give a .safetensors, .pt or .pth file"
)
_WORDS = ("random", "none")
_SHOWN = 3


def load_into(module: torch.nn.Module, file: str, source: str) -> tuple[str, ...]:
    """Put the weights in ``file`` into a network; return remarks on where they were found in it.

    Raises ``CheckpointError``, or ``MissingExtraError`` where safetensors is not installed.
    """
    found, remarks = _unwrap(read(Path(file)), Path(file).name)
    wanted = module.state_dict()
    state, prefixes = _without_prefixes(found, wanted)
    _require_fit(state, wanted, Path(file).name, source)
    module.load_state_dict(dict(state), strict=False)
    return (*remarks, *prefixes)


def read(path: Path) -> Any:
    """Return what a file of weights holds. Raises as ``load_into`` does."""
    if not path.is_file():
        if path.name in _WORDS:
            raise CheckpointError(
                f'weights "{path.name}" are for timm:NAME; leave --weights out: the network keeps its own'
            )
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(f"weights {path} {what}; give a .safetensors, .pt or .pth file")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)


def _read_safetensors(path: Path) -> Any:
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise MissingExtraError("safetensors", "torch", f"the weights {path.name}") from error
    try:
        return safetensors.torch.load_file(str(path))
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"weights {path.name} cannot be read as safetensors: {error}; copy the file again"
        ) from error


def _read_pickle(path: Path) -> Any:
    import pickle
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of storages that older versions wrote
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_unsafe(path)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(_DAMAGED.format(name=path.name)) from error


def _unsafe(path: Path) -> str:
    pickled = _kinds.read_pickle(path)
    if pickled is None or not pickled.imports:
        return _DAMAGED.format(name=path.name)
    named = ", ".join([n for n in pickled.imports if n.split(".")[0] in pickled.packages][:_SHOWN]) or "objects"
    return (
        f"weights {path.name} hold more than tensors ({named}), and reading them would run code from the file; where "
        f"you trust it, convert it: python -c \"import torch; c = torch.load('{path.name}', weights_only=False); "
        f"torch.save({_place_of_weights(pickled)}, 'weights.pt')\""
    )


def _place_of_weights(pickled: _kinds.Pickled) -> str:
    """Return where the weights are in a loaded checkpoint ``c``, as Python."""
    nest = next((key for key in _NESTS if key in pickled.words and not pickled.is_module), None)
    if nest is not None:
        return f"c['{nest}']"
    return "c.state_dict()" if pickled.is_module else "c"


def _unwrap(found: Any, name: str) -> tuple[State, tuple[str, ...]]:
    """Return the mapping of names to tensors in what a trainer saved."""
    import torch

    path: list[str] = []
    while isinstance(found, dict):
        tensors = {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)}
        inner = next((key for key in _NESTS if isinstance(found.get(key), dict) and found[key]), None)
        if inner is None or len(tensors) > len(found) / 2:
            if tensors:
                remark = f"the weights are those under {' / '.join(path)} in {name}"
                return tensors, ((remark,) if path else ())
            break
        path.append(inner)
        found = found[inner]
    keys = ", ".join(map(str, list(found)[:6])) if isinstance(found, dict) else f"a {type(found).__name__}"
    raise CheckpointError(f"{name} holds no weights that are known: {keys}; save model.state_dict() with torch.save")


def _without_prefixes(state: State, wanted: State) -> tuple[State, tuple[str, ...]]:
    """Take away what wrappers put in front of every name, as long as the network has no such names itself."""
    remarks = []
    again = True
    while again:
        again = False
        for prefix in _PREFIXES:
            if all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in wanted):
                state, again = {key[len(prefix) :]: value for key, value in state.items()}, True
                remarks.append(f'"{prefix}" in front of the weights\' names was taken away')
    return state, tuple(remarks)


def _require_fit(state: State, wanted: State, name: str, source: str) -> None:
    missing = [key for key in wanted if key not in state and not key.endswith(_COUNTERS)]
    surplus = [key for key in state if key not in wanted and not key.endswith(_COUNTERS)]
    other = [key for key in state if key in wanted and tuple(state[key].shape) != tuple(wanted[key].shape)]
    if not (missing or surplus or other):
        return
    shapes = (f"{k} {list(state[k].shape)} in the file, {list(wanted[k].shape)} in the network" for k in other)
    parts = [
        *([f"{len(missing)} missing ({_first(_with_nearest(missing, surplus))})"] if missing else []),
        *([f"{len(surplus)} unexpected ({_first(surplus)})"] if surplus else []),
        *([f"{len(other)} of another shape ({_first(shapes)})"] if other else []),
    ]
    advice = "another number of classes?" if other and not missing and not surplus else "is it the same network?"
    raise CheckpointError(f"{name} does not fit {source}: {', '.join(parts)}; {advice}")


def _with_nearest(missing: list[str], surplus: list[str]) -> Iterable[str]:
    """Name what is missing with what may be meant by it."""
    for key in missing:
        near = difflib.get_close_matches(key, surplus[:500], n=1, cutoff=0.7)
        yield f"{key}: the file has {near[0]}" if near else key


def _first(names: Iterable[str]) -> str:
    shown, rest = [], 0
    for number, name in enumerate(names):
        if number < _SHOWN:
            shown.append(name)
        else:
            rest += 1
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
