"""Pictures for tests: smooth fields of light with things in them, as cameras see them, each from its number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def scene(seed: int, size: tuple[int, int] = (160, 120), *, light: float = 1.0) -> Image.Image:
    """Return a picture of ``size`` (width, height), RGB."""
    rng = np.random.default_rng(seed)
    ground = Image.fromarray(rng.integers(30, 226, (5, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(ground).astype(np.float32)
    for _ in range(int(rng.integers(2, 6))):
        width, height = rng.integers(size[0] // 8, size[0] // 3), rng.integers(size[1] // 8, size[1] // 3)
        left, top = rng.integers(size[0] - width), rng.integers(size[1] - height)
        pixels[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    pixels += rng.normal(0, 2, pixels.shape)
    return Image.fromarray(np.clip(pixels * light, 0, 255).astype(np.uint8))


def folder(path: Path, count: int, *, first: int = 0, suffix: str = ".jpg") -> Path:
    """Write scenes ``first``, ``first + 1`` and so on into a folder; return it."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        scene(number).save(path / f"{number:04d}{suffix}")
    return path


def plain(path: Path, count: int, shade: int = 0) -> None:
    """Write pictures of one colour, each another file."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (64 + number, 64), (shade,) * 3).save(path / f"plain{shade}-{number:04d}.png")


def noise(path: Path, count: int) -> None:
    """Write random bytes as pictures."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (96, 96, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"noise{number:04d}.png")


def video(path: Path, pictures: list[Image.Image], *, codec: str = "libx264", gop: int = 12) -> Path:
    """Write pictures of equal size as a video of 25 frames per second, with frames that refer to later ones."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = gop
        stream.bit_rate = 2_000_000
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_image(picture)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
