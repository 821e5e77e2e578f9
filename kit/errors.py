"""Every error that a user can meet, in one tree; each class owns one exit code.

    KitError
    ├── UsageError                   2  the command line or the spec says something that cannot be
    │   ├── UnknownTargetError      20
    │   ├── UnknownTaskError        21
    │   ├── UnknownPrecisionError   22
    │   ├── InvalidModelNameError   23
    │   ├── UnknownHeadError        24
    │   └── InvalidSpecError        25  a spec file with everything that is wrong in it
    ├── SourceError                     the model that was given
    │   ├── SourceNotFoundError     10
    │   ├── NotOnnxError            11
    │   ├── TruncatedOnnxError      12
    │   ├── SourceImportError       13  the user's Python module failed
    │   ├── ExportError             14  torch.onnx.export failed
    │   ├── UnsupportedModelError   15  a valid model that the kit cannot serve as asked
    │   ├── InputsError             16  the folder of images for calibration or validation
    │   ├── SourceChangedError      17  the file was written while it was read
    │   ├── AmbiguousModelError     18  its outputs can be read in several ways that answer differently
    │   ├── CheckpointError         19  weights that are no network, do not fit one, or are not safe to read
    │   └── ExternalDataError       62  weights outside the model's file: missing, unsafe or too many
    ├── StageError                  30  a stage of the pipeline broke the model
    │   ├── ParityError             31  its answers differ from the source model's
    │   ├── VerificationError       32  the real server refused it or answered something else
    │   └── WorkerDiedError         33  the process that made one of several models was killed or crashed
    ├── RepositoryError                 the folder that is written
    │   ├── NotWritableError        40
    │   ├── DiskFullError           41
    │   ├── ForeignRepositoryError  42  somebody else's files stand there
    │   ├── EditedRepositoryError   43  our files were changed by hand
    │   ├── RepositoryBusyError     44  another run is writing
    │   └── BadRepositoryError      45  it is not a model repository, or names a model that is not there
    ├── ServerError                     Triton, embedded or in a container
    │   ├── PortInUseError          50
    │   ├── ModelLoadError          51  Triton's own reason, in one line
    │   ├── DownloadError           52
    │   ├── ServerUnavailableError  53  no server can run on this machine
    │   ├── ServerDiedError         54
    │   ├── UnknownModelError       55  the server has no model of this name
    │   ├── ModelContractError      56  a model that frames cannot be sent to as asked
    │   └── NoAnswerError           57  frames were there, and not one had an answer
    ├── CameraError                     where frames come from
    │   ├── CameraUriError          80  no source reads what was given, or an option is wrong
    │   ├── CameraNotFoundError     81  no such file, device or stream (404): trying again soon is no use
    │   ├── CameraRefusedError      82  credentials or permissions are wrong (401, 403)
    │   ├── CameraLostError         83  no answer, or no more of it: worth another try
    │   └── CameraSupportError      84  this machine lacks what this kind of source needs
    ├── OutputUnavailableError      85  this machine cannot show results as asked
    ├── CamerasFileError            86  a file of cameras is wrong: all of its mistakes, one a line
    ├── MissingExtraError           60  an optional dependency is not installed
    ├── TargetFileError             61  a target's TOML file is wrong
    └── OutOfMemoryError            63  the machine has less memory than the model needs

Ctrl-C is not an error of this tree: the command line answers it with exit code 130.

A message is one line: what happened, what would have worked, what to do next. Exceptions of other
libraries are translated once, at the seam where they arise, with ``raise ... from``.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import ClassVar


class KitError(Exception):
    """A user's mistake or an environment's fault: shown as one line, never as a traceback."""

    exit_code: ClassVar[int] = 1
    listed: ClassVar[bool] = False
    """Whether the message has a line for each of several problems, and is printed as it stands."""


class UsageError(KitError):
    """The command line or the spec says something that cannot be."""

    exit_code = 2


class UnknownTargetError(UsageError):
    """No target has this name."""

    exit_code = 20


class UnknownTaskError(UsageError):
    """No task has this name."""

    exit_code = 21


class UnknownPrecisionError(UsageError):
    """No precision has this name."""

    exit_code = 22


class InvalidModelNameError(UsageError):
    """Triton or a file system would refuse this model name."""

    exit_code = 23


class UnknownHeadError(UsageError):
    """No layout of a detector's outputs has this name, or it has no such variation."""

    exit_code = 24


class InvalidSpecError(UsageError):
    """A spec file is wrong; the message lists every problem with its line and column."""

    exit_code = 25
    listed = True


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


