"""The report: plots that stay in their frames and lose nothing, and files that are whole or not there."""

from __future__ import annotations

import html.parser
import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest
from counts import cell, outcome
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import DiskFullError
from kit.load import document, page, plots, writing
from kit.load.document import Bar, Document
from kit.load.profile import held
from kit.load.verdict import Limits, judge

MS = st.floats(0.01, 1e5)


def made(*, steps: bool = True, name: str = "boom") -> Document:
    phases = [cell(n, times_ms=(5.0 * (n + 1),) * (10 + n), phase=n if steps else 0) for n in range(4)]
    phases[3].errors = {name: 2}
    found = outcome(*phases, profile=held([10.0, 11.0, 12.0, 13.0] if steps else [11.5], 4.0))
    return document.of(found, judge(found, Limits(percentiles_ms={99.0: 18.0}), steps=steps))


@given(st.lists(MS, min_size=1, max_size=40))
def test_wider_bars_hold_everything_and_no_value_is_above_its_bar(values: list[float]) -> None:
    bars = plots.gathered([Bar(upto_ms=value, count=1) for value in values])
    assert sum(bar.count for bar in bars) == len(values)
    assert bars[-1].upto_ms >= max(values) * (1 - 1e-9)
    assert all(earlier.upto_ms < later.upto_ms for earlier, later in itertools.pairwise(bars))


@given(st.lists(MS, min_size=1, max_size=20))
def test_round_numbers_stand_around_all_values_and_inside_the_plot(values: list[float]) -> None:
    low, high = plots.decades(values)
    assert low <= min(values) <= max(values) < high
    scale = plots.upwards(low, high, logarithmic=True)
    ticks = plots.logarithmic(scale)
    assert ticks
    assert all(scale.end - 0.1 <= tick.place <= scale.start + 0.1 for tick in ticks)


@pytest.mark.parametrize("steps", [True, False])
def test_everything_that_is_drawn_lies_in_its_frame(steps: bool) -> None:
    found = made(steps=steps)
    drawn = [plot for plot in (plots.over_time(found), plots.histogram(found), plots.throughput(found)) if plot]
    assert len(drawn) == 3
    for plot in drawn:
        places = [
            (float(x), float(y)) for line in plot.lines for x, y in re.findall(r"[ML]([\d.]+),([\d.]+)", line.path)
        ]
        places += [(mark.left + mark.width / 2, mark.top + mark.height / 2) for mark in plot.marks]
        assert all(plot.left <= x <= plot.right and plot.top - 4 <= y <= plot.bottom for x, y in places)


def test_the_page_names_the_knee_and_lets_no_words_of_a_server_act() -> None:
    text = page.render(made(name="<script>alert(1)</script>"))
    assert text.count("(the most that holds)") == 1
    assert "<td>12 (the most that holds)</td>" in text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    html.parser.HTMLParser().feed(text)


def test_a_load_without_answers_has_a_page_without_plots() -> None:
    found = outcome(cell(0, times_ms=()))
    text = page.render(document.of(found, judge(found, Limits())))
    assert "<svg" not in text
    assert "not measurable" in text


def test_files_are_written_and_read_back(tmp_path: Path) -> None:
    found = made()
    assert writing.write(found, tmp_path / "a" / "b") == tmp_path / "a" / "b" / "load.html"
    read = json.loads((tmp_path / "a" / "b" / "load.json").read_text())
    assert read["total"]["due"] == found.total.due
    rows = (tmp_path / "a" / "b" / "load.csv").read_text().splitlines()
    assert len(rows) == 1 + 1 + len(found.models) + len(found.phases) + len(found.timeline)
    assert {len(row.split(",")) for row in rows} == {16}


def test_a_full_disk_leaves_no_half_of_a_report(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=8k", "tmpfs", str(place)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this user may not mount a file system: {mounted.stderr.strip()}")
    try:
        with pytest.raises(DiskFullError):
            writing.write(made(), place)
        assert [file.name for file in place.iterdir() if file.name.startswith(".")] == []
        assert not (place / "load.html").exists()
    finally:
        subprocess.run(["umount", str(place)], check=True)
