"""Every member of every axis keeps its interface's contract; adding one is adding a file."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import pytest

import kit.engines.builders
import kit.graph
import kit.heads
import kit.precision
import kit.runners
import kit.runtimes
import kit.sources
import kit.tasks
from kit import axis, contract, targets
from kit.accuracy.layouts.interface import Layout
from kit.accuracy.metrics.interface import Metric
from kit.cache import file_digest, tool_version
from kit.engines.builders.interface import Builder
from kit.errors import (
    KitError,
    SourceNotFoundError,
    UnknownHeadError,
    UnknownPrecisionError,
    UnknownTaskError,
    UnsupportedModelError,
)
from kit.exports.interface import Exporter
from kit.heads.interface import DetectorHead
from kit.precision.interface import Ask, Precision
from kit.runners.interface import Runner
from kit.runtimes.interface import Runtime
from kit.sources.interface import Source
from kit.stream.decode.interface import Decoder
from kit.stream.sinks.interface import Sink
from kit.stream.sources.interface import Source as FrameSource
from kit.stream.wire.interface import Wire
from kit.targets.values import Backend, Target
from kit.tasks.interface import Task
from kit.types import Artifact, Model, Spec

AXES = {
    "kit.engines.builders": Builder,
    "kit.sources": Source,
    "kit.heads": DetectorHead,
    "kit.tasks": Task,
    "kit.precision": Precision,
    "kit.exports": Exporter,
    "kit.runners": Runner,
    "kit.runtimes": Runtime,
    "kit.accuracy.layouts": Layout,
    "kit.accuracy.metrics": Metric,
    "kit.stream.sources": FrameSource,
    "kit.stream.decode": Decoder,
    "kit.stream.sinks": Sink,
    "kit.stream.wire": Wire,
}
MEMBERS = [(package, name) for package in AXES for name in axis.names(package)]
TARGETS = [targets.load(name) for name in targets.names()]

HALF = '''"""The same model under another name."""

from kit.graph import unchanged
from kit.precision.interface import Lowered


class Half:
    """Changes nothing, either."""

    name = "half"
    bits = 32
    calibrated = False
    automatic = True
    tools = ("onnx",)

    def apply(self, ask, folder):
        """Return the model."""
        return Lowered(model=unchanged(ask.model, folder))


MEMBER = Half()
'''


@pytest.fixture
def model(tmp_path: Path) -> Model:
    folder = tmp_path / "model"
    path = models.save(models.detector(anchors=8), folder / "model.onnx")
    return kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stage"
    made.mkdir()
    return made


def test_every_axis_has_members() -> None:
    assert {package for package, _ in MEMBERS} == set(AXES)
    assert len(TARGETS) > 5


@pytest.mark.parametrize(("package", "name"), MEMBERS)
class TestEveryMember:
    def test_is_named_as_its_file(self, package: str, name: str) -> None:
        assert axis.member(package, name).name == name  # type: ignore[attr-defined]
        assert re.fullmatch(r"[a-z][a-z0-9]*", name)

    def test_implements_the_interface(self, package: str, name: str) -> None:
        assert isinstance(axis.member(package, name), AXES[package])

    def test_takes_what_the_interface_gives(self, package: str, name: str) -> None:
        member, interface = axis.member(package, name), AXES[package]
        methods = {n: m for n, m in vars(interface).items() if inspect.isfunction(m) and not n.startswith("_")}
        assert methods
        for method, promised in methods.items():
            wanted = list(inspect.signature(promised).parameters)[1:]
            assert list(inspect.signature(getattr(member, method)).parameters) == wanted, method

    def test_is_documented(self, package: str, name: str) -> None:
        module = importlib.import_module(f"{package}.{name}")
        member = module.MEMBER
        assert module.__doc__
        assert type(member).__doc__ not in (None, AXES[package].__doc__)
        own = [m for n, m in inspect.getmembers(type(member), inspect.isfunction) if not n.startswith("_")]
        assert all(method.__doc__ for method in own)

    def test_holds_nothing_that_changes(self, package: str, name: str) -> None:
        """One object serves every run: a list or dict in it would carry one run's values into the next."""
        member = axis.member(package, name)
        kept = {**vars(type(member)), **vars(member)}
        assert not [n for n, v in kept.items() if n[0] != "_" and isinstance(v, (list, dict, set))]

    def test_names_its_tools_as_distributions(self, package: str, name: str) -> None:
        """A name that is none would always have the version "absent", and an update would find old results."""
        tools = getattr(axis.member(package, name), "tools", ())
        assert isinstance(tools, tuple)
        declared = {
            re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower()
            for requirement in importlib.metadata.requires("triton-edge-kit") or []
        }
        assert {t.lower() for t in tools if "/" not in t} <= declared
        assert not [t for t in tools if "/" in t and tool_version(t).startswith("absent")]

    def test_names_the_tools_that_it_imports(self, package: str, name: str) -> None:
        module = importlib.import_module(f"{package}.{name}")
        assert module.__file__ is not None
        code = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        functions = [n for n in ast.walk(code) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        used = {
            a.name.split(".")[0] for f in functions for n in ast.walk(f) if isinstance(n, ast.Import) for a in n.names
        }
        converters = used & {"onnx", "onnxruntime", "onnxsim", "torch", "openvino", "tensorrt"}
        if package not in ("kit.tasks", "kit.heads"):  # their text goes through the contract stage, which names its own
            assert converters <= set(getattr(module.MEMBER, "tools", ()))


@pytest.mark.parametrize("package", AXES)
def test_only_members_are_listed(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None
    files = {p.stem for p in Path(module.__file__).parent.glob("*.py")} - {"__init__", "interface"}
    assert set(axis.names(package)) == {f for f in files if f[0] != "_"}
    assert list(axis.names(package)) == sorted(axis.names(package))


@pytest.fixture
def half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put one more file into the folder of precisions."""
    more = tmp_path / "more"
    more.mkdir()
    (more / "half.py").write_text(HALF)
    monkeypatch.setattr(kit.precision, "__path__", [*kit.precision.__path__, str(more)])
    axis.names.cache_clear()
    yield
    axis.names.cache_clear()
    sys.modules.pop("kit.precision.half", None)


@pytest.mark.usefixtures("half")
def test_adding_a_member_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import kit.cli

    assert kit.precision.names() == tuple(sorted({"half", *axis.names("kit.precision")}))
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    models.save(models.scale(), Path("scale.onnx"))
    assert kit.cli.run(["generate", "scale.onnx", "--precision", "half", "--no-verify"]) == 0
    assert '"precision": "half"' in Path("model_repository/scale/manifest.json").read_text()
    capfd.readouterr()
    assert kit.cli.run(["generate", "scale.onnx", "--precision", "halve", "--no-verify"]) == 22
    assert 'did you mean "half"?' in capfd.readouterr().err


@pytest.mark.parametrize(
    ("get", "error"),
    [(kit.tasks.get, UnknownTaskError), (kit.heads.get, UnknownHeadError), (kit.precision.get, UnknownPrecisionError)],
)
@pytest.mark.parametrize("name", ["interface", "__init__", "_suppression", "", "..", "os", "Raw", "fp32 "])
def test_what_is_no_member_is_refused_with_those_that_are(get: Any, error: type[KitError], name: str) -> None:
    with pytest.raises(error, match="choose from "):
        get(name)


class TestSources:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("model.onnx", "onnx"),
            ("some/where/model.onnx", "onnx"),
            ("/absolute/model.onnx", "onnx"),
            ("~/model.onnx", "onnx"),
            ("folder/mistyped", "onnx"),
            ("package.module:build", "torch"),
            ("module:Network.tiny", "torch"),
            ("timm:resnet18", "timm"),
            ("timm:resnet18.a1_in1k", "timm"),
            ("yolo11n.pt", "ultralytics"),
            ("runs/yolov8n-seg.yaml", "ultralytics"),
            ("rtdetr-l.pt", "ultralytics"),
            ("best.pt", "checkpoint"),
            ("folder/weights.safetensors", "checkpoint"),
            ("program.pt2", "checkpoint"),
        ],
    )
    def test_each_text_is_claimed_by_one(self, text: str, name: str) -> None:
        claiming = [n for n in kit.sources.names() if axis.member("kit.sources", n).claims(text)]  # type: ignore[attr-defined]
        assert claiming == [name]
        assert kit.sources.resolve(text).name == name

    @pytest.mark.parametrize("text", ["", "word", "module:", ":build", "a b:c", "module:build()", "https://host/x:y"])
    def test_what_none_claims_is_refused(self, text: str) -> None:
        with pytest.raises(SourceNotFoundError, match=r"package.module:callable"):
            kit.sources.resolve(text)

    def test_a_file_wins_over_a_module_of_the_same_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("net:build").touch()
        assert kit.sources.resolve("net:build").name == "onnx"


class TestTasks:
    def test_recognition_has_one_order_and_the_last_takes_any(self, model: Model) -> None:
        ranks = [task.rank for task in kit.tasks.every()]
        assert ranks == sorted(set(ranks))
        last = kit.tasks.every()[-1]
        assert not last.frames
        assert last.recognise(model) is not None

    @pytest.mark.parametrize("name", kit.tasks.names())
    def test_says_what_it_takes_in_a_phrase(self, name: str) -> None:
        phrase = kit.tasks.get(name).expects()
        assert phrase
        assert phrase[-1] not in ".;,"

    @pytest.mark.parametrize("name", kit.tasks.names())
    def test_assumes_a_normalisation_that_can_be_done(self, name: str) -> None:
        normal = kit.tasks.get(name).normalization
        assert len(normal.mean) == len(normal.std) == 3
        assert all(value > 0 for value in normal.std)


@pytest.mark.parametrize("name", [name for name in kit.precision.names() if not kit.precision.get(name).calibrated])
def test_a_precision_keeps_the_signature_and_writes_into_its_folder(name: str, model: Model, folder: Path) -> None:
    meaning = contract.interpret(Spec(source="model.onnx", name="model", targets=(), contract="native"), model)
    ask = Ask(model=model, meaning=meaning, target=TARGETS[0], backend="onnxruntime")
    made = kit.precision.get(name).apply(ask, folder).model
    assert made.signature == model.signature
    assert made.path.parent == folder
    assert made.path.is_file()
    assert kit.graph.describe(made.path, made.digest).signature == model.signature


class TestRuntimes:
    @pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
    def test_every_target_has_one_that_builds(self, target: Target, model: Model, folder: Path) -> None:
        runtime = kit.runtimes.choose(target)
        assert target.backend(runtime.name) is not None
        artifact = runtime.build(model, target, folder)
        assert artifact.backend == runtime.name
        assert artifact.path.parent == folder
        assert artifact.path.name == artifact.filename
        assert artifact.signature == model.signature
        assert file_digest(artifact.path) == artifact.digest

    @pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
    def test_every_target_has_a_precision_that_exists(self, target: Target) -> None:
        assert kit.precision.get(target.defaults.precision).name == target.defaults.precision

    def test_equal_files_of_several_targets_have_equal_names_and_digests(self, model: Model, tmp_path: Path) -> None:
        made: dict[str, set[Artifact]] = {}
        for target in TARGETS:
            folder = tmp_path / target.name
            folder.mkdir()
            artifact = kit.runtimes.choose(target).build(model, target, folder)
            made.setdefault(artifact.filename, set()).add(replace(artifact, path=Path()))
        assert all(len(artifacts) == 1 for artifacts in made.values())

    @pytest.mark.parametrize("offered", [(), ("pytorch",), ("pytorch", "dali")])
    def test_a_target_without_a_backend_of_ours_is_refused(self, offered: tuple[str, ...]) -> None:
        backends = tuple(Backend(name=name, instance_kind="KIND_GPU") for name in offered)
        bare = replace(TARGETS[0], name="bare", backends=backends)
        with pytest.raises(
            UnsupportedModelError, match=f"^bare has the backends {', '.join(offered) or 'none'}; the kit"
        ):
            kit.runtimes.choose(bare)

    @pytest.mark.parametrize(("target", "wanted"), [("x86-cpu", "tensorrt"), ("t4", "openvino")])
    def test_a_runtime_that_the_target_has_not_is_refused_with_those_that_it_has(
        self, target: str, wanted: str
    ) -> None:
        with pytest.raises(UnsupportedModelError, match=rf"and no {wanted}; choose --runtime onnxruntime or "):
            kit.runtimes.choose(targets.load(target), wanted)

    def test_the_targets_own_order_decides(self) -> None:
        first = replace(TARGETS[0], backends=(Backend(name="dali", instance_kind="KIND_CPU"), *TARGETS[0].backends))
        assert kit.runtimes.choose(first) is kit.runtimes.choose(TARGETS[0])

    @pytest.mark.parametrize("limit", ["max_opset", "max_ir_version"])
    def test_a_model_that_is_too_new_for_the_target_is_refused(self, limit: str, model: Model, folder: Path) -> None:
        target = TARGETS[0]
        old = replace(target, stack=replace(target.stack, **{limit: 7}))
        with pytest.raises(UnsupportedModelError, match=r"export it with opset_version=\d+$") as caught:
            kit.runtimes.choose(old).build(model, old, folder)
        assert target.stack.onnxruntime_version in str(caught.value)
        assert f"opset {model.opset} and IR {model.ir_version}" in str(caught.value)
