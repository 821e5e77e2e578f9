"""Weights without a network, and files of other libraries: nothing to serve, but something to say."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from kit.errors import CheckpointError, SourceNotFoundError
from kit.sources import _kinds
from kit.sources._kind import File
from kit.sources.interface import Loaded

_GIVE_THE_NETWORK = "give the network and these weights: kit generate package.module:callable --weights {name}"
_OF_LIBRARIES = {
    "models": "YOLOv5's or YOLOv7's own repository: run its export.py --include onnx, and give the .onnx",
    "mmengine": "OpenMMLab: export it with MMDeploy, without NMS, and give the .onnx",
    "mmcv": "OpenMMLab: export it with MMDeploy, without NMS, and give the .onnx",
    "detectron2": "Detectron2: export it with its tools/deploy/export_model.py --format onnx, and give the .onnx",
    "paddle": "PaddlePaddle: convert it with paddle2onnx, and give the .onnx",
    "rfdetr": "RF-DETR: model.export() writes an .onnx; give that",
    "yolox": "YOLOX: run its tools/export_onnx.py --decode_in_inference, and give the .onnx",
    "super_gradients": "SuperGradients: model.export('x.onnx') writes an .onnx; give that",
    "transformers": "Transformers: export it with optimum-cli export onnx, and give the .onnx",
    "fastai": "fastai: give learner.model as package.module:callable",
    "sklearn": "scikit-learn: convert it with skl2onnx, and give the .onnx",
}


class Checkpoint(File):
    """Answers each file with what would work."""

    name = "checkpoint"
    tools = ()
    needs_shape = True
    takes_weights = True

    def fingerprint(self, source: str) -> NoReturn:
        """Raise ``CheckpointError`` with what the file is and what would work, or ``SourceNotFoundError``."""
        path = Path(source)
        if not path.exists():
            raise SourceNotFoundError(f"{source} does not exist{_kinds.neighbours(path)}")
        if not path.is_file():
            raise SourceNotFoundError(f"{source} is no regular file; give the path of a model")
        raise CheckpointError(f"{path.name} {_what_it_is(path)}")

    def load(
        self,
        source: str,
        folder: Path,  # noqa: ARG002
        input_shape: tuple[int, ...] | None,  # noqa: ARG002
        weights: str | None = None,  # noqa: ARG002
    ) -> Loaded:
        """Raise as ``fingerprint`` does."""
        self.fingerprint(source)


def _what_it_is(path: Path) -> str:
    if (other := _kinds.describe_other(path)) is not None:
        return other
    network = _GIVE_THE_NETWORK.format(name=path.name)
    pickled = _kinds.read_pickle(path)
    if path.suffix == ".safetensors" or pickled is None:
        readable = path.suffix == ".safetensors"
        return f"holds weights, but no network; {network}" if readable else "is damaged or no model; copy it again"
    for package, remedy in _OF_LIBRARIES.items():
        if package in pickled.packages:
            return f"is a checkpoint of {remedy}"
    if pickled.is_module:
        whose = ", ".join(pickled.packages) or "torch.nn alone"
        return (
            f"is a whole pickled network (code of {whose}), and loading it would run what is in the file; give a "
            "callable that builds the network, and its state_dict() as a file: "
            "kit generate package.module:callable --weights weights.pt"
        )
    if pickled.packages:
        return f"holds weights and objects of {', '.join(pickled.packages[:4])}; {network}"
    return f"holds weights, but no network; {network}"


MEMBER = Checkpoint()
