"""JPEG as the data sets hold it: RGB arrays in, bytes out, and back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

QUALITY = 82


def encode(image: NDArray[np.uint8]) -> bytes:
    """`[H, W, 3]` uint8, RGB, to a JPEG file."""
    done, payload = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"OpenCV cannot encode an image of shape {image.shape} as JPEG; give [H, W, 3] uint8")
    return bytes(payload.tobytes())


def decode(payload: bytes) -> NDArray[np.uint8]:
    """A JPEG file to `[H, W, 3]` uint8, RGB. Raises ValueError where it is not a JPEG."""
    image = cv2.imdecode(np.frombuffer(payload, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{len(payload)} bytes that are not an image; give the content of a JPEG file")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