class RepositoryError(KitError):
    """The output folder cannot be written as asked; what stood there still stands."""


class NotWritableError(RepositoryError):
    """The output folder cannot be written."""

    exit_code = 40


class DiskFullError(RepositoryError):
    """The disk is full."""

    exit_code = 41


class ForeignRepositoryError(RepositoryError):
    """The output folder holds files that the kit did not write."""

    exit_code = 42


class EditedRepositoryError(RepositoryError):
    """Files that the kit wrote were changed since."""

    exit_code = 43


class RepositoryBusyError(RepositoryError):
    """Another run is writing to the same repository."""

    exit_code = 44


class BadRepositoryError(RepositoryError):
    """The folder to read is not a model repository."""

    exit_code = 45


class ServerError(KitError):
    """Triton could not be started, ended, or has not what was asked for."""


class PortInUseError(ServerError):
    """A port that the server needs is taken."""

    exit_code = 50


class ModelLoadError(ServerError):
    """Triton refused a model; the message carries Triton's own reason."""

    exit_code = 51


class DownloadError(ServerError):
    """The server's packages could not be fetched."""

    exit_code = 52


class ServerUnavailableError(ServerError):
    """No server of this kind can run on this machine."""

    exit_code = 53


class ServerDiedError(ServerError):
    """The server ended by itself and could not be brought back."""

    exit_code = 54


class UnknownModelError(ServerError):
    """The server that was asked has no model of this name."""

    exit_code = 55


class ModelContractError(ServerError):
    """A server's model takes or gives something else than was asked for."""

    exit_code = 56


class NoAnswerError(ServerError):
    """Frames were captured, and not one had an answer."""

    exit_code = 57


class CameraError(KitError):
    """A source of frames cannot be read; the message holds no credentials."""

    permanent: ClassVar[bool] = False
    """Whether only somebody's act can mend it, so that another try soon is no use."""


class CameraUriError(CameraError):
    """No source reads this URI, or one of its options is wrong."""

    exit_code = 80
    permanent = True


class CameraNotFoundError(CameraError):
    """There is no such file, device or stream."""

    exit_code = 81
    permanent = True


class CameraRefusedError(CameraError):
    """The camera or the system refuses: credentials or permissions are wrong."""

    exit_code = 82
    permanent = True


class CameraLostError(CameraError):
    """The camera does not answer, or no longer."""

    exit_code = 83


class CameraSupportError(CameraError):
    """This machine lacks what this kind of source needs."""

    exit_code = 84
    permanent = True


class OutputUnavailableError(KitError):
    """Results cannot be shown as asked: there is no display, or a library without windows."""

    exit_code = 85


class CamerasFileError(KitError):
    """A file of cameras is wrong; the message lists every mistake with its line and column."""

    exit_code = 86
    listed = True


class MissingExtraError(KitError):
    """An optional dependency is not installed."""

    exit_code = 60

    def __init__(self, package: str, extra: str | None, purpose: str, otherwise: str = "") -> None:
        """Say which ``extra`` brings ``package`` (None: it is the user's own), and what it is needed for.

        ``otherwise`` is what would do instead.
        """
        wanted = package if extra is None else f"'triton-edge-kit[{extra}]'"
        rest = f"; or {otherwise}" if otherwise else ""
        super().__init__(f"{purpose} needs {package}, which is not installed; run: pip install {wanted}{rest}")


class TargetFileError(KitError):
    """A target's TOML file is wrong."""

    exit_code = 61
    listed = True


def of_system(error: Exception) -> KitError | None:
    """Return what an error of the operating system is to a user, wherever it arises; None for a fault of ours."""
    if isinstance(error, MemoryError):
        reason = str(error) or "the system gave none"
        return OutOfMemoryError(f"not enough memory ({reason}); lower --max-batch-size, or use a larger machine")
    if isinstance(error, PermissionError) and error.filename is not None:
        return NotWritableError(f"{error.filename}: permission denied; ask for it, or choose another place")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskFullError("no space left for the output or for temporary files; free some, or set TMPDIR")
    return None


class OutOfMemoryError(KitError):
    """The machine has less memory than the model needs."""

    exit_code = 63


def suggestion(word: str, choices: Iterable[str]) -> str:
    """Return ``'did you mean "x"? '`` or nothing, followed by all ``choices``; for the end of a message."""
    known = sorted(choices)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return (f'did you mean "{near[0]}"? ' if near else "") + f"choose from {', '.join(known)}"
