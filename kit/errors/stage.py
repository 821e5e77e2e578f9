"""A stage of the pipeline broke the model."""

from __future__ import annotations

from kit.errors.base import KitError


class StageError(KitError):
    """A stage of the pipeline broke the model; the message names the stage."""

    exit_code = 30


class ParityError(StageError):
    """The answers after a stage differ from those before it."""

    exit_code = 31


class VerificationError(StageError):
    """A real Triton refused the staged repository or answered something else."""

    exit_code = 32


class WorkerDiedError(StageError):
    """The process that made one of several models ended without a word: out of memory, or a library crashed."""

    exit_code = 33


class AccuracyError(StageError):
    """A model in a lower precision is not as good as its budget asks for."""

    exit_code = 34


class QuantizationError(StageError):
    """The model cannot be computed in the precision that was asked for."""

    exit_code = 35


class EngineBuildError(StageError):
    """TensorRT built no engine of a model, or one that answers something else."""

    exit_code = 36
