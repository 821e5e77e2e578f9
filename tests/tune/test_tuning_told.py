"""What is told of a tuning: lines for a terminal, a page, JSON and CSV; each from the same value."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import click
import pytest
import tunings
from hypothesis import given
from hypothesis import strategies as st

from kit.cli import _tune_lines
from kit.cli.tune import command
from kit.errors import DiskFullError
from kit.specfile import tuned
from kit.tune import page, plots, settings, writing
from kit.tune.document import Document, Row, every
from kit.tune.values import Found, Stage, Told
from kit.types import Serving

MADE: dict[str, Callable[[], Found]] = {
    "holds": tunings.found, "too-little": tunings.found_too_little, "the-most": tunings.found_the_most,
    "as-it-is": tunings.found_as_it_is, "nothing": tunings.found_nothing, "so-far": tunings.found_so_far,
}  # fmt: skip


def told(found: Found) -> Document:
    return tuned.conclude(tunings.JOB, found, None)[0]


@pytest.mark.parametrize("name", MADE)
def test_lines_are_as_they_were(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"tune/{name}.txt", "".join(f"{line}\n" for line in _tune_lines.lines(told(MADE[name]()), quiet=False)))


def test_one_of_several_targets_is_told_apart() -> None:
    """Options of ``kit generate`` would be for all of them."""
    lines = list(_tune_lines.lines(replace(told(tunings.found()), targets=("t4", "x86-cpu")), quiet=False))
    assert "    x86-cpu: {max_batch_size: 2, instances: 2, queue_delay_us: 0, threads: 1}" in lines
    assert not any("kit generate" in line for line in lines)


@pytest.mark.parametrize("name", MADE)
def test_with_quiet_only_what_is_wrong_is_said(name: str) -> None:
    lines = list(_tune_lines.lines(told(MADE[name]()), quiet=True))
    assert len(lines) == (name in ("too-little", "nothing", "so-far"))


@pytest.mark.parametrize("name", MADE)
def test_the_page_needs_nothing_but_itself(name: str) -> None:
    text = page.render(told(MADE[name]()))
    html.parser.HTMLParser().feed(text)
    assert re.findall(r"(?:src|href)=|url\(|<script|https?:", text) == []
    assert text.count("(best)") == (name != "nothing")


def test_the_page_shows_before_after_and_what_failed() -> None:
    text = page.render(told(tunings.found()))
    assert text.count("<svg") == 3
    assert text.count('<span class="now">(now)</span>') == 1
    assert text.count("needed: 120.0") == 3
    assert "8x batch 8, 1 thread: the server ended: out of memory" in text
    assert page.render(told(tunings.found_nothing())).count("<svg") == 0


def test_no_words_of_a_server_act_in_the_page_or_on_a_terminal() -> None:
    evil = "<script>alert(1)</script>\x1b[2J"
    found = tunings.found(why=(evil,), sure=evil, ranked=(tunings.BEST, tunings.failed(tunings.BROKEN.candidate, evil)))
    assert "<script>" not in page.render(told(found))
    lines = "\n".join(_tune_lines.lines(told(found), quiet=False))
    assert "\x1b" not in lines
    assert r"\x1b[2J" in lines


RATES = st.floats(0.5, 1e5)


@given(
    capacities=st.lists(st.tuples(RATES, RATES, st.integers(1, 9000)), min_size=1, max_size=12),
    cameras=st.integers(0, 500),
)
def test_everything_that_is_drawn_lies_in_its_frame(capacities: list[tuple[float, float, int]], cameras: int) -> None:
    made = [
        tunings.ranked(tunings.candidate(n + 1, 2), first, second, mib=mib, p99_ms=1 + mib / 10)
        for n, (first, second, mib) in enumerate(capacities)
    ]
    need = tunings.Need(p99_ms=50.0, cameras=cameras)
    document = told(tunings.found(need=need, best=made[0], before=made[-1], ranked=tuple(made), frontier=tuple(made)))
    drawings = [plot for plot in (plots.frontier(document), plots.steps(document), plots.spread(document)) if plot]
    assert drawings
    for drawing in drawings:
        plot = drawing.plot
        for dot in drawing.dots:
            assert plot.left - 0.1 <= dot.left <= plot.right + 0.1
            assert plot.top - 0.1 <= dot.top <= plot.bottom + 0.1
        for rule in drawing.rules:
            assert plot.left - 0.1 <= rule.x1 <= rule.x2 <= plot.right + 0.1
        labels = [(dot.label_top, dot.label_left, dot.label) for dot in drawing.dots if dot.label]
        assert len(set(labels)) == len(labels)


def test_files_say_the_same(tmp_path: Path) -> None:
    document = told(tunings.found())
    assert writing.write(document, tmp_path / "a" / "b") == tmp_path / "a" / "b" / "tune.html"
    read = json.loads((tmp_path / "a" / "b" / "tune.json").read_text())
    assert (read["schema"], read["verdict"], read["needed_rate"]) == ("triton-edge-kit-tune/1", "holds", 120.0)
    assert read["settings"] == {"max_batch_size": "2", "instances": "2", "queue_delay_us": "0", "threads": "1"}
    assert [row["candidate"]["instances"] for row in read["candidates"] if row["best"]] == [2]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a" / "b" / "tune.csv").read_text())))
    steps = sum(max(1, len(made.steps)) for row in document.candidates for made in row.measurements)
    assert len(rows) == steps
    assert {row["failed"] for row in rows} == {"", "the server ended: out of memory"}
    assert read["measured"] == sum(len(each.measurements) for each in every(tunings.found()))


def test_the_manual_names_every_key_and_every_option() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "tune.md").read_text(encoding="utf-8")
    for kind in (Document, Row):
        assert [field.name for field in fields(kind) if f"`{field.name}`" not in manual] == []
    options = [word for param in command.params if isinstance(param, click.Option) for word in param.opts]
    assert [word for word in options if word not in manual and word != "--quiet"] == []


def test_a_full_disk_leaves_no_half_of_a_report(tmp_path: Path) -> None:
    options = ["-t", "tmpfs", "-o", "size=8k", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this user may not mount a file system: {mounted.stderr.strip()}")
    try:
        with pytest.raises(DiskFullError, match=r"choose another --report"):
            writing.write(told(tunings.found()), tmp_path)
        assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_model_without_batches_is_not_told_of_any(tmp_path: Path) -> None:
    job = tunings.JOB
    assert settings.serving(job, tunings.candidate(2, 0)) == Serving(instance_count=2, intra_op_threads=1)
    assert settings.serving(job, tunings.candidate(2, 1)) == Serving(
        max_batch_size=1, instance_count=2, intra_op_threads=1
    )


def test_the_board_says_each_measurement_once(capsys: pytest.CaptureFixture[str]) -> None:
    made = tunings.measured(tunings.candidate(1, 2), 88.0, Stage.SEARCH)
    with _tune_lines.Board(shown=True) as board:
        for measured, latest in ((0, None), (1, made), (1, made), (2, tunings.measured(made.candidate, 0.0))):
            told = Told(stage=Stage.SEARCH, candidate=made.candidate, measured=measured, planned=9, note="x")
            board.tell(replace(told, latest=latest))
    assert capsys.readouterr().err.splitlines() == [
        "x",
        "search ...",
        "search        1x batch 2, 1 thread: 88.0 requests/s, p99 50.0 ms, 400 MiB",
        "confirmation  1x batch 2, 1 thread: holds nothing, 400 MiB",
    ]


def test_the_board_tells_nothing_where_it_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with _tune_lines.Board(shown=False) as board:
        board.tell(Told(stage=Stage.SEARCH, candidate=tunings.candidate(1, 1), measured=1, planned=2, note="x"))
    assert capsys.readouterr().err == ""
