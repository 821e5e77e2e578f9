"""Chooses the pictures for calibration: what is no picture of anything is left out, the rest is covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.cache import Cache, Key
from kit.calibration import listing, manifest, survey
from kit.calibration.sets import CalibrationSet, Choice, Coverage
from kit.calibration.survey import Candidate, Candidates, Tell, Unread
from kit.errors import CalibrationError
from kit.types import Picture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from kit.calibration.features import Looks

LEAST = 32
ENOUGH = 300
USUAL = 500
MOST = 1000
"""Fewer than 32 refuse, fewer than 300 warn; 500 to 1000 are what NVIDIA and Hailo ask for. docs/adr/0013."""

_MOST_UNREAD = 0.1
_PLAIN_DEVIATION, _PLAIN_RANGE = 2.5 / 255, 12 / 255
_NOISE, _LOOKED_AT_CLOSELY = 0.2, 8
_STEPS = 16
_TOOLS = ("numpy", "pillow", "av")


@dataclass(frozen=True, kw_only=True)
class _Usable:
    """What is left to choose from, and why the others are not."""

    pictures: tuple[Candidate, ...]
    looks: Looks
    unread: tuple[Unread, ...]
    plain: tuple[Candidate, ...]
    leaking: tuple[Candidate, ...]


def choose(
    source: Path,
    count: int = USUAL,
    apart_from: Sequence[Picture] = (),
    *,
    cache: Cache | None = None,
    tell: Tell = survey.silent,
) -> CalibrationSet:
    """Return up to ``count`` pictures of ``source`` that cover it; none of ``apart_from``, and no copies of those.

    ``source`` is a folder of images and videos, a COCO set, a video, or a manifest, whose pictures are taken as they
    stand there. The same files give the same choice; it is kept in ``cache``. ``tell`` hears how far it is.

    Raises ``CalibrationError``; ``MissingExtraError`` for videos without PyAV; ``DiskFullError`` and
    ``NotWritableError`` where the cache cannot be written.
    """
    if count < LEAST:
        raise CalibrationError(
            f"{count} pictures are too few to calibrate on; {LEAST} are the least, {USUAL} are usual"
        )
    cache = cache or Cache()
    found = listing.of(source)
    if found.manifest is not None:
        return _reused(found.manifest, tuple(apart_from), cache, tell)
    given = survey.candidates(found)
    survey.require_any(found, given)
    key = Key(
        stage="calibration",
        inputs=(*(c.picture.digest for c in given.pictures), *(p.digest for p in apart_from)),
        parameters=(source, count, found, len(given.pictures), given.unread),
        tools=_TOOLS,
    )
    kept = cache.find(key, CalibrationSet)
    if kept is not None:
        return kept
    return cache.make(key, CalibrationSet, lambda _: _chosen(source, given, count, tuple(apart_from), cache, tell))


def _chosen(
    source: Path, given: Candidates, count: int, apart_from: tuple[Picture, ...], cache: Cache, tell: Tell
) -> CalibrationSet:
    import numpy as np

    from kit.calibration import coverage, likeness

    usable = _usable(source, given, apart_from, cache, tell)
    moments = np.array([c.moment for c in usable.pictures], np.float32)
    places = coverage.points(usable.looks, moments)
    kinds = coverage.kinds(places)
    order = coverage.order(places, kinds, usable.looks.measures, count)
    chosen = usable.looks.part(order)
    brightness = usable.looks.named().brightness
    reading = np.argsort(order)  # candidates stand in the order of their files
    firsts, spread = np.arange(len(order)), np.arange(len(order)) * len(places) // len(order)
    made = CalibrationSet(
        choices=tuple(_choice(usable, kinds.of, order, int(rank)) for rank in reading),
        coverage=Coverage(
            found=given.found,
            copies=given.copies,
            unread=len(usable.unread),
            plain=len(usable.plain),
            leaking=len(usable.leaking),
            candidates=len(places),
            different=likeness.different(chosen),
            kinds=kinds.count,
            kinds_chosen=len(np.unique(kinds.of[order])),
            variety=round(coverage.variety(places, kinds, order), 4),
            variety_first=round(coverage.variety(places, kinds, firsts), 4),
            variety_spread=round(coverage.variety(places, kinds, spread), 4),
            brightness=_steps(brightness),
            brightness_chosen=_steps(brightness[order]),
        ),
        warnings=_warnings(given, usable),
    )
    return _judged(source, made)


def _choice(usable: _Usable, kinds: npt.NDArray[np.intp], order: npt.NDArray[np.intp], rank: int) -> Choice:
    row = int(order[rank])
    return Choice(
        picture=usable.pictures[row].picture,
        rank=rank,
        kind=int(kinds[row]),
        brightness=round(float(usable.looks.named().brightness[row]), 4),
        print=usable.looks.prints[row].tobytes().hex(),
    )


def _usable(source: Path, given: Candidates, apart_from: tuple[Picture, ...], cache: Cache, tell: Tell) -> _Usable:
    """Look at all pictures, and leave out what shows nothing and what the model is judged by."""
    import numpy as np

    pictures = tuple(c.picture for c in given.pictures)
    total = len(pictures) + len(apart_from)
    looks, positions, failed = survey.look(pictures, cache, lambda done, _: tell(done, total))
    unread = (*given.unread, *failed)
    _require_readable(source, unread, len(looks))
    seen = [given.pictures[position] for position in positions]
    plain = _plain(looks)
    _require_something(source, seen, plain, looks)
    leaking = ~plain & _leaking(seen, looks, apart_from, cache, lambda done, _: tell(len(pictures) + done, total))
    good = ~plain & ~leaking
    left = tuple(c for c, is_good in zip(seen, good, strict=True) if is_good)
    usable = _Usable(
        pictures=left, looks=looks.part(np.flatnonzero(good)), unread=unread,
        plain=tuple(c for c, is_so in zip(seen, plain, strict=True) if is_so),
        leaking=tuple(c for c, is_so in zip(seen, leaking, strict=True) if is_so),
    )  # fmt: skip
    if len(left) < LEAST:
        raise CalibrationError(f"{source} leaves {len(left)} pictures to calibrate on{_why(given, usable)}; {_MORE}")
    return usable


_MORE = f"{LEAST} are the least, {USUAL} to {MOST} are recommended: add some"


def _why(given: Candidates, usable: _Usable) -> str:
    lost = (
        (given.copies, "copies of others"), (len(usable.unread), "cannot be read"),
        (len(usable.plain), "of one colour"), (len(usable.leaking), "in the validation set too"),
    )  # fmt: skip
    said = ", ".join(f"{count} {why}" for count, why in lost if count)
    return f" of {given.found} ({said})" if said else ""


def _leaking(
    seen: list[Candidate], looks: Looks, apart_from: tuple[Picture, ...], cache: Cache, tell: Tell
) -> npt.NDArray[np.bool_]:
    """Return which are among the others, byte for byte or as pictures."""
    import numpy as np

    from kit.calibration import likeness

    digests = {p.digest for p in apart_from}
    equal = np.array([c.picture.digest in digests for c in seen], np.bool_)
    others, _, _ = survey.look(apart_from, cache, tell)
    # What is of one colour looks like anything of one colour.
    return equal | likeness.same_as(looks, others.part(np.flatnonzero(~_plain(others))))


def _plain(looks: Looks) -> npt.NDArray[np.bool_]:
    """Return which are of one colour, or nearly: black, white, a covered lens."""
    named = looks.named()
    return (named.contrast < _PLAIN_DEVIATION) & (named.brightest - named.darkest < _PLAIN_RANGE)


def _require_readable(source: Path, unread: tuple[Unread, ...], read: int) -> None:
    if len(unread) <= _MOST_UNREAD * (len(unread) + read):
        return
    raise CalibrationError(
        f"{len(unread)} of {len(unread) + read} pictures of {source} cannot be read (first: {_told(unread[0])}); "
        "mend or remove them"
    )


def _require_something(source: Path, seen: list[Candidate], plain: npt.NDArray[np.bool_], looks: Looks) -> None:
    """Refuse pictures most of which show nothing, or noise: a model calibrated on these has ranges of nothing.

    Bricks and gravel made small look like noise, in their own size they do not.
    """
    import numpy as np

    if 2 * plain.sum() > len(seen):
        first = int(plain.argmax())
        shade = float(looks.named().brightness[first])
        colour = "black" if shade < 0.1 else "white" if shade > 0.9 else "one colour"
        raise CalibrationError(
            f"{plain.sum()} of {len(seen)} pictures of {source} are of one colour (first: {_place(seen[first])}, "
            f"{colour}); calibrate on what the cameras see"
        )
    rough = np.flatnonzero(~plain & (looks.smoothness < _NOISE))
    some = [seen[row].picture for row in rough[:: max(1, len(rough) // _LOOKED_AT_CLOSELY)]]
    if 2 * len(rough) > len(seen) and all(survey.grain(picture) < _NOISE for picture in some):
        raise CalibrationError(
            f"{len(rough)} of {len(seen)} pictures of {source} are random noise (first: {_place(seen[rough[0]])}); "
            "calibrate on what the cameras see"
        )


def _warnings(given: Candidates, usable: _Usable) -> tuple[str, ...]:
    lines = []
    if usable.unread:
        lines.append(f"left out {_count(usable.unread)} that cannot be read (first: {_told(usable.unread[0])})")
    if usable.plain:
        lines.append(f"left out {_count(usable.plain)} of one colour (first: {_place(usable.plain[0])})")
    if usable.leaking:
        first = _place(usable.leaking[0])
        lines.append(f"left out {_count(usable.leaking)} of the validation set, or copies of it (first: {first})")
    if given.found > survey.MOST_CANDIDATES:
        lines.append(f"looked at {survey.MOST_CANDIDATES} of {given.found} pictures, evenly spread")
    return tuple(lines)


def _judged(source: Path, made: CalibrationSet) -> CalibrationSet:
    """Hold a choice to what is enough: warn, or raise ``CalibrationError``."""
    from dataclasses import replace

    different = made.coverage.different
    if different < LEAST:
        raise CalibrationError(
            f"the {len(made)} pictures of {source} show the same few scenes: {different} differ by more than light, "
            f"scale or turning; {_MORE}"
        )
    warnings = made.warnings
    if different < ENOUGH:
        of_them = (
            f"{different} different ones among {len(made)} pictures"
            if different < len(made)
            else f"{different} pictures"
        )
        warnings += (f"{of_them}: fewer than {ENOUGH} leave ranges to chance; {USUAL} to {MOST} are recommended",)
    if len(made) > MOST:
        warnings += (f"{len(made)} pictures: more than {MOST} take longer and gain little",)
    return replace(made, warnings=warnings)


def _reused(path: Path, apart_from: tuple[Picture, ...], cache: Cache, tell: Tell) -> CalibrationSet:
    """Return the set of a manifest without what leaks into ``apart_from``. Raises ``CalibrationError``."""
    from dataclasses import replace

    made = manifest.read(path)
    if not apart_from:
        return made
    seen = [Candidate(picture=picture) for picture in made.pictures]
    looks, positions, unread = survey.look(made.pictures, cache, tell)
    _require_readable(path, unread, len(looks))
    leaking = _leaking([seen[p] for p in positions], looks, apart_from, cache, survey.silent)
    out = {made.pictures[p] for p, leaks in zip(positions, leaking, strict=True) if leaks}
    if not out:
        return made
    left = sorted((c for c in made.choices if c.picture not in out), key=lambda c: c.rank)
    if len(left) < LEAST:
        raise CalibrationError(
            f"{path} leaves {len(left)} pictures to calibrate on: {len(out)} are in the validation set too; {_MORE}"
        )
    ranks = {c.picture: rank for rank, c in enumerate(left)}
    choices = tuple(replace(c, rank=ranks[c.picture]) for c in made.choices if c.picture in ranks)
    line = f"left out {len(out)} of {len(made)} pictures that are in the validation set, or copies of it"
    return replace(made, choices=choices, warnings=(*made.warnings, line))


def _steps(brightness: npt.NDArray[np.float32]) -> tuple[int, ...]:
    import numpy as np

    return tuple(int(count) for count in np.histogram(brightness, _STEPS, (0, 1))[0])


def _count(what: Sequence[object]) -> str:
    return "1 picture" if len(what) == 1 else f"{len(what)} pictures"


def _told(unread: Unread) -> str:
    return f"{unread.path.name}: {unread.reason}"


def _place(candidate: Candidate) -> str:
    picture = candidate.picture
    return picture.path.name if picture.frame is None else f"{picture.path.name} frame {picture.frame}"
