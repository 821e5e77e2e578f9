"""The networks of ``matrix.py``: where each comes from and what ``kit generate`` should make of it.

Weights are random but for the OCR models and the example; the structures are those of the real networks.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CALIBRATION = ROOT / "examples" / "digits" / "calibration"

Prepare = Callable[[Path], str]
"""Write what there is to write into a folder and return what ``kit generate`` is given."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row. ``task`` is what the kit should recognise. ``needs`` is the module that brings the network."""

    name: str
    origin: str
    task: str
    prepare: Prepare
    needs: str = "onnx"
    options: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """Return why this network cannot be had here, or None."""
        return None if importlib.util.find_spec(self.needs) else f"{self.needs} is not installed"


def every() -> tuple[Architecture, ...]:
    """Return all rows in the order of the table."""
    return (*_trained(), *_light(), *_timm(), *_torchvision(), *_saved(), *_ultralytics(), *_built())


_FEW = ("--score-threshold", "0.0001")
"""For random weights, whose scores are small: an answer without detections would compare nothing."""


def _trained() -> Iterator[Architecture]:
    yield Architecture(
        name="digits", origin="example", task="detect",
        prepare=lambda _: str(ROOT / "examples" / "digits" / "digits.onnx"),
        options=("--calibration", str(CALIBRATION)),
    )  # fmt: skip
    for name, pattern, task in (
        ("PP-OCRv6 det (DB)", "*_det_*.onnx", "segment"),
        ("PP-OCRv6 rec (SVTR)", "*_rec_*.onnx", "raw"),
        ("PP-OCR cls (MobileNetV3)", "*_cls_*.onnx", "classify"),
    ):
        yield Architecture(
            name=name, origin="rapidocr", task=task, prepare=partial(_shipped, "rapidocr", f"models/{pattern}"),
            needs="rapidocr",
        )  # fmt: skip


def _light() -> Iterator[Architecture]:
    names = "alexnet densenet121 inception_v1 inception_v2 resnet50 shufflenet squeezenet vgg19 zfnet512"
    for name in names.split():
        file = f"backend/test/data/light/light_{'bvlc_' if name == 'alexnet' else ''}{name}.onnx"
        yield Architecture(name=name, origin="onnx", task="classify", prepare=partial(_shipped, "onnx", file))


def _named(source: str, _: Path) -> str:
    """Return what is given as it is."""
    return source


def _shipped(package: str, pattern: str, _: Path) -> str:
    """Return a file that a package brings."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    (path,) = Path(found.origin).parent.glob(pattern)
    return str(path)


def _timm() -> Iterator[Architecture]:
    names = (
        "resnet18 mobilenetv3_small_100 mobilenetv4_conv_small efficientnet_b0 efficientnet_lite0 convnext_atto "
        "vit_tiny_patch16_224 deit_tiny_patch16_224 swin_tiny_patch4_window7_224 regnety_002 densenet121 ghostnet_100 "
        "mobilevit_xxs edgenext_xx_small efficientvit_b0 repvgg_a0 levit_128s"
    )
    for name in names.split():
        yield Architecture(
            name=name, origin="timm", task="classify", prepare=partial(_named, f"timm:{name}"), needs="timm",
            options=("--weights", "random"),
        )  # fmt: skip
    yield _network("resnet18 without its head", "resnet_features", "timm", "embed", "3x224x224")
    yield _network("face embedding (MobileNetV3)", "face", "timm", "embed")


def _torchvision() -> Iterator[Architecture]:
    names = "resnet18 shufflenet_v2_x1_0 mnasnet0_5 regnet_y_400mf convnext_tiny swin_t vit_b_16 googlenet"
    for name in names.split():
        yield _network(name, f"torchvision__{name}", "torchvision", "classify", "3x224x224")
    for name in ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50"):
        yield _network(name, f"torchvision__{name}", "torchvision", "segment", "3x256x256")
    yield _network("SSDlite320 MobileNetV3, raw heads", "ssdlite", "torchvision", "detect", options=_FEW)
    yield _network("SSD300 VGG16, raw heads", "ssd", "torchvision", "detect", options=_FEW)
    yield _network("RetinaNet ResNet50, raw heads", "retinanet", "torchvision", "detect", options=_FEW)
    yield _network("SSDlite320 with its own NMS", "ssdlite_with_nms", "torchvision", "detect", options=_FEW)


def _saved() -> Iterator[Architecture]:
    for how, ending in (("torch.export program", "pt2"), ("TorchScript", "pt")):
        yield Architecture(
            name=f"shufflenet_v2_x1_0, {how}", origin="torchvision", task="classify", needs="torchvision",
            prepare=partial(_written, ending), options=("--input-shape", "3x224x224") if ending == "pt" else (),
        )  # fmt: skip


def _written(ending: str, folder: Path) -> str:
    """Save a network as a file of PyTorch's, in a process of its own."""
    path = folder / f"shufflenet.{ending}"
    save = {
        "pt2": "export = torch.export; batch = ({0: export.Dim.DYNAMIC},);"
        "export.save(export.export(net, (x,), dynamic_shapes=batch), sys.argv[1])",
        "pt": "torch.jit.trace(net, x).save(sys.argv[1])",
    }[ending]
    build = "import sys, torch, _networks; net = _networks.torchvision__shufflenet_v2_x1_0()"
    code = f"{build}; x = torch.rand(2, 3, 224, 224); {save}"
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(here), str(here / "_beside_cpu_torch")))}
    subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True, capture_output=True)
    return str(path)


