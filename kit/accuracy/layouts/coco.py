"""COCO: a JSON file of pictures, categories and annotations, and the pictures beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from kit.accuracy.layouts import _names, _objects, _pictures
from kit.accuracy.layouts._objects import Box
from kit.accuracy.layouts.interface import Marked
from kit.accuracy.types import Classes, Outline
from kit.errors import ValidationSetError


class _Image(msgspec.Struct):
    id: int
    file_name: str
    width: int = 0
    height: int = 0


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0
    area: float | None = None
    segmentation: Any = None
    keypoints: list[float] | None = None


class _Category(msgspec.Struct):
    id: int
    name: str


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class Coco:
    """https://cocodataset.org/#format-data, also as Roboflow, CVAT and Label Studio write it."""

    name = "coco"
    rank = 10
    tasks = frozenset({"detect", "instances", "pose"})

    def reads(self, place: Path) -> bool:
        """Tell whether it is a JSON file, or a folder with one that has pictures and annotations."""
        return place.suffix.lower() == ".json" or bool(_candidates(place))

    def expects(self) -> str:
        """The file, or where it lies."""
        return "a COCO file (annotations.json, with the pictures beside it or in images/)"

    def read(self, place: Path, classes: Classes) -> Marked:
        """Return the pictures that are there, in the order of their numbers. Raises ``ValidationSetError``."""
        path = _choose(place, classes.task)
        content = _parse(path)
        indices, names = _mapping(path, content, classes)
        listed = sorted(content.images, key=lambda image: image.id)
        root = _root(path, listed)
        there = [image for image in listed if (root / image.file_name).is_file()]
        files = tuple(root / image.file_name for image in there)
        sizes = _pictures.sizes(files)
        _require_sizes(path, there, sizes)
        marks = _objects.Marks(place=path)
        marked = _by_image(path, content, indices, classes)
        truth = tuple(marks.picture(i.file_name, s, marked[i.id]) for i, s in zip(there, sizes, strict=True))
        return Marked(
            files=files, sizes=sizes, truth=truth, names=names, sources=(path,),
            notes=(*_absent(path, listed, there), *marks.notes()),
        )  # fmt: skip


def _candidates(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    found = [*sorted(place.glob("*.json")), *sorted((place / "annotations").glob("*.json"))]
    return [path for path in found if _looks_like_coco(path)]


def _looks_like_coco(path: Path) -> bool:
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    except (OSError, msgspec.MsgspecError):
        return path.name in ("annotations.json", "_annotations.coco.json")  # its fault is told when it is read
    return {"images", "annotations", "categories"} <= content.keys()


def _choose(place: Path, task: str) -> Path:
    """Return the file; of COCO's own folder of several the one for the task. Raises ``ValidationSetError``."""
    if not place.is_dir():
        return place
    found = _candidates(place)
    wanted = "person_keypoints" if task == "pose" else "instances"
    for narrowed in (
        [path for path in found if path.name.startswith(wanted)],
        [path for path in found if path.name.startswith(wanted) and "val" in path.name],
    ):
        found = narrowed if narrowed and len(found) > 1 else found
    if len(found) > 1:
        names = _pictures.some([path.name for path in found])
        raise ValidationSetError(f"{place} has {len(found)} COCO files ({names}); give the one to validate on")
    return found[0]


def _parse(path: Path) -> _File:
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_File, strict=False)
    except OSError as error:
        raise ValidationSetError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValidationSetError(f"{path} is no COCO file: {error}") from error
    if not content.images:
        raise ValidationSetError(f"{path} lists no pictures")
    if not content.annotations:
        raise ValidationSetError(f"{path} has no annotations: give the pictures' folder alone to measure agreement")
    return content


def _mapping(path: Path, content: _File, classes: Classes) -> tuple[dict[int, int], tuple[str, ...]]:
    """Return the model's class of each category, by name where the model's are known, else by order."""
    used = {annotation.category_id for annotation in content.annotations}
    categories = sorted(content.categories, key=lambda category: category.id)
    if unknown := sorted(used - {category.id for category in categories}):
        raise ValidationSetError(f"{path}: annotations have category {unknown[0]}, which is not among its categories")
    if classes.names:
        names = [category.name for category in categories]
        found = _names.by_name(path, names, classes, lambda position: categories[position].id in used)
        return {category.id: index for category, index in zip(categories, found, strict=True)}, ()
    return _by_order(path, categories, classes)


