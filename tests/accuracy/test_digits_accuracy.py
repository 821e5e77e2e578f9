"""The example's detector, measured: the same figure as its own evaluation, and verdicts on what is made of it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import kit.graph
from examples.digits import evaluate
from kit import accuracy, contract, labels, runners
from kit.accuracy import Answers, Budget, Validation, answers, own
from kit.accuracy.twin import FLOOR
from kit.cache import file_digest
from kit.errors import AccuracyError, MetricError, MissingExtraError, UnsupportedModelError, ValidationSetError
from kit.types import Interpretation, Model, Spec, Thresholds

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@dataclass(frozen=True, kw_only=True)
class Case:
    served: Model
    twin: Model
    meaning: Interpretation
    names: tuple[str, ...]
    validation: Validation
    answers: Answers


def measured(model: Model, validation: Validation, meaning: Interpretation, **options: Any) -> Answers:
    with runners.open(str(model.path)) as running:
        return accuracy.measure(running.run, validation, meaning, running.signature, **options)


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = DIGITS / "digits.onnx"
        network = kit.graph.describe(path, file_digest(path))
        meaning = contract.interpret(Spec(source=str(path), name="digits", targets=()), network)
        served = contract.fuse(network, meaning, folder)
        (folder / "twin").mkdir()
        twin = accuracy.evaluation_twin(served, meaning, folder / "twin")
        names = labels.read(str(DIGITS / "labels.txt"))
        validation = accuracy.read(DIGITS / "test", meaning, names)
        yield Case(
            served=served, twin=twin, meaning=meaning, names=names, validation=validation,
            answers=measured(twin, validation, meaning),
        )  # fmt: skip


def first(case: Case, count: int, *, labelled: bool = True) -> Validation:
    whole = case.validation
    truth = whole.truth[:count] if labelled and whole.truth else None
    return replace(whole, pictures=whole.pictures[:count], sizes=whole.sizes[:count], truth=truth)


class BestClassOnly(evaluate.OnnxDetector):
    """The example's own evaluation, with the one rule of the served contract that it has not."""

    def detect(self, image: Any, score_floor: float = evaluate.SCORE_FLOOR) -> evaluate.Detections:
        pixels = np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32) / 255
        (output,) = self._session.run(["output0"], {"images": pixels})
        best = np.where(output[0, 4:] == output[0, 4:].max(axis=0), output[0, 4:], 0)
        found = evaluate.candidates(np.vstack([output[0, :4], best]), score_floor)
        return evaluate.suppress(found, 0.45, 100)


def test_it_is_what_the_example_measures_itself(case: Case) -> None:
    """0.799 there: it keeps every class of a point that is above the floor, the served contract the best one only."""
    from rich.console import Console

    kept = list(case.answers.each())[:100]
    few = answers.gather(replace(case.answers.head, pictures=100), kept)
    score = accuracy.score(few, first(case, 100))
    theirs = evaluate.evaluate(BestClassOnly(), DIGITS / "test", Console(quiet=True), limit=100)
    assert score.value == pytest.approx(theirs.map50_95, abs=5e-4)
    assert score.others["mAP50"] == pytest.approx(theirs.map50, abs=5e-4)
    assert [one.value for one in score.classes] == pytest.approx(theirs.per_class, abs=5e-3)
    score = accuracy.score(case.answers, case.validation)
    assert score.value == pytest.approx(0.799, abs=0.005)
    assert (score.metric, score.images, score.agreement, score.notes) == ("mAP50-95", 300, False, ())


@pytest.mark.parametrize("rows", [100, 3])
def test_the_twin_filtered_at_the_served_threshold_is_the_model(case: Case, rows: int, tmp_path: Path) -> None:
    meaning = replace(case.meaning, thresholds=Thresholds(max_detections=rows))
    few = first(case, 40)
    path = DIGITS / "digits.onnx"
    served = contract.fuse(kit.graph.describe(path, file_digest(path)), meaning, tmp_path)
    (tmp_path / "twin").mkdir()
    twin = accuracy.evaluation_twin(served, meaning, tmp_path / "twin")
    given = [list(measured(model, few, meaning).each()) for model in (served, twin)]
    more = 0
    for plain, low in zip(*given, strict=True):
        above = low["scores"] > 0.25
        more += int((~above).sum())
        for name, value in plain.items():
            np.testing.assert_array_equal(value, low[name][above])
    assert more > (40 if rows == 100 else 10)


