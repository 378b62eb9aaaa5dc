"""A ring of audio between the device's thread and ours: never blocks, never allocates while writing.

Exactly one thread writes, exactly one reads. When the reader is too slow the oldest samples are overwritten and
counted, so that what is read is always recent (a growing queue would be growing latency).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RingRead:
    """What one read returned: ``samples`` [N, C] float32 (a copy), the stream position of the first, and its stamp.

    ``first_ns`` is the monotonic time at which the first sample was captured, reckoned from the newest block.
    """

    samples: NDArray[np.float32]
    first_sample: int
    first_ns: int


class AudioRing:
    """Fixed store of the newest ``capacity`` sample frames.

    Args:
        capacity: Sample frames kept; one second is plenty.
        channels: Channels of every block.
        sample_rate: Hz, used for time stamps alone.

    Threading: ``write`` belongs to the producer; ``read``, ``discard`` and ``available`` to the consumer.
    """

    def __init__(self, capacity: int, channels: int, sample_rate: int) -> None:
        self._store = np.zeros((capacity, channels), np.float32)
        self._capacity = capacity
        self._sample_rate = sample_rate
        self._claimed = 0  # the writer may be filling up to here
        self._written = 0  # everything before this position is complete
        self._read = 0
        self._stamp = (0, 0)  # (position, monotonic ns at which that position was captured); replaced as one object
        self.lost = 0
        """Sample frames overwritten before they were read."""

    @property
    def written(self) -> int:
        """Sample frames written since the start; shows progress."""
        return self._written

    @property
    def available(self) -> int:
        """Sample frames that ``read`` would return now."""
        return min(self._written - self._read, self._capacity)

    def discard(self) -> None:
        """Forgets everything written so far without counting it as lost."""
        self._read = self._written

    def write(self, block: NDArray[np.float32], captured_ns: int) -> None:
        """Copies a block in; called by the device's thread.

        Args:
            block: [N, C] float32; of a block longer than the ring only the end stays.
            captured_ns: Monotonic time at which the first sample of ``block`` was captured.
        """
        num = len(block)
        start = self._written
        self._claimed = start + num
        kept = block[-self._capacity :]
        first = (start + num - len(kept)) % self._capacity
        split = min(len(kept), self._capacity - first)
        self._store[first : first + split] = kept[:split]
        self._store[: len(kept) - split] = kept[split:]
        self._stamp = (start, captured_ns)
        self._written = self._claimed

    def read(self, max_samples: int) -> RingRead:
        """Takes up to ``max_samples`` of the oldest samples still there; may return none."""
        while True:
            end = self._written
            position, stamp_ns = self._stamp
            start = max(self._read, end - self._capacity)
            if start >= end:
                return RingRead(self._store[:0].copy(), start, stamp_ns)
            stop = min(end, start + max_samples)
            first = start % self._capacity
            split = min(stop - start, self._capacity - first)
            samples = np.concatenate((self._store[first : first + split], self._store[: stop - start - split]))
            oldest = self._claimed - self._capacity  # the writer may have begun to overwrite everything before this
            if start >= oldest:
                self.lost += start - self._read
                self._read = stop
                first_ns = stamp_ns + (start - position) * 1_000_000_000 // self._sample_rate
                return RingRead(samples, start, first_ns)
            self.lost += oldest - self._read
            self._read = oldest
