"""The detector: an anchor-free network of 0.3 M parameters with the output layout of YOLOv8 and YOLO11."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE_SIZE_PX = 320
CLASS_COUNT = 10
STRIDES_PX = (8, 16, 32)
WEIGHTS_PATH = Path(__file__).with_name("digits.safetensors")

_PRIOR_LOGIT = -4.6  # sigmoid gives 0.01: most anchor points see no digit (RetinaNet, arXiv:1708.02002, 4.1)


class ConvBlock(nn.Sequential):  # type: ignore[misc]
    """Convolution without bias, batch normalisation, SiLU. `[N, in, H, W]` to `[N, out, H/stride, W/stride]`."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.SiLU(inplace=True),
        )


class Bottleneck(nn.Module):  # type: ignore[misc]
    """Residual block: 1x1 to half the channels, 3x3 back. `[N, C, H, W]` to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBlock(channels, channels // 2, kernel=1), ConvBlock(channels // 2, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Add the block's answer to what it was given."""
        return features + self.body(features)


class Backbone(nn.Module):  # type: ignore[misc]
    """`[N, 3, S, S]` to three feature maps with strides of 8, 16 and 32 pixels."""

    channels = (48, 80, 80)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvBlock(3, 16, stride=2), ConvBlock(16, 24, stride=2), Bottleneck(24))
        depths = (2, 2, 1)
        widths = (24, *self.channels)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvBlock(narrow, wide, stride=2), *(Bottleneck(wide) for _ in range(depth)))
            for (narrow, wide), depth in zip(pairwise(widths), depths, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps, finest first."""
        features = self.stem(images)
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps


class TopDownNeck(nn.Module):  # type: ignore[misc]
    """Feature pyramid (arXiv:1612.03144): coarse maps are upsampled and added to the finer ones."""

    def __init__(self, channels_in: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(ConvBlock(count, channels, kernel=1) for count in channels_in)
        self.merges = nn.ModuleList(ConvBlock(channels, channels) for _ in channels_in[:-1])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """The same number of maps, each with `channels` channels, finest first."""
        laterals = [lateral(features) for lateral, features in zip(self.laterals, maps, strict=True)]
        merged = [laterals[-1]]
        for lateral, merge in zip(reversed(laterals[:-1]), reversed(self.merges), strict=True):
            coarse = functional.interpolate(merged[0], scale_factor=2.0, mode="nearest")
            merged.insert(0, merge(lateral + coarse))
        return merged


class DenseHead(nn.Module):  # type: ignore[misc]
    """Four distances (left, top, right, bottom; in strides) and ten class logits at every cell of every map.

    The weights are shared by all strides (FCOS, arXiv:1904.01355); each stride has its own scale for distances.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.box_branch = nn.Sequential(ConvBlock(channels, channels), nn.Conv2d(channels, 4, 1))
        self.class_branch = nn.Sequential(ConvBlock(channels, channels), nn.Conv2d(channels, CLASS_COUNT, 1))
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(())) for _ in STRIDES_PX)
        nn.init.constant_(self.box_branch[-1].bias, 1.5)
        nn.init.constant_(self.class_branch[-1].bias, _PRIOR_LOGIT)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """`[N, 4 + 10, A]`: distances (>= 0) over logits, A cells, finest map first, row by row."""
        rows = []
        for features, scale in zip(maps, self.scales, strict=True):
            distances = functional.elu(self.box_branch(features) * scale) + 1
            rows.append(torch.cat((distances, self.class_branch(features)), dim=1).flatten(2))
        return torch.cat(rows, dim=2)


def anchor_grid(size_px: int) -> tuple[Tensor, Tensor]:
    """Centres of all cells `[2, A]` (x over y, pixels) and their strides `[1, A]` (pixels)."""
    centres, strides = [], []
    for stride in STRIDES_PX:
        steps = (torch.arange(size_px // stride, dtype=torch.float32) + 0.5) * stride
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        centres.append(torch.stack((x.flatten(), y.flatten())))
        strides.append(torch.full((1, x.numel()), float(stride)))
    return torch.cat(centres, dim=1), torch.cat(strides, dim=1)


class DigitDetector(nn.Module):  # type: ignore[misc]
    """Finds handwritten digits in square RGB images.

    `forward` takes `images`, `[N, 3, S, S]` float32, RGB, 0 to 1. In eval mode it gives `output0`,
    `[N, 4 + 10, A]`: centre x, centre y, width, height in input pixels, then ten class probabilities. For S = 320
    there are A = 2100 candidates. In training mode it gives distances and logits in the same shape, undecoded.
    """

    input_shape = (3, IMAGE_SIZE_PX, IMAGE_SIZE_PX)  # what `kit generate` exports it with

    anchors: Tensor
    anchor_strides: Tensor

    def __init__(self, size_px: int = IMAGE_SIZE_PX, channels: int = 48) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.neck = TopDownNeck(Backbone.channels, channels)
        self.head = DenseHead(channels)
        anchors, strides = anchor_grid(size_px)
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("anchor_strides", strides, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        raw: Tensor = self.head(self.neck(self.backbone(images)))
        return raw if self.training else self.decode(raw)

    def decode(self, raw: Tensor) -> Tensor:
        """Distances and logits to centres, sizes (pixels) and probabilities, `[N, 4 + 10, A]`."""
        near, far, logits = raw.split((2, 2, CLASS_COUNT), dim=1)
        centres = self.anchors + (far - near) * (0.5 * self.anchor_strides)
        sizes = (near + far) * self.anchor_strides
        return torch.cat((centres, sizes, logits.sigmoid()), dim=1)


def detector() -> nn.Module:
    """The trained detector in eval mode. Raises FileNotFoundError where the weights are missing."""
    from safetensors.torch import load_file

    network = DigitDetector()
    network.load_state_dict(load_file(WEIGHTS_PATH))
    return network.eval()
