"""What was asked and what came of it, in words that the terminal and the page share."""

from __future__ import annotations

from kit.tune.values import Found, Measurement, Need, Ranked

_MIB = 1 << 20


def need(asked: Need) -> str:
    """Return what must hold, in a phrase."""
    late = f"p99 at most {asked.p99_ms:g} ms"
    if not asked.cameras:
        return f"the most requests a second with {late}"
    cameras = "1 camera" if asked.cameras == 1 else f"{asked.cameras} cameras"
    return f"{cameras} of {asked.fps:g} frames a second, {late}"


def verdict(found: Found) -> str:
    """Return how it ended, in a word or two."""
    if found.interrupted:
        return "interrupted"
    if found.best is None:
        return "not measurable"
    return "holds" if found.holds else "does not hold"


def headline(found: Found) -> str:
    """Return what is best and how far it reaches."""
    if found.best is None:
        return "nothing could be measured" if not found.interrupted else "nothing was measured yet"
    best, so_far = found.best, "the best so far: " if found.interrupted else ""
    return f"{so_far}{best.candidate.title}: {rate(best.capacity)} requests/s{reach(found)}"


def reach(found: Found) -> str:
    """Return how the best compares with what is needed, or with what is there; nothing where neither is known."""
    best, wanted = found.best, found.need.rate
    if best is None:
        return ""
    if wanted is not None:
        share = best.capacity / wanted - 1
        if found.holds:
            room = f"{share:.0%} head-room" if share < 1 else f"{share + 1:.1f} times that"
            return f" of {rate(wanted)} needed, {room}"
        if share >= 0:
            return f" of {rate(wanted)} needed, not held each time"
        return f" of {rate(wanted)} needed, {-share:.0%} too few"
    return gain(found, best)


def gain(found: Found, one: Ranked) -> str:
    """Return how a candidate's capacity compares with that of what the repository says now."""
    before = found.before
    if before is None or before.capacity <= 0 or before.candidate == one.candidate:
        return ""
    return f", {one.capacity / before.capacity:.2f} times as many as now"


def rate(value: float) -> str:
    """Return requests a second in three digits or a few more."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def memory(size: int | None) -> str:
    """Return a size in memory."""
    return "-" if size is None else f"{size / _MIB:.0f} MiB"


def milliseconds(value: float | None) -> str:
    """Return a time."""
    return (
        "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"
    )


def measurement(made: Measurement) -> str:
    """Return what came of a measurement, in a phrase."""
    if made.failed:
        return f"failed: {made.failed}"
    held = [step.p99_ms for step in made.steps if step.held and step.p99_ms is not None]
    told = f"{rate(made.capacity)} requests/s" if made.capacity else "holds nothing"
    parts = [told, *([f"p99 {milliseconds(held[-1])} ms"] if held else [])]
    parts += [memory(made.memory_bytes)] if made.memory_bytes is not None else []
    return ", ".join([*parts, *([f"noisy: {made.noisy}"] if made.noisy else [])])
