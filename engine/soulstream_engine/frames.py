"""What travels between the parts of the engine. Frozen, validated at the edge that makes them, no behaviour.

Letters: N samples, F features, T frames, D motion features, J joints (52), Q levels, P parts.
Arrays are read-only by agreement once published.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class Provenance(Enum):
    """Where a frame of motion came from; every frame carries it."""

    GENERATED = "generated"
    BLENDED = "blended"
    HELD = "held"
    IDLE = "idle"


ALL_PARTS = ("body", "hands", "face")
"""Parts of a dancer; a frame lists those that a rule made."""


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """Mono audio at ``clock.SAMPLE_RATE``.

    ``samples`` [N] float32 in -1..1; ``first_sample`` is its position in the stream (media time); a gap between blocks
    means lost audio. ``captured_ns`` is monotonic. ``overflowed`` tells that audio was lost before this block.
    """

    samples: F32
    first_sample: int
    captured_ns: int = 0
    overflowed: bool = False


@dataclass(frozen=True, slots=True)
class FeatureFrame:
    """One causal row of music features for motion frame ``index`` (audio up to ``(index + 1) / 30`` s).

    ``values`` [F] float32 in the order of ``features.layout``; ``beat_phase`` in turns 0..1 at time ``index / 30`` s
    and ``tempo_bpm`` are ``None`` until the beat clock has locked once; ``confidence`` 0..1; ``onset`` 0..1.
    """

    index: int
    values: F32
    level_dbfs: float
    onset: float
    tempo_bpm: float | None
    beat_phase: float | None
    confidence: float
    is_silent: bool


@dataclass(frozen=True, slots=True)
class MotionChunk:
    """Motion features from one tick: ``motion`` [T, D] float32 (de-normalised), first row is frame ``start_index``.

    ``codes`` [P, Q, T / 4] int32 are the committed codes it was decoded from (``-`` never magic values); a chunk
    of an older ``epoch`` is dropped by whoever receives it.
    """

    motion: F32
    start_index: int
    epoch: int
    codes: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PoseFrame:
    """One instant of the dancer, at 30 frames a second (or interpolated to the output rate).

    ``root_m`` [3] position of the pelvis, metres, Y up; ``joint_wxyz`` [J, 4] unit parent-local rotations (entry 0 is
    the pelvis in the world); ``face`` [52] ARKit weights 0..1 in Apple's order; ``contacts`` [4] 0..1 for left ankle,
    left toe, right ankle, right toe. ``not_generated`` names the parts that a rule drives and not the model. Rest pose
    (all rotations identity) and offsets: ``motion.skeleton``.
    """

    index: int
    root_m: F32
    joint_wxyz: F32
    face: F32
    contacts: F32
    provenance: Provenance
    not_generated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """What the operator sees; published a few times a second.

    ``backend`` is the name of what computes the dance now; empty until the model is loaded.
    """

    frames_sent: int
    dropped: int
    duplicated: int
    generated: int
    held: int
    blended: int
    idle: int
    late_ms_p99: float
    tempo_bpm: float | None
    confidence: float
    level_dbfs: float
    is_silent: bool
    state: str
    reason: str
    backend: str = ""
