"""Programs of torch.export, TorchScript, and the older exporter: one file, equal answers, no code of the file run."""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import kit.cli
from kit import sources
from kit.compare import runner
from kit.errors import CheckpointError, ExportError, SourceImportError, UsageError
from kit.sources.interface import Loaded

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Net(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.head = torch.nn.Linear(4, 5)

    def forward(self, picture):  # type: ignore[no-untyped-def]
        return self.head(self.conv(picture).mean((2, 3)))


class Pair(torch.nn.Module):  # type: ignore[misc]
    def forward(self, left, right):  # type: ignore[no-untyped-def]
        return {"sum": left + right, "product": left * right}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Path()


def load(source: str, shape: tuple[int, ...] | None = None) -> Loaded:
    folder = Path("stage")
    folder.mkdir(exist_ok=True)
    return sources.resolve(source).load(source, folder, shape)


def program(module: torch.nn.Module, *examples: object, **options: object) -> str:
    torch.export.save(torch.export.export(module.eval(), examples, **options), "given.pt2")
    return "given.pt2"


def traced(module: torch.nn.Module, *examples: object, **options: object) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module.eval(), examples, strict=False).save("given.pt", **options)
    return "given.pt"


def scripted(module: torch.nn.Module) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module.eval()).save("given.ts")
    return "given.ts"


def shapes(loaded: Loaded) -> list[tuple[str, tuple[int, ...]]]:
    both = (*loaded.model.signature.inputs, *loaded.model.signature.outputs)
    return [(t.name, t.shape) for t in both]


def equal(loaded: Loaded, source: str, batch: int, shape: tuple[int, ...] | None = None) -> None:
    """Hold the model against what was loaded with it, and against what is loaded when only its result is known."""
    pictures = {"images": np.random.default_rng(1).random((batch, 3, 8, 9), np.float32)}
    expected = Net().eval()(torch.from_numpy(pictures["images"])).detach().numpy()
    later = sources.resolve(source).reference(source, shape)
    assert loaded.reference is not None
    assert later is not None
    for run in (runner(loaded.model.path), loaded.reference, later):
        np.testing.assert_allclose(run(pictures)["output0"], expected, atol=1e-5)


class TestPrograms:
    def test_with_a_free_batch(self, here: Path) -> None:
        source = program(Net(), torch.zeros(2, 3, 8, 9), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))
        loaded = load(source)
        assert shapes(loaded) == [("images", (-1, 3, 8, 9)), ("output0", (-1, 5))]
        equal(loaded, source, 4)
        assert b"here" not in loaded.model.path.read_bytes()

    def test_with_a_batch_of_one(self, here: Path) -> None:
        source = program(Net(), torch.zeros(1, 3, 8, 9))
        loaded = load(source)
        assert shapes(loaded) == [("images", (1, 3, 8, 9)), ("output0", (1, 5))]
        equal(loaded, source, 1)

    def test_several_inputs_keep_their_names(self, here: Path) -> None:
        loaded = load(program(Pair(), torch.ones(1, 2), torch.ones(1, 2)))
        assert [name for name, _ in shapes(loaded)] == ["left", "right", "output0", "output1"]

    def test_a_damaged_one_is_one_line(self, here: Path) -> None:
        import zipfile

        with zipfile.ZipFile("given.pt2", "w") as archive:
            archive.writestr("given/archive_format", "pt2")
            archive.writestr("given/models/model.json", "{")
        with pytest.raises(
            ExportError, match=r"cannot load given\.pt2: .*; such files are read by the version of torch"
        ):
            load("given.pt2")

    def test_examples_that_are_parameters_are_tensors_too(self, here: Path) -> None:
        """PyTorch writes those by ``_rebuild_from_type_v2`` and the like."""
        example = torch.zeros(1, 3, 8, 9)
        example.note = "set by somebody"  # type: ignore[attr-defined]
        assert load(program(Net(), example)).model.signature.inputs[0].shape == (1, 3, 8, 9)

    def test_one_that_would_run_code_is_refused(self, here: Path) -> None:
        """PyTorch unpickles examples and constants without restriction."""
        import zipfile

        source = program(Net(), torch.zeros(1, 3, 8, 9))
        with zipfile.ZipFile(source) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        torch.save(((argparse.Namespace(),), {}), "bad.pt")
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, Path("bad.pt").read_bytes() if name.endswith("sample_inputs/model.pt") else data)
        with pytest.raises(
            CheckpointError, match=r"holds more than tensors \(argparse\.Namespace\), and loading it would"
        ):
            load(source)


