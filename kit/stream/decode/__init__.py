"""What a model's outputs mean: one file per layout."""

from __future__ import annotations

from kit import axis
from kit.errors import ModelContractError, UnknownTaskError, suggestion
from kit.stream.decode.interface import Decoder, Recognition, Shown


def get(name: str) -> Decoder:
    """Return the decoder of that name."""
    decoder = axis.member(__name__, name)
    assert isinstance(decoder, Decoder)
    return decoder


def every() -> tuple[Decoder, ...]:
    """Return all decoders, the most demanding first: the last one takes any outputs."""
    return tuple(sorted((get(name) for name in axis.names(__name__)), key=lambda decoder: decoder.rank))


def tasks() -> tuple[str, ...]:
    """Return the tasks that can be asked for."""
    return tuple(dict.fromkeys(decoder.task for decoder in every()))


def choose(shown: Shown, task: str | None) -> tuple[Decoder, Recognition]:
    """Return the first decoder that recognises the outputs, of ``task`` where it is told, and what it saw.

    Raises ``UnknownTaskError`` and ``UnknownHeadError``, or ``ModelContractError`` where the outputs do not fit.
    """
    if task is not None and task not in tasks():
        raise UnknownTaskError(f'unknown task "{task}"; {suggestion(task, tasks())}')
    candidates = [decoder for decoder in every() if task in (None, decoder.task)]
    for decoder in candidates:
        found = decoder.recognise(shown)
        if found is not None:
            return decoder, found
    outputs = ", ".join(f"{t.name} {t.dtype.value} {list(t.shape)}" for t in shown.outputs)
    wanted = " or ".join(decoder.expects(shown.head) for decoder in candidates)
    raise ModelContractError(
        f"{task} takes {wanted}, this model gives {outputs} for a frame; --task raw takes it as it is"
    )
