"""What the score of a dance and its music reacts to: the same music shifted, music of another tempo, of another genre.

A score that does not fall has not listened. Other music is taken from the other renderings of the split, from where
its beats fall on those of the true music at the window's first frame, so that each check changes one thing; what other
music of the same genre and tempo costs is the control for the genre. Not for: ranks (``retrieval``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_training.models.mmr import Mmr

from .mmr_latents import PairWindow, cosine, encode, encode_windows, half_beat_drop
from .mmr_ms import dance_ms

F32 = NDArray[np.float32]

SHIFTS_BEATS = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)
SAME_TEMPO = 0.03
"""Tempi within this share of each other are the same."""
OTHER_TEMPO = 0.08
"""Tempi at least this share apart, also when doubled or halved, are different."""


def sensitivity(model: Mmr, windows: Sequence[PairWindow]) -> list[dict[str, Any]]:
    """How the score changes.

    Args:
        model: In evaluation mode; reads live features.
        windows: Of one class, at least one.

    Returns:
        One dictionary a check: ``check``, ``windows`` that it was possible for, mean ``score`` with the true music and
        ``changed`` with the other, ``drop`` the share of windows whose score fell.
    """
    motion, music = encode_windows(model, windows)
    true = cosine(motion, music)
    rows = []
    for beats in SHIFTS_BEATS:
        other = encode(model.music, [window.music_moved(beats) for window in windows])
        rows.append(_row(f"shifted by {beats:+g} beats", true, cosine(motion, other)))
    for name, fits in (
        ("other tempo", _other_tempo),
        ("other genre, same tempo", _other_genre),
        ("same genre and tempo", _same_genre),
    ):
        found = [(number, other) for number, window in enumerate(windows) for other in _first(window, windows, fits)]
        if found:
            index = np.array([number for number, _ in found])
            other = encode(model.music, [rows_ for _, rows_ in found])
            rows.append(_row(name, true[index], cosine(motion[index], other)))
        else:
            rows.append({"check": name, "windows": 0})
    return rows


def ms_scores(model: Mmr, windows: Sequence[PairWindow]) -> dict[str, float]:
    """Mean MMR-MS of windows with their own music, with it moved by half a beat, and with that of another window.

    Args:
        model: In evaluation mode; reads live features.
        windows: At least two.
    """
    others = [*windows[len(windows) // 2 :], *windows[: len(windows) // 2]]
    music = {
        "true": [window.music for window in windows],
        "half_beat": [window.music_moved(0.5) for window in windows],
        "other": [window.music for window in others],
    }
    return {
        name: round(
            float(np.mean([dance_ms(model, w.motion, heard) for w, heard in zip(windows, rows, strict=True)])), 3
        )
        for name, rows in music.items()
    }


def class_a_drop(model: Mmr, windows: Sequence[PairWindow]) -> float:
    """Share of windows whose score falls when the music is moved by half a beat; see ``half_beat_drop``."""
    return half_beat_drop(model, windows, *encode_windows(model, windows))


def _row(name: str, true: F32, changed: F32) -> dict[str, Any]:
    return {
        "check": name,
        "windows": len(true),
        "score": round(float(true.mean()), 3),
        "changed": round(float(changed.mean()), 3),
        "drop": round(float((changed < true).mean()), 3),
    }


def _other_tempo(window: PairWindow, other: PairWindow) -> bool:
    ratio = other.pair.entry.bpm / window.pair.entry.bpm
    return all(abs(ratio / folded - 1.0) > OTHER_TEMPO for folded in (0.5, 1.0, 2.0))


def _other_genre(window: PairWindow, other: PairWindow) -> bool:
    mine, theirs = window.pair.entry, other.pair.entry
    return abs(theirs.bpm / mine.bpm - 1.0) < SAME_TEMPO and theirs.music_style != mine.music_style


def _same_genre(window: PairWindow, other: PairWindow) -> bool:
    mine, theirs = window.pair.entry, other.pair.entry
    return abs(theirs.bpm / mine.bpm - 1.0) < SAME_TEMPO and theirs.music_style == mine.music_style


def _first(
    window: PairWindow, others: Sequence[PairWindow], fits: Callable[[PairWindow, PairWindow], bool]
) -> list[F32]:
    """Music of the first other rendering that fits, beats aligned at the first frame; none, or one."""
    for other in others:
        if other.pair.song != window.pair.song and fits(window, other):
            rows = _aligned(window, other)
            if rows is not None:
                return [rows]
    return []


def _aligned(window: PairWindow, other: PairWindow) -> F32 | None:
    """Music of ``other`` from where its beat phase is that of the window's music."""
    wanted = _phase(window.pair.beats_s, window.heard / FPS)
    near = other.heard + np.arange(round(other.pair.beat_frames) + 1)
    near = near[near + window.frames <= len(other.pair.music)]
    if wanted is None or len(near) == 0:
        return None
    phases = [_phase(other.pair.beats_s, frame / FPS) for frame in near.tolist()]
    off = [2.0 if phase is None else abs((phase - wanted + 0.5) % 1.0 - 0.5) for phase in phases]
    best = int(np.argmin(off))
    first = int(near[best])
    return other.pair.music[first : first + window.frames] if off[best] < 0.1 else None


def _phase(beats_s: NDArray[np.float64], time_s: float) -> float | None:
    """Share of the beat that has passed, 0..1; ``None`` outside the known beats."""
    number = int(np.searchsorted(beats_s, time_s, side="right")) - 1
    if number < 0 or number + 1 >= len(beats_s):
        return None
    return float((time_s - beats_s[number]) / (beats_s[number + 1] - beats_s[number]))
