"""PyTorch modules: exported once for every batch size, equal to the module itself, the same bytes from anywhere."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

import kit.cli
from kit import sources
from kit.compare import runner
from kit.errors import (
    ExportError,
    KitError,
    MissingExtraError,
    SourceImportError,
    SourceNotFoundError,
    UsageError,
)
from kit.sources.interface import Loaded
from kit.types import DataType

torch = pytest.importorskip("torch")

NETWORK = '''
import torch
from torch import nn

class Net(nn.Module):
    """Three channels in, five scores out."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)

    def forward(self, picture):
        return self.head(self.drop(self.conv(picture)).mean((2, 3)))

def build():
    torch.manual_seed(0)
    return Net()
'''

SEVERAL = """
import torch
from torch import nn

class Tuple(nn.Module):
    example_inputs = (torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.int64))

    def forward(self, left, right):
        return left + right, left * 2

class Dict(nn.Module):
    example_inputs = (torch.zeros(1, 4),)

    def forward(self, values):
        return {"doubled": values * 2, "total": values.sum(1)}
"""

ONE_LAYER = """
import torch
from torch import nn

class Net(nn.Module):
    {body}

    def forward(self, x):
        {forward}

def build():
    return Net()
"""

Module = Callable[..., str]
Load = Callable[..., Loaded]

_numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """Return ``module(text)``: write a module into the current folder and return its name, which no other has."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    path = list(sys.path)

    def write(text: str, name: str = "") -> str:
        name = name or f"user_module_{next(_numbers)}"
        Path(f"{name}.py").write_text(text)
        return name

    yield write
    assert sys.path == path
    for name in [n for n in sys.modules if n.startswith("user_")]:
        del sys.modules[name]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def run(source: str, shape: tuple[int, ...] | None = None) -> Loaded:
        folder = tmp_path / f"stage-{next(_numbers)}"
        folder.mkdir()
        return sources.resolve(source).load(source, folder, shape)

    return run


def layer(body: str = "input_shape = (4,)", forward: str = "return x * 2") -> str:
    return ONE_LAYER.format(body=body, forward=forward)


def signature(loaded: Loaded) -> list[tuple[str, DataType, tuple[int, ...]]]:
    both = (*loaded.model.signature.inputs, *loaded.model.signature.outputs)
    return [(t.name, t.dtype, t.shape) for t in both]


class TestExport:
    def test_one_file_answers_every_batch_as_the_module_does(self, module: Module, load: Load) -> None:
        loaded = load(f"{module(NETWORK)}:build", (3, 8, 9))
        assert signature(loaded) == [
            ("images", DataType.FP32, (-1, 3, 8, 9)),
            ("output0", DataType.FP32, (-1, 5)),
        ]
        assert loaded.reference is not None
        run = runner(loaded.model.path)
        for batch in (1, 2, 8, 1024):
            pixels = np.random.default_rng(batch).random((batch, 3, 8, 9), np.float32)
            expected, got = loaded.reference({"images": pixels}), run({"images": pixels})
            assert list(expected) == list(got) == ["output0"]
            np.testing.assert_allclose(got["output0"], expected["output0"], atol=1e-5)
        proto = onnx.load(str(loaded.model.path), load_external_data=False)
        assert not [t.name for t in proto.graph.initializer if t.external_data]
        assert [p.name for p in loaded.model.path.parent.iterdir()] == ["model.onnx"]
        assert loaded.model.opset == 18

    def test_inputs_and_outputs_are_named_by_forward(self, module: Module, load: Load) -> None:
        loaded = load(f"{module(SEVERAL)}:Tuple")
        assert signature(loaded) == [
            ("left", DataType.FP32, (-1, 4)),
            ("right", DataType.INT64, (-1, 4)),
            ("output0", DataType.FP32, (-1, 4)),
            ("output1", DataType.FP32, (-1, 4)),
        ]
        assert loaded.reference is not None
        made = loaded.reference({"left": np.ones((2, 4), np.float32), "right": np.full((2, 4), 3)})
        assert {name: float(value[0, 0]) for name, value in made.items()} == {"output0": 4, "output1": 2}

    def test_a_dicts_keys_name_its_outputs(self, module: Module, load: Load) -> None:
        loaded = load(f"{module(SEVERAL)}:Dict")
        assert [t.name for t in loaded.model.signature.outputs] == ["doubled", "total"]
        assert [t.shape for t in loaded.model.signature.outputs] == [(-1, 4), (-1,)]
        assert loaded.reference is not None
        feeds = {"images": np.ones((3, 4), np.float32)}
        for name, value in runner(loaded.model.path)(feeds).items():
            np.testing.assert_allclose(value, loaded.reference(feeds)[name])

    def test_the_modules_own_words_are_used(self, module: Module, load: Load) -> None:
        body = """
    input_shape = (4,)
    input_names = ["values"]
    output_names = ["twice"]
    metadata = {"names": {0: "a", 1: "b"}, "stride": 32}
"""
        loaded = load(f"{module(layer(body))}:Net")
        assert [name for name, _, _ in signature(loaded)] == ["values", "twice"]
        assert loaded.model.metadata == {"names": "{0: 'a', 1: 'b'}", "stride": "32"}

    def test_a_shape_that_is_given_wins(self, module: Module, load: Load) -> None:
        loaded = load(f"{module(layer())}:build", (7,))
        assert loaded.model.signature.inputs[0].shape == (-1, 7)

    def test_one_tensor_is_one_input(self, module: Module, load: Load) -> None:
        loaded = load(f"{module(layer('example_inputs = torch.zeros(1, 4)'))}:build")
        assert signature(loaded)[0] == ("images", DataType.FP32, (-1, 4))


def test_another_folder_and_process_give_the_same_bytes(module: Module, load: Load, tmp_path: Path) -> None:
    """PyTorch's exporter writes the path of the user's file beside every node."""
    other = tmp_path / "another-place"
    other.mkdir()
    (other / "user_net.py").write_text("# moved\n" + NETWORK)
    program = (
        "import pathlib; from kit import sources; "
        "print(sources.resolve('user_net:build').load('user_net:build', pathlib.Path(), (3, 8, 8)).model.digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=other, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = load(f"{module(NETWORK, 'user_net')}:build", (3, 8, 8)).model
    assert made.digest == done.stdout.strip()
    assert b"user_net" not in made.path.read_bytes()


class TestMistakes:
    @pytest.mark.parametrize(
        ("attribute", "error", "words"),
        [
            ("nothing", SourceNotFoundError, "has no nothing; the form is package.module:callable"),
            ("Net.nothing", SourceNotFoundError, "has no nothing"),
            ("number", SourceImportError, "is a int, not a callable that returns a torch.nn.Module"),
            ("text", SourceImportError, "returned a str; it must return a torch.nn.Module"),
            ("cls", SourceImportError, "returned a type; it must return"),
            ("fails", SourceImportError, r"raised ValueError: two lines \(user_module_\d+\.py, line 16\)"),
            ("leaves", SourceImportError, "raised SystemExit: 3"),
            ("needs_more", SourceImportError, r"raised TypeError: .*missing 1 required positional argument: 'weights'"),
            ("no_file", SourceImportError, r"raised FileNotFoundError: .*weights\.pt"),
            ("late", SourceImportError, "raised ModuleNotFoundError: No module named 'not_installed'"),
        ],
    )
    def test_of_the_callable(
        self, attribute: str, error: type[KitError], words: str, module: Module, load: Load
    ) -> None:
        text = layer() + (
            'number = 3\ntext = lambda: "x"\ncls = lambda: Net\n'
            'def fails(): raise ValueError("two\\nlines")\n'
            "def leaves(): raise SystemExit(3)\n"
            "def needs_more(weights): return Net()\n"
            'def no_file(): return torch.load("weights.pt")\n'
            "def late():\n    import not_installed\n"
        )
        with pytest.raises(error, match=words):
            load(f"{module(text)}:{attribute}")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (
                "import not_installed\n",
                r"raised ModuleNotFoundError: No module named 'not_installed' \(\w+\.py, line 1\)",
            ),
            ("def broken(:\n", "raised SyntaxError"),
            ("\n\nraise RuntimeError('no licence')\n", r"raised RuntimeError: no licence \(\w+\.py, line 3\)"),
            ("import sys\nsys.exit('bye')\n", "raised SystemExit: bye"),
        ],
    )
    def test_of_the_module(self, text: str, words: str, module: Module, load: Load) -> None:
        with pytest.raises(SourceImportError, match=words):
            load(f"{module(text)}:build")

    @pytest.mark.parametrize("source", ["not_there:build", "not_there.below:build"])
    def test_of_the_modules_name(self, source: str, module: Module, load: Load) -> None:
        with pytest.raises(SourceNotFoundError, match=r"^no module not_there here or in the environment; run from the"):
            load(source)

    def test_a_file_is_no_package(self, module: Module, load: Load) -> None:
        name = module("")
        with pytest.raises(SourceNotFoundError, match=f"^no module {name}.below"):
            load(f"{name}.below:build")

    @pytest.mark.parametrize(
        ("body", "forward", "words"),
        [
            ("input_shape = 7", "return x", "raised TypeError"),
            ("input_shape = ('a',)", "return x", "raised TypeError"),
            ("metadata = 'names'; input_shape = (4,)", "return x", "raised ValueError"),
            ("example_inputs = ('a',)", "return x", "example_inputs must be tensors"),
            ("example_inputs = torch.zeros(())", "return x", "with the batch dimension first"),
            ("input_shape = (4,)", "return x, None", "gives Tensor, NoneType; it must give a tensor"),
            ("input_shape = (4,)", "return x, (x, x)", "gives Tensor, tuple;"),
            ("input_shape = (4,)", "return ()", "gives nothing;"),
            ("input_shape = (4,)", "return x @ torch.zeros(5, 5)", r"raised RuntimeError: mat1 and mat2 shapes"),
        ],
    )
    def test_of_what_the_network_says_and_gives(
        self, body: str, forward: str, words: str, module: Module, load: Load
    ) -> None:
        with pytest.raises(SourceImportError, match=words):
            load(f"{module(layer(body, forward))}:build")

    def test_no_shape_is_answered_with_both_ways_to_give_one(self, module: Module, load: Load) -> None:
        with pytest.raises(UsageError, match=r"--input-shape 3x640x640, or set input_shape = \(3, 640, 640\)"):
            load(f"{module(layer('pass'))}:build")

    def test_a_shape_that_the_network_refuses(self, module: Module, load: Load) -> None:
        with pytest.raises(SourceImportError, match=r"expected input.* to have 3 channels, but got 1 channels"):
            load(f"{module(NETWORK)}:build", (1, 8, 8))

    def test_what_cannot_be_exported_is_one_line_and_no_noise(self, module: Module, tmp_path: Path) -> None:
        """In a process of its own: the exporter's logs go to the standard error that there was when torch came."""
        name = module(layer(forward="return x * 2 if x.sum() > 0 else x"))
        done = subprocess.run(
            [sys.executable, "-m", "kit", "generate", f"{name}:build", "--no-verify"],
            capture_output=True, text=True, timeout=600, env={**os.environ, "KIT_CACHE_DIR": str(tmp_path / "cache")},
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (ExportError.exit_code, "")
        said = rf"kit: torch\.onnx\.export could not convert {name}:build: [^\n]*data-dependent[^\n]*\n"
        assert re.fullmatch(said, done.stderr), done.stderr

    def test_torch_that_is_not_installed(self, module: Module, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
        name = module(layer())
        monkeypatch.setitem(sys.modules, "torch", None)  # what `import` does for a package that is not there
        with pytest.raises(MissingExtraError, match=r"pip install 'triton-edge-kit\[torch\]'"):
            load(f"{name}:build")


class TestUserCode:
    def test_modules_beside_it_are_found_even_late(self, module: Module, load: Load) -> None:
        helper = module("factor = 3.0\n")
        late = module("def scaled(x):\n    return x * 2\n")
        text = layer(forward=f"from {late} import scaled; return scaled(x) * self.factor")
        name = module(
            text + f"\ndef main():\n    from {helper} import factor\n    n = Net(); n.factor = factor; return n\n"
        )
        loaded = load(f"{name}:main")
        assert loaded.reference is not None
        assert float(loaded.reference({"images": np.ones((1, 4), np.float32)})["output0"][0, 0]) == 6

    def test_a_package_in_the_current_folder_is_found(self, module: Module, load: Load) -> None:
        package = f"user_package_{next(_numbers)}"
        (Path(package) / "inner").mkdir(parents=True)
        for folder in (Path(package), Path(package) / "inner"):
            (folder / "__init__.py").touch()
        (Path(package) / "inner" / "net.py").write_text(layer())
        assert load(f"{package}.inner.net:Net").model.signature.batched

    def test_sys_path_may_be_changed(self, module: Module, load: Load) -> None:
        name = module("import sys\nsys.path.remove(sys.path[0])\n" + layer("input_shape = 7"))
        with pytest.raises(SourceImportError, match="raised TypeError"):
            load(f"{name}:build")

    def test_what_it_prints_is_no_part_of_the_json(
        self, module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
        text = "print('imported')\n" + layer(forward="print('called'); return x * 2")
        arguments = ["generate", f"{module(text)}:build", "--name", "chatty", "--no-verify", "--json"]
        assert kit.cli.run(arguments) == 0
        out, err = capfd.readouterr()
        document = json.loads(out)
        assert document["entry"]["name"] == "chatty"
        assert [p["stage"] for p in document["parity"]] == ["export", "simplify"]
        assert {line.split()[0] for line in err.splitlines()} == {"imported", "called"}
        assert document["manifest"]["source"] == {
            "kind": "torch",
            "name": arguments[1],
            "sha256": document["manifest"]["source"]["sha256"],
        }
        # Exported again, the same model: nothing changes.
        assert kit.cli.run(arguments) == 0
        assert json.loads(capfd.readouterr().out)["entry"]["changed"] is False

    def test_a_network_that_rolls_dice_is_refused(
        self, module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
        name = module(layer(forward="return x + torch.rand(4)"))
        assert kit.cli.run(["generate", f"{name}:build", "--no-verify", "--quiet"]) == 31
        assert capfd.readouterr().err.startswith("kit: export: output output0 differs at batch 1")
        assert not Path("model_repository").exists()

    def test_training_mode_is_left(self, module: Module, load: Load) -> None:
        """Dropout and batch norm would answer otherwise each time."""
        loaded = load(f"{module(NETWORK)}:build", (3, 8, 8))
        assert loaded.reference is not None
        feeds = {"images": np.ones((2, 3, 8, 8), np.float32)}
        assert np.array_equal(loaded.reference(feeds)["output0"], loaded.reference(feeds)["output0"])
