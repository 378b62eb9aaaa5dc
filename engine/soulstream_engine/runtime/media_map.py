"""Which motion frame a sample of the stream belongs to: sound has its time, frames have theirs, this joins the two.

The pacer's frame n is due at ``epoch + n / 30 s``. The dance stream counts its own frames from the first sample it was
given. The map places that first sample exactly on a frame boundary (paced sources start there, of a device up to one
frame of sound is cut off) and so both counts differ by a whole number, ``offset_frames``. When sound and clock part
(lost audio, a stall, a device whose clock runs a little fast or slow) the number changes, by whole frames.
"""

from __future__ import annotations

from soulstream_engine.clock import FPS, SAMPLE_RATE, frame_due_ns

_SECOND_NS = 1_000_000_000
_FRAME_NS = _SECOND_NS // FPS
_SHIFT_AT_ONCE_NS = 200_000_000
"""A time stamp this far off is lost or stalled audio. Ours."""

_BELIEVED_AFTER = 3
"""Blocks in a row that must say so; a single odd stamp of a device is not believed. Ours."""

_SHIFT_SLOWLY_NS = _FRAME_NS * 3 // 4
"""An error that never was below this for a second is drift. Ours."""

_WATCH_SAMPLES = SAMPLE_RATE


class MediaMap:
    """Places stream samples on the pacer's frames.

    Args:
        epoch_ns: When frame 0 of the pacer is due.
        offset_ns: Shows all motion later than its sound by this much (negative: earlier), nanoseconds.

    Threading: ``place`` belongs to the worker; the rest may be read anywhere.
    """

    def __init__(self, epoch_ns: int, offset_ns: int = 0) -> None:
        self._epoch_ns = epoch_ns
        self._offset_ns = offset_ns
        self._first_frame = 0
        self._anchor_ns: int | None = None  # when sample 0 sounded, as far as known today
        self._num_samples = 0  # since sample 0; negative while the start is cut off
        self._num_cut = 0  # samples still to be cut off
        self._num_far_off = 0
        self._watched = 0
        self._smallest_error_ns: int | None = None
        self.shifts = 0
        """Times that the offset changed."""

    @property
    def offset_frames(self) -> int:
        """Add this to a stream index to get the index of the pacer."""
        return self._first_frame

    def align(self, time_ns: int) -> int:
        """First time at or after ``time_ns`` at which a stream may start so that nothing must be cut off."""
        frame = self._boundary(time_ns)
        return frame_due_ns(frame, self._epoch_ns) - self._offset_ns

    def stream_seconds(self, time_ns: int) -> float:
        """Position in the stream that sounded at a monotonic time, seconds; 0 before the first sample."""
        return 0.0 if self._anchor_ns is None else (time_ns - self._anchor_ns) / _SECOND_NS

    def place(self, captured_ns: int, num_samples: int) -> int:
        """Takes note of a block.

        Args:
            captured_ns: When its first sample sounded, monotonic.
            num_samples: Its length at 48 kHz.

        Returns:
            How many samples at its start must be cut off (0 except at the beginning of a device's stream).
        """
        if self._anchor_ns is None:
            self._anchor_ns = self.align(captured_ns)
            self._first_frame = self._boundary(self._anchor_ns)
            self._num_cut = (self._anchor_ns - captured_ns) * SAMPLE_RATE // _SECOND_NS
            self._num_samples = -self._num_cut
        else:
            self._correct(captured_ns - self._anchor_ns - self._num_samples * _SECOND_NS // SAMPLE_RATE, num_samples)
        self._num_samples += num_samples
        cut = min(self._num_cut, num_samples)
        self._num_cut -= cut
        return cut

    def _correct(self, error_ns: int, num_samples: int) -> None:
        """Follows the time stamps: at once when audio is missing, slowly (and past any jitter) when a clock drifts."""
        if abs(error_ns) >= _SHIFT_AT_ONCE_NS:
            self._num_far_off += 1
            if self._num_far_off >= _BELIEVED_AFTER:
                self._shift(error_ns)
            return
        self._num_far_off = 0
        smallest = self._smallest_error_ns
        self._smallest_error_ns = error_ns if smallest is None else min(smallest, error_ns)
        self._watched += num_samples
        if self._watched >= _WATCH_SAMPLES:
            smallest = self._smallest_error_ns
            self._restart_watch()
            if abs(smallest) > _SHIFT_SLOWLY_NS:
                self._shift(smallest)

    def _shift(self, error_ns: int) -> None:
        frames = round(error_ns / _FRAME_NS)
        self._first_frame += frames
        if self._anchor_ns is not None:
            self._anchor_ns += frames * _SECOND_NS // FPS
        self.shifts += 1
        self._restart_watch()

    def _restart_watch(self) -> None:
        self._num_far_off = 0
        self._watched = 0
        self._smallest_error_ns = None

    def _boundary(self, time_ns: int) -> int:
        """First frame due at or after the time at which sound of ``time_ns`` is shown."""
        shown_ns = time_ns + self._offset_ns - self._epoch_ns
        frame = -(-shown_ns * FPS // _SECOND_NS)
        return frame if frame_due_ns(frame, 0) >= shown_ns else frame + 1
