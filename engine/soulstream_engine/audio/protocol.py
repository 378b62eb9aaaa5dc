"""What a source of sound is: an iterator of mono 48 kHz blocks that know when they sounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from soulstream_engine.frames import AudioBlock

BLOCK_SAMPLES = 480
"""Samples in a block: 10 ms at 48 kHz."""


def start_now(now_ns: int) -> int:
    """The default alignment of ``AudioSource.blocks``: start at once."""
    return now_ns


class AudioSource(Protocol):
    """What every source offers. One consumer iterates ``blocks``; everything else may be read from any thread."""

    @property
    def description(self) -> str:
        """What is being listened to, for people."""

    @property
    def state(self) -> str:
        """One of ``idle``, ``listening``, ``waiting`` (device gone or pipe silent), ``ended``."""

    @property
    def reason(self) -> str:
        """Why the state is what it is; empty when all is well."""

    @property
    def is_aligned(self) -> bool:
        """Whether sample 0 sounds exactly at the aligned time (paced and pipe sources)."""

    @property
    def xruns(self) -> int:
        """Times that audio was lost on the way in."""

    @property
    def reconnects(self) -> int:
        """Times that a lost device was opened again."""

    def blocks(self, align: Callable[[int], int] = start_now) -> Iterator[AudioBlock]:
        """Yields blocks until the source ends or is closed.

        Args:
            align: Given a monotonic time, returns the time at or after it at which sample 0 shall sound. Ignored by
                devices.

        Raises:
            AudioError: the source broke for good (a damaged file).
        """

    def close(self) -> None:
        """Ends ``blocks`` soon, from any thread; safe to call twice."""
