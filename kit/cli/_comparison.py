"""What a person sees of a comparison: a verdict, the outputs, and the layers in the order of the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from kit.blame import words
from kit.blame.values import Comparison, LayerDifference, OutputDifference, Side
from kit.cli._text import printable

_MOST_LAYERS = 24
_LOSS_DB = 2.0
_BAR = 10
_FULL_DB = 120.0
_WIDEST = 118
_SHARES = {"layer": 3, "PyTorch module": 3, "operator": 1, "type": 2}


def parts(found: Comparison, width: int, *, whole: bool) -> Iterator[Table | Text]:
    """Yield what to print on a terminal of so many columns; ``whole``: every layer."""
    yield _side("A", found.first)
    yield _side("B", found.second)
    yield Text(f"   {words.asked(found)}, {found.seconds:.1f} s", "dim")
    for note in found.notes:
        yield Text(f"   {printable(note)}", "yellow")
    yield Text()
    yield _outputs(found.outputs, width)
    if found.rows is not None:
        yield Text(f"\n{words.rows(found.rows)}")
    if found.metric is not None:
        yield Text()
        yield Text(words.metric(found.metric), "bold")
        for note in found.metric.notes:
            yield Text(f"   {printable(note)}", "yellow")
    if found.layers:
        yield Text()
        if whole or found.first_diverging is not None:
            yield _layers(found, set(range(len(found.layers))) if whole else chosen(found), width)
        yield from _blame(found)
    yield Text()
    yield Text(printable(words.verdict(found)), "bold green" if found.equal else "bold red")


def _side(letter: str, side: Side) -> Text:
    precision = f", {side.precision}" if side.precision else ""
    layers = f", {side.layers} tensors inside" if side.layers is not None else ""
    name = printable(side.reference)
    return Text.assemble((f"{letter}  ", "bold"), name, (f"  {side.runner}{precision}{layers}", "dim"))


def _table(width: int, *columns: tuple[str, int]) -> Table:
    """Return a table with these headings; numbers have a width that they keep, names have none and may be cut."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, width=min(width, _WIDEST))
    for heading, least in columns:
        side: Literal["left", "right"] = "right" if least and heading else "left"
        ratio = None if least else _SHARES.get(heading, 1)
        table.add_column(heading, overflow="ellipsis", no_wrap=True, width=least or None, ratio=ratio, justify=side)
    return table


def _outputs(outputs: tuple[OutputDifference, ...], width: int) -> Table:
    table = _table(width, ("output", 0), ("type", 0), ("largest", 9), ("relative", 8), ("allowed", 7), ("cosine", 7),
                   ("SQNR", 8), ("", 7))  # fmt: skip
    for one in outputs:
        types = one.types[0] if len(set(one.types)) == 1 else " / ".join(one.types)
        mark = Text("equal", "green") if one.equal else Text("DIFFERS", "bold red")
        if one.nan:
            mark.append(f", {one.nan} NaN or infinite", "red")
        table.add_row(
            printable(one.output), f"{types} {'x'.join(map(str, one.shape))}", f"{one.maximum:.3g}",
            f"{one.relative:.2g}", f"{one.allowed:g}", f"{one.cosine:.5f}", words.decibels(one.sqnr_db), mark,
        )  # fmt: skip
    return table


def _layers(found: Comparison, shown: set[int], width: int) -> Table:
    table = _table(width, ("", 1), ("layer", 0), ("operator", 0), ("PyTorch module", 0), ("SQNR", 8), ("lost", 5),
                   ("", _BAR))  # fmt: skip
    hidden = 0
    for place, layer in enumerate(found.layers):
        if place not in shown:
            hidden += 1
            continue
        _skipped(table, hidden)
        hidden = 0
        table.add_row(*_layer(found, place, layer))
    _skipped(table, hidden)
    return table


def _skipped(table: Table, count: int) -> None:
    if count:
        table.add_row("", Text(f"... {count} more", "dim"))


def _layer(found: Comparison, place: int, layer: LayerDifference) -> tuple[Text | str, ...]:
    mark = "▶" if place == found.culprit else "•" if place == found.first_diverging else ""
    style = "bold red" if place == found.culprit else "red" if layer.diverges else "dim" if layer.decided else ""
    length = max(0, min(_BAR, round(_BAR * layer.sqnr_db / _FULL_DB)))
    bar = Text("━" * length, "red" if layer.diverges else "dim" if layer.decided else "green")
    lost = f"{layer.lost_db:.0f} dB" if layer.lost_db >= 1 and not layer.decided else ""
    return (
        Text(mark, "bold red"),
        Text(printable(layer.name), style),
        layer.operator,
        Text(printable(words.place(layer)), "" if layer.module else "dim"),
        Text(words.decibels(layer.sqnr_db), style),
        lost,
        Text(f"{layer.nan} NaN", "bold red") if layer.nan else bar,
    )


def chosen(found: Comparison) -> set[int]:
    """Return the layers that are shown of many: the worst, those around the culprit, the first and the last."""
    count = len(found.layers)
    if count <= _MOST_LAYERS:
        return set(range(count))
    kept = {0, count - 1}
    for place in (found.culprit, found.first_diverging):
        if place is not None:
            kept |= {p for p in range(place - 2, place + 3) if 0 <= p < count}
    losers = [p for p in range(count) if found.layers[p].lost_db >= _LOSS_DB and not found.layers[p].decided]
    worst = sorted(losers, key=lambda p: -found.layers[p].lost_db)
    return kept | set(worst[: _MOST_LAYERS - len(kept)])


def _blame(found: Comparison) -> Iterator[Text]:
    if found.first_diverging is None:
        worst = min(found.layers, key=lambda layer: (layer.decided, layer.sqnr_db))
        yield Text(f"{len(found.layers)} tensors inside; the worst: {printable(words.describe(worst))}", "dim")
    for heading, text in words.blame(found):
        yield Text.assemble((f"{heading}: ", "bold"), printable(text))
    if found.unmatched > 0:
        yield Text(f"{found.unmatched} layers of A with weights have no match in B", "yellow")
