"""Programmed music: playable, exactly on the grid, one piece from one seed."""

from __future__ import annotations

import numpy as np

from soulstream_training.data.electronic import compose
from soulstream_training.data.music_style import DRUM_CHANNEL


def test_pieces_are_playable_and_repeat_from_their_seed() -> None:
    notes, programs = compose(33, np.random.default_rng(1), energy=0.8)
    again, _ = compose(33, np.random.default_rng(1), energy=0.8)
    other, _ = compose(33, np.random.default_rng(2), energy=0.8)
    assert notes == again
    assert notes != other
    assert len(notes) > 100
    for note in notes:
        assert 0 <= note.beat < 33
        assert 0 < note.length <= 33 - note.beat + 0.2
        assert 20 <= note.pitch <= 108
        assert 1 <= note.velocity <= 127
        assert note.channel == DRUM_CHANNEL or note.channel in programs


def test_every_note_lies_on_a_quarter_of_a_beat() -> None:
    for seed in range(6):
        notes, _ = compose(16, np.random.default_rng(seed), energy=0.3)
        assert all((4 * note.beat) % 1.0 == 0.0 for note in notes)
        assert {note.beat for note in notes if note.channel == DRUM_CHANNEL} >= {0.0, 1.0, 3.0}
