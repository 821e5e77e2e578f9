"""Networks for ``matrix.py`` as PyTorch callables with random weights: ``_networks:NAME`` is a source of the kit's.

``timm__resnet18`` and ``torchvision__swin_t`` are those libraries' own networks; the rest are built here with the
layers and outputs that the exports of each project have. Weights come from one seed: two runs see one network.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_CLASSES = 80
_STRIDES = (8, 16, 32)


def __getattr__(name: str) -> Callable[[], nn.Module]:
    """Return the maker of a library's network: ``timm__resnet18``, ``torchvision__swin_t``."""
    library, _, model = name.partition("__")
    makers = {"timm": _timm, "torchvision": _torchvision}
    if library not in makers or not model:
        raise AttributeError(name)
    return partial(makers[library], model)


def _timm(name: str, **options: Any) -> nn.Module:
    import timm

    torch.manual_seed(0)
    return _shaken(timm.create_model(name, pretrained=False, exportable=True, **options))


def _torchvision(name: str) -> nn.Module:
    import torchvision

    torch.manual_seed(0)
    options: dict[str, Any] = {"weights": None, "weights_backbone": None} if _has_backbone(name) else {"weights": None}
    options |= {"init_weights": True, "aux_logits": False} if name == "googlenet" else {}
    return _shaken(torchvision.models.get_model(name, **options))


def _has_backbone(name: str) -> bool:
    return name.startswith(("lraspp", "deeplab", "fcn", "ssd", "retinanet", "fcos", "fasterrcnn", "maskrcnn"))


def _shaken(module: nn.Module) -> nn.Module:
    """Move parameters that begin as zeros or ones: a head of zeros answers the same to every picture."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() > 1 and float(parameter.std()) == 0:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


class _Conv(nn.Sequential):
    """Convolution, batch normalisation, SiLU."""

    def __init__(self, taken: int, given: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(taken, given, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(given), nn.SiLU()
        )


class _C3(nn.Module):
    """A cross-stage block with one bottleneck."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.left, self.right, self.out = _Conv(channels, half), _Conv(channels, half), _Conv(channels, channels)
        self.inner = nn.Sequential(_Conv(half, half), _Conv(half, half, 3))

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        out: Tensor = self.out(torch.cat([left + self.inner(left), self.right(x)], 1))
        return out


class _Pyramid(nn.Module):
    """A CSP backbone and a neck: maps [N, width * (2, 4, 8), H / s, W / s] for s = 8, 16, 32."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        w = width
        self.channels = (2 * w, 4 * w, 8 * w)
        self.stem = nn.Sequential(_Conv(3, w // 2, 6 - 3, 2), _Conv(w // 2, w, 3, 2), _C3(w))
        self.down = nn.ModuleList(
            nn.Sequential(_Conv(taken, given, 3, 2), _C3(given))
            for taken, given in ((w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w))
        )
        self.join = nn.ModuleList([_Conv(12 * w, 4 * w), _Conv(6 * w, 2 * w)])

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for stage in self.down:
            x = stage(x)
            maps.append(x)
        third, fourth, fifth = maps
        fourth = self.join[0](torch.cat([functional.interpolate(fifth, scale_factor=2.0), fourth], 1))
        third = self.join[1](torch.cat([functional.interpolate(fourth, scale_factor=2.0), third], 1))
        return [third, fourth, fifth]


def _cells(height: int, width: int) -> Tensor:
    """Return [1, H, W, 2]: each cell's column and row."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows], -1)[None].float()


