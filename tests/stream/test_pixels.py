import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import inputs
from kit.stream.pixels import Packer, PixelLayout
from kit.types import DataType, Interpretation, Normalization, Signature, Tensor

IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def layout(**changes: object) -> PixelLayout:
    common = {
        "name": "x", "dtype": DataType.FP32, "height": 6, "width": 9, "channels": 3, "channels_first": True,
        "batched": True, "normalization": Normalization(),
    }  # fmt: skip
    return PixelLayout(**{**common, **changes})  # type: ignore[arg-type]


def packed(image: np.ndarray, chosen: PixelLayout) -> np.ndarray:
    buffer = bytearray(chosen.byte_size)
    Packer(layout=chosen).sheet(buffer).write(image)
    return np.frombuffer(buffer, chosen.dtype.numpy_name).reshape(chosen.shape)


@given(
    st.sampled_from([DataType.FP32, DataType.FP16]),
    st.booleans(),
    st.sampled_from(["rgb", "bgr"]),
    st.sampled_from([Normalization(), IMAGENET, Normalization(scale=1)]),
    st.integers(0, 100),
)
@settings(deadline=None, max_examples=50)
def test_pixels_become_what_the_kit_itself_puts_in_front_of_a_network(
    dtype: DataType, first: bool, color: str, normal: Normalization, seed: int
) -> None:
    chosen = layout(dtype=dtype, channels_first=first, color=color, normalization=normal)
    image = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    native = Signature(inputs=(Tensor(name="x", dtype=dtype, shape=chosen.shape),), outputs=())
    meaning = Interpretation(
        task="detect", head="", contract="served", class_count=1, normalization=normal, color=color, thresholds=None,
        reason="",
    )  # fmt: skip
    expected = inputs.to_native({"x": image[np.newaxis]}, native, meaning)["x"]
    assert np.array_equal(packed(image, chosen), expected)


def test_a_camera_frame_is_written_as_it_is() -> None:
    chosen = layout(dtype=DataType.UINT8, channels_first=False, normalization=None)
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    assert chosen.direct
    assert np.array_equal(packed(image, chosen)[0], image)


@pytest.mark.parametrize("change", [{"color": "bgr"}, {"channels_first": True}, {"channels": 1}])
def test_bytes_in_another_order_are_not_sent_as_they_are(change: dict[str, object]) -> None:
    chosen = layout(**{"dtype": DataType.UINT8, "channels_first": False, "normalization": None, **change})
    assert not chosen.direct
    image = np.arange(6 * 9 * 3, dtype=np.uint8).reshape(6, 9, 3)
    made = packed(image, chosen)
    if chosen.color == "bgr":
        assert np.array_equal(made[0], image[..., ::-1])
    elif chosen.channels_first:
        assert np.array_equal(made[0], image.transpose(2, 0, 1))
    else:
        import cv2

        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        assert np.abs(made[0, :, :, 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize(("dtype", "size"), [(DataType.UINT8, 1), (DataType.FP16, 2), (DataType.FP32, 4)])
def test_the_size_in_bytes(dtype: DataType, size: int) -> None:
    assert layout(dtype=dtype).byte_size == 6 * 9 * 3 * size
    assert layout(dtype=dtype, batched=False).shape == (3, 6, 9)
