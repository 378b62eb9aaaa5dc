"""The columns of a feature row: names, slices and scales. The one place that says what column 37 is.

A row describes the music around motion frame ``n``. Every column lies roughly in -3..3, does not depend on the
recording level, and is finite for every input.

========== ===== ==================================================================================================
column     width meaning
========== ===== ==================================================================================================
mel        24    log band magnitude against the running level reference, mean over the frame, scaled, at most 3
chroma     12    pitch classes from C, share of the loudest, 0..1, smoothed (0.2 s), minus 0.5; 0 without sound
onset      1     strongest onset inside the frame, all bands, 0..2.5; 1 or more where aubio hears an onset
level      1     loudness against the running level, 6 dB is 1, clipped to -3..2
bands      4     strongest onset inside the frame in low, low-mid, high-mid and high bands, 0..2.5
beat       2     confidence x (sin, cos) of the beat phase at time ``n / 30`` s
beat2      2     confidence x (sin, cos) of twice the beat phase: the half-beat, safe when on and off beat are swapped
tempo      1     log2(bpm / 120)
confidence 1     trust in the beat clock, 0..1
next_beat  1     seconds until the next beat; 0 when the phase is not known (confidence 0)
heard      1     1 for a row made from audio, 0 for a row made by ``extrapolate``
========== ===== ==================================================================================================
"""

from __future__ import annotations

from types import MappingProxyType

NUM_MEL = 24
"""Triangular bands between 30 Hz and 16 kHz. Source: beat clock measurements, ours."""

NUM_GROUPS = 4
"""Band groups for onsets: about 30-360, 240-1050, 850-3500 and 3000-16000 Hz."""

NUM_CHROMA = 12

REFERENCE_BPM = 120.0
"""Tempo whose ``tempo`` column is 0."""

_WIDTHS: tuple[tuple[str, int], ...] = (
    ("mel", NUM_MEL),
    ("chroma", NUM_CHROMA),
    ("onset", 1),
    ("level", 1),
    ("bands", NUM_GROUPS),
    ("beat", 2),
    ("beat2", 2),
    ("tempo", 1),
    ("confidence", 1),
    ("next_beat", 1),
    ("heard", 1),
)


def _slices() -> dict[str, slice]:
    columns: dict[str, slice] = {}
    start = 0
    for name, width in _WIDTHS:
        columns[name] = slice(start, start + width)
        start += width
    return columns


COLUMNS: MappingProxyType[str, slice] = MappingProxyType(_slices())
"""Column name to its slice in the last axis of a row."""

NUM_FEATURES = sum(width for _, width in _WIDTHS)
"""Width F of a feature row (50)."""

FEATURE_NAMES: tuple[str, ...] = tuple(
    name if width == 1 else f"{name}_{i}" for name, width in _WIDTHS for i in range(width)
)
"""One name for each of the F columns; ``beat_0`` is the sine, ``beat_1`` the cosine."""

TRANSIENT_COLUMNS: tuple[str, ...] = ("onset", "bands")
"""Columns that cannot be known before they are heard: 0 in extrapolated rows."""