class YoloV5(nn.Module):
    """[N, 25200, 85]: cx, cy, w, h in pixels, objectness, class scores; three anchors a cell.

    After https://github.com/ultralytics/yolov5/blob/v7.0/models/yolo.py (its exported output, not its code).
    """

    input_shape = (3, 640, 640)
    input_names = ("images",)
    output_names = ("output0",)
    anchors = (((10, 13), (16, 30), (33, 23)), ((30, 61), (62, 45), (59, 119)), ((116, 90), (156, 198), (373, 326)))

    def __init__(self) -> None:
        super().__init__()
        self.pyramid = _Pyramid()
        self.heads = nn.ModuleList(nn.Conv2d(c, 3 * (5 + _CLASSES), 1) for c in self.pyramid.channels)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for level, stride, anchors, head in zip(self.pyramid(x), _STRIDES, self.anchors, self.heads, strict=True):
            height, width = level.shape[2:]
            y = head(level).reshape(-1, 3, 5 + _CLASSES, height, width).permute(0, 1, 3, 4, 2).sigmoid()
            xy = (y[..., :2] * 2 - 0.5 + _cells(height, width)[:, None]) * stride
            wh = (y[..., 2:4] * 2) ** 2 * torch.tensor(anchors).float().reshape(1, 3, 1, 1, 2)
            found.append(torch.cat([xy, wh, y[..., 4:]], -1).reshape(-1, 3 * height * width, 5 + _CLASSES))
        return torch.cat(found, 1)


class YoloX(nn.Module):
    """[N, 8400, 85]: box, objectness, class scores of one anchor a cell, with a decoupled head.

    ``decoded``: cx, cy, w, h in pixels; else offsets in cells and logarithms, as its ``export_onnx.py`` gives.
    After https://github.com/Megvii-BaseDetection/YOLOX/blob/main/yolox/models/yolo_head.py.
    """

    input_shape = (3, 640, 640)
    input_names = ("images",)
    output_names = ("output",)

    def __init__(self, *, decoded: bool) -> None:
        super().__init__()
        self.decoded = decoded
        self.pyramid = _Pyramid()
        self.stems = nn.ModuleList(_Conv(c, 64, 3) for c in self.pyramid.channels)
        self.boxes = nn.ModuleList(nn.Conv2d(64, 4, 1) for _ in _STRIDES)
        self.objects = nn.ModuleList(nn.Conv2d(64, 1, 1) for _ in _STRIDES)
        self.classes = nn.ModuleList(nn.Conv2d(64, _CLASSES, 1) for _ in _STRIDES)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for number, (level, stride) in enumerate(zip(self.pyramid(x), _STRIDES, strict=True)):
            y = self.stems[number](level)
            box = self.boxes[number](y)
            if self.decoded:
                cells = _cells(*box.shape[2:]).permute(0, 3, 1, 2)
                box = torch.cat([(box[:, :2] + cells) * stride, box[:, 2:].exp() * stride], 1)
            parts = [box, self.objects[number](y).sigmoid(), self.classes[number](y).sigmoid()]
            found.append(torch.cat(parts, 1).flatten(2))
        return torch.cat(found, 2).permute(0, 2, 1)


class RfDetr(nn.Module):
    """``dets`` [N, 300, 4] cx, cy, w, h from 0 to 1 and ``labels`` [N, 300, 91] logits of 300 queries.

    Names and shapes after https://github.com/roboflow/rf-detr/blob/develop/rfdetr/deploy/export.py.
    """

    input_shape = (3, 384, 384)
    input_names = ("input",)

    def __init__(self, queries: int = 300, width: int = 128) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.place = nn.Parameter(torch.randn(1, 24 * 24, width) * 0.02)
        layer = partial(nn.TransformerEncoderLayer, width, 4, 256, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer(), 2, enable_nested_tensor=False)
        self.queries = nn.Parameter(torch.randn(1, queries, width))
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.box = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))
        self.label = nn.Linear(width, 91)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        memory = self.encoder(self.patches(x).flatten(2).transpose(1, 2) + self.place)
        queries = self.queries.expand(memory.shape[0], -1, -1)
        seen = queries + self.attention(queries, memory, memory, need_weights=False)[0]
        return {"dets": self.box(seen).sigmoid(), "labels": self.label(seen)}


