"""From a spec file to the jobs that it asks for, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from kit import lacking, sources, spec
from kit.document import Node, Problem
from kit.errors import InvalidSpecError, KitError, UsageError
from kit.jobs import Job
from kit.planning import Options
from kit.specfile import document, reading
from kit.specfile.desk import Desk
from kit.specfile.fields import MODEL, flat
from kit.specfile.reading import Answers, Document, Model, Said
from kit.types import Serving, Spec, Thresholds

_MOST_PROBLEMS = 100
_OPTIONS = tuple(field.name for field in fields(Options))
_THRESHOLDS = tuple(field.name for field in fields(Thresholds))
_SHARED = tuple(key.sets for key in flat(MODEL) if key.name in ("targets", "verify", "keep"))
"""What an option may say for all models of a spec: how to work and where, not what to make of each."""


@dataclass(frozen=True, kw_only=True)
class Override:
    """An option that was given on the command line beside a spec: its name, the attribute that it sets."""

    option: str
    attribute: str
    value: object


def jobs(path: Path, overrides: Iterable[Override] = (), *, text: str | None = None) -> tuple[Job, ...]:
    """Return a job for each model of a spec file, in its order. Paths in it are relative to the file.

    ``overrides`` stand above what the file says; ``text`` is read as if it stood there. Raises ``SourceNotFoundError``
    where there is no file, ``InvalidSpecError`` with every mistake, and ``UsageError`` for an option that is of one
    model where there are more.
    """
    given = tuple(overrides)
    above = {override.attribute: override.value for override in given}
    root, wrong = document.parse(document.text_of(path) if text is None else text)
    folders = above.get("target_folders", ())
    assert isinstance(folders, tuple)
    desk = Desk(folder=path.parent, target_folders=folders, problems=list(wrong))
    read = reading.read(root, desk)
    above["target_folders"] = read.desk.target_folders
    _require_one_model(path, read, given)
    made = [_job(read, model, above) for model in read.models]
    read.desk.problems.extend(_twice(read, made))
    if read.desk.problems:
        raise InvalidSpecError(_told(path, read.desk))
    return tuple(job for job in made if job is not None)


def _require_one_model(path: Path, read: Document, given: tuple[Override, ...]) -> None:
    """Refuse what one option cannot say for several models."""
    of_one = [o for o in given if o.attribute not in _SHARED and (o.attribute not in _OPTIONS or _is_key(o))]
    if len(read.models) > 1 and of_one:
        key = next((key for key in flat(MODEL) if key.sets == of_one[0].attribute), None)
        where = f'"{key.name}:" at the model' + (" or under defaults" if key.shared else "") if key else "it"
        raise UsageError(
            f"{of_one[0].option} is for one model and {path} has {len(read.models)}; write {where} in {path.name}"
        )


def _is_key(override: Override) -> bool:
    return any(key.sets == override.attribute for key in flat(MODEL))


def _job(read: Document, model: Model, above: Mapping[str, object]) -> Job | None:
    """Return what one model asks for, or None where it cannot be told; tell what contradicts."""
    said = {**read.defaults, **model.answers}
    values: dict[str, Any] = {name: answer.value for name, answer in {**read.run, **said}.items()}
    values.update(above)
    values["per_target"] = _below(values.get("per_target", {}), above)
    if "source" not in values:
        if "name" in values:
            _name(read.desk, model, values)
        return None
    before, folder = len(read.desk.problems), read.desk.folder.absolute()
    _drop_unfit(read, model, values, above)
    if "name" in above:
        spec.check_name(values["name"], given=True)
    values["name"] = _name(read.desk, model, values)
    values.setdefault("targets", ("x86-cpu",))
    values.setdefault("output", read.desk.folder / Options().output)
    _lacks(read.desk, model, said, values, above)
    thresholds = Thresholds(**{name: values.pop(name) for name in _THRESHOLDS if name in values})
    options = Options(**{name: values.pop(name) for name in _OPTIONS if name in values})
    if len(read.desk.problems) > before:
        return Job(spec=Spec(source=values["source"], name=values["name"], targets=()), options=options, folder=folder)
    try:
        return Job(
            spec=spec.build(values.pop("source"), thresholds=thresholds, **values), options=options, folder=folder
        )
    except KitError as error:
        if any(name in above for name in (*_THRESHOLDS, "mean", "std")):
            raise
        read.desk.problems.append(_place(model, said, ("mean", "std")).problem(str(error)))
        return None


def _below(said: Mapping[str, Serving], above: Mapping[str, object]) -> dict[str, Serving]:
    """Return what is said for single targets, without what an option says for all."""
    nothing: dict[str, Any] = {field.name: None for field in fields(Serving) if field.name in above}
    return {name: replace(serving, **nothing) for name, serving in said.items()}


def _drop_unfit(read: Document, model: Model, values: dict[str, Any], above: Mapping[str, object]) -> None:
    """Take away what the source has no use for: told at a model it is a mistake, under ``defaults`` for the others."""
    source = sources.resolve(values["source"])
    unfit = {
        "input_shape": (source.needs_shape, "this model says itself what it takes; input_shape is for PyTorch models"),
        "weights": (
            source.takes_weights,
            "this model has its weights inside; weights are for package.module:callable and timm:NAME",
        ),
    }
    for name, (fits, told) in unfit.items():
        if fits or name in above:
            continue
        if name in model.answers:
            read.desk.problems.append(model.answers[name].node.problem(told))
        values.pop(name, None)


def _name(desk: Desk, model: Model, values: Mapping[str, Any]) -> str:
    """Return the model's name, and tell where it would not do."""
    given = "name" in values
    name = str(values["name"]) if given else sources.resolve(values["source"]).model_name(values["source"])
    if problem := spec.name_problem(name, given=given, how="name: "):
        desk.problems.append(_place(model, model.answers, ("name", "source")).problem(problem))
    return name


