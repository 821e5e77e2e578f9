"""What is known of a run before its first stage: every mistake that can be found before any work is found here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit import contract, drafting, labels, lacking, lowering, repository, runtimes, sources, targets
from kit.cache import Cache
from kit.errors import UsageError
from kit.progress import Progress
from kit.repository import Published
from kit.stages import Stages
from kit.targets.values import Target
from kit.types import Spec


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to work, as opposed to what to make (``Spec``).

    ``verify`` is ``auto`` (a real server for what no real server has answered yet), ``live`` (a real server in
    any case) or ``none``. ``keep`` is how many old versions stay. ``target_folders`` hold the user's own targets.
    ``input_shape`` is that of a PyTorch model's input, without the batch dimension.
    """

    output: Path = Path("model_repository")
    verify: str = "auto"
    keep: int = 1
    alongside: bool = False
    discard_edits: bool = False
    use_cache: bool = True
    input_shape: tuple[int, ...] | None = None
    target_folders: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is known before a stage has run."""

    spec: Spec
    options: Options
    targets: tuple[Target, ...]
    published: Published
    stages: Stages
    images: tuple[Path, ...]


def prepare(spec: Spec, options: Options, progress: Progress) -> Plan:
    """Find every mistake that can be found before any work. Raises a ``KitError`` of whoever found it."""
    facts = tuple(targets.load(name, options.target_folders) for name in spec.targets)
    for target in facts:
        asked = spec.on(target.name)
        runtimes.choose(target, asked.runtime)
        lacking.require(target, threads=asked.intra_op_threads, folders=options.target_folders)
    lowering.require(spec, [precision_of(spec, target) for target in facts])
    contract.require_known(spec)
    if spec.labels is not None:
        labels.read(spec.labels)
    if spec.metric is not None:
        from kit import accuracy

        accuracy.own_metric(spec.metric)
    source = sources.resolve(spec.source)
    if options.input_shape is not None and not source.needs_shape:
        raise UsageError(f"{spec.source} says itself what it takes; --input-shape is for PyTorch models")
    if spec.weights is not None and not source.takes_weights:
        raise UsageError(
            f"{spec.source} has its weights inside; --weights is for package.module:callable and timm:NAME"
        )
    published = repository.survey(
        options.output, spec.name, alongside=options.alongside, discard_edits=options.discard_edits
    )
    if said := drafting.replacing(spec, published.manifest):
        progress.note(said)
    pictures = spec.validation or spec.calibration
    cache = Cache(fresh=not options.use_cache)
    cache.sweep()
    return Plan(
        spec=spec,
        options=options,
        targets=facts,
        published=published,
        stages=Stages(cache=cache, progress=progress),
        images=_images(pictures) if pictures else (),
    )


def precision_of(spec: Spec, target: Target) -> str:
    """Return what was asked for on a target, else what it starts with."""
    return spec.on(target.name).precision or target.defaults.precision


def _images(source: Path) -> tuple[Path, ...]:
    from kit import calibration

    return calibration.images(source)