def test_the_twin_differs_in_one_constant(case: Case) -> None:
    before, after = (onnx.load(str(model.path)) for model in (case.served, case.twin))
    changed = [a.output[0] for a, b in zip(before.graph.node, after.graph.node, strict=True) if a != b]
    assert changed == ["detect/least"]
    assert before.graph.initializer == after.graph.initializer
    assert case.twin.digest == file_digest(case.twin.path) != case.served.digest
    assert case.answers.head.floor == FLOOR


def test_a_model_without_a_threshold_is_its_own_twin(case: Case, tmp_path: Path) -> None:
    native = replace(case.meaning, contract="native", thresholds=None)
    assert accuracy.evaluation_twin(case.served, native, tmp_path) is case.served
    with pytest.raises(UnsupportedModelError, match="has no pose/least, its score threshold"):
        accuracy.evaluation_twin(case.served, replace(case.meaning, task="pose"), tmp_path)


def test_an_optimised_twin_has_its_threshold_among_the_initializers(case: Case, tmp_path: Path) -> None:
    proto = onnx.load(str(case.served.path))
    (node,) = [n for n in proto.graph.node if n.output[0] == "detect/least"]
    tensor = node.attribute[0].t
    tensor.name = "detect/least"
    proto.graph.initializer.append(tensor)
    proto.graph.node.remove(node)
    path = tmp_path / "served.onnx"
    moved = replace(case.served, path=path, digest=kit.graph.write(proto, path))
    (tmp_path / "twin").mkdir()
    twin = accuracy.evaluation_twin(moved, case.meaning, tmp_path / "twin")
    few = first(case, 4)
    for a, b in zip(measured(twin, few, case.meaning).each(), case.answers.each(), strict=False):
        np.testing.assert_array_equal(a["scores"], b["scores"])


def changed(case: Case, **columns: Any) -> Answers:
    return replace(case.answers, columns={**case.answers.columns, **columns})


def test_the_model_against_itself_is_held(case: Case) -> None:
    verdict = accuracy.judge(case.answers, case.answers, case.validation)
    assert verdict.held
    assert verdict.reasons == verdict.notes == ()
    assert verdict.drop.point == verdict.drop.high == 0
    assert [company.batch for company in verdict.company] == [2, 8]
    assert verdict.shift is not None
    assert verdict.shift.median == 0


def test_halved_scores_are_refused_where_map_is_blind(case: Case) -> None:
    """Confidence compression: every score at half, in the same order, is the same mAP to the last digit."""
    verdict = accuracy.judge(case.answers, changed(case, scores=case.answers.columns["scores"] / 2), case.validation)
    assert verdict.drop.point == 0
    assert not verdict.held
    assert any("scores of what is found moved by -0.46" in reason for reason in verdict.reasons)
    assert any(
        "above the served threshold 0.25 95.2% of the objects are found, 97.7% before" in r for r in verdict.reasons
    )
    assert len(verdict.differences) == 8
    worst = verdict.differences[0]
    assert worst.picture in case.validation.pictures
    assert worst.difference >= verdict.differences[-1].difference > 0.4
    assert {find.name for find in worst.truth} <= set(case.names)
    assert worst.before[0].score == pytest.approx(2 * (worst.after[0].score or 0), rel=0.01) if worst.after else True


def test_a_quarter_of_the_scores_may_not_fall_far_either(case: Case) -> None:
    scores = case.answers.columns["scores"].copy()
    generator = np.random.default_rng(1)
    some = generator.random(len(scores)) < 0.3
    scores[some & (scores > 0.5)] -= np.float32(0.2)
    verdict = accuracy.judge(case.answers, changed(case, scores=scores), case.validation, Budget(drop=0.1))
    assert verdict.shift is not None
    assert verdict.shift.median == 0
    assert verdict.reasons == ("a quarter of the scores of what is found fell by 0.20 or more; 0.15 is allowed",)


