"""A candidate's configuration is what kit generate would write for it, and Triton's rules hold in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import config, manifest, targets
from kit.errors import BadRepositoryError, TuneError, UnknownTargetError
from kit.render import config_context, render_config
from kit.tune import overriding, space, subject
from kit.tune.subject import Subject
from kit.tune.values import Candidate, Job, Limits, Need
from kit.types import Spec

REPOSITORY = Path(__file__).parents[2] / "model_repository"
NEED = Need(p99_ms=50)
TARGETS = sorted(path.stem for path in (REPOSITORY / "digits" / "configs").glob("*.pbtxt"))


def read(target: str = "x86-cpu", repository: Path = REPOSITORY, model: str = "digits") -> Subject:
    return subject.read(Job(repository=repository, model=model, target=target, need=NEED))


X86 = read()
candidates = st.builds(
    Candidate,
    instances=st.integers(1, 9),
    max_batch_size=st.integers(1, 40),
    queue_delay_us=st.integers(0, 10**6),
    threads=st.integers(0, 64),
)


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_repository_says_is_a_candidate_that_changes_nothing(target: str) -> None:
    variant = read(target).variants[""]
    assert overriding.configured(variant, variant.before) == config.parse(variant.text)


@given(candidates)
@settings(max_examples=40, deadline=None)
def test_it_is_what_kit_generate_would_write(candidate: Candidate) -> None:
    said = manifest.read(REPOSITORY / "digits")
    target = targets.load("x86-cpu")
    backend = target.backend("onnxruntime")
    assert said is not None
    assert backend is not None
    spec = Spec(
        source="digits.onnx", name="digits", targets=("x86-cpu",), instance_count=candidate.instances,
        max_batch_size=candidate.max_batch_size, max_queue_delay_us=candidate.queue_delay_us,
        intra_op_threads=candidate.threads,
    )  # fmt: skip
    context = config_context(
        name="digits", signature=said.signature, backend=backend, target=target, spec=spec, model_filename="model.onnx",
        label_filename="labels.txt", label_output="classes", digest=said.files["1/model.onnx"],
    )  # fmt: skip
    text = render_config(context)
    assert overriding.configured(X86.variants[""], candidate) == config.parse(text)


@given(candidates)
@settings(max_examples=40, deadline=None)
def test_what_was_made_of_a_candidate_reads_as_that_candidate(candidate: Candidate) -> None:
    made = json.loads(overriding.override(X86.variants[""], candidate))
    assert made["max_batch_size"] == candidate.max_batch_size
    assert all(warmup["batch_size"] <= candidate.max_batch_size for warmup in made["model_warmup"])
    found = subject.candidate(overriding.configured(X86.variants[""], candidate))
    delay = candidate.queue_delay_us if candidate.max_batch_size > 1 else 0
    assert found == Candidate(
        instances=candidate.instances, max_batch_size=candidate.max_batch_size, queue_delay_us=delay,
        threads=candidate.threads,
    )  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_the_space_has_no_axis_that_the_target_has_not(target: str) -> None:
    known = read(target)
    found = space.candidates(known, NEED, Limits())
    assert known.before in found
    assert len(set(found)) == len(found) > 10
    assert (len({c.threads for c in found}) > 1) == target.endswith("-cpu")
    assert all(c.queue_delay_us == 0 for c in found if c.max_batch_size <= 1)


def test_limits_narrow_the_space() -> None:
    limits = Limits(instances=(3,), max_batch_sizes=(2, 16), queue_delays_us=(700,), threads=(1,))
    found = set(space.candidates(X86, NEED, limits)) - {X86.before}
    assert found == {Candidate(instances=3, max_batch_size=size, queue_delay_us=700, threads=1) for size in (2, 16)}


def test_few_cameras_fill_no_large_batch() -> None:
    sizes = {c.max_batch_size for c in space.candidates(X86, Need(p99_ms=50, cameras=1), Limits())}
    assert sizes - {X86.before.max_batch_size} == {1, 2}


def changed(tmp_path: Path, old: str, new: str) -> Path:
    import shutil

    shutil.copytree(REPOSITORY, tmp_path / "r")
    path = tmp_path / "r" / "digits" / "configs" / "x86-cpu.pbtxt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return tmp_path / "r"


def test_a_model_without_batches_has_instances_and_threads_only(tmp_path: Path) -> None:
    known = read(repository=changed(tmp_path, "max_batch_size: 4", "max_batch_size: 0"))
    assert {(c.max_batch_size, c.queue_delay_us) for c in space.candidates(known, NEED, Limits())} == {(0, 0)}


def test_an_engine_takes_no_more_than_it_was_built_for(tmp_path: Path) -> None:
    known = read(repository=changed(tmp_path, 'backend: "onnxruntime"', 'backend: "tensorrt"'))
    assert max(c.max_batch_size for c in space.candidates(known, NEED, Limits())) == 4


def test_own_warmups_and_preferred_sizes_are_kept_where_they_fit(tmp_path: Path) -> None:
    repository = changed(
        tmp_path, "max_queue_delay_microseconds: 0", "preferred_batch_size: [ 2, 4 ] max_queue_delay_microseconds: 0"
    )
    path = repository / "digits" / "configs" / "x86-cpu.pbtxt"
    path.write_text(path.read_text().replace('"batch of 2"', '"mine"'))
    variant = read(repository=repository).variants[""]
    made = overriding.configured(variant, Candidate(instances=1, max_batch_size=3, queue_delay_us=0, threads=0))
    assert [warmup.name for warmup in made.model_warmup] == ["batch of 1", "mine"]
    assert list(made.dynamic_batching.preferred_batch_size) == [2, 3]


def test_mistakes_are_told_with_what_would_have_worked(tmp_path: Path) -> None:
    with pytest.raises(BadRepositoryError, match='holds no model "digts"; did you mean "digits"'):
        read(model="digts")
    with pytest.raises(BadRepositoryError, match=r"nowhere does not exist; give a model repository"):
        read(repository=tmp_path / "nowhere")
    with pytest.raises(UnknownTargetError, match='did you mean "x86-cpu"'):
        read("x86-cpus")
    (changed(tmp_path, "digits", "digits") / "digits" / "configs" / "t4.pbtxt").unlink()
    with pytest.raises(BadRepositoryError, match=r"has no configuration for t4; .*kit generate --target t4"):
        read("t4", repository=tmp_path / "r")
    folder = tmp_path / "e" / "both"
    folder.mkdir(parents=True)
    step = 'step [ { model_name: "digits" model_version: -1 } ]'
    (folder / "config.pbtxt").write_text(f'name: "both" platform: "ensemble" ensemble_scheduling {{ {step} }}')
    with pytest.raises(TuneError, match=r"both is an ensemble, .* tune its members: digits"):
        read(repository=tmp_path / "e", model="both")
    with pytest.raises(TuneError, match="the limits leave nothing to try"):
        space.candidates(X86, NEED, Limits(max_batch_sizes=(0,)))
