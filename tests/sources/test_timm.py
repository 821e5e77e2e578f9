"""Networks of PyTorch Image Models, where timm is installed; where it is not, the message."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from kit import sources
from kit.errors import CheckpointError, MissingExtraError, SourceNotFoundError

torch = pytest.importorskip("torch")

needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
NAME = "timm:test_resnet"


def test_that_it_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"^the source timm:resnet18 needs timm, .*; run: pip install timm$"):
        sources.resolve("timm:resnet18").load("timm:resnet18", tmp_path, None)


def test_its_model_is_named_after_the_network() -> None:
    source = sources.resolve("timm:hf-hub:timm/resnet18.a1_in1k")
    assert source.model_name("timm:hf-hub:timm/resnet18.a1_in1k") == "resnet18.a1_in1k"
    assert source.model_name("timm:resnet18") == "resnet18"


@needs_timm
class TestWithTimm:
    def test_it_knows_size_mean_std_and_names(self, tmp_path: Path) -> None:
        loaded = sources.resolve(NAME).load(NAME, tmp_path, None, "random")
        assert loaded.model.signature.inputs[0].shape[1] == 3
        assert set(loaded.model.metadata) == {"mean", "names", "std", "task"}
        assert loaded.model.notes[0] == "the weights are random: this is for tests of speed"

    def test_the_users_weights(self, tmp_path: Path) -> None:
        import timm

        torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pt")
        loaded = sources.resolve(NAME).load(NAME, tmp_path, None, str(tmp_path / "w.pt"))
        assert loaded.reference is not None

    def test_weights_that_cannot_be_fetched(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        with pytest.raises(CheckpointError, match=r"could not be fetched .*--weights FILE, or --weights random"):
            sources.resolve("timm:resnet18").load("timm:resnet18", tmp_path, None)

    def test_a_name_that_it_does_not_have(self, tmp_path: Path) -> None:
        with pytest.raises(SourceNotFoundError, match=r'^timm has no network "resnte18"; did you mean resnet18'):
            sources.resolve("timm:resnte18").load("timm:resnte18", tmp_path, None)