def test_map50_is_held_too(case: Case) -> None:
    """Small boxes that are lost whole cost it as much; a drop of the judged number only, and it would pass."""
    few = np.random.default_rng(2).random(len(case.answers.columns["scores"])) < 0.04
    boxes = np.where(few[:, None], case.answers.columns["boxes"] + np.float32(100), case.answers.columns["boxes"])
    verdict = accuracy.judge(
        case.answers, changed(case, boxes=boxes), case.validation, Budget(class_drop=1, served_drop=1)
    )
    assert [reason.split()[0] for reason in verdict.reasons] == ["mAP50-95", "mAP50"]


def test_one_lost_class_is_named(case: Case) -> None:
    classes = case.answers.columns["classes"].copy()
    generator = np.random.default_rng(1)
    fours = np.flatnonzero(classes == 4)
    classes[fours[generator.random(len(fours)) < 0.3]] = 9
    verdict = accuracy.judge(case.answers, changed(case, classes=classes), case.validation, Budget(drop=0.1))
    assert not verdict.held
    assert verdict.drop.point < 0.1
    assert verdict.reasons[0].startswith("class 4 falls from 0.8")
    assert "5.00 points allowed (95 % interval" in verdict.reasons[0]


def test_displaced_boxes_cost_map(case: Case) -> None:
    boxes = case.answers.columns["boxes"] + np.float32(2)
    verdict = accuracy.judge(case.answers, changed(case, boxes=boxes), case.validation)
    assert verdict.reasons[0].startswith("mAP50-95 falls from 0.794 to 0.556: 23.87 points, 1.00 points allowed")
    assert verdict.drop.low < verdict.drop.point < verdict.drop.high


def test_a_drop_near_the_budget_is_said_to_be_unsure(case: Case) -> None:
    boxes = case.answers.columns["boxes"] + np.random.default_rng(3).normal(0, 0.35, (1, 4)).astype(np.float32)
    found = accuracy.judge(case.answers, changed(case, boxes=boxes), case.validation)
    near = Budget(drop=found.drop.point + 1e-4)
    verdict = accuracy.judge(case.answers, changed(case, boxes=boxes), case.validation, near)
    assert verdict.held
    assert verdict.notes[0].startswith("not sure: the drop lies between")
    assert "by 300 pictures; give more" in verdict.notes[0]


def test_classes_with_few_objects_are_held_to_nothing_and_named(case: Case) -> None:
    verdict = accuracy.judge(case.answers, case.answers, case.validation, Budget(least_instances=140))
    assert len([c for c in verdict.classes if not c.held]) == 6
    assert (
        "6 of 10 classes have fewer than 140 objects and are held to no budget of their own: 2 (135), "
        in verdict.notes[0]
    )


def test_without_labels_it_is_agreement(case: Case) -> None:
    unlabelled = replace(case.validation, truth=None)
    verdict = accuracy.judge(case.answers, case.answers, unlabelled)
    assert verdict.held
    assert (verdict.before.metric, verdict.before.value, verdict.before.agreement) == ("agreement mAP50-95", 1.0, True)
    boxes = case.answers.columns["boxes"] + np.float32(2)
    assert not accuracy.judge(case.answers, changed(case, boxes=boxes), unlabelled).held


def test_a_model_that_is_wrong_everywhere_proves_nothing(case: Case) -> None:
    wrong = changed(case, classes=(case.answers.columns["classes"] + 1) % 10)
    verdict = accuracy.judge(wrong, wrong, case.validation)
    assert not verdict.held
    assert "at full precision already mAP50-95 is 0.0" in verdict.reasons[0]
    blind = changed(case, scores=case.answers.columns["scores"] * 0)
    verdict = accuracy.judge(blind, blind, replace(case.validation, truth=None))
    assert "nothing is found on these 300 pictures" in verdict.reasons[0]
    with pytest.raises(ValidationSetError, match=r"at full precision already mAP50-95 is 0\.0.* do the labels"):
        accuracy.require_proof(wrong, case.validation)
    accuracy.require_proof(case.answers, case.validation)


