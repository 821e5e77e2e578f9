"""Every file that PyTorch or another trainer writes is told apart by what is in it, and nothing in it is run."""

from __future__ import annotations

import argparse
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import sources
from kit.errors import CheckpointError, KitError, SourceNotFoundError
from kit.sources import _kinds

torch = pytest.importorskip("torch")


class Trap:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, (str(TRACE), "w"))


TRACE = Path("unpickled")


def state() -> dict[str, object]:
    return {"conv.weight": torch.zeros(4, 3, 3, 3), "conv.bias": torch.zeros(4)}


def of_library(package: str) -> object:
    """An object whose class lives in a package that is not installed here, pickled by its name."""
    kind = type("Model", (), {"__module__": f"{package}.nn", "__qualname__": "Model"})
    module = type(sys)(f"{package}.nn")
    module.Model = kind  # type: ignore[attr-defined]
    sys.modules[package] = sys.modules[f"{package}.nn"] = module
    return kind()


def saved(value: object, path: Path, **options: object) -> Path:
    torch.save(value, path, **options)
    for name in [n for n in sys.modules if n.split(".")[0] in ("ultralytics", "mmengine", "models", "acme")]:
        del sys.modules[name]
    return path


WRITE: dict[str, tuple[Callable[[Path], object], str]] = {
    "state.pt": (lambda p: saved(state(), p), "checkpoint"),
    "state.pth": (lambda p: saved({"epoch": 1, "state_dict": state()}, p), "checkpoint"),
    "old.pt": (lambda p: saved(state(), p, _use_new_zipfile_serialization=False), "checkpoint"),
    "module.pt": (lambda p: saved(torch.nn.Conv2d(3, 4, 3), p), "checkpoint"),
    "yolo.pt": (lambda p: saved({"model": of_library("ultralytics"), "ema": None}, p), "ultralytics"),
    "old-yolo.pt": (
        lambda p: saved({"model": of_library("ultralytics")}, p, _use_new_zipfile_serialization=False), "ultralytics"
    ),
    "mm.pth": (lambda p: saved({"state_dict": state(), "meta": of_library("mmengine")}, p), "checkpoint"),
    "script.pt": (lambda p: torch.jit.script(torch.nn.Conv2d(3, 4, 3)).save(str(p)), "torchscript"),
    "renamed": (lambda p: torch.jit.script(torch.nn.Conv2d(3, 4, 3)).save(str(p)), "torchscript"),
    "program.pt2": (
        lambda p: torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1, 2),)), str(p)), "program"
    ),
    "plain.pkl": (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "checkpoint"),
    "weights.safetensors": (lambda p: p.write_bytes(b"\x02\0\0\0\0\0\0\0{}"), "checkpoint"),
    "network.yaml": (lambda p: p.write_text("nc: 80\nbackbone:\n  - [-1, 1, Conv]\nhead:\n  - [-1, 1, Detect]\n"),
                     "ultralytics"),
    "other.yaml": (lambda p: p.write_text("models: []\n"), "onnx"),
    "keras.h5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 40), "checkpoint"),
    "lite.tflite": (lambda p: p.write_bytes(b"\x1c\0\0\0TFL3" + b"\0" * 40), "checkpoint"),
    "net.engine": (lambda p: p.write_bytes(b"ftrt" + b"\0" * 40), "checkpoint"),
    "truncated.pt": (lambda p: p.write_bytes(saved(state(), p).read_bytes()[:300]), "checkpoint"),
    "empty.pt": (lambda p: p.write_bytes(b""), "checkpoint"),
    "text": (lambda p: p.write_text("hello"), "onnx"),
    "archive": (lambda p: zipfile.ZipFile(p, "w").close(), "onnx"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", WRITE)
def test_a_file_is_what_is_in_it(name: str, tmp_path: Path) -> None:
    write, kind = WRITE[name]
    path = tmp_path / name
    write(path)
    assert _kinds.kind(str(path)) == kind
    assert sources.resolve(str(path)).name == kind


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (state, "state.pt holds weights, but no network; give the network and these weights: kit generate package"),
        (lambda: {"args": argparse.Namespace(), "model": state()}, "holds weights, but no network"),
        (lambda: torch.nn.Conv2d(3, 4, 3), "is a whole pickled network (code of torch.nn alone), and loading it would"),
        (lambda: {"model": of_library("models")}, "is a checkpoint of YOLOv5's or YOLOv7's own repository: run"),
        (lambda: {"meta": of_library("mmengine")}, "is a checkpoint of OpenMMLab: export it with MMDeploy"),
        (lambda: {"ema": of_library("acme"), "n": torch.nn.ReLU()}, "is a whole pickled network (code of acme)"),
        (lambda: {"meta": of_library("acme")}, "holds weights and objects of acme; give the network"),
    ],
)  # fmt: skip
def test_each_is_answered_with_what_would_work(value: Callable[[], object], words: str, tmp_path: Path) -> None:
    path = str(saved(value(), tmp_path / "state.pt"))
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        sources.resolve(path).fingerprint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("keras.h5", "keras.h5 is a Keras (HDF5) file; convert it"),
        ("lite.tflite", "is a TensorFlow Lite file"),
        ("net.engine", "is a TensorRT engine, made for one GPU"),
        ("empty.pt", "is damaged or no model"),
        ("truncated.pt", "is damaged or no model"),
        ("weights.safetensors", "holds weights, but no network"),
    ],
)
def test_files_of_others_are_answered_too(name: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITE[name][0](path)
    with pytest.raises(CheckpointError, match=re.escape(words)):
        sources.resolve(str(path)).fingerprint(str(path))


def test_a_path_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    saved(state(), tmp_path / "best.pt")
    (tmp_path / "model.onnx").touch()
    wrong = str(tmp_path / "bset.pth")
    with pytest.raises(SourceNotFoundError, match=r"bset\.pth does not exist; .*/ holds best\.pt, model\.onnx$"):
        sources.resolve(wrong).fingerprint(wrong)


def test_nothing_that_a_pickle_asks_for_is_done(tmp_path: Path) -> None:
    for name, options in (("new.pt", {}), ("old.pt", {"_use_new_zipfile_serialization": False})):
        path = saved({"model": Trap(), **state()}, tmp_path / name, **options)
        found = _kinds.read_pickle(path)
        assert found is not None
        assert {"io.open", "_io.open"} & set(found.imports)
        with pytest.raises(KitError):
            sources.resolve(str(path)).fingerprint(str(path))
    assert not TRACE.exists()


def test_what_a_pickle_of_any_protocol_would_import_is_seen() -> None:
    import io

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        text = pickle.dumps([argparse.Namespace(), Path(), argparse.Namespace], protocol=protocol)
        assert "argparse.Namespace" in _kinds._scan(io.BytesIO(text)).imports, protocol


@given(cut=st.integers(0, 3000), flips=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 255)), max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_answered_in_one_line(tmp_path: Path, cut: int, flips: list[tuple[int, int]]) -> None:
    """Whatever was cut off or flipped: no traceback, and no way through to the unpickler."""
    path = tmp_path / "best.pt"
    if not (whole := tmp_path / "whole.bin").exists():
        saved({"state_dict": state(), "args": argparse.Namespace()}, whole)
    data = bytearray(whole.read_bytes())
    for place, mask in flips:
        data[place % len(data)] ^= mask
    path.write_bytes(bytes(data[: len(data) - cut] if cut < len(data) else data))
    source = sources.resolve(str(path))
    with pytest.raises(KitError) as caught:
        source.load(str(path), tmp_path, (3, 8, 8)) if source.fingerprint(str(path)) else None
    assert "\n" not in str(caught.value)


@given(
    data=st.binary(max_size=300),
    start=st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04", b"\x10" + b"\0" * 7 + b"{"]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_answered_in_one_line(tmp_path: Path, data: bytes, start: bytes) -> None:
    path = tmp_path / "any.pt"
    path.write_bytes(start + data)
    with pytest.raises(KitError) as caught:
        sources.resolve(str(path)).fingerprint(str(path))
    assert "\n" not in str(caught.value)


def test_shapes_that_a_module_was_traced_with_are_remembered(tmp_path: Path) -> None:
    class Add(torch.nn.Module):  # type: ignore[name-defined]
        def forward(self, left: object, right: object) -> object:
            return left + right  # type: ignore[operator]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Add(), (torch.zeros(2, 3, 5), torch.zeros(1, 5))).save(str(tmp_path / "t.pt"))
    assert _kinds.traced_shapes(tmp_path / "t.pt") == ((2, 3, 5), (1, 5))
    assert _kinds.traced_shapes(saved(state(), tmp_path / "s.pt")) == ()
