"""Triton, embedded or in a container."""

from __future__ import annotations

from kit.errors.base import KitError


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


class EngineMismatchError(ServerError):
    """An engine is not there, or was built from, by or for something else than what is to serve it."""

    exit_code = 58


class NotReadyError(ServerError):
    """A load test found no server, or one that is not ready: nothing can be measured."""

    exit_code = 3
