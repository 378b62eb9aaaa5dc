"""Raw samples from a pipe: ``arecord ... | soulstream run --audio -``.

Taken as they come. A pipe that is faster than real time (``cat song.raw``) is held back by not reading it, so nothing
piles up here; one that is slower or stalls moves the audio that follows to the time at which it really came.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from soulstream_engine.audio.decode import MAX_RATE, MIN_RATE, to_mono
from soulstream_engine.audio.protocol import BLOCK_SAMPLES, start_now
from soulstream_engine.clock import SAMPLE_RATE, monotonic_ns
from soulstream_engine.errors import AudioError, ConfigError
from soulstream_engine.frames import AudioBlock

_SAMPLE_TYPES = {"s16le": "<i2", "s16be": ">i2", "s24le": "s24le", "s32le": "<i4", "f32le": "<f4", "u8": "u1"}
_MAX_CHANNELS = 64
_STALL_NS = 250_000_000
"""A block this much later than expected counts as a stall: the audio after it is placed anew. Ours."""

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class PipeFormat:
    """How raw samples look: ``sample_rate`` Hz, interleaved ``channels``, and ``encoding`` (as ffmpeg names them).

    Raises:
        ConfigError: a value outside what can be read.
    """

    sample_rate: int = SAMPLE_RATE
    channels: int = 1
    encoding: str = "s16le"

    def __post_init__(self) -> None:
        if not MIN_RATE <= self.sample_rate <= MAX_RATE:
            raise ConfigError(
                "CONFIG_PIPE_RATE",
                f"Standard input has {self.sample_rate} Hz; {MIN_RATE} to {MAX_RATE} Hz are possible.",
                "Give the rate the samples were made with.",
            )
        if not 1 <= self.channels <= _MAX_CHANNELS:
            raise ConfigError(
                "CONFIG_PIPE_CHANNELS",
                f"Standard input has {self.channels} channels; 1 to {_MAX_CHANNELS} are possible.",
                "Give the number of interleaved channels.",
            )
        if self.encoding not in _SAMPLE_TYPES:
            raise ConfigError(
                "CONFIG_PIPE_FORMAT",
                f"Unknown sample format '{self.encoding}'.",
                f"Use one of {', '.join(_SAMPLE_TYPES)}.",
            )

    @property
    def bytes_per_frame(self) -> int:
        """Bytes of one sample of every channel."""
        width = 3 if self.encoding == "s24le" else np.dtype(_SAMPLE_TYPES[self.encoding]).itemsize
        return width * self.channels

    def decode(self, data: bytes) -> NDArray[np.float32]:
        """Samples [N] float32 mono in -1..1 of whole frames of ``data``."""
        if self.encoding == "s24le":
            raw = np.frombuffer(data, np.uint8).reshape(-1, 3)
            wide = np.zeros((len(raw), 4), np.uint8)
            wide[:, 1:] = raw
            samples = (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
        else:
            values = np.frombuffer(data, _SAMPLE_TYPES[self.encoding])
            samples = values.astype(np.float32)
            if values.dtype.kind == "u":
                samples = (samples - np.float32(128.0)) / np.float32(128.0)
            elif values.dtype.kind == "i":
                samples = samples / np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
        return to_mono(samples.reshape(-1, self.channels))


def parse_pipe_format(text: str) -> PipeFormat:
    """Reads ``ENCODING:HZ:CHANNELS``, for example ``f32le:44100:2``; parts at the end may be left out.

    Raises:
        ConfigError: More than three parts, a part that is no number, or a value outside what can be read.
    """
    encoding, *numbers = text.split(":")
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise ConfigError(
            "CONFIG_PIPE_FORMAT", f"'{text}' is not ENCODING:HZ:CHANNELS.", "Write it like s16le:48000:1."
        )
    names = ("sample_rate", "channels")
    return PipeFormat(encoding=encoding, **dict(zip(names, map(int, numbers), strict=False)))


class PipeSource:
    """Reads a file descriptor until it ends.

    Args:
        descriptor: Open for reading; stays open after ``close``.
        pipe_format: How the samples look.
        block_samples: Samples of a block at 48 kHz.
    """

    is_aligned = True
    xruns = 0
    reconnects = 0

    def __init__(self, descriptor: int, pipe_format: PipeFormat, block_samples: int = BLOCK_SAMPLES) -> None:
        self._descriptor = descriptor
        self._format = pipe_format
        self._block_samples = block_samples
        self._stopped = threading.Event()
        self.state = "idle"
        self.reason = ""
        self.stalls = 0
        """Times that the pipe was more than a quarter of a second late."""

    @property
    def description(self) -> str:
        """What is being listened to, for people."""
        return f"standard input ({self._format.encoding}, {self._format.channels} ch, {self._format.sample_rate} Hz)"

    def close(self) -> None:
        """Ends ``blocks`` within a tenth of a second."""
        self._stopped.set()

    def blocks(self, align: Callable[[int], int] = start_now) -> Iterator[AudioBlock]:
        """Yields blocks until the pipe ends. ``align``: see ``AudioSource``.

        Raises:
            AudioError: the pipe ended before the first sample.
        """
        start_ns: int | None = None
        position = 0
        self.state, self.reason = "waiting", "no audio has arrived yet"
        for samples in self._resampled():
            if start_ns is None:
                start_ns = align(monotonic_ns())
                self.state, self.reason = "listening", ""
            due_ns = start_ns + (position + len(samples)) * 1_000_000_000 // SAMPLE_RATE
            late_ns = monotonic_ns() - due_ns
            if late_ns > _STALL_NS:
                self.stalls += 1
                start_ns += late_ns
            elif late_ns < 0:
                self._stopped.wait(-late_ns / 1e9)
            if self._stopped.is_set():
                break
            yield AudioBlock(samples, position, start_ns + position * 1_000_000_000 // SAMPLE_RATE, late_ns > _STALL_NS)
            position += len(samples)
        self.state, self.reason = "ended", "standard input ended"
        if start_ns is None and not self._stopped.is_set():
            raise AudioError(
                "AUDIO_PIPE_EMPTY", "Standard input ended without a sample (0 s).", "Check the program that feeds it."
            )

    def _resampled(self) -> Iterator[NDArray[np.float32]]:
        """Blocks of ``block_samples`` at 48 kHz (the last may be shorter)."""
        if self._format.sample_rate == SAMPLE_RATE:
            yield from self._decoded(self._block_samples)
            return
        resampler = soxr.ResampleStream(self._format.sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        for samples in self._decoded(max(1, self._block_samples * self._format.sample_rate // SAMPLE_RATE)):
            resampled = np.asarray(resampler.resample_chunk(samples), np.float32)
            if resampled.size:
                yield resampled
        rest = np.asarray(resampler.resample_chunk(np.zeros(0, np.float32), last=True), np.float32)
        for first in range(0, len(rest), self._block_samples):
            yield rest[first : first + self._block_samples]

    def _decoded(self, num_samples: int) -> Iterator[NDArray[np.float32]]:
        wanted = num_samples * self._format.bytes_per_frame
        pending = b""
        while not self._stopped.is_set():
            if os.name == "posix" and not select.select([self._descriptor], [], [], _POLL_S)[0]:
                continue
            data = os.read(self._descriptor, wanted - len(pending))
            pending += data
            if len(pending) == wanted or not data:
                whole = len(pending) - len(pending) % self._format.bytes_per_frame
                if whole:
                    yield self._format.decode(pending[:whole])
                pending = b""
            if not data:
                return