def _lacks(desk: Desk, model: Model, said: Answers, values: Mapping[str, Any], above: Mapping[str, object]) -> None:
    """Tell what a target does not have, and of which the model knows nothing."""
    apart: Mapping[str, Serving] = values["per_target"]
    for name in values["targets"]:
        own = apart[name].intra_op_threads if name in apart else None
        threads = values.get("intra_op_threads") if own is None else own
        target = desk.target(name)
        place = _place(model, said, ("intra_op_threads" if own is None else "per_target", "targets"))
        desk.problems.extend(
            place.problem(text) for text in lacking.problems(target, threads=threads, folders=desk.target_folders)
        )
    for name in set(apart) - set(values["targets"]) if "targets" not in above else ():
        those = ", ".join(values["targets"])
        at = _place(model, said, ("per_target",))
        desk.problems.append(
            at.problem(f"{name} is none of this model's targets ({those}); add it there, or delete it")
        )


def _twice(read: Document, made: list[Job | None]) -> Iterator[Problem]:
    """Yield the models whose name another one has; some file systems do not tell "A" from "a"."""
    first: dict[str, tuple[str, int]] = {}
    for model, job in zip(read.models, made, strict=True):
        if job is None:
            continue
        name = job.spec.name
        known = first.setdefault(name.casefold(), (name, model.node.line))
        if known[1] != model.node.line:
            at = _place(model, model.answers, ("name", "source"))
            yield at.problem(
                f'the model of line {known[1]} is named "{known[0]}" already; give this one a name: of its own'
            )


def _place(model: Model, said: Mapping[str, Said], names: tuple[str, ...]) -> Node:
    """Return where the first of these was said, else where the model begins."""
    return next((said[name].node for name in names if name in said), model.node)


def _told(path: Path, desk: Desk) -> str:
    """Return all problems in their order, each once, in the form that editors and terminals can jump to."""
    problems = sorted(set(desk.problems))
    count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    lines = [f"{path}:{p.line}:{p.column}: {_one_line(p.text)}" for p in problems[:_MOST_PROBLEMS]]
    more = [f"... and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
    return "\n".join([f"{path}: {count}; docs/spec.md has the keys", *lines, *more])


def _one_line(text: str) -> str:
    """Return a text in which what no terminal should be sent is spelled out."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
