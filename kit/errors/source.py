"""The model that was given."""

from __future__ import annotations

from kit.errors.base import KitError


class SourceError(KitError):
    """The model that was given cannot be used."""


class SourceNotFoundError(SourceError):
    """The source names no file and no importable callable."""

    exit_code = 10


class NotOnnxError(SourceError):
    """The file is no ONNX model."""

    exit_code = 11


class TruncatedOnnxError(SourceError):
    """The file begins as an ONNX model and ends too early."""

    exit_code = 12


class SourceImportError(SourceError):
    """The user's module raised while it was imported or called."""

    exit_code = 13


class ExportError(SourceError):
    """The PyTorch model could not be exported to ONNX."""

    exit_code = 14


class UnsupportedModelError(SourceError):
    """A valid model that cannot be served as asked."""

    exit_code = 15


class InputsError(SourceError):
    """A folder of images holds none that can be read."""

    exit_code = 16


class CalibrationError(SourceError):
    """The pictures for calibration are too few, unreadable, of nothing, or those that the model is judged by."""

    exit_code = 26


class SourceChangedError(SourceError):
    """The source's file was written while it was read."""

    exit_code = 17


class AmbiguousModelError(SourceError):
    """The model's outputs can be read in several ways that answer differently."""

    exit_code = 18


class ExternalDataError(SourceError):
    """Weights that a model keeps in files beside it are missing or too many, or lie where they must not be read."""

    exit_code = 62


class CheckpointError(SourceError):
    """A checkpoint holds no network, does not fit the one that was given, or cannot be read safely."""

    exit_code = 19


class ComparisonError(SourceError):
    """Two models cannot be asked the same, or answer with other tensors."""

    exit_code = 29
