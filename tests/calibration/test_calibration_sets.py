"""Pictures are fed as they are served: the very pixels of ``read_image``, a few at a time, in their order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scenery
from hypothesis import given
from hypothesis import strategies as st

from kit import calibration, inputs
from kit.calibration import CalibrationSet, Choice, Coverage, videos
from kit.errors import CalibrationError
from kit.precision.interface import Pictures
from kit.types import Certainty, DataType, Interpretation, Normalization, Picture, Signature, Tensor


def takes(*shape: int, dtype: DataType = DataType.UINT8) -> Signature:
    return Signature(inputs=(Tensor(name="images", dtype=dtype, shape=shape),), outputs=())


def native(normalization: Normalization | None, color: str = "rgb") -> Interpretation:
    return Interpretation(
        task="raw", head="raw", contract="native", class_count=None, normalization=normalization, color=color,
        thresholds=None, reason="", certainty=Certainty.CERTAIN,
    )  # fmt: skip


@pytest.fixture
def made(scenes: Path) -> CalibrationSet:
    return calibration.choose(scenes, 33)


@pytest.mark.parametrize("shape", [(-1, 96, 128, 3), (-1, 100, 64, 1), (-1, -1, -1, 3)])
def test_each_picture_is_letterboxed_as_served(made: CalibrationSet, shape: tuple[int, ...]) -> None:
    size = (320, 320) if -1 in shape[1:] else shape[1:3]
    fed = [feed["images"] for feed in made.feeds(takes(*shape), 8)]
    assert [len(pixels) for pixels in fed] == [8, 8, 8, 8, 1]
    for picture, pixels in zip(made.pictures, np.concatenate(fed), strict=True):
        assert np.array_equal(pixels, inputs.read_image(picture.path, size, shape[3]))


def test_frames_are_those_of_the_video_decoded_once_for_all_passes(clip: Path, cache: Path) -> None:
    made = calibration.choose(clip, 40)
    times = videos.timeline(clip)
    decoded = dict(videos.frames(clip, times, range(90)))
    for _ in range(2):
        fed = np.concatenate([feed["images"] for feed in made.feeds(takes(-1, 64, 64, 3), 16)])
        for picture, pixels in zip(made.pictures, fed, strict=True):
            assert picture.frame is not None
            assert np.array_equal(pixels, inputs.letterboxed(decoded[picture.frame].image(), (64, 64)))
    assert len(list(cache.rglob("*.png"))) == 40


def test_a_fixed_batch_is_filled_up_with_the_first_pictures(made: CalibrationSet) -> None:
    fed = [feed["images"] for feed in made.feeds(takes(5, 32, 32, 3), 1)]
    assert [len(pixels) for pixels in fed] == [5] * 7
    assert np.array_equal(fed[-1][3:], fed[0][:2])


def test_a_set_is_what_a_precision_asks_for(made: CalibrationSet) -> None:
    pictures: Pictures = made
    assert len(pictures) == 33
    assert len(list(pictures.feeds(takes(-1, 8, 8, 3)))) == 33


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_a_network_with_its_own_input_is_fed_what_the_contract_would_make(made: CalibrationSet, color: str) -> None:
    meaning = native(Normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)), color)
    own = takes(-1, 3, 40, 48, dtype=DataType.FP32)
    fed = next(made.feeds(own, 4, meaning))["images"]
    frames = next(made.feeds(takes(-1, 40, 48, 3), 4))["images"]
    channels = frames[..., ::-1] if color == "bgr" else frames
    expected = (channels / 255 - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.3, 0.4])
    assert (fed.dtype, fed.shape) == (np.float32, (4, 3, 40, 48))
    assert np.allclose(fed, expected.transpose(0, 3, 1, 2), atol=1e-5)


@pytest.mark.parametrize("meaning", [None, native(None)])
def test_a_network_whose_numbers_nobody_explained_is_refused(
    made: CalibrationSet, meaning: Interpretation | None
) -> None:
    said = (
        r"^the model takes images FP32\[-1, 3, 40, 48\], and nothing tells how pixels become these numbers; give "
        r"--contract served, or --mean and --std$"
    )
    with pytest.raises(CalibrationError, match=said):
        next(made.feeds(takes(-1, 3, 40, 48, dtype=DataType.FP32), 4, meaning))


def test_a_model_of_something_else_is_refused(made: CalibrationSet) -> None:
    with pytest.raises(
        CalibrationError, match=r"^the model takes images INT64\[-1, 77\], and not one picture, so that"
    ):
        next(made.feeds(takes(-1, 77, dtype=DataType.INT64), 4, native(None)))


@pytest.mark.parametrize("what", ["changed", "gone", "broken"])
def test_a_picture_that_is_another_by_now_is_told(tmp_path: Path, what: str) -> None:
    made = calibration.choose(scenery.folder(tmp_path, 40), 40)
    victim = made.pictures[3].path
    if what == "changed":
        scenery.scene(999).save(victim)
    elif what == "gone":
        victim.unlink()
    else:
        victim.write_bytes(b"")
    said = "cannot be read any more: " if what == "gone" else "has changed since it was chosen for calibration; choose"
    with pytest.raises(CalibrationError, match=f"{victim.name} {said}"):
        list(made.feeds(takes(-1, 32, 32, 3)))


def test_a_video_that_is_another_by_now_is_told(tmp_path: Path) -> None:
    pictures = [scenery.scene(number) for number in range(60)]
    path = scenery.video(tmp_path / "clip.mp4", pictures)
    made = calibration.choose(path, 40)
    scenery.video(path, pictures[::-1])
    with pytest.raises(CalibrationError, match=r"clip\.mp4 has changed since its frames were chosen for calibration"):
        next(made.feeds(takes(-1, 32, 32, 3)))


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path: Path, cache: Path) -> None:
    """All of them at 640 x 640 would be 180 MB; see benchmarks/calibration_memory.py for a thousand."""
    source = tmp_path / "many"
    source.mkdir()
    for number in range(150):
        scenery.scene(number).resize((640, 640)).save(source / f"{number}.jpg", quality=80)
    program = """if True:
        import resource, sys
        from pathlib import Path
        import av, numpy, PIL.Image
        from kit import calibration
        from kit.types import DataType, Signature, Tensor
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        made = calibration.choose(Path(sys.argv[1]), 150)
        frame = Tensor(name="images", dtype=DataType.UINT8, shape=(-1, 640, 640, 3))
        fed = sum(len(feed["images"]) for feed in made.feeds(Signature(inputs=(frame,), outputs=()), 8))
        print(fed, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    done = subprocess.run([sys.executable, "-c", program, str(source)], capture_output=True, text=True, check=True)
    fed, mib = map(int, done.stdout.split())
    assert fed == 150
    assert mib < 100


NOTHING_SEEN = Coverage(
    found=0, copies=0, unread=0, plain=0, leaking=0, candidates=0, different=0, kinds=0, kinds_chosen=0, variety=0,
    variety_first=0, variety_spread=0, brightness=(), brightness_chosen=(),
)  # fmt: skip


def of_kinds(kinds: list[int], ranks: list[int]) -> CalibrationSet:
    choices = tuple(
        Choice(picture=Picture(path=Path(str(at)), digest=str(at)), rank=rank, kind=kind, brightness=0.5, print="")
        for at, (kind, rank) in enumerate(zip(kinds, ranks, strict=True))
    )
    return CalibrationSet(choices=choices, coverage=NOTHING_SEEN)


@given(data=st.data(), kinds=st.lists(st.integers(0, 12), min_size=1, max_size=80))
def test_no_kind_is_held_out_as_a_whole(data: st.DataObject, kinds: list[int]) -> None:
    whole = of_kinds(kinds, data.draw(st.permutations(range(len(kinds)))))
    seen, held = whole.divided()
    out = () if held is None else held.choices
    assert {choice.kind for choice in seen.choices} == set(kinds)
    assert {*seen.choices, *out} == set(whole.choices)
    assert len(seen) + len(out) == len(whole)
    assert len(out) <= -(-len(whole) // 5)
    assert bool(out) == (len(set(kinds)) < len(kinds))


def test_where_all_kinds_are_common_each_fifth_is_held_out() -> None:
    whole = of_kinds([0, 1] * 20, list(range(40)))
    _, held = whole.divided()
    assert held is not None
    assert held.choices == whole.choices[::5]


def test_a_rare_kinds_only_picture_stays() -> None:
    whole = of_kinds([7, 0, 0, 0, 0, 8, 9, 0, 0, 0], list(range(10)))
    seen, held = whole.divided()
    assert held is not None
    assert {7, 8, 9} < {choice.kind for choice in seen.choices}
    assert held.choices == (whole.choices[1], whole.choices[7])
