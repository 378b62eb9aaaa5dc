"""Plays a sound on the default output device so that what is heard is what the dancer hears. Always optional.

Not for: deciding when anything is due. The media clock leads; the player follows it and skips when it drifts.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.audio.portaudio import import_sounddevice
from soulstream_engine.clock import SAMPLE_RATE, monotonic_ns
from soulstream_engine.errors import AudioError

_MAX_DRIFT_SAMPLES = SAMPLE_RATE // 40
"""Jump when the device is this far from the media clock (25 ms); ours."""

_MAX_LATENCY_S = 1.0


class Player:
    """An output stream fed from a short queue of samples, aligned to the media clock.

    Args:
        capacity_s: How much may be queued ahead, seconds.

    Raises:
        AudioError: PortAudio or an output device is missing, or the device refuses 48 kHz.

    Threading: ``feed`` from one thread; the device's own thread reads.
    """

    def __init__(self, capacity_s: float = 4.0) -> None:
        sounddevice = import_sounddevice()
        self._lock = threading.Lock()
        self._store = np.zeros(int(capacity_s * SAMPLE_RATE), np.float32)
        self._end = 0  # media position after the last queued sample
        self._start_ns: int | None = None
        self._position: int | None = None
        self.jumps = 0
        try:
            self._stream = sounddevice.OutputStream(
                samplerate=SAMPLE_RATE, channels=1, dtype="float32", latency="low", callback=self._callback
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(
                "AUDIO_OUTPUT_MISSING",
                f"The track cannot be played: no default output device takes {SAMPLE_RATE} Hz ({error}).",
                "Leave out --play, or set a default output device.",
            ) from error

    @property
    def capacity(self) -> int:
        """Samples that fit in the queue."""
        return len(self._store)

    def start_at(self, start_ns: int) -> None:
        """Sets the monotonic time at which media sample 0 shall be heard."""
        self._start_ns = start_ns

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Queues the next samples [N]; positions already heard or overwritten are lost."""
        with self._lock:
            size = len(self._store)
            positions = (self._end + np.arange(len(samples))) % size
            self._store[positions] = samples
            self._end += len(samples)

    def close(self) -> None:
        """Stops the device; a second call does nothing."""
        if not self._stream.closed:
            self._stream.close(ignore_errors=True)

    def _callback(self, out: NDArray[np.float32], frames: int, time: Any, _status: object) -> None:
        out.fill(0.0)
        start_ns = self._start_ns
        if start_ns is None:
            return
        latency_s = time.outputBufferDacTime - time.currentTime
        if not 0.0 <= latency_s <= _MAX_LATENCY_S:
            latency_s = 0.0
        heard_ns = monotonic_ns() + int(latency_s * 1e9)
        wanted = (heard_ns - start_ns) * SAMPLE_RATE // 1_000_000_000
        if self._position is None or abs(wanted - self._position) > _MAX_DRIFT_SAMPLES:
            self.jumps += self._position is not None
            self._position = wanted
        position = self._position
        self._position = position + frames
        with self._lock:
            first = max(position, self._end - len(self._store), 0)
            stop = min(position + frames, self._end)
            if stop > first:
                at = np.arange(first, stop) % len(self._store)
                out[first - position : stop - position, 0] = self._store[at]
