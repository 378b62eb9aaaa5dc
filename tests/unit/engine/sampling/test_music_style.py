from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.errors import InvariantError
from soulstream_engine.sampling.music_style import MusicStyle
from soulstream_engine.sampling.schedule import F32

FRAMES, COLUMNS, WIDTH = 12, 5, 7


class Encoder:
    """A fixed projection of all rows, which remembers the windows it was given."""

    def __init__(self) -> None:
        self.matrix = np.random.default_rng(0).normal(size=(FRAMES * COLUMNS, WIDTH)).astype(np.float32)
        self.windows: list[F32] = []

    def __call__(self, rows: F32) -> F32:
        assert rows.shape == (1, FRAMES, COLUMNS)
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous
        self.windows.append(rows)
        return rows.reshape(1, -1) @ self.matrix


def music(count: int, seed: int = 1) -> F32:
    return np.random.default_rng(seed).normal(size=(count, COLUMNS)).astype(np.float32)


def at_once(rows: F32) -> F32:
    style = MusicStyle(Encoder(), FRAMES, COLUMNS)
    style.push(rows[-FRAMES:])
    found = style.embedding()
    assert found is not None
    return found


@pytest.mark.parametrize("pieces", [[1], [3], [5, 2, 0, 7], [FRAMES], [FRAMES - 1], [2 * FRAMES + 3, 1]])
def test_pieces_give_what_the_last_rows_give_at_once(pieces: list[int]) -> None:
    style, rows = MusicStyle(Encoder(), FRAMES, COLUMNS), music(9 * FRAMES + 4)
    heard, number, compared = 0, 0, 0
    while heard < len(rows):
        piece = rows[heard : heard + pieces[number % len(pieces)]]
        style.push(piece)
        heard, number = heard + len(piece), number + 1
        found = style.embedding()
        assert (found is None) == (heard < FRAMES)
        if found is not None:
            assert np.array_equal(found, at_once(rows[:heard]))
            compared += 1
    assert compared >= 2


def test_the_embedding_has_unit_length_and_is_the_caller_s_to_keep() -> None:
    style = MusicStyle(Encoder(), FRAMES, COLUMNS)
    style.push(music(FRAMES))
    first = style.embedding()
    assert first is not None
    assert first.shape == (WIDTH,)
    assert first.dtype == np.float32
    assert np.linalg.norm(first) == pytest.approx(1.0, abs=1e-6)
    kept = first.copy()
    again = style.embedding()
    assert np.array_equal(again, kept), "asking changes nothing"
    style.push(music(3, seed=2))
    assert not np.array_equal(style.embedding(), kept)
    assert np.array_equal(first, kept)


def test_after_a_reset_nothing_of_before_is_heard() -> None:
    style = MusicStyle(Encoder(), FRAMES, COLUMNS)
    style.push(np.full((FRAMES + 3, COLUMNS), np.nan, np.float32))
    style.reset()
    assert style.embedding() is None
    rows = music(FRAMES)
    style.push(rows[:-1])
    assert style.embedding() is None
    style.push(rows[-1:])
    assert np.array_equal(style.embedding(), at_once(rows))


def test_memory_is_allocated_once() -> None:
    encoder = Encoder()
    style = MusicStyle(encoder, FRAMES, COLUMNS)
    for count in (FRAMES, 1, 5, 3 * FRAMES):
        style.push(music(count))
        style.embedding()
    first = encoder.windows[0].base
    assert first is not None
    assert all(window.base is first for window in encoder.windows)


def test_rows_of_another_shape_are_refused_and_forgotten() -> None:
    style = MusicStyle(Encoder(), FRAMES, COLUMNS)
    rows = music(FRAMES)
    style.push(rows)
    for wrong in (rows[0], rows[:, :-1], rows[None]):
        with pytest.raises(ValueError, match=r"rows are \[U, 5\], not"):
            style.push(wrong)
    assert np.array_equal(style.embedding(), at_once(rows))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_vector_without_a_direction_is_a_bug_of_ours(value: float) -> None:
    style = MusicStyle(lambda _: np.full((1, WIDTH), value, np.float32), FRAMES, COLUMNS)
    style.push(music(FRAMES))
    with pytest.raises(InvariantError, match=f"length {value}") as caught:
        style.embedding()
    assert caught.value.code == "STYLE_NOT_FINITE"
