"""Which engines a repository wants, and each one's recipe: read from its manifest and its configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kit import config, contents, repository, targets
from kit.engines import gpus, recipe
from kit.engines.provenance import Gpu
from kit.engines.recipe import Recipe, Span
from kit.errors import BadRepositoryError, EditedRepositoryError, EngineMismatchError, UsageError, suggestion
from kit.manifest import Manifest
from kit.repository import Published
from kit.targets.values import Target
from kit.types import DIGEST_PARAMETER

if TYPE_CHECKING:
    import onnx
    from tritonclient.grpc.model_config_pb2 import ModelConfig

BACKEND = "tensorrt"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user asks of a build. None: the repository says, or the device.

    ``shapes`` are of inputs whose size the model leaves open. ``builder`` names a member of ``kit.engines.builders``.
    """

    models: tuple[str, ...] = ()
    target: str | None = None
    builder: str | None = None
    image: str | None = None
    dla_core: int | None = None
    workspace_mib: int | None = None
    version_compatible: bool = False
    strongly_typed: bool = False
    shapes: Mapping[str, Span] = field(default_factory=dict)
    images: Path | None = None
    force: bool = False
    target_folders: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Task:
    """An engine that is to be built: of ``onnx``, for ``config``'s text, into ``published``'s folder."""

    recipe: Recipe
    published: Published
    onnx: Path
    config: str

    @property
    def plan(self) -> Path:
        """Where the engine will stand."""
        return self.published.path / str(self.recipe.version) / self.recipe.plan


def tasks(folder: Path, asked: Asked) -> tuple[Task, ...]:
    """Return the engines that are to be built, or are there already, by model.

    Raises ``BadRepositoryError``, ``EditedRepositoryError``, ``UsageError``, ``UnsupportedModelError``, and
    ``EngineMismatchError`` where this machine's GPU is not the target's.
    """
    names = repository.models(folder)
    for name in asked.models:
        if name not in names:
            raise BadRepositoryError(f"{folder} holds no model {name!r}; {suggestion(name, names)}")
    every = {name: repository.survey(folder, name, alongside=True, discard_edits=True) for name in names}
    chosen = {name: every[name] for name in asked.models or names}
    wanting = {n: p for n, p in chosen.items() if p.manifest is not None and _targets(p.manifest)}
    if not wanting:
        raise BadRepositoryError(
            f"no model in {folder} is for TensorRT; generate it so: kit generate MODEL.onnx --target NAME --runtime "
            f"tensorrt --output {folder}"
        )
    target = targets.load(_target_name(wanting, asked), asked.target_folders)
    _require_this_gpu(target, gpus.found())
    return tuple(_task(published, target, asked) for published in wanting.values() if _has(published, target))


def _targets(manifest: Manifest) -> tuple[str, ...]:
    return tuple(name for name, record in manifest.targets.items() if record.backend == BACKEND)


def _has(published: Published, target: Target) -> bool:
    return published.manifest is not None and target.name in _targets(published.manifest)


def _target_name(wanting: Mapping[str, Published], asked: Asked) -> str:
    """Return the target that is asked for, else the only one that there is. Raises ``UsageError``."""
    known = sorted({name for p in wanting.values() if p.manifest is not None for name in _targets(p.manifest)})
    if asked.target is None:
        if len(known) > 1:
            raise UsageError(f"the models are for {', '.join(known)}; say which of them this device is with --target")
        return known[0]
    if asked.target not in known:
        raise UsageError(f"no model here is for TensorRT on {asked.target}; {suggestion(asked.target, known)}")
    return asked.target


def _require_this_gpu(target: Target, gpu: Gpu | None) -> None:
    """Refuse to build for another GPU than this machine's. Where the driver does not say, the builder's log will."""
    wanted = target.device.compute_capability
    if gpu is not None and gpu.compute_capability is not None and wanted not in (None, gpu.compute_capability):
        raise EngineMismatchError(
            f"{target.name} has compute capability {wanted}, and this machine's {gpu.name or 'GPU'} has "
            f"{gpu.compute_capability}; build on the device, or choose the target that this machine is: kit targets"
        )


def _task(published: Published, target: Target, asked: Asked) -> Task:
    manifest = published.manifest
    assert manifest is not None
    _require_unedited(published, manifest)
    path = published.path / manifest.targets[target.name].config
    text = path.read_text(encoding="utf-8")
    parsed = config.parse(text)
    digest = parsed.parameters[DIGEST_PARAMETER].string_value
    onnx = _source(published, manifest, digest)
    preferred = max(parsed.dynamic_batching.preferred_batch_size, default=parsed.max_batch_size)
    made = Recipe(
        model=manifest.name,
        version=manifest.version,
        target=target,
        onnx_digest=digest,
        plan=parsed.default_model_filename,
        signature=manifest.signature,
        max_batch_size=parsed.max_batch_size,
        shapes=recipe.shapes(manifest.signature, parsed.max_batch_size, preferred, asked.shapes),
        precisions=_precisions(onnx),
        workspace_mib=recipe.workspace_mib(target, asked.workspace_mib),
        dla_core=_dla_core(parsed) if asked.dla_core is None else asked.dla_core,
        version_compatible=asked.version_compatible,
        strongly_typed=asked.strongly_typed,
    )
    recipe.require_possible(made)
    return Task(recipe=made, published=published, onnx=onnx, config=text)


def _require_unedited(published: Published, manifest: Manifest) -> None:
    """Refuse files that are not what the kit wrote; an engine that is missing is about to be built."""
    changed = [p for p in contents.edited(published.path, manifest) if not contents.is_engine(p)]
    if changed:
        happened = contents.what_happened(published.path, changed[0], manifest)
        raise EditedRepositoryError(
            f"{published.path / changed[0]} {happened}, and engines are built of what it wrote; generate it again"
        )


def _source(published: Published, manifest: Manifest, digest: str) -> Path:
    """Return the ONNX that a configuration names by its digest."""
    for path, known in manifest.files.items():
        if known == digest and path.startswith(f"{manifest.version}/"):
            return published.path / path
    raise BadRepositoryError(
        f"{published.path} holds no ONNX with the digest that its configuration names ({digest[:12]} ...), which the "
        "engine is built from; generate the model again"
    )


def _precisions(path: Path) -> frozenset[str]:
    """Return the precisions below FP32 that are explicit in a graph."""
    import onnx

    graph = onnx.load(str(path)).graph
    found = set()
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node):
        found.add("int8")
    if any(kind == onnx.TensorProto.FLOAT16 for kind in _types(graph)):
        found.add("fp16")
    return frozenset(found)


def _types(graph: onnx.GraphProto) -> Iterator[int]:
    """Yield the element types of weights, constants and of what is cast."""
    yield from (tensor.data_type for tensor in graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                yield int(attribute.i)
            elif attribute.HasField("t"):
                yield attribute.t.data_type


def _dla_core(parsed: ModelConfig) -> int | None:
    """Return the DLA core that a configuration runs on."""
    devices = [device for group in parsed.instance_group for device in group.secondary_devices]
    return int(devices[0].device_id) if devices else None
