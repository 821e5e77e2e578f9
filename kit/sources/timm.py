"""A network of PyTorch Image Models by its name there: ``timm:resnet18``, ``timm:resnet18.a1_in1k``."""

from __future__ import annotations

from typing import Any

from kit.errors import CheckpointError, MissingExtraError, SourceNotFoundError
from kit.sources import _export, _weights
from kit.sources._kind import Code

_PREFIX = "timm:"
_RANDOM = ("random", "none")


class Timm(Code):
    """Builds the network with its trained weights, the user's, or random ones; knows size, mean, std and labels."""

    name = "timm"

    def model_name(self, source: str) -> str:
        """Return the network's name."""
        return source.removeprefix(_PREFIX).rpartition("/")[2]

    def network(
        self, source: str, shape: tuple[int, ...] | None, weights: str | None
    ) -> tuple[_export.Network, tuple[str, ...]]:
        """Return the network, run once, and remarks on its weights.

        Raises ``MissingExtraError``, ``SourceNotFoundError`` for a name that timm does not have, and
        ``CheckpointError`` where its weights cannot be fetched or those of the user do not fit.
        """
        module, found = _build(source, weights)
        with _export.no_surprises(source):
            examples = _export.examples(module, shape or tuple(module.pretrained_cfg["input_size"]), source)
            outputs = _export.output_names(_export.answer(module, examples), (), source)
        made = _export.Network(module=module, examples=examples, inputs=("images",), outputs=outputs, source=source)
        return made, found

    def metadata(self, network: _export.Network) -> dict[str, str]:
        """Return size, mean, std and labels as timm knows them."""
        return _metadata(dict(network.module.pretrained_cfg), getattr(network.module, "num_classes", 0))


def _build(source: str, weights: str | None) -> tuple[Any, tuple[str, ...]]:
    """Return the network, ready to answer, and remarks on its weights."""
    _export.require_torch(source)
    import torch

    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", None, f"the source {source}") from error
    name = source.removeprefix(_PREFIX)
    _require_known(name)
    torch.manual_seed(0)
    if weights is not None:
        with _export.no_surprises(source), _export.quiet():
            module = timm.create_model(name, pretrained=False).eval()
        if weights in _RANDOM:
            return module, ("the weights are random: this is for tests of speed",)
        return module, _weights.load_into(module, weights, source)
    try:
        with _export.quiet():
            return timm.create_model(name, pretrained=True).eval(), ()
    except Exception as error:  # what the hub's client raises is anything: no network, no such file, no permission
        raise CheckpointError(
            f"the weights of {source} could not be fetched ({_export.shortened(error)}); give --weights FILE, or "
            "--weights random for a test of speed"
        ) from error


def _require_known(name: str) -> None:
    import difflib

    import timm

    bare = name.rpartition("/")[2].partition(".")[0]
    if name.startswith(("hf-hub:", "hf_hub:")) or timm.is_model(bare):
        return
    near = difflib.get_close_matches(bare, timm.list_models(), n=3, cutoff=0.5)
    meant = f"did you mean {', '.join(near)}? " if near else ""
    raise SourceNotFoundError(
        f'timm has no network "{name}"; {meant}python -c "import timm; print(timm.list_models())"'
    )


def _metadata(facts: dict[str, Any], classes: int) -> dict[str, str]:
    """Return what timm knows of a network, by the keys that the kit reads: see docs/sources.md."""
    found = {"mean": str(list(facts["mean"])), "std": str(list(facts["std"]))}
    if classes:
        found["task"] = "classify"
    names = facts.get("label_names") or _imagenet(classes)
    if names and len(names) == classes:
        found["names"] = str(dict(enumerate(names)))
    return found


def _imagenet(classes: int) -> list[str]:
    """Return the names of ImageNet's classes where there are as many."""
    if classes != 1000:
        return []
    try:
        from timm.data import ImageNetInfo

        info = ImageNetInfo("imagenet-1k")
        return [str(info.index_to_description(index)) for index in range(classes)]
    except (ImportError, OSError, AssertionError, KeyError):  # a timm without the list
        return []


MEMBER = Timm()
