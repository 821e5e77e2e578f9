"""What a server must know of a repository before it starts: the models, their backends, what their configs lack.

Whether a configuration is right is not decided here: Triton says that when it loads the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.errors import BadRepositoryError
from kit.types import DIGEST_PARAMETER


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model's folder. ``complete``: backend, inputs and outputs are written; ``engine_caches``: folders.

    ``digest`` is that of the file that the kit made the model of; None for models of other makers. ``filename`` is
    what Triton loads of ``version``, the latest.
    """

    name: str
    backend: str
    complete: bool
    engine_caches: tuple[str, ...] = ()
    filename: str = ""
    version: int = 1
    digest: str | None = None
    max_batch_size: int = 0


def survey(repository: Path, config_name: str | None, chosen: tuple[str, ...] = ()) -> tuple[ServedModel, ...]:
    """Return the models that would be served, by name. Raises ``BadRepositoryError``, with what to do."""
    try:
        return _survey(repository, config_name, chosen)
    except OSError as error:
        raise BadRepositoryError(
            f"{error.filename or repository} cannot be read ({error.strerror}); serve as a user who may read it, or "
            "change its permissions"
        ) from error


def _survey(repository: Path, config_name: str | None, chosen: tuple[str, ...]) -> tuple[ServedModel, ...]:
    if not repository.is_dir():
        what = "is a file" if repository.exists() else "does not exist"
        raise BadRepositoryError(
            f"{repository} {what}; give a model repository, or write one with: kit generate MODEL.onnx"
        )
    folders = sorted(p for p in repository.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise BadRepositoryError(
            f"{repository} holds no model; write one with: kit generate MODEL.onnx --output {repository}"
        )
    _check_models(repository, folders)
    missing = sorted(set(chosen) - {folder.name for folder in folders})
    if missing:
        names = ", ".join(folder.name for folder in folders)
        raise BadRepositoryError(f"{repository} holds no model {missing[0]!r}; it holds {names}")
    if config_name is not None:
        _check_configs(repository, folders, config_name)
    return tuple(_read(folder, config_name) for folder in folders if not chosen or folder.name in chosen)


def _check_models(repository: Path, folders: list[Path]) -> None:
    """Refuse a folder of which nothing is a model: a model's own folder given by mistake, for instance."""
    if any(_versions(folder) or (folder / "config.pbtxt").exists() for folder in folders):
        return
    if (repository / "config.pbtxt").exists():
        raise BadRepositoryError(f"{repository} is a model's own folder; give the one above it: {repository.parent}")
    raise BadRepositoryError(
        f"{repository} is no model repository: none of its folders holds a version (MODEL/1/) or a config.pbtxt; "
        "write one with: kit generate MODEL.onnx"
    )


def _versions(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name.isdigit() and p.is_dir()]


def _check_configs(repository: Path, folders: list[Path], config_name: str) -> None:
    available = {folder.name: {p.stem for p in (folder / "configs").glob("*.pbtxt")} for folder in folders}
    lacking = [name for name, stems in available.items() if stems and config_name not in stems]
    every = sorted(set().union(*available.values()))
    if lacking:
        stems = ", ".join(sorted(available[lacking[0]]))
        raise BadRepositoryError(
            f"model {lacking[0]} in {repository} has no configs/{config_name}.pbtxt; choose --target from {stems}, "
            f"or generate it with: kit generate --target {config_name}"
        )
    if config_name not in every:
        raise BadRepositoryError(
            f"no model in {repository} has configs/{config_name}.pbtxt, or any configuration for a target; "
            "leave --target out to serve config.pbtxt"
        )


def _read(folder: Path, config_name: str | None) -> ServedModel:
    path = folder / "config.pbtxt"
    if config_name is not None and (folder / "configs" / f"{config_name}.pbtxt").exists():
        path = folder / "configs" / f"{config_name}.pbtxt"
    if not path.exists():
        return ServedModel(name=folder.name, backend=_guess(folder), complete=False)
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config, allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError):
        return ServedModel(name=folder.name, backend="", complete=True)  # Triton says what is wrong with it
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    caches = (a.parameters.get("trt_engine_cache_path") for a in accelerators)
    ensemble = config.platform == "ensemble"
    return ServedModel(
        name=folder.name,
        backend=config.backend or config.platform.partition("_")[0] or _guess(folder),
        complete=ensemble or bool(config.backend and config.input and config.output),
        engine_caches=tuple(sorted({cache for cache in caches if cache})),
        filename=config.default_model_filename,
        version=max((int(p.name) for p in _versions(folder)), default=1),
        digest=config.parameters[DIGEST_PARAMETER].string_value if DIGEST_PARAMETER in config.parameters else None,
        max_batch_size=config.max_batch_size,
    )


def _guess(folder: Path) -> str:
    """Return the backend by the file's name, as Triton guesses it."""
    known = {"model.onnx": "onnxruntime", "model.xml": "openvino", "model.plan": "tensorrt", "model.py": "python"}
    names = {p.name for version in _versions(folder) for p in version.iterdir()}
    return next((backend for name, backend in known.items() if name in names), "")