def _built() -> Iterator[Architecture]:
    yield _network(
        "YOLOv5 head, CSP", "yolov5", "built here", "detect", options=("--score-threshold", "0.2"), needs="torch"
    )
    yield _network(
        "YOLOX, decoded", "yolox_decoded", "built here", "detect", options=("--score-threshold", "0.2"), needs="torch"
    )
    yield _network(
        "YOLOX, as its export_onnx.py gives",
        "yolox",
        "built here",
        "detect",
        options=("--score-threshold", "0.2"),
        needs="torch",
    )
    yield _network("RF-DETR outputs, ViT", "rfdetr", "built here", "detect", needs="torch")
    yield _network(
        "RF-DETR outputs, told", "rfdetr", "built here", "detect", needs="torch",
        options=("--head", "detr,sigmoid,no-background"),
    )  # fmt: skip
    yield _network("U-Net", "unet", "built here", "segment", needs="torch")


def _network(
    name: str, attribute: str, origin: str, task: str, shape: str | None = None, *,
    options: tuple[str, ...] = (), needs: str | None = None,
) -> Architecture:  # fmt: skip
    taken = ("--input-shape", shape) if shape else ()
    return Architecture(
        name=name, origin=origin, task=task, prepare=lambda _: f"_networks:{attribute}", needs=needs or origin,
        options=(*taken, *options),
    )  # fmt: skip


def _ultralytics() -> Iterator[Architecture]:
    names = "yolov3-tiny yolov5n yolov6n yolov8n yolov9t yolov10n yolo11n yolo12n yolo26n"
    for name in names.split():
        yield _yolo(name, "detect")
    yield _yolo("yolo26n", "detect", "end to end", nms=False)
    yield _yolo("yolov10n", "detect", "end to end", nms=False)
    yield _yolo("yolo11n", "detect", "dynamic batch and size", dynamic=True)
    yield _yolo("rtdetr-resnet50", "detect")
    for name in ("yolov8n-seg", "yolo11n-seg"):
        yield _yolo(name, "instances")
    yield _yolo("yolo26n-seg", "instances", "end to end", nms=False)
    for name in ("yolov8n-pose", "yolo11n-pose"):
        yield _yolo(name, "pose")
    yield _yolo("yolo26n-pose", "pose", "end to end", nms=False)
    yield _yolo("yolo26n-sem", "segment")
    yield _yolo("yolo11n-cls", "classify")
    yield _yolo("yolo11n-obb", "raw")


def _yolo(name: str, task: str, how: str = "", **export: bool) -> Architecture:
    return Architecture(
        name=f"{name}, {how}" if how else name, origin="ultralytics", task=task,
        prepare=partial(_exported, name, how, export) if how else partial(_named, f"{name}.yaml"), needs="ultralytics",
        options=_FEW if task in {"detect", "instances", "pose"} else (),
    )  # fmt: skip


def _exported(name: str, how: str, export: dict[str, bool], folder: Path) -> str:
    """Let ultralytics export a YAML's network with random weights, in a process of its own; kept for the next run."""
    path = folder / f"{name}{'-' if how else ''}{how.replace(' ', '-')}.onnx"
    if not path.exists():
        environment = {**os.environ, "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
        code = (
            "import sys, os, torch, ultralytics; torch.manual_seed(0);"
            f"kind = ultralytics.RTDETR if {name.startswith('rtdetr')} else ultralytics.YOLO;"
            f"made = kind('{name}.yaml').export(format='onnx', simplify=False, **{export!r});"
            f"os.replace(made, {str(path)!r})"
        )
        subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True, capture_output=True)
    return str(path)