def _by_order(path: Path, categories: Sequence[_Category], classes: Classes) -> tuple[dict[int, int], tuple[str, ...]]:
    ids, count = [category.id for category in categories], classes.count
    if len(ids) == count or (count is None and ids == list(range(len(ids)))):
        return {identity: index for index, identity in enumerate(ids)}, tuple(c.name for c in categories)
    if count is not None and min(ids) >= 0 and max(ids) < count:  # COCO's own numbers, as torchvision's models give
        names = [""] * count
        for category in categories:
            names[category.id] = category.name
        return {identity: identity for identity in ids}, tuple(names)
    has = "does not tell how many classes it has" if count is None else f"has {count} classes"
    raise ValidationSetError(
        f"{path} has {len(ids)} categories with numbers {ids[0]} to {ids[-1]}, the model {has}; give its class names "
        "with --labels"
    )


def _root(path: Path, listed: Sequence[_Image]) -> Path:
    """Return the folder that the file names are relative to. Raises ``ValidationSetError`` where none has them."""
    split = path.stem.rpartition("_")[2]  # instances_val2017.json
    above = path.parent.parent
    roots = (path.parent, path.parent / "images", above / split, above / "images" / split, above / "images", above)
    for root in roots:
        if any((root / image.file_name).is_file() for image in listed):
            return root
    raise ValidationSetError(
        f"none of the {len(listed)} pictures that {path} lists is there (first: {listed[0].file_name}); looked in "
        f"{path.parent}, {path.parent / 'images'} and {above / split}"
    )


def _require_sizes(path: Path, listed: Sequence[_Image], sizes: Sequence[tuple[int, int]]) -> None:
    for image, (height, width) in zip(listed, sizes, strict=True):
        if image.width and image.height and (image.height, image.width) != (height, width):
            raise ValidationSetError(
                f"{path}: {image.file_name} is listed with {image.width}x{image.height} pixels and has "
                f"{width}x{height}; the boxes would not fit: was it scaled or turned after it was labelled?"
            )


def _absent(path: Path, listed: Sequence[_Image], there: Sequence[_Image]) -> tuple[str, ...]:
    known = {image.id for image in there}
    missing = [image.file_name for image in listed if image.id not in known]
    if not missing:
        return ()
    gone = f"{len(missing)} of {len(listed)} pictures that {path.name} lists are not there"
    return (f"{gone} ({_pictures.some(missing, 1)}); measured on the other {len(there)}",)


def _by_image(path: Path, content: _File, indices: dict[int, int], classes: Classes) -> defaultdict[int, list[Box]]:
    found: defaultdict[int, list[Box]] = defaultdict(list)
    points = classes.keypoints[0] if classes.keypoints else None
    for number, annotation in enumerate(content.annotations):
        x, y, width, height = annotation.bbox
        keypoints = annotation.keypoints if classes.task == "pose" else None
        if keypoints is not None and points is not None and len(keypoints) != 3 * points:
            raise ValidationSetError(
                f"{path}: annotation {number} has {len(keypoints) // 3} keypoints, the model gives {points}"
            )
        found[annotation.image_id].append(
            Box(
                corners=(x, y, x + width, y + height), index=indices[annotation.category_id],
                crowd=bool(annotation.iscrowd), area=annotation.area, keypoints=keypoints,
                outline=_outline(annotation.segmentation) if classes.task == "instances" else None,
            )
        )  # fmt: skip
    return found


def _outline(segmentation: Any) -> Outline | None:
    """Return polygons or run lengths; None where there are none."""
    if isinstance(segmentation, dict) and segmentation.get("counts"):
        counts = segmentation["counts"]
        return Outline(counts=counts if isinstance(counts, str) else tuple(int(count) for count in counts))
    if isinstance(segmentation, list):
        polygons = tuple(tuple(float(n) for n in p) for p in segmentation if isinstance(p, list) and len(p) >= 6)
        return Outline(polygons=polygons) if polygons else None
    return None


MEMBER = Coco()