class Unet(nn.Module):
    """Logits [N, 21, 256, 256] of a U-Net: the size of the picture itself."""

    input_shape = (3, 256, 256)

    def __init__(self, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(depth)]
        self.first = _Conv(3, width, 3)
        self.down = nn.ModuleList(_Conv(a, b, 3) for a, b in itertools.pairwise(sizes))
        self.up = nn.ModuleList(_Conv(a + b, a, 3) for a, b in reversed(list(itertools.pairwise(sizes))))
        self.last = nn.Conv2d(width, 21, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.first(x)]
        for layer in self.down:
            maps.append(layer(functional.max_pool2d(maps[-1], 2)))
        y = maps.pop()
        for layer in self.up:
            y = layer(torch.cat([functional.interpolate(y, scale_factor=2.0, mode="bilinear"), maps.pop()], 1))
        out: Tensor = self.last(y)
        return out


class Face(nn.Module):
    """An embedding [N, 256] of length 1, as face and person re-identification networks give."""

    input_shape = (3, 112, 112)

    def __init__(self) -> None:
        super().__init__()
        self.body = _timm("mobilenetv3_small_100", num_classes=0)
        self.last = nn.Linear(1024, 256)

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.last(self.body(x)))


class Anchored(nn.Module):
    """``boxes`` [N, A, 4], corners in pixels, and ``scores`` [N, A, C] of a torchvision detector, before NMS."""

    def __init__(self, name: str, side: int) -> None:
        super().__init__()
        self.whole: Any = _torchvision(name)
        self.input_shape = (3, side, side)
        with torch.no_grad():
            picture = torch.zeros(1, 3, side, side)
            maps = list(self.whole.backbone(picture).values())
            from torchvision.models.detection.image_list import ImageList

            (anchors,) = self.whole.anchor_generator(ImageList(picture, [(side, side)]), maps)
        self.register_buffer("anchors", anchors)
        self.softmax = name.startswith("ssd")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        made = self.whole.head(list(self.whole.backbone(x).values()))
        logits, offsets = made["cls_logits"], made["bbox_regression"]
        scores = logits.softmax(-1)[..., 1:] if self.softmax else logits.sigmoid()
        return {"boxes": self._decoded(offsets), "scores": scores}

    def _decoded(self, offsets: Tensor) -> Tensor:
        weights = torch.tensor(self.whole.box_coder.weights).float()
        anchors: Any = self.anchors
        size = anchors[:, 2:] - anchors[:, :2]
        centre = anchors[:, :2] + size / 2
        moved = offsets / weights
        middle = moved[..., :2] * size + centre
        half = moved[..., 2:].clamp(max=self.whole.box_coder.bbox_xform_clip).exp() * size / 2
        return torch.cat([middle - half, middle + half], -1)


class Detections(nn.Module):
    """A whole torchvision detector: ``boxes`` [D, 4], ``scores`` [D], ``labels`` [D] for one picture, D as found."""

    def __init__(self, name: str, side: int) -> None:
        super().__init__()
        import torchvision.extension

        torchvision.extension._has_ops = lambda: True  # noqa: SLF001 (nms is in _beside_cpu_torch)
        self.whole: Any = _torchvision(name)
        self.input_shape = (3, side, side)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        (found,) = self.whole([x[0]])
        return dict(found)


def _own(kind: Callable[..., nn.Module], *arguments: Any, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return _shaken(kind(*arguments, **options))

    return make


yolov5 = _own(YoloV5)
yolox = _own(YoloX, decoded=False)
yolox_decoded = _own(YoloX, decoded=True)
rfdetr = _own(RfDetr)
unet = _own(Unet)
face = _own(Face)
ssdlite = _own(Anchored, "ssdlite320_mobilenet_v3_large", 320)
ssd = _own(Anchored, "ssd300_vgg16", 300)
retinanet = _own(Anchored, "retinanet_resnet50_fpn", 320)
ssdlite_with_nms = _own(Detections, "ssdlite320_mobilenet_v3_large", 320)
resnet_features = partial(_timm, "resnet18", num_classes=0)
