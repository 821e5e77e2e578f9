"""Weights in files: put into the network as they are meant, refused by name where they do not fit or are not safe."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import CheckpointError
from kit.sources import _weights

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")


def network(classes: int = 5) -> object:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4, classes)
    )


def trained() -> dict[str, object]:
    torch.manual_seed(9)
    return {k: torch.rand_like(v.float()).to(v.dtype) for k, v in network().state_dict().items()}  # type: ignore[attr-defined]


def put(state: object, path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.save_file(state, str(path))
    else:
        torch.save(state, path)
    return path


def equal(module: object, state: dict[str, object]) -> bool:
    return all(torch.equal(value, state[key]) for key, value in module.state_dict().items())  # type: ignore[attr-defined]


OTHER_CLASSES = (
    "2 of another shape (3.weight [7, 4] in the file, [5, 4] in the network, 3.bias [7] in the file, "
    "[5] in the network); another number of classes?"
)
PREFIXES = ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module."]
NESTS = ["state_dict", "model", "model_state_dict", "ema", "state_dict_ema", "net"]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".ckpt"])
def test_each_format(suffix: str, tmp_path: Path) -> None:
    module, state = network(), trained()
    assert not equal(module, state)
    assert _weights.load_into(module, str(put(state, tmp_path / f"w{suffix}")), "net:build") == ()
    assert equal(module, state)


@given(nests=st.lists(st.sampled_from(NESTS), max_size=2), prefix=st.sampled_from(["", *PREFIXES]))
@settings(max_examples=20, deadline=None)
def test_wherever_a_trainer_put_them(nests: list[str], prefix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    state = trained()
    value: object = {prefix + key: tensor for key, tensor in state.items()}
    for nest in nests:
        value = {"epoch": 3, nest: value, "optimizer": {"lr": 0.1}}
    module = network()
    remarks = _weights.load_into(module, str(put(value, tmp_path_factory.mktemp("w") / "w.pt")), "net:build")
    assert equal(module, state)
    assert len(remarks) == bool(nests) + prefix.count(".")
    if nests:
        assert remarks[0] == f"the weights are those under {' / '.join(reversed(nests))} in w.pt"


def test_averaged_weights_are_preferred_and_it_is_said(tmp_path: Path) -> None:
    state, other = trained(), network().state_dict()  # type: ignore[attr-defined]
    module = network()
    path = put({"state_dict": other, "state_dict_ema": state, "epoch": 1}, tmp_path / "w.pt")
    assert _weights.load_into(module, str(path), "n") == ("the weights are those under state_dict_ema in w.pt",)
    assert equal(module, state)


def test_a_prefix_that_the_network_has_itself_stays(tmp_path: Path) -> None:
    wrapped = torch.nn.ModuleDict({"model": network()})
    state = {f"model.{key}": value for key, value in trained().items()}
    assert _weights.load_into(wrapped, str(put(state, tmp_path / "w.pt")), "n") == ()


def test_counters_may_be_missing(tmp_path: Path) -> None:
    """Old checkpoints and other libraries' have none; no answer depends on them."""
    state = {key: value for key, value in trained().items() if not key.endswith("num_batches_tracked")}
    assert _weights.load_into(network(), str(put(state, tmp_path / "w.safetensors")), "n") == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "3.bias"}, "does not fit net:build: 1 missing (3.bias); is it"),
        (lambda s: {**s, "more": torch.zeros(1)}, "1 unexpected (more)"),
        (lambda s: {("3.bais" if k == "3.bias" else k): v for k, v in s.items()}, "(3.bias: the file has 3.bais)"),
        (lambda s: {**s, "3.weight": torch.zeros(7, 4), "3.bias": torch.zeros(7)}, OTHER_CLASSES),
        (lambda s: {f"x{k}": v for k, v in s.items()}, "8 missing (0.weight: the file has x0.weight"),
        (lambda s: {"epoch": 3}, "w.pt holds no weights that are known: epoch; save model.state_dict()"),
        (lambda s: [1, 2], "holds no weights that are known: a list"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(change: Callable[[dict[str, object]], object], words: str, tmp_path: Path) -> None:
    module = network()
    before = {key: value.clone() for key, value in module.state_dict().items()}  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        _weights.load_into(module, str(put(change(trained()), tmp_path / "w.pt")), "net:build")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert equal(module, before)


@pytest.mark.parametrize("nested", [True, False])
def test_what_would_run_code_is_refused_and_the_command_converts_it(
    nested: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = trained()
    value = {"state_dict": state, "args": argparse.Namespace(lr=1)} if nested else network()
    put(value, tmp_path / "best.pt")
    kind = "argparse.Namespace" if nested else "torch.nn"
    with pytest.raises(CheckpointError, match="would run code from the file; where you trust it, convert it") as caught:
        _weights.load_into(network(), "best.pt", "n")
    assert nested is False or kind.partition(".")[0] in str(caught.value) or "objects" in str(caught.value)
    command = re.search(r'python -c "(.*)"', str(caught.value))
    assert command is not None
    exec(command[1])
    _weights.load_into(network(), "weights.pt", "n")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("gone.pt", None, "weights gone.pt does not exist; give a .safetensors, .pt or .pth file"),
        ("random", None, 'weights "random" are for timm:NAME; leave --weights out'),
        ("empty.pt", b"", "weights empty.pt is no file of torch.save"),
        ("text.pt", b"hello", "is no file of torch.save, or is damaged"),
        ("zip.pt", b"PK\x03\x04" + b"\0" * 60, "weights zip.pt is no file of torch.save"),
        ("bad.safetensors", b"\xff" * 64, "cannot be read as safetensors"),
        ("empty.safetensors", b"", "cannot be read as safetensors"),
    ],
)
def test_what_is_no_weights_is_one_line(
    name: str, data: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if data is not None:
        Path(name).write_bytes(data)
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        _weights.load_into(network(), name, "n")
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a folder"):
        _weights.read(tmp_path)