def test_answers_come_back_from_their_file(case: Case, tmp_path: Path) -> None:
    case.answers.save(tmp_path / "answers.npz")
    case.answers.save(tmp_path / "again.npz")
    back = answers.load(tmp_path / "answers.npz")
    assert back.head == case.answers.head
    for one, other in zip(back.each(), case.answers.each(), strict=True):
        assert one.keys() == other.keys()
        assert all((one[name] == other[name]).all() for name in one)
    assert (tmp_path / "answers.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_numbers_that_are_none_are_counted_and_refused(case: Case) -> None:
    few = first(case, 10, labelled=False)
    seen = iter(range(100))
    with runners.open(str(case.twin.path)) as running:

        def run(feeds: Any) -> Any:
            given = running.run(feeds)
            if next(seen) == 0:
                given["scores"] = given["scores"].copy()
                given["scores"][:3, 0] = np.nan
            return given

        broken = accuracy.measure(run, few, case.meaning, running.signature)
        whole = accuracy.measure(running.run, few, case.meaning, running.signature)
    verdict = accuracy.judge(whole, broken, few)
    assert verdict.reasons[0] == "output scores has NaN or infinite numbers on 3 of 10 pictures"
    assert np.isfinite(broken.columns["scores"]).all()
    verdict = accuracy.judge(broken, broken, few)
    assert "at full precision too: the model itself is at fault" in verdict.reasons[0]
    with pytest.raises(AccuracyError, match=r"output scores has NaN .* on 3 of 10 pictures at full precision already"):
        accuracy.require_proof(broken, few)


def test_answers_that_depend_on_their_company_are_refused(case: Case) -> None:
    few = first(case, 10, labelled=False)
    with runners.open(str(case.twin.path)) as running:

        def run(feeds: Any) -> Any:
            given = running.run(feeds)
            count = len(given["scores"])
            return {**given, "scores": given["scores"] * np.float32(1 - 0.03 * (count - 1) / count)}

        mixed = accuracy.measure(run, few, case.meaning, running.signature)
    assert [round(one.difference, 3) for one in mixed.head.company] == pytest.approx([0.015, 0.026], abs=2e-3)
    verdict = accuracy.judge(mixed, mixed, few)
    (reason,) = verdict.reasons
    assert reason.startswith("an answer changes by 0.026 with what else is in a batch of 8, allowed 0.02: Triton puts")


def test_dynamic_quantisation_lets_strangers_in(case: Case, tmp_path: Path) -> None:
    """A tensor's range is that of the whole batch: mAP loses nothing, an answer depends on its neighbours."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(str(case.twin.path), str(tmp_path / "dynamic.onnx"), weight_type=QuantType.QUInt8)
    model = replace(case.twin, path=tmp_path / "dynamic.onnx")
    dynamic, few = measured(model, first(case, 20), case.meaning), first(case, 20)
    static = answers.gather(replace(case.answers.head, pictures=20), list(case.answers.each())[:20])
    verdict = accuracy.judge(static, dynamic, few)
    assert verdict.drop.point < 0.02
    assert any("with what else is in a batch of" in reason for reason in verdict.reasons)


def test_what_is_not_installed_is_told_before_the_first_picture(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingExtraError, match="mAP needs pycocotools, which is not installed"):
        accuracy.measure(pytest.fail, case.validation, case.meaning, case.twin.signature)


def test_progress_is_told_and_batches_are_filled(case: Case) -> None:
    few = first(case, 10, labelled=False)
    told, sizes = [], set()
    with runners.open(str(case.twin.path)) as running:

        def run(feeds: Any) -> Any:
            sizes.add(len(feeds["images"]))
            return running.run(feeds)

        made = accuracy.measure(run, few, case.meaning, running.signature, lambda *n: told.append(n), largest=4)
    assert told == [(4, 10), (8, 10), (10, 10)]
    assert sizes == {1, 2, 4}
    for one, other in zip(made.each(), case.answers.each(), strict=False):
        np.testing.assert_array_equal(one["boxes"], other["boxes"])


def test_a_fixed_batch_is_filled_with_the_last_picture(case: Case) -> None:
    few, sizes = first(case, 10, labelled=False), set()
    with runners.open(str(case.twin.path)) as running:
        (frame,) = running.signature.inputs
        fixed = replace(running.signature, inputs=(replace(frame, shape=(4, *frame.shape[1:])),))

        def run(feeds: Any) -> Any:
            sizes.add(len(feeds["images"]))
            return running.run(feeds)

        made = accuracy.measure(run, few, case.meaning, fixed)
    assert sizes == {4}
    assert (len(made), made.head.company) == (10, ())
    for one, other in zip(made.each(), case.answers.each(), strict=False):
        np.testing.assert_array_equal(one["boxes"], other["boxes"])


def test_few_pictures_are_said_to_be_few(case: Case) -> None:
    kept = answers.gather(replace(case.answers.head, pictures=10), list(case.answers.each())[:10])
    verdict = accuracy.judge(kept, kept, first(case, 10))
    assert verdict.held
    assert verdict.notes[0] == "judged on 10 pictures only; 300 tell a point of mAP, 1,000 are better"


def test_answers_of_others_are_not_compared(case: Case) -> None:
    with pytest.raises(ValidationSetError, match="different pictures"):
        accuracy.judge(case.answers, case.answers, first(case, 10))


METRICS = '''
"""Metrics of a user."""

def found(predictions, truth):
    """The share of digits for which there is a box of their class above a half; boxes are in the file's pixels."""
    print("looking")
    right = total = 0
    for given, marked in zip(predictions, truth, strict=True):
        sure = given["scores"] > 0.5
        assert given["boxes"].shape == (len(sure), 4)
        right += sum(kind in given["classes"][sure] for kind in marked["classes"])
        total += len(marked["classes"])
    return right / max(total, 1)

def broken(predictions, truth):
    return predictions[0]["nothing"]

def silent(predictions, truth):
    return None

def endless(predictions, truth):
    return float("nan")

number = 3
found.resamples = 40
'''


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "users_metrics.py").write_text(METRICS)
    (tmp_path / "failing_metrics.py").write_text("import math\nmath.sqrt(-1)\n")
    (tmp_path / "lacking_metrics.py").write_text("import math\nimport not_there\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_users_metric_is_judged(case: Case, user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = own.load("users_metrics:found")
    score = accuracy.score(case.answers, case.validation, metric=metric)
    assert (score.metric, round(score.value, 3)) == ("users_metrics:found", 0.968)
    assert score.others["mAP50-95"] == pytest.approx(0.794, abs=1e-3)
    half = changed(case, scores=case.answers.columns["scores"] * np.float32(0.6))
    verdict = accuracy.judge(case.answers, half, case.validation, metric=metric)
    assert verdict.reasons[0].startswith("users_metrics:found falls from 0.968 to 0.")
    assert verdict.drop.low < verdict.drop.point < verdict.drop.high
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "looking" in captured.err


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("users_metrics", "the form is package.module:callable"),
        ("nowhere_at_all:found", "no module nowhere_at_all here or in the environment; run from"),
        (
            "lacking_metrics:found",
            r"cannot be imported: ModuleNotFoundError: .*'not_there' .line 2 of .*lacking_metrics",
        ),
        ("failing_metrics:found", r"cannot be imported: ValueError: .* \(line 2 of .*failing_metrics.py\)"),
        ("users_metrics:fount", "users_metrics has no fount"),
        ("users_metrics:number", "is a int; it must be a function"),
        ("users_metrics:broken", r"raised KeyError: 'nothing' \(line 1[0-9] of .*users_metrics.py\)"),
        ("users_metrics:silent", "returned a NoneType; it must return a float"),
        ("users_metrics:endless", "returned nan; it must return a finite float"),
    ],
)
def test_a_metric_that_fails_is_told_with_its_line(case: Case, reference: str, said: str, user_folder: Path) -> None:
    with pytest.raises(MetricError, match=said):
        accuracy.score(case.answers, case.validation, metric=own.load(reference))
