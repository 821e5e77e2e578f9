"""Every error that a user can meet, in one tree; each class owns one exit code.

    KitError
    ├── UsageError                   2  the command line or the spec says something that cannot be
    │   ├── UnknownTargetError      20
    │   ├── UnknownTaskError        21
    │   ├── UnknownPrecisionError   22
    │   ├── InvalidModelNameError   23
    │   ├── UnknownHeadError        24
    │   ├── InvalidSpecError        25  a spec file with everything that is wrong in it
    │   ├── LoadError               90  a load test that cannot be made as asked
    │   ├── TuneError               91  a tuning that cannot be made as asked
    │   ├── ValidationSetError      27  labelled pictures that do not fit each other or the model
    │   └── MetricError             28  the user's own metric failed or gave no number
    ├── SourceError                     the model that was given
    │   ├── SourceNotFoundError     10
    │   ├── NotOnnxError            11
    │   ├── TruncatedOnnxError      12
    │   ├── SourceImportError       13  the user's Python module failed
    │   ├── ExportError             14  torch.onnx.export failed
    │   ├── UnsupportedModelError   15  a valid model that the kit cannot serve as asked
    │   ├── InputsError             16  the folder of images for calibration or validation
    │   ├── CalibrationError        26  pictures for calibration: too few, unreadable, of nothing, those of validation
    │   ├── SourceChangedError      17  the file was written while it was read
    │   ├── AmbiguousModelError     18  its outputs can be read in several ways that answer differently
    │   ├── CheckpointError         19  weights that are no network, do not fit one, or are not safe to read
    │   ├── ComparisonError         29  two models that cannot be asked the same
    │   └── ExternalDataError       62  weights outside the model's file: missing, unsafe or too many
    ├── StageError                  30  a stage of the pipeline broke the model
    │   ├── ParityError             31  its answers differ from the source model's
    │   ├── VerificationError       32  the real server refused it or answered something else
    │   ├── WorkerDiedError         33  the process that made one of several models was killed or crashed
    │   ├── AccuracyError           34  at a lower precision the model does not hold its accuracy budget
    │   ├── QuantizationError       35  the model cannot be computed in the precision that was asked for
    │   └── EngineBuildError        36  TensorRT built no engine, or one that answers something else
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
    │   ├── NoAnswerError           57  frames were there, and not one had an answer
    │   ├── NotReadyError            3  a load test found no server to measure, or one that is not ready
    │   └── EngineMismatchError     58  no TensorRT engine is there, or one of another model, release or GPU
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
    ├── ToolEnvironmentError        87  the environment of a tool (OpenVINO, LiteRT ...) cannot be made
    └── OutOfMemoryError            63  the machine has less memory than the model needs

Ctrl-C is not an error of this tree: the command line answers it with exit code 130.

A message is one line: what happened, what would have worked, what to do next. Exceptions of other
libraries are translated once, at the seam where they arise, with ``raise ... from``.
"""

from __future__ import annotations

from kit.errors.base import *
from kit.errors.camera import *
from kit.errors.machine import *
from kit.errors.repository import *
from kit.errors.server import *
from kit.errors.source import *
from kit.errors.stage import *
from kit.errors.usage import *
