"""Pictures, and in a folder beside them a PNG of class indices for each, of the same name."""

from __future__ import annotations

from pathlib import Path

from kit import inputs
from kit.accuracy.layouts import _pictures
from kit.accuracy.layouts.interface import Marked
from kit.accuracy.types import Classes
from kit.errors import InputsError, ValidationSetError

_PICTURES = ("images", "JPEGImages", "img", "imgs")
_MASKS = ("masks", "labels", "annotations", "SegmentationClass", "ann", "mask")


class Masks:
    """A pixel's number is its class; 255 is not marked. As Pascal VOC, ADE20K and MMSegmentation have it."""

    name = "masks"
    rank = 30
    tasks = frozenset({"segment"})

    def reads(self, place: Path) -> bool:
        """Tell whether there are a folder of pictures and one of masks."""
        return place.is_dir() and _places(place) is not None

    def expects(self) -> str:
        """The folder above both."""
        return "a folder with images/ and masks/ (PNG of class indices, 255 for not marked)"

    def read(self, place: Path, classes: Classes) -> Marked:  # noqa: ARG002 (pixels are checked when they are counted)
        """Return the pictures that have a mask. Raises ``ValidationSetError``."""
        found = _places(place)
        assert found is not None
        pictures, masks = found
        by_name = {path.relative_to(masks).with_suffix(""): path for path in sorted(masks.rglob("*.png"))}
        every = inputs.images_in(pictures)
        files = tuple(path for path in every if path.relative_to(pictures).with_suffix("") in by_name)
        if not files:
            raise ValidationSetError(
                f"none of the {len(every)} pictures in {pictures} has a mask of its name in {masks} (first: "
                f"{every[0].stem}.png)"
            )
        without = len(every) - len(files)
        notes = (f"{without} of {len(every)} pictures have no mask and are left out",) if without else ()
        truth = tuple(by_name[path.relative_to(pictures).with_suffix("")] for path in files)
        sizes = _pictures.sizes(files)
        _require_sizes(files, sizes, truth)
        return Marked(files=files, sizes=sizes, truth=truth, sources=truth, notes=notes)


def _places(place: Path) -> tuple[Path, Path] | None:
    pictures = next((place / name for name in _PICTURES if _holds_pictures(place / name)), None)
    masks = next((place / name for name in _MASKS if any((place / name).rglob("*.png"))), None)
    return None if pictures is None or masks is None else (pictures, masks)


def _holds_pictures(folder: Path) -> bool:
    try:
        return bool(inputs.images_in(folder))
    except InputsError:
        return False


def _require_sizes(files: tuple[Path, ...], sizes: tuple[tuple[int, int], ...], masks: tuple[Path, ...]) -> None:
    for path, size, mask, own in zip(files, sizes, masks, _pictures.sizes(masks), strict=True):
        if size != own:
            raise ValidationSetError(
                f"{mask} has {own[1]}x{own[0]} pixels, its picture {path.name} {size[1]}x{size[0]}; they must be equal"
            )


MEMBER = Masks()
