"""What a person sees of the quality of lower precisions on a terminal: a line for each, reasons below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.text import Text

from kit.cli._text import printable
from kit.quality import words
from kit.quality.values import Quality, TargetQuality, TrialQuality, Verdict

_STYLES = {Verdict.HELD: "green", Verdict.REFUSED: "red", Verdict.UNTRIED: "dim", Verdict.TRAINED: ""}
_GAP = 2
_INDENT = 4


def lines(quality: Quality, page: Path | None = None) -> Iterator[Text]:
    """Yield a small table for each target, and where the whole report is.

    In it: what became of each precision (``*``: it is served), its metric before and after, the change with its
    interval beside what is allowed, size, speed, and why it was refused.
    """
    for target in quality.targets:
        yield Text(f"  {printable(target.target)} on {printable(target.runtime)}", style="bold")
        if target.not_measured:
            yield _remark(f"not measured here: {target.not_measured}", "dim")
        yield from _table(target)
    if any(trial.agreement for target in quality.targets for trial in target.trials):
        yield Text("  without labels: agreement with the FP32 model, not accuracy", style="yellow")
    if page is not None:
        yield Text(f"  quality report:  {page}", style="dim")


def _table(target: TargetQuality) -> Iterator[Text]:
    rows = [_cells(trial) for trial in target.trials]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for trial, cells in zip(target.trials, rows, strict=True):
        line = _row(trial, cells, widths)
        if trial.verdict is Verdict.UNTRIED:  # nothing else is known of it
            yield line.append(printable("".join(f": {reason}" for reason in trial.reasons)), style="dim")
            continue
        yield line
        for reason in trial.reasons:
            yield _remark(reason, _STYLES[trial.verdict] or "dim")
        if trial.not_timed and trial.not_timed != target.not_measured:
            yield _remark(f"not timed here: {trial.not_timed}", "dim")


def _remark(text: str, style: str) -> Text:
    return Text(f"{'':{_INDENT + 4}}{printable(text)}", style=style)


def _row(trial: TrialQuality, cells: Sequence[str], widths: Sequence[int]) -> Text:
    line = Text(f"{'*' if trial.chosen else '':>{_INDENT - 1}} ")
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        style = "bold" if place == 0 else _STYLES[trial.verdict] if place == 1 else ""
        line.append(f"{cell:{width}s}", style=style)
        line.append(" " * _GAP if width else "")
    line.rstrip()
    return line


def _cells(trial: TrialQuality) -> tuple[str, ...]:
    verdict = f"{'served, ' if trial.chosen else ''}{trial.verdict.value}"
    return tuple(
        words.ascii_signs(printable(cell))
        for cell in (trial.precision, verdict, _metric(trial), _change(trial), _size(trial), _time(trial))
    )


def _metric(trial: TrialQuality) -> str:
    if not trial.metric:
        return ""
    return f"{trial.metric} {words.metric(trial.before)} -> {words.metric(trial.after)}"


def _change(trial: TrialQuality) -> str:
    """Say what was gained or lost, where that lies, and what may be lost."""
    if trial.drop is None:
        return ""
    found = words.change(trial.drop)
    return f"{words.points(found.value)} points ({words.between(found)}), {words.allowed(trial.budget)} allowed"


def _size(trial: TrialQuality) -> str:
    if kept := words.smaller(trial):
        return f"{words.size(trial.bytes_after)} ({kept})"
    known = trial.bytes_after or trial.bytes_before
    return words.size(known) if known else ""


def _time(trial: TrialQuality) -> str:
    timing = words.first_timing(trial)
    return words.speed(timing.ratio.value) if timing else ""
