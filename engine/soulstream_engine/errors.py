"""Errors a person can act on: what happened with its value, what to do about it, and the exit code.

Every error of ours has a stable ``code``, a ``message`` that names the value and the limit, and a ``hint`` that names
the remedy. Classes are split by who can fix it; the command line maps them to exit codes (``exit_code``).
"""

from __future__ import annotations


class SoulstreamError(Exception):
    """Base of all our errors.

    Args:
        code: Stable upper-case identifier, for example ``AUDIO_DEVICE_MISSING``.
        message: What happened, with the offending value and the limit.
        hint: What to do, with the flag or command.
        retryable: Whether the same call may succeed later without any change.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, hint: str = "", *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(SoulstreamError):
    """A setting, option or input file name is wrong. Raised at start only."""

    exit_code = 2


class BundleError(SoulstreamError):
    """A model bundle is missing a file, was changed, is too new or too large."""

    exit_code = 3


class BackendError(SoulstreamError):
    """The inference runtime cannot load or run the model."""

    exit_code = 4


class AudioError(SoulstreamError):
    """An audio device or file cannot be opened or read."""

    exit_code = 5


class SinkError(SoulstreamError):
    """An output (network target or file) cannot be reached or written."""

    exit_code = 6


class InvariantError(SoulstreamError):
    """Our own bug: something that must always hold did not."""

    exit_code = 70
