"""The only place that converts between samples, frame indices, seconds and monotonic nanoseconds.

Media time is the position in the audio stream. Motion frame ``n`` is due at media time ``n / FPS`` seconds.
Not for: measuring how long something took in a log (use ``monotonic_ns`` directly there too, never the wall clock).
"""

from __future__ import annotations

import time

SAMPLE_RATE = 48_000
"""Audio rate inside the engine, Hz."""

FPS = 30
"""Motion and feature frames a second."""

SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
"""Audio samples in one motion frame (1600)."""


MAX_AUDIO_OFFSET_MS = 2000.0
"""Largest shift of the dance against the music, milliseconds either way. Ours."""

MAX_SESSION_S = 7 * 24 * 3600.0
"""Longest live run that can be asked for, seconds. Ours."""


def monotonic_ns() -> int:
    """Monotonic time now, nanoseconds. Live: any thread."""
    return time.monotonic_ns()


def frame_to_seconds(index: int, fps: int = FPS) -> float:
    """Media time of a motion frame, seconds."""
    return index / fps


def frame_due_ns(index: int, epoch_ns: int, fps: int = FPS) -> int:
    """Monotonic time at which frame ``index`` is due when frame 0 is due at ``epoch_ns``. No drift: integer maths."""
    return epoch_ns + index * 1_000_000_000 // fps
