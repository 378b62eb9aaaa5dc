"""Files and the built-in track, delivered in real time: block k is due at an absolute time, so nothing drifts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.audio.demo_track import render_demo_track
from soulstream_engine.audio.player import Player
from soulstream_engine.audio.protocol import BLOCK_SAMPLES, start_now
from soulstream_engine.clock import SAMPLE_RATE, monotonic_ns
from soulstream_engine.errors import AudioError
from soulstream_engine.frames import AudioBlock

_QUEUE_AHEAD_SAMPLES = SAMPLE_RATE // 2
"""How far ahead of the clock the player is fed: half a second, so that a busy moment is not heard. Ours."""


class PacedSource:
    """Delivers pieces of audio in real time.

    Args:
        description: What is listened to, for people.
        pieces: Called for every pass over the track; yields samples [N] float32, any N.
        play: Also play on the default output device. ``None``: if there is one; it is looked for when the blocks are
            asked for, so that opening the source costs nothing.
        loop: Start again at the end.

    Raises:
        AudioError: ``play`` is set and there is no output device.
    """

    is_aligned = True
    xruns = 0
    reconnects = 0

    def __init__(
        self, description: str, pieces: Callable[[], Iterator[NDArray[np.float32]]], *, play: bool | None, loop: bool
    ) -> None:
        self.description = description
        self.state = "idle"
        self.reason = ""
        self._pieces = pieces
        self._loop = loop
        self._stopped = threading.Event()
        self._plays_if_possible = play is None
        self._player = Player() if play else None

    def close(self) -> None:
        """Ends ``blocks`` at once and stops playing."""
        self._stopped.set()
        if self._player is not None:
            self._player.close()

    def blocks(self, align: Callable[[int], int] = start_now) -> Iterator[AudioBlock]:
        """Yields blocks until the end of the track (for ever when looping). ``align``: see ``AudioSource``."""
        if self._plays_if_possible:
            try:
                self._player = Player()
            except AudioError as error:
                self.reason = f"without sound here. {error.message}"
        try:
            yield from self._paced(align)
        finally:
            if self._player is not None:
                self._player.close()

    def _paced(self, align: Callable[[int], int]) -> Iterator[AudioBlock]:
        position = 0
        start_ns: int | None = None
        waiting: list[NDArray[np.float32]] = []  # fed to the player, not yet due for the dancer
        ahead = _QUEUE_AHEAD_SAMPLES if self._player is not None else 0
        queued = 0
        for samples in self._cut():
            if start_ns is None:
                start_ns = align(monotonic_ns())
                self.state = "listening"
                if self._player is not None:
                    self._player.start_at(start_ns)
            if self._player is not None:
                self._player.feed(samples)
            waiting.append(samples)
            queued += len(samples)
            while waiting and queued > ahead:
                block = waiting.pop(0)
                queued -= len(block)
                if not self._wait(start_ns, position + len(block)):
                    return
                yield AudioBlock(block, position, start_ns + position * 1_000_000_000 // SAMPLE_RATE)
                position += len(block)
        for block in waiting:
            if start_ns is None or not self._wait(start_ns, position + len(block)):
                return
            yield AudioBlock(block, position, start_ns + position * 1_000_000_000 // SAMPLE_RATE)
            position += len(block)
        self.state, self.reason = "ended", f"{self.description} ended after {position / SAMPLE_RATE:.1f} s"

    def _wait(self, start_ns: int, position: int) -> bool:
        """Sleeps until the sample before ``position`` has sounded; False when closed."""
        wait_ns = start_ns + position * 1_000_000_000 // SAMPLE_RATE - monotonic_ns()
        if wait_ns > 0:
            self._stopped.wait(wait_ns / 1e9)
        return not self._stopped.is_set()

    def _cut(self) -> Iterator[NDArray[np.float32]]:
        """Regular blocks; a remainder is carried over, also into the next pass."""
        rest = np.zeros(0, np.float32)
        while True:
            for piece in self._pieces():
                joined = np.concatenate((rest, piece)) if rest.size else piece
                whole = len(joined) - len(joined) % BLOCK_SAMPLES
                for first in range(0, whole, BLOCK_SAMPLES):
                    yield joined[first : first + BLOCK_SAMPLES]
                rest = joined[whole:]
            if not self._loop:
                break
        if rest.size:
            yield rest


class FileSource(PacedSource):
    """A sound file in real time; any length, decoded piece by piece.

    Args:
        path: The file.
        play: Also play it on the default output device; ``None``: if there is one.
        loop: Start again at the end.

    Raises:
        AudioError: the file cannot be read, or ``play`` is set and there is no output device.
    """

    def __init__(self, path: str | os.PathLike[str], *, play: bool | None = False, loop: bool = False) -> None:
        from soulstream_engine.audio.decode import check_audio, decode_blocks

        check_audio(path)  # complain now, not when the music should start
        super().__init__(Path(path).name, lambda: decode_blocks(path), play=play, loop=loop)


class DemoSource(PacedSource):
    """The built-in track in real time.

    Args:
        play: Also play it on the default output device; ``None``: if there is one.
        loop: Start again at the end.

    Raises:
        AudioError: ``play`` is set and there is no output device.
    """

    def __init__(self, *, play: bool | None = False, loop: bool = True) -> None:
        self._track: NDArray[np.float32] | None = None
        super().__init__("built-in track", self._render, play=play, loop=loop)

    def _render(self) -> Iterator[NDArray[np.float32]]:
        if self._track is None:
            self._track = render_demo_track()
        yield self._track
