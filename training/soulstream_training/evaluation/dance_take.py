"""One dance that is judged: where its joints are, and what else is known of it. Every system is judged through this."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DanceTake:
    """A dance to a song, at 30 fps, Y up, metres.

    Attributes:
        song: Name of the song; intervals are over songs, so equal songs have equal names.
        joints_m: [T, J, 3] float32 world positions, J = 22 or 52 (``motion.skeleton`` order); at least a second.
        joint_wxyz: [T, J, 4] parent-local rotations, or ``None`` where a system gives positions alone.
        face: [T, C] float32 expression weights, or ``None``.
        music: [T, F] float32 feature rows of the same frames, or ``None`` where nobody knows them.
        edges: Frames at which the system began a new window or plan, for the boundary jerk.
    """

    song: str
    joints_m: F32
    joint_wxyz: F32 | None = None
    face: F32 | None = None
    music: F32 | None = None
    edges: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        shape = self.joints_m.shape
        if len(shape) != 3 or shape[1] not in (22, 52) or shape[2] != 3 or shape[0] < FPS:
            raise ValueError(f"joints of '{self.song}' are {list(shape)}; [T, 22 or 52, 3] with T at least {FPS}")
        if not np.isfinite(self.joints_m).all():
            wrong = int((~np.isfinite(self.joints_m)).sum())
            raise ValueError(f"'{self.song}' has {wrong} joint positions that are not finite; repair or leave it out")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.joints_m) / FPS
