"""A microphone or line-in through PortAudio, watched by its progress and opened again when it was lost.

The device's thread only copies into a preallocated ring. Whether the device lives is judged by samples arriving, never
by the absence of errors: an unplugged device often reports nothing. A lost device is taken back only if it is the same
one (name and host API); until then the state is ``waiting`` and says for what.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from soulstream_engine.audio import portaudio
from soulstream_engine.audio.decode import to_mono
from soulstream_engine.audio.protocol import BLOCK_SAMPLES, start_now
from soulstream_engine.audio.ring import AudioRing
from soulstream_engine.clock import SAMPLE_RATE, monotonic_ns
from soulstream_engine.errors import AudioError
from soulstream_engine.frames import AudioBlock

LOST_AFTER_S = 1.0
"""No samples for this long means that the device is gone. Ours."""

_FIRST_BLOCK_S = 4.0
"""Longest wait for the first samples after opening; an idle monitor of a sound server needs up to 2 s. Ours."""

_BACK_OFF_S = (0.5, 0.75, 1.1, 1.7, 2.5, 4.0, 5.0)
"""Pauses between attempts to open a lost device again; the last one repeats."""

_RING_S = 1.5
_POLL_S = 0.004


class MicrophoneSource:
    """Records one input device.

    Args:
        name: The device's name or a part of it; ``None`` for the system's default.
        block_samples: Samples of a block at 48 kHz.

    Raises:
        AudioError: PortAudio is missing, there is no such device (lists those that exist), or it cannot be opened.
    """

    is_aligned = False

    def __init__(self, name: str | None = None, block_samples: int = BLOCK_SAMPLES) -> None:
        self._block_samples = block_samples
        self._stopped = threading.Event()
        self._device = portaudio.find_input_device(name)
        self._overflows = 0
        self._reopened = False
        self._is_iterated = False
        self.reconnects = 0
        self.state = "idle"
        self.reason = ""
        self._capture: _Capture | None = _Capture(self._device, self._count_overflow)

    @property
    def description(self) -> str:
        """The device that is recorded, as PortAudio names it."""
        return self._device.identity

    @property
    def xruns(self) -> int:
        """Overflows reported by the device plus reads that came too late for the ring."""
        return self._overflows

    def close(self) -> None:
        """Ends ``blocks`` within a few milliseconds."""
        self._stopped.set()
        if not self._is_iterated:
            self._close_capture()

    def blocks(self, align: Callable[[int], int] = start_now) -> Iterator[AudioBlock]:
        """Yields blocks until closed; while the device is lost it yields nothing and tries to get it back.

        Args:
            align: Not used; a device starts when it starts.
        """
        self._is_iterated = True
        if self._capture is not None:
            self._capture.ring.discard()
        position = 0
        try:
            while not self._stopped.is_set():
                if self._capture is None and not self._reconnect():
                    break
                for block in self._capture_blocks(position):
                    position = block.first_sample + len(block.samples)
                    yield block
        finally:
            self._close_capture()
            self.state, self.reason = "ended", ""

    def _capture_blocks(self, first_position: int) -> Iterator[AudioBlock]:
        """Blocks of one opening of the device, until it is lost or ``close`` is called."""
        capture = self._capture
        if capture is None:
            return
        position = first_position
        seen, progress_ns = 0, monotonic_ns()
        patience_s = _FIRST_BLOCK_S
        while not self._stopped.is_set():
            now_ns = monotonic_ns()
            if capture.ring.written != seen:
                seen, progress_ns, patience_s = capture.ring.written, now_ns, LOST_AFTER_S
                self.state, self.reason = "listening", ""
            elif now_ns - progress_ns > patience_s * 1e9:
                self._close_capture()
                self.state = "waiting"
                self.reason = f"{self._device.identity} sent no audio for {patience_s:.0f} s; waiting for it to return"
                return
            samples, first_ns, was_lost = capture.take(self._block_samples)
            if samples.size == 0:
                self._stopped.wait(_POLL_S)
                continue
            self._overflows += was_lost
            yield AudioBlock(samples, position, first_ns, was_lost or self._reopened)
            position += len(samples)
            self._reopened = False

    def _reconnect(self) -> bool:
        """Tries until the same device records again; False when closed meanwhile."""
        attempt = 0
        while not self._stopped.wait(_BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)]):
            attempt += 1
            try:
                portaudio.refresh()
                found = [d for d in portaudio.list_input_devices() if d.identity == self._device.identity]
                if not found:
                    self.reason = f"{self._device.identity} is gone; waiting for it to return"
                    continue
                self._device = found[0]
                self._capture = _Capture(self._device, self._count_overflow)
            except AudioError as error:
                self.reason = f"{error.message} Waiting for {self._device.identity}."
                continue
            self.reconnects += 1
            self._reopened = True
            return True
        return False

    def _close_capture(self) -> None:
        if self._capture is not None:
            self._capture.close()
            self._capture = None

    def _count_overflow(self) -> None:
        self._overflows += 1


class _Capture:
    """One open input stream with its ring and resampler."""

    def __init__(self, device: portaudio.InputDevice, on_overflow: Callable[[], None]) -> None:
        sounddevice = portaudio.import_sounddevice()
        channels = min(2, device.max_channels)
        self._on_overflow = on_overflow
        self._rate = SAMPLE_RATE
        try:
            sounddevice.check_input_settings(device.index, channels, "float32", samplerate=SAMPLE_RATE)
        except (sounddevice.PortAudioError, ValueError):
            self._rate = round(device.default_rate)
        self.ring = AudioRing(int(_RING_S * self._rate), channels, self._rate)
        self._resampler = None
        if self._rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype="float32", quality="QQ")
        try:
            self._stream = sounddevice.InputStream(
                device=device.index,
                samplerate=self._rate,
                channels=channels,
                dtype="float32",
                blocksize=self._rate // 100,
                latency="low",
                callback=self._callback,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(
                "AUDIO_DEVICE_REFUSED",
                f"{device.identity} cannot be opened with {channels} channels at {self._rate} Hz: {error}.",
                "Close other programs that use it, or choose another with --audio 'mic:NAME'.",
                retryable=True,
            ) from error

    def take(self, num_samples: int) -> tuple[NDArray[np.float32], int, bool]:
        """One block at 48 kHz [N] (empty: not there yet), when its first sample sounded, whether audio was lost."""
        wanted = max(1, num_samples * self._rate // SAMPLE_RATE)
        if self.ring.available < wanted:
            return np.zeros(0, np.float32), 0, False
        lost = self.ring.lost
        read = self.ring.read(wanted)
        mono = to_mono(read.samples)
        if self._resampler is not None:
            mono = np.asarray(self._resampler.resample_chunk(mono), np.float32)
        return mono, read.first_ns, self.ring.lost != lost

    def close(self) -> None:
        """Closes the stream; a device that is gone may complain, which no longer matters."""
        self._stream.close(ignore_errors=True)

    def _callback(self, block: NDArray[np.float32], frames: int, _time: object, status: Any) -> None:
        """Device's thread: copy, stamp, count. Nothing else belongs here.

        The stamp is the arrival less the block's length. The driver's own capture time is not used: through PulseAudio
        it was wrong by 0.7 s during the first second (measured); what latency remains is for ``--audio-offset``.
        """
        self.ring.write(block, monotonic_ns() - frames * 1_000_000_000 // self._rate)
        if status and status.input_overflow:
            self._on_overflow()
