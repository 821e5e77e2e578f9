"""Numbers and verdicts in words, the same on the page and on a terminal; a change below 0 is a loss.

Minus and times signs are those of print; ``ascii_signs`` makes them those of a keyboard.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from kit.quality.values import Interval, TargetQuality, Timing, TrialQuality, Verdict

_UNKNOWN = "not known"
_SHORT = 110
_MINUS, _TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"

MEANINGS = {
    "map50-95": "how well objects are found, named and outlined: the mean over overlaps from 50 to 95 %; 1 is perfect",
    "map50": "how well objects are found and named where an overlap of 50 % is enough; 1 is perfect",
    "top-1": "how often the first answer is right; 1 is always",
    "top-5": "how often the right answer is among the first five; 1 is always",
    "miou": "how much of each class's area is right: the mean of intersection over union; 1 is perfect",
    "pixels right": "the share of pixels that have the right class; 1 is all",
    "retrieval top-1": "how often the nearest picture shows the same; 1 is always",
    "neighbours": "how many of a picture's nearest ones stay so; 1 is all",
    "cosine": "how far the numbers point the same way; 1 is the same direction",
}
"""What a metric says, in one line."""
_AGREEMENT = "agreement "


def meaning(metric: str) -> str:
    """Say what a metric tells; of one that nobody knows, how it is read."""
    name = metric.lower()
    kind = name.removeprefix(_AGREEMENT)
    known = MEANINGS.get(kind) or MEANINGS.get(kind.rpartition(" ")[2])  # box mAP50
    if known is None:
        return "a metric of your own; higher is better"
    return known if kind == name else f"the answers of FP32 taken for the truth: {known}"


def metric(value: float) -> str:
    """Write a metric from 0 to 1: ``0.799``."""
    return f"{value:.3f}" if math.isfinite(value) else _UNKNOWN


def points(difference: float) -> str:
    """Write a change in points of 100, with its sign; what rounds to 0 has none, and what nearly does a digit more."""
    if not math.isfinite(100 * difference):
        return _UNKNOWN
    text = f"{100 * difference:+.1f}"
    if text in ("+0.0", "-0.0"):
        text = f"{100 * difference:+.2f}"
    return "0.0" if text in ("+0.00", "-0.00") else text.replace("-", _MINUS)


def allowed(budget: float) -> str:
    """Write a budget as the change that it allows, exactly: ``1.0`` and ``0.25`` points with a minus sign."""
    if not math.isfinite(100 * budget):
        return _UNKNOWN
    number = round(100 * budget, 6)
    text = f"{number:.1f}" if number == round(number, 1) else f"{number:.4g}"
    return f"{_MINUS}{text}" if number else text


def ascii_signs(text: str) -> str:
    """Return a text of this module for where other characters may not be shown."""
    return text.replace(_MINUS, "-").replace(_TIMES, "x")


def change(drop: Interval) -> Interval:
    """Turn a drop into a change: what was lost is below 0."""
    return Interval(value=-drop.value, low=-drop.high, high=-drop.low)


def between(interval: Interval) -> str:
    """Write where a change lies, in points."""
    return f"{points(interval.low)} to {points(interval.high)}"


def share(value: float) -> str:
    """Write a share of 1 in per cent."""
    return f"{100 * value:.0f} %" if math.isfinite(100 * value) else _UNKNOWN


def size(count: int) -> str:
    """Write bytes as people read them; 0 is not known."""
    if count <= 0:
        return _UNKNOWN
    if count < 1_000_000:
        return f"{count / 1e3:.3g} kB" if count >= 1000 else f"{count} bytes"
    return f"{count / 1e6:.3g} MB" if count < 1_000_000_000 else f"{count / 1e9:.3g} GB"


def milliseconds(value: float) -> str:
    """Write a time with three digits: ``3.62``, ``12.4``, ``231``."""
    if not math.isfinite(value):
        return _UNKNOWN
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def speed(ratio: float) -> str:
    """Say how fast a model is whose answers take ``ratio`` times as long: 0.48 is 2.1 times as fast."""
    return f"{times(1 / ratio)}{_TIMES} as fast" if math.isfinite(ratio) and ratio > 0 else _UNKNOWN


def speeds(ratio: Interval) -> str:
    """Write where the speed lies, by the interval of the ratio of times."""
    ends = [r for r in (ratio.high, ratio.low) if math.isfinite(r) and r > 0]
    return " to ".join(times(1 / end) for end in ends) if len(ends) == 2 else _UNKNOWN


def times(factor: float) -> str:
    """Write a factor: ``0.87``, ``1.30``, ``2.1``, ``14``."""
    return f"{factor:.2f}" if factor < 2 else f"{factor:.1f}" if factor < 10 else f"{factor:.0f}"


def smaller(trial: TrialQuality) -> str:
    """Say how much of its size a model has kept; nothing where that is not known."""
    known = trial.bytes_before > 0 and trial.bytes_after > 0
    return share(trial.bytes_after / trial.bytes_before) if known else ""


def precision(name: str) -> str:
    """Write a precision's name as people do: ``INT8``."""
    return name.upper()


def first_timing(trial: TrialQuality) -> Timing | None:
    """Return the timing that is named first: that of the smallest batch."""
    return min(trial.timings, key=lambda timing: timing.batch, default=None)


def short(sentence: str) -> str:
    """Cut a long sentence for a place where the whole one stands nearby."""
    return sentence if len(sentence) <= _SHORT else f"{sentence[:_SHORT].rstrip()} …"


def conclusion(target: TargetQuality) -> str:
    """Say in a sentence or two what is served on a target, at what price, and what was refused."""
    chosen = next((trial for trial in target.trials if trial.chosen), None)
    refused = [trial for trial in target.trials if trial.verdict is Verdict.REFUSED]
    parts = [_served(chosen) if chosen is not None else "Nothing is served: no precision held its budget."]
    parts += [f"{precision(t.precision)} was refused: {_first(t.reasons)}" for t in refused]
    return " ".join(parts)


def _served(trial: TrialQuality) -> str:
    name = precision(trial.precision)
    if trial.verdict is Verdict.TRAINED:
        return f"Served in {name}, as it was trained."
    return f"Served in {name}: {', '.join(_prices(trial))}."


def _prices(trial: TrialQuality) -> Iterable[str]:
    timing = first_timing(trial)
    if timing is not None:
        yield f"{speed(timing.ratio.value)} at batch {timing.batch}"
    if kept := smaller(trial):
        yield f"{kept} of the size"
    if trial.drop is not None:
        found = change(trial.drop)
        name = trial.metric.removeprefix(_AGREEMENT)
        what = f"{name} (agreement with FP32, not accuracy)" if trial.agreement else name
        yield f"{what} {points(found.value)} points (95 %: {between(found)}; {allowed(trial.budget)} allowed)"
    elif trial.metric:
        yield f"{trial.metric} {metric(trial.before)} before, {metric(trial.after)} after"


def _first(reasons: tuple[str, ...]) -> str:
    if not reasons:
        return "no reason was given."
    sentence = short(reasons[0])
    return sentence if sentence.endswith((".", "…")) else f"{sentence}."


def printable(text: str) -> str:
    r"""Return the text with what acts on a screen (control characters, turned writing) spelled out: ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
