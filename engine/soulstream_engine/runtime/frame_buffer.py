"""Motion waiting to be shown, by frame number.

Bounded: what comes too late, too early or from before a reset is counted and dropped, so a slow or broken model can
never delay or confuse the pacer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from soulstream_engine.clock import FPS
from soulstream_engine.frames import PoseFrame


@dataclass(slots=True)
class BufferCounts:
    """How many frames were accepted, replaced by a newer one of the same index, or dropped, by reason."""

    accepted: int = 0
    replaced: int = 0
    late: int = 0
    too_early: int = 0
    stale: int = 0


class FrameBuffer:
    """Frames by index, between one producer and the pacer.

    Args:
        capacity: Frames kept ahead of the next one to be shown; later ones are refused.

    Threading: every method may be called from any thread; the lock is held for a few dictionary operations.
    """

    def __init__(self, capacity: int = 10 * FPS) -> None:
        self._capacity = capacity
        self._frames: dict[int, PoseFrame] = {}
        self._lock = threading.Lock()
        self._next_index = 0
        self._epoch = 0
        self._newest_index = -1
        self.counts = BufferCounts()

    @property
    def epoch(self) -> int:
        """Number of resets so far; pass it to ``put``."""
        return self._epoch

    @property
    def newest_index(self) -> int:
        """Highest index ever accepted; -1 before the first."""
        return self._newest_index

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frames: Iterable[PoseFrame], epoch: int) -> int:
        """Stores frames; a frame of the same index replaces the older one.

        Args:
            frames: Any indices.
            epoch: The ``epoch`` for which they were made; frames of an older one are dropped.

        Returns:
            How many were accepted.
        """
        accepted = 0
        with self._lock:
            for frame in frames:
                if epoch != self._epoch:
                    self.counts.stale += 1
                elif frame.index < self._next_index:
                    self.counts.late += 1
                elif frame.index >= self._next_index + self._capacity:
                    self.counts.too_early += 1
                else:
                    self.counts.replaced += frame.index in self._frames
                    self._frames[frame.index] = frame
                    self._newest_index = max(self._newest_index, frame.index)
                    accepted += 1
            self.counts.accepted += accepted
        return accepted

    def take(self, index: int) -> PoseFrame | None:
        """Removes and returns frame ``index``, ``None`` if it is not there; it and all earlier ones are over."""
        with self._lock:
            frame = self._frames.pop(index, None)
            if index + 1 - self._next_index > 1:
                for old in [number for number in self._frames if number < index]:
                    del self._frames[old]
            self._next_index = max(self._next_index, index + 1)
        return frame

    def peek(self, index: int) -> PoseFrame | None:
        """Frame ``index`` if it is there; stays."""
        with self._lock:
            return self._frames.get(index)

    def reset(self) -> int:
        """Drops everything and starts a new epoch, which is returned."""
        with self._lock:
            self._frames.clear()
            self._epoch += 1
            return self._epoch
