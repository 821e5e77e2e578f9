"""What is read of a repository before a server starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.errors import BadRepositoryError
from kit.server.models import ServedModel, survey

COMPLETE = 'backend: "onnxruntime" input { name: "x" } output { name: "y" }'


def model(repository: Path, name: str, config: str | None = COMPLETE, file: str = "model.onnx") -> Path:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / file).touch()
    if config is not None:
        (repository / name / "config.pbtxt").write_text(config)
    return repository / name


def target(folder: Path, name: str, config: str = COMPLETE) -> None:
    (folder / "configs").mkdir(exist_ok=True)
    (folder / "configs" / f"{name}.pbtxt").write_text(config)


def test_backends_and_what_is_lacking(tmp_path: Path) -> None:
    model(tmp_path, "a")
    model(tmp_path, "b", 'backend: "openvino"')
    model(tmp_path, "c", None)
    model(tmp_path, "d", 'platform: "ensemble"')
    model(tmp_path, "e", "this does not parse {")
    assert survey(tmp_path, None) == (
        ServedModel(name="a", backend="onnxruntime", complete=True),
        ServedModel(name="b", backend="openvino", complete=False),
        ServedModel(name="c", backend="onnxruntime", complete=False),
        ServedModel(name="d", backend="ensemble", complete=True),
        ServedModel(name="e", backend="", complete=True),
    )
    assert [m.name for m in survey(tmp_path, None, ("b",))] == ["b"]


def test_a_targets_configuration_and_its_engine_caches(tmp_path: Path) -> None:
    cache = 'parameters { key: "trt_engine_cache_path" value: "/var/cache/triton" }'
    accelerator = f'gpu_execution_accelerator {{ name: "tensorrt" {cache} }}'
    target(model(tmp_path, "a"), "t4", f"{COMPLETE} optimization {{ execution_accelerators {{ {accelerator} }} }}")
    model(tmp_path, "handmade")
    first, second = survey(tmp_path, "t4")
    assert first.engine_caches == ("/var/cache/triton",)
    assert second.engine_caches == ()


def refused(repository: Path, config_name: str | None, message: str, chosen: tuple[str, ...] = ()) -> None:
    with pytest.raises(BadRepositoryError, match=f"^{re.escape(message)}$"):
        survey(repository, config_name, chosen)


def test_no_repository(tmp_path: Path) -> None:
    how = "give a model repository, or write one with: kit generate MODEL.onnx"
    refused(tmp_path / "no", None, f"{tmp_path / 'no'} does not exist; {how}")
    (tmp_path / "file").touch()
    refused(tmp_path / "file", None, f"{tmp_path / 'file'} is a file; {how}")


def test_an_empty_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    refused(tmp_path, None, f"{tmp_path} holds no model; write one with: kit generate MODEL.onnx --output {tmp_path}")


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    folder = model(tmp_path, "a")
    refused(folder, None, f"{folder} is a model's own folder; give the one above it: {tmp_path}")
    (tmp_path / "other" / "docs").mkdir(parents=True)
    with pytest.raises(BadRepositoryError, match="is no model repository: none of its folders holds a version"):
        survey(tmp_path / "other", None)


def test_a_model_or_a_target_that_is_not_there(tmp_path: Path) -> None:
    folder = model(tmp_path, "a")
    refused(tmp_path, None, f"{tmp_path} holds no model 'b'; it holds a", ("b",))
    none = (
        f"no model in {tmp_path} has configs/t4.pbtxt, or any configuration for a target; leave --target out to serve"
    )
    refused(tmp_path, "t4", f"{none} config.pbtxt")
    target(folder, "x86-cpu")
    target(folder, "l4")
    choose = "choose --target from l4, x86-cpu, or generate it with: kit generate --target t4"
    refused(tmp_path, "t4", f"model a in {tmp_path} has no configs/t4.pbtxt; {choose}")


def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model(tmp_path, "a") / "config.pbtxt"

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    how = "serve as a user who may read it, or change its permissions"
    refused(tmp_path, None, f"{path} cannot be read (Permission denied); {how}")
