"""What is tuned: a published model as its repository says it for a target, and its other precisions and runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit import config, machine, manifest, targets
from kit.errors import BadRepositoryError, TuneError, suggestion
from kit.tune.values import Candidate, Job

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

THREADS = {"onnxruntime": "intra_op_thread_count", "openvino": "INFERENCE_NUM_THREADS"}
"""What the backends that have threads of their own call their number in ``parameters``; 0: one for each core."""
_UNLIMITED = {"onnxruntime", "python"}
"""Backends whose models take any batch; the others were built for the largest that their configuration says."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A model in one precision and runtime. ``folder`` is the model's own, ``text`` its configuration.

    ``batch_limit`` is the largest batch that it takes: 0 where it takes none, None where there is no limit.
    ``threads``: whether it has threads of its own on the CPU, whose number can be chosen.
    """

    name: str
    folder: Path
    text: str
    backend: str
    version: int
    batch_limit: int | None
    gpu: bool
    threads: bool
    before: Candidate

    def files(self) -> dict[str, Path]:
        """Return what Triton reads of the folder, by its path there: all but other versions and configurations."""
        inside = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        found = {path.relative_to(self.folder): path for path in inside}
        return {key.as_posix(): path for key, path in found.items() if self._served(key)}

    def _served(self, key: Path) -> bool:
        first = key.parts[0]
        if first.startswith(".") or first == "configs" or key.as_posix() in ("config.pbtxt", manifest.FILE_NAME):
            return False
        return not first.isdigit() or int(first) == self.version


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model with its variants by name; "" is what the target has. ``cores`` are those that serve it."""

    model: str
    target: str
    variants: Mapping[str, Variant]
    cores: int

    @property
    def before(self) -> Candidate:
        """What the repository says now."""
        return self.variants[""].before


def read(job: Job) -> Subject:
    """Read a job's repositories.

    Raises ``UnknownTargetError``, ``BadRepositoryError`` where a model or its configuration for the target is not
    there, and ``TuneError`` for a model whose batching cannot be tuned.
    """
    target = targets.load(job.target, job.target_folders)
    folders = {"": job.repository, **job.variants}
    variants = {name: _variant(name, folder, job) for name, folder in folders.items()}
    return Subject(
        model=job.model, target=job.target, variants=variants, cores=target.device.cpu_threads or machine.cores()
    )


def _variant(name: str, repository: Path, job: Job) -> Variant:
    folder = _folder(repository, job.model)
    path = _config(folder, job.target)
    text = path.read_text(encoding="utf-8")
    parsed = config.parse(text)
    _require_tunable(parsed, job.model)
    gpu = any(group.kind in (0, 1) and group.gpus for group in parsed.instance_group) or _is_gpu(parsed)
    backend = parsed.backend or parsed.platform.partition("_")[0]
    return Variant(
        name=name,
        folder=folder,
        text=text,
        backend=backend,
        version=max((int(p.name) for p in folder.iterdir() if p.is_dir() and p.name.isdigit()), default=1),
        batch_limit=_batch_limit(folder, parsed, backend),
        gpu=gpu,
        threads=backend in THREADS and not gpu,
        before=candidate(parsed, name),
    )


def candidate(parsed: ModelConfig, variant: str = "") -> Candidate:
    """Return what a configuration says of batching."""
    key = THREADS.get(parsed.backend, "")
    said = parsed.parameters[key].string_value if key in parsed.parameters else "0"
    batching = parsed.HasField("dynamic_batching") and parsed.max_batch_size > 1
    return Candidate(
        variant=variant,
        instances=max(1, sum(group.count for group in parsed.instance_group)),
        max_batch_size=parsed.max_batch_size,
        queue_delay_us=int(parsed.dynamic_batching.max_queue_delay_microseconds) if batching else 0,
        threads=int(said) if said.isdigit() else 0,
    )


def _folder(repository: Path, model: str) -> Path:
    if not repository.is_dir():
        raise BadRepositoryError(
            f"{repository} does not exist; give a model repository, or write one with: kit generate MODEL.onnx"
        )
    models = [p.name for p in repository.iterdir() if p.is_dir() and not p.name.startswith(".")]
    if model not in models:
        what = suggestion(model, models) if models else "it is empty: kit generate MODEL.onnx"
        raise BadRepositoryError(f'{repository} holds no model "{model}"; {what}')
    return repository / model


def _config(folder: Path, target: str) -> Path:
    own = folder / "configs" / f"{target}.pbtxt"
    if own.is_file():
        return own
    stems = [path.stem for path in (folder / "configs").glob("*.pbtxt")]
    if stems:
        raise BadRepositoryError(
            f"{folder} has no configuration for {target}; {suggestion(target, stems)}, or generate it with: "
            f"kit generate --target {target}"
        )
    if not (folder / "config.pbtxt").is_file():
        raise BadRepositoryError(f"{folder} has no config.pbtxt; generate the model with: kit generate MODEL.onnx")
    return folder / "config.pbtxt"


def _require_tunable(parsed: ModelConfig, model: str) -> None:
    if parsed.platform == "ensemble":
        members = ", ".join(dict.fromkeys(step.model_name for step in parsed.ensemble_scheduling.step))
        raise TuneError(f"{model} is an ensemble, which has no batching of its own; tune its members: {members}")
    if parsed.HasField("sequence_batching"):
        raise TuneError(f"{model} is batched by sequences, which kit tune does not change; tune another model")


def _is_gpu(parsed: ModelConfig) -> bool:
    from tritonclient.grpc import model_config_pb2

    kind = model_config_pb2.ModelInstanceGroup.KIND_GPU
    return any(group.kind == kind for group in parsed.instance_group)


def _batch_limit(folder: Path, parsed: ModelConfig, backend: str) -> int | None:
    """Return the largest batch of a model: that of its graph, by the manifest, or of what was built of it."""
    said = manifest.read(folder)
    if parsed.max_batch_size == 0 or (said is not None and not said.signature.batched):
        return 0
    return None if backend in _UNLIMITED else int(parsed.max_batch_size)