class TestTorchScript:
    def test_what_was_traced_remembers_what_it_takes(self, here: Path) -> None:
        source = traced(Net(), torch.zeros(1, 3, 8, 9))
        loaded = load(source)
        assert shapes(loaded) == [("images", (-1, 3, 8, 9)), ("output0", (-1, 5))]
        equal(loaded, source, 4)

    def test_what_was_scripted_is_told(self, here: Path) -> None:
        source = scripted(Net())
        with pytest.raises(UsageError, match=r"^given\.ts does not say what it takes; give --input-shape 3x640x640$"):
            load(source)
        loaded = load(source, (3, 8, 9))
        equal(loaded, source, 2, (3, 8, 9))
        with pytest.raises(SourceImportError, match=r"given\.ts raised RuntimeError: .*channels"):
            load(source, (1, 8, 9))

    def test_what_ultralytics_writes_into_it_is_read(self, here: Path) -> None:
        told = {"imgsz": [8, 9], "names": {"0": "cat"}, "task": "classify", "date": "2026-01-01", "batch": 1}
        module = torch.jit.script(Net().eval())
        module.save("best.torchscript", _extra_files={"config.txt": json.dumps(told)})
        loaded = load("best.torchscript")
        assert loaded.model.signature.inputs[0].shape == (-1, 3, 8, 9)
        assert loaded.model.metadata == {"imgsz": "[8, 9]", "names": "{'0': 'cat'}", "task": "classify"}

    def test_a_damaged_one_is_one_line(self, here: Path) -> None:
        import zipfile

        with zipfile.ZipFile("given.pt", "w") as archive:
            archive.writestr("given/constants.pkl", "x")
            archive.writestr("given/code/x.py", "x")
        with pytest.raises(ExportError, match=r"cannot load given\.pt: .*; save it again"):
            load("given.pt")


ONLY_TRACED = """
import torch

class Net(torch.nn.Module):
    input_shape = (2, 3)

    def forward(self, x):
        if torch.compiler.is_exporting():
            raise RuntimeError("this network is only traced")
        return {"flat": x.reshape(int(x.shape[0]), 6) * 2}
"""

NEITHER = ONLY_TRACED.replace("x.reshape(int(x.shape[0]), 6) * 2", "torch.special.bessel_j0(x)")


def test_what_the_newer_exporter_cannot_the_older_one_does(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A batch that is asked for as a number is fixed by that one, and made variable again; torch itself agrees."""
    Path("user_number.py").write_text(ONLY_TRACED)
    assert kit.cli.run(["generate", "user_number:Net", "--no-verify", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["manifest"]["signature"]["outputs"][0] == {"name": "flat", "dtype": "FP32", "shape": [-1, 6]}
    assert [p["stage"] for p in document["parity"]] == ["export", "simplify"]
    assert {d["batch"] for p in document["parity"] for d in p["differences"]} == {1, 2, 4}
    assert kit.cli.run(["generate", "user_number:Net", "--no-verify"]) == 0
    said = capfd.readouterr()
    text = re.sub(r"\s+", " ", said.out + said.err)
    assert "exported by PyTorch's older exporter, because the newer one could not: this network is only traced" in text
    assert "the batch of 1 was made variable" in text
    sys.modules.pop("user_number", None)


def test_what_neither_exporter_can_is_told_for_both(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("user_bessel.py").write_text(NEITHER)
    assert kit.cli.run(["generate", "user_bessel:Net", "--no-verify", "--quiet"]) == ExportError.exit_code
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"kit: torch\.onnx\.export could not convert user_bessel:Net: this network is only traced; the older exporter: "
        r".*'aten::special_bessel_j0'.*\n", err
    ), err  # fmt: skip
    sys.modules.pop("user_bessel", None)


def test_a_second_run_of_an_archive_does_not_even_import_torch(here: Path) -> None:
    import os
    import subprocess

    traced(Net(), torch.zeros(1, 3, 8, 9))
    program_text = (
        "import sys, kit.cli; code = kit.cli.run(['generate', 'given.pt', '--no-verify', '--quiet']); "
        "print(code, 'torch' in sys.modules)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program_text], capture_output=True, text=True, timeout=600, env=dict(os.environ)
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["0", "True"], ["0", "False"]]
