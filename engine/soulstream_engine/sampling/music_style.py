"""The last seconds of music as one vector: alike for pieces that are danced alike.

The rows are the live features; the network is a callable, so any backend or a test may stand behind it. Not for:
opening the network (``style_model.load_music_style``).

Letters: U new rows, T rows of a window, F features, W width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from soulstream_engine.errors import InvariantError

from .schedule import F32

Encode = Callable[[F32], F32]
"""Rows [1, T, F] float32 -> latent [1, W] float32; must not keep the rows, which are overwritten."""


class MusicStyle:
    """Remembers the last rows of one stream and says what music they are. Memory is allocated once.

    Args:
        encode: The music encoder.
        frames: T.
        columns: F.
    """

    def __init__(self, encode: Encode, frames: int, columns: int) -> None:
        self.frames = frames
        self.columns = columns
        self._encode = encode
        self._rows = np.zeros((2 * frames, columns), np.float32)  # each row twice: any T in a row lie in one piece
        self.reset()

    def reset(self) -> None:
        """Forget all rows: a new epoch."""
        self._next = 0
        self._heard = 0

    def push(self, rows: F32) -> None:
        """Hear rows.

        Args:
            rows: [U, F] float32 feature rows that follow those before, oldest first; U may be 0 or exceed T.

        Raises:
            ValueError: If the rows have another shape; nothing is remembered then.

        Live: one thread with ``embedding``; no allocation.
        """
        if rows.ndim != 2 or rows.shape[1] != self.columns:
            raise ValueError(f"rows are [U, {self.columns}], not {list(rows.shape)}")
        for row in rows[-self.frames :]:
            self._rows[self._next] = row
            self._rows[self._next + self.frames] = row
            self._next = (self._next + 1) % self.frames
        self._heard = min(self._heard + len(rows), self.frames)

    def embedding(self) -> F32 | None:
        """Where the music of the last T rows lies.

        Returns:
            [W] float32 of unit length, to compare by dot product; ``None`` until T rows were heard.

        Raises:
            InvariantError: If the network gives something that has no direction; the rows must then be forgotten,
                because they may hold the reason.

        Live: one thread with ``push``; runs the network, allocates the vector.
        """
        if self._heard < self.frames:
            return None
        latent = self._encode(self._rows[None, self._next : self._next + self.frames])[0]
        length = float(np.linalg.norm(latent))
        if not 0.0 < length < np.inf:
            raise InvariantError("STYLE_NOT_FINITE", f"The music encoder gave a vector of length {length}.")
        unit: F32 = latent / np.float32(length)
        return unit
