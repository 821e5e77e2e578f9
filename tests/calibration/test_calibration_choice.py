"""What is chosen from a source, what is left out, what is refused, and with which words."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import scenery
import skimage.data
from PIL import Image

from kit import calibration
from kit.cache import Cache
from kit.calibration import CalibrationSet, survey
from kit.errors import CalibrationError


def names(made: CalibrationSet) -> list[str]:
    return [p.path.name for p in made.pictures]


def refused(source: Path, *, match: str, count: int = 500, apart_from: Path | None = None) -> None:
    apart = () if apart_from is None else calibration.pictures(apart_from)
    with pytest.raises(CalibrationError, match=match) as caught:
        calibration.choose(source, count, apart)
    assert "\n" not in str(caught.value)


def warned(made: CalibrationSet, line: str) -> bool:
    return any(warning.startswith(line) for warning in made.warnings)


class TestTheChoice:
    def test_has_as_many_as_were_asked_for_in_the_order_of_their_files(self, scenes: Path) -> None:
        made = calibration.choose(scenes, 40)
        assert len(made) == len(set(made.pictures)) == 40
        assert names(made) == sorted(names(made))
        assert sorted(choice.rank for choice in made.choices) == list(range(40))
        for picture in made.pictures:
            assert picture.digest == hashlib.sha256(picture.path.read_bytes()).hexdigest()

    def test_is_the_same_each_time_in_another_process_and_from_the_cache(self, scenes: Path, cache: Path) -> None:
        first, again = (calibration.choose(scenes, 40) for _ in range(2))
        program = (
            "import sys; from pathlib import Path; from kit import calibration;"
            "print(calibration.choose(Path(sys.argv[1]), 40).digest)"
        )
        environment = {**os.environ, "KIT_CACHE_DIR": str(cache / "other"), "PYTHONHASHSEED": "7"}
        told = subprocess.run(
            [sys.executable, "-c", program, str(scenes)], env=environment, capture_output=True, text=True, check=True
        )
        assert first == again
        assert told.stdout.strip() == first.digest

    def test_is_known_before_anything_is_decoded_the_second_time(self, scenes: Path) -> None:
        looked: list[tuple[int, int]] = []
        calibration.choose(scenes, 40, tell=lambda *far: looked.append(far))
        assert looked == sorted(looked)
        assert looked[-1] == (60, 60)
        calibration.choose(scenes, 40, tell=lambda *_: looked.append((-1, 0)))
        assert looked[-1] == (60, 60)

    def test_of_fewer_than_asked_for_is_all_of_them(self, scenes: Path) -> None:
        made = calibration.choose(scenes)
        assert len(made) == 60
        assert made.coverage.variety == 1
        assert warned(made, "60 pictures: fewer than 300 leave ranges to chance; 500 to 1000 are recommended")

    def test_shows_more_than_the_first_ones(self, tmp_path: Path) -> None:
        """200 frames of a scene in which little changes, then 20 of others: a long tail."""
        for number in range(200):
            scenery.scene(number % 4).rotate(number / 20).save(tmp_path / f"a{number:04d}.png")
        scenery.folder(tmp_path / "rare", 20, first=300)
        made = calibration.choose(tmp_path, 40)
        rare = [name for name in names(made) if not name.startswith("a")]
        assert 12 <= len(rare) <= 20
        assert made.coverage.variety > made.coverage.variety_spread > made.coverage.variety_first
        assert made.coverage.kinds_chosen == made.coverage.kinds

    def test_counts_brightness_before_and_after(self, scenes: Path) -> None:
        seen = calibration.choose(scenes, 40).coverage
        assert (sum(seen.brightness), sum(seen.brightness_chosen)) == (60, 40)
        assert all(after <= before for before, after in zip(seen.brightness, seen.brightness_chosen, strict=True))

    def test_of_videos_and_images_together(self, scenes: Path, clip: Path, tmp_path: Path) -> None:
        shutil.copytree(scenes, tmp_path / "scenes")
        shutil.copy(clip, tmp_path / "clip.mp4")
        made = calibration.choose(tmp_path, 100)
        frames = [p for p in made.pictures if p.frame is not None]
        assert made.coverage.found == 150
        assert {p.path.name for p in frames} == {"clip.mp4"}
        # Of the ten equal frames at its end hardly any is new.
        assert 30 < len({(p.frame or 0) // 2 for p in frames}) <= 45


class TestFirst:
    def test_covers_with_what_was_chosen_first(self, scenes: Path) -> None:
        made = calibration.choose(scenes, 50)
        fewer = made.first(33)
        assert len(fewer) == 33
        assert fewer.digest != made.digest
        assert fewer.pictures == calibration.choose(scenes, 33).pictures
        assert made.first(50) == made.first(99) == made


class TestWhatIsLeftOut:
    def test_copies_of_others(self, scenes: Path, tmp_path: Path) -> None:
        shutil.copytree(scenes, tmp_path / "a")
        shutil.copytree(scenes, tmp_path / "b")
        made = calibration.choose(tmp_path)
        assert (len(made), made.coverage.copies) == (60, 60)

    def test_the_validation_set_byte_for_byte(self, scenes: Path, tmp_path: Path) -> None:
        shutil.copytree(scenes, tmp_path, dirs_exist_ok=True)
        scenery.folder(tmp_path, 40, first=100)
        made = calibration.choose(tmp_path, apart_from=calibration.pictures(scenes))
        assert names(made) == [f"{number:04d}.jpg" for number in range(100, 140)]
        assert warned(made, "left out 60 pictures of the validation set, or copies of it (first: 0000.jpg)")

    def test_the_validation_set_mirrored_scaled_and_stored_again(self, scenes: Path, tmp_path: Path) -> None:
        scenery.folder(tmp_path, 40, first=100)
        for path in sorted(scenes.iterdir()):
            with Image.open(path) as picture:
                changed = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((111, 90))
            changed.save(tmp_path / f"copy-{path.stem}.png")
        made = calibration.choose(tmp_path, apart_from=calibration.pictures(scenes))
        assert names(made) == [f"{number:04d}.jpg" for number in range(100, 140)]

    def test_frames_of_a_video_that_was_taken_apart_for_validation(self, clip: Path, tmp_path: Path) -> None:
        from kit.calibration import videos

        wanted = range(0, 16, 2)
        for number, frame in videos.frames(clip, videos.timeline(clip), wanted):
            frame.image().save(tmp_path / f"{number}.jpg")
        made = calibration.choose(clip, apart_from=calibration.pictures(tmp_path))
        assert made.coverage.leaking == 16  # each scene is there for two frames
        assert min(p.frame or 0 for p in made.pictures) == 16

    def test_a_few_that_cannot_be_read_each_with_its_reason(self, scenes: Path, tmp_path: Path) -> None:
        shutil.copytree(scenes, tmp_path, dirs_exist_ok=True)
        (tmp_path / "aaa.jpg").write_bytes((scenes / "0000.jpg").read_bytes()[:900])
        (tmp_path / "empty.png").write_bytes(b"")
        (tmp_path / "text.png").write_text("not an image")
        made = calibration.choose(tmp_path)
        assert (len(made), made.coverage.unread) == (60, 3)
        assert warned(made, "left out 3 pictures that cannot be read (first: aaa.jpg: image file is truncated")

    def test_a_few_of_one_colour(self, scenes: Path, tmp_path: Path) -> None:
        shutil.copytree(scenes, tmp_path, dirs_exist_ok=True)
        scenery.plain(tmp_path, 5)
        made = calibration.choose(tmp_path)
        assert (len(made), made.coverage.plain) == (60, 5)
        assert warned(made, "left out 5 pictures of one colour (first: plain0-0000.png)")

    def test_a_picture_that_claims_a_size_no_memory_holds(self, scenes: Path, tmp_path: Path) -> None:
        shutil.copytree(scenes, tmp_path, dirs_exist_ok=True)
        for name, side in (("large.png", 9000), ("larger.png", 30_000)):
            (tmp_path / name).write_bytes(claiming(side))
        made = calibration.choose(tmp_path)
        lines = [u.reason for u in survey.look(calibration.pictures(tmp_path), Cache(), survey.silent)[2]]
        assert len(made) == 60
        assert lines == [
            "it has 9000 x 9000 pixels, more than 64 million",
            "it has 900000000 pixels, more than 64 million",
        ]

    def test_no_more_than_are_looked_at(self, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(survey, "MOST_CANDIDATES", 40)  # 20,000 pictures would take a minute
        made = calibration.choose(scenes)
        assert names(made)[:4] == ["0000.jpg", "0001.jpg", "0003.jpg", "0004.jpg"]
        assert (made.coverage.found, made.coverage.candidates) == (60, 40)
        assert warned(made, "looked at 40 of 60 pictures, evenly spread")


class TestRefused:
    def test_asking_for_too_few(self, scenes: Path) -> None:
        refused(scenes, count=31, match="^31 pictures are too few to calibrate on; 32 are the least, 500 are usual$")

    def test_having_too_few(self, tmp_path: Path) -> None:
        scenery.folder(tmp_path, 31)
        refused(
            tmp_path, match="leaves 31 pictures to calibrate on; 32 are the least, 500 to 1000 are recommended: add"
        )

    def test_having_too_few_that_are_different(self, tmp_path: Path) -> None:
        for number in range(80):
            scenery.scene(number % 3).resize((160 + number, 120 + number)).save(tmp_path / f"{number}.png")
        refused(tmp_path, match="the 80 pictures of .* show the same few scenes: 3 differ by more than light, scale or")

    def test_nothing_but_the_validation_set(self, scenes: Path) -> None:
        refused(scenes, apart_from=scenes, match=r"leaves 0 pictures .* of 60 \(60 in the validation set too\); 32 are")

    def test_mostly_what_cannot_be_read(self, scenes: Path, tmp_path: Path) -> None:
        shutil.copytree(scenes, tmp_path, dirs_exist_ok=True)
        for number in range(7):
            (tmp_path / f"broken{number}.jpg").write_bytes(b"broken%d" % number)
        refused(tmp_path, match=r"7 of 67 pictures of .* cannot be read \(first: broken0\.jpg: it is no image\); mend")

    def test_nothing_that_can_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "broken.mp4").write_bytes(b"broken")
        refused(tmp_path, match=r"not one of the 1 files of .* can be read \(first: broken\.mp4: Invalid data found")

    @pytest.mark.parametrize(("shade", "said"), [(0, "black"), (255, "white"), (120, "one colour")])
    def test_mostly_one_colour(self, tmp_path: Path, shade: int, said: str) -> None:
        scenery.folder(tmp_path, 20)
        scenery.plain(tmp_path, 40, shade)
        refused(tmp_path, match=rf"40 of 60 pictures of .* are of one colour \(first: plain{shade}-0000\.png, {said}\)")

    def test_random_noise(self, tmp_path: Path) -> None:
        scenery.noise(tmp_path, 40)
        refused(
            tmp_path, match=r"40 of 40 pictures of .* are random noise \(first: noise0000\.png\); calibrate on what"
        )

    def test_textures_are_no_noise(self, tmp_path: Path) -> None:
        """Whoever sorts gravel calibrates on gravel."""
        for name in ("brick", "gravel", "grass"):
            whole = Image.fromarray(getattr(skimage.data, name)())
            for number in range(12):
                left, top = 17 * number, 200 - 16 * number
                whole.crop((left, top, left + 300, top + 300)).save(tmp_path / f"{name}{number}.jpg")
        assert len(calibration.choose(tmp_path)) == 36


class TestInterrupted:
    def test_goes_on_where_it_was(self, tmp_path: Path, cache: Path) -> None:
        source = scenery.folder(tmp_path, 150)

        def kept() -> dict[Path, int]:
            return {p: p.stat().st_ino for p in cache.rglob("looks.npz") if "making-" not in str(p)}

        def interrupt(done: int, total: int) -> None:
            assert total == 150
            if kept():
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            calibration.choose(source, 40, tell=interrupt)
        before = kept()
        assert before
        assert not list(cache.rglob("making-*"))
        calibration.choose(source, 40)
        assert len(kept()) == 3
        assert before.items() <= kept().items()


def claiming(side: int) -> bytes:
    """Return a PNG of a few bytes that says it has ``side`` x ``side`` pixels."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    whole = bytearray(file.getvalue())
    whole[16:24] = side.to_bytes(4, "big") * 2
    import zlib

    whole[29:33] = zlib.crc32(whole[12:29]).to_bytes(4, "big")
    return bytes(whole)
