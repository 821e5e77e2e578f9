"""Weights beside a model: brought inside from where they may lie, refused with the reason from everywhere else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import kit.graph
from kit import external, sources
from kit.compare import runner
from kit.errors import ExternalDataError
from kit.types import Model


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with ``model.onnx`` and its ``weights.bin``."""
    folder = tmp_path / "here"
    folder.mkdir()
    onnx.save(
        models.classifier(classes=500), str(folder / "model.onnx"), save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    return folder


def load(folder: Path, name: str = "model.onnx") -> tuple[Model, str]:
    stage = folder / "stage"
    stage.mkdir(exist_ok=True)
    source = str(folder / name)
    loaded = sources.resolve(source).load(source, stage, None)
    return loaded.model, loaded.digest


def relocate(folder: Path, change: Callable[[onnx.TensorProto], None]) -> None:
    """Change where each tensor says that its values are."""
    path = folder / "model.onnx"
    model = onnx.load(str(path), load_external_data=False)
    for tensor in external.tensors(model):
        if tensor.external_data:
            change(tensor)
    path.write_bytes(model.SerializeToString())


def say(tensor: onnx.TensorProto, key: str, value: str) -> None:
    kept = {e.key: e.value for e in tensor.external_data} | {key: value}
    del tensor.external_data[:]
    for name, text in kept.items():
        tensor.external_data.add(key=name, value=text)


class TestBroughtInside:
    def test_one_file_answers_as_the_two_did(self, here: Path) -> None:
        model, _ = load(here)
        feeds = {"x": np.random.default_rng(0).random((2, 3, 8, 10), np.float32)}
        expected = runner(here / "model.onnx")(feeds)["scores"]
        (here / "weights.bin").unlink()
        assert np.array_equal(runner(model.path)(feeds)["scores"], expected)

    def test_in_a_folder_below(self, here: Path) -> None:
        (here / "data").mkdir()
        (here / "weights.bin").rename(here / "data" / "weights.bin")
        relocate(here, lambda tensor: say(tensor, "location", "data/weights.bin"))
        assert load(here)[0].signature.outputs[0].shape == (-1, 500)

    def test_wherever_a_tensor_can_be(self, tmp_path: Path) -> None:
        """In a constant, in the branch of an If, in a function."""

        def outside(name: str, offset: int) -> TensorProto:
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
            for key, value in (("location", "w"), ("offset", str(offset)), ("length", "4")):
                tensor.external_data.add(key=key, value=value)
            return tensor

        value = [helper.make_tensor_value_info("t", models.FLOAT, ("n", 1))]
        branches = {
            f"{name}_branch": helper.make_graph(
                [models.node("Constant", "", "c", value=outside("", offset)), models.node("Mul", "x c", "t")],
                name, [], value,
            ) for name, offset in (("then", 0), ("else", 4))
        }  # fmt: skip
        nodes = [models.node("If", "yes", "i", **branches), helper.make_node("Triple", ["i"], ["y"], domain="own")]
        x, y = (("x", models.FLOAT, ("n", 1)), ("y", models.FLOAT, ("n", 1)))
        model = models.build(nodes, [x], [y], {"yes": np.array(True)})
        body = [models.node("Constant", "", "c", value=outside("", 8)), models.node("Mul", "v c", "w")]
        model.functions.append(helper.make_function("own", "Triple", ["v"], ["w"], body, [helper.make_opsetid("", 17)]))
        model.opset_import.append(helper.make_opsetid("own", 1))
        models.save(model, tmp_path / "model.onnx")
        (tmp_path / "w").write_bytes(np.array([5, 7, 3], np.float32).tobytes())
        made, _ = load(tmp_path)
        assert runner(made.path)({"x": np.ones((1, 1), np.float32)})["y"] == [[15]]

    @given(st.integers(0, 3), st.booleans())
    @settings(max_examples=8, deadline=None)
    def test_the_digest_changes_with_any_byte_and_only_then(
        self, tmp_path_factory: pytest.TempPathFactory, where: int, other_name: bool
    ) -> None:
        folder = tmp_path_factory.mktemp("digest")
        onnx.save(
            models.classifier(classes=4), str(folder / "m.onnx"), save_as_external_data=True, location="w",
            size_threshold=0,
        )  # fmt: skip
        source = sources.resolve(str(folder / "m.onnx"))
        before = source.fingerprint(str(folder / "m.onnx"))
        assert before == load(folder, "m.onnx")[1]
        data = bytearray((folder / "w").read_bytes())
        data[where * len(data) // 4] ^= 0x40
        (folder / "w").write_bytes(data)
        name = "other.onnx" if other_name else "m.onnx"
        (folder / "m.onnx").rename(folder / name)
        after = source.fingerprint(str(folder / name))
        assert after == load(folder, name)[1] != before

    def test_a_model_that_only_mentions_a_location_is_its_own_digest(self, tmp_path: Path) -> None:
        import hashlib

        path = models.save(models.classifier(metadata={"location": "Kiel"}), tmp_path / "m.onnx")
        expected = hashlib.sha256(path.read_bytes()).hexdigest()
        assert sources.resolve(str(path)).fingerprint(str(path)) == expected == load(tmp_path, "m.onnx")[1]

    def test_names_of_the_same_bytes_are_one_tensor(self, here: Path) -> None:
        relocate(here, lambda tensor: say(tensor, "offset", "0"))
        relocate(
            here, lambda tensor: tensor.ClearField("dims") or tensor.dims.extend([1, 4] if tensor.name == "w" else [4])
        )
        relocate(here, lambda tensor: say(tensor, "length", "16"))
        model = kit.graph.read(here / "model.onnx")
        assert len({t.raw_data for t in model.graph.initializer}) == 1


class TestRefused:
    @pytest.mark.parametrize(
        ("location", "words"),
        [
            ("/etc/passwd", "is an absolute path"),
            ("../weights.bin", 'leaves the folder by ".."'),
            ("data/../../weights.bin", 'leaves the folder by ".."'),
            ("", "is no name of a file"),
            ("..\\weights.bin", "is no name of a file"),
            ("missing.bin", "does not exist; put it into"),
            (".", "is no regular file"),
            ("weights.bin/more", "cannot be read: Not a directory"),
        ],
    )
    def test_places(self, location: str, words: str, here: Path) -> None:
        relocate(here, lambda tensor: say(tensor, "location", location))
        with pytest.raises(ExternalDataError, match=re.escape(words)) as caught:
            load(here)
        assert "\n" not in str(caught.value)
        with pytest.raises(ExternalDataError, match=re.escape(words)):
            sources.resolve(str(here / "model.onnx")).fingerprint(str(here / "model.onnx"))

    def test_symbolic_links(self, here: Path, tmp_path: Path) -> None:
        (here / "weights.bin").rename(tmp_path / "elsewhere.bin")
        (here / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
        with pytest.raises(ExternalDataError, match=r'"weights\.bin", which is a symbolic link; only regular files'):
            load(here)

    def test_folders_that_are_links(self, here: Path, tmp_path: Path) -> None:
        (here / "data").symlink_to(tmp_path)
        relocate(here, lambda tensor: say(tensor, "location", "data/secret"))
        with pytest.raises(ExternalDataError, match="which is reached by one; only regular files"):
            load(here)

    def test_hard_links(self, here: Path, tmp_path: Path) -> None:
        os.link(here / "weights.bin", tmp_path / "second-name")
        with pytest.raises(ExternalDataError, match=r"has other names too \(hard links\); .* copy the file there"):
            load(here)
        (tmp_path / "second-name").unlink()
        assert load(here)[0].signature.batched

    def test_pipes_do_not_hang(self, here: Path) -> None:
        (here / "weights.bin").unlink()
        os.mkfifo(here / "weights.bin")
        with pytest.raises(ExternalDataError, match="is no regular file"):
            load(here)

    def test_files_that_end_too_early(self, here: Path) -> None:
        os.truncate(here / "weights.bin", 4000)
        with pytest.raises(
            ExternalDataError, match=r"the weights of w take 6,000 bytes, weights\.bin has [\d,]+ for them"
        ):
            load(here)

    @pytest.mark.parametrize(
        ("key", "value", "words"),
        [
            ("offset", "-4", "is no number"),
            ("offset", "four", "is no number"),
            ("length", "-1", "is no number"),
            ("length", "3", "bytes, weights.bin has 3 for them"),
            ("offset", str(2**70), "has 0 for them"),
        ],
    )
    def test_numbers(self, key: str, value: str, words: str, here: Path) -> None:
        relocate(here, lambda tensor: say(tensor, key, value))
        with pytest.raises(ExternalDataError, match=re.escape(words)):
            load(here)

    def test_weights_that_share_a_part_of_their_bytes(self, here: Path) -> None:
        relocate(here, lambda tensor: say(tensor, "offset", "4" if tensor.name == "b" else "0"))
        with pytest.raises(ExternalDataError, match=r"weights overlap in weights\.bin at byte 4; export it again"):
            load(here)

    def test_text(self, here: Path) -> None:
        relocate(here, lambda tensor: setattr(tensor, "data_type", TensorProto.STRING))
        with pytest.raises(ExternalDataError, match="are no numbers"):
            load(here)


class TestMoreThanTwoGigabytes:
    """Sparse files: they take no room, and nothing reads them."""

    def test_one_file(self, tmp_path: Path) -> None:
        path = models.save(models.scale(), tmp_path / "big.onnx")
        os.truncate(path, 3 << 30)
        with pytest.raises(ExternalDataError, match=r"^big\.onnx has 3\.2 GB .* at most 2\.1 GB; export it with FP16"):
            sources.resolve(str(path)).fingerprint(str(path))

    def test_weights_outside(self, here: Path) -> None:
        def grow(tensor: onnx.TensorProto) -> None:
            tensor.ClearField("dims")
            tensor.dims.extend([1 << 29])
            say(tensor, "length", str(1 << 31))

        relocate(here, grow)
        os.truncate(here / "weights.bin", 5 << 30)
        with pytest.raises(ExternalDataError, match=r"^model\.onnx has 4\.3 GB with its weights"):
            sources.resolve(str(here / "model.onnx")).fingerprint(str(here / "model.onnx"))
