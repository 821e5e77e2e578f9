"""The page says all that was measured, runs and fetches nothing, and stands whatever the values are."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import qualities
import reading
from hypothesis import HealthCheck, given, settings

from kit.quality import page
from kit.quality.values import ClassQuality, Quality, TargetQuality

NASTY = "<script>alert(1)</script>\"'&amp;"


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every single value and where it stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for key, found in items:
        yield from leaves(found, (*path, key))


def changed(path: tuple[Any, ...], value: Any) -> Quality:
    plain = copy.deepcopy(PLAIN)
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return msgspec.convert(plain, Quality)


PLAIN = msgspec.json.decode(msgspec.json.encode(qualities.example()))
UNSAID = {"format", "jpeg"}
LEAVES = [(p, v) for p, v in leaves(PLAIN) if not UNSAID & set(p) and v]
NUMBERS = [(p, v) for p, v in LEAVES if isinstance(v, (int, float)) and not isinstance(v, bool)]
TEXTS = [(p, v) for p, v in LEAVES if isinstance(v, str) and v]


def shown(quality: Quality) -> reading.Read:
    return reading.read(page.render(quality))


def with_trials(*trials: Any) -> Quality:
    target = TargetQuality(target="x86-cpu", runtime="onnxruntime", measured_on="this CPU", trials=trials)
    return replace(qualities.example(), targets=(target,), calibration=None)


class TestWhatItSays:
    def test_there_is_much_to_say(self) -> None:
        assert len(NUMBERS) > 80
        assert len(TEXTS) > 30

    def test_every_number_is_on_it(self) -> None:
        """Another number, another text: none is left out."""
        before = shown(qualities.example()).words
        for path, value in NUMBERS:
            other = round(value * 1.37) + 1 if isinstance(value, int) else value * 1.37 + 0.03
            assert shown(changed(path, other)).words != before, path

    def test_every_text_is_on_it_and_is_text(self) -> None:
        for number, (path, _) in enumerate(TEXTS):
            name = f"<b>{number}</b>&amp;"
            assert name in shown(changed(path, name)).words.replace("<B>", "<b>").replace("</B>&AMP;", "</b>&amp;"), (
                path
            )

    def test_numbers_as_people_read_them(self) -> None:
        said = shown(qualities.example()).words
        for words in (
            "Served in INT8: 2.1x as fast at batch 1, 32 % of the size, mAP50-95 -0.7 points (95 %: -1.2 to",
            "mAP50-95 0.799 → 0.792",
            "-0.7 points, with 95 % confidence -1.2 to -0.2; on 317 pictures",
            "1.35 MB → 439 kB",
            "3.62 → 1.73 ms, batch 1",
            "256 of 320 pictures of calibration; they cover 94 % of its variety",
            "before: median 0.915",
            "0.50 to 0.75: before 5, after 6",
            "2 before, 1 after: 1 lost, scores differ by up to 0.04",
            "dog 0.820 at 30, 8, 52, 40",
            "Not measured here: speed: needs a Tesla T4",
            "38 groups of layers in INT8",
            "3 -2.5 x 0.452 ✗ not yet, taken back (on a part of the pictures) 1 -0.7 x 0.478 ✓ held",
        ):
            assert words in said, words

    def test_the_worst_class_comes_first_and_what_is_beyond_its_budget_is_marked(self) -> None:
        read = shown(qualities.example())
        names = re.findall(r"(one|two|zero) (?:12|139|145) ", read.words)
        assert names == ["one", "two", "zero"]
        assert len(read.having("beyond")) == 1  # one is too rare to be judged
        assert "-6.2 ✗" in read.words
        assert "too rare to be judged" in read.words

    def test_classes_can_be_put_into_another_order(self) -> None:
        styles = [found["style"] for _, found in shown(qualities.example()).tags if "--loss" in found.get("style", "")]
        for name in ("loss", "name", "number"):
            assert sorted(int(re.search(rf"--{name}:(\d+)", s)[1]) for s in styles) == [0, 1, 2]  # type: ignore[index]

    def test_only_what_is_served_is_marked_so(self) -> None:
        read = shown(qualities.example())
        assert len(read.having("served")) == 2
        assert len([tag for tag in read.having("chosen") if tag[0] == "tr"]) == 3  # with the row of its reasons

    def test_a_picture_is_in_it_once(self) -> None:
        trial = replace(qualities.held(), samples=qualities.held().samples * 3)
        html = page.render(with_trials(trial, trial))
        assert html.count("data:image/jpeg;base64,") == 1
        assert html.count('<use href="#picture-') == 12

    def test_equal_values_give_equal_pages(self) -> None:
        assert page.render(qualities.example()) == page.render(qualities.example())


class TestWhereLessIsKnown:
    def test_agreement_is_never_called_accuracy(self) -> None:
        read = shown(with_trials(replace(qualities.held(), agreement=True)))
        assert read.words.count("greement with FP32, not accuracy") >= 4
        assert "agreement" not in shown(qualities.example()).words

    def test_refused_trials_say_every_reason(self) -> None:
        said = shown(with_trials(qualities.refused())).words
        assert "✗ refused" in said
        assert "Nothing is served: no precision held its budget." in said
        assert "INT8 was refused: mAP50-95 falls 12.8 points, 1.0 are allowed." in said
        assert "its scores shift" in said
        assert "not measured here: needs a Tesla T4" in said

    def test_what_could_not_be_made_has_no_numbers(self) -> None:
        trial = qualities.refused(metric="", drop=None, reasons=("the model has Q/DQ already",), not_timed="")
        said = shown(with_trials(trial, qualities.trained(chosen=True))).words
        assert "not measured" in said
        assert "0.000" not in said
        assert "INT8 was refused: the model has Q/DQ already. " in said

    def test_what_was_not_tried_says_why(self) -> None:
        said = shown(with_trials(qualities.untried(), qualities.trained(chosen=True))).words
        assert "not tried" in said
        assert "int8 holds, and is smaller" in said
        assert "Served in FP32, as it was trained." in said

    def test_without_anything(self) -> None:
        said = shown(Quality(name="m", kit="0.1.0", source="m.onnx", task="raw", validation="none")).words
        assert "m: what a lower precision costs and gives" in said
        assert "Calibration" not in said

    def test_without_an_interval_there_is_no_drawing_but_the_change(self) -> None:
        read = shown(with_trials(replace(qualities.held(), drop=None)))
        assert read.having("drop") == []
        assert "-0.7 points; on 317 pictures" in read.words

    def test_a_picture_that_cannot_be_read_shows_its_boxes(self) -> None:
        (sample,) = qualities.held().samples
        trial = replace(qualities.held(), samples=(replace(sample, jpeg=b"no picture"),))
        read = shown(with_trials(trial))
        assert "(the picture itself cannot be shown)" in read.words
        assert len(read.having("box")) == 5  # with what people marked, twice

    def test_a_classifiers_answers_are_words(self) -> None:
        (sample,) = qualities.held().samples
        answers = replace(
            sample, before=(), after=(), truth=(), words_before="cat 0.93", words_after="dog 0.51", words_truth="cat"
        )
        said = shown(with_trials(replace(qualities.held(), samples=(answers,)))).words
        assert "cat 0.93" in said
        assert "another answer; marked as cat" in said


class TestWhoeverNamedIt:
    def test_nothing_is_fetched_and_nothing_runs(self) -> None:
        read = shown(qualities.example())
        assert read.addresses
        assert all(a.startswith(("data:", "#")) for a in read.addresses)
        assert "script" not in {tag for tag, _ in read.tags}
        assert not [name for _, found in read.tags for name in found if name.startswith("on")]
        assert not re.search(r"url\(|@import|expression", read.style)

    def test_a_name_that_is_a_script_is_a_name(self) -> None:
        one = ClassQuality(name=NASTY, instances=3, before=0.5, after=0.4)
        (sample,) = qualities.held().samples
        named = replace(sample, name=NASTY, before=(qualities.box(1, 1, 9, 9, NASTY),))
        trial = replace(qualities.held(), classes=(one,), samples=(named,), kept={NASTY: 1}, others={NASTY: (0, 1)})
        read = shown(replace(with_trials(trial), name=NASTY, source=NASTY))
        assert "script" not in {tag for tag, _ in read.tags}
        assert read.words.count(NASTY) > 6

    def test_what_would_act_on_the_reader_is_spelled_out(self) -> None:
        html = page.render(replace(qualities.example(), machine="a\x1b[2J\u202eb\x00\udcff"))
        assert r"a\x1b[2J\u202eb\x00\udcff" in html

    def test_hundreds_of_classes_stay_one_list(self) -> None:
        classes = tuple(
            ClassQuality(name=f"class {n}", instances=n, before=0.8, after=0.8 - n / 5000) for n in range(1000)
        )
        read = shown(with_trials(replace(qualities.held(), classes=classes)))
        assert re.findall(r"class (\d+) ", read.words)[:3] == ["999", "998", "997"]
        assert len(read.having("bar")) == 1000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(qualities.any_of(Quality))
def test_any_quality_is_a_page(quality: Quality) -> None:
    html = page.render(quality)
    read = reading.read(html)
    html.encode()
    assert all(address.startswith(("data:", "#")) for address in read.addresses)
    assert not re.search(r"\b(nan|inf)\b", " ".join(v for _, f in read.tags for k, v in f.items() if k not in SAID))


SAID = {"aria-label", "href", "id", "class", "content", "name"}
